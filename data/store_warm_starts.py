#!/usr/bin/env python3
"""Stores the results of `tests/benchmarks/warm_starts.py`, and writes the page `docs/warm-starts.md` anew.

    python data/store_warm_starts.py [FOLDER]

FOLDER is what `--output` of that command was; without it only the page is written, from what is stored in
`data/benchmarks/warm-starts.csv`. Seeds count that have all three starts.
"""

import argparse
from pathlib import Path

import pandas as pd

from kgpc import seeds

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "data" / "benchmarks" / "warm-starts.csv"
STARTS = ("random", "warm", "warm, distilled")
PAIRS = [("warm", "random"), ("warm, distilled", "warm")]  # what is compared with what

TITLE = "# Does a warm start help?\n\n"
HEAD = """\
`kgpc.convert` makes a grouped twin of a trained network. Its grouped convolutions are new, so it has to learn, and how
long that takes depends on where it begins. This page compares three ways, after each epoch of fine-tuning:

- **random**: as `kgpc.convert` returns it, the grouped convolutions with random weights, all other layers with those
  of the original.
- **warm**: `kgpc.conversion.warm_start` fits each sub-network to what the original's layer returned, on a sample of
  images without labels.
- **warm, distilled**: the same start, and `kgpc.conversion.distill` learns from the original's outputs as well as from
  the labels (temperature 2, half of the weight each).

Everything else is the same for the three: images, their order, optimizer (AdamW), learning rate (0.001, falling to 0
along a cosine) and number of steps. Nothing was tuned for one of them. Seeds differ in the random weights, in which
training images are used and in their order. Epoch 0 is before any fine-tuning. For a network of your own:

```python
import keras
import kgpc

twin = kgpc.convert(model, kgpc.D6(16))
kgpc.conversion.warm_start(twin, model, images)  # some hundred images as `model` takes them, no labels
trainer = kgpc.conversion.distill(twin, model, optimizer=keras.optimizers.AdamW(1e-3))
trainer.fit(x_train, y_train, batch_size=64, epochs=6)
twin.save("twin.keras")
```

"""

TAIL = """## How far this goes

The trainings are short: few images and few steps, as two processor cores allow that do much else besides. They say how
fast a network recovers, and nothing of where it would end: with enough epochs a random start may catch up, and it might
learn faster at a higher rate than this one, which is one for fine-tuning. The test images are those that the curve
shows; no epoch was chosen by them. The intervals are of the seeds, each of which has other training images; they are
wide where there are few, and say nothing of other networks or data. They come from a two-way analysis of start and
seed, hold for both comparisons together, and take the spread to be the same for all starts. It is not: random starts
vary most on Fashion-MNIST and least on the copies.

The moving averages of batch normalization, with which accuracies are measured, have a momentum of 0.9 and were not
renewed: they have forgotten most of what was twenty steps ago. An epoch on Fashion-MNIST has 23 steps, one on the
copies 10. So a part of the low accuracy of a random start is theirs, on the copies perhaps most of it.

## Rerun it

    python tests/benchmarks/warm_starts.py fashion --output FOLDER
    python data/store_warm_starts.py FOLDER

The first command trains the original too. `cifar` instead of `fashion` groups the network of a finished run of
[the experiment](does-it-hold.md): here an ordinary one of the search for learning rates, 6 epochs with a highest rate
of 0.004 (see the protocol's [deviations](protocol.md#deviations)). Its folder does not come
with kgpc. `--help` says what it needs. The page is written from `data/benchmarks/warm-starts.csv`, and a test holds it
against that file.
"""


def complete(table):
    """The rows of seeds that have all starts."""
    whole = table.groupby(["data", "seed"])["start"].transform(lambda starts: set(starts) >= set(STARTS))
    return table[whole].reset_index(drop=True)


def page(table):
    """The page, from the stored table."""
    sections = [rows for _, rows in table.groupby("data", sort=False)]
    return TITLE + _answer(sections) + HEAD + "".join(map(_section, sections)) + TAIL


