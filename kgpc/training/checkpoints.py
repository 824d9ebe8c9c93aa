"""The state of a training on disk: complete or not there, checked when it is read.

A state is one file with everything that the next epoch depends on: all variables of the network and of its optimizer,
seed states of dropout among them, and the best weights so far. It is written beside its place, forced to the disk, and
renamed. So whenever the process is killed, the last complete state is whole. The state before it is kept too, in case
that a disk damages the last one.
"""

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np

IDENTITY_FILE = "run.json"
_STATE_NAME = re.compile(r"state-(\d{6})\.npz")
_KEPT = 2
_UNFINISHED = ".unfinished-"


class DamagedCheckpoint(ValueError):
    """No state in a folder can be read."""


@dataclasses.dataclass
class State:
    """A training after a number of complete epochs.

    Attributes:
        epoch: int, number of complete epochs.
        variables, optimizer: lists of arrays, variables of the network and of its optimizer.
        best_epoch: int, number of the best epoch, from 1; 0 if there is none yet.
        best: list of arrays, weights of the best epoch; empty if there is none yet.
        history: list of dict, one for each epoch.
        step_losses: float64 array, loss of each step.
    """

    epoch: int
    variables: list
    optimizer: list
    best_epoch: int = 0
    best: list = dataclasses.field(default_factory=list)
    history: list = dataclasses.field(default_factory=list)
    step_losses: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))


@contextlib.contextmanager
def replacing(path):
    """A path to write to, which replaces `path` only when all is written and on the disk.

    Args:
        path: Path.

    Yields:
        Path beside it, with the same suffixes.
    """
    path = Path(path)
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Forces a change of names in a folder to the disk, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Checkpoints:
    """The states of one run in a folder of its own.

    Args:
        folder: path; it is made where it does not exist.
        identity: dict of plain values that makes the run what it is: recipe, network, data.
        versions: dict of str, what the run was computed with; a difference is a warning, not an error.
        writes: bool, whether this process writes (one of several does).

    Raises:
        ValueError: if the folder belongs to another run; the message says what differs.
        NotADirectoryError: if `folder` is a file.
    """

    def __init__(self, folder, identity, versions, writes=True):
        self.folder, self.writes = Path(folder), writes
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"`folder` must be a folder. Received: folder={str(folder)!r}, which is a file.")
        path = self.folder / IDENTITY_FILE
        if writes and self.folder.is_dir():
            for unfinished in self.folder.glob(f"{_UNFINISHED}*"):  # of a process that was killed
                unfinished.unlink()
        if path.exists():
            self._compare(path, identity, versions)
        elif self._paths():
            raise ValueError(
                f"`folder` has checkpoints of a run that is not known: {IDENTITY_FILE} is missing. "
                f"Received: folder={str(folder)!r}. Choose another folder, or empty this one."
            )
        elif writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished:
                text = json.dumps({"identity": identity, "versions": versions}, indent=2)
                unfinished.write_text(text + "\n", encoding="utf-8")

    def _compare(self, path, identity, versions):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            stored_identity, stored_versions = stored["identity"], stored["versions"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"The file {path} is damaged ({error!r}). Choose another folder.") from error
        differences = list(_differences(stored_identity, json.loads(json.dumps(identity))))
        if differences:
            raise ValueError(
                f"`folder` belongs to another run: {'; '.join(differences[:5])}. "
                f"Received: folder={str(self.folder)!r}. Choose another folder, or empty this one."
            )
        changed = [
            f"{name} {stored_versions.get(name)} -> {version}"
            for name, version in versions.items()
            if stored_versions.get(name) != version
        ]
        if changed:
            warnings.warn(
                f"The run in {self.folder} was begun with other versions ({', '.join(changed)}): "
                "it goes on, but its results need not be the same to the last bit.",
                stacklevel=4,
            )

    def _paths(self):
        """Paths of the states, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _STATE_NAME.fullmatch(path.name)), reverse=True)

    def latest(self):
        """The newest state that can be read, or None if there is none at all.

        Raises:
            DamagedCheckpoint: if there are states, but none can be read.
        """
        problems = []
        for path in self._paths():
            try:
                state = _read(path)
            except Exception as error:  # there is no end to what a damaged file can lead to
                problems.append(f"{path.name} ({error})")
                continue
            if problems:
                warnings.warn(
                    f"A checkpoint in {self.folder} is damaged: {', '.join(problems)}. "
                    f"The training goes on from the one before it, after epoch {state.epoch}.",
                    stacklevel=3,
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
        with replacing(self.folder / f"state-{state.epoch:06d}.npz") as unfinished:
            _write(unfinished, state)
        for path in self._paths()[_KEPT:]:
            path.unlink(missing_ok=True)


def _differences(old, new, where=""):
    """What differs between two nested dicts, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where} is {old!r} there and {new!r} here"


def _write(path, state):
    arrays = {}
    for name in ("variables", "optimizer", "best"):
        arrays |= {f"{name}/{number:06d}": value for number, value in enumerate(getattr(state, name))}
    counts = {name: len(getattr(state, name)) for name in ("variables", "optimizer", "best")}
    about = {"epoch": state.epoch, "best_epoch": state.best_epoch, "history": state.history, "counts": counts}
    with path.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), step_losses=state.step_losses, **arrays)


def _read(path):
    # The zip format has a checksum for each array, which is compared while reading; without pickle no code can run.
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        lists = {
            name: [file[f"{name}/{number:06d}"] for number in range(count)] for name, count in about["counts"].items()
        }
        return State(
            epoch=about["epoch"],
            best_epoch=about["best_epoch"],
            history=about["history"],
            step_losses=file["step_losses"],
            **lists,
        )
