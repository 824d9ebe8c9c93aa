"""One run of a rerun, from the folder it has so far to a complete one.

The folder of a run holds

- `config.json`: all that decides the run (model, data set, recipe with its seed);
- `versions.json`: the software and the computer of the last attempt;
- `log.txt`: when attempts began, were resumed, and how they ended;
- `run.json`, `state-*.npz`, `history.csv`, `best.weights.h5`: what `kgpc.training.fit` writes, from which it resumes;
- `predictions.npz`: the predicted class of each test image, and its true one;
- `metrics.json`: the results. It is written last, so a folder that has it is complete.

A lock on `lock` in the folder keeps two processes from training the same run. The system releases it with the process,
however that ends.
"""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import platform
import time
import traceback
from pathlib import Path

import filelock
import keras
import numpy as np

import kgpc
from kgpc import datasets, flops, training
from kgpc.paper.selection import load_dataset

CONFIG_FILE, VERSIONS_FILE, LOG_FILE = "config.json", "versions.json", "log.txt"
METRICS_FILE, PREDICTIONS_FILE, LOCK_FILE = "metrics.json", "predictions.npz", "lock"

# How a run can end.
COMPLETE, TRAINED, RESUMED, BUSY, FAILED = "complete", "trained", "resumed", "busy", "failed"


class _Busy(Exception):
    """Another process trains this run."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attempt at a run ended.

    Attributes:
        name: str, name of the run.
        outcome: "complete" (it was already), "trained", "resumed" (trained on from what an earlier attempt left),
            "busy" (another process trains it) or "failed".
        error: str, what stopped it; "" if nothing did.
    """

    name: str
    outcome: str
    error: str = ""

    def __str__(self):
        return f"{self.outcome}: {self.error}" if self.error else self.outcome


def attempt(run, output, progress=True, wait=False):
    """As `execute`, but what stops a run is an `Outcome` too, so that the next run can go on.

    Args:
        run: `Run`.
        output: path of the folder with the folders of the runs.
        progress: what `kgpc.training.fit` takes as `progress`.
        wait: bool, whether to wait for another process that has the run.

    Returns:
        `Outcome`.
    """
    try:
        return Outcome(run.name, execute(run, output, progress, wait))
    except Exception as error:
        return Outcome(run.name, FAILED, f"{type(error).__name__}: {error}")


def execute(run, output, progress=True, wait=False):
    """Trains a run and tests it, unless its folder says that this has been done.

    Args:
        run: `Run`.
        output: path of the folder with the folders of the runs.
        progress: what `kgpc.training.fit` takes as `progress`.
        wait: bool, whether to wait for another process that has the run; else it is "busy".

    Returns:
        str, how it ended: "complete" (it was already), "trained", "resumed" (trained on from what an earlier attempt
        left) or "busy".

    Raises:
        ValueError: if the folder is that of another run: the same name, but another recipe, say.
        Exception: whatever stops the training; it is in the log too.
    """
    folder = Path(output) / run.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder, wait):
            check_config(run, output)
            if (folder / METRICS_FILE).is_file():
                return COMPLETE
            return _train_and_test(run, folder, progress)
    except _Busy:
        return BUSY


@contextlib.contextmanager
def _locked(folder, wait):
    try:
        lock = filelock.FileLock(folder / LOCK_FILE, timeout=-1 if wait else 0)
        lock.acquire()
    except filelock.Timeout:
        raise _Busy from None
    try:
        yield
    finally:
        lock.release()


def check_config(run, output):
    """Raises ValueError if the folder of a run was begun as another run: by another recipe, say."""
    folder = Path(output) / run.name
    if not (folder / CONFIG_FILE).is_file():
        return
    stored, config = read_json(folder / CONFIG_FILE), json.loads(json.dumps(run.config()))
    if stored != config:
        differences = ", ".join(_differences(stored, config))
        raise ValueError(
            f"`output` has another run in {folder}: {differences}. Choose another output folder, or remove this one."
        )


def _differences(stored, wanted, where=""):
    for key in dict.fromkeys([*stored, *wanted]):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{where}{key}.")
        elif old != new:
            yield f"{where}{key} is {old!r} there and {new!r} here"


def read_json(path):
    """The content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _write_json(path, values):
    _write(path, (json.dumps(values, indent=2) + "\n").encode())


def _write(path, content):
    """Writes a file beside its place and renames it, so that it is there as a whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _log(folder, text):
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(f"{now} {text}\n")


