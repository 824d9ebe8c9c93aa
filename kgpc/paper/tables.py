"""The published tables: reading the CSV files of `data/published`.

The README of the data folder explains every column and where the numbers come from.
"""

import pandas as pd

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
