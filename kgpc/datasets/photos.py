"""Colour images that come along: a few photographs without copyright restrictions, and what is cut from them.

`photo_patches` makes a small classification task of them (from which photograph is this patch?), `photo_collages`
pictures that show several classes at known places. Both keep the training and the test part of each photograph apart.
"""

import dataclasses
import hashlib
import json

import cv2
import numpy as np

from kgpc.arguments import integer
from kgpc.datasets.arguments import check_choice, check_seed
from kgpc.datasets.images import ImageDataset
from kgpc.resources import data_path

PARTS = ("train", "test")

# A photograph is divided into 3x3 cells. These (row, column) are its test part: one in each row and each column, so
# that the test part sees the middle as well as the borders.
_TEST_CELLS = ((0, 2), (1, 0), (2, 1))

_RESTORE = (
    "Restore it: `git checkout -- data` in a checkout, or install kgpc again; "
    "or make it anew with data/make_photographs.py of the repository."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A colour photograph that is shipped with kgpc.

    Attributes:
        name: str, one word: the class of its patches.
        title: str, what it shows.
        author: str.
        licence: str, `"CC0-1.0"` or `"public domain"`.
        source: str, where the picture was taken from.
        pixels: uint8 array `(height, width, 3)`, red, green and blue in [0, 255].
    """

    name: str
    title: str
    author: str
    licence: str
    source: str
    pixels: np.ndarray

    @property
    def test_area(self):
        """Bool array `(height, width)`: True in the part that patches and collages for testing are cut from."""
        height, width = self.pixels.shape[:2]
        area = np.zeros((height, width), bool)
        for row, column in _TEST_CELLS:
            rows = slice(row * height // 3, (row + 1) * height // 3)
            area[rows, column * width // 3 : (column + 1) * width // 3] = True
        return area

    def __repr__(self):
        height, width = self.pixels.shape[:2]
        return f"<Photograph {self.name!r}: {self.title}, {height}x{width}, {self.author} ({self.licence})>"


def photographs():
    """Loads the colour photographs that are shipped with kgpc; needs no network.

    Six photographs, 300 pixels high and 300 to 451 wide, in the public domain or dedicated to it by their authors. They
    are cropped and made smaller by `data/make_photographs.py`; `data/README.md` says where each comes from.

    Returns:
        Tuple of `Photograph`, always in the same order.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged: its SHA-256 is not the one in the manifest.

    Example:
    >>> photographs()[0]
    <Photograph 'cat': Chelsea the cat, 300x451, Stefan van der Walt (CC0-1.0)>
    """
    manifest_path = data_path("photographs/manifest.json")
    try:
        entries = json.loads(manifest_path.read_text(encoding="utf-8"))
        files = [(entry["file"], entry["sha256"]) for entry in entries]
        described = [{key: entry[key] for key in ("name", "title", "author", "licence", "source")} for entry in entries]
        if not described:
            raise ValueError("it names no photograph")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The manifest {manifest_path} is damaged: {error!r}. {_RESTORE}") from error
    return tuple(
        Photograph(**description, pixels=_checked_pixels(file, expected))
        for description, (file, expected) in zip(described, files, strict=True)
    )


def _checked_pixels(file, expected):
    path = data_path(f"photographs/{file}")
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise ValueError(f"The file {path} is damaged: its SHA-256 is {actual}, expected {expected}. {_RESTORE}")
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def photo_patches(size=32, train_per_photograph=300, test_per_photograph=100, seed=7):
    """Cuts a small colour data set from the shipped photographs: from which of them is a patch?

    Each photograph is divided into 3x3 cells. Three of them, one in each row and column, are its test part
    (`Photograph.test_area`); a training patch has no pixel in common with it, a test patch lies entirely in it.
    Positions are drawn at random without repetition, so patches of the same part overlap each other. Whoever succeeds
    here tells a few pictures apart by colour and texture; it says little of how well objects are recognized.

    Args:
        size: int in [8, 100], side of a patch in pixels.
        train_per_photograph: int >= 1, training patches of each photograph.
        test_per_photograph: int >= 1, test patches of each photograph.
        seed: int in [0, 2**32), the same seed draws the same patches.

    Returns:
        `ImageDataset` with images of shape `(n, size, size, 3)`; the classes are the names of the photographs. The
        images of a class follow each other.

    Raises:
        TypeError: if an argument is not an int.
        ValueError: if `size` or `seed` is out of range, or a photograph has fewer positions than asked for.
        FileNotFoundError: if a photograph is missing.

    Example:
    >>> photo_patches()
    <ImageDataset 'photograph patches': 1800 training and 600 test images of 32x32x3, 6 classes>
    """
    integer("size", size, 8, 100)
    integer("train_per_photograph", train_per_photograph, 1)
    integer("test_per_photograph", test_per_photograph, 1)
    check_seed(seed)
    pictures = photographs()
    generator = np.random.RandomState(seed)  # its stream is frozen, that of `default_rng` may change
    images, labels = {}, {}
    for part, count in zip(PARTS, (train_per_photograph, test_per_photograph), strict=True):
        cut = [_draw_patches(picture, part, size, count, generator) for picture in pictures]
        images[part] = np.concatenate(cut)
        labels[part] = np.repeat(np.arange(len(pictures), dtype=np.int64), count)
    return ImageDataset(
        name="photograph patches",
        x_train=images["train"],
        y_train=labels["train"],
        x_test=images["test"],
        y_test=labels["test"],
        class_names=tuple(picture.name for picture in pictures),
    )


def photo_collages(count=24, grid=2, size=32, part="test", seed=7):
    """Puts patches of different photographs beside each other: pictures in which the place of each class is known.

    Args:
        count: int in [1, 100000], number of collages.
        grid: int in [2, 8], tiles in each row and in each column. No tile beside or above another shows the same
            photograph; with `grid=2` all four tiles are of different photographs.
        size: int in [8, 100], side of a tile in pixels.
        part: `"test"` or `"train"`, the part of the photographs that tiles are cut from. The parts are those of
            `photo_patches`.
        seed: int in [0, 2**32).

    Returns:
        Tuple `(images, classes)`: uint8 array `(count, grid * size, grid * size, 3)`, and int64 array
        `(count, grid, grid)` with the class of each tile, an index into `photo_patches().class_names`.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if an argument is out of range.
        FileNotFoundError: if a photograph is missing.
    """
    integer("count", count, 1, 100_000)
    integer("grid", grid, 2, 8)
    integer("size", size, 8, 100)
    check_choice("part", part, PARTS)
    check_seed(seed)
    pictures = photographs()
    generator = np.random.RandomState(seed)
    classes = np.stack([_draw_tiles(len(pictures), grid, generator) for _ in range(count)])
    images = np.empty((count, grid * size, grid * size, 3), np.uint8)
    positions = [_positions(picture, part, size) for picture in pictures]
    for index, row, column in np.ndindex(classes.shape):
        label = classes[index, row, column]
        top, left = positions[label][generator.randint(len(positions[label]))]
        tile = pictures[label].pixels[top : top + size, left : left + size]
        images[index, row * size : (row + 1) * size, column * size : (column + 1) * size] = tile
    return images, classes


def _draw_tiles(class_count, grid, generator):
    """The classes of one collage, drawn so that no two tiles in a 2x2 neighbourhood are the same."""
    tiles = np.full((grid, grid), -1, np.int64)
    for row, column in np.ndindex(grid, grid):
        near = tiles[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 2]
        tiles[row, column] = generator.choice(np.setdiff1d(np.arange(class_count), near))
    return tiles


def _draw_patches(picture, part, size, count, generator):
    positions = _positions(picture, part, size)
    if count > len(positions):
        raise ValueError(
            f"`{part}_per_photograph` must be at most the number of positions of a {size}x{size} patch in the {part} "
            f"part, {len(positions)} in {picture.name!r}. Received: {part}_per_photograph={count}."
        )
    chosen = positions[generator.permutation(len(positions))[:count]]
    return np.stack([picture.pixels[top : top + size, left : left + size] for top, left in chosen])


def _positions(picture, part, size):
    """All `(top, left)` at which a patch lies entirely in one part, as an array `(n, 2)`."""
    # Pixels of the test part in every window, from sums over rectangles that begin in the corner.
    sums = np.pad(picture.test_area.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return np.argwhere(inside == (size * size if part == "test" else 0))
