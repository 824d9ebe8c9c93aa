"""Diagrams of networks: the layers of a block as boxes with arrows.

A block is written as Python lists: a list is drawn from top to bottom, a tuple of lists side by side, and an empty list
is a line that leads past the others. So `[([Box("3×3")], []), Box("+")]` is a convolution with a residual
connection around it.
"""

import dataclasses
import math

from matplotlib import patches

from kgpc.arguments import boolean, mapping, number, received, text
from kgpc.plots import arguments
from kgpc.plots.style import COLORS, LAYER_COLORS, in_style, new_figure, text_color

_LINE = 0.17  # height of a line of text, inches
CHARACTER, _TITLE_CHARACTER = 0.073, 0.083  # mean widths of a character, inches
_MARGIN = 0.11  # between the text and the edge of its box, inches
_GAP = 0.21  # between boxes, for an arrow, inches
_CIRCLE = 0.28  # diameter of a circle, inches
FONT_SIZE = 9.0
_DEEPEST = 8  # branches within branches
WIDEST = 8.6  # inches, of a page; a network that is wider by itself is drawn smaller, with smaller letters
_BETWEEN_ROWS = 0.3  # inches, where the networks need more than one row
_ARROW = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
_WIRE = {"color": "black", "linewidth": 1.1, "solid_capstyle": "butt", "solid_joinstyle": "miter"}


@dataclasses.dataclass(frozen=True)
class Box:
    """One box of a `block_diagram`.

    Attributes:
        text: str, what is written into it; "+" and "×" are drawn as circles.
        kind: str, a key of `LAYER_COLORS` for its colour; "" is white.
        changed: bool, whether its edge is emphasized: something that one of the networks does differently.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if `text` is empty, or `kind` is unknown.
    """

    text: str
    kind: str = ""
    changed: bool = False

    def __post_init__(self):
        text("text", self.text, empty=False)
        arguments.kind("kind", self.kind)
        boolean("changed", self.changed)


@dataclasses.dataclass
class _Area:
    """What a part of a diagram occupies: to the left and right of the line on which data flow, and in height."""

    left: float
    right: float
    height: float


def _lines(box):
    return box.text.split("\n")


def _is_operator(box):
    return box.text in ("+", "×")


def _area_of_box(box):
    if _is_operator(box):
        return _Area(_CIRCLE / 2, _CIRCLE / 2, _CIRCLE)
    half = max(len(line) for line in _lines(box)) * CHARACTER / 2 + _MARGIN
    return _Area(half, half, len(_lines(box)) * _LINE + 1.4 * _MARGIN)


def _has_line(branches):
    """Whether a branch is a mere line; then data flow straight on along the first branch."""
    return any(not branch for branch in branches)


def _branch_positions(branches, beside):
    """Where the branches flow, relative to the line on which data enter, and the area they occupy.

    `beside` is how far the boxes above and below reach to the right.
    """
    areas = [_area_of(branch) for branch in branches]
    positions, right = [], 0.0
    for index, area in enumerate(areas):
        if index == 0:
            positions.append(0.0)
            right = area.right
            continue
        # Wires that lead back to the main line must pass the boxes on it.
        right = max(right, beside) if _has_line(branches) else right
        positions.append(right + (_GAP if _has_line(branches) else 0.12) + area.left)
        right = positions[-1] + area.right
    shift = 0.0 if _has_line(branches) else -(positions[-1] + areas[-1].right - areas[0].left) / 2
    positions = [position + shift for position in positions]
    # Room for the wires that fan out above and come together below.
    height = max(area.height for area in areas) + 2 * _GAP
    return positions, _Area(areas[0].left - positions[0], positions[-1] + areas[-1].right, height)


def _column_reach(items):
    """How far the boxes on the line itself reach to either side, other than circles."""
    return max((_area_of_box(item).right for item in items if isinstance(item, Box)), default=0.0)


