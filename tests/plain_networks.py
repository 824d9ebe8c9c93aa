"""Our networks written with plain layers, which ours are compared with.

The layers here are Keras' own, or written out from the formula where Keras' are slow (grouped convolutions) or have no
right gradients of gradients (batch normalization).
"""

import keras
from keras import ops

from kgpc import layers


class PlainGrouped(keras.layers.Layer):
    """A grouped pointwise convolution as one batched matrix product."""

    def __init__(self, filters, groups, use_bias, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.groups, self.use_bias = filters, groups, use_bias

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(1, 1, input_shape[-1] // self.groups, self.filters))
        self.bias = self.add_weight(shape=(self.filters,)) if self.use_bias else None

    def call(self, inputs):
        outputs = layers.grouped_matmul(inputs, ops.convert_to_tensor(self.kernel), self.groups)
        return outputs if self.bias is None else outputs + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


class PlainBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization written out; Keras' own has wrong gradients of gradients on TensorFlow."""

    def call(self, inputs, training=None, mask=None):
        mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        if training and self.trainable:
            mean = ops.mean(inputs, (0, 1, 2))
            variance = ops.mean(ops.square(inputs - mean), (0, 1, 2))
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * self.momentum + value * (1 - self.momentum))
        outputs = (inputs - mean) / ops.sqrt(variance + self.epsilon)
        outputs = outputs * self.gamma if self.scale else outputs
        return outputs + self.beta if self.center else outputs


def plain(model, dtype="float64"):
    """The same network with the same weights, of plain layers of one precision."""
    ours = {
        layers.BatchNormalization: PlainBatchNormalization,
        layers.Activation: keras.layers.Activation,
        layers.DepthwiseConv2D: keras.layers.DepthwiseConv2D,
    }

    def translate(layer):
        config = {**layer.get_config(), "dtype": dtype}
        config.pop("merge", None)
        if isinstance(layer, layers.GroupedPointwiseConv2D):
            return PlainGrouped(layer.filters, layer.groups, layer.use_bias, name=layer.name, dtype=dtype)
        return ours.get(type(layer), type(layer)).from_config(config)

    twin = keras.models.clone_model(model, clone_function=translate)
    twin.set_weights(model.get_weights())
    return twin
