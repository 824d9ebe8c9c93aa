"""Pairs the weights of a model with the arrays of a file, before anything is read or assigned.

Every function returns pairs for all weights of the model, or raises ValueError that names the first layer that differs.
This module knows no architecture and no file: `kgpc.weights` opens files, `kgpc.hdf5` reads arrays.
"""

import re
import typing

import keras

from kgpc.layers import BatchNormalization, DepthwiseConv2D, GroupedPointwiseConv2D

# Keras 2 numbers layers that were given no name: conv2d, conv2d_1, ... Which class a name stands for is known for these
# types alone: a subclass may be of any kind.
_AUTOMATIC_NAME = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense)(?:_(\d+))?")
_AUTOMATIC_CLASSES = {
    "conv2d": (keras.layers.Conv2D, GroupedPointwiseConv2D),
    "depthwise_conv2d": (keras.layers.DepthwiseConv2D, DepthwiseConv2D),
    "batch_normalization": (keras.layers.BatchNormalization, BatchNormalization),
    "dense": (keras.layers.Dense,),
}


class Pair(typing.NamedTuple):
    """A weight of a model and what is to be assigned to it.

    Attributes:
        layer: str, name of the layer.
        variable: Keras variable.
        array: `kgpc.hdf5.StoredArray` of the same shape.
    """

    layer: str
    variable: object
    array: object


def construction_order(model):
    """Operations of a functional model in the order in which its graph was written down: branch after branch.

    `model.layers` is sorted by depth and mixes branches; automatic names count in order of construction.

    Args:
        model: a functional Keras model.

    Returns:
        List of Keras operations, each after the ones it reads, earlier inputs of a merge first. An operation that is
        called several times appears once, where it is called first.

    Raises:
        TypeError: if the model is not a functional one.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise TypeError(f"`model` must be a functional Keras model. Received: model={model!r}.")
    order, done, listed = [], set(), set()
    stack = [(tensor._keras_history, False) for tensor in reversed(model.outputs)]
    while stack:
        history, parents_done = stack.pop()
        # A layer that is called several times has a node for each call.
        node = history.operation._inbound_nodes[history.node_index]
        if parents_done:
            if id(history.operation) not in listed:
                listed.add(id(history.operation))
                order.append(history.operation)
        elif id(node) not in done:
            done.add(id(node))
            stack.append((history, True))
            stack.extend((tensor._keras_history, False) for tensor in reversed(node.input_tensors))
    return order


def layers_with_weights(model):
    """The layers of a functional model that have weights, in order of construction.

    Raises:
        TypeError: if the model is not a functional one.
        ValueError: if a layer consists of other layers, so that names do not tell its weights apart.
    """
    layers = [layer for layer in construction_order(model) if isinstance(layer, keras.layers.Layer) and layer.weights]
    for layer in layers:
        names = [weight.name for weight in layer.weights]
        if isinstance(layer, keras.Model) or len(set(names)) < len(names):
            raise ValueError(
                f"The layer {layer.name!r} ({type(layer).__name__}) of {model.name!r} consists of other layers, which "
                "such a file does not tell apart. Load the weights into that layer as a model of its own."
            )
    return layers


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


def _differs(name, difference):
    return ValueError(f"The file does not fit the model: the first layer that differs is {name!r}{difference}")


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
            kinds = (kind for kind, classes in _AUTOMATIC_CLASSES.items() if type(layer) in classes)
            queue = self._in_order.get(next(kinds, None))
            found = queue.pop(0) if queue else None
        # Two names of the file may become one.
        return self.left.pop(found.name, None) if found is not None else None


def by_name(model, stored, include_top=True):
    """Pairs a model with layers of which a file has the names: Keras 2 HDF5 files.

    Layers are matched by name. Layers that the file names automatically (`conv2d_94`, ...) are matched by class and
    order of construction.

    Args:
        model: a functional Keras model.
        stored: list of `kgpc.keras2_hdf5.StoredLayer`, in the order of the file.
        include_top: bool, False for a model without its top: the layers at the end of the file that the model does not
            have, its classifier, are then left out.

    Returns:
        List of `Pair`, one for each weight of the model but those of `keras.layers.Normalization`.

    Raises:
        ValueError: if they do not fit.
    """
    layers = [layer for layer in layers_with_weights(model) if type(layer) is not keras.layers.Normalization]
    stored_layers = _StoredLayers(stored, layers)
    pairs = []
    for layer in layers:
        found = stored_layers.take(layer)
        if found is None:
            names = {layer.name for layer in layers}
            unknown = next((name for name in stored_layers.left if _current_name(name) not in names), None)
            hint = "" if unknown is None else f" It has {unknown!r} instead, or further on."
            model_has = _describe(type(layer).__name__, _shapes(layer))
            raise _differs(layer.name, f", which the file does not have. Model: {model_has}.{hint}")
        if _stored_shapes(found) != _shapes(layer):
            raise _differs(
                layer.name,
                f". Model: {_describe(type(layer).__name__, _shapes(layer))}. "
                f"File: {_describe(found.name, _stored_shapes(found))}.",
            )
        pairs.extend(Pair(layer.name, weight, found.arrays[weight.name]) for weight in layer.weights)
    left = list(stored_layers.left)
    # Without the top, what the model lacks is the classifier, which is the last thing in the file.
    if left and (include_top or left != [layer.name for layer in stored[len(stored) - len(left) :]]):
        raise _differs(left[0], f" of the file, which {model.name!r} does not have.")
    return pairs


def _snake_case(name):
    """The name of a class as Keras 3 writes it into files: GroupedPointwiseConv2D -> grouped_pointwise_conv2d."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