def _area_of(items):
    """The area of a sequence of boxes and branches."""
    if not items:
        return _Area(0.0, 0.0, 0.0)
    left = right = height = 0.0
    for item in items:
        area = _area_of_box(item) if isinstance(item, Box) else _branch_positions(item, _column_reach(items))[1]
        left, right, height = max(left, area.left), max(right, area.right), height + area.height
    return _Area(left, right, height + _GAP * (len(items) - 1))


def _draw_box(axes, x, top, box, half):
    """Draws a box below `top`, and returns where it ends."""
    area = _area_of_box(box)
    color = LAYER_COLORS.get(box.kind, "#FFFFFF")
    edge = {"edgecolor": COLORS["vermillion"], "linewidth": 2.4} if box.changed else {"edgecolor": "black"}
    middle = top - area.height / 2
    if _is_operator(box):
        axes.add_patch(patches.Circle((x, middle), _CIRCLE / 2, facecolor=color, **edge))
    else:
        corner = (x - half, top - area.height)
        axes.add_patch(patches.Rectangle(corner, 2 * half, area.height, facecolor=color, **edge))
    axes.text(
        x,
        middle,
        box.text,
        ha="center",
        va="center_baseline",
        fontsize=FONT_SIZE,
        color=text_color(color),
        linespacing=1.15,
    )
    return top - area.height


def _arrow(axes, x, start, end):
    axes.annotate("", (x, end), (x, start), arrowprops=_ARROW)


def _draw_branches(axes, x, top, branches, beside, target):
    """Draws branches below `top` and their wires to `target`, the top of the next box; returns where they end.

    With a mere line among them, the others lead into the side of the next box, whose middle and half width are
    `target`; without, all lead into its top.
    """
    positions, area = _branch_positions(branches, beside)
    bottom = top - area.height
    for position, branch in zip(positions, branches, strict=True):
        place = x + position
        height = _area_of(branch).height
        straight = position == 0 and _has_line(branches)
        if not straight:
            axes.plot([x, place, place], [top, top, top - _GAP / 2], **_WIRE)
        if branch:
            first = top - (area.height - height) / 2
            _arrow(axes, place, top - (0 if straight else _GAP / 2), first)
            last = _draw_sequence(axes, place, first, branch)
        else:
            last = top
        if straight:
            axes.plot([place, place], [last, bottom], **_WIRE)
        elif _has_line(branches):
            middle, half = target
            axes.plot([place, place], [last, middle], **_WIRE)
            axes.annotate("", (x + half, middle), (place, middle), arrowprops=_ARROW)
        else:
            axes.plot([place, place, x], [last, bottom, bottom], **_WIRE)
    return bottom


def _draw_sequence(axes, x, top, items):
    """Draws boxes and branches below `top`, and returns where the last one ends."""
    half = _column_reach(items)
    for index, item in enumerate(items):
        if index:
            _arrow(axes, x, top, top - _GAP) if isinstance(item, Box) else axes.plot([x, x], [top, top - _GAP], **_WIRE)
            top -= _GAP
        if isinstance(item, Box):
            top = _draw_box(axes, x, top, item, half)
            continue
        following = items[index + 1]
        area = _area_of_box(following)
        height = _branch_positions(item, half)[1].height
        target = (top - height - _GAP - area.height / 2, area.right if _is_operator(following) else half)
        top = _draw_branches(axes, x, top, item, half, target)
    return top


def _check_layers(place, items, depth=1):
    """Checks a list of boxes and branches; `place` says where it is in `networks`."""
    if not isinstance(items, list):
        raise TypeError(f"`{place}` must be a list of `Box` and of tuples of such lists. {received(place, items)}")
    if depth > _DEEPEST:
        raise ValueError(f"`networks` must not have branches within branches more than {_DEEPEST} deep.")
    for index, item in enumerate(items):
        if isinstance(item, Box):
            continue
        if not isinstance(item, tuple) or not item:
            raise TypeError(f"`{place}` must hold `Box` and tuples of lists. {received(f'{place}[{index}]', item)}")
        for position, branch in enumerate(item):
            _check_layers(f"{place}[{index}][{position}]", branch, depth + 1)
        following = items[index + 1] if index + 1 < len(items) else None
        if not isinstance(following, Box):
            raise ValueError(
                f"`{place}` must have a `Box` after branches, in which they meet. "
                f"Received: {following!r} after {place}[{index}]."
            )


