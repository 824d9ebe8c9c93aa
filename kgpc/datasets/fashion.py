"""Fashion-MNIST: the sample that is shipped with kgpc, and all of it.

What is loaded is checked against a SHA-256 every time, so a damaged file is noticed before anything is trained on it.
"""

import gzip
import hashlib
import io
import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from kgpc.datasets.arguments import check_path
from kgpc.datasets.images import ImageDataset
from kgpc.resources import data_path

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# Where Debian's package `dataset-fashion-mnist` puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

_SHAPES = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}

# SHA-256 of the bytes of each array. The compressed files differ from one distributor to the next, the arrays do not.
_FULL_SHA256 = {
    "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}

_RESTORE = (
    "Restore it: `git checkout -- data` in a checkout, or install kgpc again; "
    "or make it anew with data/make_fashion_mnist_sample.py of the repository."
)


def fashion_mnist_sample():
    """Loads the shipped sample of Fashion-MNIST; needs no network.

    6,000 training images (600 of each class) and 1,000 test images (100 of each class), 28x28, grey, drawn at random
    from the training and the test part of Fashion-MNIST by `data/make_fashion_mnist_sample.py`.

    Returns:
        `ImageDataset` with images of shape `(n, 28, 28)`.

    Raises:
        FileNotFoundError: if the file or its manifest is missing.
        ValueError: if the file is damaged: its SHA-256 is not the one in the manifest.

    Reference: Xiao, Rasul, Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747. MIT licence.
    """
    manifest_path, path = data_path("fashion_mnist_sample.json"), data_path("fashion_mnist_sample.npz")
    content = path.read_bytes()
    try:
        expected = json.loads(manifest_path.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The manifest {manifest_path} is damaged: it has no `sha256`. {_RESTORE}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise ValueError(f"The file {path} is damaged: its SHA-256 is {actual}, expected {expected}. {_RESTORE}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return ImageDataset(
            name="Fashion-MNIST sample",
            x_train=arrays["x_train"],
            y_train=arrays["y_train"].astype(np.int64),
            x_test=arrays["x_test"],
            y_test=arrays["y_test"].astype(np.int64),
            class_names=FASHION_MNIST_CLASSES,
        )


def fashion_mnist(folder=None):
    """Loads all of Fashion-MNIST: 60,000 training and 10,000 test images, 28x28, grey.

    Args:
        folder: optional path of a folder with the four idx files (`train-images-idx3-ubyte` and so on, as they are or
            with `.gz`). By default the files of Debian's package `dataset-fashion-mnist` are read where that package is
            installed; elsewhere `keras.datasets` downloads the data set (30 MB) and keeps it in Keras' cache.

    Returns:
        `ImageDataset` with images of shape `(n, 28, 28)`.

    Raises:
        TypeError: if `folder` is no path.
        FileNotFoundError: if `folder` is given and lacks one of the files.
        ValueError: if a file is damaged, or is not Fashion-MNIST.
        OSError: if the download fails.

    Reference: Xiao, Rasul, Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747. MIT licence.
    """
    folder = None if folder is None else check_path("folder", folder)
    if folder is None and all(_find_idx(DEBIAN_FASHION_MNIST, name) for name in _IDX_FILES.values()):
        folder = DEBIAN_FASHION_MNIST
    if folder is None:
        origin, arrays = "keras.datasets", _fashion_mnist_from_keras()
    else:
        origin, arrays = str(folder), _fashion_mnist_from_folder(folder)
    for key, array in arrays.items():
        actual = hashlib.sha256(array.tobytes()).hexdigest()
        if actual != _FULL_SHA256[key]:
            raise ValueError(
                f"{key} ({_IDX_FILES[key]}) of Fashion-MNIST from {origin} is damaged or another data set: the SHA-256 "
                f"of its values is {actual}, expected {_FULL_SHA256[key]}. Delete the file and fetch it again "
                "(keras.datasets keeps its copy in the folder datasets/fashion-mnist of Keras' cache)."
            )
    return ImageDataset(
        name="Fashion-MNIST",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        class_names=FASHION_MNIST_CLASSES,
    )


def _fashion_mnist_from_keras():
    # Imported here, because importing Keras takes seconds and loading the sample does not need it.
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise OSError(
            f"Fashion-MNIST could not be loaded with keras.datasets: {error}. Without a network use "
            "fashion_mnist_sample(), or install Debian's package dataset-fashion-mnist. With one, delete the folder "
            "datasets/fashion-mnist of Keras' cache and try again."
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _fashion_mnist_from_folder(folder):
    arrays = {}
    for key, name in _IDX_FILES.items():
        path = _find_idx(folder, name)
        if path is None:
            raise FileNotFoundError(
                f"`folder` must contain {name} or {name}.gz, a regular file. Received: folder={str(folder)!r}."
            )
        arrays[key] = _read_idx(path, _SHAPES[key])
    return arrays


def _find_idx(folder, name):
    """The path of an idx file, compressed or not; None if it is not there."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(path, shape):
    """Reads an idx file of unsigned bytes, the format of MNIST: magic number, lengths of the axes, values.

    No more is unpacked than the shape needs, whatever the file says of itself.
    """
    header = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
    count = math.prod(shape)
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            begin = file.read(len(header))
            if begin[:4] != header[:4]:
                raise ValueError(
                    f"The file {path} is not an idx file of unsigned bytes with {len(shape)} axes: it begins with "
                    f"{begin[:4]!r}."
                )
            if begin != header:
                found = struct.unpack(f">{len(begin[4:]) // 4}I", begin[4 : len(begin) // 4 * 4])
                raise ValueError(f"The file {path} is damaged or another one: its shape is {found}, expected {shape}.")
            values = np.frombuffer(file.read(count), np.uint8)
            more = file.read(1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"The file {path} is damaged: it cannot be decompressed ({error}).") from error
    if values.size != count or more:
        has = "more" if more else f"only {values.size}"
        raise ValueError(f"The file {path} is damaged: it has {has} values, expected {count}.")
    return values.reshape(shape).copy()
