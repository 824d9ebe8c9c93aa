"""The table of results: one row for each complete run of a folder, or of a file that comes with kgpc."""

import re
import warnings

import pandas as pd

from kgpc import files
from kgpc.paper import records
from kgpc.paper.run_folder import CONFIG_FILE, METRICS_FILE, VERSIONS_FILE
from kgpc.paper.storage import storage_of
from kgpc.resources import data_path

COLUMNS = """
    profile family model variant scheme label dataset data seed epochs batch_size peak_learning_rate batch_norm_momentum
    image_size train_images test_images parameters flops test_accuracy test_loss mirrored_test_accuracy
    validation_accuracy validation_loss best_epoch training_loss training_seconds processor versions name
""".split()
_INTEGERS = "seed epochs batch_size image_size train_images test_images parameters flops best_epoch".split()
_DECIMALS = """
    peak_learning_rate batch_norm_momentum test_accuracy test_loss mirrored_test_accuracy validation_accuracy
    validation_loss training_loss training_seconds
""".split()
_PACKAGES = ("kgpc", "python", "tensorflow", "jax", "torch", "keras")
_FRACTIONS = ("test_accuracy", "mirrored_test_accuracy", "validation_accuracy")
# What a comparison cannot do without: columns, and those of them that have a value in each row.
_REQUIRED = [column for column in COLUMNS if column not in ("validation_loss", "processor")]
_FILLED = ("profile", "family", "model", "variant", "seed", "epochs", "image_size", "parameters")


class ResultsWarning(UserWarning):
    """A folder was left out of the results; the message names the file, and says what is wrong and what to do."""


def results(output, names=None):
    """The results of the complete runs in a folder.

    A folder whose files are damaged, or of something else, is left out with a `ResultsWarning`.

    Args:
        output: path of the folder that `rerun` was given; or a URL that fsspec knows; None for a table without rows.
        names: names of runs, or None for all in the folder.

    Returns:
        `pandas.DataFrame`, one row for each complete run: what it was (`profile`, `family`, `model`, `variant`,
        `scheme`, `label`, `dataset`; `data`, the name of what was loaded; `seed`, `epochs`, `batch_size`,
        `peak_learning_rate`, `batch_norm_momentum`, `image_size`, `train_images`, `test_images`) and what came out
        (`parameters`, trainable; `flops` of one pass in the paper's convention; `test_accuracy`, a fraction;
        `test_loss`, in nats; `mirrored_test_accuracy` with the mean of image and mirror image, where a published row
        has that; `validation_accuracy` and `validation_loss` of the best epoch, `best_epoch`; `training_loss` of that
        epoch; `training_seconds`), the `processor`, `versions` of the software, and `name`, the run's. The data README
        says more about each.

    Raises:
        TypeError, ValueError: if `output` is neither a folder nor a URL, or `names` are no names.
        ModuleNotFoundError: if `output` is a URL without what reads it.
    """
    table, left_out = read_results(output, names)
    for reason in left_out:
        warnings.warn(reason, ResultsWarning, stacklevel=2)
    return table


def read_results(output, names=None, argument="output"):
    """As `results`, with the reasons for which folders were left out.

    Args:
        output: see `results`.
        names: see `results`.
        argument: str, what a message calls `output`.

    Returns:
        Tuple of a `pandas.DataFrame` and a list of str.
    """
    if names is not None:
        listed = [None] if isinstance(names, str) else _listed(names)
        if not all(isinstance(name, str) for name in listed):
            raise TypeError(f"`names` must be None or several names of runs. Received: names={names!r}.")
        names = listed
    rows, left_out = [], []
    storage = None if output is None else storage_of(output, argument)
    for folder in storage.folders() if storage else ():
        if names is not None and folder not in names:
            continue
        try:
            row = _row_of(storage, folder)
        except (files.FileError, OSError) as error:
            left_out.append(
                f"Left out of the results: {storage.title(folder)}. {error} To train that run again, remove the "
                "folder; if it is not one of kgpc's, leave it."
            )
            continue
        if row is not None:
            rows.append(row)
    table = typed(pd.DataFrame(rows, columns=COLUMNS))
    # The ordinary network of a family first, then the grouped ones, the largest first, then the control.
    rank = table["variant"].map({"baseline": 0, "grouped": 1, "narrow": 2}).fillna(0)
    table = table.assign(rank=rank, smallness=-table["parameters"])
    keys = ["profile", "family", "rank", "smallness", "model", "seed"]
    return table.sort_values(keys, ignore_index=True)[COLUMNS], left_out


