"""Batch normalization and the activation after it with one gradient, computed in several ways on TensorFlow.

None of them is part of the package: `block_candidates.py` measures what they would give. All give what
`kgpc.layers.BatchNormalization` and the activation give, but for rounding.
"""

import keras
import numpy as np
import tensorflow as tf

import kgpc


def compiled(function):
    """The function as one or few loops: XLA reads and writes a feature map once for all operations in it."""
    return tf.function(function, jit_compile=True, autograph=False)


def activate(z, activation):
    return tf.clip_by_value(z, 0.0, 6.0) if activation == "relu6" else z * tf.sigmoid(z)


def slope(z, activation):
    if activation == "relu6":
        return tf.cast((z > 0) & (z < 6), z.dtype)
    sigmoid = tf.sigmoid(z)
    return sigmoid * (1 + z * (1 - sigmoid))


def pixels(x):
    """How many a batch of feature maps has."""
    return float(np.prod(x.shape[:3]))


@compiled
def row_moments(x):
    """Mean of each row of pixels, and the sum of the squared distances from it: (batch, height, channels) each.

    Rows can be divided among cores, which XLA does not do with a sum over everything.
    """
    mean = tf.reduce_mean(x, 2)
    return mean, tf.reduce_sum(tf.square(x - mean[:, :, None]), 2)


def joined(means, squares, width):
    """Mean and variance of the whole from those of its rows of `width` pixels, without differences of large sums."""
    mean = tf.reduce_mean(means, (0, 1))
    return mean, tf.reduce_mean(squares, (0, 1)) / width + tf.reduce_mean(tf.square(means - mean), (0, 1))


@compiled
def normalized(x, mean, scale, beta, activation):
    return activate((x - mean) * scale + beta, activation)


@compiled
def row_sums(x, upstream, mean, scale, beta, activation):
    """What the gradient needs of the whole batch, row by row: sums of the gradients before the activation, and of
    these times the distance from the mean."""
    distance = x - mean
    gradient = upstream * slope(distance * scale + beta, activation)
    return tf.reduce_sum(gradient, 2), tf.reduce_sum(gradient * distance, 2)


@compiled
def to_inputs(x, upstream, mean, scale, beta, mean_gradient, factor, activation):
    distance = x - mean
    gradient = upstream * slope(distance * scale + beta, activation)
    return scale * (gradient - mean_gradient - distance * factor)


def gradient_sums(sums, inverse, count):
    """From the rows' sums of all pieces: gradients of beta and gamma, and what `to_inputs` needs of them."""
    of_gradient, of_product = (tf.reduce_sum(tf.concat(parts, 0), (0, 1)) for parts in zip(*sums, strict=True))
    return of_gradient, of_product * inverse, of_gradient / count, of_product * tf.square(inverse) / count


def forward_of_today(x, gamma, beta, epsilon, activation):
    """As `kgpc.layers` compute it: (outputs, mean, variance, what TensorFlow's own gradient wants to have back)."""
    z, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    variance *= max(pixels(x) - 1, 1) / pixels(x)  # the kernel reports the unbiased one
    return tf.nn.relu6(z) if activation == "relu6" else z * tf.sigmoid(z), mean, variance, reserved


def forward_in_loops(x, gamma, beta, epsilon, activation):
    mean, variance = joined(*row_moments(x), x.shape[2])
    return normalized(x, mean, gamma * tf.math.rsqrt(variance + epsilon), beta, activation), mean, variance, None


@compiled
def swish_gradient(z, upstream):
    return upstream * slope(z, "swish")


@compiled
def activation_gradient(x, upstream, mean, scale, beta, activation):
    return upstream * slope((x - mean) * scale + beta, activation)


def backward_of_tensorflow(x, upstream, gamma, beta, mean, variance, reserved, epsilon, activation):
    """Gradients of inputs, gamma and beta by TensorFlow's own operations, after normalizing once more."""
    z, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
    )
    if activation == "relu6":
        return _normalization_gradient(
            x, tf.raw_ops.Relu6Grad(gradients=upstream, features=z), gamma, reserved, epsilon
        )
    return _normalization_gradient(x, swish_gradient(z, upstream), gamma, reserved, epsilon)


