"""Reading and rewriting models: which call reads which tensor, and a copy or a twin with some layers replaced.

`Network` reads a functional or Sequential model and all such models within it; `rewrite` builds it again. Whoever
looks for a pattern asks the first, and hands to the second what takes the place of a layer or of a call::

    network = Network(model)
    for graph in network.graphs:                        # the model, then the models within it
        for call in graph.calls:                        # in the order in which they are computed
            if is_exactly(call.operation, Conv2D) and network.called_once(call.operation):
                ...                                     # graph.source(tensor), graph.only_reader(call), ...
    twin = rewrite(network, layers={old: new}, calls={call: function}, share=True)

A layer is known by its exact type alone: a subclass may compute anything.
"""

import collections
import contextlib
import dataclasses
import inspect
import sys

import keras
from keras import tree

_any = keras.Model(*[keras.Input((1,), name="any")] * 2, name="any")
# Keras has no public name for the class of functional models.
_Functional = type(_any)
# What Keras itself sets on objects, such as its own form of `build`.
_SET_BY_KERAS = frozenset(vars(_any))


def is_exactly(operation, *types):
    """Whether an operation is of one of these types, no subclass of them, and computes as its class says."""
    return type(operation) in types and replaced_method(operation) is None


def replaced_method(operation):
    """The name of a method that was replaced in this one object, such as `call` or `convolution_op`; None if none."""
    names = vars(operation).keys() - _SET_BY_KERAS
    return next((name for name in sorted(names) if callable(getattr(type(operation), name, None))), None)


def is_plain(model):
    """Whether a model computes and trains as Keras says: a functional or Sequential one, of no class of its own."""
    return is_exactly(model, _Functional, keras.Sequential) and is_readable(model)


def is_readable(model):
    """Whether `model` is a functional or built Sequential model that computes as its layers do, one after another."""
    for kind in (_Functional, keras.Sequential):
        if isinstance(model, kind) and type(model).call is kind.call and "call" not in vars(model):
            return type(model).__call__ is kind.__call__ and _function(model) is not None
    return False


