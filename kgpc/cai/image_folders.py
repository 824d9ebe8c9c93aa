"""Folders of images under old names: fetching them, dividing them, loading them into memory."""

import filecmp
import os
import random
import shutil
import urllib.request
import warnings

import cv2
import numpy as np

from kgpc.cai import checks, scaling
from kgpc.cai.flows import IMAGE_SUFFIXES, resized
from kgpc.datasets import extract_archive
from kgpc.datasets.decoding import decode

_BLOCK = 2**20
# Rounding error of sums of part sizes, and of their products with the number of images.
_TOLERANCE = 1e-9


def download_zip_and_extract(url_zip_file, local_zip_file, expected_folder_name, Verbose=True):
    """Downloads and unpacks a zip archive where its folder is missing.

    An archive that is there is not downloaded again. Where the folder is there, nothing is done.

    The archive gets its name when it is complete, the folder when all is unpacked; entries that lead out of the folder,
    links and the like are refused (`kgpc.datasets.extract_archive`).

    Args:
        url_zip_file: str, address of the archive.
        local_zip_file: path where the archive is, or goes.
        expected_folder_name: path of the folder that is made, and unpacked into.
        Verbose: bool, whether it is printed what is done.

    Raises:
        TypeError: if an argument is something else.
        OSError: if the download fails.
        ValueError: if `url_zip_file` is no address; or if the archive is damaged or refused, which stays where it is.
    """
    archive, folder = (
        checks.path("local_zip_file", local_zip_file),
        checks.path("expected_folder_name", expected_folder_name),
    )
    if not isinstance(url_zip_file, str):
        raise TypeError(f"`url_zip_file` must be a str. Received: url_zip_file={url_zip_file!r}.")
    verbose = checks.flag("Verbose", Verbose)
    if folder.is_dir():
        return
    if not archive.is_file():
        if verbose:
            print(f"Downloading {url_zip_file} to {archive}")
        _download(url_zip_file, archive)
    if verbose:
        print(f"Unpacking {archive} into {folder}")
    extract_archive(archive, folder)


