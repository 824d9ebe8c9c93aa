"""Counting: published totals of the unmodified baselines, and small models counted by hand."""

import keras
import pytest

import kgpc
from kgpc import flops


@pytest.mark.parametrize(
    "name, parameters, paper_flops",
    [
        ("MobileNet", 3_217_226, 567_751_710),
        ("MobileNetV3Large", 4_214_842, 217_459_990),
        ("EfficientNetB0", 4_020_358, 389_969_098),
    ],
)
def test_baselines_have_the_published_counts(name, parameters, paper_flops):
    with keras.StatelessScope():
        model = getattr(keras.applications, name)(weights=None, classes=10, input_shape=(224, 224, 3))
    assert flops.trainable_parameters(model) == parameters
    assert flops.paper_flops(model) == paper_flops


def small_model():
    x = inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="swish")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = kgpc.layers.GroupedPointwiseConv2D(4, 2, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def test_macs_count_convolutions_and_dense_layers_alone():
    assert flops.macs(small_model()) == 64 * (9 * 4 * 6 + 9 * 6 + 3 * 4) + 4 * 3


def test_paper_flops_follow_the_stated_convention():
    model = small_model()
    convolution = 64 * 6 + 64 * 6  # bias and swish
    pooling = 4 * 4 * 4 * 4 + 4 * 4 * 4  # windows, then every element of the global pool
    dense = 3 + 5 * 3  # bias and softmax
    assert flops.paper_flops(model) == (2 * flops.macs(model) + convolution + pooling + dense) // 2


def test_layer_table_adds_up():
    model = small_model()
    table = flops.layer_table(model)
    assert table["macs"].sum() == flops.macs(model)
    assert table["trainable_parameters"].sum() == flops.trainable_parameters(model)
    assert table["float_operations"].sum() // 2 == flops.paper_flops(model)
    assert list(table["layer"]) == [layer.name for layer in model.layers[1:]]


def test_layer_table_names_the_part_that_a_layer_plays():
    assert list(flops.layer_table(small_model())["part"]) == [
        "other convolutions",
        "depthwise",
        "pointwise",
        "batch normalization",
        "other",
        "other",
        "classifier",
    ]
    x = inputs = keras.Input((1, 1, 8))
    x = keras.layers.Conv2D(4, 1)(x)
    convolutional = keras.Model(inputs, keras.layers.Conv2D(2, 1)(x))
    assert list(flops.layer_table(convolutional)["part"]) == ["pointwise", "classifier"]
    maps = keras.Input((2, 2, 8))
    assert list(flops.layer_table(keras.Model(maps, keras.layers.Conv2D(2, 1)(maps)))["part"]) == ["pointwise"]


def test_a_model_inside_a_model_and_a_layer_called_twice_are_counted():
    inner = small_model()
    shared = keras.layers.Dense(3)
    x = keras.Input((8, 8, 4))
    y = shared(shared(inner(x)))
    model = keras.Model(x, y)
    assert flops.macs(model) == flops.macs(inner) + 2 * 9
    table = flops.layer_table(model)
    assert table["trainable_parameters"].sum() == flops.trainable_parameters(model)


def test_a_view_of_a_model_counts_its_own_part():
    model = small_model()
    view = keras.Model(model.input, model.layers[2].output)
    assert flops.macs(view) == 64 * (9 * 4 * 6 + 9 * 6)
    keras.Model(model.input, keras.layers.Dense(2)(model.layers[-2].output))
    assert flops.macs(model) == 64 * (9 * 4 * 6 + 9 * 6 + 3 * 4) + 4 * 3


def test_sequential_models_are_counted():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert flops.macs(model) == 12


def test_open_image_sizes_and_other_objects_are_refused():
    with pytest.raises(ValueError, match="`model` must have been built with a fixed image size"):
        flops.macs(kgpc.applications.kMobileNet(input_shape=(None, None, 3), classes=10))
    with pytest.raises(TypeError, match="`model` must be a functional or sequential Keras model"):
        flops.macs(keras.layers.Dense(3))


@pytest.mark.parametrize("model", [kgpc.applications.kMobileNet, kgpc.applications.kMobileNetV3Large])
def test_flops_are_multiply_accumulates_and_what_is_beyond_them(model):
    built = model(input_shape=(32, 32, 3), classes=10, scheme=kgpc.D6(16))
    beyond = kgpc.flops.beyond_macs(built)
    assert set(beyond) == {"biases", "activations", "pooling", "products"}
    assert kgpc.flops.paper_flops(built) == int(kgpc.flops.macs(built) + sum(beyond.values()))
    assert all(beyond[what] > 0 for what in ("biases", "activations", "pooling"))


def test_what_is_beyond_multiply_accumulates_by_hand():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 1, activation="silu")(inputs)  # 32 biases, 32 swishes
    x = keras.layers.AveragePooling2D(2)(x)  # 8 outputs of 4 values
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, activation="softmax")(x))  # 5 for each of 2
    assert kgpc.flops.beyond_macs(model) == {"biases": 16, "activations": 21, "pooling": 16, "products": 0}
