"""The page about a rerun in the quick profile: what was trained, what came out, and what that says."""

import math

from kgpc.paper.rerun_results import compare_variants
from kgpc.paper.run_table import checked_table

_HEADER = """# What the quick rerun found

The paper's claim is that a network keeps nearly all of its accuracy with a tenth of its parameters. Does that hold at
the scale of a processor and a few minutes? For each family, four networks were trained: the ordinary one, 32 and 16
channels per group, and a control, the ordinary network made so narrow that it has as many parameters as 16ch.

**These are numbers of the quick profile of `rerun`, not the paper's**: small grey images, few of them,
{steps} training steps, and a rate and a number of epochs that are not those of the notebooks' quick profile.
All networks of a family had the same images in the same order, the same steps, and strides as published. Nothing was
tuned on test images: the recipe was fixed before the first run. Networks this far from done say little about where they
would end; [Rerun the tables](rerun.md) says how to train longer.

The page is written from `data/reruns/{name}.csv` by

    python -m kgpc compare FOLDER --save data/reruns/{name}.csv --page docs/quick-rerun.md

where FOLDER has the results of `python -m kgpc rerun --profile quick --output FOLDER`. A test holds it against the
file.
"""


def quick_page(table, name):
    """The page about the runs of a table, in Markdown.

    Args:
        table: `pandas.DataFrame` as `results` returns it; runs of the profile "quick" count.
        name: str, stem of the file in `data/reruns` that has the table.

    Returns:
        str.

    Raises:
        TypeError, ValueError: if there are no such runs, or `table` or `name` are something else.
    """
    checked_table(table, "table")
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str. Received: name={name!r} of type {type(name).__name__}.")
    if not name.strip() or not name.isprintable() or set(name) & set("/\\`"):
        raise ValueError(f"`name` must be the stem of a file name. Received: name={name!r}.")
    variants = compare_variants(table)
    table = table[table["profile"] == "quick"]
    steps = table["epochs"] * (table["train_images"] // table["batch_size"])
    parts = [_HEADER.format(name=name, steps=_range(steps)), "## In short\n", *_findings(variants)]
    for size, members in variants.groupby("image_size"):
        parts += [f"\n## {size}x{size} pixels\n", _table(members)]
    parts += ["\n## Budget\n", _budget(table)]
    return "\n".join(parts) + "\n"


def _range(values):
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _findings(variants):
    """For each family two sentences: 16ch against the ordinary network, and against the control."""
    lines = []
    for family, members in variants.groupby("family", sort=False):
        found = members[members["model"].str.endswith(" 16ch")]
        if found.empty:
            continue
        row = found.iloc[0]
        lines.append(
            f"- **{row['model']}** has {row['parameters_share']:.0%} of the parameters of {family}. "
            f"{_sentence(row, 'minus_baseline', f'than {family}')} "
            f"{_sentence(row, 'minus_narrow', 'than the control of the same size')}"
        )
    lines += [
        "",
        "A difference is the mean over the seeds, each with its own initial weights and images, with Student's 95% "
        "interval, which is wide for three seeds and does not exist for one. Accuracies are of {} test images. In the "
        "tables, share is that of the ordinary network's parameters, spread the standard deviation of the accuracy "
        "over the seeds in points, and the last two columns are differences in points.".format(
            _range(variants["test_images"])
        ),
    ]
    return lines


def _sentence(row, name, than):
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return f"No seed compares it {than.replace('than', 'with')}."
    interval = "one seed, no interval" if math.isnan(low) else f"{low:+.1f} to {high:+.1f}"
    if math.isnan(low) or low <= 0 <= high:
        return f"Whether it is better or worse {than}, these runs cannot tell: {value:+.1f} points ({interval})."
    return f"It is {'more' if value > 0 else 'less'} accurate {than}: {value:+.1f} points ({interval})."


def _table(members):
    lines = [
        "| network | parameters | share | seeds | accuracy, % | spread | minus ordinary | minus control |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in members.to_dict("records"):
        cells = [
            row["model"],
            f"{row['parameters']:,}",
            f"{row['parameters_share']:.1%}",
            str(row["seeds"]),
            f"{row['accuracy']:.1f}",
            _number(row["spread"], ".1f"),
            _difference(row, "minus_baseline"),
            _difference(row, "minus_narrow"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value, form):
    return "" if math.isnan(value) else format(value, form)


def _difference(row, name):
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return ""
    return f"{value:+.1f}" + ("" if math.isnan(low) else f" ({low:+.1f} to {high:+.1f})")


def _budget(table):
    keys = ["family", "data", "image_size", "train_images", "epochs", "batch_size", "peak_learning_rate", "test_images"]
    lines = [
        "| family | data | pixels | training images | epochs | batch | highest rate | test images | seconds a run |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for values, members in table.groupby(keys, sort=False):
        family, data, size, images, epochs, batch, rate, test_images = values
        seconds = members["training_seconds"].median()
        cells = (
            family,
            data,
            f"{size}x{size}",
            f"{images:,}",
            epochs,
            batch,
            f"{rate:g}",
            f"{test_images:,}",
            f"{seconds:.0f}",
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    versions = "; ".join(sorted(set(table["versions"])))
    lines += [
        "",
        f"Seconds are medians of the training alone, on a machine that did much else. Software: {versions}.",
    ]
    return "\n".join(lines)
