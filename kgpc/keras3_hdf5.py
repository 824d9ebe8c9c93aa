"""The HDF5 layout of Keras 3: what a `.weights.h5` file, and such a file within a `.keras` archive, has at which place.

The configuration in an archive is not looked at. `kgpc.hdf5` reads the arrays.
"""

import typing
import zipfile

import h5py

from kgpc import hdf5

MEMBER = "model.weights.h5"
_MAX_DEPTH = 50


class StoredPlace(typing.NamedTuple):
    """What a file has at the place of a layer.

    Attributes:
        name: str, name of the layer, or None where the file does not say.
        arrays: dict of `kgpc.hdf5.StoredArray` by their numbers as str: "0", "1", ...
    """

    name: str | None
    arrays: dict


def stored_places(file, max_names=hdf5.MAX_NAMES):
    """Everything with numbers that belongs to layers. What belongs to an optimizer is not looked at.

    Args:
        file: a `h5py.File`, see `kgpc.hdf5.opened`.
        max_names: int, how many groups and arrays may be looked at. Links make more of them than there are bytes for.

    Returns:
        Dict of `StoredPlace` by path: "layers/conv2d_1" is the second convolution of the model.

    Raises:
        ValueError: if the file is not in this layout, holds something else than plain arrays of numbers, or claims more
            than `kgpc.hdf5.MAX_NUMBERS` numbers or `max_names` names.
    """
    if file.get("layers", getlink=True) is None:
        raise ValueError("it has neither `layer_names`, as weight files of Keras 2, nor `layers`, as those of Keras 3")
    places, names_left, numbers_left = {}, max_names, hdf5.MAX_NUMBERS
    stack = [(key, file, key) for key in ("layers", "vars") if file.get(key, getlink=True) is not None]
    while stack:
        path, parent, key = stack.pop()
        group = hdf5.member(parent, key)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{path!r} is not a group")
        names_left -= len(group)
        # Hard links can make a group its own member.
        if names_left < 0 or path.count("/") > _MAX_DEPTH:
            raise ValueError(f"it has more than {max_names} names, or groups within each other without end")
        if key != "vars":
            stack.extend((f"{path}/{inner}", group, inner) for inner in group)
            continue
        arrays = {}
        for number in group:
            dataset = hdf5.member(group, number)
            arrays[number] = hdf5.stored_array(dataset, f"{path}/{number}", kinds="fiu")
            numbers_left -= dataset.size
            if numbers_left < 0:
                raise ValueError(f"with {path!r} there would be more than {hdf5.MAX_NUMBERS} numbers")
        if arrays:
            name = None
            if "name" in group.attrs:
                name = hdf5.texts(group, "name", scalar=True, max_bytes=hdf5.MAX_NAME)
            places[path.removesuffix("vars").removesuffix("/")] = StoredPlace(name, arrays)
    return places


def weights_in_archive(path, max_bytes):
    """The weight file within a `.keras` archive.

    Args:
        path: `pathlib.Path` of the archive.
        max_bytes: int, the most that a compressed one may unpack to.

    Returns:
        bytes of the HDF5 file.

    Raises:
        ValueError: if there is none, or it is larger than it may be.
        zipfile.BadZipFile, OSError, NotImplementedError: if the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        found = [info for info in archive.infolist() if info.filename == MEMBER]
        if len(found) != 1:
            raise ValueError(f"the archive has {len(found)} files called {MEMBER!r}, not one as a `.keras` file")
        (info,) = found
        if info.compress_type == zipfile.ZIP_STORED:
            max_bytes = path.stat().st_size
        elif info.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError(f"{MEMBER!r} in the archive is compressed in a way that Keras does not use")
        with archive.open(info) as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ValueError(f"{MEMBER!r} unpacks to more than {max_bytes} bytes, too much for the model")
        return content
