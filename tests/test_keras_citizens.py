"""One small model of each family does what any Keras model does: it is saved, cloned, taken apart and put elsewhere."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications

# Constructor, its arguments for a small model, and channels of its feature maps.
FAMILIES = {
    "keffnet": (applications.kEfficientNetB0, {"scheme": kgpc.D6v3(16), "skip_stride_cnt": 3}, 32, 1280),
    "kmobilenet": (applications.kMobileNet, {"alpha": 0.25, "scheme": kgpc.D6(16)}, 32, 256),
    "kmobilenet_v3": (applications.kMobileNetV3Small, {"scheme": kgpc.D6(8)}, 32, 576),
    "kdensenet": (applications.kDenseNetBC, {"depth": 16, "scheme": kgpc.D6(12)}, 8, 48),
    "kinception_v3": (
        applications.kInceptionV3,
        {"two_paths_first_block": True, "deep_two_paths": True, "max_mix_idx": 1, "scheme": kgpc.D6(16)},
        75,
        334,
    ),
}

# Loads every model of a folder as a user would in a new session, and stores what it computes.
LOAD = """
import pathlib, sys
import keras, numpy as np
import kgpc
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.saving.load_model(path, safe_mode=True)
    images = np.load(path.with_suffix(".images.npy"))
    np.save(path.with_suffix(".loaded.npy"), np.asarray(model(images, training=False)))
"""


def build(family, **arguments):
    constructor, defaults, size, _ = FAMILIES[family]
    return constructor(**{"input_shape": (size, size, 3), "classes": 4, **defaults, **arguments})


def images_for(family, seed=0, extra=0):
    size = FAMILIES[family][2] + extra
    return np.random.default_rng(seed).random((2, size, size, 3), dtype="float32")


def outputs(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


@pytest.fixture(scope="module")
def models():
    """The models, with moving statistics that are not the initial ones, so that losing them would show."""
    generator = np.random.default_rng(3)
    built = {family: build(family) for family in FAMILIES}
    for model in built.values():
        for weight in model.non_trainable_weights:
            if weight.path.endswith(("moving_mean", "moving_variance")):
                weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return built


@pytest.fixture(scope="module")
def loaded_elsewhere(models, tmp_path_factory):
    """Folder with the outputs of all models after they were saved here and loaded in another process."""
    folder = tmp_path_factory.mktemp("saved")
    for family, model in models.items():
        model.save(folder / f"{family}.keras")
        np.save(folder / f"{family}.images.npy", images_for(family))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LOAD, str(folder)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_loads_in_a_fresh_process(family, models, loaded_elsewhere):
    there = np.load(loaded_elsewhere / f"{family}.loaded.npy")
    assert there.shape == (2, 4)
    np.testing.assert_allclose(there, outputs(models[family], images_for(family)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clone_and_a_rebuilt_configuration_are_the_same_model(family, models):
    model, images = models[family], images_for(family)
    expected = outputs(model, images)
    copies = (keras.models.clone_model(model), keras.Model.from_config(model.get_config()))
    for copy in copies:
        # Keras gives the input of a clone a name of its own.
        assert [layer.name for layer in copy.layers[1:]] == [layer.name for layer in model.layers[1:]]
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(outputs(copy, images), expected, rtol=0, atol=1e-6)
    assert copies[1].get_config() == model.get_config()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_summary_lists_every_layer(family, models):
    lines = []
    models[family].summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert f"{kgpc.flops.trainable_parameters(models[family]):,}" in text
    assert text.count("(None,") >= len(models[family].layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_top_an_open_image_size_is_pooled(family):
    shapes = {None: 4, "avg": 2, "max": 2}
    channels = FAMILIES[family][3]
    for pooling, rank in shapes.items():
        with keras.StatelessScope():
            model = build(family, include_top=False, pooling=pooling, input_shape=(None, None, 3))
        assert len(model.output.shape) == rank and model.output.shape[-1] == channels


@pytest.mark.parametrize("family", FAMILIES)
def test_one_model_with_an_open_size_takes_images_of_any_size(family):
    model = build(family, input_shape=(None, None, 3))
    for extra in (0, 9):
        assert outputs(model, images_for(family, extra=extra)).shape == (2, 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_input_tensor_keeps_what_comes_before_it(family):
    size = FAMILIES[family][2]
    inputs = keras.Input((size, size, 3), dtype="uint8")
    with keras.StatelessScope():
        model = build(family, input_tensor=keras.layers.Rescaling(1 / 255, name="scaled")(inputs))
    assert model.input.dtype == "uint8" and model.get_layer("scaled").scale == 1 / 255
    assert model.output.shape == (None, 4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_predicts_finite_numbers(family, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = build(family)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    probabilities = outputs(model, images_for(family)).astype("float32")
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=0.02)
