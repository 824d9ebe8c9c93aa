"""Deletion and insertion: what becomes of a class's probability when pixels go or come in the order of a map."""

import itertools
import typing

import cv2
import numpy as np

from kgpc.arguments import positive_integer, received
from kgpc.cam.arguments import check_classes, check_images, numeric_array
from kgpc.cam.classifiers import check_model
from kgpc.cam.gradients import outside_of_traces
from kgpc.cam.scores import Scorer

_BLUR = 0.1  # standard deviation of the blur, in shorter sides of the image


class Curve(typing.NamedTuple):
    """How the probability of a class changes with the pixels that are deleted or inserted.

    Attributes:
        fractions: float64 array (steps + 1,), shares of the pixels, from 0 to 1.
        probabilities: float32 array (n, steps + 1), or (n, k, steps + 1) for k classes of each image.
        areas: float64 array (n,) or (n, k), the areas under the curves, in [0, 1], by the trapezoidal rule.
    """

    fractions: np.ndarray
    probabilities: np.ndarray
    areas: np.ndarray


@outside_of_traces
def deletion_curve(model, images, maps, class_index=None, *, baseline="mean", steps=20, batch_size=32):
    """The probability of a class while pixels are taken away, those first where a map is strongest.

    If the map shows what the model looks at, the probability falls early, and the area under the curve is small. Two
    cautions: an image with holes is unlike all that the model was trained with, and the areas of two models cannot be
    compared, only those of two maps of one model.

    A map is enlarged to the image by bilinear interpolation. Pixels of equal value follow each other row by row from
    the top left, so the curve of a map that is 0 in large parts tells little where those go.

    Args:
        model: a functional or Sequential Keras model with its classifier, as for `class_scores`.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        maps: floating-point array (n, map height, map width), such as of `grad_cam`; (n, k, map height, map width) for
            k classes of each image. Only the order of the values counts.
        class_index: int in [0, classes), or n of them; an array (n, k) where there are k maps of each image. Default:
            for each image the class the model predicts of the whole image, for all its maps.
        baseline: what stands where a pixel is missing: "mean", the mean colour of the image; "blur", the image under a
            Gaussian blur whose standard deviation is a tenth of its shorter side; or the numbers of one colour, one for
            each channel.
        steps: int in [1, height * width], into how many equal parts the pixels are divided.
        batch_size: int >= 1, images in each pass through the model; steps + 1 are computed for each map.

    Returns:
        `Curve`: at fraction 0 of the image as it is, at fraction 1 of the baseline alone.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is not one map for each image (and class), they are not finite, `baseline` or `steps` is
            not as described, or as `class_scores`.

    Reference: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    arXiv:1806.07421.
    """
    return _curve(model, images, maps, class_index, baseline, steps, batch_size, deleting=True)


@outside_of_traces
def insertion_curve(model, images, maps, class_index=None, *, baseline="blur", steps=20, batch_size=32):
    """The probability of a class while the pixels of an image come back, those first where a map is strongest.

    If the map shows what the model looks at, the probability rises early, and the area under the curve is large.
    `deletion_curve` has the cautions.

    Args:
        model: a functional or Sequential Keras model with its classifier, as for `class_scores`.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        maps: floating-point array (n, map height, map width), or (n, k, map height, map width).
        class_index: int in [0, classes), or n of them; an array (n, k) for k maps of each image. Default: for each
            image the class the model predicts of the whole image, for all its maps.
        baseline: "mean", "blur" or one colour, as in `deletion_curve`. Into a blurred image pixels bring fewer edges
            that are none of the image's than into one of a single colour.
        steps: int in [1, height * width], into how many equal parts the pixels are divided.
        batch_size: int >= 1, images in each pass through the model; steps + 1 are computed for each map.

    Returns:
        `Curve`: at fraction 0 of the baseline alone, at fraction 1 of the image as it is.

    Raises:
        TypeError, ValueError: as `deletion_curve`.

    Reference: Petsiuk et al. 2018, arXiv:1806.07421.
    """
    return _curve(model, images, maps, class_index, baseline, steps, batch_size, deleting=False)


