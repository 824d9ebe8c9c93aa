"""Where the results of a rerun are: a folder, or a place that only fsspec can reach, such as a bucket.

A training needs a folder that it can lock and rename files in. A worker whose results go elsewhere trains in a folder
of its own, which a `Mirror` keeps equal to the place: it begins with what an earlier attempt left there, and what the
training writes is copied while it goes on.
"""

import contextlib
import os
import secrets
import tempfile
import threading
from pathlib import Path

from kgpc import files
from kgpc.files import is_url
from kgpc.paper import execution
from kgpc.paper.run_folder import LOCK_FILE, METRICS_FILE
from kgpc.training.training_loop import BEST_WEIGHTS_FILE, HISTORY_FILE

_SECONDS_BETWEEN_COPIES = 5.0
_UNFINISHED = ".unfinished"  # what a name ends with until the file is complete


def storage_of(output, name="output"):
    """What reads the results in a folder or at a URL: a `Folder` or a `Remote`.

    Args:
        output: path, or URL that fsspec knows.
        name: str, what a message calls this argument.

    Raises:
        TypeError, ValueError: if it is neither, or a file; `name` is in the message.
        ModuleNotFoundError: if fsspec, or what it needs for this kind of URL, is not installed.
    """
    if is_url(output):
        return Remote(output, name)
    path = files.path_argument(name, output)
    if os.path.lexists(path) and not path.is_dir():
        raise ValueError(f"`{name}` must be a folder. Received: {name}={str(path)!r}, which is none.")
    return Folder(path)


def checked_place(output, on_cluster):
    """Where a rerun may write its results, found out before it trains.

    Args:
        output: path, or URL that fsspec knows.
        on_cluster: bool, whether the runs are tasks of a Ray cluster.

    Returns:
        `pathlib.Path`, absolute on a cluster, or the URL.

    Raises:
        TypeError, ValueError: if it is no folder, or a URL that only this process sees or nobody copies to.
        ModuleNotFoundError: see `storage_of`.
        OSError: if nothing can be written to the URL.
    """
    if is_url(output) and not on_cluster:
        raise ValueError(
            "`output` must be a folder of this computer; results go to a URL only with `ray` (--ray local starts Ray "
            f"here). Received: output={output!r}."
        )
    storage = storage_of(output)
    if isinstance(storage, Folder):
        # The processes of a cluster have working directories of their own.
        return storage.output.absolute() if on_cluster else storage.output
    if "memory://" in output:
        raise ValueError(
            f"`output` must be a place that outlasts the processes that train. Received: output={output!r}."
        )
    storage.check_writable()
    return output


class Folder:
    """Results in a folder of this computer, or one that it has in common with others.

    Args:
        output: Path.
    """

    def __init__(self, output):
        self.output = output

    def title(self, name):
        """How a message calls a file."""
        return str(self.output / name)

    def folders(self):
        """Names of the folders in it, sorted."""
        return sorted(path.name for path in self.output.iterdir() if path.is_dir()) if self.output.is_dir() else []

    def read(self, name):
        """The text of a JSON file, None if there is none.

        Raises:
            kgpc.files.FileError: if it is no such file.
            OSError: if it cannot be read.
        """
        try:
            return files.read_text(self.output / name, files.MAX_JSON_BYTES)
        except FileNotFoundError:
            return None


