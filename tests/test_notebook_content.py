"""What the site takes from notebooks and pages: nothing that runs, nothing of other files, no folder but its own."""

import base64
import html
import io
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import build_site
import drawing_themes
import nbformat
import notebook_content
import pytest
import site_figures
import svg_content
from PIL import Image

from kgpc import figures, plots
from kgpc.figures import moving
from kgpc.plots import encoding

ROOT = Path(__file__).resolve().parents[1]


def stored(**data):
    """A notebook with one output of these types; the names have "_" for "/"."""
    data = {name.replace("_", "/", 1): content for name, content in data.items()}
    output = nbformat.v4.new_output("display_data", data=data)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])


def shown(notebook):
    return notebook_content.shown(notebook, "00_odd.ipynb")


def encoded(content):
    return base64.b64encode(content).decode("ascii")


def png(size, color="black"):
    drawn = io.BytesIO()
    Image.new("RGB", size, color).save(drawn, format="png")
    return drawn.getvalue()


# Notebooks


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_stored_notebooks_are_shown_as_they_are(path):
    notebook = nbformat.read(path, as_version=4)
    copy = shown(notebook)
    nbformat.validate(copy)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in notebook.cells]
    for cell, before in zip(copy.cells, notebook.cells, strict=True):
        for output, stored_output in zip(cell.get("outputs", []), before.get("outputs", []), strict=True):
            if notebook_content.FIGURE in stored_output.get("metadata", {}):
                del stored_output.data["text/html"]  # with a script, which comes from the package instead
            for one in (output, stored_output):
                if "text/html" in one.get("data", {}):  # the same characters may be written in several ways
                    one.data["text/html"] = html.unescape(one.data["text/html"])
            assert output == stored_output
    tags = [[cell.metadata.get("tags", []) for cell in book.cells] for book in (copy, notebook)]
    assert tags[0] == tags[1]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<SCRIPT src='//elsewhere'></SCRIPT>",
        "<b onclick='alert(1)'>x</b>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='x'></iframe>",
        "<td style='background: url(//elsewhere)'>1</td>",
        "<table><!-- <script>alert(1)</script> --></table>",
        "<a href='javascript:alert(1)'>x</a>",
        "<!DOCTYPE html><p>x</p>",
        "<style>p {}</style><script>alert(1)</script>",
        "<form action='//elsewhere'></form>",
        "<meta http-equiv='refresh' content='0;//elsewhere'>",
        "<div style='Position: fixed; top: 0'>lies over the page</div>",
    ],
)
def test_html_that_a_browser_would_run_or_fetch_is_refused(text):
    with pytest.raises(ValueError, match=r"00_odd.ipynb, cell 1: an output has (the|an) HTML"):
        shown(stored(text_html=text, text_plain="x"))


def test_html_is_written_anew():
    text = '<div><style scoped>td > a {}</style><td style="text-align: right" title="a&quot;b">1 &lt; 2<br/></td>'
    written = shown(stored(text_html=text)).cells[0].outputs[0].data["text/html"]
    assert written == '<div><td style="text-align: right" title="a&quot;b">1 &lt; 2<br></td></div>'
    # What ends elements of the page around it does not; what is not ended ends there.
    written = shown(stored(text_html="</div></div><table><tr><td>1</table></div><b>2")).cells[0].outputs[0].data
    assert written["text/html"] == "<table><tr><td>1</td></tr></table><b>2</b>"


