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
    """A difference as text: "-1.6", and with a second digit near zero, where one alone says too much or nothing."""
    return f"{value:+.2f}" if abs(value) < 0.15 else f"{value:+.1f}"


def size_in_points(value):
    """The size of a difference as text, without its sign: "1.6", "0.07"."""
    return in_points(abs(value)).removeprefix("+")


def accuracies(
    table, family, keys, dataset=protocol.COPIES, epochs=24, profile=protocol.PROFILE, images="test_accuracy"
):
    """Accuracies of networks, by seed.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        family: str, family of the networks.
        keys: sequence of str, their keys in the protocol.
        dataset: str, data set.
        epochs: int, length of the trainings.
        profile: str, `protocol.PROFILE` or `protocol.GPU_PROFILE`.
        images: str, "test_accuracy" or "validation_accuracy".

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
    found = rows.pivot(index="seed", columns="variant", values=images).astype(float) * 100
    return found.reindex(columns=list(keys)).sort_index()


def networks_asked(family):
    """Keys of the networks of a family's questions: they alone enter the analysis that answers them."""
    return list(dict.fromkeys(key for pair in protocol.CONTRASTS[family] for key in pair))


def planned_seeds(family):
    """The seeds with which the protocol trains all networks of a family's questions.

    Args:
        family: str.

    Returns:
        List of int.
    """
    asked = set(networks_asked(family))
    found = {
        seed
        for stage in protocol.STAGES
        if stage.family == family and not stage.search and asked <= set(stage.keys)
        if (stage.dataset, stage.epochs) == (protocol.COPIES, protocol.RECIPE.epochs)
        for seed in stage.seeds
    }
    return sorted(found)


def interim_in_words(found, family):
    """Whether the answers about a family are the last ones, in a sentence.

    Args:
        found: `pandas.DataFrame` as `confirmatory` returns it.
        family: str.

    Returns:
        str; "" where there is no answer, or all planned seeds are in it.
    """
    rows = found if found.empty else found[(found["family"] == family) & found["low"].notna()]
    planned = len(planned_seeds(family))
    if rows.empty or rows["seeds"].min() >= planned:
        return ""
    return f"These answers rest on {rows['seeds'].min()} of the {planned} planned seeds, and the next may change them."


def confirmatory(table, predictions=None):
    """The protocol's questions and what the runs so far say of them.

    Only seeds count of which all networks of a family's questions are complete. Fewer than two decide nothing. Networks
    that the questions do not name never enter the residual.

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
        found = accuracies(table, family, networks_asked(family)).dropna()
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


def on_validation(table):
    """The differences of the protocol's questions on the validation images of each run, which nothing was chosen by.

    They are a second look at the same networks with half as many images, others for each seed. No verdict follows.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.

    Returns:
        `pandas.DataFrame`, one row for each question of each family that has two complete seeds: `family`, `question`,
        and the columns of `kgpc.seeds.contrasts` in points.
    """
    rows = []
    for family, pairs in protocol.CONTRASTS.items():
        found = accuracies(table, family, networks_asked(family), images="validation_accuracy").dropna()
        if len(found) < 2:
            continue
        compared = seeds.contrasts(found, pairs, protocol.CONFIDENCE).to_dict("records")
        rows += [
            {"family": family, "question": QUESTIONS[pair[1]], **row} for pair, row in zip(pairs, compared, strict=True)
        ]
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
        f"{in_points(rows[0]['difference'])} points (paired 95%, for this difference alone: "
        f"{in_points(rows[0]['low'])} to {in_points(rows[0]['high'])}, {rows[0]['seeds']} seeds)."
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
        low_times: float, the same for 16ch as much less accurate as the simultaneous interval of question b allows,
            with the ordinary networks as they are; NaN with one seed.
        high_times: float, likewise, as much more accurate.
        flops_times: float, its flops divided by those of 16ch, interpolated in the same way.
        points: tuple of (parameters, mean accuracy in percent) of the ordinary networks, the narrowest first.
        seeds: int, over how many seeds the means are.
    """

    accuracy: float
    parameters: float
    width_multiplier: float
    times: float
    low_times: float
    high_times: float
    flops_times: float
    points: tuple
    seeds: int


def equivalent_width(table, family="MobileNet"):
    """How large an ordinary network has to be to be as accurate as 16ch.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.results` returns it.
        family: str.

    Returns:
        `EquivalentWidth`, over the seeds with which 16ch and the ordinary networks of the questions are complete; a
        further width counts once it has all of these. None where 16ch or all but one of the widths are missing.
    """
    asked = [key for key in networks_asked(family) if key != "16ch"]
    further = [
        arm.key
        for arm in protocol.ARMS
        if arm.family == family and arm.key not in asked and (arm.key.startswith("narrow") or arm.key == "width-0.6")
    ]
    found = accuracies(table, family, ["16ch", *asked, *further])
    asked = [key for key in asked if found[key].notna().any()]
    found = found[found[["16ch", *asked]].notna().all(axis=1)]
    present = [*asked, *(key for key in further if len(found) and found[key].notna().all())]
    if found.empty or len(present) < 2:
        return None
    members = table[table["family"] == family].groupby("variant")[["parameters", "flops"]].first().astype(float)
    present.sort(key=lambda key: members.loc[key, "parameters"])
    named = [protocol.arm(family, key).arguments for key in present]
    widths = [arguments.get("alpha", arguments.get("width", 1.0)) for arguments in named]
    sizes = [members.loc[present, "parameters"], widths, members.loc[present, "flops"]]
    levels = [float(found[key].mean()) for key in present]
    accuracy, own = float(found["16ch"].mean()), members.loc["16ch"]
    parameters, width, flops = _as_accurate(accuracy, levels, sizes)
    ends, answered = (math.nan, math.nan), confirmatory(table)
    answered = answered if answered.empty else answered[(answered["family"] == family) & answered["low"].notna()]
    if len(answered):
        half = float(answered["high"].iloc[0] - answered["difference"].iloc[0])  # the same for all questions
        ends = [_as_accurate(accuracy + shift, levels, sizes)[0] / own["parameters"] for shift in (-half, half)]
    points = tuple(zip(members.loc[present, "parameters"].astype(int).tolist(), levels, strict=True))
    times = parameters / own["parameters"]
    return EquivalentWidth(accuracy, parameters, width, times, *ends, flops / own["flops"], points, len(found))


def _as_accurate(accuracy, levels, sizes):
    """Each of several sizes of the network with an accuracy, between networks from narrow to wide.

    Args:
        accuracy: float.
        levels: list of float, accuracies of the networks.
        sizes: list of sequences of float > 0, each with the sizes of these networks.

    Returns:
        List of float, interpolated over the logarithm; all infinite where `accuracy` is above all levels, 0 below all.
    """
    if accuracy > max(levels):
        return [math.inf] * len(sizes)
    if accuracy < min(levels):
        return [0.0] * len(sizes)
    # The first place, from the narrow end, where the curve reaches the accuracy; it need not rise everywhere.
    index = next(i for i in range(len(levels) - 1) if min(levels[i : i + 2]) <= accuracy <= max(levels[i : i + 2]))
    low, high = levels[index : index + 2]
    share = 0.0 if high == low else (accuracy - low) / (high - low)
    logs = np.log(np.array([list(each) for each in sizes], dtype=float))
    return [float(value) for value in np.exp(logs[:, index] + share * (logs[:, index + 1] - logs[:, index]))]
