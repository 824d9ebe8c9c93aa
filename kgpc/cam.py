"""Where in an image a model finds its evidence for a class: class activation maps, Grad-CAM, and pictures of both.

A class activation map weights the feature maps before global average pooling with the classifier's weights of one
class. It is defined where the classifier is linear on the pooled maps: in all families of this package but MobileNet
V3. Grad-CAM takes the gradient of the class in place of the weights and works for any layer of any model; where both
are defined and Grad-CAM looks at the same layer, they are the same up to rounding.

References: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv:1512.04150; Selvaraju et
al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", arXiv:1610.02391;
Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023, shows class activation maps of kEffNet.
"""

import dataclasses
import numbers

import cv2
import keras
import matplotlib
import numpy as np
from keras import ops

from kgpc.weights import construction_order

# What may stand between global pooling and a linear classifier, and between the classifier and the output.
_AFTER_POOLING = (keras.layers.Dropout, keras.layers.Reshape, keras.layers.Flatten)
_AFTER_CLASSIFIER = (keras.layers.Activation, keras.layers.Softmax, keras.layers.Reshape, keras.layers.Flatten)
_GLOBAL_POOLINGS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


def class_activation_map(model, images, class_index=None, *, layer=None, classifier=None, batch_size=32):
    """Class activation maps of a model whose classifier is linear on globally average-pooled feature maps.

    The maps of the layer before the pooling are weighted by the classifier's weights of the class and summed; what is
    negative becomes 0, and each map is divided by its maximum where that is above 0. A map without any evidence for the
    class is 0 everywhere.

    Args:
        model: a functional Keras model with its classifier.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts.
        layer: str, name of the layer whose maps are weighted. Default: what the global average pooling reads.
        classifier: str, name of the classifier, a dense layer or a 1x1 convolution. Default: the one that is found.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers.
        ValueError: if the model has no such classifier (then `grad_cam` helps), the images have the wrong shape, they
            or what the model makes of them are not finite, or a class or a layer does not exist.

    References: Zhou et al. 2016, arXiv:1512.04150; Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """
    if layer is None or classifier is None:
        found_maps, found_classifier = _linear_head(model)
    maps = found_maps if layer is None else _feature_maps(model, layer)
    classifier = found_classifier if classifier is None else _classifier(model, classifier)
    kernel = _kernel(classifier)
    if maps.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"`layer` and `classifier` must fit: {classifier.name!r} weights {kernel.shape[0]} maps. "
            f"Received: layer={layer!r} with {maps.shape[-1]} maps."
        )
    images = _check_images(model, images)
    view = keras.Model(model.inputs[0], [maps, *model.outputs])
    results = []
    for batch, classes in _batches(images, class_index, kernel.shape[1], batch_size):
        features, predictions = (_to_numpy(output) for output in _outputs(view, batch))
        classes = _predicted(predictions) if classes is None else classes
        # In double precision: where evidence for and against a class nearly cancels, what is left is small.
        results.append(np.einsum("nhwc,cnk->nkhw", features, kernel[:, classes], dtype="float64"))
    return _normalized(results, class_index)


