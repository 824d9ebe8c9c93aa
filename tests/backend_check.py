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

import carried_networks
import conversions
import keras
import numpy as np

import kgpc
from kgpc import device_steps


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


def check_warm_start():
    """Weights carried over, with some steps of Adam for each unit, and the statistics behind them."""
    random, warm = carried_networks.carried("residual", steps=20)
    assert warm < 0.6 * random and warm < 1, (random, warm)
    print(f"warm start: {random:.2f} of the original's variance becomes {warm:.2f}")


def check_timed_steps():
    """What `kgpc.timing` times is a training that learns, a prediction like `predict`'s, on a machine with a name."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = kgpc.blocks.pointwise(inputs, 16, kgpc.D6(1), name="block", activation="swish")
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype="float32")
    predicted = np.asarray(kgpc.timing.predict_step(model, 4)())
    np.testing.assert_allclose(predicted, model.predict(images, verbose=0), rtol=1e-5, atol=1e-6)
    step = kgpc.timing.train_step(model, 4, learning_rate=1e-2)
    losses = [float(step()) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0], losses
    machine = kgpc.timing.machine()
    assert machine["backend"] == keras.backend.backend() and machine["precision"] == "float32" and machine["machine"]
    print(f"timed steps: {machine['machine']}")


def check_timed_layer():
    """A layer that is timed computes its outputs and the gradients of ones, by its inputs and weights."""
    layer = kgpc.layers.GroupedPointwiseConv2D(6, 2, use_bias=False)
    images = np.random.default_rng(0).random((2, 3, 3, 4), dtype="float32")
    steps = device_steps.layer_steps(layer, images, training=True)
    assert min(kgpc.timing.in_turns(steps, rounds=1, warmup=0).values()) > 0  # compiles them side by side
    kernel = keras.ops.convert_to_numpy(layer.kernel)[0, 0]
    expected = [images[0, 0, 0, :2] @ kernel[:, 0], kernel[0, :3].sum(), images[..., 0].sum()]
    found = [np.ravel(value)[0] for value in keras.tree.flatten(steps["forward + backward"]())]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (value,) = keras.tree.flatten(steps["forward"]())
    np.testing.assert_allclose(np.ravel(value)[0], expected[0], rtol=1e-5)
    assert min(kgpc.timing.cache_bandwidth(8, 1, 2), kgpc.timing.narrow_product_rate(4, 8, 1, 2)) > 0
    print("timed layer: outputs and gradients")


def check_ways_of_jax():
    """All ways that tests/benchmarks/gpu.py times compute the same, also backward."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent / "benchmarks"))
    import jax
    from grouped_products import INTERLEAVED, WAYS

    rng = np.random.default_rng(0)
    for groups, channels, filters in ((4, 64, 96), (3, 36, 48), (16, 48, 16)):
        x, kernel = rng.normal(size=(2, 3, 3, channels)), rng.normal(size=(1, 1, channels // groups, filters))
        wide, narrow = np.split(x, groups, axis=-1), np.split(kernel[0, 0], groups, axis=-1)
        expected = np.concatenate([part @ weights for part, weights in zip(wide, narrow, strict=True)], axis=-1)
        shuffled = expected.reshape(2, 3, 3, groups, -1).swapaxes(-1, -2).reshape(expected.shape)
        upstream = rng.normal(size=expected.shape).astype("float32")
        gradients = {}
        for name, way in {**WAYS, **INTERLEAVED}.items():
            if name == "ordinary":
                continue
            outputs, pull = jax.vjp(lambda x, kernel: way(x, kernel, groups), *map(jax.numpy.float32, (x, kernel)))  # noqa: B023
            wanted = shuffled if name in INTERLEAVED else expected
            np.testing.assert_allclose(outputs, wanted, rtol=0, atol=1e-4, err_msg=name)
            gradients.setdefault(name in INTERLEAVED, []).append(pull(upstream))
        for of_ways in gradients.values():
            for other in of_ways[1:]:
                for gradient, first in zip(other, of_ways[0], strict=True):
                    np.testing.assert_allclose(gradient, first, rtol=0, atol=1e-3)
    print(f"{len(WAYS) - 1} ways agree")


def main():
    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
        (check_step if path.stem.startswith("random-") else check_outputs)(path)
    check_training_step()
    check_conversion()
    check_warm_start()
    check_timed_steps()
    check_timed_layer()
    if keras.backend.backend() == "jax":
        check_ways_of_jax()
    print(f"{keras.backend.backend()}: all checks passed")


if __name__ == "__main__":
    main()
