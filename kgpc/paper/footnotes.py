"""Footnotes of published rows: what the printed table says instead of the authors' notebook, wherever one is shown."""

import re

import pandas as pd

from kgpc.paper.tables import published

_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
# Errata of many rows at once: how the text begins -> which rows they are of, as a query.
_OF_MANY = {
    "CIFAR-10 table, input size of the 11": (
        "dataset == 'CIFAR-10' and model in ['Inception V3', 'kInception V3', 'MobileNet', 'kMobileNet', "
        "'MobileNet V3 Large', 'kMobileNet V3 Large']"
    ),
    "CIFAR-10 table, model name of the four kMobileNet rows": "dataset == 'CIFAR-10' and model == 'kMobileNet'",
}


def footnotes(rows):
    """Marks for rows that have an erratum, and what the marks mean.

    Args:
        rows: `pandas.DataFrame`, rows of `published("results")`, or of `published("two_branch_results")`.

    Returns:
        Tuple of a list of str, one for each row, such as "¹" or "" where nothing was found, and a list of str, the
        notes: each begins with its mark. A note of several rows has one mark.

    Raises:
        TypeError: if `rows` is no table.
        ValueError: if it lacks the columns of these tables.

    Example:
    >>> rows = published().query("label == 'JP35B18'")
    >>> marks, notes = footnotes(rows)
    >>> notes[0]
    "¹ flops: 201,421,626 is printed, the authors' notebook has 370,384,414 (copied value)."
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"`rows` must be a pandas.DataFrame. Received: rows of type {type(rows).__name__}.")
    two_branch = "colour_space" in rows
    needed = {"dataset", "label"} | ({"architecture"} if two_branch else {"paper", "model", "scheme"})
    if needed - set(rows):
        raise ValueError(
            "`rows` must have the columns of a published table. "
            f"Received: rows without {', '.join(sorted(needed - set(rows)))}."
        )
    errata = published("errata").query("kind != 'protocol'")
    concerns = _concerns_branches if two_branch else _concerns
    notes, marks = {}, [""] * len(rows)
    for erratum in errata.itertuples():
        concerned = [index for index, (_, row) in enumerate(rows.iterrows()) if concerns(erratum, row)]
        if concerned:
            mark = notes.setdefault(_text(erratum), _mark(len(notes)))
            for index in concerned:
                if mark not in marks[index].split(","):
                    marks[index] += f",{mark}" if marks[index] else mark
    return marks, [f"{mark} {text}" for text, mark in notes.items()]


def _mark(number):
    """The sign of a note: a raised digit, or several."""
    return "".join(_RAISED[digit] for digit in str(number + 1))


_RAISED = dict(zip("0123456789", "⁰" + _MARKS, strict=True))


def _text(erratum):
    of_many = re.search("input size|model name", erratum.what)
    quantity = of_many[0] if of_many else erratum.what.rpartition(", ")[2]
    found = (
        "no notebook of the authors prints it"
        if erratum.raw_value == "(not printed)"
        else f"the authors' notebook has {short(erratum.raw_value)}"
    )
    return f"{quantity}: {short(erratum.table_value)} is printed, {found} ({erratum.kind})."


def short(value):
    """Returns a count with separators, and a percentage without zeros at its end.

    Args:
        value: str, what a table prints.
    """
    if value.isdigit():
        return f"{int(value):,}"
    return re.sub(r"(\.\d+?)0+%$", r"\1%", value)


def _concerns(erratum, row):
    """Whether an erratum is about a row of the result tables."""
    if erratum.paper != row["paper"]:
        return False
    for beginning, query in _OF_MANY.items():
        if erratum.what.startswith(beginning):
            return len(row.to_frame().T.infer_objects().query(query)) == 1
    if not re.search(rf"\b{re.escape(row['label'])}\b", erratum.what):
        return False
    size = row.get("channels_per_group")
    network = "baseline" if row["scheme"] == "none" else f"{size}ch {row['scheme']}"
    mirrored = bool(row.get("horizontal_flip_test", False))
    return network in erratum.what and mirrored == ("horizontal flip" in erratum.what)


def _concerns_branches(erratum, row):
    """Whether an erratum is about a row of the networks with light and chroma branches."""
    if row["dataset"] not in erratum.what or "accuracy" not in erratum.what and "F1" not in erratum.what:
        return False
    if erratum.paper not in ("color-aware-two-branch-2022", "light-chroma-branches-2021"):
        return False
    if "single-branch RGB" in erratum.what:
        five = pd.notna(row["max_mix_idx"]) and row["max_mix_idx"] == 5
        return row["label"] == "JP24B01" and bool(five)
    return re.search(rf"(^|, ){re.escape(row['architecture'])},", erratum.what) is not None
