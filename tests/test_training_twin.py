"""`fit` trains a network as its twin where that is worth making: the same run, the same files, exact resumption."""

import types

import keras
import numpy as np
import pytest
from training_check import Killed, KillingProgress

from kgpc import layers, merging, training
from kgpc.training import QUICK, compilation

RECIPE = QUICK.replace(
    epochs=3,
    image_size=8,
    batch_size=8,
    validation_fraction=0.25,
    batch_norm_momentum=0.7,
    optimizer="SGD",
    weight_decay=0.0,
)


def small(input_shape=(8, 8, 3), classes=3):
    """A network that merging changes, dropout included."""
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 3)(x)
    for number in range(2):
        y = layers.BatchNormalization(merge=True)(x)
        y = layers.Activation("swish")(layers.GroupedPointwiseConv2D(16, 2)(y))
        y = layers.GroupedPointwiseConv2D(8, 4)(layers.InterleaveChannels(2)(y))
        x = keras.layers.Concatenate(name=f"concat{number}")([x, y])
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = np.minimum(rng.integers(0, 160, (48, 8, 8, 3)) + 45 * labels[:, None, None, None], 255).astype("uint8")
    return types.SimpleNamespace(
        name="tiny", x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=("a", "b", "c")
    )


@pytest.fixture
def twins(monkeypatch):
    """The twins that are made, in trainings that are long enough for one from the first step on."""
    made = []

    def training_twin(model):
        made.append(merging.training_twin(model))
        return made[-1]

    monkeypatch.setattr(compilation, "training_twin", training_twin)
    monkeypatch.setattr(compilation, "_SHORT_TRAINING", 0)
    return made


def test_a_run_as_a_twin_is_the_run_of_the_network_and_resumes_exactly(data, twins, tmp_path, monkeypatch):
    model = training.build(small, RECIPE)
    result = training.fit(model, data, RECIPE, folder=tmp_path / "whole", progress=False)
    (twin,) = twins
    assert twin is not model and twin.optimizer is model.optimizer
    assert int(model.optimizer.iterations) == RECIPE.epochs * 4 == len(result.step_losses)

    # Killed in the second epoch, and gone on with.
    with pytest.raises(Killed):
        training.fit(
            training.build(small, RECIPE), data, RECIPE, folder=tmp_path / "cut", progress=KillingProgress(4 + 2)
        )
    again = training.build(small, RECIPE)
    resumed = training.fit(again, data, RECIPE, folder=tmp_path / "cut", progress=False)
    np.testing.assert_array_equal(resumed.step_losses, result.step_losses)
    for actual, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)

    # What is stored is the network, not the twin: it loads, and the finished folder is known again.
    fresh = training.build(small, RECIPE)
    fresh.load_weights(tmp_path / "whole" / "best.weights.h5")
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])
    training.fit(model, data, RECIPE, folder=tmp_path / "whole", progress=False)

    # Layer by layer the run is the same up to rounding.
    monkeypatch.setattr(compilation, "training_twin", lambda model: model)
    plain = training.build(small, RECIPE)
    expected = training.fit(plain, data, RECIPE, progress=False)
    np.testing.assert_allclose(result.step_losses, expected.step_losses, rtol=1e-4)


def test_short_trainings_make_no_twin(data, twins, monkeypatch):
    monkeypatch.setattr(compilation, "_SHORT_TRAINING", 4)
    training.fit(training.build(small, RECIPE), data, RECIPE.replace(epochs=1), progress=False)
    assert twins == []
