"""A figure that moves: its parameters, its script, and what stands in its place where scripts are off."""

import functools
import html
import importlib.resources
import json

from kgpc.plots.encoding import encoded_png
from kgpc.plots.page import check_caption, show_caption

# Name of a figure -> its scripts in the folder `browser` beside `core.js`, and its function there.
SCRIPTS = {
    "accuracies": (("accuracies",), "figureAccuracies"),
    "d6": (("grouping", "d6"), "figureD6"),
    "dense_units": (("grouping", "dense_units"), "figureDenseUnits"),
    "layer_costs": (("layer_costs",), "figureLayerCosts"),
    "price": (("price",), "figurePrice"),
    "roofline": (("roofline",), "figureRoofline"),
}
_COLORS = 32  # of the static picture, which a notebook stores twice: in the element and beside it
METADATA = "kgpc_figure"  # where the metadata of an output say which figure it is


def source(name):
    """Returns a file of the folder `browser` without comments and indentation.

    Args:
        name: str, file name.

    Returns:
        str.
    """
    text = importlib.resources.files(__package__).joinpath("browser", name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*")))


@functools.cache
def script(names=tuple(SCRIPTS)):
    """Returns the script that brings figures to life.

    Args:
        names: tuple of str, which figures; by default all.

    Returns:
        str, JavaScript that leaves no names behind on the page.
    """
    files = dict.fromkeys(["core", *(file for name in names for file in SCRIPTS[name][0])])
    functions = ", ".join(f"{name}: {SCRIPTS[name][1]}" for name in names)
    style = json.dumps(source("figure.css"))
    parts = ['(() => {\n"use strict";', *(source(f"{file}.js") for file in files), f"start({{{functions}}}, {style});"]
    return "\n".join([*parts, "})();"])


def counted(count, noun):
    """Returns a number with its noun, in the plural where it is not 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class MovingFigure:
    """A figure that moves, as the functions of this room return it; as the last expression of a cell it is shown.

    Attributes:
        name: str, which figure.
        parameters: dict, what it shows, of values that JSON can hold.
        alt: str, what the static picture shows, for readers who cannot see it.
        text: str, the numbers of the figure as lines.
    """

    def __init__(self, name, parameters, alt, text, draw):
        self.name, self.parameters, self.alt, self.text = name, parameters, alt, text
        self._draw = draw

    def __repr__(self):
        return self.text

    def picture(self):
        """Returns the static picture as `matplotlib.figure.Figure`."""
        return self._draw()

    def element(self, picture, width=None, height=None):
        """Returns the HTML element that the script brings to life.

        Args:
            picture: str, the address of the static picture.
            width: int or None, its width in pixels.
            height: int or None, its height in pixels.

        Returns:
            str: picture and text, and the parameters as an attribute; no script.
        """
        stored = html.escape(json.dumps({"name": self.name, "parameters": self.parameters}))
        sizes = "".join(
            f' {name}="{size}"' for name, size in (("width", width), ("height", height)) if size is not None
        )
        image = f'<img src="{html.escape(picture)}"{sizes} alt="{html.escape(self.alt)}" loading="lazy">'
        text = f"<details><summary>The numbers as text</summary><pre>{html.escape(self.text)}</pre></details>"
        return f'<div class="kgpc-figure" data-kgpc="{stored}">{image}{text}</div>'

    def show(self, caption):
        """Puts the figure on the page of the notebook, and a caption below it.

        Args:
            caption: str, for example "Figure 2. Move the slider.".

        Raises:
            ValueError: if `caption` is empty or no str.
        """
        from IPython.display import display

        check_caption(caption)
        display(self)
        show_caption(caption)

    def _repr_mimebundle_(self, include=None, exclude=None):
        """What a notebook shows and stores: everything in one output, and nothing that changes between runs."""
        picture, width = encoded_png(self._draw(), self.alt, _COLORS)
        element = self.element(f"data:image/png;base64,{picture}", width)
        data = {
            "text/html": f"{element}\n<script>\n{script((self.name,))}\n</script>",
            "image/png": picture,
            "text/plain": self.text,
        }
        stored = {"name": self.name, "parameters": self.parameters}
        return data, {"image/png": {"alt": self.alt, "width": width}, METADATA: stored}
