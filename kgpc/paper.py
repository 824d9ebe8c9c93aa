"""The numbers the authors published, as pandas tables.

`published()` gives the result tables of the two papers on grouped pointwise convolutions, other names give their
errata, training curves, recipes, released weights and the light-chroma papers. The files lie in `data/published`; the
README of the data folder explains every column and where the numbers come from.

`model_of(row)` builds the model of a published row; `compare_counts()` holds its parameters and flops against ours.
"""

import functools

import keras
import pandas as pd

from kgpc import flops
from kgpc.grouping import D6, D6v3, Grouped
from kgpc.resources import data_path

# Table name -> file in data/published.
_FILES = {
    "results": "published_results.csv",
    "errata": "errata.csv",
    "unlisted_runs": "unlisted_runs.csv",
    "classification_reports": "classification_reports.csv",
    "training_curves": "training_curves.csv",
    "training_curves_gaps": "training_curves_gaps.csv",
    "recipes": "recipes.csv",
    "released_weights": "released_weights.csv",
    "two_branch_results": "two_branch_results.csv",
    "two_branch_first_layers": "two_branch_first_layers.csv",
    "two_branch_released_weights": "two_branch_released_weights.csv",
}

# A column name means the same in every table. Columns that are not named here hold text.
_INTEGER_COLUMNS = """
    batch_size channels_per_group classes epoch epochs epochs_logged epochs_planned first_missing_epoch images ktype
    last_missing_epoch lr_cycle_epochs lr_warmup_epochs max_mix_idx mixed_layers raw_flops raw_non_trainable_parameters
    raw_parameters raw_total_parameters raw_trainable_parameters rotation_range seconds_per_epoch size_bytes
    skip_stride_cnt table_flops table_parameters table_weights test_images train_images trainable_parameters
    weights_from_filters_and_summaries
""".split()
_DECIMAL_COLUMNS = """
    accuracy channel_shift_range height_shift_range l2_decay l_ratio learning_rate_printed learning_rate_schedule loss
    lr_base lr_decay lr_floor lr_peak macro_f1 macro_precision macro_recall published_accuracy raw_f1_macro
    raw_f1_weighted raw_last_epoch_test_accuracy raw_max_val_accuracy raw_test_accuracy raw_test_loss raw_top5_accuracy
    saving_from_filters shear_range table_f1 table_flops_share table_max_val_accuracy table_parameters_share
    table_saving table_test_accuracy val_accuracy val_loss weighted_f1 weighted_precision weighted_recall
    width_shift_range zoom_range
""".split()
_FLAG_COLUMNS = ["horizontal_flip", "horizontal_flip_test", "vertical_flip"]


def published(table="results"):
    """Returns one of the published tables.

    Args:
        table: str, which one.

            - `"results"` (default): one row per row of the result tables of both papers (`paper` is
              `"grouped-pointwise-2022"`, V1, or `"enhanced-scheme-2022"`, V2). A run that V2 prints in several tables
              has several rows.
            - `"errata"`: where a published table (or abstract) and the authors' notebooks disagree.
            - `"unlisted_runs"`: runs in the notebooks that no table lists.
            - `"classification_reports"`: accuracy and F1, also for mirrored, cropped and grey test images.
            - `"training_curves"`: one row per logged epoch; `"training_curves_gaps"`: what the logs lack.
            - `"recipes"`: data, split, optimizer, schedule, augmentation of each notebook.
            - `"released_weights"`: the weight files of both papers.
            - `"two_branch_results"`, `"two_branch_first_layers"`, `"two_branch_released_weights"`: the papers on
              light-chroma branches.

    Returns:
        `pandas.DataFrame`, a new one with each call. Counts are `Int64`, other numbers `float64`, yes/no `boolean`; a
        missing number is NA, a missing text is `""`. `table_*` is what the paper prints, `raw_*` what the authors'
        notebook prints. Accuracies are fractions in `raw_*` columns and percent in `table_*` columns and
        `published_accuracy`. Parameters are trainable ones unless the column says otherwise; flops are for one image in
        the paper's convention (about one for a multiply-add).

        `"results"` has these columns besides those of the file; where table and notebook disagree, the notebook counts:

        - `image_size`: side of the square input image in pixels.
        - `forward_passes`: 1; 2 where the predictions of the image and of its mirror image are averaged.
        - `parameters`: trainable parameters.
        - `flops`: flops of a prediction, that is of all its forward passes (`raw_flops` is one pass).
        - `test_accuracy_percent`: test accuracy; from the table where no notebook prints it.

    Raises:
        ValueError: if there is no such table.
        FileNotFoundError: if the file is missing.

    Example:
    >>> published().query("model == 'kMobileNet' and channels_per_group == 16")[["parameters", "flops"]]
        parameters     flops
    12      244298  92007966

    References: Schwarz Schuler et al. 2022, MENDEL 28(1), doi:10.13164/mendel.2022.1.023 (V1); Entropy 24(9), 1264,
    doi:10.3390/e24091264 (V2); MENDEL 28(1), doi:10.13164/mendel.2022.1.055; and 2021, doi:10.3233/FAIA210157.
    """
    if not isinstance(table, str) or table not in _FILES:
        choices = ", ".join(repr(name) for name in _FILES)
        raise ValueError(f"`table` must be one of {choices}. Received: table={table!r}.")
    frame = _read(data_path(f"published/{_FILES[table]}"))
    return _with_values_that_count(frame) if table == "results" else frame


def _read(path):
    """Reads one CSV file with the column types above."""
    columns = pd.read_csv(path, nrows=0, encoding="utf-8").columns
    types = dict.fromkeys(columns, str)
    for names, dtype in ((_INTEGER_COLUMNS, "Int64"), (_DECIMAL_COLUMNS, "float64"), (_FLAG_COLUMNS, "boolean")):
        types |= dict.fromkeys(columns.intersection(names), dtype)
    # Only an empty number is missing: "none" is the scheme of a baseline, and pandas would also take "NA" away.
    missing = {column: [""] for column, dtype in types.items() if dtype is not str}
    return pd.read_csv(path, dtype=types, na_values=missing, keep_default_na=False, encoding="utf-8")


def _with_values_that_count(results):
    """Adds to the result rows one value of each kind, decided between table and notebook."""
    forward_passes = results["horizontal_flip_test"].astype("Int64") + 1
    raw_accuracy_percent = (100 * results["raw_test_accuracy"]).round(5)
    added = {
        "image_size": results["input_size"].str.partition("x")[0].astype("Int64"),
        "forward_passes": forward_passes,
        "parameters": results["raw_parameters"].fillna(results["table_parameters"]),
        "flops": (results["raw_flops"] * forward_passes).fillna(results["table_flops"]),
        "test_accuracy_percent": raw_accuracy_percent.fillna(results["table_test_accuracy"]),
    }
    position = results.columns.get_loc("table_parameters")
    for offset, (name, values) in enumerate(added.items()):
        results.insert(position + offset, name, values)
    return results


# Model of a table -> constructor in `kgpc.applications`. A baseline is the same constructor without a scheme.
_CONSTRUCTORS = {
    "EfficientNet-B0": "kEfficientNetB0",
    "kEffNet-B0": "kEfficientNetB0",
    "MobileNet": "kMobileNet",
    "kMobileNet": "kMobileNet",
    "MobileNet V3 Large": "kMobileNetV3Large",
    "kMobileNet V3 Large": "kMobileNetV3Large",
    "Inception V3": "kInceptionV3",
    "kInception V3": "kInceptionV3",
    "DenseNet-BC L100": "DenseNetBC",
    "kDenseNet-BC L100": "kDenseNetBC",
}
_SCHEMES = {"D6": D6, "D6v3": D6v3, "grouped-only": Grouped}
# The grouped-only kDenseNet is from older code than the others.
_GROUPED_ONLY_DENSENET = {"activation": "relu", "interleave_transitions": False, "relu_before_3x3": True}


def arguments_of(row):
    """How the model of a published row is made.

    Args:
        row: `pandas.Series`, a row of `published("results")`, `published("unlisted_runs")` or, where it has a label,
            `published("two_branch_results")`.

    Returns:
        Tuple of the name of a constructor in `kgpc.applications` and a dict of its arguments.

    Raises:
        TypeError: if `row` is not a `pandas.Series`.
        ValueError: if the row is not one of these tables, or its run has no recipe.
    """
    if not isinstance(row, pd.Series):
        raise TypeError(f"`row` must be a pandas.Series, a row of a published table. Received: {type(row).__name__}.")
    recipe = _recipes().get(row.get("label"))
    two_branch = "colour_space" in row.index
    if recipe is None or not (two_branch or row.get("model") in _CONSTRUCTORS):
        raise ValueError(
            "`row` must be a row of the published results with the label of a run. "
            f"Received: label={row.get('label')!r}, model={row.get('model')!r}."
        )
    size = int(recipe["input_size"].partition("x")[0])
    arguments = {"input_shape": (size, size, 3), "classes": int(recipe["classes"])}
    if two_branch:
        return "kInceptionV3", arguments | _two_branch_arguments(row)
    constructor = _CONSTRUCTORS[row["model"]]
    if pd.notna(recipe["skip_stride_cnt"]):
        arguments["skip_stride_cnt"] = int(recipe["skip_stride_cnt"])
    if constructor != "DenseNetBC":
        baseline = row["scheme"] == "none"
        arguments["scheme"] = None if baseline else _SCHEMES[row["scheme"]](int(row["channels_per_group"]))
    if constructor == "kDenseNetBC" and row["scheme"] == "grouped-only":
        arguments |= _GROUPED_ONLY_DENSENET
    return constructor, arguments


