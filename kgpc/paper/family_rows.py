"""What the authors published about one family of networks, as the page about it shows it."""

from typing import NamedTuple

import pandas as pd

from kgpc.arguments import shown, text
from kgpc.paper.footnotes import footnotes
from kgpc.paper.tables import published

# The ordinary network -> its grouped one, in the names of the published tables.
GROUPED = {
    "MobileNet": "kMobileNet",
    "MobileNet V3 Large": "kMobileNet V3 Large",
    "EfficientNet-B0": "kEffNet-B0",
    "DenseNet-BC L100": "kDenseNet-BC L100",
    "Inception V3": "kInception V3",
}
_HEADINGS = {
    "dataset": "data set",
    "model": "network",
    "scheme": "scheme",
    "channels_per_group": "channels per group",
    "image_size": "pixels",
    "epochs": "epochs",
    "parameters": "trainable parameters",
    "flops": "paper flops",
    "test_accuracy_percent": "test accuracy, %",
    "source": "source",
}
_CONDITIONS = {"data set": "{}", "pixels": "{0}×{0} pixels", "epochs": "{} epochs"}


class FamilyRows(NamedTuple):
    """Published rows of a family.

    Attributes:
        frame: `pandas.DataFrame`, one row for each network, with the headings of a page; raised digits behind names
            refer to `notes`.
        notes: list of str, the errata of the rows.
        conditions: str, data set, size of the images and epochs where they are the same in all rows, which then are no
            columns, for example "CIFAR-10, 32×32 pixels, 50 epochs"; "" where all of them differ.
    """

    frame: pd.DataFrame
    notes: list
    conditions: str


def family_rows(family):
    """The first paper's rows about a family, and finished runs of the authors' notebooks that no table has.

    Args:
        family: str, the ordinary network: "MobileNet", "MobileNet V3 Large", "EfficientNet-B0", "DenseNet-BC L100" or
            "Inception V3".

    Returns:
        `FamilyRows`. Columns `scheme` and `source` ("table" or "notebook only") are there where a run is in no table.

    Raises:
        TypeError: if `family` is no str.
        ValueError: if it is none of these.

    Example:

    >>> rows = family_rows("DenseNet-BC L100")
    >>> rows.conditions, len(rows.frame)
    ('CIFAR-10, 32×32 pixels, 50 epochs', 5)
    """
    text("family", family)
    if family not in GROUPED:
        known = ", ".join(map(repr, GROUPED))
        raise ValueError(f"`family` must be one of {known}. Received: family={shown(family)}.")
    results = published()
    rows = results[(results["paper"] == "grouped-pointwise-2022") & results["model"].isin([family, GROUPED[family]])]
    marks, notes = footnotes(rows)
    rows = rows.assign(model=rows["model"] + marks, scheme=rows["scheme"].replace("none", ""), source="table")
    others = _unlisted(GROUPED[family], rows)
    frame = pd.concat([rows, others], ignore_index=True) if len(others) else rows
    kept = [name for name in _HEADINGS if len(others) or name not in ("scheme", "source")]
    frame = frame[kept].rename(columns=_HEADINGS).reset_index(drop=True)
    same = [name for name in _CONDITIONS if frame[name].nunique(dropna=False) == 1]
    conditions = ", ".join(_CONDITIONS[name].format(frame[name].iloc[0]) for name in same)
    return FamilyRows(frame.drop(columns=same), notes, conditions)


def _unlisted(model, rows):
    """Finished runs of a network that no table has, in its columns; size and epochs are those of their notebook."""
    runs = published("unlisted_runs")
    runs = runs[(runs["model"] == model) & runs["raw_test_accuracy"].notna()]
    recipes = published("recipes").drop_duplicates(["label", "dataset"]).set_index(["label", "dataset"])
    found = [recipes.loc[(run.label, run.dataset)] for run in runs.itertuples()]
    return pd.DataFrame(
        {
            "dataset": runs["dataset"],
            "model": runs["model"],
            "scheme": runs["scheme"],
            "channels_per_group": runs["channels_per_group"],
            "image_size": [int(str(recipe["input_size"]).partition("x")[0]) for recipe in found],
            "epochs": [int(recipe["epochs"]) for recipe in found],
            "parameters": runs["raw_parameters"],
            "flops": runs["raw_flops"],
            "test_accuracy_percent": 100 * runs["raw_test_accuracy"],
            "source": "notebook only",
        }
    ).astype({name: rows[name].dtype for name in ("channels_per_group", "image_size", "epochs", "parameters", "flops")})
