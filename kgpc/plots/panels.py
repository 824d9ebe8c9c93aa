"""Curves in several panels with common axes, so that they can be compared from panel to panel."""

import math

from matplotlib import ticker

from kgpc.arguments import boolean, mapping, positive_integer, shown
from kgpc.plots import arguments
from kgpc.plots.style import LINE_STYLES, MARKERS, color_list, in_style, new_figure


def _checked_panels(panels, log_x):
    """The panels with their numbers as float arrays."""
    mapping("panels", panels, "dicts of curves")
    checked = {}
    for panel, curves in panels.items():
        place = f"panels[{panel!r}]"
        checked[panel] = {}
        for name, pair in mapping(place, curves, "pairs (x, y)").items():
            pair = arguments.lists_of(f"{place}[{name!r}]", pair, 2)
            x, y = (arguments.array(f"{place}[{name!r}]", values, (1,), missing=True) for values in pair)
            if len(x) != len(y):
                raise ValueError(
                    f"`{place}[{name!r}]` must have as many numbers x as y. Received: {len(x)} and {len(y)}."
                )
            if log_x:
                arguments.at_least(f"{place}[{name!r}]", x, 0, above=True)
            checked[panel][name] = x, y
    return checked


@in_style
def curve_panels(
    panels,
    xlabel,
    ylabel,
    title=None,
    columns=2,
    colors=None,
    log_x=False,
    percent=False,
    markers=False,
    share_y=True,
    height=2.1,
):
    """One panel for each group of curves; curves of the same name look the same in all panels.

    Args:
        panels: dict from the title of a panel to a dict from the name of a curve to a pair `(x, y)` of sequences of
            numbers of the same length. Where a number is NaN or masked the curve is interrupted. At most eight curves
            have different names.
        xlabel: str, what the horizontal axes are, with their unit.
        ylabel: str, what the vertical axes are, with their unit.
        title: str or None.
        columns: int >= 1, panels in a row.
        colors: dict or None, colour of some curves.
        log_x: bool, whether the horizontal axes are logarithmic; all x must then be above 0.
        percent: bool, whether the values are fractions to be written as percentages.
        markers: bool, whether to mark the points.
        share_y: bool, whether all panels have the same vertical axis.
        height: float > 0, height of a panel in inches; the figure has at most 200.

    Returns:
        `matplotlib.figure.Figure`; its first axes are the panels, in order.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no panel, a panel has no curve, x and y differ in length, numbers are infinite, or not
            above 0 on a logarithmic axis, `columns` is smaller than 1, or the figure becomes too high.
    """
    log_x, percent = boolean("log_x", log_x), boolean("percent", percent)
    markers, share_y = boolean("markers", markers), boolean("share_y", share_y)
    arguments.labels(title, xlabel=xlabel, ylabel=ylabel)
    colors = arguments.colors("colors", colors)
    panels = _checked_panels(panels, log_x)
    columns = min(positive_integer("columns", columns), len(panels))
    rows = math.ceil(len(panels) / columns)
    if arguments.inches("height", height) * rows > arguments.MOST_INCHES:
        raise ValueError(
            f"`panels` must fit into {arguments.MOST_INCHES:g} inches. "
            f"Received: {rows} rows of panels, height={shown(height)} inches each."
        )
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    arguments.drawable("panels", names, colors)
    looks = {
        name: {"color": color, "linestyle": LINE_STYLES[index % len(LINE_STYLES)], "label": name}
        | ({"marker": MARKERS[index % len(MARKERS)], "markersize": 5} if markers else {})
        for index, (name, color) in enumerate(zip(names, color_list(names, colors), strict=True))
    }
    figure, grid = new_figure(7.5, height * rows + 0.6, columns, rows, sharex=True, sharey=share_y, squeeze=False)
    lines = {}
    for axes, (panel, curves) in zip(grid.flat, panels.items(), strict=False):
        for name, (x, y) in curves.items():
            (line,) = axes.plot(x, y, linewidth=1.6, **looks[name])
            lines.setdefault(name, line)
        axes.set_title(panel, fontweight="normal")
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    first = grid.flat[0]
    if log_x:
        first.set_xscale("log")
        first.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        first.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
        first.xaxis.set_minor_locator(ticker.NullLocator())
    for axes in grid.flat[: len(panels)]:
        axes.yaxis.set_major_formatter(
            ticker.PercentFormatter(1.0, decimals=0) if percent else ticker.EngFormatter(sep=" ")
        )
    for column in range(columns):
        # Below the last panel of each column, where a legend for the whole figure does not get in its way.
        below = [axes for axes in grid[:, column] if axes.figure is not None]
        below[-1].set_xlabel(xlabel)
    figure.supylabel(ylabel, fontsize="medium")
    if len(lines) > 1:
        figure.legend(lines.values(), lines, loc="outside lower center", ncols=4, handlelength=3)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize="medium")
    return figure
