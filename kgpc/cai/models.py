"""Loading and saving models, the two-branch networks and class activation maps under their old names."""

import contextlib
import inspect
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


def _second_name(function, without, **defaults):
    """A function under a second name: without some of its arguments, and with other defaults."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
        if name not in without
    ]
    signature = signature.replace(parameters=parameters)

    def call(*arguments, **options):
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        unknown = bound.arguments.pop("unknown")
        return function(**bound.arguments, **unknown)

    call.__name__ = call.__qualname__ = function.__name__
    call.__signature__ = signature
    called = f"kgpc.cai.inception_v3.{function.__name__}"
    call.__doc__ = f"Instantiates `{called}` under a second name.\n\nArguments, result and errors are as there."
    return call


two_path_inception_v3 = _second_name(
    inception_v3.two_path_inception_v3,
    without=("input_tensor", "classifier_activation"),
    input_shape=(224, 224, 3),
    model_name="two_path_inception_v3",
)
compiled_two_path_inception_v3 = _second_name(
    inception_v3.compiled_two_path_inception_v3, without=("input_tensor", "optimizer")
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
        ValueError: if the image has the wrong shape, the class or a layer does not exist, or the classifier is not
            linear on globally average-pooled feature maps.
    """
    image = np.asarray(aInput, dtype="float32")
    if image.ndim != 3:
        raise ValueError(f"`aInput` must be one image (height, width, channels). Received: shape {image.shape}.")
    maps = cam.class_activation_map(
        pModel, image[np.newaxis], target_class, layer=pOutputLayerName, classifier=pDenseLayerName
    )
    return maps[0]
