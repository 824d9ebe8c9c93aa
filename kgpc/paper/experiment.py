"""The trainings of the experiment "Does it hold?": which come next, where the rate search has got to, and their rows.

`kgpc.paper.protocol` says what the experiment is. Its results are stored with kgpc, `data/reruns/does-it-hold*`;
what is stored counts as done on every computer.
"""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from kgpc import training
from kgpc.files import make_folder, replacing
from kgpc.paper import execution, protocol
from kgpc.paper.rerun_results import reruns, results
from kgpc.paper.run_folder import say
from kgpc.paper.run_table import COLUMNS, typed
from kgpc.paper.selection import Run
from kgpc.resources import data_path

STORED = "does-it-hold"
EPOCH_COLUMNS = "name epoch learning_rate loss accuracy val_loss val_accuracy seconds".split()


def stored():
    """The rows of all runs of the experiment that come with kgpc.

    Returns:
        `pandas.DataFrame` as `kgpc.paper.results` returns it; without rows before the first run.
    """
    try:
        return reruns(STORED)
    except FileNotFoundError:
        return results(None)


def joined(*tables):
    """Several tables of runs as one.

    Args:
        tables: `pandas.DataFrame` as `kgpc.paper.results` returns it; they may have no rows, or columns without values.

    Returns:
        `pandas.DataFrame` of the same kind.
    """
    # Row by row: what type pandas gives to joined columns without values depends on its version.
    rows = [row for table in tables for row in table.to_dict("records")]
    return typed(pd.DataFrame(rows, columns=COLUMNS))


def epochs():
    """Losses and accuracies of every epoch of the stored runs.

    Returns:
        `pandas.DataFrame`: `name` of the run, then the columns of `kgpc.training.TrainingResult.history`.
    """
    try:
        return pd.read_csv(data_path(f"reruns/{STORED}-epochs.csv"), encoding="utf-8")
    except FileNotFoundError:
        return pd.DataFrame(columns=EPOCH_COLUMNS)


