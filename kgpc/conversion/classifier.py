"""Which layers are classifiers: between them and an output of the network nothing else is computed."""

import keras
from keras import tree

from kgpc import graph
from kgpc.conversion import kinds

_LAYERS = keras.layers
# Layers without weights that move, choose or average what a classifier says, or squash it.
_PASSING = tuple(
    getattr(_LAYERS, name)
    for name in (
        *(
            f"{extent}{kind}Pooling{rank}D"
            for extent in ("", "Global")
            for kind in ("Average", "Max")
            for rank in "123"
        ),
        *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "Rescaling"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "AlphaDropout"),
        *("Flatten", "Reshape", "Permute", "RepeatVector"),
        *("UpSampling1D", "UpSampling2D", "Resizing", "Cropping1D", "Cropping2D", "ZeroPadding2D", "CenterCrop"),
    )
)
_PASSING_OPERATIONS = (
    "Softmax",
    "LogSoftmax",
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "Transpose",
    "Mean",
    "Max",
    "GetItem",
)


class Classifiers:
    """Answers whether a unit is a classifier.

    Args:
        network: `kgpc.graph.Network`.
    """

    def __init__(self, network):
        self._graphs = {id(level.model): level for level in network.graphs}
        self._outermost = network.graphs[0]
        self._calls = {}
        for level in network.graphs:
            for call in level.calls:
                if id(call.operation) in self._graphs:
                    self._calls.setdefault(id(call.operation), []).append((level, call))
        self._known = {}

    def is_classifier(self, unit):
        """Whether between a unit and an output of the network nothing is computed but pooling and the like."""
        if unit.normalization is not None:
            return False
        return any(self._comes_out(place.graph, tensor) for place in unit.places for tensor in place.outputs)

    def _comes_out(self, level, tensor):
        key = level, id(tensor)
        if key not in self._known:
            self._known[key] = False  # until it is known: no tensor comes out by way of itself
            self._known[key] = self._is_output(level, tensor) or any(
                self._passes(level, reader, tensor) for reader in level.readers(tensor)
            )
        return self._known[key]

    def _is_output(self, level, tensor):
        if not level.is_output(tensor):
            return False
        if level is self._outermost:
            return True
        places = [index for index, output in enumerate(tree.flatten(level.outputs)) if output is tensor]
        return any(
            self._comes_out(outer, call.outputs[index])
            for outer, call in self._calls.get(id(level.model), [])
            for index in places
        )

    def _passes(self, level, reader, tensor):
        operation = reader.operation
        inner = self._graphs.get(id(operation))
        if inner is not None:
            return any(
                self._comes_out(inner, own)
                for own, given in zip(tree.flatten(inner.inputs), reader.inputs, strict=False)
                if given is tensor
            )
        if isinstance(operation, keras.layers.Layer):
            passing = graph.is_exactly(operation, *_PASSING) or kinds.activation_name(operation)
        else:
            kind = type(operation)
            ours = kind.__module__.split(".")[0] == "keras"
            passing = kinds.activation_name(operation) or (ours and kind.__name__ in _PASSING_OPERATIONS)
        return passing and any(self._comes_out(level, output) for output in reader.outputs)
