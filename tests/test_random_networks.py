"""Properties of any network of ours, tried with random small ones; tests/test_backends.py compares the backends."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from plain_networks import plain
from random_networks import random_images, random_network

from kgpc.merging import training_twin


def training_step(network, images, weights, moving, compiled):
    """Outputs, gradients by images and weights, and the moving statistics after the step."""
    before = [weight.value.numpy() for weight in moving]

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = network(x, training=True)
            loss = tf.reduce_sum(tf.sin(outputs))
        wanted = [x, *(weight.value for weight in weights)]
        return outputs, tape.gradient(loss, wanted, unconnected_gradients="zero")

    outputs, gradients = (tf.function(run, autograph=False) if compiled else run)(tf.constant(images))
    after = [weight.value.numpy() for weight in moving]
    for weight, value in zip(moving, before, strict=True):
        weight.assign(value)
    return [outputs.numpy(), *(gradient.numpy() for gradient in gradients), *after]


def moving_statistics(model):
    return [weight for weight in model.non_trainable_weights if weight.name.startswith("moving")]


@pytest.mark.parametrize("seed", range(12))
def test_eager_and_compiled_steps_are_those_of_plain_layers_in_double_precision(seed):
    model = random_network(seed)
    images = random_images(model, seed)
    reference = plain(model)
    expected = training_step(
        reference, images.astype("float64"), reference.trainable_weights, moving_statistics(reference), False
    )
    largest = max(np.abs(value).max() for value in expected)
    twin = training_twin(model)
    networks = {"model": model} if twin is model else {"model": model, "twin": twin}
    for name, network in networks.items():
        for compiled in (False, True):
            actual = training_step(network, images, model.trainable_weights, moving_statistics(model), compiled)
            for ours, theirs in zip(actual, expected, strict=True):
                # A bias before a normalization has no gradient but the rounding of a sum over all pixels.
                tolerance = 1e-4 * np.abs(theirs).max() + 1e-5 * largest
                np.testing.assert_allclose(
                    ours, theirs, rtol=0, atol=tolerance, err_msg=f"{name}, compiled: {compiled}"
                )


def test_the_networks_are_of_all_kinds():
    """Among those that are tried: each layer of ours, and twins that differ from their models."""
    models = [random_network(seed) for seed in range(12)]
    kinds = {type(layer).__name__ for model in models for layer in model.layers if "kgpc" in type(layer).__module__}
    assert kinds == {
        "Activation",
        "BatchNormalization",
        "CopyChannels",
        "DepthwiseConv2D",
        "GroupedPointwiseConv2D",
        "InterleaveChannels",
        "ZeroPadding2D",
    }
    twins = {type(layer).__name__ for model in models for layer in training_twin(model).layers}
    assert {"NormalizedPointwiseConv2D", "InterleavedPointwiseConv2D"} <= twins
    assert all(isinstance(model, keras.Model) for model in models)
