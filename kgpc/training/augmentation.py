"""Random transformations of training images, the published ones, as values.

`Augmentation` holds the ranges. `sample` draws a `Transformation` from them, with a generator of random numbers that
depends on seed, epoch and position of the image and on nothing else: so it does not matter in which order, in which
process, or after which interruption an image is transformed. `Transformation.apply` transforms an image.
"""

import dataclasses
import math
import numbers

import cv2
import numpy as np

from kgpc.arguments import integer, number

# The longest side of an image that OpenCV transforms.
_MOST_PIXELS = 32_766


@dataclasses.dataclass(frozen=True, eq=False)
class Transformation:
    """What is done to one image; drawn by `Augmentation.sample`.

    Attributes:
        matrix: float64 array (2, 3). A pixel of the result at (x, y), counted in pixels from the centre of the one at
            the left and top, has the value of the original at `matrix @ (x, y, 1)`, interpolated linearly.
        channel_shift: float, added to all values before they are limited to the range that the image had.
    """

    matrix: np.ndarray
    channel_shift: float = 0.0

    def __post_init__(self):
        matrix = self.matrix
        if not isinstance(matrix, np.ndarray) or matrix.shape != (2, 3) or matrix.dtype != np.float64:
            received = f"{matrix.dtype}, shape {matrix.shape}" if isinstance(matrix, np.ndarray) else repr(matrix)
            raise TypeError(f"`matrix` must be a float64 array of shape (2, 3). Received: matrix={received}.")
        if not np.isfinite(matrix).all():
            raise ValueError(f"`matrix` must be finite. Received: matrix={matrix.tolist()}.")
        number("channel_shift", self.channel_shift)

    def apply(self, image):
        """Transforms an image; what is uncovered at a margin is filled with the nearest pixel.

        Args:
            image: float32 array (height, width, channels), at most 32,766 pixels high and wide.

        Returns:
            float32 array of the same shape.

        Raises:
            TypeError, ValueError: if `image` is something else.
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.float32:
            received = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else repr(image)
            raise TypeError(f"`image` must be a float32 array. Received: image={received}.")
        if image.ndim != 3 or not image.size or max(image.shape) > _MOST_PIXELS:
            raise ValueError(
                "`image` must have the shape (height, width, channels), of at least one and at most "
                f"{_MOST_PIXELS:,} each. Received: image.shape={image.shape}."
            )
        result = np.empty(image.shape, np.float32)
        transform(image, self.matrix, self.channel_shift, result)
        return result


def transform(image, matrix, channel_shift, into):
    """What `Transformation.apply` does, without looking at what it is given.

    Args:
        image: float32 array (height, width, channels).
        matrix: float64 array (2, 3).
        channel_shift: float.
        into: float32 array of the same shape as `image` and contiguous, which takes the result.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = image.shape[1::-1]
    # OpenCV has no axis of length 1.
    result = into[..., 0] if image.shape[-1] == 1 else into
    cv2.warpAffine(image, matrix, size, dst=result, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if channel_shift:
        np.clip(into + np.float32(channel_shift), into.min(), into.max(), out=into)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges of random transformations; the defaults are those of most published runs.

    Everything is drawn evenly from its range, to either side. The image is mirrored (each direction with probability
    1/2 where it is on), scaled along each axis by a factor of its own, sheared, shifted and turned, in this order,
    around its centre.

    Args:
        rotation: float >= 0, degrees.
        width_shift, height_shift: float >= 0, fraction of the image's width and height.
        shear: float >= 0, DEGREES. The published 0.2 is almost nothing.
        zoom: float in [0, 1): factors from `1 - zoom` to `1 + zoom`, drawn for each axis.
        channel_shift: float >= 0, largest value added to or taken from all channels, for images in [0, 1].
        shift_pixels: int >= 0, whole pixels of a shift along each axis, -n to n, all equally likely. Unlike a fraction
            of a pixel it changes no value, so an augmentation of flips and these alone does not blur.
        horizontal_flip, vertical_flip: bool.

    Raises:
        TypeError, ValueError: if a value is none of these.

    Example:

    >>> augmentation = Augmentation()
    >>> transformation = augmentation.sample((32, 32), sample_generator(seed=7, epoch=0, index=0))
    >>> transformation.matrix.shape
    (2, 3)

    Reference: the notebooks of Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """

    rotation: float = 20.0
    width_shift: float = 0.3
    height_shift: float = 0.3
    shear: float = 0.2
    zoom: float = 0.3
    channel_shift: float = 0.0
    shift_pixels: int = 0
    horizontal_flip: bool = True
    vertical_flip: bool = False

    def __post_init__(self):
        for name in ("rotation", "width_shift", "height_shift", "shear", "zoom", "channel_shift"):
            if number(name, getattr(self, name)) < 0:
                raise ValueError(f"`{name}` must be at least 0 and finite. Received: {name}={getattr(self, name)}.")
        integer("shift_pixels", self.shift_pixels, 0, _MOST_PIXELS)
        if self.zoom >= 1:
            raise ValueError(f"`zoom` must be in [0, 1). Received: zoom={self.zoom}.")
        for name in ("horizontal_flip", "vertical_flip"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"`{name}` must be a bool. Received: {name}={getattr(self, name)!r}.")

    def sample(self, shape, generator):
        """Draws a transformation.

        Args:
            shape: tuple of ints >= 1, height and width of the image in pixels; more items are ignored.
            generator: `numpy.random.Generator`.

        Returns:
            `Transformation`.

        Raises:
            TypeError, ValueError: if an argument is something else.
        """
        if not isinstance(shape, (tuple, list)) or len(shape) < 2:
            raise TypeError(f"`shape` must be a tuple with height and width. Received: shape={shape!r}.")
        for length in shape[:2]:
            if isinstance(length, bool) or not isinstance(length, numbers.Integral) or length < 1:
                raise ValueError(f"`shape` must have ints of at least 1. Received: shape={shape!r}.")
        if not (callable(getattr(generator, "uniform", None)) and callable(getattr(generator, "random", None))):
            raise TypeError(
                "`generator` must be a numpy.random.Generator, such as `sample_generator` gives. "
                f"Received: generator={generator!r}."
            )
        (matrix,), (channel_shift,) = self.draw(shape, [generator])
        return Transformation(matrix, channel_shift)

    def draw(self, shape, generators):
        """Draws a transformation from each of several generators, as `sample` does; faster than one after the other.

        Args:
            shape: tuple of ints >= 1, height and width of the images in pixels; more items are ignored.
            generators: list of `numpy.random.Generator`.

        Returns:
            tuple of float64 arrays: the matrices (n, 2, 3), and the channel shifts (n,) of the transformations.
        """
        height, width = shape[:2]
        n = self.shift_pixels
        drawn, mirrored, pixels = [], [], []
        for generator in generators:
            # Always the same number of draws, so that one range does not change what another draws.
            drawn.append(generator.uniform(-1.0, 1.0, size=7))
            mirrored.append(generator.random(2) < 0.5)
            if n:  # last, so that whether there are any changes nothing else that is drawn
                pixels.append(generator.integers(-n, n, size=2, endpoint=True))
        angle, right, down, shear, zoom_x, zoom_y, channel_shift = np.stack(drawn, axis=-1)
        # All of this in (x, y), with the centre of the image as origin, and from the result to the original.
        turn, slant, scale, flip = (np.zeros((len(drawn), 2, 2)) for _ in range(4))
        # The functions of `math`, whose last digit is the same on every machine with the same library.
        for index, (turned, slanted) in enumerate(
            zip((angle * self.rotation).tolist(), (shear * self.shear).tolist(), strict=True)
        ):
            turned, slanted = math.radians(turned), math.radians(slanted)
            sine, cosine = math.sin(turned), math.cos(turned)
            turn[index] = (cosine, sine), (-sine, cosine)
            slant[index] = (math.cos(slanted), 0.0), (-math.sin(slanted), 1.0)
        scale[:, 0, 0], scale[:, 1, 1] = 1 + zoom_x * self.zoom, 1 + zoom_y * self.zoom
        for axis, is_on in enumerate((self.horizontal_flip, self.vertical_flip)):
            flip[:, axis, axis] = np.where(np.stack(mirrored)[:, axis] & is_on, -1.0, 1.0)
        linear = turn @ slant @ scale @ flip
        moved = np.stack([right * self.width_shift * width, down * self.height_shift * height], axis=-1)
        shift = (turn @ moved[..., np.newaxis])[..., 0] + (np.stack(pixels) if n else 0.0)
        centre = np.array([width - 1, height - 1]) / 2
        matrices = np.empty((len(drawn), 2, 3))
        matrices[..., :2], matrices[..., 2] = linear, centre + shift - linear @ centre
        return matrices, channel_shift * self.channel_shift


# The first number of a seed says what is drawn with it, so that no two uses share a stream.
_ORDER, _AUGMENTATION = 1, 2


def order_generator(seed, epoch):
    """Generator for the order of the images in an epoch.

    Args:
        seed: int >= 0, of the recipe.
        epoch: int >= 0, number of the epoch, from 0.

    Returns:
        `numpy.random.Generator`; the same arguments always give the same numbers.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    return np.random.default_rng((_ORDER, integer("seed", seed, 0), integer("epoch", epoch, 0)))


def sample_generator(seed, epoch, index):
    """Generator for the transformation of one image in one epoch.

    Args:
        seed: int >= 0, of the recipe.
        epoch: int >= 0, number of the epoch, from 0.
        index: int >= 0, position of the image in the data set.

    Returns:
        `numpy.random.Generator`; the same arguments always give the same numbers.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    seed, epoch, index = (
        integer("seed", seed, 0),
        integer("epoch", epoch, 0),
        integer("index", index, 0),
    )
    return np.random.default_rng((_AUGMENTATION, seed, epoch, index))
