"""D6 itself: channels, the groups of K, interleaving, the groups of L, and what all of that weighs."""

import pandas as pd

from kgpc import plots
from kgpc.arguments import integer, shown
from kgpc.figures.moving import MovingFigure, counted
from kgpc.grouping import D6, D6v3

_SCHEMES = {"D6": D6, "D6v3": D6v3}
MOST_CHANNELS, MOST_CHANNELS_PER_GROUP = 512, 64  # ends of the sliders
_MOST_DRAWN = 32  # channels that the static picture shows one by one
PIXELS = 14 * 14  # of the feature map for which multiply-adds are counted, as in d6.js


def _lines(in_channels, filters, channels_per_group):
    """The numbers of both schemes, a line for each."""
    for name, scheme in _SCHEMES.items():
        plan = scheme(channels_per_group).plan(in_channels, filters)
        left = plan.weights / plan.ordinary_weights
        second = "no L" if plan.second is None else f"L {plan.second.weights:,} weights"
        yield (
            f"{name}({channels_per_group}), {in_channels} channels to {filters} filters: "
            f"{counted(plan.groups, 'group')} of {plan.channels_per_group} channels; "
            f"K {plan.first.weights:,} weights, {second}; together {plan.weights:,} of {plan.ordinary_weights:,} "
            f"({left:.0%}); {plan.weights * PIXELS:,} multiply-adds at 14×14 pixels"
        )


def d6(in_channels=16, filters=16, channels_per_group=4, scheme="D6"):
    """What D6 makes of a pointwise convolution, with sliders for its sizes and channels that can be followed.

    Args:
        in_channels: int in 2 ... 512, where the slider of the input channels begins.
        filters: int in 1 ... 512, where that of the filters begins.
        channels_per_group: int in 1 ... 64, where that of the channels per group begins.
        scheme: str, `"D6"` or `"D6v3"`, which scheme is chosen at first.

    Returns:
        `MovingFigure`. Its static picture shows the setting with which it begins: channel by channel up to 32 channels
        and filters, as bars of weights above that.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is outside its range, or there is no such scheme.
    """
    parameters = {
        "in_channels": integer("in_channels", in_channels, 2, MOST_CHANNELS),
        "filters": integer("filters", filters, 1, MOST_CHANNELS),
        "channels_per_group": integer("channels_per_group", channels_per_group, 1, MOST_CHANNELS_PER_GROUP),
        "scheme": scheme,
    }
    if not isinstance(scheme, str) or scheme not in _SCHEMES:
        raise ValueError(f'`scheme` must be "D6" or "D6v3". Received: scheme={shown(scheme)}.')
    sizes = parameters["in_channels"], parameters["filters"], parameters["channels_per_group"]
    plan = _SCHEMES[scheme](sizes[2]).plan(*sizes[:2])
    title = f"{scheme}({sizes[2]}): {sizes[0]} channels to {sizes[1]} filters"

    def draw():
        if max(sizes[:2]) <= _MOST_DRAWN:
            return plots.subnetwork(plan, title=title)
        stages = {letter: [stage.weights] for letter, stage in zip("KL", plan.stages, strict=False)}
        frame = pd.DataFrame({"ordinary": [plan.ordinary_weights, 0]} | {k: [0, *v] for k, v in stages.items()})
        frame.index = ["ordinary", str(scheme)]
        return plots.stacked_bars(frame, xlabel="weights", title=title)

    text = "\n".join(_lines(*sizes))
    what = (
        "every channel as a box, from the input through K, interleaving and L" if max(sizes[:2]) <= _MOST_DRAWN else ""
    )
    alt = f"{title}, {what or 'bars of the weights'}. {text.splitlines()[list(_SCHEMES).index(scheme)]}."
    return MovingFigure("d6", parameters, alt, text, draw)
