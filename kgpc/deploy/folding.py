"""Making a trained model ready for use: batch normalization folded into the layers beside it."""

import dataclasses

import keras
import numpy as np
import pandas as pd

from kgpc import graph
from kgpc.grouping import interleaved_order
from kgpc.layers import BatchNormalization, DepthwiseConv2D, GroupedPointwiseConv2D, InterleaveChannels
from kgpc.wide_groups import FEW_CHANNELS

# Kinds by how their kernel lies, spatial axes first. A subclass may compute anything and is no such kind.
_FROM_ALL = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, GroupedPointwiseConv2D, keras.layers.Dense)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_LINEAR = (*_FROM_ALL, *_TRANSPOSED, *_DEPTHWISE, *_SEPARABLE)
_NORMALIZATIONS = (keras.layers.BatchNormalization, BatchNormalization)


@dataclasses.dataclass(frozen=True)
class _Finding:
    """One layer that folding asks about: what becomes of it.

    Attributes:
        path: str, names of the models on the way to it, and its own.
        layer: the normalization or interleaving, or a layer that is not copied.
        call: its `graph.Call` where it vanishes, else None.
        into: the layer that does its work too, else None.
        place: "before" or "after" that layer.
        reason: str, why it stays as it is; "" where it vanishes.
    """

    path: str
    layer: keras.layers.Layer
    call: graph.Call | None = None
    into: keras.layers.Layer | None = None
    place: str = ""
    reason: str = ""


def _affine(normalization):
    """Scale and shift that a batch normalization layer applies per channel in inference, in float64."""
    values = _weights(normalization)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + normalization.epsilon)
        return scale, values.get("beta", 0.0) - values["moving_mean"] * scale


def _weights(layer):
    values = layer.get_weights()
    return {weight.name: value.astype("float64") for weight, value in zip(layer.weights, values, strict=True)}


def _uses(network, layer):
    """Why a layer serves more than one purpose, or ""."""
    if network.holder(layer) is not None:
        return f"{layer.name!r} is used inside {network.holder(layer).name!r} too"
    count = network.count(layer)
    return "" if count == 1 else f"{layer.name!r} is called {count} times"


def _why_not_into(network, normalization, call):
    """Why the layer that is called cannot do a normalization's work, on whichever side; "" where it can."""
    layer, rank = call.operation, len(call.outputs[0].shape)
    if not graph.is_exactly(layer, *_LINEAR):
        method = graph.replaced_method(layer)
        return f"{layer.name!r} is a {type(layer).__name__}" + (f" whose {method} was replaced" if method else "")
    if getattr(layer, "lora_enabled", False):
        return f"{layer.name!r} has LoRA weights"
    if getattr(layer, "quantization_mode", None) is not None:
        return f"{layer.name!r} is quantized"
    if _uses(network, layer):
        return _uses(network, layer)
    if call.only_input() is None:
        return f"{layer.name!r} is not called on one tensor alone"
    if normalization.axis % rank != (1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1):
        return f"axis {normalization.axis} is not that of the channels of {layer.name!r}"
    if layer.compute_dtype != normalization.compute_dtype:
        return f"{layer.name!r} computes in another dtype"
    return ""


def _why_not_after(network, model, call, source):
    """Why a normalization cannot be folded into the layer before it; "" where it can."""
    if source is None:
        return "it reads an input of the model"
    reason = _why_not_into(network, call.operation, source)
    if reason:
        return reason
    if model.only_reader(source) is not call:
        return f"the output of {source.operation.name!r} is read elsewhere too"
    if getattr(source.operation, "activation", None) not in (None, keras.activations.linear):
        return f"{source.operation.name!r} has an activation"
    return ""


def _why_not_before(network, call, reader):
    """Why a normalization cannot be folded into the layer after it; "" where it can."""
    if reader is None:
        return "its output is an output of the model, or read several times, or never"
    reason = _why_not_into(network, call.operation, reader)
    if reason:
        return reason
    layer = reader.operation
    if not graph.is_exactly(layer, *_FROM_ALL, *_DEPTHWISE):
        return f"{layer.name!r} is a {type(layer).__name__}"
    if getattr(layer, "padding", "valid") != "valid" and set(layer.kernel_size) != {1}:
        return f"{layer.name!r} pads its input with zeros, which are not normalized"
    return ""