def predictions():
    """What the stored runs took the test images for.

    Returns:
        dict from the name of a run to a uint8 array `(images,)`, predicted classes in the order of the test images; the
        true ones under "true/" and the name of the data set.
    """
    try:
        with np.load(data_path(f"reruns/{STORED}-predictions.npz"), allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        return {}


def store(output, folder):
    """Adds the complete runs of the experiment in a folder to the files that come with kgpc.

    Args:
        output: path of the folder that `rerun` was given.
        folder: path of the folder `reruns` of the data, in which the files are replaced, each as a whole.

    Returns:
        List of str, names of the runs that were added.

    Raises:
        ValueError: if a run of the folder is not one of the protocol, was trained on other JPEG copies than those that
            are stored, or has predictions of other test images; nothing is written then.
    """
    table, before = results(output), stored()
    new = table[table["profile"].isin((protocol.PROFILE, protocol.GPU_PROFILE)) & ~table["name"].isin(before["name"])]
    together = joined(before, new)
    _check_protocol(together)
    _check_planned(new, together)
    if len(before):
        for name in new.loc[new["dataset"] == protocol.COPIES, "name"]:
            text = (Path(output) / name / execution.DATA_FILE).read_text(encoding="utf-8")
            _check_pixels(json.loads(text), f"The run {name!r} must have been trained on")
    new_epochs, new_predictions = [], predictions()
    for _, row in new.iterrows():
        history = pd.read_csv(Path(output) / row["name"] / "history.csv", encoding="utf-8")
        new_epochs.append(history.assign(name=row["name"])[EPOCH_COLUMNS])
        if row["seed"] != protocol.SEARCH_SEED:
            with np.load(Path(output) / row["name"] / execution.PREDICTIONS_FILE, allow_pickle=False) as file:
                predicted, true = (file[part].astype(np.uint8) for part in ("predicted", "true"))
            _check_predictions(row, predicted, true, new_predictions.get(f"true/{row['dataset']}", true))
            new_predictions |= {row["name"]: predicted, f"true/{row['dataset']}": true}
    folder = Path(folder)
    with replacing(folder / f"{STORED}-epochs.csv") as path:
        # Whole numbers among decimals are decimals, whether they were just computed or read.
        # Of a run that is stored now, there may be some of a call that was stopped between two files.
        before = epochs()
        before = before[~before["name"].isin(new["name"])]
        rows = [row for table in (before, *new_epochs) for row in table.to_dict("records")]
        all_epochs = pd.DataFrame(rows, columns=EPOCH_COLUMNS).astype(dict.fromkeys(EPOCH_COLUMNS[2:], float))
        text = all_epochs.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        path.write_text(text, encoding="utf-8")
    with replacing(folder / f"{STORED}-predictions.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **new_predictions)
    # Last, because a run that is in it counts as stored.
    with replacing(folder / f"{STORED}.csv") as path:
        path.write_text(together.to_csv(index=False, lineterminator="\n"), encoding="utf-8")
    return new["name"].tolist()


def _check_planned(new, table):
    """Raises ValueError where a run is none that a stage of the protocol has, with the rate that its search chose."""
    for _, row in new.iterrows():
        network, rate = protocol.arm(row["family"], row["variant"]), float(row["peak_learning_rate"])
        stages = [
            stage
            for stage in (*protocol.STAGES, *protocol.GPU_STAGES)
            if stage.profile == row["profile"] and stage.family == row["family"] and row["variant"] in stage.keys
            if (stage.dataset, stage.epochs) == (row["dataset"], row["epochs"]) and row["seed"] in stage.seeds
        ]
        if not stages:
            raise ValueError(
                f"The run {row['name']!r} is in no stage of the protocol. Received: variant={row['variant']!r}, "
                f"dataset={row['dataset']!r}, epochs={row['epochs']}, seed={row['seed']}."
            )
        if stages[0].search:
            continue
        chosen = rate_of(table, network, row["profile"])
        if chosen is not None:  # or half of it, where the run had to be repeated
            chosen = _run(stages[0], network, int(row["seed"]), chosen, None).recipe.learning_rate.peak
        if chosen is None or not math.isclose(rate, chosen):
            raise ValueError(
                f"The run {row['name']!r} is of another protocol: `peak_learning_rate` must be {chosen}, which the "
                f"search chose. Received: peak_learning_rate={rate}."
            )


def _check_predictions(row, predicted, true, stored_true):
    """Raises ValueError where predictions are not those of the stored test images, or of this run."""
    if len(predicted) != len(true) or not np.array_equal(true, stored_true):
        raise ValueError(f"The run {row['name']!r} must have predictions of the test images that are stored.")
    if not math.isclose((predicted == true).mean(), float(row["test_accuracy"]), abs_tol=1e-6):
        raise ValueError(
            f"The run {row['name']!r} must have the accuracy of its predictions, {(predicted == true).mean():.4f}. "
            f"Received: test_accuracy={row['test_accuracy']}."
        )


def _check_pixels(description, what):
    """Raises ValueError where images are not the JPEG copies that the stored runs were trained on."""
    for part, pixels in protocol.COPIES_PIXELS.items():
        found = description[part]["pixels"]
        if found != pixels:
            raise ValueError(
                f"{what} the JPEG copies of the stored runs, whose {part} images have the SHA-256 {pixels}. Received: "
                f"{description[part]['images']:,} images with {found}. Runs on other images cannot be compared with "
                "those: to begin from nothing, remove `data/reruns/does-it-hold*` in a clone."
            )


def _check_protocol(table):
    """Raises ValueError where a row is not of a run of the protocol, or has another recipe than it says."""
    for _, row in table.iterrows():
        network = protocol.arm(row["family"], row["variant"])
        expected = {
            "image_size": network.image_size,
            "scheme": str(network.arguments["scheme"] or ""),
            "batch_size": protocol.RECIPE.batch_size,
            "batch_norm_momentum": protocol.RECIPE.batch_norm_momentum,
        }
        for name, value in expected.items():
            if row[name] != value:
                raise ValueError(
                    f"The run {row['name']!r} is of another protocol: `{name}` must be {value!r}. "
                    f"Received: {name}={row[name]!r}."
                )
        if row["dataset"] not in protocol.MARGIN_POINTS:
            raise ValueError(
                f"The run {row['name']!r} is of another protocol: `dataset` must be one of "
                f"{', '.join(map(repr, protocol.MARGIN_POINTS))}. Received: dataset={row['dataset']!r}."
            )


def losses_of_search(table, family, key, profile=protocol.PROFILE):
    """Validation loss of each rate that was tried for a network.

    Args:
        table: `pandas.DataFrame` as `results` returns it.
        family: str, of the network, see `protocol.arm`.
        key: str, likewise.
        profile: str, of the search, see `protocol.Stage`.

    Returns:
        dict from rate to loss; infinite where a run failed, also one of `protocol.FAILED_IN_SEARCH`.
    """
    rows = table[
        (table["profile"] == profile)
        & (table["family"] == family)
        & (table["variant"] == key)
        & (table["seed"] == protocol.SEARCH_SEED)
    ]
    losses = rows["validation_loss"].astype(float).fillna(math.inf)
    found = dict(zip(rows["peak_learning_rate"].astype(float), losses, strict=True))
    failed = protocol.FAILED_IN_SEARCH if profile == protocol.PROFILE else ()
    return found | {rate: math.inf for of, network, rate in failed if (of, network) == (family, key)}


def rate_of(table, network, profile=protocol.PROFILE):
    """The rate of a network, from the results of the search for the network whose rate it takes; None before its end.

    Args:
        table: `pandas.DataFrame` as `results` returns it.
        network: `protocol.Arm`.
        profile: str, of the run. On a GPU the rates of the processor's search count where that is complete, and else
            those of a search on the GPU.
    """
    for searched in dict.fromkeys((protocol.PROFILE, profile)):
        losses = losses_of_search(table, network.family, network.rate_of, searched)
        if not protocol.rates_to_search(losses):
            return protocol.chosen_rate(losses)
    return None


def runs_of_stage(stage, table, images=None):
    """The trainings of a stage that can be named so far: a search goes on with what its results ask for.

    Args:
        stage: `protocol.Stage`.
        table: `pandas.DataFrame` as `results` returns it, of all runs that are complete.
        images: path of the folder with the images, see `Run`.

    Returns:
        List of `Run`, all of one seed before those of the next one, complete ones among them.

    Raises:
        ValueError: if a rate is not known yet: the search comes first.
    """
    selected = []
    for seed in stage.seeds:
        for key in stage.keys:
            network = protocol.arm(stage.family, key)
            if stage.search:
                losses = losses_of_search(table, stage.family, key, stage.profile)
                tried = (rate for rate, loss in losses.items() if not math.isinf(loss))
                rates = sorted({*protocol.rates_to_search(losses), *tried})
            else:
                rates = [rate_of(table, network, stage.profile)]
                if rates == [None]:
                    raise ValueError(
                        f"The stage {stage.name!r} needs the rate of {network.family} {network.rate_of}, and its "
                        "search is not complete."
                    )
            selected += [_run(stage, network, seed, rate, images) for rate in rates]
    return selected


def _run(stage, network, seed, rate, images):
    run = Run(
        profile=stage.profile,
        family=network.family,
        model=f"{network.family} {network.key}",
        variant=network.key,
        label="",
        dataset=stage.dataset,
        constructor=network.constructor,
        arguments=network.arguments,
        recipe=protocol.recipe_of(network, stage.dataset, stage.epochs, seed, rate),
        tested=not stage.search,
        images=images if stage.dataset == protocol.COPIES else None,
    )
    if run.name in protocol.REPEATED_AT_HALF_RATE:
        return _run(stage, network, seed, rate / 2, images)
    return run


def stored_and_wanted(table, stage):
    """How far a stage is.

    Args:
        table: `pandas.DataFrame` as `results` returns it.
        stage: `protocol.Stage`.

    Returns:
        Tuple of int: numbers of its runs in the table, and of those that it consists of, as far as is known.
    """
    members = table[
        (table["profile"] == stage.profile)
        & (table["family"] == stage.family)
        & table["variant"].isin(stage.keys)
        & (table["dataset"] == stage.dataset)
        & (table["epochs"] == stage.epochs)
        & table["seed"].isin(stage.seeds)
    ]
    if not stage.search:
        return len(members), len(stage.keys) * len(stage.seeds)
    searches = [losses_of_search(table, stage.family, key, stage.profile) for key in stage.keys]
    # The best rate and its two neighbours are the least that a search consists of.
    return len(members), sum(max(3, _count(losses)) for losses in searches)


def _count(losses):
    """How many runs a search has and still needs."""
    return len(protocol.rates_to_search(losses)) + sum(not math.isinf(loss) for loss in losses.values())


def listing(stages=None):
    """What the experiment consists of, and what of it is stored.

    Args:
        stages: names of stages, or None for all.

    Returns:
        `pandas.DataFrame`, one row for each network of a stage: `stage`, `network`, `dataset`, `image_size`, `epochs`,
        `seeds` (text), `peak_learning_rate` (text; in a search those tried; empty while it is not known) and `stored`
        (number of runs whose results come with kgpc).

    Raises:
        ValueError: if there is no such stage.
    """
    table, rows = stored(), []
    for stage in (
        (*protocol.STAGES, *protocol.GPU_STAGES) if stages is None else [protocol.stage(name) for name in stages]
    ):
        for key in stage.keys:
            network = protocol.arm(stage.family, key)
            if stage.search:
                searched = losses_of_search(table, stage.family, key, stage.profile)
                rates = sorted({*protocol.SEARCH_RATES, *searched})
            else:
                rates = [rate for rate in (rate_of(table, network, stage.profile),) if rate is not None]
            done = table[
                (table["profile"] == stage.profile)
                & (table["family"] == stage.family)
                & (table["variant"] == key)
                & (table["dataset"] == stage.dataset)
                & (table["epochs"] == stage.epochs)
                & table["seed"].isin(stage.seeds)
            ]
            rows.append(
                {
                    "stage": stage.name,
                    "network": f"{network.family} {network.key}",
                    "dataset": stage.dataset,
                    "image_size": network.image_size,
                    "epochs": stage.epochs,
                    "seeds": " ".join(map(str, stage.seeds)),
                    "peak_learning_rate": " ".join(f"{rate:g}" for rate in rates),
                    "stored": len(done),
                }
            )
    return pd.DataFrame(rows)


def perform(output, stages=None, images=None, progress=True):
    """Trains what is not complete yet, stage after stage; several processes share the work.

    Args:
        output: path of the folder with the folders of the runs.
        stages: names of stages, or None for all but those of a GPU.
        images: path of the folder with the images, see `Run`.
        progress: bool, whether to print how far it is.

    Returns:
        List of `kgpc.paper.execution.Outcome`, one for each run that this process trained or that failed.

    Raises:
        ValueError: if there is no such stage, a stage needs a rate whose search is neither stored nor in `output`, or
            `images` has other images than those of the stored runs.
    """
    chosen = protocol.STAGES if stages is None else [protocol.stage(name) for name in stages]
    make_folder("output", output)
    outcomes, failed = [], set()
    for stage in chosen:
        while True:
            table = joined(stored(), results(output)).drop_duplicates("name")
            left = [run for run in runs_of_stage(stage, table, images) if run.name not in {*table["name"], *failed}]
            if not left:
                break
            if images is not None and stage.dataset == protocol.COPIES and len(stored()):
                _check_pixels(execution.description(left[0]), "`images` must be a folder with")
            # What nobody has yet; when all that is left is somebody's, its end is what the next runs wait for.
            for wait in (False, True):
                ended = _first_free(left, output, wait, f"{stage.name}: {len(left)} left, " if progress else None)
                if ended is not None:
                    break
            outcomes.append(ended)
            if ended.outcome == execution.FAILED:
                failed.add(ended.name)
                if stage.search or "NonFiniteLoss" not in ended.error:
                    return outcomes  # without it the next stages cannot be what the protocol says
    return outcomes


def _first_free(left, output, wait, title):
    for run in left:
        progress = training.Progress(title + run.name) if title is not None else False
        outcome = execution.attempt(run, output, progress=progress, wait=wait)
        if outcome.outcome != execution.BUSY:
            if outcome.outcome == execution.FAILED:
                say(str(outcome))
            return outcome
    return None
