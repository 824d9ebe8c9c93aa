"""The model that a published row stands for: which constructor of `kgpc.applications`, with which arguments."""

import functools

import pandas as pd

from kgpc import applications
from kgpc.grouping import D6, D6v3, Grouped
from kgpc.paper.tables import published

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
    label, model = row.get("label"), row.get("model")
    recipe = _recipes().get(label) if isinstance(label, str) else None
    two_branch = "colour_space" in row.index
    if recipe is None or not (two_branch or (isinstance(model, str) and model in _CONSTRUCTORS)):
        raise ValueError(
            "`row` must be a row of the published results with the label of a run. "
            f"Received: label={label!r}, model={model!r}."
        )
    try:
        return _arguments_of(row, recipe, two_branch)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "`row` must be a row of a published table, with scheme, channels per group or layers as they stand there. "
            f"Received: label={label!r}, model={model!r} ({type(error).__name__}: {error})."
        ) from error


def _arguments_of(row, recipe, two_branch):
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
    constructor, arguments = arguments_of(row)
    return getattr(applications, constructor)(**arguments, weights=weights)
