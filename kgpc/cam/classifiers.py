"""The end of a model: its last feature maps, and the classifier that reads them."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from kgpc.cam.arguments import to_numpy
from kgpc.graph import is_exactly
from kgpc.layers import Activation
from kgpc.unrolled import Unrolled, Value

# What may stand between global pooling and a linear classifier, and between the classifier and the output.
_AFTER_POOLING = (keras.layers.Dropout, keras.layers.Reshape, keras.layers.Flatten)
_AFTER_CLASSIFIER = (
    keras.layers.Activation,
    Activation,
    keras.layers.Softmax,
    keras.layers.Reshape,
    keras.layers.Flatten,
)
# Activations of Keras that are larger where the logit is.
_IN_ORDER = (
    *("linear", "softmax", "log_softmax", "sparsemax", "sigmoid", "log_sigmoid", "hard_sigmoid", "tanh", "hard_tanh"),
    *("softplus", "softsign", "relu", "relu6", "elu", "selu", "celu", "exponential"),
)
_GLOBAL_POOLINGS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A dense layer or a 1x1 convolution that gives each class its logit.

    One output unit decides between two classes: class 1 where its logit is above 0, class 0 elsewhere, whose logit is
    the negative one.

    Attributes:
        layer: the layer.
        input: `Value` that it reads.
    """

    layer: keras.layers.Layer
    input: Value

    @property
    def units(self):
        """How many output units it has."""
        return self._kernel().shape[-1]

    @property
    def classes(self):
        """How many classes it tells apart."""
        return max(2, self.units)

    @property
    def one_unit(self):
        """Whether it has one output unit."""
        return self.units == 1

    @property
    def reads_one_vector(self):
        """Whether it reads one number of each map, rather than each position of the maps for itself."""
        shape = self.input.shape[1:]
        return None not in shape and math.prod(shape) == shape[-1]

    def _kernel(self):
        """Tensor (maps, units), float32."""
        kernel = ops.cast(ops.convert_to_tensor(self.layer.kernel), "float32")
        if getattr(self.layer, "quantization_mode", None) == "int8":
            kernel = kernel / ops.cast(ops.convert_to_tensor(self.layer.kernel_scale), "float32")
        return ops.reshape(kernel, (-1, kernel.shape[-1]))

    def kernel(self):
        """The weight of each map for each class, array (maps, classes), float32."""
        kernel = to_numpy(self._kernel())
        return np.concatenate([-kernel, kernel], axis=1) if self.one_unit else kernel

    def logits(self, inputs):
        """What it computes before its activation, tensor (images, classes), of the tensor that it reads."""
        inputs = ops.reshape(ops.cast(inputs, "float32"), (inputs.shape[0], -1))
        logits = ops.matmul(inputs, self._kernel())
        if self.layer.bias is not None:
            logits = logits + ops.cast(ops.convert_to_tensor(self.layer.bias), "float32")
        return ops.concatenate([-logits, logits], axis=-1) if self.one_unit else logits


def check_model(model):
    """`Unrolled` of a model with one input, images, and one output, a number for each class; its channels are last."""
    unrolled = Unrolled(model)
    if len(unrolled.inputs) != 1 or len(unrolled.outputs) != 1:
        raise ValueError(
            "`model` must have one input, the images, and one output. Received: "
            f"{model.name!r} with {len(unrolled.inputs)} inputs and {len(unrolled.outputs)} outputs."
        )
    shape = unrolled.outputs[0].shape
    if len(shape) < 2 or shape[-1] is None or any(size != 1 for size in shape[1:-1]):
        raise ValueError(
            f"`model` must have an output of shape (batch, classes). Received: {model.name!r}, whose output has shape "
            f"{shape}."
        )
    for step in unrolled.steps:
        if getattr(step.operation, "data_format", None) == "channels_first" and any(
            len(value.shape) == 4 for value in step.inputs
        ):
            raise ValueError(
                "`model` must have feature maps (batch, height, width, channels). "
                f"Received: {step.name!r} with data_format='channels_first'."
            )
    return unrolled


