"""The exercises of notebook 05, kDenseNet-BC."""

from kgpc.exercises.kinds import Number, Numbers
from kgpc.grouping import D6

_UNITS, _GROWTH = 16, 12


def _bottlenecks_of_stage_1():
    return sum(4 * _GROWTH * count for count in range(2 * _GROWTH, 2 * _GROWTH + _UNITS * _GROWTH, _GROWTH))


def _ordinary_transitions():
    plans = D6(12).plan(216, 108), D6(12).plan(300, 150)
    return sum(plan.ordinary_weights - plan.weights for plan in plans)


def _most_groups_of_stage_3():
    most = []
    for growth in range(8, 17):
        first = ((2 + _UNITS) * growth // 2 + _UNITS * growth) // 2
        most.append(max(D6(12).plan(first + unit * growth, 4 * growth).groups for unit in range(_UNITS)))
    return most


EXERCISES = {
    "05.1": Number(
        "a number of weights",
        _bottlenecks_of_stage_1,
        hints={"That is one unit more than there are.": lambda: 48 * sum(range(24, 24 + 17 * 12, 12))},
    ),
    "05.2": Number(
        "a number of parameters more than those of kDenseNet-BC 12ch",
        _ordinary_transitions,
        hints={
            "K and L go when the ordinary convolutions come back.": lambda: 216 * 108 + 300 * 150,
        },
    ),
    "05.3": Numbers(
        "the most groups in a unit of stage 3 for each growth rate from 8 to 16",
        _most_groups_of_stage_3,
        hint="Halving rounds down: how many channels does stage 3 begin with?",
    ),
}
