"""What becomes of each layer of a network: replaced under which plan, or why not."""

import dataclasses
import math

import keras

from kgpc import graph
from kgpc.conversion import counts, kinds, subnetwork, units
from kgpc.conversion.classifier import Classifiers
from kgpc.grouping import Plan, Scheme


@dataclasses.dataclass(frozen=True, eq=False)
class Decision:
    """What becomes of one unit.

    Attributes:
        unit: `kgpc.conversion.units.Unit`.
        reason: str, why it stays; "" where it is replaced.
        scheme: `kgpc.grouping.Scheme` or None.
        plan: `kgpc.grouping.Plan` or None.
        chosen: bool, whether the reader asked for it and only the scheme may leave it ordinary.
    """

    unit: units.Unit
    reason: str
    scheme: Scheme | None = None
    plan: Plan | None = None
    chosen: bool = False

    @property
    def replaced(self):
        """Whether a sub-network takes its place."""
        return not self.reason


def parameters(unit, plan=None):
    """Parameters of a unit, of its layer and of its normalization: as it is, or under a plan.

    Args:
        unit: `kgpc.conversion.units.Unit`.
        plan: `kgpc.grouping.Plan` or None.

    Returns:
        Tuple of two int. The depthwise half of a separable convolution belongs to its layer.
    """
    weights = unit.in_channels * unit.filters if plan is None else plan.weights
    outputs = unit.filters if plan is None else sum(stage.filters for stage in plan.stages)
    separable = isinstance(unit.layer, keras.layers.SeparableConv2D)
    depthwise = math.prod(unit.layer.depthwise_kernel.shape) if separable else 0
    normalization = unit.normalization
    per_channel = 0 if normalization is None else bool(normalization.scale) + bool(normalization.center)
    return weights + depthwise + outputs * unit.layer.use_bias, outputs * per_channel


def is_ordinary(plan):
    """Whether a plan leaves a convolution as it is."""
    return plan.groups == 1 and plan.second is None


def decide(network, found, request):
    """Decides about all units.

    Args:
        network: `kgpc.graph.Network`.
        found: list of `kgpc.conversion.units.Unit` of that network.
        request: what is asked for, with the attributes `layers` (`Selector`), `schemes` (`Schemes` or `Budget`),
            `min_channels`, `classifier` and `only_if_smaller`.

    Returns:
        List of `Decision`.

    Raises:
        ValueError: if a budget does not fit the network.
    """
    classifiers = Classifiers(network)
    reasons = {unit: _why_not_chosen(unit, classifiers, request) for unit in found}
    schemes = request.schemes.assign([unit for unit in found if not reasons[unit]], _total(network))

    def about(unit):
        if reasons[unit]:
            return Decision(unit, reasons[unit])
        scheme = schemes[unit]
        if scheme is None:
            return Decision(unit, "no scheme groups it", chosen=True)
        plan = scheme.plan(unit.in_channels, unit.filters)
        before, after = sum(parameters(unit)), sum(parameters(unit, plan))
        reason = ""
        if is_ordinary(plan):
            reason = f"{scheme} leaves {unit.in_channels} -> {unit.filters} channels ordinary"
        elif request.only_if_smaller and after >= before:
            reason = f"{scheme} would give it {after:,} parameters instead of {before:,}"
        return Decision(unit, reason, scheme, plan, True)

    return [about(unit) for unit in found]


def _why_not_chosen(unit, classifiers, request):
    """Why the reader does not ask for a unit to be replaced; "" where it is asked for."""
    path, layer = unit.path, unit.layer
    if not request.layers.selects(path, layer):
        return "it is not chosen"
    if min(unit.in_channels, unit.filters) < request.min_channels:
        return f"it has fewer than {request.min_channels} channels"
    named = request.layers.names(path, layer) or request.schemes.names(path, layer)
    if not (request.classifier or named) and classifiers.is_classifier(unit):
        return "it is a classifier: at most pooling, reshaping, dropout and activation lie between it and an output"
    return ""


def _total(network):
    """Parameters of the whole network."""
    layers = {call.operation for level in network.graphs for call in level.calls}
    return sum(
        counts.parameters(layer)
        for layer in layers
        if isinstance(layer, keras.layers.Layer) and not graph.is_readable(layer)
    )


