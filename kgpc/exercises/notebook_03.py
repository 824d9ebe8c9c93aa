"""The exercises of notebook 03, kMobileNet V3."""

import functools

import keras

from kgpc import flops, inspection
from kgpc.applications import kMobileNetV3Large
from kgpc.exercises.kinds import Number
from kgpc.grouping import D6, D6v3

_SIZE = {"input_shape": (224, 224, 3), "classes": 10}


def _conv_2():
    return D6(32).plan(960, 1280).parameters(use_bias=True, batch_norm=False)


@functools.cache
def _share_of_minimalistic():
    with keras.StatelessScope():  # counting needs no values of weights
        left, whole = (
            flops.trainable_parameters(kMobileNetV3Large(scheme=scheme, minimalistic=True, **_SIZE))
            for scheme in (D6(16), None)
        )
    return 100 * left / whole


@functools.cache
def _saved_by_d6v3():
    with keras.StatelessScope():
        network = kMobileNetV3Large(scheme=None, **_SIZE)
    weights = [
        inspection.pointwise_plans(network, "MobileNet V3 Large", scheme)[["K", "L"]].to_numpy().sum()
        for scheme in (D6(16), D6v3(16))
    ]
    return int(weights[0] - weights[1])


EXERCISES = {
    "03.1": Number(
        "a number of parameters",
        _conv_2,
        hints={
            "Each filter has a bias besides.": lambda: D6(32).plan(960, 1280).weights,
            "The number of groups must divide the filters as well as the channels.": lambda: 32 * 1280 + 1280,
            "That is an ordinary convolution.": lambda: 960 * 1280 + 1280,
        },
    ),
    "03.2": Number(
        "a percentage, to a tenth",
        _share_of_minimalistic,
        tolerance=0.006,
        hints={"The answer is a percentage.": lambda: _share_of_minimalistic() / 100},
    ),
    "03.3": Number(
        "a number of weights, without biases",
        _saved_by_d6v3,
        hints={"Look at the sign: is more or less left than with D6?": lambda: -_saved_by_d6v3()},
    ),
}
