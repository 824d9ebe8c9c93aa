"""The sub-network that takes the place of a pointwise convolution, drawn channel by channel."""

import dataclasses

import numpy as np
from matplotlib import patches

from kgpc.arguments import received
from kgpc.grouping import Plan, interleaved_order
from kgpc.plots import arguments
from kgpc.plots.style import COLORS, in_style, new_figure, text_color

# Colours of the groups in `subnetwork`; black is kept for lines.
_GROUP_COLORS = [color for name, color in COLORS.items() if name != "black"]
_BOX = 0.8  # height of the box of a channel; channels are 1 apart
_UNIT = 0.39, 0.22  # inches, from left to right and from top to bottom
_STRIPE, _NARROWEST = 0.3, 1.2  # width that a letter needs, and of the narrowest box
_NUMBER, _BETWEEN = 0.85, 2.1  # width of the numbers beside the boxes, and of what lies between columns
_WIDEST_BOX = 3.6  # with more groups than letters that fit, stripes have colours only
_FONT_SIZE = 9
_MOST_CHANNELS = 256  # every one is a box, and lines from and to it


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


def columns_of(plan):
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


def _letter(group):
    """The name of a group of the input: A ... Z, and numbers from 27 on."""
    return chr(ord("A") + group) if group < 26 else str(group + 1)


def _draw_column(axes, x, width, column):
    """Boxes of the channels, striped in the colours and letters of the groups they depend on; numbers beside them."""
    for channel, (groups, label) in enumerate(zip(column.sources, column.labels, strict=True)):
        middle, left = column.height(channel), x - width / 2
        stripe = width / len(groups)
        for place, group in enumerate(sorted(groups)):
            color, start = _GROUP_COLORS[group % len(_GROUP_COLORS)], left + place * stripe
            axes.add_patch(
                patches.Rectangle((start, middle - _BOX / 2), stripe, _BOX, facecolor=color, edgecolor="none")
            )
            if stripe >= 0.9 * _STRIPE:
                style = {"ha": "center", "va": "center_baseline", "fontsize": _FONT_SIZE, "color": text_color(color)}
                axes.text(start + stripe / 2, middle, _letter(group), **style)
        line_style = ":" if channel >= len(column.labels) - column.copies else "-"
        corner = (left, middle - _BOX / 2)
        axes.add_patch(patches.Rectangle(corner, width, _BOX, fill=False, linestyle=line_style))
        axes.text(left - 0.12, middle, label, ha="right", va="center_baseline", fontsize=_FONT_SIZE)
    axes.text(x, 0.8, column.title, ha="center", va="bottom", fontsize=_FONT_SIZE)


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


def _draw_addition(axes, edges, columns):
    """A plus between L and the result (the last two columns), and the way of K (the second column) to it, below all.

    `edges` are where each column begins, with its numbers, and where it ends.
    """
    first, second = columns[1], columns[-2]
    left, right = edges[-2][1] + 0.1, edges[-1][0]
    start = edges[1][1] - _NARROWEST / 2
    x, y = (left + right) / 2, second.bottom / 2
    bottom = min(column.bottom for column in columns[1:-1]) - 1.4
    arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x - 0.35, y), (left, y), arrowprops=arrow)
    axes.annotate("", (right, y), (x + 0.35, y), arrowprops=arrow)
    axes.plot([start, start, x], [first.bottom - _BOX / 2, bottom, bottom], color="black", linewidth=1.2)
    axes.annotate("", (x, y - 0.75), (x, bottom), arrowprops=arrow)
    text = {"ha": "center", "va": "bottom", "fontsize": _FONT_SIZE}
    axes.text((start + x) / 2, bottom + 0.15, "K in its own order", **text)
    axes.text(x, y, "+", ha="center", va="center", fontsize=12, bbox={"boxstyle": "circle", "facecolor": "white"})


@in_style
def subnetwork(plan, title=None):
    """The channels of a parameter-efficient pointwise convolution, and what flows from which to which.

    Every channel is a box with its number at the left. Its letters and colours say which groups of the input it depends
    on: one letter means that it has seen one group only. Grey shapes are the groups of a convolution, coloured lines
    show where interleaving moves a channel, boxes with a dotted edge are copies.

    Args:
        plan: `kgpc.grouping.Plan`; up to about 16 channels and 7 groups can be told apart.
        title: str or None.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if `plan` is not a `Plan`, or `title` not a str.
        ValueError: if the plan has more than 256 input channels or filters.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"`plan` must be a `kgpc.grouping.Plan`, such as D6(4).plan(16, 16). {received('plan', plan)}")
    if max(plan.in_channels, plan.filters) > _MOST_CHANNELS:
        raise ValueError(
            f"`plan` must have at most {_MOST_CHANNELS} input channels and filters to be drawn. "
            f"Received: {plan.in_channels} input channels, {plan.filters} filters."
        )
    arguments.labels(title)
    columns, links = columns_of(plan)
    width = max(_NARROWEST, _STRIPE * max(len(groups) for column in columns for groups in column.sources))
    width = min(width, _WIDEST_BOX)
    positions = [_NUMBER + width / 2 + index * (width + _NUMBER + _BETWEEN) for index in range(len(columns))]
    edges = [(x - width / 2 - _NUMBER, x + width / 2) for x in positions]
    depth = -min(column.bottom for column in columns) + (2 if plan.second else 1)
    # The words above the first and the last column are wider than the columns.
    beside = 1.0
    span = edges[-1][1] + 2 * beside
    figure, axes = new_figure(max(_UNIT[0] * span, 4.5), _UNIT[1] * depth + 1.1)
    axes.set_axis_off()
    axes.set_xlim(-beside, edges[-1][1] + beside)
    axes.set_ylim(-depth, 3.0)
    for x, column in zip(positions, columns, strict=True):
        _draw_column(axes, x, width, column)
    for index, link in enumerate(links):
        left, right = edges[index][1] + 0.1, edges[index + 1][0]
        before, after = columns[index], columns[index + 1]
        if isinstance(link, list):
            _draw_moves(axes, link, left, right, before, after)
        elif link == "add":
            _draw_addition(axes, edges, columns)
        else:
            _draw_stage(axes, link, left, right, before, after)
    axes.set_title(title or "")
    return figure
