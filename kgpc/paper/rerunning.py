"""Reruns of the published tables: trains the selected rows, one folder each, and goes on where it was stopped."""

import dataclasses
import errno
import math
import numbers
import os

import numpy as np
import pandas as pd

from kgpc import training
from kgpc.files import make_folder, path_argument
from kgpc.paper import cluster, execution, experiment, protocol
from kgpc.paper.run_folder import METRICS_FILE, say
from kgpc.paper.run_table import read_results, results
from kgpc.paper.selection import runs
from kgpc.paper.storage import checked_place

# Fields of a recipe that decide which images are trained on.
_DIVIDING = frozenset({"train_images", "validation_fraction", "validation_split"})


def rerun(
    output,
    profile="quick",
    rows=None,
    models=None,
    schemes=None,
    datasets=None,
    seeds=None,
    stages=None,
    images=None,
    ray=None,
    cpus=None,
    gpus=None,
    progress=True,
    **changes,
):
    """Trains and tests the selected runs. The same call again skips what is complete and resumes what is not.

    Several processes can work on the same folder: each run is trained by one of them.

    Args:
        output: path of a folder, which will hold one folder for each run (see `kgpc.paper.execution` for its files).
            With `ray` also a URL that fsspec knows, such as "s3://bucket/folder".
        profile: "quick": small images, minutes on a processor; "paper": data and recipes as published; or "experiment":
            the experiment "Does it hold?", as `kgpc.paper.protocol` says, in one process after the other or in several
            that share the folder; what comes with kgpc as a result is not trained again.
        rows: labels of published runs, or None for all; for this and the next arguments see `kgpc.paper.selection`.
        models: models or families, or None for all.
        schemes: schemes, or None for all.
        datasets: data sets, or None for all.
        seeds: ints, or None for the profile's.
        stages: of the experiment: names of stages, see `kgpc.paper.protocol.STAGES`; None for all.
        images: of the experiment: path of a folder with `train/<class>/` and `test/<class>/`, the JPEG copies of
            CIFAR-10.
        ray: None to train one run after the other in this process; "local" to start Ray on this computer; or the
            address of a Ray cluster.
        cpus: number, processors that Ray reserves for each run; None for 1. Only with `ray`.
        gpus: number, GPUs that it reserves; None for 0; a fraction lets several runs share one. Only with `ray`.
        progress: bool, whether to print how far it is.
        changes: fields of the recipe that are to differ from the profile's, such as `epochs=2`.

    Returns:
        `pandas.DataFrame`, one row for each selected run: `name`, `outcome` and `error`, then the columns of `results`
        where the run is complete. `outcome` is "trained"; "resumed", if it had been begun before; "complete", if there
        was nothing to do; "busy", if another process trains it; or "failed", with the `error` that stopped it. What
        failed does not stop the others.

    Raises:
        TypeError, ValueError: if the selection, a change or `output` is none, the images cannot be divided as a change
            says, or a folder has a run with another recipe.
        OSError: if the folder cannot be made, or nothing can be written to it or to the URL.
        ModuleNotFoundError: if `ray` is given and Ray is not installed, or what it takes for the URL is not.
    """
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(
            f"`progress` must be a bool. Received: progress={progress!r} of type {type(progress).__name__}."
        )
    check_options(profile, rows, models, schemes, datasets, seeds, stages, images, ray, cpus, gpus, **changes)
    if profile == protocol.PROFILE:
        folder = checked_place(output, on_cluster=False)
        if images is not None:
            images = path_argument("images", images)
        outcomes = experiment.perform(folder, stages, images, progress)
        table = pd.DataFrame(
            [dataclasses.asdict(outcome) for outcome in outcomes], columns=["name", "outcome", "error"]
        )
        return table.merge(results(folder), on="name", how="left")
    selected = runs(profile, rows, models, schemes, datasets, seeds, **changes)
    if ray is not None:
        cluster.import_ray()
    place = checked_place(output, on_cluster=ray is not None)
    if _DIVIDING & changes.keys():
        _check_division(selected, everything=ray is None)
    if ray is not None:
        reserved = {"cpus": 1 if cpus is None else cpus, "gpus": 0 if gpus is None else gpus}
        outcomes = cluster.execute_all(selected, place, address=ray, **reserved, progress=progress)
    else:
        outcomes = _execute_one_by_one(selected, place, progress)
    table = pd.DataFrame([dataclasses.asdict(outcome) for outcome in outcomes])
    # What could not be read is among the outcomes.
    return table.merge(read_results(place, [run.name for run in selected])[0], on="name", how="left")


