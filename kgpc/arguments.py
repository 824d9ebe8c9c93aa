"""Checks of arguments that all rooms share: each returns what it was given, or names the argument and the value.

A wrong kind of value is a `TypeError`, a value out of range a `ValueError`. Numbers of NumPy are numbers; truth values
are none, and a text such as "no" is no truth value.
"""

import math
import numbers

import numpy as np

_LONGEST = 80  # characters of a value in a message


def shown(value):
    """Returns a value as messages show it: its representation where that is short, its kind and shape otherwise."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and not isinstance(value, np.generic):
        dtype = getattr(value, "dtype", None)
        return f"{kind} of shape {shape}" + ("" if dtype is None else f" and dtype {dtype}")
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of a foreign type, or an integer with more digits than Python prints
        return f"a value of type {kind}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def received(name, value):
    """Returns the end of a message: what was received, and its type."""
    return f"Received: {name}={shown(value)} ({type(value).__name__})."


def integer(name, value, smallest=None, largest=None):
    """Returns `value` as an int where it is an integer within the limits.

    Args:
        name: str, name of the argument, for the message.
        value: what was received; integers of NumPy are integers, truth values are not.
        smallest: int or None, lower limit.
        largest: int or None, upper limit.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is outside the limits.
    """
    limit = "" if smallest is None else f" of at least {smallest}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer{limit}. {received(name, value)}")
    value = int(value)
    if smallest is not None and value < smallest:
        raise ValueError(f"`{name}` must be at least {smallest}. Received: {name}={shown(value)}.")
    if largest is not None and value > largest:
        raise ValueError(f"`{name}` must be at most {largest}. Received: {name}={shown(value)}.")
    return value


def positive_integer(name, value, largest=None):
    """Returns `value` as an int where it is an integer of at least 1; see `integer`."""
    return integer(name, value, smallest=1, largest=largest)


def number(name, value, smallest=None, largest=None, above=None):
    """Returns `value` as a float where it is a finite number within the limits.

    Args:
        name: str, name of the argument, for the message.
        value: what was received; numbers of NumPy are numbers, truth values are not.
        smallest: float or None, lower limit, itself allowed.
        largest: float or None, upper limit, itself allowed.
        above: float or None, lower limit, itself not allowed.

    Raises:
        TypeError: if it is not a real number.
        ValueError: if it is NaN, infinite, or outside the limits.
    """
    limits = [(" of at least", smallest), (" above", above), (" of at most", largest)]
    limits = " and".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number{limits}. {received(name, value)}")
    try:
        as_float = float(value)
    except OverflowError:  # an integer that no float can hold
        as_float = math.inf
    allowed = math.isfinite(as_float) and (smallest is None or as_float >= smallest)
    if not (allowed and (largest is None or as_float <= largest) and (above is None or as_float > above)):
        raise ValueError(f"`{name}` must be a finite number{limits}. Received: {name}={shown(value)}.")
    return as_float


def boolean(name, value):
    """Returns `value` as a bool where it is True or False.

    Raises:
        TypeError: if it is anything else, such as 1 or "no".
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False. {received(name, value)}")
    return bool(value)


def text(name, value, optional=False, empty=True):
    """Returns `value` where it is a str.

    Args:
        name: str, name of the argument, for the message.
        value: what was received.
        optional: bool, whether None is allowed.
        empty: bool, whether a text without a visible character is allowed.

    Raises:
        TypeError: if it is not a str.
        ValueError: if it is empty and must not be.
    """
    if optional and value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str{' or None' if optional else ''}. {received(name, value)}")
    if not empty and not value.strip():
        raise ValueError(f"`{name}` must not be empty. Received: {name}={value!r}.")
    return value


def mapping(name, value, of="values", largest=None):
    """Returns `value` where it is a dict with at least one entry and names (str) as keys.

    Args:
        name: str, name of the argument, for the message.
        value: what was received.
        of: str, what the values of the dict are, for the message.
        largest: int or None, most entries.

    Raises:
        TypeError: if it is not a dict, or a key is not a str.
        ValueError: if it is empty or has too many entries.
    """
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` must be a dict from names to {of}. {received(name, value)}")
    if not value:
        raise ValueError(f"`{name}` must hold at least one entry: a dict from names to {of}. Received: {name}={{}}.")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"`{name}` must be a dict from names (str) to {of}. Received: the key {shown(key)}.")
    if largest is not None and len(value) > largest:
        raise ValueError(f"`{name}` must hold at most {largest} entries. Received: {len(value)}.")
    return value
