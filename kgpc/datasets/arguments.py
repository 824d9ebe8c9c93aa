"""Checks of arguments that only the functions of `kgpc.datasets` share, on top of those that all rooms share."""

import numbers
import os
import pathlib
import re

import numpy as np

from kgpc.arguments import integer, received, shown

# A side of more pixels than this takes more memory than any network for images can use.
MAX_SIDE = 10_000

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def check_seed(value):
    """Returns a seed as an int in [0, 2**32), what NumPy's older generator takes."""
    return integer("seed", value, 0, 2**32 - 1)


def check_fraction(name, value):
    """Raises a ValueError if a share is no number in (0, 1)."""
    if not isinstance(value, numbers.Real) or not 0 < value < 1:
        raise ValueError(f"`{name}` must be in (0, 1). Received: {name}={shown(value)}.")


def check_choice(name, value, allowed):
    """Raises a ValueError if a value is none of those allowed."""
    # A list or an array among strings would raise an error, or compare element by element.
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}. Received: {name}={shown(value)}.")


def check_path(name, value):
    """Returns a path with `~` replaced by the home folder.

    Raises:
        TypeError: if the value is no path.
        ValueError: if it is empty, which would be the current folder, or an URL, which would be a folder of that name.
    """
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"`{name}` must be a path. {received(name, value)}")
    text = os.fspath(value)
    if not text or "\0" in text or _URL.match(text):
        raise ValueError(f"`{name}` must be a path on this computer. Received: {name}={text!r}.")
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"`{name}` must be a path on this computer: {error} Received: {name}={text!r}.") from error


def check_labels(name, value):
    """Returns class numbers as an array `(n,)` of integers.

    Raises:
        ValueError: if the array has another shape.
        TypeError: if it has other numbers, or none.
    """
    labels = np.asarray(value)
    if labels.ndim != 1:
        raise ValueError(f"`{name}` must have the shape (n,). Received: {name}.shape={labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"`{name}` must be an array of ints. Received: an array of {labels.dtype}, {name}={shown(value)}."
        )
    return labels
