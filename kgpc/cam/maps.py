"""Class activation maps and Grad-CAM."""

import numpy as np
from keras import ops

from kgpc.cam.arguments import batches, check_images
from kgpc.cam.classifiers import (
    check_model,
    classifier_at_the_end,
    feature_maps,
    last_feature_maps,
    linear_head,
    named_classifier,
)
from kgpc.cam.gradients import maps_and_gradients, outside_of_traces, values_of


@outside_of_traces
def class_activation_map(model, images, class_index=None, *, layer=None, classifier=None, batch_size=32):
    """Class activation maps of a model whose classifier is linear on globally average-pooled feature maps.

    The maps of the layer before the pooling are weighted by the classifier's weights of the class and summed; what is
    negative becomes 0, and each map is divided by its maximum where that is above 0. A map without any evidence for the
    class is 0 everywhere.

    Args:
        model: a functional or Sequential Keras model with its classifier. Such models within it are entered.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts. A classifier
            with one output unit has two classes: 1, for which the unit's weights speak, and 0, for which the negative
            weights do; it predicts class 1 where its value before the activation is above 0.
        layer: str, name of the layer whose maps are weighted: a layer of the model, or of a model within it, there also
            as "inner model/layer". It must be called once. Default: what the global average pooling reads.
        classifier: str, name of the classifier, a dense layer or a 1x1 convolution. Default: the one that is found.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers, or `model`
            is no such model.
        ValueError: if the model has no such classifier (then `grad_cam` helps), the images have the wrong shape, they
            or what the model makes of them are not finite, or a class or a layer does not exist or is called twice.

    References: Zhou et al. 2016, arXiv:1512.04150; Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """
    unrolled = check_model(model)
    if layer is None or classifier is None:
        found_maps, found_classifier = linear_head(unrolled)
    maps = found_maps if layer is None else feature_maps(unrolled, layer)
    head = found_classifier if classifier is None else named_classifier(unrolled, classifier)
    kernel = head.kernel()
    if maps.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"`layer` and `classifier` must fit: {head.layer.name!r} weights {kernel.shape[0]} maps. "
            f"Received: layer={layer!r} with {maps.shape[-1]} maps."
        )
    images = check_images(unrolled, images)
    known = head.reads_one_vector if head.one_unit else kernel.shape[1] == unrolled.outputs[0].shape[-1]
    if class_index is None and not known:
        raise ValueError(
            f"`class_index` must be given where the classifier is not the last one: {head.layer.name!r} has "
            f"{kernel.shape[1]} classes, and the output of {model.name!r} {unrolled.outputs[0].shape[-1]}. "
            f"Received: class_index=None, classifier={classifier!r}."
        )
    results = []
    for batch, classes in batches(images, class_index, kernel.shape[1], batch_size):
        features, read, predictions = values_of(unrolled, batch, [maps, head.input, unrolled.outputs[0]])
        classes = _predicted(head, read, predictions) if classes is None else classes
        # In double precision: where evidence for and against a class nearly cancels, what is left is small.
        results.append(np.einsum("nhwc,cnk->nkhw", features, kernel[:, classes], dtype="float64"))
    return _normalized(results, class_index)


@outside_of_traces
def grad_cam(model, images, class_index=None, layer=None, *, batch_size=32):
    """Grad-CAM: feature maps weighted by how much the class gains where they grow.

    The weight of a map is the mean, over its positions, of the gradient of the class score: the logit where the model
    ends in a dense layer or a 1x1 convolution and its activation, else the output itself. The weighted sum is treated
    as in `class_activation_map`.

    Args:
        model: a functional or Sequential Keras model with its classifier. Such models within it are entered.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts. A model with
            one output unit has two classes, as in `class_activation_map`.
        layer: str, name of the layer whose maps are shown: a layer of the model, or of a model within it, there also as
            "inner model/layer". It must be called once. Default: the last feature maps before global pooling or
            flattening.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers, or `model`
            is no such model.
        ValueError: if the images have the wrong shape, they or what the model makes of them are not finite, a class or
            a layer does not exist or is called twice, the output does not depend on the layer, or the last feature maps
            are inside a layer or model that cannot be entered.
        NotImplementedError: if the Keras backend is neither TensorFlow nor JAX nor PyTorch.

    Reference: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    unrolled = check_model(model)
    maps = last_feature_maps(unrolled) if layer is None else feature_maps(unrolled, layer)
    images = check_images(unrolled, images)
    head, output = classifier_at_the_end(unrolled), unrolled.outputs[0]
    score_input = output if head is None else head.input
    classes_of_model = max(2, output.shape[-1]) if head is None else head.classes
    if head is None and output.shape[-1] == 1 and class_index is None:
        raise ValueError(
            f"`class_index` must be given for {model.name!r}: it has one output unit and does not end in a dense layer "
            "or a 1x1 convolution, so what it predicts is not known. It is 1 for the unit, and 0 for its negative. "
            "Received: class_index=None."
        )

    def scores(score_input, classes):
        """Sums of one class score of each image, so that a sum's gradient holds that of each image; k sums."""
        if head is not None:
            logits = head.logits(score_input)
        else:
            logits = ops.reshape(ops.cast(score_input, "float32"), (len(classes), -1))
            logits = ops.concatenate([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits
        return [ops.sum(logits * ops.one_hot(column, classes_of_model, dtype="float32")) for column in classes.T]

    results = []
    for batch, classes in batches(images, class_index, classes_of_model, batch_size):
        if classes is None:
            classes = _predicted(head, *values_of(unrolled, batch, [score_input, output]))
        features, gradients = maps_and_gradients(
            unrolled, batch, maps, score_input, lambda tensor, classes=classes: scores(tensor, classes)
        )
        weights = gradients.mean(axis=(2, 3))
        results.append(np.einsum("nhwc,knc->nkhw", features, weights, dtype="float64"))
    return _normalized(results, class_index)


def _predicted(head, read, predictions):
    """The class that each image is given, (images, 1): by the output, or the logit of a classifier of one unit."""
    if head is not None and head.one_unit:
        predictions = ops.convert_to_numpy(head.logits(ops.convert_to_tensor(read)))
    return predictions.reshape(len(predictions), -1).argmax(axis=1, keepdims=True)


def _normalized(results, class_index):
    """Maps without what is negative, each divided by its maximum where that is above 0, in the shape asked for.

    `results` is a list of arrays (images, k, map height, map width).
    """
    maps = np.concatenate(results)
    if not np.isfinite(maps).all():
        raise ValueError(
            "`model` must have finite feature maps. Received: a model that makes NaN or infinity of `images`."
        )
    maps = np.maximum(maps, 0).astype("float32")
    peaks = maps.max(axis=(2, 3), keepdims=True)
    maps /= np.where(peaks > 0, peaks, 1)
    return maps if np.ndim(class_index) == 2 else maps[:, 0]
