"""What grouping saves and what it costs: parameters and accuracy of the same networks, side by side."""

import pandas as pd

from kgpc import plots
from kgpc.arguments import integer, number, received, text
from kgpc.figures.moving import MovingFigure
from kgpc.plots import arguments

_COLUMNS = ["network", "channels_per_group", "parameters", "features", "accuracy_percent"]
_MOST = 2**40


def _row(row):
    size = row["channels_per_group"]
    missing = size is None or (pd.api.types.is_scalar(size) and pd.isna(size))
    if not missing and isinstance(size, float) and size.is_integer():
        size = int(size)  # a column with a missing number holds floats
    return {
        "network": text("frame['network']", row["network"], empty=False),
        "channels_per_group": None if missing else integer("frame['channels_per_group']", size, 1, _MOST),
        "parameters": integer("frame['parameters']", row["parameters"], 1, _MOST),
        "features": integer("frame['features']", row["features"], 1, _MOST),
        "accuracy_percent": number("frame['accuracy_percent']", row["accuracy_percent"], 0, 100),
    }


def _checked_rows(frame):
    """The rows as dicts of what JSON can hold; each network has one original."""
    arguments.frame("frame", frame, _COLUMNS, rows=100)
    rows = [_row(row) for row in frame[_COLUMNS].to_dict("records")]
    for name in dict.fromkeys(row["network"] for row in rows):
        sizes = [row["channels_per_group"] for row in rows if row["network"] == name]
        if sizes.count(None) != 1 or len(set(sizes)) < len(sizes):
            raise ValueError(
                "`frame` must have, for each network, one row without channels_per_group (the original) and no size "
                f"twice. Received: {sizes} for {name!r}."
            )
    return rows


def price(frame, task, counted_classes=10, classes=(10, 1000)):
    """Parameters and accuracy of grouped networks beside those of the original, so that both are seen to move.

    Args:
        frame: `pandas.DataFrame`, one row for each network and size of the groups, with the columns `network` (str, the
            original's name), `channels_per_group` (int; missing for the original), `parameters` (int, trainable ones
            with `counted_classes` classes), `features` (int, channels that the classifier reads; it has a bias) and
            `accuracy_percent` (float).
        task: str, what the accuracy was measured on.
        counted_classes: int >= 1, with how many classes parameters and accuracy go.
        classes: sequence of int, for which numbers of classes parameters are shown; one is `counted_classes`. Those for
            another number follow from the features, and have no accuracy of their own.

    Returns:
        `MovingFigure`. Its static picture shows accuracy against parameters.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a column is missing, a number is out of range, or a network has no original or two.
    """
    rows = _checked_rows(frame)
    text("task", task, empty=False)
    counted_classes = integer("counted_classes", counted_classes, 1, 10**6)
    if not isinstance(classes, list | tuple) or not 1 <= len(classes) <= 6:
        raise TypeError(f"`classes` must be a sequence of one to six integers. {received('classes', classes)}")
    classes = [integer("classes", count, 1, 10**6) for count in classes]
    if counted_classes not in classes:
        raise ValueError(f"`classes` must have counted_classes={counted_classes}. Received: classes={classes}.")

    def title(row):
        return "original" if row["channels_per_group"] is None else f"{row['channels_per_group']}ch"

    def draw():
        groups = {}
        for name in dict.fromkeys(row["network"] for row in rows):
            points = sorted((row for row in rows if row["network"] == name), key=lambda row: row["parameters"])
            groups[name] = pd.DataFrame(
                {
                    "x": [row["parameters"] for row in points],
                    "y": [row["accuracy_percent"] for row in points],
                    "label": [title(row) for row in points],
                }
            )
        return plots.scatter(
            groups,
            "trainable parameters (logarithmic)",
            f"test accuracy on {task}, %",
            title="Fewer parameters, and what they cost in accuracy",
            log_x=True,
        )

    def counts(row):
        return ", ".join(
            f"{row['parameters'] + (count - counted_classes) * (row['features'] + 1):,} parameters with {count} classes"
            for count in classes
        )

    lines = [f"{row['network']} {title(row)}: {counts(row)}; {row['accuracy_percent']:.2f}% on {task}" for row in rows]
    alt = f"Test accuracy on {task} against trainable parameters with {counted_classes} classes."
    for name in dict.fromkeys(row["network"] for row in rows):
        of_name = sorted((row for row in rows if row["network"] == name), key=lambda row: row["parameters"])
        fewest, most = of_name[0], of_name[-1]
        alt += f" {name}: {most['accuracy_percent']:.2f}% with {most['parameters']:,} parameters, "
        alt += f"{fewest['accuracy_percent']:.2f}% with {fewest['parameters']:,}."
    parameters = {"rows": rows, "task": task, "counted_classes": counted_classes, "classes": classes}
    return MovingFigure("price", parameters, alt, "\n".join(lines), draw)
