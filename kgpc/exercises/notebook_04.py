"""The exercises of notebook 04, kEffNet."""

import functools

import keras
import numpy as np

from kgpc import flops, inspection
from kgpc.applications import kEfficientNetB0
from kgpc.exercises.kinds import Made, Number, Numbers
from kgpc.grouping import D6

_FAMILY = "EfficientNet-B0"


@functools.cache
def _with_ordinary_squeeze_and_excite():
    with keras.StatelessScope():  # counting needs no values of weights
        networks = {
            name: kEfficientNetB0(input_shape=(224, 224, 3), classes=10, scheme=scheme)
            for name, scheme in {"ordinary": None, "16ch": D6(16)}.items()
        }
    sums = inspection.sums_by_place(networks, _FAMILY)
    branch = sums.loc["squeeze-and-excite"]
    return int(sums.loc["all", "16ch"] - branch["16ch"] + branch["ordinary"])


@functools.cache
def _at_32_pixels():
    with keras.StatelessScope():
        network = kEfficientNetB0(input_shape=(32, 32, 3), classes=10, scheme=D6(16), skip_stride_cnt=3)
    return network.get_layer("k_top_conv_bn").output.shape[1], flops.paper_flops(network)


def _top_as_a_matrix(answer):
    """What is wrong with a network and the matrix and constant that its top is said to be."""
    asked = "the answer is a tuple of the grouped network, W of shape (320, 10), and b of shape (10,)."
    if not isinstance(answer, tuple | list) or len(answer) != 3 or not isinstance(answer[0], keras.Model):
        return asked
    network, *given = answer
    try:
        matrix, constant = (np.asarray(keras.ops.convert_to_numpy(array), "float64") for array in given)
        end = network.get_layer("k_block7a__0project_conv_inter_group_add").output
        features = keras.Model(end, network.layers[-3].output)  # before dropout and classifier
    except Exception:
        return asked
    if matrix.shape != (320, 10) or constant.size != 10:
        return f"{asked} Received: shapes {matrix.shape} and {constant.shape}."
    maps = np.random.default_rng(11).normal(size=(8, *end.shape[1:])).astype("float32")
    kernel, bias = network.layers[-1].get_weights()
    scores = keras.ops.convert_to_numpy(features(maps)).reshape(8, -1) @ kernel + bias
    difference = np.abs(maps.mean(axis=(1, 2)) @ matrix + constant.ravel() - scores).max()
    if difference > 1e-3 * max(np.abs(scores).max(), 1.0):
        return f"not right yet. For random maps the scores differ from those of the network by up to {difference:.2g}."
    return None


EXERCISES = {
    "04.1": Number("a number of parameters", _with_ordinary_squeeze_and_excite),
    "04.2": Numbers(
        "the pixels on a side of the last maps, and the paper flops",
        _at_32_pixels,
        hint="Build the network with `skip_stride_cnt=3`; `kgpc.flops.paper_flops` counts.",
    ),
    "04.3": Made("a tuple of the grouped network, W and b", _top_as_a_matrix),
}
