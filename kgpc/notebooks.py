"""Executes the notebooks of a clone and stores their outputs; `python -m kgpc notebooks` is its command line.

It needs the extra `notebooks` (`pip install "kgpc[notebooks]"`), and nothing of the package: `kgpc/__main__.py` reads
it as a file, so that executing notebooks need not begin with importing TensorFlow.
"""

import atexit
import contextlib
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

DEFAULT_PROFILE = "quick"  # the one that the notebooks set themselves
PROFILES = (DEFAULT_PROFILE, "paper")
TAG_ALONE = "measures-time"  # of a cell: nothing else may run meanwhile
TABLE = "comparison.csv"  # written by notebook 02 into the folder that the variable KGPC_RESULTS names


class UserError(Exception):
    """Something the user can put right; the message is shown without a traceback."""


class Display:
    """What is running and what is done: a line for each notebook, its name, how many code cells have run, how long.

    On a terminal the last line shows what is running and is redrawn; elsewhere a notebook's line is printed at its
    beginning and at its end.
    """

    def __init__(self):
        self.running = []
        self.on_terminal = sys.stdout.isatty()

    def begin(self, execution):
        """Shows that a notebook has begun."""
        self.running.append(execution)
        if not self.on_terminal:
            print(execution.line(), flush=True)
        self.redraw()

    def end(self, execution):
        """Shows the line of a notebook for the last time."""
        self.running.remove(execution)
        if self.on_terminal:
            self._show(execution.line())
            print()
        else:
            print(execution.line(), flush=True)
        self.redraw()

    def redraw(self):
        """Draws what is running anew on a terminal."""
        if self.on_terminal and self.running:
            lines = [execution.line() for execution in self.running]
            self._show(lines[0] if len(lines) == 1 else " | ".join(" ".join(line.split()) for line in lines))

    def _show(self, line):
        width = shutil.get_terminal_size().columns - 1  # a full line would begin another one
        print(f"\r{line[:width]:{width}}", end="", flush=True)


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


class Execution:
    """A notebook whose cells run in a new kernel, which sees the notebook's folder as its working directory.

    Args:
        notebook: nbformat NotebookNode; outputs are stored in it, also those before an error.
        folder: Path, the notebook's folder.
        title: str, shown with the progress and in errors.
    """

    def __init__(self, notebook, folder, title):
        self.notebook, self.folder, self.title = notebook, folder, title
        self.cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
        self.done, self.last_cell, self.error, self.worker = 0, None, None, None
        self.measures_time = any(TAG_ALONE in cell.metadata.get("tags", []) for cell in notebook.cells)

    def start(self, finished):
        """Starts the kernel and runs the cells in another thread.

        Args:
            finished: `queue.Queue`, gets this object when all is over, with or without an error.
        """
        from nbclient import NotebookClient

        self.started = time.monotonic()
        self.client = NotebookClient(
            self.notebook,
            timeout=None,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],  # a warning about kernels on other machines would break the line
            resources={"metadata": {"path": str(self.folder)}},
            on_cell_executed=self._cell_done,
        )

        def work():
            # What libraries of a kernel print past Python would break the line. Its end is shown if the kernel dies.
            with tempfile.TemporaryFile() as messages:
                try:
                    self.client.execute(stderr=messages)
                except Exception as error:
                    self.error, self.last_messages = error, _last_lines(messages)
            finished.put(self)

        # In the main thread nbclient would catch Control-C itself, and end in an AssertionError.
        self.worker = threading.Thread(target=work, daemon=True)
        self.worker.start()

    def _cell_done(self, cell, **_):
        """Called by nbclient, also for a cell that failed."""
        self.done += 1
        self.last_cell = cell

    def line(self):
        """The progress in a line."""
        seconds = int(time.monotonic() - self.started)
        return f"{self.title}  {self.done:3d}/{self.cells} cells  {seconds // 60}:{seconds % 60:02d}"

    def check(self):
        """Raises a UserError if a cell has failed (unless it is tagged `raises-exception`) or the kernel has died."""
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        error, title = self.error, self.title.strip()
        if isinstance(error, CellExecutionError):
            raise UserError(
                f"{error.ename}: {error.evalue}\nin this cell of {title}:\n\n{self.last_cell.source}"
            ) from error
        if isinstance(error, DeadKernelError):
            raise UserError(f"The kernel of {title} died (out of memory?).{self.last_messages}") from error
        if error is not None:
            raise error

    def end(self):
        """Ends the kernel, if it starts, works or is about to end, and waits for the thread."""
        if self.worker is None:
            return
        deadline = time.monotonic() + 30
        while self.worker.is_alive() and time.monotonic() < deadline:
            provisioner = getattr(self.client.km, "provisioner", None)
            if provisioner is not None and provisioner.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(provisioner.pid, signal.SIGTERM)
            self.worker.join(timeout=0.5)
        # At some moments nbclient leaves its clean-up behind, which at exit finds nothing to clean up and complains.
        atexit.unregister(self.client._cleanup_kernel)


