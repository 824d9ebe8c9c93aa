"""Random small networks made of our layers, for properties that hold for any network."""

import random

import keras
import numpy as np

import kgpc
from kgpc import layers

SCHEMES = (None, kgpc.D6, kgpc.D6v3, kgpc.Grouped, kgpc.GroupedV3)
# Smooth ones: where a slope jumps, a rounding decides which side a value is on.
ACTIVATIONS = ("swish", "tanh", "sigmoid", None)


def random_network(seed):
    """A network of four to seven random steps, between a random image size and three outputs.

    Args:
        seed: int, of everything that is random, the weights included.

    Returns:
        Keras model, in float32.
    """
    choose = random.Random(seed)
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((choose.randint(3, 9), choose.randint(3, 9), choose.randint(2, 18)))
    earlier = []
    for number in range(choose.randint(4, 7)):
        earlier.append(x)
        x = choose.choice(STEPS)(choose, x, earlier, f"step{number}")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh")(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x), name=f"random{seed}")
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name != "kernel":
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def random_images(model, seed, count=6):
    """Float32 images for a network, whose channels have means and widths of their own."""
    rng = np.random.default_rng(seed)
    shape = model.input.shape[1:]
    return (rng.normal(size=(count, *shape)) * rng.uniform(0.5, 2, shape[-1]) + rng.normal(size=shape[-1])).astype(
        "float32"
    )


def _divisors(number):
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _pointwise(choose, x, earlier, name):
    kind = choose.choice(SCHEMES)
    return kgpc.blocks.pointwise(
        x,
        choose.randint(2, 24),
        kind and kind(choose.choice((2, 4, 6))),
        name=name,
        activation=choose.choice(ACTIVATIONS),
        batch_norm=choose.random() < 0.7,
        batch_norm_scale=choose.random() < 0.5,
        use_bias=choose.random() < 0.5,
        momentum=choose.choice((0.5, 0.9)),
    )


def _grouped(choose, x, name):
    groups = choose.choice(_divisors(x.shape[-1]))
    return layers.GroupedPointwiseConv2D(
        groups * choose.randint(1, 4), groups, use_bias=choose.random() < 0.5, name=name
    )(x)


def _normalized(choose, x, earlier, name):
    merge = choose.random() < 0.7
    return _grouped(choose, layers.BatchNormalization(merge=merge, momentum=0.5, name=f"{name}_bn")(x), name)


def _interleaved(choose, x, earlier, name):
    return _grouped(choose, layers.InterleaveChannels(choose.randint(1, x.shape[-1]), name=f"{name}_mix")(x), name)


def _copied(choose, x, earlier, name):
    start = choose.randrange(x.shape[-1])
    return layers.CopyChannels(choose.randint(1, 2 * x.shape[-1]), start=start, name=name)(x)


def _depthwise(choose, x, earlier, name):
    width, stride = choose.choice((1, 3, 5)), choose.choice((1, 1, 2))
    padding = "same"
    if choose.random() < 0.4:
        pads = tuple((width // 2 - choose.randint(0, width // 2), width // 2) for _ in range(2))
        x, padding = layers.ZeroPadding2D(pads, name=f"{name}_pad")(x), "valid"
    if padding == "valid" and min(x.shape[1:3]) < width:
        padding = "same"
    return layers.DepthwiseConv2D(
        width, strides=stride, padding=padding, depth_multiplier=choose.choice((1, 1, 2)), name=name
    )(x)


def _concatenated(choose, x, earlier, name):
    others = [tensor for tensor in earlier if tensor.shape[1:3] == x.shape[1:3]]
    return keras.layers.Concatenate(name=name)([x, choose.choice(others)])


def _activated(choose, x, earlier, name):
    return layers.Activation(choose.choice(ACTIVATIONS[:3]), name=name)(x)


STEPS = (_pointwise, _pointwise, _normalized, _interleaved, _copied, _depthwise, _depthwise, _concatenated, _activated)
