"""The protocol of the experiment "Does it hold?": its networks, recipe, stages and rules, as values.

`docs/protocol.md` says why. What is trained, in which order and at which rate follows from this file and from the
results of the rate search alone, so that every computer that goes on does the same. A change after the first run that
counts is a deviation: it gets a new `VERSION` and a line in `DEVIATIONS`.
"""

import dataclasses
import math

import numpy as np

from kgpc import training
from kgpc.grouping import D6, D6WithoutInterleaving, D6WithoutL, positive_integer

PROFILE, GPU_PROFILE = "experiment", "experiment-gpu"
VERSION = 2
COPIES, FASHION = "CIFAR-10 (JPEG copies)", "Fashion-MNIST"

RECIPE = training.Recipe(
    name="experiment",
    epochs=24,
    image_size=33,
    batch_size=128,
    optimizer="AdamW",
    weight_decay=0.05,
    label_smoothing=0.1,
    learning_rate=training.OneCycle(peak=0.004, warmup_fraction=0.2),
    augmentation=training.Augmentation(
        rotation=0.0, width_shift=0.0, height_shift=0.0, shear=0.0, zoom=0.0, shift_pixels=4
    ),
    validation_fraction=0.1,
    margin="edge",
    monitor="last",
    batch_norm_momentum=0.99,
)
"""What all runs share; data, size, epochs, rate and seed are those of the run."""

SEARCH_RATES = (0.004, 0.008)
SEARCH_EPOCHS, SEARCH_SEED = 6, 100
LOWEST_RATE, HIGHEST_RATE = 0.000125, 0.064
MARGIN_POINTS = {COPIES: 1.0, FASHION: 0.5}
COPIES_PIXELS = {
    "training": "64436452a4aeef0d428203d6fac8d890943612e9fce0949df54c77ebbfe55f3d",
    "test": "567aa967dec68e69341e1b2b4496341d5e7b89647dab887d60c52228eb1b7af7",
}
"""SHA-256 of the JPEG copies of the stored runs, as `kgpc.paper.provenance.describe_data` takes it."""

CONFIDENCE = 0.95

DEVIATIONS = (
    (
        "2026-11-28",
        "A search for a rate begins with 4 and 8 thousandths, not with 1, 2, 4 and 8, and goes on from the best one "
        "until its half and its double are known",
        "When this was decided, the search of the ordinary network was complete (best: 16 thousandths) and those of "
        "16ch and of the narrow network with its parameters had got no further than 4 and 1 thousandths, with losses "
        "that fell at each step. Runs at 1 and 2 thousandths would have taken a third of the time of the searches that "
        "were left, and their results would have been used only if the best rate were so low. The rule of choice, a "
        "parabola through the best rate and its neighbours, is what it was, and chooses the same rate wherever the "
        "loss has one minimum",
    ),
    (
        "2026-11-28",
        "Three ordinary networks of the search, with rates of 4, 8 and 16 thousandths, were measured on 500 of the "
        "10,000 test images",
        "The first of them is the original that is converted in [Does a warm start help?](warm-starts.md); the others "
        "were measured, "
        "when the search was complete, to tell which of them it was. No rate, network or run was chosen by it",
    ),
    (
        "2026-11-28",
        "No margin is judged on Fashion-MNIST",
        "The protocol names one of 0.5 points where it speaks of the data, while nothing exploratory is judged. No "
        "test of that stage had been made",
    ),
    (
        "2026-11-28",
        "16ch was trained on Fashion-MNIST with seed 1 before the turn of that stage, for the weights that come along, "
        "and its test accuracy was seen (92.28%)",
        "The run is not among the stored ones; its stage is trained as planned",
    ),
    (
        "2026-11-29",
        "The verdict on a question is the one from all planned seeds of its networks (for MobileNet five: stages "
        "`core` and `more-seeds`), or from the complete ones where the experiment ends before. Earlier ones are "
        "called answers so far",
        "The protocol said when to stop and not which look counts. MobileNet had been looked at with two seeds (b "
        "undecided) and with three (b positive) before this was written. Looking after each of two to five seeds "
        "raises the probability of a false sign in a family without differences from 4% to 11% (simulated)",
    ),
    (
        "2026-11-29",
        "The residual is that of the networks of a family's questions alone, over the seeds with which all of them "
        "are complete: 6 degrees of freedom for MobileNet with three seeds, 12 with five, 4 for the other families. "
        "Networks that are exploratory never enter it",
        "The program did so from the beginning; the protocol spoke of the family's networks",
    ),
    (
        "2026-11-29",
        "A search ends at rates of 0.125 and 64 thousandths. Where the best rate is one of these two, it is taken as "
        "it is; a rate whose loss became infinite or no number counts as the worst",
        "The protocol named no limit and the program stopped with an error there. The search for MobileNet V3 had "
        "begun; of its runs, none had come near a limit",
    ),
)
"""Later changes: tuples of date, what, why."""

