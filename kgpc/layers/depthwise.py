"""Depthwise convolution without a padded copy, and with a kernel gradient that does not wait for slow code."""

import functools

import keras
from keras import ops

from kgpc import merging
from kgpc.layers.checks import in_compiled_training

# With 3x3 kernels and stride 1, oneDNN's kernel gradient is as fast as TensorFlow's own on maps larger than this.
_SMALL_MAP = 3


@keras.saving.register_keras_serializable(package="kgpc")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`, which takes over the padding of a `ZeroPadding2D` before it where it can.

    Same arguments, weights and results as the parent class. In compiled TensorFlow training steps on a processor the
    gradient of the kernel is computed by the faster of two implementations.
    """

    def call(self, inputs, training=None):
        source, padding = merging.unpadded(inputs, self), "same"
        if source is None:
            source, padding = inputs, self.padding
        zeros = self._zeros(source, padding) if in_compiled_training(training) else None
        convolve = zeros and _tensorflow_convolution()
        if convolve:
            outputs = convolve(source, ops.convert_to_tensor(self.kernel), self.strides, padding, zeros)
        elif source is inputs:
            return super().call(inputs)
        else:
            outputs = ops.depthwise_conv(source, self.kernel, strides=self.strides, padding=padding)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def _zeros(self, inputs, padding):
        """Zeros that are added at each side, where oneDNN's kernel gradient is slow; None elsewhere.

        With 5x5 kernels or strides oneDNN's implementation was up to 5 times as slow as TensorFlow's own, and on maps
        of 1x1 or 2x2 pixels, which networks for 32x32 images have in most of their blocks, up to 25 times. In the few
        other cases of that kind the two were about equal.
        """
        if (
            self.data_format != "channels_last"
            or self.compute_dtype != "float32"
            or set(self.dilation_rate) != {1}
            or len(set(self.strides)) != 1
            or None in inputs.shape[1:]
        ):
            return None
        height, width = inputs.shape[1:3]
        if max(self.kernel_size) <= 3 and self.strides[0] == 1 and min(height, width) > _SMALL_MAP:
            return None
        if padding == "valid":
            return (0, 0), (0, 0)
        return tuple(
            merging.same_padding(size, length, stride)
            for size, length, stride in zip((height, width), self.kernel_size, self.strides, strict=True)
        )


@functools.cache
def _tensorflow_convolution():
    """Depthwise convolution for TensorFlow on a processor, or None where there is a GPU.

    TensorFlow hands each operation to oneDNN that oneDNN has an implementation for. There is none with zeros given as
    numbers, so the gradient of the kernel asks for them that way; the two faster operations are left to oneDNN.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None

    def convolve(inputs, kernel, strides, padding, zeros):
        steps = {"strides": [1, *strides, 1], "padding": padding.upper()}
        explicit = [0, 0, *zeros[0], *zeros[1], 0, 0]

        @tf.custom_gradient
        def compute(inputs, kernel):
            def gradient(upstream):
                to_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, **steps
                )
                to_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                    input=inputs,
                    filter_sizes=kernel.shape,
                    out_backprop=upstream,
                    strides=steps["strides"],
                    padding="EXPLICIT",
                    explicit_paddings=explicit,
                )
                return to_inputs, to_kernel

            return tf.raw_ops.DepthwiseConv2dNative(input=inputs, filter=kernel, **steps), gradient

        return compute(inputs, kernel)

    return convolve
