"""The exercises of notebook 00, Start here."""

from kgpc import flops
from kgpc.applications import kMobileNet
from kgpc.exercises.kinds import Choice, Number, Numbers
from kgpc.grouping import D6

# Parts of a network by the beginnings of its layers' names.
_PARTS = {"conv_dw": "depthwise", "conv_pw": "pointwise", "conv_preds": "classifier"}


def _network(size=224, classes=10, channels_per_group=16):
    return kMobileNet(input_shape=(size, size, 3), classes=classes, scheme=D6(channels_per_group))


def _with(channels_per_group):
    return flops.trainable_parameters(_network(channels_per_group=channels_per_group))


def _largest_part():
    layers = flops.layer_table(_network(classes=1000))
    parts = [
        "batch normalization"
        if layer.kind == "BatchNormalization"
        else next((part for start, part in _PARTS.items() if layer.layer.startswith(start)), "other convolutions")
        for layer in layers.itertuples()
    ]
    return layers.groupby(parts)["trainable_parameters"].sum().idxmax()


def _shares():
    counts = (flops.trainable_parameters, flops.macs, flops.paper_flops)
    smaller, larger = _network(size=160), _network()
    return [count(smaller) / count(larger) for count in counts]


EXERCISES = {
    "00.1": Number(
        "a number of trainable parameters",
        lambda: _with(32),
        hints={"That is the network with 16 channels per group.": lambda: _with(16)},
    ),
    "00.2": Choice(
        "a part of the network",
        ["pointwise", "depthwise", "other convolutions", "batch normalization", "classifier"],
        _largest_part,
        hints={"pointwise": "That was so with 10 classes. Count with 1000."},
    ),
    "00.3": Numbers(
        "what is left of the parameters, of the multiply-accumulates, and of the paper flops, as shares",
        _shares,
        tolerance=0.02,
        hint="A weight is used again at each position of the image. Is it stored again, too?",
    ),
}