@functools.cache
def _recipes():
    """Recipe by label; an experiment that both papers list has the same one in both."""
    return {recipe["label"]: recipe for _, recipe in published("recipes").iterrows()}


def _two_branch_arguments(row):
    arguments = {"scheme": None, "max_mix_idx": int(row["max_mix_idx"])}
    if row["colour_space"] == "L-AB":
        light = float(row["l_ratio"])
        arguments |= {"two_paths_first_block": True, "l_ratio": light, "ab_ratio": 1 - light}
    return arguments


def model_of(row, weights=None):
    """Builds the model of a published row.

    Args:
        row: see `arguments_of`.
        weights: what the constructor takes as `weights`: None, the path of a file, or the name of released weights.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: see `arguments_of`.
        FileNotFoundError, OSError: see `kgpc.applications`.

    Example:
    >>> rows = published()
    >>> model_of(rows.query("model == 'kMobileNet' and channels_per_group == 16").iloc[0]).name
    'kmobilenet'
    """
    # The models' modules need this package's other modules, so they are imported last.
    from kgpc import applications

    constructor, arguments = arguments_of(row)
    return getattr(applications, constructor)(**arguments, weights=weights)


def compare_counts():
    """Compares all published parameters and flops with those of the models built here. Takes a minute or two.

    Returns:
        `pandas.DataFrame`, one row for each of all rows of `published("results")` and `published("unlisted_runs")`,
        and for those of `published("two_branch_results")` with a parameter count. Columns:

        - `table`, `paper`, `dataset`, `label`, `model`, `scheme` (such as "D6(16)"), `input_size`, `classes`.
        - `published_parameters`, `our_parameters`, `parameters_equal`: trainable parameters.
        - `published_flops`, `our_flops`, `flops_equal`: of a prediction (`forward_passes` of the model), in the paper's
          convention; NA where none were published. Where the printed table and the authors' notebook disagree, the
          notebook counts.
        - `erratum`: what the printed table says instead, else "".

    Raises:
        FileNotFoundError: if a published table is missing.
    """
    rows = []
    for table in ("results", "unlisted_runs", "two_branch_results"):
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
    elif table == "unlisted_runs":
        parameters, published_flops, passes = row["raw_parameters"], row["raw_flops"], 1
    else:
        parameters, published_flops, passes = row["raw_trainable_parameters"], pd.NA, 1
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
    from kgpc import applications

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


def counts_page(comparison):
    """The comparison as a page in Markdown.

    Args:
        comparison: `pandas.DataFrame`, a result of `compare_counts`.

    Returns:
        str, the text of the page.
    """
    parts = [_PAGE_HEADER.format(summary=summary(comparison))]
    for title, query in _PAGE_SECTIONS.items():
        parts.append(f"## {title}\n\n{_markdown(as_text(comparison.query(query)))}")
    return "\n".join(parts)


_PAGE_SECTIONS = {
    "Rows of the tables of the first paper (doi:10.13164/mendel.2022.1.023)": (
        "table == 'results' and paper == 'grouped-pointwise-2022'"
    ),
    "Rows of the tables of the second paper (doi:10.3390/e24091264)": (
        "table == 'results' and paper == 'enhanced-scheme-2022'"
    ),
    "Runs in the authors' notebooks that no table lists": "table == 'unlisted_runs'",
    "Two-branch models of the light-chroma papers, parameters only (doi:10.13164/mendel.2022.1.055)": (
        "table == 'two_branch_results'"
    ),
}
_PAGE_HEADER = """# Published counts and ours, row by row

Trainable parameters and flops that the authors published, beside those counted in the models of `kgpc.applications`.
{summary}

The page is written by `python -m kgpc table --output docs/published-rows.md`: the published numbers are read from
`data/published`, ours are counted at that moment; a difference would show here, and fails a test. "Published" is what
the authors' notebook prints for the run. Where the table in the paper has another number, the last column says which.
Flops are for the prediction of one image in the paper's convention (`kgpc.flops.paper_flops`), about one for a
multiply-add; a row with 2 passes averages the predictions of an image and of its mirror image.
"""


def summary(comparison):
    """One sentence on how many rows agree.

    Args:
        comparison: `pandas.DataFrame`, a result of `compare_counts`.

    Returns:
        str.
    """
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
    """

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


def _markdown(frame):
    lines = [frame.columns, ["---:" if name.startswith(("our", "published")) else "---" for name in frame.columns]]
    lines.extend(frame.itertuples(index=False))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