class Remote:
    """Results at a URL that fsspec knows.

    Args:
        output: str.
        name: str, what a message calls this argument.

    Raises:
        ModuleNotFoundError: if fsspec, or what it needs for this kind of URL, is not installed.
        ValueError: if it does not know this kind of URL, or the URL names no folder.
    """

    def __init__(self, output, name="output"):
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'Results at a URL need fsspec: pip install "kgpc[cluster]". Received: {name}={output!r}.'
            ) from error
        self.output = output
        try:
            self.system, root = fsspec.core.url_to_fs(output)
        except ImportError as error:
            raise ModuleNotFoundError(
                f"What reads this kind of URL is not installed ({error}). Received: {name}={output!r}."
            ) from error
        except ValueError as error:
            raise ValueError(
                f"`{name}` must be a folder, or a URL that fsspec knows ({error}). Received: {name}={output!r}."
            ) from error
        self.root = root.rstrip("/")
        if not self.root:
            raise ValueError(f"`{name}` must name a folder at its URL. Received: {name}={output!r}.")

    def check_writable(self):
        """Raises OSError if nothing can be written there; found out before hours of training, by writing a file."""
        probe = f"{self.root}/.{secrets.token_hex(8)}{_UNFINISHED}"
        try:
            self.system.makedirs(self.root, exist_ok=True)
            self.system.pipe_file(probe, b"")
            self.system.rm_file(probe)
        except Exception as error:  # each kind of storage has its own
            raise OSError(
                f"Nothing can be written to {self.output}: {type(error).__name__}: {error}. "
                "Choose another output, or give access to it."
            ) from error

    def title(self, name):
        """How a message calls a file."""
        return f"{self.output.rstrip('/')}/{name}"

    def _path(self, name):
        return f"{self.root}/{name}"

    def files(self, folder):
        """Names of the files of a folder."""
        if not self.system.isdir(self._path(folder)):
            return []
        paths = self.system.ls(self._path(folder), detail=False, refresh=True)
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in paths)

    def folders(self):
        """Names of the folders in it, sorted."""
        if not self.system.isdir(self.root):
            return []
        found = self.system.ls(self.root, detail=True, refresh=True)
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory")

    def read(self, name):
        """The text of a JSON file, None if there is none; see `Folder.read`."""
        path = self._path(name)
        if not self.system.isfile(path):
            return None
        content = self.system.cat_file(path, start=0, end=files.MAX_JSON_BYTES + 1)
        return files.decode(content, self.title(name), files.MAX_JSON_BYTES)

    def get(self, name, path):
        """Copies a file from there to a path of this computer."""
        self.system.get_file(self._path(name), str(path))

    def put(self, path, name):
        """Copies a file there, under another name until it is complete."""
        self.system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        unfinished = f"{self._path(name)}.{secrets.token_hex(8)}{_UNFINISHED}"
        self.system.put_file(str(path), unfinished)
        self.system.mv(unfinished, self._path(name))

    def remove(self, name):
        """Removes a file."""
        self.system.rm_file(self._path(name))


class Mirror:
    """Keeps the folder of a run on this computer and its copy elsewhere equal.

    Args:
        folder: Path of the folder of the run.
        remote: `Remote`.
        name: str, name of the run.
    """

    def __init__(self, folder, remote, name):
        self.folder, self.remote, self.name = folder, remote, name
        self._copied = {}

    def fetch(self):
        """Brings what an earlier attempt left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.remote.files(self.name):
            if not name.endswith(_UNFINISHED):
                self.remote.get(f"{self.name}/{name}", self.folder / name)
                self._copied[name] = self._state(self.folder / name)

    def _state(self, path):
        status = path.stat()
        return status.st_mtime_ns, status.st_size

    def copy(self):
        """Copies what is new, in the order in which it is to be believed, and removes what is gone.

        A worker may die between two files. `metrics.json` is the last, because it says that the rest is complete, and
        before it the history, because it says that the weights are those of its last epoch.
        """
        present = {}
        for path in self.folder.iterdir():
            # What is being written has a name that begins with a dot, until it is renamed.
            if path.name.startswith(".") or path.name == LOCK_FILE or not path.is_file():
                continue
            with contextlib.suppress(FileNotFoundError):
                present[path.name] = self._state(path)
        changed = [name for name, state in present.items() if self._copied.get(name) != state]
        for name in sorted(changed, key=_rank):
            with contextlib.suppress(FileNotFoundError):
                self.remote.put(self.folder / name, f"{self.name}/{name}")
                self._copied[name] = present[name]
        for name in set(self._copied) - set(present):
            self.remote.remove(f"{self.name}/{name}")
            del self._copied[name]
        if METRICS_FILE in present and changed:
            # The run is complete, so what ends like this is of a worker that died while it copied.
            for name in self.remote.files(self.name):
                if name.endswith(_UNFINISHED):
                    self.remote.remove(f"{self.name}/{name}")

    @contextlib.contextmanager
    def copying(self):
        """Copies every few seconds and at the end, whatever happens in between."""
        stop = threading.Event()

        def work():
            while not stop.wait(_SECONDS_BETWEEN_COPIES):
                # A connection that was lost comes back; the copy at the end says so where it does not.
                with contextlib.suppress(Exception):
                    self.copy()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.copy()


def _rank(name):
    """The place of a file in the order in which a `Mirror` copies."""
    last = (BEST_WEIGHTS_FILE, HISTORY_FILE, METRICS_FILE)
    return last.index(name) + 1 if name in last else 0


def attempt(run, output):
    """Trains and tests a run for results in a folder or at a URL; waits where another process has the run.

    Args:
        run: `Run`.
        output: path or URL.

    Returns:
        `kgpc.paper.execution.Outcome`.
    """
    if not is_url(output):
        return execution.attempt(run, output, progress=False, wait=True)
    with tempfile.TemporaryDirectory(prefix="kgpc-run-") as scratch:
        mirror = Mirror(Path(scratch) / run.name, Remote(output), run.name)
        try:
            mirror.fetch()
            with mirror.copying():
                return execution.attempt(run, scratch, progress=False, wait=True)
        except OSError as error:
            return execution.Outcome(run.name, execution.FAILED, f"{type(error).__name__}: {error}")
