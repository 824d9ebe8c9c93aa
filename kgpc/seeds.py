"""What a few seeds of the same trainings tell: differences of networks, and what other seeds would change in them.

The accuracies are a table, a row for each seed and a column for each network. Networks of one seed share the division
and the order of the images, so they are compared within the seed.
"""

import math
import typing

import numpy as np
import pandas as pd

from kgpc.grouping import positive_integer


class Bootstrap(typing.NamedTuple):
    """Interval of a bootstrap: `low` to `high`, fractions."""

    low: float
    high: float


def student_quantile(degrees, probability=0.975):
    """The number that a variable with Student's distribution stays below with a probability.

    Args:
        degrees: int >= 1, degrees of freedom.
        probability: float in [0.5, 1).

    Returns:
        float.

    Raises:
        TypeError, ValueError: if an argument is out of range.

    Reference: Abramowitz and Stegun 1964, Handbook of Mathematical Functions, equations 26.7.3 and 26.7.4.
    """
    degrees = positive_integer("degrees", degrees)
    _check_number("probability", probability, 0.5, 1.0)
    low, high = 0.0, 1.0
    while _student_probability(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_probability(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _check_number(name, value, low, high):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be a number. Received: {name}={value!r} of type {type(value).__name__}.")
    if not low <= value < high:
        raise ValueError(f"`{name}` must be in [{low:g}, {high:g}). Received: {name}={value}.")


def _student_probability(t, degrees):
    angle = math.atan(t / math.sqrt(degrees))
    square = math.cos(angle) ** 2
    term, total = (math.cos(angle), 0.0) if degrees % 2 else (1.0, 0.0)
    for factor in range(2 if degrees % 2 else 1, degrees, 2):
        total += term
        term *= square * factor / (factor + 1)
    within = math.sin(angle) * total
    return 0.5 + (angle + within) / math.pi if degrees % 2 else 0.5 + within / 2


def mean_interval(values, confidence=0.95):
    """The mean of a few numbers with Student's interval.

    Args:
        values: sequence of finite numbers.
        confidence: float in [0.5, 1).

    Returns:
        Tuple of mean, low and high; NaN for what cannot be told: all of no numbers, the interval of one.

    Raises:
        TypeError, ValueError: if a value is no finite number, or `confidence` is out of range.
    """
    _check_number("confidence", confidence, 0.5, 1.0)
    values = np.asarray(values)
    if values.ndim != 1 or not (values.size == 0 or np.issubdtype(values.dtype, np.number)):
        raise TypeError(f"`values` must be a sequence of numbers. Received: {values.dtype}, shape {values.shape}.")
    if not np.all(np.isfinite(values.astype(float))):
        raise ValueError(f"`values` must be finite. Received: values={values.tolist()}.")
    count = len(values)
    mean = math.fsum(values) / count if count else math.nan
    if count < 2:
        return mean, math.nan, math.nan
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = student_quantile(count - 1, (1 + confidence) / 2) * deviation / math.sqrt(count)
    return mean, mean - half, mean + half


def contrasts(accuracies, pairs, confidence=0.95):
    """Differences of networks with simultaneous intervals, from a two-way analysis of network and seed.

    Each accuracy is taken for a sum of a part of the network, a part of the seed and a residual. What the residuals of
    all networks tell together gives the standard error of a difference. The intervals hold for all pairs together with
    the given confidence (Bonferroni). Seeds that lack one of the networks are left out.

    Args:
        accuracies: `pandas.DataFrame`, one row for each seed, one column for each network, all of which are analysed;
            NaN where there is no result.
        pairs: sequence of tuples of two columns, first and second network.
        confidence: float in [0.5, 1).

    Returns:
        `pandas.DataFrame`, one row for each pair: `first`, `second`, `seeds` (their number), `difference` (mean of the
        first minus the second), `low` and `high` (simultaneous), `paired_low` and `paired_high` (Student's, of the
        differences within seeds, for this pair alone), `residual` (standard deviation) and `degrees` of freedom. In the
        unit of the accuracies; NaN for what fewer than two seeds cannot tell.

    Raises:
        TypeError: if `accuracies` is no table.
        ValueError: if a pair names what is no column, or there are no pairs.

    Example:

    >>> table = pd.DataFrame({"a": [0.70, 0.72, 0.71], "b": [0.65, 0.66, 0.67]}, index=[1, 2, 3])
    >>> contrasts(table, [("a", "b")]).round(3)[["difference", "low", "high"]].values.tolist()
    [[0.05, 0.025, 0.075]]
    """
    if not isinstance(accuracies, pd.DataFrame):
        raise TypeError(f"`accuracies` must be a pandas.DataFrame. Received: {type(accuracies).__name__}.")
    pairs = [tuple(pair) for pair in pairs]
    unknown = [name for pair in pairs for name in pair if name not in accuracies.columns]
    if unknown or not pairs:
        raise ValueError(
            f"`pairs` must name two of {', '.join(map(str, accuracies.columns))} each. Received: pairs={pairs}."
        )
    _check_number("confidence", confidence, 0.5, 1.0)
    complete = accuracies.dropna().astype(float)
    seeds, networks = complete.shape
    degrees = (seeds - 1) * (networks - 1)
    half = residual = math.nan
    if degrees > 0:
        values = complete.to_numpy()
        fitted = values.mean(axis=0) + values.mean(axis=1, keepdims=True) - values.mean()
        residual = math.sqrt(float(np.square(values - fitted).sum()) / degrees)
        quantile = student_quantile(degrees, 1 - (1 - confidence) / (2 * len(pairs)))
        half = quantile * residual * math.sqrt(2 / seeds)
    rows = []
    for first, second in pairs:
        difference, paired_low, paired_high = mean_interval(complete[first] - complete[second], confidence)
        rows.append(
            {
                "first": first,
                "second": second,
                "seeds": seeds,
                "difference": difference,
                "low": difference - half,
                "high": difference + half,
                "paired_low": paired_low,
                "paired_high": paired_high,
                "residual": residual,
                "degrees": degrees,
            }
        )
    return pd.DataFrame(rows)


def bootstrap(first, second, draws=2000, confidence=0.95, seed=0):
    """Interval of a difference of accuracies for other seeds and other test images, by drawing both anew.

    With few seeds it is too narrow: three seeds have only ten different draws.

    Args:
        first: bool array `(seeds, images)`, whether the first network recognized each image.
        second: bool array of the same shape, of the second one, seeds and images in the same order.
        draws: int >= 100.
        confidence: float in [0.5, 1).
        seed: int >= 0, of the draws.

    Returns:
        `Bootstrap`, fractions in [-1, 1].

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    first, second = np.asarray(first), np.asarray(second)
    for name, values in (("first", first), ("second", second)):
        if values.dtype != bool or values.ndim != 2 or not values.size:
            raise TypeError(
                f"`{name}` must be a bool array (seeds, images). Received: {values.dtype}, shape {values.shape}."
            )
    if first.shape != second.shape:
        raise ValueError(f"`first` and `second` must have the same shape. Received: {first.shape} and {second.shape}.")
    if positive_integer("draws", draws) < 100:
        raise ValueError(f"`draws` must be at least 100. Received: draws={draws}.")
    _check_number("confidence", confidence, 0.5, 1.0)
    seeds, images = first.shape
    generator = np.random.default_rng(seed)
    gains = first.astype(np.float32) - second.astype(np.float32)
    found = []
    for start in range(0, draws, 200):
        size = min(200, draws - start)
        of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
        of_images = generator.multinomial(images, np.full(images, 1 / images), size=size)
        found.append(np.einsum("ds,di,si->d", of_seeds, of_images, gains, optimize=True) / (seeds * images))
    low, high = np.quantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Bootstrap(float(low), float(high))


def sign_in_a_word(low, high):
    """What an interval says of the sign: "positive", "negative" or "undecided" (also where there is no interval).

    Args:
        low: float, lower end; NaN where there is none.
        high: float, upper end, likewise.
    """
    if low > 0:
        return "positive"
    return "negative" if high < 0 else "undecided"


def margin_in_a_word(low, high, margin):
    """What an interval says of a loss that would be accepted: "holds", "fails" or "undecided".

    Args:
        low: float, lower end of the difference; NaN where there is none.
        high: float, upper end, likewise.
        margin: float > 0, in the same unit: a difference above -margin holds.

    Raises:
        TypeError, ValueError: if `margin` is no number above 0.
    """
    _check_number("margin", margin, 0.0, math.inf)
    if margin == 0:
        raise ValueError("`margin` must be greater than 0. Received: margin=0.")
    if low > -margin:
        return "holds"
    return "fails" if high < -margin else "undecided"
