"""The files of trained weights that come along: arrays in float16 in an npz archive, read and written.

To store a trained network: `round_to_stored(model)`, measure its accuracy, then `write` file and card. What is read is
compared with the checksum on the card first, and each array with its own header.
"""

import hashlib
import io
import json
import math
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from kgpc import hdf5, included, matching, released

# A file comes with every installation.
MAX_BYTES = 1_500_000
_SMALLEST_NORMAL = float(np.finfo("float16").smallest_normal)


def stored_arrays(card):
    """The arrays of a file that comes along, after its checksum was compared.

    Args:
        card: a `kgpc.included.Card`.

    Returns:
        Dict of `kgpc.hdf5.StoredArray` by the names "layer/weight", in the order of the file.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not the one that the card describes, or no file of arrays.
    """
    if not card.path.is_file():
        raise FileNotFoundError(f"The weights of the card {card.name!r} are missing: there is no {str(card.path)!r}.")
    with open(card.path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file has more than {MAX_BYTES} bytes")
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != card.sha256:
        raise ValueError(f"its SHA-256 is {checksum}, the card says {card.sha256}")
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in arrays or name == info.filename:
                raise ValueError(f"{info.filename!r} is there twice, or no array")
            arrays[name] = _stored_array(content, info, archive)
    return arrays


def _stored_array(content, info, archive):
    """Describes an array of an npz file by its header."""
    with archive.open(info) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{info.filename!r} is no array of the first version of NumPy's format")
        shape, column_order, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
    if column_order or dtype not in (np.dtype("<f2"), np.dtype("<f4")):
        raise ValueError(f"{info.filename!r} is no array in float16 or float32")
    size = math.prod(shape) * dtype.itemsize
    if start + size != info.file_size:
        raise ValueError(f"{info.filename!r} of shape {shape} does not fit in {info.file_size} bytes")

    def read():
        with zipfile.ZipFile(io.BytesIO(content)) as again, again.open(info.filename) as file:
            data = file.read(start + size)[start:]
        return np.frombuffer(data, dtype).reshape(shape)

    return hdf5.StoredArray(shape, dtype.name, read)


def _as_stored(name, values):
    """An array as it is stored: in float16 where that can hold it, else in float32."""
    half = values.astype("float16")
    if not np.isfinite(half).all():
        return values
    # A variance is divided by: below the normal numbers float16 loses digits, then all of them.
    if name.endswith("variance") and values.size and values.min() < _SMALLEST_NORMAL:
        return values
    return half


def _arrays(model):
    """The arrays of a model as they are stored, by the names "layer/weight"."""
    arrays = {}
    for name, weight in matching.full_names(model).items():
        values = weight.numpy().astype("float32")
        if not np.isfinite(values).all() or (name.endswith("variance") and (values < 0).any()):
            raise ValueError(f"`model` must hold finite weights, no negative variances. Received: {name!r} has others.")
        with np.errstate(over="ignore"):
            arrays[name] = _as_stored(name, values)
    return arrays


def round_to_stored(model):
    """Rounds the weights of a model to what a file will hold, so that its accuracy can be measured before `write`.

    Args:
        model: a functional Keras model.

    Returns:
        `model`.

    Raises:
        TypeError: if the model is not a functional one.
        ValueError: if a layer consists of other layers, or weights are not finite.
    """
    arrays = _arrays(model)
    for name, weight in matching.full_names(model).items():
        weight.assign(arrays[name].astype("float32"))
    return model


def write(model, folder, **fields):
    """Writes the weights of a model and their card.

    Weights are stored in float16. Arrays with numbers beyond it (65504), and variances below its normal numbers
    (6.1e-5), are stored in float32.

    Args:
        model: a functional Keras model, rounded by `round_to_stored`, so that the accuracy that was measured with it is
            that of the file.
        folder: path of an existing folder, for example `data/weights`.
        **fields: the fields of `kgpc.included.Card` but `sha256` and `path`.

    Returns:
        The `kgpc.included.Card`.

    Raises:
        TypeError: if the model is not a functional one, `folder` not a path, or a field is missing or unknown.
        ValueError: if a value is out of its range, the name is that of released weights, the weights are not rounded or
            not finite, or the file would have more than `MAX_BYTES` bytes.
        FileNotFoundError: if there is no such folder.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"`folder` must be a path. Received: folder={folder!r} ({type(folder).__name__}).")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"`folder` must be an existing folder. Received: folder={str(folder)!r}.")
    expected = included.FIELDS.keys() - {"sha256"}
    if fields.keys() != expected:
        raise TypeError(
            f"Missing fields: {sorted(expected - fields.keys())}, unknown fields: {sorted(fields.keys() - expected)}."
        )
    fields = {**fields, "scheme": str(fields["scheme"])}
    fields = json.loads(json.dumps(fields, default=_plain), parse_constant=included.refuse_constant)
    # The values are checked before the arrays are packed.
    included.checked({**fields, "sha256": "0" * 64}, pathlib.Path())
    if released.is_name(fields["name"]):
        raise ValueError(f"`name` must not be that of released weights. Received: name={fields['name']!r}.")
    arrays = _arrays(model)
    for name, weight in matching.full_names(model).items():
        if not np.array_equal(arrays[name].astype("float32"), weight.numpy().astype("float32")):
            raise ValueError(
                f"`model` must hold the numbers that are stored, so that the accuracy is that of the file; {name!r} "
                "holds others. Call `round_to_stored(model)` and measure the accuracy again."
            )
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    content = packed.getvalue()
    if len(content) > MAX_BYTES:
        raise ValueError(f"The file would have {len(content)} bytes, more than {MAX_BYTES}. Nothing was written.")
    card = included.checked({**fields, "sha256": hashlib.sha256(content).hexdigest()}, folder / f"{fields['name']}.npz")
    values = {name: getattr(card, name) for name in included.FIELDS}
    _replace(card.path, content)
    _replace(card.path.with_suffix(".json"), (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))
    return card


def _plain(value):
    """NumPy's numbers and arrays as JSON has them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"The fields of a card must be texts, numbers, lists and dicts. Received: {value!r}.")


def _replace(path, content):
    """Writes a file as a whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise
