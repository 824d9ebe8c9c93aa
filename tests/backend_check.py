"""Loads saved models on the Keras backend that the variable KERAS_BACKEND names, compares outputs, trains a step.

A backend is chosen once for each process, so tests/test_backends.py runs this in a process of its own:

    python backend_check.py FOLDER

For each `<name>.keras` in the folder, `<name>.npz` holds `input`, `output` and `atol`; for each `random-<seed>.keras`
it holds `input`, `labels`, and of a training step on TensorFlow the `loss` and all weights after it, `after/<number>`.
One line per check is printed; the first that fails ends with an error.
"""

import os
import pathlib
import sys

import conversions
import keras
import numpy as np

import kgpc


def check_outputs(path):
    model = keras.saving.load_model(path)
    vectors = np.load(path.with_suffix(".npz"))
    # `predict` compiles the model as a whole, as users run it.
    actual = model.predict(vectors["input"], verbose=0)
    np.testing.assert_allclose(actual, vectors["output"], rtol=0, atol=vectors["atol"])
    largest = np.abs(actual - vectors["output"]).max()
    print(f"{path.stem}: largest difference {largest:.1e}, allowed {vectors['atol']:.1e}")


def check_step(path):
    """Gradients and moving statistics, by what a step of gradient descent makes of the weights."""
    model = keras.saving.load_model(path)
    before = model.get_weights()
    vectors = np.load(path.with_suffix(".npz"))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    loss = model.train_on_batch(vectors["input"], vectors["labels"])
    np.testing.assert_allclose(loss, vectors["loss"], rtol=1e-4)
    expected = [vectors[f"after/{number:03d}"] for number in range(len(before))]
    largest = max(np.abs(new - old).max() for new, old in zip(expected, before, strict=True))
    for weight, new, old, actual in zip(model.weights, expected, before, model.get_weights(), strict=True):
        # A bias before a normalization has no gradient but the rounding of a sum over all pixels.
        tolerance = 1e-4 * np.abs(new - old).max() + 1e-5 * largest + 2e-7 * np.abs(old).max()
        np.testing.assert_allclose(actual, new, rtol=0, atol=tolerance, err_msg=weight.path)
    print(f"{path.stem}: {len(before)} weights as after the step of TensorFlow")


def check_training_step():
    """Every layer of the block, one step of gradient descent: all weights move, to finite numbers."""
    inputs = keras.Input((4, 4, 33))
    x = kgpc.blocks.pointwise(inputs, 33, kgpc.D6v3(16), name="block", activation="swish")
    x = kgpc.blocks.pointwise(x, 16, kgpc.D6(8), name="narrow", activation="relu", use_bias=True)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    before = [np.array(weight) for weight in model.get_weights()]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    images = np.random.default_rng(1).random((6, 4, 4, 33), dtype="float32")
    loss = model.train_on_batch(images, np.arange(6) % 3)
    assert np.isfinite(loss), loss
    for weight, old in zip(model.weights, before, strict=True):
        new = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(new).all(), weight.path
        # Batch normalization takes a constant away, so a bias before it has no gradient.
        assert (new != old).any() or weight.path.endswith("/bias"), weight.path
    print(f"training step: loss {float(loss):.3f}, moving statistics and weights updated")


def check_conversion():
    """A converted network computes what the original computes, whose kernels have zeros between the groups."""
    model = conversions.shake(conversions.kinds())
    twin = conversions.grouped_twin(model, kgpc.D6(4), only_if_smaller=False).model
    images = conversions.numbers(0, 4, 9, 7, 8)
    conversions.same(twin.predict(images, verbose=0), model.predict(images, verbose=0))
    print(f"conversion: {len(model.layers)} layers became {len(twin.layers)}")


def main():
    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
        (check_step if path.stem.startswith("random-") else check_outputs)(path)
    check_training_step()
    check_conversion()
    print(f"{keras.backend.backend()}: all checks passed")


if __name__ == "__main__":
    main()
