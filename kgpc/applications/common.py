"""What all architectures share: image input, pooling without a top, and loading weights."""

import numbers

import keras
import numpy as np
from keras import layers

from kgpc import included, released
from kgpc import weights as weight_files
from kgpc.applications import checks
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
    if input_tensor is not None and not keras.backend.is_keras_tensor(input_tensor):
        raise ValueError(f"`input_tensor` must be a Keras tensor. Received: input_tensor={input_tensor!r}.")
    if input_tensor is not None:
        shape = tuple(input_tensor.shape[1:])
    else:
        shape = (default_size, default_size, 3) if input_shape is None else _as_shape(input_shape)
    if len(shape) != 3:
        raise ValueError(f"`{argument}` must be (height, width, channels) for each image. Received: {shape}.")
    if shape[2] is None:
        raise ValueError(f"`{argument}` must have a channel count: (height, width, channels). Received: {shape}.")
    if any(size is not None and (not _is_integer(size) or size < 1) for size in shape):
        raise ValueError(f"`{argument}` must hold integers of at least 1 (None for an open size). Received: {shape}.")
    if any(size is not None and size < min_size for size in shape[:2]):
        raise ValueError(f"`{argument}` must be at least {min_size} pixels high and wide. Received: {shape}.")
    if input_tensor is None:
        return layers.Input(tuple(None if size is None else int(size) for size in shape))
    if input_shape is not None and _as_shape(input_shape) != shape:
        raise ValueError(
            f"`input_shape` must be that of `input_tensor` where both are given, or None. Received: "
            f"input_shape={input_shape!r}, input_tensor of {shape}."
        )
    return input_tensor


def _as_shape(input_shape):
    """`input_shape` as a tuple; a text or a number is none."""
    if not isinstance(input_shape, (tuple, list, np.ndarray)):
        raise ValueError(
            f"`input_shape` must be a tuple (height, width, channels). Received: input_shape={input_shape!r}."
        )
    return tuple(input_shape)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


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


def find_weights(weights, *, include_top, family, scheme, arguments, classes):
    """Finds what `weights` stands for, before a model is built.

    Args:
        weights: None; the path of a `.keras` or `.weights.h5` file of the same model, or of a Keras 2 HDF5 file; or a
            name: of weights that come along, see `kgpc.included.find`, or of released ones, a dataset ("cifar10") or
            the label of a run ("JP30I02j"), see `kgpc.released.find`. What exists as a file is taken for one.
        include_top: bool, whether the model has its classifier.
        family: str, the model as the published tables call it.
        scheme: scheme of the model.
        arguments: dict, all other arguments that predictions depend on.
        classes: int, number of classes.

    Returns:
        None, the path of a file or a `kgpc.included.Card`, for `load_weights`.

    Raises:
        TypeError: if `weights` is neither a str nor a path.
        FileNotFoundError: if there is no such file.
        OSError: if released weights cannot be downloaded.
        ValueError: if no weights of this name fit the model.
    """
    if not checks.is_name_of_weights(weights):
        return weights
    network = {
        "family": family,
        "scheme": scheme,
        "arguments": arguments,
        "classes": classes if include_top else None,
    }
    card = included.find(weights)
    if card is not None:
        included.check(card, **network)
        return card
    try:
        run = released.find(weights, **network)
    except ValueError as error:
        along = [str(card) for card in included.cards() if card.family == family]
        if not along:
            raise
        raise ValueError("\n  ".join([f"{error}\nThese weights come along:", *along])) from None
    return released.fetch(run)


def load_weights(model, found, include_top):
    """Loads what `find_weights` found into a model: all weights or none.

    Args:
        model: a Keras model.
        found: None (nothing is loaded), the path of a file or a `kgpc.included.Card`.
        include_top: bool, whether the model has its classifier. Without it, the classifier of the file is left out.

    Returns:
        `model`.

    Raises:
        ValueError: if the file is damaged or does not fit.
    """
    if found is None:
        return model
    if isinstance(found, included.Card):
        return weight_files.load_included(model, found, include_top=include_top)
    return weight_files.load(model, found, include_top=include_top, argument="weights")


def scale_to_unit(images, dtype="float32"):
    """Scales images from 0..255 to [0, 1], as all models here but the Inception family were trained.

    Args:
        images: array-like of 0..255, usually uint8, (batch, height, width, channels).
        dtype: floating dtype of the result.

    Returns:
        Array of the same shape.

    Raises:
        ValueError: if `images` are no numbers of rank 4, or `dtype` is not a floating one.
    """
    images = checked_images(images, dtype)
    return images.astype(dtype) / np.asarray(255, dtype)


def checked_images(images, dtype):
    """`images` as an array.

    Raises:
        ValueError: if they are no numbers of rank 4 (batch, height, width, channels), or `dtype` is not a floating one.
    """
    try:
        floating = np.dtype(dtype).kind == "f" or np.dtype(dtype).name == "bfloat16"
    except TypeError:
        floating = False
    if not floating or dtype is None:
        raise ValueError(f'`dtype` must be a floating one, such as "float32". Received: dtype={dtype!r}.')
    try:
        images = np.asarray(images)
    except ValueError:
        raise ValueError("`images` must all have the same shape. Received: images of several shapes.") from None
    if images.ndim != 4 or images.dtype.kind not in "uif":
        raise ValueError(
            "`images` must be numbers of rank 4 (batch, height, width, channels). "
            f"Received: {images.dtype} of shape {images.shape}."
        )
    return images
