"""Arithmetic of grouped pointwise convolutions: how many groups, which channels, how many weights.

Pure Python without Keras, so that the theory can be explored without building a model. A scheme is a small frozen
value such as `D6(16)`; `scheme.plan(in_channels, filters)` says how it replaces a pointwise (1x1) convolution from
`in_channels` to `filters`.

Reference for D6: Schwarz Schuler et al. 2022, "Grouped Pointwise Convolutions Reduce Parameters in Convolutional
Neural Networks", MENDEL 28(1), doi:10.13164/mendel.2022.1.023. Reference for D6v3: Schwarz Schuler et al. 2022, "An
Enhanced Scheme for Reducing the Complexity of Pointwise Convolutions in CNNs for Image Classification Based on
Interleaved Grouped Filters without Divisibility Constraints", Entropy 24(9), doi:10.3390/e24091264.
"""

import abc
import dataclasses
import math

from kgpc.arguments import boolean, integer, positive_integer, received, shown, text

# Above these an answer would only cost time: no tensor has so many channels, and an order is a list of all of them.
_MOST_CHANNELS = 2**31 - 1
_MOST_ORDERED_CHANNELS = 2**22


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One grouped 1x1 convolution of a plan.

    Attributes:
        suffix: str, what is appended to the name of the unit.
        in_channels: int, channels it reads.
        filters: int, channels it writes.
        groups: int, number of groups, which divides both; 1 is an ordinary convolution.

    Raises:
        TypeError: if `suffix` is not a str, or a number is not an integer.
        ValueError: if a number is smaller than 1, or `groups` does not divide `in_channels` and `filters`.
    """

    suffix: str
    in_channels: int
    filters: int
    groups: int

    def __post_init__(self):
        text("suffix", self.suffix)
        for name in ("in_channels", "filters", "groups"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))
        if self.in_channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"`groups` must divide in_channels={self.in_channels} and filters={self.filters}. "
                f"Received: groups={self.groups}."
            )

    @property
    def channels_per_group(self):
        """Input channels that each filter reads."""
        return self.in_channels // self.groups

    @property
    def weights(self):
        """Kernel weights (no bias); also the multiply-accumulates for one pixel."""
        return self.channels_per_group * self.filters


@dataclasses.dataclass(frozen=True)
class Stage:
    """Convolutions side by side over the same input, their outputs concatenated; usually there is only one.

    Attributes:
        copied_channels: int, copies of the first channels that are appended to the input first (0: none).
        paths: tuple of `Convolution`. A second path reads the first `paths[1].in_channels` channels only.
        suffix: str, what is appended to the name of the unit for the concatenation.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if `copied_channels` is negative, or `paths` is empty.
    """

    copied_channels: int
    paths: tuple[Convolution, ...]
    suffix: str = ""

    def __post_init__(self):
        object.__setattr__(self, "copied_channels", integer("copied_channels", self.copied_channels, smallest=0))
        if not isinstance(self.paths, tuple) or not all(isinstance(path, Convolution) for path in self.paths):
            raise TypeError(f"`paths` must be a tuple of `Convolution`. {received('paths', self.paths)}")
        if not self.paths:
            raise ValueError("`paths` must hold at least one `Convolution`. Received: paths=().")
        text("suffix", self.suffix)

    @property
    def groups(self):
        """Groups of the main path."""
        return self.paths[0].groups

    @property
    def filters(self):
        """Channels of the concatenated output."""
        return sum(path.filters for path in self.paths)

    @property
    def weights(self):
        """Kernel weights of all paths."""
        return sum(path.weights for path in self.paths)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a scheme computes one pointwise convolution.

    Attributes:
        in_channels: int, channels of the input.
        filters: int, channels of the output.
        first: `Stage`, the convolution K of the paper.
        interleave_step: int, step of the channel interleaving after K; 1 means that there is none.
        interleave_suffix: str, what is appended to the name of the unit for the interleaving.
        second: `Stage` or None, the convolution L that reads the interleaved output of K; its output is added to that
            of K.
        add_suffix: str, what is appended to the name of the unit for the addition.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a number is smaller than 1.
    """

    in_channels: int
    filters: int
    first: Stage
    interleave_step: int = 1
    interleave_suffix: str = ""
    second: Stage | None = None
    add_suffix: str = ""

    def __post_init__(self):
        for name in ("in_channels", "filters", "interleave_step"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))
        if not isinstance(self.first, Stage):
            raise TypeError(f"`first` must be a `Stage`. {received('first', self.first)}")
        if self.second is not None and not isinstance(self.second, Stage):
            raise TypeError(f"`second` must be a `Stage` or None. {received('second', self.second)}")
        for name in ("interleave_suffix", "add_suffix"):
            text(name, getattr(self, name))

    @property
    def stages(self):
        """K, and L where there is one."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def groups(self):
        """Groups of the first convolution."""
        return self.first.groups

    @property
    def channels_per_group(self):
        """Input channels that each filter of the first convolution reads."""
        return self.first.paths[0].channels_per_group

    @property
    def weights(self):
        """Kernel weights of all convolutions; also the multiply-accumulates for one pixel."""
        return sum(stage.weights for stage in self.stages)

    @property
    def ordinary_weights(self):
        """Kernel weights of the ordinary pointwise convolution that is replaced."""
        return self.in_channels * self.filters

    def parameters(self, use_bias=False, batch_norm=True, batch_norm_scale=True):
        """Trainable parameters of the whole unit.

        Args:
            use_bias: bool, whether each convolution has a bias.
            batch_norm: bool, whether batch normalization follows each convolution.
            batch_norm_scale: bool, whether batch normalization has a scale (gamma) beside its offset (beta).

        Returns:
            int, number of trainable parameters.

        Raises:
            TypeError: if an argument is not a bool.
        """
        use_bias, batch_norm = boolean("use_bias", use_bias), boolean("batch_norm", batch_norm)
        per_channel = use_bias + batch_norm * (1 + boolean("batch_norm_scale", batch_norm_scale))
        return sum(stage.weights + per_channel * stage.filters for stage in self.stages)


@dataclasses.dataclass(frozen=True)
class Scheme(abc.ABC):
    """A way to replace pointwise convolutions, with its hyperparameter.

    Args:
        channels_per_group: int >= 1, the (minimum) number of input channels per group.

    Raises:
        TypeError: if `channels_per_group` is not an integer.
        ValueError: if `channels_per_group` is smaller than 1.
    """

    channels_per_group: int

    def __post_init__(self):
        object.__setattr__(self, "channels_per_group", positive_integer("channels_per_group", self.channels_per_group))

    def __str__(self):
        return f"{type(self).__name__}({self.channels_per_group})"

    def plan(self, in_channels, filters):
        """Says how a pointwise convolution is computed under this scheme.

        Args:
            in_channels: int in 1 ... 2**31 - 1, channels of the input.
            filters: int in 1 ... 2**31 - 1, channels of the output.

        Returns:
            A `Plan`.

        Raises:
            TypeError: if a number is not an integer.
            ValueError: if a number is outside its range.
        """
        return self._plan(
            positive_integer("in_channels", in_channels, _MOST_CHANNELS),
            positive_integer("filters", filters, _MOST_CHANNELS),
        )

    @abc.abstractmethod
    def _plan(self, in_channels, filters):
        """`plan` for numbers that are known to be good."""


def ordinary_plan(in_channels, filters, suffix=""):
    """Plan of one ordinary pointwise convolution.

    Args:
        in_channels: int >= 1, channels of the input.
        filters: int >= 1, channels of the output.
        suffix: str, what is appended to the name of the unit.

    Returns:
        A `Plan` with one group.

    Raises:
        TypeError: if a number is not an integer, or `suffix` not a str.
        ValueError: if a number is smaller than 1.
    """
    in_channels, filters = positive_integer("in_channels", in_channels), positive_integer("filters", filters)
    return Plan(in_channels, filters, Stage(0, (Convolution(suffix, in_channels, filters, 1),)))


def largest_common_divisor(first, second, at_most):
    """Largest integer <= `at_most` that divides both `first` and `second`; 1 where `at_most` is smaller than 1.

    Args:
        first: int in 1 ... 2**31 - 1.
        second: int in 1 ... 2**31 - 1.
        at_most: int.

    Returns:
        int.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if `first` or `second` is outside its range.
    """
    common = math.gcd(
        positive_integer("first", first, _MOST_CHANNELS), positive_integer("second", second, _MOST_CHANNELS)
    )
    at_most = integer("at_most", at_most)
    # Divisors come in pairs whose product is `common`, so one of each pair is at most its square root.
    smaller = [divisor for divisor in range(1, math.isqrt(common) + 1) if common % divisor == 0]
    divisors = smaller + [common // divisor for divisor in smaller]
    return max((divisor for divisor in divisors if divisor <= at_most), default=1)


class D6(Scheme):
    """The scheme of the first paper: at least `channels_per_group` input channels in each group.

    The number of groups is the largest common divisor of input channels and filters that leaves each group at least
    `channels_per_group` input channels. With more than one group the output of the grouped convolution K is
    interleaved; where there are no more filters than input channels, a second grouped convolution L reads the
    interleaved channels and is added to K.

    Example:

    >>> plan = D6(16).plan(128, 64)
    >>> plan.groups, plan.interleave_step, plan.weights, plan.ordinary_weights
    (8, 8, 1536, 8192)
    """

    def _plan(self, in_channels, filters):
        groups = largest_common_divisor(in_channels, filters, at_most=in_channels // self.channels_per_group)
        if groups == 1:
            return ordinary_plan(in_channels, filters)
        return Plan(
            in_channels,
            filters,
            first=Stage(0, (Convolution("", in_channels, filters, groups),)),
            interleave_step=filters // groups,
            interleave_suffix="_group_interleaved",
            second=Stage(0, (Convolution("_group_interconn", filters, filters, groups),))
            if in_channels >= filters
            else None,
            add_suffix="_inter_group_add",
        )


class D6WithoutL(Scheme):
    """`D6` without its second convolution: the grouped convolution K, whose output is interleaved.

    It asks what the second convolution is for: with twice as many channels per group this has about as many
    parameters.

    Example:

    >>> D6WithoutL(32).plan(128, 64).weights, D6(16).plan(128, 64).weights
    (2048, 1536)
    """

    def _plan(self, in_channels, filters):
        return dataclasses.replace(D6(self.channels_per_group).plan(in_channels, filters), second=None)


class D6WithoutInterleaving(Scheme):
    """`D6` without the interleaving: L reads the channels in the order in which K writes them.

    It asks what interleaving is for: parameters and multiply-adds are those of `D6`, but no path leads from a group to
    another one.

    Example:

    >>> plan = D6WithoutInterleaving(16).plan(128, 64)
    >>> plan.interleave_step, plan.weights == D6(16).plan(128, 64).weights
    (1, True)
    """

    def _plan(self, in_channels, filters):
        return dataclasses.replace(D6(self.channels_per_group).plan(in_channels, filters), interleave_step=1)


class Grouped(Scheme):
    """Groups as in `D6`, but the grouped convolution alone: no interleaving and no second convolution.

    It shows what interleaving is for: without it, no output of a stack of such layers sees another group's input.
    """

    def _plan(self, in_channels, filters):
        groups = largest_common_divisor(in_channels, filters, at_most=in_channels // self.channels_per_group)
        return Plan(in_channels, filters, Stage(0, (Convolution("", in_channels, filters, groups),)))


def _stage_without_divisibility(in_channels, filters, channels_per_group, suffix):
    groups = min(-(-in_channels // channels_per_group), filters)
    if groups == 1:
        return Stage(0, (Convolution(f"{suffix}_dum", in_channels, filters, 1),))
    # Filters fewer than groups leave too few groups: each must then read more channels than asked for.
    channels_per_group = max(channels_per_group, -(-in_channels // groups))
    channels = groups * channels_per_group
    remainder = filters % groups
    if remainder == 0:
        paths = (Convolution(f"{suffix}_m{groups}", channels, filters, groups),)
    else:
        paths = (
            Convolution(f"{suffix}_p1_{groups}", channels, filters - remainder, groups),
            Convolution(f"{suffix}_p2", remainder * channels_per_group, remainder, remainder),
        )
    return Stage(channels - in_channels, paths, f"{suffix}_dc")


def _replaced_without_divisibility(scheme, in_channels, filters):
    """Whether the second paper's scheme touches this convolution; small ones stay ordinary."""
    return in_channels > 2 * scheme.channels_per_group or filters > in_channels > scheme.channels_per_group


