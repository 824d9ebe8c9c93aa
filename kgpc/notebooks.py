"""Executes the notebooks of a clone and stores their outputs; `python -m kgpc notebooks` is its command line.

It needs the extra `notebooks` (`pip install "kgpc[notebooks]"`), and nothing of the package: `kgpc/__main__.py` reads
it as a file, so that executing notebooks need not begin with importing TensorFlow.
"""

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

DEFAULT_PROFILE = "quick"  # the one that the notebooks set themselves
PROFILES = (DEFAULT_PROFILE, "paper")
TABLE = "comparison.csv"  # written by notebook 02 into the folder that the variable KGPC_RESULTS names


class UserError(Exception):
    """Something the user can put right; the message is shown without a traceback."""


class Progress:
    """One line per notebook: its name, how many code cells have run, and for how long.

    On a terminal the line is redrawn; elsewhere it is printed at the beginning and at the end.

    Args:
        title: str, what the line begins with.
        total: int, number of code cells.
    """

    def __init__(self, title, total):
        self.title = title
        self.total = total
        self.done = 0
        self.cell = None
        self.started = time.monotonic()
        self.on_terminal = sys.stdout.isatty()
        self._draw()

    def cell_done(self, cell, **_):
        """Counts a code cell and keeps it in `cell`; called by nbclient, also for a cell that failed."""
        self.done += 1
        self.cell = cell

    def tick(self):
        """Redraws the line on a terminal."""
        if self.on_terminal:
            self._draw()

    def finish(self):
        """Draws the line for the last time."""
        self._draw()
        if self.on_terminal:
            print()

    def _draw(self):
        seconds = int(time.monotonic() - self.started)
        line = f"{self.title}  {self.done:3d}/{self.total} cells  {seconds // 60}:{seconds % 60:02d}"
        print(f"\r{line}" if self.on_terminal else line, end="" if self.on_terminal else "\n", flush=True)


def find_notebooks(folder, names, suffixes=(".ipynb",)):
    """Returns the paths of notebooks, without suffix, in the order of their names.

    Args:
        folder: Path, where the notebooks lie.
        names: list of str, stems such as `"01_theory"` (a folder and a suffix are ignored); empty for all notebooks.
        suffixes: tuple of str, file name suffixes that make a notebook.

    Raises:
        UserError: if there is no notebook, or none of one of the names.
    """
    found = sorted({path.stem for path in folder.glob("*") if path.suffix in suffixes})
    if not found:
        raise UserError(f"No notebooks in {folder}. Run this in a clone of the repository.")
    wanted = [Path(name).stem for name in names]
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UserError(f"No notebook named {', '.join(unknown)} in {folder}. There are: {', '.join(found)}.")
    return [folder / stem for stem in found if not wanted or stem in wanted]


def set_profile(notebook, profile):
    """Adds a cell after the one tagged `parameters` that sets `PROFILE`, as papermill does.

    Args:
        notebook: nbformat NotebookNode, changed in place.
        profile: str, one of `PROFILES`.

    Raises:
        UserError: if no cell has the tag.
    """
    import nbformat

    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            injected = nbformat.v4.new_code_cell(f'PROFILE = "{profile}"', metadata={"tags": ["injected-parameters"]})
            notebook.cells.insert(index + 1, injected)
            return
    raise UserError("The notebook has no cell tagged 'parameters', so its profile cannot be set.")


