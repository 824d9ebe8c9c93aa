"""Checks of arguments, each with a message that names the argument, what is allowed and what was received."""

import math
import numbers


def check_integer(name, value, low=None, high=None):
    """Checks an int; NumPy's integers are ints too, a bool is none.

    Args:
        name: str, how messages call it.
        value: what was received.
        low: int or None, the smallest value allowed.
        high: int or None, the largest one.

    Returns:
        int, the value.

    Raises:
        TypeError: if it is no int.
        ValueError: if it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an int. Received: {name}={value!r} of type {type(value).__name__}.")
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={_shown(value)}.")
    return int(value)


def check_number(name, value):
    """Checks a finite number, not a bool.

    Args:
        name: str, how messages call it.
        value: what was received.

    Returns:
        float or int, the value.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is infinite, not a number, or too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number. Received: {name}={value!r} of type {type(value).__name__}.")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        raise ValueError(
            f"`{name}` must be at most 1.7e308, as a float is. Received: {name}={_shown(value)}."
        ) from None
    if not finite:
        raise ValueError(f"`{name}` must be finite. Received: {name}={value}.")
    return value


def check_string(name, value):
    """Checks a str; raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str. Received: {name}={value!r} of type {type(value).__name__}.")
    return value


def _shown(value):
    """An int in words where it has more digits than anybody reads, or than Python writes."""
    value = int(value)
    return str(value) if abs(value) < 10**30 else f"{'-' if value < 0 else ''}2**{value.bit_length() - 1} or more"
