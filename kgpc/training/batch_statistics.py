"""The moving averages of batch normalization, taken anew with the weights as they are."""

import keras
import numpy as np

from kgpc.arguments import positive_integer
from kgpc.training.batches import prepare, split
from kgpc.training.fitting_checks import check_data, check_model
from kgpc.training.recipes import check_recipe


def renew_moving_averages(model, data, recipe, images=512):
    """Replaces the moving averages of all batch normalizations by plain averages over training images.

    In training a network uses the mean and variance of the batch, in prediction moving averages of them. After a short
    training, or with a momentum near 1, these are still those of weights that are gone. What the weights have learned
    shows with averages that are taken anew: no weight that is trained changes.

    Args:
        model: Keras model whose output is class probabilities; its moving averages are replaced.
        data: `kgpc.datasets.ImageDataset`; its training images are used, without augmentation.
        recipe: `Recipe`; its batch size, its image size and which images are for training count.
        images: int >= 1, how many of these images to use at most; the recipe's seed draws them.

    Raises:
        TypeError, ValueError: if an argument is something else, or they do not fit together.
    """
    check_recipe(recipe)
    images = positive_integer("images", images)
    check_data(data, "train")
    check_model(model, recipe, len(data.class_names))
    normalizations = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    before = [layer.momentum for layer in normalizations]
    chosen = np.random.default_rng(recipe.seed).permutation(split(data.y_train, recipe)[0])[:images]
    # Batches of one size, so that each counts as much as the others.
    starts = range(0, max(len(chosen) - recipe.batch_size, 0) + 1, recipe.batch_size)
    try:
        for number, start in enumerate(starts):
            for layer in normalizations:
                layer.momentum = number / (number + 1)  # the average of number + 1 batches
            batch = np.asarray(data.x_train[np.sort(chosen[start : start + recipe.batch_size])])
            model(prepare(batch, recipe), training=True)
    finally:
        for layer, momentum in zip(normalizations, before, strict=True):
            layer.momentum = momentum
