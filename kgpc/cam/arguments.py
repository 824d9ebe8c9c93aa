"""What the public functions of `kgpc.cam` ask of their arguments."""

import keras
import numpy as np
from keras import ops

from kgpc.arguments import positive_integer, received


def numeric_array(name, value, expected):
    """A NumPy array of an argument, which must be numbers in a box; `expected` completes "must be"."""
    try:
        array = np.asarray(ops.convert_to_numpy(value) if ops.is_tensor(value) else value)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise TypeError(f"`{name}` must be {expected}. {received(name, value)}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be {expected}. {received(name, value)}")
    return array


def check_images(unrolled, images):
    """Images as float32 array for a model with one input."""
    expected = (
        "floating-point numbers with values at hand, prepared as the model was trained, for example with its "
        "`preprocess_input`"
    )
    images = numeric_array("images", images, expected)
    if images.dtype.kind != "f":
        raise TypeError(f"`images` must be {expected}. Received: images of dtype {images.dtype}.")
    shape = unrolled.inputs[0].shape
    fits = images.ndim == len(shape) == 4 and all(
        size in (None, got) for size, got in zip(shape[1:], images.shape[1:], strict=True)
    )
    if not fits or not len(images):
        raise ValueError(
            f"`images` must be a batch of at least one image, of shape {shape}; a single image is "
            f"`image[None]`. Received: images of shape {images.shape}."
        )
    with np.errstate(over="ignore"):
        images = images.astype("float32")
    if not np.isfinite(images).all():
        raise ValueError("`images` must hold finite numbers in the range of float32. Received: NaN or infinity.")
    return images


def check_classes(class_index, count, classes_of_model):
    """Classes of each image, (count, k), or None."""
    if class_index is None:
        return None
    classes = numeric_array("class_index", class_index, "an integer, or one or several for each image")
    if classes.dtype.kind not in "iu":
        raise TypeError(
            "`class_index` must be an integer, or one or several for each image. "
            f"{received('class_index', class_index)}"
        )
    if classes.ndim > 2 or not classes.size or (classes.ndim and len(classes) != count):
        raise ValueError(
            f"`class_index` must be one class, or one or several for each of the {count} images: of shape (), "
            f"({count},) or ({count}, k). Received: shape {classes.shape}."
        )
    if classes.min() < 0 or classes.max() >= classes_of_model:
        raise ValueError(
            f"`class_index` must be in [0, {classes_of_model}): the model has {classes_of_model} classes. "
            f"{received('class_index', class_index)}"
        )
    return classes if classes.ndim == 2 else np.broadcast_to(classes, count)[:, None]


def batches(images, class_index, classes_of_model, batch_size):
    """List of pairs (images, their classes (images, k) or None)."""
    batch_size = positive_integer("batch_size", batch_size)
    classes = check_classes(class_index, len(images), classes_of_model)
    parts = [slice(start, start + batch_size) for start in range(0, len(images), batch_size)]
    return [(images[part], None if classes is None else classes[part]) for part in parts]


def to_numpy(tensor):
    """A tensor as float32 array; NumPy does not know bfloat16."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
