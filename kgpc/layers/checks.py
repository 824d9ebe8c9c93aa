"""What the layers ask of their inputs, and of the step they are part of."""

import keras


def in_compiled_step():
    """Whether this is part of a step that TensorFlow compiles, where layers may do each other's work."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def in_compiled_training(training):
    """Whether this is part of a training step that TensorFlow compiles."""
    return bool(training) and in_compiled_step()


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
    if data_format != "channels_last":
        raise ValueError(
            '`data_format` must be "channels_last" (batch, height, width, channels). '
            f"Received: data_format={data_format!r}. "
            'Where it comes from the global setting, call keras.config.set_image_data_format("channels_last").'
        )
    return data_format