def check_options(
    profile="quick",
    rows=None,
    models=None,
    schemes=None,
    datasets=None,
    seeds=None,
    stages=None,
    images=None,
    ray=None,
    cpus=None,
    gpus=None,
    **changes,
):
    """Raises where arguments of `rerun`, which says what they are, do not fit each other: one would have no effect.

    Raises:
        TypeError: if `ray` is no str, or `cpus` or `gpus` no number.
        ValueError: if one of them is out of range, or given where nothing looks at it.
    """
    if ray is not None and not isinstance(ray, str):
        raise TypeError(f"`ray` must be None or a str. Received: ray={ray!r} of type {type(ray).__name__}.")
    if ray is not None and not ray.strip():
        raise ValueError(f'`ray` must be "local" or the address of a cluster. Received: ray={ray!r}.')
    for name, value in (("cpus", cpus), ("gpus", gpus)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"`{name}` must be a number. Received: {name}={value!r} of type {type(value).__name__}.")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"`{name}` must be a number of at least 0. Received: {name}={value}.")
        if ray is None:
            raise ValueError(f"`{name}` must be None without `ray`, for which it counts. Received: {name}={value}.")
    if profile != protocol.PROFILE:
        if stages is not None or images is not None:
            raise ValueError(
                '`stages` and `images` are for the profile "experiment". '
                f"Received: profile={profile!r}, stages={stages!r}, images={images!r}."
            )
        return
    filters = {"rows": rows, "models": models, "schemes": schemes, "datasets": datasets, "seeds": seeds, "ray": ray}
    given = [name for name, value in {**filters, **changes}.items() if value is not None]
    if given:
        raise ValueError(
            f"The profile 'experiment' takes `stages` and `images` alone: the protocol says all else. "
            f"Received: {', '.join(given)}."
        )


def _check_division(selected, everything):
    """Raises a ValueError before any run if images cannot be divided as its recipe says.

    Only the quick profile's images are on this computer for sure; with `everything`, those of published runs too are
    loaded, as the runs would do.
    """
    known = set()
    for run in selected:
        recipe = run.recipe
        division = (run.dataset, recipe.train_images, recipe.validation_split, recipe.validation_fraction)
        if division not in known and (everything or run.profile == "quick"):
            known.add(division)
            execution.check_division(run)


def _check_writable(folder, selected):
    """Raises an OSError if runs are to be trained in a folder in which nothing can be made."""
    left = [run for run in selected if not (folder / run.name / METRICS_FILE).is_file()]
    if left and not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(
            errno.EACCES,
            f"`output` must be a folder that can be written to: {len(left)} of {len(selected)} runs are not complete. "
            f"Received: output={str(folder)!r}. Choose another folder.",
        )


def _execute_one_by_one(selected, output, progress):
    make_folder("output", output)
    for run in selected:
        execution.check_config(run, output)
    _check_writable(output, selected)
    outcomes = []
    for number, run in enumerate(selected, start=1):
        title = f"{number} of {len(selected)}, {run.name}"
        outcome = execution.attempt(run, output, progress=training.Progress(title) if progress else False)
        outcomes.append(outcome)
        if progress and outcome.outcome not in (execution.TRAINED, execution.RESUMED):
            say(f"{title}: {outcome}")
    return outcomes
