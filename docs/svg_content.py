"""What of a stored drawing goes onto the site: an allow-list of what `kgpc.plots` writes.

Anybody may have stored it. An SVG can run scripts, fetch files and lay pages over a page. Here it is read without any
of the features of XML that read other files or multiply themselves, and written anew from shapes, letters, colours, and
pictures that have been decoded.
"""

import collections
import itertools
import re
import xml.etree.ElementTree as ET
from xml.parsers import expat

import stored_pictures

SVG = "http://www.w3.org/2000/svg"
MOST_CHARACTERS = 1_000_000
MOST_PIXELS = 10_000  # in width and in height
_DEEPEST = 30

_NAME = r"[A-Za-z][\w-]{0,60}"
_NUMBERS = re.compile(r"[\d.,eE+\- ]{0,500}%?", re.ASCII)
_PATH = re.compile(r"[MmLlHhVvCcSsQqTtAaZz\d.,eE+\-\s]*", re.ASCII)
_TRANSFORM = re.compile(r"(\s*(translate|rotate|scale|matrix)\([\d.,eE+\- ]{0,200}\))*\s*", re.ASCII)
_PAINT = re.compile(rf"none|#[0-9a-fA-F]{{3}}|#[0-9a-fA-F]{{6}}|url\(#{_NAME}\)", re.ASCII)
_CLIP = re.compile(rf"url\(#{_NAME}\)", re.ASCII)
_WORD = re.compile(r"[a-z0-9-]{1,20}|[a-zA-Z]{1,20}", re.ASCII)
_ANY = re.compile(r".*", re.DOTALL)
ATTRIBUTES = {
    "aria-label": _ANY,
    "clip-path": _CLIP,
    "d": _PATH,
    "fill": _PAINT,
    "href": re.compile(rf"#{_NAME}|data:image/(jpeg|png);base64,[A-Za-z0-9+/=]+", re.ASCII),
    "id": re.compile(_NAME, re.ASCII),
    "image-rendering": re.compile("pixelated"),
    "preserveAspectRatio": re.compile("none"),
    "stroke": _PAINT,
    "transform": _TRANSFORM,
    **dict.fromkeys(("fill-rule", "font-family", "font-style", "font-weight", "paint-order", "patternUnits"), _WORD),
    **dict.fromkeys(("role", "stroke-linecap", "stroke-linejoin", "text-anchor"), _WORD),
    **dict.fromkeys(("fill-opacity", "font-size", "height", "opacity", "rx", "stroke-dasharray", "width"), _NUMBERS),
    **dict.fromkeys(("stroke-dashoffset", "stroke-miterlimit", "stroke-opacity", "stroke-width"), _NUMBERS),
    **dict.fromkeys(("viewBox", "x", "y"), _NUMBERS),
}
WITH_TEXT = {"text", "tspan"}
ELEMENTS = {"clipPath", "defs", "g", "image", "path", "pattern", "rect", "svg", "use"} | WITH_TEXT
_OF_A_PICTURE = ("href", "width", "height", "preserveAspectRatio", "image-rendering")  # all but its place
_PAINTS = {"clip-path": "clipPath", "fill": "pattern", "stroke": "pattern"}  # what these may refer to


class _Reader:
    """Builds the tree of a drawing from what is allowed, and refuses everything else when it is met."""

    def __init__(self):
        self.open, self.root = [], None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = lambda _: self.open.pop()
        self.parser.CharacterDataHandler = self._text
        for part in ("Comment", "EntityDecl", "ProcessingInstruction", "StartCdataSection", "StartDoctypeDecl"):
            setattr(self.parser, f"{part}Handler", self._refuse)

    def _refuse(self, *about):
        raise ValueError("a drawing has a comment, a declaration, or an instruction")

    def _start(self, name, attributes):
        space, _, tag = name.rpartition(" ")
        if space != SVG or tag not in ELEMENTS or (tag == "svg") != (not self.open):
            raise ValueError(f"a drawing has the element <{tag}>")
        if len(self.open) >= _DEEPEST:
            raise ValueError(f"a drawing has elements more than {_DEEPEST} deep")
        for key, value in attributes.items():
            if key not in ATTRIBUTES or not ATTRIBUTES[key].fullmatch(value):
                raise ValueError(f"a drawing has the attribute {key.rpartition(' ')[2]}={value[:80]!r}")
        element = ET.Element(tag, attributes) if not self.open else ET.SubElement(self.open[-1], tag, attributes)
        self.root = element if self.root is None else self.root
        self.open.append(element)

    def _text(self, text):
        if self.open[-1].tag in WITH_TEXT and len(self.open[-1]) == 0:
            self.open[-1].text = (self.open[-1].text or "") + text
        elif text.strip():
            raise ValueError(f"a drawing has text within the element <{self.open[-1].tag}>")

    def read(self, text):
        """The root of the tree of a text."""
        try:
            self.parser.Parse(text, True)
        except expat.ExpatError as error:
            raise ValueError(f"a drawing is no SVG: {error}") from None
        return self.root