def _as_classifier(step):
    """The classifier that a step is, or None."""
    layer = step.operation
    pixelwise = is_exactly(layer, keras.layers.Conv2D) and (
        set(layer.kernel_size) == {1} and layer.groups == 1 and layer.data_format == "channels_last"
    )
    if not (pixelwise or is_exactly(layer, keras.layers.Dense)) or len(step.inputs) != 1:
        return None
    mode, low_rank = getattr(layer, "quantization_mode", None), getattr(layer, "lora_enabled", False)
    if mode not in (None, "int8", "float8") or (mode == "int8" and low_rank):
        raise ValueError(
            f"`model` must have a classifier that is not quantized, or with int8 and without LoRA. Received: "
            f"{step.name!r}, quantized with {mode}{' and with LoRA' if low_rank else ''}."
        )
    return Classifier(layer, step.inputs[0])


def classifier_at_the_end(unrolled):
    """The classifier that a model ends in, or None."""
    return _end(unrolled)[0]


def _end(unrolled):
    """The classifier that a model ends in, or None; and what it ends in instead, in words."""
    step = unrolled.outputs[0].step
    activations = []
    while step is not None and is_exactly(step.operation, *_AFTER_CLASSIFIER) and len(step.inputs) == 1:
        activations.append((step, getattr(step.operation, "activation", None)))
        step = step.inputs[0].step
    found = None if step is None else _as_classifier(step)
    if found is None or not found.reads_one_vector:
        return None, f"ends in {unrolled.outputs[0].name!r}"
    for where, activation in [*activations, (step, found.layer.activation)]:
        if activation is not None and not _keeps_order(activation, found.units):
            name = getattr(activation, "__name__", type(activation).__name__)
            return None, f"has the activation {name!r} in {where.name!r}, whose largest value is not that of the logits"
    return found, ""


def _keeps_order(activation, units):
    """Whether what an activation makes of logits is larger where the logit is, as far as a few hundred of them tell.

    With softmax of the negated logits, say, the class with the largest probability is the one with the least evidence.
    """
    if any(activation is getattr(keras.activations, name, None) for name in _IN_ORDER):
        return True
    generator = np.random.default_rng(0)
    logits = np.concatenate([generator.normal(0, scale, (64, max(units, 1))) for scale in (0.1, 1, 4)])
    logits = np.sort(logits.astype("float32"), axis=-1 if units > 1 else 0)
    try:
        values = to_numpy(activation(ops.convert_to_tensor(logits))).astype("float64")
    except Exception:  # whatever a function that was made for another shape raises
        return False
    if values.shape != logits.shape or not np.isfinite(values).all():
        return False
    steps = np.diff(values, axis=-1 if units > 1 else 0)
    rounding = 1e-6 * np.abs(values).max()
    return bool((steps >= -rounding).all() and (steps > rounding).any())


def linear_head(unrolled):
    """The maps before global average pooling, and the classifier that is linear on the pooled maps."""
    name = unrolled.model.name
    classifier, instead = _end(unrolled)
    if classifier is None:
        raise ValueError(
            "`model` must end in a dense layer or a 1x1 convolution as its classifier, and an activation that keeps "
            f"the order of its logits. Received: {name!r}, which {instead}."
        )
    return pooled_maps(unrolled, classifier), classifier


def pooled_maps(unrolled, classifier):
    """The maps before the global average pooling that a classifier reads."""
    step = classifier.input.step if classifier.reads_one_vector else None
    while step is not None and is_exactly(step.operation, *_AFTER_POOLING) and len(step.inputs) == 1:
        step = step.inputs[0].step
    if step is None or not is_exactly(step.operation, keras.layers.GlobalAveragePooling2D):
        raise ValueError(
            f"A class activation map is not defined for {unrolled.model.name!r}: its classifier "
            f"{classifier.layer.name!r} reads the output of "
            f"{classifier.input.name if step is None else step.name!r}, not globally averaged feature maps. "
            "Use `grad_cam`, which works for all."
        )
    return step.inputs[0]


