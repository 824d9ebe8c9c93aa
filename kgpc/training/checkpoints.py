"""The folder of a run: whose it is, who works on it, and the states from which the training goes on.

A state is written beside its place, forced to the disk, and renamed. So whenever the process is killed, the last
complete state is whole. The state before it is kept too, in case that a disk damages the last one.

Only the process that has the lock changes the folder. A run that is complete is read without it, and nothing is
written, so it can lie where nobody may write.
"""

import contextlib
import errno
import os
import re
import tempfile
import warnings
from pathlib import Path

import filelock

from kgpc.files import remove_unfinished, replacing
from kgpc.training.files import check_file
from kgpc.training.identity import unlike
from kgpc.training.run_file import RUN_FILE, DamagedCheckpoint, differences_between, read_run, short, write_run
from kgpc.training.states import read_state, state_epoch, state_name, write_state

LOCK_FILE = ".fit.lock"
_KEPT = 2
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP)}


class FolderBusy(RuntimeError):
    """Another process, or another training of this one, works in a folder."""


def checked_folder(folder):
    """The folder of a run as a Path; a tilde at its beginning is the home folder of the user.

    Raises:
        TypeError: if it is no path.
        ValueError: if it is empty, a URL, or no folder can have that name.
        NotADirectoryError: if it is there and no folder.
    """
    if not isinstance(folder, (str, os.PathLike)) or isinstance(os.fspath(folder), bytes):
        raise TypeError(
            f"`folder` must be a path or None. Received: folder={folder!r} of type {type(folder).__name__}."
        )
    text = os.fspath(folder)
    # One letter before the colon is a drive; a Path has made one slash of two.
    if not text or "\0" in text or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise ValueError(
            "`folder` must be the path of a folder on this computer, neither empty nor a URL. "
            f"Received: folder={text!r}."
        )
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"`folder` names a user whose home folder is not known. Received: folder={text!r}.") from None
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(f"`folder` must be a folder. Received: folder={text!r}, which is a file.")
    return path


