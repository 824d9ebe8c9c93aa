"""kgpc: grouped pointwise convolutions that reduce the parameters of convolutional neural networks.

The schemes (`D6`, `D6v3`, `Grouped`, `GroupedV3`) are importable from here; models live in `kgpc.applications`,
counting in `kgpc.flops`, published numbers in `kgpc.paper`, released weights in `kgpc.released`, class activation maps
in `kgpc.cam`, image data in `kgpc.datasets`, training in `kgpc.training`. `kgpc.convert` groups any other network.
Modules that few programs need, such as `kgpc.cai`, `kgpc.conversion`, `kgpc.deploy` and `kgpc.exercises`, are imported
when they are first asked for.
"""

import importlib

# Before everything that imports TensorFlow, which reads its settings once.
from kgpc import tensorflow_settings  # isort: split

from kgpc import (
    applications,
    blocks,
    cam,
    comparison,
    datasets,
    figures,
    flops,
    grouping,
    layers,
    paper,
    plots,
    released,
    training,
    weights,
)
from kgpc.grouping import D6, D6v3, D6WithoutInterleaving, D6WithoutL, Grouped, GroupedV3

__version__ = "0.1.0"

__all__ = [
    "D6",
    "D6WithoutInterleaving",
    "D6WithoutL",
    "D6v3",
    "Grouped",
    "GroupedV3",
    "applications",
    "blocks",
    "cam",
    "comparison",
    "datasets",
    "figures",
    "flops",
    "grouping",
    "layers",
    "paper",
    "plots",
    "released",
    "tensorflow_settings",
    "training",
    "weights",
]

# Imported when they are asked for: few programs need them, and `import kgpc` should not take longer for them.
_LATER = ("cai", "conversion", "deploy", "exercises", "inspection", "keras2_models", "timing")


def __getattr__(name):
    """Imports a module of the package, or the one with `convert`, that is asked for as an attribute."""
    if name == "convert":
        return importlib.import_module("kgpc.conversion").convert
    if name in _LATER:
        return importlib.import_module(f"kgpc.{name}")
    raise AttributeError(f"module 'kgpc' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LATER, "convert"})
