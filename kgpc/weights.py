"""Loading trained weights into a model: one door for all kinds of files, and one table of all weights with a name.

A file is compared with the model completely (layers, names, shapes, types, values) before the first weight is assigned,
so that one that does not fit leaves the model as it was. This module knows no architecture: `kgpc.matching` finds out
which array belongs to which weight, `kgpc.released` and `kgpc.included` know weights by name.
"""

import contextlib
import os
import pathlib
import zipfile
import zlib

import h5py
import numpy as np
import pandas as pd

from kgpc import hdf5, included, keras2_hdf5, keras3_hdf5, matching, released, weight_archives
from kgpc.matching import Pair, construction_order

__all__ = ["Pair", "assign", "check_is_hdf5", "construction_order", "existing_file", "load", "load_included", "table"]

# What cannot be negative: `BatchNormalization` and `Normalization` take its root.
_VARIANCES = ("moving_variance", "variance")
# What readers raise where a file is damaged.
DAMAGE = (*hdf5.DAMAGE, zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error)


def load(model, path, include_top=True, *, argument="path"):
    """Loads a weight file into a model: all weights or none.

    What the file is, its content says: a `.weights.h5` or `.keras` file of Keras 3, whose layers are matched by class,
    number and name, or a Keras 2 HDF5 file, such as the authors' released checkpoints, whose layers are matched by
    name, or by class and order of construction where it names them automatically (`conv2d_94`, ...). The configuration
    in a `.keras` file is not looked at, and nothing in any file is executed. Optimizers and random states are left out.

    Args:
        model: a functional Keras model, for example one of `kgpc.applications`.
        path: path of the file.
        include_top: bool, False for a model without its top: the layers at the end of the file that the model does not
            have, its classifier, are then left out.
        argument: str, what messages call `path`.

    Returns:
        `model`.

    Raises:
        TypeError: if `model` is not a functional model, `path` not a path or `include_top` not a bool.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or foreign, or does not fit the model; the message names the file and the
            first layer that differs. Also if values are not finite as the model stores them, or variances are negative.
    """
    construction_order(model)
    if not isinstance(include_top, (bool, np.bool_)):
        raise TypeError(f"`include_top` must be True or False. Received: include_top={include_top!r}.")
    path = existing_file(path, argument)
    damage = _named_damage(path, argument)
    received = f"{argument}={os.fspath(path)!r}"
    with contextlib.ExitStack() as stack:
        with damage():
            archived = zipfile.is_zipfile(path) and not h5py.is_hdf5(path)
            if not archived:
                check_is_hdf5(path)
            source = keras3_hdf5.weights_in_archive(path, _archive_limit(model)) if archived else path
            file = stack.enter_context(hdf5.opened(source))
            keras2 = not archived and keras2_hdf5.is_keras2(file)
            list_arrays = keras2_hdf5.stored_layers if keras2 else keras3_hdf5.stored_places
            stored = list_arrays(file, 2000 + 10 * len(model.weights))
        match = matching.by_name if keras2 else matching.by_place
        with _fitting(received):
            pairs = match(model, stored, include_top)
        with damage():
            arrays = [pair.array.read() for pair in pairs]
    with _fitting(received):
        _assign_checked(pairs, arrays)
    return model


def load_included(model, card, include_top=True):
    """Loads weights that come along into the model that their card describes: all weights or none.

    Args:
        model: a functional Keras model.
        card: a `kgpc.included.Card`.
        include_top: bool, as in `load`.

    Returns:
        `model`.

    Raises:
        FileNotFoundError: if the file of the card is missing.
        ValueError: if its content is not that of the card's checksum, or does not fit the model.
    """
    damage = _named_damage(card.path, "weights")
    with damage():
        stored = weight_archives.stored_arrays(card)
    received = f"weights={card.name!r}, {card.path.name}"
    with _fitting(received):
        pairs = matching.by_full_name(model, stored, include_top)
    with damage():
        arrays = [pair.array.read() for pair in pairs]
    with _fitting(received):
        _assign_checked(pairs, arrays)
    return model


def assign(pairs):
    """Assigns arrays of an open file to weights of the same shapes: all or none.

    Args:
        pairs: list of `Pair`.

    Raises:
        ValueError: if an array cannot be read, its values are not finite in the type of the weight, or variances are
            negative. So do the errors in `DAMAGE`.
    """
    _assign_checked(pairs, [pair.array.read() for pair in pairs])


