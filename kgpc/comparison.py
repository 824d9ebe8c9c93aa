"""How far an accuracy, or the difference of two, can be trusted: intervals for what was tested on a few images.

Arithmetic on which images a network got right. The intervals cover the choice of the test images; how much another
seed of the training would change is another question, which only repeated training answers.
"""

import math
import typing

import numpy as np
import pandas as pd

from kgpc import arguments, flops

_QUANTILE = 1.959964  # of the normal distribution, for 95%


class Interval(typing.NamedTuple("Interval", [("value", float), ("low", float), ("high", float)])):
    """An estimate with its 95% interval: `value` within `low` to `high`, all fractions (0.01 is one point).

    Raises:
        TypeError: if one of the three is not a number.
        ValueError: if one is not finite, or they are not in the order low <= value <= high.
    """

    __slots__ = ()

    def __new__(cls, value, low, high):
        """Refuses what no comparison can be drawn from: every comparison with NaN is false."""
        fields = ("value", value), ("low", low), ("high", high)
        value, low, high = (arguments.number(name, given) for name, given in fields)
        if not low <= value <= high:
            raise ValueError(
                f"`low`, `value` and `high` must be in this order. Received: low={low}, value={value}, high={high}."
            )
        return super().__new__(cls, value, low, high)

    @classmethod
    def _make(cls, iterable):
        """As the class itself: also `_replace` makes its copies here."""
        return cls(*iterable)

    @property
    def includes_zero(self):
        """Whether the images leave open which sign the value has."""
        return self.low <= 0.0 <= self.high


def _outcomes(name, correct):
    """The outcomes as a masked array: an image that is masked has none."""
    given = correct
    # A ragged list is no array; NumPy says so with a warning or an error, depending on its release.
    try:
        correct = np.ma.asarray(correct)
    except (TypeError, ValueError):
        correct = np.ma.asarray(None)
    if correct.dtype != bool or correct.ndim != 1 or not correct.size:
        shape = getattr(given, "shape", None)
        what = arguments.shown(given) if shape is None else f"{correct.dtype} array of shape {tuple(shape)}"
        raise ValueError(
            f"`{name}` must be a bool array (n,) with n >= 1, whether each image was recognized. Received: {what}."
        )
    return correct


def _counted(outcomes, missing, names):
    """The outcomes of the images that are not masked."""
    if missing.all():
        raise ValueError(f"{names} must have an outcome for at least one image. Received: all are masked.")
    return outcomes.data[~missing]


def accuracy(correct):
    """Accuracy on a sample of images, with Wilson's 95% interval for the accuracy on all images of the kind.

    Args:
        correct: bool array `(n,)`, whether each image was recognized. Images that are masked (`numpy.ma`) do not count.

    Returns:
        `Interval`, fractions in [0, 1].

    Raises:
        ValueError: if `correct` is something else, or all of it is masked.

    Example:

    >>> accuracy(np.array([True] * 90 + [False] * 10))
    Interval(value=0.9, low=0.8256..., high=0.9447...)

    Reference: Brown, Cai, DasGupta 2001, "Interval Estimation for a Binomial Proportion", Statistical Science 16(2),
    doi:10.1214/ss/1009213286.
    """
    correct = _outcomes("correct", correct)
    correct = _counted(correct, np.ma.getmaskarray(correct), "`correct`")
    n, share, square = len(correct), float(correct.mean()), _QUANTILE**2
    center = (share + square / (2 * n)) / (1 + square / n)
    half = _QUANTILE / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    # At the ends of [0, 1] rounding must not leave the value outside.
    return Interval(share, max(0.0, min(center - half, share)), min(1.0, max(center + half, share)))


