"""Whether network, data and recipe fit together; each message names the argument, and what is wrong with it."""

import keras
import numpy as np

from kgpc.training import variables


def check_data(data, part):
    """Raises TypeError or ValueError if data do not have what is needed of them.

    Args:
        data: `kgpc.datasets.ImageDataset`, or what stands for one.
        part: "train" or "test", whose images and labels are needed.
    """
    for name in (f"x_{part}", f"y_{part}", "class_names"):
        if not hasattr(data, name):
            raise TypeError(
                f"`data` must be an ImageDataset, or have x_{part}, y_{part} and class_names. "
                f"Received: data of type {type(data).__name__}, without {name}."
            )
    names = data.class_names
    if not isinstance(names, (tuple, list, np.ndarray)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`class_names` of `data` must be a sequence of str. Received: class_names={names!r}.")
    images = getattr(data, f"x_{part}")
    dtype, shape = getattr(images, "dtype", None), getattr(images, "shape", ())
    if dtype != np.uint8 or len(shape) not in (3, 4):
        received = type(images).__name__ if dtype is None else f"{dtype}, shape {tuple(shape)}"
        raise TypeError(
            f"`x_{part}` of `data` must be an array of uint8 of shape (n, height, width) or (n, height, width, 3), or "
            f"be indexed like one. Received: {received}."
        )


def check_labels(labels, classes, name="y_train"):
    """Checks labels, and returns them as an array; raises TypeError or ValueError.

    Args:
        labels: what should be an int array `(n,)`.
        classes: int, number of classes.
        name: str, how messages call it.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not (np.issubdtype(labels.dtype, np.integer) or not labels.size):
        raise TypeError(
            f"`{name}` of `data` must be an int array of shape (n,). Received: {labels.dtype}, shape {labels.shape}."
        )
    if len(labels) and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(
            f"`{name}` of `data` must be in [0, {classes}), the number of class names. "
            f"Received: labels from {labels.min()} to {labels.max()}."
        )
    return labels


def check_model(model, recipe, classes):
    """Raises TypeError or ValueError if a network does not fit a recipe and a number of classes."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model of type {type(model).__name__}.")
    if not model.built or len(model.inputs or ()) != 1 or len(model.outputs or ()) != 1:
        raise ValueError("`model` must be built, with one input and one output.")
    size, shape = recipe.image_size, tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or any(length not in (None, size) for length in shape[1:3]):
        raise ValueError(
            f"`model` must take images of {size}x{size} with 3 channels, as the recipe says. "
            f"Received: model.input_shape={shape}."
        )
    if tuple(model.outputs[0].shape) != (None, classes):
        raise ValueError(
            f"`model` must have one output for each of the {classes} classes of `data`. "
            f"Received: model.output_shape={tuple(model.outputs[0].shape)}."
        )
    if getattr(model.layers[-1], "activation", None) is keras.activations.linear:
        raise ValueError(
            "`model` must end in probabilities (softmax). Received: a last layer without activation. "
            'The constructors of kgpc.applications have classifier_activation="softmax".'
        )
    policies = {layer.dtype_policy.name for layer in model._flatten_layers(include_self=False) if layer.weights}
    # The last layer of a network in half precision is in float32: what must not be there is another half.
    foreign = {name for name in policies if name != recipe.precision and name.endswith("float16")}
    if policies and (foreign or recipe.precision not in policies):
        raise ValueError(
            f"`model` must have the precision of the recipe, {recipe.precision!r}; kgpc.training.build sees to that. "
            f"Received: layers with {', '.join(map(repr, sorted(policies)))}."
        )


def check_devices(model):
    """Raises ValueError where this version of Keras counts wrong on several devices of a `tf.distribute` strategy.

    Before, its metrics were variables that all devices write to, and each result was added up again for each device.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    import tensorflow as tf

    with strategy.scope():
        total = keras.metrics.Mean().total.value
    if getattr(total, "synchronization", None) != tf.VariableSynchronization.ON_READ:
        raise ValueError(
            f"`model` must be on one device with Keras {keras.version()}: its losses and metrics are wrong on several, "
            "those of a newer Keras are right. "
            f"Received: a network on {strategy.num_replicas_in_sync} devices."
        )


def finite_weights(model):
    """The weights of a network, as a list of arrays; raises ValueError if one of them is infinite or not a number."""
    arrays = variables.values(model.weights)
    for weight, array in zip(model.weights, arrays, strict=True):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                "`model` must have finite weights. "
                f"Received: {weight.path} with {int((~np.isfinite(array)).sum())} that are infinite or not a number."
            )
    return arrays
