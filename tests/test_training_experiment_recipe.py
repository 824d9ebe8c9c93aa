"""What the recipe of the experiment needs: AdamW that spares all but kernels, smoothed labels, whole-pixel shifts."""

import types

import keras
import numpy as np
import pytest

from kgpc import training
from kgpc.training import Augmentation, Batches, OneCycle, sample_generator

PLAIN = {"rotation": 0.0, "width_shift": 0.0, "height_shift": 0.0, "shear": 0.0, "zoom": 0.0}
RECIPE = training.QUICK.replace(
    epochs=1, image_size=8, batch_size=8, optimizer="AdamW", validation_fraction=0.25, monitor="last"
)


def network(classes=3):
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.Conv2D(4, 1, name="pointwise")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="top")(x))


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8), np.arange(32) % 3
    return types.SimpleNamespace(
        name="tiny", x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=("a", "b", "c")
    )


def trained(data, recipe):
    model = training.build(lambda input_shape: network(), recipe)
    start = {weight.path: weight.numpy() for weight in model.trainable_weights}
    result = training.fit(model, data, recipe, progress=False)
    return start, {weight.path: weight.numpy() for weight in model.trainable_weights}, result


def test_adamw_takes_a_share_of_every_kernel_and_of_nothing_else(data):
    # A single step: the gradient is the same with and without decay, so the difference is the decay.
    recipe = RECIPE.replace(batch_size=24, learning_rate=training.Exponential(0.01))
    start, plain, _ = trained(data, recipe)
    again, decayed, _ = trained(data, recipe.replace(weight_decay=0.5))
    kernels = 0
    for path, before in start.items():
        np.testing.assert_array_equal(before, again[path])
        expected = -0.5 * 0.01 * before if path.endswith("/kernel") else np.zeros_like(before)
        kernels += path.endswith("/kernel")
        np.testing.assert_allclose(decayed[path] - plain[path], expected, rtol=1e-3, atol=2e-7)
    assert kernels == 3


def test_smoothed_labels_are_minimized_and_the_plain_loss_is_reported(data):
    # At a rate of next to nothing the network stays what it is, and its losses can be computed by hand.
    recipe = RECIPE.replace(batch_size=24, learning_rate=training.Exponential(1e-12), label_smoothing=0.3)
    model = training.build(lambda input_shape: network(), recipe)
    chosen, _ = training.split(data.y_train, recipe)
    images = data.x_train[chosen].astype("float32") / 255
    answers = np.log(keras.ops.convert_to_numpy(model(images, training=True)).astype(float))
    targets = np.eye(3)[data.y_train[chosen]]
    result = training.fit(model, data, recipe, progress=False)
    plain = -(targets * answers).sum(axis=1).mean()
    smoothed = -((0.7 * targets + 0.1) * answers).sum(axis=1).mean()
    assert result.history["loss"][0] == pytest.approx(plain, rel=1e-5)
    assert result.step_losses[0] == pytest.approx(smoothed, rel=1e-5)
    assert abs(plain - smoothed) > 1e-3


def test_the_last_epoch_counts_whatever_validation_says(data):
    recipe = RECIPE.replace(epochs=4, learning_rate=OneCycle(0.05))
    _, weights, result = trained(data, recipe)
    assert result.best_epoch == 4
    # The same training, chosen by validation, has another best epoch: the choice makes the difference.
    assert trained(data, recipe.replace(monitor="val_accuracy"))[2].best_epoch < 4


def test_whole_pixels_are_equally_likely_and_change_no_value():
    augmentation = Augmentation(**PLAIN, shift_pixels=2, horizontal_flip=False)
    image = np.random.default_rng(1).random((9, 7, 3), dtype=np.float32)
    padded, shifts = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge"), []
    for index in range(2000):
        transformation = augmentation.sample(image.shape, sample_generator(5, 0, index))
        right, down = transformation.matrix[:, 2]
        shifts.append((right, down))
        top, left = 2 + int(down), 2 + int(right)
        if index < 40:
            np.testing.assert_array_equal(transformation.apply(image), padded[top : top + 9, left : left + 7])
    values, counts = np.unique(np.array(shifts), return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    # 800 expected of each, with a standard deviation of 25.
    assert np.abs(counts - 800).max() < 100
    assert abs(np.corrcoef(np.array(shifts).T)[0, 1]) < 0.1


def test_a_mirrored_image_is_mirrored_to_the_last_bit():
    augmentation = Augmentation(**PLAIN, shift_pixels=0, horizontal_flip=True)
    for size in (32, 33):
        image = np.random.default_rng(1).random((size, size, 3), dtype=np.float32)
        seen = {augmentation.sample(image.shape, sample_generator(5, 0, i)).apply(image).tobytes() for i in range(20)}
        assert seen == {image.tobytes(), np.ascontiguousarray(image[:, ::-1]).tobytes()}


def test_shifts_by_whole_pixels_change_nothing_else_that_is_drawn():
    without, with_shift = (Augmentation(shift_pixels=n).sample((32, 32), sample_generator(1, 2, 3)) for n in (0, 3))
    np.testing.assert_array_equal(without.matrix[:, :2], with_shift.matrix[:, :2])
    moved = (with_shift.matrix - without.matrix)[:, 2]
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-9)


def test_a_margin_of_edge_pixels():
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    recipe = training.QUICK.replace(image_size=33, margin="edge")
    expected = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge").astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(training.prepare(images, recipe), expected)
    np.testing.assert_array_equal(training.prepare(images, recipe.replace(margin="zeros"))[:, 32], 0)
    assert Batches(images, np.array([0, 1]), recipe.replace(batch_size=2))[0][0].shape == (2, 33, 33, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": -0.1}, "`weight_decay` must be in"),
        ({"weight_decay": "0.1"}, "`weight_decay` must be a number"),
        ({"weight_decay": 0.1, "optimizer": "SGD"}, '`weight_decay` is for "AdamW"'),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be in"),
        ({"label_smoothing": float("nan")}, "`label_smoothing` must be in"),
        ({"margin": "mirror"}, "`margin` must be one of 'zeros', 'edge'"),
        ({"monitor": "first"}, "`monitor` must be one of"),
        ({"momentum": 0.9}, "`momentum` and `nesterov` are for"),
    ],
)
def test_bad_fields_are_refused(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RECIPE.replace(**changes)


@pytest.mark.parametrize("value", [-1, 1.5, True, "2"])
def test_a_bad_number_of_pixels_is_refused(value):
    with pytest.raises((TypeError, ValueError), match="`shift_pixels` must be"):
        Augmentation(shift_pixels=value)
