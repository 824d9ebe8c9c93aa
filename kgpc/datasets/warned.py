"""Warnings about images that are left out or cannot be what they seem."""

import sys
import warnings

# So many problems are named one by one.
_NAMED = 10


class ImageWarning(UserWarning):
    """Images are not what they may seem, such as one that was left out; the message names them and says why."""


def warn_of(messages, rest="more of these"):
    """Warns of each message where the caller of kgpc is; after ten of them, how many more there are.

    Args:
        messages: list of str.
        rest: str, what the others are.
    """
    level = _level_of_the_caller()
    for message in messages[:_NAMED]:
        warnings.warn(message, ImageWarning, stacklevel=level)
    if len(messages) > _NAMED:
        warnings.warn(f"{len(messages) - _NAMED} {rest}.", ImageWarning, stacklevel=level)


def _level_of_the_caller():
    """How many calls lie between `warn_of` and the first function that is not in `kgpc.datasets`."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("kgpc.datasets."):
        frame, level = frame.f_back, level + 1
    return level
