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
_COLUMN_DISTANCE = 4.0
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
            text.set_color(text_color(colors[0]))
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


@in_style
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
    positions = [index * _COLUMN_DISTANCE for index in range(len(columns))]
    depth = -min(column.bottom for column in columns) + (2 if plan.second else 1)
    figure, axes = new_figure(max(1.5 * len(columns), 4.5), 0.22 * depth + 1.1)
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