def backward_of_both(x, upstream, gamma, beta, mean, variance, reserved, epsilon, activation):
    """The activation's gradient in a loop that normalizes, and then TensorFlow's own gradient of the normalization."""
    upstream = activation_gradient(x, upstream, mean, gamma * tf.math.rsqrt(variance + epsilon), beta, activation)
    return _normalization_gradient(x, upstream, gamma, reserved, epsilon)


def _normalization_gradient(x, upstream, gamma, reserved, epsilon):
    names = ("reserve_space_1", "reserve_space_2", "reserve_space_3")
    return tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream, x=x, scale=gamma, epsilon=epsilon, **dict(zip(names, reserved, strict=True))
    )[:3]


def backward_in_loops(x, upstream, gamma, beta, mean, variance, reserved, epsilon, activation):
    inverse = tf.math.rsqrt(variance + epsilon)
    scale = gamma * inverse
    sums = row_sums(x, upstream, mean, scale, beta, activation)
    to_beta, to_gamma, mean_gradient, factor = gradient_sums([sums], inverse, pixels(x))
    return to_inputs(x, upstream, mean, scale, beta, mean_gradient, factor, activation), to_gamma, to_beta


# How forward and backward of the one gradient are computed.
WAYS = {
    "TensorFlow": (forward_of_today, backward_of_tensorflow),
    "XLA, then TensorFlow": (forward_of_today, backward_of_both),
    "XLA": (forward_of_today, backward_in_loops),
    "XLA, forward too": (forward_in_loops, backward_in_loops),
}


class NormalizationWithActivation(kgpc.layers.BatchNormalization):
    """Batch normalization and the activation after it with one gradient, computed in one of `WAYS`.

    Values before the activation are not kept for the gradient, which makes them again from the inputs.
    """

    def __init__(self, *, activation, way, **kwargs):
        super().__init__(**kwargs)
        self.function, self.way = activation, way

    def call(self, inputs, training=None, mask=None):
        if not training:
            return activate(super().call(inputs, training, mask), self.function)
        forward, backward = WAYS[self.way]

        @tf.custom_gradient
        def compute(x, gamma, beta):
            outputs, mean, variance, reserved = forward(x, gamma, beta, self.epsilon, self.function)

            def gradient(upstream, *_):
                return backward(x, upstream, gamma, beta, mean, variance, reserved, self.epsilon, self.function)

            return (outputs, mean, variance), gradient

        outputs, mean, variance = compute(inputs, *self._gamma_and_beta(inputs.shape[-1]))
        self._update_moving(mean, variance)
        return outputs


def activation_layer(activation):
    """The layer that the package's networks have."""
    return keras.layers.ReLU(6.0) if activation == "relu6" else kgpc.layers.Activation(activation)


def name_of(layer):
    """Name of an activation that `NormalizationWithActivation` can have, or None."""
    if type(layer) is keras.layers.ReLU and layer.max_value == 6:
        return "relu6"
    return "swish" if getattr(layer, "activation", None) is keras.activations.silu else None


def with_one_gradient(model, way):
    """A copy of a network, with the same weights, in which each normalization does the work of its activation too."""
    activations = {}
    for layer in model.layers:
        if name_of(layer) and not isinstance(layer.input, list):
            activations[id(layer.input)] = layer
    merged = {
        layer.name: activations[id(layer.output)]
        for layer in model.layers
        if type(layer) is kgpc.layers.BatchNormalization and id(layer.output) in activations
    }
    emptied = {layer.name for layer in merged.values()}

    def translate(layer):
        config = layer.get_config()
        if layer.name in merged:
            return NormalizationWithActivation(activation=name_of(merged[layer.name]), way=way, **config)
        if layer.name in emptied:
            return keras.layers.Activation("linear", name=layer.name)
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=translate)
    twin.set_weights(model.get_weights())
    return twin