def _normalization(network, model, call):
    layer, tensor = call.operation, call.only_input(own_mask=True)
    found = _Finding(model.path + layer.name, layer)
    reason = (
        f"a {type(layer).__name__} may compute something else"
        if not graph.is_exactly(layer, *_NORMALIZATIONS)
        else "the model around it is called with training=True"
        if model.training
        else "it is called with training=True or a mask of its own"
        if tensor is None
        else _uses(network, layer)
    )
    if not reason and not np.isfinite(_affine(layer)).all():
        reason = "its weights are not finite or its variance is negative"
    if reason:
        return dataclasses.replace(found, reason=reason)
    source, reader = model.source(tensor), model.only_reader(call)
    after = _why_not_after(network, model, call, source)
    if not after:
        return dataclasses.replace(found, call=call, into=source.operation, place="after")
    before = _why_not_before(network, call, reader)
    if not before:
        return dataclasses.replace(found, call=call, into=reader.operation, place="before")
    return dataclasses.replace(found, reason=f"before it: {after}; after it: {before}")


def _interleaving(network, model, call):
    """A grouped convolution can read its channels in another order, so that an interleaving vanishes.

    Only where the channels are so few that an ordinary convolution with zeros between the groups is no slower.
    """
    layer, reader = call.operation, model.only_reader(call)
    found = _Finding(model.path + layer.name, layer)
    reason = (
        f"a {type(layer).__name__} may compute something else"
        if not graph.is_exactly(layer, InterleaveChannels)
        else f"it has more than {FEW_CHANNELS} channels"
        if call.outputs[0].shape[-1] > FEW_CHANNELS
        else _uses(network, layer)
    )
    if not reason and (reader is None or not graph.is_exactly(reader.operation, GroupedPointwiseConv2D)):
        reason = "no grouped convolution is alone in reading it"
    reason = reason or _uses(network, reader.operation)
    if not reason and (call.only_input() is None or reader.only_input() is None):
        reason = "it is not called on one tensor alone"
    if reason:
        return dataclasses.replace(found, reason=reason)
    return dataclasses.replace(found, call=call, into=reader.operation, place="before")


def _findings(network):
    """What becomes of every normalization and interleaving, and which layers are not copied."""
    found = []
    for model in network.graphs:
        seen = set()
        for call in model.calls:
            layer, path = call.operation, model.path + call.operation.name
            if layer in seen:
                continue
            seen.add(layer)
            if isinstance(layer, keras.layers.BatchNormalization):
                found.append(_normalization(network, model, call))
            elif isinstance(layer, InterleaveChannels):
                found.append(_interleaving(network, model, call))
            for part in graph.parts(layer):
                if isinstance(part, keras.layers.BatchNormalization):
                    reason = f"it is inside {layer.name!r}, a {type(layer).__name__}, which is not entered"
                    found.append(_Finding(f"{path}/{part.name}", part, reason=reason))
            if isinstance(layer, keras.layers.Layer) and not graph.is_readable(layer):
                reason = graph.why_not_copied(layer)
                if network.is_entangled(layer):
                    reason = "another layer uses its weights too"
                if reason:
                    found.append(_Finding(path, layer, reason=f"shared with the original: {reason}"))
    return found


def _after(layer, values, scale, shift):
    """Weights of a layer that scales and shifts its output too."""
    kernel = "pointwise_kernel" if isinstance(layer, _SEPARABLE) else "kernel"
    if isinstance(layer, _TRANSPOSED):
        factor = scale[:, None]
    elif isinstance(layer, _DEPTHWISE):
        factor = scale.reshape(values[kernel].shape[-2:])
    else:
        factor = scale
    bias = values.get("bias", np.zeros_like(scale))
    return {**values, kernel: values[kernel] * factor, "bias": bias * scale + shift}


def _before(layer, values, scale, shift):
    """Weights of a layer that scales and shifts its input too."""
    kernel = values["kernel"]
    *spatial, rows, columns = range(kernel.ndim)
    if isinstance(layer, _DEPTHWISE):
        channels, summed = np.arange(kernel.shape[rows])[:, None], tuple(spatial)
    else:
        # Row i of a group reads channel (group * rows + i): give each filter the scale and shift of the channels it
        # reads.
        filters = kernel.shape[columns]
        group = np.arange(filters) // (filters // getattr(layer, "groups", 1))
        channels, summed = group * kernel.shape[rows] + np.arange(kernel.shape[rows])[:, None], (*spatial, rows)
    moved = (kernel * shift[channels]).sum(axis=summed).reshape(-1)
    return {**values, "kernel": kernel * scale[channels], "bias": values.get("bias", 0) + moved}


