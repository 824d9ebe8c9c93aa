"""Which output channels of a unit read which of its input channels."""

import numpy as np

from kgpc.arguments import received
from kgpc.grouping import Plan, interleaved_order

_MOST_PAIRS = 2**26  # of channels, as bytes in memory


def connections(plan):
    """Which input channels each output channel of a unit depends on, whatever the weights are.

    Args:
        plan: `kgpc.grouping.Plan`, as `D6(16).plan(128, 64)` returns it.

    Returns:
        Array of bool, shape `(plan.in_channels, plan.filters)`: whether a path leads from the input channel (row) to
        the output channel (column). Its matrix product with that of a following unit says what both do together.

    Raises:
        TypeError: if `plan` is no plan.
        ValueError: if it has more than 2**26 pairs of channels.

    Example:

    >>> from kgpc.grouping import D6, Grouped
    >>> connections(Grouped(4).plan(8, 8)).mean(), connections(D6(4).plan(8, 8)).mean()
    (0.5, 1.0)
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"`plan` must be a `kgpc.grouping.Plan`. {received('plan', plan)}")
    if plan.in_channels * plan.filters > _MOST_PAIRS:
        raise ValueError(
            f"`plan` must have at most {_MOST_PAIRS:,} pairs of channels. "
            f"Received: {plan.in_channels:,} channels and {plan.filters:,} filters."
        )
    first = _of_stage(plan.first, plan.in_channels)
    interleaved = first[:, interleaved_order(plan.filters, plan.interleave_step)]
    if plan.second is None:
        return interleaved
    second = _of_stage(plan.second, plan.filters)
    return first | (interleaved.astype(np.float32) @ second.astype(np.float32) > 0)


def _of_stage(stage, channels):
    """The connections of K or of L: the paths lie side by side and read the same channels, copies at their end."""
    source = [*range(channels), *range(stage.copied_channels)]
    paths = []
    for path in stage.paths:
        read = np.zeros((channels, path.filters), bool)
        width = path.filters // path.groups
        for group in range(path.groups):
            start = group * path.channels_per_group
            rows = source[start : start + path.channels_per_group]
            read[rows, group * width : (group + 1) * width] = True
        paths.append(read)
    return np.hstack(paths)
