"""What makes a run what it is: recipe, network, images, classes, initial weights. Two runs with one answer are one run.

All of it is plain values, which a JSON file can hold, small whatever the data are, and the same on another computer.
"""

import hashlib
import importlib
import json
import platform
import re
import unicodedata

import cv2
import keras
import numpy as np

from kgpc.training import variables

# Of arrays up to this size every byte counts; it takes a second or two.
_WHOLE_BYTES = 2**30
# Of larger ones, and of images that are decoded on demand, so many images count, evenly spread.
_SPREAD_IMAGES = 512
_IMAGES_AT_A_TIME = 256

# Options with names of layers, which may be automatic.
_WITH_NAMES = ("name", "layers", "input_layers", "output_layers")

# Initial weights are drawn with functions whose last bits differ between processors. This is a hundred times as much,
# and less than any change that somebody makes.
_ROUNDING = 1e-5


def identity(model, data, recipe):
    """What makes a run what it is, apart from its initial weights.

    Args:
        model: Keras model.
        data: as `fit` takes them.
        recipe: `Recipe`.

    Returns:
        dict of plain values. `data.images_sha256` is of all training images where they are an array of at most 1 GiB;
        else of 512 of them, evenly spread from the first to the last.
    """
    values = {
        "recipe": recipe.as_dict(),
        "model": {
            "parameters": int(model.count_params()),
            "layers": len(model.layers),
            "sha256": _network_digest(model, recipe),
        },
        "data": {
            "name": str(getattr(data, "name", "")),
            "training_images": len(data.y_train),
            # The same letters, whether an accent is a character of its own or not.
            "class_names": [unicodedata.normalize("NFC", str(name)) for name in data.class_names],
            "labels_sha256": hashlib.sha256(np.ascontiguousarray(data.y_train, np.int64).tobytes()).hexdigest(),
            "images_sha256": images_digest(data.x_train),
        },
    }
    # As it comes back from a file, to be compared with one.
    return json.loads(json.dumps(values, default=_plain))


def _plain(value):
    """A NumPy number as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} is no plain value")


def images_digest(images):
    """A digest of images, as a str of 64 hexadecimal digits; `identity` says of which.

    Args:
        images: uint8 array `(n, ...)`, or what an int array can index like one.
    """
    count = len(images)
    chosen = np.arange(count)
    if not isinstance(images, np.ndarray) or images.nbytes > _WHOLE_BYTES:
        chosen = np.unique(np.linspace(0, count - 1, min(count, _SPREAD_IMAGES)).round().astype(np.int64))
    digest = hashlib.sha256(repr((tuple(map(int, images.shape)), str(images.dtype))).encode())
    for start in range(0, len(chosen), _IMAGES_AT_A_TIME):
        digest.update(np.ascontiguousarray(images[chosen[start : start + _IMAGES_AT_A_TIME]]).data)
    return digest.hexdigest()


def _network_digest(model, recipe):
    """A digest of layers, their options and the shapes of the variables; automatic names and numbers do not count."""
    layers = []
    for layer in model._flatten_layers(include_self=False):
        config = {key: value for key, value in layer.get_config().items() if key not in _WITH_NAMES}
        if isinstance(layer, keras.layers.BatchNormalization) and recipe.batch_norm_momentum is not None:
            config["momentum"] = recipe.batch_norm_momentum  # whether it has been set already or not
        layers.append((type(layer).__name__, config))
    shapes = [
        (re.sub(r"_\d+$", "", variable.name), list(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for variable in variables.of_network(model)
    ]
    content = [layers, shapes, list(_wiring(model))]
    text = json.dumps(content, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value):
    """What stands for a value that JSON does not have: of a number of NumPy that number, else the type alone."""
    return value.item() if isinstance(value, np.generic) else type(value).__name__


def _wiring(model):
    """Of each layer of a functional network, and of those inside its layers, which layers it reads from, by number."""
    # A layer, or a network whose class has a constructor of its own, says nothing about it.
    if not (isinstance(model, keras.Model) and hasattr(model, "operations")):
        return
    try:
        config = model.get_config()
    except NotImplementedError:
        return
    if not isinstance(config.get("layers"), list):
        return
    numbers = {layer["config"].get("name"): number for number, layer in enumerate(config["layers"])}
    for layer in config["layers"]:
        yield list(_read_by(layer.get("inbound_nodes", []), numbers))
    yield list(_read_by([config.get("input_layers"), config.get("output_layers")], numbers))
    for layer in model.layers:
        yield from _wiring(layer)


def _read_by(value, numbers):
    """Names of layers in a nested value of a configuration, as numbers, each with the number of its call and output."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        if len(value) == 3 and isinstance(value[0], str) and value[0] in numbers:
            yield [numbers[value[0]], *value[1:]]
        else:
            for item in value:
                yield from _read_by(item, numbers)


def fingerprints(arrays):
    """Two numbers for each array: its length as a vector, and its part along a fixed direction.

    Arrays that differ by more than rounding have different ones.

    Args:
        arrays: list of arrays.

    Returns:
        list of lists of two floats.
    """
    result = []
    for number, array in enumerate(arrays):
        vector = np.asarray(array, np.float64).ravel()
        direction = np.random.default_rng((3, number)).standard_normal(len(vector))
        result.append([float(np.linalg.norm(vector)), float(vector @ direction)])
    return result


def unlike(fingerprints, others):
    """Positions of the arrays whose fingerprints differ by more than rounding, as a list of ints.

    Args:
        fingerprints: what `fingerprints` returned for a list of arrays.
        others: the same for another list.

    Raises:
        ValueError: if the lists differ in length.
    """
    return [
        position
        for position, (one, other) in enumerate(zip(fingerprints, others, strict=True))
        if not np.allclose(one, other, rtol=0.0, atol=_ROUNDING * max(one[0], other[0]))
    ]


def versions():
    """What a run is computed with, as a dict of str."""
    from kgpc import __version__

    backend = keras.backend.backend()
    computing = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}.get(backend, "numpy")
    return {
        "kgpc": __version__,
        "python": platform.python_version(),
        "keras": keras.version(),
        "backend": backend,
        computing: importlib.import_module(computing).__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
