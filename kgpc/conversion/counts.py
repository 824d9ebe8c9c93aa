"""What each layer of any network holds and multiplies: parameters and multiply-adds."""

import math

import keras

from kgpc.layers import GroupedPointwiseConv2D

_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_KERNELS = {
    **dict.fromkeys((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), ("kernel",)),
    **dict.fromkeys((keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D), ("kernel",)),
    **dict.fromkeys(
        (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D), ("depthwise_kernel", "pointwise_kernel")
    ),
    **dict.fromkeys(_TRANSPOSED, ("kernel",)),
    keras.layers.Dense: ("kernel",),
    GroupedPointwiseConv2D: ("kernel",),
}
_WITHOUT_PRODUCTS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.Embedding,
    keras.layers.PReLU,
)


def parameters(layer):
    """Parameters of a layer that are meant to be trained, whether it is frozen or not: no moving statistics.

    Args:
        layer: a Keras layer.

    Returns:
        int.
    """
    variables = {id(weight): weight for part in layer._flatten_layers() for weight in part._trainable_variables}
    return sum(math.prod(weight.shape) for weight in variables.values())


def multiply_adds(call):
    """Multiply-adds of one call of a layer for one image: products of convolutions and dense layers, nothing else.

    Args:
        call: `kgpc.graph.Call`.

    Returns:
        int; None where the layer or the size of its images is not known.
    """
    layer = call.operation
    kind = next((kind for kind in type(layer).__mro__ if kind in _KERNELS), None)
    if kind is None:
        # Vectors scale and shift; what a layer of another kind does with a matrix is not known here.
        vectors = all(len(weight.shape) < 2 for weight in layer.weights)
        return 0 if vectors or isinstance(layer, _WITHOUT_PRODUCTS) else None
    positions = pixels(call, of_input=kind in _TRANSPOSED)
    kernels = [getattr(layer, name) for name in _KERNELS[kind]]
    return None if positions is None else positions * sum(math.prod(kernel.shape) for kernel in kernels)


def pixels(call, of_input=False):
    """Positions at which a kernel is applied for one image; None where they are not known."""
    layer, tensor = call.operation, (call.inputs if of_input else call.outputs)[0]
    axes = tensor.shape[2:] if getattr(layer, "data_format", None) == "channels_first" else tensor.shape[1:-1]
    return None if None in axes else math.prod(axes)
