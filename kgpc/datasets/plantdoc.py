"""Cropped-PlantDoc: leaves cut out of the photographs of PlantDoc by its annotated boxes.

PlantDoc's repository has the photographs and, beside each, an XML file (Pascal VOC) with the boxes of its leaves and
the class of each. The papers cut out every box and classify the crops.
"""

import dataclasses
import os
import pathlib
import tempfile
import warnings
import xml.etree.ElementTree
import zipfile

import numpy as np

from kgpc.datasets.archives import ArchiveError, extract_archive
from kgpc.datasets.decoding import ImageError, decode, fit
from kgpc.datasets.folders import IMAGE_SUFFIXES, ImageWarning

# The commit whose archive is downloaded.
COMMIT = "b479f7232dd7af2060920e49359142904fe15273"
URL = f"https://github.com/pratikkayal/PlantDoc-Object-Detection-Dataset/archive/{COMMIT}.zip"

# Classes and crops of the published runs: 5,761 + 1,333 + 1,789.
CLASSES, CROPS = 29, 8883

PARTS = ("TRAIN", "TEST")


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What an XML file says.

    Attributes:
        path: path of the file.
        image: path of the photograph, or None if there is none.
        size: tuple of int, height and width of the photograph as noted.
        boxes: list of `(class name, (left, top, right, bottom))`.
    """

    path: pathlib.Path
    image: pathlib.Path | None
    size: tuple
    boxes: list


def load_crops(image_size, shape, interpolation, folder=None, archive=None):
    """Cuts the crops out and resizes them; about 1.3 GB at 224 pixels.

    Args:
        image_size: int, side of the crops in pixels.
        shape: as in `fit`.
        interpolation: as in `fit`.
        folder: path of a copy of the repository, or None.
        archive: path of an archive of the repository, or None. Without both, the archive is downloaded into Keras'
            cache.

    Returns:
        Tuple of the crops, uint8 `(n, image_size, image_size, 3)`, sorted by the name of the file they come from; their
        labels, int64 `(n,)`; and the class names, sorted.

    Raises:
        FileNotFoundError: if `folder` or `archive` does not exist.
        ValueError: if they are something else, or damaged.
        OSError: if the download fails.
    """
    if folder is not None:
        if not pathlib.Path(folder).is_dir():
            raise FileNotFoundError(f"`folder` must be an existing folder. Received: folder={str(folder)!r}.")
        return _cut(pathlib.Path(folder), image_size, shape, interpolation)
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
    annotations = _annotations(root)
    crops, labels = [], []
    class_names = sorted({class_name for annotation in annotations for class_name, _ in annotation.boxes})
    index = {class_name: label for label, class_name in enumerate(class_names)}
    for annotation in annotations:
        try:
            pixels = _pixels(annotation)
        except (ImageError, FileNotFoundError) as error:
            warnings.warn(f"A photograph was left out: {error}", ImageWarning, stacklevel=5)
            continue
        for class_name, (left, top, right, bottom) in annotation.boxes:
            # Boxes count pixels from 1 and include the last one.
            crop = pixels[max(top - 1, 0) : bottom, max(left - 1, 0) : right]
            if not crop.size:
                warnings.warn(
                    f"A box was left out: ({left}, {top}, {right}, {bottom}) in {annotation.path} covers no pixel.",
                    ImageWarning,
                    stacklevel=5,
                )
                continue
            crops.append(fit(crop, image_size, shape, interpolation))
            labels.append(index[class_name])
    if len(class_names) != CLASSES or len(crops) != CROPS:
        warnings.warn(
            f"Cropped-PlantDoc has {len(crops)} crops of {len(class_names)} classes here; the published runs had "
            f"{CROPS} of {CLASSES}.",
            ImageWarning,
            stacklevel=5,
        )
    return np.stack(crops), np.array(labels, np.int64), class_names


def _annotations(root):
    """The annotations, the training part first, each part sorted by file name."""
    roots = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    root = next((path for path in roots if all((path / part).is_dir() for part in PARTS)), None)
    if root is None:
        raise ValueError(f"{roots[0]} is not PlantDoc's repository: it has no folders TRAIN and TEST.")
    found = []
    for part in PARTS:
        paths = sorted((root / part).iterdir(), key=lambda path: path.name)
        images = {path.name: path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES}
        found += [_read_annotation(path, images) for path in paths if path.suffix == ".xml"]
    if not any(annotation.boxes for annotation in found):
        raise ValueError(f"{root} is not PlantDoc's repository: there are no annotations in TRAIN and TEST.")
    return found


def _read_annotation(path, images):
    stem = path.name.removesuffix(".xml")
    names = [stem + suffix for suffix in (".jpg", *IMAGE_SUFFIXES)]
    image = next((images[name] for name in (*names, *(name.upper() for name in names)) if name in images), None)
    try:
        tree = xml.etree.ElementTree.parse(path)
        boxes = [
            (
                " ".join(entry.findtext("name").split()),  # some names have spaces at the end
                tuple(round(float(entry.findtext(f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax")),
            )
            for entry in tree.iter("object")
        ]
        size = tuple(int(tree.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except (xml.etree.ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"The annotation {path} is damaged: {error}.") from error
    return Annotation(path, image, size, boxes)


def _pixels(annotation):
    """The photograph as it lay before those who drew the boxes."""
    if annotation.image is None:
        raise FileNotFoundError(f"There is no image for {annotation.path}.")
    pixels = decode(annotation.image)
    height, width = pixels.shape[:2]
    if annotation.size == (width, height) and width != height:
        return decode(annotation.image, orient=False)
    return pixels
