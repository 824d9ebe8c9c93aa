"""Gradients by the tensors between layers: what a compiled step gives is what an eager one gives, and is right.

A layer that took its input from further back would leave the tensor between without a gradient, or with a wrong one;
shared representations, Grad-CAM and gradient penalties need it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from plain_networks import plain

import kgpc
from kgpc import applications, layers
from kgpc.merging import training_twin

FAMILIES = {
    "kMobileNet": lambda: applications.kMobileNet(
        alpha=0.25, input_shape=(32, 32, 3), classes=4, scheme=kgpc.D6(8), skip_stride_cnt=2, dropout=0.0
    ),
    "kEffNet": lambda: applications.kEfficientNetB0(
        width=0.5,
        depth=0.2,
        input_shape=(32, 32, 3),
        classes=4,
        scheme=kgpc.D6(8),
        skip_stride_cnt=2,
        dropout=0.0,
        drop_connect_rate=0.0,
    ),
    "kMobileNetV3": lambda: applications.kMobileNetV3Small(
        alpha=0.5, input_shape=(32, 32, 3), classes=4, scheme=kgpc.D6(8), dropout=0.0
    ),
    "kDenseNet": lambda: applications.kDenseNetBC(input_shape=(16, 16, 3), classes=4, scheme=kgpc.D6(12), depth=16),
    "kInceptionV3": lambda: applications.kInceptionV3(
        alpha=0.125, input_shape=(75, 75, 3), classes=4, scheme=kgpc.D6(8)
    ),
}


def by_every_tensor(model, images, compiled, training=True):
    """Gradients of a sum of the outputs by the outputs of all layers, by name; None where there is none."""
    between = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    everything = keras.Model(model.input, [layer.output for layer in between])
    rng = np.random.default_rng(1)
    weights = tf.constant(rng.normal(size=(len(images), model.output.shape[-1])), images.dtype)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = everything(x, training=training)
            loss = tf.reduce_sum(found[-1] * weights)
        # The tensors are returned too, so that TensorFlow's rewriting of graphs leaves both sides the same operations.
        return found, tape.gradient(loss, found)

    _, gradients = (tf.function(run, autograph=False) if compiled else run)(images)
    return {layer.name: gradient for layer, gradient in zip(between, gradients, strict=True)}


def largest_difference(model, images):
    """Between eager and compiled gradients by any tensor: largest difference over largest gradient."""
    eager, compiled = (by_every_tensor(model, images, compiled) for compiled in (False, True))
    assert None not in [*eager.values(), *compiled.values()]
    return max(float(tf.reduce_max(abs(compiled[name] - g)) / tf.reduce_max(abs(g))) for name, g in eager.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_and_eager_gradients_by_every_tensor_agree(family):
    keras.utils.set_random_seed(3)
    model = FAMILIES[family]()
    size, differences = model.input.shape[1], []
    # A gradient that is wrong is wrong for any images. One value whose rounding crosses the kink of a ReLU changes the
    # gradients behind it too, in networks of any layers, but not for one batch after the other.
    for seed in range(4):
        images = tf.constant(np.random.default_rng(seed).random((4, size, size, 3), dtype="float32"))
        difference = largest_difference(model, images)
        if difference <= 1e-5:
            return
        # Where normalization over few values enlarges each rounding, plain layers are no closer.
        of_plain = largest_difference(plain(model, "float32"), images)
        if difference <= 2 * of_plain:
            return
        differences.append((difference, of_plain))
    raise AssertionError(f"compiled and eager gradients differ by {differences}, ours and plain layers'")


def chain(first, second, channels=12):
    """A network of a few layers, with pooling at its end."""
    x = inputs = keras.Input((6, 6, channels))
    for layer in (keras.layers.Conv2D(channels, 1, activation="tanh"), first, second):
        x = layer(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh")(x)))


PAIRS = {
    "interleaved": lambda: (layers.InterleaveChannels(4), layers.GroupedPointwiseConv2D(12, 3)),
    "copied": lambda: (layers.CopyChannels(20), layers.GroupedPointwiseConv2D(10, 5)),
    "normalized": lambda: (layers.BatchNormalization(), layers.GroupedPointwiseConv2D(12, 3)),
    "to be merged": lambda: (layers.BatchNormalization(merge=True), layers.GroupedPointwiseConv2D(12, 3)),
    "padded": lambda: (layers.ZeroPadding2D(((0, 1), (0, 1))), layers.DepthwiseConv2D(3, strides=2)),
    "padded for 5x5": lambda: (layers.ZeroPadding2D(((1, 2), (1, 2))), layers.DepthwiseConv2D(5, strides=2)),
    "activated": lambda: (layers.Activation("swish"), layers.DepthwiseConv2D(5, padding="same")),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
def test_gradients_by_a_tensor_between_two_layers_are_right(pair, training):
    model = chain(*PAIRS[pair]())
    images = np.random.default_rng(0).normal(1, 2, (4, 6, 6, 12))
    expected = by_every_tensor(plain(model), tf.constant(images), False, training)
    actual = by_every_tensor(model, tf.constant(images, "float32"), True, training)
    for name, gradient in expected.items():
        assert actual[name] is not None, name
        np.testing.assert_allclose(actual[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max(), err_msg=name)


def test_a_second_reader_has_its_share():
    """A shared representation: two heads read the same interleaved tensor."""
    inputs = keras.Input((4, 4, 12))
    x = layers.InterleaveChannels(4, name="shared")(layers.BatchNormalization(merge=True)(inputs))
    heads = [
        layers.GroupedPointwiseConv2D(6, 3)(x),
        keras.layers.Conv2D(6, 1)(x),
        layers.GroupedPointwiseConv2D(6, 3)(keras.layers.Concatenate()([x, inputs])),
    ]
    heads = [keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh")(head)) for head in heads]
    model = keras.Model(inputs, keras.layers.Concatenate()(heads))
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 12))
    expected = by_every_tensor(plain(model), tf.constant(images), False)
    actual = by_every_tensor(model, tf.constant(images, "float32"), True)
    for name, gradient in expected.items():
        np.testing.assert_allclose(actual[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max(), err_msg=name)


def small_network():
    """One of each kind of layer, with a normalization and an interleaving that a twin merges."""
    x = inputs = keras.Input((6, 6, 12))
    x = layers.BatchNormalization(merge=True)(x)
    x = layers.Activation("swish")(layers.GroupedPointwiseConv2D(24, 3)(x))
    x = layers.DepthwiseConv2D(5, strides=2)(layers.ZeroPadding2D(((1, 2), (1, 2)))(x))
    x = layers.GroupedPointwiseConv2D(12, 4)(layers.InterleaveChannels(4)(layers.CopyChannels(20)(x)))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh")(x)))


@pytest.mark.parametrize("rewrite", [lambda model: model, training_twin], ids=["model", "twin"])
def test_a_network_works_in_the_branches_of_a_condition(rewrite):
    network = rewrite(small_network())
    x = tf.constant(np.random.default_rng(0).normal(1, 2, (4, 6, 6, 12)).astype("float32"))

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            once = network(x, training=True)
            twice = tf.cond(tf.reduce_sum(x) > -1e9, lambda: network(x, training=True), lambda: -once)
            loss = tf.reduce_sum(tf.sin(once + 2 * twice))
        return loss, tape.gradient(loss, x)

    for compiled, eager in zip(tf.function(run, autograph=False)(x), run(x), strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5 * np.abs(eager).max())


def test_large_feature_maps_work_in_the_branches_of_a_condition():
    """Their swish has a gradient that is compiled, which needs a tensor from within the branch."""
    inputs = keras.Input((12, 12, 32))
    x = layers.Activation("swish")(layers.GroupedPointwiseConv2D(32, 4)(inputs))
    network = keras.Model(inputs, layers.DepthwiseConv2D(3)(x))
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 12, 12, 32)).astype("float32"))

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cond(tf.reduce_sum(x) < 1e9, lambda: network(x, training=True), lambda: x[:, 1:-1, 1:-1])
            loss = tf.reduce_sum(tf.sin(y))
        return tape.gradient(loss, [x, *network.trainable_weights])

    for compiled, eager in zip(tf.function(run, autograph=False)(x), run(x), strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=0, atol=1e-5 * np.abs(eager).max())


@pytest.mark.parametrize("rewrite", [lambda model: model, training_twin], ids=["model", "twin"])
def test_a_gradient_penalty_in_a_compiled_step_is_right(rewrite):
    """R1: the squared gradient of the outputs by the images, whose gradient by the weights is learned from."""
    model = small_network()
    images = np.random.default_rng(0).normal(1, 2, (4, 6, 6, 12))

    def penalty(network, weights, x):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(network(x, training=True) ** 2)
            loss = tf.reduce_sum(inner.gradient(total, x) ** 2)
        return outer.gradient(loss, [weight.value for weight in weights])

    reference, network = plain(model), rewrite(model)
    expected = penalty(reference, reference.trainable_weights, tf.constant(images))
    step = tf.function(lambda x: penalty(network, model.trainable_weights, x), autograph=False)
    for ours, theirs in zip(step(tf.constant(images, "float32")), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_grad_cam_in_a_compiled_function_is_right():
    """By the concatenation that ends a stage of kDenseNet, which normalization and transition read."""
    model = applications.kDenseNetBC(input_shape=(16, 16, 3), classes=4, depth=10, classifier_activation=None)
    images = np.random.default_rng(0).random((2, 16, 16, 3))

    def maps(model, x):
        features = keras.Model(model.input, [model.get_layer("dn2_b1_concat").output, model.output])
        with tf.GradientTape() as tape:
            found, scores = features(x, training=False)
            score = tf.reduce_sum(scores[:, 1])
        weights = tf.reduce_mean(tape.gradient(score, found), (1, 2), keepdims=True)
        return tf.reduce_sum(weights * found, -1)

    expected = maps(plain(model), tf.constant(images))
    actual = tf.function(lambda x: maps(model, x), autograph=False)(tf.constant(images, "float32"))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