def with_figure(change=lambda data, metadata: None):
    """A notebook with a figure that moves, as it is stored; `change` may alter its data and metadata."""
    data, metadata = (dict(part) for part in figures.d6()._repr_mimebundle_())
    metadata = json.loads(json.dumps(metadata))
    change(data, metadata)
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_stored_figures_have_the_script_of_today(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if stored_figure := output.get("metadata", {}).get(notebook_content.FIGURE):
                script = moving.script((stored_figure["name"],))
                assert output.data["text/html"].endswith(f"<script>\n{script}\n</script>"), "run the notebook again"
                assert not {"nbval-check-output"} & set(cell.metadata.get("tags", []))  # Matplotlib's releases differ


def test_a_figure_that_moves_has_its_script_from_the_package(tmp_path):
    def foreign(data, metadata):
        data["text/html"] = "<script>alert(1)</script>"
        data["text/plain"] = "words of somebody"
        data["application/javascript"] = "alert(1)"
        metadata["image/png"]["alt"] = "words of somebody"
        metadata["other"] = "alert(1)"

    stored_output = with_figure().cells[0].outputs[0]
    copy = shown(with_figure(foreign))
    output = copy.cells[0].outputs[0]
    assert set(output.data) == {"image/png", "text/plain"} and output.data["text/plain"] == figures.d6().text
    assert output.metadata == stored_output.metadata and "alert" not in str(copy)
    pictures = site_figures.Pictures(tmp_path / "figures")
    page = pictures.placed(copy).cells[0].outputs[0]
    assert set(page.data) == {"text/html"} and page.metadata == {}
    element, script = page.data["text/html"].split("\n<script")
    (picture,) = (tmp_path / "figures").glob("*.webp")
    assert f'src="../_figures/{picture.name}"' in element and html.escape(figures.d6().alt) in element
    assert script == ' defer src="../_figures/d6.js"></script>'
    assert (tmp_path / "figures" / "d6.js").read_text(encoding="utf-8") == moving.script(("d6",))
    assert copy.cells[0].outputs[0] == output  # the notebook itself stays as it was, for the pictures of cards


@pytest.mark.parametrize(
    "change",
    [
        lambda data, metadata: metadata["kgpc_figure"].update(name="elsewhere"),
        lambda data, metadata: metadata["kgpc_figure"].update(script="alert(1)"),
        lambda data, metadata: metadata["kgpc_figure"]["parameters"].update(scheme="<script>alert(1)</script>"),
        lambda data, metadata: metadata["kgpc_figure"]["parameters"].update(in_channels=10**9),
        lambda data, metadata: metadata["kgpc_figure"].pop("parameters"),
        lambda data, metadata: metadata.update(kgpc_figure="d6"),
        lambda data, metadata: metadata.update(kgpc_figure=None),
        lambda data, metadata: metadata["image/png"].update(width=10**9),
        lambda data, metadata: data.update({"image/png": encoded(b"GIF89a")}),
        lambda data, metadata: data.pop("image/png"),
        lambda data, metadata: metadata.pop("kgpc_figure"),  # a script of nobody knows whom
    ],
)
def test_a_figure_that_moves_is_refused_where_it_is_none_of_ours(change):
    with pytest.raises(ValueError, match=r"^00_odd.ipynb, cell 1: .* It is not put onto the site"):
        shown(with_figure(change))


@pytest.mark.parametrize(
    "kind", ["application_javascript", "text_markdown", "text_latex", "application_json", "image_eps"]
)
def test_other_types_are_left_out_or_refused(kind):
    assert set(shown(stored(**{kind: "x", "text_plain": "y"})).cells[0].outputs[0].data) == {"text/plain"}
    with pytest.raises(ValueError, match="cell 1: an output has none of the types image/svg"):
        shown(stored(**{kind: "x"}))


# Drawings


def drawing(inside="", attributes="", before=""):
    """An SVG as it is stored, with something in it."""
    return (
        f'{before}<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50" viewBox="0 0 75 37.5"{attributes}>'
        f"{inside}</svg>"
    )


def drawn(alt="Two lines."):
    """What `plots.show` stores of a figure with text, markers, clipped lines, hatching, and words in halos."""
    figure = plots.line_chart([1, 2, 3], {"a & $x^2$": [1, 2, 3], "b": [3, 1, 2]}, "epoch", "loss", levels={"<i>": 2})
    figure.axes[0].bar([2], [1], hatch="//", facecolor="#D55E00")
    figure.axes[0].text(1, 1, "turned\ntwice", rotation=30, bbox={"facecolor": "white"})
    return encoding.encoded(figure, alt)


def test_a_drawing_of_the_site_has_lines_as_one_path_and_each_picture_once():
    line = '<path d="M0 {0}L9 {0}" fill="none" stroke="#fff" stroke-width="0.4"/>'
    picture = '<image width="2" height="2" transform="translate({0} 0)" href="{1}"/>'
    red, blue = (f"data:image/png;base64,{encoded(png((2, 2), color))}" for color in ("red", "blue"))
    text = drawing(line.format(1) + line.format(2) + picture.format(3, red) + picture.format(4, blue))
    root = svg_content.share_pictures(svg_content.parsed(text))
    assert len(root.findall("image")) == 2 and root.find("use") is None  # each is shown once
    (path,) = svg_content.lighter(root).findall("path")
    assert path.attrib == {"d": "M0 1L9 1M0 2L9 2", "fill": "none", "stroke": "#fff", "stroke-width": "0.4"}

    twice = drawing(picture.format(3, red) + picture.format(4, blue) + picture.format(5, red))
    root = svg_content.share_pictures(svg_content.parsed(twice))
    assert [image.get("href") for image in root.iter("image")] == [red, blue]
    places = [(use.get("href"), use.get("transform")) for use in root.findall("use")]
    assert places == [("#picture-0", "translate(3 0)"), ("#picture-0", "translate(5 0)")]
    assert [part.tag for part in root] == ["defs", "use", "image", "use"]  # what lies above what

    # What is filled or dashed stays apart: there one path would look otherwise.
    for look in ('fill="#000"', 'fill="none" stroke="#000" stroke-dasharray="1 2"'):
        apart = drawing(f'<path d="M0 0L9 9" {look}/><path d="M0 9L9 0" {look}/>')
        assert len(list(svg_content.lighter(svg_content.parsed(apart)).iter("path"))) == 2


def test_a_drawing_that_the_package_made_is_shown_as_it_is():
    data, metadata = drawn()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    assert shown(notebook).cells[0].outputs[0] == output
    text = data["image/svg+xml"]
    assert all(
        part in text for part in ("<clipPath", "<use", "<pattern", 'paint-order="stroke"', "&lt;i&gt;", "turned")
    )
    assert not any(part in text for part in (" style=", "metadata", "xlink", "DejaVu", "<image"))


@pytest.mark.parametrize(
    "text",
    [
        drawing("<script>alert(1)</script>"),
        drawing('<script href="//elsewhere/x.js"/>'),
        drawing('<g onload="alert(1)"/>'),
        drawing(attributes=' onload="alert(1)"'),
        drawing("<style>* { fill: url(//elsewhere) }</style>"),
        drawing('<path d="M0 0" style="fill: url(//elsewhere)"/>'),
        drawing('<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>'),
        drawing('<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>'),
        drawing('<image href="//elsewhere/x.png"/>'),
        drawing('<image href="data:image/png;base64,AAAA"/>'),
        drawing(f'<image href="data:image/jpeg;base64,{encoded(png((8, 8)))}"/>'),
        drawing(f'<image href="data:image/png;base64,{encoded(png((8, 8))[:40])}"/>'),
        drawing('<image href="data:image/svg+xml;base64,PHN2Zy8+"/>'),
        drawing('<image href="data:text/html,x"/>'),
        drawing('<path id="a" d="M0 0"/><image href="#a"/>'),
        drawing("<image/>"),
        drawing(f'<path id="a" d="M0 0"/><use href="data:image/png;base64,{encoded(png((8, 8)))}"/>'),
        drawing('<a href="javascript:alert(1)"><text>x</text></a>'),
        drawing('<use href="//elsewhere/x.svg#a"/>'),
        drawing('<use href="data:image/svg+xml,x#a"/>'),
        drawing('<path id="a" d="M0 0"/><use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="#a"/>'),
        drawing('<path d="M0 0" fill="url(//elsewhere#a)"/>'),
        drawing('<path d="M0 0" fill="url(&quot;//elsewhere#a&quot;)"/>'),
        drawing('<path d="M0 0" fill="expression(alert(1))"/>'),
        drawing('<path d="M0 0" fill="currentColor"/>'),
        drawing('<g clip-path="url(//elsewhere#a)"/>'),
        drawing('<g filter="url(#a)"/>'),
        drawing('<animate attributeName="href" to="javascript:alert(1)"/>'),
        drawing('<set attributeName="onload" to="alert(1)"/>'),
        drawing("<iframe/>"),
        drawing("<!-- x -->"),
        drawing("<![CDATA[<script>]]>"),
        drawing("<?xml-stylesheet href='//elsewhere'?>"),
        drawing("<text>&a;</text>", before='<!DOCTYPE svg [<!ENTITY a "b">]>'),
        drawing("<text>&a;</text>", before='<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
        drawing(before='<!DOCTYPE svg SYSTEM "//elsewhere/x.dtd">'),
        drawing("words"),
        drawing("<g>"),
        drawing(drawing()),
        drawing('<use href="#a"/>'),
        drawing('<g id="a"><use href="#a"/></g>'),
        drawing('<path id="a" d="M0 0"/><g href="#a"/>'),
        drawing('<pattern id="a"><path d="M0 0" fill="url(#a)"/></pattern><path d="M0 0" fill="url(#a)"/>'),
        drawing('<clipPath id="a"><path d="M0 0" clip-path="url(#a)"/></clipPath><g clip-path="url(#a)"/>'),
        drawing(31 * "<g>" + 31 * "</g>"),
        drawing('<text x="1" aria-label="x" tabindex="1">x</text>'),
        drawing().replace('"100"', '"1000000"'),
        drawing().replace('"100"', '"100%"'),
        drawing().replace(' width="100"', ""),
        drawing().replace("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"),
        drawing('<path d="' + "M0 0" * 300_000 + '"/>'),
        "<html></html>",
        "",
        "GIF89a",
    ],
    ids=itertools.count(),
)
def test_a_drawing_with_anything_else_in_it_is_refused(text):
    with pytest.raises(ValueError, match=r"^00_odd.ipynb, cell 1: (a|the \w+ of a) drawing "):
        shown(stored(**{"image_svg+xml": text, "text_plain": "x"}))


def test_a_drawing_is_written_anew():
    text = drawing('<text x="1">a &lt; b &#65;</text>\n<path id="a" d="M0 0" /><use href="#a"></use>')
    written = shown(stored(**{"image_svg+xml": text})).cells[0].outputs[0].data["image/svg+xml"]
    assert written == drawing('<text x="1">a &lt; b A</text><path id="a" d="M0 0" /><use href="#a" />')


def test_what_shapes_share_is_said_once():
    look, other = 'clip-path="url(#c)" stroke="#fff" stroke-width="2"', 'fill="#fff" opacity="0.5"'
    clip = '<defs><clipPath id="c"><path d="M0 0" fill="#fff" /><path d="M1 1" fill="#fff" /></clipPath></defs>'
    shapes = f'<path d="M1 1" {look} /><path d="M2 2" {look} /><path d="M3 3" {other} /><path d="M4 4" {other} />'
    expected = (
        f'<g {look}><path d="M1 1" /><path d="M2 2" /></g>'
        '<g fill="#fff"><path d="M3 3" opacity="0.5" /><path d="M4 4" opacity="0.5" /></g>'
    )
    root = svg_content.lighter(svg_content.parsed(drawing(clip + shapes + '<path d="M5 5" fill="#000" />')))
    assert svg_content.written(root) == drawing(clip + expected + '<path d="M5 5" fill="#000" />')


def test_a_drawing_becomes_two_files_of_which_a_page_shows_one(tmp_path):
    data, metadata = drawn('A "quoted" text.')
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    pictures = site_figures.Pictures(tmp_path / "figures")
    placed = pictures.placed(shown(notebook)).cells[0].outputs[0]
    assert set(placed.data) == {"text/html"}
    images = re.findall(
        r'<img class="only-(light|dark)" src="\.\./_figures/(\w+\.svg)" (.*?) loading="lazy">', placed.data["text/html"]
    )
    assert [theme for theme, _, _ in images] == ["light", "dark"]
    assert all(
        f'width="{metadata["image/svg+xml"]["width"]}"' in rest and "&quot;quoted&quot;" in rest for *_, rest in images
    )
    light, dark = ((tmp_path / "figures" / name).read_text(encoding="utf-8") for _, name, _ in images)
    assert 'width="100%"' in data["image/svg+xml"] and 'width="100%"' not in light + dark
    assert data["image/svg+xml"].count("#0072b2") >= light.count("#0072b2") > 0
    for text in (light, dark):
        assert svg_content.written(svg_content.parsed(text)) == text


def test_points_that_let_through_a_little_do_not_on_a_dark_page_and_bands_do():
    point = '<path d="M0 0L4 0L4 4z" fill="#0072b2" fill-opacity="0.8" stroke="#0072b2" stroke-opacity="0.8"/>'
    band = '<path d="M0 0L40 0L40 40z" fill="#0072b2" fill-opacity="0.2"/>'
    parsed = svg_content.parsed(drawing(point + band))
    (dark_point, dark_band), (light_point, _) = drawing_themes.dark(parsed), drawing_themes.light(parsed)
    assert dark_point.get("fill-opacity") == dark_point.get("stroke-opacity") == "1"
    assert dark_band.get("fill-opacity") == "0.2" and light_point.get("fill-opacity") == "0.8"
    assert drawing_themes.contrast(drawing_themes.rgb(dark_point.get("fill")), drawing_themes.GROUND) >= 3


def test_a_picture_in_a_drawing_keeps_its_colours_and_what_is_drawn_on_it(tmp_path):
    """A frame around it and words beside it get the colours of a dark page."""
    on_it = '<path d="M20 20L40 20" stroke="#fff"/><text x="15" y="30" font-size="5">on it</text>'
    frame = '<path d="M10 10L60 10" stroke="#000"/><text x="10" y="5" font-size="5">above</text>'
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(noise, format="png")
    place = 'width="50" height="50" transform="matrix(1 0 0 1 10 10)"'
    image = f'<image href="data:image/png;base64,{encoded(noise.getvalue())}" {place} image-rendering="pixelated" />'
    root = drawing_themes.dark(svg_content.parsed(drawing(image + on_it + frame)))
    line, edge = (path.get("stroke") for path in root.findall("path"))
    inside, outside = (text.get("fill") for text in root.findall("text"))
    assert line == "#fff" and drawing_themes.luminance(drawing_themes.rgb(edge)) > 0.5
    assert inside is None and drawing_themes.luminance(drawing_themes.rgb(outside)) > 0.5
    pictures = site_figures.Pictures(tmp_path / "figures")
    pictures.drawing(drawing(image + on_it + frame), "Noise.")
    for file in (tmp_path / "figures").iterdir():
        kind, content = re.search(r'href="data:image/(\w+);base64,(.*?)"', file.read_text(encoding="utf-8")).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(content)))
        assert kind == picture.format.lower() and 'image-rendering="pixelated"' in file.read_text(encoding="utf-8")
        # Written anew, without loss.
        assert picture.convert("RGB").tobytes() == Image.open(noise).convert("RGB").tobytes()


