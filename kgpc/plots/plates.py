"""A network as the plates of its feature maps, from the image to the classes."""

import numpy as np
from matplotlib import patches

from kgpc.plots import arguments
from kgpc.plots.diagrams import CHARACTER, FONT_SIZE, WIDEST
from kgpc.plots.style import LAYER_COLORS, in_style, new_figure


@in_style
def feature_maps(frame, title=None):
    """A network as a row of its feature maps, from the image to the classes: how they shrink and how channels grow.

    A plate is as high as the maps (on a scale that keeps small ones visible) and as thick as their channels are many.

    Args:
        frame: `pandas.DataFrame`, one row per plate with the columns `label` (str, written above), `size` (int, height
            and width of the maps in pixels), `channels` (int), and `kind` (str, key of `LAYER_COLORS`, or "").
        title: str or None.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if `frame` is empty or lacks a column, a number is smaller than 1, or a kind is unknown.
    """
    arguments.frame("frame", frame, ("label", "size", "channels", "kind"))
    arguments.labels(title)
    arguments.texts("frame", frame, "label")
    for name in ("size", "channels"):
        arguments.counts("frame", frame, name)
    for value in frame["kind"]:
        arguments.kind("frame['kind']", value)
    heights = 1.5 * (frame["size"].to_numpy(float) / frame["size"].max()) ** 0.55
    depths = 0.06 + 0.5 * (frame["channels"].to_numpy(float) / frame["channels"].max()) ** 0.6
    slants = 0.38 * heights
    below = [f"{row.size}\n×{row.size}\n×{row.channels:,}" for row in frame.itertuples()]
    letters = [
        max(len(line) for text in pair for line in text.split("\n")) for pair in zip(frame["label"], below, strict=True)
    ]
    distance = np.maximum(depths + slants * 0.7 + 0.1, np.array(letters) * CHARACTER + 0.1)
    ends = np.cumsum(distance)
    scale = min(WIDEST / ends[-1], 1.0)
    figure, axes = new_figure(ends[-1] * scale + 0.1, 2.95 if title else 2.65)
    axes.set_axis_off()
    middle = 0.0
    for index, row in enumerate(frame.itertuples(index=False)):
        depth, height, slant = depths[index] * scale, heights[index], slants[index]
        bottom, over, up = middle - height / 2 - slant * 0.2, slant * 0.7 * scale, slant * 0.45
        left = (ends[index] - distance[index] / 2) * scale - (depth + over) / 2
        color = LAYER_COLORS.get(row.kind, "#FFFFFF")
        faces = (
            [(0, 0), (depth, 0), (depth, height), (0, height)],
            [(0, height), (depth, height), (depth + over, height + up), (over, height + up)],
            [(depth, 0), (depth + over, up), (depth + over, height + up), (depth, height)],
        )
        for face, shade in zip(faces, (1.0, 0.75, 0.5), strict=True):
            points = [(left + x, bottom + y) for x, y in face]
            axes.add_patch(patches.Polygon(points, facecolor="white", edgecolor="none"))
            axes.add_patch(patches.Polygon(points, facecolor=color, alpha=shade, edgecolor="none"))
            axes.add_patch(patches.Polygon(points, fill=False, edgecolor="black", linewidth=0.7, joinstyle="round"))
        center = left + (depth + over) / 2
        axes.text(center, 1.08, row.label, ha="center", va="bottom", fontsize=FONT_SIZE, linespacing=1.05)
        axes.text(center, -1.0, below[index], ha="center", va="top", fontsize=FONT_SIZE)
    axes.set(xlim=(-0.05, ends[-1] * scale + 0.05), ylim=(-1.5, 1.4), aspect="equal")
    axes.set_title(title or "")
    return figure
