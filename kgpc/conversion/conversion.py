"""A network of any kind, converted or reported about."""

import collections
import dataclasses
import functools

import keras

from kgpc import graph
from kgpc.arguments import boolean, positive_integer, received
from kgpc.conversion import decisions as deciding
from kgpc.conversion import report as reporting
from kgpc.conversion import units
from kgpc.conversion.choice import Schemes, Selector
from kgpc.layers import checks


@dataclasses.dataclass(frozen=True)
class _Request:
    layers: Selector
    schemes: Schemes
    min_channels: int
    classifier: bool
    only_if_smaller: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Conversion:
    """What a conversion does to each layer, before it is done.

    Attributes:
        network: `kgpc.graph.Network` of the original.
        decisions: list of `kgpc.conversion.decisions.Decision`, one for each pointwise convolution.
        others: dict from all other layers to a str, why they stay.
        subnetworks: dict from each `kgpc.conversion.units.Unit` that is replaced to its
            `kgpc.conversion.subnetwork.Subnetwork`, whose layers are those of the converted network once that is built.
    """

    network: graph.Network
    decisions: list
    others: dict
    subnetworks: dict
    activations: object

    @functools.cached_property
    def model(self):
        """The converted network, `keras.Model`, built when it is asked for."""
        return deciding.build(self.network, self.decisions, self.subnetworks, self.activations)

    @functools.cached_property
    def table(self):
        """What `report` returns."""
        return reporting.table(self.network, self.others, self.decisions, self.subnetworks)


def plan(model, scheme, *, layers=None, min_channels=1, classifier=False, activation=None, only_if_smaller=True):
    """Plans what `convert` does with the same arguments.

    Returns:
        `Conversion`.

    Raises:
        TypeError, ValueError: see `convert`, but for a network in which nothing would change.
    """
    request = _Request(
        Selector("layers", layers),
        Schemes(scheme),
        positive_integer("min_channels", min_channels),
        boolean("classifier", classifier),
        boolean("only_if_smaller", only_if_smaller),
    )
    activations = _activations(activation)
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a functional or Sequential Keras model. {received('model', model)}")
    network = graph.Network(model)
    if not graph.is_plain(model):
        raise TypeError(
            f"`model` must be of Keras' own class, and is a {type(model).__name__}, which may train in a way of its own. "
            "`keras.Model(model.inputs, model.outputs)` is the same network without that."
        )
    found, others = units.find(network)
    paths = {unit.path: unit.layer for unit in found}
    paths |= {level.path + call.operation.name: call.operation for level in network.graphs for call in level.calls}
    request.layers.check(paths)
    request.schemes.check(paths)
    decided = deciding.decide(network, found, request)
    made = deciding.subnetworks(network, decided, activations)
    return Conversion(network, decided, others, made, activations)


def _activations(activation):
    """What gives each unit another activation, or None."""
    if isinstance(activation, dict):
        for value in activation.values():
            checks.found("activation", keras.activations.get, value)
        return lambda unit: activation.get(unit.activation) if unit.activation else None
    checks.found("activation", keras.activations.get, activation)
    return lambda unit: activation if unit.activation else None


def convert(model, scheme, **options):
    """Converts."""
    conversion = plan(model, scheme, **options)
    if not conversion.subnetworks:
        raise ValueError(f"Nothing would change in {model.name!r}. {_why_nothing(conversion)}")
    return conversion.model


def report(model, scheme, **options):
    """Reports."""
    return plan(model, scheme, **options).table


def _why_nothing(conversion):
    """Reasons why convolutions and dense layers stay, the most frequent ones first."""
    reasons = collections.defaultdict(list)
    for layer, reason in conversion.others.items():
        if isinstance(layer, units.KINDS):
            reasons[reason].append(layer.name)
    for each in conversion.decisions:
        reasons[each.reason].append(each.unit.path)
    if not reasons:
        return "It has no convolution and no dense layer that could be replaced."
    lines = sorted(reasons.items(), key=lambda item: -len(item[1]))
    return (
        "Its layers stay: "
        + "; ".join(
            f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}: {reason}" for reason, names in lines[:8]
        )
        + "."
    )
