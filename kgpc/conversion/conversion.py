"""A network of any kind, converted or reported about."""

import collections
import dataclasses
import functools

import keras

from kgpc import graph
from kgpc.arguments import boolean, positive_integer, received, text
from kgpc.conversion import decisions as deciding
from kgpc.conversion import kinds, units
from kgpc.conversion import table as tables
from kgpc.conversion.budget import schemes_within
from kgpc.conversion.choice import Schemes, Selector
from kgpc.layers import checks


@dataclasses.dataclass(frozen=True)
class _Request:
    layers: Selector
    schemes: object
    min_channels: int
    classifier: bool
    only_if_smaller: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Conversion:
    """What a conversion does to each layer, and the network that it makes.

    Attributes:
        network: `kgpc.graph.Network` of the original.
        decisions: list of `kgpc.conversion.decisions.Decision`, one for each layer that could be replaced.
        others: dict from all other layers to a str, why they stay.
        subnetworks: dict from each `kgpc.conversion.units.Unit` that is replaced to its
            `kgpc.conversion.subnetwork.Subnetwork`, whose layers are those of `model` once that is built.
        activations: function from a unit to the activation it is given instead of its own, or None.
    """

    network: graph.Network
    decisions: list
    others: dict
    subnetworks: dict
    activations: object

    @functools.cached_property
    def model(self):
        """The converted network, `keras.Model`, built when it is asked for.

        Raises:
            ValueError: if nothing would change, or a layer asked for by its name cannot be replaced.
        """
        self.check()
        return deciding.build(self.network, self.decisions, self.subnetworks, self.activations)

    @functools.cached_property
    def table(self):
        """What `convert` returns with `report_only`."""
        return tables.table(self.network, self.others, self.decisions, self.subnetworks)

    def check(self):
        """Raises a ValueError where nothing would change, and says why."""
        if self.subnetworks:
            return
        reasons = collections.defaultdict(list)
        for layer, reason in self.others.items():
            if isinstance(layer, units.KINDS):
                reasons[reason].append(layer.name)
        for each in self.decisions:
            reasons[each.reason].append(each.unit.path)
        why = "; ".join(
            f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}: {reason}"
            for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1]))
        )
        name = self.network.model.name
        raise ValueError(
            f"`model` must have a layer that the scheme groups. Received: {name!r}, in which nothing would change. "
            + (f"Its layers stay: {why}." if why else "It has no convolution and no dense layer.")
        )


def plan(
    model,
    scheme,
    *,
    layers=None,
    min_channels=1,
    classifier=False,
    activation=None,
    only_if_smaller=True,
    budget=None,
    sensitivity=None,
):
    """Plans what `convert` does with the same arguments, for programs that need more than the converted network.

    Args:
        model: see `convert`.
        scheme: see `convert`.
        layers: see `convert`.
        min_channels: see `convert`.
        classifier: see `convert`.
        activation: see `convert`.
        only_if_smaller: see `convert`.
        budget: see `convert`.
        sensitivity: see `convert`.

    Returns:
        `Conversion`. Its `model` is the converted network.

    Raises:
        TypeError, ValueError: see `convert`; not where nothing would change, which its `model` says.
    """
    request = _Request(
        Selector("layers", layers),
        schemes_within(scheme, budget, sensitivity) or Schemes(scheme),
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
            f"`model` must be of Keras' own class, and is a {type(model).__name__}, which may train in its own way. "
            "`keras.Model(model.inputs, model.outputs)` is the same network without that."
        )
    found, others = units.find(network)
    if isinstance(activation, dict):
        _check_fit(activation, found)
    paths = {unit.path: unit.layer for unit in found}
    paths |= {
        level.path + call.operation.name: call.operation
        for level in network.graphs
        for call in level.calls
        if isinstance(call.operation, keras.layers.Layer)
    }
    for choice in (request.layers, request.schemes):
        choice.check(paths)
    for path, layer in paths.items():
        named = request.layers.names(path, layer) or request.schemes.names(path, layer)
        if named and others.get(layer, ""):
            raise ValueError(
                f"`{'layers' if request.layers.names(path, layer) else 'scheme'}` must name layers that can be "
                f"replaced. Received: {path!r}, and {others[layer]}."
            )
    decided = deciding.decide(network, found, request)
    made = deciding.subnetworks(network, decided, activations)
    return Conversion(network, decided, others, made, activations)


def _activations(activation):
    """A function from a unit to what takes the place of its activation, or None."""
    if not isinstance(activation, dict):
        checks.found("activation", keras.activations.get, activation)
        return lambda unit: activation if unit.activation else None
    if not activation:
        raise ValueError("`activation` must hold at least one entry. Received: activation={}.")
    named = {}
    for key, value in activation.items():
        name = _activation_name(key)
        if name in named:
            raise ValueError(
                f"`activation` must hold one entry for each activation. Received: several for {name!r}, one as {key!r}."
            )
        named[name] = value
        checks.found("activation", keras.activations.get, value)
    return lambda unit: named.get(unit.activation)


def _activation_name(name):
    """What `kinds` calls an activation that Keras knows under this name, as silu under "swish"."""
    if text("activation", name) in kinds.NAMES:
        return name
    return checks.found("activation", keras.activations.get, name).__name__


