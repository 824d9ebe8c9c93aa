"""Opens image files of six formats for decoding, so that no file chooses how much time and memory that takes.

The formats are told by the first bytes of a file, never by its name: a program for another format is never started.
"""

import io
import struct
import zlib

from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from kgpc.datasets.jpeg import JpegError, JpegStream

# An image of this many pixels takes 360 MB when decoded. A larger one is an accident, or meant to fill the memory.
MAX_PIXELS = 120_000_000

# What an image of so many pixels can take in a file and unpacked, with 16 bits in each of four channels.
MAX_BYTES = 2**30

# How many bytes of a file have to be known to tell its format.
SIGNATURE_BYTES = 18

# What is read of a file again and again, such as notes that lie over each other, ends after so many times its length;
# and what is read in small pieces, after so many of them.
_READ_TIMES, _READS = 4, 2**20

# Run-length coding of BMP files is undone byte by byte, and may skip 255 lines at a time.
_MAX_RUN_LENGTH_PIXELS, _MAX_RUN_LENGTH_WIDTH = 2**24, 2**16

# Strips or tiles of a TIFF image: for each of them, a thousand bytes of memory are needed.
_MAX_PARTS = 2**17

# The classes are used and not PIL.Image.open, which warns of images that are allowed here.
_OPENERS = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

FORMATS = tuple(_OPENERS)

# Formats that photographs come in and that are not read, so that a reader is told what to convert: by the brand of an
# ISO media file, by the first bytes, and by the ending of the name.
_BRANDS = {
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"): "HEIC",
    (b"avif", b"avis"): "AVIF",
    (b"crx ",): "raw camera file",
}
_FOREIGN_BEGINNINGS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"\0\0\x01\0": "icon",
    b"<svg": "SVG",
}
_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2")
_FOREIGN_SUFFIXES = {
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".psd": "Photoshop",
    ".pdf": "PDF",
    ".svg": "SVG",
    **dict.fromkeys(_RAW, "raw camera file"),
}

# Tags of TIFF files.
_ORIENTATION, _BITS, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT, _COMPRESSION = 274, 258, 262, 322, 323, 259
_DEFLATED = (8, 32946)
# Bytes of a value of each type that PIL reads.
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
# What an image has one of: width, height, compression, photometry, order of bits, orientation, samples of a pixel, rows
# of a strip, resolution in both directions and its unit, arrangement of the samples, predictor, and size of a tile.
_SINGLE = frozenset({256, 257, 259, 262, 266, 274, 277, 278, 282, 283, 284, 296, 317, 322, 323})
# Where the parts of an image lie and how long they are: strips, or tiles.
_PARTS = ((273, 279), (324, 325))


class TooLarge(ValueError):
    """An image has more pixels, or its file asks for more work, than is allowed."""


class _Limited(io.BytesIO):
    """A file in memory that ends the reading of what is read over and over, or in too many pieces."""

    def __init__(self, content):
        super().__init__(content)
        self._left, self._reads_left = _READ_TIMES * len(content) + 2**20, _READS

    def read(self, size=-1):
        content = super().read(size)
        self._left -= len(content)
        self._reads_left -= 1
        if self._left < 0:
            raise TooLarge("its parts lie over each other: reading them all would take too long")
        if self._reads_left < 0:
            raise TooLarge("it has too many parts: reading them all would take too long")
        return content