COLOURS = {
    '<text x="10" y="20">on the page</text>': "light",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#E69F00"/><text x="10" y="20">on orange</text>': "dark",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#0072B2"/><text x="10" y="20" fill="#fff">on blue</text>': "light",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#ffffff"/><text x="10" y="20">on white</text>': "light",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#fde0c0"/><text x="10" y="20">on a pale colour</text>': "dark",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#E69F00"/><text x="10" y="20" stroke="#fff">in a halo</text>': "light",
    '<path d="M0 0L75 0L75 37L0 37z" fill="#E69F00"/><text transform="translate(90 90)">beside</text>': "light",
    '<defs><path id="a" d="M0 0L75 0L75 37L0 37z"/></defs><text x="10" y="20">not on a mark</text>': "light",
    '<text x="10" y="20" fill="#0072B2">blue</text>': "light",
}


@pytest.mark.parametrize("inside", COLOURS)
def test_words_in_the_dark_can_be_read_on_what_lies_below_them(inside):
    root = drawing_themes.dark(svg_content.parsed(drawing(inside)))
    color = drawing_themes.rgb(root.find("text").get("fill"))
    fills = [path.get("fill") for path in root.findall("path")]
    ground = drawing_themes.rgb(fills[0]) if fills and "beside" not in inside else drawing_themes.GROUND
    if root.find("text").get("stroke"):
        ground = drawing_themes.rgb(root.find("text").get("stroke"))
    assert drawing_themes.contrast(color, ground) >= 4.5
    assert (drawing_themes.luminance(color) > drawing_themes.luminance(ground)) == (COLOURS[inside] == "light")


