"""What the output of a classifier is: probabilities of exclusive classes, of independent ones, or logits."""

import keras

from kgpc import graph
from kgpc.layers import Activation

KINDS = ("softmax", "sigmoid", "logits")
# Layers behind the last activation that hand its values on.
_PASSING = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Identity, keras.layers.Dropout)
_NAMES = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid", keras.activations.linear: ""}


def kind_of(model):
    """What the one output of a model is, as its last layers say.

    Args:
        model: Keras model.

    Returns:
        "softmax" (probabilities that sum to one), "sigmoid" (a probability for each class), "logits" (a layer with
        weights and no activation is the last to change them), or None where the layers do not say it.
    """
    while graph.is_readable(model):
        level = graph.Graph(model)
        call = level.source(level.outputs) if isinstance(level.outputs, keras.KerasTensor) else None
        while call is not None and (graph.is_exactly(call.operation, *_PASSING) or _is_linear(call.operation)):
            call = level.source(call.inputs[0]) if len(call.inputs) == 1 else None
        if call is None:
            return None
        model = call.operation
    if type(model) is keras.layers.Softmax:
        return "softmax" if model.axis == -1 else None
    activation = getattr(model, "activation", None)
    name = next((name for function, name in _NAMES.items() if activation is function), None)
    if name == "" and getattr(model, "kernel", None) is not None:
        return "logits"
    return name or None


def _is_linear(operation):
    kinds = (keras.layers.Activation, Activation)
    return graph.is_exactly(operation, *kinds) and operation.activation is keras.activations.linear
