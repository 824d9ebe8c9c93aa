"""Which epoch of a training is the best: a function of its history alone, so that it can be checked afterwards."""

import math

COLUMNS = ("epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def improves(row, best, monitor):
    """Whether an epoch is better than the best before it; of equally good ones the first counts.

    Args:
        row: dict, the row of the epoch in the history.
        best: dict, that of the best epoch so far.
        monitor: str, as in `Recipe`.

    Returns:
        bool.
    """
    if monitor == "last":
        return True
    if monitor == "val_accuracy":
        return row["val_accuracy"] > best["val_accuracy"]
    return row["val_loss"] < best["val_loss"] or (math.isnan(best["val_loss"]) and not math.isnan(row["val_loss"]))


def best_epoch(history, monitor):
    """The best epoch of a history.

    Args:
        history: list of dict, one row for each epoch.
        monitor: str, as in `Recipe`.

    Returns:
        int, from 1; 0 if there is no epoch.
    """
    best = 0
    for number, row in enumerate(history, start=1):
        if not best or improves(row, history[best - 1], monitor):
            best = number
    return best
