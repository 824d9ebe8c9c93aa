"""Whole models in `.keras` files that somebody hands over: built from a closed list, nothing in the file is executed.

Keras builds what a file names: classes of any package that is registered, functions, layers that load programs from
another file. Here every class that a file names is looked up before Keras sees the description, and must be a layer,
an operation, an initializer, a regularizer, a constraint, a policy or the like of Keras or of this package.
"""

import json
import math
import os
import sys
import tempfile
import types
import zipfile

import keras

from kgpc import files, graph, hdf5, keras3_hdf5, weight_limit

_CONFIGURATION = "config.json"
# The description of the largest model of keras.applications has 2 MB.
_MAX_CONFIGURATION_BYTES = 2**26
_KINDS = (
    keras.Operation,  # layers and models are operations
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.dtype_policies.DTypePolicy,
    keras.Quantizer,
    getattr(keras.quantizers, "QuantizationConfig", keras.Quantizer),  # not in Keras 3.8
    keras.random.SeedGenerator,
)
# Layers that hold or fetch a program.
_PROGRAMS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# Values that are no objects: Keras writes them as if they were.
_VALUES = (
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__tuple__",
    "__set__",
    "__slice__",
)
# A model has the numbers that are stored for it. Low-rank additions (LoRA) are not stored, but added to what is: two
# matrices for one, neither larger than that where the rank is low. The rest is for small models and odd layers.
_MAX_NUMBERS_BUILT, _SPARE_NUMBERS = 3, 2**16
# Where Keras' own classes and functions live; only what is loaded already is looked at.
_FUNCTIONS = ("activations", "initializers", "regularizers", "constraints")


def load(path, argument="path"):
    """Loads a model from a `.keras` file, not compiled.

    Args:
        path: path of the file.
        argument: str, what messages call it.

    Returns:
        `keras.Model`, functional or Sequential.

    Raises:
        TypeError: if `path` is not a path.
        ValueError: if the file is damaged, no `.keras` file, has a function or a class that is neither Keras' nor of
            this package, or no functional or Sequential model; or if it describes layers with far more numbers than it
            has, for which no memory is taken. No part of it has been executed. A `kgpc.files.FileError`.
        FileNotFoundError: if there is no such file.
    """
    path = files.path_argument(argument, path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`{argument}` must be a file. Received: {argument}={os.fspath(path)!r}, which is none."
        )
    try:
        description = _description(path)
        _check(description)
        stored = _check_weights(path)
    except (*hdf5.DAMAGE, zipfile.BadZipFile, NotImplementedError, EOFError, RecursionError) as error:
        raise files.FileError(f"The file {path} cannot be used as a `.keras` model: {_line(error)}.") from error
    try:
        with graph.deep_recursion(), weight_limit.limited(_MAX_NUMBERS_BUILT * stored + _SPARE_NUMBERS):
            model = keras.saving.deserialize_keras_object(_without_compilation(description), safe_mode=True)
            if isinstance(model, keras.Model):
                model.load_weights(path)
    except Exception as error:  # whatever Keras raises where a description makes no model, or the numbers do not fit
        raise files.FileError(f"The file {path} cannot be used as a `.keras` model: {_line(error)}.") from error
    if not (isinstance(model, keras.Model) and graph.is_readable(model)):
        raise files.FileError(f"The file {path} has no functional or Sequential model.")
    return model


def save(path, model):
    """Writes a model as a `.keras` file, whole or not at all.

    Args:
        path: `pathlib.Path` whose name ends with ".keras".
        model: `keras.Model`.

    Raises:
        OSError: if it cannot be written.
    """
    files.check_place(path)
    # A new folder of our own beside it: nobody else's link is written through, and renaming is one step.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=files.UNFINISHED) as folder:
        unfinished = os.path.join(folder, path.name)
        model.save(unfinished)
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def _line(error):
    """What an error says, in one line and with no full stop at its end."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _description(path):
    """The description of the model that the file has."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive")
    with zipfile.ZipFile(path) as archive:
        found = [info for info in archive.infolist() if info.filename == _CONFIGURATION]
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} files called {_CONFIGURATION!r}")
        if any(info.filename.startswith("assets/") and not info.is_dir() for info in archive.infolist()):
            raise ValueError(
                "it has tables beside its weights (assets), which belong to layers that are not known here"
            )
        with archive.open(found[0]) as file:
            content = file.read(_MAX_CONFIGURATION_BYTES + 1)
    if len(content) > _MAX_CONFIGURATION_BYTES:
        raise ValueError(f"{_CONFIGURATION!r} has more than {_MAX_CONFIGURATION_BYTES:,} bytes")
    description = json.loads(content)
    if not isinstance(description, dict):
        raise ValueError(f"{_CONFIGURATION!r} is no description of a model")
    return description


