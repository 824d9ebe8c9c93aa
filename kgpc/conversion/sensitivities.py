"""What it costs a network to have one of its layers grouped, measured on images."""

import collections
import numbers

import keras
import numpy as np
import pandas as pd

from kgpc.arguments import integer, positive_integer, received
from kgpc.conversion import conversion, kinds, warm
from kgpc.conversion.fitting import Fit
from kgpc.conversion.pairs import Networks
from kgpc.conversion.streams import Stream
from kgpc.grouping import D6, Scheme

COLUMNS = ("layer", "channels_per_group", "groups", "cost")


def sensitivity(model, images, *, channels_per_group=(8, 16, 32, 64, 128), kind=D6, seed=0):
    """Measures for each layer that can be grouped what that costs, for several channels per group.

    One layer at a time is replaced by its sub-network, fitted by least squares to what the layer returned; all others
    stay. The cost is how far the output of the network moves: the mean square of the difference, where the variance of
    the output over images is 1. It is measured on a fifth of the images, on which nothing was fitted.

    Layers that are called more than once have no row: one call alone is replaced at a time.

    It is what `kgpc.convert(model, "auto", budget=..., sensitivity=...)` asks for. Costs of several layers are not
    simply the sum, and fine-tuning makes good for much: what is comparable is one layer with another.

    Args:
        model: functional or Sequential Keras model, trained.
        images: array of at least two images as the network takes them, or a list of arrays for several inputs.
        channels_per_group: int >= 1, or a sequence of them.
        kind: subclass of `kgpc.grouping.Scheme`, called with channels per group.
        seed: int >= 0, of the choice of pixels.

    Returns:
        `pandas.DataFrame` with a row for each layer and each number of channels per group under which it would be
        grouped and have fewer parameters: `layer` (str, path), `channels_per_group`, `groups` (int) and `cost` (float
        >= 0).

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if images or weights are not finite, the shape of the images does not fit, a number is out of range,
            no layer called once would be grouped, the outputs are not finite, or those for the images that are set
            aside do not differ.
    """
    several = [channels_per_group] if isinstance(channels_per_group, numbers.Integral) else channels_per_group
    if not isinstance(several, list | tuple | range | np.ndarray):
        raise TypeError(
            f"`channels_per_group` must be an integer or a sequence of them. {received('channels_per_group', several)}"
        )
    several = sorted({positive_integer("channels_per_group", number) for number in several})
    if not several:
        raise ValueError("`channels_per_group` must hold at least one integer. Received: none.")
    if not (isinstance(kind, type) and issubclass(kind, Scheme) and kind is not Scheme):
        raise TypeError(f"`kind` must be a kind of scheme, such as kgpc.D6. {received('kind', kind)}")
    seed = integer("seed", seed, smallest=0)
    plans = [(number, conversion.plan(model, kind(number))) for number in several]
    images = warm.check_images(images, model)
    warm.check_finite("model", model)
    rows = [row for number, plan in plans if plan.subnetworks for row in _rows(model, plan, number, images, seed)]
    if not rows:
        raise ValueError(
            f"`model` must have a layer that is grouped at one of {several} channels per group and called once. "
            f"Received: the model {model.name!r}, in which none is."
        )
    order = {layer: place for place, layer in enumerate(dict.fromkeys(row["layer"] for row in rows))}
    rows.sort(key=lambda row: (order[row["layer"]], row["channels_per_group"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(model, plan, number, images, seed):
    """The rows of all layers for one number of channels per group."""
    networks = Networks(plan.model, model)
    places = {step: place for place, step in enumerate(networks.original.steps)}
    calls = collections.Counter(step.operation for step in networks.original.steps)
    pairs = [pair for pair in networks.pairs if calls[pair.unit.layer] == 1]
    pairs.sort(key=lambda pair: places[pair.target.step])
    read = [pair.layer.inputs[0] for pair in pairs]
    # Twice: for the fit, and so that the target is there when it is replaced.
    stream = Stream(networks.original, images, [*read, *(pair.target for pair in pairs for _ in range(2))])
    aside, unchanged, rows = max(1, len(images[0]) // 5), None, []
    for pair in pairs:
        inputs = pair.read(stream.take(pair.layer.inputs[0]))
        target = stream.take(pair.target)
        if unchanged is None:
            unchanged = stream.outputs(pair.target, target)
            _check_outputs(model, unchanged, aside)
        found = _fitted(pair, inputs, target, aside, seed)
        outputs = stream.outputs(pair.target, found)
        stream.take(pair.target)
        errors = [
            warm.relative_error(warm.flatten(after[-aside:]), warm.flatten(before[-aside:]))
            for after, before in zip(outputs, unchanged, strict=True)
        ]
        rows.append(
            {
                "layer": pair.unit.path,
                "channels_per_group": number,
                "groups": pair.stages()[0][0].operation.groups,
                "cost": float(np.mean(errors)),
            }
        )
    return rows


def _check_outputs(model, outputs, aside):
    """Raises ValueError where outputs are not finite or do not differ: no share of their variance can be said."""
    for output in outputs:
        if not np.isfinite(output).all():
            raise ValueError(
                "`images` must be images for which the outputs of `model` are finite. "
                f"Received: {len(output)} images, for which {model.name!r} returns NaN or infinity."
            )
        values = warm.flatten(output[-aside:])
        if np.square(values - values.mean(axis=0, dtype=np.float64)).sum() <= 1e-12 * max(
            np.square(values).sum(), 1e-12
        ):
            raise ValueError(
                "`images` must be images for which the outputs of `model` differ; a fifth of them is set aside for "
                f"that. Received: {len(output)} images; for the last {aside} of them {model.name!r} returns "
                f"{'one output alone' if len(values) == 1 else 'the same'}. A network that was not trained may do so."
            )


def _fitted(pair, inputs, target, aside, seed):
    """What the sub-network returns in place of a unit, fitted on all images but those set aside."""
    before, wanted = warm.wanted(pair, inputs, target)
    flat = warm.flatten(inputs)
    pixels = len(flat) // len(inputs)
    chosen = np.random.default_rng(seed).permutation(len(flat) - aside * pixels)[: warm.MOST_PIXELS]
    fit = Fit(pair)
    fit.least_squares(flat[chosen], before[chosen], wanted[chosen])
    found = fit.predict(flat).reshape(target.shape)
    if kinds.has_other_activation(pair.unit.layer):
        found = keras.ops.convert_to_numpy(pair.unit.layer.activation(found))
    return found
