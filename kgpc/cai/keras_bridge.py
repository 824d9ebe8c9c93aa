"""Calls of Keras 2 on Keras 3: patches that `kgpc.cai.install` makes and `kgpc.cai.uninstall` undoes.

Each replaces an attribute, or adds one, and remembers what was there.
"""

import functools
import importlib
import importlib.util
import math
import os
import sys
import types

import keras

from kgpc.cai import checks
from kgpc.cai.flows import Flow, FlowOfSteps
from kgpc.cai.image_generator import ImageDataGenerator

_HDF5_SUFFIXES = (".hdf5", ".h5")
_MISSING = object()
_changes = []


def open_bridge():
    """Makes the changes that are not made yet."""
    if _changes:
        return
    _set(keras.callbacks.ModelCheckpoint, "__init__", _checkpoint(keras.callbacks.ModelCheckpoint.__init__))
    for name, steps in {"fit": "steps_per_epoch", "evaluate": "steps", "predict": "steps"}.items():
        _set(keras.Model, name, _with_old_arguments(getattr(keras.Model, name), steps))
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


def _with_old_arguments(original, steps_name):
    """`fit`, `evaluate` or `predict` with the arguments that say how batches were prepared beside the training."""

    @functools.wraps(original)
    def method(self, x=None, *arguments, workers=None, max_queue_size=None, use_multiprocessing=False, **options):
        # Processes are never started: threads do the same, and need no copy of the images.
        validation = options.get("validation_data")
        for flow in (x, validation):
            if isinstance(flow, Flow):
                if workers is not None:
                    flow.workers = max(1, int(workers))
                if max_queue_size is not None:
                    flow.max_queue_size = max(1, int(max_queue_size))
        if steps_name == "steps_per_epoch" and isinstance(x, Flow):
            # Keras would shuffle the batches with a generator that no seed of theirs reaches.
            options.setdefault("shuffle", False)
        x = _for_steps(x, options, steps_name)
        if validation is not None:
            options["validation_data"] = _for_steps(validation, options, "validation_steps")
        return original(self, x, *arguments, **options)

    return method


def _for_steps(data, options, name):
    """A flow of as many batches as the option of this name says, which is taken out; or the data as they are."""
    if not isinstance(data, Flow) or options.get(name) is None:
        return data
    # Notebooks divide numbers of images by the batch size, so it need not be an integer.
    return FlowOfSteps(data, math.ceil(checks.number(name, options.pop(name), low=1)))


_added_modules = []


class _OldOptimizer(types.ModuleType):
    """`keras.optimizers.adam`, which was a module in some versions and the optimizer in others."""

    Adam = keras.optimizers.Adam

    def __call__(self, *arguments, **options):
        return keras.optimizers.Adam(*arguments, **options)


# Modules of Keras 2 whose contents are one level higher today.
_MOVED = {
    "layers": ["advanced_activations", "convolutional", "core", "merge", "normalization", "pooling"],
    "utils": ["data_utils", "generic_utils", "vis_utils"],
}


def _add_old_modules():
    # Older Keras has other modules under these names until somebody imports them by name, as the notebooks do.
    for name in ("utils", "optimizers", "layers", "applications.imagenet_utils"):
        importlib.import_module(f"keras.{name}")
    np_utils = types.ModuleType("keras.utils.np_utils", "What Keras 2 had here and the notebooks use.")
    np_utils.to_categorical, np_utils.normalize = keras.utils.to_categorical, keras.utils.normalize
    _add(keras.utils, "np_utils", np_utils)
    _add(keras.optimizers, "adam", _OldOptimizer("keras.optimizers.adam", "Adam under an old name."))
    for package, names in _MOVED.items():
        owner = sys.modules[f"keras.{package}"]
        for name in names:
            _add(owner, name, owner, f"keras.{package}.{name}")
    preprocessing = importlib.import_module("keras.preprocessing.image")
    for owner in (preprocessing, keras.preprocessing.image, keras.preprocessing):
        if not hasattr(owner, "ImageDataGenerator"):
            _set(owner, "ImageDataGenerator", ImageDataGenerator)
    imagenet_utils = sys.modules["keras.applications.imagenet_utils"]
    for owner in {id(module): module for module in (imagenet_utils, keras.applications.imagenet_utils)}.values():
        for name in ("_obtain_input_shape", "obtain_input_shape"):
            if not hasattr(owner, name):
                _set(owner, name, obtain_input_shape)
    if importlib.util.find_spec("keras_applications") is None:
        added = aliases("keras_applications", keras.applications)
        sys.modules.update(added)
        _added_modules.extend(added)


def obtain_input_shape(input_shape, default_size, min_size, data_format, require_flatten, weights=None):
    """The input shape of a network, as `keras_applications.imagenet_utils._obtain_input_shape` found it.

    Args:
        input_shape: sequence (height, width, channels), or None.
        default_size: int, height and width where there is no `input_shape` but a classifier.
        min_size: int, the smallest height and width.
        data_format: None or "channels_last".
        require_flatten: bool, whether the network has a classifier, so that height and width must be known.
        weights: "imagenet", which with a classifier allows the default size alone; or something else.

    Returns:
        Tuple (height, width, channels); without `input_shape` and a classifier (None, None, 3).

    Raises:
        ValueError: if the shape is none of these.
    """
    checks.choice("data_format", data_format, (None, "channels_last"))
    default = (default_size, default_size, 3)
    if input_shape is None:
        return default if require_flatten else (None, None, 3)
    shape = tuple(input_shape)
    sides = shape[:2]
    wrong = len(shape) != 3 or any(side is not None and side < min_size for side in sides)
    if weights == "imagenet":
        wrong = wrong or shape[2] != 3 or (require_flatten and shape != default)
    if wrong or (require_flatten and None in sides):
        allowed = f"(height, width, channels) with at least {min_size} pixels, or {default} for the weights of ImageNet"
        raise ValueError(f"`input_shape` must be {allowed}. Received: input_shape={input_shape!r}.")
    return shape


def aliases(name, package):
    """A package and its modules that are loaded, by the names that they have below another name.

    Without those of its modules, Python would load each of them a second time, and leave that one in the package.
    """
    modules = [module for module in sys.modules if f"{module}.".startswith(f"{package.__name__}.")]
    return {name + module.removeprefix(package.__name__): sys.modules[module] for module in modules}


def _add(owner, name, module, alias=None):
    """Adds a module to a package where that has none of this name."""
    alias = alias or module.__name__
    if not hasattr(owner, name):
        _set(owner, name, module)
        if alias not in sys.modules:
            sys.modules[alias] = module
            _added_modules.append(alias)
