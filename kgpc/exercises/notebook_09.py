"""The exercises of notebook 09, Reproduce the tables."""

import math

from kgpc.exercises.kinds import Number, Numbers


def _smallest_undecided():
    """Share of the parameters and difference of accuracies, in points, of the smallest network that may be as good."""
    from kgpc import paper

    rows = paper.published().query("paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10'")
    recipes = paper.published("recipes").drop_duplicates("label").set_index("label")
    originals = rows[rows["scheme"] == "none"]
    found = []
    for _, row in rows[rows["scheme"] != "none"].iterrows():
        name = row["model"].partition(",")[0].removeprefix("k").replace("EffNet", "EfficientNet")
        original = originals[originals["model"] == name].iloc[0]
        accuracies = [case["test_accuracy_percent"] for case in (row, original)]
        images = [recipes.loc[case["label"], "test_images"] for case in (row, original)]
        variance = sum(a * (100 - a) / n for a, n in zip(accuracies, images, strict=True))
        difference = accuracies[0] - accuracies[1]
        if abs(difference) <= 1.96 * math.sqrt(variance):
            found.append((row["parameters"] / original["parameters"], difference))
    return min(found)


def _of_histology(column):
    """Percent of the original's trainable parameters that a column says of the network with two channels per group."""
    from kgpc import paper

    rows = paper.published().drop_duplicates("label").set_index("label")
    return 100 * rows.loc["JP30N13", column] / rows.loc["JP30N02", "parameters"]


def _gain():
    from kgpc import paper

    reports = paper.published("classification_reports").query("dataset == 'CIFAR-10'")
    wide = reports.pivot_table(
        index=["label", "channels_per_group"], columns="test_variant", values="accuracy", dropna=False
    )
    return 100 * (wide["Original + Flip X"] - wide["Original"]).dropna().mean()


EXERCISES = {
    "09.1": Numbers(
        "the share of the parameters that is left, and the difference of accuracies in points",
        _smallest_undecided,
        tolerance=0.01,
        hint="The table `savings` has all shares, differences and intervals.",
    ),
    "09.2": Number(
        "a number of percent",
        lambda: _of_histology("parameters"),
        tolerance=0.002,
        hints={"That is what was printed; are all of those parameters trained?": lambda: 8.84},
    ),
    "09.3": Number("a number of points", _gain, tolerance=0.03),
}
