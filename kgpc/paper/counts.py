"""The published parameters and flops beside those of the models built here, row by row."""

import functools

import keras
import pandas as pd

from kgpc import applications, flops
from kgpc.paper.models import arguments_of
from kgpc.paper.tables import published

# The published tables whose rows have counts.
COUNTED_TABLES = ("results", "unlisted_runs", "two_branch_results")


def compare_counts(tables=COUNTED_TABLES):
    """Compares published parameters and flops with those of the models built here. All rows take a minute or two.

    Args:
        tables: sequence of str, which of `"results"`, `"unlisted_runs"` and `"two_branch_results"` to compare; by
            default all of them.

    Returns:
        `pandas.DataFrame`, one row for each row of `published("results")` and `published("unlisted_runs")`, and for
        those of `published("two_branch_results")` with a parameter count. Columns:

        - `table`, `paper`, `dataset`, `label`, `model`, `scheme` (such as "D6(16)"), `input_size`, `classes`.
        - `published_accuracy_percent`: float, test accuracy as the authors' notebook prints it, else as the table does.
        - `published_parameters`, `our_parameters`, `parameters_equal`: trainable parameters.
        - `published_flops`, `our_flops`, `flops_equal`: of a prediction (`forward_passes` of the model), in the paper's
          convention; NA where none were published. Where the printed table and the authors' notebook disagree, the
          notebook counts.
        - `erratum`: what the printed table says instead, else "".

    Raises:
        ValueError: if `tables` names no table, or one without counts.
        FileNotFoundError: if a published table is missing.
    """
    sequence = isinstance(tables, (list, tuple)) and tables and all(isinstance(name, str) for name in tables)
    if not sequence or set(tables) - set(COUNTED_TABLES) or len(set(tables)) < len(tables):
        choices = ", ".join(repr(name) for name in COUNTED_TABLES)
        raise ValueError(f"`tables` must be a sequence of some of {choices}. Received: tables={tables!r}.")
    rows = []
    for table in tables:
        frame = published(table)
        if table == "two_branch_results":
            frame = frame.dropna(subset=["raw_trainable_parameters"])
        rows.extend(_compared(table, row) for _, row in frame.iterrows())
    counts = ["published_parameters", "our_parameters", "published_flops", "our_flops"]
    return pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64") | {"flops_equal": "boolean"})


def _compared(table, row):
    constructor, arguments = arguments_of(row)
    our_parameters, flops_of_a_pass = _counts(constructor, arguments)
    if table == "results":
        parameters, published_flops, passes = row["parameters"], row["flops"], row["forward_passes"]
        accuracy = row["test_accuracy_percent"]
    elif table == "unlisted_runs":
        parameters, published_flops, passes = row["raw_parameters"], row["raw_flops"], 1
        accuracy = 100 * row["raw_test_accuracy"]
    else:
        parameters, published_flops, passes = row["raw_trainable_parameters"], pd.NA, 1
        accuracy = 100 * row["raw_test_accuracy"]
    our_flops = flops_of_a_pass * passes
    size, _, _ = arguments["input_shape"]
    return {
        "table": table,
        "paper": row.get("paper", "grouped-pointwise-2022"),
        "dataset": row["dataset"],
        "label": row["label"],
        "model": _title(row) + (", 2 passes" if passes == 2 else ""),
        "scheme": str(arguments.get("scheme") or ""),
        "input_size": f"{size}x{size}",
        "classes": arguments["classes"],
        "published_accuracy_percent": accuracy,
        "published_parameters": parameters,
        "our_parameters": our_parameters,
        "parameters_equal": bool(parameters == our_parameters),
        "published_flops": published_flops,
        "our_flops": our_flops,
        "flops_equal": pd.NA if pd.isna(published_flops) else bool(published_flops == our_flops),
        "erratum": _erratum(row, parameters, published_flops) if table == "results" else "",
    }


def _title(row):
    if "colour_space" in row.index:
        return f"Inception V3 to mixed{row['max_mix_idx']}, {row['architecture']}"
    return row["model"]