def subnetworks(network, decisions, activations):
    """The sub-networks of all units that are replaced, not built yet, under names that nothing else has.

    Args:
        network: `kgpc.graph.Network`.
        decisions: list of `Decision`.
        activations: function of a unit that returns the activation it is given instead of its own, or None.

    Returns:
        Dict from each such `kgpc.conversion.units.Unit` to its `kgpc.conversion.subnetwork.Subnetwork`.
    """
    replaced = [decision for decision in decisions if decision.replaced]
    gone = {call for each in replaced for place in each.unit.places for call in (place.call, *place.tail)}
    taken = {}
    for level in network.graphs:
        function = level.model._functional if isinstance(level.model, keras.Sequential) else level.model
        inputs = {operation.name for operation in function.operations if isinstance(operation, keras.layers.InputLayer)}
        taken[level] = inputs | {call.operation.name for call in level.calls if call not in gone}
    # Nor do they get the names of other units that go: what took the place of which can be told by the names.
    gone_names = {level: {call.operation.name for call in level.calls if call in gone} for level in network.graphs}
    outputs = {each.unit: _output_name(network, each.unit) for each in replaced}
    taken[network.graphs[0]].update(outputs.values())
    made = {}
    for each in replaced:
        unit, number = each.unit, 1
        name = unit.layer.name
        own = {operation.name for operation in (unit.layer, *unit.tail)}
        while True:
            names = set(subnetwork.names(unit, each.plan, name))
            if not any(names & (taken[place.graph] | gone_names[place.graph] - own) for place in unit.places):
                break
            name = f"{unit.layer.name}_grouped" + (f"_{number}" if number > 1 else "")
            number += 1
        for place in unit.places:
            taken[place.graph] |= names
        made[unit] = subnetwork.Subnetwork(unit, each.plan, name, activations(unit), outputs[unit])
    return made


def _output_name(network, unit):
    """The name under which a unit is an output of the network, by which losses and results are called; or ""."""
    outermost = network.graphs[0]
    for place in unit.places:
        if place.graph is outermost and outermost.is_output(place.outputs[0]):
            return (place.tail or (place.call,))[-1].operation.name
    return ""


def build(network, decisions, made, activations):
    """Builds the converted network.

    Args:
        network: `kgpc.graph.Network`.
        decisions: list of `Decision`.
        made: what `subnetworks` returned.
        activations: see `subnetworks`.

    Returns:
        `keras.Model`.
    """
    calls, layers = {}, {}
    for unit, new in made.items():
        for place in unit.places:
            calls[place.call] = new
            calls.update((call, graph.pass_on) for call in place.tail)
    _activate(network, decisions, made, activations, calls, layers)
    model = graph.rewrite(network, layers=layers, calls=calls)
    for new in made.values():
        new.finish()
    for old, new in layers.items():
        new.set_weights(old.get_weights())
        for weight, original in zip(new.weights, old.weights, strict=True):
            weight.trainable = original.trainable
    return model


def _activate(network, decisions, made, activations, calls, layers):
    """Adds to `calls` and `layers` what gives chosen layers that stay ordinary another activation."""
    taken = {call.operation.name for level in network.graphs for call in level.calls}
    taken.update(name for new in made.values() for name in names_of(new))
    new = {}  # an activation layer that several layers share may have to be another one for each
    for each in decisions:
        activation = activations(each.unit) if each.chosen and not each.replaced else None
        if activation is None:
            continue
        layer = each.unit.layer
        if kinds.own_activation(layer):
            replaced = keras.activations.serialize(keras.activations.get(activation))
            layers[layer] = type(layer).from_config({**layer.get_config(), "activation": replaced})
        for place in each.unit.places:
            for call in place.tail:
                operation = call.operation
                if kinds.is_normalization(operation):
                    continue
                key = operation, layer
                if key not in new:
                    name = operation.name
                    alone = network.count(operation) == len(each.unit.places)
                    while not alone and name in taken:
                        name = f"{layer.name}_{name}"
                    taken.add(name)
                    policy = getattr(operation, "dtype_policy", layer.dtype_policy)
                    new[key] = subnetwork.Activation(activation, name=name, dtype=policy)
                calls[call] = new[key]


def names_of(new):
    """Names of the layers that a `Subnetwork` makes."""
    return [*subnetwork.names(new.unit, new.plan, new.name), *filter(None, [new.output_name])]