def _listed(names):
    try:
        return list(names)
    except TypeError:
        return [None]


def _row_of(storage, folder):
    """The row of a run; None if it is not complete."""
    texts, titles = {}, {}
    for file in (METRICS_FILE, CONFIG_FILE, VERSIONS_FILE):
        titles[file], texts[file] = storage.title(f"{folder}/{file}"), storage.read(f"{folder}/{file}")
        if texts[file] is None:
            if file == METRICS_FILE:
                return None
            raise files.FileError(f"The file {titles[file]} is missing, so something else wrote there.")
    metrics, config, versions = (files.parse_json(text, titles[file]) for file, text in texts.items())
    config, metrics = records.checked_run(config, metrics, folder, (titles[CONFIG_FILE], titles[METRICS_FILE]))
    versions = records.checked(versions, records.VERSIONS, titles[VERSIONS_FILE])
    recipe = config["recipe"]
    schedule = recipe["learning_rate"]
    return {
        **config,
        "scheme": config["arguments"]["scheme"] or "",
        **{key: recipe[key] for key in ("seed", "batch_size", "batch_norm_momentum", "image_size")},
        "peak_learning_rate": schedule["base"] if schedule["peak"] is None else schedule["peak"],
        **metrics,
        "processor": versions["processor"] or "",
        "versions": ", ".join(f"{package} {versions[package]}" for package in _PACKAGES if versions[package]),
    }


def reruns(name):
    """Results of a rerun that are stored with kgpc.

    Args:
        name: str, such as "does-it-hold"; the data README lists them and says how each was made.

    Returns:
        `pandas.DataFrame` as `results` returns it.

    Raises:
        TypeError, ValueError: if `name` is no name.
        FileNotFoundError: if there are no such results.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str. Received: name={name!r} of type {type(name).__name__}.")
    if not re.fullmatch(r"[\w\-]+", name):
        raise ValueError(f'`name` must be a name such as "does-it-hold". Received: name={name!r}.')
    return typed(pd.read_csv(data_path(f"reruns/{name}.csv"), dtype=str, keep_default_na=False, encoding="utf-8"))


def typed(table):
    """A table with the types of the columns; what is empty is NA, and what is no number a ValueError."""
    types = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_DECIMALS, "Float64")
    table = table.reindex(columns=COLUMNS)  # tables of earlier versions have fewer
    for column, dtype in types.items():
        try:
            table[column] = pd.to_numeric(table[column].replace("", None)).astype(dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The column {column!r} of the results must have numbers: {error}.") from error
    return table


def checked_table(table, argument):
    """A table of results that a caller hands over, checked.

    Args:
        table: `pandas.DataFrame`, as `results` returns it, or read from a CSV file.
        argument: str, what a message calls it.

    Returns:
        The table.

    Raises:
        TypeError: if it is none.
        ValueError: if it is empty, lacks a column, or has a value that cannot be.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"`{argument}` must be a pandas.DataFrame with results of runs. Received: {argument} of type "
            f"{type(table).__name__}."
        )
    missing = [column for column in _REQUIRED if column not in table]
    if missing:
        raise ValueError(
            f"`{argument}` must have the columns of `results`. Received: {argument} without {', '.join(missing)}."
        )
    if table.empty:
        raise ValueError(f"`{argument}` must have the results of complete runs. Received: {argument} without rows.")
    tested = table["profile"].isin(("quick", "paper"))
    for column in (*_FILLED, "test_accuracy"):
        if table[column][tested if column == "test_accuracy" else slice(None)].isna().any():
            raise ValueError(f"`{argument}` must have a `{column}` in each row. Received: a row without one.")
    for column in _FRACTIONS:
        values = pd.to_numeric(table[column], errors="coerce").astype("Float64")
        wrong = ~(table[column].isna() | values.between(0, 1).fillna(False))
        if wrong.any():
            value = table[column][wrong].iloc[0]
            raise ValueError(
                f"`{argument}` must have fractions in [0, 1] as `{column}`. "
                f"Received: {column}={records.short(value)} in the row of {table['name'][wrong].iloc[0]}."
            )
    twice = table[tested].duplicated(["profile", "family", "model", "variant", "scheme", "label", "dataset", "seed"])
    if twice.any():
        run = table[tested][twice].iloc[0]
        raise ValueError(
            f"`{argument}` must have one run of a model with a seed. Received: {argument} with two of "
            f"{run['model']} with seed {run['seed']}."
        )
    return table
