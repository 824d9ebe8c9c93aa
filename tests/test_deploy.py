"""Folding: same predictions with fewer layers, for layouts where it is exact, and left alone where it is not."""

import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications, layers
from kgpc.deploy import fold


def trained_looking(model, seed=0):
    """Gives all normalizations statistics and parameters far from their initial ones."""
    rng = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: rng.uniform(0.7, 1.3, shape),
        "beta": lambda shape: rng.normal(0, 0.1, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.3, shape),
        "moving_variance": lambda shape: rng.uniform(0.3, 1.3, shape),
    }
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw[weight.name](weight.shape) for weight in layer.weights])
    return model


def normalizations(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def check_same(model, folded, atol=1e-4):
    x = np.random.default_rng(1).random((2, *model.input.shape[1:]), dtype="float32")
    expected, actual = (keras.ops.convert_to_numpy(part(x, training=False)) for part in (model, folded))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


SMALL = {"classes": 10, "classifier_activation": None}
MODELS = {
    "kMobileNet": (lambda: applications.kMobileNet(input_shape=(32, 32, 3), **SMALL), 0),
    "kMobileNet D6v3": (lambda: applications.kMobileNet(input_shape=(32, 32, 3), scheme=kgpc.D6v3(12), **SMALL), 0),
    "MobileNet": (
        lambda: keras.applications.MobileNet(
            weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
        ),
        0,
    ),
    "kEffNet-B0": (lambda: applications.kEfficientNetB0(input_shape=(32, 32, 3), **SMALL), 0),
    # The normalizations before padded 3x3 convolutions stay: one in each of the 3 x 2 units, and the last one.
    "kDenseNet-BC": (lambda: applications.kDenseNetBC(depth=16, **SMALL), 7),
}


@pytest.mark.parametrize("make, left", MODELS.values(), ids=MODELS)
def test_a_folded_model_predicts_the_same(make, left):
    model = trained_looking(make())
    weights = [np.array(value) for value in model.get_weights()]
    folded = fold(model)
    assert normalizations(folded) == left < normalizations(model)
    check_same(model, folded)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_folded_model_survives_saving(tmp_path):
    folded = fold(trained_looking(applications.kMobileNet(input_shape=(32, 32, 3), **SMALL)))
    folded.save(tmp_path / "folded.keras")
    check_same(folded, keras.saving.load_model(tmp_path / "folded.keras", safe_mode=True), atol=0)


@pytest.mark.parametrize("groups", [1, 4])
def test_normalization_before_a_pointwise_convolution_is_folded_into_its_rows(groups):
    x = inputs = keras.Input((3, 3, 8))
    x = layers.BatchNormalization()(x)
    x = layers.GroupedPointwiseConv2D(12, groups, bias_initializer="normal")(x)
    model = trained_looking(keras.Model(inputs, x))
    folded = fold(model)
    assert normalizations(folded) == 0
    check_same(model, folded, atol=1e-6)


def before_padding(x):
    return keras.layers.Conv2D(4, 3, padding="same")(layers.BatchNormalization()(x))


def read_twice(x):
    x = keras.layers.Conv2D(8, 1)(x)
    return keras.layers.Add()([layers.BatchNormalization()(x), x])


def after_activation(x):
    return layers.BatchNormalization()(keras.layers.Conv2D(8, 1, activation="relu")(x))


@pytest.mark.parametrize("build", [before_padding, read_twice, after_activation])
def test_what_would_not_be_exact_is_left_alone(build):
    inputs = keras.Input((5, 5, 8))
    model = trained_looking(keras.Model(inputs, build(inputs)))
    folded = fold(model)
    assert normalizations(folded) == 1
    check_same(model, folded, atol=1e-6)


@pytest.mark.parametrize(
    "channels, step, use_bias, vanishes",
    [(24, 6, True, True), (24, 7, False, True), (64, 4, False, True), (96, 8, True, False)],
)
def test_interleaving_of_few_channels_becomes_the_order_of_a_kernel(channels, step, use_bias, vanishes):
    """Also where the step does not divide the channels; with many channels the copy is cheaper than the zeros."""
    x = inputs = keras.Input((3, 4, channels))
    x = layers.InterleaveChannels(step)(x)
    x = layers.GroupedPointwiseConv2D(2 * channels, 4, use_bias=use_bias, bias_initializer="normal", name="grouped")(x)
    model = trained_looking(keras.Model(inputs, layers.BatchNormalization()(x)))
    folded = fold(model)
    assert normalizations(folded) == 0
    assert any(isinstance(layer, layers.InterleaveChannels) for layer in folded.layers) != vanishes
    assert isinstance(folded.get_layer("grouped"), keras.layers.Conv2D) == vanishes
    check_same(model, folded, atol=1e-5)


def test_an_interleaving_that_is_read_twice_stays():
    inputs = keras.Input((3, 4, 8))
    x = layers.InterleaveChannels(2)(inputs)
    model = keras.Model(inputs, [layers.GroupedPointwiseConv2D(8, 4)(x), x])
    assert any(isinstance(layer, layers.InterleaveChannels) for layer in fold(model).layers)


@pytest.mark.parametrize("model", ["model.keras", None, keras.layers.Dense(2)])
def test_other_objects_are_refused(model):
    with pytest.raises(TypeError, match="`model` must be a functional Keras model"):
        fold(model)
