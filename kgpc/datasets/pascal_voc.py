"""Annotations in the format of Pascal VOC: XML files with the boxes of what a photograph shows."""

import dataclasses
import math
import pathlib
import unicodedata
import xml.etree.ElementTree

from kgpc.datasets.decoding import decode

# A file with a thousand boxes takes a fifth of this.
MAX_BYTES = 2**20

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class AnnotationError(ValueError):
    """An annotation cannot be used; the message names it and says why."""


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What an XML file says.

    Attributes:
        path: path of the file.
        size: tuple of int, height and width of the photograph as noted; None where that is missing or 0.
        boxes: list of `(class name, (left, top, right, bottom))`, pixels counted from 1, the last one included.
    """

    path: pathlib.Path
    size: tuple | None
    boxes: list


def read_annotation(path):
    """Reads an annotation, with or without a namespace.

    Args:
        path: path of the file.

    Returns:
        `Annotation`.

    Raises:
        AnnotationError: a ValueError, if it is no regular file, too large, or damaged.
    """
    # A pipe would let us wait for ever.
    if not path.is_file():
        raise AnnotationError(f"The annotation {path} is no regular file.")
    if path.stat().st_size > MAX_BYTES:
        raise AnnotationError(f"The annotation {path} has more than {MAX_BYTES} bytes.")
    content = path.read_bytes()
    # Text that stands for other text may grow without end.
    if b"<!ENTITY" in content:
        raise AnnotationError(f"The annotation {path} is refused: it defines entities.")
    try:
        tree = xml.etree.ElementTree.fromstring(content)
        for element in tree.iter():
            # Names may stand in a namespace: {http://...}object. Comments have none.
            if isinstance(element.tag, str):
                element.tag = element.tag.rpartition("}")[2]
        boxes = [_box(entry) for entry in tree.iter("object")]
        size = tuple(_number(tree.findtext(f"size/{side}") or "0") for side in ("height", "width"))
    except (xml.etree.ElementTree.ParseError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise AnnotationError(f"The annotation {path} is damaged: {error}.") from error
    return Annotation(path, size if min(size) > 0 else None, boxes)


def _box(entry):
    # Some names have spaces at the end. Letters with accents may be stored in two ways.
    name = unicodedata.normalize("NFC", " ".join((entry.findtext("name") or "").split()))
    box = entry.find("bndbox")
    if box is None:
        raise ValueError("an object has no `bndbox`")
    return name, tuple(_number(box.findtext(side) or "nothing") for side in _SIDES)


def _number(text):
    value = float(text)
    if not math.isfinite(value) or abs(value) > 10**9:
        raise ValueError(f"{text!r} is no number of pixels")
    return round(value)


def photograph(annotation, image):
    """Decodes the photograph of an annotation as it lay before those who drew the boxes.

    Args:
        annotation: `Annotation`.
        image: path of the photograph, or None.

    Returns:
        uint8 array `(height, width, 3)`.

    Raises:
        ImageError: a ValueError, if it cannot be decoded.
        AnnotationError: a ValueError, if there is none.
    """
    if image is None:
        raise AnnotationError(f"There is no image for {annotation.path}.")
    pixels = decode(image)
    height, width = pixels.shape[:2]
    if annotation.size == (width, height) and width != height:
        return decode(image, orient=False)
    return pixels


def boxes_in_pixels(annotation, pixels):
    """Fits the boxes to the pixels.

    A photograph that was resized after the boxes were drawn has another size than noted, in the same proportions: its
    boxes are scaled. In other proportions nobody can say where they belong.

    Args:
        annotation: `Annotation`.
        pixels: its photograph, an array `(height, width, 3)`.

    Returns:
        Tuple of a list of `(class name, (left, top, right, bottom))`, pixels counted from 0, right and bottom not
        included, all inside of the photograph; and a list of str, what was left out and why.

    Raises:
        AnnotationError: a ValueError, if the photograph has another size than noted, in other proportions.
    """
    height, width = pixels.shape[:2]
    noted_height, noted_width = annotation.size or (height, width)
    # Both sides may have been rounded by half a pixel.
    if abs(width * noted_height - height * noted_width) > max(width, height, noted_width, noted_height):
        raise AnnotationError(
            f"The annotation {annotation.path} is of an image of {noted_width}x{noted_height} pixels, the image beside "
            f"it has {width}x{height}."
        )
    boxes, problems = [], []
    for class_name, box in annotation.boxes:
        # Boxes count pixels from 1 and include the last one.
        left, right = (_scaled(at, width, noted_width) for at in (box[0] - 1, box[2]))
        top, bottom = (_scaled(at, height, noted_height) for at in (box[1] - 1, box[3]))
        inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        if not class_name:
            problems.append(f"A box was left out: {box} in {annotation.path} has no class name.")
        elif inside[0] >= inside[2] or inside[1] >= inside[3]:
            problems.append(f"A box was left out: {box} in {annotation.path} covers no pixel.")
        elif annotation.size is None and (right > width or bottom > height):
            problems.append(
                f"A box was left out: {box} in {annotation.path} reaches beyond the image of {width}x{height} pixels, "
                "and the annotation does not say what size it is of."
            )
        else:
            boxes.append((class_name, inside))
    return boxes, problems


def _scaled(position, length, noted):
    return position if length == noted else round(position * length / noted)
