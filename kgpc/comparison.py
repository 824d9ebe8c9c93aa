"""How far an accuracy, or the difference of two, can be trusted: intervals for what was tested on a few images.

Arithmetic on which images a network got right. The intervals cover the choice of the test images; how much another
seed of the training would change is another question, which only repeated training answers.
"""

import math
import typing

import numpy as np
import pandas as pd

from kgpc import flops

_QUANTILE = 1.959964  # of the normal distribution, for 95%


class Interval(typing.NamedTuple):
    """An estimate with its 95% interval: `value` within `low` to `high`, all fractions (0.01 is one point)."""

    value: float
    low: float
    high: float

    @property
    def includes_zero(self):
        """Whether the images leave open which sign the value has."""
        return self.low <= 0.0 <= self.high


def _outcomes(name, correct):
    correct = np.asarray(correct)
    if correct.dtype != bool or correct.ndim != 1 or not correct.size:
        raise ValueError(
            f"`{name}` must be a bool array (n,) with n >= 1, whether each image was recognized. "
            f"Received: {correct.dtype} array of shape {correct.shape}."
        )
    return correct


def accuracy(correct):
    """Accuracy on a sample of images, with Wilson's 95% interval for the accuracy on all images of the kind.

    Args:
        correct: bool array `(n,)`, whether each image was recognized.

    Returns:
        `Interval`, fractions in [0, 1].

    Raises:
        ValueError: if `correct` is something else.

    Example:

    >>> accuracy(np.array([True] * 90 + [False] * 10))
    Interval(value=0.9, low=0.8256..., high=0.9447...)

    Reference: Brown, Cai, DasGupta 2001, "Interval Estimation for a Binomial Proportion", Statistical Science 16(2),
    doi:10.1214/ss/1009213286.
    """
    correct = _outcomes("correct", correct)
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
        second: bool array `(n,)`, whether the second one did, the images in the same order.

    Returns:
        `Interval`, fractions in [-1, 1].

    Raises:
        ValueError: if an argument is something else, or they differ in length.

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
    """
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
    """
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
