"""Drawings in the colours of a light and of a dark page."""

import copy
import functools
import math
import re

# The theme's own, of its dark pages.
GROUND, INK = (0x13, 0x14, 0x16), (0xE0, 0xE0, 0xE0)
_GREY = 0.06  # most difference between the parts of a colour that has no hue
_OF_LINES, _OF_TEXT = 3.0, 4.5  # contrast that can be seen, and read (WCAG 2.2)
_NEARLY_OPAQUE = 0.75
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e[-+]?\d+)?")
_WITHIN = ((0.005, 0.005), (0.995, 0.005), (0.995, 0.995), (0.005, 0.995))  # corners, in parts of the sides
_LETTER = 0.55  # mean width of a letter, in parts of its size


def rgb(color):
    """The parts of `#rgb` or `#rrggbb`, from 0 to 255."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    return tuple(int(digits[index : index + 2], 16) for index in (0, 2, 4))


def luminance(color):
    """The relative luminance of a colour (tuple of 3 numbers from 0 to 255), as WCAG 2.2 defines it."""
    parts = (part / 255 for part in color)
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """The contrast of two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _mixed(one, other, share):
    """A colour with a share of another one."""
    return tuple((1 - share) * a + share * b for a, b in zip(one, other, strict=True))


def _lightened(color, ground, enough):
    """A colour with as much white as it needs to stand out from a dark ground."""
    for step in range(21):
        lighter = _mixed(color, (255, 255, 255), step / 20)
        if contrast(lighter, ground) >= enough:
            return lighter
    return INK


@functools.cache
def in_the_dark(color, enough=_OF_LINES):
    """A colour on a dark page: black and white change places with all greys between, others stay or become lighter."""
    color = rgb(color)
    if max(color) - min(color) <= 255 * _GREY:
        return _mixed(INK, GROUND, sum(color) / 765)
    return _lightened(color, GROUND, enough)


def _text_in_the_dark(color, ground):
    """The colour of a text on what lies below it."""
    for choice in (in_the_dark(color, _OF_TEXT), rgb(color), INK, (0, 0, 0)):
        if contrast(choice, ground) >= _OF_TEXT:
            return choice
    return max((INK, (0, 0, 0), (255, 255, 255)), key=lambda choice: contrast(choice, ground))


def _written(color):
    return "#" + "".join(f"{round(part):02x}" for part in color)


def _contains(points, x, y):
    """Whether a point lies within a polygon."""
    inside = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside


def _steps(element):
    """The transformations of an element, as names with numbers."""
    return re.findall(r"(\w+)\(([^)]*)\)", element.get("transform", ""))


def _moved(x, y, steps):
    """Where a point is after transformations, the last of which acts first."""
    for name, numbers in reversed(steps):
        numbers = [float(number) for number in _NUMBER.findall(numbers)]
        if name == "translate":
            x, y = x + numbers[0], y + (numbers[1] if len(numbers) > 1 else 0.0)
        elif name == "scale":
            x, y = x * numbers[0], y * numbers[-1]
        elif name == "matrix":
            a, b, c, d, e, f = numbers
            x, y = a * x + c * y + e, b * x + d * y + f
        elif name == "rotate":
            angle, about_x, about_y = numbers if len(numbers) == 3 else (numbers[0], 0.0, 0.0)
            sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
            x, y = x - about_x, y - about_y
            x, y = about_x + cosine * x - sine * y, about_y + sine * x + cosine * y
    return x, y


def _corners(image, inherited):
    """The corners of a picture, a little within it: a frame around it is not on it."""
    width, height, x, y = (float(image.get(name, "0")) for name in ("width", "height", "x", "y"))
    sides = [(x + share * width, y + part * height) for share, part in _WITHIN]
    return [_moved(*corner, [*inherited, *_steps(image)]) for corner in sides]