def _check_fit(activation, found):
    """Raises ValueError where an entry of `activation` is for an activation that no unit has."""
    present = dict.fromkeys(unit.activation for unit in found if unit.activation)
    unused = [name for name in activation if _activation_name(name) not in present]
    if unused:
        raise ValueError(
            f"`activation` must hold activations of the network: {', '.join(map(repr, present)) or 'it has none'}. "
            f"Received: {', '.join(map(repr, unused))}, which no layer has that could be replaced."
        )


def convert(
    model,
    scheme,
    *,
    layers=None,
    min_channels=1,
    classifier=False,
    activation=None,
    only_if_smaller=True,
    budget=None,
    sensitivity=None,
    report_only=False,
):
    """Converts a network into its grouped twin: pointwise convolutions become the sub-networks of a scheme.

    Replaced are 1x1 `Conv2D` (with any strides), the pointwise half of `SeparableConv2D`, and `Dense` on inputs with
    axes of space: (batch, height, width, channels) or (batch, positions, channels). The batch normalization over
    channels and the activation that are alone in reading such a layer, in either order, go along: each convolution of
    the sub-network has them, as in the paper. It has the activation, initializer, regularizer, constraint, bias and
    dtype policy of the layer replaced, and is untrained. An activation that looks at several channels, such as softmax,
    comes once, after the whole.

    All else is kept, with its weights, names and `trainable` flags. Sequential and functional models in the model are
    entered; what is shared or called several times stays so. (Where a model and a model within it call the same layer,
    Keras cannot load what it saves of the network, before or after: `save_weights` works.) Left alone, with the reason
    in the report, is what is frozen, quantized, "channels_first", of a subclass, grouped already, has LoRA weights, or
    is used by a wrapper too. The layers made are called after the layer replaced: `<name>_conv`,
    `<name>_group_interconn_conv`, ...; or `<name>_grouped_conv`, ... where another layer has such a name. An output of
    the network keeps its name.

    Args:
        model: functional or Sequential Keras model. It is not changed.
        scheme: a scheme such as `kgpc.D6(16)`; a dict from names, paths or compiled regular expressions of layers to
            schemes (or None: ordinary), of which the first that fits counts; "auto", or a kind of scheme such as
            `kgpc.D6v3`, with `budget`: channels per group chosen for each layer.
        layers: None (all); or the name or the path ("backbone/conv_1") of a layer, a compiled regular expression that
            is searched in the path, a function from a layer to a bool, or a list of these: which layers to replace.
        min_channels: int >= 1; layers with fewer input channels or filters are left alone.
        classifier: bool, whether to replace classifiers too: layers between which and an output of the network there is
            at most pooling, reshaping, dropout, and activation. One that `layers` or `scheme` names is replaced anyway.
        activation: None (each unit keeps its own); an activation for all chosen layers that have one; or a dict from
            names of activations that layers have ("relu6") to others; "ReLU" is one with a slope or another limit. A
            layer that the scheme leaves ordinary is given it too.
        only_if_smaller: bool, whether to leave alone what would not have fewer parameters.
        budget: int, the parameters that the converted network may have; or float in (0, 1), their share of those of
            `model`. For "auto" only. Moving statistics do not count, and frozen parameters do.
        sensitivity: `pandas.DataFrame` or None. For "auto": what grouping one layer costs; see
            `kgpc.conversion.budget.Budget`. Without it, how often the channels that a filter reads are halved.
        report_only: bool, whether to return the report and build nothing.

    Returns:
        Functional `keras.Model`, not compiled; or with `report_only` a `pandas.DataFrame` with a row for each layer
        that has weights, in the order of computation, and the columns
        - `layer`: str, its path: its name after those of the models it is in, as in "backbone/conv_1".
        - `type`: str, its class.
        - `replaced`: bool. Normalizations that go along have a row of their own.
        - `reason`: str, why it stays, or what it goes along with.
        - `scheme`: str, as in "D6(16)", or "".
        - `in_channels`, `filters`, `groups`: int, of pointwise convolutions; groups of the first convolution made.
        - `parameters_before`, `parameters_after`: int, without moving statistics, frozen or not.
        - `macs_before`, `macs_after`: int, multiply-adds for one image of all its calls; NA where not known.
        - `share_before`, `share_after`: float in [0, 1], its share of the network's parameters.
        - `made`: tuple of str, paths of the layers made in its place.

    Raises:
        TypeError: if an argument is of a wrong type, or `model` is no functional or Sequential model or has a `call`
            or a class of its own.
        ValueError: if `scheme` is none, a name or a regular expression fits no layer, a layer named cannot be replaced,
            `activation` names one that is unknown or that no layer has, the budget cannot be met, the model was not
            built; or, unless `report_only`, nothing would change.

    Example:

    >>> import keras, kgpc
    >>> model = keras.applications.MobileNet(weights=None, classes=10)
    >>> twin = kgpc.convert(model, kgpc.D6(16), activation="swish")
    >>> kgpc.flops.trainable_parameters(model), kgpc.flops.trainable_parameters(twin)
    (3217226, 244298)

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.13164/mendel.2022.1.023.
    """
    boolean("report_only", report_only)
    conversion = plan(
        model,
        scheme,
        layers=layers,
        min_channels=min_channels,
        classifier=classifier,
        activation=activation,
        only_if_smaller=only_if_smaller,
        budget=budget,
        sensitivity=sensitivity,
    )
    return conversion.table if report_only else conversion.model
