"""What the experiment "Does it hold?" has of one family so far, as a page about the family shows it."""

import math

import pandas as pd

from kgpc import plots
from kgpc.arguments import positive_integer, received, shown
from kgpc.paper import experiment, protocol, run_table, verdicts


def progress(family, table=None):
    """How far the experiment is with a family, as a sentence.

    Args:
        family: str, such as "MobileNet".
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it; None takes that.

    Returns:
        str, such as "MobileNet: 12 of 36 runs with a test are complete, and 20 of the 20 that look for learning rates."

    Raises:
        ValueError: if the experiment does not have the family.
    """
    table = _table(family, table)
    counts = {True: [0, 0], False: [0, 0]}
    for stage in protocol.STAGES:
        if stage.family == family:
            for place, number in enumerate(experiment.stored_and_wanted(table, stage)):
                counts[stage.search][place] += number
    (found, searches), (done, runs) = counts[True], counts[False]
    return (
        f"{family}: {done} of {runs} runs with a test are complete, and {found} of the {searches} that look for "
        "learning rates."
    )


def tested_runs(family, table=None):
    """The runs of a family on a processor with a test: 24 epochs on the JPEG copies, none of a search.

    Args:
        family: see `progress`.
        table: likewise.

    Returns:
        `pandas.DataFrame`, rows of the table.
    """
    table = _table(family, table)
    return table[
        (table["profile"] == protocol.PROFILE)
        & (table["family"] == family)
        & (table["dataset"] == protocol.COPIES)
        & (table["epochs"] == 24)
        & (table["seed"] != protocol.SEARCH_SEED)
    ]


def points(family, table=None):
    """Every seed of every network of a family after 24 epochs on the JPEG copies.

    Args:
        family: see `progress`.
        table: likewise.

    Returns:
        dict from the title of a network to a `pandas.DataFrame` with `x` (trainable parameters), `y` (test accuracy in
        percent) and `seed`, as `kgpc.plots.scatter` takes it. Without entries while no run is complete.
    """
    rows = tested_runs(family, table)
    found = {}
    for arm in protocol.ARMS:
        same = rows[rows["variant"] == arm.key] if arm.family == family else rows[:0]
        if len(same):
            found[arm.title] = pd.DataFrame(
                {
                    "x": same["parameters"].astype(float).to_numpy(),
                    "y": 100 * same["test_accuracy"].astype(float).to_numpy(),
                    "seed": same["seed"].to_numpy(),
                }
            )
    return found


def longest_run(family, key, table=None, epochs=None):
    """A stored run of a network that learned: the one of most epochs on the copies, of those the least validation loss.

    For a page that shows how a training goes. It is one run, chosen by the validation images; it answers no question.

    Args:
        family: see `progress`.
        key: str, of the network, see `kgpc.paper.protocol.arm`.
        table: see `progress`.
        epochs: `pandas.DataFrame` as `kgpc.paper.experiment.epochs()` returns it; None takes that.

    Returns:
        tuple of a sentence that says what it is, and a `pandas.DataFrame` of its epochs, without rows where no run of
        the network is stored.

    Raises:
        ValueError: if the experiment does not have the network.
    """
    network = protocol.arm(family, key)
    table = _table(family, table)
    epochs = experiment.epochs() if epochs is None else epochs
    rows = table[
        (table["profile"] == protocol.PROFILE)
        & (table["family"] == family)
        & (table["variant"] == network.key)
        & (table["dataset"] == protocol.COPIES)
        & table["name"].isin(epochs["name"])
    ]
    if rows.empty:
        return f"No run of {family} {key} is stored yet.", epochs[:0].drop(columns="name")
    run = rows.astype({"validation_loss": float}).sort_values(["epochs", "validation_loss"], ascending=[False, True])
    run = run.iloc[0]
    history = epochs[epochs["name"] == run["name"]].drop(columns="name").reset_index(drop=True)
    if run["seed"] == protocol.SEARCH_SEED:
        tested = "It is a run of the search for learning rates, in which no test image is looked at."
    else:
        tested = f"It classifies {run['test_accuracy']:.1%} of {run['test_images']:,} test images right."
    return (
        f"{network.constructor} {key} on {run['dataset']}, {run['image_size']}x{run['image_size']} pixels, "
        f"{run['train_images']:,} training images, {run['epochs']} epochs, highest learning rate "
        f"{run['peak_learning_rate']:g}, seed {run['seed']}: {history['val_accuracy'].iloc[-1]:.1%} of the validation "
        f"images after the last epoch. {tested}"
    ), history


