"""Layers that move and copy channels."""

import keras
from keras import ops

from kgpc.arguments import integer, positive_integer
from kgpc.grouping import interleaved_order
from kgpc.layers.checks import channels_of


@keras.saving.register_keras_serializable(package="kgpc")
class InterleaveChannels(keras.layers.Layer):
    """Reorders channels so that each group of the next grouped layer reads from many groups of the one before.

    From all of them, where a group has at least as many channels as there are groups. Values move and never change;
    there are no weights. The output channels are the input channels 0, step, 2 * step,
    ..., then 1, 1 + step, ..., and so on. Where `step` divides the channels, this is ShuffleNet's channel shuffle.

    Args:
        step: int >= 1, distance in the input between channels that end up side by side.

    Input shape: `(batch, height, width, channels)`. Output shape: the same.

    Raises:
        TypeError: if `step` is not an integer.
        ValueError: if `step` is smaller than 1, or the input has another rank than 4 or no known channel count.

    Example:

    >>> import numpy as np
    >>> [float(value) for value in InterleaveChannels(step=2)(np.arange(6.0).reshape(1, 1, 1, 6))[0, 0, 0]]
    [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.13164/mendel.2022.1.023.
    """

    def __init__(self, step, **kwargs):
        super().__init__(**kwargs)
        self.step = positive_integer("step", step)

    def build(self, input_shape):
        channels = channels_of(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})

    def call(self, inputs):
        channels = inputs.shape[-1]
        if channels % self.step:
            return ops.take(inputs, interleaved_order(channels, self.step), axis=-1)
        # Swapping two axes of a matrix is the same order as taking channels by index, but a copy in blocks.
        shape = ops.shape(inputs)
        parts = ops.reshape(inputs, (-1, channels // self.step, self.step))
        return ops.reshape(ops.transpose(parts, (0, 2, 1)), shape)

    def compute_output_shape(self, input_shape):
        channels_of(self, input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "step": self.step}


@keras.saving.register_keras_serializable(package="kgpc")
class CopyChannels(keras.layers.Layer):
    """Returns a run of channels, starting over at the first one where the input ends.

    With fewer channels than the input it selects; with more it appends copies: whole copies first, then a partial one.
    The enhanced scheme needs both.

    Args:
        channels: int >= 1, number of channels of the output.
        start: int >= 0, the first channel; it must be smaller than the number of input channels.

    Input shape: `(batch, height, width, input channels)`. Output shape: `(batch, height, width, channels)`.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range, or the input has another rank than 4 or no known channel count.

    Example:

    >>> import numpy as np
    >>> [float(value) for value in CopyChannels(5)(np.arange(3.0).reshape(1, 1, 1, 3))[0, 0, 0]]
    [0.0, 1.0, 2.0, 0.0, 1.0]

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.3390/e24091264.
    """

    def __init__(self, channels, start=0, **kwargs):
        super().__init__(**kwargs)
        self.channels = positive_integer("channels", channels)
        self.start = integer("start", start, smallest=0)

    def build(self, input_shape):
        available = channels_of(self, input_shape)
        if self.start >= available:
            raise ValueError(
                f"`start` of `{self.name}` must be smaller than the {available} input channels. "
                f"Received: start={self.start}."
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: available})

    def call(self, inputs):
        available = inputs.shape[-1]
        pieces, position, missing = [], self.start, self.channels
        while missing:
            count = min(available - position, missing)
            pieces.append(inputs if count == available else inputs[..., position : position + count])
            position, missing = 0, missing - count
        return pieces[0] if len(pieces) == 1 else ops.concatenate(pieces, axis=-1)

    def compute_output_shape(self, input_shape):
        channels_of(self, input_shape)
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "start": self.start}