def _function(model):
    return model._functional if isinstance(model, keras.Sequential) else model


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of an operation: of a layer, of a model within the model, or of a function of `keras.ops`.

    Attributes:
        operation: what is called.
        args, kwargs: what it is called with, Keras tensors and other values.
        inputs: tuple of the Keras tensors among those.
        outputs: tuple of the Keras tensors that it returns.
    """

    operation: object
    args: tuple
    kwargs: dict
    inputs: tuple
    outputs: tuple

    def only_input(self, own_mask=False):
        """The tensor that it reads where it reads nothing else and computes as in inference; None elsewhere.

        The tensor may be given by position or as `inputs`. With `training=True` or a mask there is none, unless
        `own_mask` says that the mask may be given that the tensor carries: for layers that only hand it on.
        """
        given = [*self.args, *([self.kwargs["inputs"]] if "inputs" in self.kwargs else [])]
        if len(given) != 1 or not isinstance(given[0], keras.KerasTensor):
            return None
        for name, value in self.kwargs.items():
            carried = own_mask and name == "mask" and value is getattr(given[0], "_keras_mask", None)
            if name != "inputs" and value is not None and not (name == "training" and value is False) and not carried:
                return None
        return given[0]

    def may_train(self):
        """Whether it asks for the computation of training, or may do so, whatever the caller of the model asks for."""
        return any(value is not None and value is not False for value in (*self.args[1:], self.kwargs.get("training")))


class Graph:
    """The calls of one functional or Sequential model, and who reads whom.

    Attributes:
        model: the model.
        path: str, names of the models on the way to it with "/" behind each; "" for the outermost.
        calls: list of `Call` in the order of computation, without those of input layers.
        training: bool, whether some call of the model may ask for the computation of training.
    """

    def __init__(self, model, path=""):
        self.model, self.path, self.training = model, path, False
        function = _function(model)
        depths = sorted(function._nodes_by_depth, reverse=True)
        self.calls = [
            Call(
                node.operation,
                tuple(node.arguments.args),
                dict(node.arguments.kwargs),
                tuple(node.input_tensors),
                tuple(node.outputs),
            )
            for depth in depths
            for node in function._nodes_by_depth[depth]
            if not isinstance(node.operation, keras.layers.InputLayer)
        ]
        self.inputs, self.outputs = function.input, function.output
        self._sources = {id(tensor): call for call in self.calls for tensor in call.outputs}
        self._readers = collections.defaultdict(list)
        for call in self.calls:
            for tensor in call.inputs:
                self._readers[id(tensor)].append(call)
        self._outputs = {id(tensor) for tensor in tree.flatten(self.outputs)}

    def source(self, tensor):
        """The call that makes a tensor; None for an input of the model."""
        return self._sources.get(id(tensor))

    def readers(self, tensor):
        """The calls that read a tensor; a call that reads it twice comes twice."""
        return list(self._readers[id(tensor)])

    def is_output(self, tensor):
        """Whether a tensor is an output of the model."""
        return id(tensor) in self._outputs

    def only_reader(self, call):
        """The one call that reads what this one returns, and nobody else does; None elsewhere."""
        if len(call.outputs) != 1 or self.is_output(call.outputs[0]):
            return None
        readers = self.readers(call.outputs[0])
        return readers[0] if len(readers) == 1 else None


class Network:
    """A model read through all its levels.

    Attributes:
        model: the model.
        graphs: list of `Graph`, of the model and of each readable model within it, once each however often it is
            called; outer ones first.

    Raises:
        TypeError: if `model` is no functional or Sequential model, or one with a `call` of its own.
        ValueError: if it is a Sequential model that was not built.
    """

    def __init__(self, model):
        self.model = check_readable(model)
        found = {}

        def visit(model, path, training):
            graph = found.get(id(model))
            if graph is None:
                graph = found[id(model)] = Graph(model, path)
            elif graph.training or not training:
                return
            graph.training = training
            for call in graph.calls:
                if is_readable(call.operation):
                    visit(call.operation, f"{path}{call.operation.name}/", training or call.may_train())

        visit(model, "", False)
        self.graphs = list(found.values())
        called = [call.operation for graph in self.graphs for call in graph.calls]
        self._calls = collections.Counter(map(id, called))
        layers = {id(layer): layer for layer in called if isinstance(layer, keras.layers.Layer)}.values()
        self._holders, self._owners = {}, collections.Counter()
        for layer in layers:
            for part in parts(layer):
                self._holders.setdefault(id(part), layer)
            if not is_readable(layer):
                self._owners.update(map(id, layer.weights))

    def count(self, operation):
        """How often an operation is called; a model within the model counts once however often it is called."""
        return self._calls[id(operation)]

    def holder(self, layer):
        """The layer inside of which this one is used too, such as a wrapper, or None."""
        return self._holders.get(id(layer))

    def called_once(self, operation):
        """Whether an operation is called once and nowhere else, so that its weights serve one purpose."""
        return self.count(operation) == 1 and self.holder(operation) is None

    def is_entangled(self, layer):
        """Whether another layer of the model has one of its weights, as a wrapper has, so that copies would part."""
        return any(self._owners[id(weight)] > 1 for weight in layer.weights)


def check_readable(model, argument="model"):
    """Returns a functional or Sequential model whose layers can be read; see `Network` for what is raised."""
    if isinstance(model, keras.Sequential) and model._functional is None:
        raise ValueError(
            f"`{argument}` must know the shape of its input: begin it with `keras.Input`, or call `build`. "
            f"Received: the Sequential model {model.name!r}."
        )
    if not is_readable(model):
        raise TypeError(
            f"`{argument}` must be a functional Keras model or a Sequential one, whose call is Keras' own. "
            f"Received: {argument}={model!r}."
        )
    return model


def parts(operation):
    """Layers inside of an operation that is not entered, such as the one in a wrapper; none for a readable model."""
    if not isinstance(operation, keras.layers.Layer) or is_readable(operation):
        return []
    return operation._flatten_layers(include_self=False)


def why_not_copied(layer):
    """Why a layer cannot be copied from its configuration without a doubt; None where it can.

    Readable models are built again, layer by layer, and not asked for here.
    """
    for part in (layer, *parts(layer)):
        if isinstance(part, keras.Model):
            return f"{part.name!r} is a model with a call of its own, or one inside of a layer"
        method = replaced_method(part)
        if method is not None:
            return f"the {method} of {part.name!r} was replaced"
        if isinstance(part, keras.layers.Lambda):
            return f"{part.name!r} calls a function that its configuration does not hold with all it needs"
        if hasattr(part, "load_assets"):
            return f"{part.name!r} has a table beside its weights"
        if _configuration_is_incomplete(type(part)):
            return f"{type(part).__name__} has an __init__ of its own and no get_config of its own"
    try:
        copy = _copy(layer)
    except Exception as error:  # whatever the layer's author raises
        return f"{type(layer).__name__} cannot be made from its configuration ({type(error).__name__})"
    return None if type(copy) is type(layer) else f"its configuration makes a {type(copy).__name__}"


def _configuration_is_incomplete(kind):
    """Whether a class has arguments that the `get_config` it inherits knows nothing of."""
    lineage = inspect.getmro(kind)
    makes = next(index for index, each in enumerate(lineage) if "__init__" in vars(each))
    tells = next(index for index, each in enumerate(lineage) if "get_config" in vars(each))
    ours = lineage[makes].__module__.split(".")[0] in ("keras", "kgpc")
    # The basic layer notes all arguments by itself.
    return not ours and tells > makes and lineage[tells] is not keras.layers.Layer


def _copy(layer):
    return type(layer).from_config(layer.get_config())


@contextlib.contextmanager
def deep_recursion(frames=10_000):
    """Lets Keras walk through deep networks, at the least so many frames: it calls itself once for each layer."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, frames))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def pass_on(*args, **kwargs):
    """In place of a call, for `rewrite`: returns the tensor that the call reads."""
    return args[0] if args else kwargs["inputs"]


