"""Checks of what is to be drawn: names the argument and the value before Matplotlib sees either."""

import numpy as np
import pandas as pd
from matplotlib import colors as matplotlib_colors

from kgpc.arguments import integer, mapping, number, received, shown, text
from kgpc.plots.style import COLORS, LAYER_COLORS

MOST_INCHES = 200.0  # of a figure: at 150 pixels per inch, its picture then has 30,000 pixels in a row
MOST_ROWS = 400  # of bars and intervals, at less than half an inch each


def labels(title, **axes):
    """Checks the title of a figure (str or None) and the names of its axes (str)."""
    text("title", title, optional=True)
    for name, value in axes.items():
        text(name, value)


def array(name, value, ndim, missing=False):
    """Returns numbers as a float array; what is masked is missing.

    Args:
        name: str, name of the argument, for the message.
        value: what was received.
        ndim: tuple of int, numbers of axes that are allowed.
        missing: bool, whether NaN is allowed and means that there is no value.

    Raises:
        TypeError: if it is no array of numbers.
        ValueError: if it is empty, has another number of axes, or holds infinity, or NaN that must not be there.
    """
    try:
        values = value.to_numpy() if isinstance(value, pd.Series | pd.DataFrame) else np.ma.asarray(value)
        if values.dtype.kind == "O" and pd.isna(np.asarray(values)).any():
            values = np.where(pd.isna(np.asarray(values)), np.nan, np.asarray(values))
        # Truth values and texts could be converted as well; they are no numbers all the same.
        if values.dtype.kind not in "iuf" and not (values.dtype.kind == "O" and _all_numbers(values)):
            raise TypeError
        values = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"`{name}` must be an array of numbers. {received(name, value)}") from None
    if values.ndim not in ndim or not values.size:
        axes = " or ".join(f"{count}D" for count in ndim)
        raise ValueError(
            f"`{name}` must be a {axes} array with at least one number. Received: an array of shape {values.shape}."
        )
    if np.isinf(values).any() or (not missing and np.isnan(values).any()):
        raise ValueError(
            f"`{name}` must hold finite numbers{' or NaN, where there is none' if missing else ''}. "
            f"Received: {name}={shown(values[~np.isfinite(values)][0])} among them."
        )
    return values


def _all_numbers(values):
    return all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values.flat)


def at_least(name, values, low, above=False):
    """Checks that no value of an array is below a limit, or at it where values must be above."""
    bad = values[values <= low] if above else values[values < low]
    if bad.size:
        raise ValueError(
            f"`{name}` must hold numbers {'above' if above else 'of at least'} {low:g}. "
            f"Received: {name}={shown(float(bad[0]))} among them."
        )


def distinct_columns(name, value):
    """Returns `value` where it is a `pandas.DataFrame` in which no two columns have the same name."""
    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"`{name}` must be a pandas.DataFrame. {received(name, value)}")
    if not value.columns.is_unique:
        twice = value.columns[value.columns.duplicated()][0]
        raise ValueError(f"`{name}` must have columns of different names. Received: {twice!r} twice.")
    return value


def frame(name, value, columns=(), rows=MOST_ROWS):
    """Returns `value` where it is a `pandas.DataFrame` with rows and certain columns, each of which is there once.

    Args:
        name: str, name of the argument, for the message.
        value: what was received.
        columns: sequence of str, columns that must be there.
        rows: int or None, most rows.

    Raises:
        TypeError: if it is not a DataFrame.
        ValueError: if it has no rows or too many, a column is missing, or two have the same name.
    """
    distinct_columns(name, value)
    if missing := [column for column in columns if column not in value.columns]:
        *first, last = columns
        raise ValueError(
            f"`{name}` must have the columns {', '.join(first)} and {last}. Received: no column {missing[0]!r}."
        )
    if not len(value) or not len(value.columns):
        raise ValueError(f"`{name}` must have at least one row and one column. Received: shape {value.shape}.")
    if rows is not None and len(value) > rows:
        raise ValueError(f"`{name}` must have at most {rows} rows to be drawn. Received: {len(value)} rows.")
    return value


def column(name, values, key, missing=False):
    """Returns a column of a DataFrame as a float array; see `array`."""
    return array(f"{name}[{key!r}]", values[key], (1,), missing)


def texts(name, values, key):
    """Returns a column of a DataFrame as a list of str."""
    return [text(f"{name}[{key!r}]", value) for value in values[key]]


def levels(name, value, above=None):
    """Returns names and places of lines as a dict of float; None has none.

    Args:
        name: str, name of the argument, for the message.
        value: dict or None, what was received.
        above: float or None, lower limit of the places, itself not allowed.
    """
    if value is None or value == {}:
        return {}
    mapping(name, value, "numbers")
    return {key: number(f"{name}[{key!r}]", place, above=above) for key, place in value.items()}


def colors(name, value):
    """Returns given colours as a dict; None has none.

    Raises:
        TypeError: if it is not a dict.
        ValueError: if one is not a colour.
    """
    if value is None or value == {}:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` must be a dict from names to colours, or None. {received(name, value)}")
    for key, color in value.items():
        if not matplotlib_colors.is_color_like(color):
            raise ValueError(f'`{name}` must hold colours such as "#0072B2". Received: {key!r}: {shown(color)}.')
    return value


def hatches(name, value):
    """Returns given hatchings as a dict; None has none.

    Raises:
        TypeError: if it is not a dict.
        ValueError: if one is no hatching of Matplotlib.
    """
    if value is None or value == {}:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` must be a dict from names to hatchings, or None. {received(name, value)}")
    for key, hatch in value.items():
        if not isinstance(hatch, str) or set(hatch) - set("/\\|-+xoO.*"):
            raise ValueError(f'`{name}` must hold hatchings such as "///" or "". Received: {key!r}: {shown(hatch)}.')
    return value


def drawable(name, names, given=None):
    """Checks that there is a colour for everything that is to be told apart."""
    given = given or {}
    free = [color for color in COLORS.values() if color not in given.values()]
    without = [key for key in names if key not in given]
    if len(without) > len(free):
        raise ValueError(
            f"`{name}` must hold at most {len(free)} things without a colour of their own: there are no more that "
            f"every reader can tell apart. Received: {len(without)}."
        )


def kind(name, value):
    """Returns `value` where it is a part of a network that has a colour, or ""."""
    text(name, value)
    if value and value not in LAYER_COLORS:
        raise ValueError(f'`{name}` must be "" or one of {list(LAYER_COLORS)}. Received: {name}={shown(value)}.')
    return value


def inches(name, value):
    """Returns a width or height in inches as a float."""
    return number(name, value, above=0, largest=MOST_INCHES)


def format_specification(name, value):
    """Returns `value` where `format` can write a float with it."""
    text(name, value)
    try:
        format(0.5, value)
    except ValueError:
        raise ValueError(
            f'`{name}` must be a format specification of a number such as ".1f". Received: {name}={value!r}.'
        ) from None
    return value


def lists_of(name, value, length=None):
    """Returns a sequence (list, tuple, array, index or series) as a list.

    Raises:
        TypeError: if it is something else.
        ValueError: if its length is not `length`.
    """
    if not isinstance(value, list | tuple | np.ndarray | pd.Series | pd.Index) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"`{name}` must be a sequence. {received(name, value)}")
    value = list(value)
    if length is not None and len(value) != length:
        raise ValueError(f"`{name}` must have {length} entries. Received: {len(value)}.")
    return value


def counts(name, values, key):
    """Returns a column of a DataFrame as a list of int, each at least 1."""
    return [integer(f"{name}[{key!r}]", value, smallest=1) for value in values[key]]