def versions():
    """What a run is computed with: versions of the software, processor, devices."""
    import tensorflow as tf

    return {
        "kgpc": kgpc.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.version(),
        "numpy": np.__version__,
        "backend": keras.backend.backend(),
        "system": platform.platform(),
        "processor": _processor(),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", ""),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
    }


def _processor():
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@functools.lru_cache(maxsize=2)
def _dataset(name, image_size, images):
    """The images, kept in memory for the next run on the same data."""
    return load_dataset(name, image_size, images)


def _train_and_test(run, folder, progress):
    resumed = any(folder.glob("state-*.npz"))
    _write_json(folder / CONFIG_FILE, run.config())
    _write_json(folder / VERSIONS_FILE, versions())
    _log(folder, f"{'resumed' if resumed else 'started'} by process {os.getpid()} on {platform.node()}")
    started = time.perf_counter()
    try:
        data = _dataset(run.dataset, run.recipe.image_size, run.images)
        model = run.build(len(data.class_names))
        counts = {"parameters": flops.trainable_parameters(model), "flops": flops.paper_flops(model)}
        result = training.fit(model, data, run.recipe, folder=folder, progress=progress)
        metrics, predictions = _test(run, model, data) if run.tested else ({}, {})
    except BaseException as error:
        # Also where the user or the system interrupts it: the log says why the folder is incomplete.
        _log(folder, f"stopped: {type(error).__name__}: {error}\n{traceback.format_exc()}")
        raise
    finally:
        keras.backend.clear_session()  # or the networks of all runs would stay in memory
    best = result.history.iloc[result.best_epoch - 1]
    if run.tested:
        _save_predictions(folder, predictions)
    metrics = {
        **counts,
        "data": data.name,
        "train_images": _training_images(run, data),
        **metrics,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "validation_accuracy": float(best["val_accuracy"]),
        "validation_loss": float(best["val_loss"]),
        "training_loss": float(best["loss"]),
        "training_seconds": result.seconds,
    }
    _write_json(folder / METRICS_FILE, metrics)
    # From a complete folder nothing is resumed, and the states are several times as large as the weights.
    for state in folder.glob("state-*.npz"):
        state.unlink()
    part = "test" if run.tested else "validation"
    accuracy = metrics[f"{part}_accuracy"]
    _log(folder, f"complete after {time.perf_counter() - started:.0f} s, {part} accuracy {accuracy:.4f}")
    return RESUMED if resumed else TRAINED


def _training_images(run, data):
    return len(training.split(data.y_train, run.recipe)[0])


def _test(run, model, data):
    """Results on the test images, and the predictions that they are computed from."""
    if run.test_images is not None and run.test_images < len(data.x_test):
        chosen = datasets.stratified_indices(data.y_test, run.test_images // len(data.class_names))
        data = dataclasses.replace(data, x_test=data.x_test[chosen], y_test=data.y_test[chosen])
    evaluation = training.evaluate(model, data, run.recipe)
    metrics = {
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "test_images": evaluation.images,
    }
    predictions = {"predicted": evaluation.predictions, "true": np.asarray(data.y_test)}
    if run.mirrored_test:
        averaged = mirrored_predictions(model, data, run.recipe)
        metrics["mirrored_test_accuracy"] = float(np.mean(averaged == predictions["true"]))
        predictions["predicted_mirrored"] = averaged
    return metrics, predictions


def mirrored_predictions(model, data, recipe):
    """Classes of the test images, from the mean of the probabilities of each image and of its mirror image.

    Args:
        model: Keras model.
        data: `kgpc.datasets.ImageDataset`.
        recipe: `kgpc.training.Recipe`.

    Returns:
        int64 array `(n,)`.
    """
    batches = training.Batches(data.x_test, data.y_test, recipe, training=False)
    classes = []
    for number in range(len(batches)):
        images = batches[number][0]
        probabilities = [model.predict_on_batch(views) for views in (images, images[:, :, ::-1])]
        classes.append(np.argmax(np.add(*probabilities), axis=1))
    return np.concatenate(classes).astype(np.int64)


def _save_predictions(folder, predictions):
    unfinished = folder / f".unfinished-{PREDICTIONS_FILE}"
    np.savez_compressed(unfinished, **{name: values.astype(np.int16) for name, values in predictions.items()})
    os.replace(unfinished, folder / PREDICTIONS_FILE)
