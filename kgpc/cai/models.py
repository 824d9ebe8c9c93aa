"""Class activation maps under their old name."""

import numpy as np

from kgpc import cam


def calculate_heat_map_from_dense_and_avgpool(aInput, target_class, pModel, pOutputLayerName, pDenseLayerName):
    """Class activation map of one image: `kgpc.cam.class_activation_map` under its old name.

    Args:
        aInput: array-like (height, width, channels), one image, scaled as for `pModel`.
        target_class: int, index of the class.
        pModel: a Keras model whose classifier is linear on globally average-pooled feature maps.
        pOutputLayerName: str, name of the layer before the pooling.
        pDenseLayerName: str, name of the classifier.

    Returns:
        Array (map height, map width), float32 in [0, 1].

    Raises:
        TypeError: if `target_class` is not an integer.
        ValueError: if the image has the wrong shape, or the class or a layer does not exist.
    """
    image = np.asarray(aInput, dtype="float32")
    if image.ndim != 3:
        raise ValueError(f"`aInput` must be one image (height, width, channels). Received: shape {image.shape}.")
    maps = cam.class_activation_map(
        pModel, image[np.newaxis], target_class, layer=pOutputLayerName, classifier=pDenseLayerName
    )
    return maps[0]
