"""One state of a training as one file, which is compared with what is expected before it is read or believed.

A state has everything that the next epoch depends on: all variables of the network and of its optimizer, seed states
of dropout among them, and the best weights so far. The file is an npz archive without compression. From a state of the
right run, number, names, shapes and types of all arrays are known in advance. They are compared with the headers inside
the archive, so that a damaged or foreign file takes no memory, and nothing of it comes near the network.
"""

import contextlib
import dataclasses
import json
import math
import numbers
import re
import zipfile

import numpy as np

from kgpc.training.files import opened
from kgpc.training.monitoring import COLUMNS, best_epoch

_NAME = re.compile(r"state-(\d{6,9})\.npz")
_LISTS = ("variables", "optimizer", "best")
# Room for the header of an array and its two entries in the archive, and for the description of the state: for it as a
# whole and for each epoch. Several times what is needed.
_HEADER_BYTES, _ABOUT_BYTES, _ABOUT_BYTES_OF_EPOCH = 2_000, 20_000, 4_000


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


class WrongState(ValueError):
    """A file is no state of the run, whatever it is; the message says why."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is known of each state of a run before it is read.

    Attributes:
        variables, optimizer, best: tuples of `(shape, dtype string)`, as `shapes` gives them.
        epochs: int, of the whole training.
        steps: int, of an epoch.
        monitor: str, as in `Recipe`.
    """

    variables: tuple
    optimizer: tuple
    best: tuple
    epochs: int
    steps: int
    monitor: str


def shapes(arrays):
    """Shapes and types of arrays, as a tuple of `(shape, dtype string)`."""
    return tuple((array.shape, array.dtype.str) for array in arrays)


def state_name(epoch):
    """Name of the file of a state."""
    return f"state-{epoch:06d}.npz"


def state_epoch(name):
    """Number of epochs that the name of a file says, or None if it is no name of a state."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and state_name(int(match[1])) == name else None


def all_finite(arrays):
    """Whether no number of some arrays is infinite or not a number."""
    return all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")


def write_state(path, state):
    """Writes a state.

    Args:
        path: Path.
        state: `State`.
    """
    arrays = {}
    for name in _LISTS:
        arrays |= {f"{name}/{number:06d}": value for number, value in enumerate(getattr(state, name))}
    about = {"epoch": state.epoch, "best_epoch": state.best_epoch, "history": state.history}
    with path.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), step_losses=state.step_losses, **arrays)


def read_state(path, layout):
    """Reads a state.

    Args:
        path: Path whose name is that of a state.
        layout: `Layout`.

    Returns:
        `State`.

    Raises:
        WrongState: if it is the state of another run or of none.
        Exception: whatever else a damaged file leads to.
    """
    with opened(path) as file:
        _check_size(file, layout)
        with zipfile.ZipFile(file) as archive:
            about = _read_about(archive, layout)
            epoch = about["epoch"]
            if epoch != state_epoch(path.name):
                raise WrongState(f"it is after epoch {epoch}, not the one that its name says")
            expected = {"step_losses.npy": ((epoch * layout.steps,), "<f8")}
            for name in _LISTS:
                wanted = getattr(layout, name) if epoch or name != "best" else ()
                expected |= {f"{name}/{number:06d}.npy": value for number, value in enumerate(wanted)}
            _check_arrays(archive, expected)
            # The archive has a checksum for each array, which is compared while reading.
            arrays = {name: _read_array(archive, name) for name in expected}
    lists = {name: [value for key, value in arrays.items() if key.startswith(f"{name}/")] for name in _LISTS}
    state = State(**about, step_losses=arrays["step_losses.npy"], **lists)
    if not all_finite([*state.variables, *state.best]):
        raise WrongState("it has weights that are infinite or not a number")
    if any(np.isnan(array).any() for array in state.optimizer if array.dtype.kind == "f"):
        raise WrongState("its optimizer has values that are not a number")
    if not np.isfinite(state.step_losses).all():
        raise WrongState("it has losses that are infinite or not a number")
    return state


def _check_size(file, layout):
    """Refuses a file that is larger than any state of the run, whose directory alone could take all memory."""
    arrays = [*layout.variables, *layout.optimizer, *layout.best, ((layout.epochs * layout.steps,), "<f8")]
    limit = _about_limit(layout) + sum(_bytes_of(*array) + _HEADER_BYTES for array in arrays) + 2 * _HEADER_BYTES
    size = file.seek(0, 2)
    file.seek(0)
    if size > limit:
        raise WrongState(f"it has {size:,} bytes; a state of this run has at most {limit:,}")


def _about_limit(layout):
    return _ABOUT_BYTES + _ABOUT_BYTES_OF_EPOCH * layout.epochs


def _bytes_of(shape, dtype):
    return math.prod(shape) * np.dtype(dtype).itemsize


@contextlib.contextmanager
def _array_opened(archive, name):
    """An array of an archive: its shape, its dtype, and a file that is at its first value."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise WrongState(f"{name} is compressed, which no state is")
    with archive.open(entry) as file:
        # Later versions of the format have headers of up to 4 GB.
        if np.lib.format.read_magic(file) != (1, 0):
            raise WrongState(f"{name} has a header that no state has")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if entry.file_size != file.tell() + _bytes_of(shape, dtype):
            raise WrongState(f"{name} is not as long as its header says")
        yield shape, dtype, file


