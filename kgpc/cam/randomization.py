"""The test by randomization: a map of what a model has learned must change when its weights are no longer learned."""

import typing

import numpy as np

from kgpc import graph
from kgpc.arguments import boolean, integer, received
from kgpc.cam.arguments import check_images
from kgpc.cam.classifiers import check_model
from kgpc.cam.gradient_maps import grad_cam
from kgpc.cam.gradients import outside_of_traces
from kgpc.cam.scores import Scorer
from kgpc.cam.similarity import rank_correlation, structural_similarity
from kgpc.unrolled import Unrolled


class Randomization(typing.NamedTuple):
    """Maps of a model whose weights are randomized step by step, and how alike they are to those it had before.

    Attributes:
        layers: list of str, the layer down to which weights are random in each step, from the top; or, independently,
            the only one.
        original: float32 array (n, map height, map width), or (n, k, ...) for k classes: the maps of the model.
        maps: the same with the steps as first dimension.
        rank_correlations: float64 array (steps, n), or (steps, n, k), see `rank_correlation`; NaN for empty maps.
        similarities: float64 array of the same shape, see `structural_similarity`; NaN for maps under 3x3 cells.
    """

    layers: list
    original: np.ndarray
    maps: np.ndarray
    rank_correlations: np.ndarray
    similarities: np.ndarray


@outside_of_traces
def randomization_test(
    model, images, class_index=None, method=grad_cam, *, layers=None, cascading=True, seed=0, batch_size=32
):
    """Randomizes the weights of a model layer by layer, from its top down, and compares its maps with those before.

    A map that stays the same does not depend on what the model has learned: it shows edges of the image, say. The
    weights of a layer are randomized by a random order of the values of each array. So their mean and their size stay
    what the layers around expect, and what was learned is gone. (The reference draws them as before training.)

    Args:
        model: a functional or Sequential Keras model with its classifier. It is not changed: a copy is.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: as in `grad_cam`. Default: for each image the class that `model` predicts, in all steps.
        method: what makes the maps: a function of model, images and `class_index`, with `batch_size`, that returns what
            `grad_cam` returns, such as `layer_cam`, or one with some arguments given
            (`functools.partial(grad_cam, layer="block3")`).
        layers: sequence of names of layers with weights, or None for all. Maps are made when each of them is reached;
            the order is that of the model in either case. Layers of models within the model are named
            "inner model/layer", or alone where that says which.
        cascading: bool, whether layers stay randomized when the next one below is reached, and so does what lies
            between two of `layers`. False: one of `layers` at a time, all others as they were trained.
        seed: int in [0, 2**32), the same seed gives the same weights.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        `Randomization`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a layer does not exist, has no weights or cannot be copied, if `layers` is empty, or as `method`.

    Reference: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv:1810.03292.
    """
    unrolled = check_model(model)
    images = check_images(unrolled, images)
    cascading, seed = boolean("cascading", cascading), integer("seed", seed, 0, 2**32 - 1)
    if not callable(method):
        raise TypeError(f"`method` must be a function such as `kgpc.cam.grad_cam`. {received('method', method)}")
    copy = Unrolled(_copied(model))
    from_the_top = _layers_with_weights(copy)
    chosen = _chosen(copy, from_the_top, layers)
    if class_index is None:
        class_index = Scorer(unrolled).predicted(images, batch_size)
    original = method(model, images, class_index, batch_size=batch_size)
    generator = np.random.RandomState(seed)  # its stream is frozen, that of `default_rng` may change
    names, maps = [], []
    for name, layer in from_the_top:
        trained = layer.get_weights()
        # All are drawn, also those that are not wanted: so the weights of a layer are the same whatever is asked for.
        random = [generator.permutation(array.ravel()).reshape(array.shape) for array in trained]
        if cascading or name in chosen:
            _set(layer, random)
        if name in chosen:
            names.append(name)
            maps.append(method(copy.model, images, class_index, batch_size=batch_size))
            if not cascading:
                _set(layer, trained)
    maps = np.stack(maps)
    before = np.broadcast_to(original, maps.shape)
    similarities = np.full(maps.shape[:-2], np.nan)
    if min(maps.shape[-2:]) >= 3:
        similarities = structural_similarity(before, maps)
    return Randomization(names, original, maps, rank_correlation(before, maps), similarities)


def _copied(model):
    """A copy of a model all of whose weights are its own."""
    network = graph.Network(model)
    for part in network.graphs:
        for call in part.calls:
            layer = call.operation
            if not getattr(layer, "weights", None) or graph.is_readable(layer):
                continue
            why = graph.why_not_copied(layer) or (network.is_entangled(layer) and "it shares weights with another")
            if why:
                raise ValueError(f"`model` must have layers that can be copied. Received: {layer.name!r}: {why}.")
    return graph.rewrite(network)


def _layers_with_weights(unrolled):
    """Pairs of name and layer, once each, from the output to the input."""
    found = {}
    for step in unrolled.steps:
        if getattr(step.operation, "weights", None):
            found.pop(id(step.operation), None)  # what is called again counts where it is called last
            found[id(step.operation)] = (step.name, step.operation)
    return list(reversed(found.values()))


def _set(layer, arrays):
    layer.set_weights(arrays)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()  # such as Normalization, which computes with values derived from its weights


def _chosen(unrolled, from_the_top, layers):
    """Names of the layers at which maps are made."""
    known = [name for name, _ in from_the_top]
    if not known:
        raise ValueError(f"`model` must have layers with weights. Received: {unrolled.model.name!r}, which has none.")
    if layers is None:
        return set(known)
    if not isinstance(layers, list | tuple):
        raise TypeError(f"`layers` must be a list of names of layers, or None. {received('layers', layers)}")
    if not layers:
        raise ValueError(f"`layers` must name at least one layer. {received('layers', layers)}")
    chosen = set()
    for layer in layers:
        matches = [name for name in known if isinstance(layer, str) and (name == layer or name.endswith(f"/{layer}"))]
        matches = [layer] if layer in matches else matches
        if len(matches) != 1:
            raise ValueError(
                f"`layers` must hold names of layers with weights, from the top {', '.join(map(repr, known[:8]))}"
                f"{', ...' if len(known) > 8 else ''}. Received: {layer!r}"
                f"{f', which stands for {len(matches)} of them' if matches else ''}."
            )
        chosen.update(matches)
    return chosen