class Checkpoints:
    """The states of one run in a folder of its own.

    As a context manager it gives the folder back at the end, if it had been taken with `acquire`.

    Args:
        folder: path; `acquire` makes it where it does not exist.
        identity: dict of plain values that makes the run what it is: recipe, network, data.
        fingerprints: list, of the initial weights; see `kgpc.training.identity`.
        versions: dict of str, what the run was computed with; a difference is a warning, not an error.
        products: names of the files that follow from the states.
        writes: bool, whether this process writes (one of several does).

    Raises:
        ValueError: if the folder belongs to another run (the message says what differs), or has something else in the
            place of a file.
        DamagedCheckpoint: if it does not say to which run it belongs.
        NotADirectoryError: if `folder` is a file.
    """

    def __init__(self, folder, identity, fingerprints, versions, products=(), writes=True):
        self.folder, self.writes = checked_folder(folder), writes
        self._identity, self._fingerprints, self._versions = identity, fingerprints, versions
        self._products = products
        self._lock = self._begun_with = None
        self._warned = self._has_folder = False
        self._compare()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def is_ours(self):
        """Whether the folder has been taken with `acquire`."""
        return self._has_folder

    def is_complete(self, epochs):
        """Whether the newest state is that of the last epoch, by its name."""
        paths = self._paths()
        return bool(paths) and state_epoch(paths[0].name) == epochs

    def acquire(self):
        """Takes the folder for this process, makes it where it does not exist, and tidies what killed ones left.

        Raises:
            FolderBusy: if another process has it.
            OSError: if it cannot be written to.
            ValueError: as the class does; another process may have begun in the meantime.
        """
        if self._has_folder:
            return
        if self.writes:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock = _locked(self.folder)
            except OSError as error:
                raise OSError(
                    error.errno, f"`folder` cannot be written to ({error.strerror}). Received: folder={self.folder}"
                ) from error
            self._compare()
            remove_unfinished(self.folder)
            if self._begun_with is None:
                self._begin()
        self._has_folder = True

    def _compare(self):
        """Compares the folder with the run, if there is one in it."""
        path = self.folder / RUN_FILE
        check_file(self.folder / LOCK_FILE, links=False)
        for name in (RUN_FILE, *self._products, *(path.name for path in self._paths())):
            check_file(self.folder / name)
        if not path.exists():
            if self._paths():
                raise ValueError(
                    f"`folder` has checkpoints of a run that is not known: {RUN_FILE} is missing. "
                    f"Received: folder={str(self.folder)!r}. Choose another folder."
                )
            return
        run = read_run(path)
        differences = list(differences_between(run["identity"], self._identity))
        if len(run["initial_weights"]) != len(self._fingerprints) and not differences:
            differences.append(f"it has {len(run['initial_weights'])} weights there, {len(self._fingerprints)} here")
        others = ", ".join(
            f"{name} {run['versions'].get(name)} -> {self._versions.get(name)}"
            for name in sorted(run["versions"].keys() | self._versions.keys())
            if run["versions"].get(name) != self._versions.get(name)
        )
        if differences:
            raise ValueError(
                f"`folder` belongs to another run: {', '.join(differences)}. Received: folder={str(self.folder)!r}. "
                f"Choose another folder.{f' It was also begun with other versions ({others}).' if others else ''}"
            )
        if others and not self._warned:
            self._warned = True
            warnings.warn(
                f"The run in {self.folder} was begun with other versions ({others}). Its results are a mixture.",
                stacklevel=4,
            )
        self._begun_with = run["initial_weights"]

    def _begin(self):
        with replacing(self.folder / RUN_FILE) as unfinished:
            write_run(unfinished, self._identity, self._fingerprints, self._versions)
        self._begun_with = self._fingerprints

    def other_start(self, names):
        """How the network's initial weights differ from those that the run in the folder began with.

        Args:
            names: list of str, of the weights.

        Returns:
            str, in words; "" if they are the same, or if there is no run yet.
        """
        if self._begun_with is None:
            return ""
        differing = unlike(self._begun_with, self._fingerprints)
        if not differing:
            return ""
        return f"{len(differing)} of {len(names)} initial weights differ, first {names[differing[0]]}"

    def _paths(self):
        """The states, newest first."""
        try:
            names = [path for path in self.folder.iterdir() if state_epoch(path.name) is not None]
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda path: state_epoch(path.name), reverse=True)

    def latest(self, layout):
        """The newest state that can be read and is one of this run, or None if there is none at all.

        Args:
            layout: `kgpc.training.states.Layout`.

        Raises:
            DamagedCheckpoint: if there are states, but none can be used.
        """
        problems = []
        for path in self._paths():
            try:
                state = read_state(path, layout)
            except Exception as error:  # there is no end to what a damaged file can lead to
                problems.append(f"{path.name} ({short(error)})")
                continue
            if problems:
                warnings.warn(
                    f"A checkpoint in {self.folder} is damaged: {', '.join(problems)}. "
                    f"The training goes on from the one before it, after epoch {state.epoch}.",
                    stacklevel=4,
                )
            return state
        if problems:
            raise DamagedCheckpoint(
                f"The checkpoints in {self.folder} are damaged: {', '.join(problems)}. "
                "Empty the folder to begin again, or choose another one."
            )
        return None

    @contextlib.contextmanager
    def product(self, name):
        """A path to write a file to that follows from the state; it replaces the file `name` of the folder.

        Where another process writes, what is written is thrown away: on JAX, processes that train together must do the
        same things in the same order.
        """
        if self.writes:
            with replacing(self.folder / name) as path:
                yield path
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder) / name

    def save(self, state):
        """Writes a state, and removes those that are no longer needed."""
        if not self.writes:
            return
        with replacing(self.folder / state_name(state.epoch)) as unfinished:
            write_state(unfinished, state)
        # What has a higher number could not be used: the training went on from before.
        paths = self._paths()
        kept = [path for path in paths if state_epoch(path.name) <= state.epoch][:_KEPT]
        for path in set(paths).difference(kept):
            path.unlink(missing_ok=True)


def _locked(folder):
    """A lock that this process has on a folder; the system releases it with the process, however that ends."""
    path = folder / LOCK_FILE
    check_file(path, links=False)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FolderBusy(
            f"`folder` is busy: another process trains there. Received: folder={str(folder)!r}. "
            "Wait until it has ended, or choose another folder."
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"The file system of {folder} has no locks. See to it that no other process trains there.", stacklevel=5
        )
    return lock