def _answer(sections):
    """What the trainings say together, in a sentence."""
    better = {pair: 0 for pair in PAIRS}
    for rows in sections:
        for pair, difference in zip(PAIRS, _differences(rows, rows["epoch"].max(), PAIRS), strict=True):
            better[pair] += difference["degrees"] >= 1 and difference["low"] > 0
    warm, distilled = better.values()
    count = len(sections)
    return (
        f"**In short:** after the last epoch below, a warm start is better than a random one in {warm} of {count}\n"
        f"experiments, and distillation is better than the warm start alone in {distilled} of {count}. "
        "The trainings are\nshort; [how far this goes](#how-far-this-goes) says what that leaves open.\n\n"
    )


def _differences(rows, epoch, pairs):
    """Differences of the accuracies of starts after an epoch, as `seeds.contrasts` gives them."""
    accuracies = rows[rows["epoch"] == epoch].pivot(index="seed", columns="start", values="accuracy")
    # At epoch 0 two of the starts are the same network.
    accuracies = accuracies[list(dict.fromkeys(name for pair in pairs for name in pair))]
    return seeds.contrasts(accuracies, pairs).to_dict("records")


def _section(rows):
    first, count = rows.iloc[0], rows["seed"].nunique()
    smaller = first["parameters"] / first["original_parameters"]
    lines = [
        f"## {first['network']}, {first['data']}",
        "",
        f"{first['scheme']} leaves {first['parameters']:,} of {first['original_parameters']:,} parameters "
        f"({smaller:.0%}), moving averages of batch normalization included. The original recognizes "
        f"{first['original_accuracy']:.1%} of {first['test_images']:,} test images. "
        f"Fine-tuning has {first['train_images']:,} images an epoch; {count} seed{'s' if count > 1 else ''}. "
        "Mean test accuracy in percent" + (", lowest and highest in brackets:" if count > 1 else ":"),
        "",
        "| epoch | " + " | ".join(STARTS) + " |",
        "|---:|" + "---:|" * len(STARTS),
    ]
    for epoch, of_epoch in rows.groupby("epoch"):
        cells = []
        for start in STARTS:
            values = 100 * of_epoch.loc[of_epoch["start"] == start, "accuracy"]
            cells.append(f"{values.mean():.1f}" + (f" ({values.min():.1f} to {values.max():.1f})" if count > 1 else ""))
        lines.append(f"| {epoch} | " + " | ".join(cells) + " |")
    lines += ["", *_verdicts(rows), ""]
    return "\n".join(lines) + "\n"


def _verdicts(rows):
    """What the differences of the starts are, before fine-tuning and after the last epoch."""
    last = rows["epoch"].max()
    lines = []
    for epoch, pairs in ((0, PAIRS[:1]), (last, PAIRS)):
        when = "Before fine-tuning" if epoch == 0 else f"After epoch {last}"
        for difference in _differences(rows, epoch, pairs):
            points = f"{100 * difference['difference']:+.1f} points"
            if difference["degrees"] < 1:
                lines.append(
                    f"- {when}, *{difference['first']}* minus *{difference['second']}*: {points}, of one seed."
                )
                continue
            word = {"positive": "is better", "negative": "is worse", "undecided": "cannot be told apart"}[
                seeds.sign_in_a_word(difference["low"], difference["high"])
            ]
            than = "from" if word.startswith("cannot") else "than"
            lines.append(
                f"- {when}, *{difference['first']}* {word} {than} *{difference['second']}*: {points} "
                f"(95% interval {100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})."
            )
    return lines


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="what --output of warm_starts.py was")
    folder = parser.parse_args().folder
    if folder is not None:
        table = complete(pd.read_csv(folder / "warm-starts.csv"))
        table.to_csv(STORED, index=False, lineterminator="\n")
    (ROOT / "docs" / "warm-starts.md").write_text(page(pd.read_csv(STORED)), encoding="utf-8")


if __name__ == "__main__":
    main()
