"""From a figure to the page of a notebook, or into an HTML element."""

import base64
import html

from kgpc.arguments import shown
from kgpc.plots.encoding import encoded


def show(figure, alt, caption=None):
    """Puts a figure on the page of the notebook, and closes it.

    It is shown as SVG, sharp at any size; a figure of very many points as a PNG.

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

    check_caption(caption, optional=True)
    pictures, metadata = encoded(figure, alt)
    display({**pictures, "text/plain": f"[Figure: {alt}]"}, metadata=metadata, raw=True)
    if caption is not None:
        show_caption(caption)


def check_caption(caption, optional=False):
    """Checks that a caption is a line of text."""
    if caption is None and optional:
        return
    if not isinstance(caption, str) or not caption.strip():
        allowed = "a line of text or None" if optional else "a line of text"
        raise ValueError(f"`caption` must be {allowed}. Received: caption={shown(caption)}.")


def show_caption(caption):
    """Puts a caption (str) on the page of the notebook, below the figure that was shown last."""
    from IPython.display import display

    text = {"text/html": f'<p class="figure-caption"><em>{html.escape(caption)}</em></p>', "text/plain": caption}
    display(text, raw=True)


def as_html(figure, alt):
    """Returns a figure as an HTML image, for widgets that show HTML, and closes it.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what the figure shows, for readers who cannot see it.

    Returns:
        str, an `img` element with the picture in it: an SVG of a drawing, a JPEG of photographs, and otherwise a
        PNG.

    Raises:
        TypeError: if `figure` is not a figure.
        ValueError: if `alt` is empty or no str.
    """
    pictures, metadata = encoded(figure, alt)
    kind, content = next(iter(pictures.items()))
    if kind == "image/svg+xml":
        content = base64.b64encode(content.encode("utf-8")).decode("ascii")
    return f'<img src="data:{kind};base64,{content}" width="{metadata[kind]["width"]}" alt="{html.escape(alt)}">'