def test_colours_of_parts_stand_out_from_a_dark_page():
    for color in plots.COLORS.values():
        assert drawing_themes.contrast(drawing_themes.in_the_dark(color), drawing_themes.GROUND) >= 3
    assert drawing_themes.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert drawing_themes.contrast(drawing_themes.rgb("#777"), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


# Pictures


def other_format(name):
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8)).save(drawn, format=name)
    return drawn.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", *map(other_format, ("EPS", "GIF", "TIFF"))]
)
def test_a_picture_of_another_format_is_refused_and_starts_no_program(content, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: pytest.fail("a program was started"))
    with pytest.raises(ValueError, match="cell 1: a picture is no PNG"):
        shown(stored(image_png=encoded(content)))


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_damaged_picture_is_named(kind):
    noise = io.BytesIO()
    Image.effect_noise((50, 50), 90).save(noise, format=kind)
    whole = noise.getvalue()
    assert shown(stored(**{f"image_{kind}": encoded(whole)}))
    damaged = [whole[: len(whole) // 2], whole[:20]]
    if kind == "png":  # a JPEG has no checksums: other bytes are another picture
        damaged.append(whole[:100] + bytes(9) + whole[109:])
    for content in damaged:
        with pytest.raises(ValueError, match=f"cell 1: a picture is (damaged|no {kind.upper()})"):
            shown(stored(**{f"image_{kind}": encoded(content)}))


def test_a_picture_under_the_name_of_another_format_is_refused():
    for content, kind, name in ((png((8, 8)), "image_jpeg", "JPEG"), (other_format("JPEG"), "image_png", "PNG")):
        with pytest.raises(ValueError, match=f"cell 1: a picture is no {name}"):
            shown(stored(**{kind: encoded(content)}))
    # Also where the other of the two is as it should be.
    with pytest.raises(ValueError, match="cell 1: a picture is no JPEG"):
        shown(stored(image_png=encoded(png((8, 8))), image_jpeg=encoded(b"")))


def test_a_photograph_is_a_file_beside_the_page(tmp_path):
    output = nbformat.v4.new_output(
        "display_data",
        data={"image/jpeg": encoded(other_format("JPEG"))},
        metadata={"image/jpeg": {"alt": "Eight & eight.", "width": 4, "onload": "alert(1)"}},
    )
    copy = shown(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])]))
    assert copy.cells[0].outputs[0].metadata == {"image/jpeg": {"alt": "Eight & eight.", "width": 4}}
    pictures = site_figures.Pictures(tmp_path / "figures")
    page = pictures.placed(copy).cells[0].outputs[0].data["text/html"]
    (file,) = (tmp_path / "figures").iterdir()
    # What a browser decodes in fewer bytes.
    assert file.suffix == ".webp" and file.stat().st_size < len(other_format("JPEG"))
    with Image.open(file) as picture:
        assert picture.format == "WEBP" and picture.size == (8, 8)
    assert f'src="../_figures/{file.name}" width="4" height="4" alt="Eight &amp; eight."' in page
    assert build_site.thumbnail(copy, pictures).startswith("<img ")


