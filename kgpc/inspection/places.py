"""Where in a network its layers are: the places that the page of a family counts, and how they look in its figures."""

import keras
import pandas as pd

from kgpc.arguments import mapping, received, shown, text
from kgpc.flops import layer_table
from kgpc.plots import LAYER_COLORS

COLUMNS = ("trainable_parameters", "macs")
_OTHERS = ("depthwise", "batch normalization", "classifier")


def _mobilenet(row, layer):
    return "stem" if row.part == "other convolutions" else row.part


def _mobilenet_v3(row, layer):
    if "squeeze_excite" in row.layer:
        return "squeeze-and-excite"
    if row.layer.startswith(("Conv_1", "Conv_2")):
        return row.layer[:6]
    return "expand and project" if row.layer.startswith("expanded_conv") else "stem"


def _efficientnet(row, layer):
    name = row.layer.removeprefix("k_")
    if "se_" in name:
        return "squeeze-and-excite"
    if name.startswith("top_conv"):
        return "top convolution"
    return "expand and project" if name.startswith("block") else "stem"


def _densenet(row, layer):
    if row.layer.endswith("growth_conv"):
        return "3×3 of the units"
    if row.layer.startswith("dntransition"):
        return "transitions"
    return "bottlenecks" if row.layer.startswith("dn") else "stem"


def _inception(row, layer):
    if row.part == "pointwise":
        return "1×1"
    height, width = layer.kernel_size
    return f"{height}×{width}" if height == width else "{0}×{1} and {1}×{0}".format(*sorted((height, width)))


# Family -> its function from a layer with weights to its place, and the places in the order of the tables with the kind
# of layer that they are, whose colour they have, and their hatching where another place has the same colour.
_PLACES = {
    "MobileNet": (
        _mobilenet,
        {"pointwise": ("pointwise", ""), "depthwise": ("depthwise", ""), "stem": ("other convolutions", "")},
    ),
    "MobileNet V3 Large": (
        _mobilenet_v3,
        {
            "Conv_2": ("pointwise", "||"),
            "squeeze-and-excite": ("pointwise", "//"),
            "expand and project": ("pointwise", ""),
            "Conv_1": ("pointwise", "xx"),
            "depthwise": ("depthwise", ""),
            "stem": ("other convolutions", ""),
        },
    ),
    "EfficientNet-B0": (
        _efficientnet,
        {
            "expand and project": ("pointwise", ""),
            "squeeze-and-excite": ("pointwise", "//"),
            "top convolution": ("pointwise", "||"),
            "depthwise": ("depthwise", ""),
            "stem": ("other convolutions", ""),
        },
    ),
    "DenseNet-BC L100": (
        _densenet,
        {
            "3×3 of the units": ("other convolutions", ""),
            "bottlenecks": ("pointwise", ""),
            "transitions": ("pointwise", "//"),
            "stem": ("other convolutions", "xx"),
        },
    ),
    "Inception V3": (
        _inception,
        {
            "3×3": ("other convolutions", ""),
            "1×7 and 7×1": ("other convolutions", "//"),
            "1×3 and 3×1": ("other convolutions", "||"),
            "5×5": ("other convolutions", "xx"),
            "1×1": ("pointwise", ""),
        },
    ),
}
FAMILIES = tuple(_PLACES)


def _checked(family):
    text("family", family)
    if family not in _PLACES:
        known = ", ".join(map(repr, FAMILIES))
        raise ValueError(f"`family` must be one of {known}. Received: family={shown(family)}.")
    place_of, places = _PLACES[family]
    return place_of, places | {name: (name, "") for name in ("batch normalization", "classifier")}


def place_looks(family):
    """Colours and hatchings of a family's places, for `kgpc.plots.stacked_bars(..., **place_looks(family))`.

    A place has the colour of its kind of layer; where several have the same, hatching tells them apart.

    Args:
        family: str, the ordinary network: one of `FAMILIES`.

    Returns:
        dict with the keys "colors" and "hatches": dicts from places to colours and to Matplotlib's hatchings.

    Raises:
        TypeError: if `family` is no str.
        ValueError: if it is none of `FAMILIES`.
    """
    _, places = _checked(family)
    return {
        "colors": {name: LAYER_COLORS[kind] for name, (kind, _) in places.items()},
        "hatches": {name: hatch for name, (_, hatch) in places.items() if hatch},
    }


def place_of(family, model, row):
    """The place of a layer.

    Args:
        family: str, one of `FAMILIES`.
        model: the Keras model.
        row: a row of its `kgpc.flops.layer_table`, as `itertuples` gives it.

    Returns:
        str.
    """
    function, _ = _checked(family)
    return row.part if row.part in _OTHERS else function(row, model.get_layer(row.layer))


def sums_by_place(networks, family, column="trainable_parameters", share=None):
    """What the places of networks of one family hold, beside each other.

    Args:
        networks: dict from the name of a network to the Keras model, built with a fixed image size.
        family: str, the ordinary network: one of `FAMILIES`.
        column: "trainable_parameters", or "macs": multiply-accumulates for one image.
        share: str or None, name of one more column: the last network's share of what the first one has.

    Returns:
        `pandas.DataFrame` of int, one row for each place of the family and a last one "all", one column for each
        network, and `share` (float; NaN where the first network has nothing).

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no network, `family` or `column` is unknown, a network has a layer that is at no place
            of the family, or `share` is the name of a network.
    """
    mapping("networks", networks, "Keras models")
    for name, model in networks.items():
        if not isinstance(model, keras.Model):
            raise TypeError(f"`networks[{name!r}]` must be a Keras model. {received(f'networks[{name!r}]', model)}")
    _, places = _checked(family)
    if not isinstance(column, str) or column not in COLUMNS:
        raise ValueError(f"`column` must be one of {', '.join(map(repr, COLUMNS))}. Received: column={shown(column)}.")
    if share is not None and text("share", share, empty=False) in networks:
        raise ValueError(f"`share` must not be the name of a network. Received: share={share!r}.")
    sums = {}
    for name, model in networks.items():
        sums[name] = dict.fromkeys(places, 0)
        table = layer_table(model)
        for row in table[(table["trainable_parameters"] > 0) | (table["macs"] > 0)].itertuples():
            place = place_of(family, model, row)
            if place not in places:
                raise ValueError(
                    f"`networks[{name!r}]` must be a network of the family {family!r}. "
                    f"Received: one with the layer {row.layer!r} ({row.part})."
                )
            sums[name][place] += getattr(row, column)
    frame = pd.DataFrame(sums).rename_axis("place")
    frame.loc["all"] = frame.sum()
    if share is not None:
        first, last = frame.iloc[:, 0], frame.iloc[:, -1]
        frame[share] = last / first.where(first > 0)
    return frame