def execute(executions, jobs=1, store=None):
    """Runs notebooks, several at a time; those that measure time run alone, after the others.

    The first error ends the notebooks that run at that moment, and no other is begun.

    Args:
        executions: list of `Execution`.
        jobs: int >= 1, how many may run at a time.
        store: function that gets each `Execution` that is over, also one that failed or was ended; or None.

    Raises:
        UserError: if a cell fails (unless it is tagged `raises-exception`) or a kernel dies.
    """
    waiting = list(executions)
    if jobs > 1:
        waiting.sort(key=lambda execution: execution.measures_time)
    finished, display = queue.Queue(), Display()

    def over(execution):
        display.end(execution)
        if store is not None:
            store(execution)

    try:
        while waiting or display.running:
            while waiting and len(display.running) < (1 if waiting[0].measures_time else jobs):
                execution = waiting.pop(0)
                execution.start(finished)
                display.begin(execution)
            try:
                execution = finished.get(timeout=1.0)
            except queue.Empty:
                display.redraw()
                continue
            over(execution)
            execution.check()
    except BaseException:
        for execution in executions:
            execution.end()
        for execution in list(display.running):
            over(execution)
        raise


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


def default_jobs(profile):
    """Returns how many notebooks may run at a time if nobody says it.

    In the quick profile a notebook keeps little more than one core busy: two. A GPU, and the paper profile, want one.
    """
    return 2 if profile == DEFAULT_PROFILE and (os.cpu_count() or 1) > 1 and not shutil.which("nvidia-smi") else 1


def run(paths, profile, output, jobs=None):
    """Executes notebooks into another folder and prints the comparison table if one of them writes it.

    Args:
        paths: list of Path, notebooks without their suffix.
        profile: str, one of `PROFILES`.
        output: Path, folder for the executed notebooks and what they write.
        jobs: int >= 1, how many may run at a time; None for `default_jobs`.
    """
    import nbformat

    table = output / TABLE
    table.unlink(missing_ok=True)  # so that what is shown at the end is of this run
    width = max(len(path.name) for path in paths)
    executions = []
    for path in paths:
        notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
        if profile != DEFAULT_PROFILE:
            set_profile(notebook, profile)
        executions.append(Execution(notebook, path.parent, path.name.ljust(width)))
    jobs, started = jobs or default_jobs(profile), time.monotonic()
    execute(executions, jobs, lambda done: write(done.notebook, output / f"{done.title.strip()}.ipynb"))
    print(f"\n{_summary(executions, jobs, time.monotonic() - started)}")
    if table.is_file():
        print(f"\n{format_table(table)}\n\nThe table: {table}")
    print(f"The executed notebooks: {output}")


def _summary(executions, jobs, seconds):
    """How long all took together; and where seconds were measured while another notebook ran."""
    count = len(executions)
    text = f"{count} notebook{'s' * (count > 1)} in {int(seconds) // 60}:{int(seconds) % 60:02d}"
    if jobs == 1 or sum(not execution.measures_time for execution in executions) < 2:
        return f"{text}."
    alone = ", ".join(execution.title.strip() for execution in executions if execution.measures_time)
    exception = f", but in those that ran alone: {alone}" if alone else ""
    return f"{text}, up to {jobs} at a time, so seconds in them say little{exception}. (--jobs 1: one after the other.)"


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
        execute([Execution(notebook, path.parent, path.name.ljust(width))])
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
