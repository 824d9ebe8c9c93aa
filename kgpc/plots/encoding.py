"""How a figure is stored: a drawing as SVG, which is sharp at any size, and everything as a PNG."""

import base64
import io

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from kgpc.arguments import received, shown
from kgpc.plots import drawings

# Photographs take ten times the bytes of a drawing, and need no sharper lines than a screen has.
_PIXELS_PER_INCH, _PIXELS_PER_INCH_OF_PHOTOGRAPHS = 150, 110
_CSS_PIXELS_PER_INCH = 96
# A drawing of more characters is stored as pixels unless those take even more.
_CHARACTERS_OF_A_DRAWING = 60_000
# Beside a drawing, for what shows no SVG: JupyterLab until a notebook is trusted, and LaTeX.
_PIXELS_PER_INCH_BESIDE, _COLORS_BESIDE = 110, 16


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
        # Few colours are enough for a drawing, at a third of the size; photographs and colour scales need more. Chosen
        # by the median, most would be greys of the edges of letters, and curves of several colours would become one.
        image = image.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.save(stored, format="png", optimize=True)
    # More pixels than the page needs, so that the lines stay sharp on dense screens and in print.
    return stored.getvalue(), round(image.width * _CSS_PIXELS_PER_INCH / density)


def _has_pictures(figure):
    return any(axes.images for axes in figure.axes)


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

    A drawing is stored as SVG and, for what shows none, as a PNG with few colours. A figure with pictures in it, or one
    of so many points that its SVG would be large, and larger than its PNG, is stored as a PNG only.

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
    try:
        if _has_pictures(figure):
            picture, width = _png(figure, None, _PIXELS_PER_INCH_OF_PHOTOGRAPHS)
            drawing = None
        else:
            picture, width = _png(figure, 256, _PIXELS_PER_INCH)
            beside, _ = _png(figure, _COLORS_BESIDE, _PIXELS_PER_INCH_BESIDE)
            drawing = drawings.svg(figure, alt)  # last, because it changes the figure
    finally:
        plt.close(figure)
    content = base64.b64encode(picture).decode("ascii")
    if drawing is None or len(drawing[0]) > max(len(content), _CHARACTERS_OF_A_DRAWING):
        return {"image/png": content}, {"image/png": {"alt": alt, "width": width}}
    text, width, height = drawing
    content = base64.b64encode(beside).decode("ascii")
    return (
        {"image/svg+xml": text, "image/png": content},
        {"image/svg+xml": {"alt": alt, "width": width}, "image/png": {"alt": alt, "width": width}},
    )
