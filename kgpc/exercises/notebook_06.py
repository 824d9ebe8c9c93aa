"""The exercises of notebook 06, kInception V3."""

import functools

import keras

from kgpc import flops, inspection
from kgpc.applications import kInceptionV3
from kgpc.applications.inception_v3 import MIXED_LAYERS
from kgpc.exercises.kinds import Choice, Number, Numbers
from kgpc.grouping import D6

_SIZE = {"input_shape": (224, 224, 3), "classes": 10}
_DEPTHS = (2, 5, 10)


@functools.cache
def _network(grouped, last=10):
    with keras.StatelessScope():  # counting needs no values of weights
        return kInceptionV3(scheme=D6(16) if grouped else None, max_mix_idx=last, **_SIZE)


def _without_1x1():
    sums = inspection.sums_by_place({"ordinary": _network(False)}, "Inception V3")["ordinary"]
    return int(sums["all"] - sums["1×1"])


def _saves_most():
    def by_mixed_layer(grouped):
        table = flops.layer_table(_network(grouped))
        return table.groupby(table["layer"].str.extract(r"^(mixed\d+)")[0])["trainable_parameters"].sum()

    return (by_mixed_layer(False) - by_mixed_layer(True)).idxmax()


def _shares():
    counts = [[flops.trainable_parameters(_network(grouped, last)) for grouped in (True, False)] for last in _DEPTHS]
    return [100 * left / whole for left, whole in counts]


EXERCISES = {
    "06.1": Number("a number of parameters", _without_1x1),
    "06.2": Choice("a mixed layer", [f"mixed{index}" for index in range(len(MIXED_LAYERS))], _saves_most),
    "06.3": Numbers(
        "the percentages of parameters that D6(16) leaves up to mixed2, mixed5 and mixed10, to a tenth",
        _shares,
        tolerance=0.001,
        hint="`kgpc.flops.trainable_parameters` counts; build both networks for each.",
    ),
}
