"""Depthwise convolution with a kernel gradient that does not wait for slow code."""

import functools

import keras
from keras import ops

from kgpc.arguments import boolean, positive_integer
from kgpc.layers.checks import GETTERS, found, integer_pair, trains_on_tensorflow

# With 3x3 kernels and stride 1, oneDNN's kernel gradient is as fast as TensorFlow's own on maps larger than this.
_SMALL_MAP = 3


@keras.saving.register_keras_serializable(package="kgpc")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a faster gradient of the kernel in training steps.

    Same arguments, weights and results as the parent class; only the time differs. In training steps of TensorFlow on a
    processor, the gradient of the kernel is computed by the faster of two implementations.

    Args:
        kernel_size: int >= 1, or two of them (height, width).
        strides: int >= 1, or two of them.
        padding: "valid" or "same".
        depth_multiplier: int >= 1, filters for each channel.
        data_format: None, "channels_last" or "channels_first".
        dilation_rate: int >= 1, or two of them.
        activation: name of a Keras activation, callable or None.
        use_bias: bool, whether to add a bias.
        **kwargs: other arguments of `keras.layers.DepthwiseConv2D`.

    Raises:
        TypeError: if `depth_multiplier` is not an integer, or `use_bias` not a bool.
        ValueError: if another argument is out of its range.
    """

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        depth_multiplier=1,
        data_format=None,
        dilation_rate=(1, 1),
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
            raise ValueError(f'`padding` must be "valid" or "same". Received: padding={padding!r}.')
        known = isinstance(data_format, str) and data_format in ("channels_last", "channels_first")
        if data_format is not None and not known:
            raise ValueError(
                '`data_format` must be None, "channels_last" or "channels_first". '
                f"Received: data_format={data_format!r}."
            )
        for name in kwargs.keys() & GETTERS.keys():
            found(name, GETTERS[name], kwargs[name])
        super().__init__(
            integer_pair("kernel_size", kernel_size),
            strides=integer_pair("strides", strides),
            padding=padding,
            depth_multiplier=positive_integer("depth_multiplier", depth_multiplier),
            data_format=data_format,
            dilation_rate=integer_pair("dilation_rate", dilation_rate),
            activation=found("activation", keras.activations.get, activation),
            use_bias=boolean("use_bias", use_bias),
            **kwargs,
        )

    def call(self, inputs, training=None):
        zeros = self._zeros(inputs) if trains_on_tensorflow(training) else None
        convolve = zeros and _tensorflow_convolution()
        if not convolve:
            return super().call(inputs)
        outputs = convolve(inputs, ops.convert_to_tensor(self.kernel), self.strides, self.padding, zeros)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def _zeros(self, inputs):
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
        if self.padding == "valid":
            return (0, 0), (0, 0)
        return tuple(
            _same_padding(size, length, stride)
            for size, length, stride in zip((height, width), self.kernel_size, self.strides, strict=True)
        )


def _same_padding(size, width, stride):
    """Zeros (before, after) that TensorFlow's padding "same" adds along an axis."""
    zeros = max((-(-size // stride) - 1) * stride + width - size, 0)
    return zeros // 2, zeros - zeros // 2


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

        return compute(inputs, tf.convert_to_tensor(kernel))

    return convolve
