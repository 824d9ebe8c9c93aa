"""Images of any size become squares of one size."""

import math

import cv2
import numpy as np

from kgpc.arguments import integer
from kgpc.datasets.arguments import MAX_SIDE, check_choice

FITS = ("pad", "crop", "stretch")
INTERPOLATIONS = ("nearest", "nearest_center", "area")

# A padded image of more pixels than this (360 MB) is not made; its resized pixels are computed without it.
_MAX_PADDED = 120_000_000


def check_resizing(image_size, shape, interpolation):
    """Returns the size as an int; raises a TypeError or ValueError if an argument is none of those allowed."""
    image_size = integer("image_size", image_size, 8, MAX_SIDE)
    check_choice("shape", shape, FITS)
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    return image_size


def fit(pixels, size, shape="pad", interpolation="nearest"):
    """Makes an image square and resizes it.

    Args:
        pixels: uint8 array `(height, width, 3)`.
        size: int >= 1, side of the result in pixels.
        shape: how an image becomes square. "pad" adds black borders and keeps all of it (as the published runs did,
            the image in the centre), "crop" takes the largest square in the centre, "stretch" changes the proportions.
        interpolation: "nearest" takes the pixel at `floor(position * scale)` (OpenCV's, as most published runs did),
            "nearest_center" the one under the centre of the new pixel (Pillow's), "area" the mean of the pixels that a
            new one covers (linear interpolation where the image is enlarged).

    Returns:
        uint8 array `(size, size, 3)`.
    """
    height, width = pixels.shape[:2]
    if shape == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    elif shape == "pad" and height != width:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        if side**2 > _MAX_PADDED:
            return _fit_in_large_square(pixels, size, side, top, left, interpolation)
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + height, left : left + width] = pixels
        pixels = square
    if pixels.shape[:2] == (size, size):
        return pixels
    if interpolation == "nearest_center":
        # OpenCV's own method for this takes other pixels in some releases.
        rows, columns = (_centers(size, length) for length in pixels.shape[:2])
        return pixels[np.ix_(rows, columns)]
    method = cv2.INTER_NEAREST
    if interpolation == "area":
        method = cv2.INTER_LINEAR if max(pixels.shape[:2]) < size else cv2.INTER_AREA
        if min(pixels.shape[:2]) < size < max(pixels.shape[:2]):
            # One side shrinks and the other grows: at once, OpenCV would take two pixels of each side and no means.
            pixels = cv2.resize(
                pixels, tuple(min(length, size) for length in pixels.shape[1::-1]), interpolation=method
            )
            method = cv2.INTER_LINEAR
    return cv2.resize(pixels, (size, size), interpolation=method)


def _centers(size, length):
    """The pixels of `length` under the centres of `size` new ones.

    Pillow adds up the steps. A centre on the border of two pixels falls to the one that its rounding errors decide.
    """
    step = length / size
    return np.floor(np.cumsum(np.r_[step / 2, np.full(size - 1, step)])).astype(np.int64).clip(0, length - 1)


def _fit_in_large_square(pixels, size, side, top, left, interpolation):
    """What `fit` gives for a padded square that would take too much memory: only the image itself is read.

    `size` is smaller than `side` here.
    """
    if interpolation == "area":
        columns = _means(pixels.swapaxes(0, 1), size, side, left)
        result = _means(columns.swapaxes(0, 1), size, side, top)
        return np.rint(result).astype(np.uint8)
    if interpolation == "nearest_center":
        chosen = _centers(size, side)
    else:
        chosen = np.floor(np.arange(size) * (side / size)).astype(np.int64)
    result = np.zeros((size, size, 3), np.uint8)
    inside = []
    for length, offset in zip(pixels.shape[:2], (top, left), strict=True):
        inside.append(np.flatnonzero((chosen >= offset) & (chosen < offset + length)))
    rows, columns = inside
    result[np.ix_(rows, columns)] = pixels[np.ix_(chosen[rows] - top, chosen[columns] - left)]
    return result


def _means(pixels, size, side, offset):
    """Means along the first axis over `size` equal parts of `side` positions; the pixels begin at `offset`."""
    scale = side / size
    result = np.zeros((size, *pixels.shape[1:]), np.float32)
    for part in range(size):
        low = max(part * scale - offset, 0.0)
        high = min((part + 1) * scale - offset, float(len(pixels)))
        first, last = math.floor(low), math.ceil(high)
        if first >= last:
            continue
        total = pixels[first:last].sum(axis=0, dtype=np.float32)
        # The first and the last pixel may lie in this part with a share only.
        total -= np.float32(low - first) * pixels[first]
        total -= np.float32(last - high) * pixels[last - 1]
        result[part] = total / np.float32(scale)
    return result
