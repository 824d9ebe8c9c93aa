"""Counting what a model computes for one image: multiply-accumulates, and the flops of the paper's tables.

The two differ. `macs` counts one multiply-accumulate of a convolution or dense layer as one and everything else as
nothing. `paper_flops` follows the convention behind the published tables: half of the float operations of an old
profiler, which also counts biases, some activations, squeeze-and-excite products and pooling.
"""

import collections
import dataclasses
import math

import keras
import pandas as pd

from kgpc.arguments import received
from kgpc.layers import GroupedPointwiseConv2D

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, GroupedPointwiseConv2D)
_GLOBAL_AVERAGES = (keras.layers.GlobalAveragePooling2D,)
_WINDOW_POOLINGS = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
# What else may hold weights: layers of this kind multiply no matrix, so they count nothing.
_WITHOUT_PRODUCTS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
)
# Layers that multiply matrices without weights, and the classes of the operations of `keras.ops` that do.
_PRODUCT_LAYERS = (keras.layers.Dot, keras.layers.Attention, keras.layers.AdditiveAttention)
_PRODUCT_OPERATIONS = {
    *("Dot", "Einsum", "Inner", "Kron", "Matmul", "Outer", "Tensordot", "Vdot", "Correlate", "DotProductAttention"),
    *("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"),
}

# Float operations per output element; what is not listed (ReLU, sigmoid, ...) counts 0 in the paper's convention.
_ACTIVATION_OPERATIONS = {"silu": 1, "hard_silu": 2, "hard_sigmoid": 1, "softmax": 5}
# Classes of the layer and the operations of `keras.ops` that are those activations.
_ACTIVATION_CLASSES = {
    "Silu": "silu",
    "HardSilu": "hard_silu",
    "HardSigmoid": "hard_sigmoid",
    "Softmax": "softmax",
}


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """What one layer of a model holds and computes for one image.

    Attributes:
        layer: str, name of the layer.
        kind: str, its class.
        part: str, its role in a network: "pointwise", "depthwise" or "other convolutions", "batch normalization",
            "classifier" (the last layer with weights, if it is dense or computes a 1x1 convolution of a 1x1 map), or
            "other".
        output_shape: tuple of int, without the batch axis.
        trainable_parameters: int.
        macs: int, multiply-accumulates.
        float_operations: int, in the paper's convention before halving.
        other_operations: dict from "biases", "activations", "pooling" and "products" to int, those of
            `float_operations` that are no multiply-accumulates; without those that are 0.
    """

    layer: str
    kind: str
    part: str
    output_shape: tuple
    trainable_parameters: int
    macs: int
    float_operations: int
    other_operations: dict = dataclasses.field(default_factory=dict, hash=False)


def _elements(shape):
    return math.prod(shape[1:])


def _known_shape(operation, tensor):
    shape = tuple(tensor.shape)
    if any(size is None for size in shape[1:]):
        raise ValueError(
            "`model` must have been built with a fixed image size to be counted. "
            f"Received: model with layer {operation.name!r} of shape {shape}."
        )
    return shape


def _kernel_size(layer):
    return (1, 1) if isinstance(layer, GroupedPointwiseConv2D) else layer.kernel_size


def _part(operation):
    if isinstance(operation, keras.layers.DepthwiseConv2D):
        return "depthwise"
    if isinstance(operation, _CONVOLUTIONS):
        return "pointwise" if tuple(_kernel_size(operation)) == (1, 1) else "other convolutions"
    return "batch normalization" if isinstance(operation, keras.layers.BatchNormalization) else "other"


def _with_classifier(counts, weighted):
    """The counts of a whole model, its classifier named as one; `weighted` says of each whether it has weights."""
    last = max((index for index, has_weights in enumerate(weighted) if has_weights), default=None)
    if last is None:
        return counts
    count = counts[last]
    # Of a 1x1 map at most the channels are more than 1, wherever their axis is.
    if count.kind == "Dense" or (count.part == "pointwise" and count.output_shape.count(1) >= 2):
        counts[last] = dataclasses.replace(count, part="classifier")
    return counts


