#!/usr/bin/env python3
"""Fine-tunes a trained network of the experiment for larger images, and stores it in `data/weights` with its card.

    python data/fine_tune_larger.py OUTPUT --images FOLDER

The network is kMobileNet 16ch, trained at 33x33 pixels. Its last maps have 2x2 cells there, too few to see in them
where in an image the evidence for a class lies; at 97x97 pixels they have 6x6. FOLDER has `train/<class>/` and
`test/<class>/` with images of 32x32 pixels, which are enlarged smoothly. OUTPUT keeps the training, which goes on after
an interruption.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np

from kgpc import D6, applications, included, training, weight_archives
from kgpc.paper import protocol
from kgpc.paper.selection import load_dataset

START = "kmobilenet_16ch_cifar10_copies"
NAME = "kmobilenet_16ch_cifar10_copies_97px"
TIMES = 3
"""How many times the sides of the images are enlarged."""
EPOCHS = 3
COMMAND = "python data/fine_tune_larger.py OUTPUT --images FOLDER"


def recipe(times=TIMES, epochs=EPOCHS):
    """The experiment's recipe for images that are `times` as large, with a low rate. Seed and validation split stay."""
    shift = times * protocol.RECIPE.augmentation.shift_pixels
    return protocol.RECIPE.replace(
        name="larger images",
        image_size=times * 32 + 1,
        epochs=epochs,
        learning_rate=training.OneCycle(peak=0.004, warmup_fraction=0.2),
        augmentation=dataclasses.replace(protocol.RECIPE.augmentation, shift_pixels=shift),
        seed=included.find(START).seed,
    )


def enlarged(data, times=TIMES):
    """The data set with images that are `times` as large, by cubic interpolation."""

    def larger(images):
        side = times * images.shape[1]
        return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in images])

    return dataclasses.replace(data, x_train=larger(data.x_train), x_test=larger(data.x_test))


def fine_tune(data, own, output, folder):
    """Trains and stores the network.

    Args:
        data: `kgpc.datasets.ImageDataset` of the images, enlarged.
        own: the `kgpc.training.Recipe`.
        output: path of the folder of the training.
        folder: path of the folder for weights and card.

    Returns:
        The `kgpc.included.Card`.
    """
    card = included.find(START)
    model = training.build(
        applications.kMobileNet, own, weights=card.name, classes=card.classes, scheme=D6(16), **card.arguments
    )
    training.fit(model, data, own, folder=Path(output) / NAME)
    weight_archives.round_to_stored(model)
    evaluation = training.evaluate(model, data, own)
    kept = {key: value for key, value in own.as_dict().items() if key not in ("epochs", "seed", "image_size")}
    return weight_archives.write(
        model,
        folder,
        name=NAME,
        family=card.family,
        scheme=card.scheme,
        arguments=card.arguments,
        dataset=card.dataset,
        classes=card.classes,
        epochs=own.epochs,
        image_size=f"{own.image_size}x{own.image_size}",
        images=card.images,
        recipe={**kept, "begun with": card.name},
        seed=own.seed,
        test_accuracy=evaluation.accuracy,
        test_images=evaluation.images,
        command=COMMAND,
    )


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", metavar="OUTPUT", help="folder of the training")
    parser.add_argument("--images", required=True, metavar="FOLDER", help="with train/<class>/ and test/<class>/")
    options = parser.parse_args(arguments)
    data = enlarged(load_dataset(protocol.COPIES, 32, options.images))
    card = fine_tune(data, recipe(), options.output, Path(__file__).resolve().parent / "weights")
    print(f"{card}: {card.test_accuracy:.2%} of {card.test_images:,} test images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
