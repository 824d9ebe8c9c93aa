"""Small networks with the joints of large ones, and what must hold where weights are carried over; on any backend."""

import keras
import numpy as np
from keras import layers

import kgpc
from kgpc import D6, conversion
from kgpc.conversion.fitting import normalize


def images(seed, count=48):
    """Smooth pictures, (count, 6, 6, 3): pixels side by side are alike."""
    coarse = np.random.default_rng(seed).normal(size=(count, 3, 3, 3)).astype("float32")
    return coarse.repeat(2, axis=1).repeat(2, axis=2)


def _unit(x, filters, name, activation="relu"):
    """A pointwise convolution, normalization and activation; without an activation where that is None."""
    x = layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return x if activation is None else layers.Activation(activation, name=f"{name}_act")(x)


def _stem():
    inputs = keras.Input((6, 6, 3))
    return inputs, layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(inputs)


def _finished(inputs, x):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return settled(keras.Model(inputs, layers.Dense(5, name="classes")(x)))


def residual():
    """Two blocks with an inverted bottleneck and an addition, of which the second reads the first's sum."""
    inputs, x = _stem()
    for block in ("a", "b"):
        y = _unit(x, 32, f"{block}_expand", "silu")
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{block}_depthwise")(y)
        y = layers.BatchNormalization(name=f"{block}_depthwise_bn")(y)
        y = layers.ReLU(6.0, name=f"{block}_depthwise_relu")(y)
        y = _unit(y, 16, f"{block}_project", None)
        x = layers.Add(name=f"{block}_add")([x, y])
    return _finished(inputs, x)


def squeezed():
    """Squeeze-and-excite, whose two convolutions see one pixel, between two pointwise convolutions."""
    inputs, x = _stem()
    x = _unit(x, 32, "expand", "silu")
    y = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    y = layers.Conv2D(16, 1, activation="silu", name="reduce")(y)
    y = layers.Conv2D(32, 1, activation="sigmoid", name="excite")(y)
    x = layers.Multiply(name="gate")([x, y])
    return _finished(inputs, _unit(x, 16, "project"))


def concatenated():
    """A dense block, each layer of which reads all before it, and a branch of Inception beside a pooled one."""
    inputs, x = _stem()
    for index in range(2):
        y = _unit(x, 16, f"dense_{index}")
        y = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"dense_{index}_3x3")(y)
        x = layers.Concatenate(name=f"dense_{index}_concat")([x, y])
    branch = _unit(x, 16, "branch")
    pooled = layers.AveragePooling2D(3, strides=1, padding="same", name="pooled")(x)
    x = layers.Concatenate(name="mixed")([branch, _unit(pooled, 16, "behind_pooling")])
    return _finished(inputs, _unit(x, 16, "transition"))


NETWORKS = {"residual": residual, "squeeze-and-excite": squeezed, "concatenation": concatenated}


def settled(model):
    """Gives a network the weights of one that was trained on images: normalizations know the statistics of these."""
    generator, x = np.random.default_rng(0), images(0, 96)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
            values = keras.ops.convert_to_numpy(keras.Model(model.input, layer.input)(x, training=False))
            normalize(layer, values.reshape(-1, values.shape[-1]))
    return model


def statistics(model, x):
    """For each batch normalization by name its moving statistics, and those that images give its input: arrays."""
    normalizations = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    inputs = keras.Model(model.input, [layer.input for layer in normalizations])(x, training=False)
    found = {}
    for layer, values in zip(normalizations, map(keras.ops.convert_to_numpy, inputs), strict=True):
        moving = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
        found[layer.name] = np.stack([*moving]), np.stack([values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))])
    return found


def distance(outputs, expected):
    """Square error, where that of always saying the mean is 1."""
    return np.square(outputs - expected).sum() / np.square(expected - expected.mean(axis=0)).sum()


def carried(name, steps):
    """Groups a network, carries its weights over, and asserts that every normalization has the right statistics.

    Args:
        name: key of `NETWORKS`.
        steps: int, of `warm_start`.

    Returns:
        Distances of the outputs from the original's, on images that nothing was fitted on: at random, and at the end.
    """
    keras.utils.set_random_seed(3)
    original = NETWORKS[name]()
    twin = kgpc.convert(original, D6(8))
    other, sample = images(7), images(1)
    expected = original.predict(other, verbose=0)
    random = distance(twin.predict(other, verbose=0), expected)
    before = statistics(original, sample)
    report = conversion.warm_start(twin, original, sample, steps=steps)
    assert len(report) >= 3 and np.isfinite(report["error"]).all()
    renewed = 0
    for layer, (moving, measured) in statistics(twin, sample).items():
        if layer in before and np.allclose(measured, before[layer][1], rtol=1e-4):
            # Nothing before it was grouped: it sees what it saw, and keeps what the training found.
            np.testing.assert_array_equal(moving, before[layer][0])
        else:
            np.testing.assert_allclose(moving, measured, rtol=1e-3, atol=1e-4, err_msg=layer)
            renewed += 1
    assert renewed >= 2
    return random, distance(twin.predict(other, verbose=0), expected)
