"""Pictures that a notebook stores: what of them may go onto the site."""

import base64
import binascii
import io
import zlib

from PIL import Image, UnidentifiedImageError

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}  # as Pillow calls them
MOST_PIXELS = 20_000_000


def picture(content, kind="image/png"):
    """Returns a picture that is stored in a notebook.

    Args:
        content: str, a PNG or a JPEG in base64.
        kind: str, the media type that it must be, one of `FORMATS`.

    Returns:
        `PIL.Image.Image`, of at most `MOST_PIXELS` pixels.

    Raises:
        ValueError: if it is anything else.
    """
    try:
        # By name: left to itself, Pillow would start Ghostscript for an EPS.
        read = Image.open(io.BytesIO(base64.b64decode(content)), formats=(FORMATS[kind],))
    except (TypeError, binascii.Error, UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError(f"a picture is no {FORMATS[kind]}") from None
    if read.width * read.height > MOST_PIXELS:
        raise ValueError(f"a picture has {read.width}x{read.height} pixels, more than {MOST_PIXELS:,}")
    try:
        read.load()
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise ValueError(f"a picture is damaged: {error}") from error
    return read


def within_a_drawing(address):
    """Returns the content of a picture within a drawing, bytes, after it was decoded.

    Args:
        address: str, `data:image/png;base64,...` or the same of a JPEG.

    Raises:
        ValueError: if it is anything else.
    """
    head, _, content = address.partition(",")
    kind = head.removeprefix("data:").removesuffix(";base64")
    if kind not in FORMATS or head != f"data:{kind};base64":
        raise ValueError(f"a drawing has a picture from {head[:80]!r}")
    try:
        picture(content, kind)
    except ValueError as error:
        raise ValueError(f"a drawing is not whole: {error}") from error
    return base64.b64decode(content)
