"""Drawings as SVG: lines and letters instead of pixels, without styles, scripts, or anything else that a page runs."""

import hashlib
import io
import itertools
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
from matplotlib import patheffects
from matplotlib.colors import same_color
from matplotlib.text import Text

from kgpc.plots import embedded

SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_CSS_PIXELS_PER_POINT = 96 / 72
# Written once, for the whole drawing.
_ROOT = {"font-family": "sans-serif", "stroke-linecap": "butt", "stroke-linejoin": "round"}
_DEFAULTS = {"fill-opacity": "1", "opacity": "1", "stroke-opacity": "1", "stroke-width": "1", "text-anchor": "start"}
_LEFT_OUT = {"metadata", "style", "title"}
_KEPT = {"clip-path", "d", "height", "id", "patternUnits", "transform", "width", "x", "y"}
_STYLES = {
    *("clip-path", "fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-dasharray", "stroke-dashoffset"),
    *("stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor"),
    *("font-size", "font-style", "font-weight"),
}
_SHARED = {name for name in _STYLES if name.startswith(("fill", "stroke"))}  # not what acts on a group as a whole
_ALIKE = 3  # so many copies are worth a group
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e[-+]?\d+)?")
_FONT = re.compile(r"(?P<before>.*?)(?P<size>[\d.]+)px\s")  # of `font: italic bold 10px 'DejaVu Sans'`
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_HALO = "kgpc-halo-"  # before the width of a halo, in the name of a text


def _halos_as_strokes(figure):
    """Takes the halos off all texts, whose letters would become outlines; their names say how wide they were."""
    for text in figure.findobj(Text):
        strokes = [effect for effect in text.get_path_effects() or () if isinstance(effect, patheffects.withStroke)]
        if strokes:
            text.set_gid(f"{_HALO}{strokes[0]._gc.get('linewidth', 1)}")
            text.set_path_effects([])


def _without_ground(figure):
    """Takes the white ground from a figure and its axes, so that a page's own shows."""
    figure.patch.set_facecolor("none")
    for axes in figure.axes:
        if same_color(axes.get_facecolor(), "white"):
            axes.patch.set_facecolor("none")


def _drawn(figure):
    """The SVG of a figure as Matplotlib writes it."""
    _halos_as_strokes(figure)
    _without_ground(figure)
    embedded.keep_pixels(figure)
    drawn, options = io.BytesIO(), {"svg.fonttype": "none", "svg.hashsalt": "kgpc", "svg.image_inline": True}
    with mpl.rc_context(options | {"image.composite_image": False}):
        figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return ET.fromstring(drawn.getvalue())


def _rounded(text, digits):
    """A text with its numbers rounded; half of a hundredth of a point cannot be seen."""

    def short(match):
        number = f"{float(match[0]):.{digits}f}"
        number = number.rstrip("0").rstrip(".") if "." in number else number
        return "0" if number in ("-0", "") else number

    return _NUMBER.sub(short, text)


def _compact(name, value):
    """An attribute in few characters."""
    if name == "d":
        return re.sub(r"\s*([A-Za-z])\s*", r"\1", _rounded(" ".join(value.split()), 2)).strip()
    if name == "transform":
        value = re.sub(r"\s*rotate\(-?0(?:\.0+)?(?: [-\d.]+ [-\d.]+)?\)", "", value).strip()
        # What multiplies other numbers is kept more exactly than what is added to them.
        return re.sub(
            r"(\w+)\(([^)]*)\)",
            lambda part: f"{part[1]}({_rounded(part[2], 5 if part[1] in ('scale', 'matrix') else 2)})",
            value,
        )
    if name in ("fill", "stroke"):
        return re.sub(r"^#(\w)\1(\w)\2(\w)\3$", r"#\1\2\3", value)
    if name in ("x", "y", "width", "height", "font-size") or name.startswith("stroke-"):
        return _rounded(value.replace("px", ""), 2)
    return value


def _attributes(element):
    """The attributes of an element, its style among them, as attributes that say something."""
    found = {name: value for name, value in element.attrib.items() if name in _KEPT or name in _STYLES}
    if element.tag == f"{{{SVG}}}use":
        found["href"] = element.attrib[_LINK]
    for part in element.get("style", "").split(";"):
        name, _, value = (text.strip() for text in part.partition(":"))
        if name == "font":
            font = _FONT.match(value)
            found["font-size"] = font["size"]
            for word in font["before"].split():
                if word in ("italic", "oblique", "bold", "light") or word.isdigit():
                    found["font-style" if word in ("italic", "oblique") else "font-weight"] = word
        elif name in _STYLES:
            found[name] = value
    found = {name: _compact(name, value) for name, value in found.items()}
    known = _DEFAULTS | _ROOT | {"font-weight": "400", "font-style": "normal"}
    return {name: value for name, value in found.items() if value and known.get(name) != value}


