"""The exercises of notebook 01, Theory."""

from kgpc.exercises.kinds import Number, Numbers
from kgpc.grouping import D6


def _first():
    plan = D6(16).plan(96, 24)
    return plan.groups, plan.first.weights, plan.second.weights


EXERCISES = {
    "01.1": Numbers(
        "the number of groups, the weights of K, and the weights of L",
        _first,
        hint="The groups must divide the channels and the filters, and each has at least 16 channels.",
    ),
    "01.3": Number(
        "a number of layers",
        lambda: 4,  # 2, 4, 8, 16 channels
        hints={"One layer sees only its own group of two channels.": lambda: 1},
    ),
}
