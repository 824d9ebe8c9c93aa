"""The benchmark of layers that would share their passes over memory: all of its sides compute the same."""

import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import kgpc

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def candidates(monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the candidates are TensorFlow's")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import block_candidates

    return block_candidates


def network(size):
    """Two normalizations with an activation, of either kind, and one without."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = keras.layers.ReLU(6.0)(kgpc.layers.BatchNormalization()(x))
    x = kgpc.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = kgpc.layers.BatchNormalization()(x)
    x = kgpc.layers.GroupedPointwiseConv2D(32, groups=2, use_bias=False)(x)
    x = kgpc.layers.Activation("swish")(kgpc.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are run where the measurements are")
def test_every_side_of_single_layers_gives_what_the_package_gives(candidates, tmp_path):
    # The script compares them before it takes any time.
    cases = ["16x16x32, relu6", "2x2x512, swish", "8x8, 128 to 128, 8 groups"]
    common = ["--small", "--rounds", "1", "--output", str(tmp_path)]
    assert candidates.main(["gradient", "statistics", "--only", *cases, *common]) == 0
    table = pd.read_csv(tmp_path / "block_candidates.csv")
    assert list(table["case"].unique()) == [f"kMobileNet {case}" for case in cases]
    by_case = table.groupby(["case", "part"], sort=False)["side"].agg(list).tolist()
    pieces = ["today", "2 at a time", "1 at a time", "XLA"]
    assert by_case == [["today", *candidates.WAYS]] * 2 + [pieces] * 2
    assert (table["seconds"] > 0).all() and (table.loc[table["side"] == "today", "ratio"] == 1).all()


def test_a_side_that_gives_something_else_is_not_timed(candidates):
    values = np.linspace(-1, 1, 1000, dtype="float32")
    candidates.check("pieces", [values], [[values[:300], values[300:]]])
    with pytest.raises(AssertionError, match="pieces: 0.001 of the values of result 0"):
        candidates.check("pieces", [values], [np.where(values == 1, np.float32(1.001), values)])


@pytest.mark.parametrize("way", ["XLA, then TensorFlow", "XLA, forward too"])
def test_a_network_with_one_gradient_is_the_same_network(candidates, way):
    import tensorflow as tf

    model = network(16)
    twin = candidates.with_one_gradient(model, way)
    merged = [layer for layer in twin.layers if isinstance(layer, candidates.NormalizationWithActivation)]
    assert [layer.function for layer in merged] == ["relu6", "swish"]
    images = np.random.default_rng(0).random((4, 16, 16, 3), dtype="float32")

    def losses_and_gradients(own):
        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(own(images, training=True)[:, 0])
            return loss, *tape.gradient(loss, [weight.value for weight in own.trainable_weights])

        return step()

    expected = losses_and_gradients(model)
    # What a normalization takes away again, as the shift of the second one, has no gradient but rounding.
    largest = max(np.abs(own).max() for own in expected[1:])
    for own, other in zip(expected, losses_and_gradients(twin), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5 * largest)
    # Moving statistics too, which a prediction reads.
    np.testing.assert_allclose(model(images), twin(images), rtol=1e-5)


def test_predictions_in_pieces_are_the_same(candidates):
    import tensorflow as tf

    images = tf.random.stateless_uniform((4, 16, 16, 3), seed=(0, 1))
    found = candidates.prediction_steps(kgpc.deploy.fold(network(16)), images, 4)
    sides = ["today", "2 at a time", "1 at a time"]
    assert {case: list(steps) for case, steps in found.items()} == {
        "blocks at 8x8": sides,
        "whole": [*sides, "first blocks 1 at a time"],
    }
    for steps in found.values():
        expected = steps["today"]()
        for step in steps.values():
            np.testing.assert_allclose(step(), expected, rtol=1e-5, atol=1e-6)
