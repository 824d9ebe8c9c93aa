"""How grouped convolutions and the interleaving of channels are written in a file, for a runtime that is fast at it.

The same mathematics can be written in several ways, and runtimes differ in which of them they have fast code for. What
is chosen for a format, `BEST`, was measured by `tests/benchmarks/export.py formulations`; its results are in
`data/benchmarks/export-formulations.csv`.
"""

import keras
import numpy as np

from kgpc import graph
from kgpc.grouping import interleaved_order
from kgpc.layers import GroupedPointwiseConv2D, InterleaveChannels

# Ways to write a grouped convolution:
# - "native": one convolution whose kernel has fewer input channels than its input: the runtime's own grouped one;
# - "ordinary": one convolution with zeros between the groups: as many weights and multiply-adds as without groups;
# - "split": a convolution for each group, between a split and a concatenation;
# - "matmul": a batched matrix product, between two transpositions; for pointwise convolutions only.
GROUPED = ("native", "ordinary", "split", "matmul")
# Ways to write an interleaving:
# - "transpose": the channels of each pixel as a small matrix, which is transposed;
# - "twice": two transpositions of a large matrix, with channels first in their new order between them;
# - "mixed": "twice" for maps of many pixels and few channels, and "transpose" for others;
# - "planes": whole maps taken in another order, channels first;
# - "gather": the channels of each pixel taken in another order.
INTERLEAVING = ("transpose", "twice", "mixed", "planes", "gather")
BEST = {"litert": ("native", "mixed"), "onnx": ("native", "planes")}
# So many pixels for each channel has a map for which "mixed" is "twice". Small matrices of bytes are slow to transpose.
_PIXELS_PER_CHANNEL = {"float32": 64, "int8": 1}


def rewritten(model, grouped, interleaving, integers=False):
    """A model for TensorFlow in which grouped convolutions and interleavings are written in given ways.

    Args:
        model: a functional or Sequential model.
        grouped: one of `GROUPED`.
        interleaving: one of `INTERLEAVING`.
        integers: bool, whether maps are to be integers of 8 bits, which decides what is "mixed".

    Returns:
        Functional `keras.Model` with the same predictions, for nothing but being traced once: kernels of its grouped
        convolutions are constants.
    """
    network, layers = graph.Network(model), {}
    pixels_per_channel = _PIXELS_PER_CHANNEL["int8" if integers else "float32"]
    for each in network.graphs:
        for call in each.calls:
            layer = call.operation
            if is_grouped(layer):
                layers[layer] = _Grouped(layer, grouped)
            elif graph.is_exactly(layer, InterleaveChannels):
                layers[layer] = _Interleaving(layer, interleaving, pixels_per_channel)
    return graph.rewrite(network, layers=layers)


def is_grouped(layer):
    """Whether a layer is a grouped convolution that can be written in another way."""
    if graph.is_exactly(layer, GroupedPointwiseConv2D):
        return layer.groups > 1
    if not graph.is_exactly(layer, keras.layers.Conv2D) or layer.groups == 1 or layer.data_format != "channels_last":
        return False
    return not getattr(layer, "lora_enabled", False) and getattr(layer, "quantization_mode", None) is None


def widened(kernel, groups):
    """The kernel of an ordinary convolution that computes what a grouped one does: zeros between the groups.

    Args:
        kernel: array (height, width, channels / groups, filters).
        groups: int >= 1.

    Returns:
        Array (height, width, channels, filters).
    """
    height, width, rows, filters = kernel.shape
    wide, columns = np.zeros((height, width, rows * groups, filters), kernel.dtype), filters // groups
    for group in range(groups):
        inside = np.s_[:, :, group * rows : (group + 1) * rows, group * columns : (group + 1) * columns]
        wide[inside] = kernel[..., group * columns : (group + 1) * columns]
    return wide


class _Grouped(keras.layers.Layer):
    """A grouped convolution, written in a given way."""

    def __init__(self, layer, way):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.way, self.groups, self.shape_of = way, layer.groups, layer.compute_output_shape
        self.kernel = keras.ops.convert_to_numpy(layer.kernel)
        self.bias = keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else None
        self.activation = getattr(layer, "activation", None)
        self.options = {
            "strides": getattr(layer, "strides", 1),
            "padding": getattr(layer, "padding", "valid").upper(),
            "dilations": getattr(layer, "dilation_rate", 1),
        }
        pointwise = self.kernel.shape[:2] == (1, 1) and set(np.ravel(self.options["strides"])) == {1}
        if way == "matmul" and not pointwise:
            self.way = "native"

    def compute_output_shape(self, input_shape):
        return self.shape_of(input_shape)

    def call(self, inputs):
        import tensorflow as tf

        outputs = getattr(self, f"_{self.way}")(tf, inputs)
        if self.bias is not None and self.way != "split":
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _native(self, tf, inputs):
        return tf.nn.conv2d(inputs, self.kernel, **self.options)

    def _ordinary(self, tf, inputs):
        return tf.nn.conv2d(inputs, widened(self.kernel, self.groups), **self.options)

    def _split(self, tf, inputs):
        kernels, parts = np.split(self.kernel, self.groups, axis=-1), tf.split(inputs, self.groups, axis=-1)
        outputs = [tf.nn.conv2d(part, kernel, **self.options) for part, kernel in zip(parts, kernels, strict=True)]
        if self.bias is not None:  # to each of them, which runtimes merge into the convolution
            biases = np.split(self.bias, self.groups)
            outputs = [tf.nn.bias_add(part, bias) for part, bias in zip(outputs, biases, strict=True)]
        return tf.concat(outputs, axis=-1)

    def _matmul(self, tf, inputs):
        _, height, width, channels = inputs.shape
        _, _, rows, filters = self.kernel.shape
        kernel = self.kernel.reshape(rows, self.groups, -1).transpose(1, 0, 2)
        parts = tf.transpose(tf.reshape(inputs, (-1, height * width, self.groups, rows)), (0, 2, 1, 3))
        outputs = tf.transpose(tf.matmul(parts, kernel[None]), (0, 2, 1, 3))
        return tf.reshape(outputs, (-1, height, width, filters))


class _Interleaving(keras.layers.Layer):
    """An interleaving of channels, written in a given way."""

    def __init__(self, layer, way, pixels_per_channel):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.step, self.way, self.pixels_per_channel = layer.step, way, pixels_per_channel

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        import tensorflow as tf

        batch, height, width, channels = inputs.shape
        way = self.way
        if way == "mixed":
            many = None not in (height, width) and height * width >= self.pixels_per_channel * channels
            way = "twice" if many else "transpose"
        if way in ("transpose", "twice") and channels % self.step == 0:
            pixels = -1 if None in (batch, height, width) else batch * height * width
            matrices = tf.reshape(inputs, (pixels, channels // self.step, self.step))
            if way == "twice":
                maps = tf.reshape(tf.transpose(matrices, (2, 1, 0)), (channels, pixels))
                mixed = tf.transpose(maps, (1, 0))
            else:
                mixed = tf.transpose(matrices, (0, 2, 1))
            return tf.reshape(mixed, (-1, height, width, channels))
        order = interleaved_order(channels, self.step)
        if way == "planes":
            maps = tf.gather(tf.transpose(inputs, (0, 3, 1, 2)), order, axis=1)
            return tf.transpose(maps, (0, 2, 3, 1))
        return tf.gather(inputs, order, axis=-1)