def _download(url, path):
    try:
        urllib.request.Request(url)
    except ValueError as error:
        raise ValueError(
            f"`url_zip_file` must be an address such as https://... Received: url_zip_file={url!r}."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with urllib.request.urlopen(url) as source, open(unfinished, "wb") as target:
            expected = source.headers.get("Content-Length")
            shutil.copyfileobj(source, target, _BLOCK)
            if expected is not None and target.tell() != int(expected):
                raise OSError(f"{url} ended after {target.tell()} of {expected} bytes.")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def extract_subset_every(source_folder, dest_folder, move_every=10, shift=0, verbose=False):
    """MOVES every n-th file of each class folder into the folder of the same name below another one.

    Files are counted by their sorted names: position `shift`, then every `move_every`-th. The published runs first
    moved each 10th for validation, then each 9th OF WHAT WAS LEFT for testing: 80, 10 and 10%.

    The call can be repeated. What an interrupted call began is completed, and where a subset was taken nothing more is:
    the names in both folders together say what was there before. For this, `dest_folder` must be the subset's own.

    Args:
        source_folder: path of a folder with one sub-folder for each class. Hidden files do not count.
        dest_folder: path of the other folder; it and its sub-folders are made.
        move_every: int >= 1.
        shift: int >= 0, the first position.
        verbose: bool, whether the number of files of each class is printed.

    Raises:
        FileNotFoundError: if there is no `source_folder`.
        FileExistsError: if a file to be moved is at its destination already, with other content.
        TypeError, ValueError: if a number is out of range; if one of the folders is in the other; if a class or a file
            is a link; or if a folder of `dest_folder` has files that are not of this subset. Nothing is moved then.
    """
    source, destination = checks.folder("source_folder", source_folder), checks.path("dest_folder", dest_folder)
    move_every, shift = checks.integer("move_every", move_every, 1), checks.integer("shift", shift, 0)
    verbose = checks.flag("verbose", verbose)
    inner, outer = destination.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ValueError(
            "`dest_folder` and `source_folder` must not be in one another. "
            f"Received: source_folder={str(source)!r}, dest_folder={str(destination)!r}."
        )
    if destination.exists() and not destination.is_dir():
        raise ValueError(f"`dest_folder` must be a folder. Received: dest_folder={str(destination)!r}.")
    moves = {}
    for folder in _class_folders("source_folder", source):
        if folder.is_symlink():
            raise ValueError(f"`source_folder` must have no links. Received: {folder} is one.")
        moves[folder.name] = _moves(folder, destination / folder.name, move_every, shift)
    for name, pairs in moves.items():
        (destination / name).mkdir(parents=True, exist_ok=True)
        for origin, target in pairs:
            _move(origin, target)
        if verbose:
            print(f"{name}: {len(pairs)} files moved to {destination / name}")


def _class_folders(argument, folder):
    found = sorted((entry for entry in folder.iterdir() if entry.is_dir() and not _hidden(entry)), key=_name)
    if not found:
        raise ValueError(f"`{argument}` must have a sub-folder for each class. Received: {argument}={str(folder)!r}.")
    return found


def _hidden(path):
    return path.name.startswith(".")


def _name(path):
    return path.name


def _files(folder):
    """Names of the files of a class, or none where there is no folder."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder} must be a folder, and no link.")
    entries = [entry for entry in folder.iterdir() if not _hidden(entry)] if folder.is_dir() else []
    for entry in entries:
        if entry.is_symlink():
            raise ValueError(f"{folder} must have no links. Received: {entry} is one.")
    return {entry.name for entry in entries if entry.is_file()}


def _moves(origin, target, move_every, shift):
    """Pairs of paths that are still to be moved from one class folder to the other."""
    here, there = _files(origin), _files(target)
    planned = sorted(here | there)[shift::move_every]
    if there <= set(planned):
        for name in sorted(here & there):
            if not filecmp.cmp(origin / name, target / name, shallow=False):
                raise FileExistsError(f"{target / name} is there already; {origin / name} was not moved.")
        return [(origin / name, target / name) for name in planned if name in here]
    # A later call has taken its part of what this one had left, or these files are others.
    if len(there) >= len(planned) and not here & there:
        return []
    raise FileExistsError(
        f"`dest_folder` must have no other files than those of this subset. Received: {target} with "
        f"{min(there - set(planned))!r}."
    )


def _move(origin, target):
    """Moves a file, also to another disk; at no moment is there half of it."""
    if target.exists():  # complete, see above: only the removal is left
        origin.unlink()
        return
    try:
        origin.rename(target)
    except OSError:
        unfinished = target.with_name(f".{target.name}.part")
        shutil.copy2(origin, unfinished)
        unfinished.rename(target)
        origin.unlink()


def load_images_from_folders(
    seed=None,
    root_dir=None,
    lab=False,
    verbose=True,
    bipolar=False,
    base_model_name="plant_leaf",
    training_size=0.6,
    validation_size=0.2,
    test_size=0.2,
    target_size=(224, 224),
    has_training=True,
    has_validation=True,
    has_testing=True,
    smart_resize=False,
):
    """Loads a folder that has one sub-folder for each class into memory, divided into three parts.

    In each class the files are shuffled and cut. The published runs shuffled the files in the order in which the file
    system happened to list them; here they are sorted first, so that a seed gives the same parts everywhere, though not
    the published ones: a warning says so where a part of the files is chosen.

    Args:
        seed: int for Python's `random`, which is seeded once for all classes, or None.
        root_dir: path of the folder. Classes are its sub-folders, sorted by name; hidden ones are passed over.
        lab: bool, whether images are turned into CIE L*a*b*.
        verbose: bool, whether it is printed what is loaded.
        bipolar: bool, whether the values are around 0, see `kgpc.cai.scaling.scaled`.
        base_model_name: without effect. It names a cache.
        training_size: number in [0, 1]; each class is cut at n * training_size, rounded down. A size of 0 leaves a part
            out.
        validation_size: number in [0, 1]; the next cut is at n * (training_size + validation_size), rounded down.
        test_size: number in [0, 1]; where the sizes sum to 1 or more, the test part goes to the end. Sums and products
            are taken as exact: 0.7, 0.2 and 0.1 are 1, though in floating point they are a little less.
        target_size: height and width in pixels.
        has_training: bool, whether the images of this part are loaded. Its labels always are.
        has_validation: bool, the same for validation.
        has_testing: bool, the same for the test part.
        smart_resize: bool. False: images get the size directly, by Pillow's "nearest". True: they are scaled, padded
            with zeros to a square, half of the difference on both ends (one pixel is missing where it is odd), and
            then get the size by OpenCV's "nearest". As the padding comes after the scaling, it is black in RGB,
            saturated in Lab (L = 0, a = b = -100, where neutral would be 0.5) and mid-grey where `bipolar` is on.

    Returns:
        Tuple `(train_x, val_x, test_x, train_y, val_y, test_y, class_weight, classes)`: float32 images
        (n, height, width, 3), or an empty array for a part that is not loaded; one-hot float32 labels (n, classes);
        a dict {class index: N / (classes * images of the class)} over the training part, or None without one; and the
        list of class names.

    Raises:
        FileNotFoundError: if there is no such folder.
        TypeError, ValueError: if an argument is something else, the training and validation sizes exceed 1 together,
            or an image cannot be decoded.
    """
    root = checks.folder("root_dir", root_dir)
    flags = {"lab": lab, "verbose": verbose, "bipolar": bipolar, "smart_resize": smart_resize}
    lab, verbose, bipolar, smart_resize = (checks.flag(name, value) for name, value in flags.items())
    sizes = {"training_size": training_size, "validation_size": validation_size, "test_size": test_size}
    sizes = [checks.number(name, value, high=1, include_high=True) for name, value in sizes.items()]
    loaded = {"has_training": has_training, "has_validation": has_validation, "has_testing": has_testing}
    loaded = [checks.flag(name, value) for name, value in loaded.items()]
    target_size = checks.size("target_size", target_size)
    if seed is not None:
        checks.integer("seed", seed, 0)
    folders = _class_folders("root_dir", root)
    parts = _divide(folders, random.Random(seed), sizes)
    if sum(0 < size < 1 for size in sizes):
        warnings.warn(
            "The published runs divided the files in the order of their file system, which nobody can have again. "
            "Here they are sorted first: the parts are the same everywhere, but not the published ones.",
            UserWarning,
            stacklevel=2,
        )
    images, labels = [], []
    for name, part, wanted in zip(("training", "validation", "test"), parts, loaded, strict=True):
        if wanted and part:
            if verbose:
                print(f"Loading {len(part)} {name} images of {len(folders)} classes from {root}")
            images.append(_load(part, target_size, lab, bipolar, smart_resize))
        else:
            images.append(np.array([]))
        labels.append(np.eye(len(folders), dtype=np.float32)[[index for _, index in part]])
    counts = labels[0].sum(axis=0)
    class_weight = None
    if loaded[0] and len(labels[0]):
        # A class without an image has no weight, and needs none.
        weights = {index: float(counts.sum() / (len(counts) * count)) for index, count in enumerate(counts) if count}
        class_weight = weights
    return *images, *labels, class_weight, [folder.name for folder in folders]


def _divide(folders, generator, sizes):
    """Three lists of (path, class index)."""
    training, validation, test = sizes
    if training + validation > 1 + _TOLERANCE:
        raise ValueError(
            "`training_size` and `validation_size` must not exceed 1 together. "
            f"Received: training_size={training}, validation_size={validation}."
        )
    # Without the tolerance 0.7 + 0.2 + 0.1 = 0.9999999999999999 would leave images out.
    ends = [training, training + validation, training + validation + test]
    ends = [1 if end >= 1 - _TOLERANCE else end for end in ends]
    parts = [], [], []
    for index, folder in enumerate(folders):
        entries = sorted((entry for entry in folder.iterdir() if not _hidden(entry)), key=_name)
        files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
        generator.shuffle(files)
        cuts = [0, *(int(len(files) * end + _TOLERANCE) for end in ends)]
        for part, size, start, stop in zip(parts, sizes, cuts, cuts[1:], strict=False):
            if size:
                part.extend((file, index) for file in files[start:stop])
    return parts


def _load(part, target_size, lab, bipolar, smart_resize):
    images = np.empty((len(part), *target_size, 3), np.float32)
    for image, (path, _) in zip(images, part, strict=True):
        pixels = decode(path, orient=False)
        if not smart_resize:
            image[:] = scaling.scaled(resized(pixels, target_size)[np.newaxis], lab, bipolar)[0]
            continue
        padded = _padded(scaling.scaled(pixels[np.newaxis], lab, bipolar)[0])
        if padded.shape[:2] != target_size:
            padded = cv2.resize(padded, target_size[::-1], interpolation=cv2.INTER_NEAREST)
        image[:] = padded
    return images


def _padded(image):
    """An image with zeros at both ends of its shorter side, (longer - shorter) // 2 at each."""
    height, width = image.shape[:2]
    rows, columns = (max(height, width) - height) // 2, (max(height, width) - width) // 2
    return np.pad(image, ((rows, rows), (columns, columns), (0, 0)))