class D6v3(Scheme):
    """The enhanced scheme of the second paper: `channels_per_group` input channels per group for any channel counts.

    Where the input channels are no multiple of `channels_per_group`, copies of the first channels fill the last group;
    where the filters are no multiple of the groups, the remaining filters form a second path with one group each.

    Example:

    >>> plan = D6v3(16).plan(97, 64)
    >>> [(path.in_channels, path.filters, path.groups) for path in plan.first.paths]
    [(112, 63, 7), (16, 1, 1)]
    """

    def _plan(self, in_channels, filters):
        if not _replaced_without_divisibility(self, in_channels, filters):
            return ordinary_plan(in_channels, filters, "_um")
        first = _stage_without_divisibility(in_channels, filters, self.channels_per_group, "_c1")
        if first.groups == 1 or in_channels < filters:
            return Plan(in_channels, filters, first)
        # A step of 0 (fewer filters than channels per group) or 1 leaves the order as it is.
        step = max(filters // self.channels_per_group, 1)
        second = _stage_without_divisibility(filters, filters, self.channels_per_group, "_c2")
        return Plan(in_channels, filters, first, step, f"_i{step}", second, "_iga")


class GroupedV3(Scheme):
    """The first grouped convolution of `D6v3` alone: no interleaving and no second convolution."""

    def _plan(self, in_channels, filters):
        if not _replaced_without_divisibility(self, in_channels, filters):
            return ordinary_plan(in_channels, filters, "_um")
        return Plan(
            in_channels, filters, _stage_without_divisibility(in_channels, filters, self.channels_per_group, "_c1")
        )


def interleaved_order(channels, step):
    """Order in which interleaving with a step reads the input channels.

    Args:
        channels: int in 1 ... 2**22, number of channels.
        step: int >= 1, distance in the input between channels that end up side by side; it need not divide `channels`.

    Returns:
        list of int: 0, step, 2 * step, ..., then 1, 1 + step, ..., up to step - 1, 2 * step - 1, ...

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is smaller than 1, or `channels` above 2**22.

    Example:

    >>> interleaved_order(6, 2)
    [0, 2, 4, 1, 3, 5]
    """
    channels = positive_integer("channels", channels, _MOST_ORDERED_CHANNELS)
    step = positive_integer("step", step)
    return [channel for start in range(min(step, channels)) for channel in range(start, channels, step)]


def check_scheme(scheme):
    """Returns `scheme` where it is a `Scheme` or None (an ordinary convolution).

    Raises:
        ValueError: if it is anything else.
    """
    if scheme is None or isinstance(scheme, Scheme):
        return scheme
    raise ValueError(
        "`scheme` must be a value such as kgpc.D6(16), kgpc.D6v3(16), kgpc.Grouped(16) or kgpc.GroupedV3(16), "
        f"or None for ordinary pointwise convolutions. Received: scheme={shown(scheme)}."
    )
