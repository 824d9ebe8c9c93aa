"""Numbers with their uncertainty: points with bars from the lower to the upper end of an interval."""

import numpy as np

from kgpc.plots import arguments
from kgpc.plots.style import GREY, MARKERS, color_list, in_style, new_figure


@in_style
def interval_chart(frame, xlabel, title=None, levels=None, formats="", colors=None):
    """One row for each number, with its interval; rows of one group have one colour and one marker.

    Args:
        frame: `pandas.DataFrame`; one row per number (at most 400), named by the index, with the columns `value`,
            `low` and `high` (the ends of the interval) and, to tell rows apart, `group` (str).
        xlabel: str, what the numbers are, with their unit and what the interval is.
        title: str or None.
        levels: dict or None, names and positions of dotted vertical lines to compare with.
        formats: str, format specification (as for `format`) of the number beside each point; "" writes none.
        colors: dict or None, colour of some groups.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if `frame` is empty or lacks a column, a number is not finite, a value lies outside its interval,
            `formats` is no format specification, or more than eight groups have no colour of their own.
    """
    arguments.frame("frame", frame, ("value", "low", "high"))
    arguments.labels(title, xlabel=xlabel)
    arguments.format_specification("formats", formats)
    levels, colors = arguments.levels("levels", levels), arguments.colors("colors", colors)
    values, low, high = (arguments.column("frame", frame, name) for name in ("value", "low", "high"))
    outside = np.flatnonzero((values < low) | (values > high))
    if len(outside):
        row = outside[0]
        raise ValueError(
            "`frame` must hold values within their intervals: low <= value <= high. "
            f"Received: row {frame.index[row]!r} with value={values[row]:g}, low={low[row]:g}, high={high[row]:g}."
        )
    groups = arguments.texts("frame", frame, "group") if "group" in frame else [""] * len(frame)
    names = list(dict.fromkeys(groups))
    arguments.drawable("frame", names, colors)
    looks = dict(zip(names, zip(color_list(names, colors), MARKERS * 2, strict=False), strict=True))
    figure, axes = new_figure(7.5, 0.9 + 0.27 * len(frame))
    for row, group in enumerate(groups):
        color, marker = looks[group]
        axes.plot([low[row], high[row]], [row, row], color=color, linewidth=1.6)
        label = group if groups.index(group) == row else None
        axes.plot(values[row], row, color=color, marker=marker, markersize=7, linestyle="none", label=label)
        if formats:
            text = format(values[row], formats)
            axes.annotate(text, (high[row], row), (5, 0), textcoords="offset points", va="center", fontsize=9)
    for name, position in levels.items():
        axes.axvline(position, color=GREY, linestyle=(0, (1, 1)), linewidth=1.5)
        axes.annotate(
            name, (position, 1), (3, 2), xycoords=("data", "axes fraction"), textcoords="offset points", color=GREY
        )
    axes.set_yticks(np.arange(len(frame)), [str(name) for name in frame.index])
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(xlabel)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize="medium")
    if len(names) > 1:
        figure.legend(loc="outside lower center", ncols=4, handlelength=1)
    return figure
