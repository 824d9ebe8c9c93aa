"""Figures and tables for the notebooks: drawn from what they are given, colour-blind safe, with labelled axes.

One function for each kind of figure; each returns the matplotlib figure, and `show` puts it on the page together with a
text for those who cannot see it. `table` gives a DataFrame a caption and numbers that can be read.
"""

import base64
import dataclasses
import functools
import html
import io
import numbers

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import patches, patheffects, ticker
from matplotlib.colors import to_rgb
from PIL import Image

from kgpc.grouping import interleaved_order

# The palette of Okabe and Ito: eight colours that people with any kind of colour blindness can tell apart.
COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky blue": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
GREY = "#767676"

# What parts of a network look like in every figure of the collection.
LAYER_COLORS = {
    "pointwise": COLORS["blue"],
    "depthwise": COLORS["orange"],
    "other convolutions": COLORS["green"],
    "batch normalization": COLORS["sky blue"],
    "classifier": COLORS["purple"],
}

# Series are also told apart by marker and line style, so that the figures survive a black-and-white printer.
_MARKERS = "os^Dvp*h"
_LINE_STYLES = ("-", "--", "-.", ":")

_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 10.0,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
}
_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]  # keeps text readable on lines and colours
_PIXELS_PER_INCH = 150
_CSS_PIXELS_PER_INCH = 96


def _new_figure(width, height, columns=1, **options):
    """An empty figure in the style of the collection, and its axes (an array where there are several)."""
    return plt.subplots(1, columns, figsize=(width, height), **options)


def _in_style(function):
    """Lets a drawing function work in the style of the collection, and leaves the reader's own settings alone."""

    @functools.wraps(function)
    def styled(*arguments, **options):
        with plt.rc_context(_STYLE):
            return function(*arguments, **options)

    return styled


