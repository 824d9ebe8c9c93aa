"""Bars, lines and points, with labelled axes."""

import numpy as np
from matplotlib import ticker

from kgpc.arguments import boolean, mapping, received
from kgpc.plots import arguments
from kgpc.plots.style import GREY, HALO, LINE_STYLES, MARKERS, color_list, in_style, new_figure, text_color


@in_style
def stacked_bars(frame, xlabel, title=None, colors=None, totals=True, percent=False, hatches=None):
    """Horizontal bars, each divided into parts: how a whole is made up, and how wholes compare.

    Args:
        frame: `pandas.DataFrame` of numbers >= 0; one bar per row (at most 400), named by the index, one part per
            column.
        xlabel: str, what the length of a bar is, with its unit.
        title: str or None.
        colors: dict or None, colour of some columns.
        totals: bool, whether to write the total at the end of each bar.
        percent: bool, whether the numbers are fractions to be written as percentages.
        hatches: dict or None, Matplotlib's hatching of some columns, such as "///", which tells parts of one colour
            apart.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type, or a column holds no numbers.
        ValueError: if `frame` is empty, holds negative numbers, NaN or infinity, or has more than eight columns without
            a colour of their own, or `hatches` holds something else.
    """
    arguments.frame("frame", frame)
    arguments.labels(title, xlabel=xlabel)
    totals, percent = boolean("totals", totals), boolean("percent", percent)
    colors, hatches = arguments.colors("colors", colors), arguments.hatches("hatches", hatches)
    arguments.drawable("frame", frame.columns, colors)
    parts = {name: arguments.column("frame", frame, name) for name in frame.columns}
    for name, values in parts.items():
        arguments.at_least(f"frame[{name!r}]", values, 0)
    figure, axes = new_figure(7.5, 1.5 + 0.45 * len(frame))
    whole = np.sum(list(parts.values()), axis=0)
    left, longest = np.zeros(len(frame)), whole.max() or 1.0
    rows = np.arange(len(frame))
    for (name, values), color in zip(parts.items(), color_list(frame.columns, colors), strict=True):
        look = {"color": color, "edgecolor": "white", "linewidth": 0.5, "hatch": hatches.get(name)}
        axes.barh(rows, values, 0.62, left, label=str(name), **look)
        shares = values / np.where(whole == 0, 1.0, whole)
        for row in np.flatnonzero(values > 0.06 * longest):
            number = {"ha": "center", "va": "center", "color": text_color(color)}
            if hatches.get(name):
                number["bbox"] = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
            axes.text(left[row] + values[row] / 2, row, f"{shares[row]:.0%}", **number)
        left += values
    if totals:
        for row, total in enumerate(left):
            axes.text(total + 0.01 * longest, row, f"{total:,.0f}", ha="left", va="center")
    axes.set_yticks(rows, [str(name) for name in frame.index])
    axes.set_xlim(0, (1.16 if totals else 1.0) * longest)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0) if percent else ticker.EngFormatter(sep=" "))
    axes.set_xlabel(xlabel)
    figure.legend(loc="outside lower center", ncols=5, handlelength=1, columnspacing=1.5)
    axes.set_title(title or "")
    return figure


@in_style
def layer_bars(frame, ylabel, title=None, colors=None):
    """Vertical bars, one for each layer of a network in the order of its layers, coloured by kind.

    Args:
        frame: `pandas.DataFrame` with one row per layer and the columns `kind` (str) and `value` (number >= 0).
        ylabel: str, what the height of a bar is, with its unit.
        title: str or None.
        colors: dict or None, colour of some kinds.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if `frame` is empty or lacks a column, holds negative numbers, NaN or infinity, or has more than
            eight kinds without a colour of their own.
    """
    arguments.frame("frame", frame, ("kind", "value"), rows=None)
    arguments.labels(title, ylabel=ylabel)
    colors = arguments.colors("colors", colors)
    layers = np.array(arguments.texts("frame", frame, "kind"))
    kinds = list(dict.fromkeys(layers))
    arguments.drawable("frame", kinds, colors)
    values = arguments.column("frame", frame, "value")
    arguments.at_least("frame['value']", values, 0)
    figure, axes = new_figure(7.5, 3.2)
    position = np.arange(1, len(frame) + 1)
    for kind, color in zip(kinds, color_list(kinds, colors), strict=True):
        chosen = layers == kind
        axes.bar(position[chosen], values[chosen], width=0.8, color=color, label=str(kind))
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    axes.set_xlabel("layer, counted from the image to the classes")
    axes.set_ylabel(ylabel)
    axes.legend(loc="upper left")
    axes.set_title(title or "")
    return figure


