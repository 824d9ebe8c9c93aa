"""Finds the classes and the image files of a folder, and says what else lies there."""

import collections
import dataclasses
import os
import pathlib
import unicodedata

import numpy as np

from kgpc.datasets.formats import FORMATS, SIGNATURE_BYTES, foreign_format_of, format_of

# A file with such a name ought to be an image; if it is none, it is damaged.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# What may lie beside images and is none, so that nobody wonders where it went.
_NOTE_SUFFIXES = (".csv", ".htm", ".html", ".ini", ".json", ".log", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml")
_LITTER = ("thumbs.db", "desktop.ini", "readme", "license", "licence")

_FOLDER_FORM = "It must have one sub-folder for each class, with the images of that class in it."

# So many of the files that are passed over are named in a warning.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of a folder.

    Attributes:
        folder: path of the folder.
        classes: tuple of str, the names of its sub-folders, composed (NFC) and in alphabetical order.
        files: list of paths, in the order of the classes, and sorted by name in each.
        labels: int64 array, the class of each file.
        passed_over: list of str, sentences about what lies in the folder and is not among the files.
    """

    folder: pathlib.Path
    classes: tuple
    files: list
    labels: np.ndarray
    passed_over: list


def list_classes(folder):
    """Lists the images of a folder that has a sub-folder for each class; nothing is decoded.

    Args:
        folder: path of an existing folder.

    Returns:
        `Listing`.

    Raises:
        ValueError: if there are less than two classes, or one has no images.
    """
    subfolders, others = {}, []
    for entry in _entries(folder):
        if _is(entry, "dir"):
            # One class may be two folders for a file system that does not compose letters with their accents.
            subfolders.setdefault(unicodedata.normalize("NFC", entry.name), []).append(entry.path)
        elif _is_noteworthy(entry.name):
            others.append(entry.path)
    if len(subfolders) < 2:
        raise ValueError(f"The folder {folder} has {len(subfolders)} sub-folders. {_FOLDER_FORM}")
    classes = tuple(sorted(subfolders))
    files, labels, nested = [], [], []
    for label, class_name in enumerate(classes):
        images, passed_over, deeper = _list_class(subfolders[class_name])
        others += passed_over
        nested += deeper
        if not images:
            raise ValueError(
                f"The class {class_name!r} is empty: {subfolders[class_name][0]} has no image file "
                f"({', '.join(FORMATS)}) directly in it.{_foreign(passed_over)} {_FOLDER_FORM}"
            )
        files += map(pathlib.Path, images)
        labels += [label] * len(images)
    sentences = []
    if others:
        sentences.append(
            f"{_count(others)} in {str(folder)!r} that are no images directly in the folder of a class were passed "
            f"over ({', '.join(FORMATS)} are read): {_some(others)}.{_foreign(others)}"
        )
    if nested:
        sentences.append(
            f"{_count(nested)} in folders inside of a class of {str(folder)!r} were passed over: {_some(nested)}. "
            "Move them into the folder of their class if they belong to it."
        )
    return Listing(pathlib.Path(folder), classes, files, np.array(labels, np.int64), sentences)


def _list_class(folders):
    """Images of a class, files that are passed over, and files in folders below."""
    images, passed_over, deeper = [], [], []
    for folder in folders:
        for entry in _entries(folder):
            if _is(entry, "dir"):
                if _suffix(entry.name) in IMAGE_SUFFIXES:
                    passed_over.append(entry.path)
                for below, names, found in os.walk(entry.path):
                    names[:] = [name for name in names if not _hidden(name)]
                    shown = [name for name in sorted(found) if not _hidden(name) and _is_noteworthy(name)]
                    deeper += [os.path.join(below, name) for name in shown]
            elif _is(entry, "file") and is_image(entry.path):
                images.append((unicodedata.normalize("NFC", entry.name), entry.name, entry.path))
            elif _is_noteworthy(entry.name):
                passed_over.append(entry.path)
    return [path for *_, path in sorted(images)], passed_over, deeper


def _entries(folder):
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not _hidden(entry.name)), key=lambda entry: entry.name)


def _is(entry, kind):
    """Whether an entry is a regular file or a folder, also by a link; a link to itself is neither."""
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:
        return False


def _hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _suffix(name):
    return os.path.splitext(name)[1].lower()


def _is_noteworthy(name):
    return _suffix(name) not in _NOTE_SUFFIXES and name.lower() not in _LITTER


def is_image(path):
    """Whether a regular file is an image by the ending of its name, or else because it begins like one."""
    if _suffix(path) in IMAGE_SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            return format_of(file.read(SIGNATURE_BYTES)) is not None
    except OSError:
        # Decoding it will say why it cannot be read.
        return True


def _foreign(paths):
    """A sentence about formats of images that are not read, counted by name; empty where there are none."""
    found = collections.Counter(filter(None, map(_foreign_format, paths)))
    if not found:
        return ""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    return f" Among them are images in other formats ({counts}): save these as JPEG or PNG."


def _foreign_format(path):
    if not os.path.isfile(path):  # a pipe would let us wait for ever
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(SIGNATURE_BYTES)
    except OSError:
        head = b""
    return foreign_format_of(head, _suffix(path))


def _count(paths):
    return "1 file" if len(paths) == 1 else f"{len(paths)} files"


def _some(paths):
    named = ", ".join(repr(os.path.join(*pathlib.Path(path).parts[-2:])) for path in paths[:_NAMED])
    return named if len(paths) <= _NAMED else f"{named} and {len(paths) - _NAMED} more"
