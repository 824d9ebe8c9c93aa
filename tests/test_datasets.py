"""What data sets have in common: model input, drawing and splitting, and what loading them imports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kgpc
from kgpc.datasets import as_model_input, fashion_mnist_sample, stratified_indices, train_validation_split


@pytest.fixture(scope="module")
def sample():
    return fashion_mnist_sample()


def test_loading_the_sample_needs_neither_keras_nor_an_architecture():
    """The modules themselves import nothing heavy; kgpc's own __init__ is kept out of it."""
    folder = Path(kgpc.__file__).parent
    code = (
        "import importlib.machinery, importlib.util, sys;"
        "spec = importlib.machinery.ModuleSpec('kgpc', None, is_package=True);"
        f"spec.submodule_search_locations = [{str(folder)!r}];"
        "sys.modules['kgpc'] = importlib.util.module_from_spec(spec);"
        "import kgpc.datasets;"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(loaded & {'keras', 'tensorflow', 'pandas', 'matplotlib'}),"
        " sorted({name.split('.')[1] for name in sys.modules if name.startswith('kgpc.')}))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[] ['arguments', 'datasets', 'files', 'resources']"


# Model input


def test_model_input_is_padded_repeated_and_scaled(sample):
    images = sample.x_test[:3]
    result = as_model_input(images)
    assert result.shape == (3, 32, 32, 3) and result.dtype == np.float32
    for channel in range(3):
        expected = np.pad(images.astype(np.float32) / np.float32(255), ((0, 0), (2, 2), (2, 2)))
        np.testing.assert_array_equal(result[..., channel], expected)


def test_model_input_spans_zero_to_one():
    images = np.array([[[0, 255]]], np.uint8)
    assert as_model_input(images, size=2)[0, 0, :, 0].tolist() == [0.0, 1.0]


def test_an_odd_margin_is_larger_at_the_bottom_and_right():
    result = as_model_input(np.full((1, 2, 4), 255, np.uint8), size=5)
    assert np.argwhere(result[0, :, :, 0])[[0, -1]].tolist() == [[1, 0], [2, 3]]


def test_one_channel_gives_the_same_as_none(sample):
    images = sample.x_test[:2]
    np.testing.assert_array_equal(as_model_input(images[..., np.newaxis]), as_model_input(images))


def test_colours_are_kept():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.testing.assert_array_equal(as_model_input(images, size=4), images.astype(np.float32) / np.float32(255))


def test_an_empty_batch_stays_empty():
    assert as_model_input(np.zeros((0, 28, 28), np.uint8)).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    "shape", [(28,), (28, 28), (28, 28, 3), (28, 28, 1), (2, 28, 28, 2), (2, 28, 28, 4), (1, 2, 28, 28, 3)]
)
def test_a_batch_of_the_wrong_rank_is_refused(shape):
    with pytest.raises(ValueError, match="`images` must") as error:
        as_model_input(np.zeros(shape, np.uint8))
    assert f"images.shape={shape}" in str(error.value)
    assert "(n, height, width, 3)" in str(error.value)


@pytest.mark.parametrize("images", [np.zeros((2, 28, 28), np.float32), np.zeros((2, 28, 28), np.int64), [[[0]]], None])
def test_images_that_are_not_uint8_are_refused(images):
    with pytest.raises(TypeError, match="`images` must be an array of uint8"):
        as_model_input(images)


@pytest.mark.parametrize("size", [27, 0, -32])
def test_a_size_smaller_than_the_images_is_refused(size):
    with pytest.raises(ValueError, match=rf"`size` must be at least .* 28x28\. Received: size={size}"):
        as_model_input(np.zeros((2, 28, 28), np.uint8), size=size)


@pytest.mark.parametrize("size", [32.0, "32", None, True])
def test_a_size_that_is_no_int_is_refused(size):
    with pytest.raises(TypeError, match="`size` must be an int"):
        as_model_input(np.zeros((2, 28, 28), np.uint8), size=size)


# Drawing and splitting


def test_stratified_indices_draw_each_class_equally_and_repeatably():
    labels = np.repeat([0, 1, 2], [50, 20, 10])
    chosen = stratified_indices(labels, 10, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [10, 10, 10]
    assert len(np.unique(chosen)) == 30 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, stratified_indices(labels, 10, seed=1))
    assert not np.array_equal(chosen, stratified_indices(labels, 10, seed=2))


def test_stratified_indices_take_a_number_for_every_class():
    labels = np.repeat([0, 1], [5, 5])
    assert np.bincount(labels[stratified_indices(labels, {0: 1, 1: 4})]).tolist() == [1, 4]


@pytest.mark.parametrize("per_class", [0, -1, 6, 2.5, "3", None, {0: 1}])
def test_stratified_indices_refuse_a_number_the_classes_do_not_have(per_class):
    with pytest.raises(ValueError, match="`per_class` must be an int between 1 and"):
        stratified_indices(np.repeat([0, 1], [5, 5]), per_class)


def test_stratified_indices_refuse_labels_of_the_wrong_rank():
    with pytest.raises(ValueError, match=r"`labels` must have the shape \(n,\)"):
        stratified_indices(np.zeros((5, 10)), 1)


def test_a_split_keeps_the_share_of_every_class_and_loses_nothing(sample):
    x_train, y_train, x_validation, y_validation = train_validation_split(sample.x_train, sample.y_train, 0.2, seed=3)
    assert np.bincount(y_train).tolist() == [480] * 10
    assert np.bincount(y_validation).tolist() == [120] * 10
    both = np.concatenate([x_train, x_validation])
    assert sorted(map(bytes, both)) == sorted(map(bytes, sample.x_train))
    again = train_validation_split(sample.x_train, sample.y_train, 0.2, seed=3)
    np.testing.assert_array_equal(again[2], x_validation)


def test_a_split_keeps_image_and_label_together():
    labels = np.tile(np.arange(4), 25)
    for images, part in zip(*[iter(train_validation_split(labels.copy(), labels))] * 2, strict=True):
        np.testing.assert_array_equal(images, part)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "0.5", None])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"`validation_fraction` must be in \(0, 1\)"):
        train_validation_split(np.zeros(10), np.zeros(10, int), fraction)


def test_a_fraction_that_leaves_a_class_without_images_is_refused():
    with pytest.raises(ValueError, match="class 1 has 2 images"):
        train_validation_split(np.zeros(22), np.repeat([0, 1], [20, 2]), 0.1)


def test_images_and_labels_of_different_length_are_refused():
    with pytest.raises(ValueError, match="3 images and 4 labels"):
        train_validation_split(np.zeros(3), np.zeros(4, int))