def _check_weights(path):
    """How many numbers are stored; a ValueError where they are not plain arrays, such as links to other files."""
    content = keras3_hdf5.weights_in_archive(path, hdf5.MAX_NUMBERS * 4)
    with hdf5.opened(content) as file:
        if not any(key in file for key in ("layers", "vars")):
            return 0
        places = keras3_hdf5.stored_places(file)
    return sum(math.prod(array.shape) for place in places.values() for array in place.arrays.values())


def _without_compilation(value):
    """A description without what losses, metrics and optimizers were, of the model and of those within it."""
    if isinstance(value, dict):
        return {key: _without_compilation(inner) for key, inner in value.items() if key != "compile_config"}
    return [_without_compilation(inner) for inner in value] if isinstance(value, list) else value


def _check(value):
    """Raises a ValueError where a description names something that is not in the closed list."""
    if isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, dict):
        if "class_name" in value:
            _check_object(value)
        for call in value.get("inbound_nodes") or ():
            if isinstance(call, dict) and not _reads_a_tensor([call.get("args"), call.get("kwargs")]):
                raise ValueError("it calls a layer with values alone, which would be computed while it is loaded")
        for key, inner in value.items():
            if key != "compile_config":
                _check(inner)


def _reads_a_tensor(value):
    """Whether there is a tensor of the model among the arguments of a call, so that nothing is computed yet."""
    if isinstance(value, list):
        return any(_reads_a_tensor(inner) for inner in value)
    if not isinstance(value, dict):
        return False
    if value.get("class_name") == "__keras_tensor__":
        return True
    if "class_name" in value:
        return value["class_name"] == "__tuple__" and _reads_a_tensor((value.get("config") or {}).get("value"))
    return any(_reads_a_tensor(inner) for inner in value.values())


def _check_object(description):
    name, module = description["class_name"], description.get("module")
    registered, shown = description.get("registered_name"), str(description["class_name"])[:80]
    if name in _VALUES:
        return
    if name in _PROGRAMS or name == "__lambda__":
        raise ValueError(f"it has a program in it ({shown!r}), which is not executed")
    if name == "function":
        function = description.get("config")
        if module != "builtins" or not any(hasattr(getattr(keras, part), str(function)) for part in _FUNCTIONS):
            raise ValueError(f"it has the function {str(function)[:80]!r}, which is none of Keras' own")
        return
    kind = _registered(registered) if str(registered).startswith("kgpc>") else _of_keras(module, name)
    if not (isinstance(kind, type) and issubclass(kind, _KINDS)) or hasattr(kind, "load_assets"):
        raise ValueError(
            f"it has a {shown!r}, which is none of the layers and settings of Keras and kgpc that are known"
        )
    if issubclass(kind, keras.Model) and not issubclass(kind, (type(_functional()), keras.Sequential)):
        raise ValueError(f"it has a {shown!r}, a model with a call of its own")


def _registered(name):
    kind = keras.saving.get_registered_object(name)
    return kind if getattr(kind, "__module__", "").startswith("kgpc.") else None


def _of_keras(module, name):
    if not (isinstance(module, str) and isinstance(name, str) and module.split(".")[0] == "keras"):
        return None
    place = sys.modules.get(module)
    if place is None:  # what is public in Keras 3.8 is an attribute of `keras` and no module of that name
        place = keras
        for part in module.split(".")[1:]:
            place = getattr(place, part, None)
            if not isinstance(place, types.ModuleType):
                return None
    kind = getattr(place, name, None)
    return kind if getattr(kind, "__module__", "").split(".")[0] == "keras" else None


def _functional():
    inputs = keras.Input((1,))
    return keras.Model(inputs, inputs)
