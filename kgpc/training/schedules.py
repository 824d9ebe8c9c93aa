"""Learning rates as values: what a schedule is, apart from when it was used.

A schedule is a small frozen value; `rate(epochs, total_epochs)` is the learning rate after a number of epochs, which
may be a fraction (half an epoch is 0.5).
"""

import dataclasses
import math

from kgpc.arguments import number


def _check(schedule, positive=(), fractions=(), counts=()):
    """Raises an error that names the first field of a schedule that is out of range."""
    for name in (*positive, *fractions, *counts):
        value = number(name, getattr(schedule, name))
        if name in positive and value <= 0:
            raise ValueError(f"`{name}` must be greater than 0. Received: {name}={value}.")
        if name in fractions and not 0 < value <= 1:
            raise ValueError(f"`{name}` must be in (0, 1]. Received: {name}={value}.")
        if name in counts and (value < 1 or int(value) != value):
            raise ValueError(f"`{name}` must be a whole number of at least 1. Received: {name}={value}.")


def _check_epochs(epochs, total_epochs):
    """Raises an error unless so many epochs of a training can be over."""
    if number("epochs", epochs) < 0:
        raise ValueError(f"`epochs` must be at least 0. Received: epochs={epochs}.")
    if total_epochs is None:
        return
    if number("total_epochs", total_epochs) <= 0:
        raise ValueError(f"`total_epochs` must be greater than 0. Received: total_epochs={total_epochs}.")
    if epochs > total_epochs:
        raise ValueError(
            f"`epochs` must be at most `total_epochs`. Received: epochs={epochs}, total_epochs={total_epochs}."
        )


@dataclasses.dataclass(frozen=True)
class Cyclical:
    """The published schedule: a rise by equal steps, then a fall by a factor; after a cycle it starts over.

    The rate is constant within an epoch. In epoch e of a cycle (from 0) it is `base * (1 + e / 2)` while
    `e < warmup_epochs`, then `peak * decay ** (e - warmup_epochs)`, and never less than `floor`.

    Args:
        base: float > 0, rate of the first epoch.
        warmup_epochs: int >= 1, epochs of the rise.
        peak: float > 0, rate of the first epoch after the rise.
        decay: float in (0, 1], factor from one epoch to the next after that.
        cycle_epochs: int >= 1, epochs of a cycle.
        floor: float >= 0, the lowest rate.

    Raises:
        TypeError, ValueError: if a number is none or out of range.

    Example:

    >>> [round(Cyclical().rate(epoch), 6) for epoch in (0, 1, 6, 7, 8, 24, 25)]
    [0.001, 0.0015, 0.004, 0.004, 0.0034, 0.000252, 0.001]

    Reference: the notebooks of Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """

    base: float = 0.001
    warmup_epochs: int = 7
    peak: float = 0.004
    decay: float = 0.85
    cycle_epochs: int = 25
    floor: float = 0.0

    constant_within_epoch = True

    def __post_init__(self):
        _check(self, positive=("base", "peak"), fractions=("decay",), counts=("warmup_epochs", "cycle_epochs"))
        if not 0 <= number("floor", self.floor) <= self.peak:
            raise ValueError(f"`floor` must be in [0, peak]. Received: floor={self.floor}, peak={self.peak}.")

    def rate(self, epochs, total_epochs=None):
        """Learning rate after a number of epochs.

        Args:
            epochs: float >= 0.
            total_epochs: float, at least `epochs`, or None; it makes no difference.

        Returns:
            float.

        Raises:
            TypeError, ValueError: if a number is none or out of range.
        """
        _check_epochs(epochs, total_epochs)
        epoch = int(epochs) % self.cycle_epochs
        if epoch < self.warmup_epochs:
            return max(self.base * (1 + 0.5 * epoch), self.floor)
        return max(self.peak * self.decay ** (epoch - self.warmup_epochs), self.floor)


@dataclasses.dataclass(frozen=True)
class OneCycle:
    """One cycle for a short training: up along a line, then down along a cosine to 0.

    The rate changes with every step.

    Args:
        peak: float > 0, the highest rate.
        warmup_fraction: float in (0, 1), share of the training that the rise takes.

    Raises:
        TypeError, ValueError: if a number is none or out of range.

    Example:

    >>> [round(OneCycle().rate(epochs, total_epochs=10), 6) for epochs in (0, 1, 2, 6, 10)]
    [0.0, 0.002, 0.004, 0.002, 0.0]
    """

    peak: float = 0.004
    warmup_fraction: float = 0.2

    constant_within_epoch = False

    def __post_init__(self):
        _check(self, positive=("peak",), fractions=("warmup_fraction",))
        if self.warmup_fraction == 1:
            raise ValueError("`warmup_fraction` must be in (0, 1). Received: warmup_fraction=1.")

    def rate(self, epochs, total_epochs):
        """Learning rate after a number of epochs of a training.

        Args:
            epochs: float in [0, `total_epochs`].
            total_epochs: float > 0.

        Returns:
            float.

        Raises:
            TypeError, ValueError: if a number is none or out of range.
        """
        number("total_epochs", total_epochs)
        _check_epochs(epochs, total_epochs)
        share, rise = epochs / total_epochs, self.warmup_fraction
        if share < rise:
            return self.peak * share / rise
        return self.peak * (1 + math.cos(math.pi * (share - rise) / (1 - rise))) / 2


@dataclasses.dataclass(frozen=True)
class Exponential:
    """A rate that falls by the same factor from one epoch to the next; 1.0 keeps it constant.

    Args:
        base: float > 0, rate of the first epoch.
        decay: float in (0, 1], factor from one epoch to the next.

    Raises:
        TypeError, ValueError: if a number is none or out of range.

    Example:

    >>> [round(Exponential(0.01, decay=0.99).rate(epoch), 6) for epoch in (0, 1, 2)]
    [0.01, 0.0099, 0.009801]
    """

    base: float = 0.01
    decay: float = 1.0

    constant_within_epoch = True

    def __post_init__(self):
        _check(self, positive=("base",), fractions=("decay",))

    def rate(self, epochs, total_epochs=None):
        """Learning rate after a number of epochs.

        Args:
            epochs: float >= 0.
            total_epochs: float, at least `epochs`, or None; it makes no difference.

        Returns:
            float.

        Raises:
            TypeError, ValueError: if a number is none or out of range.
        """
        _check_epochs(epochs, total_epochs)
        return self.base * self.decay ** int(epochs)
