"""Finds an exercise, and says whether an answer to it is right."""

import importlib
import pkgutil
import re

from kgpc import arguments

_NAME = re.compile(r"(\d\d)\.(\d+)")


def _found(name):
    """The exercise with a name such as "01.2"."""
    import kgpc.exercises

    arguments.text("exercise", name)
    match = _NAME.fullmatch(name)
    modules = {module.name for module in pkgutil.iter_modules(kgpc.exercises.__path__)}
    known = {}
    if match and f"notebook_{match[1]}" in modules:
        known = importlib.import_module(f"kgpc.exercises.notebook_{match[1]}").EXERCISES
    if name not in known:
        allowed = f"of notebook {match[1]}: {', '.join(known)}" if known else "such as 01.1, as the notebook writes it"
        raise ValueError(f"`exercise` must be the name of an exercise {allowed}. Received: exercise={name!r}.")
    return known[name]


def check(exercise, answer):
    """Prints whether an answer is right; a wrong one gets a hint where there is one, never the right answer.

    Args:
        exercise: str, the number of the notebook and of the exercise, for example "01.1".
        answer: what the exercise asks for: a number, several, a word, or what was built. None is no answer yet.

    Raises:
        TypeError: if `exercise` is no str.
        ValueError: if there is no such exercise.
    """
    asked = _found(exercise)
    if answer is None:
        print(f"Exercise {exercise}: no answer yet. Asked for: {asked.asks}.")
        return
    problem = asked.problem(answer)
    print(f"Exercise {exercise}: {'right.' if problem is None else problem}")
