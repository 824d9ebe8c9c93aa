"""What a model says of a class: its logit and its probability, which belong beside every map."""

import typing

import keras
import numpy as np
from keras import ops

from kgpc.arguments import received
from kgpc.cam.arguments import batches, check_images
from kgpc.cam.classifiers import (
    activations_after,
    check_finite,
    check_known,
    check_model,
    classifier_at_the_end,
    predicted,
)
from kgpc.cam.gradients import outside_of_traces, reader_of


class ClassScores(typing.NamedTuple):
    """Scores of classes of images, each array of shape (n,), or (n, k) for k classes of each image.

    Attributes:
        classes: int64 array, the classes asked for or predicted.
        logits: float32 array, values of the classes before softmax or sigmoid. NaN where the model ends in no
            classifier whose values before the activation can be read.
        probabilities: float32 array in [0, 1].
    """

    classes: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray

    def titles(self, class_names=None):
        """Texts of class, logit and probability, such as "cat: logit 3.1, 92%", in the shape of the arrays.

        Args:
            class_names: sequence of str, the names of all classes, or None for their numbers.

        Returns:
            List of n texts; of n lists of k texts for k classes of each image.

        Raises:
            TypeError: if `class_names` is no sequence.
            ValueError: if a class has no name.
        """
        if class_names is not None:
            listed = isinstance(class_names, list | tuple) or getattr(class_names, "ndim", 0) == 1
            if not listed:
                raise TypeError(f"`class_names` must be a sequence of names. {received('class_names', class_names)}")
            if len(class_names) <= (largest := self.classes.max()):
                raise ValueError(
                    f"`class_names` must have a name for class {largest}. Received: {len(class_names)} names."
                )

        def one(label, logit, probability):
            name = f"class {label}" if class_names is None else class_names[label]
            percent = f"{probability:.0%}" if 0.01 <= probability <= 0.99 else f"{probability:.2%}"
            return f"{name}: {percent}" if np.isnan(logit) else f"{name}: logit {logit:.1f}, {percent}"

        texts = [one(*each) for each in zip(*(array.ravel().tolist() for array in self), strict=True)]
        if self.classes.ndim == 1:
            return texts
        width = self.classes.shape[1]
        return [texts[start : start + width] for start in range(0, len(texts), width)]


class Scorer:
    """Logits and probabilities of all classes of a model, in batches.

    Args:
        unrolled: `Unrolled` of the model.

    Attributes:
        classes: int, how many classes there are.
    """

    def __init__(self, unrolled):
        self.unrolled, self.head = unrolled, classifier_at_the_end(unrolled)
        output = unrolled.outputs[0]
        self.classes = max(2, output.shape[-1]) if self.head is None else self.head.classes
        self._activations = None if self.head is None else activations_after(unrolled, self.head)
        self._read = reader_of(unrolled, [output if self.head is None else self.head.input, output])

    def predicted(self, images, batch_size):
        """The class that the model predicts of each image, (images,)."""
        check_known(self.unrolled, self.head, None)
        parts = [part for part, _ in batches(images, None, self.classes, batch_size)]
        return np.concatenate([predicted(self.head, *self._read(part))[:, 0] for part in parts])

    def __call__(self, images):
        """Arrays (images, classes) of logits and probabilities.

        Raises:
            ValueError: if the model makes NaN or infinity of the images, or gives no probabilities.
        """
        read, output = self._read(images)
        output = output.reshape(len(output), -1)
        check_finite(output)
        logits = np.full((len(output), self.classes), np.nan, "float32")
        if self.head is not None:
            logits = ops.convert_to_numpy(self.head.logits(ops.convert_to_tensor(read)))
            check_finite(logits)
        return logits, self._probabilities(logits, output).astype("float32")

    def _probabilities(self, logits, output):
        one_unit = output.shape[1] == 1
        wide = logits.astype("float64")
        if self._activations == [] and not one_unit or self._activations == [keras.activations.softmax]:
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        if self._activations == [] or self._activations == [keras.activations.sigmoid]:
            return np.exp(-np.logaddexp(0, -wide))
        if output.min() < 0 or output.max() > 1:
            raise ValueError(
                "`model` must end in softmax, in sigmoid, in a linear classifier, or give probabilities in [0, 1]. "
                f"Received: {self.unrolled.model.name!r}, with outputs from {output.min():g} to {output.max():g}."
            )
        return np.concatenate([1 - output, output], axis=1) if one_unit else output


@outside_of_traces
def class_scores(model, images, class_index=None, *, batch_size=32):
    """Logits and probabilities of classes, for the titles of maps.

    Maps are divided by their maximum, so that weak evidence looks as bright as strong; these numbers say what it is.

    Args:
        model: a functional or Sequential Keras model with its classifier, as for `grad_cam`. Where it ends in its
            classifier without an activation, the probabilities are the softmax of the logits, or the sigmoid of one
            output unit.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them; or an array (n, k). Default: for each image the class the model
            predicts. A model with one output unit has two classes, as in `class_activation_map`.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        `ClassScores`, arrays (n,), or (n, k) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers, or `model`
            is no such model.
        ValueError: if the images have the wrong shape, they or what the model makes of them are not finite, a class
            does not exist, a layer has its channels first, or the output is no probability: of another activation, with
            values outside [0, 1].
    """
    unrolled = check_model(model)
    images = check_images(unrolled, images)
    scorer = Scorer(unrolled)
    several = np.ndim(class_index) == 2
    if class_index is None:
        class_index = scorer.predicted(images, batch_size)
    parts = batches(images, class_index, scorer.classes, batch_size)
    found = [
        (classes, *(np.take_along_axis(each, classes, axis=1) for each in scorer(part))) for part, classes in parts
    ]
    classes, logits, probabilities = (np.concatenate(each) for each in zip(*found, strict=True))
    scores = ClassScores(classes.astype("int64"), logits, probabilities)
    return scores if several else ClassScores(*(each[:, 0] for each in scores))
