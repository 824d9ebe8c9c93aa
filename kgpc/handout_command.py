"""The command `handout` of the command line: the notebooks for a course, and the collection as a PDF."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import files, handout, notebook_files

PARTS = (*handout.VERSIONS, "pdf")
PDF = "kgpc.pdf"
_MARKER = ".made-by-kgpc-handout"  # in every folder that may be replaced
_PAGES = ("LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "data/*.md", "docs/*.md")  # what notebooks link to
_LANDING_PAGE = "docs/index.md"  # of the site, with gaps that the site fills
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def add(commands):
    """Adds the command to the subparsers of the command line."""
    command = commands.add_parser(
        "handout",
        help="write the notebooks for students and teachers, and the collection as a PDF",
        description="Write three things into a folder: students/ has the notebooks with empty answers and without "
        "solutions, teachers/ has them with the solutions open, and kgpc.pdf is the whole collection with the "
        "solutions at its end. Notebooks keep their stored outputs; nothing is executed.",
    )
    command.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as 01_theory; default: all of them")
    command.add_argument("--output", required=True, metavar="FOLDER", help="a new folder, or one of an earlier handout")
    command.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="some of: students, teachers, pdf"
    )
    command.add_argument("--folder", default="notebooks", help="where the notebooks lie (default: notebooks)")
    command.add_argument(
        "--browser", metavar="PROGRAM", help="the Chromium or Chrome that prints; default: it is found"
    )
    command.set_defaults(function=run)


def run(options):
    """Writes the handout, whole or not at all.

    Args:
        options: the parsed options.

    Returns:
        int, exit code.
    """
    error = notebook_files.UserError
    try:
        folder, output = (files.path_argument(f"--{name}", getattr(options, name)) for name in ("folder", "output"))
    except ValueError as reason:
        raise error(reason) from reason
    folder, output = folder.absolute(), output.absolute()
    _check_replaceable(output)
    names = [path.name for path in notebook_files.find_notebooks(folder, options.names)]
    notebooks = {f"{name}.ipynb": notebook_files.read_notebook(folder / f"{name}.ipynb") for name in names}
    clone = folder.parent
    printer = clone / "docs" / "print_collection.py"
    browser = _browser(options.browser, printer) if "pdf" in options.only else None
    pages = {
        path.relative_to(clone).as_posix(): files.read_text(path)
        for pattern in _PAGES
        for path in sorted(clone.glob(pattern))
        if path.is_file() and path != clone / _LANDING_PAGE
    }
    files.make_folder("--output", output.parent)
    with tempfile.TemporaryDirectory(prefix=".kgpc-handout-", dir=output.parent) as made:
        made = Path(made) / "handout"
        made.mkdir()
        (made / _MARKER).touch()
        for version in handout.VERSIONS:
            if version in options.only:
                handout.write(version, notebooks, pages, made)
        if browser is not None:
            _print(printer, browser, names, made / PDF)
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)
    for part in PARTS:
        if part in options.only:
            print(output / (PDF if part == "pdf" else part))
    return 0


def _check_replaceable(output):
    """Refuses a folder with something that this command did not make."""
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise notebook_files.UserError(f"{output} is no folder. Name another one with --output.")
    if output.is_dir() and not (output / _MARKER).is_file() and any(output.iterdir()):
        raise notebook_files.UserError(
            f"{output} has files that this command did not make, so it is not replaced. Name another folder with "
            "--output, or delete it yourself."
        )


def _browser(asked, printer):
    """The browser that prints; a UserError says what is missing, before anything is written."""
    without = "Without the PDF: --only students teachers"
    if not printer.is_file():
        raise notebook_files.UserError(
            f"The PDF is made in a clone of the repository: there is no {printer}. {without}"
        )
    names = _BROWSERS if asked is None else (asked,)
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        looked = f"is no program: {asked}" if asked else f"is not found; looked for {', '.join(names)}"
        raise notebook_files.UserError(
            f"The PDF is printed by Chromium or Chrome, and --browser {looked}. Install one, or say with --browser "
            f"where it is. {without}"
        )
    return found


def _print(printer, browser, names, path):
    """Has the collection printed by the script of the clone, in a process of its own."""
    command = [sys.executable, str(printer), str(path), "--browser", browser, *names]
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", env=os.environ)
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).strip() or done.stdout.strip()
        raise notebook_files.UserError(f"The PDF could not be made. {said[-2000:]}")