REPEATED_AT_HALF_RATE = ()
"""Names of runs whose loss was not finite; each is trained once more at half its rate."""

FAILED_IN_SEARCH = ()
"""Runs of a search whose loss was not finite, as (family, key, rate): that rate counts as the worst."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A network of the experiment.

    Attributes:
        key: str, what it is called in names and tables, such as "16ch".
        title: str, what it is called on a page.
        family: str, the ordinary network that it belongs to.
        constructor: str, name in `kgpc.applications`.
        arguments: dict of its arguments, without `input_shape` and `classes`.
        image_size: int, side of the images in pixels.
        rate_of: str, key of the arm of the family whose rate it takes; its own where it is searched.
    """

    key: str
    title: str
    family: str
    constructor: str
    arguments: dict
    image_size: int
    rate_of: str


def _arms():
    ordinary = D6(4096)  # never groups, and all else is as in the grouped network
    families = (
        (
            "MobileNet",
            "kMobileNet",
            33,
            {"dropout": 0.0},
            {"narrow-parameters": {"alpha": 0.268}, "narrow-flops": {"alpha": 0.386}, "width-0.6": {"alpha": 0.6}},
        ),
        (
            "MobileNet V3 Large",
            "kMobileNetV3Large",
            32,
            {"dropout": 0.0},
            {"narrow-parameters": {"alpha": 0.28, "scale_head": True}},
        ),
        (
            "EfficientNet-B0",
            "kEfficientNetB0",
            32,
            {"dropout": 0.0, "drop_connect_rate": 0.0},
            {"narrow-parameters": {"width": 0.3875}},
        ),
    )
    titles = {
        "ordinary": "ordinary, matched",
        "16ch": "grouped, 16ch",
        "narrow-parameters": "narrow, as many parameters as 16ch",
        "narrow-flops": "narrow, as many multiply-adds as 16ch",
        "width-0.6": "narrow, width 0.6",
        "k-interleaving-32ch": "K and interleaving, no L, 32ch",
        "k-l-16ch": "K and L, no interleaving, 16ch",
        "as-published": "ordinary, as published",
    }
    found = []
    for family, constructor, size, shared, narrow in families:
        members = {"ordinary": {"scheme": ordinary}, "16ch": {"scheme": D6(16)}}
        members |= {key: {"scheme": ordinary, **changes} for key, changes in narrow.items()}
        if family == "MobileNet":
            members |= {
                "k-interleaving-32ch": {"scheme": D6WithoutL(32)},
                "k-l-16ch": {"scheme": D6WithoutInterleaving(16)},
                "as-published": {"scheme": None},
            }
        inherited = {"width-0.6": "ordinary", "as-published": "ordinary", "k-l-16ch": "16ch"}
        for key, changes in members.items():
            arguments = {"skip_stride_cnt": 0, **shared, **changes}
            found.append(Arm(key, titles[key], family, constructor, arguments, size, inherited.get(key, key)))
    return tuple(found)


ARMS = _arms()


def arm(family, key):
    """The network of a family with a key.

    Args:
        family: str, such as "MobileNet".
        key: str, such as "16ch".

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    for candidate in ARMS:
        if (candidate.family, candidate.key) == (family, key):
            return candidate
    known = ", ".join(f"{candidate.family} {candidate.key}" for candidate in ARMS)
    raise ValueError(f"`family` and `key` must be one of {known}. Received: family={family!r}, key={key!r}.")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the experiment; the stages are done in their order, each in complete blocks of a seed.

    Attributes:
        name: str.
        family: str, the family of its networks.
        keys: tuple of str, keys of its networks.
        seeds: tuple of int.
        epochs: int.
        dataset: str, `COPIES` or `FASHION`.
        search: bool, whether it looks for rates: it tests nothing, and its seed and split are used nowhere else.
        profile: str, `PROFILE` or, for what is computed on a GPU and never compared with the rest, `GPU_PROFILE`.
    """

    name: str
    family: str
    keys: tuple
    seeds: tuple = (1, 2, 3)
    epochs: int = 24
    dataset: str = COPIES
    search: bool = False
    profile: str = PROFILE


def _search(name, family, keys, profile=PROFILE):
    return Stage(name, family, keys, (SEARCH_SEED,), SEARCH_EPOCHS, search=True, profile=profile)


_CORE = ("ordinary", "16ch", "narrow-parameters", "narrow-flops")
_RIVAL = "k-interleaving-32ch"
_MATCHED = ("ordinary", "16ch", "narrow-parameters")

