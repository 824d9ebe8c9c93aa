"""Notebooks for a course: for students with empty answers and no solutions, for teachers with the solutions open.

`python -m kgpc handout` is the command line. Nothing is executed: a notebook is rewritten cell by cell.
"""

import copy
import re

from . import files
from .notebook_files import check_notebook
from .notebook_files import write as write_notebook

VERSIONS = ("students", "teachers")
_SOLUTION = re.compile(r"# @title (Solution\b[^{\n]*?)\s*(?:\{.*\})?\n")
# What a notebook says of its folded solutions, in the cell that begins the exercises.
_EXERCISES = re.compile(r"^## Exercises?\b", re.MULTILINE)
_FOLDED = re.compile(r"\b(?:answers?|solutions?)\b.*\b(?:collapsed|folded)\b", re.IGNORECASE | re.DOTALL)
_SAID_INSTEAD = {
    "students": "Write each answer into the cell below its question and run it; a check says whether it is right.",
    "teachers": "The solutions stand open below the questions.",
    "print": "The solutions are at the end.",
}
_EMPTY_ANSWER = "# Your answer\n"


def solution_title(cell):
    """Returns the title of a solution, such as "Solution 1", or None for any other cell.

    Args:
        cell: nbformat NotebookNode, a cell of a notebook.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(cell, dict) or not isinstance(cell.get("source"), str):
        raise TypeError(f"`cell` must be a cell of a notebook. Received: {type(cell).__name__}.")
    match = _SOLUTION.match(cell["source"])
    hidden = "hide-cell" in cell.get("metadata", {}).get("tags", [])
    return match[1] if match and hidden and cell.get("cell_type") == "code" else None


def is_answer(cell):
    """Returns whether a cell is one that a reader writes an answer into.

    Args:
        cell: nbformat NotebookNode, a cell of a notebook.

    Raises:
        TypeError: if it is none.
    """
    solution_title(cell)  # checks the argument
    return cell.get("cell_type") == "code" and "exercises.check(" in cell["source"]


def for_students(notebook):
    """Makes the version of a notebook in which every answer is empty and no solution stands.

    Where a question has no cell for the answer, an empty one takes the place of its solution.

    Args:
        notebook: nbformat NotebookNode.

    Returns:
        NotebookNode, a copy.

    Raises:
        TypeError: if `notebook` is none.
    """
    check_notebook(notebook)
    made = copy.deepcopy(notebook)
    cells = []
    for cell in made.cells:
        if solution_title(cell):
            if not (cells and is_answer(cells[-1])):
                cells.append(_empty(cell))
            continue
        if is_answer(cell):
            cell.outputs, cell.execution_count = [], None
        cells.append(said_of_solutions(cell, "students"))
    made.cells = cells
    return made


def _empty(cell):
    """The cell of a solution without anything in it."""
    return type(cell)(cell, source=_EMPTY_ANSWER, metadata=type(cell)(), outputs=[], execution_count=None)


def for_teachers(notebook):
    """Makes the version of a notebook in which the solutions are open, with what they printed.

    Args:
        notebook: nbformat NotebookNode.

    Returns:
        NotebookNode, a copy.

    Raises:
        TypeError: if `notebook` is none.
    """
    check_notebook(notebook)
    made = copy.deepcopy(notebook)
    made.cells = [opened(said_of_solutions(cell, "teachers")) for cell in made.cells]
    return made


def opened(cell):
    """Returns a cell, changed in place: a solution is no longer folded, and its title is a comment like any other.

    Args:
        cell: nbformat NotebookNode, a cell of a notebook.

    Raises:
        TypeError: if it is none.
    """
    title = solution_title(cell)
    if title:
        cell["source"] = _SOLUTION.sub(f"# {title}\n", cell["source"], count=1)
        for name in ("cellView", "jupyter"):
            cell["metadata"].pop(name, None)
        cell["metadata"]["tags"] = [tag for tag in cell["metadata"]["tags"] if tag != "hide-cell"]
    return cell


def said_of_solutions(cell, version):
    """Returns a cell, changed in place: what is said about folded solutions before the exercises fits the version.

    Args:
        cell: nbformat NotebookNode, a cell of a notebook.
        version: "students", "teachers" or "print".

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    solution_title(cell)  # checks the argument
    if version not in _SAID_INSTEAD:
        raise ValueError(f"`version` must be one of {', '.join(_SAID_INSTEAD)}. Received: version={version!r}.")
    if cell.get("cell_type") == "markdown" and _EXERCISES.search(cell["source"]):
        cell["source"] = "\n\n".join(_fitting(part, version) for part in cell["source"].split("\n\n"))
    return cell


def _fitting(paragraph, version):
    """A paragraph with another sentence in place of the one on folded solutions, where it has one."""
    sentences = re.split(r"(?<=[.!?])\s+", paragraph)
    if not any(_FOLDED.search(sentence) for sentence in sentences):
        return paragraph
    if version == "students" and len(sentences) > 1:  # the others say what to do
        return " ".join(sentence for sentence in sentences if not _FOLDED.search(sentence))
    return " ".join(_SAID_INSTEAD[version] if _FOLDED.search(sentence) else sentence for sentence in sentences)


def write(version, notebooks, pages, folder):
    """Writes a version of notebooks, with the pages that they link to, in the places of the repository.

    Args:
        version: "students" or "teachers"; also the name of the folder that is made.
        notebooks: dict from str, the names of the files, to NotebookNode.
        pages: dict from str, the paths of pages such as "docs/glossary.md", to their texts.
        folder: Path of the folder in which that folder is made.

    Raises:
        TypeError: if a notebook is none.
        ValueError: if `version` is something else.
    """
    if version not in VERSIONS:
        raise ValueError(f"`version` must be one of {', '.join(VERSIONS)}. Received: version={version!r}.")
    make = for_students if version == "students" else for_teachers
    made = {f"notebooks/{name}": make(notebook) for name, notebook in notebooks.items()}
    for name, content in (made | pages).items():
        path = folder / version / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in made:
            write_notebook(content, path)
        else:
            files.write(path, content)
