"""Weights carried over from a trained network to its grouped twin, layer after layer."""

import keras
import numpy as np
import pandas as pd

from kgpc.arguments import boolean, integer, received
from kgpc.conversion import kinds, ordering
from kgpc.conversion.fitting import Fit, normalize, pre_activations
from kgpc.conversion.pairs import Networks
from kgpc.conversion.streams import Stream, to_numpy

MOST_PIXELS = 16_384  # that a unit is fitted on
COLUMNS = ("layer", "groups", "pixels", "error_least_squares", "error")


def warm_start(converted, original, images, *, steps=200, permute=True, seed=0):
    """Gives a converted network the weights with which it computes nearly what the trained original computes.

    Layers that both networks have get the original's weights, and what was kept of a separable convolution gets its.
    Then the networks are computed side by side on a sample of images, layer after layer. Where grouped convolutions
    took the place of a pointwise one, they are fitted to return what that one returns, from what the converted network
    has computed so far, so that later layers make good for the errors of earlier ones: first each convolution by least
    squares, then all of the unit by a few hundred steps of Adam on the square error. All batch normalizations from
    there on get the statistics of the sample, but for those that are the original's own as they could not be copied.

    Before that, channels are given another order where nobody can see it: where a pointwise convolution is alone in
    writing or reading them, with layers between that treat each channel by itself, channels with strong connections
    come into the same group. Outputs of the network keep their order; feature maps in between may not.

    No labels are used. Go on with fine-tuning, for example with `distill`.

    Args:
        converted: what `kgpc.convert` made of `original`. It is changed in place; its present weights do not matter.
        original: functional or Sequential Keras model, trained. It is not changed.
        images: array of at least two images as the networks take them, or a list of arrays for several inputs. A few
            hundred are enough; a fifth of them is set aside to measure the errors.
        steps: int >= 0, steps of Adam for each unit; 0 leaves what least squares found.
        permute: bool, whether channels may be reordered.
        seed: int >= 0, of the choice of pixels.

    Returns:
        `pandas.DataFrame` with a row for each unit, in the order of computation:
        - `layer`: str, path of the layer of the original.
        - `groups`: int, of the first convolution that took its place.
        - `pixels`: int, that the unit was fitted on.
        - `error_least_squares`, `error`: float, relative square error of the unit's output, on the images set aside,
          after least squares and at the end: 0 is perfect, 1 as good as the mean of each channel. It includes what
          earlier units did wrong. NaN where the images set aside give one value alone, which says nothing.

    Raises:
        TypeError: if a network is neither functional nor Sequential, `images` are no numbers, or another argument is of
            another type.
        ValueError: if `converted` is no twin of `original`, such as where a layer with weights has no partner of its
            name, weights or images are not finite, the shape of the images does not fit, there are fewer than two, or a
            number is out of range. `converted` is as it was then.
    """
    steps, seed = integer("steps", steps, smallest=0), integer("seed", seed, smallest=0)
    permute = boolean("permute", permute)
    networks = Networks(converted, original)
    images = check_images(images, original)
    for argument, model in (("original", original), ("converted", converted)):
        check_finite(argument, model)
    before = converted.get_weights()
    try:
        for mine, other in networks.kept:
            mine.set_weights(other.get_weights())
        _finalize(networks)
        for pair in networks.pairs:
            for step in pair.before:
                if getattr(step.operation, "weights", None):  # the depthwise half of a separable convolution
                    step.operation.set_weights([keras.ops.convert_to_numpy(pair.unit.layer.depthwise_kernel)])
        orders = ordering.find(networks, images) if permute else ordering.Orders(networks)
        orders.apply()
        return _Carrier(networks, images, orders, steps, seed).run()
    except BaseException:
        converted.set_weights(before)
        _finalize(networks)
        raise


def _finalize(networks):
    """Has layers such as Normalization derive again from their weights what they compute with."""
    parts = [part for mine, _ in networks.kept for part in mine._flatten_layers() if hasattr(part, "finalize_state")]
    for part in parts:
        part.finalize_state()
    model = networks.converted.model
    for name in ("train", "test", "predict") if parts else ():
        if getattr(model, f"{name}_function", None) is not None:  # it was compiled with the values of before
            getattr(model, f"make_{name}_function")(force=True)


