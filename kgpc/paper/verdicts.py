"""What the experiment "Does it hold?" says so far: verdicts on its protocol's questions, and what else was looked at.

All of it is computed from a table of runs (`kgpc.paper.experiment.stored()`), and for the bootstrap from the stored
predictions.
"""

import math
import typing

import numpy as np
import pandas as pd

from kgpc import seeds
from kgpc.paper import protocol

QUESTIONS = {"ordinary": "a", "narrow-parameters": "b", "narrow-flops": "c"}


def in_points(value):
    """A difference as text: "-1.6", and with a second digit where one alone would be zero and hide the sign."""
    text = f"{value:+.1f}"
    return f"{value:+.2f}" if text in ("+0.0", "-0.0") else text


def accuracies(table, family, keys, dataset=protocol.COPIES, epochs=24, profile=protocol.PROFILE):
    """Test accuracies of networks, by seed.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        family: str, family of the networks.
        keys: sequence of str, their keys in the protocol.
        dataset: str, data set.
        epochs: int, length of the trainings.
        profile: str, `protocol.PROFILE` or `protocol.GPU_PROFILE`.

    Returns:
        `pandas.DataFrame`, percent; a row for each seed, a column for each key, NaN where there is no run.
    """
    rows = table[
        (table["profile"] == profile)
        & (table["family"] == family)
        & (table["dataset"] == dataset)
        & (table["epochs"] == epochs)
        & (table["seed"] != protocol.SEARCH_SEED)
        & table["variant"].isin(list(keys))
    ]
    found = rows.pivot(index="seed", columns="variant", values="test_accuracy").astype(float) * 100
    return found.reindex(columns=list(keys)).sort_index()


def confirmatory(table, predictions=None):
    """The protocol's questions and what the runs so far say of them.

    Only seeds count of which all networks of a family's questions are complete. Fewer than two decide nothing.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        predictions: None, or dict from the name of a run to the int array `(images,)` of predicted classes, with the
            true ones under `"true/" + dataset`, as `kgpc.paper.experiment.predictions()` returns it.

    Returns:
        `pandas.DataFrame`, one row for each question of each family that has a complete seed: `family`, `question`
        ("a", "b" or "c"), then the columns of `kgpc.seeds.contrasts` in points, `bootstrap_low` and `bootstrap_high`
        (NaN without predictions), `sign` ("positive", "negative", "undecided") and `margin` ("holds", "fails",
        "undecided"; "" where the question has none).
    """
    rows = []
    for family, pairs in protocol.CONTRASTS.items():
        keys = list(dict.fromkeys(key for pair in pairs for key in pair))
        found = accuracies(table, family, keys).dropna()
        if found.empty:
            continue
        for pair, row in zip(pairs, seeds.contrasts(found, pairs, protocol.CONFIDENCE).to_dict("records"), strict=True):
            question = QUESTIONS[pair[1]]
            low, high = row["low"], row["high"]
            margin = protocol.MARGIN_POINTS[protocol.COPIES]
            rows.append(
                {
                    "family": family,
                    "question": question,
                    **row,
                    **_bootstrap(table, predictions, family, pair, found.index),
                    "sign": seeds.sign_in_a_word(low, high),
                    "margin": seeds.margin_in_a_word(low, high, margin) if question == "a" else "",
                }
            )
    return pd.DataFrame(rows)


def _bootstrap(table, predictions, family, pair, block):
    limits = (math.nan, math.nan)
    if predictions is not None:
        correct = [_correct(table, predictions, family, key, block) for key in pair]
        limits = (100 * limit for limit in seeds.bootstrap(*correct, confidence=protocol.CONFIDENCE))
    return dict(zip(("bootstrap_low", "bootstrap_high"), limits, strict=True))


def _correct(table, predictions, family, key, block):
    """Whether each test image was recognized, for each seed of a block: bool array (seeds, images)."""
    rows = table[
        (table["family"] == family)
        & (table["variant"] == key)
        & (table["dataset"] == protocol.COPIES)
        & (table["epochs"] == 24)
    ].set_index("seed")
    true = predictions[f"true/{protocol.COPIES}"]
    return np.stack([predictions[rows.loc[seed, "name"]] == true for seed in block])