def accuracy_difference(first, second):
    """Difference of two accuracies on the same images, first minus second, with its 95% interval.

    Only images that one network recognizes and the other does not tell anything. The interval is the adjusted one of
    Agresti and Min, which adds half an image to each of the four kinds of images.

    Args:
        first: bool array `(n,)`, whether the first network recognized each image.
        second: bool array `(n,)`, whether the second one did, the images in the same order. An image that is masked
            (`numpy.ma`) in one of them does not count.

    Returns:
        `Interval`, fractions in [-1, 1].

    Raises:
        ValueError: if an argument is something else, they differ in length, or no image has both outcomes.

    Example:

    >>> accuracy_difference(np.array([True] * 100), np.array([True] * 80 + [False] * 20)).includes_zero
    False

    Reference: Agresti, Min 2005, "Simple improved confidence intervals for comparing matched proportions", Statistics
    in Medicine 24(5), doi:10.1002/sim.1781.
    """
    first, second = _outcomes("first", first), _outcomes("second", second)
    if len(first) != len(second):
        raise ValueError(
            f"`first` and `second` must be about the same images. Received: {len(first)} and {len(second)} outcomes."
        )
    missing = np.ma.getmaskarray(first) | np.ma.getmaskarray(second)
    first, second = (_counted(outcomes, missing, "`first` and `second`") for outcomes in (first, second))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = len(first) + 2
    difference = (only_first - only_second) / n
    error = math.sqrt((only_first + only_second + 1) / n - difference**2) / math.sqrt(n)
    value = (only_first - only_second) / len(first)
    low, high = difference - _QUANTILE * error, difference + _QUANTILE * error
    return Interval(value, max(-1.0, min(low, value)), min(1.0, max(high, value)))


def in_words(difference, first, second):
    """A sentence about a difference of accuracies.

    Args:
        difference: `Interval`, a result of `accuracy_difference`.
        first: str, name of the first network.
        second: str, name of the second one.

    Returns:
        str, such as "first is more accurate than second: +2.1 points, 95% interval +0.4 to +3.8", or that they
        cannot be told apart.

    Raises:
        TypeError: if `difference` is not an `Interval`, or a name is not a str.
        ValueError: if a name is empty.
    """
    if not isinstance(difference, Interval):
        raise TypeError(
            "`difference` must be an `Interval`, as `accuracy_difference` returns it. "
            + arguments.received("difference", difference)
        )
    first, second = (arguments.text(name, given, empty=False) for name, given in (("first", first), ("second", second)))
    numbers = "{:+.1f} points, 95% interval {:+.1f} to {:+.1f}".format(*(100 * value for value in difference))
    if difference.includes_zero:
        return f"{first} and {second} cannot be told apart on these images: {numbers}"
    return f"{first} is {'more' if difference.value > 0 else 'less'} accurate than {second}: {numbers}"


def of_runs(models, evaluations, seconds):
    """What networks hold, compute and learned, one row for each.

    Args:
        models: dict from the name of a network to its Keras model.
        evaluations: dict from the names to objects with `correct`, as `kgpc.training.evaluate` returns them.
        seconds: dict from the names to seconds of training.

    Returns:
        `pandas.DataFrame` with the columns `network`, `trainable parameters`, `paper flops`, `accuracy, %`, `95%
        interval` (str, of `accuracy`, in percent) and `training, s`.

    Raises:
        TypeError: if an argument is not a dict, a model is not a Keras model, or seconds are not numbers.
        ValueError: if a name of `models` is missing in another dict, an evaluation has no outcomes, or seconds are
            negative or not finite.
    """
    arguments.mapping("models", models, "Keras models")
    for argument, values, what in (("evaluations", evaluations, "evaluations"), ("seconds", seconds, "seconds")):
        if not set(models) <= set(arguments.mapping(argument, values, what)):
            raise ValueError(f"`{argument}` must have the names of `models`: {list(models)}. Received: {list(values)}.")
    for name in models:
        arguments.number(f"seconds[{name!r}]", seconds[name], smallest=0)
        if not hasattr(evaluations[name], "correct"):
            raise ValueError(
                "`evaluations` must hold objects with `correct`, as kgpc.training.evaluate returns them. "
                f"Received: evaluations[{name!r}]={arguments.shown(evaluations[name])}."
            )
    rows = []
    for name, model in models.items():
        interval = accuracy(evaluations[name].correct)
        rows.append(
            {
                "network": name,
                "trainable parameters": flops.trainable_parameters(model),
                "paper flops": flops.paper_flops(model),
                "accuracy, %": 100 * interval.value,
                "95% interval": f"{100 * interval.low:.1f} to {100 * interval.high:.1f}",
                "training, s": seconds[name],
            }
        )
    return pd.DataFrame(rows)