def grad_cam(model, images, class_index=None, layer=None, *, batch_size=32):
    """Grad-CAM: feature maps weighted by how much the class gains where they grow.

    The weight of a map is the mean, over its positions, of the gradient of the class score: the logit where the model
    ends in a dense layer or a 1x1 convolution and its activation, else the output itself. The weighted sum is treated
    as in `class_activation_map`.

    Args:
        model: a functional Keras model with its classifier.
        images: floating-point array (n, height, width, channels), prepared as for `model.predict`.
        class_index: int in [0, classes); or n of them, one for each image; or an array (n, k), k classes for each
            image, which takes one pass for all k. Default: for each image the class the model predicts.
        layer: str, name of the layer whose maps are shown. Default: the last feature maps before global pooling or
            flattening.
        batch_size: int >= 1, images in each pass through the model.

    Returns:
        Array (n, map height, map width), float32 in [0, 1]; (n, k, map height, map width) for k classes of each image.

    Raises:
        TypeError: if `images` are not floating-point numbers, or `class_index` or `batch_size` not integers.
        ValueError: if the images have the wrong shape, they or what the model makes of them are not finite, a class or
            a layer does not exist, or the output does not depend on the layer.
        NotImplementedError: if the Keras backend is neither TensorFlow nor JAX nor PyTorch.

    Reference: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    maps = _last_feature_maps(model) if layer is None else _feature_maps(model, layer)
    images = _check_images(model, images)
    head = _head(model)
    score_input = model.outputs[0] if head is None else head.input
    classes_of_model = model.outputs[0].shape[-1] if head is None else _kernel(head.layer).shape[1]
    view = keras.Model(model.inputs[0], [maps, score_input, *model.outputs])

    def scores(score_input, classes):
        """Sums of one class score of each image, so that a sum's gradient holds that of each image; k sums."""
        score_input = ops.reshape(ops.cast(score_input, "float32"), (len(classes), -1))
        logits = score_input if head is None else _logits(head.layer, score_input)
        return [ops.sum(logits * ops.one_hot(column, classes_of_model, dtype="float32")) for column in classes.T]

    results = []
    for batch, classes in _batches(images, class_index, classes_of_model, batch_size):
        if classes is None:
            classes = _predicted(_to_numpy(_outputs(view, batch)[-1]))
        features, gradients = _gradients(view, batch, lambda score_input, classes=classes: scores(score_input, classes))
        weights = gradients.mean(axis=(2, 3))
        results.append(np.einsum("nhwc,knc->nkhw", features, weights, dtype="float64"))
    return _normalized(results, class_index)


@dataclasses.dataclass(frozen=True)
class _Head:
    """A classifier at the end of a model: the layer, and the tensor it reads."""

    layer: keras.layers.Layer
    input: keras.KerasTensor


def _source(tensor):
    """The operation that makes a tensor, and the tensors it reads."""
    operation, node_index, _ = tensor._keras_history
    return operation, operation._inbound_nodes[node_index].input_tensors


def _check_model(model):
    construction_order(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "`model` must have one input, the images, and one output. "
            f"Received: {model.name!r} with {len(model.inputs)} inputs and {len(model.outputs)} outputs."
        )


def _is_classifier(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return tuple(layer.kernel_size) == (1, 1) and layer.groups == 1
    return isinstance(layer, keras.layers.Dense)


def _head(model):
    """The classifier that a model ends in, or None."""
    _check_model(model)
    operation, inputs = _source(model.outputs[0])
    while isinstance(operation, _AFTER_CLASSIFIER):
        operation, inputs = _source(inputs[0])
    return _Head(operation, inputs[0]) if _is_classifier(operation) else None


def _linear_head(model):
    """The maps before global average pooling, and the classifier that is linear on the pooled maps."""
    head = _head(model)
    if head is None:
        raise ValueError(
            "`model` must end in a dense layer or a 1x1 convolution as its classifier. "
            f"Received: {model.name!r}, which ends in {_source(model.outputs[0])[0].name!r}."
        )
    operation, inputs = _source(head.input)
    while isinstance(operation, _AFTER_POOLING):
        operation, inputs = _source(inputs[0])
    if not isinstance(operation, keras.layers.GlobalAveragePooling2D):
        raise ValueError(
            f"A class activation map is not defined for {model.name!r}: its classifier {head.layer.name!r} reads the "
            f"output of {operation.name!r}, not globally averaged feature maps. Use `grad_cam`, which works for all."
        )
    return inputs[0], head.layer


def _last_feature_maps(model):
    """The last maps with positions: what global pooling reads, or the last tensor of images of more than one pixel."""
    _check_model(model)
    tensor = model.outputs[0]
    while True:
        operation, inputs = _source(tensor)
        if len(inputs) != 1:
            raise ValueError(
                f"`layer` must be given for {model.name!r}: on the way back from its output, {operation.name!r} comes "
                "before any feature maps."
            )
        if isinstance(operation, _GLOBAL_POOLINGS):
            return inputs[0]
        tensor = inputs[0]
        if len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) != (1, 1):
            return tensor


def _named_layer(model, argument, name):
    _check_model(model)
    if not isinstance(name, str) or name not in {layer.name for layer in model.layers}:
        last = ", ".join(repr(layer.name) for layer in model.layers[-8:])
        raise ValueError(
            f"`{argument}` must be the name of a layer of {model.name!r}; its last ones are {last}. "
            f"Received: {argument}={name!r}."
        )
    return model.get_layer(name)


