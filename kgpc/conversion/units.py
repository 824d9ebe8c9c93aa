"""Which layers of a network are pointwise convolutions that can be replaced, and what follows each of them.

A unit is a layer that computes a 1x1 convolution, with the batch normalization and the activation that are alone in
reading it. What is said here depends on the network alone, not on what a reader asks to be replaced.
"""

import dataclasses

import keras

from kgpc import graph
from kgpc.conversion import kinds
from kgpc.layers import GroupedPointwiseConv2D

# Layers whose whole kernel, or last kernel, may be that of a 1x1 convolution.
KINDS = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.Dense)


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """One call of a unit.

    Attributes:
        graph: `kgpc.graph.Graph` in which it is called.
        call: `kgpc.graph.Call` of its layer.
        tail: tuple of the calls of its batch normalization and activation, in their order.
    """

    graph: graph.Graph
    call: graph.Call
    tail: tuple

    @property
    def outputs(self):
        """The tensors that the whole unit returns."""
        return (self.tail or (self.call,))[-1].outputs


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """A layer that computes a 1x1 convolution, and what follows it wherever it is called.

    Attributes:
        path: str, name of the layer, after the names of the models it is in: "backbone/conv_pw_1".
        layer: the layer.
        places: tuple of `Place`, at least one. Each has a tail of the same kinds of layers.
        in_channels: int, channels that its 1x1 kernel reads.
        filters: int, channels that it writes.
    """

    path: str
    layer: keras.layers.Layer
    places: tuple
    in_channels: int
    filters: int

    @property
    def tail(self):
        """Its batch normalization and activation at its first place: layers or functions of `keras.ops`."""
        return tuple(call.operation for call in self.places[0].tail)

    @property
    def normalization(self):
        """The batch normalization that goes along, or None."""
        return next((operation for operation in self.tail if kinds.is_normalization(operation)), None)

    @property
    def activation(self):
        """Name of the activation that each convolution has, "" where it has none, or one for the whole unit."""
        names = [kinds.own_activation(self.layer), *map(kinds.activation_name, self.tail)]
        return next((name for name in names if name), "")


def find(network):
    """Finds the units of a network, and says of all other layers why they are none.

    Args:
        network: `kgpc.graph.Network`.

    Returns:
        List of `Unit` in the order of computation, and a dict from each other layer that is called to a str: why it is
        not replaced.
    """
    frozen = _frozen(network)
    places = {}
    for level in network.graphs:
        for call in level.calls:
            if isinstance(call.operation, keras.layers.Layer) and not graph.is_readable(call.operation):
                places.setdefault(call.operation, []).append((level, call))
    units, others = [], {}
    for layer, calls in places.items():
        reason = why_not_pointwise(layer) or _why_not_replaced(network, layer, calls)
        if not reason and (layer.trainable is False or any(level in frozen for level, _ in calls)):
            reason = "it is frozen (`trainable` is False), and what takes its place would have to learn"
        tails = [] if reason else _tails(network, calls)
        if any(
            kinds.is_normalization(call.operation) and not call.operation.trainable for tail in tails for call in tail
        ):
            reason = "its batch normalization is frozen, and what takes its place would have to learn"
        if reason:
            others[layer] = reason
        else:
            found = tuple(Place(level, call, tail) for (level, call), tail in zip(calls, tails, strict=True))
            units.append(Unit(calls[0][0].path + layer.name, layer, found, *_channels(layer)))
    return units, others


def _frozen(network):
    """Graphs of models that do not train, or are inside of one."""
    frozen = set()
    for level in network.graphs:  # outer ones first
        if not level.model.trainable:
            frozen.add(level)
        if level in frozen:
            inner = {id(call.operation) for call in level.calls}
            frozen.update(other for other in network.graphs if id(other.model) in inner)
    return frozen


