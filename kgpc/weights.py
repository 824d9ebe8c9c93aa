"""Loading weight files in the HDF5 layout of Keras 2, such as the authors' released checkpoints, into today's models.

This module knows no architecture: layers are matched by name, and layers that were never named by class, shape and
order. `kgpc.keras2_hdf5` reads the files, `kgpc.released` knows the released ones by name.
"""

import re

import keras

from kgpc.keras2_hdf5 import read_keras2_hdf5
from kgpc.layers import GroupedPointwiseConv2D

# Keras 2 numbers layers that were given no name: conv2d, conv2d_1, ...
_AUTOMATIC_NAME = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense)(?:_(\d+))?")
_AUTOMATIC_CLASSES = {
    "conv2d": (keras.layers.Conv2D, GroupedPointwiseConv2D),
    "depthwise_conv2d": (keras.layers.DepthwiseConv2D,),
    "batch_normalization": (keras.layers.BatchNormalization,),
    "dense": (keras.layers.Dense,),
}


def construction_order(model):
    """Operations of a functional model in the order in which its graph was written down: branch after branch.

    `model.layers` is sorted by depth and mixes branches; automatic names count in order of construction.

    Args:
        model: a functional Keras model.

    Returns:
        List of Keras operations, each after the ones it reads, earlier inputs of a merge first.

    Raises:
        TypeError: if the model is not a functional one.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise TypeError(f"`model` must be a functional Keras model. Received: model={model!r}.")
    order, done = [], set()
    stack = [(tensor._keras_history, False) for tensor in reversed(model.outputs)]
    while stack:
        history, parents_done = stack.pop()
        # A layer that is called several times has a node for each call.
        node = history.operation._inbound_nodes[history.node_index]
        if parents_done:
            if history.operation not in order:
                order.append(history.operation)
        elif id(node) not in done:
            done.add(id(node))
            stack.append((history, True))
            stack.extend((tensor._keras_history, False) for tensor in reversed(node.input_tensors))
    return order


def _current_name(stored_name):
    """Keras 3 allows no slash in a name: `expanded_conv/depthwise/BatchNorm` is `expanded_conv_depthwise_bn`."""
    # The papers on light and chroma branches called the classifier so, and only its softmax `predictions`.
    if stored_name == "preprediction":
        return "predictions"
    return stored_name.replace("/BatchNorm", "_bn").replace("/", "_")


def _describe(name, shapes):
    return f"{name} with " + ", ".join(f"{kind} {tuple(shape)}" for kind, shape in sorted(shapes.items()))


def _shapes(layer):
    return {weight.name: tuple(weight.shape) for weight in layer.weights}


def _stored_shapes(stored):
    return {kind: array.shape for kind, array in stored.arrays.items()}


class _StoredLayers:
    """The layers of a file, handed out one after the other: by name, or in order where the name is an automatic one."""

    def __init__(self, stored, model_layers):
        self.left = {layer.name: layer for layer in stored}
        automatic = {layer.name: _AUTOMATIC_NAME.fullmatch(layer.name) for layer in stored}
        automatic = {name: match for name, match in automatic.items() if match}
        # Automatic numbers differ from one Python process to the next, so that they mean something only all together.
        if automatic.keys() <= {layer.name for layer in model_layers}:
            automatic = {}
        self._named = {_current_name(layer.name): layer for layer in stored if layer.name not in automatic}
        self._in_order = {kind: [] for kind in _AUTOMATIC_CLASSES}
        for name, match in sorted(automatic.items(), key=lambda item: int(item[1][2] or 0)):
            self._in_order[match[1]].append(self.left[name])

    def take(self, layer):
        """The stored layer that belongs to a layer of the model, or None."""
        found = self._named.get(layer.name)
        if found is None:
            kinds = (kind for kind, classes in _AUTOMATIC_CLASSES.items() if isinstance(layer, classes))
            queue = self._in_order.get(next(kinds, None))
            found = queue.pop(0) if queue else None
        if found is not None:
            del self.left[found.name]
        return found


def _match(model, stored, include_top):
    """Pairs (layer, stored layer) for all weights, or ValueError that names the first layer that differs."""
    layers = [
        layer
        for layer in construction_order(model)
        if isinstance(layer, keras.layers.Layer) and layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    stored_layers = _StoredLayers(stored, layers)
    pairs = []
    for layer in layers:
        found = stored_layers.take(layer)
        if found is None:
            names = {layer.name for layer in layers}
            unknown = next((name for name in stored_layers.left if _current_name(name) not in names), None)
            hint = "" if unknown is None else f" It has {unknown!r} instead, or further on."
            raise ValueError(
                f"The file does not fit the model: the first layer that differs is {layer.name!r}, which the file does "
                f"not have. Model: {_describe(type(layer).__name__, _shapes(layer))}.{hint}"
            )
        if _stored_shapes(found) != _shapes(layer):
            raise ValueError(
                f"The file does not fit the model: the first layer that differs is {layer.name!r}. "
                f"Model: {_describe(type(layer).__name__, _shapes(layer))}. "
                f"File: {_describe(found.name, _stored_shapes(found))}."
            )
        pairs.append((layer, found))
    left = list(stored_layers.left)
    # Without the top, what the model lacks is the classifier, which is the last thing in the file.
    if left and (include_top or left != [layer.name for layer in stored[len(stored) - len(left) :]]):
        raise ValueError(
            f"The file does not fit the model: the first layer that differs is {left[0]!r} of the file, which "
            f"{model.name!r} does not have."
        )
    return pairs


def load(model, path, include_top=True):
    """Loads a Keras 2 HDF5 weight file, such as the authors' released checkpoints, into a model.

    Layers are matched by name. Layers that the file names automatically (`conv2d_94`, ...) are matched by class and
    order of construction. All shapes are compared before the first weight is assigned, so a file that does not fit
    leaves the model as it was.

    Args:
        model: a functional Keras model, for example one of `kgpc.applications`.
        path: path of the file.
        include_top: bool, False for a model without its top: the layers at the end of the file that the model does not
            have, its classifier, are then left out.

    Returns:
        `model`.

    Raises:
        TypeError: if `model` is not a functional model or `path` not a path.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or does not fit the model; the message names the first layer that differs.
    """
    for layer, stored in _match(model, read_keras2_hdf5(path), include_top):
        for weight in layer.weights:
            weight.assign(stored.arrays[weight.name])
    return model
