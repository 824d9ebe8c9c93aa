"""The reader's own images: a folder with one sub-folder for each class."""

import concurrent.futures
import os

import numpy as np

from kgpc.arguments import integer, text
from kgpc.datasets.arguments import check_fraction, check_path, check_seed
from kgpc.datasets.decoding import DecodedOnDemand, ImageError, decode
from kgpc.datasets.duplicates import digest, warn_of_shared_images
from kgpc.datasets.images import ImageDataset
from kgpc.datasets.listing import list_classes
from kgpc.datasets.resizing import check_resizing, fit
from kgpc.datasets.splits import stratified_indices
from kgpc.datasets.warned import warn_of

# Decoded images are kept in memory up to this many bytes; beyond it they are decoded when they are asked for.
MEMORY_LIMIT = 2 * 2**30

# So many images are one task for a thread: with one each, thousands of small ones would mostly be handed around.
_AT_ONCE = 32


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

    Every image is decoded once, to see that it can be. One that cannot is left out, with a warning that names it
    (after ten of them, the rest are counted). Files are sorted by name, so the same folder gives the same data set on
    every computer.

    A file is an image if it begins like one, whatever its name: BMP, GIF, JPEG, PNG, TIFF or WebP, or if its name says
    so. What else lies there is passed over; a warning counts and names it, unless it is hidden (a name that begins
    with a dot, `__MACOSX`) or a note by its name (`.txt`, `.csv`, `.json`, `.xml`, `Thumbs.db` and the like). Folders
    inside of a class are not looked into.

    The warning also counts images in formats that are not read, such as HEIC from telephones: save them as JPEG first.

    Another warning counts and names images of the test part that are in the training part as well, pixel by pixel:
    accuracy on these says nothing. They are kept. Images that differ in a pixel, as copies in another size or
    compressed again do, are not noticed.

    Args:
        path: path of the folder. Its sub-folders are the classes, in alphabetical order; the images of a class lie
            directly in its sub-folder. Names that look the same are one class: letters with accents are compared and
            returned composed (Unicode's NFC), however the file system stores them.
        image_size: int in [8, 10000], side of the square images in pixels.
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
        `ImageDataset` with the file of each image. `x_train` and `x_test` are arrays, or `DecodedOnDemand`, which is
        used like one.

    Raises:
        FileNotFoundError: if there is no such folder.
        TypeError: if an argument has another type.
        ValueError: if an argument is out of range; if the folder has no sub-folders or only one; if a class has no
            image that can be read, or just one where the images have to be divided; or if the classes of `test_path`
            are not those of `path`.

    Example:

        data = image_folder("flowers", image_size=64)   # flowers/daisy/1.jpg, flowers/daisy/2.jpg, flowers/rose/...
    """
    image_size = check_resizing(image_size, shape, interpolation)
    check_fraction("test_fraction", test_fraction)
    memory_limit, seed = integer("memory_limit", memory_limit, 0), check_seed(seed)
    text("name", name, optional=True)
    path = check_path("path", path)
    test_path = None if test_path is None else check_path("test_path", test_path)
    for argument, folder in (("path", path), ("test_path", test_path)):
        if folder is not None and not folder.is_dir():
            raise FileNotFoundError(f"`{argument}` must be an existing folder. Received: {argument}={str(folder)!r}.")
    listing = list_classes(path)
    listings = [listing]
    if test_path is not None:
        listings.append(list_classes(test_path))
        _check_same_classes(listing.classes, listings[1].classes)
    for each in listings:
        warn_of(each.passed_over)

    keep = sum(len(each.files) for each in listings) * image_size**2 * 3 <= memory_limit
    images, labels, files, digests = [], [], [], []
    for each in listings:
        pixels, good, part_digests, problems = _read(each.files, image_size, shape, interpolation, keep)
        warn_of([f"An image was left out: {problem}" for problem in problems], "images were left out as well")
        images.append(pixels)
        labels.append(each.labels[good])
        files.append([each.files[position] for position in good])
        digests.append(part_digests)
        _check_classes(each.folder, listing.classes, labels[-1], fewest=2 if test_path is None else 1)
    if test_path is None:
        parts = _divide(labels[0], test_fraction, seed)
        images = [images[0][part] if keep else images[0].take(part) for part in parts]
        labels, files, digests = (
            [select(part) for part in parts]
            for select in (
                lambda part: labels[0][part],
                lambda part: [files[0][position] for position in part],
                lambda part: [digests[0][position] for position in part],
            )
        )
    warn_of_shared_images(files, labels, digests)
    return ImageDataset(
        name or path.resolve().name or str(path),
        images[0],
        labels[0],
        images[1],
        labels[1],
        listing.classes,
        tuple(files[0]),
        tuple(files[1]),
    )


def _check_same_classes(classes, test_classes):
    if test_classes == classes:
        return
    differences = [
        f"{words} {', '.join(map(repr, sorted(names)))}"
        for words, names in (
            ("it lacks", set(classes) - set(test_classes)),
            ("it has besides", set(test_classes) - set(classes)),
        )
        if names
    ]
    raise ValueError(
        f"`test_path` must have the classes of `path`, {', '.join(classes)}. Received: {', '.join(test_classes)}; "
        f"{' and '.join(differences)}."
    )


def _read(files, size, shape, interpolation, keep):
    """Decodes all files once.

    Returns:
        Tuple of the images, the positions of the files that are fit for use, a digest of the pixels of each of these,
        and the problems with the others.
    """
    images = np.empty((len(files), size, size, 3), np.uint8) if keep else None

    def read(position):
        try:
            pixels = decode(files[position])
        except (ImageError, OSError) as error:
            return None, str(error)
        if keep:
            images[position] = fit(pixels, size, shape, interpolation)
        return digest(pixels), None

    def read_some(start):
        return [read(position) for position in range(start, min(start + _AT_ONCE, len(files)))]

    # Decoding releases the interpreter, so threads help.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        results = [result for some in threads.map(read_some, range(0, len(files), _AT_ONCE)) for result in some]
    good = np.array([position for position, (_, problem) in enumerate(results) if problem is None], np.int64)
    if not keep:
        images = DecodedOnDemand([files[position] for position in good], size, shape, interpolation)
    elif len(good) < len(files):
        images = images[good]
    digests = [found for found, problem in results if problem is None]
    return images, good, digests, [problem for _, problem in results if problem is not None]


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
