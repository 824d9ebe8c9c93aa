"""Activation functions."""

import functools
import math

import keras

from kgpc.layers.checks import found

# Below this many elements per image a gradient is too cheap to be worth compiling.
_LARGE_FEATURE_MAP = 2**12


@functools.cache
def _tensorflow_swish():
    """Swish for TensorFlow on a processor whose gradient is one compiled loop, or None where that is not to be had.

    TensorFlow fuses the value `x * sigmoid(x)` by itself, but computes the gradient operation by operation. Each of
    them reads and writes the whole feature map, and memory is what these models wait for. XLA turns the gradient into
    one loop.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None

    @tf.function(jit_compile=True, autograph=False)
    def gradient(x, upstream):
        sigmoid = tf.sigmoid(x)
        return upstream * sigmoid * (1 + x * (1 - sigmoid))

    @tf.custom_gradient
    def swish(x):
        # By way of an operation of its own: a compiled function cannot be the first to reach into a `tf.cond` for it.
        return x * tf.sigmoid(x), lambda upstream: gradient(tf.identity(x), upstream)

    with tf.init_scope():
        try:
            gradient(tf.zeros(1), tf.zeros(1))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError):
            return None
    return swish


@keras.saving.register_keras_serializable(package="kgpc")
class Activation(keras.layers.Activation):
    """`keras.layers.Activation` with a faster gradient of swish for large feature maps on TensorFlow.

    Same arguments and results as the parent class; only the time differs. Eager calls, small or open image sizes,
    other activations and other backends run the parent's code.

    Args:
        activation: name of a Keras activation, or callable.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if `activation` is neither.
    """

    def __init__(self, activation, **kwargs):
        found("activation", keras.activations.get, activation)
        super().__init__(activation, **kwargs)

    def call(self, inputs):
        if self.activation is keras.activations.silu and self._large(inputs):
            swish = _tensorflow_swish()
            if swish is not None:
                return swish(inputs)
        return super().call(inputs)

    def _large(self, inputs):
        if keras.backend.backend() != "tensorflow" or isinstance(inputs, keras.KerasTensor):
            return False
        import tensorflow as tf

        sizes = inputs.shape[1:]
        return not tf.executing_eagerly() and None not in sizes and math.prod(sizes) >= _LARGE_FEATURE_MAP
