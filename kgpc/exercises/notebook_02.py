"""The exercises of notebook 02, kMobileNet."""

import numpy as np

from kgpc.applications.mobilenet import BLOCKS
from kgpc.arguments import shown
from kgpc.exercises.kinds import Made, Number, Numbers
from kgpc.grouping import D6

_LATE = 6  # blocks of the second exercise


def _share_of_the_late_blocks():
    channels, saved = 32, []
    for filters, _ in BLOCKS:
        plan = D6(16).plan(channels, filters)
        saved.append(plan.ordinary_weights - plan.weights)
        channels = filters
    return sum(saved[-_LATE:]) / sum(saved)


def _look_at_recall(answer):
    """Whether a function computes the recall of each class, tried with classes of different sizes."""
    if not callable(answer):
        return f"the answer is a function of `correct`, `labels` and `classes`. Received: {shown(answer)}."
    labels = np.array([2, 0, 1, 1, 0, 1, 1, 0, 0, 0])
    correct = np.array([True, True, False, False, False, True, False, False, True, True])
    right = [correct[labels == label].mean() for label in range(3)]
    try:
        given = answer(correct.copy(), labels.copy(), 3)
    except Exception as error:  # whatever a reader's function does
        return f"it stops with {type(error).__name__}: {error}"
    if given is None:
        return "the function returns nothing yet."
    try:
        given = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        return f"the function should return a number for each class. It returned {shown(given)}."
    if given.shape != (3,):
        return f"the function should return one number for each of the 3 classes. It returned {shown(given)}."
    if np.allclose(given, 100 * np.array(right)):
        return "these are percentages; asked for are shares between 0 and 1."
    if np.allclose(given, [correct[labels == label].sum() / len(labels) for label in range(3)]):
        return "not right yet. The share is one of the images of the class, not of all images."
    return None if np.allclose(given, right) else "not right yet, when tried with ten labels of three classes."


EXERCISES = {
    "02.1": Numbers(
        "the weights of K and L together with 8, 16, 32, 64 and 128 channels per group",
        lambda: [D6(size).plan(1024, 1024).weights for size in (8, 16, 32, 64, 128)],
        hint="How many channels does one filter of K read, and how many one of L?",
    ),
    "02.2": Number(
        "a share between 0 and 1",
        _share_of_the_late_blocks,
        tolerance=0.01,
        hints={"That is their share of the blocks. Which blocks are wide?": lambda: _LATE / len(BLOCKS)},
    ),
    "02.3": Made("a function that returns the recall of each class", _look_at_recall),
}