def _png(figure, alt):
    """The figure as PNG in base64, and the width in pixels that it has on a page; closes the figure."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"`alt` must describe the figure in words. Received: alt={alt!r}.")
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_PIXELS_PER_INCH, bbox_inches="tight")
    plt.close(figure)
    # 256 colours are enough for a drawing, and a third of the size.
    image = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(stored, format="png", optimize=True)
    # More pixels than the page needs, so that the lines stay sharp on dense screens and in print.
    width = round(image.width * _CSS_PIXELS_PER_INCH / _PIXELS_PER_INCH)
    return base64.b64encode(stored.getvalue()).decode("ascii"), width


def show(figure, alt):
    """Puts a figure on the page of the notebook, and closes it.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it; stored beside the picture as its alternative
            text.

    Raises:
        ValueError: if `alt` is empty.
    """
    from IPython.display import display

    picture, width = _png(figure, alt)
    metadata = {"image/png": {"alt": alt, "width": width}}
    display({"image/png": picture, "text/plain": f"[Figure: {alt}]"}, metadata=metadata, raw=True)


def as_html(figure, alt):
    """Returns a figure as an HTML image, for widgets that show HTML, and closes it.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it.

    Returns:
        str, an `img` element with the picture in it.

    Raises:
        ValueError: if `alt` is empty.
    """
    picture, width = _png(figure, alt)
    return f'<img src="data:image/png;base64,{picture}" width="{width}" alt="{html.escape(alt)}">'


class CaptionedTable:
    """A DataFrame with a caption, as `table` returns it; a notebook shows it as a formatted table.

    Attributes:
        frame: `pandas.DataFrame`, the values themselves.
        caption: str.
    """

    def __init__(self, frame, caption, formats):
        self.frame = frame
        self.caption = caption
        self._formats = formats

    def _cells(self):
        """The frame with the index as columns, unless that only counts rows, and every value as text."""
        frame = self.frame if isinstance(self.frame.index, pd.RangeIndex) else self.frame.reset_index()
        return pd.DataFrame({name: [self._text(name, value) for value in frame[name]] for name in frame.columns})

    def _text(self, column, value):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return ""
        if column in self._formats:
            return format(value, self._formats[column])
        if isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)):
            return f"{value:,}"
        return str(value)

    def _is_number(self, column):
        return column in self.frame.columns and pd.api.types.is_numeric_dtype(self.frame[column])

    def __repr__(self):
        return f"{self.caption}\n{self._cells().to_string(index=False)}"

    def to_html(self):
        """Returns the formatted table as an HTML `table` element."""
        cells = self._cells()
        align = {name: "right" if self._is_number(name) else "left" for name in cells.columns}

        def row(tag, texts):
            inside = "".join(
                f'<{tag} style="text-align: {align[name]}">{html.escape(str(text))}</{tag}>'
                for name, text in zip(cells.columns, texts, strict=True)
            )
            return f"<tr>{inside}</tr>"

        style = "caption-side: top; text-align: left; white-space: nowrap; padding: 4px 0"
        caption = f'<caption style="{style}">{html.escape(self.caption)}</caption>'
        body = "\n".join(row("td", texts) for texts in cells.itertuples(index=False))
        return f"<table>\n{caption}\n<thead>{row('th', cells.columns)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    _repr_html_ = to_html  # what notebooks ask for


def table(frame, caption, formats=None):
    """Gives a DataFrame a caption and readable numbers.

    Integers get thousands separators, missing values are left empty; the index is shown unless it only counts the rows.

    Args:
        frame: `pandas.DataFrame`.
        caption: str, says what the table shows and, where a column name does not, the unit.
        formats: dict or None, format specification (as for `format`) of columns, for example `{"share": ".1%"}`.

    Returns:
        `CaptionedTable`; as the last expression of a cell it is shown.

    Raises:
        ValueError: if `caption` is empty, or `formats` names a column that is not there.
    """
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"`caption` must say what the table shows. Received: caption={caption!r}.")
    formats = dict(formats or {})
    unknown = [name for name in formats if name not in frame.columns]
    if unknown:
        raise ValueError(f"`formats` must name columns of the table: {list(frame.columns)}. Received: {unknown}.")
    return CaptionedTable(frame, caption, formats)


def _color_list(names, colors):
    """The colour of every name: given ones first, the palette in order for the others."""
    given = dict(colors or {})
    free = [color for color in COLORS.values() if color not in given.values()]
    return [given[name] if name in given else free.pop(0) for name in names]


def _text_color(background):
    """Black or white, whichever can be read on a background."""
    red, green, blue = to_rgb(background)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


@_in_style
def stacked_bars(frame, xlabel, title=None, colors=None, totals=True, percent=False):
    """Horizontal bars, each divided into parts: how a whole is made up, and how wholes compare.

    Args:
        frame: `pandas.DataFrame` of numbers >= 0; one bar per row, named by the index, one part per column.
        xlabel: str, what the length of a bar is, with its unit.
        title: str or None.
        colors: dict or None, colour of some columns.
        totals: bool, whether to write the total at the end of each bar.
        percent: bool, whether the numbers are fractions to be written as percentages.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = _new_figure(7.5, 1.5 + 0.45 * len(frame))
    left, longest = np.zeros(len(frame)), frame.sum(axis=1).max()
    for name, color in zip(frame.columns, _color_list(frame.columns, colors), strict=True):
        values = frame[name].to_numpy(float)
        axes.barh(frame.index, values, 0.62, left, color=color, edgecolor="white", linewidth=0.5, label=name)
        shares = values / frame.sum(axis=1).to_numpy(float)
        for row in np.flatnonzero(values > 0.06 * longest):
            position = left[row] + values[row] / 2
            axes.text(position, row, f"{shares[row]:.0%}", ha="center", va="center", color=_text_color(color))
        left += values
    if totals:
        for row, total in enumerate(left):
            axes.text(total + 0.01 * longest, row, f"{total:,.0f}", ha="left", va="center")
    axes.set_xlim(0, (1.16 if totals else 1.0) * longest)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0) if percent else ticker.EngFormatter(sep=" "))
    axes.set_xlabel(xlabel)
    figure.legend(loc="outside lower center", ncols=5, handlelength=1, columnspacing=1.5)
    axes.set_title(title or "")
    return figure


