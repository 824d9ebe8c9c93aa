"""Images to learn from: the Fashion-MNIST sample that is shipped with kgpc, and the full Fashion-MNIST.

Images are arrays of uint8 in [0, 255], shape `(n, height, width)`; labels are int64, shape `(n,)`. `as_model_input`
turns images into what the models take. What is loaded is checked against a SHA-256 every time, so a damaged file is
noticed before anything is trained on it.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import numbers
import struct
import zlib
from pathlib import Path

import numpy as np

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


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images, divided into a training and a test part.

    Attributes:
        name: str, says on screen which data a number comes from.
        x_train, x_test: uint8 arrays `(n, height, width)` or `(n, height, width, 3)`, values in [0, 255].
        y_train, y_test: int64 arrays `(n,)`, the class of each image, an index into `class_names`.
        class_names: tuple of str.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple

    def __repr__(self):
        size = "x".join(str(length) for length in self.x_train.shape[1:])
        return (
            f"<ImageDataset {self.name!r}: {len(self.x_train)} training and {len(self.x_test)} test images "
            f"of {size}, {len(self.class_names)} classes>"
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
        FileNotFoundError: if `folder` is given and lacks one of the files.
        ValueError: if a file is damaged, or is not Fashion-MNIST.
        OSError: if the download fails.

    Reference: Xiao, Rasul, Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747. MIT licence.
    """
    if folder is None and all(_find_idx(DEBIAN_FASHION_MNIST, name) for name in _IDX_FILES.values()):
        folder = DEBIAN_FASHION_MNIST
    if folder is None:
        origin, arrays = "keras.datasets", _fashion_mnist_from_keras()
    else:
        origin, arrays = str(folder), _fashion_mnist_from_folder(Path(folder))
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
            raise FileNotFoundError(f"`folder` must contain {name} or {name}.gz. Received: folder={str(folder)!r}.")
        arrays[key] = _read_idx(path)
    return arrays


def _find_idx(folder, name):
    """The path of an idx file, compressed or not; None if it is not there."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(path):
    """Reads an idx file of unsigned bytes, the format of MNIST: magic number, lengths of the axes, values."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"The file {path} is damaged: it cannot be decompressed ({error}).") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"The file {path} is not an idx file of unsigned bytes: it begins with {content[:4]!r}.")
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"The file {path} is damaged: it has {values.size} values, expected {shape}.")
    return values.reshape(shape).copy()


def as_model_input(images, size=32):
    """Makes images ready for a model: padded with zeros to a square, three channels, scaled to [0, 1].

    Args:
        images: uint8 array `(n, height, width)` or `(n, height, width, 1)`, grey, or `(n, height, width, 3)`, colour.
            Grey images are repeated in the three channels.
        size: int, side of the result in pixels, at least the height and the width of the images. The image is in the
            centre; where the margin is odd, the extra row or column is at the bottom or the right.

    Returns:
        float32 array `(n, size, size, 3)` with values in [0, 1].

    Raises:
        TypeError: if `images` is not an array of uint8 or `size` not an int.
        ValueError: if `images` has another shape, or `size` is smaller than the images.

    Example:
    >>> as_model_input(fashion_mnist_sample().x_test).shape
    (1000, 32, 32, 3)
    """
    dtype = getattr(images, "dtype", None)
    if dtype != np.uint8:
        received = type(images).__name__ if dtype is None else f"an array of {dtype}"
        raise TypeError(f"`images` must be an array of uint8 with values in [0, 255]. Received: images={received}.")
    images = np.asarray(images)
    allowed = "(n, height, width), (n, height, width, 1) or (n, height, width, 3)"
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        raise ValueError(f"`images` must have the shape {allowed}. Received: images.shape={images.shape}.")
    if images.ndim == 3 and images.shape[-1] in (1, 3):
        raise ValueError(
            f"`images` must be a batch of shape {allowed}; this looks like a single image, pass images[None]. "
            f"Received: images.shape={images.shape}."
        )
    if isinstance(size, bool) or not isinstance(size, numbers.Integral):
        raise TypeError(f"`size` must be an int. Received: size={size!r} of type {type(size).__name__}.")
    height, width = images.shape[1:3]
    if size < max(height, width):
        raise ValueError(
            f"`size` must be at least the height and the width of the images, {height}x{width}. Received: size={size}."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    top, left = (size - height) // 2, (size - width) // 2
    result = np.zeros((len(images), size, size, 3), np.float32)
    # Grey images have one channel here, which broadcasts over the three of the result.
    result[:, top : top + height, left : left + width] = images
    result /= np.float32(255)
    return result


def stratified_indices(labels, per_class, seed=0):
    """Draws the same number of examples of every class, at random, without repetition.

    Args:
        labels: int array `(n,)`, the class of each example.
        per_class: int >= 1, examples of each class; or a dict {label: int >= 1} with a number for every class.
        seed: int in [0, 2**32). The same seed draws the same examples with every version of NumPy.

    Returns:
        int64 array of indices into `labels`, ascending.

    Raises:
        ValueError: if `labels` is not one-dimensional, if `per_class` gives a class of `labels` no number or one that
            is no int, or if a class has fewer examples than asked for.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"`labels` must have the shape (n,). Received: labels.shape={labels.shape}.")
    # The older generator is used on purpose: its stream is frozen, that of `default_rng` may change between releases.
    generator = np.random.RandomState(seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = per_class.get(int(label)) if isinstance(per_class, dict) else per_class
        if not isinstance(count, numbers.Integral) or not 1 <= count <= len(members):
            raise ValueError(
                f"`per_class` must be an int between 1 and the number of examples of each class; class {label} has "
                f"{len(members)}. Received: per_class={count!r}."
            )
        chosen.append(generator.permutation(members)[:count])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def train_validation_split(images, labels, validation_fraction=0.1, seed=0):
    """Sets a part of the training images aside for validation, the same share of every class.

    Args:
        images: array whose first axis is n.
        labels: int array `(n,)`.
        validation_fraction: float in (0, 1), share of the images that goes to validation, rounded for each class.
        seed: int, the same seed gives the same split.

    Returns:
        Tuple `(x_train, y_train, x_validation, y_validation)`; both parts keep the order of the images.

    Raises:
        ValueError: if `images` and `labels` differ in length, `validation_fraction` is not in (0, 1), or a class would
            have no image in one of the parts.
    """
    labels = np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(
            f"`images` and `labels` must have the same length. Received: {len(images)} images and {len(labels)} labels."
        )
    if not isinstance(validation_fraction, numbers.Real) or not 0 < validation_fraction < 1:
        raise ValueError(f"`validation_fraction` must be in (0, 1). Received: {validation_fraction!r}.")
    classes, counts = np.unique(labels, return_counts=True)
    per_class = {}
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        per_class[label] = round(count * validation_fraction)
        if not 0 < per_class[label] < count:
            raise ValueError(
                f"`validation_fraction` must leave every class at least one image in each part; class {label} has "
                f"{count} images. Received: validation_fraction={validation_fraction!r}."
            )
    in_validation = np.zeros(len(labels), bool)
    in_validation[stratified_indices(labels, per_class, seed)] = True
    return images[~in_validation], labels[~in_validation], images[in_validation], labels[in_validation]
