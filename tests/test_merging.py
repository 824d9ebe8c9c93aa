"""The training twin: the same variables, outputs, gradients and statistics, and a graph that shows what it does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from plain_networks import plain

import kgpc
from kgpc import graph, layers
from kgpc.merging import (
    ChannelMoments,
    InterleavedPointwiseConv2D,
    NormalizedPointwiseConv2D,
    training_twin,
)


def dense_block(activation="tanh"):
    """Three steps of a densely connected block, as in kDenseNet: normalizations over nested concatenations."""
    x = inputs = keras.Input((6, 5, 12))
    for index in range(3):
        y = layers.BatchNormalization(merge=True, epsilon=1e-3, momentum=0.7, name=f"bn_{index}")(x)
        y = layers.GroupedPointwiseConv2D(24, groups=index + 1, use_bias=index == 1, name=f"grouped_{index}")(y)
        y = keras.layers.Activation(activation)(y)
        y = layers.InterleaveChannels(6, name=f"interleave_{index}")(y)
        y = layers.GroupedPointwiseConv2D(12, groups=4, name=f"mixed_{index}")(y)
        x = keras.layers.Concatenate(name=f"concat_{index}")([x, y])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if weight.name in ("gamma", "beta", "bias"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(1, 2, size=(4, 6, 5, 12)).astype("float32")


def values(weights):
    return [np.asarray(weight.value) for weight in weights]


def step(model, images, compiled, weights):
    """Output, gradients by input and weights, and moving statistics after a step of training."""
    moving = [weight for weight in model.non_trainable_weights if weight.name.startswith("moving")]
    before = values(moving)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
            loss = tf.reduce_sum(tf.sin(3 * y))
        return [y, *tape.gradient(loss, [x, *(weight.value for weight in weights)])]

    found = [np.asarray(value) for value in (tf.function(run, autograph=False) if compiled else run)(images)]
    found += values(moving)
    for weight, value in zip(moving, before, strict=True):
        weight.assign(value)
    return found


@pytest.mark.parametrize("compiled", [False, True])
def test_a_dense_block_trains_as_layer_by_layer_in_double_precision(images, compiled):
    model = dense_block()
    reference = plain(model)
    expected = step(reference, tf.constant(images, "float64"), False, reference.trainable_weights)
    twin = training_twin(model)
    actual = step(twin, tf.constant(images), compiled, model.trainable_weights)
    assert len(actual) == len(expected) > 20
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_the_graph_of_the_twin_shows_what_is_merged_and_the_variables_are_shared():
    model = dense_block()
    twin = training_twin(model)
    kinds = [type(layer) for layer in twin.layers]
    assert kinds.count(NormalizedPointwiseConv2D) == kinds.count(InterleavedPointwiseConv2D) == 3
    # One for the input, two for what later normalizations read beside it.
    assert kinds.count(ChannelMoments) == 3
    assert layers.InterleaveChannels not in kinds and layers.BatchNormalization not in kinds
    assert {id(variable) for variable in twin.variables} == {id(variable) for variable in model.variables}
    assert [variable.path for variable in twin.trainable_variables] == [
        variable.path for variable in model.trainable_variables
    ]
    assert len(model.layers) == 1 + 3 * 6 + 1
    assert model.get_layer("bn_2").output.shape == (None, 6, 5, 36)


def test_gradients_of_every_tensor_of_the_twin_are_right(images):
    """By what the layers of the twin compute from each other, in eager and in compiled steps."""
    twin = training_twin(dense_block())
    calls = graph.Network(twin).graphs[0].calls
    everything = keras.Model(twin.input, [tensor for call in calls for tensor in call.outputs])
    assert any(isinstance(call.operation, ChannelMoments) for call in calls)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = everything(x, training=True)
            loss = tf.reduce_sum(tf.sin(3 * found[-1]))
        return tape.gradient(loss, found)

    eager, compiled = run(tf.constant(images)), tf.function(run, autograph=False)(tf.constant(images))
    for ours, theirs in zip(compiled, eager, strict=True):
        # The gradient by a variance is the difference of two sums over all pixels, each much larger than it.
        tolerance = 1e-4 if theirs.shape.rank == 1 else 1e-5
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_penalty_is_right(images, compiled):
    """The gradient, by the weights, of the squared gradient by the images."""
    model = dense_block()
    reference = plain(model)

    def penalty(model, weights, x):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(3 * model(x, training=True)))
            squares = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        # A bias before a mean over pixels has no share in the penalty's gradient everywhere, so None is possible.
        return outer.gradient(squares, [weight.value for weight in weights], unconnected_gradients="zero")

    expected = penalty(reference, reference.trainable_weights, tf.constant(images, "float64"))
    twin = training_twin(model)
    for network in (twin, model):

        def run(x, network=network):
            return penalty(network, model.trainable_weights, x)

        actual = (tf.function(run, autograph=False) if compiled else run)(tf.constant(images))
        for ours, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * np.abs(theirs).max() + 1e-5)


def test_inference_and_frozen_normalizations_are_left_as_they_are(images):
    model = dense_block()
    twin = training_twin(model)
    np.testing.assert_allclose(twin(images), model(images), atol=1e-6)
    for index in range(3):
        model.get_layer(f"bn_{index}").trainable = False
    before = values(model.non_trainable_weights)
    np.testing.assert_allclose(twin(images, training=True), model(images), atol=1e-6)
    for old, new in zip(before, values(model.non_trainable_weights), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_the_twin_learns_the_model_knows(images):
    model = dense_block()
    twin = training_twin(model)
    before = values(model.weights)
    twin.compile("sgd", "mse")
    twin.fit(images, np.ones((4, 48), "float32"), epochs=2, verbose=0)
    assert all((old != new).any() for old, new in zip(before, values(model.weights), strict=True))
    np.testing.assert_allclose(twin(images), model(images), atol=1e-6)


def test_the_model_is_saved_as_before_its_twin_was_made(images, tmp_path):
    model = dense_block()
    before = model.get_config()
    training_twin(model)
    assert model.get_config() == before
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(images), model(images))
    assert {type(layer) for layer in training_twin(again).layers} == {
        type(layer) for layer in training_twin(model).layers
    }


def second_reader():
    inputs = keras.Input((4, 4, 12))
    x = layers.BatchNormalization(merge=True, name="bn")(inputs)
    return keras.Model(inputs, keras.layers.Concatenate()([x, layers.GroupedPointwiseConv2D(12, 3)(x)]))


def output_of_the_model():
    inputs = keras.Input((4, 4, 12))
    x = layers.InterleaveChannels(4)(inputs)
    return keras.Model(inputs, [x, layers.GroupedPointwiseConv2D(12, 3)(x)])


def shared():
    inputs = keras.Input((4, 4, 12))
    convolution = layers.GroupedPointwiseConv2D(12, 3)
    return keras.Model(inputs, convolution(layers.InterleaveChannels(4)(convolution(inputs))))


def in_inference():
    inputs = keras.Input((4, 4, 12))
    x = layers.BatchNormalization(merge=True)(inputs, training=False)
    return keras.Model(inputs, layers.GroupedPointwiseConv2D(12, 3)(x))


class Doubled(layers.GroupedPointwiseConv2D):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


def subclassed():
    inputs = keras.Input((4, 4, 12))
    return keras.Model(inputs, Doubled(12, 3)(layers.InterleaveChannels(4)(inputs)))


class Reversed(keras.Model):
    """A functional model with a training step of its own."""

    def compute_loss(self, *args, **kwargs):
        return -super().compute_loss(*args, **kwargs)


def of_its_own_class():
    model = dense_block()
    return Reversed(model.input, model.output)


def with_a_step_of_its_own():
    model = dense_block()
    model.compute_loss = lambda *args, **kwargs: 0.0
    return model


def not_asked_for():
    inputs = keras.Input((4, 4, 12))
    return keras.Model(inputs, layers.GroupedPointwiseConv2D(12, 3)(layers.BatchNormalization()(inputs)))


def many_channels():
    inputs = keras.Input((2, 2, 96))
    return keras.Model(inputs, layers.GroupedPointwiseConv2D(96, 6)(layers.InterleaveChannels(16)(inputs)))


def mixed_precision():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return dense_block()
    finally:
        keras.config.set_dtype_policy(previous)


@pytest.mark.parametrize(
    "make",
    [
        second_reader,
        output_of_the_model,
        shared,
        in_inference,
        subclassed,
        of_its_own_class,
        with_a_step_of_its_own,
        not_asked_for,
        many_channels,
        mixed_precision,
    ],
)
def test_where_nothing_can_be_merged_the_model_itself_is_returned(make):
    model = make()
    assert training_twin(model) is model


def test_a_model_within_the_model_is_rewritten_too(images):
    inputs = keras.Input((6, 5, 12))
    model = keras.Sequential([keras.Input((6, 5, 12)), keras.layers.Rescaling(0.5), dense_block()])
    outer = keras.Model(inputs, keras.layers.Dense(3)(model(inputs)))
    twin = training_twin(outer)
    levels = graph.Network(twin).graphs
    assert any(isinstance(call.operation, NormalizedPointwiseConv2D) for level in levels for call in level.calls)
    np.testing.assert_allclose(twin(images, training=True), outer(images, training=True), rtol=1e-4, atol=1e-4)


def test_the_bottlenecks_of_kdensenet_are_merged_where_they_are_grouped():
    model = kgpc.applications.kDenseNetBC(input_shape=(8, 8, 3), depth=10)
    by_input = {id(layer.input): layer for layer in model.layers}
    convolutions = {layer.name: by_input[id(layer.output)] for layer in model.layers if getattr(layer, "merge", False)}
    assert list(convolutions) == [f"dn{stage}_b1_bottleneck_bn" for stage in (1, 2, 3)]
    grouped = [name for name, layer in convolutions.items() if isinstance(layer, layers.GroupedPointwiseConv2D)]
    merged = [layer.normalization.name for layer in training_twin(model).layers if hasattr(layer, "normalization")]
    assert merged == grouped != []


def test_only_models_have_twins():
    with pytest.raises(TypeError, match="`model` must be a Keras model. Received: model='kDenseNet'"):
        training_twin("kDenseNet")
