"""Image files become arrays of one size: decoding that refuses what is damaged or too large, and resizing.

`DecodedOnDemand` looks like an array of images and decodes those that are asked for, so that a data set may be larger
than the memory.
"""

import os
import pathlib
import stat
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from kgpc.arguments import integer, shown
from kgpc.datasets import formats
from kgpc.datasets.arguments import MAX_SIDE, check_choice, check_path
from kgpc.datasets.jpeg import JpegError
from kgpc.datasets.resizing import FITS, INTERPOLATIONS, check_resizing, fit

# Images of more than 8 bits whose brightest value lies below this share of the range keep next to nothing in 8 bits.
_DARKEST_RANGE = 1 / 16


class ImageError(ValueError):
    """An image cannot be used; the message names it and says why."""


def decode(source, name=None, orient=True, twice=True):
    """Decodes an image file.

    Transparency is dropped; of an animation the first picture counts. What the file is called does not matter. Of
    damage in JPEG files not all can be noticed, see `kgpc.datasets.jpeg`.

    Args:
        source: path of the file, or its content as bytes: BMP, GIF, JPEG, PNG, TIFF or WebP. Channels of 9 to 16 bits
            are scaled to 8 and rounded, so that the largest value becomes 255: 4000 of 65,535 becomes 16.
        name: str, what to call it in an error; by default the path.
        orient: bool, whether the orientation that a camera noted in the file is applied. TIFF files are always turned.
        twice: bool, whether damage is looked for that shows only when a file is decoded a second time, as progressive
            JPEG files are for that. For files that were decoded before.

    Returns:
        uint8 array `(height, width, 3)`: red, green, blue.

    Raises:
        ImageError: a ValueError, if it is no regular file; if the file is damaged or incomplete, of another format,
            deeper than 16 bits, or deeper than 8 with all of its values in the lowest sixteenth of the range; or if it
            has more than `formats.MAX_PIXELS` pixels (which is noticed before it is decoded).
        FileNotFoundError: if there is no such file.
    """
    if isinstance(source, bytes):
        content, name = source, name or "the image"
    else:
        content, name = _content(pathlib.Path(source), name or str(source))
    kind = formats.format_of(content[: formats.SIGNATURE_BYTES])
    if kind is None:
        foreign = formats.foreign_format_of(content[: formats.SIGNATURE_BYTES])
        if foreign:
            raise ImageError(
                f"{name} has the format {foreign}, whatever its name; {', '.join(formats.FORMATS)} are read. Save it "
                "as JPEG or PNG."
            )
        raise ImageError(f"{name} is damaged or no image: its format is none of {', '.join(formats.FORMATS)}.")
    try:
        image, orientation, bits = formats.load(content, kind, twice)
        pixels = _pixels(image) if bits <= 8 else _scaled_to_8_bits(image, content, bits)
        return np.ascontiguousarray(_turned(pixels, orientation)) if orient else pixels
    except formats.TooLarge as error:
        raise ImageError(f"{name} is refused: {error}.") from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more than the {formats.MAX_PIXELS} pixels allowed: {error}.") from error
    except ImageError as error:
        raise ImageError(f"{name} {error}.") from error
    except JpegError as error:
        raise ImageError(f"{name} is damaged: {error}.") from error
    # What a damaged file raises depends on its format; a warning is raised where the user asks for that.
    except (
        OSError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
        SyntaxError,
        EOFError,
        TypeError,
        MemoryError,
        NotImplementedError,
        Warning,
        cv2.error,
        zlib.error,
    ) as error:
        raise ImageError(f"{name} is damaged: {error}.") from error


