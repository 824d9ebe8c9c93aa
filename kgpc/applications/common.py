"""What all architectures share: image input, checks of arguments, pooling without a top, and loading weights."""

import math
import numbers
import os
import pathlib

import keras
import numpy as np
from keras import layers

from kgpc import released
from kgpc import weights as weight_files
from kgpc.grouping import check_scheme, positive_integer
from kgpc.layers import Activation, check_channels_last


def model_input(input_tensor, input_shape, default_size, min_size=1):
    """Image input of a model.

    Args:
        input_tensor: Keras tensor (batch, height, width, channels) or None.
        input_shape: tuple (height, width, channels) or None; height and width may be None.
        default_size: int, height and width where neither is given.
        min_size: int, smallest height and width that leave something after all strides.

    Returns:
        Keras tensor (batch, height, width, channels).

    Raises:
        ValueError: if the shape has no channel count, another rank or a size below `min_size`, or the layout is
            "channels_first".
    """
    check_channels_last(None)
    argument = "input_shape" if input_tensor is None else "input_tensor"
    if input_tensor is not None:
        shape = tuple(input_tensor.shape[1:])
    else:
        shape = (default_size, default_size, 3) if input_shape is None else tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(f"`{argument}` must be (height, width, channels) for each image. Received: {shape}.")
    if shape[2] is None:
        raise ValueError(f"`{argument}` must have a channel count: (height, width, channels). Received: {shape}.")
    if any(size is not None and (not isinstance(size, numbers.Integral) or size < 1) for size in shape):
        raise ValueError(f"`{argument}` must hold integers of at least 1 (None for an open size). Received: {shape}.")
    if any(size is not None and size < min_size for size in shape[:2]):
        raise ValueError(f"`{argument}` must be at least {min_size} pixels high and wide. Received: {shape}.")
    if input_tensor is None:
        return layers.Input(shape)
    if not keras.backend.is_keras_tensor(input_tensor):
        raise ValueError(f"`input_tensor` must be a Keras tensor. Received: {input_tensor!r}.")
    return input_tensor


def source_inputs(inputs):
    """What a model on `inputs` is called with: the input of the layers that come before an `input_tensor`, if any.

    As in keras.applications, those layers become part of the model.

    Args:
        inputs: Keras tensor, a result of `model_input`.

    Returns:
        Keras tensor, or a list of them where `inputs` is computed from several.
    """
    sources = keras.utils.get_source_inputs(inputs)
    return sources[0] if len(sources) == 1 else sources


def check_arguments(*, scheme, include_top, pooling, classes, skip_stride_cnt=-1, dropout=0.0):
    """Checks the arguments that all architectures have.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if an argument is out of its range.
    """
    check_scheme(scheme)
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}.')
    positive_integer("classes", classes)
    if isinstance(skip_stride_cnt, bool) or not isinstance(skip_stride_cnt, numbers.Integral):
        raise TypeError(f"`skip_stride_cnt` must be an integer of at least -1. Received: {skip_stride_cnt!r}.")
    if skip_stride_cnt < -1:
        raise ValueError(f"`skip_stride_cnt` must be at least -1. Received: skip_stride_cnt={skip_stride_cnt}.")
    if not isinstance(dropout, numbers.Real) or not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be a fraction in [0, 1). Received: dropout={dropout!r}.")


def check_flags(**flags):
    """Raises TypeError where a value is neither a bool nor a `np.bool_`: "no" and 2 would count as True."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}.")


def check_positive(name, value):
    """Raises ValueError where `value` is not a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be a finite number above 0. Received: {name}={value!r}.")


def check_fraction(name, value):
    """Raises ValueError where `value` is not a fraction in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a fraction in [0, 1]. Received: {name}={value!r}.")


def activation(x, function, name):
    """Applies an activation as a layer of its own; ReLU6 as `keras.layers.ReLU`, as in keras.applications."""
    if function is None:
        return x
    if function == "relu6":
        return layers.ReLU(6.0, name=name)(x)
    return Activation(function, name=name)(x)


def global_pooling(x, pooling):
    """Feature maps pooled as a model without its top asks for: None (as they are), "avg" or "max"."""
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


def load_weights(model, weights, *, include_top=True, family=None, scheme=None, arguments=None, classes=None):
    """Loads weights into a model: those of a file, or released ones by name.

    Args:
        model: a Keras model.
        weights: None (nothing is loaded); the path of a `.keras` or `.weights.h5` file of the same model, or of a
            Keras 2 HDF5 file; or, where `family` is given, the name of released weights: a dataset ("cifar10") or the
            label of a run ("JP30I02j"), see `kgpc.released.find`. What exists as a file is taken for one.
        include_top: bool, whether the model has its classifier. Without it, the classifier of a Keras 2 HDF5 file or of
            released weights is left out.
        family: str, the model as the published tables call it, or None where no weights were released.
        scheme: scheme of the model.
        arguments: dict or None, other arguments of the model that tell released weights apart.
        classes: int, number of classes.

    Returns:
        `model`.

    Raises:
        TypeError: if `weights` is neither a str nor a path.
        FileNotFoundError: if there is no such file.
        OSError: if released weights cannot be downloaded.
        ValueError: if no released weights of this name fit the model, or the file is damaged or does not fit.
    """
    if weights is None:
        return model
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            f"`weights` must be None, the path of a weight file or a name. Received: {weights!r} "
            f"({type(weights).__name__})."
        )
    path = pathlib.Path(weights)
    if not path.is_file():
        # A bare word without a suffix is no file name that any of these formats has.
        if family is None or not isinstance(weights, str) or path.suffix or len(path.parts) != 1:
            raise FileNotFoundError(
                f"`weights` must be None or the path of a weight file. Received: weights={weights!r}."
            )
        classes = classes if include_top else None
        run = released.find(weights, family, scheme=scheme, arguments=arguments, classes=classes)
        path = released.fetch(run)
    if path.name.endswith((".keras", ".weights.h5")):
        model.load_weights(path)
        return model
    return weight_files.load(model, path, include_top=include_top)


def scale_to_unit(images, dtype="float32"):
    """Scales images from 0..255 to [0, 1], as all models here but the Inception family were trained.

    Args:
        images: array-like of 0..255, usually uint8, (batch, height, width, channels).
        dtype: floating dtype of the result.

    Returns:
        Array of the same shape.

    Raises:
        ValueError: if `images` is not of rank 4.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            f"`images` must be of rank 4 (batch, height, width, channels). Received: shape {images.shape}."
        )
    return images.astype(dtype) / np.asarray(255, dtype)
