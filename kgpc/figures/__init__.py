"""Figures that move in a browser, without a kernel: small scripts that come along, and fetch nothing.

A figure is the last expression of a cell. JupyterLab and Colab run its script; where scripts are off there is a
picture, and the same numbers as text. The site knows a figure by the name and the parameters that are stored with it,
and takes the script from this package: `restored` makes the figure anew and refuses what no function here would have
made.

The files: `moving` (from parameters to the page), one for each figure, and the folder `browser` (what runs there:
`core.js` and `figure.css` for all, `grouping.js` for the arithmetic, one script for each figure).
"""

from kgpc.figures.densenet import dense_units
from kgpc.figures.layers import layer_costs
from kgpc.figures.moving import MovingFigure
from kgpc.figures.prices import price
from kgpc.figures.rooflines import roofline
from kgpc.figures.runs import accuracies
from kgpc.figures.scheme import d6
from kgpc.figures.stored import restored

__all__ = ["MovingFigure", "accuracies", "d6", "dense_units", "layer_costs", "price", "restored", "roofline"]
