#!/usr/bin/env python3
"""Writes what all notebooks have in common into each of them: the setup cell, and the repository's public location.

    python docs/stamp_notebooks.py

In both files of each pair, the setup cell becomes the one of `setup_cell.py`, with the address that it installs kgpc
from where that is missing, and a link below the title opens the notebook in Colab. The address is `repository` in the
table `[tool.kgpc]` of pyproject.toml; while it is empty, the setup cells have no address and there is no link.
"""

import argparse
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
# Text, not the usual picture: that one would be fetched from elsewhere by a reader who may be offline.
LABEL = "▶ Open in Colab"
ADDRESS = re.compile(r"^REPOSITORY = .*$", flags=re.MULTILINE)
SETUP = (Path(__file__).with_name("setup_cell.py")).read_text(encoding="utf-8").strip()
# In a script the cell ends where the next one begins.
SETUP_CELL = re.compile(rf"^{re.escape(SETUP.partition(' (')[0])}\b.*?(?=\n+# %%|\Z)", flags=re.MULTILINE | re.DOTALL)


def repository_of(pyproject):
    """Returns the public location that a pyproject.toml names, or an empty text.

    Args:
        pyproject: Path.

    Raises:
        ValueError: if it is neither empty nor an https address without a slash at its end.
    """
    repository = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["kgpc"]["repository"]
    if not isinstance(repository, str) or not re.fullmatch(r"(https://[^\s\"\\?#]+[^\s\"\\?#/])?", repository):
        raise ValueError(
            "`repository` in the table [tool.kgpc] of pyproject.toml must be empty or an address such as "
            f'"https://github.com/owner/name", without a slash at its end. Received: {repository!r}.'
        )
    return repository


def colab_link(repository, name):
    """Returns the Markdown link that opens a notebook in Colab; empty where Colab cannot, which knows GitHub only.

    Args:
        repository: str, public location of the repository, or empty.
        name: str, name of the notebook without suffix.
    """
    on_github = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", repository)
    if not on_github:
        return ""
    path = f"{on_github[1].removesuffix('.git')}/blob/{BRANCH}/notebooks/{name}.ipynb"
    return f"[{LABEL}](https://colab.research.google.com/github/{path})"


def stamp_title(text, link, comment=""):
    """Returns a text with the link below its first title, in place of the one that stood there.

    Args:
        text: str, Markdown, or a script whose cells are comments.
        link: str, in Markdown, or empty to have none.
        comment: str, what lines of Markdown begin with: `"# "` in a script.

    Raises:
        ValueError: if there is no title.
    """
    empty = f"{comment.rstrip()}\n"
    old = rf"(?:{empty}{comment}\[{re.escape(LABEL)}\]\(.*\)(?:\n|$))?"
    new = f"{empty}{comment}{link}\n" if link else ""
    stamped, count = re.subn(
        rf"^({comment}# .+\n){old}", lambda match: match[1] + new, text, count=1, flags=re.MULTILINE
    )
    if not count:
        raise ValueError(f"No line begins with {comment + '# '!r}.")
    return stamped


def setup_cell(repository):
    """Returns the code of the setup cell, which is the same in all notebooks, for a repository."""
    comment = "where kgpc can be cloned from" + ("" if repository else "; empty while it has no public address")
    return ADDRESS.sub(lambda _: f"REPOSITORY = {json.dumps(repository)}  # {comment}", SETUP)


def stamp_setup(text, repository):
    """Returns a text in which the setup cell, where there is one, is that of `setup_cell`.

    Args:
        text: str, the code of a cell, or a script.
        repository: str, public location of the repository, or empty.
    """
    return SETUP_CELL.sub(lambda _: setup_cell(repository), text)


def stamped_notebook(text, repository, name):
    """Returns the content of an .ipynb file with the repository in it; see `stamp`."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.cells[0].source = stamp_title(notebook.cells[0].source, colab_link(repository, name))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = stamp_setup(cell.source, repository)
    return nbformat.writes(notebook) + "\n"


def stamped_script(text, repository, name):
    """Returns the content of a .py file with the repository in it; see `stamp`."""
    return stamp_setup(stamp_title(text, colab_link(repository, name), comment="# "), repository)


def stamp(folder, repository):
    """Writes the setup cell and the repository's location into both files of every pair in a folder.

    Args:
        folder: Path.
        repository: str, as `repository_of` returns it.

    Returns:
        list of Path, the files that changed.

    Raises:
        ValueError: naming a file without a title; it and those after it are left as they are.
    """
    changed = []
    for path in sorted(folder.glob("*.ipynb")):
        # The script last: jupytext complains about one that is older than its notebook.
        for file, stamped in ((path, stamped_notebook), (path.with_suffix(".py"), stamped_script)):
            before = file.read_text(encoding="utf-8")
            try:
                after = stamped(before, repository, path.stem)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error
            if after != before:
                unfinished = file.with_name(file.name + ".new")
                unfinished.write_text(after, encoding="utf-8", newline="\n")
                os.replace(unfinished, file)
                changed.append(file)
    return changed


def main(arguments=None):
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="stamp_notebooks.py",
        description="Write the setup cell, and the repository of pyproject.toml, into the notebooks.",
    )
    parser.parse_args(arguments)
    try:
        repository = repository_of(ROOT / "pyproject.toml")
        changed = stamp(ROOT / "notebooks", repository)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"repository = {json.dumps(repository)}: {len(changed)} files changed")
    if repository and not colab_link(repository, ""):
        print("Colab opens notebooks from https://github.com/owner/name only, so there are no links to it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
