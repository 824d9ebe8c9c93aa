"""How a figure is stored: a drawing as SVG, which is sharp at any size, photographs as JPEG, and the rest as a PNG."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from kgpc.arguments import received, shown
from kgpc.plots import drawings
from kgpc.plots.pixels import SHARE_OF_A_PNG, jpeg

# Photographs take ten times the bytes of a drawing, and need no sharper lines than a screen has.
_PIXELS_PER_INCH, _PIXELS_PER_INCH_OF_PHOTOGRAPHS = 150, 110
_CSS_PIXELS_PER_INCH = 96
# A drawing of more characters is stored as pixels, unless it is not larger than those; of pictures the site makes less.
_CHARACTERS_OF_A_DRAWING, _MOST_TIMES_PICTURES = 60_000, 2.5
# Beside a drawing, for what shows no SVG: JupyterLab until a notebook is trusted, and LaTeX.
_PIXELS_PER_INCH_BESIDE, _COLORS_BESIDE = 110, 32
_LEAST_DISTANCE = 10  # of 255, between two colours of a drawing, in red, green or blue


def check(figure, alt):
    """Checks that a figure can be encoded.

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str.
    """
    if not isinstance(figure, Figure):
        raise TypeError(f"`figure` must be a `matplotlib.figure.Figure`. {received('figure', figure)}")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"`alt` must describe the figure in words. Received: alt={shown(alt)}.")


def _png(figure, colors, density):
    """A figure as the bytes of a PNG, and its width in pixels on a page."""
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=density, bbox_inches="tight")
    image = Image.open(drawn).convert("RGB")
    if colors:
        # Few colours are enough for a drawing, at a third of the size; photographs and colour scales need more.
        image = image.quantize(palette=_palette(image, colors), dither=Image.Dither.NONE)
    image.save(stored, format="png", optimize=True)
    # More pixels than the page needs, so that the lines stay sharp on dense screens and in print.
    return stored.getvalue(), round(image.width * _CSS_PIXELS_PER_INCH / density)


def _palette(image, colors):
    """The most frequent colours of an image, each different from those before it, as an image with a palette.

    Pillow's own choice gives most places to the greys at the edges of letters: curves of different colours become one,
    and pale areas white.
    """
    counted = sorted(image.getcolors(image.width * image.height), reverse=True)
    found = np.array([color for _, color in counted], dtype=int)
    chosen, apart = [], np.full(len(found), np.inf)
    while len(chosen) < colors and (apart > _LEAST_DISTANCE).any():
        chosen.append(found[np.argmax(apart > _LEAST_DISTANCE)])
        apart = np.minimum(apart, np.abs(found - chosen[-1]).max(axis=1))
    palette = Image.new("P", (1, 1))
    # Places that are left over would be black.
    palette.putpalette(np.concatenate(chosen + chosen[-1:] * (256 - len(chosen))).astype("uint8").tobytes())
    return palette


def _has_pictures(figure):
    return any(axes.images for axes in figure.axes)


def _has_photographs(figure):
    """Whether pictures have colours of their own, instead of numbers that a colour scale translates."""
    return any(np.ndim(image.get_array()) == 3 for axes in figure.axes for image in axes.images)


def _pixels(figure):
    """A figure with pictures in it: the media type, the bytes, and the width on a page."""
    picture, width = _png(figure, None, _PIXELS_PER_INCH_OF_PHOTOGRAPHS)
    if _has_photographs(figure):
        with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
            smaller = jpeg(image)
        if len(smaller) < SHARE_OF_A_PNG * len(picture):
            return "image/jpeg", smaller, width
    return "image/png", picture, width


def encoded_png(figure, alt, colors=256):
    """Returns a figure as PNG in base64, and the width in pixels that it has on a page; closes the figure.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it.
        colors: int, most colours of a drawing; photographs and colour scales keep all.

    Returns:
        tuple of str and int.

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str.
    """
    check(figure, alt)
    pictures = _has_pictures(figure)
    density = _PIXELS_PER_INCH_OF_PHOTOGRAPHS if pictures else _PIXELS_PER_INCH
    picture, width = _png(figure, None if pictures else colors, density)
    plt.close(figure)
    return base64.b64encode(picture).decode("ascii"), width


def encoded(figure, alt):
    """Returns a figure as an output of a notebook stores it; closes the figure.

    A figure is stored as SVG with the pictures that it has in it, and, for what shows none, as pixels beside it: a PNG
    with few colours, photographs as a JPEG where that is less than half as large. A figure of so many points that its
    SVG would be large, and larger than its pixels, is stored as pixels only.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it.

    Returns:
        tuple of two dicts: from a media type to the content, str, and from a media type to what is said about it, a
        dict with `alt` and the `width` on a page in pixels.

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str.
    """
    check(figure, alt)
    pictures = _has_pictures(figure)
    try:
        if pictures:
            kind, picture, width = _pixels(figure)
            beside = picture
        else:
            kind = "image/png"
            picture, width = _png(figure, 256, _PIXELS_PER_INCH)
            beside, _ = _png(figure, _COLORS_BESIDE, _PIXELS_PER_INCH_BESIDE)
        drawing = drawings.svg(figure, alt)  # last, because it changes the figure
    finally:
        plt.close(figure)
    content = base64.b64encode(picture).decode("ascii")
    most = (_MOST_TIMES_PICTURES if pictures else 1) * len(content)
    if len(drawing[0]) > max(most, _CHARACTERS_OF_A_DRAWING):
        return {kind: content}, {kind: {"alt": alt, "width": width}}
    text, width, height = drawing
    content = base64.b64encode(beside).decode("ascii")
    return (
        {"image/svg+xml": text, kind: content},
        {"image/svg+xml": {"alt": alt, "width": width}, kind: {"alt": alt, "width": width}},
    )
