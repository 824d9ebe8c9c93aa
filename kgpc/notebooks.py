"""Executes the notebooks of a clone and stores their outputs; `python -m kgpc notebooks` is its command line.

It needs the extra `notebooks` (`pip install "kgpc[notebooks]"`), and nothing of the package: `kgpc/__main__.py` reads
it as a file, so that executing notebooks need not begin with importing TensorFlow.
"""

import asyncio
import atexit
import contextlib
import numbers
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time

from . import files
from .notebook_files import (
    DEFAULT_PROFILE,
    PROFILES,
    UserError,
    check_notebook,
    check_profile,
    find_notebooks,
    format_table,
    is_volatile,
    normalise,
    read_notebook,
    refuse_local_paths,
    set_profile,
    write,
)

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "Display",
    "Execution",
    "UserError",
    "default_jobs",
    "execute",
    "find_notebooks",
    "format_table",
    "is_volatile",
    "normalise",
    "read_notebook",
    "refuse_local_paths",
    "run",
    "set_profile",
    "update",
    "write",
]

TAG_ALONE = "measures-time"  # of a cell: nothing else may run meanwhile
TABLE = "comparison.csv"  # written by notebook 02 into the folder that the variable KGPC_RESULTS names


class Display:
    """What is running and what is done: a line for each notebook, its name, how many code cells have run, how long.

    On a terminal the last line shows what is running and is redrawn; elsewhere a notebook's line is printed at its
    beginning and at its end.
    """

    def __init__(self):
        self.running = []
        self.on_terminal = sys.stdout is not None and sys.stdout.isatty()

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


def _check_jobs(jobs):
    if isinstance(jobs, bool) or not isinstance(jobs, numbers.Integral):
        raise TypeError(f"`jobs` must be an int of at least 1. Received: jobs={jobs!r} of type {type(jobs).__name__}.")
    if jobs < 1:
        raise ValueError(f"`jobs` must be at least 1. Received: jobs={jobs}.")


def _check_paths(paths):
    """The paths of notebooks, checked."""
    if not isinstance(paths, (list, tuple)) or not paths:
        raise TypeError(f"`paths` must be a list of paths, one at least. Received: paths={paths!r}.")
    return [files.path_argument("paths", path) for path in paths]


def _file(path, suffix):
    """A file of the pair of a notebook, whose name may have dots."""
    return path.with_name(path.name + suffix)


class Execution:
    """A notebook whose cells run in a new kernel, which sees the notebook's folder as its working directory.

    Args:
        notebook: nbformat NotebookNode; outputs are stored in it, also those before an error.
        folder: Path, the notebook's folder.
        title: str, shown with the progress and in errors.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """

    def __init__(self, notebook, folder, title):
        check_notebook(notebook)
        folder = files.path_argument("folder", folder)
        if not isinstance(title, str):
            raise TypeError(f"`title` must be a str. Received: title={title!r} of type {type(title).__name__}.")
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
            # nbclient makes an event loop for the thread and leaves it open; there is none if it failed before that.
            with contextlib.suppress(RuntimeError):
                asyncio.get_event_loop().close()
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
        TypeError, ValueError: if an argument is something else.
        UserError: if a cell fails (unless it is tagged `raises-exception`) or a kernel dies.
    """
    _check_jobs(jobs)
    if not isinstance(executions, (list, tuple)) or not all(isinstance(each, Execution) for each in executions):
        raise TypeError(f"`executions` must be a list of Execution. Received: executions={executions!r}.")
    if store is not None and not callable(store):
        raise TypeError(f"`store` must be a function or None. Received: store={store!r}.")
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


def default_jobs(profile):
    """Returns how many notebooks may run at a time if nobody says it.

    In the quick profile a notebook keeps little more than one core busy: two. A GPU, and the paper profile, want one.

    Args:
        profile: str, one of `PROFILES`.
    """
    check_profile(profile)
    return 2 if profile == DEFAULT_PROFILE and (os.cpu_count() or 1) > 1 and not shutil.which("nvidia-smi") else 1


def run(paths, profile, output, jobs=None):
    """Executes notebooks into another folder and prints the comparison table if one of them writes it.

    Args:
        paths: list of Path, notebooks without their suffix.
        profile: str, one of `PROFILES`.
        output: Path, folder for the executed notebooks and what they write.
        jobs: int >= 1, how many may run at a time; None for `default_jobs`.

    Raises:
        TypeError, ValueError: if an argument is something else.
        UserError: if a notebook is damaged, a cell fails or a kernel dies.
    """
    paths, output = _check_paths(paths), files.path_argument("output", output)
    check_profile(profile)
    if jobs is not None:
        _check_jobs(jobs)
    if not output.is_dir():
        raise ValueError(f"`output` must be a folder that exists. Received: output={str(output)!r}.")
    table = output / TABLE
    table.unlink(missing_ok=True)  # so that what is shown at the end is of this run
    width = max(len(path.name) for path in paths)
    executions = []
    for path in paths:
        notebook = read_notebook(_file(path, ".ipynb"))
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


def update(paths):
    """Executes notebooks in their quick profile in place: stores the outputs, and makes both files of a pair agree.

    Args:
        paths: list of Path, notebooks without their suffix.

    Raises:
        TypeError, ValueError: if an argument is something else.
        UserError: if a notebook or script is damaged, a cell fails, or an output names a folder of this machine.
    """
    from jupytext.cli import jupytext

    paths = _check_paths(paths)
    width = max(len(path.name) for path in paths)
    for path in paths:
        script, stored = _file(path, ".py"), _file(path, ".ipynb")
        present = [file for file in (script, stored) if os.path.lexists(file)]
        if not present:
            raise UserError(f"There is neither {script} nor {stored.name}.")
        # Before Jupytext makes both of them as damaged as one is.
        if stored in present:
            read_notebook(stored)
        if script in present and files.has_conflict(files.read_text(script)):
            raise UserError(f"The script {script} has conflict markers of a merge (<<<<<<<): take one of the sides.")
        newest = max(present, key=lambda file: file.stat().st_mtime)
        if jupytext(["--quiet", "--sync", str(newest)]) or not (script.is_file() and stored.is_file()):
            raise UserError(f"{newest} has no pair. Make it one: jupytext --set-formats ipynb,py:percent {newest}")
        notebook = read_notebook(stored)
        execute([Execution(notebook, path.parent, path.name.ljust(width))])
        normalise(notebook)
        refuse_local_paths(notebook, path.name)
        write(notebook, stored)
        os.utime(script)  # Jupytext complains about a script that is older than its notebook
