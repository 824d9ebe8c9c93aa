"""From a figure to the page of a notebook, or into an HTML element."""

import base64
import html
import io

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from kgpc.arguments import received, shown

# Photographs take ten times the bytes of a drawing, and need no sharper lines than a screen has.
_PIXELS_PER_INCH, _PIXELS_PER_INCH_OF_PHOTOGRAPHS = 150, 110
_CSS_PIXELS_PER_INCH = 96


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
    if not isinstance(figure, Figure):
        raise TypeError(f"`figure` must be a `matplotlib.figure.Figure`. {received('figure', figure)}")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"`alt` must describe the figure in words. Received: alt={shown(alt)}.")
    drawn, stored = io.BytesIO(), io.BytesIO()
    has_pictures = any(axes.images for axes in figure.axes)
    density = _PIXELS_PER_INCH_OF_PHOTOGRAPHS if has_pictures else _PIXELS_PER_INCH
    figure.savefig(drawn, format="png", dpi=density, bbox_inches="tight")
    plt.close(figure)
    image = Image.open(drawn).convert("RGB")
    if not has_pictures:
        # Few colours are enough for a drawing, at a third of the size; photographs and colour scales need more.
        image = image.quantize(colors, dither=Image.Dither.NONE)
    image.save(stored, format="png", optimize=True)
    # More pixels than the page needs, so that the lines stay sharp on dense screens and in print.
    width = round(image.width * _CSS_PIXELS_PER_INCH / density)
    return base64.b64encode(stored.getvalue()).decode("ascii"), width


def show(figure, alt, caption=None):
    """Puts a figure on the page of the notebook, and closes it.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it; stored beside the picture as its alternative
            text.
        caption: str or None, a line below the figure, for example "Figure 2. Weights against channels.".

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str, or if `caption` is an empty str or neither a str nor None.
    """
    from IPython.display import display

    if caption is not None and (not isinstance(caption, str) or not caption.strip()):
        raise ValueError(f"`caption` must be a line of text or None. Received: caption={shown(caption)}.")
    picture, width = encoded_png(figure, alt)
    metadata = {"image/png": {"alt": alt, "width": width}}
    display({"image/png": picture, "text/plain": f"[Figure: {alt}]"}, metadata=metadata, raw=True)
    if caption is not None:
        text = {"text/html": f'<p class="figure-caption"><em>{html.escape(caption)}</em></p>', "text/plain": caption}
        display(text, raw=True)


def as_html(figure, alt):
    """Returns a figure as an HTML image, for widgets that show HTML, and closes it.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it.

    Returns:
        str, an `img` element with the picture in it.

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str.
    """
    picture, width = encoded_png(figure, alt)
    return f'<img src="data:image/png;base64,{picture}" width="{width}" alt="{html.escape(alt)}">'
