"""How well a network does on images with known classes."""

import dataclasses

import numpy as np

from kgpc.training.batches import Batches, split
from kgpc.training.fitting_checks import check_data, check_labels, check_model
from kgpc.training.recipes import check_recipe


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a network does on images with known classes.

    Attributes:
        accuracy: float, fraction of the images whose class has the highest probability.
        loss: float, mean cross-entropy in nats; a probability below 1e-7 counts as 1e-7.
        images: int, their number.
        predictions: int64 array `(n,)`, the class with the highest probability, in the order of the images; -1 where
            a probability is not a number, which `evaluate` refuses.
        correct: bool array `(n,)`.
    """

    accuracy: float
    loss: float
    images: int
    predictions: np.ndarray
    correct: np.ndarray

    def __repr__(self):
        return f"<Evaluation: accuracy {self.accuracy:.4f}, loss {self.loss:.4f} on {self.images:,} images>"


def evaluate(model, data, recipe, part="test"):
    """Tests a network on the test images, or on the validation images of a recipe.

    Args:
        model: Keras model whose output is class probabilities.
        data: `kgpc.datasets.ImageDataset`.
        recipe: `Recipe`; its image size, colour space and range count, and its batch size for speed.
        part: "test" or "validation"; validation images are taken as they are, without augmentation.

    Returns:
        `Evaluation`.

    Raises:
        TypeError, ValueError: if network, data and recipe do not fit together, there are no images to test on, `part`
            is something else, or what the network answers are no numbers.

    Example:

        result = training.evaluate(model, data, training.QUICK)
        print(f"{result.accuracy:.1%} of {result.images} images")
    """
    check_recipe(recipe)
    if not isinstance(part, str) or part not in ("test", "validation"):
        raise ValueError(f'`part` must be "test" or "validation". Received: part={part!r}.')
    check_data(data, "test" if part == "test" else "train")
    check_model(model, recipe, len(data.class_names))
    images, labels = (data.x_test, data.y_test) if part == "test" else (data.x_train, data.y_train)
    labels = check_labels(labels, len(data.class_names), "y_test" if part == "test" else "y_train")
    indices = np.arange(len(labels)) if part == "test" else split(labels, recipe)[1]
    if not len(indices):
        raise ValueError("`data` must have test images to be tested on. Received: data.x_test of length 0.")
    result = evaluation_of(model, Batches(images, labels, recipe, training=False, indices=indices, fill=True))
    undefined = int(np.sum(result.predictions < 0))
    if undefined:
        raise ValueError(
            "`model` must answer with numbers. "
            f"Received: probabilities that are infinite or not a number for {undefined} of {result.images} images."
        )
    return result


def evaluation_of(model, batches):
    """The `Evaluation` of a network on batches that are filled up; an answer that is no number is wrong."""
    labels = np.concatenate([np.asarray(batches.labels)[batches.indices]] * batches.copies)
    probabilities = np.asarray(model.predict(batches, verbose=0), np.float64)[: len(labels)]
    predictions = np.where(np.isfinite(probabilities).all(axis=1), probabilities.argmax(axis=1), -1)
    of_label = probabilities[np.arange(len(labels)), labels]
    return Evaluation(
        accuracy=float(np.mean(predictions == labels)),
        loss=float(-np.log(np.clip(of_label, 1e-7, 1.0)).mean()),
        images=len(labels),
        predictions=predictions.astype(np.int64),
        correct=predictions == labels,
    )
