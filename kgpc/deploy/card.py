"""The JSON file beside an exported one: what goes in, what comes out, and what was verified.

Keys of the file, whose name is that of the exported one with `.json` added:

- `kgpc`: 1, the version of this description.
- `file`: str, name of the exported file; `bytes`: int; `sha256`: str, of its content.
- `format`: "litert" or "onnx"; `precision`: "float32", "float16", "dynamic" or "int8".
- `input`: object with `shape` (list, null where any size is taken; axes are batch, height, width, channels), `dtype`.
- `output`: object with `shape`, `dtype`, and `meaning`, which is "classes" where each output is of a class (two or
  more, in one axis), else "values".
- Where the dtype is "int8", both have `scale` and `zero_point`: value = (integer - zero_point) * scale.
- `class_names`: list of str in the order of the outputs, or null.
- `preprocessing`: object, or null where nothing was said. `scale` and `offset`, numbers or a list of one for each
  channel: value = pixel * scale + offset, pixels from 0 to 255; `resize`: "pad", "crop" or "stretch", how a picture
  becomes as large as the input; `channels`: "RGB", "BGR" or "grey". A key that is missing was not said.
- `verified`: object: `runtime`, `images`, `agreement`, `largest_difference`, `keras_accuracy`, `accuracy`, as in
  `kgpc.deploy.Exported`; null where there is none.
"""

import hashlib
import math

from kgpc.arguments import mapping, number, received, shown
from kgpc.deploy import verification

VERSION = 1
SUFFIX = ".json"
_CHOICES = {"resize": ("pad", "crop", "stretch"), "channels": ("RGB", "BGR", "grey")}
_NUMBERS = ("scale", "offset")


def checked_preprocessing(preprocessing):
    """The preprocessing as it goes into the file; see this module.

    Raises:
        TypeError, ValueError: if it is neither None nor a dict of the known keys.
    """
    if preprocessing is None:
        return None
    mapping("preprocessing", preprocessing)
    checked = {}
    for key, value in preprocessing.items():
        name = f"preprocessing[{key!r}]"
        if key in _CHOICES:
            if not isinstance(value, str) or value not in _CHOICES[key]:
                allowed = ", ".join(repr(choice) for choice in _CHOICES[key])
                raise ValueError(f"`{name}` must be one of {allowed}. {received(name, value)}")
            checked[key] = value
        elif key in _NUMBERS:
            several = isinstance(value, list | tuple)
            checked[key] = [number(name, each) for each in value] if several else number(name, value)
        else:
            allowed = ", ".join([*_CHOICES, *_NUMBERS])
            raise ValueError(f"`preprocessing` must have keys of {allowed}. Received: the key {shown(key)}.")
    return checked


def checked_class_names(class_names, classes):
    """Names of the classes as they go into the file, a list; None for None.

    Raises:
        TypeError, ValueError: if they are no texts, or not as many as classes.
    """
    if class_names is None:
        return None
    if isinstance(class_names, str) or not hasattr(class_names, "__iter__"):
        raise TypeError(f"`class_names` must be a list of str or None. {received('class_names', class_names)}")
    class_names = list(class_names)
    for name in class_names:
        if not isinstance(name, str):
            raise TypeError(f"`class_names` must be a list of str or None. Received: the name {shown(name)}.")
    if len(class_names) != classes:
        raise ValueError(
            f"`class_names` must have a name for each of the {classes} outputs. Received: {len(class_names)} names."
        )
    return class_names


def values(name, content, exported, shapes, runtime, class_names, preprocessing):
    """What goes into the file; see this module.

    Args:
        name: str, name of the exported file.
        content: bytes of it.
        exported: `kgpc.deploy.Exported`.
        shapes: pair of tuples, of the input and the output.
        runtime: the file in its runtime.
        class_names: list of str or None, as checked here.
        preprocessing: dict or None, as checked here.
    """
    verified = {
        key: getattr(exported, key)
        for key in ("runtime", "images", "agreement", "largest_difference", "keras_accuracy", "accuracy")
    }
    return {
        "kgpc": VERSION,
        "file": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "format": exported.format,
        "precision": exported.precision,
        "input": {"shape": list(shapes[0]), **_numbers(*runtime.given)},
        "output": {
            "shape": list(shapes[1]),
            **_numbers(*runtime.returned),
            "meaning": "classes" if verification.are_classes(shapes[1]) else "values",
        },
        "class_names": class_names,
        "preprocessing": preprocessing,
        "verified": {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in verified.items()
        },
    }


def _numbers(dtype, quantization):
    """The dtype of an input or output, and what its integers mean."""
    if dtype != "int8":
        return {"dtype": dtype}
    scale, zero_point = quantization
    return {"dtype": dtype, "scale": float(scale), "zero_point": int(zero_point)}
