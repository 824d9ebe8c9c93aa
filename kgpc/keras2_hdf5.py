"""Reads the arrays of a weight file in the HDF5 layout of Keras 2, without trusting the file.

Only arrays of floating-point numbers are read. The model configuration that such a file may hold is ignored, nothing in
it is executed or unpickled, links that lead elsewhere are not followed, and a size is believed only if the bytes for it
can be there. What this cannot guard against is a file made to confuse the HDF5 library itself, which has to parse it.
"""

import dataclasses
import itertools
import math
import mmap
import pathlib
import zipfile

import h5py
import numpy as np

# 2 GiB in float32, several times the largest model of this package.
MAX_NUMBERS = 2**29
MAX_NAMES = 100_000
# Deflate, the only compression that is read, cannot pack more than this into a byte.
_MAX_COMPRESSION = 1032
_HEAP_SIGNATURE = b"GCOL\1\0\0\0"
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer of a weight file.

    Attributes:
        name: str, name of the layer as the file has it.
        arrays: dict of `numpy.ndarray` in float32 by kind of weight: "kernel", "bias", "gamma", ...
    """

    name: str
    arrays: dict


def read_keras2_hdf5(path):
    """Reads the layers that have weights from a Keras 2 HDF5 file, a whole model or weights alone.

    Args:
        path: path of the file.

    Returns:
        List of `StoredLayer` in the order of the file.

    Raises:
        TypeError: if `path` is not a path.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, is not in this layout, holds something else than plain arrays of
            floating-point numbers, or claims more than `MAX_NUMBERS` numbers.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be an existing HDF5 weight file. Received: path={str(path)!r}.")
    try:
        _check_format(path)
        _check_name_heaps(path)
        with h5py.File(path, "r") as file:
            whole_model = file.get("model_weights", getlink=True) is not None
            return _read_layers(_member(file, "model_weights") if whole_model else file, path.stat().st_size)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            "`path` must be an undamaged HDF5 weight file in the layout of Keras 2. "
            f"Received: path={str(path)!r} ({error})."
        ) from error


def _check_format(path):
    """Says what a file is that is not HDF5; HDF5's own message speaks of signatures."""
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    if h5py.is_hdf5(path):
        return
    if zipfile.is_zipfile(path):
        raise ValueError("it is a zip archive, as `.keras` files are; if it is one, its name must end in .keras")
    raise ValueError("it is not an HDF5 file")


def _check_name_heaps(path):
    """Refuses a file where the heaps that hold the names are damaged: over a record of length 0, HDF5 loops forever.

    A heap is a header with its length in bytes, then records of 16 bytes and their content, padded to a multiple of 8.
    Record number 0 is the free space at the end; its length includes its own 16 bytes.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_HEAP_SIGNATURE)
        while start >= 0:
            end = start + int.from_bytes(content[start + 8 : start + 16], "little")
            position = start + 16
            while position + 16 <= end:
                number = int.from_bytes(content[position : position + 2], "little")
                length = int.from_bytes(content[position + 8 : position + 16], "little")
                position += 16 + -(-length // 8) * 8 if number else length
                if position > end or (length < 16 and not number):
                    raise ValueError("the names in it are damaged")
            start = content.find(_HEAP_SIGNATURE, start + 1)


def _read_layers(root, file_size):
    names = _names(root, "layer_names")
    if len(set(names)) < len(names):
        raise ValueError("a layer name occurs twice")
    layers, numbers_left = [], MAX_NUMBERS
    for layer_name in names:
        group = _member(root, layer_name)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{layer_name!r} is not a group of arrays")
        arrays = {}
        for weight_name in _names(group, "weight_names"):
            kind = _weight_kind(weight_name)
            if kind in arrays:
                raise ValueError(f"{layer_name!r} has two weights called {kind!r}")
            dataset = _member(group, weight_name)
            numbers_left -= _check_dataset(dataset, weight_name, file_size, numbers_left)
            arrays[kind] = np.asarray(dataset, dtype="float32")
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
        header = group.attrs.get_id(part)
        if header.shape == (0,):
            # An empty list is stored as numbers.
            continue
        if header.shape is None or len(header.shape) != 1 or h5py.check_string_dtype(header.dtype) is None:
            raise ValueError(f"attribute {part!r} of {group.name!r} is not a list of names")
        if len(names) + header.shape[0] > MAX_NAMES:
            raise ValueError(f"attribute {part!r} of {group.name!r} has more than {MAX_NAMES} names")
        names.extend(_text(name) for name in group.attrs[part])
    return names


def _text(name):
    """A name as str; h5py gives bytes or, where they are not UTF-8, a str with placeholders."""
    try:
        return (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the name {name!r} is not UTF-8") from error


def _weight_kind(weight_name):
    """Kind of weight in a full name: "conv1/depthwise_kernel:0" -> "kernel", as Keras 3 calls a depthwise kernel."""
    return weight_name.rsplit("/", 1)[-1].split(":", 1)[0].removeprefix("depthwise_")


def _member(group, name):
    """The object of this name, which must be inside the file and inside the group.

    Step by step, because HDF5 would follow a soft or external link on the way without saying so.
    """
    member = group
    for part in name.split("/"):
        link = member.get(part, getlink=True) if part and isinstance(member, h5py.Group) else None
        if link is None:
            raise ValueError(f"{group.name!r} has no {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name!r} in {group.name!r} is a link; links are not followed")
        member = member[part]
    return member


def _check_dataset(dataset, name, file_size, numbers_left):
    """Number of elements of a dataset that is safe to read: plain numbers, inside the file, and as many as it says."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name!r} is not an array")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
        raise ValueError(f"{name!r} has elements of type {dataset.dtype}, not floating-point numbers of up to 64 bits")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} has its numbers in other files")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise ValueError(f"{name!r} is compressed by other filters than gzip: numbers {sorted(filters - _FILTERS)}")
    # A chunk is read as a whole, even where the array is smaller.
    numbers = max(dataset.size, math.prod(dataset.chunks or ()))
    if numbers > numbers_left:
        raise ValueError(f"with {name!r} of shape {dataset.shape} there would be more than {MAX_NUMBERS} numbers")
    stored = min(dataset.id.get_storage_size(), file_size)
    if dataset.size * dataset.dtype.itemsize > stored * (_MAX_COMPRESSION if filters else 1):
        raise ValueError(f"{name!r} of shape {dataset.shape} does not fit in the {stored} bytes that are stored for it")
    return numbers
