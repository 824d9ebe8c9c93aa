"""Loading and saving models, the two-branch networks and class activation maps under their old names."""

import contextlib
import logging
import os
import tempfile
import warnings

import h5py
import keras
import numpy as np

from kgpc import cam, keras2_models
from kgpc.cai import checks, inception_v3


def load_kereas_model(filename):
    """Loads a whole model, compiled, so that `evaluate` can follow at once.

    Args:
        filename: path of a `.hdf5` or `.h5` file of Keras 2 or Keras 3, see `kgpc.keras2_models.load_model`; or of a
            `.keras` file.

    Returns:
        A `keras.Model`.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError, ValueError: if it is something else, or has layers that kgpc does not know.
    """
    path = checks.file("filename", filename)
    if path.suffix == ".keras":
        return keras.saving.load_model(path)
    return keras2_models.load_model(path)


def save_model(model, base_name):
    """Saves a model in two files: `<base_name>.model`, its architecture as JSON, and `<base_name>.h5`, its weights.

    The weights are in the HDF5 layout of Keras 2; `model.load_weights` and `kgpc.weights.load` read it. A file appears
    when it is complete.

    Args:
        model: a functional `keras.Model`.
        base_name: path without the endings.

    Raises:
        TypeError: if an argument is something else.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}.")
    base = checks.path("base_name", base_name)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=base.parent) as folder:
        whole, weights, architecture = (os.path.join(folder, name) for name in ("whole.h5", "weights.h5", "model"))
        with _quiet():
            model.save(whole)
        with h5py.File(whole, "r") as source, h5py.File(weights, "w") as target:
            stored = source["model_weights"]
            for name in stored:
                source.copy(stored[name], target, name=name)
            for name, value in stored.attrs.items():
                target.attrs[name] = value
        with open(architecture, "w", encoding="utf-8") as file:
            file.write(model.to_json())
        os.replace(architecture, f"{base}.model")
        os.replace(weights, f"{base}.h5")


@contextlib.contextmanager
def _quiet():
    """Without Keras' advice to save in another format."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def two_path_inception_v3(
    include_top=True,
    weights=None,
    input_shape=(224, 224, 3),
    pooling=None,
    classes=1000,
    two_paths_partial_first_block=0,
    two_paths_first_block=False,
    two_paths_second_block=False,
    deep_two_paths=False,
    deep_two_paths_compression=inception_v3.COMPRESSION,
    deep_two_paths_bottleneck_compression=inception_v3.BOTTLENECK_COMPRESSION,
    l_ratio=0.5,
    ab_ratio=0.5,
    max_mix_idx=10,
    max_mix_deep_two_paths_idx=-1,
    model_name="two_path_inception_v3",
    kType=0,
    **unknown,
):
    """Instantiates kInceptionV3: `kgpc.cai.inception_v3.two_path_inception_v3` under a second name.

    Arguments, result and errors as there.
    """
    return inception_v3.two_path_inception_v3(
        include_top=include_top,
        weights=weights,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        two_paths_partial_first_block=two_paths_partial_first_block,
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
        deep_two_paths_compression=deep_two_paths_compression,
        deep_two_paths_bottleneck_compression=deep_two_paths_bottleneck_compression,
        l_ratio=l_ratio,
        ab_ratio=ab_ratio,
        max_mix_idx=max_mix_idx,
        max_mix_deep_two_paths_idx=max_mix_deep_two_paths_idx,
        model_name=model_name,
        kType=kType,
        **unknown,
    )


def compiled_two_path_inception_v3(
    input_shape=(224, 224, 3),
    classes=1000,
    two_paths_partial_first_block=0,
    two_paths_first_block=False,
    two_paths_second_block=False,
    deep_two_paths=False,
    deep_two_paths_compression=inception_v3.COMPRESSION,
    deep_two_paths_bottleneck_compression=inception_v3.BOTTLENECK_COMPRESSION,
    l_ratio=0.5,
    ab_ratio=0.5,
    max_mix_idx=10,
    max_mix_deep_two_paths_idx=-1,
    model_name="two_path_inception_v3",
    kType=0,
    **unknown,
):
    """Instantiates a compiled two-branch network: `kgpc.cai.inception_v3.compiled_two_path_inception_v3`.

    Arguments, result and errors as there.
    """
    return inception_v3.compiled_two_path_inception_v3(
        input_shape=input_shape,
        classes=classes,
        two_paths_partial_first_block=two_paths_partial_first_block,
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
        deep_two_paths_compression=deep_two_paths_compression,
        deep_two_paths_bottleneck_compression=deep_two_paths_bottleneck_compression,
        l_ratio=l_ratio,
        ab_ratio=ab_ratio,
        max_mix_idx=max_mix_idx,
        max_mix_deep_two_paths_idx=max_mix_deep_two_paths_idx,
        model_name=model_name,
        kType=kType,
        **unknown,
    )


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