@_in_style
def layer_bars(frame, ylabel, title=None, colors=None):
    """Vertical bars, one for each layer of a network in the order of its layers, coloured by kind.

    Args:
        frame: `pandas.DataFrame` with one row per layer and the columns `kind` (str) and `value` (number >= 0).
        ylabel: str, what the height of a bar is, with its unit.
        title: str or None.
        colors: dict or None, colour of some kinds.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = _new_figure(7.5, 3.2)
    kinds = list(dict.fromkeys(frame["kind"]))
    position = np.arange(1, len(frame) + 1)
    for kind, color in zip(kinds, _color_list(kinds, colors), strict=True):
        chosen = (frame["kind"] == kind).to_numpy()
        axes.bar(position[chosen], frame["value"][chosen], width=0.8, color=color, label=kind)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    axes.set_xlabel("layer, counted from the image to the classes")
    axes.set_ylabel(ylabel)
    axes.legend(loc="upper left")
    axes.set_title(title or "")
    return figure


@_in_style
def line_chart(x, curves, xlabel, ylabel, title=None, levels=None, marks=None, log=False, percent=False, markers=True):
    """Curves over a common axis; repeated runs as their mean within a band from the lowest to the highest.

    Args:
        x: sequence of numbers, shape `(n,)`.
        curves: dict from the name of a curve to its values, shape `(n,)`, or `(runs, n)` for repeated runs.
        xlabel: str, what the horizontal axis is, with its unit.
        ylabel: str, what the vertical axis is, with its unit.
        title: str or None.
        levels: dict or None, names and heights of dotted horizontal lines to compare with.
        marks: dict or None, names and positions of dotted vertical lines.
        log: bool, whether both axes are logarithmic.
        percent: bool, whether the values are fractions to be written as percentages.
        markers: bool, whether to mark the points; leave them out where there are many.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = _new_figure(7.5, 3.6)
    for index, (name, color) in enumerate(zip(curves, _color_list(curves, None), strict=True)):
        runs = np.atleast_2d(np.asarray(curves[name], float))
        style = {"color": color, "linestyle": _LINE_STYLES[index % len(_LINE_STYLES)], "linewidth": 2}
        if markers:
            style["marker"] = _MARKERS[index % len(_MARKERS)]
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
    text = {"textcoords": "offset points", "color": GREY}
    for name, height in (levels or {}).items():
        axes.axhline(height, **dotted)
        axes.annotate(name, (1, height), (-2, 4), xycoords=("axes fraction", "data"), ha="right", **text)
    for name, position in (marks or {}).items():
        axes.axvline(position, **dotted)
        axes.annotate(name, (position, 0), (4, 4), xycoords=("data", "axes fraction"), **text)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if len(curves) > 1:
        figure.legend(loc="outside lower center", ncols=4, handlelength=3)
    axes.set_title(title or "")
    return figure