def _rows_of(widths, gap):
    """The names of networks in rows, each as wide as a page at most."""
    rows, used = [], math.inf
    for name, width in widths.items():
        if used + gap + width > WIDEST - 0.1:
            rows.append([])
            used = -gap
        rows[-1].append(name)
        used += gap + width
    return rows


def _draw_network(axes, start, above, name, items, area, width, header):
    """Draws a network and its title into a column that begins at `start` and is `width` wide, below `above`."""
    x = start + area.left + (width - area.left - area.right) / 2
    # Above the line of the data, unless it would then leave its column.
    half = max(len(line) for line in name.split("\n")) * _TITLE_CHARACTER / 2
    center = min(max(x, start + half), start + width - half)
    title = {"ha": "center", "va": "center", "fontsize": FONT_SIZE, "fontweight": "bold"}
    axes.text(center, above - header / 2 + 0.05, name, **title)
    top = above - header
    _arrow(axes, x, top + 0.12, top - 0.12)
    bottom = _draw_sequence(axes, x, top - 0.12, items)
    _arrow(axes, x, bottom, bottom - _GAP)


@in_style
def block_diagram(networks, title=None, gap=0.5):
    """The layers of blocks as boxes from top to bottom, joined by arrows, the networks side by side.

    Networks that do not fit beside each other stand below each other, so that their letters keep their size.

    Args:
        networks: dict from the title of a network to its layers: a list of `Box` and, for branches, tuples of such
            lists. The branches of a tuple lie side by side and meet in the `Box` after it. An empty list is a mere
            line: a residual connection is `([...], [])`, a squeeze-and-excite branch `([], [...])`; data then flow
            straight on along the first branch, and the others come back from the side.
        title: str or None.
        gap: float >= 0, distance between networks in inches.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no network, one has no layers, no `Box` follows branches, or `gap` is negative.
    """
    arguments.labels(title)
    gap = number("gap", gap, smallest=0, largest=arguments.MOST_INCHES)
    mapping("networks", networks, "lists of layers")
    for name, items in networks.items():
        _check_layers(f"networks[{name!r}]", items)
        if not items:
            raise ValueError(f"`networks[{name!r}]` must hold at least one `Box`. Received: [].")
    areas = {name: _area_of(items) for name, items in networks.items()}
    header = 0.3 + _LINE * max(name.count("\n") + 1 for name in networks)
    titles = [max(len(line) for line in name.split("\n")) * _TITLE_CHARACTER for name in networks]
    widths = {
        name: max(areas[name].left + areas[name].right, width) for name, width in zip(networks, titles, strict=True)
    }
    rows = _rows_of(widths, gap)
    width = max(sum(widths[name] for name in row) + gap * (len(row) - 1) for row in rows) + 0.1
    heights = [header + max(areas[name].height for name in row) + 2 * _GAP for row in rows]
    height = sum(heights) + _BETWEEN_ROWS * (len(rows) - 1)
    scale = min(1.0, WIDEST / width)
    if height * scale > arguments.MOST_INCHES:
        raise ValueError(
            f"`networks` must fit into {arguments.MOST_INCHES:g} inches. Received: {height * scale:.0f} inches."
        )
    figure, axes = new_figure(width * scale, height * scale + (0.3 if title else 0))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(-height, 0), aspect="equal")
    above = 0.0
    for row, row_height in zip(rows, heights, strict=True):
        start = 0.05
        for name in row:
            _draw_network(axes, start, above, name, networks[name], areas[name], widths[name], header)
            start += widths[name] + gap
        above -= row_height + _BETWEEN_ROWS
    for written in axes.texts:
        written.set_fontsize(written.get_fontsize() * scale)
    axes.set_title(title or "")
    return figure