def _layer_macs(operation, input_shape, output_shape):
    if isinstance(operation, keras.layers.DepthwiseConv2D):
        return _elements(output_shape) * math.prod(operation.kernel_size)
    if isinstance(operation, _CONVOLUTIONS):
        channels = input_shape[1 if getattr(operation, "data_format", None) == "channels_first" else -1]
        return _elements(output_shape) * math.prod(_kernel_size(operation)) * (channels // operation.groups)
    if isinstance(operation, keras.layers.Dense):
        return _elements(output_shape) * input_shape[-1]
    if getattr(operation, "weights", None) and not isinstance(operation, _WITHOUT_PRODUCTS):
        raise ValueError(
            "`model` must have no layers with weights but Conv2D, DepthwiseConv2D, GroupedPointwiseConv2D, Dense and "
            f"normalizations: others cannot be counted. Received: the layer {operation.name!r} "
            f"({type(operation).__name__})."
        )
    kind = "layer" if isinstance(operation, keras.layers.Layer) else "operation"
    if isinstance(operation, _PRODUCT_LAYERS) or (
        kind == "operation" and type(operation).__name__ in _PRODUCT_OPERATIONS
    ):
        raise ValueError(
            "`model` must have no matrix products but those of convolutions and dense layers: others cannot be "
            f"counted. Received: the {kind} {operation.name!r} ({type(operation).__name__})."
        )
    return 0


def _other_operations(operation, input_shape, output_shape):
    """Float operations of one call that are no multiply-accumulates, by what they are."""
    count = collections.Counter()
    if isinstance(operation, (*_CONVOLUTIONS, keras.layers.Dense)) and operation.use_bias:
        count["biases"] += _elements(output_shape)
    if isinstance(operation, _GLOBAL_AVERAGES):
        count["pooling"] += _elements(input_shape)
    if isinstance(operation, _WINDOW_POOLINGS):
        count["pooling"] += _elements(output_shape) * math.prod(operation.pool_size)
    # Products appear as a layer (squeeze-and-excite) or as an operator in the graph (hard sigmoid written as ReLU6(x +
    # 3) * 1/6).
    if type(operation).__name__ == "Multiply":
        count["products"] += _elements(output_shape)
    activation = _ACTIVATION_CLASSES.get(type(operation).__name__)
    if activation is None:
        activation = getattr(getattr(operation, "activation", None), "__name__", None)
    count["activations"] += _ACTIVATION_OPERATIONS.get(activation, 0) * _elements(output_shape)
    return count


def layer_counts(model):
    """Counts every layer of a model.

    Args:
        model: a functional or sequential Keras model built with a fixed image size. A layer called several times is
            counted each time (its parameters once); a model inside the model is counted layer by layer.

    Returns:
        List of `LayerCount`, in the order of the model's layers.

    Raises:
        TypeError: if `model` is not a functional or sequential Keras model.
        ValueError: if its image size is not fixed, or a layer multiplies in a way that is not known here, such as a
            transposed or separable convolution, an attention layer or a product of tensors.
    """
    return _with_classifier(*_layer_counts(model))


def _layer_counts(model, uncounted=None):
    """As `layer_counts`, with no layer named the classifier, and a list of whether each layer has weights, once.

    `uncounted` are the ids of the trainable weights whose parameters no layer before has; counted ones are taken out.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    if isinstance(model, keras.Sequential):
        raise ValueError(
            f"`model` must have been built with a fixed image size to be counted. {received('model', model)}"
        )
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise TypeError(f"`model` must be a functional or sequential Keras model. {received('model', model)}")
    if uncounted is None:
        uncounted = {id(weight) for weight in model.trainable_weights}
    # The graph's own nodes: a layer that other models use too has nodes that are not this model's.
    nodes = {id(node) for depth in model._nodes_by_depth.values() for node in depth}
    counts, weighted = [], []
    for operation in model.operations:
        calls = [node for node in operation._inbound_nodes if id(node) in nodes]
        if isinstance(operation, keras.Model):
            for call in calls:
                inner_counts, inner_weighted = _layer_counts(operation, uncounted)
                counts.extend(inner_counts)
                weighted.extend(has_weights and call is calls[0] for has_weights in inner_weighted)
            continue
        if not calls or isinstance(operation, keras.layers.InputLayer):
            continue
        weights = operation.weights if isinstance(operation, keras.layers.Layer) else []
        new = [weight for weight in weights if id(weight) in uncounted]
        uncounted.difference_update(map(id, new))
        macs, others = 0, collections.Counter()
        for node in calls:
            input_shape = _known_shape(operation, node.input_tensors[0])
            output_shape = _known_shape(operation, node.outputs[0])
            macs += _layer_macs(operation, input_shape, output_shape)
            others.update(_other_operations(operation, input_shape, output_shape))
        counts.append(
            LayerCount(
                operation.name,
                type(operation).__name__,
                _part(operation),
                output_shape[1:],
                sum(math.prod(weight.shape) for weight in new),
                macs,
                2 * macs + sum(others.values()),
                {what: number for what, number in others.items() if number},
            )
        )
        weighted.append(bool(weights))
    return counts, weighted


def layer_table(model):
    """`layer_counts` as a table.

    Args:
        model: see `layer_counts`.

    Returns:
        pandas DataFrame with one row per layer and the columns `layer`, `kind`, `part`, `output_shape`,
        `trainable_parameters`, `macs` (multiply-accumulates for one image) and `float_operations` (the paper's
        convention before halving): attributes of `LayerCount`.

    Raises:
        TypeError, ValueError: see `layer_counts`.
    """
    rows = [dataclasses.asdict(count) for count in layer_counts(model)]
    return pd.DataFrame(rows).drop(columns="other_operations", errors="ignore")


def trainable_parameters(model):
    """Number of trainable parameters of a model, the "parameters" of the paper's tables.

    Args:
        model: a built Keras model or layer.

    Returns:
        int.

    Raises:
        TypeError: if `model` is not a Keras model or layer.
        ValueError: if it was not built, and therefore has no weights yet.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"`model` must be a Keras model or layer. {received('model', model)}")
    if not model.built:
        raise ValueError(f"`model` must have been built, or it has no weights yet. {received('model', model)}")
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def macs(model):
    """Multiply-accumulates of all convolutions and dense layers of a model for one image.

    A bias, normalization, activation or pooling counts nothing.

    Args:
        model: see `layer_counts`.

    Returns:
        int.

    Raises:
        TypeError, ValueError: see `layer_counts`.
    """
    return sum(count.macs for count in layer_counts(model))


