"""What the site takes from notebooks and pages: nothing that runs, nothing of other files, no folder but its own."""

import base64
import html
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import build_site
import nbformat
import notebook_content
import pytest
import site_figures
from PIL import Image

from kgpc import figures
from kgpc.figures import moving

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


def png(size):
    drawn = io.BytesIO()
    Image.new("RGB", size).save(drawn, format="png")
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
    ],
)
def test_html_that_a_browser_would_run_or_fetch_is_refused(text):
    with pytest.raises(ValueError, match=r"00_odd.ipynb, cell 1: an output has (the|an) HTML"):
        shown(stored(text_html=text, text_plain="x"))


def test_html_is_written_anew():
    text = '<div><style scoped>td > a {}</style><td style="text-align: right" title="a&quot;b">1 &lt; 2<br/></td>'
    written = shown(stored(text_html=text)).cells[0].outputs[0].data["text/html"]
    assert written == '<div><td style="text-align: right" title="a&quot;b">1 &lt; 2<br></td>'


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
    (picture,) = (tmp_path / "figures").glob("*.png")
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
    "kind", ["application_javascript", "image_svg+xml", "text_markdown", "text_latex", "application_json", "image_eps"]
)
def test_other_types_are_left_out_or_refused(kind):
    assert set(shown(stored(**{kind: "x", "text_plain": "y"})).cells[0].outputs[0].data) == {"text/plain"}
    with pytest.raises(ValueError, match="cell 1: an output has none of the types image/png"):
        shown(stored(**{kind: "x"}))


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


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    content = b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(ValueError, match="cell 1: a picture"):
        shown(stored(image_png=encoded(content)))
    assert shown(stored(image_png=encoded(png((2000, 2000)))))
    with pytest.raises(ValueError, match="cell 1: a picture has 9000x3000 pixels"):
        shown(stored(image_png=encoded(png((9000, 3000)))))


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
