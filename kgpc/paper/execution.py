"""One run of a rerun, from the folder it has so far (`kgpc.paper.run_folder`) to a complete one."""

import dataclasses
import functools
import math
import os
import platform
import time
import traceback
from pathlib import Path

import numpy as np

from kgpc import datasets, files, flops, sessions, training
from kgpc.paper import records, run_folder
from kgpc.paper.provenance import describe_data, versions
from kgpc.paper.run_folder import CONFIG_FILE, DATA_FILE, METRICS_FILE, PREDICTIONS_FILE, VERSIONS_FILE, check_config
from kgpc.paper.selection import load_dataset

__all__ = ["Outcome", "attempt", "check_config", "execute", "mirrored_predictions", "versions"]

# How a run can end.
COMPLETE, TRAINED, RESUMED, BUSY, FAILED = "complete", "trained", "resumed", "busy", "failed"


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
        ValueError: if the folder is that of another run: the same name, but another recipe or other data, say; or if
            one of its files is damaged.
        Exception: whatever stops the training; it is in the log too.
    """
    folder = Path(output) / run.name
    if _is_complete(run, folder):
        return COMPLETE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with run_folder.locked(folder, wait):
            if _is_complete(run, folder):
                return COMPLETE
            return _train_and_test(run, folder, progress)
    except run_folder.Busy:
        return BUSY


def _is_complete(run, folder):
    """Whether a folder has the results of a run; a ValueError if it has those of another one, or damaged ones."""
    if run_folder.read_metrics(run, folder) is None:
        return False
    # Fetching data is too much for what is complete.
    if run.dataset not in datasets.names() or (run.dataset, run.recipe.image_size, run.images) in _loaded:
        try:
            data = _dataset(run.dataset, run.recipe.image_size, run.images)
        except (OSError, ValueError):  # they are not here
            return True
        run_folder.check_data(data, folder)
    return True


_loaded = set()  # arguments of `_dataset` that this process has loaded


@functools.lru_cache(maxsize=2)
def _dataset(name, image_size, images):
    """The images, kept in memory for the next run on the same data."""
    data = load_dataset(name, image_size, images)
    _loaded.add((name, image_size, images))
    return data


def check_division(run):
    """Raises a ValueError if the images of a run cannot be divided as its recipe says; not if they cannot be had.

    Args:
        run: `Run`; its images are loaded.
    """
    try:
        data = _dataset(run.dataset, run.recipe.image_size, run.images)
    except (OSError, ValueError, ImportError):  # the run says so
        return
    training.split(data.y_train, run.recipe)


def description(run):
    """What the images of a run are, as `describe_data` says it.

    Args:
        run: `Run`; its images are loaded.

    Returns:
        dict of plain values.

    Raises:
        OSError, ValueError: if the images cannot be had.
    """
    return describe_data(_dataset(run.dataset, run.recipe.image_size, run.images))


def _train_and_test(run, folder, progress):
    files.remove_unfinished(folder)
    resumed = any(folder.glob("state-*.npz"))
    software = versions()
    earlier = run_folder.earlier_versions(folder, software) if resumed else {}
    run_folder.log(folder, f"{'resumed' if resumed else 'started'} by process {os.getpid()} on {platform.node()}")
    if earlier:
        run_folder.log(folder, f"begun with other versions: {_listed(earlier)}; now: {_listed(software)}")
    started = time.perf_counter()
    try:
        data = _dataset(run.dataset, run.recipe.image_size, run.images)
        run_folder.check_data(data, folder)
        files.write_json(folder / CONFIG_FILE, run.config())
        files.write_json(folder / DATA_FILE, describe_data(data))
        files.write_json(folder / VERSIONS_FILE, {**software, **({"begun_with": earlier} if earlier else {})})
        model = run.build(len(data.class_names))
        counts = {"parameters": flops.trainable_parameters(model), "flops": flops.paper_flops(model)}
        result = training.fit(model, data, run.recipe, folder=folder, progress=progress)
        metrics, predictions = _test(run, model, data) if run.tested else ({}, {})
    except BaseException as error:
        # Also where the user or the system interrupts it: the log says why the folder is incomplete.
        run_folder.log(folder, f"stopped: {type(error).__name__}: {error}\n{traceback.format_exc()}")
        raise
    finally:
        sessions.forget_models()  # or the networks of all runs would stay in memory
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
        # A network whose last step went wrong can have none; JSON has no word for that but null.
        "validation_loss": float(best["val_loss"]) if math.isfinite(best["val_loss"]) else None,
        "training_loss": float(best["loss"]),
        "training_seconds": result.seconds,
    }
    records.checked_metrics(metrics, run.tested, folder / METRICS_FILE)  # what is written can be read
    files.write_json(folder / METRICS_FILE, metrics)
    # From a complete folder nothing is resumed, and the states are several times as large as the weights.
    for state in folder.glob("state-*.npz"):
        state.unlink()
    part = "test" if run.tested else "validation"
    accuracy = metrics[f"{part}_accuracy"]
    run_folder.log(folder, f"complete after {time.perf_counter() - started:.0f} s, {part} accuracy {accuracy:.4f}")
    return RESUMED if resumed else TRAINED


def _listed(values):
    return ", ".join(f"{name} {value}" for name, value in values.items() if isinstance(value, str) and value)


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
    with files.replacing(folder / PREDICTIONS_FILE) as path, path.open("wb") as file:
        np.savez_compressed(file, **{name: values.astype(np.int16) for name, values in predictions.items()})
