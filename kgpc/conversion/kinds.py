"""Which operations are batch normalizations, and which activations look at one number at a time."""

import keras

from kgpc import graph
from kgpc.layers import Activation, BatchNormalization

_NORMALIZATIONS = (keras.layers.BatchNormalization, BatchNormalization)
_ACTIVATION_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)
_FUNCTION_LAYERS = (keras.layers.Activation, Activation)
# Activations that look at one number at a time: each convolution of a unit can have its own. Others, such as softmax,
# stay one for the whole unit.
_ELEMENTWISE = (
    *(
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "hard_silu",
        "mish",
        "softplus",
        "softsign",
    ),
    *("sigmoid", "hard_sigmoid", "log_sigmoid", "tanh", "hard_tanh", "exponential"),
)
# Functions of `keras.ops` without further arguments that are such activations, by the name of their class.
_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Silu": "silu",
    "Mish": "mish",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}


# What `activation_name` calls activations: the names of Keras, and "ReLU" for layers of it with a slope or a limit.
NAMES = (*_ELEMENTWISE, "ReLU")


def is_normalization(operation):
    """Whether an operation is a batch normalization of Keras or of this package."""
    return graph.is_exactly(operation, *_NORMALIZATIONS)


def own_activation(layer):
    """Name of the elementwise activation that is an argument of a layer; "" where there is none, or another one."""
    return _function_name(layer.activation)


def has_other_activation(layer):
    """Whether a layer has an activation that is not known to look at one number at a time, such as softmax."""
    return layer.activation not in (None, keras.activations.linear) and not own_activation(layer)


def activation_name(operation):
    """Name of the elementwise activation that an operation is; "" where it is none."""
    if graph.is_exactly(operation, *_FUNCTION_LAYERS):
        return _function_name(operation.activation)
    if graph.is_exactly(operation, keras.layers.ReLU):
        plain = operation.negative_slope == 0 and operation.threshold == 0
        return {None: "relu", 6.0: "relu6"}.get(operation.max_value, "ReLU") if plain else "ReLU"
    if graph.is_exactly(operation, *_ACTIVATION_LAYERS):
        return {"LeakyReLU": "leaky_relu", "ELU": "elu"}[type(operation).__name__]
    if isinstance(operation, keras.layers.Layer) or type(operation).__module__.split(".")[0] != "keras":
        return ""
    return _OPERATIONS.get(type(operation).__name__, "") if ".ops." in type(operation).__module__ else ""


def _function_name(function):
    name = getattr(function, "__name__", "")
    return name if name in _ELEMENTWISE and function is getattr(keras.activations, name, None) else ""
