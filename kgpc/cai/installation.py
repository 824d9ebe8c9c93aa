"""Makes `import cai` work, and bridges what Keras has changed since the papers' notebooks were written."""

import sys

from kgpc.cai import keras_bridge

_replaced = {}


def install(bridge_keras=True):
    """Makes `import cai`, `import cai.layers` and the like import `kgpc.cai`, for this Python process.

    With `bridge_keras`, calls of older versions of Keras work again, for ALL code of the process until `uninstall`:

    - `keras.callbacks.ModelCheckpoint` accepts names ending in `.hdf5` or `.h5`, and `period=1`;
    - `fit`, `evaluate` and `predict` of Keras models accept `workers`, `max_queue_size` and `use_multiprocessing`. The
      first two go to batches of `kgpc.cai.util` as threads; for all other data the three are dropped;
    - `fit` leaves the order of batches of `kgpc.cai.util` to them, so that their seed decides it. Where
      `steps_per_epoch`, `validation_steps` or `steps` is more than they have, they go round again;
    - `keras.utils.np_utils`, `keras.optimizers.adam`, `keras_applications` (also its `_obtain_input_shape`),
      `keras.preprocessing.image.ImageDataGenerator`, and modules below `keras.layers` and `keras.utils` whose contents
      are in these today, such as `keras.layers.core`, exist, where Keras has none.

    Calling it again changes nothing but what is bridged.

    Args:
        bridge_keras: bool.

    Raises:
        TypeError: if `bridge_keras` is not a bool.

    Example:

        import kgpc.cai
        kgpc.cai.install()

        import cai.layers
    """
    if not isinstance(bridge_keras, bool):
        raise TypeError(f"`bridge_keras` must be a bool. Received: bridge_keras={bridge_keras!r}.")
    for alias, module in keras_bridge.aliases("cai", sys.modules["kgpc.cai"]).items():
        if sys.modules.get(alias) is not module:
            _replaced[alias] = sys.modules.get(alias)
            sys.modules[alias] = module
    if bridge_keras:
        keras_bridge.open_bridge()
    else:
        keras_bridge.close_bridge()


def uninstall():
    """Undoes `install`: Keras is what it was, and `import cai` finds what it found before.

    Without an `install` before, it does nothing.
    """
    keras_bridge.close_bridge()
    while _replaced:
        alias, module = _replaced.popitem()
        if module is None:
            sys.modules.pop(alias, None)
        else:
            sys.modules[alias] = module
