"""Counting: published totals of the unmodified baselines, and small models counted by hand."""

import keras
import numpy as np
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
    first, second = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    twice = flops.layer_table(keras.Model([first, second], [inner(first), inner(second)]))
    assert twice["macs"].sum() == 2 * flops.macs(inner)
    assert twice["trainable_parameters"].sum() == flops.trainable_parameters(inner)
    assert twice.query("part == 'classifier'")["trainable_parameters"].tolist() == [4 * 3 + 3]


def test_a_layer_shared_between_nested_models_holds_its_parameters_once():
    backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="backbone")
    branches = []
    for pooling in (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D):
        images = keras.Input((8, 8, 3))
        branches.append(keras.Model(images, pooling()(backbone(images))))
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Add()([branch(x) for branch in branches])))
    table = flops.layer_table(model)
    assert table["trainable_parameters"].sum() == flops.trainable_parameters(model) == (27 + 1) * 4 + (4 + 1) * 2
    assert flops.macs(model) == 2 * 36 * 27 * 4 + 4 * 2
    branches[1].trainable = False  # and what it shares
    table = flops.layer_table(model)
    assert table["trainable_parameters"].sum() == flops.trainable_parameters(model) == (4 + 1) * 2


def test_freezing_moves_no_part():
    model = small_model()
    before = flops.layer_table(model)
    model.layers[-1].trainable = False
    assert flops.layer_table(model)["part"].tolist() == before["part"].tolist()
    model.trainable = False
    after = flops.layer_table(model)
    assert after["part"].tolist() == before["part"].tolist() and after["macs"].tolist() == before["macs"].tolist()
    assert after["trainable_parameters"].sum() == flops.trainable_parameters(model) == 0


def products():
    ops, layers = keras.ops, keras.layers
    kernel = np.ones((3, 3, 4, 4), "float32")
    return {
        "Dot": layers.Dot(axes=2),
        "Attention": layers.Attention(),
        "AdditiveAttention": layers.AdditiveAttention(use_scale=False),
        "matmul": lambda pair: ops.matmul(pair[0], ops.transpose(pair[1], (0, 2, 1))),
        "operator": lambda pair: pair[0] @ ops.transpose(pair[1], (0, 2, 1)),
        "dot": lambda pair: ops.dot(pair[0], np.ones((4, 2), "float32")),
        "tensordot": lambda pair: ops.tensordot(pair[0], np.ones((4, 2), "float32"), axes=1),
        "einsum": lambda pair: ops.einsum("bik,bjk->bij", *pair),
        "inner": lambda pair: ops.inner(pair[0], np.ones((2, 4), "float32")),
        "conv": lambda pair: ops.conv(ops.reshape(pair[0], (-1, 2, 8, 4)), kernel, padding="same"),
        "depthwise_conv": lambda pair: ops.depthwise_conv(ops.reshape(pair[0], (-1, 2, 8, 4)), kernel, padding="same"),
    }


@pytest.mark.parametrize("name", products())
def test_products_without_weights_are_refused(name):
    inputs = [keras.Input((16, 4)), keras.Input((16, 4))]
    model = keras.Model(inputs, products()[name](inputs))
    with pytest.raises(ValueError, match="`model` must have no matrix products but those of convolutions and dense"):
        flops.macs(model)


@pytest.mark.parametrize(
    "name, functions",
    {
        "softmax": [keras.layers.Softmax(), keras.ops.softmax, keras.activations.softmax],
        "silu": [keras.ops.silu, keras.activations.silu],
        "hard_silu": [keras.ops.hard_silu],
        "hard_sigmoid": [keras.ops.hard_sigmoid, keras.activations.hard_sigmoid],
    }.items(),
)
def test_an_activation_counts_alike_however_it_is_written(name, functions):
    x = keras.Input((4, 4, 3))
    expected = flops.beyond_macs(keras.Model(x, keras.layers.Activation(name)(x)))
    assert expected["activations"] > 0
    for function in functions:
        assert flops.beyond_macs(keras.Model(x, function(x))) == expected


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