def rewrite(network, layers=None, calls=None, share=False):
    """Builds a model again, with some layers or calls replaced, and the weights of all others kept.

    Everything that is not named stays: names, `trainable` flags, arguments of calls, models within the model, the
    structure of inputs and outputs. What was shared stays shared. A Sequential model becomes a functional one.

    Args:
        network: `Network` of the model. The model is not changed.
        layers: dict from layers of the model to layers that take their place wherever they are called. Their weights
            are the caller's to set, afterwards, when they are built.
        calls: dict from each `Call` that is replaced to a function that is called in its place, with the same
            arguments, and returns as many Keras tensors. A function that stands for several calls of one layer shares
            its weights between them if it calls the same layers each time. `pass_on` makes a call vanish.
        share: bool, whether all other layers are the model's own, so that both have the same variables, or copies.
            Layers that cannot be copied (`why_not_copied`), or not without what they share among each other
            (`Network.is_entangled`), are the model's own in either case.

    Returns:
        Functional `keras.Model`, not compiled.

    Raises:
        ValueError: if the configuration of a layer makes a layer with other weights.
    """
    layers = {id(old): new for old, new in (layers or {}).items()}
    calls = calls or {}
    graphs = {id(graph.model): graph for graph in network.graphs}
    entered = _changed(network, layers, calls) if share else set(graphs)
    made, copied = {}, []

    def layer_for(operation):
        if not isinstance(operation, keras.layers.Layer):
            return operation  # a function of `keras.ops`: it has no weights
        if id(operation) not in made:
            if id(operation) in layers:
                new = layers[id(operation)]
            elif id(operation) in entered:
                new = build(graphs[id(operation)])
            elif share or network.is_entangled(operation) or why_not_copied(operation):
                new = operation
            else:
                new = _copy(operation)
                copied.append((operation, new))
            made[id(operation)] = new
        return made[id(operation)]

    def build(graph):
        tensors = {id(tensor): _copy(tensor._keras_history.operation).output for tensor in tree.flatten(graph.inputs)}

        def filled(value):
            return tensors[id(value)] if isinstance(value, keras.KerasTensor) else value

        for call in graph.calls:
            function = calls[call] if call in calls else layer_for(call.operation)
            args, kwargs = tree.map_structure(filled, (call.args, call.kwargs))
            returned = tree.flatten(function(*args, **kwargs))
            tensors.update((id(old), new) for old, new in zip(call.outputs, returned, strict=True))
        inputs, outputs = tree.map_structure(filled, (graph.inputs, graph.outputs))
        with deep_recursion():
            model = keras.Model(inputs, outputs, name=graph.model.name)
        # Its property would hand the flag on to all layers, which have their own.
        model._trainable = graph.model.trainable
        return model

    new = build(graphs[id(network.model)])
    for old, copy in copied:
        _copy_weights(old, copy)
    return new


def _changed(network, layers, calls):
    """Models in which something is replaced, or in a model within them."""
    changed, before = {id(network.model)}, None
    while changed != before:
        before = set(changed)
        for graph in network.graphs:
            for call in graph.calls:
                if call in calls or id(call.operation) in layers or id(call.operation) in changed:
                    changed.add(id(graph.model))
    return changed


def _copy_weights(old, new):
    """Gives a copied layer the values and the `trainable` flags of the weights of the layer it was copied from."""
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (old, new)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The layer {old.name!r} cannot be copied: its weights have the shapes {shapes[0]}, and what its "
            f"configuration makes has {shapes[1]}. Its `get_config` must give all arguments of its `__init__`."
        )
    new.set_weights(old.get_weights())
    for weight, original in zip(new.weights, old.weights, strict=True):
        weight.trainable = original.trainable
    for part, original in zip((new, *parts(new)), (old, *parts(old)), strict=True):
        if hasattr(part, "finalize_state"):
            part.finalize_state()  # such as Normalization, which computes with values derived from its weights
        if getattr(original, "lora_enabled", False) and hasattr(original, "lora_alpha"):
            part.lora_alpha = original.lora_alpha  # Keras' dense layer forgets it where it is built