def existing_file(path, argument="path"):
    """`path` as a `pathlib.Path` where it is an ordinary file; anything else could keep a reader waiting.

    Raises:
        TypeError: if it is not a path.
        FileNotFoundError: if there is no such file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{argument}` must be a path. Received: {argument}={path!r} ({type(path).__name__}).")
    path = pathlib.Path(path)
    try:
        if path.is_file():
            return path
        kind = "a folder" if path.is_dir() else "no ordinary file" if path.exists() else "not there"
    except (OSError, ValueError):  # A name that is too long, or has a zero byte.
        kind = "no name that a file can have"
    raise FileNotFoundError(
        f"`{argument}` must be the path of a weight file. Received: {argument}={os.fspath(path)!r}, which is {kind}."
    )


def check_is_hdf5(path):
    """Says what a file is that is not HDF5; HDF5's own message speaks of signatures.

    Raises:
        ValueError: if the file at `path`, a `pathlib.Path`, is not HDF5.
    """
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    if h5py.is_hdf5(path):
        return
    if zipfile.is_zipfile(path):
        raise ValueError("it is a zip archive, as `.keras` files are")
    with open(path, "rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise ValueError("it is a pointer of Git LFS, in place of the file itself")
    if start.startswith((b"<!doctype", b"<html")):
        raise ValueError("it is a web page, in place of the file itself")
    raise ValueError("it is neither an HDF5 file nor a `.keras` archive")


def _archive_limit(model):
    """Bytes that a compressed weight file of a model may have: in float64, with several numbers of an optimizer."""
    return 64 * sum(int(np.prod(weight.shape)) for weight in model.weights) + 2**24


def _named_damage(path, argument):
    """Context manager that says which file is damaged or foreign, and what to do."""

    @contextlib.contextmanager
    def named():
        try:
            yield
        except FileNotFoundError:
            raise
        except DAMAGE as error:
            raise ValueError(
                f"`{argument}` must be an undamaged weight file: a `.keras` or `.weights.h5` file of Keras 3, or an "
                f"HDF5 file in the layout of Keras 2. Received: {argument}={str(path)!r} ({error}). "
                "Nothing was loaded. Copy, download or save the file again."
            ) from error

    return named


@contextlib.contextmanager
def _fitting(received):
    """Context manager that adds the file's name, and what to do, to what does not fit."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{error} Received: {received}. Nothing was loaded. Build the model with the arguments that the weights "
            "were saved with, or take another file."
        ) from None


def _assign_checked(pairs, arrays):
    """Compares the values of all arrays with what a model can hold, and only then assigns them."""
    values = [_checked(pair, array) for pair, array in zip(pairs, arrays, strict=True)]
    for pair, value in zip(pairs, values, strict=True):
        pair.variable.assign(value)


def _checked(pair, array):
    """The numbers of an array in the type of its weight, or ValueError where that cannot hold them."""
    name = f"{pair.variable.name!r} of the layer {pair.layer!r}"
    dtype = np.dtype(pair.variable.dtype)
    if (pair.array.dtype[0] in "iu") != (dtype.kind in "iu"):
        raise ValueError(f"The file does not fit the model: {name} is {dtype} in the model, {pair.array.dtype} there.")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
            raise ValueError(f"The file does not fit the model: {name} holds numbers that do not fit in {dtype}.")
        return array.astype(dtype)
    with np.errstate(all="ignore"):
        value = array.astype(dtype)
        finite, kept, negative = np.isfinite(array).all(), np.isfinite(value).all(), (value < 0).any()
    if not finite:
        count = int(array.size - np.isfinite(array).sum())
        raise ValueError(
            f"The weights are damaged: {name} holds NaN or infinity in {count} of {array.size} places, as after a "
            "training that diverged."
        )
    if not kept:
        raise ValueError(
            f"The file does not fit the model: {name} holds up to {abs(array).max():.3g}, too much for {dtype}."
        )
    if negative and pair.variable.name in _VARIANCES:
        raise ValueError(f"The weights are damaged: {name} holds negative variances.")
    return value


def table():
    """All weights that `weights=` knows by name: those that come along, then the authors' released checkpoints.

    Returns:
        `pandas.DataFrame`, one row for each file: `name` (what to pass), `kind` ("included" or "released"), `network`,
        `scheme`, `arguments`, `dataset`, `classes`, `epochs`, `seed`, `image_size` (pixels), `images` (values of the
        images that the network expects), `test_acc_pct` (percent of test images, measured with that very file; empty
        where it was not measured), `size_bytes` (empty for released files), `checksum` (SHA-256, or git's blob id).

    Raises:
        ValueError: if a card that comes along is damaged; the message names it.
    """
    columns = ("dataset", "classes", "epochs", "image_size", "images")
    rows = [
        {
            "name": card.name,
            "kind": "included",
            "network": card.family,
            "scheme": card.scheme,
            "arguments": _as_text(card.arguments),
            **{column: getattr(card, column) for column in columns},
            "seed": card.seed,
            "test_acc_pct": 100 * card.test_accuracy,
            "size_bytes": card.path.stat().st_size if card.path.is_file() else None,
            "checksum": card.sha256,
        }
        for card in included.cards()
    ] + [
        {
            "name": run.label,
            "kind": "released",
            "network": run.family,
            "scheme": run.scheme,
            "arguments": _as_text(run.arguments),
            **{column: getattr(run, column) for column in columns},
            "seed": None,
            "test_acc_pct": None,
            "size_bytes": None,
            "checksum": run.blob_id,
        }
        for run in released.runs()
    ]
    frame = pd.DataFrame(rows)
    counts = {name: "Int64" for name in ("seed", "size_bytes")}
    return frame.astype({**counts, "test_acc_pct": "float64"})


def _as_text(arguments):
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
