"""Checks of the exercises in the notebooks: whether an answer is right, without giving the right one away.

    answer = None  # your answer
    exercises.check("01.1", answer)

The exercises of a notebook stand in `kgpc.exercises.notebook_<number>`: what is asked for, computed by the package, and
hints for wrong answers that readers give.
"""

from kgpc.exercises.checking import check
from kgpc.exercises.kinds import Choice, Made, Number, Numbers

__all__ = ["Choice", "Made", "Number", "Numbers", "check"]
