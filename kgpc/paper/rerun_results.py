"""Results of reruns beside the published ones, and against each other."""

import math
import warnings

import pandas as pd

from kgpc.paper.run_table import COLUMNS, ResultsWarning, checked_table, read_results, reruns, results, typed
from kgpc.paper.selection import FIRST_PAPER, run_of, scheme_text
from kgpc.paper.tables import published
from kgpc.seeds import mean_interval

__all__ = ["COLUMNS", "compare", "compare_variants", "reruns", "results", "typed"]


def compare(source):
    """Published results beside those of a rerun.

    Args:
        source: path of the folder that `rerun` was given, or a table as `results` returns it.

    Returns:
        `pandas.DataFrame`. For runs of the profile "paper" one row for each published row of which there are results;
        for runs of the profile "quick" one row for each model, beside the published row that it stands for, which has
        other data and sizes, so that there is no difference to compute. Columns:

        - `profile`, `dataset`, `label`, `model`, `scheme`, `image_size`, `epochs`.
        - `parameters`, `published_parameters`: trainable parameters.
        - `published_accuracy`: test accuracy in percent.
        - `seeds`: text, the seeds that there are results of.
        - `accuracy`: mean test accuracy over them, in percent; `spread`: standard deviation over them, in points.
        - `difference`: `accuracy` - `published_accuracy`, in points.
        - `remark`: where the rerun departs from what was published.

    Raises:
        TypeError, ValueError: if there are no results, or a table has a value that cannot be.
    """
    table = _results_of(source)
    rows = []
    for _, row in published().iterrows():
        run = run_of(row)
        same = table[(table["profile"] == "paper") & (table["label"] == run.label) & (table["model"] == run.model)]
        same = same[(same["scheme"] == run.scheme) & (same["dataset"] == run.dataset)]
        if not same.empty:
            rows.append(_paper_row(row, run, same))
    quick = table[table["profile"] == "quick"]
    for (_, model), same in quick.groupby(["family", "model"], sort=False):
        rows.append(_quick_row(model, same))
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


def _results_of(source):
    if isinstance(source, pd.DataFrame):
        return checked_table(source, "source")
    table, left_out = read_results(source, argument="source")
    for reason in left_out:
        warnings.warn(reason, ResultsWarning, stacklevel=3)
    if table.empty:
        raise ValueError(f"`source` must have the results of complete runs; there are none in {source}.")
    return table


def _row(same, accuracies):
    first = same.iloc[0]
    return {
        **{key: first[key] for key in ("profile", "dataset", "label", "model", "scheme", "image_size")},
        "epochs": _one_or_all(same["epochs"]),
        "parameters": first["parameters"],
        "seeds": " ".join(str(seed) for seed in sorted(same["seed"])),
        "accuracy": 100 * accuracies.mean(),
        "spread": 100 * accuracies.std() if len(accuracies) > 1 else math.nan,
    }


def _one_or_all(values):
    return " ".join(str(value) for value in sorted(set(values)))


def _paper_row(row, run, same):
    mirrored = bool(row["horizontal_flip_test"])
    accuracies = same["mirrored_test_accuracy" if mirrored else "test_accuracy"].astype(float)
    remarks = ["mean of image and mirror image"] if mirrored else []
    if set(same["epochs"]) != {run.recipe.epochs}:
        remarks.append(f"published with {run.recipe.epochs} epochs")
    peak = getattr(run.recipe.learning_rate, "peak", None)
    for column, name, value in (
        ("image_size", "images of {} pixels", run.recipe.image_size),
        ("batch_size", "batches of {}", run.recipe.batch_size),
        ("peak_learning_rate", "a highest rate of {}", peak),
    ):
        if value is not None and set(same[column].dropna()) - {value}:
            remarks.append(f"published with {name.format(value)}")
    values = _row(same, accuracies)
    return {
        **values,
        "published_parameters": row["parameters"],
        "published_accuracy": row["test_accuracy_percent"],
        "difference": values["accuracy"] - row["test_accuracy_percent"],
        "remark": "; ".join(remarks),
    }