def _is_visible(tag, attributes):
    """Whether a shape is painted; the axes of a diagram and the ground of a figure are not."""
    if tag != "path":
        return True
    return attributes.get("fill") != "none" or attributes.get("stroke", "none") != "none"


def _rewritten(element, referenced, halo=None):
    """The elements that take the place of one of Matplotlib's: itself or, for a group that says nothing, its parts."""
    tag = element.tag.partition("}")[2]
    if tag in _LEFT_OUT:
        return []
    attributes = _attributes(element)
    name = attributes.get("id", "")
    if name.startswith(_HALO):
        halo = name.removeprefix(_HALO)
    if name not in referenced:
        attributes.pop("id", None)
    if tag == "text" and halo:
        attributes |= {"stroke": "#fff", "stroke-width": halo, "paint-order": "stroke"}
    # A shape that is used elsewhere gets its colours there.
    if not _is_visible(tag, attributes) and name not in referenced:
        return []
    if tag == "image":
        attributes |= embedded.compact(element)
    children = _gathered([part for child in element for part in _rewritten(child, referenced, halo)])
    if tag in ("g", "defs") and (not children or (tag == "g" and not attributes)):
        return children
    copy = ET.Element(tag, attributes)
    copy.extend(children)
    if tag in ("text", "tspan"):
        copy.text = element.text
    return [copy]


def _gathered(parts):
    """Elements of which those that follow each other and look alike are in a group that says once what they share."""
    found = []
    for look, members in itertools.groupby(parts, _look):
        members = list(members)
        if look is None or len(members) < _ALIKE:
            found += members
            continue
        group = ET.Element("g", dict(look))
        for member in members:
            for name, _ in look:
                del member.attrib[name]
        group.extend(members)
        found.append(group)
    return found


def _look(element):
    """What copies of a marker have in common with others of their look; None for other elements."""
    if element.tag != "use":
        return None
    return tuple((name, value) for name, value in sorted(element.attrib.items()) if name in _SHARED) or None


def _renamed(root):
    """Gives all names of a drawing a beginning that no other drawing has, so that several can stand on a page."""
    names = [element.get("id") for element in root.iter() if "id" in element.attrib]
    own = hashlib.sha256(ET.tostring(root)).hexdigest()[:8]
    new = {name: f"k{own}-{number}" for number, name in enumerate(dict.fromkeys(names), start=1)}
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, new[value])
            elif name == "href" and element.tag == "use":
                element.set(name, f"#{new[value.removeprefix('#')]}")
            elif name in ("fill", "clip-path"):
                element.set(name, _REFERENCE.sub(lambda match: f"url(#{new[match[1]]})", value))


def svg(figure, alt):
    """Returns a figure as SVG, and its width and height in pixels on a page; the figure is changed by that.

    Letters stay letters, in the sans-serif font of whoever looks, and pictures stay pixels (see `embedded`). Behind
    the drawing lies a white ground with round corners, its first element: within the dark pages of JupyterLab or VS
    Code a picture cannot know that they are dark.
    Pages of the site take it away and have colours for the dark.

    The same figure gives the same text. All names in it are its own, so that drawings on one page do not get mixed up.

    Args:
        figure: `matplotlib.figure.Figure`.
        alt: str, what it shows, for readers who cannot see it.

    Returns:
        tuple of str, int and int.
    """
    drawn = _drawn(figure)
    values = [value for element in drawn.iter() for name, value in element.attrib.items() if name != _LINK]
    referenced = {*_REFERENCE.findall(" ".join(values))} | {
        element.attrib[_LINK].removeprefix("#") for element in drawn.iter(f"{{{SVG}}}use")
    }
    size = [float(number) for number in drawn.get("viewBox").split()[2:]]
    width, height = (round(side * _CSS_PIXELS_PER_POINT) for side in size)
    about = {
        "xmlns": SVG,
        "width": str(width),
        "height": str(height),
        "role": "img",
        "aria-label": " ".join(alt.split()),
    }
    root = ET.Element("svg", about | {"viewBox": _rounded(drawn.get("viewBox"), 2)} | _ROOT)
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "rx": "6", "fill": "#fff"})
    root.extend(part for child in drawn for part in _rewritten(child, referenced))
    _renamed(root)
    return ET.tostring(root, encoding="unicode"), width, height
