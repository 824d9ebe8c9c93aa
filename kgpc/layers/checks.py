"""What the layers ask of their arguments, of their inputs, and of the step they are part of."""

import keras

from kgpc.arguments import positive_integer, shown

# What finds the value of a layer's argument, where it can be given by name.
GETTERS = {
    f"{weight}_{kind}": getattr(keras, f"{kind}s").get
    for weight in ("kernel", "depthwise", "bias", "beta", "gamma", "moving_mean", "moving_variance")
    for kind in ("initializer", "regularizer", "constraint")
}
GETTERS["activity_regularizer"] = keras.regularizers.get


def trains_on_tensorflow(training):
    """Whether this is part of a training step on TensorFlow, compiled or not."""
    return bool(training) and keras.backend.backend() == "tensorflow"


def integer_pair(name, value):
    """Returns a size over height and width as a tuple of two int.

    Raises:
        ValueError: if it is neither an integer of at least 1 nor two of them.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    try:
        height, width = (positive_integer(name, length) for length in values)
    except (TypeError, ValueError):
        raise ValueError(
            f"`{name}` must be an integer of at least 1, or two of them (height, width). "
            f"Received: {name}={shown(value)}."
        ) from None
    return height, width


def found(name, get, value):
    """What one of Keras' functions such as `keras.initializers.get` finds for a value, under the name of the argument.

    Raises:
        ValueError: if it finds nothing.
    """
    try:
        return get(value)
    except (ValueError, TypeError, AttributeError) as error:
        kind = get.__module__.split(".")[-1]
        raise ValueError(
            f"`{name}` must be what Keras knows as one of its {kind}. Received: {name}={value!r}."
        ) from error


def channels_of(layer, input_shape):
    """The number of channels of a layer's input (batch, height, width, channels).

    Raises:
        ValueError: if the input has another rank, or no known channel count.
    """
    if len(input_shape) != 4:
        raise ValueError(
            f"The input of `{layer.name}` must have rank 4: (batch, height, width, channels). "
            f"Received: input_shape={tuple(input_shape)}."
        )
    if input_shape[-1] is None:
        raise ValueError(
            f"The number of input channels of `{layer.name}` (the last axis) must be known. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    return input_shape[-1]


def check_channels_last(data_format):
    """Returns "channels_last", the only layout the layers and models of this package support.

    Args:
        data_format: str or None, where None means the global setting `keras.config.image_data_format()`.

    Raises:
        ValueError: if the layout is another one.
    """
    data_format = keras.config.image_data_format() if data_format is None else data_format
    if not isinstance(data_format, str) or data_format != "channels_last":
        raise ValueError(
            '`data_format` must be "channels_last" (batch, height, width, channels). '
            f"Received: data_format={data_format!r}. "
            'Where it comes from the global setting, call keras.config.set_image_data_format("channels_last").'
        )
    return data_format