def test_a_damaged_notebook_is_named(tmp_path):
    for content in (b"", b"[" * 10_000, b"{}", b"\xff", b'{"cells": 3, "metadata": {}, "nbformat": 4}'):
        (tmp_path / "00_odd.ipynb").write_bytes(content)
        with pytest.raises(ValueError, match="00_odd.ipynb is damaged, or no notebook"):
            build_site.read_notebook(tmp_path / "00_odd.ipynb")


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    content = b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(ValueError, match="cell 1: a picture"):
        shown(stored(image_png=encoded(content)))
    assert shown(stored(image_png=encoded(png((2000, 2000)))))
    with pytest.raises(ValueError, match="cell 1: a picture has 9000x3000 pixels"):
        shown(stored(image_png=encoded(png((9000, 3000)))))
    # A JPEG says its size in the header too: change that of a small one.
    jpeg = other_format("JPEG")
    place = jpeg.index(b"\xff\xc0") + 5
    with pytest.raises(ValueError, match="cell 1: a picture has 60000x60000 pixels|cell 1: a picture is no JPEG"):
        shown(stored(image_jpeg=encoded(jpeg[:place] + struct.pack(">HH", 60_000, 60_000) + jpeg[place + 4 :])))


def test_settings_of_a_notebook_do_not_have_it_executed():
    notebook = stored(text_plain="1")
    notebook.metadata["mystnb"] = {"execution_mode": "force"}
    notebook.cells[0].metadata |= {"mystnb": {"image": {"alt": "x"}}, "tags": ["hide-input"]}
    copy = shown(notebook)
    assert dict(copy.metadata) == {} and dict(copy.cells[0].metadata) == {"tags": ["hide-input"]}


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "words <b onclick='x'>here</b>"])
def test_raw_html_in_the_text_of_a_notebook_is_refused(text):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# Title\n\n{text}")])
    with pytest.raises(ValueError, match="00_odd.ipynb, cell 1: its text has raw HTML"):
        shown(notebook)
    raw = nbformat.v4.new_raw_cell(text, metadata={"format": "text/html"})
    with pytest.raises(ValueError, match="cell 1: it is of the kind 'raw'"):
        shown(nbformat.v4.new_notebook(cells=[raw]))