def _quick_row(model, same):
    first = same.iloc[0]
    rows = published()
    named = rows["label"].eq(first["label"]) & rows["dataset"].eq("CIFAR-10") & rows["paper"].eq(FIRST_PAPER)
    rows = rows[named & (rows.apply(scheme_text, axis=1) == first["scheme"])]
    row = rows.iloc[0] if len(rows) else {}
    return {
        **_row(same, same["test_accuracy"].astype(float)),
        "published_parameters": row.get("parameters", pd.NA),
        "published_accuracy": row.get("test_accuracy_percent", math.nan),
        "difference": math.nan,
        "remark": f"quick: {first['data']}, {first['train_images']} training images; published: CIFAR-10"
        if len(rows)
        else f"quick: {first['data']}, {first['train_images']} training images; not published",
    }


_ALIKE = ("data", "image_size", "epochs", "train_images", "test_images", "batch_size", "peak_learning_rate")


def _check_alike(family, members):
    """Raises ValueError where runs that are to be compared were trained in different ways."""
    for column in _ALIKE:
        found = members[column].dropna().unique()
        if len(found) > 1:
            raise ValueError(
                f"`source` must have runs of {family} that are alike in `{column}`: others cannot be compared. "
                f"Received: {column}={', '.join(map(str, sorted(found)))}."
            )


def compare_variants(source):
    """The models of each family against its ordinary network, and against the narrow one that is as small as 16ch.

    The runs of one seed have the same images in the same order, so differences are taken within a seed. Their interval
    is Student's, for 95%: it covers what another seed (initial weights, images drawn, order) would change, as far as a
    few seeds tell; it does not cover the choice of the test images.

    Args:
        source: path of the folder that `rerun` was given, or a table as `results` returns it; runs of the profile
            "quick" count.

    Returns:
        `pandas.DataFrame`, one row for each model that has results: `family`, `model`, `image_size`, `epochs`,
        `train_images`, `test_images`, `parameters`, `parameters_share` (of the ordinary network's), `flops`, `seeds`
        (their number), `accuracy` (mean in percent), `spread` (standard deviation in points; NaN with one seed), and
        for `minus_baseline` and `minus_narrow` (mean difference in points, over the seeds that both have) also
        `..._low` and `..._high`, the interval (NaN with fewer than two seeds).

    Raises:
        TypeError, ValueError: if there are no results of the profile "quick", a table has a value that cannot be, or
            runs of a family differ in their data, or in what their recipes say of epochs, images, batches and rates.
    """
    table = _results_of(source)
    table = table[table["profile"] == "quick"]
    if table.empty:
        raise ValueError('`source` must have results of the profile "quick". Received: source without any.')
    rows = []
    for family, members in table.groupby("family", sort=False):
        _check_alike(family, members)
        by_seed = {
            variant: same.set_index("seed")["test_accuracy"].astype(float)
            for variant, same in members.groupby("variant")
            if variant != "grouped"
        }
        baseline = members[members["variant"] == "baseline"]["parameters"]
        for model, same in members.groupby("model", sort=False):
            first, accuracies = same.iloc[0], same.set_index("seed")["test_accuracy"].astype(float)
            row = {"family": family, "model": model}
            row |= {key: first[key] for key in ("image_size", "epochs", "train_images", "test_images", "parameters")}
            row["parameters_share"] = first["parameters"] / baseline.iloc[0] if len(baseline) else math.nan
            row |= {
                "flops": first["flops"],
                "seeds": len(accuracies),
                "accuracy": 100 * accuracies.mean(),
                "spread": 100 * accuracies.std(),
            }
            for variant in ("baseline", "narrow"):
                differences = (accuracies - by_seed.get(variant, accuracies[:0])).dropna()
                if first["variant"] == variant:
                    differences = differences[:0]
                names = (f"minus_{variant}", f"minus_{variant}_low", f"minus_{variant}_high")
                row |= dict(zip(names, mean_interval(100 * differences), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)
