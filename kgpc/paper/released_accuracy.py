"""Test accuracies of the authors' released weights, measured again and stored beside the published ones."""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from kgpc import applications, arguments, comparison, files, released, training
from kgpc.paper import protocol
from kgpc.paper.models import arguments_of
from kgpc.paper.provenance import describe_data, versions
from kgpc.paper.selection import load_dataset
from kgpc.paper.tables import published
from kgpc.resources import data_path

STORED = "released-weights"
CHUNK = 500  # images between two times that the predictions so far are written

COLUMNS = """
    label model scheme activations dataset data test_images correct accuracy_pct low_pct high_pct published_pct
    image_size git_blob_sha1 pixels_sha256 seconds processor versions
""".split()

# How kMobileNet is loaded: as it was trained, or with what the authors' later code has by default.
ACTIVATIONS = {
    "published": {},
    "swish": {"stem_activation": "swish", "depthwise_activation": "swish"},
}
_CLASSES = {
    "CIFAR-10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
}


def stored():
    """The measurements that come with kgpc.

    Returns:
        `pandas.DataFrame` with the columns `COLUMNS`; without rows where none are stored.
    """
    try:
        return _read(data_path(f"reruns/{STORED}.csv"))
    except FileNotFoundError:
        return pd.DataFrame(columns=COLUMNS)


def _read(path):
    # "None" is a scheme here, and no missing value.
    options = {"keep_default_na": False, "na_values": [""]}
    table = pd.read_csv(path, dtype={"versions": str, "processor": str}, encoding="utf-8", **options)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise ValueError(f"{path} must have the columns of measured weights. Received: no {', '.join(missing)}.")
    return table[COLUMNS]


def beside(rows, measurements=None):
    """What was measured from the released weights, beside published rows.

    Args:
        rows: `pandas.DataFrame` with the columns `label`, `model`, `scheme` (such as "D6(16)") and `dataset`, as
            `compare_counts` returns it.
        measurements: `pandas.DataFrame` with the columns of `stored()`; None takes what is stored.

    Returns:
        List of str, one for each row: accuracy with its 95% interval and the images it was measured on, or "".
    """
    measurements = stored() if measurements is None else measurements
    measurements = measurements[measurements["activations"] == "published"]
    texts = {}
    for row in measurements.itertuples():
        key = row.label, row.model, "" if row.scheme == "None" else row.scheme, row.dataset
        text = f"{row.accuracy_pct:.2f} ({row.low_pct:.1f} to {row.high_pct:.1f}), {row.data}"
        texts[key] = f"{texts[key]}; {text}" if key in texts else text
    keys = zip(rows["label"], rows["model"], rows["scheme"], rows["dataset"], strict=True)
    return [texts.get(key, "") for key in keys]