def execute(notebook, folder, title):
    """Runs all cells in a new kernel, which sees `folder` as its working directory.

    Args:
        notebook: nbformat NotebookNode; outputs are stored in it, also those before an error.
        folder: Path, the notebook's folder.
        title: str, shown with the progress and in errors.

    Raises:
        UserError: if a cell fails (unless it is tagged `raises-exception`) or the kernel dies.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    progress = Progress(title, total)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # a warning about kernels on other machines would break the line
        resources={"metadata": {"path": str(folder)}},
        on_cell_executed=progress.cell_done,
    )
    failures = []

    # What libraries of a kernel print past Python would break the line too. It is shown if the kernel dies.
    with tempfile.TemporaryFile() as messages:

        def work():
            try:
                client.execute(stderr=messages)
            except Exception as error:
                failures.append(error)

        # In the main thread nbclient would catch Control-C itself, and end in an AssertionError.
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                worker.join(timeout=1.0)
                progress.tick()
        except KeyboardInterrupt:
            _end_kernel(client, worker)
            raise
        finally:
            progress.finish()
        for error in failures:
            if isinstance(error, CellExecutionError):
                message = f"{error.ename}: {error.evalue}\nin this cell of {title.strip()}:\n\n{progress.cell.source}"
                raise UserError(message) from error
            if isinstance(error, DeadKernelError):
                raise UserError(
                    f"The kernel of {title.strip()} died (out of memory?).{_last_lines(messages)}"
                ) from error
            raise error


def _end_kernel(client, worker):
    """Ends the kernel of a notebook, whether it starts, works or is about to end, and waits for the worker thread."""
    deadline = time.monotonic() + 30
    while worker.is_alive() and time.monotonic() < deadline:
        provisioner = getattr(client.km, "provisioner", None)
        if provisioner is not None and provisioner.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(provisioner.pid, signal.SIGTERM)
        worker.join(timeout=0.5)
    # At some moments nbclient leaves its clean-up behind, which at exit finds nothing to clean up and complains.
    atexit.unregister(client._cleanup_kernel)


def _last_lines(file, count=5):
    """The end of a file, each line on one of its own; empty for an empty file."""
    file.seek(0)
    return "".join(f"\n{line}" for line in file.read().decode(errors="replace").splitlines()[-count:])


def write(notebook, path):
    """Writes a notebook beside its place and renames it, so that an interruption leaves the old file."""
    import nbformat

    unfinished = path.with_name(path.name + ".new")
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, path)


def run(paths, profile, output):
    """Executes notebooks into another folder and prints the comparison table if one of them writes it.

    Args:
        paths: list of Path, notebooks without their suffix.
        profile: str, one of `PROFILES`.
        output: Path, folder for the executed notebooks and what they write.
    """
    import nbformat

    table = output / TABLE
    table.unlink(missing_ok=True)  # so that what is shown at the end is of this run
    width = max(len(path.name) for path in paths)
    for path in paths:
        notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
        if profile != DEFAULT_PROFILE:
            set_profile(notebook, profile)
        try:
            execute(notebook, path.parent, path.name.ljust(width))
        finally:
            write(notebook, output / f"{path.name}.ipynb")
    if table.is_file():
        print(f"\n{format_table(table)}\n\nThe table: {table}")
    print(f"The executed notebooks: {output}")


def format_table(path):
    """Returns a CSV file as text with aligned columns."""
    import pandas

    frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
    return frame.to_string(index=False)


def update(paths):
    """Executes notebooks in their quick profile in place: stores the outputs, and makes both files of a pair agree.

    Args:
        paths: list of Path, notebooks without their suffix.

    Raises:
        UserError: also if an output names a folder of this machine.
    """
    import nbformat
    from jupytext.cli import jupytext

    width = max(len(path.name) for path in paths)
    for path in paths:
        script, stored = path.with_suffix(".py"), path.with_suffix(".ipynb")
        newest = max((file for file in (script, stored) if file.is_file()), key=lambda file: file.stat().st_mtime)
        if jupytext(["--quiet", "--sync", str(newest)]) or not (script.is_file() and stored.is_file()):
            raise UserError(f"{newest} has no pair. Make it one: jupytext --set-formats ipynb,py:percent {newest}")
        notebook = nbformat.read(stored, as_version=4)
        execute(notebook, path.parent, path.name.ljust(width))
        normalise(notebook)
        refuse_local_paths(notebook, path.name)
        write(notebook, stored)
        os.utime(script)  # Jupytext complains about a script that is older than its notebook


def normalise(notebook):
    """Removes from a notebook what differs between machines and runs without a meaning for the reader.

    Args:
        notebook: nbformat NotebookNode, changed in place.
    """
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
    """Returns whether an output is a message of a library (standard error) or a widget without its state."""
    if output.output_type == "stream":
        return output.name == "stderr"
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def refuse_local_paths(notebook, title):
    """Raises a UserError if an output names the repository's folder, the home folder or the one for temporary files."""
    folders = {str(Path.cwd()), str(Path.home()), str(Path(tempfile.gettempdir())), sys.prefix}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), output.get("evalue", ""), *output.get("data", {}).values()]
            for folder in folders:
                if any(folder + os.sep in str(text) for text in texts):
                    raise UserError(
                        f"An output of {title} names {folder}, which means nothing elsewhere:\n\n{cell.source}"
                    )
