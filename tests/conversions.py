"""What converted networks are compared with: the original, whose dense kernels have zeros between the groups."""

import keras
import numpy as np
from keras import layers

from kgpc.conversion import plan
from kgpc.grouping import interleaved_order


def numbers(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def shake(model):
    """Gives all weights of a model numbers that tell them apart; variances are positive."""
    for seed, weight in enumerate(model.weights):
        if weight.dtype.startswith(("float", "bfloat")):
            values = numbers(seed, *weight.shape)
            weight.assign(values + 1.5 if "variance" in weight.path or "gamma" in weight.path else values)
    return model


def kinds():
    """Every kind of layer that is replaced, in one network after the other."""
    inputs = keras.Input((9, 7, 8), name="images")
    x = layers.Conv2D(16, 1, use_bias=False, name="normalized")(inputs)
    x = layers.ReLU(6.0, name="normalized_relu")(layers.BatchNormalization(momentum=0.7, name="normalized_bn")(x))
    x = layers.Conv2D(16, 1, strides=(2, 1), padding="same", activation="swish", name="strided")(x)
    x = layers.BatchNormalization(scale=False, epsilon=0.01, name="strided_bn")(x)
    x = layers.Conv2D(24, 1, strides=2, name="linear")(x)
    x = layers.Activation("gelu", name="linear_gelu")(x)
    x = layers.BatchNormalization(center=False, name="linear_bn")(x)
    x = layers.Dense(16, activation="tanh", name="dense")(x)
    x = layers.SeparableConv2D(
        32, 3, padding="same", strides=2, dilation_rate=1, depth_multiplier=2, activation="elu", name="separable"
    )(x)
    x = keras.ops.relu(layers.Conv2D(16, 1, name="by_function")(x))
    x = layers.Conv2D(16, 1, activation="softmax", name="attention")(x)
    x = layers.Reshape((-1, 16), name="positions")(x)
    x = layers.LeakyReLU(0.1, name="leaky")(layers.Dense(32, use_bias=False, name="sequence")(x))
    x = layers.BatchNormalization(name="sequence_bn")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="predictions")(x), name="kinds")


def grouped_twin(model, scheme, **options):
    """A converted network that must compute what `model` computes, whose dense kernels lose their other numbers.

    Each dense kernel keeps what lies within the groups of its plan. The first convolution made gets these numbers, and
    the second one is silent: it has zeros, and adds the activation of zero, which must be zero.

    Returns:
        `kgpc.conversion.Conversion`.
    """
    conversion = plan(model, scheme, **options)
    for unit, new in conversion.subnetworks.items():
        (first,) = new.plan.first.paths
        assert new.plan.first.copied_channels == 0
        old, rows, columns = unit.layer, first.channels_per_group, first.filters // first.groups
        name = "pointwise_kernel" if isinstance(old, layers.SeparableConv2D) else "kernel"
        kernel = getattr(old, name)
        dense = keras.ops.convert_to_numpy(kernel).reshape(unit.in_channels, unit.filters)
        order = np.arange(unit.filters)
        if new.plan.interleave_step > 1 and new.plan.second is None:
            order = np.array(interleaved_order(unit.filters, new.plan.interleave_step))
        within = np.kron(np.eye(first.groups), np.ones((rows, columns)))
        kernel.assign((dense * within[:, order]).reshape(kernel.shape))
    assert conversion.model.built  # with the numbers that all other layers have
    for unit, new in conversion.subnetworks.items():
        (first,) = new.plan.first.paths
        order = np.arange(unit.filters)
        if new.plan.interleave_step > 1 and new.plan.second is None:
            order = np.array(interleaved_order(unit.filters, new.plan.interleave_step))
        where = np.argsort(order)
        name = "pointwise_kernel" if isinstance(unit.layer, layers.SeparableConv2D) else "kernel"
        dense = keras.ops.convert_to_numpy(getattr(unit.layer, name)).reshape(unit.in_channels, unit.filters)[:, where]
        blocks = [
            part[rows]
            for rows, part in zip(
                np.split(np.arange(unit.in_channels), first.groups), np.split(dense, first.groups, axis=1), strict=True
            )
        ]
        layer = new.convolution(first)
        layer.kernel.assign(np.concatenate(blocks, axis=1)[None, None])
        if unit.layer.use_bias:
            layer.bias.assign(keras.ops.convert_to_numpy(unit.layer.bias)[where])
        if unit.normalization is not None:
            new.normalization(first).set_weights([value[where] for value in unit.normalization.get_weights()])
        for part in () if new.plan.second is None else new.plan.second.paths:
            silent = new.convolution(part)
            silent.set_weights([np.zeros(weight.shape) for weight in silent.weights])
            if unit.normalization is not None:
                layer = new.normalization(part)
                quiet = [np.full(weight.shape, "variance" in weight.path, float) for weight in layer.weights]
                layer.set_weights(quiet)
    return conversion


def same(actual, expected, tolerance=1e-5):
    """Asserts that structures of arrays are equal up to rounding."""
    keras.tree.assert_same_structure(actual, expected)
    for a, b in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        a, b = (keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")) for value in (a, b))
        np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max()))
