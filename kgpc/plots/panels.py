"""Curves in several panels with common axes, so that they can be compared from panel to panel."""

import math

from matplotlib import ticker

from kgpc.plots.style import LINE_STYLES, MARKERS, color_list, in_style, new_figure


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
            numbers of the same length. Where y is NaN the curve is interrupted.
        xlabel: str, what the horizontal axes are, with their unit.
        ylabel: str, what the vertical axes are, with their unit.
        title: str or None.
        columns: int >= 1, panels in a row.
        colors: dict or None, colour of some curves.
        log_x: bool, whether the horizontal axes are logarithmic.
        percent: bool, whether the values are fractions to be written as percentages.
        markers: bool, whether to mark the points.
        share_y: bool, whether all panels have the same vertical axis.
        height: float, height of a panel in inches.

    Returns:
        `matplotlib.figure.Figure`; its first axes are the panels, in order.

    Raises:
        ValueError: if there is no panel, or `columns` is smaller than 1.
    """
    if not panels:
        raise ValueError(f"`panels` must hold at least one panel. Received: panels={panels!r}.")
    if columns < 1:
        raise ValueError(f"`columns` must be at least 1. Received: columns={columns}.")
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
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