def paper_flops(model):
    """The "flops" of the paper's tables for one image.

    Half, rounded down, of: 2 for each multiply-accumulate; 1 per output element for a bias, a swish or hard sigmoid, a
    squeeze-and-excite product; 2 for hard swish; 5 for softmax; every input element of a global average pool; the
    window size per output element of other pools. Batch normalization, ReLU, sigmoid, additions, padding and
    interleaving count nothing.

    Args:
        model: see `layer_counts`.

    Returns:
        int.

    Raises:
        TypeError, ValueError: see `layer_counts`.
    """
    return sum(count.float_operations for count in layer_counts(model)) // 2


def beyond_macs(model):
    """What the paper's flops count besides multiply-accumulates, for one image.

    Args:
        model: see `layer_counts`.

    Returns:
        dict with "biases" (one for each output of a convolution or dense layer that has them), "activations" (swish,
        hard swish, hard sigmoid, softmax), "pooling" and "products" (of squeeze-and-excite, and of hard sigmoids that
        are written as products): float, in the unit of `paper_flops`, so half of the operations. `paper_flops` is
        `macs` plus their sum, rounded down.

    Raises:
        TypeError, ValueError: see `layer_counts`.
    """
    found = collections.Counter()
    for count in layer_counts(model):
        found.update(count.other_operations)
    return {what: found[what] / 2 for what in ("biases", "activations", "pooling", "products")}
