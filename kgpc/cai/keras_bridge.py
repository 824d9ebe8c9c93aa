"""Calls of Keras 2 on Keras 3: patches that `kgpc.cai.install` makes and `kgpc.cai.uninstall` undoes.

Each replaces an attribute, or adds one, and remembers what was there.
"""

import functools
import importlib
import importlib.util
import os
import sys
import types

import keras

from kgpc.cai.image_generator import Flow, ImageDataGenerator

_HDF5_SUFFIXES = (".hdf5", ".h5")
_MISSING = object()
_changes = []


def open_bridge():
    """Makes the changes that are not made yet."""
    if _changes:
        return
    _set(keras.callbacks.ModelCheckpoint, "__init__", _checkpoint(keras.callbacks.ModelCheckpoint.__init__))
    for name in ("fit", "evaluate", "predict"):
        _set(keras.Model, name, _without_queue(getattr(keras.Model, name), is_fit=name == "fit"))
    _add_old_modules()


def close_bridge():
    """Undoes the changes, the last one first."""
    while _changes:
        owner, name, before, ours = _changes.pop()
        if vars(owner).get(name) is not ours:
            continue  # somebody else has replaced it since
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
    for name in _added_modules:
        sys.modules.pop(name, None)
    _added_modules.clear()


def _set(owner, name, value):
    _changes.append((owner, name, vars(owner).get(name, _MISSING), value))
    setattr(owner, name, value)


def _checkpoint(original):
    """The constructor of `ModelCheckpoint`, which now wants names ending in .keras for whole models."""

    @functools.wraps(original)
    def __init__(self, filepath, *arguments, period=1, **options):
        if period != 1:
            raise ValueError(f"`period` must be 1; for others there is `save_freq`. Received: period={period!r}.")
        path = os.fspath(filepath) if isinstance(filepath, (str, os.PathLike)) else None
        weights_only = options.get("save_weights_only", arguments[3] if len(arguments) > 3 else False)
        if path is None or weights_only or not path.lower().endswith(_HDF5_SUFFIXES):
            original(self, filepath, *arguments, **options)
            return
        original(self, f"{path}.keras", *arguments, **options)
        self.filepath = path

    return __init__


def _without_queue(original, is_fit):
    """`fit`, `evaluate` or `predict` with the arguments that say how batches were prepared beside the training."""

    @functools.wraps(original)
    def method(self, x=None, *arguments, workers=None, max_queue_size=None, use_multiprocessing=False, **options):
        # Processes are never started: threads do the same, and need no copy of the images.
        flows = [data for data in (x, options.get("validation_data")) if isinstance(data, Flow)]
        for flow in flows:
            if workers is not None:
                flow.workers = max(1, int(workers))
            if max_queue_size is not None:
                flow.max_queue_size = max(1, int(max_queue_size))
        if is_fit and isinstance(x, Flow):
            # Keras would shuffle the batches with a generator that no seed of theirs reaches.
            options.setdefault("shuffle", False)
        return original(self, x, *arguments, **options)

    return method


_added_modules = []


class _OldOptimizer(types.ModuleType):
    """`keras.optimizers.adam`, which was a module in some versions and the optimizer in others."""

    Adam = keras.optimizers.Adam

    def __call__(self, *arguments, **options):
        return keras.optimizers.Adam(*arguments, **options)


def _add_old_modules():
    # Older Keras has other modules under these names until somebody imports them by name, as the notebooks do.
    for name in ("utils", "optimizers"):
        importlib.import_module(f"keras.{name}")
    np_utils = types.ModuleType("keras.utils.np_utils", "What Keras 2 had here and the notebooks use.")
    np_utils.to_categorical, np_utils.normalize = keras.utils.to_categorical, keras.utils.normalize
    _add(keras.utils, "np_utils", np_utils)
    _add(keras.optimizers, "adam", _OldOptimizer("keras.optimizers.adam", "Adam under an old name."))
    preprocessing = importlib.import_module("keras.preprocessing.image")
    for owner in (preprocessing, keras.preprocessing.image, keras.preprocessing):
        if not hasattr(owner, "ImageDataGenerator"):
            _set(owner, "ImageDataGenerator", ImageDataGenerator)
    if importlib.util.find_spec("keras_applications") is None:
        added = aliases("keras_applications", keras.applications)
        sys.modules.update(added)
        _added_modules.extend(added)


def aliases(name, package):
    """A package and its modules that are loaded, by the names that they have below another name.

    Without those of its modules, Python would load each of them a second time, and leave that one in the package.
    """
    modules = [module for module in sys.modules if f"{module}.".startswith(f"{package.__name__}.")]
    return {name + module.removeprefix(package.__name__): sys.modules[module] for module in modules}


def _add(owner, name, module):
    """Adds a module to a package where that has none of this name."""
    if not hasattr(owner, name):
        _set(owner, name, module)
        if module.__name__ not in sys.modules:
            sys.modules[module.__name__] = module
            _added_modules.append(module.__name__)
