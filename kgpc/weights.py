"""Reading weights in the HDF5 layout of Keras 2 into today's models.

Only arrays are read: nothing in such a file is executed or unpickled, and the model configuration stored in it is ignored. This module
knows no architecture: layers are matched by name, and layers that were never named by class, shape and order.
"""

import dataclasses
import pathlib
import re

import h5py
import keras
import numpy as np

from kgpc.layers import GroupedPointwiseConv2D

# Keras 2 numbers layers that were given no name: conv2d, conv2d_1, ...
_AUTOMATIC_NAME = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense)(?:_(\d+))?")
_AUTOMATIC_CLASSES = {
    "conv2d": (keras.layers.Conv2D, GroupedPointwiseConv2D),
    "depthwise_conv2d": (keras.layers.DepthwiseConv2D,),
    "batch_normalization": (keras.layers.BatchNormalization,),
    "dense": (keras.layers.Dense,),
}


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer of a Keras 2 weight file: its name and its arrays by weight name ("kernel", "gamma", ...)."""

    name: str
    arrays: dict


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _weight_kind(weight_name):
    """ "conv1/depthwise_kernel:0" -> "kernel": Keras 3 calls a depthwise kernel just kernel."""
    return weight_name.rsplit("/", 1)[-1].split(":", 1)[0].removeprefix("depthwise_")


def read_keras2_hdf5(path):
    """Reads the layers with weights of a Keras 2 HDF5 file (whole model or weights alone).

    Args:
        path: path of the file.

    Returns:
        List of `StoredLayer` in the order of the file, arrays in float32.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or is not in this layout.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be an existing HDF5 weight file. Received: path={str(path)!r}.")
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            layers = []
            for layer_name in map(_text, root.attrs["layer_names"]):
                group = root[layer_name]
                names = [_text(name) for name in group.attrs["weight_names"]]
                if names:
                    arrays = {_weight_kind(name): np.asarray(group[name], dtype="float32") for name in names}
                    layers.append(StoredLayer(layer_name, arrays))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"`path` must be an undamaged HDF5 weight file in the layout of Keras 2. Received: path={str(path)!r} ({error})."
        ) from error
    return layers


def construction_order(model):
    """Layers of a functional model in the order in which its graph was written down: branch after branch.

    `model.layers` is sorted by depth and mixes branches; automatic names count in order of construction.

    Args:
        model: a functional Keras model.

    Returns:
        List of Keras operations, each after the ones it reads, earlier inputs of a merge first.
    """
    order, done = [], set()
    stack = [(tensor._keras_history.operation, False) for tensor in reversed(model.outputs)]
    while stack:
        operation, parents_done = stack.pop()
        if parents_done:
            order.append(operation)
        elif id(operation) not in done:
            done.add(id(operation))
            stack.append((operation, True))
            for node in reversed(operation._inbound_nodes[:1]):
                stack.extend((tensor._keras_history.operation, False) for tensor in reversed(node.input_tensors))
    return order


def _current_name(stored_name):
    """Keras 3 allows no slash in a layer name and writes `expanded_conv/depthwise/BatchNorm` as `expanded_conv_depthwise_bn`."""
    return stored_name.replace("/BatchNorm", "_bn").replace("/", "_")


def _describe(layer, shapes):
    return f"{layer} with " + ", ".join(f"{kind} {tuple(shape)}" for kind, shape in sorted(shapes.items()))


def _shapes(layer):
    return {weight.name: tuple(weight.shape) for weight in layer.weights}


def _match(model, stored):
    """Pairs (layer, stored layer) for all weights, or ValueError that names the first layer that differs."""
    by_name = {_current_name(layer.name): layer for layer in stored}
    layers = [
        layer
        for layer in construction_order(model)
        if isinstance(layer, keras.layers.Layer) and layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    pairs, unnamed = {}, []
    for layer in layers:
        found = by_name.pop(layer.name, None)
        if found is None:
            unnamed.append(layer)
        else:
            pairs[layer.name] = (layer, found)
    automatic = {}
    for found in by_name.values():
        match = _AUTOMATIC_NAME.fullmatch(found.name)
        if match is None:
            raise ValueError(
                f"The file does not fit the model: it has a layer {found.name!r} that {model.name!r} does not have."
            )
        automatic.setdefault(match[1], []).append((int(match[2] or 0), found))
    queues = {kind: iter([layer for _, layer in sorted(numbered, key=lambda pair: pair[0])]) for kind, numbered in automatic.items()}
    for layer in unnamed:
        kinds = [kind for kind, classes in _AUTOMATIC_CLASSES.items() if type(layer) in classes or isinstance(layer, classes)]
        # DepthwiseConv2D and Conv2D are separate classes in Keras, so a layer has one kind at most.
        found = next(queues.get(kinds[0], iter(())), None) if kinds else None
        if found is None:
            raise ValueError(
                f"The file does not fit the model: it has no layer for {layer.name!r} "
                f"({_describe(type(layer).__name__, _shapes(layer))})."
            )
        pairs[layer.name] = (layer, found)
    left = [found.name for queue in queues.values() for found in queue]
    if left:
        raise ValueError(f"The file does not fit the model: it has a layer {left[0]!r} that {model.name!r} does not have.")
    for layer in layers:
        stored_shapes = {kind: array.shape for kind, array in pairs[layer.name][1].arrays.items()}
        if stored_shapes != _shapes(layer):
            raise ValueError(
                f"The file does not fit the model: the first layer that differs is {layer.name!r}. "
                f"Model: {_describe(type(layer).__name__, _shapes(layer))}. "
                f"File: {_describe(pairs[layer.name][1].name, stored_shapes)}."
            )
    return [pairs[layer.name] for layer in layers]


def load(model, path):
    """Loads a Keras 2 HDF5 weight file, such as the authors' released checkpoints, into a model.

    Layers are matched by name. Layers that the file names automatically (`conv2d_94`, ...) are matched by class and order of
    construction. All shapes are compared before the first weight is assigned, so a file that does not fit leaves the model as it was.

    Args:
        model: a functional Keras model, for example one of `kgpc.applications`.
        path: path of the file.

    Returns:
        `model`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or does not fit the model; the message names the first layer that differs.
    """
    for layer, stored in _match(model, read_keras2_hdf5(path)):
        for weight in layer.weights:
            weight.assign(stored.arrays[weight.name])
    return model
