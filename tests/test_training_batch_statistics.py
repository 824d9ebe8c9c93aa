"""Moving averages of batch normalization that are taken anew."""

import keras
import numpy as np
import pytest

from kgpc import datasets, training
from kgpc.layers import BatchNormalization


@pytest.fixture
def network():
    """A small classifier with two kinds of batch normalization, one of which is frozen."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    x = BatchNormalization(momentum=0.999, name="first")(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.BatchNormalization(momentum=0.9, name="second")(keras.layers.Conv2D(4, 3)(x))
    x = keras.layers.BatchNormalization(name="frozen")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x)))
    model.get_layer("frozen").trainable = False
    return model


def data(count):
    """Images whose classes come one after the other, as in a folder."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(count) // (count // 2)
    return datasets.ImageDataset("noise", images, labels, images[:6], labels[:6], ("a", "b"))


def test_they_are_the_plain_averages_over_batches_and_nothing_else_changes(network):
    recipe = training.Recipe(epochs=1, image_size=8, batch_size=5, validation_fraction=0.1)
    everything = data(40)
    chosen = np.random.default_rng(recipe.seed).permutation(training.split(everything.y_train, recipe)[0])
    before = [weight.copy() for weight in network.get_weights()]
    training.renew_moving_averages(network, everything, recipe, images=np.int64(15))
    first = network.get_layer("first")
    inner = keras.Model(network.input, network.layers[1].output)
    maps = [
        np.asarray(inner(training.prepare(everything.x_train[np.sort(chosen[start : start + 5])], recipe)))
        for start in (0, 5, 10)
    ]
    np.testing.assert_allclose(first.moving_mean, np.mean([m.mean((0, 1, 2)) for m in maps], axis=0), atol=1e-5)
    np.testing.assert_allclose(first.moving_variance, np.mean([m.var((0, 1, 2)) for m in maps], axis=0), rtol=1e-4)
    assert (first.momentum, network.get_layer("second").momentum) == (0.999, 0.9)
    changed = {
        weight.path
        for weight, old in zip(network.weights, before, strict=True)
        if not np.array_equal(np.asarray(weight), old)
    }
    assert changed == {f"{layer}/moving_{what}" for layer in ("first", "second") for what in ("mean", "variance")}


def test_fewer_images_than_a_batch_are_one_batch(network):
    recipe = training.Recipe(epochs=1, image_size=8, batch_size=64, validation_fraction=0.1)
    training.renew_moving_averages(network, data(20), recipe)
    assert np.all(np.isfinite(network.get_layer("first").moving_mean))


def test_what_does_not_fit_is_refused_before_anything_changes(network):
    recipe = training.Recipe(epochs=1, image_size=8, batch_size=4, validation_fraction=0.1)
    before = [weight.copy() for weight in network.get_weights()]
    for wrong in (0, -1, 1.5, True, "5"):
        with pytest.raises((TypeError, ValueError), match="`images`"):
            training.renew_moving_averages(network, data(20), recipe, images=wrong)
    with pytest.raises(ValueError, match="model"):
        training.renew_moving_averages(network, data(20), recipe.replace(image_size=16))
    assert all(np.array_equal(new, old) for new, old in zip(network.get_weights(), before, strict=True))
