"""The loss of every training step, smoothed so that networks can be compared."""

import numpy as np

from kgpc.arguments import mapping, positive_integer
from kgpc.plots import arguments
from kgpc.plots.charts import line_chart


def step_losses(losses, title=None, guessing=None, points=15):
    """Training losses against the training step; a single batch is a noisy measurement, so each point is a mean.

    Args:
        losses: dict from the name of a network to the losses of its steps, shape `(n,)`, cross-entropies in nats.
        title: str or None.
        guessing: int >= 1 or None, number of classes; a dotted line then shows the loss of guessing, its logarithm.
        points: int >= 1, into how many pieces the training is divided.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no training or there are more than eight, they have different lengths, or fewer steps
            than `points`, or a loss is not finite.
    """
    points = positive_integer("points", points)
    if guessing is not None:
        guessing = positive_integer("guessing", guessing)
    mapping("losses", losses, "numbers")
    arguments.drawable("losses", losses)
    arguments.labels(title)
    losses = {name: arguments.array(f"losses[{name!r}]", values, (1,)) for name, values in losses.items()}
    lengths = {len(values) for values in losses.values()}
    if len(lengths) != 1 or min(lengths) < points:
        raise ValueError(
            f"`losses` must have the same number of steps for each network, at least {points}. Received: {lengths}."
        )
    (steps,) = lengths
    figure = line_chart(
        [piece.mean() for piece in np.array_split(np.arange(1, steps + 1), points)],
        {name: [piece.mean() for piece in np.array_split(values, points)] for name, values in losses.items()},
        xlabel="training step",
        ylabel="training loss (cross-entropy, nats)",
        title=title,
        levels=None if guessing is None else {"guessing": np.log(guessing)},
    )
    figure.axes[0].yaxis.set_major_formatter("{x:g}")
    return figure
