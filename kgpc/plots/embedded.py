"""Pictures within a drawing: a matrix as one pixel for each of its cells, a photograph as large as it is shown."""

import base64
import io
import re

import numpy as np
from matplotlib.image import AxesImage
from PIL import Image

from kgpc.plots.pixels import SHARE_OF_A_PNG, jpeg

_MATRIX = re.compile(r"matrix\(([^)]*)\)")
_CSS_PIXELS_PER_POINT = 96 / 72
_NUMBERS = "kgpc-numbers"  # name of a picture of numbers
# More pixels of a photograph than the page has for it, for dense screens.
_PIXELS_PER_CSS_PIXEL = 1.25
_SEEN_ONE_BY_ONE = 3.0  # CSS pixels; a picture of such large pixels is not blurred


def keep_pixels(figure):
    """Lets Matplotlib write the pixels of a figure's pictures as they are, and not as a copy in another size.

    What is no photograph, but numbers that a colour scale translates, is marked: none of them runs into the next one.
    """
    for image in figure.findobj(AxesImage):
        image.set_interpolation("none")
        if np.ndim(image.get_array()) == 2:
            image.set_gid(_NUMBERS)


def _sizes(element):
    """How many CSS pixels a pixel of a picture takes on the page, in width and height."""
    matrix = _MATRIX.search(element.get("transform", ""))
    if not matrix:
        return None
    a, b, c, d, *_ = (float(number) for number in matrix[1].replace(",", " ").split())
    return tuple(_CSS_PIXELS_PER_POINT * float(np.hypot(*pair)) for pair in ((a, b), (c, d)))


def _reduced(picture, sizes):
    """A picture with no more pixels than are seen, and whether they are seen one by one."""
    shown = [max(1, round(_PIXELS_PER_CSS_PIXEL * size * side)) for size, side in zip(sizes, picture.size, strict=True)]
    if all(have <= want for have, want in zip(picture.size, shown, strict=True)):
        return picture, min(sizes) >= 1
    return picture.resize(
        [min(pair) for pair in zip(picture.size, shown, strict=True)], Image.Resampling.LANCZOS
    ), False


def compact(element):
    """Returns the attributes of a picture of a drawing, with its content in few bytes.

    Args:
        element: Element, `image` as Matplotlib writes it, with a PNG in its reference.

    Returns:
        dict, without the transformation and the place, which stay as they are.
    """
    reference = next(value for name, value in element.attrib.items() if name.endswith("href"))
    picture = Image.open(io.BytesIO(base64.b64decode(reference.partition(",")[2])), formats=("PNG",))
    if picture.mode == "RGBA" and picture.getextrema()[3][0] == 255:
        picture = picture.convert("RGB")
    sizes, numbers, single = _sizes(element), element.get("id") == _NUMBERS, False
    if numbers:
        single = True
    elif sizes:
        picture, single = _reduced(picture, sizes)
    large = numbers or (single and min(sizes) >= _SEEN_ONE_BY_ONE)
    stored = io.BytesIO()
    picture.save(stored, format="png", optimize=True)
    kind, content = "png", stored.getvalue()
    if picture.mode == "RGB" and not large:
        smaller = jpeg(picture)
        # A photograph that was reduced is blurred already.
        if len(smaller) < (SHARE_OF_A_PNG if single else 1) * len(content):
            kind, content, single = "jpeg", smaller, False
    found = {
        "href": f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}",
        "preserveAspectRatio": "none",
    }
    return found | ({"image-rendering": "pixelated"} if single else {})
