"""The folder of one run: its files, its lock, and whether it is that of this run.

The folder of a run holds

- `config.json`: all that decides the run (model, data set, recipe with its seed);
- `data.json`: the data by their content (`kgpc.paper.provenance`);
- `versions.json`: the software and the computer of the last attempt, and under `begun_with` what was other before;
- `log.txt`: when attempts began, were resumed, and how they ended;
- `run.json`, `state-*.npz`, `history.csv`, `best.weights.h5`: what `kgpc.training.fit` writes, from which it resumes;
- `predictions.npz`: the predicted class of each test image, and its true one;
- `metrics.json`: the results. It is written last, so a folder that has it is complete.

A lock on `lock` in the folder keeps two processes from training the same run. The system releases it with the process,
however that ends. A complete folder is only read; nothing is written there, not even a lock.
"""

import contextlib
import datetime
import itertools
import json
import os
import sys
from pathlib import Path

import filelock

from kgpc import files
from kgpc.paper import records
from kgpc.paper.provenance import data_differences, describe_data, version_differences

CONFIG_FILE, DATA_FILE, VERSIONS_FILE, LOG_FILE = "config.json", "data.json", "versions.json", "log.txt"
METRICS_FILE, PREDICTIONS_FILE, LOCK_FILE = "metrics.json", "predictions.npz", "lock"


class Busy(Exception):
    """Another process trains this run."""


def read_metrics(run, folder):
    """The results in the folder of a run, checked; None if it is not complete.

    Args:
        run: `Run`.
        folder: Path.

    Raises:
        ValueError: if the folder is that of another run, or one of its files is damaged.
    """
    check_config(run, folder.parent)
    with _remedy_named(folder):
        try:
            metrics = files.read_json(folder / METRICS_FILE)
        except FileNotFoundError:
            return None
        try:
            config = files.read_json(folder / CONFIG_FILE)
        except FileNotFoundError as error:
            raise files.FileError(
                f"{folder} has {METRICS_FILE} and no {CONFIG_FILE}, so something else wrote there."
            ) from error
        names = (folder / CONFIG_FILE, folder / METRICS_FILE)
        return records.checked_run(config, metrics, folder.name, names)[1]


@contextlib.contextmanager
def _remedy_named(folder):
    try:
        yield
    except files.FileError as error:
        raise files.FileError(
            f"{error} To train this run, remove {folder}, or choose another output folder."
        ) from error


@contextlib.contextmanager
def locked(folder, wait):
    """Holds the lock of a folder; raises `Busy` if another process has it and `wait` is False."""
    path = folder / LOCK_FILE
    files.check_own(path)
    try:
        lock = filelock.FileLock(path, timeout=-1 if wait else 0)
        lock.acquire()
    except filelock.Timeout:
        raise Busy from None
    try:
        yield
    finally:
        lock.release()


def check_config(run, output):
    """Raises ValueError if the folder of a run was begun as another run: by another recipe, say."""
    folder = Path(output) / run.name
    if os.path.lexists(folder) and not folder.is_dir():
        raise files.FileError(f"{folder} must be a folder, that of a run, and is none. Move it away.")
    with _remedy_named(folder):
        try:
            stored = files.read_json(folder / CONFIG_FILE)
        except FileNotFoundError:
            return
    config = json.loads(json.dumps(run.config()))
    if stored != config:
        differences = ", ".join(itertools.islice(_differences(stored, config), 5)) or "keys that are null in one only"
        raise ValueError(
            f"`output` has another run in {folder}: {differences}. Choose another output folder, or remove this one."
        )


def check_data(data, folder):
    """Raises ValueError if the run in a folder has learned from other data than these of the same name."""
    with _remedy_named(folder):
        try:
            stored = files.read_json(folder / DATA_FILE)
        except FileNotFoundError:
            return  # it was begun by a version that did not look at the content
    differences = data_differences(stored, describe_data(data))
    if differences:
        raise ValueError(
            f"`output` has a run in {folder} with other data ({DATA_FILE}): {', '.join(differences)}. "
            "Choose another output folder, or remove this one."
        )


def _differences(stored, wanted, where=""):
    for key in dict.fromkeys([*stored, *wanted]):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{where}{key}.")
        elif old != new:
            yield f"{where}{key} is {records.short(old)} there and {records.short(new)} here"


def log(folder, text):
    """Adds a line, or more, with the time to the log of a folder."""
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    files.append(folder / LOG_FILE, f"{now} {text}\n")


def say(text):
    """Prints a line, also where the standard output cannot show all of its characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def earlier_versions(folder, software):
    """Versions that an attempt before this one had, where they were others."""
    try:
        stored = files.read_json(folder / VERSIONS_FILE)
    except (FileNotFoundError, files.FileError):  # it describes and decides nothing; a new one takes its place
        return {}
    begun_with = stored.get("begun_with")
    return {**version_differences(stored, software), **(begun_with if isinstance(begun_with, dict) else {})}