# Folders


def test_only_folders_that_the_builder_made_are_deleted(tmp_path):
    own = tmp_path / "new" / "site"
    build_site.renew(own)
    (own / "page.html").touch()
    build_site.renew(own)
    assert [path.name for path in own.iterdir()] == [build_site.MARKER]
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").touch()
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(own)
    for folder in (other, file, link):
        with pytest.raises(ValueError, match=f"{folder.name} (has files|is no folder)"):
            build_site.renew(folder)
    assert (other / "chapter.txt").is_file() and file.is_file() and link.is_symlink()


@pytest.mark.parametrize("beside", ["", "-work"])
def test_nothing_is_written_where_a_folder_must_not_be_replaced(tmp_path, capsys, beside):
    folder = tmp_path / f"site{beside}"
    folder.mkdir()
    (folder / "chapter.txt").touch()
    assert build_site.main([str(tmp_path / "site")]) == 1
    assert f"{folder} has files that this command did not make" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [folder, folder / "chapter.txt"]


@pytest.mark.skipif(os.name != "posix", reason="no folder can be made below a device")
def test_a_folder_that_cannot_be_made_is_named_in_a_line(monkeypatch):
    shown_on = io.BytesIO()  # a terminal without umlauts
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(shown_on, "ascii", write_through=True))
    assert build_site.main(["/dev/null/übersicht"]) == 1
    error = shown_on.getvalue().decode("ascii")
    assert r"/dev/null/\xfcbersicht" in error and len(error.splitlines()) == 1


