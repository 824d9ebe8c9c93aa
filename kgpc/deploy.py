"""Making a trained model ready for use: batch normalization folded into the convolutions beside it."""

import keras
import numpy as np

from kgpc.grouping import interleaved_order
from kgpc.layers import GroupedPointwiseConv2D, InterleaveChannels
from kgpc.wide_groups import FEW_CHANNELS

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, GroupedPointwiseConv2D)


class _Graph:
    """Who reads whom in a functional model, for layers that are called once."""

    def __init__(self, model):
        nodes = {id(node): node for depth in model._nodes_by_depth.values() for node in depth}
        calls = {}
        for node in nodes.values():
            calls.setdefault(node.operation.name, []).append(node)
        self.called_once = {name for name, found in calls.items() if len(found) == 1}
        self.sources = {
            name: [tensor._keras_history.operation for tensor in found[0].input_tensors]
            for name, found in calls.items()
        }
        self.readers = {}
        for node in nodes.values():
            for tensor in node.input_tensors:
                self.readers.setdefault(tensor._keras_history.operation.name, []).append(node.operation)
        self.outputs = {tensor._keras_history.operation.name for tensor in model.outputs}

    def only_reader(self, operation):
        """The one operation that reads this one's output, or None."""
        readers = self.readers.get(operation.name, [])
        single = len(readers) == 1 and operation.name not in self.outputs and operation.name in self.called_once
        return readers[0] if single else None


def _is_linear_convolution(operation):
    return isinstance(operation, _CONVOLUTIONS) and getattr(operation, "activation", None) in (
        None,
        keras.activations.linear,
    )


def _is_pointwise(operation):
    """Whether each output pixel depends on one input pixel alone, so that no border is padded."""
    if isinstance(operation, GroupedPointwiseConv2D):
        return True
    return isinstance(operation, keras.layers.Conv2D) and tuple(operation.kernel_size) == (1, 1)


def _affine(batch_norm):
    """Scale and shift that a batch normalization layer applies per channel in inference, in float64."""
    values = {weight.name: np.asarray(keras.ops.convert_to_numpy(weight), "float64") for weight in batch_norm.weights}
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + batch_norm.epsilon)
    return scale, values.get("beta", 0.0) - values["moving_mean"] * scale


def _plan(model):
    """For each convolution that absorbs a normalization: the layers before and after it that vanish."""
    graph = _Graph(model)
    before, after = {}, {}
    for operation in model.operations:
        if not isinstance(operation, keras.layers.BatchNormalization) or operation.name not in graph.called_once:
            continue
        if operation.axis not in (-1, 3) or len(operation.output.shape) != 4:
            continue
        source, reader = graph.sources[operation.name][0], graph.only_reader(operation)
        if _is_linear_convolution(source) and graph.only_reader(source) is operation:
            after[source.name] = operation
        elif reader is not None and _is_pointwise(reader) and reader.name in graph.called_once:
            before[reader.name] = operation
    return before, after


def _reordering(model):
    """For each grouped convolution that can read its channels in another order: the interleaving that vanishes.

    Only where the channels are so few that an ordinary convolution with zeros between the groups is no slower.
    """
    graph = _Graph(model)
    found = {}
    for operation in model.operations:
        if not isinstance(operation, InterleaveChannels) or operation.output.shape[-1] > FEW_CHANNELS:
            continue
        reader = graph.only_reader(operation)
        if isinstance(reader, GroupedPointwiseConv2D) and reader.name in graph.called_once:
            found[reader.name] = operation
    return found


def _ordinary(layer, use_bias):
    """An ordinary convolution in place of a grouped one."""
    config = layer.get_config()
    for name in ("groups", "use_bias"):
        del config[name]
    return keras.layers.Conv2D.from_config({**config, "kernel_size": 1, "use_bias": use_bias})


def _reordered_kernel(kernel, groups, step):
    """The ordinary kernel (1, 1, channels, filters) that reads, before interleaving, what a grouped one reads after."""
    _, _, rows, filters = kernel.shape
    ordinary = np.zeros((groups * rows, filters), kernel.dtype)
    for group in range(groups):
        columns = slice(group * filters // groups, (group + 1) * filters // groups)
        ordinary[group * rows : (group + 1) * rows, columns] = kernel[0, 0, :, columns]
    reordered = np.empty_like(ordinary)
    reordered[interleaved_order(groups * rows, step)] = ordinary
    return reordered[None, None]


def _folded_weights(layer, before, after):
    """Kernel and bias of a convolution that does the work of its neighbours too."""
    values = {weight.name: np.asarray(keras.ops.convert_to_numpy(weight), "float64") for weight in layer.weights}
    kernel = values["kernel"]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    filters = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    bias = values.get("bias", np.zeros(filters))
    if before is not None:
        scale, shift = _affine(before)
        # Row i of a group reads channel (group * rows + i): give each filter the scale and shift of the channels it
        # reads.
        rows, group = kernel.shape[2], np.arange(filters) // (filters // layer.groups)
        channels = group[None, :] * rows + np.arange(rows)[:, None]
        bias = bias + (kernel[0, 0] * np.broadcast_to(shift, rows * layer.groups)[channels]).sum(axis=0)
        kernel = kernel * np.broadcast_to(scale, rows * layer.groups)[channels]
    if after is not None:
        scale, shift = _affine(after)
        kernel = kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale)
        bias = bias * scale + shift
    return kernel, bias


def fold(model):
    """Copies a model for inference with batch normalization folded into the convolutions beside it.

    A normalization right after a convolution scales that convolution's kernel and gives it a bias. One right before a
    pointwise convolution, as in DenseNet, does the same to its rows. Both are exact up to rounding. A normalization
    before a zero-padded larger convolution stays a layer of its own: folded, it would change the borders. So does one
    whose input or output is read elsewhere.

    An interleaving of few channels (at most 64) before a grouped convolution vanishes too: that convolution becomes an
    ordinary one whose kernel has zeros between the groups, in the order of the channels before.

    Args:
        model: a functional Keras model. It is not changed.

    Returns:
        A `keras.Model` with the same inputs, outputs, layer names and predictions; its folded convolutions have a
        bias. It is meant for inference: training it again trains without the folded normalizations.

    Raises:
        TypeError: if `model` is not a functional Keras model.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "operations") or isinstance(model, keras.Sequential):
        raise TypeError(f"`model` must be a functional Keras model. Received: model={model!r}.")
    before, after = _plan(model)
    absorbing = {*before, *after}
    reordering = _reordering(model)
    vanishing = {layer.name for layer in (*before.values(), *after.values(), *reordering.values())}

    def copy(layer):
        if layer.name in reordering:
            return _ordinary(layer, use_bias=layer.use_bias or layer.name in absorbing)
        config = layer.get_config()
        if layer.name in absorbing:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, *arguments, **options):
        return arguments[0] if layer.name in vanishing else layer(*arguments, **options)

    folded = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in folded.layers:
        if not layer.weights:
            continue
        original = model.get_layer(layer.name)
        weights = original.get_weights()
        if layer.name in absorbing:
            weights = _folded_weights(original, before.get(layer.name), after.get(layer.name))
        if layer.name in reordering:
            kernel, *bias = weights
            weights = [_reordered_kernel(kernel, original.groups, reordering[layer.name].step), *bias]
        layer.set_weights(weights)
    return folded
