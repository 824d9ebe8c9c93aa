"""The exercises of notebook 13, Your own images."""

import numpy as np

from kgpc import training
from kgpc.exercises.kinds import Choice, Number, Numbers


def _learning_weights(classes=6):
    """Weights of the classifier of a narrow kMobileNet."""
    from kgpc.applications import kMobileNet

    model = kMobileNet(input_shape=(32, 32, 3), weights=None, classes=classes, alpha=0.25)
    return sum(int(np.prod(weight.shape)) for weight in model.get_layer("conv_preds").trainable_weights)


def _image_weights(*counts):
    """What an image of each class weighs in a training."""
    labels = np.repeat(np.arange(len(counts)), counts)
    recipe = training.Recipe(epochs=1, image_size=1, batch_size=len(labels), class_weight="balanced")
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    _, shown, weights = training.Batches(images, labels, recipe)[0]
    return [float(weights[shown == label][0]) for label in range(len(counts))]


def _weights():
    cat, dog = _image_weights(90, 10)
    return dog / cat, _image_weights(50, 50)[0]


EXERCISES = {
    "13.1": Number(
        "a number of weights",
        _learning_weights,
        hints={
            "The classifier has a bias, too.": lambda: _learning_weights() - 6,
            "That is for one class.": lambda: _learning_weights(1),
        },
    ),
    "13.2": Choice(
        "a way to make a picture square",
        ("pad", "crop", "stretch"),
        lambda: "pad",
        hints={
            "crop": "What lies near the edges is lost.",
            "stretch": "Letters become narrower or wider.",
        },
    ),
    "13.3": Numbers(
        "the accuracy, that of always saying cat, and the mean of the two recalls, each from 0 to 1",
        lambda: ((140 + 20) / 200, 150 / 200, (140 / 150 + 20 / 50) / 2),
        tolerance=0.005,
        hint="Recall is a share of the images of one class, accuracy of all images.",
    ),
    "13.4": Numbers(
        "how many times as much a dog weighs, and what an image weighs where classes are equally large",
        _weights,
        tolerance=0.001,
        hint="All images of a class together weigh as much as those of any other, and the mean over all images is 1.",
    ),
}