class _Places:
    """Where Keras 3 stores the weights of a model: each layer at its class and its number among those of this class.

    Attributes:
        layers: dict from the path in the file to the layer.
        counts: dict from (path of a model, class in snake case) to the number of such layers.
    """

    def __init__(self, model):
        self.layers, self.counts = {}, {}
        self._seen = set()
        self._visit(model, "layers")

    def _visit(self, model, prefix):
        for layer in model.layers:
            kind = _snake_case(type(layer).__name__)
            number = self.counts.get((prefix, kind), 0)
            self.counts[prefix, kind] = number + 1
            if id(layer) in self._seen:
                continue
            self._seen.add(id(layer))
            path = f"{prefix}/{kind}_{number}" if number else f"{prefix}/{kind}"
            if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
                self._visit(layer, f"{path}/layers")
            elif layer.weights:
                self.layers[path] = layer


def _own_weights(layer):
    """The weights of a layer in the order in which it stores them."""
    stored = {}
    layer.save_own_variables(stored)
    own = [stored.get(str(index)) for index in range(len(stored))]
    if sorted(map(id, own)) != sorted(map(id, layer.weights)):
        raise ValueError(
            f"The layer {layer.name!r} ({type(layer).__name__}) consists of other layers or stores something else than "
            "its weights, so that they cannot be compared with a file. Load them with `load_weights` of the model."
        )
    return own


def by_place(model, stored, include_top=True):
    """Pairs a model with the places of a weight file of Keras 3.

    The file knows a layer by its class and its number among the layers of this class, in the order of `model.layers`.
    Since Keras 3.6 it has the names of the layers too: they must be equal, unless the file has an automatic name.

    Args:
        model: a functional Keras model; models inside it are entered.
        stored: dict of `kgpc.keras3_hdf5.StoredPlace` by their paths.
        include_top: bool, False for a model without its top: layers of the file that come after all those of their
            class that the model has are then left out.

    Returns:
        List of `Pair`, one for each weight of the model. States of random number generators are left as they are.

    Raises:
        TypeError: if the model is not a functional one.
        ValueError: if they do not fit.
    """
    construction_order(model)
    places = _Places(model)
    left, pairs = dict(stored), []
    for path, layer in places.layers.items():
        weights = _own_weights(layer)
        model_has = _describe(type(layer).__name__, _shapes(layer))
        found = left.pop(path, None)
        if found is None:
            raise _differs(layer.name, f", which the file does not have. Model: {model_has}.")
        automatic = rf"{re.escape(_snake_case(type(layer).__name__))}(_\d+)?"
        if found.name not in (None, layer.name) and not re.fullmatch(automatic, found.name):
            raise _differs(layer.name, f". The file has {found.name!r} in its place.")
        arrays = [found.arrays.get(str(index)) for index in range(len(found.arrays))]
        shapes = [array and array.shape for array in arrays]
        if shapes != [tuple(weight.shape) for weight in weights]:
            in_order = f"{type(layer).__name__} with " + ", ".join(f"{w.name} {tuple(w.shape)}" for w in weights)
            file_has = ", ".join(f"{key} {array.shape}" for key, array in sorted(found.arrays.items()))
            raise _differs(layer.name, f". Model, in order: {in_order}. File, in order: {file_has}.")
        pairs.extend(Pair(layer.name, *pair) for pair in zip(weights, arrays, strict=True))
    names = {layer.name for layer in places.layers.values()}
    for path, surplus in left.items():
        prefix, _, place = path.rpartition("/")
        kind, _, number = place.rpartition("_")
        kind, number = (kind, int(number)) if number.isdecimal() and len(number) < 9 else (place, 0)
        after = surplus.name not in names and number >= places.counts.get((prefix, kind), 0)
        if include_top or prefix != "layers" or not after:
            raise _differs(surplus.name or path, f" of the file, which {model.name!r} does not have.")
    return pairs


def full_names(model):
    """The weights of a functional model by the names "layer/weight", in order of construction.

    Raises:
        TypeError: if the model is not a functional one.
        ValueError: if a layer consists of other layers.
    """
    return {f"{layer.name}/{weight.name}": weight for layer in layers_with_weights(model) for weight in layer.weights}


def by_full_name(model, stored, include_top=True):
    """Pairs a model with arrays of the names that `full_names` gives, in the same order.

    Args:
        model: a functional Keras model.
        stored: dict of `kgpc.hdf5.StoredArray` by name, in the order of the file.
        include_top: bool, False for a model without its top: what comes after the last array that the model has is then
            left out.

    Returns:
        List of `Pair`, one for each weight of the model.

    Raises:
        ValueError: if they do not fit.
    """
    weights = full_names(model)
    for (name, weight), stored_name in zip(weights.items(), stored, strict=False):
        if name != stored_name:
            raise _differs(name, f". The file has {stored_name!r} in its place.")
        if tuple(weight.shape) != stored[name].shape:
            raise _differs(name, f". Model: {tuple(weight.shape)}. File: {stored[name].shape}.")
    if len(stored) < len(weights):
        raise _differs(list(weights)[len(stored)], ", which the file does not have.")
    if include_top and len(stored) > len(weights):
        raise _differs(list(stored)[len(weights)], f" of the file, which {model.name!r} does not have.")
    return [Pair(name.rpartition("/")[0], weight, stored[name]) for name, weight in weights.items()]
