"""Maps of models of many kinds: nested, with one output unit, quantized, with shared layers, inside a `tf.function`."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kgpc
from kgpc import cam

FUNCTIONS = [cam.class_activation_map, cam.grad_cam, cam.hires_cam, cam.layer_cam]
EACH = pytest.mark.parametrize("function", FUNCTIONS)
ROOT = pathlib.Path(__file__).resolve().parents[1]


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape or (3, 8, 6, 3), dtype="float32")


def random_weights(model, seed=1):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(
            rng.uniform(0.5, 1.5, weight.shape) if "variance" in weight.path else rng.normal(0, 1, weight.shape)
        )
    return model


def features(x, name=""):
    x = layers.Conv2D(5, 3, padding="same", name=f"{name}first")(x)
    return layers.Conv2D(4, 3, strides=2, activation="relu", name=f"{name}second")(layers.BatchNormalization()(x))


def head(x, classes=3, activation="softmax"):
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return layers.Dense(classes, activation=activation, name="classifier")(x)


def flat_model():
    x = keras.Input((8, 6, 3))
    return random_weights(keras.Model(x, head(features(x))))


def backbone(name="backbone"):
    x = keras.Input((8, 6, 3))
    return keras.Model(x, features(x), name=name)


def in_sequential():
    top = (layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax", name="classifier"))
    return keras.Sequential([keras.Input((8, 6, 3)), backbone(), *top])


def in_functional():
    x = keras.Input((8, 6, 3))
    return keras.Model(x, head(backbone()(inputs=x, training=False)))


def head_within_too():
    x, maps = keras.Input((8, 6, 3)), keras.Input((3, 2, 4))
    return keras.Model(
        x, keras.Model(maps, head(maps), name="top")(keras.Sequential([x, backbone()])(x, training=True))
    )


def whole_in_whole():
    x, y = keras.Input((8, 6, 3)), keras.Input((8, 6, 3))
    within = keras.Model(x, head(features(x)), name="within")
    return keras.Sequential([keras.Input((8, 6, 3)), keras.Model(y, within(y)), layers.Softmax()])


NESTED = {
    "Sequential": in_sequential,
    "functional": in_functional,
    "backbone and head": head_within_too,
    "whole": whole_in_whole,
}


@EACH
@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
def test_models_within_models_have_the_maps_of_the_model_written_out(make, function):
    flat, model = flat_model(), make()
    model.set_weights(flat.get_weights())
    x = images()
    np.testing.assert_allclose(function(model, x), function(flat, x), atol=1e-5)
    for name in ("second", "first"):
        options = {"classifier": "classifier"} if function is cam.class_activation_map else {}
        if name == "second" or not options:
            expected = function(flat, x, 1, layer=name, **options)
            np.testing.assert_allclose(function(model, x, 1, layer=name, **options), expected, atol=1e-5)


def negated_softmax(x):
    return keras.ops.softmax(-x)


def softer_softmax(x):
    return keras.ops.softmax(x / 2)


def ending(activation, *, apart, units=3):
    """A model with an activation in its classifier, or in a layer of its own after it; the weights are the same."""
    x = keras.Input((8, 6, 3))
    y = head(features(x), units, None if apart else activation)
    return random_weights(keras.Model(x, layers.Activation(activation, name="end")(y) if apart else y))


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("activation", [tf.nn.softmax, softer_softmax, keras.ops.softmax, "tanh", "hard_sigmoid"])
def test_an_activation_that_keeps_the_order_of_the_logits_changes_nothing(activation, apart):
    model, x = ending(activation, apart=apart), images()
    expected = cam.class_activation_map(flat_model(), x, 2)
    np.testing.assert_allclose(cam.class_activation_map(model, x, 2), expected, atol=1e-6)
    assert expected.max() == 1


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("activation", [negated_softmax, lambda x: keras.ops.sigmoid(-x), "silu", "gelu"])
def test_an_activation_that_turns_the_order_round_is_refused_or_gradients_are_those_of_the_output(
    activation, units, apart
):
    model, x = ending(activation, units=units, apart=apart), images()
    where = "end" if apart else "classifier"
    with pytest.raises(ValueError, match=f"has the activation '.+' in '{where}'"):
        cam.class_activation_map(model, x, 0)
    if activation is negated_softmax and units == 3:
        maps = model.get_layer("second").output
        both = keras.Model(model.input, [maps, model.output])
        with tf.GradientTape() as tape:
            features, outputs = both(x)
            score = tf.reduce_sum(outputs[:, 1])
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
        expected = np.maximum(np.sum(features * weights, axis=-1), 0)
        peaks = expected.max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(cam.grad_cam(model, x, 1), expected / np.where(peaks > 0, peaks, 1), atol=1e-4)


def test_a_layer_within_a_model_is_named_by_its_path_or_alone():
    model = random_weights(in_sequential())
    x = images()
    expected = cam.grad_cam(model, x, 1)
    for name in ("backbone/second", "second", "backbone"):
        np.testing.assert_array_equal(cam.grad_cam(model, x, 1, layer=name), expected)
    with pytest.raises(ValueError, match="last ones are .*'backbone/second'.*Received: layer='third'"):
        cam.grad_cam(model, x, 1, layer="third")


class Closed(keras.Model):
    """A model whose layers cannot be read from outside."""

    def __init__(self):
        super().__init__(name="closed")
        self.convolution, self.pooling = layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()

    def call(self, inputs):
        return self.pooling(self.convolution(inputs))


class ClosedLayer(layers.Layer):
    def __init__(self):
        super().__init__(name="closed")
        self.within = Closed()

    def call(self, inputs):
        return self.within(inputs)


@pytest.mark.parametrize("kind", [Closed, ClosedLayer])
def test_feature_maps_inside_of_what_cannot_be_entered_are_not_taken_for_the_pixels(kind):
    model = keras.Sequential([keras.Input((8, 6, 3)), kind(), layers.Dense(3)])
    with pytest.raises(ValueError, match=f"the last feature maps are inside 'closed', a {kind.__name__}"):
        cam.grad_cam(model, images())
    with pytest.raises(ValueError, match="its classifier 'dense.*' reads the output of 'closed'"):
        cam.class_activation_map(model, images())


def one_unit(activation="sigmoid", separate=False):
    x = keras.Input((4, 4, 2))
    y = layers.Dense(1, activation=None if separate else activation, name="unit")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(x, layers.Activation(activation)(y) if separate else y)
    model.get_layer("unit").set_weights([np.array([[1.0], [-1.0]]), np.array([0.0])])
    return model


@EACH
@pytest.mark.parametrize("options", [{}, {"separate": True}, {"activation": None}], ids=str)
def test_one_output_unit_tells_two_classes_apart(function, options):
    """The first channel speaks for class 1, the second against it."""
    model = one_unit(**options)
    x = np.zeros((2, 4, 4, 2), "float32")
    x[:, 0, 0, 0], x[:, 3, 3, 1] = [1, 2], [2, 1]
    against, for_it = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    for_it[:, 0, 0] = against[:, 3, 3] = 1
    np.testing.assert_allclose(function(model, x, 1), for_it, atol=1e-6)
    np.testing.assert_allclose(function(model, x, 0), against, atol=1e-6)
    np.testing.assert_allclose(function(model, x), [against[0], for_it[1]], atol=1e-6)  # as predicted
    both = function(model, x, [[0, 1], [1, 0]])
    np.testing.assert_allclose(both[:, 0], [against[0], for_it[1]], atol=1e-6)
    with pytest.raises(ValueError, match=r"`class_index` must be in \[0, 2\)"):
        function(model, x, 2)


class Sharpened(layers.Dense):
    def call(self, inputs, training=None):
        return 3 * super().call(inputs)


def test_one_unit_of_an_unknown_layer_must_be_told_the_class():
    x = keras.Input((4, 4, 2))
    pooled = layers.GlobalAveragePooling2D()(x)
    model = random_weights(keras.Model(x, Sharpened(1, activation="sigmoid", name="unit")(pooled)))
    data = images(2, 4, 4, 2)
    with pytest.raises(ValueError, match="`class_index` must be given for.*one output unit.*class_index=None"):
        cam.grad_cam(model, data)
    sides = cam.grad_cam(model, data, [[0, 1]] * 2)
    kernel = model.get_layer("unit").get_weights()[0][:, 0]
    expected = np.maximum(np.einsum("nhwc,c->nhw", data, kernel), 0)
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-9)
    np.testing.assert_allclose(sides[:, 1], expected, atol=1e-5)
    assert not np.array_equal(sides[:, 0], sides[:, 1])


@EACH
def test_a_quantized_classifier_is_read_with_its_scales(function):
    """Compared with what the layer makes of one map at a time."""
    model = flat_model()
    classifier = model.get_layer("classifier")
    classifier.kernel.assign(classifier.kernel.numpy() * [0.1, 1, 10] + 1)  # so that the scales differ
    expected = function(model, images(), 1)
    classifier.quantize("int8")
    classifier.activation = keras.activations.linear
    weights = keras.ops.convert_to_numpy(classifier(np.eye(4)) - classifier(np.zeros((1, 4))))
    maps = keras.Model(model.input, model.get_layer("second").output)(images()).numpy()
    weights = np.maximum(weights, 0) if function is cam.layer_cam else weights
    exact = np.maximum(np.einsum("nhwc,ck->nkhw", maps, weights), 0)
    exact /= np.maximum(exact.max(axis=(2, 3), keepdims=True), 1e-9)
    classes = [[0, 1, 2]] * 3
    np.testing.assert_allclose(function(model, images(), classes), exact, atol=1e-5)
    np.testing.assert_allclose(function(model, images(), 1), expected, atol=0.05)


@EACH
def test_a_classifier_that_cannot_be_read_is_refused(function):
    model = flat_model()
    try:
        model.get_layer("classifier").quantize("int4")
    except (ValueError, NotImplementedError):
        pytest.skip("this release of Keras knows no int4")
    with pytest.raises(ValueError, match="`model` must have a classifier that is not quantized.*'classifier'.*int4"):
        function(model, images())


@EACH
def test_a_classifier_with_low_rank_weights_is_read_with_them(function):
    model, merged = flat_model(), flat_model()
    classifier = model.get_layer("classifier")
    classifier.enable_lora(2)
    classifier.lora_kernel_a.assign(np.full((4, 2), 0.5))
    classifier.lora_kernel_b.assign([[1, -2, 0], [3, 0, -1]])
    kernel, bias = merged.get_layer("classifier").get_weights()
    merged.get_layer("classifier").set_weights([kernel + np.full((4, 2), 0.5) @ [[1, -2, 0], [3, 0, -1]], bias])
    np.testing.assert_allclose(function(model, images()), function(merged, images()), atol=1e-5)


def used_elsewhere():
    """A model whose layers were called before, in another one."""
    flat = flat_model()
    first, normalize, second = flat.layers[1:4]
    x = keras.Input((8, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(second(normalize(first(keras.ops.copy(x)))))
    return keras.Model(x, flat.get_layer("classifier")(pooled))


@EACH
def test_a_layer_that_is_used_elsewhere_too_has_the_map_of_this_model(function):
    flat, model = flat_model(), used_elsewhere()
    options = {"classifier": "classifier"} if function is cam.class_activation_map else {}
    actual = function(model, images(), 2, layer="second", **options)
    np.testing.assert_allclose(actual, function(flat, images(), 2), atol=1e-5)


def called_twice():
    convolution = layers.Conv2D(3, 3, padding="same", name="again")
    x = keras.Input((8, 6, 3))
    return random_weights(keras.Model(x, head(convolution(keras.ops.tanh(convolution(x))))))


def two_branches():
    x = keras.Input((8, 6, 3))
    within = backbone()
    return random_weights(keras.Model(x, head(layers.Add()([within(x), within(keras.ops.tanh(x))]))))


def test_a_layer_that_is_called_twice_is_refused_by_name_and_is_right_without():
    """The maps of its last call are those of a copy that is called once."""
    model, x = called_twice(), keras.Input((8, 6, 3))
    first, second = (layers.Conv2D(3, 3, padding="same", name=name) for name in ("one", "two"))
    flat = keras.Model(x, head(second(keras.ops.tanh(first(x)))))
    weights = model.get_weights()
    flat.set_weights([*weights[:2], *weights])
    for function in FUNCTIONS:
        np.testing.assert_allclose(function(model, images()), function(flat, images()), atol=1e-5)
        with pytest.raises(ValueError, match="`layer` must be a layer that is called once.*layer='again'.*2 times"):
            function(model, images(), layer="again")
    for name in ("second", "backbone/second", "backbone"):
        with pytest.raises(ValueError, match=f"called once. Received: layer='{name}', which is called 2 times"):
            cam.grad_cam(two_branches(), images(), layer=name)


class AlwaysDropping(layers.Dropout):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class Weighted(layers.GlobalAveragePooling2D):
    def call(self, inputs):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    "pooling, between, classifier, message",
    [
        (Weighted, layers.Dropout, layers.Dense, "reads the output of 'weighted.*', not globally averaged"),
        (layers.GlobalAveragePooling2D, AlwaysDropping, layers.Dense, "reads the output of 'always_dropping"),
        (layers.GlobalAveragePooling2D, layers.Dropout, Sharpened, "must end in a dense layer.*ends in 'sharpened"),
    ],
)
def test_subclasses_are_not_taken_for_their_parents(pooling, between, classifier, message):
    x = keras.Input((8, 6, 3))
    between = between(0.5)
    model = keras.Model(x, classifier(3)(between(pooling()(features(x)))))
    with pytest.raises(ValueError, match=message):
        cam.class_activation_map(model, images())
    assert cam.grad_cam(model, images()).shape == (3, 3, 2)  # of what the subclass reads


def test_maps_with_their_channels_first_are_refused():
    x = keras.Input((3, 8, 8))
    y = layers.Conv2D(8, 1, data_format="channels_first", name="maps")(x)
    model = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D(data_format="channels_first")(y)))
    for options in ({}, {"layer": "maps"}):
        with pytest.raises(ValueError, match=r"feature maps \(batch, height, width, channels\).*'channels_first'"):
            cam.grad_cam(model, images(1, 3, 8, 8), **options)


@EACH
@pytest.mark.parametrize("pooling", [layers.Flatten(), lambda x: keras.ops.mean(x, axis=(2, 3))], ids=["flat", "mean"])
def test_channels_first_are_refused_whatever_follows(function, pooling):
    x = keras.Input((3, 8, 6))
    y = layers.ReLU(name="relu")(layers.Conv2D(8, 1, data_format="channels_first", name="maps")(x))
    model = keras.Model(x, layers.Dense(3, name="classifier")(pooling(y)))
    named = {"classifier": "classifier"} if function is cam.class_activation_map else {}
    for options in ({}, {"layer": "maps", **named}, {"layer": "relu", **named}):
        with pytest.raises(ValueError, match="'maps' with data_format='channels_first'"):
            function(model, images(1, 3, 8, 6), 1, **options)
    for other in (cam.class_scores, cam.deletion_curve):
        with pytest.raises(ValueError, match="'maps' with data_format='channels_first'"):
            arguments = () if other is cam.class_scores else (np.ones((1, 8, 6)),)
            other(model, images(1, 3, 8, 6), *arguments)


def test_the_class_of_another_classifier_must_be_given():
    x = keras.Input((8, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(features(x))
    hidden = layers.Dense(7, name="hidden")(pooled)
    model = random_weights(keras.Model(x, layers.Dense(3)(hidden)))
    options = {"layer": "second", "classifier": "hidden"}
    with pytest.raises(ValueError, match="`class_index` must be given.*'hidden' has 7 classes.*classifier='hidden'"):
        cam.class_activation_map(model, images(), **options)
    assert cam.class_activation_map(model, images(), 6, **options).shape == (3, 3, 2)


def test_a_named_classifier_that_reads_positions_is_refused():
    x = keras.Input((8, 6, 3))
    maps = features(x)
    pixels = layers.Conv2D(3, 1, name="pixels")(maps)
    halves = layers.Dense(3, name="halves")(layers.Reshape((2, 2))(layers.GlobalAveragePooling2D()(maps)))
    outputs = [layers.GlobalAveragePooling2D()(pixels), layers.GlobalAveragePooling1D()(halves)]
    model = random_weights(keras.Model(x, layers.Add()(outputs)))
    for name in ("pixels", "halves"):
        with pytest.raises(ValueError, match=f"not defined.*'{name}' reads.*not globally averaged.*Use `grad_cam`"):
            cam.class_activation_map(model, images(), 0, layer="second", classifier=name)


@EACH
def test_maps_made_while_a_function_is_traced_are_right(function):
    model = flat_model()
    expected, traced = function(model, images(), 1), []

    @tf.function
    def step(x):
        traced.append(function(model, images(), 1))
        return x

    step(tf.constant(0.0))
    np.testing.assert_allclose(traced[0], expected, atol=1e-6)


@EACH
def test_images_without_values_are_refused(function):
    model = flat_model()
    with pytest.raises(TypeError, match="`images` must be floating-point numbers with values at hand"):
        tf.function(lambda x: function(model, x, 1), autograph=False)(tf.constant(images()))
    with pytest.raises(TypeError, match="`images` must be floating-point numbers with values at hand"):
        function(model, keras.Input((8, 6, 3)))


def test_maps_written_by_hand_inside_a_function_agree():
    """The gradients of a compiled step by the outputs of layers are the ones that the maps show."""
    names = ["conv_pad_2", "conv_dw_2_bn", "conv_pw_3_bn_group_interleaved", "conv_pw_5_bn_bn"]
    keras.utils.set_random_seed(0)
    model = kgpc.applications.kMobileNet(alpha=0.25, input_shape=(64, 64, 3), classes=3, classifier_activation=None)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            low, high = (-0.4, 0.4) if weight.name in ("beta", "moving_mean") else (0.5, 1.5)
            weight.assign(rng.uniform(low, high, weight.shape))
    view = keras.Model(model.input, [*(model.get_layer(name).output for name in names), model.output])
    data = images(2, 64, 64, 3)

    @tf.function
    def weighted(x):
        with tf.GradientTape(persistent=True) as tape:
            *maps, logits = view(x, training=False)
            scores = [tf.reduce_sum(logits[:, index]) for index in range(3)]
        gradients = [tape.gradient(score, maps) for score in scores]
        made = {cam.grad_cam: [], cam.hires_cam: [], cam.layer_cam: []}
        for index, each in enumerate(maps):
            slopes = tf.stack([row[index] for row in gradients], axis=1)
            weights = {
                cam.grad_cam: tf.reduce_mean(slopes, axis=(2, 3), keepdims=True),
                cam.hires_cam: slopes,
                cam.layer_cam: tf.nn.relu(slopes),
            }
            for method, weight in weights.items():
                made[method].append(tf.nn.relu(tf.reduce_sum(each[:, None] * weight, axis=-1)))
        return list(made.values())

    for function, rows in zip(FUNCTIONS[1:], weighted(data), strict=True):
        for name, expected in list(zip(names, rows, strict=True))[:: 1 if function is cam.grad_cam else 3]:
            expected = expected.numpy()
            assert expected.any()
            expected /= np.maximum(expected.max(axis=(2, 3), keepdims=True), 1e-30)
            np.testing.assert_allclose(function(model, data, [[0, 1, 2]] * 2, layer=name), expected, atol=1e-5)


ON_JAX = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_cam_models as made
np.savez(sys.argv[2], **made.maps_of_many_kinds())
"""


def maps_of_many_kinds():
    nested = random_weights(in_sequential())
    return {
        "nested": cam.class_activation_map(nested, images(), [[0, 1]] * 3),
        "nested, gradients": cam.grad_cam(nested, images(), [[0, 1]] * 3),
        "nested, at each position": cam.hires_cam(nested, images(), [[0, 1]] * 3, layer="first"),
        "elsewhere": cam.grad_cam(used_elsewhere(), images(), 2, layer="first"),
        "one unit": cam.class_activation_map(one_unit(), images(2, 4, 4, 2)),
        "logits": cam.class_scores(nested, images()).logits,
        "deletion": cam.deletion_curve(nested, images(), images()[..., 0], steps=5, batch_size=4).probabilities,
        "random weights": cam.randomization_test(nested, images(), layers=["classifier"]).maps,
    }


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_gives_the_same_maps_scores_and_curves(tmp_path):
    command = [sys.executable, "-c", ON_JAX, str(ROOT / "tests"), str(tmp_path / "maps.npz")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    theirs = np.load(tmp_path / "maps.npz")
    for name, maps in maps_of_many_kinds().items():
        np.testing.assert_allclose(theirs[name], maps, atol=1e-4, err_msg=name)
