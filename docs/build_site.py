#!/usr/bin/env python3
"""Builds the site: the notebooks with their stored outputs, the pages, and the reference of the package.

    python docs/build_site.py [FOLDER]

The sources are first laid out in a folder of their own, in the places that they have in the repository, so that links
between them lead where they lead there. `docs/index.md` becomes the landing page; `docs` is taken as it is found, and
`notebooks` as far as `notebook_content` lets it; every module of the package gets a page.

A folder that is there already is replaced only where this command made it, which a file in it says.
"""

import argparse
import html
import io
import re
import shutil
import string
import sys
from pathlib import Path

import nbformat
import notebook_content
import reference
import stored_pictures

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))  # the package that is documented is the one beside this file

SOURCES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "data/**/*.md",
    "docs/*.md",
    "notebooks/*.ipynb",
)
THUMBNAIL_PIXELS = 480
THUMBNAIL_COLORS = 48  # enough for a card, at a third of the size
MOST_CHARACTERS_OF_A_THUMBNAIL = 30_000  # of a drawing of shapes alone; pixels take fewer where it has more
MOST_CHARACTERS_WITH_PICTURES = 100_000  # as they are stored; the site has less
QUESTIONS = ("Does it still learn?", "And is it faster?")  # of README's section about the idea
MARKER = ".made-by-kgpc-build-site"  # in every folder that may be deleted
FORM_TITLE = re.compile(r"^# @title (.*?)(?: \{display-mode.*\})?\n")


# The notebooks


def name_folded_cells(notebook):
    """Lets a folded cell show the title of its form, as Colab does, in place of the line that says so.

    Args:
        notebook: nbformat NotebookNode, changed in place.
    """
    for cell in notebook.cells:
        title = FORM_TITLE.match(cell.source)
        if title and cell.cell_type == "code":
            cell.source = cell.source[title.end() :]
            prompt = title[1].replace("{", "(").replace("}", ")")  # braces would be a format
            cell.metadata["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": prompt}


def thumbnail(notebook, pictures):
    """Returns the first figure of a notebook as small HTML images, or an empty text where it has none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data, drawing = output.get("data", {}), output.get("data", {}).get("image/svg+xml", "")
            most = MOST_CHARACTERS_WITH_PICTURES if "<image" in drawing else MOST_CHARACTERS_OF_A_THUMBNAIL
            if 0 < len(drawing) <= most:
                return pictures.drawing(drawing, "")
            if notebook_content.FIGURE in output.get("metadata", {}):
                continue  # its picture is for pages without scripts
            kind = next((kind for kind in stored_pictures.FORMATS if kind in data), None)
            if kind:
                picture = stored_pictures.picture(data[kind], kind).convert("RGB")
                picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
                stored = io.BytesIO()
                if kind == "image/jpeg":
                    picture.save(stored, format="jpeg", quality=90)
                else:
                    picture.quantize(THUMBNAIL_COLORS).save(stored, format="png", optimize=True)
                return pictures.image(stored.getvalue(), "")
    return ""


def card(name, notebook, pictures):
    """Returns the card of a notebook on the landing page: its title, what it promises, and its first figure.

    Args:
        name: str, file name without suffix.
        notebook: nbformat NotebookNode whose first cell begins with a title and a line in bold face.
        pictures: `site_figures.Pictures`.
    """
    head = notebook.cells[0].source
    title = re.search(r"^# (.+)$", head, flags=re.MULTILINE)[1]
    promise = re.search(r"^\*\*([^*]+)\*\*$", head, flags=re.MULTILINE)[1]
    picture = thumbnail(notebook, pictures)
    return (
        f'<a class="card" href="notebooks/{name}.html"><span class="card-picture">{picture}</span>'
        f'<span class="card-title">{html.escape(title)}</span><span>{html.escape(promise)}</span></a>'
    )


# The landing page


def sections(page):
    """Returns the text below each heading of the second level of a Markdown page; what stands before has the key ""."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def with_titles(page):
    """Returns a Markdown page in which links that show the path of a page have no text: Sphinx puts its title there."""
    return re.sub(r"\[([\w./-]+\.md)\]\((?=(?:\.\./)*\1[)#])", "[](", page)


def answers(section):
    """Returns the parts of a section of README: what comes first, and from each question at a line's begin on.

    The question becomes a heading.
    """
    parts = re.split(rf"^({'|'.join(map(re.escape, QUESTIONS))}) ", section, flags=re.MULTILINE)
    return [parts[0], *(f"### {question}\n\n{text}" for question, text in zip(parts[1::2], parts[2::2], strict=True))]