def _reordered(layer, values, step):
    """Weights of an ordinary convolution that reads, before interleaving, what a grouped one reads after."""
    kernel, groups = values["kernel"], layer.groups
    _, _, rows, filters = kernel.shape
    ordinary = np.zeros((groups * rows, filters))
    for group in range(groups):
        columns = slice(group * filters // groups, (group + 1) * filters // groups)
        ordinary[group * rows : (group + 1) * rows, columns] = kernel[0, 0, :, columns]
    reordered = np.empty_like(ordinary)
    reordered[interleaved_order(groups * rows, step)] = ordinary
    return {**values, "kernel": reordered[None, None]}


def _replacement(layer, findings):
    """A layer that does the work of its neighbours too, not yet built, and its weights by name."""
    values, kind, config = _weights(layer), type(layer), layer.get_config()
    # The interleaving last: it is what lies before a grouped convolution, so no normalization does.
    for finding in sorted(findings, key=lambda finding: isinstance(finding.layer, InterleaveChannels)):
        if isinstance(finding.layer, InterleaveChannels):
            values, kind = _reordered(layer, values, finding.layer.step), keras.layers.Conv2D
            config = {**config, "kernel_size": 1, "groups": 1}
        else:
            values = (_after if finding.place == "after" else _before)(layer, values, *_affine(finding.layer))
    return kind.from_config({**config, "use_bias": "bias" in values}), values


def fold(model):
    """Copies a model for inference with batch normalization folded into the convolutions and dense layers beside it.

    A normalization right after such a layer scales its kernel and gives it a bias. One right before a layer that does
    not pad its input, such as a pointwise convolution in DenseNet, does the same to the rows of its kernel. Both are
    exact up to rounding. A normalization before a zero-padded convolution stays a layer of its own: folded, it would
    change the borders. So does one whose input or output is read elsewhere, and all that `fold_report` names.

    Folded are `BatchNormalization` of Keras and of this package, over the axis of the channels, into `Dense` and the
    ordinary, grouped, transposed, depthwise and separable convolutions of Keras and of this package, also within
    Sequential and functional models in the model. Subclasses of these are left alone: they may compute anything.

    An interleaving of few channels (at most 64) before a grouped convolution vanishes too: that convolution becomes an
    ordinary one whose kernel has zeros between the groups, in the order of the channels before.

    Args:
        model: a functional or Sequential Keras model. It is not changed.

    Returns:
        A functional `keras.Model` with the same inputs, outputs, layer names and predictions; its folded layers have a
        bias. It is meant for inference: training it again trains without the folded normalizations.

    Raises:
        TypeError: if `model` is not a functional or Sequential Keras model, or has a `call` of its own.
        ValueError: if it is a Sequential model that was not built, or the configuration of a layer makes another layer.
    """
    network = graph.Network(model)
    absorbed = {}
    for finding in _findings(network):
        if finding.call is not None:
            absorbed.setdefault(finding.into, []).append(finding)
    replacements = {layer: _replacement(layer, findings) for layer, findings in absorbed.items()}
    folded = graph.rewrite(
        network,
        layers={layer: new for layer, (new, _) in replacements.items()},
        calls={finding.call: graph.pass_on for findings in absorbed.values() for finding in findings},
    )
    for new, values in replacements.values():
        new.set_weights([values[weight.name] for weight in new.weights])
    if model.compiled:
        folded.compile_from_config(model.get_compile_config())
    return folded


def fold_report(model):
    """What `fold` does to a model, and what it leaves alone and why.

    Args:
        model: a functional or Sequential Keras model, as for `fold`.

    Returns:
        `pandas.DataFrame` with a row for each batch normalization and interleaving of channels, wherever it is, and for
        each layer that the folded model shares with the original because it cannot be copied. Columns:
        - `layer`: str, its name, after the names of the models it is in: "backbone/conv1_bn".
        - `type`: str, its class.
        - `folded`: bool, whether it vanishes.
        - `into`: str, name of the layer that does its work then, or "".
        - `reason`: str, why it stays, or "".

    Raises:
        TypeError, ValueError: as `fold`.
    """
    rows = [
        {
            "layer": finding.path,
            "type": type(finding.layer).__name__,
            "folded": finding.call is not None,
            "into": "" if finding.into is None else finding.into.name,
            "reason": finding.reason,
        }
        for finding in _findings(graph.Network(model))
    ]
    return pd.DataFrame(rows, columns=["layer", "type", "folded", "into", "reason"])
