"""Cropped-PlantDoc: leaves cut out of the photographs of PlantDoc by its annotated boxes.

PlantDoc's repository has the photographs and, beside each, an XML file with the boxes of its leaves, which
`kgpc.datasets.pascal_voc` reads. The papers cut out every box and classify the crops.
"""

import os
import pathlib
import tempfile
import zipfile

import numpy as np

from kgpc.datasets.archives import ArchiveError, extract_archive
from kgpc.datasets.decoding import ImageError
from kgpc.datasets.duplicates import digest
from kgpc.datasets.listing import is_image
from kgpc.datasets.pascal_voc import AnnotationError, boxes_in_pixels, photograph, read_annotation
from kgpc.datasets.resizing import fit
from kgpc.datasets.warned import warn_of

# The commit whose archive is downloaded.
COMMIT = "b479f7232dd7af2060920e49359142904fe15273"
URL = f"https://github.com/pratikkayal/PlantDoc-Object-Detection-Dataset/archive/{COMMIT}.zip"

# Classes and crops of the published runs: 5,761 + 1,333 + 1,789.
CLASSES, CROPS = 29, 8883

PARTS = ("TRAIN", "TEST")


def load_crops(image_size, shape, interpolation, folder=None, archive=None):
    """Cuts the crops out and resizes them; about 1.3 GB at 224 pixels.

    Photographs, annotations and boxes that cannot be used are left out, with warnings that name them.

    Args:
        image_size: int, side of the crops in pixels.
        shape: as in `fit`.
        interpolation: as in `fit`.
        folder: path of a copy of the repository, or None.
        archive: path of an archive of the repository, or None. Without both, the archive is downloaded into Keras'
            cache.

    Returns:
        Tuple of the crops, uint8 `(n, image_size, image_size, 3)`, sorted by the name of the file they come from; their
        labels, int64 `(n,)`; the photograph that each was cut from, int64 `(n,)`, the same number for files with the
        same pixels; and the class names, sorted.

    Raises:
        FileNotFoundError: if `folder` or `archive` does not exist.
        ValueError: if they are something else, or damaged, or no crop can be cut.
        OSError: if the download fails.
    """
    if folder is not None:
        if not folder.is_dir():
            raise FileNotFoundError(f"`folder` must be an existing folder. Received: folder={str(folder)!r}.")
        return _cut(folder, image_size, shape, interpolation)
    if archive is not None:
        with tempfile.TemporaryDirectory() as temporary:
            unpacked = extract_archive(archive, pathlib.Path(temporary) / "plantdoc")
            return _cut(unpacked, image_size, shape, interpolation)
    return _cut(_download(), image_size, shape, interpolation)


def _download():
    """The folder with the unpacked repository, in Keras' cache."""
    import keras

    try:
        path = pathlib.Path(keras.utils.get_file(f"plantdoc-{COMMIT}.zip", URL, cache_subdir="datasets", extract=False))
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise OSError(
            f"Cropped-PlantDoc could not be downloaded from {URL}: {error}. Give `folder` or `archive` if you have it."
        ) from error
    folder = path.with_suffix("")
    if not folder.is_dir():
        # git writes the commit into an archive as its comment.
        comment = zipfile.ZipFile(path).comment.decode(errors="replace") if zipfile.is_zipfile(path) else None
        if comment != COMMIT:
            os.remove(path)  # otherwise it would be taken from the cache the next time
            raise ArchiveError(f"What was downloaded from {URL} is not the archive of commit {COMMIT}: {comment!r}.")
        extract_archive(path, folder)
    return folder


def _cut(root, image_size, shape, interpolation):
    crops, names, photographs, numbers, problems = [], [], [], {}, []
    for path, image in _annotation_files(root):
        try:
            annotation = read_annotation(path)
            pixels = photograph(annotation, image)
            boxes, left_out = boxes_in_pixels(annotation, pixels)
        except (AnnotationError, ImageError, OSError) as error:
            problems.append(f"A photograph was left out: {error}")
            continue
        problems += left_out
        number = numbers.setdefault(digest(pixels), len(numbers))
        for class_name, (left, top, right, bottom) in boxes:
            crops.append(fit(pixels[top:bottom, left:right], image_size, shape, interpolation))
            names.append(class_name)
            photographs.append(number)
    class_names = sorted(set(names))
    if crops and (len(class_names) != CLASSES or len(crops) != CROPS):
        problems.append(
            f"Cropped-PlantDoc has {len(crops)} crops of {len(class_names)} classes here; the published runs had "
            f"{CROPS} of {CLASSES}."
        )
    warn_of(problems)
    if not crops:
        raise ValueError(f"{root} has no photograph in TRAIN and TEST from which a crop can be cut.")
    index = {class_name: label for label, class_name in enumerate(class_names)}
    labels = np.array([index[name] for name in names], np.int64)
    return np.stack(crops), labels, np.array(photographs, np.int64), class_names


def _annotation_files(root):
    """Annotations, each with its photograph or None; the training part first, each part sorted by file name."""
    roots = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    root = next((path for path in roots if all((path / part).is_dir() for part in PARTS)), None)
    if root is None:
        raise ValueError(f"{roots[0]} is not PlantDoc's repository: it has no folders TRAIN and TEST.")
    found = []
    for part in PARTS:
        shown = (path for path in (root / part).iterdir() if not path.name.startswith("."))
        paths = sorted(shown, key=lambda path: path.name)
        annotations = [path for path in paths if path.suffix.lower() == ".xml"]
        images = [path for path in paths if path.suffix.lower() != ".xml" and path.is_file() and is_image(path)]
        beside = _pairs(annotations, images)
        found += [(path, beside.get(path)) for path in annotations]
    if not found:
        raise ValueError(f"{root} is not PlantDoc's repository: there are no annotations in TRAIN and TEST.")
    return found


def _pairs(annotations, images):
    """The photograph of each annotation that has one; no photograph has two annotations."""
    pairs, taken = {}, set()
    # An image that is called like the annotation but for the ending is its photograph: better one with the same capital
    # letters, and else one whose whole name the annotation has before its ending.
    for of_annotation, of_image in (
        (lambda path: path.stem, lambda path: path.stem),
        (lambda path: path.stem.casefold(), lambda path: path.stem.casefold()),
        (lambda path: path.stem.casefold(), lambda path: path.name.casefold()),
    ):
        left = [path for path in images if path not in taken]
        named = {of_image(path): path for path in sorted(left, key=_likeliest, reverse=True)}
        for path in annotations:
            image = named.get(of_annotation(path))
            if path not in pairs and image is not None and image not in taken:
                pairs[path] = image
                taken.add(image)
    return pairs


def _likeliest(path):
    """Orders images of the same name, JPEG first: most photographs are."""
    endings = (".jpg", ".jpeg", ".png")
    ending = path.suffix.lower()
    return endings.index(ending) if ending in endings else len(endings), path.name
