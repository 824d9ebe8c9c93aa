"""Checks of arguments that several old calls have."""

import math
import numbers
import os
import pathlib

import numpy as np


def flag(name, value):
    """Returns a bool, or raises a TypeError that names the argument.

    Unlike elsewhere in kgpc, the integers 0 and 1 are accepted: older code writes `verbose=1`.
    """
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, numbers.Integral) and value in (0, 1)):
        raise TypeError(f"`{name}` must be a bool, or 0 or 1. Received: {name}={value!r}.")
    return bool(value)


def choice(name, value, choices):
    """Raises a ValueError that names the argument where a value is none of some texts or None."""
    if not any(value is one or (isinstance(value, str) and value == one) for one in choices):
        allowed = " or ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")


def number(name, value, low=0.0, high=math.inf, include_high=False):
    """Returns a finite number in [low, high), or raises an error that names the argument."""
    allowed = f"a number in [{low:g}, {high:g}{']' if include_high else ')'}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")
    if not (low <= value < high or (include_high and value == high)) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value}.")
    return value


def integer(name, value, low):
    """Returns an int of at least `low`, or raises an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer of at least {low}. Received: {name}={value!r}.")
    if value < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}. Received: {name}={value}.")
    return int(value)


def size(name, value):
    """Returns (height, width) in pixels, or raises a ValueError that names the argument."""
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
        raise ValueError(f"`{name}` must be two integers, height and width. Received: {name}={value!r}.")
    return tuple(integer(name, side, 1) for side in value)


def path(name, value):
    """Returns a path, or raises a TypeError that names the argument."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise TypeError(f"`{name}` must be a path. Received: {name}={value!r}.")
    return pathlib.Path(value)


def folder(name, value):
    """Returns the path of an existing folder, or raises an error that names the argument."""
    found = path(name, value)
    if not found.is_dir():
        raise FileNotFoundError(f"`{name}` must be an existing folder. Received: {name}={str(found)!r}.")
    return found


def file(name, value):
    """Returns the path of an existing file, or raises an error that names the argument."""
    found = path(name, value)
    if not os.path.isfile(found):  # also where no file can have such a name
        raise FileNotFoundError(f"`{name}` must be an existing file. Received: {name}={str(found)!r}.")
    return found


def images(name, value, channels=None):
    """Returns a numeric array (n, height, width, channels), or raises a ValueError that names the argument."""
    array = np.asarray(value)
    if array.ndim != 4 or (channels is not None and array.shape[-1] != channels) or array.dtype.kind not in "biuf":
        wanted = "channels" if channels is None else channels
        raise ValueError(
            f"`{name}` must be numbers of the shape (n, height, width, {wanted}). "
            f"Received: shape {array.shape}, dtype {array.dtype}."
        )
    return array
