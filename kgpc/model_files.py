"""Whole models from `.keras` files that somebody else may have made: nothing in such a file is executed.

The configuration in the file is looked through before Keras makes a layer of it: only classes of Keras and of this
package may be in it, no functions, and no files beside the weights. The weights are read by `kgpc.weights`.
"""

import json
import zipfile
import zlib

import keras

from kgpc import files, weights

_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 2**26
_MAX_DEPTH = 200
# Layers whose configuration holds code, or names something to be fetched.
_NEVER = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# Where classes may be from; functions of these places, such as activations, are called by their names alone.
_PACKAGES = ("keras", "kgpc")
_NO_CLASS = "builtins"


def load(path, argument="path"):
    """Loads a model from a `.keras` file without executing anything in it.

    Args:
        path: path of a file that `model.save("... .keras")` of Keras 3 wrote.
        argument: str, what the message calls the path.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError, ValueError: if `path` is no path; as `kgpc.files.FileError`, if the file is damaged, another one, or
            has something in it that may not be loaded: a function, a Lambda layer, a class from elsewhere.
    """
    path = weights.existing_file(path, argument)
    config = _config(path)
    _check(config, path)
    try:
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # whatever a layer raises at a wrong argument
        raise files.FileError(f"The file {path} has a model that cannot be made: {_first_line(error)}") from error
    if not isinstance(model, keras.Model):
        raise files.FileError(f"The file {path} must have a model, and has a {type(model).__name__}.")
    if not model.built:
        raise files.FileError(f"The file {path} has a model that does not know the shape of its input.")
    try:
        weights.load(model, path, argument=argument)
    except ValueError as error:
        raise files.FileError(f"{path}: {_first_line(error)}") from error
    return model


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _config(path):
    """The configuration in a `.keras` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_CONFIG)
            if info.file_size > _MAX_CONFIG_BYTES:
                raise files.FileError(f"The file {path} has a configuration of {info.file_size} bytes: too many.")
            with archive.open(info) as member:
                content = member.read(_MAX_CONFIG_BYTES + 1)
        config = json.loads(content.decode("utf-8"))
    except files.FileError:
        raise
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise files.FileError(f"The file {path} is damaged or no .keras file of Keras 3.") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise files.FileError(f"The file {path} is damaged: its configuration is no JSON.") from error
    if not isinstance(config, dict) or len(content) > _MAX_CONFIG_BYTES:
        raise files.FileError(f"The file {path} is damaged: its configuration describes no model.")
    return config


def _check(config, path):
    """Refuses a configuration with anything that is no class or function of Keras or of this package."""
    stack = [(config, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise files.FileError(f"The file {path} is damaged: its configuration nests too deep.")
        if isinstance(value, list):
            stack.extend((each, depth + 1) for each in value)
            continue
        if not isinstance(value, dict):
            continue
        name, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
        if name is not None or module is not None or registered is not None:
            reason = _why_not(name, module, registered, value.get("config"))
            if reason:
                raise files.FileError(f"The file {path} is refused, and nothing in it was executed: it has {reason}.")
        stack.extend((each, depth + 1) for each in value.values())


def _why_not(name, module, registered, config):
    """Why what a configuration names may not be made; "" where it may."""
    for value in (name, module, registered):
        if value is not None and not isinstance(value, str):
            return "something that is not named by a text"
    if name in _NEVER or (name or "").startswith("__lambda"):
        return f"code or a place of code ({name})"
    if name == "function":
        known = isinstance(config, str) and hasattr(keras.activations, config)
        return "" if known else f"the function {config!r}, which is none of Keras"
    if module == _NO_CLASS:
        return f"{name!r} of Python itself"
    if module is not None and module.split(".")[0] not in _PACKAGES:
        return f"{name!r} of {module!r}, which is neither Keras nor kgpc"
    package, _, rest = (registered or "").partition(">")
    if rest and package not in _PACKAGES:
        return f"{registered!r}, which is neither of Keras nor of kgpc"
    return ""
