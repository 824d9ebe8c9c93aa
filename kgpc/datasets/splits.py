"""Draws examples at random and divides them, the same share of every class, the same way on every computer."""

import numbers

import numpy as np

from kgpc.arguments import shown
from kgpc.datasets.arguments import check_fraction, check_labels, check_seed


def stratified_indices(labels, per_class, seed=0):
    """Draws the same number of examples of every class, at random, without repetition.

    Args:
        labels: int array `(n,)`, the class of each example.
        per_class: int >= 1, examples of each class; or a dict {label: int >= 1} with a number for every class.
        seed: int in [0, 2**32). The same seed draws the same examples with every version of NumPy.

    Returns:
        int64 array of indices into `labels`, ascending.

    Raises:
        TypeError: if `labels` are no ints, or `seed` is no int.
        ValueError: if `labels` is not one-dimensional or empty, if `seed` is out of range, if `per_class` gives a class
            of `labels` no number or one that is no int, or if a class has fewer examples than asked for.
    """
    labels, seed = check_labels("labels", labels), check_seed(seed)
    if not len(labels):
        raise ValueError("`labels` must have at least one label. Received: labels.shape=(0,).")
    # The older generator is used on purpose: its stream is frozen, that of `default_rng` may change between releases.
    generator = np.random.RandomState(seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = per_class.get(int(label)) if isinstance(per_class, dict) else per_class
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or not 1 <= count <= len(members):
            raise ValueError(
                f"`per_class` must be an int between 1 and the number of examples of each class; class {label} has "
                f"{len(members)}. Received: per_class={count!r}."
            )
        chosen.append(generator.permutation(members)[:count])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def train_validation_split(images, labels, validation_fraction=0.1, seed=0):
    """Sets a part of the training images aside for validation, the same share of every class.

    Args:
        images: array whose first axis is n.
        labels: int array `(n,)`.
        validation_fraction: float in (0, 1), share of the images that goes to validation, rounded for each class.
        seed: int in [0, 2**32), the same seed gives the same split.

    Returns:
        Tuple `(x_train, y_train, x_validation, y_validation)`; both parts keep the order of the images.

    Raises:
        TypeError: if `images` is no array, `labels` are no ints, or `seed` is no int.
        ValueError: if `images` and `labels` differ in length, `validation_fraction` is not in (0, 1), or a class would
            have no image in one of the parts.
    """
    labels, seed = check_labels("labels", labels), check_seed(seed)
    if not getattr(images, "shape", ()):
        raise TypeError(f"`images` must be an array with a first axis. Received: images={shown(images)}.")
    if len(images) != len(labels):
        raise ValueError(
            f"`images` and `labels` must have the same length. Received: {len(images)} images and {len(labels)} labels."
        )
    check_fraction("validation_fraction", validation_fraction)
    classes, counts = np.unique(labels, return_counts=True)
    per_class = {}
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        per_class[label] = round(count * validation_fraction)
        if not 0 < per_class[label] < count:
            raise ValueError(
                f"`validation_fraction` must leave every class at least one image in each part; class {label} has "
                f"{count} images. Received: validation_fraction={validation_fraction!r}."
            )
    in_validation = np.zeros(len(labels), bool)
    in_validation[stratified_indices(labels, per_class, seed)] = True
    return images[~in_validation], labels[~in_validation], images[in_validation], labels[in_validation]
