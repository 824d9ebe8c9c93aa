"""Old names of the schemes, and the pointwise block and a layer under their old names.

`D6_16ch()`, `D6v3_2ch()`, `kT3_16ch()`, `kT3v3_4ch()` ... return the integer by which older code calls the scheme of
that name, because it names its files by it: `D6v3_2ch()` is 46. Every `kType` takes it; `KTYPES` lists all.
"""

import itertools
import numbers

import keras

from kgpc.blocks import pointwise
from kgpc.cai import checks
from kgpc.grouping import D6, D6v3, Grouped, GroupedV3, Scheme

# The integers by which old code and old file names call the schemes.
KTYPES = {
    15: D6(4),
    14: D6(8),
    40: D6(12),
    2: D6(16),
    41: D6(24),
    13: D6(32),
    24: D6(64),
    26: D6(128),
    46: D6v3(2),
    45: D6v3(4),
    44: D6v3(8),
    42: D6v3(12),
    32: D6v3(16),
    43: D6v3(24),
    33: D6v3(32),
    34: D6v3(64),
    35: D6v3(128),
    3: Grouped(16),
    23: Grouped(32),
    25: Grouped(64),
    27: Grouped(128),
    47: GroupedV3(4),
    48: GroupedV3(8),
    36: GroupedV3(16),
    37: GroupedV3(32),
    38: GroupedV3(64),
    39: GroupedV3(128),
}
ORDINARY, BASELINE = 0, -1

# No layer has as many channels as would make a second group: the k architecture, every convolution of it ordinary.
NEVER_GROUPED = Grouped(10**9)

_OLD_NAMES = {D6: "D6", D6v3: "D6v3", Grouped: "kT3", GroupedV3: "kT3v3"}
_numbers = itertools.count(1)


def scheme_of(kType, name="kType"):
    """Returns the scheme that an old integer stands for.

    Args:
        kType: int of `KTYPES`; 0 for the same architecture with ordinary pointwise convolutions; -1 for the unmodified
            baseline; or a scheme such as `kgpc.D6(16)`, which is returned as it is.
        name: str, name of the argument, for the message.

    Returns:
        A scheme, or None for the baseline.

    Raises:
        ValueError: if `kType` is none of these; the message lists the known integers.
    """
    if isinstance(kType, Scheme):
        return kType
    if isinstance(kType, numbers.Integral) and not isinstance(kType, bool):
        if kType == BASELINE:
            return None
        if kType == ORDINARY:
            return NEVER_GROUPED
        if kType in KTYPES:
            return KTYPES[kType]
    known = ", ".join(f"{number} = {scheme}" for number, scheme in sorted(KTYPES.items()))
    raise ValueError(
        f"`{name}` must be a scheme such as kgpc.D6(16) or one of -1 = the baseline, 0 = ordinary convolutions, "
        f"{known}. Received: {name}={kType!r}."
    )


def kPointwiseConv2D(
    last_tensor,
    filters=32,
    channel_axis=3,
    name=None,
    activation=None,
    has_batch_norm=True,
    has_batch_scale=True,
    use_bias=False,
    kType=2,
):
    """`kgpc.blocks.pointwise` under its old name.

    Args:
        last_tensor: Keras tensor (batch, height, width, channels), the input.
        filters: int >= 1, channels of the output.
        channel_axis: 3 or -1; other layouts are not supported.
        name: str, name of the unit; default `k_pointwise_<n>`.
        activation: name of a Keras activation or callable, or None.
        has_batch_norm: bool, whether batch normalization follows each convolution.
        has_batch_scale: bool, whether that has a scale (gamma).
        use_bias: bool, whether each convolution has a bias.
        kType: see `scheme_of`; 0 and -1 both make an ordinary convolution.

    Returns:
        Keras tensor (batch, height, width, filters).

    Raises:
        TypeError: if `filters` is not an integer.
        ValueError: if `kType` is unknown, `channel_axis` is another axis, or `filters` is smaller than 1.
    """
    scheme = scheme_of(kType)
    if channel_axis not in (3, -1):
        raise ValueError(f"`channel_axis` must be 3 or -1 (channels last). Received: channel_axis={channel_axis!r}.")
    return pointwise(
        last_tensor,
        filters,
        scheme,
        name=name or f"k_pointwise_{next(_numbers)}",
        activation=activation,
        batch_norm=checks.flag("has_batch_norm", has_batch_norm),
        batch_norm_scale=checks.flag("has_batch_scale", has_batch_scale),
        use_bias=checks.flag("use_bias", use_bias),
    )


def _old_name(scheme):
    return f"{_OLD_NAMES[type(scheme)]}_{scheme.channels_per_group}ch"


def _function_returning(number, scheme):
    def function():
        return number

    function.__name__ = function.__qualname__ = _old_name(scheme)
    function.__doc__ = f"Returns {number}, the old integer for `kgpc.{scheme}`."
    return function


globals().update({_old_name(scheme): _function_returning(number, scheme) for number, scheme in KTYPES.items()})


@keras.saving.register_keras_serializable(package="kgpc.cai")
class CopyChannels(keras.layers.Layer):
    """Selects a run of channels: `inputs[..., channel_start : channel_start + channel_count]`.

    `kgpc.layers.CopyChannels` has its arguments in another order and begins again at the first channel where the input
    ends; this one ends with the input.

    Args:
        channel_start: int >= 0.
        channel_count: int >= 1.

    Input shape: `(batch, ..., channels)`. Output shape: the same with at most `channel_count` channels.

    Raises:
        TypeError, ValueError: if a number is out of range, or no channel is left.
    """

    def __init__(self, channel_start=0, channel_count=1, **kwargs):
        super().__init__(**kwargs)
        self.channel_start = checks.integer("channel_start", channel_start, 0)
        self.channel_count = checks.integer("channel_count", channel_count, 1)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # raises the error above

    def call(self, inputs):
        return inputs[..., self.channel_start : self.channel_start + self.channel_count]

    def compute_output_shape(self, input_shape):
        count = min(self.channel_count, input_shape[-1] - self.channel_start)
        if count < 1:
            raise ValueError(
                f"`channel_start` must be smaller than the {input_shape[-1]} input channels. "
                f"Received: channel_start={self.channel_start}."
            )
        return (*input_shape[:-1], count)

    def get_config(self):
        return {**super().get_config(), "channel_start": self.channel_start, "channel_count": self.channel_count}
