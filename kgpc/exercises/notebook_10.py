"""The exercises of notebook 10, Speed."""

import math

from kgpc.exercises.kinds import Number, Numbers

# The machine and the layer of the first exercise: operations per second, bytes per second, pixels of a batch.
PEAK, BANDWIDTH, PIXELS = 200e9, 25e9, 49


def _channels():
    """Fewest channels at which arithmetic takes longer than the traffic, the weights counted."""
    for channels in range(1, 10_000):
        operations = 2 * PIXELS * channels**2
        moved = 4 * (2 * PIXELS * channels + channels**2)
        if operations / PEAK >= moved / BANDWIDTH:
            return channels
    raise AssertionError("the map is too small for any number of channels")


def _normalizations():
    """Batch normalizations of the network of the third exercise, before and after folding."""
    import keras

    from kgpc import applications, deploy

    model = applications.kMobileNet(classes=10, input_shape=(32, 32, 3), alpha=0.25)
    return [
        sum(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers)
        for network in (model, deploy.fold(model))
    ]


EXERCISES = {
    "10.1": Number(
        "a number of channels",
        _channels,
        hints={
            "The weights are read from memory, too.": lambda: math.ceil(4 * PEAK / BANDWIDTH),
            "An operation is a multiplication or an addition, and a number has four bytes.": lambda: math.ceil(
                PEAK / BANDWIDTH
            ),
        },
    ),
    "10.2": Number(
        "operations per byte",
        lambda: 2 * 16 / (2 * 2),
        hints={"That is the intensity with numbers of 32 bits.": lambda: 2 * 16 / (2 * 4)},
    ),
    "10.3": Numbers(
        "the numbers of batch normalizations before and after folding",
        _normalizations,
        hint="Count the layers that are a `keras.layers.BatchNormalization`.",
    ),
}
