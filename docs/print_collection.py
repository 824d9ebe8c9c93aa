#!/usr/bin/env python3
"""Prints the collection as a PDF: notebooks with their stored outputs, the glossary and the pages, then the solutions.

    python docs/print_collection.py FILE.pdf [--browser PROGRAM] [NOTEBOOK ...]

Sphinx makes one page of everything, as it makes the site, and a Chromium prints it: figures as still pictures, code
that is folded on the site left out, and every line broken where the paper ends. `python -m kgpc handout` calls this.
"""

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import build_site
import nbformat
import notebook_content
import site_figures

from kgpc import handout
from kgpc.paper import experiment, experiment_page
from kgpc.plots.encoding import encoded_png

ROOT = build_site.ROOT
DOCS = build_site.DOCS
# The pages in the order of the book, after the notebooks; others follow in the order of their names.
PAGES = (
    "docs/demonstrations.md",
    "docs/glossary.md",
    "docs/does-it-hold.md",
    "docs/protocol.md",
    "docs/published-rows.md",
)
LEFT_OUT = ("CHANGELOG.md", "docs/index.md")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NUMBERS_PAGES = 131  # the first Chromium that prints page numbers which a style sheet asks for
SECONDS = 300  # for printing
MATHEMATICS_MILLISECONDS = 120_000  # of the browser's own clock, which does not wait for that of the wall


def for_print(notebook, name):
    """Returns the notebook of a chapter, and the cells of its solutions.

    Args:
        notebook: nbformat NotebookNode.
        name: str, what it is called in messages.
    """
    notebook = notebook_content.shown(notebook, name)
    cells, solutions = [], []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop(notebook_content.FIGURE, None)  # a figure that moves: its picture stays
        if handout.solution_title(cell):
            solutions.append(handout.opened(cell))
            continue
        if handout.is_answer(cell):
            cell.outputs, cell.execution_count = [], None
        if "hide-input" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-input" if cell.outputs else "remove-cell"]
        cells.append(handout.said_of_solutions(cell, "print"))
    notebook.cells = cells
    return notebook, solutions


def read(path):
    """Returns the notebook in a file that was written here."""
    return nbformat.read(path, as_version=4)


def title_of(notebook):
    """Returns the first heading of a notebook."""
    return re.search(r"^# (.+)$", notebook.cells[0].source, flags=re.MULTILINE)[1]


def still(page, pictures):
    """Returns the text of a page with the picture of its figure that moves, where it has one."""
    if experiment_page.FIGURE not in page:
        return page
    figure = site_figures.every_run(experiment.stored())
    content, width = encoded_png(figure.picture(), figure.alt)
    return page.replace(experiment_page.FIGURE, pictures.image(base64.b64decode(content), figure.alt, "../", width))


def lay_out(folder, names, pictures):
    """Writes the sources of the book into a new folder.

    Args:
        folder: Path.
        names: list of str, the notebooks.
        pictures: `site_figures.Pictures`, in a folder beside that of the page.

    Raises:
        ValueError: if something must not be put onto the site.
    """
    for pattern in build_site.SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.suffix != ".ipynb" and path.relative_to(ROOT).as_posix() not in LEFT_OUT:
                build_site.check_page(path)
                target = folder / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(still(path.read_text(encoding="utf-8"), pictures), encoding="utf-8")
    (folder / "notebooks").mkdir()
    answers = []
    for name in names:
        path = ROOT / "notebooks" / f"{name}.ipynb"
        notebook, solutions = for_print(build_site.read_notebook(path), path.name)
        nbformat.write(pictures.placed(notebook), folder / "notebooks" / path.name)
        if solutions:
            answers += [nbformat.v4.new_markdown_cell(f"## {title_of(notebook)}"), *solutions]
    metadata = {"language_info": {"name": "python"}}
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Solutions"), *answers], metadata=metadata)
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # two notebooks may have cells of one name
    nbformat.write(pictures.placed(book), folder / "solutions.ipynb")
    (folder / "index.md").write_text(first_page(folder, names), encoding="utf-8")