@_in_style
def scatter(groups, xlabel, ylabel, title=None, log_x=False, size=(7.5, 3.8)):
    """Points in groups, told apart by colour and marker.

    Args:
        groups: dict from the name of a group to a `pandas.DataFrame` with the columns `x` and `y` and, for text beside
            the points, `label`. The points of a group with labels are larger and joined by a thin line.
        xlabel: str, what the horizontal axis is, with its unit.
        ylabel: str, what the vertical axis is, with its unit.
        title: str or None.
        log_x: bool, whether the horizontal axis is logarithmic.
        size: (float, float), width and height in inches.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = _new_figure(*size)
    for index, (name, color) in enumerate(zip(groups, _color_list(groups, None), strict=True)):
        points, marker = groups[name], _MARKERS[index % len(_MARKERS)]
        if "label" not in points:
            axes.scatter(points["x"], points["y"], s=14, color=color, marker=marker, alpha=0.8, label=name)
            continue
        axes.plot(points["x"], points["y"], color=color, marker=marker, markersize=8, linewidth=1, label=name)
        # Below the first group and above the others, so that labels of neighbours do not collide.
        distance = -16 if index == 0 else 8
        for x, y, label in points[["x", "y", "label"]].itertuples(index=False):
            text = axes.annotate(
                label, (x, y), (0, distance), textcoords="offset points", ha="center", fontsize="small"
            )
            text.set_path_effects(_HALO)
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


@_in_style
def matrices(panels, xlabel, ylabel, colorbar, title=None, signed=False, blocks=None):
    """Matrices side by side as pictures, in one colour scale.

    Args:
        panels: dict from the title of a panel to a 2D array.
        xlabel: str, what the columns are.
        ylabel: str, what the rows are.
        colorbar: str, what the colours are, with the unit.
        title: str or None.
        signed: bool, whether values have a sign: white is then 0, one colour negative and one positive. Otherwise white
            is 0 and blue is the largest value.
        blocks: tuple (rows, columns) or None, distance of thin lines that mark blocks.

    Returns:
        `matplotlib.figure.Figure`.
    """
    height = 6.5 / max(len(panels), 2) + 0.9
    figure, all_axes = _new_figure(7.5, height, len(panels), sharey=True, squeeze=False, layout="compressed")
    largest = max(np.abs(matrix).max() for matrix in panels.values())
    low, colormap = (-largest, "PuOr_r") if signed else (0, "Blues")
    for axes, (name, matrix) in zip(all_axes[0], panels.items(), strict=True):
        image = axes.imshow(matrix, cmap=colormap, vmin=low, vmax=largest, interpolation="nearest")
        rows, columns = matrix.shape
        for ticks, set_ticks in ((columns, axes.set_xticks), (rows, axes.set_yticks)):
            set_ticks(range(0, ticks, max(1, ticks // 4)))
        if blocks:
            for row in range(blocks[0], rows, blocks[0]):
                axes.axhline(row - 0.5, color=GREY, linewidth=0.5)
            for column in range(blocks[1], columns, blocks[1]):
                axes.axvline(column - 0.5, color=GREY, linewidth=0.5)
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.set_xlabel(xlabel)
        axes.set_title(name, fontweight="normal")
    all_axes[0, 0].set_ylabel(ylabel)
    figure.colorbar(image, ax=all_axes, label=colorbar)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize="medium")
    return figure


# Colours of the groups in `subnetwork`; black is kept for lines.
_GROUP_COLORS = [color for name, color in COLORS.items() if name != "black"]
_BOX = 0.8  # height of the box of a channel; channels are 1 apart
_COLUMN_DISTANCE = 4.0


@dataclasses.dataclass
class _Column:
    """Channels of one tensor, as `subnetwork` draws them.

    Attributes:
        title: str.
        sources: list of frozenset, the groups of the input that each channel depends on.
        labels: list of int, numbers written into the boxes.
        copies: int, how many of the last channels are copies.
        paths: list of int, channels of each path of the convolution that made them; paths are drawn apart.
    """

    title: str
    sources: list
    labels: list
    copies: int = 0
    paths: tuple = ()

    def height(self, channel):
        """Vertical position of a channel, downwards from 0."""
        below = sum(channel >= end for end in np.cumsum(self.paths)[:-1]) if self.paths else 0
        return -(channel + 0.6 * below)

    @property
    def bottom(self):
        """Vertical position of the last channel."""
        return self.height(len(self.labels) - 1)

    def read_by(self, stage, title):
        """The same channels with the copies that a stage appends before it reads them."""
        repeated = [channel % len(self.sources) for channel in range(len(self.sources) + stage.copied_channels)]
        copies = f" + {_counted(stage.copied_channels, 'copy', 'copies')}" if stage.copied_channels else ""
        return _Column(
            f"{title}\n{len(self.sources)} channels{copies}",
            [self.sources[channel] for channel in repeated],
            [self.labels[channel] for channel in repeated],
            stage.copied_channels,
        )

    def reordered(self, order, title):
        """The same channels in another order."""
        return _Column(title, [self.sources[channel] for channel in order], [self.labels[channel] for channel in order])

    def convolved(self, stage, title):
        """The filters of a stage that reads these channels."""
        sources = []
        for reads, writes in _groups_of(stage):
            sources.extend([frozenset().union(*self.sources[reads.start : reads.stop])] * len(writes))
        paths = [f"{_counted(path.filters, 'filter')}, {_counted(path.groups, 'group')}" for path in stage.paths]
        return _Column(
            "\n".join([title, *paths]),
            sources,
            list(range(len(sources))),
            paths=tuple(path.filters for path in stage.paths),
        )


def _counted(count, singular, plural=None):
    """A number with its noun."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def _groups_of(stage):
    """Pairs (channels read, filters written) of ranges, one for each group of each path."""
    start = 0
    for path in stage.paths:
        filters = path.filters // path.groups
        for group in range(path.groups):
            reads = range(group * path.channels_per_group, (group + 1) * path.channels_per_group)
            yield reads, range(start, start + filters)
            start += filters