def _center(element, inherited):
    """About where the middle of a text is; `inherited` are the transformations around it."""
    size = float(element.get("font-size", "10"))
    x, y = (float(_NUMBER.search(element.get(name, "0"))[0]) for name in ("x", "y"))
    length = _LETTER * size * len("".join(element.itertext()))
    x += length * {"start": 0.5, "middle": 0.0, "end": -0.5}[element.get("text-anchor", "start")]
    return _moved(x, y - 0.35 * size, [*inherited, *_steps(element)])


class _Painter:
    """Gives the elements of a drawing their colours for the dark, in the order in which they are painted."""

    def __init__(self):
        self.shapes = []  # (points, colour, opacity)
        self.pictures = []  # points

    def _on_picture(self, element):
        """Whether a line or a shape begins on a picture, whose colours do not change, and goes on there."""
        numbers = [float(number) for number in _NUMBER.findall(element.get("d", ""))[:4]]
        return len(numbers) == 4 and any(
            _contains(points, (numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2) for points in self.pictures
        )

    def below(self, x, y):
        """The colour that a point has so far."""
        color = GROUND
        for points, fill, opacity in self.shapes:
            if _contains(points, x, y):
                color = _mixed(color, fill, opacity)
        return color

    def paint(self, element, transforms=(), fill="#000000", on_page=True):
        """Changes the colours of an element and of all in it.

        Args:
            element: Element.
            transforms: tuple, the transformations around it.
            fill: str, the fill of what is around it.
            on_page: bool, whether it is painted where it stands, and not for use elsewhere.
        """
        fill = element.get("fill", fill)
        on_page = on_page and element.tag not in ("clipPath", "defs", "pattern")
        if element.tag == "text":
            self._text(element, transforms, fill)
            return
        if element.tag == "image" and on_page:
            self.pictures.append(_corners(element, transforms))
        if element.tag == "path" and self._on_picture(element):
            return
        for name in ("fill-opacity", "stroke-opacity"):
            # A point that lets through a little of a dark ground no longer stands out from it.
            if _NEARLY_OPAQUE <= float(element.get(name, "1")) < 1:
                element.set(name, "1")
        if element.tag == "path" and on_page and fill.startswith("#"):
            numbers = [float(number) for number in _NUMBER.findall(element.get("d", ""))]
            opacity = float(element.get("fill-opacity", "1")) * float(element.get("opacity", "1"))
            self.shapes.append((list(zip(numbers[::2], numbers[1::2], strict=False)), in_the_dark(fill), opacity))
        transforms = (*transforms, *_steps(element))
        for child in element:
            self.paint(child, transforms, fill, on_page)
        for name in ("fill", "stroke"):
            if element.get(name, "").startswith("#"):
                element.set(name, _written(in_the_dark(element.get(name))))

    def _text(self, element, transforms, fill):
        if any(_contains(points, *_center(element, transforms)) for points in self.pictures):
            return
        if element.get("stroke", "").startswith("#"):
            ground = in_the_dark(element.get("stroke"))
            element.set("stroke", _written(ground))
        else:
            ground = self.below(*_center(element, transforms))
        if fill.startswith("#"):
            element.set("fill", _written(_text_in_the_dark(fill, ground)))


def light(root):
    """Returns a drawing without the white ground that it has elsewhere.

    Args:
        root: `xml.etree.ElementTree.Element`, from `svg_content.parsed`.

    Returns:
        `xml.etree.ElementTree.Element`.
    """
    root = copy.deepcopy(root)
    if len(root) and root[0].tag == "rect" and root[0].get("width") == "100%":
        root.remove(root[0])
    return root


def dark(root):
    """Returns a drawing for a dark page: without a ground, with lines and texts that stand out from it.

    What has a hue keeps it. A text is as light or dark as it must be to be read on the shapes below it.

    Args:
        root: `xml.etree.ElementTree.Element`, from `svg_content.parsed`.

    Returns:
        `xml.etree.ElementTree.Element`.
    """
    root = light(root)
    # What is drawn without a fill is black; it must say so to become light.
    root.set("fill", "#000000")
    _Painter().paint(root)
    return root