@functools.cache
def _counts_with_first_classes(constructor, arguments):
    """Classes, trainable parameters and float operations (paper's convention) of the body and of the classifier.

    Tables list the same model for several datasets; `arguments` are without `classes`, so it is built once.
    """
    classes = 10
    with keras.StatelessScope():  # weights have shapes, which is all that counting needs, but are never drawn
        model = getattr(applications, constructor)(**dict(arguments), classes=classes)
    counts = flops.layer_counts(model)
    # The classifier: the last convolution or dense layer, and what follows it.
    start = max(index for index, count in enumerate(counts) if count.macs)
    if counts[start].output_shape[-1] != classes:
        raise RuntimeError(f"The last convolution or dense layer of {model.name!r} is not its classifier.")
    parts = (counts[:start], counts[start:])
    parameters = [sum(count.trainable_parameters for count in part) for part in parts]
    operations = [sum(count.float_operations for count in part) for part in parts]
    return classes, parameters, operations


def _counts(constructor, arguments):
    """Trainable parameters and flops of one pass."""
    others = {name: value for name, value in arguments.items() if name != "classes"}
    built, parameters, operations = _counts_with_first_classes(constructor, tuple(sorted(others.items())))
    # Each class has the same weights, bias and operations in the classifier, softmax included.
    parameters, operations = (
        body + classifier // built * arguments["classes"] for body, classifier in (parameters, operations)
    )
    return parameters, operations // 2


def _erratum(row, parameters, published_flops):
    """What the printed table has instead of the notebook's count, and why as far as `errata` says."""
    texts = []
    for quantity, printed, counted in (
        ("parameters", row["table_parameters"], parameters),
        ("flops", row["table_flops"], published_flops),
    ):
        if pd.notna(printed) and printed != counted:
            errata = published("errata")
            known = errata[errata["what"].str.contains(row["label"]) & errata["what"].str.endswith(quantity)]
            kind = "".join(f" ({kind})" for kind in known["kind"])
            texts.append(f"printed {quantity}: {printed}{kind}")
    return "; ".join(texts)


def check_comparison(comparison):
    """Raises TypeError or ValueError if something is no result of `compare_counts`."""
    if not isinstance(comparison, pd.DataFrame):
        raise TypeError(
            "`comparison` must be a pandas.DataFrame, a result of `compare_counts`. "
            f"Received: comparison of type {type(comparison).__name__}."
        )
    missing = [column for column in _COLUMNS if column not in comparison]
    if missing:
        raise ValueError(
            "`comparison` must have the columns of `compare_counts`. "
            f"Received: comparison without {', '.join(missing)}."
        )


_COLUMNS = """
    table paper dataset label model scheme input_size classes published_accuracy_percent published_parameters
    our_parameters parameters_equal published_flops our_flops flops_equal erratum
""".split()


def summary(comparison):
    """One sentence on how many rows agree.

    Args:
        comparison: `pandas.DataFrame`, a result of `compare_counts`.

    Returns:
        str.

    Raises:
        TypeError, ValueError: if `comparison` is something else.
    """
    check_comparison(comparison)
    flops_equal = comparison["flops_equal"].dropna()
    return (
        f"{len(comparison)} rows: parameters equal in {comparison['parameters_equal'].sum()} of {len(comparison)}, "
        f"flops equal in {flops_equal.sum()} of the {len(flops_equal)} that have any."
    )


def as_text(comparison):
    """The comparison as it is shown: short headings, thousands separated, yes and no.

    Args:
        comparison: `pandas.DataFrame`, a result of `compare_counts` or rows of it.

    Returns:
        `pandas.DataFrame` of str.

    Raises:
        TypeError, ValueError: if `comparison` is something else.
    """
    check_comparison(comparison)

    def number(value):
        return "" if pd.isna(value) else f"{value:,}"

    def yes_or_no(value):
        return "" if pd.isna(value) else ("yes" if value else "NO")

    columns = {
        "dataset": ("dataset", str),
        "run": ("label", str),
        "model": ("model", str),
        "scheme": ("scheme", str),
        "input": ("input_size", str),
        "classes": ("classes", str),
        "published parameters": ("published_parameters", number),
        "our parameters": ("our_parameters", number),
        "parameters equal?": ("parameters_equal", yes_or_no),
        "published flops": ("published_flops", number),
        "our flops": ("our_flops", number),
        "flops equal?": ("flops_equal", yes_or_no),
        "the printed table differs": ("erratum", str),
    }
    return pd.DataFrame({title: comparison[name].map(text) for title, (name, text) in columns.items()})