def _curve(model, images, maps, class_index, baseline, steps, batch_size, deleting):
    unrolled = check_model(model)
    images = check_images(unrolled, images)
    several, maps = _checked_maps(maps, len(images), class_index)
    pixels = images.shape[1] * images.shape[2]
    steps, batch_size = positive_integer("steps", steps, pixels), positive_integer("batch_size", batch_size)
    replaced = _baselines(images, baseline)
    scorer = Scorer(unrolled)
    if class_index is None:
        class_index = scorer.predicted(images, batch_size)
    classes = np.broadcast_to(check_classes(class_index, len(images), scorer.classes), maps.shape[:2])
    counts = np.arange(steps + 1) * pixels // steps

    def variants():
        """Of each map of each image, the image at each step."""
        for image, other, heats in zip(images, replaced, maps, strict=True):
            start, end = (image, other) if deleting else (other, image)
            start, end = start.reshape(pixels, -1), end.reshape(pixels, -1)
            for heat in heats:
                order = _order(heat, image.shape[:2])
                for count in counts:
                    current = start.copy()
                    current[order[:count]] = end[order[:count]]
                    yield current.reshape(image.shape)

    labels = np.repeat(classes.ravel(), steps + 1)
    probabilities = _probabilities(scorer, variants(), labels, batch_size).reshape(*maps.shape[:2], steps + 1)
    fractions = counts / pixels
    middles = (probabilities[..., 1:].astype("float64") + probabilities[..., :-1]) / 2
    areas = (middles * np.diff(fractions)).sum(axis=-1)
    return Curve(fractions, probabilities, areas) if several else Curve(fractions, probabilities[:, 0], areas[:, 0])


def _probabilities(scorer, variants, labels, batch_size):
    """The probability of its class for each of a stream of images, in batches of one size."""
    size = min(batch_size, len(labels))
    found = []
    for start in range(0, len(labels), size):
        batch = list(itertools.islice(variants, size))
        wanted = labels[start : start + size]
        # The last one is filled up: JAX would compile the model again for another size.
        images = np.stack(batch + batch[-1:] * (size - len(batch)))
        _, probabilities = scorer(images)
        found.append(probabilities[np.arange(len(wanted)), wanted])
    return np.concatenate(found)


def _order(heat, size):
    """Numbers of the pixels in the order of an enlarged map, its largest value first."""
    for axis, pixels in enumerate(size):
        heat = _enlarged(heat, pixels, axis)
    return np.argsort(-heat.ravel(), kind="stable")


def _enlarged(heat, pixels, axis):
    """Linear interpolation along an axis, in double precision, so that equal values stay equal on every machine."""
    cells = heat.shape[axis]
    places = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    lower = places.astype(int)
    weights = np.expand_dims(places - lower, 1 - axis)
    upper = np.minimum(lower + 1, cells - 1)
    return np.take(heat, lower, axis) * (1 - weights) + np.take(heat, upper, axis) * weights


def _checked_maps(maps, count, class_index):
    """Whether there are several maps of an image, and the maps, (n, k, height, width)."""
    shapes = f"({count}, map height, map width) or ({count}, k, map height, map width)"
    expected = f"an array of finite floating-point numbers of shape {shapes}, for the {count} images"
    heat = numeric_array("maps", maps, expected)
    if heat.dtype.kind != "f" or heat.ndim not in (3, 4) or len(heat) != count or not heat.size:
        raise ValueError(f"`maps` must be {expected}. Received: maps of shape {heat.shape}, dtype {heat.dtype}.")
    if not np.isfinite(heat).all():
        raise ValueError(f"`maps` must be {expected}. Received: NaN or infinity.")
    asked = np.shape(class_index) if np.ndim(class_index) == 2 else None
    if asked is not None and (heat.ndim == 3 or heat.shape[1] != asked[1]):
        raise ValueError(
            f"`maps` must be one for each of the {asked[1]} classes of each image, where `class_index` is of shape "
            f"{asked}. Received: maps of shape {heat.shape}."
        )
    return heat.ndim == 4, (heat if heat.ndim == 4 else heat[:, None]).astype("float64")


def _baselines(images, baseline):
    """What is there where pixels are missing, an array like `images`."""
    expected = f'"mean", "blur", or {images.shape[-1]} finite numbers, one for each channel'
    if isinstance(baseline, str):
        if baseline == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True, dtype="float64"), images.shape).astype(
                "float32"
            )
        if baseline == "blur":
            deviation = _BLUR * min(images.shape[1:3])
            blurred = [cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT) for image in images]
            return np.stack(blurred).reshape(images.shape)
        raise ValueError(f"`baseline` must be {expected}. Received: baseline={baseline!r}.")
    colour = numeric_array("baseline", baseline, expected)
    if colour.shape != images.shape[-1:] or not np.isfinite(colour).all() or colour.dtype.kind == "b":
        raise ValueError(f"`baseline` must be {expected}. {received('baseline', baseline)}")
    return np.broadcast_to(colour, images.shape).astype("float32")
