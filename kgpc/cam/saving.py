"""Pictures of maps as files."""

import io

import numpy as np
from PIL import Image

from kgpc import files
from kgpc.arguments import received
from kgpc.cam.pictures import as_picture

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_PIXELS_PER_INCH = 150


def save_picture(picture, path):
    """Saves a figure of maps, or a picture that `overlay` made, as a file.

    The file is written whole or not at all; one of that name is replaced.

    Args:
        picture: `matplotlib.figure.Figure`, such as of `beside` or `gallery`, saved with 150 pixels per inch; or an
            image: uint8 array, or floating-point array in [0, 1], (height, width, 3), or grey, pixel for pixel.
        path: path of the file, whose name ends in .png, .jpg or .jpeg, in a folder that exists.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        TypeError: if `picture` is neither, or `path` is no path.
        ValueError: if the name ends otherwise, there is no such folder, something else than a file is in its place, or
            the image is not as described.
        OSError: if the file cannot be written.
    """
    from matplotlib.figure import Figure

    target = files.path_argument("path", path)
    if target.suffix.lower() not in _FORMATS:
        raise ValueError(f"`path` must end in .png, .jpg or .jpeg. Received: path={str(target)!r}.")
    files.check_target("path", target)
    if isinstance(picture, Figure):
        drawn = io.BytesIO()
        picture.savefig(drawn, format="png", dpi=_PIXELS_PER_INCH, bbox_inches="tight", facecolor="white")
        image = Image.open(drawn).convert("RGB")
    elif isinstance(picture, str) or not hasattr(picture, "__array__"):
        raise TypeError(f"`picture` must be a figure, or an image as an array. {received('picture', picture)}")
    else:
        image = Image.fromarray(np.rint(255 * as_picture("picture", picture)).astype("uint8"))
    kind = _FORMATS[target.suffix.lower()]
    encoded = io.BytesIO()
    image.save(encoded, format=kind, **({"quality": 95} if kind == "JPEG" else {}))
    files.write(target, encoded.getvalue())
    return target
