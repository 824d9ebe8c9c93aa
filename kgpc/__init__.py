"""kgpc: grouped pointwise convolutions that reduce the parameters of convolutional neural networks.

The schemes (`D6`, `D6v3`, `Grouped`, `GroupedV3`) are importable from here; models live in `kgpc.applications`,
counting in `kgpc.flops`, published numbers in `kgpc.paper`, image data in `kgpc.datasets`.
"""

from kgpc import applications, blocks, datasets, flops, grouping, layers, paper, plots, weights
from kgpc.grouping import D6, D6v3, Grouped, GroupedV3

__version__ = "0.1.0"

__all__ = [
    "D6",
    "D6v3",
    "Grouped",
    "GroupedV3",
    "applications",
    "blocks",
    "datasets",
    "flops",
    "grouping",
    "layers",
    "paper",
    "plots",
    "weights",
]
