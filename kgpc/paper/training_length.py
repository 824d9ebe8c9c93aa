"""Whether the difference between 16ch and the ordinary network becomes smaller when both are trained for longer.

One seed of each length, so what is found is a hint and answers none of the protocol's questions.
"""

import math
import typing

import numpy as np
import pandas as pd

from kgpc import seeds
from kgpc.paper import protocol, verdicts

SEED = protocol.stage("length").seeds[0]
"""Seed of the runs whose difference is followed from one length to the other."""


def gaps(table, predictions=None, family="MobileNet"):
    """Accuracies of 16ch and the ordinary network after each length of training, and their difference.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it.
        predictions: as `kgpc.paper.experiment.predictions()` returns it; without those of a run its interval is NaN.
        family: str.

    Returns:
        `pandas.DataFrame`, validation images before test images, and of each the shortest training first: `epochs`,
        `seed`, `images` ("validation", after the last epoch, or "test"), `rates` (peak learning rates of the ordinary
        network and of 16ch), `ordinary` and `16ch` (percent), `difference` (points, 16ch minus ordinary), `low` and
        `high` (Student's interval at 95% over the test images, for other images and this seed; NaN for validation
        images). Of the search for rates, the run with the least validation loss of each network counts.
    """
    runs = _runs(table, family)
    # The best of a search; elsewhere there is one run of a kind.
    runs = runs.sort_values("validation_loss").drop_duplicates(["epochs", "seed", "variant"])
    rows = []
    for images, column in (("validation", "validation_accuracy"), ("test", "test_accuracy")):
        for (epochs, seed), members in runs.groupby(["epochs", "seed"]):
            pair = members.set_index("variant")
            found = 100 * pair[column].astype(float).reindex(["ordinary", "16ch"])
            if found.isna().any():
                continue
            gained = _gained(pair, predictions) if images == "test" else None
            limits = (math.nan, math.nan) if gained is None else seeds.mean_interval(gained, protocol.CONFIDENCE)[1:]
            rows.append(
                {
                    "epochs": int(epochs),
                    "seed": int(seed),
                    "images": images,
                    "rates": tuple(pair["peak_learning_rate"].astype(float)[["ordinary", "16ch"]]),
                    "ordinary": found["ordinary"],
                    "16ch": found["16ch"],
                    "difference": found["16ch"] - found["ordinary"],
                    "low": limits[0],
                    "high": limits[1],
                }
            )
    names = ["epochs", "seed", "images", "rates", "ordinary", "16ch", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=names)


class Yardstick(typing.NamedTuple):
    """How much the difference after the protocol's length scatters from seed to seed.

    Attributes:
        gaps: tuple of float, 16ch minus ordinary of each seed, in points.
        mean: float, their mean.
        same_seed: float, half of a 95% interval for the change of the difference of one seed from that of another
            training of the same seed, if seeds made all of it; in points.
        to_mean: float, the same for the change of one seed's difference from `mean`.
    """

    gaps: tuple
    mean: float
    same_seed: float
    to_mean: float


def yardstick(table, family="MobileNet"):
    """What seeds alone make of the difference, by which a change of one seed is to be measured.

    The scatter is the residual of the analysis that answers the protocol's questions (`kgpc.seeds.contrasts`), taken to
    be the same for all networks and lengths.

    Args:
        table: see `gaps`.
        family: see `gaps`.

    Returns:
        `Yardstick`; None while there are no two seeds with all networks of the family's questions.
    """
    accuracies = verdicts.accuracies(table, family, verdicts.networks_asked(family)).dropna()
    if len(accuracies) < 2:
        return None
    row = seeds.contrasts(accuracies, [("16ch", "ordinary")], protocol.CONFIDENCE).iloc[0]
    reach = seeds.student_quantile(int(row["degrees"]), (1 + protocol.CONFIDENCE) / 2) * row["residual"]
    single = (accuracies["16ch"] - accuracies["ordinary"]).tolist()
    # A difference of two networks has twice the variance of a residual, and so has that of two differences.
    return Yardstick(tuple(single), row["difference"], 2 * reach, reach * math.sqrt(2 * (1 + 1 / len(single))))


class Change(typing.NamedTuple):
    """How a difference changes between two lengths of training.

    Attributes:
        short: int, epochs of the shorter one.
        long: int, epochs of the longer one.
        points: float, difference after the longer one minus that after the shorter one; positive where 16ch gains.
        low: float, lower end of Student's interval at 95% over the test images, in points.
        high: float, upper end.
    """

    short: int
    long: int
    points: float
    low: float
    high: float


def change(table, predictions, family="MobileNet"):
    """How the difference on the test images changes from the protocol's length to three times as many epochs.

    Args:
        table: see `gaps`.
        predictions: see `gaps`.
        family: see `gaps`.

    Returns:
        `Change`, of one seed; None while one of the four runs, or its predictions, are missing.
    """
    lengths, runs = (protocol.RECIPE.epochs, protocol.stage("length").epochs), _runs(table, family)
    found = []
    for epochs in lengths:
        pair = runs[(runs["seed"] == SEED) & (runs["epochs"] == epochs)].set_index("variant")
        gained = _gained(pair, predictions)
        if gained is None:
            return None
        found.append(gained)
    return Change(*lengths, *seeds.mean_interval(found[1] - found[0], protocol.CONFIDENCE))


def _runs(table, family):
    """The runs of both networks on the copies with the seed of the longer training, and those of the search."""
    return table[
        (table["profile"] == protocol.PROFILE)
        & (table["family"] == family)
        & (table["dataset"] == protocol.COPIES)
        & table["variant"].isin(("ordinary", "16ch"))
        & table["seed"].isin((SEED, protocol.SEARCH_SEED))
    ].astype({"validation_loss": float})


def _gained(pair, predictions):
    """100 for each test image that 16ch alone recognizes, -100 for the ordinary network alone; None without both."""
    names = [pair["name"].get(key) for key in ("16ch", "ordinary")]
    if predictions is None or any(name not in predictions for name in names):
        return None
    true = predictions[f"true/{protocol.COPIES}"]
    correct = [(predictions[name] == true).astype(np.float64) for name in names]
    return 100 * (correct[0] - correct[1])
