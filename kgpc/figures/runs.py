"""Accuracy against size: a dot for each run, over parameters or, switched, over flops."""

import numpy as np
import pandas as pd

from kgpc import plots
from kgpc.arguments import boolean, integer, number, text
from kgpc.figures.moving import MovingFigure
from kgpc.plots import arguments

_COLUMNS = ["network", "run", "published", "parameters", "flops", "accuracy_percent"]
_MOST = 2**50
_MOST_NETWORKS = 14
_MOST_SERIES = 8  # of `plots.scatter`


def _row(row):
    return {
        "network": text("frame['network']", row["network"], empty=False),
        "run": text("frame['run']", row["run"], empty=False),
        "published": boolean("frame['published']", _plain(row["published"])),
        "parameters": integer("frame['parameters']", row["parameters"], 1, _MOST),
        "flops": integer("frame['flops']", row["flops"], 1, _MOST),
        "accuracy_percent": number("frame['accuracy_percent']", row["accuracy_percent"], 0, 100),
    }


def _plain(value):
    """A truth value of NumPy as one of Python."""
    return bool(value) if isinstance(value, np.bool_) else value


def accuracies(frame, published, own):
    """Accuracy of each run against the size of its network; published results are rings, runs of one's own dots.

    Args:
        frame: `pandas.DataFrame`, one row for each run, with the columns `network` (str), `run` (str, such as "seed
            1"), `published` (bool), `parameters` (int), `flops` (int, of one image as the paper counts them: about its
            multiply-adds) and `accuracy_percent` (float); at most 200 rows, and at most 14 pairs of network and
            `published`.
        published: str, on what and how the published results were made.
        own: str, likewise for the others.

    Returns:
        `MovingFigure`. Its static picture shows accuracy against parameters.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a column is missing, a number is out of range, or there are too many networks.
    """
    arguments.frame("frame", frame, _COLUMNS, rows=200)
    rows = [_row(row) for row in frame[_COLUMNS].to_dict("records")]
    captions = {True: text("published", published, empty=False), False: text("own", own, empty=False)}
    series = list(dict.fromkeys((row["network"], row["published"]) for row in rows))
    if len(series) > _MOST_NETWORKS:
        raise ValueError(f"`frame` must have at most {_MOST_NETWORKS} networks. Received: {len(series)}.")

    def draw():
        # Published results have their names beside them; the runs of one's own lie close together and are told apart by
        # colour and mark, as long as there are enough of them.
        owners = list(dict.fromkeys(row["network"] for row in rows if not row["published"]))
        apart = len(owners) < _MOST_SERIES
        groups = {}
        for row in rows:
            own_name = row["network"] if apart else "own"
            groups.setdefault("published" if row["published"] else own_name, []).append(row)
        for name, same in groups.items():
            first = {row["network"]: index for index, row in reversed(list(enumerate(same)))}
            labels = [row["network"] if first[row["network"]] == index else "" for index, row in enumerate(same)]
            points = {
                "x": [row["parameters"] for row in same],
                "y": [row["accuracy_percent"] for row in same],
            }
            named = {} if apart and name in owners else {"label": labels}
            groups[name] = pd.DataFrame({**points, **named})
        figure = plots.scatter(
            groups,
            "trainable parameters (logarithmic)",
            "test accuracy, %",
            title="Accuracy against size; published numbers are of other data",
            log_x=True,
        )
        for line in figure.axes[0].lines:
            line.set_linestyle("none")  # nothing lies between these networks
        return figure

    lines = [f"published: {captions[True]}", f"own: {captions[False]}"]
    for row in rows:
        lines.append(
            f"{row['network']}, {row['run']}{' (published)' if row['published'] else ''}: "
            f"{row['accuracy_percent']:.2f}%, {row['parameters']:,} parameters, {row['flops']:,} flops"
        )
    alt = f"Test accuracy against trainable parameters. Published: {captions[True]}. Own: {captions[False]}."
    for name, is_published in series:
        same = [row for row in rows if (row["network"], row["published"]) == (name, is_published)]
        values = [row["accuracy_percent"] for row in same]
        reached = f"{values[0]:.2f}%" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}%"
        alt += f" {name}{', published' if is_published else ''}: {reached} with {same[0]['parameters']:,} parameters."
    parameters = {"rows": rows, "published": captions[True], "own": captions[False]}
    return MovingFigure("accuracies", parameters, alt, "\n".join(lines), draw)