def last_feature_maps(unrolled):
    """The last maps with positions: what global pooling reads, or the last tensor of images of more than one pixel."""
    name, value = unrolled.model.name, unrolled.outputs[0]
    while True:
        step = value.step
        if step is None or len(step.inputs) != 1:
            raise ValueError(
                f"`layer` must be given for {name!r}: on the way back from its output, {value.name!r} comes before any "
                "feature maps."
            )
        value = step.inputs[0]
        if is_exactly(step.operation, *_GLOBAL_POOLINGS):
            return value
        if len(value.shape) == 4 and value.shape[1:3] != (1, 1):
            if step.is_closed():
                raise ValueError(
                    f"`layer` must be given for {name!r}: the last feature maps are inside {step.name!r}, a "
                    f"{type(step.operation).__name__} whose layers cannot be read from outside."
                )
            return value


def _named_value(unrolled, argument, name):
    found = unrolled.named.get(name, []) if isinstance(name, str) else []
    if not found and isinstance(name, str):
        # A layer of a model within the model, by its name alone.
        found = [value for path, values in unrolled.named.items() if path.endswith(f"/{name}") for value in values]
    model = unrolled.model
    if not found:
        last = ", ".join(repr(layer) for layer in list(unrolled.named)[-8:])
        raise ValueError(
            f"`{argument}` must be the name of a layer of {model.name!r}; its last ones are {last}. "
            f"Received: {argument}={name!r}."
        )
    if len(found) > 1:
        raise ValueError(
            f"`{argument}` must be a layer that is called once. Received: {argument}={name!r}, which is called "
            f"{len(found)} times in {model.name!r}: {', '.join(sorted({value.name for value in found}))}."
        )
    return found[0]


def feature_maps(unrolled, name):
    """The output of a layer with feature maps, by its name."""
    maps = _named_value(unrolled, "layer", name)
    if len(maps.shape) != 4:
        raise ValueError(
            "`layer` must be a layer with feature maps (batch, height, width, channels). "
            f"Received: layer={name!r}, whose output has shape {maps.shape}."
        )
    return maps


def named_classifier(unrolled, name):
    """A classifier by its name."""
    value = _named_value(unrolled, "classifier", name)
    classifier = None if value.step is None else _as_classifier(value.step)
    if classifier is None:
        kind = "InputLayer" if value.step is None else type(value.step.operation).__name__
        raise ValueError(
            f"`classifier` must be a dense layer or a 1x1 convolution. Received: classifier={name!r}, a {kind}."
        )
    return classifier


def check_known(unrolled, head, class_index):
    """Refuses to guess what a model with one output unit of an unknown kind predicts."""
    if head is None and unrolled.outputs[0].shape[-1] == 1 and class_index is None:
        raise ValueError(
            f"`class_index` must be given for {unrolled.model.name!r}: it has one output unit and does not end in a "
            "dense layer or a 1x1 convolution, so what it predicts is not known. It is 1 for the unit, and 0 for its "
            "negative. Received: class_index=None."
        )


def check_finite(outputs):
    """Refuses NaN and infinity among what a model computes of classes: NaN would be the largest of all."""
    if not np.isfinite(outputs).all():
        raise ValueError("`model` must have finite outputs. Received: a model that makes NaN or infinity of `images`.")


def predicted(head, read, predictions):
    """The class that each image is given, (images, 1): by the output, or the logit of a classifier of one unit."""
    check_finite(predictions)
    if head is not None and head.one_unit:
        predictions = ops.convert_to_numpy(head.logits(ops.convert_to_tensor(read)))
        check_finite(predictions)
    return predictions.reshape(len(predictions), -1).argmax(axis=1, keepdims=True)


def activations_after(unrolled, head):
    """The activations between a classifier's values and the output of the model, its own included; linear ones not."""
    found, step = [], unrolled.outputs[0].step
    while step.operation is not head.layer:
        layer = step.operation
        if isinstance(layer, keras.layers.Softmax):
            over_classes = layer.axis in (-1, len(step.inputs[0].shape) - 1)
            found.append(keras.activations.softmax if over_classes else layer)
        elif isinstance(layer, keras.layers.Activation):
            found.append(layer.activation)
        step = step.inputs[0].step
    return [each for each in (head.layer.activation, *reversed(found)) if each is not keras.activations.linear]