def why_not_pointwise(layer):
    """Why a layer, whatever is around it, is no 1x1 convolution that could be replaced; "" where it is one."""
    kind = type(layer).__name__
    article = "an" if kind[0] in "AEIOU" else "a"
    if isinstance(layer, GroupedPointwiseConv2D):
        return "it is grouped already"
    if any(isinstance(part, KINDS) for part in graph.parts(layer)):
        return f"{article} {kind} is not entered"
    if not isinstance(layer, KINDS):
        return f"{article} {kind} is no pointwise convolution"
    if not graph.is_exactly(layer, *KINDS):
        method = graph.replaced_method(layer)
        return f"its {method} was replaced" if method else f"{article} {kind} may compute something else"
    if isinstance(layer, keras.layers.Dense):
        if not layer.built:
            return "it has no weights yet"
    elif layer.data_format != "channels_last":
        return f'its data_format is "{layer.data_format}"'
    elif not isinstance(layer, keras.layers.SeparableConv2D):
        if set(layer.kernel_size) != {1}:
            return "its kernel is {}x{}".format(*layer.kernel_size)
        if set(layer.dilation_rate) != {1}:
            return "it is dilated"
        if layer.groups != 1:
            return "it is grouped already"
    if getattr(layer, "lora_enabled", False):
        return "it has LoRA weights"
    if getattr(layer, "quantization_mode", None) is not None:
        return "it is quantized"
    if layer.activity_regularizer is not None:
        return "it has a penalty on its output (`activity_regularizer`)"
    if isinstance(layer.activation, keras.layers.Layer):
        return f"its activation is a layer ({type(layer.activation).__name__})"
    return _why_no_kernels(layer)


def _why_no_kernels(layer):
    """Why its configuration cannot make the kernels of other convolutions; "" where it can."""
    reason = graph.why_not_copied(layer)
    if reason:
        return reason
    initializer = getattr(layer, "pointwise_initializer", None) or layer.kernel_initializer
    known = type(initializer).__module__.split(".")[0] == "keras" and not hasattr(initializer, "value")
    if known:
        return ""
    shape = (1, 1, 2, 3)
    try:
        fits = tuple(initializer(shape, dtype="float32").shape) == shape
    except Exception:  # whatever the reader's own function raises
        fits = False
    return "" if fits else "its kernel initializer makes no kernels of other shapes"


def _why_not_replaced(network, layer, calls):
    """Why a pointwise convolution is not replaced where it is; "" where it can be."""
    if network.holder(layer) is not None:
        return f"it is used inside {network.holder(layer).name!r} too"
    if network.is_entangled(layer):
        return "another layer uses its weights too"
    for _, call in calls:
        tensor = call.only_input()
        if tensor is None:
            return "it is not called on one tensor alone"
        rank = len(tensor.shape)
        if isinstance(layer, keras.layers.Dense) and rank not in (3, 4):
            return "its input has no axes of space" if rank < 3 else f"its input has {rank} axes"
        if getattr(tensor, "_keras_mask", None) is not None:
            return "its input carries a mask"
    return ""


def _channels(layer):
    """Channels that the 1x1 kernel of a layer reads, and writes."""
    kernel = layer.pointwise_kernel if isinstance(layer, keras.layers.SeparableConv2D) else layer.kernel
    return tuple(kernel.shape[-2:])


def _tails(network, calls):
    """What goes along with each call of a layer: as much as all have in common."""
    tails = [_tail(network, level, call) for level, call in calls]
    length = 0
    while all(len(tail) > length for tail in tails) and _is_same(network, [tail[length] for tail in tails]):
        length += 1
    return [tail[:length] for tail in tails]


def _is_same(network, calls):
    """Whether calls, one for each call of a layer, are those of the same normalization, or of the same activation."""
    first = calls[0].operation
    if kinds.is_normalization(first):
        return network.count(first) == len(calls) and all(call.operation is first for call in calls)
    return all(_activation_key(call.operation) == _activation_key(first) for call in calls)


def _activation_key(operation):
    if not isinstance(operation, keras.layers.Layer):
        return kinds.activation_name(operation)
    config = operation.get_config()
    return type(operation).__name__, repr({**config, "name": None})


def _tail(network, level, call):
    """The calls of a batch normalization and of an activation that follow a call, with nothing else between."""
    layer = call.operation
    if kinds.has_other_activation(layer):
        return ()
    tail, missing = [], {"normalization", "activation"}
    if kinds.own_activation(layer):
        missing.discard("activation")
    while missing:
        reader = level.only_reader(tail[-1] if tail else call)
        kind = None if reader is None else _kind(network, reader)
        if kind not in missing:
            break
        missing.discard(kind)
        tail.append(reader)
    return tuple(tail)


def _kind(network, reader):
    """Whether what reads a convolution is a "normalization" or an "activation" that can go along; None if neither."""
    operation = reader.operation
    if isinstance(operation, keras.layers.Layer):
        if reader.only_input() is None or operation.activity_regularizer is not None:
            return None
        if network.holder(operation) is not None or network.is_entangled(operation):
            return None
        if kinds.is_normalization(operation):
            rank = len(reader.inputs[0].shape)
            return "normalization" if operation.axis % rank == rank - 1 else None
    return "activation" if kinds.activation_name(operation) else None
