"""Depthwise convolution: the results of Keras' own, whichever implementation computes the gradient of the kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgpc import layers

CASES = {
    "5x5": dict(size=(8, 6), width=5),
    "5x5, one pixel": dict(size=(1, 1), width=5),
    "3x3, two pixels": dict(size=(2, 2), width=3),
    "3x3, stride 2": dict(size=(7, 8), width=3, strides=2),
    "3x3, stride 2, no padding": dict(size=(7, 8), width=3, strides=2, padding="valid"),
    "5x5, stride 2, two filters for each channel": dict(size=(6, 9), width=5, strides=2, depth_multiplier=2),
    "3x5": dict(size=(5, 7), width=(3, 5)),
}
LEFT_TO_TENSORFLOW = {
    "3x3": dict(size=(8, 8), width=3),
    "3x3, spread out": dict(size=(8, 8), width=3, dilation_rate=2),
    "open size": dict(size=(None, None), width=5),
}


def pair(size, width, padding="same", **options):
    """A layer of ours and one of Keras with the same weights, and images."""
    options = {"padding": padding, "bias_initializer": "ones", "activation": "tanh", **options}
    ours, theirs = layers.DepthwiseConv2D(width, **options), keras.layers.DepthwiseConv2D(width, **options)
    images = tf.random.stateless_normal((3, *(length or 8 for length in size), 4), seed=(0, 1))
    for layer in (ours, theirs):
        layer.build((None, *size, 4))
    theirs.set_weights(ours.get_weights())
    return ours, theirs, images


def gradients(layer, images, shape=None, jit_compile=None):
    """Outputs of a compiled training step, and gradients of a sum of them; and the graph of it."""

    @tf.function(
        autograph=False, jit_compile=jit_compile, input_signature=[tf.TensorSpec(shape or images.shape, images.dtype)]
    )
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True) if isinstance(layer, layers.DepthwiseConv2D) else layer(images)
            loss = tf.reduce_sum(tf.square(outputs - 0.3))
        return outputs, tape.gradient(loss, [images, *(variable.value for variable in layer.trainable_variables)])

    return tf.nest.flatten(step(images)), step.get_concrete_function().graph


def kernel_gradient(graph):
    (operation,) = (op for op in graph.get_operations() if op.type == "DepthwiseConv2dNativeBackpropFilter")
    return operation


@pytest.mark.parametrize("case", [*CASES, *LEFT_TO_TENSORFLOW])
def test_outputs_and_gradients_are_those_of_keras(case):
    options = {**CASES, **LEFT_TO_TENSORFLOW}[case]
    ours, theirs, images = pair(**options)
    shape = (None, *options["size"], 4)
    actual, _ = gradients(ours, images, shape)
    expected, _ = gradients(theirs, images, shape)
    for value, reference in zip(actual, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU has its own implementation")
def test_slow_kernel_gradients_are_kept_from_onednn():
    for case, options in CASES.items():
        ours, _, images = pair(**options)
        assert kernel_gradient(gradients(ours, images)[1]).get_attr("padding") == b"EXPLICIT", case
    options = LEFT_TO_TENSORFLOW["3x3"]
    ours, _, images = pair(**options)
    assert kernel_gradient(gradients(ours, images)[1]).get_attr("padding") == b"SAME"


def test_a_step_compiled_by_xla_has_the_same_gradients():
    ours, theirs, images = pair(size=(6, 6), width=5, strides=2)
    for value, reference in zip(
        gradients(ours, images, jit_compile=True)[0], gradients(theirs, images)[0], strict=True
    ):
        np.testing.assert_allclose(value, reference, rtol=1e-5, atol=1e-5)


def test_a_padded_convolution_has_the_gradients_of_keras():
    def model(layer, padding):
        inputs = keras.Input((7, 7, 4))
        return keras.Model(inputs, layer(5, strides=2, name="depthwise")(padding(((2, 2), (2, 2)))(inputs)))

    ours = model(layers.DepthwiseConv2D, layers.ZeroPadding2D)
    theirs = model(keras.layers.DepthwiseConv2D, keras.layers.ZeroPadding2D)
    theirs.set_weights(ours.get_weights())
    images = tf.random.stateless_normal((3, 7, 7, 4), seed=(0, 1))

    @tf.function(autograph=False)
    def step(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(images, training=True)))
        return loss, *tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    for value, reference in zip(step(ours), step(theirs), strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-5, atol=1e-5)


def test_mixed_precision_trains():
    layer = layers.DepthwiseConv2D(5, padding="same", dtype="mixed_bfloat16")
    images = tf.random.stateless_normal((3, 4, 4, 4), seed=(0, 1))
    values, _ = gradients(layer, images)
    assert all(np.isfinite(np.asarray(value, "float32")).all() for value in values)
