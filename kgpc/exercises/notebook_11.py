"""The exercises of notebook 11, The enhanced scheme."""

from kgpc.exercises.kinds import Numbers
from kgpc.grouping import D6, D6v3


def _by_hand():
    plan = D6v3(16).plan(100, 66)
    return (
        plan.first.groups,
        plan.first.copied_channels,
        plan.first.paths[1].filters,
        plan.first.weights,
        plan.second.weights,
    )


def _share(scheme, width):
    return scheme.plan(width, width).weights / width**2


def _around_a_hundred():
    widths = range(96, 105)
    best = min(widths, key=lambda width: _share(D6v3(16), width))
    return min(_share(D6(16), width) for width in widths), _share(D6v3(16), best), best


def _dearest():
    ratios = {}
    for channels in range(1, 129):
        for filters in range(1, 129):
            plan = D6v3(16).plan(channels, filters)
            if plan.groups > 1:
                ratios[channels, filters] = plan.weights / D6(16).plan(channels, filters).weights
    pair = max(ratios, key=ratios.get)
    return *pair, ratios[pair]


EXERCISES = {
    "11.1": Numbers(
        "the groups of K, its copied channels, the filters in its second path, the weights of K, and those of L",
        _by_hand,
        hint="Each filter reads one group of 16 channels, in K and in L.",
    ),
    "11.2": Numbers(
        "the smallest share of D6(16), the smallest share of D6v3(16), and the width that has the latter",
        _around_a_hundred,
        tolerance=0.005,
        hint="A share is K and L together, divided by the square of the width.",
    ),
    "11.3": Numbers(
        "the channels C, the filters F, and the ratio of the weights",
        _dearest,
        tolerance=0.005,
        hint="Try all pairs, and leave out those that D6v3(16) does not group.",
    ),
}
