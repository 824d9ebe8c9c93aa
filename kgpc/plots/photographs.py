"""Images side by side, with titles."""

import math
import numbers

import numpy as np

from kgpc.plots.style import in_style, new_figure


@in_style
def images(pictures, titles=None, columns=4, title=None, width=7.5):
    """Shows images in rows, each with a title.

    Args:
        pictures: sequence of images: uint8, or floating-point numbers in [0, 1], (height, width, 3), or grey:
            (height, width).
        titles: sequence of str, one for each image, or None.
        columns: int >= 1, images in a row.
        title: str or None, title of the whole figure.
        width: float, width of the figure in inches.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is no image, `columns` is smaller than 1, or there is not one title for each image.
    """
    pictures = [np.asarray(picture) for picture in pictures]
    if not pictures:
        raise ValueError("`pictures` must hold at least one image. Received: none.")
    if isinstance(columns, bool) or not isinstance(columns, numbers.Integral) or columns < 1:
        raise ValueError(f"`columns` must be an integer of at least 1. Received: columns={columns!r}.")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"`titles` must be one text for each of the {len(pictures)} images. Received: {len(titles)}.")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    height = rows * (width / columns * tallest + (0.3 if titles else 0.05)) + (0.3 if title else 0)
    figure, grid = new_figure(width, height, columns, rows, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for position, (axes, picture) in enumerate(zip(grid.flat, pictures, strict=False)):
        whole = 255 if picture.dtype == np.uint8 else 1
        grey = {"cmap": "gray", "vmin": 0, "vmax": whole} if picture.ndim == 2 else {}
        axes.imshow(picture, interpolation="nearest", **grey)
        if titles is not None:
            axes.set_title(titles[position], fontsize=9, fontweight="normal", loc="center")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize="medium")
    return figure