STAGES = (
    _search("rates", "MobileNet", (*_CORE, _RIVAL)),
    Stage("core", "MobileNet", _CORE),
    Stage("rival", "MobileNet", (_RIVAL,)),
    Stage("length", "MobileNet", ("ordinary", "16ch"), seeds=(1,), epochs=72),
    _search("v3-rates", "MobileNet V3 Large", _MATCHED),
    Stage("v3", "MobileNet V3 Large", _MATCHED),
    Stage("as-published", "MobileNet", ("as-published",)),
    Stage("more-seeds", "MobileNet", (*_CORE, _RIVAL), seeds=(4, 5)),
    Stage("no-interleaving", "MobileNet", ("k-l-16ch",)),
    Stage("width", "MobileNet", ("width-0.6",)),
    Stage("fashion", "MobileNet", _MATCHED, epochs=10, dataset=FASHION),
    _search("b0-rates", "EfficientNet-B0", _MATCHED),
    Stage("b0", "EfficientNet-B0", _MATCHED),
)

GPU_EPOCHS = (96, 72, 48)
GPU_STAGES = (
    _search("gpu-rates", "MobileNet", _MATCHED, GPU_PROFILE),
    *(Stage(f"gpu-{epochs}", "MobileNet", _MATCHED, (1, 2), epochs, profile=GPU_PROFILE) for epochs in GPU_EPOCHS),
)
"""What a GPU adds where one is lent for minutes: the longest of the trainings that fits, with JAX, on its own."""

# First and second network of each confirmatory contrast of a family, on the copies and for 24 epochs.
CONTRASTS = {
    "MobileNet": (("16ch", "ordinary"), ("16ch", "narrow-parameters"), ("16ch", "narrow-flops")),
    "MobileNet V3 Large": (("16ch", "ordinary"), ("16ch", "narrow-parameters")),
    "EfficientNet-B0": (("16ch", "ordinary"), ("16ch", "narrow-parameters")),
}


def stage(name):
    """The stage with a name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    for candidate in (*STAGES, *GPU_STAGES):
        if candidate.name == name:
            return candidate
    known = ", ".join(repr(candidate.name) for candidate in (*STAGES, *GPU_STAGES))
    raise ValueError(f"`stage` must be one of {known}. Received: stage={name!r}.")


def recipe_of(network, dataset, epochs, seed, rate):
    """The recipe of one training.

    Args:
        network: `Arm`.
        dataset: str, `COPIES` or `FASHION`.
        epochs: int >= 1.
        seed: int, decides initial weights, order, augmentation and the images for validation.
        rate: float > 0, highest learning rate.
    """
    return RECIPE.replace(
        image_size=network.image_size,
        epochs=positive_integer("epochs", epochs),
        seed=seed,
        learning_rate=dataclasses.replace(RECIPE.learning_rate, peak=rate),
        # Enlarged by zeros from 28 pixels, a picture of clothes on black stays what it is.
        margin="zeros" if dataset == FASHION else RECIPE.margin,
    )


def rates_to_search(losses):
    """The rates that a search still needs: the first two, and more until half and double the best one are known.

    None lies outside of `LOWEST_RATE` to `HIGHEST_RATE`: a search whose best rate is one of these two ends there.

    Args:
        losses: dict from rate to validation loss, of the runs that are complete; infinite or NaN for one that failed.

    Returns:
        List of float, the rates without a result that have to be tried next; empty when the search is over.
    """
    missing = [rate for rate in SEARCH_RATES if rate not in losses]
    if missing:
        return missing
    best = min(losses, key=lambda rate: losses[rate] if math.isfinite(losses[rate]) else math.inf)
    return [rate for rate in (best / 2, best * 2) if rate not in losses and LOWEST_RATE <= rate <= HIGHEST_RATE]


def chosen_rate(losses):
    """The rate that a search chooses: the vertex of the parabola through the best loss and its two neighbours.

    Args:
        losses: dict from rate to validation loss, of a search that is over (`rates_to_search` has no more).

    Returns:
        float, rounded to two significant digits; the best rate itself, where a neighbour is missing because the
        range ends there, or failed.

    Raises:
        ValueError: if the search is not over.
    """
    if rates_to_search(losses):
        raise ValueError(f"`losses` must be those of a complete search. Received: losses={losses}.")
    losses = {rate: loss if math.isfinite(loss) else math.inf for rate, loss in losses.items()}
    rates = sorted(losses)
    best = min(range(len(rates)), key=lambda index: losses[rates[index]])
    near = rates[max(best - 1, 0) : best + 2]
    values = [losses[rate] for rate in near]
    if len(near) < 3 or not all(math.isfinite(value) for value in values):
        return float(f"{rates[best]:.1e}")  # a neighbour that failed says no more than that it is worse
    curvature, slope, _ = np.polyfit(np.log2(near) - np.log2(near[1]), values, 2)
    shift = 0.0 if curvature <= 0 else float(np.clip(-slope / (2 * curvature), -1, 1))
    return float(f"{near[1] * 2**shift:.1e}")
