"""The same code on the other backends of Keras, each in a process of its own; tests/backend_check.py runs there."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from random_networks import random_images, random_network

import kgpc

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
CARRIED = pathlib.Path(__file__).resolve().parent / "data" / "blocks"
RANDOM = 8
SCHEMES = {"D6": kgpc.D6, "D6v3": kgpc.D6v3, "kT3": kgpc.Grouped}


def save(folder, name, model, inputs, output, atol):
    model.save(folder / f"{name}.keras")
    np.savez(folder / f"{name}.npz", input=inputs, output=output, atol=atol)


def save_block(folder, entry):
    """A reference block with its weights, and the reference output."""
    vectors = np.load(CARRIED / pathlib.Path(entry["vectors"]).name)
    arguments = entry["constructor"]
    x = keras.Input(vectors["input"].shape[1:])
    y = kgpc.blocks.pointwise(
        x,
        arguments["filters"],
        SCHEMES[entry["scheme"]](entry["channels_per_group"]),
        name="blk",
        activation=arguments["activation"],
        batch_norm=arguments["has_batch_norm"],
        batch_norm_scale=arguments["has_batch_scale"],
        use_bias=arguments["use_bias"],
    )
    model = keras.Model(x, y)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(vectors[f"w/{layer.name}/{weight.name}:0"])
    save(folder, entry["block"], model, vectors["input"], vectors["output"], entry["atol"])


def save_kmobilenet(folder):
    """kMobileNet: the reference one where there is one; else with random weights, and what TensorFlow makes of it."""
    name = "kmobilenet_d6_16ch_64"
    if GOLDEN.is_dir():
        entry = next(
            entry for entry in json.loads((GOLDEN / "index.json").read_text())["models"] if name in entry["variant"]
        )
        vectors = np.load(GOLDEN / entry["vectors"])
        model = kgpc.applications.kMobileNet(
            input_shape=(64, 64, 3), classes=10, scheme=kgpc.D6(16), weights=GOLDEN / entry["weights"]
        )
        save(folder, name, model, vectors["input"], vectors["probs"], entry["atol"]["probs"])
    else:
        model = kgpc.applications.kMobileNet(input_shape=(64, 64, 3), classes=10, scheme=kgpc.D6(16))
        images = np.random.default_rng(2).random((2, 64, 64, 3), dtype="float32")
        save(folder, name, model, images, model.predict(images, verbose=0), 1e-5)


def save_random_network(folder, seed):
    """A random network, and what a training step on TensorFlow makes of its weights."""
    model = random_network(seed)
    images = random_images(model, seed)
    labels = np.random.default_rng(seed).normal(size=(len(images), 3)).astype("float32")
    model.save(folder / f"random-{seed}.keras")
    # A step of plain gradient descent: the weights change by their gradients.
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    loss = model.train_on_batch(images, labels)
    after = {f"after/{number:03d}": value for number, value in enumerate(model.get_weights())}
    np.savez(folder / f"random-{seed}.npz", input=images, labels=labels, loss=loss, **after)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    entries = {entry["block"]: entry for entry in json.loads((CARRIED / "index.json").read_text())["blocks"]}
    save_block(folder, entries["block_d6_16ch_128to64"])
    save_block(folder, entries["block_d6v3_16ch_97to64"])
    save_kmobilenet(folder)
    for seed in range(RANDOM):
        save_random_network(folder, seed)
    return folder


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_models_load_compute_and_train_on_another_backend(backend, saved, root):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(root / "tests" / "backend_check.py"), str(saved)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.endswith(f"{backend}: all checks passed\n")
    assert process.stdout.count("largest difference") == 3
    assert process.stdout.count("the step of TensorFlow") == RANDOM


def test_without_tensorflow_jax_builds_trains_and_evaluates(tmp_path, root):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, str(root / "tests" / "tensorflow_missing_check.py"), str(tmp_path)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.endswith("without TensorFlow: all checks passed\n")
    assert process.stdout.startswith("trained: loss ") and "rerun: trained" in process.stdout