def differences(family, table=None):
    """The differences that the protocol asks for, with their simultaneous intervals.

    Args:
        family: see `progress`.
        table: likewise.

    Returns:
        `pandas.DataFrame` as `kgpc.plots.interval_chart` takes it: `value`, `low` and `high` in points, named by the
        networks. Without rows while there are no two seeds with all networks of the family's questions.
    """
    found = verdicts.confirmatory(_table(family, table))
    if not found.empty:
        found = found[(found["family"] == family) & found["low"].notna()]
    if found.empty:
        return pd.DataFrame(columns=["value", "low", "high"])
    names = [f"{_title(family, row.first)} − {_title(family, row.second)}" for row in found.itertuples()]
    return found.rename(columns={"difference": "value"})[["value", "low", "high"]].set_index(pd.Index(names))


def sentences(family, table=None):
    """What the experiment says of a family so far, a line for each of its questions.

    Args:
        family: see `progress`.
        table: likewise.

    Returns:
        List of str; the first is that of `progress`. What was not asked comes last, and is called so.
    """
    table = _table(family, table)
    lines, found = [progress(family, table)], verdicts.confirmatory(table)
    for row in [] if found.empty else found[found["family"] == family].itertuples():
        seeds = f"{row.seeds} seed" + ("s" if row.seeds > 1 else "")
        interval = (
            "no interval" if math.isnan(row.low) else f"{verdicts.in_points(row.low)} to {verdicts.in_points(row.high)}"
        )
        text = (
            f"{row.question}) {_title(family, row.first)} minus {_title(family, row.second)}: "
            f"{verdicts.in_points(row.difference)} points ({interval}, {seeds}). Sign: {row.sign}."
        )
        lines.append(text + (f" Margin of 1 point: {row.margin}." if row.margin else ""))
    lines += [
        text for text in (verdicts.interim_in_words(found, family), verdicts.rival_in_words(table, family)) if text
    ]
    if len(lines) == 1:
        lines.append("None of the questions about this family is answered yet.")
    return lines


def show_experiment(family, first_figure, table=None):
    """Prints the sentences about a family, and shows its figures: every run, and the protocol's differences.

    A figure for which there are no results yet is left out.

    Args:
        family: see `progress`; or None for all families of the experiment, one after the other.
        first_figure: int >= 1, the number of the first of the figures on its page.
        table: see `progress`.

    Raises:
        TypeError: if `first_figure` is no integer.
        ValueError: if the experiment does not have the family, or `first_figure` is smaller than 1.
    """
    families = tuple(protocol.CONTRASTS) if family is None else (family,)
    number, table = positive_integer("first_figure", first_figure), _table(families[0], table)
    for index, one in enumerate(families):
        print(("\n" if index else "") + "\n".join(sentences(one, table)))
        for figure, alt, caption in _figures(one, table):
            plots.show(figure, alt, caption=f"Figure {number}. {caption}")
            number += 1


def _figures(family, table):
    """The figures of a family, each with its text and its caption."""
    runs, answers = points(family, table), differences(family, table)
    if runs:
        figure = plots.scatter(runs, xlabel="trainable parameters (logarithmic)", ylabel="test accuracy, %", log_x=True)
        means = "; ".join(f"{name} {frame['y'].mean():.1f}% ({len(frame)})" for name, frame in runs.items())
        yield (
            figure,
            f"Test accuracy of every run of the {family} family against its trainable parameters. Means, and the "
            f"number of seeds: {means}.",
            f"Does it hold? {family}, {protocol.COPIES}, 24 epochs; a dot for each seed. The axis of accuracy does not "
            "begin at 0.",
        )
    if len(answers):
        figure = plots.interval_chart(
            answers, xlabel="difference of test accuracies, points", levels={"equal": 0}, formats="+.1f"
        )
        lines = "; ".join(
            f"{row.Index}: {verdicts.in_points(row.value)} ({verdicts.in_points(row.low)} to "
            f"{verdicts.in_points(row.high)})"
            for row in answers.itertuples()
        )
        yield (
            figure,
            f"Differences of the {family} family in points, with their intervals: {lines}.",
            f"{family}: the protocol's questions, with simultaneous 95% intervals over seeds.",
        )


def _title(family, key):
    return protocol.arm(family, key).title


def _table(family, table):
    if not isinstance(family, str) or family not in protocol.CONTRASTS:
        known = ", ".join(map(repr, protocol.CONTRASTS))
        raise ValueError(f"`family` must be one of {known}. Received: family={shown(family)}.")
    if table is None:
        return experiment.stored()
    if not isinstance(table, pd.DataFrame) or set(run_table.COLUMNS) - set(table):
        raise TypeError(
            f"`table` must be a table of runs as `experiment.stored()` returns it. {received('table', table)}"
        )
    return table
