"""What `export` is asked for, checked before anything is written: format, ways to write, model, images, labels."""

import keras
import numpy as np

from kgpc import graph
from kgpc.arguments import received, shown
from kgpc.deploy import formulation, runtimes, verification

FORMATS = tuple(runtimes.SUFFIXES)
PRECISIONS = {"litert": ("float32", "float16", "dynamic", "int8"), "onnx": ("float32",)}


def checked_format(format, path):
    """The format that is asked for; the ending of the path must be its own."""
    endings = ", ".join(f"{suffix} ({name})" for name, suffix in runtimes.SUFFIXES.items())
    if format is None:
        format = runtimes.format_of(path)
        if format is None:
            raise ValueError(f"`path` must end in {endings}, or `format` be given. Received: path={str(path)!r}.")
    check_choice("format", format, FORMATS)
    if path.suffix != runtimes.SUFFIXES[format]:
        raise ValueError(
            f'`path` must end in {runtimes.SUFFIXES[format]} with format "{format}". Received: path={str(path)!r}.'
        )
    return format


def check_choice(name, value, allowed, where=""):
    """Refuses a value that is none of a few texts; `where` says with what else these go."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str. {received(name, value)}")
    if value not in allowed:
        choices = ", ".join(f'"{choice}"' for choice in allowed)
        raise ValueError(f"`{name}` must be one of {choices}{where}. Received: {name}={shown(value)}.")


def checked_ways(format, grouped, interleaving):
    """How grouped convolutions and interleavings are written."""
    best = formulation.BEST[format]
    chosen = []
    for name, value, allowed, default in (
        ("grouped", grouped, formulation.GROUPED, best[0]),
        ("interleaving", interleaving, formulation.INTERLEAVING, best[1]),
    ):
        if value is not None:
            check_choice(name, value, allowed)
        chosen.append(default if value is None else value)
    return tuple(chosen)


def check_model(model):
    """Refuses a model that cannot be exported, with the reason."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`model` must be one of Keras on TensorFlow, by way of which files are written. "
            f"Received: a model on {keras.backend.backend()}."
        )
    network = graph.Network(graph.check_readable(model))
    for name, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise ValueError(f"`model` must have one {name}. Received: a model with {len(tensors)} {name}s.")
    (tensor,) = model.inputs
    if len(tensor.shape) != 4 or tensor.shape[-1] is None or tensor.dtype != "float32":
        raise ValueError(
            "`model` must take images (batch, height, width, channels) in float32. "
            f"Received: a model whose input has the shape {tuple(tensor.shape)} and the dtype {tensor.dtype}."
        )
    for each in network.graphs:
        for call in each.calls:
            layer = call.operation
            if not isinstance(layer, keras.layers.Layer):
                continue
            if layer.compute_dtype != "float32":
                raise ValueError(
                    f"`model` must compute in float32; build it with that dtype and load its weights. "
                    f"Received: a model whose layer {layer.name!r} computes in {layer.compute_dtype}."
                )
            if getattr(layer, "quantization_mode", None) is not None:
                raise ValueError(
                    "`model` must be one that was not quantized; `precision` quantizes it. "
                    f"Received: a model whose layer {layer.name!r} is quantized."
                )


def checked_images(name, images, model):
    """Images as a float32 array that the model takes; None for None."""
    if images is None:
        return None
    try:
        array = np.asarray(images)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of images. {received(name, images)}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"`{name}` must be an array of numbers. {received(name, images)}")
    wanted = tuple(model.inputs[0].shape[1:])
    fits = array.ndim == 4 and all(size in (None, got) for size, got in zip(wanted, array.shape[1:], strict=True))
    if not fits or not array.size:
        raise ValueError(
            f"`{name}` must be an array (images, {', '.join(map(str, wanted))}) with at least one image. "
            f"Received: {name} of shape {array.shape}."
        )
    array = np.ascontiguousarray(array, dtype="float32")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must hold finite numbers. Received: {name} with NaN or infinity.")
    return array


def check_for_classes(model, **given):
    """Refuses arguments that are about classes, where they are given and the outputs of a model are no classes."""
    shape = tuple(model.outputs[0].shape)
    for name, value in given.items():
        if value is not None and not verification.are_classes(shape):
            raise ValueError(
                f"`{name}` must be None where the outputs are no classes, two or more in one axis; `tolerance` says "
                f"how much they may differ. {received(name, value)} The output has the shape {shape}."
            )


def checked_labels(labels, images, classes):
    """Labels as an array of integers, one for each image; None for None."""
    if labels is None:
        return None
    if images is None:
        raise ValueError("`labels` are those of `images`, which are missing. Received: labels without images.")
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != (len(images),):
        raise ValueError(f"`labels` must be {len(images)} integers, one for each image. {received('labels', labels)}")
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(
            f"`labels` must be of the {classes} classes from 0 on. Received: {array.min()} to {array.max()}."
        )
    return array
