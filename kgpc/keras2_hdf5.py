"""The HDF5 layout of Keras 2: which layers and weights a file names.

The model configuration that such a file may hold is ignored. `kgpc.hdf5` reads the arrays.
"""

import dataclasses
import itertools

import h5py

from kgpc import hdf5


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer of a weight file.

    Attributes:
        name: str, name of the layer as the file has it.
        arrays: dict of `kgpc.hdf5.StoredArray` by kind of weight: "kernel", "bias", "gamma", ...
    """

    name: str
    arrays: dict


def is_keras2(file):
    """Whether an open HDF5 file says that it is in this layout."""
    has_names = any(name in file.attrs for name in ("layer_names", "layer_names0"))
    return has_names or file.get("model_weights", getlink=True) is not None


def stored_layers(file, max_names=hdf5.MAX_NAMES):
    """The layers that have weights in a Keras 2 HDF5 file, a whole model or weights alone.

    Args:
        file: a `h5py.File`, see `kgpc.hdf5.opened`.
        max_names: int, how many layers and weights may be looked at. Links make more of them than the file has bytes
            for.

    Returns:
        List of `StoredLayer` in the order of the file.

    Raises:
        ValueError: if the file is not in this layout, holds something else than plain arrays of floating-point numbers,
            or claims more than `kgpc.hdf5.MAX_NUMBERS` numbers or `max_names` names.
    """
    root = file if file.get("model_weights", getlink=True) is None else hdf5.member(file, "model_weights")
    names = _names(root, "layer_names")
    if len(set(names)) < len(names):
        raise ValueError("a layer name occurs twice")
    layers, numbers_left, names_left = [], hdf5.MAX_NUMBERS, max_names - len(names)
    for layer_name in names:
        group = hdf5.member(root, layer_name)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{layer_name!r} is not a group of arrays")
        arrays = {}
        weight_names = _names(group, "weight_names")
        names_left -= len(weight_names)
        if names_left < 0:
            raise ValueError(f"it has more than {max_names} names")
        for weight_name in weight_names:
            kind = _weight_kind(weight_name)
            if kind in arrays:
                raise ValueError(f"{layer_name!r} has two weights called {kind!r}")
            dataset = hdf5.member(group, weight_name)
            arrays[kind] = hdf5.stored_array(dataset, weight_name)
            numbers_left -= dataset.size
            if numbers_left < 0:
                raise ValueError(f"with {weight_name!r} there would be more than {hdf5.MAX_NUMBERS} numbers")
        if arrays:
            layers.append(StoredLayer(layer_name, arrays))
    return layers


def _names(group, attribute):
    """The names in an attribute. Keras spreads a long list over several: `<attribute>0`, `<attribute>1`, ..."""
    if attribute in group.attrs:
        parts = [attribute]
    else:
        numbered = (f"{attribute}{index}" for index in itertools.count())
        parts = list(itertools.takewhile(lambda name: name in group.attrs, numbered))
    if not parts:
        raise ValueError(f"{group.name!r} has no attribute {attribute!r}")
    names = []
    for part in parts:
        names.extend(hdf5.texts(group, part))
        if len(names) > hdf5.MAX_NAMES:
            raise ValueError(f"attribute {part!r} of {group.name!r} has more than {hdf5.MAX_NAMES} names")
    return names


def _weight_kind(weight_name):
    """Kind of weight in a full name: "conv1/depthwise_kernel:0" -> "kernel", as Keras 3 calls a depthwise kernel."""
    return weight_name.rsplit("/", 1)[-1].split(":", 1)[0].removeprefix("depthwise_")
