"""Channels per group for each layer, chosen so that the whole network keeps within a number of parameters."""

import math
import numbers

import pandas as pd

from kgpc.arguments import number, positive_integer, received, shown
from kgpc.conversion import decisions
from kgpc.grouping import D6, Scheme

# Fewer channels leave a filter next to nothing to choose from, and vectors of the processor empty.
_FEWEST_CHANNELS = 8
_COLUMNS = ("layer", "channels_per_group", "cost")


class Budget:
    """Schemes for all layers that cost least within a budget of parameters.

    Each layer may stay ordinary, which costs nothing, or have 8, 16, 32, ... channels per group. Without `sensitivity`
    a layer's cost is how often the channels that one of its filters reads are halved, log2(channels / channels per
    group): what one layer after another may lose of its reach at equal cost. All layers begin at their cheapest; then,
    again and again, the one is widened that saves the most cost for each parameter, as long as the budget lasts.

    Args:
        value: int, the parameters that the network may have; or float in (0, 1), their share of what it has.
        kind: subclass of `kgpc.grouping.Scheme`, called with channels per group.
        sensitivity: None; or `pandas.DataFrame` with the columns `layer` (path), `channels_per_group` and `cost`, what
            grouping one layer costs: the rows of a layer are its choices, and without rows it stays ordinary.

    Raises:
        TypeError: if `value` is no number, or `sensitivity` no table.
        ValueError: if `value` is out of its range, or `sensitivity` lacks a column or has costs that are no numbers.
    """

    def __init__(self, value, kind=D6, sensitivity=None):
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            self._value = positive_integer("budget", value)
        else:
            self._value = number("budget", value, above=0)
            if self._value >= 1:
                raise ValueError(
                    "`budget` must be a number of parameters (int), or a share of them above 0 and below 1 (float). "
                    f"Received: budget={shown(value)}."
                )
        self._kind = kind
        self._costs = None if sensitivity is None else _costs(sensitivity)

    def assign(self, units, total):
        """The scheme of each unit.

        Args:
            units: list of `kgpc.conversion.units.Unit`.
            total: int, parameters of the whole network as it is.

        Returns:
            Dict from units to schemes, or None where one stays ordinary.

        Raises:
            ValueError: if the budget is no smaller than the network, or smaller than it can become.
        """
        limit = self._value if isinstance(self._value, int) else int(self._value * total)
        if limit >= total:
            raise ValueError(
                f"`budget` must be below the {total:,} parameters of the network. Received: budget={limit:,}."
            )
        curves = {unit: _hull(self._choices(unit)) for unit in units}
        chosen = {unit: curve[0] for unit, curve in curves.items()}
        spent = total + sum(chosen[unit][0] - sum(decisions.parameters(unit)) for unit in units)
        if spent > limit:
            raise ValueError(
                f"`budget` must be at least {spent:,} parameters, what the network has where all chosen layers have "
                f"their fewest channels per group. Received: budget={limit:,}."
            )
        steps = [
            ((before[1] - after[1]) / (after[0] - before[0]), unit, after)
            for unit, curve in curves.items()
            for before, after in zip(curve, curve[1:], strict=False)
        ]
        stopped = set()
        for _, unit, after in sorted(steps, key=lambda step: -step[0]):  # of one unit: in their order, by the hull
            more = after[0] - chosen[unit][0]
            if unit in stopped or spent + more > limit:
                stopped.add(unit)
            else:
                chosen[unit], spent = after, spent + more
        return {unit: scheme for unit, (_, _, scheme) in chosen.items()}

    def _choices(self, unit):
        """What a unit may become: tuples of parameters, cost and scheme; the last one stays as it is."""
        ordinary = sum(decisions.parameters(unit))
        choices = [(ordinary, 0.0, None)]
        for scheme, cost in self._offers(unit):
            plan = scheme.plan(unit.in_channels, unit.filters)
            count = sum(decisions.parameters(unit, plan))
            if not decisions.is_ordinary(plan) and count < ordinary:
                cost = math.log2(unit.in_channels / plan.channels_per_group) if cost is None else cost
                choices.append((count, cost, scheme))
        return choices

    def _offers(self, unit):
        """Schemes for a unit with their costs; None for the one that follows from the channels alone."""
        if self._costs is not None:
            return [(self._kind(channels), cost) for channels, cost in self._costs.get(unit.path, {}).items()]
        powers = range(int(math.log2(_FEWEST_CHANNELS)), int(math.log2(unit.in_channels)) + 1)
        return [(self._kind(2**power), None) for power in powers]

    def names(self, path, layer):
        """Whether a layer is given a scheme by its own name: none is."""
        return False

    def check(self, layers):
        """Raises where `sensitivity` names a layer that there is not.

        Args:
            layers: dict from paths to layers.
        """
        for path in self._costs or ():
            if path not in layers:
                raise ValueError(f"`sensitivity` must name layers of the network. Received: the layer {path!r}.")


def _hull(choices):
    """The choices that are best for some price of a parameter, from the fewest parameters to the most."""
    hull = []
    for choice in sorted(choices, key=lambda choice: choice[:2]):
        if hull and choice[1] >= hull[-1][1]:
            continue  # more parameters for nothing
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _gain(fewer, more):
    """Cost that each further parameter saves."""
    return (fewer[1] - more[1]) / (more[0] - fewer[0])


def _costs(sensitivity):
    """Costs by path and channels per group."""
    if not isinstance(sensitivity, pd.DataFrame):
        raise TypeError(f"`sensitivity` must be a pandas DataFrame. {received('sensitivity', sensitivity)}")
    missing = [column for column in _COLUMNS if column not in sensitivity.columns]
    if missing or sensitivity.empty:
        raise ValueError(
            f"`sensitivity` must have rows, and the columns {', '.join(_COLUMNS)}. "
            f"Received: {len(sensitivity)} rows with the columns {shown(list(sensitivity.columns))}."
        )
    costs = {}
    for path, channels, cost in sensitivity[list(_COLUMNS)].itertuples(index=False):
        channels = positive_integer("sensitivity: channels_per_group", channels)
        costs.setdefault(path, {})[channels] = number("sensitivity: cost", cost)
    return costs


def schemes_within(scheme, budget, sensitivity):
    """The `Budget` that `scheme` and `budget` ask for; None where they ask for none.

    Args:
        scheme: "auto", a subclass of `kgpc.grouping.Scheme`, or something else, for which there is no budget.
        budget: see `Budget`.
        sensitivity: see `Budget`.

    Raises:
        TypeError, ValueError: see `Budget`, or if `scheme` and `budget` do not fit each other.
    """
    automatic = isinstance(scheme, str) and scheme == "auto"
    if not automatic and not (isinstance(scheme, type) and issubclass(scheme, Scheme) and scheme is not Scheme):
        if budget is not None or sensitivity is not None:
            raise ValueError(
                '`budget` and `sensitivity` must be left out unless `scheme` is "auto" or a kind of scheme such as '
                f"kgpc.D6. Received: scheme={shown(scheme)}."
            )
        return None
    if budget is None:
        raise ValueError(
            f"`budget` must be given with scheme={shown(scheme)}: a number of parameters, or their share. "
            "Received: budget=None."
        )
    return Budget(budget, D6 if automatic else scheme, sensitivity)