def landing_page(notebooks, pictures):
    """Returns the landing page: `docs/index.md` with its figures and the cards of the notebooks.

    Args:
        notebooks: dict from the name of a notebook to its NotebookNode.
        pictures: `site_figures.Pictures`.
    """
    import site_figures

    from kgpc import figures

    page = string.Template((DOCS / "index.md").read_text(encoding="utf-8"))
    readme = sections(with_titles((ROOT / "README.md").read_text(encoding="utf-8")))
    idea, learns, faster = answers(readme["The idea in ten lines"])
    claim, commands = re.split(r"\n\n", readme[""].removeprefix("# kgpc").strip(), maxsplit=1)
    return page.substitute(
        citation=readme["Citation"],
        claim=re.search(r"with (up to \d+% fewer parameters)", claim)[1],
        commands=commands,
        faster=faster,
        idea=idea,
        learns=learns,
        use=readme["Use it in your own project"],
        cards="\n".join(card(name, notebook, pictures) for name, notebook in notebooks.items()),
        diagram=pictures.of(figures.d6()),
        first=next(iter(notebooks)),
        published=pictures.of(site_figures.published_prices()),
    )


# The site


def check_replaceable(folder):
    """Checks that a folder may be written anew: it is not there, is empty, or was made by this command.

    Raises:
        ValueError: if it holds something else, or is no folder.
    """
    if folder.is_dir() and not folder.is_symlink():
        if (folder / MARKER).is_file() or not any(folder.iterdir()):
            return
        raise ValueError(
            f"{folder} has files that this command did not make, so it is not replaced. Name another folder, or delete "
            "it yourself."
        )
    if folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} is no folder. Name another one.")


def renew(folder):
    """Makes an empty folder in place of the one that this command made earlier; see `check_replaceable`."""
    check_replaceable(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def check_page(path):
    """Checks that a page is a file of the repository, and no settings stand at its head.

    Raises:
        ValueError: if it leads elsewhere, or begins with settings, which could have its code executed.
    """
    if not path.resolve().is_relative_to(ROOT):
        raise ValueError(f"{path} leads to a file outside the repository. It is not put onto the site.")
    if path.suffix == ".md" and path.read_text(encoding="utf-8").lstrip("\ufeff").startswith("---"):
        raise ValueError(f"{path} begins with settings (---). Pages of the site have none.")


def read_notebook(path):
    """Returns the notebook in a file; a ValueError names the file if it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # what a damaged file leads to depends on where nbformat notices it
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{path} is damaged, or no notebook: {reason}.") from error
    return notebook


def lay_out(folder, pictures):
    """Writes all sources of the site into a new folder, and the pictures of figures that move into another one.

    Args:
        folder: Path.
        pictures: `site_figures.Pictures`.
    """
    import site_figures

    folder.mkdir()
    notebooks = {}
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        check_page(path)
        if path.suffix == ".ipynb":
            notebooks[path.stem] = notebook_content.shown(read_notebook(path), path.name)
            name_folded_cells(notebooks[path.stem])
            nbformat.write(pictures.placed(notebooks[path.stem]), target)
        elif path == DOCS / "does-it-hold.md":
            target.write_text(site_figures.with_every_run(path.read_text(encoding="utf-8"), pictures), encoding="utf-8")
        elif path.suffix == ".md" and path != DOCS / "index.md":
            target.write_text(with_titles(path.read_text(encoding="utf-8")), encoding="utf-8")
        elif path != DOCS / "index.md":
            shutil.copy(path, target)
    (folder / "index.md").write_text(landing_page(notebooks, pictures), encoding="utf-8")
    reference.write(folder / "reference")


def build(folder):
    """Builds the site into a folder; what lies there is replaced.

    Args:
        folder: Path; beside it, sources and intermediate files are kept in a folder of the same name with `-work`.

    Returns:
        int, exit code of Sphinx; a warning is an error, and the site that was there before then stays.

    Raises:
        ValueError: if a folder has files that were not made here, or something must not be put onto the site.
    """
    import site_figures
    from sphinx.cmd.build import build_main

    check_replaceable(folder)
    work = folder.with_name(f"{folder.name}-work")
    renew(work)
    # MyST-NB has a folder of its own beside that of the pages, so they are made in here first.
    sources, pages = work / "sources", work / "pages"
    pictures = site_figures.Pictures(work / site_figures.FOLDER)
    lay_out(sources, pictures)
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--fresh-env", "--conf-dir", str(DOCS)]
    code = build_main([*options, "--doctree-dir", str(work / "doctrees"), str(sources), str(pages)])
    if code == 0:
        shutil.copytree(pictures.folder, pages / site_figures.FOLDER)
        for path in ROOT.glob("notebooks/*.ipynb"):
            shutil.copy(path, pages / "notebooks")  # what a reader can take along
        renew(folder)
        shutil.copytree(pages, folder, dirs_exist_ok=True)
    return code


def main(arguments=None):
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="build_site.py", description="Build the site of the collection.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a folder's name may have letters that a terminal has not
    folder = parser.parse_args(arguments).folder.resolve()
    try:
        code = build(folder)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if code == 0:
        print(f"The site: {folder / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
