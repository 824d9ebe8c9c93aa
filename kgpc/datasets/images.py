"""Labelled images as one value, and what turns them into model input."""

import dataclasses
import os

import numpy as np

from kgpc.arguments import integer, shown, text
from kgpc.datasets.arguments import MAX_SIDE, check_labels


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images, divided into a training and a test part.

    Attributes:
        name: str, says on screen which data a number comes from.
        x_train, x_test: uint8 arrays `(n, height, width)` or `(n, height, width, 3)`, values in [0, 255]. Large data
            sets have a `DecodedOnDemand` instead, which is indexed like an array.
        y_train, y_test: int64 arrays `(n,)`, the class of each image, an index into `class_names`.
        class_names: tuple of str.
        files_train, files_test: tuples of paths, the file of each image; None where images are no files, or unknown.

    Raises:
        TypeError: if `name` is no str, images have no shape, labels are no ints, `class_names` no sequence of str, or
            files no sequence of paths.
        ValueError: if there are more or fewer labels or files than images, or a label numbers no class.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple
    files_train: tuple | None = None
    files_test: tuple | None = None

    def __post_init__(self):
        text("name", self.name)
        names = self.class_names
        if not isinstance(names, (tuple, list)) or not all(isinstance(class_name, str) for class_name in names):
            raise TypeError(f"`class_names` must be a tuple of str. Received: class_names={shown(names)}.")
        for part in ("train", "test"):
            images, labels = getattr(self, f"x_{part}"), check_labels(f"y_{part}", getattr(self, f"y_{part}"))
            if not hasattr(images, "shape"):
                raise TypeError(f"`x_{part}` must be an array. Received: x_{part}={shown(images)}.")
            if len(images) != len(labels):
                raise ValueError(
                    f"`x_{part}` and `y_{part}` must have the same length. Received: {len(images)} images and "
                    f"{len(labels)} labels."
                )
            if len(labels) and not (0 <= labels.min() and labels.max() < len(names)):
                raise ValueError(
                    f"`y_{part}` must number the classes, from 0 to {len(names) - 1}. Received: labels from "
                    f"{labels.min()} to {labels.max()}."
                )
            self._check_files(f"files_{part}", len(labels))

    def _check_files(self, name, count):
        files = getattr(self, name)
        if files is None:
            return
        if not isinstance(files, (tuple, list)) or not all(isinstance(file, (str, os.PathLike)) for file in files):
            raise TypeError(f"`{name}` must be a tuple of paths, or None. Received: {name}={shown(files)}.")
        if len(files) != count:
            raise ValueError(f"`{name}` must have a path for each of the {count} images. Received: {len(files)} paths.")

    def __repr__(self):
        size = "x".join(str(length) for length in self.x_train.shape[1:])
        return (
            f"<ImageDataset {self.name!r}: {len(self.x_train)} training and {len(self.x_test)} test images "
            f"of {size}, {len(self.class_names)} classes>"
        )


def as_model_input(images, size=32):
    """Makes images ready for a model: padded with zeros to a square, three channels, scaled to [0, 1].

    Args:
        images: uint8 array `(n, height, width)` or `(n, height, width, 1)`, grey, or `(n, height, width, 3)`, colour.
            Grey images are repeated in the three channels.
        size: int up to 10000, side of the result in pixels, at least the height and the width of the images. The image
            is in the centre; where the margin is odd, the extra row or column is at the bottom or the right.

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
    height, width = images.shape[1:3]
    if integer("size", size, -MAX_SIDE, MAX_SIDE) < max(height, width):
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