def _columns_of(plan):
    """The columns of a plan from left to right, and what lies between them: a stage, an order, or "add"."""
    size = plan.channels_per_group
    own_group = [frozenset([channel // size]) for channel in range(plan.in_channels)]
    inputs = _Column("", own_group, list(range(plan.in_channels))).read_by(plan.first, "input")
    first = inputs.convolved(plan.first, "K")
    columns, links = [inputs, first], [plan.first]
    if plan.interleave_step > 1:
        links.append(interleaved_order(plan.filters, plan.interleave_step))
        columns.append(first.reordered(links[-1], f"interleaved\nstep {plan.interleave_step}"))
    if plan.second is None:
        return columns, links
    if plan.second.copied_channels:
        if plan.interleave_step == 1:
            links.append(list(range(plan.filters)))
            columns.append(first)
        columns[-1] = columns[-1].read_by(plan.second, columns[-1].title.partition("\n")[0])
    second = columns[-1].convolved(plan.second, "L")
    both = [one | other for one, other in zip(first.sources, second.sources, strict=True)]
    total = _Column("K + L", both, first.labels, paths=second.paths)
    return [*columns, second, total], [*links, plan.second, "add"]


def _draw_column(axes, x, column):
    """Boxes of the channels, striped in the colours of the groups they depend on."""
    for channel, (groups, label) in enumerate(zip(column.sources, column.labels, strict=True)):
        bottom = column.height(channel) - _BOX / 2
        colors = [_GROUP_COLORS[group % len(_GROUP_COLORS)] for group in sorted(groups)]
        for stripe, color in enumerate(colors):
            corner = (x - 0.5 + stripe / len(colors), bottom)
            axes.add_patch(patches.Rectangle(corner, 1 / len(colors), _BOX, facecolor=color, edgecolor="none"))
        line_style = ":" if channel >= len(column.labels) - column.copies else "-"
        axes.add_patch(patches.Rectangle((x - 0.5, bottom), 1, _BOX, fill=False, linestyle=line_style))
        text = axes.text(x, bottom + _BOX / 2, label, ha="center", va="center", fontsize=8)
        if len(colors) == 1:
            text.set_color(_text_color(colors[0]))
        else:
            text.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"})
    axes.text(x, 0.8, column.title, ha="center", va="bottom", fontsize=9)


def _draw_stage(axes, stage, left, right, before, after):
    """A grey shape for each group: from the channels it reads to the filters it computes."""
    for reads, writes in _groups_of(stage):
        corners = [
            (left, before.height(reads[0]) + _BOX / 2),
            (right, after.height(writes[0]) + _BOX / 2),
            (right, after.height(writes[-1]) - _BOX / 2),
            (left, before.height(reads[-1]) - _BOX / 2),
        ]
        axes.add_patch(patches.Polygon(corners, facecolor="#BBBBBB", edgecolor="black", linewidth=0.6, alpha=0.5))


def _draw_moves(axes, order, left, right, before, after):
    """Lines from where each channel was to where it goes, in its colour."""
    for target, source in enumerate(order):
        group = min(before.sources[source])
        heights = (before.height(source), after.height(target))
        axes.plot((left, right), heights, color=_GROUP_COLORS[group % len(_GROUP_COLORS)], linewidth=1.4)


def _draw_addition(axes, positions, columns):
    """A plus between L and the result (the last two columns), and the way of K (the second column) to it, below all."""
    first, second = columns[1], columns[-2]
    left, right = positions[-2] + 0.6, positions[-1] - 0.6
    x, y = (left + right) / 2, second.bottom / 2
    bottom = min(column.bottom for column in columns[1:-1]) - 1.4
    arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x - 0.35, y), (left, y), arrowprops=arrow)
    axes.annotate("", (right, y), (x + 0.35, y), arrowprops=arrow)
    axes.plot([positions[1], positions[1], x], [first.bottom - _BOX / 2, bottom, bottom], color="black", linewidth=1.2)
    axes.annotate("", (x, y - 0.75), (x, bottom), arrowprops=arrow)
    axes.text((positions[1] + x) / 2, bottom + 0.15, "K in its own order", ha="center", va="bottom", fontsize=8)
    axes.text(x, y, "+", ha="center", va="center", fontsize=12, bbox={"boxstyle": "circle", "facecolor": "white"})


@_in_style
def subnetwork(plan, title=None):
    """The channels of a parameter-efficient pointwise convolution, and what flows from which to which.

    Every channel is a box. Its colours say which groups of the input it depends on: one colour means that it has seen
    one group only. Grey shapes are the groups of a convolution, coloured lines show where interleaving moves a channel,
    boxes with a dotted edge are copies.

    Args:
        plan: `kgpc.grouping.Plan`; up to about 16 channels and 7 groups can be told apart.
        title: str or None.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns, links = _columns_of(plan)
    positions = [index * _COLUMN_DISTANCE for index in range(len(columns))]
    depth = -min(column.bottom for column in columns) + (2 if plan.second else 1)
    figure, axes = _new_figure(max(1.5 * len(columns), 4.5), 0.22 * depth + 1.1)
    axes.set_axis_off()
    axes.set_xlim(-1.6, positions[-1] + 1.6)
    axes.set_ylim(-depth, 3.0)
    for x, column in zip(positions, columns, strict=True):
        _draw_column(axes, x, column)
    for index, link in enumerate(links):
        left, right = positions[index] + 0.6, positions[index + 1] - 0.6
        before, after = columns[index], columns[index + 1]
        if isinstance(link, list):
            _draw_moves(axes, link, left, right, before, after)
        elif link == "add":
            _draw_addition(axes, positions, columns)
        else:
            _draw_stage(axes, link, left, right, before, after)
    axes.set_title(title or "")
    return figure
