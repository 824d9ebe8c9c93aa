"""Reruns of the published tables: trains the selected rows, one folder each, and goes on where it was stopped."""

import dataclasses
from pathlib import Path

import pandas as pd

from kgpc import training
from kgpc.paper import cluster, execution, experiment, protocol
from kgpc.paper.rerun_results import results
from kgpc.paper.selection import runs


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
    cpus=1,
    gpus=0,
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
        cpus: number, processors that Ray reserves for each run.
        gpus: number, GPUs that it reserves; a fraction lets several runs share one.
        progress: bool, whether to print how far it is.
        changes: fields of the recipe that are to differ from the profile's, such as `epochs=2`.

    Returns:
        `pandas.DataFrame`, one row for each selected run: `name`, `outcome` and `error`, then the columns of `results`
        where the run is complete. `outcome` is "trained"; "resumed", if it had been begun before; "complete", if there
        was nothing to do; "busy", if another process trains it; or "failed", with the `error` that stopped it. What
        failed does not stop the others.

    Raises:
        TypeError, ValueError: if the selection or a change is none, or a folder has a run with another recipe.
        OSError: if the folder cannot be made.
        ModuleNotFoundError: if `ray` is given and Ray is not installed.
    """
    if profile == protocol.PROFILE:
        filters = {"rows": rows, "models": models, "schemes": schemes, "datasets": datasets, "seeds": seeds, "ray": ray}
        given = [name for name, value in {**filters, **changes}.items() if value is not None]
        if given:
            raise ValueError(
                f"The profile 'experiment' takes `stages` and `images` alone: the protocol says all else. "
                f"Received: {', '.join(given)}."
            )
        outcomes = experiment.perform(Path(output), stages, images, progress)
        table = pd.DataFrame(
            [dataclasses.asdict(outcome) for outcome in outcomes], columns=["name", "outcome", "error"]
        )
        return table.merge(results(output), on="name", how="left")
    if stages is not None or images is not None:
        raise ValueError(
            '`stages` and `images` are for the profile "experiment". '
            f"Received: profile={profile!r}, stages={stages!r}, images={images!r}."
        )
    selected = runs(profile, rows, models, schemes, datasets, seeds, **changes)
    if ray is not None:
        outcomes = cluster.execute_all(selected, output, address=ray, cpus=cpus, gpus=gpus, progress=progress)
    else:
        outcomes = _execute_one_by_one(selected, Path(output), progress)
    table = pd.DataFrame([dataclasses.asdict(outcome) for outcome in outcomes])
    return table.merge(results(output, [run.name for run in selected]), on="name", how="left")


def _execute_one_by_one(selected, output, progress):
    output.mkdir(parents=True, exist_ok=True)
    for run in selected:
        execution.check_config(run, output)
    outcomes = []
    for number, run in enumerate(selected, start=1):
        title = f"{number} of {len(selected)}, {run.name}"
        outcome = execution.attempt(run, output, progress=training.Progress(title) if progress else False)
        outcomes.append(outcome)
        if progress and outcome.outcome not in (execution.TRAINED, execution.RESUMED):
            print(f"{title}: {outcome}", flush=True)
    return outcomes