def _content(path, name):
    """The bytes of a file, and its name for errors."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FileNotFoundError(f"There is no image file {name}.") from error
    # A pipe would let us wait for ever.
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{name} is no regular file.")
    if found.st_size > formats.MAX_BYTES:
        raise ImageError(f"{name} has {found.st_size} bytes, more than the {formats.MAX_BYTES} allowed.")
    return path.read_bytes(), name


def _pixels(image):
    if image.mode[0] in "IF":
        raise ImageError(f"has more than 16 bits a channel (mode {image.mode})")
    # PIL would warn that transparent colours of a palette are lost.
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"))


def _scaled_to_8_bits(image, content, bits):
    """Channels of 9 to 16 bits, scaled and rounded."""
    if image.mode.startswith("I;16") or (image.format == "PNG" and image.mode == "I"):
        values = np.asarray(image).astype(np.uint16)
        if formats.white_is_zero(image):
            values = (2**bits - 1) - values
        values = np.repeat(values[:, :, np.newaxis], 3, axis=2)
    else:
        # PIL drops the lower byte of colours, OpenCV reads both; the upper one shows that they read the same.
        upper = _pixels(image)
        flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        values = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if bits != 16 or values is None or values.dtype != np.uint16 or values.ndim != 3:
            raise ImageError(f"has {bits} bits a channel in a form that is not read (mode {image.mode})")
        values = values[:, :, ::-1]
        if not np.array_equal(values >> 8, upper):
            raise ImageError(f"has {bits} bits a channel in a form that is not read (mode {image.mode})")
    full, brightest = 2**bits - 1, int(values.max(initial=0))
    if 0 < brightest < full * _DARKEST_RANGE:
        raise ImageError(
            f"has {bits} bits a channel, of which only values up to {brightest} of {full} are used: scaled to 8 bits, "
            "almost nothing would be left of it; convert it with the range that you want"
        )
    return ((values.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)


def _turned(pixels, orientation):
    """An image as a camera meant it, by the number of its orientation in Exif."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def read_image(path, image_size=224, shape="pad", interpolation="area"):
    """Reads one image file as `image_folder` reads many.

    Args:
        path: path of the file; its name does not matter. Channels of 9 to 16 bits are scaled to 8 and rounded.
        image_size: int in [8, 10000], side of the square image in pixels.
        shape: "pad", "crop" or "stretch", how the image becomes square, see `image_folder`.
        interpolation: "area", "nearest" or "nearest_center", see `image_folder`.

    Returns:
        uint8 array `(image_size, image_size, 3)`: red, green, blue.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: if `path` is no path or `image_size` no int.
        ValueError: if an argument is out of range; as `ImageError`, if the file is damaged, no image, or too large.
    """
    path = check_path("path", path)
    image_size = check_resizing(image_size, shape, interpolation)
    return fit(decode(path), image_size, shape, interpolation)


class DecodedOnDemand:
    """Images that are decoded when they are asked for; otherwise like an array of uint8 `(n, size, size, 3)`.

    Args:
        sources: sequence of images: paths, encoded bytes, or arrays `(height, width, 3)`.
        size: int in [1, 10000], side of the images in pixels.
        shape, interpolation: see `fit`.
        names: sequence of str for error messages, one for each image, or None.

    Raises:
        TypeError: if `sources` or `names` is no sequence, or `size` no int.
        ValueError: if an argument is out of range, or there are more or fewer names than images.

    Indexing: an int gives one image; a slice, a bool array or an array or list of ints gives an array of images, in
    that order. Decoding raises what `decode` raises.
    """

    def __init__(self, sources, size, shape="pad", interpolation="nearest", names=None):
        for argument, value in (("sources", sources), ("names", () if names is None else names)):
            if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
                raise TypeError(f"`{argument}` must be a sequence. Received: {argument}={shown(value)}.")
        if names is not None and len(names) != len(sources):
            raise ValueError(f"`names` must have a name for each image. Received: {len(names)} for {len(sources)}.")
        size = integer("size", size, 1, MAX_SIDE)
        check_choice("shape", shape, FITS)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
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
            source = decode(source, None if self._names is None else self._names[which], twice=False)
        return fit(source, self._size, self._fit, self._interpolation)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)

    def take(self, indices):
        """A selection of the images, in the order of the int array `indices`; nothing is decoded."""
        chosen = np.arange(len(self))[np.asarray(indices, np.int64)]
        names = None if self._names is None else [self._names[which] for which in chosen]
        sources = [self._sources[which] for which in chosen]
        return DecodedOnDemand(sources, self._size, self._fit, self._interpolation, names)
