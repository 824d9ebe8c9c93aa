"""Image files become arrays of one size: decoding that refuses what is damaged or too large, and resizing.

`DecodedOnDemand` looks like an array of images and decodes those that are asked for, so that a data set may be larger
than the memory.
"""

import io
import numbers
import pathlib
import warnings

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

# An image of this many pixels takes 360 MB when decoded. A larger one is an accident, or meant to fill the memory.
MAX_PIXELS = 120_000_000

FITS = ("pad", "crop", "stretch")
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "nearest_center": cv2.INTER_NEAREST_EXACT,
    "area": cv2.INTER_AREA,
}

# Others, such as PostScript, would be handed to other programs by the library that decodes.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


class ImageError(ValueError):
    """An image cannot be used; the message names it and says why."""


def decode(source, name=None, orient=True):
    """Decodes an image file.

    Transparency is dropped; of an animation the first picture counts.

    Args:
        source: path of the file, or its content as bytes: BMP, GIF, JPEG, PNG, TIFF or WebP, 8 bits a channel.
        name: str, what to call it in an error; by default the path.
        orient: bool, whether the orientation that a camera noted in the file is applied.

    Returns:
        uint8 array `(height, width, 3)`: red, green, blue.

    Raises:
        ImageError: a ValueError, if the file is damaged or incomplete, of another format, deeper than 8 bits, or has
            more than `MAX_PIXELS` pixels (which is noticed before it is decoded).
        FileNotFoundError: if there is no such file.
    """
    if name is None:
        name = "the image" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and not pathlib.Path(source).is_file():
        raise FileNotFoundError(f"There is no image file {name}.")
    try:
        # The library warns at a lower limit than ours, and raises at twice that.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ImageError(f"{name} has {width}x{height} pixels, more than the {MAX_PIXELS} allowed.")
                if image.mode[0] in "IF":
                    raise ImageError(f"{name} has more than 8 bits a channel (mode {image.mode}).")
                if orient:
                    image = PIL.ImageOps.exif_transpose(image)
                return np.asarray(image.convert("RGB"))
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more than the {MAX_PIXELS} pixels allowed: {error}.") from error
    except PIL.UnidentifiedImageError as error:
        raise ImageError(f"{name} is damaged or no image: its format is none of {', '.join(_FORMATS)}.") from error
    # What a damaged file raises depends on its format.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        raise ImageError(f"{name} is damaged: {error}.") from error


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
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = pixels
        pixels = square
    if pixels.shape[:2] == (size, size):
        return pixels
    method = INTERPOLATIONS[interpolation]
    if interpolation == "area" and max(pixels.shape[:2]) < size:
        method = cv2.INTER_LINEAR
    return cv2.resize(pixels, (size, size), interpolation=method)


def read_image(path, image_size=224, shape="pad", interpolation="area"):
    """Reads one image file as `image_folder` reads many.

    Args:
        path: path of the file.
        image_size: int >= 8, side of the square image in pixels.
        shape: see `fit`.
        interpolation: see `fit`.

    Returns:
        uint8 array `(image_size, image_size, 3)`: red, green, blue.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: if `image_size` is not an int.
        ValueError: if an argument is out of range, or the file is damaged or no image.
    """
    check_resizing(image_size, shape, interpolation)
    return fit(decode(path), image_size, shape, interpolation)


def check_resizing(image_size, shape, interpolation):
    """Raises a TypeError or ValueError if an argument is none of those allowed."""
    if isinstance(image_size, bool) or not isinstance(image_size, numbers.Integral):
        raise TypeError(
            f"`image_size` must be an int. Received: image_size={image_size!r} of type {type(image_size).__name__}."
        )
    if image_size < 8:
        raise ValueError(f"`image_size` must be at least 8. Received: image_size={image_size}.")
    if shape not in FITS:
        raise ValueError(f"`shape` must be one of {', '.join(map(repr, FITS))}. Received: shape={shape!r}.")
    if interpolation not in INTERPOLATIONS:
        allowed = ", ".join(map(repr, INTERPOLATIONS))
        raise ValueError(f"`interpolation` must be one of {allowed}. Received: interpolation={interpolation!r}.")


class DecodedOnDemand:
    """Images that are decoded when they are asked for; otherwise like an array of uint8 `(n, size, size, 3)`.

    Args:
        sources: sequence of images: paths, encoded bytes, or arrays `(height, width, 3)`.
        size: int, side of the images in pixels.
        shape, interpolation: see `fit`.
        names: sequence of str for error messages, or None.

    Indexing: an int gives one image; a slice, a bool array or an array or list of ints gives an array of images, in
    that order. Decoding raises what `decode` raises.
    """

    def __init__(self, sources, size, shape="pad", interpolation="nearest", names=None):
        self._sources, self._names = sources, names
        self._size, self._fit, self._interpolation = size, shape, interpolation

    def __len__(self):
        return len(self._sources)

    @property
    def shape(self):
        """Shape of the array that this stands for."""
        return len(self), self._size, self._size, 3

    @property
    def ndim(self):
        """Always 4."""
        return 4

    @property
    def dtype(self):
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def nbytes(self):
        """Bytes that all images take when decoded."""
        return len(self) * self._size**2 * 3

    def __repr__(self):
        return f"<{len(self)} images of {self._size}x{self._size}x3, decoded on demand>"

    def __getitem__(self, index):
        chosen = np.arange(len(self))[index]
        if chosen.ndim == 0:
            return self._image(int(chosen))
        images = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for position, which in enumerate(chosen):
            images[position] = self._image(int(which))
        return images

    def _image(self, which):
        source = self._sources[which]
        if not isinstance(source, np.ndarray):
            source = decode(source, None if self._names is None else self._names[which])
        return fit(source, self._size, self._fit, self._interpolation)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)

    def take(self, indices):
        """A selection of the images, in the order of the int array `indices`; nothing is decoded."""
        chosen = np.arange(len(self))[np.asarray(indices, np.int64)]
        names = None if self._names is None else [self._names[which] for which in chosen]
        sources = [self._sources[which] for which in chosen]
        return DecodedOnDemand(sources, self._size, self._fit, self._interpolation, names)