@in_style
def line_chart(x, curves, xlabel, ylabel, title=None, levels=None, marks=None, log=False, percent=False, markers=True):
    """Curves over a common axis; repeated runs as their mean within a band from the lowest to the highest.

    Args:
        x: sequence of numbers, shape `(n,)`.
        curves: dict from the name of a curve to its values, shape `(n,)`, or `(runs, n)` for repeated runs; at most
            eight. Where a value is NaN or masked the curve is interrupted.
        xlabel: str, what the horizontal axis is, with its unit.
        ylabel: str, what the vertical axis is, with its unit.
        title: str or None.
        levels: dict or None, names and heights of dotted horizontal lines to compare with.
        marks: dict or None, names and positions of dotted vertical lines.
        log: bool, whether both axes are logarithmic; all numbers must then be above 0.
        percent: bool, whether the values are fractions to be written as percentages.
        markers: bool, whether to mark the points; leave them out where there are many.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no curve or there are more than eight, a curve has not as many values as `x`, or numbers
            are infinite, or not above 0 on logarithmic axes.
    """
    log, percent, markers = boolean("log", log), boolean("percent", percent), boolean("markers", markers)
    arguments.labels(title, xlabel=xlabel, ylabel=ylabel)
    x = arguments.array("x", x, (1,))
    mapping("curves", curves, "numbers")
    arguments.drawable("curves", curves)
    curves = {
        name: arguments.array(f"curves[{name!r}]", values, (1, 2), missing=True) for name, values in curves.items()
    }
    for name, values in curves.items():
        if values.shape[-1] != len(x):
            raise ValueError(
                f"`curves` must have a value for each of the {len(x)} numbers of `x`. "
                f"Received: curves[{name!r}] of shape {values.shape}."
            )
    if log:
        for name, values in {"x": x, **{f"curves[{name!r}]": values for name, values in curves.items()}}.items():
            arguments.at_least(name, values, 0, above=True)
    levels = arguments.levels("levels", levels, above=0 if log else None)
    marks = arguments.levels("marks", marks, above=0 if log else None)
    figure, axes = new_figure(7.5, 3.6)
    for index, (name, color) in enumerate(zip(curves, color_list(curves, None), strict=True)):
        runs = np.atleast_2d(curves[name])
        style = {"color": color, "linestyle": LINE_STYLES[index % len(LINE_STYLES)], "linewidth": 2}
        if markers:
            style["marker"] = MARKERS[index % len(MARKERS)]
        axes.plot(x, runs.mean(axis=0), label=name, **style)
        if len(runs) > 1:
            axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.2, linewidth=0)
    if log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
    if log or not percent:
        axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    if percent:
        axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
    dotted = {"color": GREY, "linestyle": (0, (1, 1)), "linewidth": 1.5}
    text = {"textcoords": "offset points", "color": GREY, "path_effects": HALO}
    for name, height in levels.items():
        axes.axhline(height, **dotted)
        left, right = (_distance(curves, end, height) for end in (0, -1))
        end, offset, side = (0, 2, "left") if left > right else (1, -2, "right")
        axes.annotate(name, (end, height), (offset, 4), xycoords=("axes fraction", "data"), ha=side, **text)
    for name, position in marks.items():
        axes.axvline(position, **dotted)
        axes.annotate(name, (position, 0), (4, 4), xycoords=("data", "axes fraction"), **text)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if len(curves) > 1:
        figure.legend(loc="outside lower center", ncols=4, handlelength=3)
    axes.set_title(title or "")
    return figure


def _distance(curves, end, height):
    """Distance of a height to the nearest curve at one end of them."""
    return min(np.abs(np.atleast_2d(values)[:, end] - height).min() for values in curves.values())


@in_style
def scatter(groups, xlabel, ylabel, title=None, log_x=False, size=(7.5, 3.8), colors=None):
    """Points in groups, told apart by colour and marker.

    Args:
        groups: dict from the name of a group to a `pandas.DataFrame` with the columns `x` and `y` and, for text beside
            the points, `label` (str); at most eight. A point without a number is not drawn. The points of a group with
            labels are larger and joined by a thin line.
        xlabel: str, what the horizontal axis is, with its unit.
        ylabel: str, what the vertical axis is, with its unit.
        title: str or None.
        log_x: bool, whether the horizontal axis is logarithmic; all `x` must then be above 0.
        size: (float, float), width and height in inches, at most 200.
        colors: dict or None, colour of some groups.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no group or there are more than eight, one is empty or lacks a column, or numbers are
            infinite, or not above 0 on a logarithmic axis.
    """
    log_x = boolean("log_x", log_x)
    arguments.labels(title, xlabel=xlabel, ylabel=ylabel)
    mapping("groups", groups, "DataFrames")
    colors = arguments.colors("colors", colors)
    arguments.drawable("groups", groups, colors)
    for name, points in groups.items():
        group = f"groups[{name!r}]"
        arguments.frame(group, points, ("x", "y"), rows=None)
        x, _ = (arguments.column(group, points, key, missing=True) for key in ("x", "y"))
        if log_x:
            arguments.at_least(f"{group}['x']", x, 0, above=True)
        if "label" in points:
            arguments.texts(group, points, "label")
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise TypeError(f"`size` must be a pair of numbers, width and height in inches. {received('size', size)}")
    size = [arguments.inches("size", side) for side in size]
    figure, axes = new_figure(*size)
    for index, (name, color) in enumerate(zip(groups, color_list(groups, colors), strict=True)):
        points, marker = groups[name], MARKERS[index % len(MARKERS)]
        if "label" not in points:
            axes.scatter(points["x"], points["y"], s=14, color=color, marker=marker, alpha=0.8, label=name)
            continue
        axes.plot(points["x"], points["y"], color=color, marker=marker, markersize=8, linewidth=1, label=name)
        # Below the first group and above the others, so that labels of neighbours do not collide.
        distance = -16 if index == 0 else 8
        for x, y, label in points[["x", "y", "label"]].itertuples(index=False):
            text = axes.annotate(label, (x, y), (0, distance), textcoords="offset points", ha="center", fontsize=9)
            text.set_path_effects(HALO)
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=0.12, y=0.15)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title or "")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
