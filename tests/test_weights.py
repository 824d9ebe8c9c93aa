"""Matching the arrays of a weight file to the layers of a model, and refusing a file that does not fit."""

import keras
import numpy as np
import pytest
from keras import layers
from keras2_files import layers_of, write_layers

import kgpc
from kgpc import weights
from kgpc.layers import GroupedPointwiseConv2D


def branched_model(names, classes=3, top=True):
    """Two branches of unequal depth over one input, so that `model.layers` mixes them; `names` gives each its name."""
    name = iter(names)
    x = inputs = keras.Input((8, 8, 4), name="image")
    left = layers.Conv2D(6, 3, padding="same", name=next(name))(x)
    left = layers.BatchNormalization(name=next(name))(left)
    left = layers.Conv2D(6, 3, padding="same", name=next(name))(left)
    right = layers.DepthwiseConv2D(3, padding="same", name=next(name))(x)
    right = GroupedPointwiseConv2D(6, groups=2, name=next(name))(right)
    right = layers.BatchNormalization(name=next(name))(right)
    x = layers.Concatenate(name="concat")([left, right])
    if top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(classes, name=next(name))(x)
    return keras.Model(inputs, x, name="branched")


OWN = ("left_1", "left_bn", "left_2", "right_depthwise", "right_pointwise", "right_bn", "classifier")
# In the order of construction, counted on from what the process had built before.
AUTOMATIC = (
    "conv2d_9",
    "batch_normalization",
    "conv2d_10",
    "depthwise_conv2d_3",
    "conv2d_11",
    "batch_normalization_1",
    "dense_7",
)
STORED = {own: automatic for own, automatic in zip(OWN, AUTOMATIC, strict=True)}


@pytest.fixture
def trained():
    """A model whose weights are all different."""
    model = branched_model(OWN)
    random = np.random.default_rng(0)
    model.set_weights([random.random(weight.shape).astype("float32") for weight in model.weights])
    return model


def assert_same_weights(actual, expected):
    for ours, theirs in zip(actual.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_are_matched_by_name(tmp_path, trained):
    path = write_layers(tmp_path / "weights.hdf5", dict(reversed(layers_of(trained).items())))
    model = branched_model(OWN)
    assert weights.load(model, path) is model
    assert_same_weights(model, trained)


def test_automatic_names_are_matched_in_order_of_construction(tmp_path, trained):
    path = write_layers(tmp_path / "weights.hdf5", layers_of(trained, lambda name: STORED.get(name, name)))
    assert_same_weights(weights.load(branched_model(OWN), path), trained)


def test_automatic_names_in_the_model_are_not_mistaken_for_others_in_the_file(tmp_path, trained):
    """The model's own `conv2d_10` is another layer than the file's: only the order says which is which."""
    later = tuple(name.replace("conv2d_10", "conv2d_12").replace("conv2d_9", "conv2d_10") for name in AUTOMATIC)
    path = write_layers(tmp_path / "weights.hdf5", layers_of(trained, lambda name: STORED.get(name, name)))
    assert_same_weights(weights.load(branched_model(later), path), trained)
    assert_same_weights(weights.load(branched_model(AUTOMATIC), path), trained)


def test_names_with_slashes_become_today_s(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.BatchNormalization(name="expanded_conv_depthwise_bn")])
    arrays = {
        name: np.full(2, float(value)) for value, name in enumerate(("gamma", "beta", "moving_mean", "moving_variance"))
    }
    path = write_layers(tmp_path / "weights.hdf5", {"expanded_conv/depthwise/BatchNorm": arrays})
    weights.load(model, path)
    assert [float(weight[0]) for weight in model.layers[0].weights] == [0, 1, 2, 3]


def test_the_older_name_of_the_classifier_is_known(tmp_path):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, name="predictions")])
    arrays = {"kernel": np.ones((2, 3), "float32"), "bias": np.ones(3, "float32")}
    weights.load(model, write_layers(tmp_path / "weights.hdf5", {"preprediction": arrays}))
    assert all((weight.numpy() == 1).all() for weight in model.weights)