def measure(
    output, dataset="CIFAR-10", images=None, weights=None, labels=None, activations="published", progress=print
):
    """Measures the test accuracy of released weights; the same call again goes on where it was stopped.

    Args:
        output: path of a folder for the predictions so far, one folder for each network in it.
        dataset: str, what the weights were trained on, one of the values of `kgpc.released.DATASETS`.
        images: path or None. A folder with `train/CLASS/` and `test/CLASS/` that has the JPEG copies of CIFAR-10; None
            takes the data set itself, which is fetched where it is not here.
        weights: path of a folder with released files, which are recognized by their content; None fetches them.
        labels: sequence of str, labels of runs, such as "JP35B14"; None takes all of the data set.
        activations: "published", or "swish" for kMobileNet with swish after stem and depthwise convolutions.
        progress: function that takes a line of text.

    Returns:
        `pandas.DataFrame` with the columns `COLUMNS`, one row for each network whose weights are there.

    Raises:
        TypeError, ValueError: if an argument is something else, no weights fit it, or a folder of `output` has the
            predictions of other weights or other images.
        OSError: if the data set has to be fetched and cannot be.
    """
    output = files.path_argument("output", output)
    dataset = arguments.text("dataset", dataset, empty=False)
    if dataset not in released.DATASETS.values():
        choices = ", ".join(map(repr, released.DATASETS.values()))
        raise ValueError(f"`dataset` must be one of {choices}. Received: dataset={dataset!r}.")
    if images is not None and dataset not in _CLASSES:
        raise ValueError(f'`images` must be None for other data sets than "CIFAR-10". Received: images={images!r}.')
    if not isinstance(activations, str) or activations not in ACTIVATIONS:
        raise ValueError(f"`activations` must be one of {list(ACTIVATIONS)}. Received: activations={activations!r}.")
    runs = _runs(dataset, labels, activations)
    found = _files(runs, weights, progress)
    name = protocol.COPIES if images is not None else dataset
    data, rows, loaded_size = None, [], None
    for run, path in found:
        recipe = _recipe(run)
        # Every data set but the small ones is loaded in the size of the network.
        size = 32 if dataset.startswith("CIFAR") else recipe.image_size
        if size != loaded_size:
            data, loaded_size = load_dataset(name, size, images), size
            _check_classes(data, dataset, run)
        rows.append(_row(run, path, data, recipe, Path(output), activations, dataset, progress))
    return pd.DataFrame(rows, columns=COLUMNS)


def save(table, path):
    """Adds measurements to a file; one of the same network, data and activations is replaced.

    Args:
        table: `pandas.DataFrame`, a result of `measure`.
        path: path of a CSV file, which need not exist.
    """
    path, key = Path(path), ["label", "model", "scheme", "activations", "data", "test_images"]
    rows = _read(path).to_dict("records") if path.is_file() else []
    rows += table.to_dict("records")
    together = {tuple(str(row[column]) for column in key): row for row in rows}
    text = pd.DataFrame(list(together.values()), columns=COLUMNS).to_csv(index=False, lineterminator="\n")
    files.write(path, text)


def _runs(dataset, labels, activations):
    runs = [run for run in released.runs() if run.dataset == dataset]
    if activations == "swish":
        runs = [run for run in runs if run.family == "kMobileNet"]
    if labels is not None:
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise TypeError(f"`labels` must be None or several labels of runs. Received: labels={labels!r}.")
        unknown = sorted(set(labels) - {run.label for run in runs})
        if unknown:
            known = ", ".join(sorted({run.label for run in runs}))
            raise ValueError(f"`labels` must be among {known}. Received: {', '.join(unknown)}.")
        runs = [run for run in runs if run.label in labels]
    return runs


def _files(runs, weights, progress):
    """The runs whose weights are there, with the paths of the files."""
    if weights is None:
        found = []
        for run in runs:
            try:
                found.append((run, released.fetch(run)))
            except OSError as error:
                progress(f"not measured: {run.label} {run.family} {run.scheme}: {str(error).splitlines()[0][:150]}")
        return found
    folder = files.path_argument("weights", weights)
    if not Path(folder).is_dir():
        raise ValueError(f"`weights` must be a folder with released weight files. Received: weights={str(folder)!r}.")
    paths = {released.git_blob_id(path): path for path in sorted(Path(folder).glob("*.hdf5"))}
    found = [(run, paths[run.blob_id]) for run in runs if run.blob_id in paths]
    if not found:
        raise ValueError(
            "`weights` must be a folder that has one of the released weight files, known by their content, of the runs "
            f"asked for. Received: weights={str(folder)!r}, with {len(paths)} .hdf5 files."
        )
    return found


def _recipe(run):
    return training.recipe(run.dataset, run.label)


def _published_row(run):
    """The published row of a run: of the tables, or of the notebooks alone."""
    for table in ("results", "unlisted_runs"):
        rows = published(table)
        rows = rows[(rows["label"] == run.label) & (rows["model"] == run.family) & (rows["dataset"] == run.dataset)]
        for _, row in rows.iterrows():
            _, its = arguments_of(row)
            if str(its.get("scheme")) == run.scheme and row.get("forward_passes", 1) == 1:
                return row
    raise ValueError(f"No published row is known for the weights of {run}.")


