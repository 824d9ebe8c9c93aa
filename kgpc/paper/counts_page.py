"""The page of published counts: the headline, where papers and notebooks differ, and one table of all rows."""

import pandas as pd

from kgpc.paper.counts import check_comparison, summary
from kgpc.paper.footnotes import short
from kgpc.paper.tables import published

_HEADER = """# Published counts and ours, row by row

**{verdict}** {summary}

Compared are trainable parameters and flops that the authors published with those counted in the models of
`kgpc.applications`; the published test accuracies stand beside them. "Published" is what the authors' notebook prints
for the run. Flops are for the prediction of one image in the paper's convention (`kgpc.flops.paper_flops`), about one
for a [multiply-add](glossary.md#multiply-adds).

The page is written by `python -m kgpc table --output docs/published-rows.md`: the published numbers are read from
`data/published`, ours are counted at that moment; a difference would show here, and fails a test. On the page are

- [where the papers differ from the authors' notebooks](#where-the-papers-differ-from-the-notebooks),
- [what the published accuracies rest on](#what-the-published-accuracies-rest-on), which the papers do not say,
- [all rows](#all-rows), in a table that can be filtered.
"""
_ALL_EQUAL = "Every count that the authors' notebooks print is ours too."
_SOME_DIFFER = "Not every count that the authors' notebooks print is ours."
_ERRATA = """
## Where the papers differ from the notebooks

In {count} places a printed table, an abstract or a text says something else than the authors' notebook. {counts} of
them concern a count of the [table below](#all-rows), which has the notebook's; the others concern accuracies, shares,
sizes, names, labels, or counts of other things.

"""
_PROTOCOL = """
## What the published accuracies rest on

The papers do not say these; the notebooks show them. They do not change a count.

"""
_ROWS = """
## All rows

{count} different rows stand for {all_rows}: those of the published tables whose counts the authors' notebooks print,
and a few runs of these notebooks that no table lists. A run that several tables list is here once. "In" is
the first paper ([doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)), the second
([doi:10.3390/e24091264](https://doi.org/10.3390/e24091264)), the two-branch networks of the light-chroma papers
([doi:10.13164/mendel.2022.1.055](https://doi.org/10.13164/mendel.2022.1.055)), or the authors' notebooks alone.

A count that stands alone is published and counted here, both the same. "Ours" is one that nobody published, "printed"
one that the paper's table has instead. Accuracies are the authors', on the test images, of one training each, and rest
on [what is said above](#what-the-published-accuracies-rest-on); nothing was trained again for this page.
[The list of notebooks](papers-notebooks.md#which-notebook-belongs-to-which-rows) has the epochs of each run. A row with
2 passes averages the predictions of an image and of its mirror image.

<div class="filterable">

"""
_PAPERS = {
    "grouped-pointwise-2022": "first paper",
    "enhanced-scheme-2022": "second paper",
    "color-aware-two-branch-2022": "light-chroma papers",
    "light-chroma-branches-2021": "light-chroma papers",
}


def counts_page(comparison):
    """The comparison as a page in Markdown.

    Args:
        comparison: `pandas.DataFrame`, a result of `compare_counts`.

    Returns:
        str, the text of the page.

    Raises:
        TypeError, ValueError: if `comparison` is something else.
    """
    check_comparison(comparison)
    equal = comparison["parameters_equal"].all() and comparison["flops_equal"].dropna().all()
    header = _HEADER.format(verdict=_ALL_EQUAL if equal else _SOME_DIFFER, summary=summary(comparison))
    return "".join([header, _errata(comparison), _protocol(), _rows(comparison)])


def _errata(comparison):
    """Where something that is printed and a notebook disagree, as a list."""
    errata = published("errata").query("kind != 'protocol'")
    lines = [
        f"- {_PAPERS[row.paper].capitalize()}. {row.what}: **{short(row.table_value)}** is printed, "
        f"{_found(row.raw_value)} ({row.kind}).{_sentence(row.comment)}\n"
        for row in errata.itertuples()
    ]
    concerned = comparison.loc[comparison["erratum"] != "", ["label", "erratum"]].drop_duplicates()
    return "".join([_ERRATA.format(count=len(errata), counts=len(concerned)), *lines])


def _found(value):
    return "no notebook prints it" if value == "(not printed)" else f"the notebook has **{short(value)}**"


def _sentence(comment):
    """A comment as a sentence; the name of an argument keeps its first letter."""
    if not comment:
        return ""
    named = "_" in comment.split()[0]
    return f" {comment if named else comment[0].upper() + comment[1:]}."


def _protocol():
    """What the accuracies rest on, as a list."""
    errata = published("errata").query("kind == 'protocol'")
    lines = []
    for row in errata.itertuples():
        where, _, what = row.what.rpartition(": ")
        lines.append(f"- **{where}.** {what[0].upper()}{what[1:]}: {row.raw_value}.{_sentence(row.comment)}\n")
    return "".join([_PROTOCOL, *lines])


def _rows(comparison):
    """All rows as one table, those that several tables list merged."""
    columns = {
        "model": comparison["model"],
        "scheme": comparison["scheme"],
        "data set": comparison["dataset"],
        "accuracy": [
            "" if pd.isna(percent) else f"{percent:.2f}%" for percent in comparison["published_accuracy_percent"]
        ],
        "parameters": [_counts(row, "parameters") for row in comparison.to_dict("records")],
        "flops": [_counts(row, "flops") for row in comparison.to_dict("records")],
        "pixels": comparison["input_size"],
        "run": comparison["label"],
    }
    frame = pd.DataFrame(columns)
    frame["in"] = [
        "notebooks" if table == "unlisted_runs" else _PAPERS[paper].removesuffix(" paper").removesuffix(" papers")
        for table, paper in zip(comparison["table"], comparison["paper"], strict=True)
    ]
    frame = frame.groupby(list(columns), sort=False, as_index=False)["in"].agg(
        lambda papers: " and ".join(dict.fromkeys(papers))
    )
    header = _ROWS.format(count=len(frame), all_rows=len(comparison))
    return f"{header}{_markdown(frame, ('parameters', 'flops', 'accuracy'))}\n</div>\n"


def _counts(row, quantity):
    """A count once where both are equal; else both, and which is which."""
    theirs, ours = row[f"published_{quantity}"], row[f"our_{quantity}"]
    if pd.isna(theirs):
        return f"ours: {ours:,}"
    text = f"{theirs:,}" if theirs == ours else f"published: {theirs:,}, **ours: {ours:,}**"
    printed = row["erratum"].partition(f"printed {quantity}: ")[2].partition(" ")[0]
    return f"{text} (printed: {int(printed):,})" if printed else text


def _markdown(frame, numbers):
    lines = [frame.columns, ["---:" if name in numbers else "---" for name in frame.columns]]
    lines.extend(frame.itertuples(index=False))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
