"""The look of all figures: colours that colour-blind readers can tell apart, fonts, grids, and empty axes."""

import functools

import matplotlib.pyplot as plt
from matplotlib import patheffects
from matplotlib.colors import to_rgb

# The palette of Okabe and Ito: eight colours that people with any kind of colour blindness can tell apart.
COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky blue": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
GREY = "#767676"

# What parts of a network look like in every figure of the collection.
LAYER_COLORS = {
    "pointwise": COLORS["blue"],
    "depthwise": COLORS["orange"],
    "other convolutions": COLORS["green"],
    "batch normalization": COLORS["sky blue"],
    "classifier": COLORS["purple"],
}

# Series are also told apart by marker and line style, so that the figures survive a black-and-white printer.
MARKERS = "os^Dvp*h"
LINE_STYLES = ("-", "--", "-.", ":")

_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 10.0,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
}
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]  # keeps text readable on lines and colours


def new_figure(width, height, columns=1, rows=1, **options):
    """An empty figure in the style of the collection, and its axes (an array where there are several)."""
    return plt.subplots(rows, columns, figsize=(width, height), **options)


def in_style(function):
    """Lets a drawing function work in the style of the collection, and leaves the reader's own settings alone."""

    @functools.wraps(function)
    def styled(*arguments, **options):
        with plt.rc_context(_STYLE):
            return function(*arguments, **options)

    return styled


def color_list(names, colors):
    """The colour of every name: given ones first, the palette in order for the others."""
    given = dict(colors or {})
    free = [color for color in COLORS.values() if color not in given.values()]
    return [given[name] if name in given else free.pop(0) for name in names]


def luminance(color):
    """The relative luminance of a colour, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color))
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def text_color(background):
    """Black or white, whichever has more contrast to a background: at least 4.5 to any colour."""
    light = luminance(background) + 0.05
    return "black" if light / 0.05 >= 1.05 / light else "white"