def _check_classes(data, dataset, run):
    expected = _CLASSES.get(dataset)
    if expected is not None and [str(name) for name in data.class_names] != expected:
        raise ValueError(
            f"`images` must be a folder with the classes {', '.join(expected)}. "
            f"Received: {', '.join(map(str, data.class_names))}."
        )
    if len(data.class_names) != run.classes:
        raise ValueError(f"The data must have {run.classes} classes for {run}. Received: {len(data.class_names)}.")


def _row(run, path, data, recipe, output, activations, dataset, progress):
    row = _published_row(run)
    constructor, its = arguments_of(row)
    title = f"{run.label} {run.family} {run.scheme}"
    folder = output / "-".join([run.label, run.family, run.scheme, activations]).replace(" ", "-")
    description = describe_data(data)["test"]
    about = {"git_blob_sha1": run.blob_id, "activations": activations, "data": data.name, "test": description}
    files.make_folder("output", folder)
    if (folder / "about.json").is_file():
        if files.read_json(folder / "about.json") != about:
            raise ValueError(f"`output` has predictions of other weights or images in {folder}: choose another folder.")
    else:
        files.write_json(folder / "about.json", about)
    predictions, seconds = _so_far(folder / "predictions.npz", len(data.y_test))
    if (predictions < 0).any():
        model = getattr(applications, constructor)(**its, **ACTIVATIONS[activations], weights=path)
    while (predictions < 0).any():
        start, begun = int(np.argmax(predictions < 0)), time.perf_counter()
        for first in range(start, min(start + CHUNK, len(predictions)), 50):
            images = training.prepare(np.asarray(data.x_test[first : first + 50]), recipe)
            predictions[first : first + 50] = np.asarray(model.predict_on_batch(images)).argmax(axis=1)
        seconds += time.perf_counter() - begun
        with files.replacing(folder / "predictions.npz") as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, predictions=predictions, seconds=seconds)
        progress(f"{title}: {int((predictions >= 0).sum()):,} of {len(predictions):,} images, {seconds:.0f} s")
    correct = predictions == np.asarray(data.y_test)
    interval = [100 * value for value in comparison.accuracy(correct)]
    software = versions()
    packages = ("kgpc", "python", "tensorflow", "jax", "torch", "keras")
    return {
        "label": run.label,
        "model": run.family,
        "scheme": run.scheme,
        "activations": activations,
        "dataset": dataset,
        "data": data.name,
        "test_images": len(correct),
        "correct": int(correct.sum()),
        **dict(zip(("accuracy_pct", "low_pct", "high_pct"), (round(value, 4) for value in interval), strict=True)),
        "published_pct": _published_accuracy(row),
        "image_size": recipe.image_size,
        "git_blob_sha1": run.blob_id,
        "pixels_sha256": description["pixels"],
        "seconds": round(seconds),
        "processor": software["processor"],
        "versions": ", ".join(f"{package} {software[package]}" for package in packages if software.get(package)),
    }


def _published_accuracy(row):
    if "test_accuracy_percent" in row.index:
        return float(row["test_accuracy_percent"])
    return round(100 * float(row["raw_test_accuracy"]), 4)


def _so_far(path, count):
    """Predictions that an earlier call has written, -1 where there are none yet, and the seconds they took."""
    if not path.is_file():
        return np.full(count, -1, np.int16), 0.0
    try:
        with np.load(path, allow_pickle=False) as file:
            predictions, seconds = file["predictions"].astype(np.int16), float(file["seconds"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"`output` has a damaged file, {path}: {error}. Remove it to begin again.") from error
    if predictions.shape != (count,):
        raise ValueError(f"`output` has predictions of {predictions.shape} images in {path}, not of {count}.")
    return predictions, seconds
