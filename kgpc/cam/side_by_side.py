"""Each image beside its maps, whose cells are drawn: what a reader needs to judge a map."""

import math

import matplotlib
import numpy as np

from kgpc.arguments import boolean, mapping, number, positive_integer, received
from kgpc.cam.pictures import as_picture, blended, check_colors, check_heat, check_titles, in_words

_MOST_LINES = 24  # between cells, in a row: more would hide what is between them
_MOST_INCHES = 200.0  # of a figure's height
_FONT = 9  # points


def beside(images, maps, titles=None, columns=1, alpha=0.35, colormap="viridis", cells=True, width=7.5):
    """Figure of a batch of images, each beside its map or maps.

    A map is drawn as it is: one square for each of its positions, with thin lines between them, over the image. Beside
    it, the image shows what lies there.

    Args:
        images: batch of images as `overlay` takes them: (n, height, width, 3) uint8 or in [0, 1], or grey.
        maps: floating-point array (n, map height, map width) in [0, 1]; or a dict from names, which are written below,
            to such arrays, for example one for each method.
        titles: n texts, or None. `ClassScores.titles` makes them: "cat: logit 3.1, 92%".
        columns: int >= 1, images with their maps in a row.
        alpha: float in [0, 1], how opaque the image over a map is.
        colormap: str, name of a matplotlib colormap for values from 0 to 1.
        cells: bool, whether the positions of a map are drawn as squares. False interpolates between them, as `overlay`
            does by default.
        width: float > 0, width of the figure in inches; it is at most 200 inches wide and high.

    Returns:
        `matplotlib.figure.Figure`. Its label (`figure.get_label()`) says in words what it shows and where each map is
        strongest: an alternative text for readers who cannot see it.

    Raises:
        TypeError: if `columns` is not an integer, `cells` no bool, or an argument of `overlay` has the wrong type.
        ValueError: if there are not as many maps or titles as images, there are no maps, the figure becomes too high,
            or an argument of `overlay` is not as described.
    """
    import matplotlib.pyplot as plt

    named = mapping("maps", maps, "arrays of maps") if isinstance(maps, dict) else {"": maps}
    named = {name: check_heat(f"maps[{name!r}]" if name else "maps", heats, ndim=3) for name, heats in named.items()}
    try:
        count = len(images)
    except TypeError:
        raise TypeError(f"`images` must be a batch of images. {received('images', images)}") from None
    for heats in named.values():
        if len(heats) != count:
            raise ValueError(f"`maps` must be one for each image. Received: {len(heats)} maps and {count} images.")
    texts = check_titles(titles, count)
    columns, cells = min(positive_integer("columns", columns), count), boolean("cells", cells)
    width = number("width", width, above=0, largest=_MOST_INCHES)
    check_colors(alpha, colormap)
    pictures = [as_picture("images", image) for image in images]
    rows, panels = math.ceil(count / columns), 1 + len(named)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    inches = rows * (width / (columns * (panels + 0.1)) * tallest + 0.17 * lines + (0.25 if "" not in named else 0.1))
    if inches > _MOST_INCHES - 1:
        raise ValueError(
            f"`images` must fit into {_MOST_INCHES:g} inches. Received: {rows} rows, {inches:.0f} inches high."
        )
    figure = plt.figure(figsize=(width, inches + 0.7), layout="constrained")
    ratios = ([1] * panels + [0.12]) * columns
    grid = figure.add_gridspec(rows, len(ratios) - 1, width_ratios=ratios[:-1])
    shown = []
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        row, first = index // columns, index % columns * (panels + 1)
        axes = [figure.add_subplot(grid[row, first + panel]) for panel in range(panels)]
        axes[0].imshow(picture, interpolation="nearest")
        axes[0].set_title(text, fontsize=_FONT, loc="left")
        for one, (name, heats) in zip(axes[1:], named.items(), strict=True):
            one.imshow(blended(picture, heats[index], alpha, colormap, smooth=not cells), interpolation="nearest")
            if cells:
                _draw_lines(one, picture.shape[:2], heats[index].shape)
            one.set_xlabel(name, fontsize=_FONT)
        for one in axes:
            one.set(xticks=[], yticks=[])
            one.spines[:].set_visible(False)
        shown += axes
    scale = matplotlib.cm.ScalarMappable(cmap=colormap)
    scale.set_clim(0, 1)
    bar = figure.colorbar(scale, ax=shown, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.ax.tick_params(labelsize=_FONT)
    bar.set_label("evidence (1: strongest of its map)", fontsize=_FONT)
    figure.set_label(" ".join(in_words(_of_method(texts, name), heats) for name, heats in named.items()))
    return figure


def _of_method(texts, name):
    return [", ".join(part for part in (text, name) if part) for text in texts]


def _draw_lines(axes, size, shape):
    """Lines between the cells of a map; pixels have their middles at whole numbers."""
    options = {"colors": "white", "linewidth": 0.4, "alpha": 0.5}
    height, width = size
    rows, columns = shape
    if rows <= _MOST_LINES:
        axes.hlines(np.arange(1, rows) * height / rows - 0.5, -0.5, width - 0.5, **options)
    if columns <= _MOST_LINES:
        axes.vlines(np.arange(1, columns) * width / columns - 0.5, -0.5, height - 0.5, **options)
