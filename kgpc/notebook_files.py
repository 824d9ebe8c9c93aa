"""The notebooks of a clone as files: found, read, written, and without what means nothing elsewhere."""

import io
import json
import os
import sys
import tempfile
import unicodedata
from pathlib import Path

from . import files

DEFAULT_PROFILE = "quick"  # the one that the notebooks set themselves
PROFILES = (DEFAULT_PROFILE, "paper")


class UserError(Exception):
    """Something the user can put right; the message is shown without a traceback."""


def find_notebooks(folder, names, suffixes=(".ipynb",)):
    """Returns the paths of notebooks, without suffix, in the order of their names.

    Args:
        folder: Path, where the notebooks lie.
        names: list of str, stems such as `"01_theory"` (a folder and a suffix are ignored); empty for all notebooks.
        suffixes: tuple of str, file name suffixes that make a notebook.

    Raises:
        TypeError, ValueError: if an argument is something else.
        UserError: if there is no notebook, or none of one of the names.
    """
    folder = files.path_argument("folder", folder)
    for argument, value in (("names", names), ("suffixes", suffixes)):
        if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
            raise TypeError(f"`{argument}` must be a list of str. Received: {argument}={value!r}.")
    found = sorted({path.stem for path in folder.glob("*") if path.suffix in suffixes})
    if not found:
        raise UserError(f"No notebooks in {folder}. Run this in a clone of the repository.")
    # A name with an umlaut can be written in two ways; which one a file system gives back is its own choice.
    wanted = {_composed(Path(name).stem): Path(name).stem for name in names}
    known = {_composed(stem) for stem in found}
    unknown = [name for composed, name in wanted.items() if composed not in known]
    if unknown:
        raise UserError(f"No notebook named {', '.join(unknown)} in {folder}. There are: {', '.join(found)}.")
    return [folder / stem for stem in found if not wanted or _composed(stem) in wanted]


def _composed(text):
    return unicodedata.normalize("NFC", text)


def read_notebook(path):
    """The notebook in a file.

    Args:
        path: path of an `.ipynb` file.

    Returns:
        nbformat NotebookNode, version 4.

    Raises:
        TypeError: if `path` is none.
        UserError: if the file is missing, damaged or of something else; the message says what to do.
    """
    import nbformat

    path = files.path_argument("path", path)
    restore = f"Restore it: git checkout -- {path.name}"
    if path.with_suffix(".py").is_file():
        restore += f"; or make it anew: remove it, then jupytext --to ipynb {path.with_suffix('.py').name}"
    try:
        text = files.read_text(path)
    except files.FileError as error:  # it says all but how to get the notebook back
        raise UserError(f"{error} {restore}.") from error
    try:
        if files.has_conflict(text):
            raise UserError(f"The notebook {path} has conflict markers of a merge (<<<<<<<). {restore}.")
        found = json.loads(text)
        # What has another number, or none, would be taken for a notebook of long ago, and lose its cells.
        if not isinstance(found, dict) or found.get("nbformat") != 4:
            raise ValueError("it is no notebook of format 4")
        notebook = nbformat.v4.reads(text)
        nbformat.validate(notebook)
    except UserError:
        raise
    # What a damaged file leads to depends on where nbformat notices it.
    except Exception as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise UserError(f"The notebook {path} is damaged, or no notebook: {reason}. {restore}.") from error
    return notebook


def check_notebook(notebook):
    """Raises a TypeError if a notebook is none."""
    from nbformat import NotebookNode

    if not isinstance(notebook, NotebookNode) or not isinstance(notebook.get("cells"), list):
        raise TypeError(f"`notebook` must be a NotebookNode of nbformat. Received: {type(notebook).__name__}.")


def check_profile(profile):
    """Raises a ValueError if a profile is none."""
    if profile not in PROFILES:
        raise ValueError(f"`profile` must be one of {', '.join(PROFILES)}. Received: profile={profile!r}.")


def set_profile(notebook, profile):
    """Adds a cell after the one tagged `parameters` that sets `PROFILE`, as papermill does.

    Args:
        notebook: nbformat NotebookNode, changed in place.
        profile: str, one of `PROFILES`.

    Raises:
        TypeError, ValueError: if an argument is something else.
        UserError: if no cell has the tag.
    """
    import nbformat

    check_notebook(notebook)
    check_profile(profile)
    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            injected = nbformat.v4.new_code_cell(f'PROFILE = "{profile}"', metadata={"tags": ["injected-parameters"]})
            notebook.cells.insert(index + 1, injected)
            return
    raise UserError("The notebook has no cell tagged 'parameters', so its profile cannot be set.")


def write(notebook, path):
    """Writes a notebook beside its place and renames it, so that an interruption leaves the old file.

    Args:
        notebook: nbformat NotebookNode.
        path: path.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    import nbformat

    check_notebook(notebook)
    files.write(files.path_argument("path", path), nbformat.writes(notebook) + "\n")


def format_table(path):
    """Returns a CSV file as text with aligned columns; a UserError names it where it is none."""
    import pandas

    path = files.path_argument("path", path)
    try:
        frame = pandas.read_csv(io.StringIO(files.read_text(path)), dtype=str, keep_default_na=False)
    except files.FileError as error:
        raise UserError(f"{error} Run the notebook again.") from error
    except ValueError as error:
        raise UserError(f"The table {path} is damaged, or no table: {error}. Run the notebook again.") from error
    return frame.to_string(index=False)


def normalise(notebook):
    """Removes from a notebook what differs between machines and runs without a meaning for the reader.

    Args:
        notebook: nbformat NotebookNode, changed in place.
    """
    check_notebook(notebook)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("widgets", None)  # random identifiers; a widget is drawn anew when its cell runs
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_volatile(output)]
            for output in cell.outputs:
                if output.output_type == "error":  # shown on purpose; the frames lie in folders of this machine
                    output.traceback = [f"{output.ename}: {output.evalue}"]


def is_volatile(output):
    """Returns whether an output is a message of a library (standard error) or a widget without its state.

    Args:
        output: nbformat NotebookNode, an output of a cell.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(output, dict) or "output_type" not in output:
        raise TypeError(f"`output` must be an output of a notebook's cell. Received: output={output!r}.")
    if output.output_type == "stream":
        return output.name == "stderr"
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def refuse_local_paths(notebook, title):
    """Raises a UserError if an output names the repository's folder, the home folder or the one for temporary files."""
    check_notebook(notebook)
    if not isinstance(title, str):
        raise TypeError(f"`title` must be a str. Received: title={title!r} of type {type(title).__name__}.")
    folders = {str(Path.cwd()), str(Path(tempfile.gettempdir())), sys.prefix}
    home = os.path.expanduser("~")  # as it is where nothing is known of the user
    folders |= {home} if os.path.isabs(home) and home != os.sep else set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), output.get("evalue", ""), *output.get("data", {}).values()]
            for folder in folders:
                if any(folder + os.sep in str(text) for text in texts):
                    raise UserError(
                        f"An output of {title} names {folder}, which means nothing elsewhere:\n\n{cell.source}"
                    )