def _references(element):
    """What an element refers to, as pairs of a name and the element that it must be the name of."""
    if element.tag != "image" and ("href" in element.attrib or element.tag == "use"):
        yield element.get("href", "#")[1:], "path" if element.tag == "use" else None
    for attribute, kind in _PAINTS.items():
        if element.get(attribute, "").startswith("url("):
            yield element.get(attribute)[5:-1], kind


def _check_references(root):
    """Checks that what is referred to is there, and refers to nothing in its turn: nothing multiplies itself."""
    tags = {element.get("id"): element.tag for element in root.iter() if "id" in element.attrib}
    for element in root.iter():
        for name, kind in _references(element):
            if kind is None or tags.get(name) != kind:
                raise ValueError(f"a drawing refers to {name!r} in <{element.tag}>")
    for kind in set(_PAINTS.values()):
        for element in root.iter(kind):
            if any(True for part in element.iter() for _ in _references(part)):
                raise ValueError(f"a drawing refers to something within <{kind}>")


def parsed(text):
    """Returns a stored drawing as a tree without namespaces.

    Args:
        text: str, an SVG.

    Returns:
        `xml.etree.ElementTree.Element` with the tag `svg`, of elements in `ELEMENTS` with attributes in `ATTRIBUTES`.

    Raises:
        ValueError: if it is no SVG, has anything else in it, such as a script, or is larger than a page can show.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a drawing has {len(text):,} characters, more than {MOST_CHARACTERS:,}")
    root = _Reader().read(text)
    for side in ("width", "height"):
        pixels = root.get(side, "")
        if not re.fullmatch(r"\d{1,5}", pixels, re.ASCII) or not 0 < int(pixels) <= MOST_PIXELS:
            raise ValueError(f"the {side} of a drawing is {pixels!r}")
    _check_references(root)
    for image in root.iter("image"):
        stored_pictures.within_a_drawing(image.get("href", ""))
    return root


def lighter(element):
    """Says what shapes that follow each other have in common once for all of them, in a group; returns the element.

    Lines that follow each other become one path.

    Args:
        element: Element, changed in place. What is drawn stays the same, but for lines that can be seen through: where
            two of them cross, the place is painted once and not twice.
    """
    children = list(element)
    for child in children:
        if child.tag != "defs":
            lighter(child)
    element[:] = []
    for look, alike in itertools.groupby(children, _look):
        alike = list(alike)
        if look and len(alike) > 1:
            for shape in alike:
                for name, _ in look:
                    del shape.attrib[name]
            if _are_lines(dict(look), alike):
                ET.SubElement(element, "path", {**dict(look), "d": "".join(shape.get("d") for shape in alike)})
            else:
                group = ET.SubElement(element, "g", dict(look))
                group.extend(alike)
        else:
            element.extend(alike)
    return element


def _are_lines(look, shapes):
    """Whether shapes with this look are lines that can be one path: nothing is filled, and no dashes go on."""
    plain = look.get("fill") == "none" and look.get("stroke-dasharray", "none") == "none"
    return plain and all(set(shape.attrib) == {"d"} and shape.get("d")[:1] == "M" for shape in shapes)


def share_pictures(root):
    """Lets a drawing hold each picture once, however often it shows it; returns the root.

    Args:
        root: Element of a drawing, changed in place. What is drawn stays the same.
    """
    shown = collections.defaultdict(list)
    for image in root.iter("image"):
        if "id" not in image.attrib:
            shown[tuple(image.get(name) for name in _OF_A_PICTURE)].append(image)
    often = [images for images in shown.values() if len(images) > 1]
    for number, images in enumerate(often):
        name = f"picture-{number}"
        root.insert(number, defs := ET.Element("defs"))
        own = {key: images[0].get(key) for key in _OF_A_PICTURE if key in images[0].attrib}
        ET.SubElement(defs, "image", {"id": name, **own})
        for image in images:
            for key in own:
                del image.attrib[key]
            image.tag = "use"
            image.set("href", f"#{name}")
    return root


def _look(element):
    """What a shape can share with others: all but its place, and what would act on a group as a whole."""
    if element.tag not in ("path", "use"):
        return ()
    own = {"d", "href", "id", "opacity", "transform", "x", "y"}
    return tuple(sorted((name, value) for name, value in element.attrib.items() if name not in own))


def written(root):
    """Returns a tree as the text of an SVG."""
    copy = ET.Element("svg", {"xmlns": SVG, **root.attrib})
    copy.extend(root)
    return ET.tostring(copy, encoding="unicode")