def _feature_maps(model, name):
    maps = _named_layer(model, "layer", name).output
    if not isinstance(maps, keras.KerasTensor) or len(maps.shape) != 4:
        raise ValueError(
            "`layer` must be a layer with feature maps (batch, height, width, channels). "
            f"Received: layer={name!r}, whose output has shape {getattr(maps, 'shape', None)}."
        )
    return maps


def _classifier(model, name):
    layer = _named_layer(model, "classifier", name)
    if not _is_classifier(layer):
        raise ValueError(
            f"`classifier` must be a dense layer or a 1x1 convolution. Received: classifier={name!r}, a "
            f"{type(layer).__name__}."
        )
    return layer


def _kernel(classifier):
    """The classifier's weights (maps, classes), float32."""
    kernel = _to_numpy(classifier.kernel)
    return kernel.reshape(-1, kernel.shape[-1])


def _logits(classifier, inputs):
    """What the classifier computes before its activation."""
    kernel = ops.cast(ops.convert_to_tensor(classifier.kernel), "float32")
    outputs = ops.matmul(inputs, ops.reshape(kernel, (-1, kernel.shape[-1])))
    return outputs if classifier.bias is None else outputs + ops.cast(ops.convert_to_tensor(classifier.bias), "float32")


def _outputs(view, images):
    """Outputs of a model for one batch."""
    if keras.backend.backend() == "jax":
        # Layer by layer, JAX would compile each of their hundreds of operations for itself.
        return view.predict_on_batch(images)
    return view(images, training=False)


def _to_numpy(tensor):
    # NumPy does not know bfloat16.
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _check_images(model, images):
    if ops.is_tensor(images):
        images = ops.convert_to_numpy(images)
    images = np.asarray(images)
    if images.dtype.kind != "f":
        raise TypeError(
            "`images` must be floating-point numbers, prepared as the model was trained, for example with its "
            f"`preprocess_input`. Received: dtype {images.dtype}."
        )
    expected = model.inputs[0].shape
    fits = images.ndim == 4 and all(
        size in (None, got) for size, got in zip(expected[1:], images.shape[1:], strict=True)
    )
    if not fits or not len(images):
        raise ValueError(
            f"`images` must be a batch of at least one image, of shape {tuple(expected)}; a single image is "
            f"`image[None]`. Received: shape {images.shape}."
        )
    if not np.isfinite(images).all():
        raise ValueError("`images` must hold finite numbers. Received: NaN or infinity.")
    return images.astype("float32")


def _check_classes(class_index, count, classes_of_model):
    """Classes of each image, (count, k), or None."""
    if class_index is None:
        return None
    classes = np.asarray(class_index)
    if classes.dtype.kind not in "iu":
        raise TypeError(
            "`class_index` must be an integer, or one or several for each image. "
            f"Received: class_index={class_index!r}."
        )
    if classes.ndim > 2 or not classes.size or classes.ndim and len(classes) != count:
        raise ValueError(
            f"`class_index` must be one class, or one or several for each of the {count} images: of shape (), "
            f"({count},) or ({count}, k). Received: shape {classes.shape}."
        )
    if classes.min() < 0 or classes.max() >= classes_of_model:
        raise ValueError(
            f"`class_index` must be in [0, {classes_of_model}): the model has {classes_of_model} classes. "
            f"Received: class_index={class_index!r}."
        )
    return classes if classes.ndim == 2 else np.broadcast_to(classes, count)[:, None]