# Pages


def test_a_page_is_a_file_of_the_repository_without_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(build_site, "ROOT", tmp_path / "repository")
    page, outside = tmp_path / "repository" / "page.md", tmp_path / "secret.md"
    page.parent.mkdir()
    page.write_text("# Page\n")
    outside.write_text("secret\n")
    build_site.check_page(page)
    page.write_text("---\nfile_format: mystnb\n---\n# Page\n")
    with pytest.raises(ValueError, match="page.md begins with settings"):
        build_site.check_page(page)
    page.unlink()
    page.symlink_to(outside)
    with pytest.raises(ValueError, match="page.md leads to a file outside"):
        build_site.check_page(page)


TEXTS = {
    "include": "```{include} ../secret.txt\n```",
    "literalinclude": "```{literalinclude} ../secret.txt\n```",
    "table": "```{csv-table}\n:file: ../secret.txt\n```",
    "raw_file": "```{raw} html\n:file: ../secret.txt\n```",
    "raw_text": "```{raw} html\n<script>secret</script>\n```",
    "rst_include": "```{eval-rst}\n.. include:: ../secret.txt\n```",
    "rst_literalinclude": "```{eval-rst}\n.. literalinclude:: ../secret.txt\n```",
    "rst_raw": "```{eval-rst}\n.. raw:: html\n   :file: ../secret.txt\n```",
}
COPIES = {
    "download": "{download}`../secret.txt`",
    "link": "[text](../secret.txt)",
    "picture": "![text](../secret.png)",
    "figure": "```{figure} ../secret.png\n```",
}


def site_of(folder, pages):
    """Runs Sphinx with the settings of the site on pages beside which lies a secret, and returns what it said."""
    for secret in ("secret.txt", "secret.png"):
        (folder / secret).write_text("secret")
    (folder / "sources").mkdir()
    contents = "# Pages\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n"
    for name, text in {"index": contents, **{name: f"# Page\n\n{text}\n" for name, text in pages.items()}}.items():
        (folder / "sources" / f"{name}.md").write_text(text)
    code = "import sys; from sphinx.cmd.build import build_main; sys.exit(build_main(sys.argv[1:]))"
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", str(ROOT / "docs")]
    command = [sys.executable, "-c", code, *options, str(folder / "sources"), str(folder / "site")]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode != 0
    return process.stderr


def test_a_page_cannot_show_the_text_of_other_files(tmp_path):
    said = site_of(tmp_path, TEXTS)
    for name in TEXTS:
        assert f"{name}.md" in said, f"{name}: {said}"
        page = (tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8")
        assert ">secret<" not in page and ">secret\n<" not in page and "<script>secret" not in page, name


def test_a_page_cannot_have_other_files_copied(tmp_path):
    said = site_of(tmp_path, COPIES)
    for name in COPIES:
        assert name in said.partition("outside the sources")[2], f"{name}: {said}"
    assert not list((tmp_path / "site").rglob("secret*"))
