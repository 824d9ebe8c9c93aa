"""Matrices as pictures."""

import numpy as np

from kgpc.arguments import boolean, mapping, positive_integer, received
from kgpc.plots import arguments
from kgpc.plots.style import GREY, in_style, new_figure


@in_style
def matrices(panels, xlabel, ylabel, colorbar, title=None, signed=False, blocks=None):
    """Matrices side by side as pictures, in one colour scale.

    Args:
        panels: dict from the title of a panel to a 2D array of finite numbers; at most 16.
        xlabel: str, what the columns are.
        ylabel: str, what the rows are.
        colorbar: str, what the colours are, with the unit.
        title: str or None.
        signed: bool, whether values have a sign: white is then 0, one colour negative and one positive. Otherwise white
            is 0 and blue is the largest value, and no value may be negative.
        blocks: tuple (rows, columns) or None, distance of thin lines that mark blocks.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no panel, one is not a 2D array of finite numbers, values are negative without
            `signed`, or `blocks` are no sizes.
    """
    signed = boolean("signed", signed)
    arguments.labels(title, xlabel=xlabel, ylabel=ylabel, colorbar=colorbar)
    mapping("panels", panels, "2D arrays", largest=16)
    panels = {name: arguments.array(f"panels[{name!r}]", matrix, (2,)) for name, matrix in panels.items()}
    for name, matrix in panels.items():
        if not signed and matrix.min() < 0:
            raise ValueError(
                f"`panels` must hold no negative numbers unless signed=True. "
                f"Received: {matrix.min():g} in panels[{name!r}]."
            )
    if blocks is not None:
        if not isinstance(blocks, tuple | list) or len(blocks) != 2:
            raise TypeError(
                f"`blocks` must be a pair of integers (rows, columns) or None. {received('blocks', blocks)}"
            )
        blocks = [positive_integer("blocks", size) for size in blocks]
    height = 6.5 / max(len(panels), 2) + 0.9
    figure, all_axes = new_figure(7.5, height, len(panels), sharey=True, squeeze=False, layout="compressed")
    largest = max(np.abs(matrix).max() for matrix in panels.values()) or 1.0
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
