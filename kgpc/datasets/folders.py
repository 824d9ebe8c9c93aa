"""The reader's own images: a folder with one sub-folder for each class."""

import concurrent.futures
import numbers
import os
import pathlib
import warnings

import numpy as np

from kgpc.datasets.decoding import DecodedOnDemand, ImageError, check_resizing, decode, fit
from kgpc.datasets.images import ImageDataset
from kgpc.datasets.splits import stratified_indices

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# Decoded images are kept in memory up to this many bytes; beyond it they are decoded when they are asked for.
MEMORY_LIMIT = 2 * 2**30

_FOLDER_FORM = "It must have one sub-folder for each class, with the images of that class in it."


class ImageWarning(UserWarning):
    """An image was left out; the message names it and says why."""


def image_folder(
    path,
    image_size=224,
    *,
    test_fraction=0.2,
    test_path=None,
    shape="pad",
    interpolation="area",
    seed=7,
    memory_limit=MEMORY_LIMIT,
    name=None,
):
    """Loads images of your own: a folder with one sub-folder for each class.

    Every image is decoded once, to see that it can be. One that cannot is left out, with a warning that names it.
    Hidden files and files that are no images by their name are passed over. Files are sorted by name, so the same
    folder gives the same data set on every computer.

    Args:
        path: path of the folder. Its sub-folders are the classes, in alphabetical order; BMP, GIF, JPEG, PNG, TIFF and
            WebP files directly in a sub-folder are its images.
        image_size: int >= 8, side of the square images in pixels.
        test_fraction: float in (0, 1), share of the images of each class that is set aside for testing, drawn at
            random; at least one, and at least one is left for training.
        test_path: optional path of a second such folder with the same classes. Its images are the test part, and all
            of `path` the training part; `test_fraction` does not count then.
        shape: "pad", "crop" or "stretch", how an image becomes square: with black borders, by taking the largest
            square in the centre, or by changing its proportions.
        interpolation: "area" (good for photographs), or "nearest" (as in the published runs), or "nearest_center".
        seed: int in [0, 2**32), decides which images are for testing.
        memory_limit: int >= 0, bytes that the decoded images may take. If they take more, they are decoded each time
            they are asked for.
        name: optional str, name of the data set; by default the name of the folder.

    Returns:
        `ImageDataset`. `x_train` and `x_test` are arrays, or `DecodedOnDemand`, which is used like one.

    Raises:
        FileNotFoundError: if there is no such folder.
        TypeError: if `image_size` is not an int.
        ValueError: if an argument is out of range; if the folder has no sub-folders or only one; if a class has no
            image that can be read, or just one where the images have to be divided; or if the classes of `test_path`
            are not those of `path`.

    Example:

        data = image_folder("flowers", image_size=64)   # flowers/daisy/1.jpg, flowers/daisy/2.jpg, flowers/rose/...
    """
    _check_arguments(image_size, test_fraction, shape, interpolation, memory_limit)
    path = _existing_folder("path", path)
    classes, files, labels = _list_classes(path)
    groups = [(path, files, labels)]
    if test_path is not None:
        test_path = _existing_folder("test_path", test_path)
        test_classes, test_files, test_labels = _list_classes(test_path)
        if test_classes != classes:
            raise ValueError(
                f"`test_path` must have the classes of `path`, {', '.join(classes)}. "
                f"Received: {', '.join(test_classes)}."
            )
        groups.append((test_path, test_files, test_labels))

    keep = sum(len(group[1]) for group in groups) * image_size**2 * 3 <= memory_limit
    loaded = []
    for folder, group_files, group_labels in groups:
        images, good, problems = _read(group_files, image_size, shape, interpolation, keep)
        for problem in problems:
            warnings.warn(f"An image was left out: {problem}", ImageWarning, stacklevel=2)
        group_labels = group_labels[good]
        _check_classes(folder, classes, group_labels, fewest=2 if test_path is None else 1)
        loaded.append((images, group_labels))
    if test_path is None:
        images, labels = loaded[0]
        train, test = _divide(labels, test_fraction, seed)
        loaded = [(images[part] if keep else images.take(part), labels[part]) for part in (train, test)]
    (x_train, y_train), (x_test, y_test) = loaded
    return ImageDataset(name or path.resolve().name, x_train, y_train, x_test, y_test, classes)


def _check_arguments(image_size, test_fraction, shape, interpolation, memory_limit):
    check_resizing(image_size, shape, interpolation)
    if not isinstance(test_fraction, numbers.Real) or not 0 < test_fraction < 1:
        raise ValueError(f"`test_fraction` must be in (0, 1). Received: test_fraction={test_fraction!r}.")
    if isinstance(memory_limit, bool) or not isinstance(memory_limit, numbers.Integral) or memory_limit < 0:
        raise ValueError(f"`memory_limit` must be an int of at least 0. Received: memory_limit={memory_limit!r}.")


def _existing_folder(argument, path):
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"`{argument}` must be an existing folder. Received: {argument}={str(path)!r}.")
    return path


def _hidden(path):
    return path.name.startswith((".", "__"))


def _list_classes(folder):
    """Class names, image files in the order of the classes, and their labels."""
    subfolders = sorted((entry for entry in folder.iterdir() if entry.is_dir() and not _hidden(entry)), key=_name)
    if len(subfolders) < 2:
        raise ValueError(f"The folder {folder} has {len(subfolders)} sub-folders. {_FOLDER_FORM}")
    files, labels = [], []
    for label, subfolder in enumerate(subfolders):
        inside = [entry for entry in subfolder.iterdir() if entry.is_file() and not _hidden(entry)]
        images = sorted((entry for entry in inside if entry.suffix.lower() in IMAGE_SUFFIXES), key=_name)
        if not images:
            raise ValueError(
                f"The class {subfolder.name!r} is empty: {subfolder} has no file that ends in one of "
                f"{', '.join(IMAGE_SUFFIXES)}. {_FOLDER_FORM}"
            )
        files += images
        labels += [label] * len(images)
    return tuple(subfolder.name for subfolder in subfolders), files, np.array(labels, np.int64)


def _name(path):
    return path.name


def _read(files, size, shape, interpolation, keep):
    """Decodes all files once; returns the images, the positions of the files that are fit for use, and the problems."""
    images = np.empty((len(files), size, size, 3), np.uint8) if keep else None

    def read(position):
        try:
            pixels = decode(files[position])
        except (ImageError, OSError) as error:
            return str(error)
        if keep:
            images[position] = fit(pixels, size, shape, interpolation)
        return None

    # Decoding releases the interpreter, so threads help.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        problems = list(threads.map(read, range(len(files))))
    good = np.array([position for position, problem in enumerate(problems) if problem is None], np.int64)
    if not keep:
        images = DecodedOnDemand([files[position] for position in good], size, shape, interpolation)
    elif len(good) < len(files):
        images = images[good]
    return images, good, list(filter(None, problems))


def _check_classes(folder, classes, labels, fewest):
    counts = np.bincount(labels, minlength=len(classes))
    for class_name, count in zip(classes, counts.tolist(), strict=True):
        if count < fewest:
            raise ValueError(
                f"The class {class_name!r} in {folder} has {count} images that can be read; it needs at least {fewest}."
            )


def _divide(labels, test_fraction, seed):
    """Positions of the images for training and for testing."""
    counts = np.bincount(labels)
    per_class = {
        label: min(max(round(count * test_fraction), 1), count - 1) for label, count in enumerate(counts.tolist())
    }
    test = stratified_indices(labels, per_class, seed)
    return np.setdiff1d(np.arange(len(labels)), test), test
