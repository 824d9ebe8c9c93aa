"""A twin of a network for training: the same variables and the same function, in fewer passes over memory.

A layer that only scales, shifts or reorders channels costs a pass over memory, in training more than one. A pointwise
convolution that reads it can do the same by other weights: rows of its kernel scaled, a bias, rows in another order.
In the twin such a pair is one layer. And a feature map that is part of several concatenations, as all of them are in
DenseNet, has its moments computed once, by a layer of their own.

Nothing happens that the graph of the twin does not show, so the gradients with respect to all of its tensors are
right, in eager and in compiled steps.
"""

import functools

import keras
import numpy as np

from kgpc import graph, wide_groups
from kgpc.grouping import interleaved_order
from kgpc.layers import BatchNormalization, GroupedPointwiseConv2D, InterleaveChannels


def training_twin(model):
    """A network that shares the variables of `model` and trains faster on TensorFlow.

    Two patterns are rewritten, in the model and in the functional models within it: a `BatchNormalization` with
    `merge=True`, and an `InterleaveChannels` of at most 64 channels, where a `GroupedPointwiseConv2D` alone reads the
    result. Of the five families kDenseNet gains by it. Outputs, gradients with respect to weights and inputs, and
    moving statistics are those of `model` up to rounding.

    Train the twin and go on with `model`: what the one learns, the other knows. The twin is not meant to be saved. It
    has no output for the normalized and the interleaved feature maps, and may have another order of variables.

    Args:
        model: a Keras model. It is not changed.

    Returns:
        A functional `keras.Model`, not compiled; or `model` itself where there is nothing to rewrite: on another
        backend, in another precision than float32, and where the model is no functional or Sequential one or of a class
        of its own, which may train in another way.

    Raises:
        TypeError: if `model` is not a Keras model.

    Example:

    >>> import kgpc
    >>> model = kgpc.applications.kDenseNetBC(depth=10)
    >>> twin = training_twin(model)
    >>> len(twin.trainable_variables) == len(model.trainable_variables)
    True
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}.")
    if keras.backend.backend() != "tensorflow" or not graph.is_plain(model):
        return model
    network = graph.Network(model)
    calls = {}
    for level in network.graphs:
        calls |= _replaced(level, list(_pairs(network, level)))
    return graph.rewrite(network, calls=calls, share=True) if calls else model


def _replaced(level, pairs):
    """What takes the place of the calls of pairs, and of the concatenations before them."""
    calls, moments = {}, _Moments()
    for first, convolution in pairs:
        calls[first] = graph.pass_on
        if isinstance(first.operation, InterleaveChannels):
            calls[convolution] = InterleavedPointwiseConv2D(first.operation, convolution.operation)
        else:
            layer = NormalizedPointwiseConv2D(first.operation, convolution.operation)
            calls[convolution] = functools.partial(moments.normalize, layer)
    for call in level.calls if pairs else ():
        if graph.is_exactly(call.operation, keras.layers.Concatenate):
            calls[call] = functools.partial(moments.concatenate, call.operation)
    return calls


def _pairs(network, level):
    """Pairs of calls, of a normalization or an interleaving and of the convolution that alone reads it."""
    for call in level.calls:
        reader = level.only_reader(call)
        if (
            reader is not None
            and _is_merged(call)
            and graph.is_exactly(reader.operation, GroupedPointwiseConv2D)
            and all(_is_plain(part) and network.called_once(part.operation) for part in (call, reader))
        ):
            yield call, reader


def _is_merged(call):
    layer = call.operation
    if graph.is_exactly(layer, InterleaveChannels):
        return call.outputs[0].shape[-1] <= wide_groups.FEW_CHANNELS
    return graph.is_exactly(layer, BatchNormalization) and layer.merge and layer.is_fused(call.inputs[0])


def _is_plain(call):
    """Whether a layer reads one tensor in float32, and its call asks for nothing else."""
    layer = call.operation
    return (
        call.only_input() is not None
        and call.kwargs.get("training") is None
        and layer.dtype_policy.name == "float32"
        and layer.activity_regularizer is None
    )


class _Moments:
    """Which layer computes the moments of which tensor while a twin is built."""

    def __init__(self):
        self._pieces, self._known = {}, {}

    def concatenate(self, layer, inputs):
        """Calls a `Concatenate` and remembers what it was given."""
        outputs = layer(inputs)
        if layer.axis in (-1, 3) and len(outputs.shape) == 4:
            self._pieces[id(outputs)] = outputs, inputs
        return outputs

    def normalize(self, layer, inputs):
        """Calls a `NormalizedPointwiseConv2D` with the moments of what its input was concatenated from."""
        return layer(inputs, [self._of(piece) for piece in self._dissolved(inputs)])

    def _dissolved(self, tensor):
        _, parts = self._pieces.get(id(tensor), (None, None))
        return [tensor] if parts is None else [piece for part in parts for piece in self._dissolved(part)]

    def _of(self, piece):
        if id(piece) not in self._known:
            self._known[id(piece)] = piece, ChannelMoments()(piece)
        return self._known[id(piece)][1]


class ChannelMoments(keras.layers.Layer):
    """Mean and variance of each channel over all pixels of the batch, for TensorFlow.

    Input shape: `(batch, height, width, channels)`. Output: mean and variance, each of shape `(channels,)`; the
    variance is the biased one.
    """

    def call(self, inputs):
        return _moments(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape[-1:], input_shape[-1:]


def _moments(inputs):
    import tensorflow as tf

    @tf.custom_gradient
    def compute(x, mean):
        def gradient(to_mean, to_variance):
            count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
            slope = 2 * to_variance / count
            # One product and one sum over the feature map: slope * (x - mean) + to_mean / count. What depends on the
            # mean is counted here, so nothing is left to go back through it. It is an argument so that a gradient of
            # this gradient sees how it depends on the pixels.
            return x * slope + (to_mean / count - slope * mean), None

        return (tf.identity(mean), tf.reduce_mean(tf.math.squared_difference(x, mean), axis=(0, 1, 2))), gradient

    return compute(inputs, tf.reduce_mean(inputs, axis=(0, 1, 2)))


class NormalizedPointwiseConv2D(keras.layers.Layer):
    """A `BatchNormalization` and the `GroupedPointwiseConv2D` behind it as one layer, with the weights of both.

    In training, scale and shift become part of kernel and bias, so that no normalized feature map is written. In
    inference the two are called one after the other.

    Args:
        normalization: `kgpc.layers.BatchNormalization`, built.
        convolution: `kgpc.layers.GroupedPointwiseConv2D`, built.

    Input: tensor `(batch, height, width, channels)`, and a list of pairs (mean, variance) of tensors that hold, side by
    side, the moments of its channels. Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, normalization, convolution):
        super().__init__(name=f"{convolution.name}_normalized")
        self.normalization, self.convolution = normalization, convolution

    def call(self, inputs, moments, training=None):
        if not (training and self.normalization.trainable):
            return self.convolution(self.normalization(inputs, training=training), training=training)
        import tensorflow as tf

        scale, shift = self.normalization.scale_and_shift(
            *(tf.concat(values, 0) for values in zip(*moments, strict=True))
        )
        layer, kernel = self.convolution, tf.convert_to_tensor(self.convolution.kernel)
        rows, filters_of_group = kernel.shape[2], layer.filters // layer.groups

        def per_weight(values):
            """For each filter the values of the channels that it reads."""
            return tf.repeat(tf.transpose(tf.reshape(values, (layer.groups, rows))), filters_of_group, axis=1)

        bias = tf.reduce_sum(kernel[0, 0] * per_weight(shift), axis=0)
        if layer.bias is not None:
            bias += layer.bias
        return layer.convolve(inputs, kernel * per_weight(scale), bias, training)

    def compute_output_shape(self, inputs_shape, moments_shape):
        return self.convolution.compute_output_shape(inputs_shape)


class InterleavedPointwiseConv2D(keras.layers.Layer):
    """An `InterleaveChannels` and the `GroupedPointwiseConv2D` behind it as one layer, with the weights of the latter.

    It is an ordinary convolution with zeros between the groups, whose rows are in the order of the channels before.

    Args:
        interleaving: `kgpc.layers.InterleaveChannels`.
        convolution: `kgpc.layers.GroupedPointwiseConv2D`, built.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, interleaving, convolution):
        super().__init__(name=f"{convolution.name}_interleaved")
        self.interleaving, self.convolution = interleaving, convolution

    def call(self, inputs, training=None):
        import tensorflow as tf

        layer = self.convolution
        rows = np.argsort(interleaved_order(inputs.shape[-1], self.interleaving.step))
        kernel = tf.gather(wide_groups.widen(tf.convert_to_tensor(layer.kernel), layer.groups, 1), rows, axis=2)
        return layer.convolve(inputs, kernel, layer.bias, training)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)
