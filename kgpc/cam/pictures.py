"""Pictures of maps: over one image, and a figure of many."""

import numbers

import cv2
import matplotlib
import numpy as np

from kgpc.arguments import boolean, positive_integer, received
from kgpc.cam.arguments import numeric_array


def as_picture(name, image):
    """An image as (height, width, 3) float32 in [0, 1]."""
    image = numeric_array(name, image, "uint8, or floating-point numbers in [0, 1]")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise ValueError(
            f"`{name}` must be of shape (height, width, 3), or grey: (height, width). "
            f"Received: {name} of shape {image.shape}."
        )
    if image.dtype == np.uint8:
        image = image / np.float32(255)
    elif image.dtype.kind != "f":
        raise TypeError(
            f"`{name}` must be uint8, or floating-point numbers in [0, 1]. Received: {name} of dtype {image.dtype}."
        )
    elif not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"`{name}` must be in [0, 1] where it is not uint8. Received: values from {image.min()} to {image.max()}."
        )
    return np.repeat(image, 3 // image.shape[-1], axis=-1).astype("float32")


def check_heat(name, heat, ndim):
    """A map, or with `ndim` 3 a batch of maps, as float32 in [0, 1]."""
    shape = "(map height, map width)" if ndim == 2 else "(n, map height, map width)"
    heat = numeric_array(name, heat, f"an array {shape} of floating-point numbers")
    if heat.ndim != ndim or not heat.size or heat.dtype.kind != "f":
        raise ValueError(
            f"`{name}` must be an array {shape} of floating-point numbers. "
            f"Received: {name} of shape {heat.shape}, dtype {heat.dtype}."
        )
    if not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"`{name}` must be in [0, 1]. Received: values from {heat.min()} to {heat.max()}.")
    return heat.astype("float32")


def overlay(image, heat, alpha=0.5, colormap="viridis", smooth=True):
    """A map in colours, enlarged to the size of its image, with the image over it.

    Args:
        image: uint8 array, or floating-point array in [0, 1], (height, width, 3); grey images may be (height, width).
        heat: floating-point array (map height, map width) in [0, 1], such as one of `class_activation_map`.
        alpha: float in [0, 1], how opaque the image is: 0 shows the map alone, 1 the image alone.
        colormap: str, name of a matplotlib colormap for values from 0 to 1.
        smooth: bool, whether values are interpolated between the positions of the map (cubic). False shows what the
            map holds: one square for each position.

    Returns:
        uint8 array (height, width, 3), RGB.

    Raises:
        TypeError: if `image` has another dtype, `alpha` is not a number, or `smooth` no bool.
        ValueError: if a shape, a value, `alpha` or `colormap` is not as described.

    Reference: Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """
    image, heat = as_picture("image", image), check_heat("heat", heat, ndim=2)
    check_colors(alpha, colormap)
    return blended(image, heat, alpha, colormap, boolean("smooth", smooth))


def check_colors(alpha, colormap):
    """Refuses an opacity that is none, and a colormap that Matplotlib does not know."""
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real):
        raise TypeError(f"`alpha` must be a number in [0, 1]. {received('alpha', alpha)}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be in [0, 1]. Received: alpha={alpha}.")
    if not isinstance(colormap, str) or colormap not in matplotlib.colormaps:
        raise ValueError(
            "`colormap` must be the name of a matplotlib colormap, such as 'viridis' or 'magma'. "
            f"{received('colormap', colormap)}"
        )


def blended(image, heat, alpha, colormap, smooth=True):
    """What `overlay` returns, of arguments that were checked."""
    height, width = image.shape[:2]
    if smooth:
        heat = cv2.resize(heat, dsize=(width, height), interpolation=cv2.INTER_CUBIC)
    else:
        # The position of the map that holds the middle of each pixel.
        rows, columns = (
            (2 * np.arange(size) + 1) * cells // (2 * size)
            for size, cells in zip((height, width), heat.shape, strict=True)
        )
        heat = heat[rows[:, None], columns]
    # Cubic interpolation overshoots the values it goes through.
    colors = matplotlib.colormaps[colormap](np.clip(heat, 0, 1))[..., :3].astype("float32")
    mixed = cv2.addWeighted(image, float(alpha), colors, 1 - float(alpha), 0)
    return np.rint(255 * mixed).astype("uint8")


def gallery(images, maps, titles=None, columns=4, alpha=0.5, colormap="viridis"):
    """Figure of a batch of images, each under its map as in `overlay`, with a colour scale.

    Args:
        images: batch of images as `overlay` takes them: (n, height, width, 3) uint8 or in [0, 1], or grey.
        maps: floating-point array (n, map height, map width) in [0, 1].
        titles: n texts, for example the class of each map, or None.
        columns: int >= 1, images in a row.
        alpha: float in [0, 1], how opaque the images are.
        colormap: str, name of a matplotlib colormap.

    Returns:
        `matplotlib.figure.Figure`. Its label (`figure.get_label()`) says in words what it shows and where each map is
        strongest: an alternative text for readers who cannot see it, for example
        `kgpc.plots.show(figure, alt=figure.get_label())`.

    Raises:
        TypeError: if `columns` is not an integer, or an argument of `overlay` has the wrong type.
        ValueError: if there are not as many maps or titles as images, or an argument of `overlay` is not as described.
    """
    import matplotlib.pyplot as plt

    maps = check_heat("maps", maps, ndim=3)
    try:
        count = len(images)
    except TypeError:
        raise TypeError(f"`images` must be a batch of images. {received('images', images)}") from None
    if count != len(maps):
        raise ValueError(f"`maps` must be one for each image. Received: {len(maps)} maps and {count} images.")
    titles = check_titles(titles, len(maps))
    columns = positive_integer("columns", columns)
    check_colors(alpha, colormap)
    pictures = [
        blended(as_picture("images", image), heat, alpha, colormap) for image, heat in zip(images, maps, strict=True)
    ]
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.9 * columns + 1, 2.1 * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize="medium")
    scale = matplotlib.cm.ScalarMappable(cmap=colormap)
    scale.set_clim(0, 1)
    figure.colorbar(scale, ax=grid, label="evidence\n(1: strongest in the image)", shrink=0.8)
    figure.set_label(in_words(titles, maps))
    return figure


def check_titles(titles, count):
    """A list of texts, one for each image."""
    if titles is None:
        return [""] * count
    listed = isinstance(titles, (list, tuple)) or hasattr(titles, "__array__") and np.ndim(titles) == 1
    if not listed or len(titles) != count:
        raise ValueError(f"`titles` must be one text for each of the {count} images. {received('titles', titles)}")
    return [str(title) for title in titles]


def in_words(titles, maps):
    """Alternative text of images and their maps."""
    sentences = [f"{len(maps)} images, each with a map of the evidence for a class in colours."]
    for number, (title, heat) in enumerate(zip(titles, maps, strict=True), start=1):
        title = " ".join((title or "").split())  # of several lines
        subject = f"Image {number}" + (f" ({title})" if title else "")
        sentences.append(f"{subject}: {strongest_place(heat)}.")
    return " ".join(sentences)


def strongest_place(heat):
    """Where a map is strongest, by thirds of its height and width."""
    if not heat.max():
        return "no evidence"
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    vertical = ("top", "middle", "bottom")[int(3 * (row + 0.5) / heat.shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * (column + 0.5) / heat.shape[1])]
    return f"strongest at the {vertical} {horizontal}"