def test_without_the_top_the_classifier_at_the_end_of_the_file_is_left_out(tmp_path, trained):
    for rename in (lambda name: name, lambda name: STORED.get(name, name)):
        path = write_layers(tmp_path / "weights.hdf5", layers_of(trained, rename))
        model = branched_model(OWN, top=False)
        with pytest.raises(ValueError, match="the first layer that differs is '(classifier|dense_7)' of the file"):
            weights.load(model, path)
        weights.load(model, path, include_top=False)
        expected = keras.Model(trained.input, trained.get_layer("concat").output)
        assert_same_weights(model, expected)


def test_without_the_top_nothing_else_may_be_missing(tmp_path, trained):
    stored = {"surplus": {"kernel": np.ones((1, 1))}, **layers_of(trained)}
    path = write_layers(tmp_path / "weights.hdf5", stored)
    with pytest.raises(ValueError, match="the first layer that differs is 'surplus' of the file"):
        weights.load(branched_model(OWN, top=False), path, include_top=False)


def wrong_shape(stored):
    stored["left_2"]["kernel"] = np.ones((1, 1, 6, 6), "float32")


def missing_layer(stored):
    del stored["right_bn"]


def missing_weight(stored):
    del stored["left_bn"]["gamma"]


def surplus_layer(stored):
    stored["surplus"] = {"kernel": np.ones((1, 1))}


def other_name(stored):
    stored["right_renamed"] = stored.pop("right_pointwise")


@pytest.mark.parametrize(
    "change, message",
    [
        (wrong_shape, r"differs is 'left_2'. Model: .*kernel \(3, 3, 6, 6\).*File: left_2.*kernel \(1, 1, 6, 6\)"),
        (missing_layer, "differs is 'right_bn', which the file does not have"),
        (missing_weight, r"differs is 'left_bn'.*File: left_bn with beta \(6,\), moving_mean"),
        (surplus_layer, "differs is 'surplus' of the file, which 'branched' does not have"),
        (other_name, "differs is 'right_pointwise', which the file does not have.*has 'right_renamed' instead"),
    ],
)
def test_a_file_that_does_not_fit_names_the_first_layer_that_differs(tmp_path, trained, change, message):
    stored = layers_of(trained)
    change(stored)
    path = write_layers(tmp_path / "weights.hdf5", stored)
    model = branched_model(OWN)
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match=f"The file does not fit the model: the first layer that {message}"):
        weights.load(model, path)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_only_a_functional_model_has_an_order(tmp_path, trained):
    path = write_layers(tmp_path / "weights.hdf5", layers_of(trained))
    for model in ("kMobileNet", layers.Dense(3), None):
        with pytest.raises(TypeError, match="`model` must be a functional Keras model"):
            weights.load(model, path)


def test_construction_order_follows_branches_and_comes_to_each_layer_once():
    x = inputs = keras.Input((4, 4, 2), name="image")
    shared = layers.Conv2D(2, 1, name="shared")
    left = layers.ReLU(name="left")(shared(x))
    right = layers.ReLU(name="right")(shared(left))
    model = keras.Model(inputs, layers.Add(name="sum")([left, right]))
    order = [operation.name for operation in weights.construction_order(model)]
    assert order == ["image", "shared", "left", "right", "sum"]
    # A part of the model has the same layers, but ends where it ends.
    order = weights.construction_order(keras.Model(inputs, left))
    assert [operation.name for operation in order] == ["image", "shared", "left"]


def test_a_model_under_mixed_precision_loads_float32_weights(tmp_path):
    trained = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=3, alpha=0.25)
    path = write_layers(tmp_path / "weights.hdf5", layers_of(trained))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=3, alpha=0.25, weights=path)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same_weights(model, trained)


def test_a_model_saved_by_keras_3_in_the_old_layout_loads(tmp_path):
    trained = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=3, alpha=0.25)
    trained.save(tmp_path / "trained.h5")
    model = kgpc.applications.kMobileNet(
        input_shape=(32, 32, 3), classes=3, alpha=0.25, weights=tmp_path / "trained.h5"
    )
    assert_same_weights(model, trained)
