"""Images side by side, with titles."""

import math

import numpy as np

from kgpc.arguments import positive_integer, received, text
from kgpc.plots import arguments
from kgpc.plots.style import in_style, new_figure

_ROUNDING = 1e-5  # by which interpolation in single precision may leave [0, 1]


def _checked_image(name, picture):
    """The image as an array."""
    picture = np.asarray(picture) if not np.ma.isMaskedArray(picture) else picture
    if not isinstance(picture, np.ndarray) or picture.dtype.kind not in "uf" or np.ma.isMaskedArray(picture):
        raise TypeError(f"`{name}` must be an array of uint8 or of floating-point numbers. {received(name, picture)}")
    grey, colour = picture.ndim == 2, picture.ndim == 3 and picture.shape[-1] == 3
    if not (grey or colour) or not picture.size:
        raise ValueError(
            f"`{name}` must have the shape (height, width, 3), or (height, width) where it is grey. "
            f"Received: shape {picture.shape}."
        )
    if picture.dtype == np.uint8:
        return picture
    # NaN is outside as well: it is not at least 0.
    outside = picture[~((picture >= -_ROUNDING) & (picture <= 1 + _ROUNDING))]
    if picture.dtype.kind != "f" or outside.size:
        values = f" with {outside.flat[0]:g} among its values" if outside.size else ""
        raise ValueError(
            f"`{name}` must be uint8, or floating-point numbers in [0, 1]. Received: {picture.dtype}{values}."
        )
    return np.clip(picture, 0, 1)


@in_style
def images(pictures, titles=None, columns=4, title=None, width=7.5):
    """Shows images in rows, each with a title.

    Args:
        pictures: sequence or array of images: uint8, or floating-point numbers in [0, 1], (height, width, 3), or grey:
            (height, width).
        titles: sequence of str, one for each image, or None.
        columns: int >= 1, images in a row.
        title: str or None, title of the whole figure.
        width: float > 0, width of the figure in inches; it is at most 200 inches wide and high.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no image, one has another shape or values outside its range, `columns` is smaller than
            1, there is not one title for each image, or the figure becomes too high.
    """
    pictures = arguments.lists_of("pictures", pictures)
    if not pictures:
        raise ValueError("`pictures` must hold at least one image. Received: none.")
    pictures = [_checked_image(f"pictures[{index}]", picture) for index, picture in enumerate(pictures)]
    columns = min(positive_integer("columns", columns), len(pictures))
    arguments.labels(title)
    width = arguments.inches("width", width)
    if titles is not None:
        titles = arguments.lists_of("titles", titles, len(pictures))
        for index, one in enumerate(titles):
            text(f"titles[{index}]", one)
    rows = math.ceil(len(pictures) / columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    height = rows * (width / columns * tallest + (0.3 if titles else 0.05)) + (0.3 if title else 0)
    if height > arguments.MOST_INCHES:
        raise ValueError(
            f"`pictures` must fit into {arguments.MOST_INCHES:g} inches. Received: {rows} rows of images, up to "
            f"{tallest:.3g} times as high as wide: {height:.0f} inches."
        )
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
