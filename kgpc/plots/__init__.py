"""Figures and tables for the notebooks: drawn from what they are given, colour-blind safe, with labelled axes.

One function for each kind of figure; each returns the matplotlib figure, and `show` puts it on the page together with a
text for those who cannot see it. `table` gives a DataFrame a caption and numbers that can be read.

The files: `style` (colours and fonts), `page` (onto the page), `encoding` and `drawings` (in which format), `tables`,
`charts`, `panels` (curves side by side), `intervals` (numbers with their uncertainty), `pictures` (matrices),
`photographs` (images), `channels` (the sub-network, channel by channel), `diagrams` (blocks), `boxes` (a pointwise
convolution in them), `plates` (whole networks), `losses` (of training steps).
"""

from kgpc.plots.boxes import normalization_box, pointwise_boxes
from kgpc.plots.channels import subnetwork
from kgpc.plots.charts import layer_bars, line_chart, scatter, stacked_bars
from kgpc.plots.diagrams import Box, block_diagram
from kgpc.plots.intervals import interval_chart
from kgpc.plots.losses import step_losses
from kgpc.plots.page import as_html, show
from kgpc.plots.panels import curve_panels
from kgpc.plots.photographs import images
from kgpc.plots.pictures import matrices
from kgpc.plots.plates import feature_maps
from kgpc.plots.style import COLORS, GREY, LAYER_COLORS
from kgpc.plots.tables import CaptionedTable, table

__all__ = [
    "COLORS",
    "GREY",
    "LAYER_COLORS",
    "Box",
    "CaptionedTable",
    "as_html",
    "block_diagram",
    "curve_panels",
    "feature_maps",
    "images",
    "interval_chart",
    "layer_bars",
    "line_chart",
    "matrices",
    "normalization_box",
    "pointwise_boxes",
    "scatter",
    "show",
    "stacked_bars",
    "step_losses",
    "subnetwork",
    "table",
]