def format_of(head):
    """The format of a file by its first `SIGNATURE_BYTES` bytes, one of `FORMATS`; None if it is none of them."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters alone may begin any text, so the length of the second header counts as well.
    if (
        head.startswith(b"BM")
        and len(head) >= 18
        and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    ):
        return "BMP"
    return None


def foreign_format_of(head, suffix=""):
    """The name of a format that is known and not read here, or None.

    Args:
        head: bytes, the first `SIGNATURE_BYTES` of a file.
        suffix: str, ending of the file's name, in lower case; it counts where the content says nothing.
    """
    if head[4:8] == b"ftyp":
        for brands, name in _BRANDS.items():
            if head[8:12] in brands:
                return name
    for beginning, name in _FOREIGN_BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    return _FOREIGN_SUFFIXES.get(suffix)


def load(content, kind, twice=True):
    """Decodes the pixels.

    Args:
        content: bytes of the file.
        kind: its format.
        twice: bool, whether JPEG files whose data are in several pieces are decoded a second time, by which it is
            noticed that a piece ends too early.

    Returns:
        Tuple of a loaded PIL image; the orientation that a camera noted in it, an int in [1, 8], where 1 is upright;
        and the number of bits of a channel in the file.

    Raises:
        TooLarge: a ValueError, if the image has more than `MAX_PIXELS` pixels (which is noticed before they are
            decoded), or reading it would take too long.
        JpegError: a ValueError, if a JPEG file is damaged.
        Exception: what PIL raises for a damaged file, which depends on the format.
    """
    if kind == "TIFF":
        _check_directory(content)
    if kind == "JPEG":
        stream = JpegStream(content)
    else:
        # Every byte of a BMP file may be read on its own.
        stream = io.BytesIO(content) if kind == "BMP" else _Limited(content)
    image = _OPENERS[kind](stream)
    _check_size(*image.size)
    if kind == "BMP":
        _check_run_lengths(image, content)
    bits = 8
    if kind == "PNG":
        bits = content[24]
    elif kind == "TIFF":
        bits = max(image.tag_v2.get(_BITS, (1,)))
        _check_size(image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_HEIGHT, 1))
        _check_deflated(image, content)
    image.load()
    if kind == "JPEG":
        stream.check_end()
        if twice and (lengthened := stream.lengthened()):
            other = _OPENERS[kind](lengthened)
            other.load()
            if other.tobytes() != image.tobytes():
                raise JpegError("a part of its image data ends too early")
        return image, orientation_in(stream.orientation_note), bits
    # PIL turns TIFF images itself.
    return image, 1 if kind == "TIFF" else orientation_in(image.info.get("exif", b"")), bits


def _check_run_lengths(image, content):
    coding = int.from_bytes(content[30:34], "little") if content[14] >= 40 else 0
    too_large = image.width * image.height > _MAX_RUN_LENGTH_PIXELS or image.width > _MAX_RUN_LENGTH_WIDTH
    if coding in (1, 2) and too_large:
        raise TooLarge(
            f"it has {image.width}x{image.height} pixels, with run lengths at most {_MAX_RUN_LENGTH_PIXELS} are read"
        )


def _check_directory(content):
    """Looks at the first directory of a TIFF file before PIL reads what it counts; PIL would warn of what is missing.

    Raises:
        TooLarge: if what it counts is too much.
        ValueError: if it is not whole, a note lies behind the end of the file, or what there is one of has many values.
    """
    order = "<" if content[:2] == b"II" else ">"
    large = b"+" in content[2:4]
    head, count_form, entry_form, pointer = ("8xQ", "Q", "HHQQ", 8) if large else ("4xI", "H", "HHII", 4)
    entry_bytes, total = struct.calcsize(order + entry_form), 0
    try:
        (position,) = struct.unpack_from(order + head, content)
        (count,) = struct.unpack_from(order + count_form, content, position)
    except struct.error:
        raise ValueError("it has no directory, or ends before it") from None
    position += struct.calcsize(order + count_form)
    end = position + entry_bytes * count
    if end + pointer > len(content):
        raise ValueError("it ends within its directory")
    if count > 2**16:
        raise TooLarge(f"it has {count} notes, more than the {2**16} allowed")
    for tag, kind, length, offset in struct.iter_unpack(order + entry_form, content[position:end]):
        if length > _MAX_PARTS and any(tag in tags for tags in _PARTS):
            raise TooLarge(f"it has {length} parts, more than the {_MAX_PARTS} allowed")
        size = length * _VALUE_BYTES.get(kind, 0)
        if size > pointer and offset + size > len(content):
            raise ValueError(f"it ends before the values of its tag {tag}")
        if length != 1 and tag in _SINGLE:
            raise ValueError(f"its tag {tag} has {length} values and not one")
        total += length
    if total > _READ_TIMES * len(content):
        raise TooLarge("its parts lie over each other: reading them all would take too long")


def _check_deflated(image, content):
    """Raises a zlib.error if a part of a TIFF image is not what was compressed: nobody else compares the checksum."""
    if image.tag_v2.get(_COMPRESSION) not in _DEFLATED:
        return
    left = MAX_BYTES
    offsets, lengths = next(tags for tags in _PARTS if tags[0] in image.tag_v2)
    for offset, length in zip(image.tag_v2[offsets], image.tag_v2[lengths], strict=True):
        unpacking = zlib.decompressobj()
        packed = content[offset : offset + length]
        while not unpacking.eof:
            unpacked = unpacking.decompress(packed, 2**20)
            packed, left = unpacking.unconsumed_tail, left - len(unpacked)
            if left < 0:
                raise TooLarge(f"it unpacks to more than {MAX_BYTES} bytes")
            if not unpacked and not unpacking.eof:
                raise zlib.error("a part of it ends too early")


def white_is_zero(image):
    """Whether a TIFF image counts from white, which PIL does not turn round in images of 16 bits."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _check_size(width, height):
    if width * height > MAX_PIXELS:
        raise TooLarge(f"it has {width}x{height} pixels, more than the {MAX_PIXELS} allowed")


def orientation_in(note):
    """The orientation in an Exif note, an int in [1, 8]; 1 where there is none, or it is damaged.

    Only the first directory is read, and of it this one entry: a note may be made to take long.
    """
    note = note.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(note[:2])
    try:
        magic, offset = struct.unpack_from(f"{order}HI", note, 2)
        (count,) = struct.unpack_from(f"{order}H", note, offset)
        for number in range(count if magic == 42 else 0):
            tag, kind, length, value = struct.unpack_from(f"{order}HHIH", note, offset + 2 + 12 * number)
            if (tag, kind, length) == (_ORIENTATION, 3, 1) and 1 <= value <= 8:
                return value
    except struct.error:
        pass
    return 1
