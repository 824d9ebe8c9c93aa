"""The trainings of the experiment "Does it hold?": which come next, where the rate search has got to, and their rows.

`kgpc.paper.protocol` says what the experiment is. Its results are stored with kgpc, `data/reruns/does-it-hold*`;
what is stored counts as done on every computer.
"""

import pandas as pd

from kgpc import training
from kgpc.paper import execution, protocol
from kgpc.paper.rerun_results import reruns, results
from kgpc.paper.selection import Run

STORED = "does-it-hold"


def stored():
    """The rows of all runs of the experiment that come with kgpc.

    Returns:
        `pandas.DataFrame` as `kgpc.paper.results` returns it; without rows before the first run.
    """
    try:
        return reruns(STORED)
    except FileNotFoundError:
        return results(None)


def losses_of_search(table, family, key):
    """Validation loss of each rate that was tried for a network.

    Args:
        table: `pandas.DataFrame` as `results` returns it.
        family: str, of the network, see `protocol.arm`.
        key: str, likewise.

    Returns:
        dict from rate to loss.
    """
    rows = table[
        (table["profile"] == protocol.PROFILE)
        & (table["family"] == family)
        & (table["variant"] == key)
        & (table["seed"] == protocol.SEARCH_SEED)
    ]
    return dict(zip(rows["peak_learning_rate"].astype(float), rows["validation_loss"].astype(float), strict=True))


def rate_of(table, network):
    """The rate of a network, from the results of the search for the network whose rate it takes; None before its end.

    Args:
        table: `pandas.DataFrame` as `results` returns it.
        network: `protocol.Arm`.
    """
    losses = losses_of_search(table, network.family, network.rate_of)
    return None if protocol.rates_to_search(losses) else protocol.chosen_rate(losses)


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
                losses = losses_of_search(table, stage.family, key)
                rates = sorted({*protocol.rates_to_search(losses), *losses})
            else:
                rates = [rate_of(table, network)]
                if rates == [None]:
                    raise ValueError(
                        f"The stage {stage.name!r} needs the rate of {network.family} {network.rate_of}, and its "
                        "search is not complete."
                    )
            selected += [_run(stage, network, seed, rate, images) for rate in rates]
    return selected


def _run(stage, network, seed, rate, images):
    run = Run(
        profile=protocol.PROFILE,
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
    for stage in protocol.STAGES if stages is None else [protocol.stage(name) for name in stages]:
        for key in stage.keys:
            network = protocol.arm(stage.family, key)
            if stage.search:
                rates = sorted({*protocol.SEARCH_RATES, *losses_of_search(table, stage.family, key)})
            else:
                rates = [rate for rate in (rate_of(table, network),) if rate is not None]
            done = table[
                (table["family"] == stage.family)
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
        stages: names of stages, or None for all.
        images: path of the folder with the images, see `Run`.
        progress: bool, whether to print how far it is.

    Returns:
        List of `kgpc.paper.execution.Outcome`, one for each run that this process trained or that failed.

    Raises:
        ValueError: if there is no such stage, or a stage needs a rate whose search is neither stored nor in `output`.
    """
    chosen = protocol.STAGES if stages is None else [protocol.stage(name) for name in stages]
    output.mkdir(parents=True, exist_ok=True)
    outcomes, failed = [], set()
    for stage in chosen:
        while True:
            table = pd.concat([stored(), results(output)]).drop_duplicates("name")
            left = [run for run in runs_of_stage(stage, table, images) if run.name not in {*table["name"], *failed}]
            if not left:
                break
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
                print(outcome, flush=True)
            return outcome
    return None