def _read_array(archive, name):
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_arrays(archive, expected):
    names = archive.namelist()
    if sorted(names) != sorted([*expected, "about.npy"]):
        unknown = sorted(set(names) ^ {*expected, "about.npy"})
        raise WrongState(
            f"it has {len(names)} arrays, a state of this run {len(expected) + 1}; they differ in {unknown[:3]}"
        )
    for name, (shape, dtype) in expected.items():
        with _array_opened(archive, name) as (found_shape, found_dtype, _):
            if (found_shape, found_dtype.str) != (shape, dtype):
                raise WrongState(f"{name} is {found_dtype} {found_shape}, not {np.dtype(dtype)} {shape}")


def _read_about(archive, layout):
    """What a state says about itself, as a dict with `epoch`, `best_epoch` and `history`."""
    with _array_opened(archive, "about.npy") as (shape, dtype, _):
        if shape != () or dtype.kind != "U" or dtype.itemsize > _about_limit(layout):
            raise WrongState("about.npy is no description of a state of this run")
    about = json.loads(str(_read_array(archive, "about.npy")))
    if not isinstance(about, dict) or set(about) != {"epoch", "best_epoch", "history"}:
        raise WrongState("its description is not that of a state")
    epoch, history = about["epoch"], about["history"]
    if not _is_integer(epoch) or not 0 <= epoch <= layout.epochs:
        raise WrongState(f"its number of epochs is {str(epoch)[:40]}, not one of 0 to {layout.epochs}")
    if not isinstance(history, list) or len(history) != epoch:
        raise WrongState("its history does not have one row for each epoch")
    for number, row in enumerate(history, start=1):
        _check_row(row, number)
    if not _is_integer(about["best_epoch"]) or about["best_epoch"] != best_epoch(history, layout.monitor):
        raise WrongState(f"its best epoch is {str(about['best_epoch'])[:40]}, which its history does not say")
    return about


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _check_row(row, number):
    if not isinstance(row, dict) or set(row) != set(COLUMNS):
        raise WrongState(f"row {number} of its history does not have the columns of a history")
    values = [value for name, value in row.items() if name != "epoch"]
    numeric = all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values)
    if not numeric or not _is_integer(row["epoch"]) or row["epoch"] != number:
        raise WrongState(f"row {number} of its history is not that of epoch {number}")
    # The losses of validation may be infinite; a weighted mean may be above 1 by rounding.
    if not all(0 <= row[name] <= 1.001 for name in ("accuracy", "val_accuracy")) or not (
        0 <= row["learning_rate"] < math.inf and 0 <= row["seconds"] < math.inf
    ):
        raise WrongState(f"row {number} of its history has a value that is out of range")
