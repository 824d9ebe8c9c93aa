"""Class activation maps, and how every map becomes what is shown."""

import numpy as np

from kgpc.cam.arguments import batches, check_images
from kgpc.cam.classifiers import (
    check_finite,
    check_model,
    feature_maps,
    linear_head,
    named_classifier,
    pooled_maps,
    predicted,
)
from kgpc.cam.gradients import outside_of_traces, reader_of


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
        classifier: str, name of the classifier, a dense layer or a 1x1 convolution that reads globally average-pooled
            maps. Default: the one that is found.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers, or `model`
            is no such model.
        ValueError: if the model has no such classifier, or the named one is none (then `grad_cam` helps), a layer has
            its channels first, the images have the wrong shape, they or what the model makes of them are not finite, or
            a class or a layer does not exist or is called twice.

    References: Zhou et al. 2016, arXiv:1512.04150; Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """
    unrolled = check_model(model)
    if classifier is None:
        pooled, head = linear_head(unrolled)
    else:
        head = named_classifier(unrolled, classifier)
        pooled = pooled_maps(unrolled, head)
    maps = pooled if layer is None else feature_maps(unrolled, layer)
    kernel = head.kernel()
    if maps.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"`layer` and `classifier` must fit: {head.layer.name!r} weights {kernel.shape[0]} maps. "
            f"Received: layer={layer!r} with {maps.shape[-1]} maps."
        )
    images = check_images(unrolled, images)
    known = head.one_unit or kernel.shape[1] == unrolled.outputs[0].shape[-1]
    if class_index is None and not known:
        raise ValueError(
            f"`class_index` must be given where the classifier is not the last one: {head.layer.name!r} has "
            f"{kernel.shape[1]} classes, and the output of {model.name!r} {unrolled.outputs[0].shape[-1]}. "
            f"Received: class_index=None, classifier={classifier!r}."
        )
    read_values, results, outputs = reader_of(unrolled, [maps, head.input, unrolled.outputs[0]]), [], []
    for batch, classes in batches(images, class_index, kernel.shape[1], batch_size):
        features, read, predictions = read_values(batch)
        classes = predicted(head, read, predictions) if classes is None else classes
        # In double precision: where evidence for and against a class nearly cancels, what is left is small.
        results.append(np.einsum("nhwc,cnk->nkhw", features, kernel[:, classes], dtype="float64"))
        outputs.append(predictions)
    shown = normalized(results, class_index)
    check_finite(np.concatenate(outputs))
    return shown


def normalized(results, class_index):
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