def first_page(folder, names):
    """Returns the title page with the table of contents; the chapters follow it.

    Args:
        folder: Path of the sources.
        names: list of str, the notebooks.
    """
    found = sorted(folder.rglob("*.md"), key=lambda path: (path.parent != folder / "docs", path.parent == folder, path))
    found = [path.relative_to(folder).as_posix() for path in found]
    pages = [name for name in dict.fromkeys([*PAGES, *found]) if name in found]
    titles = {f"notebooks/{name}.ipynb": title_of(read(folder / "notebooks" / f"{name}.ipynb")) for name in names}
    for name in pages:
        titles[name] = re.search(r"^# (.+)$", (folder / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    titles["solutions.ipynb"] = "Solutions"
    listed = "\n".join(f"- [{title}]({name})" for name, title in titles.items())
    chapters = "\n".join(name.rpartition(".")[0] for name in titles)
    readme = build_site.sections((ROOT / "README.md").read_text(encoding="utf-8"))
    claim = re.split(r"\n\n", readme[""].removeprefix("# kgpc").strip(), maxsplit=1)[0]
    contents = f'<div class="contents">\n\n{listed}\n\n</div>'
    return f"# kgpc\n\n{claim}\n\n{contents}\n\n```{{toctree}}\n:hidden:\n\n{chapters}\n```\n"


def one_page(work, names):
    """Makes one HTML page of the notebooks and pages.

    Args:
        work: Path of an empty folder.
        names: list of str, the notebooks.

    Returns:
        Path of the page.

    Raises:
        RuntimeError: if Sphinx fails.
    """
    from sphinx.cmd.build import build_main

    sources, pages = work / "sources", work / "pages"
    sources.mkdir()
    lay_out(sources, names, site_figures.Pictures(work / site_figures.FOLDER))
    settings = {
        "html_theme": "basic",
        "html_static_path": "print",
        "html_css_files": "print.css",
        "html_js_files": "print.js",
        "html_permalinks": "0",
        "suppress_warnings": "myst.xref_missing,toc.not_included",  # to notebooks and pages that are left out
    }
    options = ["--quiet", "--builder", "singlehtml", "--conf-dir", str(DOCS), "--doctree-dir", str(work / "doctrees")]
    options += [f"--define={name}={value}" for name, value in settings.items()]
    if build_main([*options, str(sources), str(pages)]):
        raise RuntimeError("Sphinx stopped; what it said stands above.")
    return pages / "index.html"


def print_page(page, target, browser):
    """Prints an HTML page as a PDF.

    Args:
        page: Path of the page.
        target: Path of the PDF.
        browser: str, a Chromium or Chrome.

    Raises:
        RuntimeError: if the browser prints nothing; the message has what it said last.
    """
    with tempfile.TemporaryDirectory(prefix="kgpc-print-", ignore_cleanup_errors=True) as folder:
        command = [
            browser,
            "--headless=new",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            f"--user-data-dir={folder}",
            f"--virtual-time-budget={MATHEMATICS_MILLISECONDS}",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={target}",
            *(["--no-pdf-header-footer"] if _version(browser) >= NUMBERS_PAGES else []),
            # Build servers and containers print as root, for whom Chromium refuses its sandbox; the page is our own.
            *(["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []),
            page.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{browser} printed nothing within {SECONDS} seconds.") from error
        except OSError as error:
            raise RuntimeError(f"{browser} cannot be started: {error.strerror}.") from error
    if not target.is_file() or not target.read_bytes().startswith(b"%PDF"):
        raise RuntimeError(f"{browser} printed nothing: {done.stderr.strip()[-500:]}")


def _version(browser):
    """The number of a Chromium's version; 0 where it does not say one."""
    try:
        done = subprocess.run([browser, "--version"], capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"(\d+)\.\d+\.\d+", done.stdout)
    return int(found[1]) if found else 0


def main(arguments=None):
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="print_collection.py", description="Print the collection as a PDF.")
    parser.add_argument("file", type=Path, help="the PDF")
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as 01_theory; default: all of them")
    parser.add_argument("--browser", help="the Chromium or Chrome that prints; default: it is found")
    options = parser.parse_intermixed_args(arguments)
    names = options.names or sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    browser = options.browser or next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        if browser is None:
            raise RuntimeError(f"No browser is found that prints: none of {', '.join(BROWSERS)}.")
        with tempfile.TemporaryDirectory(prefix="kgpc-book-") as folder:
            print_page(one_page(Path(folder), names), options.file.resolve(), browser)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
