"""Old call names: the calls of older code run as they stand, and the reference outputs come out of them."""

import json
import pathlib

import keras
import numpy as np
import pytest

import kgpc
from kgpc import cai

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
CARRIED = pathlib.Path(__file__).resolve().parent / "data" / "blocks"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project"
)

num_classes = 10


def without_values(call):
    """A model whose weights were never drawn: the call is the same, only faster."""
    with keras.StatelessScope():
        return call()


def entries(folder, kind):
    index = folder / "index.json"
    return json.loads(index.read_text())[kind] if index.is_file() else []


def called(oracle):
    """The function that a dotted name such as "cai.mobilenet.kMobileNet" stands for."""
    found = cai
    for name in oracle.removeprefix("cai.").split("."):
        found = getattr(found, name)
    return found


def our_name(name):
    return name.replace("/BatchNorm", "_bn").replace("/", "_")


def check_block(arguments, entry, vectors):
    x = keras.Input(vectors["input"].shape[1:])
    model = keras.Model(x, cai.layers.kPointwiseConv2D(x, **arguments))
    assert kgpc.flops.trainable_parameters(model) == entry["trainable_params"]
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(vectors[f"w/{layer.name}/{weight.name}:0"])
    actual = keras.ops.convert_to_numpy(model(vectors["input"], training=False))
    np.testing.assert_allclose(actual, vectors["output"], rtol=0, atol=entry["atol"])


@pytest.mark.parametrize("entry", entries(CARRIED, "blocks"), ids=lambda entry: entry["block"])
def test_the_block_computes_the_reference_output(entry):
    check_block(entry["constructor"], entry, np.load(CARRIED / pathlib.Path(entry["vectors"]).name))


@needs_golden
@pytest.mark.parametrize("entry", entries(GOLDEN, "blocks"), ids=lambda entry: entry["block"])
def test_the_block_computes_every_reference_output(entry):
    assert called(entry["oracle"]) is cai.layers.kPointwiseConv2D
    check_block(entry["constructor"], entry, np.load(GOLDEN / entry["vectors"]))


@needs_golden
@pytest.mark.parametrize("entry", entries(GOLDEN, "models"), ids=lambda entry: entry["variant"])
def test_models_compute_the_reference_outputs(entry):
    vectors = np.load(GOLDEN / entry["vectors"])
    model = called(entry["oracle"])(**entry["constructor"])
    assert kgpc.flops.trainable_parameters(model) == entry["trainable_params"]
    assert model.count_params() == entry["trainable_params"] + entry["non_trainable_params"]
    kgpc.weights.load(model, GOLDEN / entry["weights"])
    pooled_layer = model.get_layer(our_name(entry["pooling_layer"]))
    feature_layer = model.get_layer(our_name(entry["feature_layer"]))
    logits_name, _, applied_by_hand = entry["logits_from"].partition(" ")
    logits_layer = model.get_layer(our_name(logits_name))
    logits_tensor = logits_layer.input if applied_by_hand else logits_layer.output
    view = keras.Model(model.input, [pooled_layer.input, feature_layer.output, logits_tensor, model.output])
    outputs = view(vectors["input"], training=False)
    pooled_from, features, logits, probabilities = map(keras.ops.convert_to_numpy, outputs)
    np.testing.assert_array_equal(features, pooled_from)
    actual = {"features": features, "probs": probabilities}
    actual["logits"] = logits @ logits_layer.kernel.numpy() + logits_layer.bias.numpy() if applied_by_hand else logits
    for key, value in actual.items():
        np.testing.assert_allclose(value, vectors[key], rtol=0, atol=entry["atol"][key], err_msg=key)