def _batches(images, class_index, classes_of_model, batch_size):
    """Pairs (images, their classes (images, k) or None)."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Integral):
        raise TypeError(f"`batch_size` must be an integer of at least 1. Received: batch_size={batch_size!r}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
    classes = _check_classes(class_index, len(images), classes_of_model)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield images[part], None if classes is None else classes[part]


def _predicted(predictions):
    """The class that each image is given, (images, 1)."""
    return predictions.reshape(len(predictions), -1).argmax(axis=1, keepdims=True)


def _normalized(batches, class_index):
    """Maps without what is negative, each divided by its maximum where that is above 0, in the shape asked for.

    `batches` is a list of arrays (images, k, map height, map width).
    """
    maps = np.concatenate(batches)
    if not np.isfinite(maps).all():
        raise ValueError(
            "`model` must have finite feature maps. Received: a model that makes NaN or infinity of `images`."
        )
    maps = np.maximum(maps, 0).astype("float32")
    peaks = maps.max(axis=(2, 3), keepdims=True)
    maps /= np.where(peaks > 0, peaks, 1)
    return maps if np.ndim(class_index) == 2 else maps[:, 0]


def _gradients(view, images, scores):
    """Feature maps of a batch, and the gradients of `scores(score input)`, k numbers, with respect to them.

    `view` is a model with the outputs feature maps, score input, predictions. Results are NumPy arrays: (images,
    height, width, maps), and one more dimension, the first, for the k gradients.
    """
    backend = keras.backend.backend()
    if backend not in _GRADIENTS:
        raise NotImplementedError(f"Grad-CAM needs the backend tensorflow, jax or torch of Keras. Received: {backend}.")
    features, gradients = _GRADIENTS[backend](view, ops.convert_to_tensor(images), scores)
    if gradients[0] is None:
        name = view.outputs[0]._keras_history.operation.name
        raise ValueError(f"`layer` must be a layer that the output depends on. Received: layer={name!r}.")
    return _to_numpy(features), np.stack([_to_numpy(gradient) for gradient in gradients])


def _tensorflow_gradients(view, images, scores):
    """The tape begins at the maps: beginning at the images, it would differentiate the whole network for nothing."""
    import tensorflow as tf

    target = view.outputs[0]._keras_history.operation
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

        def watched(operation):
            if operation is not target:
                return operation

            def call(*args, **kwargs):
                maps = operation(*args, **kwargs)
                tape.watch(maps)
                return maps

            return call

        features, score_input, _ = view._run_through_graph([images], operation_fn=watched)
        totals = scores(score_input)
    return features, [tape.gradient(total, features) for total in totals]


def _torch_gradients(view, images, scores):
    import torch

    with torch.enable_grad():
        features, score_input, _ = view(images.requires_grad_(), training=False)
        gradients = [
            torch.autograd.grad(total, features, retain_graph=True, allow_unused=True)[0]
            for total in scores(score_input)
        ]
    return features, gradients


def _jax_gradients(view, images, scores):
    """JAX has no gradient with respect to a value on the way: the gradient of something added there takes its place."""
    import jax

    target = view.outputs[0]._keras_history.operation

    def run(addition):
        def with_addition(operation):
            if operation is not target:
                return operation
            return lambda *args, **kwargs: operation(*args, **kwargs) + addition

        features, score_input, _ = view._run_through_graph([images], operation_fn=with_addition)
        return jax.numpy.stack(scores(score_input)), features

    maps = view.outputs[0]
    shape = jax.eval_shape(lambda x: view(x, training=False)[0], images).shape
    gradients, features = jax.jit(jax.jacrev(run, has_aux=True))(ops.zeros(shape, dtype=maps.dtype))
    return features, gradients


_GRADIENTS = {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients, "torch": _torch_gradients}


def _picture(image):
    """An image as (height, width, 3) float32 in [0, 1]."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise ValueError(
            f"`image` must be of shape (height, width, 3), or grey: (height, width). Received: shape {image.shape}."
        )
    if image.dtype == np.uint8:
        image = image / np.float32(255)
    elif image.dtype.kind != "f":
        raise TypeError(f"`image` must be uint8, or floating-point numbers in [0, 1]. Received: dtype {image.dtype}.")
    elif not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"`image` must be in [0, 1] where it is not uint8. Received: values from {image.min()} to {image.max()}."
        )
    return np.repeat(image, 3 // image.shape[-1], axis=-1).astype("float32")


def _check_heat(name, heat, ndim):
    heat = np.asarray(heat)
    shape = "(map height, map width)" if ndim == 2 else "(n, map height, map width)"
    if heat.ndim != ndim or not heat.size or heat.dtype.kind != "f":
        raise ValueError(
            f"`{name}` must be an array {shape} of floating-point numbers. "
            f"Received: shape {heat.shape}, dtype {heat.dtype}."
        )
    if not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"`{name}` must be in [0, 1]. Received: values from {heat.min()} to {heat.max()}.")
    return heat.astype("float32")