class _Carrier:
    """Computes both networks side by side and fits each unit when its input is known."""

    def __init__(self, networks, images, orders, steps, seed):
        self._orders, self._steps, self._seed = orders, steps, seed
        self._pairs = {pair.steps[0]: pair for pair in networks.pairs}
        self._ends = {pair.steps[-1]: pair for pair in networks.pairs}
        self._fitted = {id(step.operation) for pair in networks.pairs for step in pair.steps}
        # Layers that could not be copied are the original's own, which does not change.
        self._foreign = {id(weight) for weight in networks.original.model.weights}
        wanted = [value for pair in networks.pairs for value in (pair.layer.inputs[0], pair.target)]
        self._original = Stream(networks.original, images, wanted)
        self._converted = Stream(networks.converted, images)
        self._targets, self._rows = {}, {}
        self._aside = max(1, len(images[0]) // 5)

    def run(self):
        changed, done = set(), set()
        while not self._converted.done:
            step = self._converted.peek()
            pair = self._pairs.get(step)
            if pair is not None:
                self._fit(pair)
            layer = step.operation
            fresh = id(layer) in self._fitted or any(value in changed for value in step.inputs)
            if fresh:
                changed.update(step.outputs)
                if (
                    kinds.is_normalization(layer)
                    and layer.trainable
                    and id(layer) not in done
                    and not self._is_shared(layer)
                ):
                    done.add(id(layer))
                    values = self._converted.tensors[step.inputs[0]]
                    values = np.moveaxis(values, layer.axis, -1).reshape(-1, values.shape[layer.axis])
                    # A unit was fitted as it is; the layers behind it are to see what they saw in the original.
                    normalize(layer, values, same=id(layer) in self._fitted)
            end = self._ends.get(step)
            self._converted.advance()
            if end is not None:
                self._measure(end)
        return pd.DataFrame(list(self._rows.values()), columns=list(COLUMNS))

    def _is_shared(self, layer):
        """Whether a layer of the converted network has weights of the original."""
        return any(id(weight) in self._foreign for weight in layer.weights)

    def _fit(self, pair):
        inputs = self._converted.tensors[pair.inputs]
        read = pair.read(self._original.take(pair.layer.inputs[0]))
        before, target = wanted(pair, read, self._original.take(pair.target))
        order = self._orders.of(pair.target)
        before, target, flat = before[:, order], target[:, order], flatten(inputs)
        aside = self._aside * (len(flat) // len(inputs))
        chosen = np.random.default_rng(self._seed).permutation(len(flat) - aside)[:MOST_PIXELS]
        fit = Fit(pair)
        fit.least_squares(flat[chosen], before[chosen], target[chosen])
        error = relative_error(fit.predict(flat[-aside:]), target[-aside:])
        if self._steps:
            fit.descend(flat[chosen], target[chosen], self._steps, self._seed)
            fit.restate(flat[chosen])
        for layer, weights in fit.weights():
            layer.set_weights(weights)
        groups = next(step.operation.groups for step in pair.stages()[0])
        self._targets[pair] = target[-aside:]
        self._rows[pair] = {
            "layer": pair.unit.path,
            "groups": groups,
            "pixels": len(chosen),
            "error_least_squares": error,
        }

    def _measure(self, pair):
        target = self._targets.pop(pair)
        found = flatten(self._converted.tensors[pair.outputs])[-len(target) :]
        self._rows[pair]["error"] = relative_error(found, target)


def relative_error(found, target):
    """Square error of an array `(n, channels)`, where that of the means of the channels is 1; NaN where that is 0."""
    mean = target.mean(axis=0, dtype=np.float64).astype(np.result_type(target.dtype, np.float32))
    error, spread, size = (
        np.square(values).sum(dtype=np.float64) for values in (found - target, target - mean, target)
    )
    if spread <= 1e-12 * max(size, 1e-12):
        return 0.0 if error <= 1e-9 * max(size, 1e-9) else float("nan")
    return float(error / spread)


def wanted(pair, inputs, target):
    """What a unit has before its activation, and what its sub-network is to return: arrays `(pixels, filters)`.

    Args:
        pair: `kgpc.conversion.pairs.Pair`.
        inputs: array, what the 1x1 kernel reads.
        target: array, what the unit returns.
    """
    before = flatten(pre_activations(pair, inputs))
    # An activation of several channels comes once, behind the sub-network.
    return before, before if kinds.has_other_activation(pair.unit.layer) else flatten(target)


def flatten(values):
    """An array as one of pixels, `(pixels, channels)`."""
    return values.reshape(-1, values.shape[-1])


def check_images(images, model):
    """A sample of images as a list of arrays, one for each input of a model; see `warm_start`.

    They have the dtype of the input, but float32 where that has two bytes.
    """
    inputs = keras.tree.flatten(model.inputs)
    given = list(images) if isinstance(images, list | tuple) and len(inputs) > 1 else [images]
    if len(given) != len(inputs):
        raise ValueError(
            f"`images` must be a list of {len(inputs)} arrays, one for each input. Received: {len(given)}."
        )
    arrays = []
    for values, tensor in zip(given, inputs, strict=True):
        try:
            array = np.asarray(values)
        except (TypeError, ValueError):
            array = np.asarray(None)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"`images` must be an array of numbers. {received('images', values)}")
        expected = tuple(tensor.shape[1:])
        shape = array.shape[1:]
        fits = len(shape) == len(expected) and all(
            size in (None, found) for size, found in zip(expected, shape, strict=True)
        )
        if array.ndim < 2 or not fits:
            raise ValueError(
                f"`images` must have the shape (n, *{expected}). Received: an array of shape {array.shape}."
            )
        if len(array) < 2:
            raise ValueError(f"`images` must hold at least two images. Received: {len(array)}.")
        if not np.isfinite(array).all():
            raise ValueError("`images` must be finite. Received: an array with NaN or infinite values.")
        arrays.append(array.astype("float32" if "float16" in tensor.dtype else tensor.dtype))
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(f"`images` must be as many for each input. Received: {[len(array) for array in arrays]}.")
    return arrays


def check_finite(argument, model):
    """Raises ValueError where a weight of a model is NaN or infinite."""
    for weight in model.weights:
        values = to_numpy(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"`{argument}` must have finite weights. Received: {weight.path!r} has NaN or infinity.")
