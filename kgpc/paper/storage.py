"""Where the results of a rerun are: a folder, or a place that only fsspec can reach, such as a bucket.

A training needs a folder that it can lock and rename files in. A worker whose results go elsewhere trains in a folder
of its own, which a `Mirror` keeps equal to the place: it begins with what an earlier attempt left there, and what the
training writes is copied while it goes on.
"""

import contextlib
import os
import tempfile
import threading
from pathlib import Path

from kgpc.paper import execution

_SECONDS_BETWEEN_COPIES = 5.0


def is_url(output):
    """Whether `output` is a URL such as "s3://bucket/folder", not a path of this computer."""
    return "://" in str(output)


def storage_of(output):
    """What reads the results in a folder or at a URL: a `Folder` or a `Remote`."""
    return Remote(output) if is_url(output) else Folder(output)


class Folder:
    """Results in a folder of this computer, or one that it has in common with others.

    Args:
        output: path.
    """

    def __init__(self, output):
        self.output = Path(output)

    def folders(self):
        """Names of the folders in it, sorted."""
        return sorted(path.name for path in self.output.iterdir() if path.is_dir()) if self.output.is_dir() else []

    def read(self, name):
        """The text of a file, None if there is none."""
        path = self.output / name
        return path.read_text(encoding="utf-8") if path.is_file() else None


class Remote:
    """Results at a URL that fsspec knows.

    Args:
        output: str.

    Raises:
        ModuleNotFoundError: if fsspec, or what it needs for this kind of URL, is not installed.
    """

    def __init__(self, output):
        import fsspec

        self.system, root = fsspec.core.url_to_fs(str(output))
        self.root = root.rstrip("/")

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
        """The text of a file, None if there is none."""
        path = self._path(name)
        return self.system.cat_file(path).decode() if self.system.isfile(path) else None

    def get(self, name, path):
        """Copies a file from there to a path of this computer."""
        self.system.get_file(self._path(name), str(path))

    def put(self, path, name):
        """Copies a file there, under another name until it is complete."""
        self.system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        unfinished = f"{self._path(name)}.unfinished"
        self.system.put_file(str(path), unfinished)
        self.system.mv(unfinished, self._path(name))

    def remove(self, name):
        """Removes a file."""
        self.system.rm_file(self._path(name))


class Mirror:
    """Keeps the folder of a run on this computer and its copy elsewhere equal.

    Args:
        folder: path of the folder of the run.
        remote: `Remote`.
        name: str, name of the run.
    """

    def __init__(self, folder, remote, name):
        self.folder, self.remote, self.name = Path(folder), remote, name
        self._copied = {}

    def fetch(self):
        """Brings what an earlier attempt left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.remote.files(self.name):
            if not name.endswith(".unfinished"):
                self.remote.get(f"{self.name}/{name}", self.folder / name)
                self._copied[name] = self._state(self.folder / name)

    def _state(self, path):
        status = path.stat()
        return status.st_mtime_ns, status.st_size

    def copy(self):
        """Copies what is new, `metrics.json` last, because it says that the rest is complete; removes what is gone."""
        present = {}
        for path in self.folder.iterdir():
            # What is being written has a name that begins with a dot, until it is renamed.
            if path.name.startswith(".") or path.name == execution.LOCK_FILE:
                continue
            with contextlib.suppress(FileNotFoundError):
                present[path.name] = self._state(path)
        changed = [name for name, state in present.items() if self._copied.get(name) != state]
        for name in sorted(changed, key=lambda name: name == execution.METRICS_FILE):
            with contextlib.suppress(FileNotFoundError):
                self.remote.put(self.folder / name, f"{self.name}/{name}")
                self._copied[name] = present[name]
        for name in set(self._copied) - set(present):
            self.remote.remove(f"{self.name}/{name}")
            del self._copied[name]

    @contextlib.contextmanager
    def copying(self):
        """Copies every few seconds and at the end, whatever happens in between."""
        stop = threading.Event()

        def work():
            while not stop.wait(_SECONDS_BETWEEN_COPIES):
                self.copy()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.copy()


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
        mirror = Mirror(os.path.join(scratch, run.name), Remote(output), run.name)
        try:
            mirror.fetch()
            with mirror.copying():
                return execution.attempt(run, scratch, progress=False, wait=True)
        except OSError as error:
            return execution.Outcome(run.name, execution.FAILED, f"{type(error).__name__}: {error}")
