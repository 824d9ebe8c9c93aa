"""Matrices as pictures."""

import numpy as np

from kgpc.plots.style import GREY, in_style, new_figure


@in_style
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
    figure, all_axes = new_figure(7.5, height, len(panels), sharey=True, squeeze=False, layout="compressed")
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