def overlay(image, heat, alpha=0.5, colormap="viridis"):
    """A map in colours, enlarged to the size of its image, with the image over it.

    Args:
        image: uint8 array, or floating-point array in [0, 1], (height, width, 3); grey images may be (height, width).
        heat: floating-point array (map height, map width) in [0, 1], such as one of `class_activation_map`.
        alpha: float in [0, 1], how opaque the image is: 0 shows the map alone, 1 the image alone.
        colormap: str, name of a matplotlib colormap for values from 0 to 1.

    Returns:
        uint8 array (height, width, 3), RGB.

    Raises:
        TypeError: if `image` has another dtype, or `alpha` is not a number.
        ValueError: if a shape, a value, `alpha` or `colormap` is not as described.

    Reference: Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023.
    """
    picture, heat = _picture(image), _check_heat("heat", heat, ndim=2)
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real):
        raise TypeError(f"`alpha` must be a number in [0, 1]. Received: alpha={alpha!r}.")
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be in [0, 1]. Received: alpha={alpha}.")
    if colormap not in matplotlib.colormaps:
        raise ValueError(
            "`colormap` must be the name of a matplotlib colormap, such as 'viridis' or 'magma'. "
            f"Received: colormap={colormap!r}."
        )
    height, width = picture.shape[:2]
    heat = cv2.resize(heat, dsize=(width, height), interpolation=cv2.INTER_CUBIC)
    # Cubic interpolation overshoots the values it goes through.
    colors = matplotlib.colormaps[colormap](np.clip(heat, 0, 1))[..., :3].astype("float32")
    blended = cv2.addWeighted(picture, float(alpha), colors, 1 - float(alpha), 0)
    return np.rint(255 * blended).astype("uint8")


def gallery(images, maps, titles=None, columns=4, alpha=0.5, colormap="viridis"):
    """Figure of a batch of images, each under its map as in `overlay`, with a colour scale.

    Args:
        images: batch of images as `overlay` takes them: (n, height, width, 3) uint8 or in [0, 1], or grey.
        maps: floating-point array (n, map height, map width) in [0, 1].
        titles: n texts, for example the class of each map, or None.
        columns: int >= 1, images in a row.
        alpha: float in [0, 1], how opaque the images are.
        colormap: str, name of a matplotlib colormap.

    Returns:
        `matplotlib.figure.Figure`. Its label (`figure.get_label()`) says in words what it shows and where each map is
        strongest: an alternative text for readers who cannot see it, for example
        `kgpc.plots.show(figure, alt=figure.get_label())`.

    Raises:
        TypeError: if `columns` is not an integer, or an argument of `overlay` has the wrong type.
        ValueError: if there are not as many maps or titles as images, or an argument of `overlay` is not as described.
    """
    import matplotlib.pyplot as plt

    maps = _check_heat("maps", maps, ndim=3)
    if len(images) != len(maps):
        raise ValueError(f"`maps` must be one for each image. Received: {len(maps)} maps and {len(images)} images.")
    if titles is not None and (isinstance(titles, str) or len(titles) != len(maps)):
        raise ValueError(f"`titles` must be one text for each of the {len(maps)} images. Received: titles={titles!r}.")
    if isinstance(columns, bool) or not isinstance(columns, numbers.Integral):
        raise TypeError(f"`columns` must be an integer of at least 1. Received: columns={columns!r}.")
    if columns < 1:
        raise ValueError(f"`columns` must be at least 1. Received: columns={columns}.")
    titles = [""] * len(maps) if titles is None else [str(title) for title in titles]
    pictures = [overlay(image, heat, alpha, colormap) for image, heat in zip(images, maps, strict=True)]
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.9 * columns + 1, 2.1 * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize="medium")
    scale = matplotlib.cm.ScalarMappable(cmap=colormap)
    scale.set_clim(0, 1)
    figure.colorbar(scale, ax=grid, label="evidence\n(1: strongest in the image)", shrink=0.8)
    figure.set_label(_in_words(titles, maps))
    return figure


def _in_words(titles, maps):
    """Alternative text of a gallery."""
    sentences = [f"{len(maps)} images, each with a map of the evidence for a class in colours."]
    for number, (title, heat) in enumerate(zip(titles, maps, strict=True), start=1):
        title = " ".join((title or "").split())  # of several lines
        subject = f"Image {number}" + (f" ({title})" if title else "")
        sentences.append(f"{subject}: {_strongest_place(heat)}.")
    return " ".join(sentences)


def _strongest_place(heat):
    """Where a map is strongest, by thirds of its height and width."""
    if not heat.max():
        return "no evidence"
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    vertical = ("top", "middle", "bottom")[int(3 * (row + 0.5) / heat.shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * (column + 0.5) / heat.shape[1])]
    return f"strongest at the {vertical} {horizontal}"
