"""The page "Does it hold?": what the stored runs of the experiment say, written from their table and nothing else."""

import math

from kgpc.paper import experiment, protocol, verdicts

_INTRODUCTION = """# Does it hold? CIFAR-10 as JPEG copies, 24 epochs

The paper's claim: a network whose pointwise convolutions are grouped, with a second grouped convolution on interleaved
channels, keeps nearly all of its accuracy with a tenth of its parameters. This page holds trainings of our own against
it. They are as large as two processor cores allow: small images, few epochs, few seeds, so they can contradict the
published *differences*, not the published numbers.

The questions, networks, recipe and rules were written down before the first run: [the protocol](protocol.md). The page
is written by `python data/store_experiment.py` from `data/reruns/does-it-hold.csv`, and a test holds it against that
file.
"""

_LIMITS = """## What was not tested

- CIFAR-10 itself, 224x224 pixels and 50 epochs, with which the published numbers were made. The JPEG copies damage the
  colour of the small pictures; numbers on them compare networks with each other and are set beside no published one.
- DenseNet-BC and Inception V3. They keep 45 to 73% of their parameters under the scheme and cannot test what becomes of
  a network with a tenth.
- More classes. With 1000 of them, 30% of the parameters of kMobileNet 16ch stay, most of them the classifier's.
- Other recipes. Each network has its own learning rate, found in the same way; everything else of the recipe is shared
  and was tuned for none.

## What would change a verdict

Seeds narrow the intervals; a sign or a margin that is *undecided* is a matter of more of them. Longer training can turn
a *fails* into a *holds*: the runs of 72 epochs are there to show the direction. A difference that comes from the recipe
would show as a different choice of rates in the search.

## Run it again

    python -m kgpc rerun --profile experiment --list
    python -m kgpc rerun --profile experiment --output runs --images FOLDER

FOLDER has `train/CLASS/` and `test/CLASS/` with the JPEG copies. Stop it whenever you like; the same command goes on.
What is stored with kgpc is not trained again: remove `data/reruns/does-it-hold*` in a clone to begin from nothing. Two
terminals with the same command share the work. On one thread an epoch takes one and a half to four minutes.
"""


