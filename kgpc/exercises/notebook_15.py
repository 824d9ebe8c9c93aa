"""The exercises of notebook 15, To a phone."""

from kgpc.exercises.kinds import Made, Number
from kgpc.grouping import D6

_CHANNELS = _FILTERS = 128
_LARGEST = 6.0  # of ReLU6


def _with_zeros():
    """Numbers that K and L have where zeros stand between their groups."""
    return sum(
        part.in_channels * part.filters for stage in D6(16).plan(_CHANNELS, _FILTERS).stages for part in stage.paths
    )


def _refused(answer):
    """What is lacking where somebody hands in what became of the file with black representative images."""
    from kgpc import deploy

    if isinstance(answer, deploy.Exported):
        return "not right yet. This file was kept: were its representative images black, and `images` real ones?"
    if not isinstance(answer, BaseException):
        return "the answer is what `deploy.export` returned, or the error that it raised."
    if not isinstance(answer, deploy.ExportError):
        return f"not right yet. That error is about something else: {answer}"
    return None


EXERCISES = {
    "15.1": Number(
        "a number of weights",
        _with_zeros,
        hints={
            "These are the weights without zeros.": lambda: D6(16).plan(_CHANNELS, _FILTERS).weights,
            "There are two convolutions, K and L.": lambda: _CHANNELS * _FILTERS,
        },
    ),
    "15.2": Number(
        "a distance",
        lambda: _LARGEST / (2**8 - 1),
        tolerance=0.002,
        hints={"How many steps are there between 256 values?": lambda: _LARGEST / 2**8},
    ),
    "15.3": Made("what became of the file: what `deploy.export` returned, or its error", _refused),
}
