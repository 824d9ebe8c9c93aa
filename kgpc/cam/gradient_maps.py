"""Maps that weight feature maps by gradients of a class score: Grad-CAM, HiResCAM and LayerCAM."""

import numpy as np
from keras import ops

from kgpc.cam.arguments import batches, check_images
from kgpc.cam.classifiers import (
    check_known,
    check_model,
    classifier_at_the_end,
    feature_maps,
    last_feature_maps,
    predicted,
)
from kgpc.cam.gradients import maps_and_gradients, outside_of_traces, reader_of
from kgpc.cam.maps import normalized


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
            a layer does not exist or is called twice, the output does not depend on the layer, a layer has its channels
            first, or the last feature maps are inside a layer or model that cannot be entered.
        NotImplementedError: if the Keras backend is neither TensorFlow nor JAX nor PyTorch.

    Reference: Selvaraju et al. 2017, arXiv:1610.02391.
    """

    def weighted(features, gradients):
        weights = gradients.mean(axis=(2, 3))
        return np.einsum("nhwc,knc->nkhw", features, weights, dtype="float64")

    return _maps(model, images, class_index, layer, batch_size, weighted)


@outside_of_traces
def hires_cam(model, images, class_index=None, layer=None, *, batch_size=32):
    """HiResCAM: feature maps times the gradient at each position, without Grad-CAM's mean over the positions.

    A position counts for what it adds to the class score, to first order. Where the rest of the model is linear on the
    maps, the sum over all positions is the score without its biases: before global average pooling and a linear
    classifier the map is `class_activation_map`; where a classifier reads all positions one by one (after flattening),
    Grad-CAM mixes them up and this does not. The sum over the channels is treated as in `class_activation_map`.

    Args:
        model: a functional or Sequential Keras model with its classifier. Such models within it are entered.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts. A model with
            one output unit has two classes, as in `class_activation_map`.
        layer: str, name of the layer whose maps are shown, as in `grad_cam`. Default: the last feature maps before
            global pooling or flattening.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError, ValueError, NotImplementedError: as `grad_cam`.

    Reference: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks", arXiv:2011.08891.
    """

    def weighted(features, gradients):
        return np.einsum("nhwc,knhwc->nkhw", features, gradients, dtype="float64")

    return _maps(model, images, class_index, layer, batch_size, weighted)


@outside_of_traces
def layer_cam(model, images, class_index=None, layer=None, *, batch_size=32):
    """LayerCAM: feature maps times the gradient at each position where that is positive.

    A channel counts only where the class gains if it grows there, so that nothing is taken away by evidence against the
    class. Meant for early layers, with maps finer than the last ones. The sum over the channels is treated as in
    `class_activation_map`.

    Args:
        model: a functional or Sequential Keras model with its classifier. Such models within it are entered.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts. A model with
            one output unit has two classes, as in `class_activation_map`.
        layer: str, name of the layer whose maps are shown, as in `grad_cam`. Default: the last feature maps before
            global pooling or flattening.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError, ValueError, NotImplementedError: as `grad_cam`.

    Reference: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE
    Transactions on Image Processing 30, doi:10.1109/TIP.2021.3089943.
    """

    def weighted(features, gradients):
        return np.einsum("nhwc,knhwc->nkhw", features, np.maximum(gradients, 0), dtype="float64")

    return _maps(model, images, class_index, layer, batch_size, weighted)


def _maps(model, images, class_index, layer, batch_size, weighted):
    """Maps of images; `weighted` makes (images, k, height, width) of feature maps and of the k gradients of each."""
    unrolled = check_model(model)
    maps = last_feature_maps(unrolled) if layer is None else feature_maps(unrolled, layer)
    images = check_images(unrolled, images)
    head, output = classifier_at_the_end(unrolled), unrolled.outputs[0]
    score_input = output if head is None else head.input
    classes_of_model = max(2, output.shape[-1]) if head is None else head.classes
    check_known(unrolled, head, class_index)

    def scores(score_input, classes):
        """Sums of one class score of each image, so that a sum's gradient holds that of each image; k sums."""
        if head is not None:
            logits = head.logits(score_input)
        else:
            logits = ops.reshape(ops.cast(score_input, "float32"), (len(classes), -1))
            logits = ops.concatenate([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits
        return [ops.sum(logits * ops.one_hot(column, classes_of_model, dtype="float32")) for column in classes.T]

    read_values, results = reader_of(unrolled, [score_input, output]), []
    for batch, classes in batches(images, class_index, classes_of_model, batch_size):
        if classes is None:
            classes = predicted(head, *read_values(batch))
        features, gradients = maps_and_gradients(
            unrolled, batch, maps, score_input, lambda tensor, classes=classes: scores(tensor, classes)
        )
        results.append(weighted(features, gradients))
    return normalized(results, class_index)
