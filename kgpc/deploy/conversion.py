"""From a Keras model to the bytes of a LiteRT or ONNX file, by way of TensorFlow's graph."""

import contextlib
import logging
import warnings

import keras
import numpy as np

# What ONNX Runtime of the lowest supported release reads.
OPSET = 17


def litert_bytes(model, shape, precision, representative, integer_io):
    """A LiteRT file.

    Args:
        model: a functional model with one input and one output.
        shape: tuple (batch or None, ...) of the input.
        precision: "float32", "float16", "dynamic" or "int8".
        representative: array of images for the ranges of "int8"; else None.
        integer_io: bool, for "int8": whether input and output are int8 too.

    Returns:
        bytes.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(model, shape)])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([part] for part in _batches(representative, shape[0] or 1))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    with quietly():
        return converter.convert()


def onnx_bytes(model, shape):
    """An ONNX file in float32; arguments as for `litert_bytes`."""
    with quietly():
        import tf2onnx

        frozen = _frozen(model, shape)
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            name=model.name,
            input_names=[tensor.name for tensor in frozen.inputs],
            output_names=[tensor.name for tensor in frozen.outputs],
            opset=OPSET,
        )
    return proto.SerializeToString()


def _batches(images, size):
    """Batches of exactly so many images; the last one begins again at the first image where it must be filled up."""
    for start in range(0, len(images), size):
        yield images[np.arange(start, start + size) % len(images)]


def _frozen(model, shape):
    """TensorFlow's graph of a model, with all values of weights as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = tf.TensorSpec(shape, model.inputs[0].dtype, name="images")
    function = tf.function(lambda images: model(_as_input(model, images), training=False), autograph=False)
    with quietly():
        return convert_variables_to_constants_v2(function.get_concrete_function(signature))


def _as_input(model, images):
    """One tensor in the structure that a model takes its inputs in."""
    return keras.tree.pack_sequence_as(model.input, [images])


@contextlib.contextmanager
def quietly():
    """Without the notices of the converters on what they do; their errors are exceptions."""
    import tensorflow as tf

    loggers = [tf.get_logger(), *(logging.getLogger(name) for name in ("absl", "tf2onnx"))]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