def exploratory(table):
    """Every network against 16ch of its family and against the matched ordinary one, beyond the protocol's questions.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.

    Returns:
        `pandas.DataFrame`, one row for each pair that has a seed in common: `profile`, `family`, `dataset`, `epochs`,
        `first`, `second`, `seeds` (their number), `difference`, `low` and `high` (Student's paired interval for this
        pair alone, NaN with one seed), in points. No verdict follows from any of them.
    """
    rows = []
    asked = {
        (protocol.PROFILE, family, 24, protocol.COPIES, *pair)
        for family, pairs in protocol.CONTRASTS.items()
        for pair in pairs
    }
    profiles = (protocol.PROFILE, protocol.GPU_PROFILE)
    runs = table[table["profile"].isin(profiles) & (table["seed"] != protocol.SEARCH_SEED)]
    alike = ["profile", "family", "dataset", "epochs"]  # what is compared: nothing across them
    for (profile, family, dataset, epochs), members in runs.groupby(alike, sort=False):
        keys = [arm.key for arm in protocol.ARMS if arm.family == family and arm.key in set(members["variant"])]
        found = accuracies(members, family, keys, dataset, epochs, profile)
        pairs = [(key, "16ch") for key in keys if key not in ("16ch", "ordinary", *QUESTIONS)]
        pairs += [("16ch", key) for key in ("ordinary", "narrow-parameters", "narrow-flops")]
        pairs += [(key, "ordinary") for key in keys if key not in ("16ch", "ordinary")]
        for first, second in pairs:
            if first not in found or second not in found or (profile, family, epochs, dataset, first, second) in asked:
                continue
            differences = (found[first] - found[second]).dropna()
            if differences.empty:
                continue
            difference, low, high = seeds.mean_interval(differences, protocol.CONFIDENCE)
            rows.append(
                {
                    "profile": profile,
                    "family": family,
                    "dataset": dataset,
                    "epochs": epochs,
                    "first": first,
                    "second": second,
                    "seeds": len(differences),
                    "difference": difference,
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def rival_in_words(table, family="MobileNet"):
    """What wider groups without the second convolution do against 16ch, in a sentence.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        family: str.

    Returns:
        str; "" while there are no two seeds of both. It has the interval and no verdict: the protocol does not ask it.
    """
    found = exploratory(table)
    if found.empty:
        return ""
    same = (found["profile"] == protocol.PROFILE) & (found["family"] == family) & (found["dataset"] == protocol.COPIES)
    pair = (found["first"] == "k-interleaving-32ch") & (found["second"] == "16ch") & (found["epochs"] == 24)
    rows = found[same & pair & found["low"].notna()].to_dict("records")
    if not rows:
        return ""
    sizes = table[(table["family"] == family) & (table["epochs"] == 24)].groupby("variant").first()
    parameters, flops = (
        float(sizes.loc["k-interleaving-32ch", name]) / float(sizes.loc["16ch", name])
        for name in ("parameters", "flops")
    )
    return (
        "Not asked beforehand, so without a verdict: K and interleaving without the second convolution, with 32 "
        f"channels per group ({parameters:.2f} times the parameters of 16ch, {flops:.2f} times its flops), minus 16ch: "
        f"{in_points(rows[0]['difference'])} points ({in_points(rows[0]['low'])} to {in_points(rows[0]['high'])}, "
        f"{rows[0]['seeds']} seeds)."
    )


class EquivalentWidth(typing.NamedTuple):
    """The ordinary network that is as accurate as 16ch, between those that were trained.

    Attributes:
        accuracy: float, mean test accuracy of 16ch in percent.
        parameters: float, trainable parameters of the ordinary network, interpolated over their logarithm; infinite or
            0, as `width_multiplier`, where 16ch is more accurate than the widest, or less than the narrowest that was
            trained.
        width_multiplier: float, its width multiplier, interpolated over the logarithm in the same way.
        times: float, `parameters` divided by those of 16ch.
        points: tuple of (parameters, mean accuracy in percent) of the ordinary networks, the narrowest first.
        seeds: int, over how many seeds the means are.
    """

    accuracy: float
    parameters: float
    width_multiplier: float
    times: float
    points: tuple
    seeds: int


def equivalent_width(table, family="MobileNet"):
    """How large an ordinary network has to be to be as accurate as 16ch.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        family: str.

    Returns:
        `EquivalentWidth`, over the seeds that 16ch and all widths have that have any; None where 16ch or all but one
        of the widths are missing.
    """
    ordinary = [
        arm.key
        for arm in protocol.ARMS
        if arm.family == family and (arm.key in ("ordinary", "width-0.6") or arm.key.startswith("narrow"))
    ]
    found = accuracies(table, family, ["16ch", *ordinary]).dropna(axis="columns", how="all").dropna()
    present = [key for key in ordinary if key in found]
    if found.empty or "16ch" not in found or len(present) < 2:
        return None
    sizes = table[table["family"] == family].groupby("variant")["parameters"].first()
    present.sort(key=lambda key: sizes[key])
    points = tuple((int(sizes[key]), float(found[key].mean())) for key in present)
    widths = [protocol.arm(family, key).arguments.get("alpha", 1.0) for key in present]
    accuracy, logs = float(found["16ch"].mean()), np.log([[size for size, _ in points], widths])
    levels = [level for _, level in points]
    if accuracy > max(levels):
        parameters = width = math.inf
    elif accuracy < min(levels):
        parameters = width = 0.0
    else:
        # The first place, from the narrow end, where the curve reaches the accuracy; it need not rise everywhere.
        for index in range(len(points) - 1):
            low, high = levels[index : index + 2]
            if min(low, high) <= accuracy <= max(low, high):
                share = 0.0 if high == low else (accuracy - low) / (high - low)
                both = np.exp(logs[:, index] + share * (logs[:, index + 1] - logs[:, index]))
                parameters, width = (float(value) for value in both)
                break
    return EquivalentWidth(accuracy, parameters, width, parameters / int(sizes["16ch"]), points, len(found))
