"""A model written out as one list of steps, models within it entered, so that each call of a layer is its own step."""

import collections
import dataclasses
import inspect

import keras
from keras import tree

from kgpc import graph


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor on the way through a model.

    Attributes:
        tensor: Keras tensor with its shape and dtype.
        step: the `Step` that makes it, or None for an input of the model.
        name: str, name of that step or of the input layer.
    """

    tensor: keras.KerasTensor
    step: "Step | None"
    name: str

    @property
    def shape(self):
        return tuple(self.tensor.shape)


class Step:
    """One call of an operation.

    Attributes:
        operation: the layer, or the function of `keras.ops`.
        name: str, its name, after the names of the models it is in: "backbone/conv1".
        inputs: list of each `Value` that it reads.
        outputs: list of each `Value` that it makes.
    """

    def __init__(self, call, name, args, kwargs):
        self.operation, self.name = call.operation, name
        self._args, self._kwargs = args, kwargs
        self.inputs = [value for value in tree.flatten((args, kwargs)) if isinstance(value, Value)]
        self.outputs = [Value(tensor, self, name) for tensor in call.outputs]
        parameters = list(inspect.signature(self.operation.call).parameters)
        if "training" in parameters[len(args) :]:
            self._kwargs = {**kwargs, "training": False}

    def run(self, tensors):
        """Tensors of its outputs, given those of the values before."""

        def filled(value):
            return tensors[value] if isinstance(value, Value) else value

        args, kwargs = tree.map_structure(filled, (self._args, self._kwargs))
        return tree.flatten(self.operation(*args, **kwargs))

    def is_closed(self):
        """Whether there are layers inside that are no steps of their own."""
        return isinstance(self.operation, keras.Model) or bool(graph.parts(self.operation))


class Unrolled:
    """The steps of a model in inference.

    Attributes:
        model: the model.
        inputs, outputs: lists of `Value`, one for each input or output.
        named: dict from the name of each step, model within the model and input layer to a list of its outputs, one for
            each time it is called.

    Args:
        model: functional or Sequential Keras model.

    Raises:
        TypeError, ValueError: as `graph.Network`.
    """

    def __init__(self, model):
        network = graph.Network(model)
        self.model, self.steps, self.named = model, [], collections.defaultdict(list)
        self._graphs = {id(each.model): each for each in network.graphs}
        outermost = network.graphs[0]
        self.inputs = [
            Value(tensor, None, tensor._keras_history.operation.name) for tensor in tree.flatten(outermost.inputs)
        ]
        self.outputs = tree.flatten(self._unroll(outermost, self.inputs, ""))

    def _unroll(self, part, inputs, path):
        tensors = tree.flatten(part.inputs)
        values = {id(tensor): value for tensor, value in zip(tensors, inputs, strict=True)}
        for tensor, value in zip(tensors, inputs, strict=True):
            self.named[path + tensor._keras_history.operation.name].append(value)

        def filled(value):
            return values[id(value)] if isinstance(value, keras.KerasTensor) else value

        for call in part.calls:
            args, kwargs = tree.map_structure(filled, (call.args, call.kwargs))
            name = path + call.operation.name
            entered = self._inputs_within(call, args, kwargs)
            if entered is None:
                step = Step(call, name, args, kwargs)
                self.steps.append(step)
                outputs = step.outputs
            else:
                outputs = tree.flatten(self._unroll(self._graphs[id(call.operation)], entered, f"{name}/"))
            values.update((id(tensor), value) for tensor, value in zip(call.outputs, outputs, strict=True))
            self.named[name].append(outputs[0])
        return tree.map_structure(filled, part.outputs)

    def _inputs_within(self, call, args, kwargs):
        """What a model within the model reads, one value for each of its inputs; None if it is not entered."""
        part = self._graphs.get(id(call.operation))
        others = {name: value for name, value in kwargs.items() if name not in ("inputs", "training")}
        given = [*args, *([kwargs["inputs"]] if "inputs" in kwargs else [])]
        if part is None or len(given) != 1 or any(value is not None for value in others.values()):
            return None
        expected, values = tree.flatten(part.inputs), tree.flatten(given[0])
        dicts = [structure.keys() if isinstance(structure, dict) else None for structure in (part.inputs, given[0])]
        # A model converts what has another dtype or rank; steps do not.
        alike = (
            dicts[0] == dicts[1]
            and len(values) == len(expected)
            and all(
                isinstance(value, Value)
                and value.tensor.dtype == tensor.dtype
                and len(value.shape) == len(tensor.shape)
                for value, tensor in zip(values, expected, strict=True)
            )
        )
        return values if alike else None

    def run(self, images, wanted, changes=None):
        """Tensors of values, of a model with one input.

        Args:
            images: tensor, the input.
            wanted: list of `Value`.
            changes: dict from values to functions; what a function returns takes the place of the tensor it gets.

        Returns:
            List of tensors, one for each value wanted.
        """
        changes, tensors = changes or {}, {}

        def put(values, results):
            for value, tensor in zip(values, results, strict=True):
                tensors[value] = changes[value](tensor) if value in changes else tensor

        put(self.inputs, [keras.ops.convert_to_tensor(images, dtype=self.inputs[0].tensor.dtype)])
        for step in self.steps:
            put(step.outputs, step.run(tensors))
        return [tensors[value] for value in wanted]
