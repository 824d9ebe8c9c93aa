"""Whether a file computes what its model computes: both on the same images."""

import dataclasses

import keras
import numpy as np

# By how much outputs may differ, as a share of the largest output; and the smallest share of images of which both must
# say the same class. Integers are judged by the classes alone: their outputs differ by what a step of them is.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "dynamic": None, "int8": None}
AGREEMENT = {"float32": 0.0, "float16": 0.0, "dynamic": 0.9, "int8": 0.9}
# Where the outputs are no classes, integers are judged by their outputs too.
TOLERANCE_OF_VALUES = 0.1
# How much less of the labelled images may be right.
ACCURACY_LOSS = {"float32": 0.0, "float16": 0.02, "dynamic": 0.05, "int8": 0.05}
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Outputs of a file and of its model for the same images.

    Attributes:
        images: int, how many.
        agreement: float in [0, 1], share of them to which both give the same class; NaN where outputs are no classes.
        largest_difference: float, between two outputs, as a share of the largest output of the model.
        keras_accuracy, accuracy: float in [0, 1], share of labelled images that the model and the file get right; NaN
            without labels.
    """

    images: int
    agreement: float
    largest_difference: float
    keras_accuracy: float
    accuracy: float


def keras_outputs(model, images):
    """Outputs of a model in inference, (images, ...), in float32."""
    batches = [model(_structured(model, images[start : start + _BATCH]), training=False) for start in _starts(images)]
    return np.concatenate([keras.ops.convert_to_numpy(keras.tree.flatten(each)[0]) for each in batches])


def _structured(model, images):
    return keras.tree.pack_sequence_as(model.input, [keras.ops.convert_to_tensor(images)])


def _starts(images):
    return range(0, len(images), _BATCH)


def file_outputs(runtime, images):
    """Outputs of a file, in batches as it takes them; a last batch is filled up and cut off."""
    batch = runtime.shape[0] or _BATCH
    outputs = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        count = len(part)
        if runtime.shape[0] and count < batch:
            part = np.concatenate([part, np.repeat(part[-1:], batch - count, axis=0)])
        outputs.append(runtime.predict(part)[:count])
    return np.concatenate(outputs)


def are_classes(shape):
    """Whether each output of a model with this output shape, (batch, ...), is of a class."""
    return len(shape) == 2 and shape[1] is not None and shape[1] >= 2


def compared(expected, actual, labels=None):
    """Compares outputs (images, ...) of a model with those of a file.

    Returns:
        `Comparison`. A value that is not finite makes the difference infinite.
    """
    nan = float("nan")
    if expected.shape != actual.shape:
        return Comparison(len(expected), 0.0, float("inf"), nan, nan)
    scale = np.abs(expected).max()
    difference = np.abs(expected - actual).max() / (scale or 1)
    # Also where the model's own outputs are not: nothing can be said of such a model.
    if not np.isfinite(difference):
        difference = float("inf")
    if not are_classes(expected.shape):
        return Comparison(len(expected), nan, float(difference), nan, nan)
    classes, said = expected.argmax(axis=1), actual.argmax(axis=1)
    right = (nan, nan) if labels is None else (float((each == labels).mean()) for each in (classes, said))
    return Comparison(len(expected), float((classes == said).mean()), float(difference), *right)


def why_refused(found, precision, tolerance=None, agreement=None, accuracy_loss=None):
    """What is wrong with a file, or "".

    Args:
        found: `Comparison`.
        precision: str, whose limits hold where None is given.
        tolerance: float or None, another limit. None with integers: `TOLERANCE_OF_VALUES` where outputs are no classes.
        agreement: float or None, another limit.
        accuracy_loss: float or None, another limit.
    """
    if tolerance is None:
        tolerance = TOLERANCE[precision]
        if tolerance is None and np.isnan(found.agreement):
            tolerance = TOLERANCE_OF_VALUES
    agreement = AGREEMENT[precision] if agreement is None else agreement
    accuracy_loss = ACCURACY_LOSS[precision] if accuracy_loss is None else accuracy_loss
    if np.isinf(found.largest_difference):
        return "its outputs are not finite, or have another shape"
    if tolerance is not None and found.largest_difference > tolerance:
        return (
            f"its outputs differ from the model's by up to {found.largest_difference:.2g} of the largest output; "
            f"`tolerance` allows {tolerance:g}"
        )
    if found.agreement < agreement:
        return (
            f"it gives the model's class to {found.agreement:.1%} of the {found.images} images; `agreement` asks for "
            f"{agreement:.1%}"
        )
    if found.keras_accuracy - found.accuracy > accuracy_loss:
        return (
            f"it gets {found.accuracy:.1%} of the labelled images right, the model {found.keras_accuracy:.1%}; "
            f"`accuracy_loss` allows {accuracy_loss:.1%} less"
        )
    return ""