def page(table, predictions=None):
    """The page, in Markdown.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it.
        predictions: as `kgpc.paper.verdicts.confirmatory` takes them.

    Returns:
        str.
    """
    parts = [_INTRODUCTION, _state(table), *_verdicts(table, predictions), *_seeds(table)]
    parts += [*_exploratory(table), *_equivalent(table), *_rates(table), _LIMITS, _deviations(), *_compute(table)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _table(header, alignment, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(alignment) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _interval(low, high):
    return "no interval" if math.isnan(low) else f"{low:+.1f} to {high:+.1f}"


def _title(family, key):
    return protocol.arm(family, key).title


def _state(table):
    """How far the experiment is."""
    done, rows = 0, []
    listing = experiment.listing()
    for stage in protocol.STAGES:
        wanted = len(stage.keys) * len(stage.seeds) * (len(protocol.SEARCH_RATES) if stage.search else 1)
        stored = int(listing[listing["stage"] == stage.name]["stored"].sum())
        rows.append((f"`{stage.name}`", stage.family, stage.dataset, stage.epochs, stored, wanted))
        done += stored >= wanted
    text = (
        "All stages of the protocol are complete."
        if done == len(protocol.STAGES)
        else f"{done} of the {len(protocol.STAGES)} stages are complete; they are done in this order, so what there is "
        "is a smaller experiment of the same kind. A search may take more runs than are listed as wanted."
    )
    if not len(verdicts.confirmatory(table)):
        text += " **No question is answered yet.**"
    header = ("stage", "family", "data", "epochs", "runs stored", "wanted")
    return f"## How far it is\n\n{text}\n\n" + _table(header, ("---", "---", "---", "---:", "---:", "---:"), rows)


def _verdicts(table, predictions):
    found = verdicts.confirmatory(table, predictions)
    if found.empty:
        return []
    lines, rows = ["## The questions and their answers\n"], []
    for row in found.to_dict("records"):
        first, second = (_title(row["family"], row[name]) for name in ("first", "second"))
        rows.append(
            (
                row["family"],
                row["question"],
                f"{first} - {second}",
                row["seeds"],
                f"{row['difference']:+.1f}",
                _interval(row["low"], row["high"]),
                _interval(row["paired_low"], row["paired_high"]),
                _interval(row["bootstrap_low"], row["bootstrap_high"]),
                row["sign"],
                row["margin"],
            )
        )
    header = (
        "family | | difference, in points of test accuracy | seeds | mean | simultaneous 95% | paired 95% | bootstrap "
        "95% | sign | margin of 1 point"
    ).split(" | ")
    lines.append(_table(header, ("---", "---", "---", "---:", "---:", "---", "---", "---", "---", "---"), rows))
    lines.append(
        "\nThe verdicts read the simultaneous interval, which covers what other seeds would change. The paired one is "
        "for one difference alone; the bootstrap draws test images anew as well, and is too narrow for few seeds. With "
        "one seed there is no interval and nothing is decided."
    )
    return lines


def _seeds(table):
    runs = table[(table["profile"] == protocol.PROFILE) & (table["seed"] != protocol.SEARCH_SEED)]
    if runs.empty:
        return []
    lines = ["## Every run\n"]
    for (family, dataset, epochs), members in runs.groupby(["family", "dataset", "epochs"], sort=False):
        rows = []
        for arm in protocol.ARMS:
            same = members[(members["variant"] == arm.key)].sort_values("seed")
            if arm.family != family or same.empty:
                continue
            accuracies = same["test_accuracy"].astype(float) * 100
            rows.append(
                (
                    arm.title,
                    f"{same['parameters'].iloc[0]:,}",
                    f"{same['peak_learning_rate'].iloc[0]:g}",
                    ", ".join(f"{value:.2f}" for value in accuracies),
                    ", ".join(str(seed) for seed in same["seed"]),
                    f"{accuracies.mean():.2f}",
                    f"{same['training_seconds'].astype(float).median() / epochs:.0f}",
                )
            )
        header = "network | parameters | highest rate | test accuracies, % | seeds | mean | seconds an epoch".split(
            " | "
        )
        lines.append(f"### {family}, {dataset}, {epochs} epochs\n")
        lines.append(_table(header, ("---", "---:", "---:", "---", "---", "---:", "---:"), rows) + "\n")
    return lines


def _exploratory(table):
    found = verdicts.exploratory(table)
    if found.empty:
        return []
    rows = [
        (
            row["family"],
            row["dataset"],
            row["epochs"],
            f"{_title(row['family'], row['first'])} - {_title(row['family'], row['second'])}",
            row["seeds"],
            f"{row['difference']:+.1f}",
            _interval(row["low"], row["high"]),
        )
        for row in found.to_dict("records")
    ]
    header = "family | data | epochs | difference, in points | seeds | mean | paired 95%".split(" | ")
    text = "These were not asked beforehand, so no verdict follows; each interval is for its difference alone.\n"
    return [
        f"## What else was looked at\n\n{text}",
        _table(header, ("---", "---", "---:", "---", "---:", "---:", "---"), rows),
    ]


def _equivalent(table):
    found = verdicts.equivalent_width(table)
    if found is None:
        return []
    if math.isinf(found.parameters):
        text = f"With {found.accuracy:.2f}% it is more accurate than every ordinary network that was trained."
    elif found.parameters == 0:
        text = f"With {found.accuracy:.2f}% it is less accurate than every ordinary network that was trained."
    else:
        text = (
            f"With {found.accuracy:.2f}% it is worth an ordinary MobileNet with {found.parameters:,.0f} parameters, "
            f"{found.times:.1f} times its own, interpolated between the widths that were trained."
        )
    return [f"## What 16ch is worth\n\n{text}"]


def _rates(table):
    rows = []
    for arm in protocol.ARMS:
        losses = experiment.losses_of_search(table, arm.family, arm.key)
        if losses:
            rate = experiment.rate_of(table, arm)
            tried = ", ".join(f"{rate:g}: {losses[rate]:.3f}" for rate in sorted(losses))
            rows.append((arm.family, arm.title, tried, "" if rate is None else f"{rate:g}"))
    if not rows:
        return []
    text = "Six epochs each, with a seed of their own; validation loss (cross-entropy, nats) of the last epoch.\n"
    header = ("family", "network", "highest rate: validation loss", "chosen")
    return [f"## The search for learning rates\n\n{text}", _table(header, ("---", "---", "---", "---:"), rows)]


def _deviations():
    lines = [f"- {date}: {what}. {why}" for date, what, why in protocol.DEVIATIONS]
    repeated = [f"- {name} was repeated at half its rate." for name in protocol.REPEATED_AT_HALF_RATE]
    return "## Deviations from the protocol\n\n" + "\n".join([*lines, *repeated] or ["None so far."])


def _compute(table):
    if table.empty:
        return []
    hours = table["training_seconds"].astype(float).sum() / 3600
    processors = "; ".join(sorted(set(table["processor"].dropna()) - {""}))
    versions = "; ".join(sorted(set(table["versions"])))
    return [
        f"## What it took\n\n{len(table)} runs, {hours:.1f} hours of training, each on one thread beside other work, "
        f"so the seconds say little about speed. Processors: {processors}. Software: {versions}."
    ]
