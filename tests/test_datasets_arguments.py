"""Every public function of `kgpc.datasets` names a wrong argument, with the value, before it does anything."""

import inspect

import numpy as np
import pytest

from kgpc import datasets
from kgpc.datasets import as_model_input, extract_archive, fashion_mnist, image_folder, load, read_image

IMAGES, LABELS = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
NO_PATHS = (None, 3, b"x", ["x"], 2.5)
NO_LOCAL_PATHS = ("", "a\0b", "s3://bucket/x", "memory://x")
NO_INTS = (None, "8", 8.0, True, np.float64(8), np.bool_(True), [8], np.array([8]))
NO_LABELS = ([0.0, 1.0, 0.0, 1.0], ["a", "b", "a", "b"], [True, False, True, False], None)
NO_SEEDS = (-1, 2**32, *NO_INTS)
NO_FRACTIONS = (0, 1, -0.5, float("nan"), float("inf"), "0.5", None, True, [0.5], 1j)
NO_CHOICES = ("", "other", None, 1, ["pad"], np.array(["pad", "crop"]))


def division(labels=LABELS, per_class=1, seed=0):
    return datasets.stratified_indices(labels, per_class, seed)


def validation(images=IMAGES, labels=LABELS, validation_fraction=0.5, seed=0):
    return datasets.train_validation_split(images, labels, validation_fraction, seed)


def on_demand(sources=(b"x",), size=8, shape="pad", interpolation="area", names=None):
    return datasets.DecodedOnDemand(sources, size, shape, interpolation, names)


def data_set(name="d", x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS, class_names=("a", "b"), **files):
    return datasets.ImageDataset(name, x_train, y_train, x_test, y_test, class_names, **files)


def folder(**arguments):
    return image_folder(**{"path": "nowhere", **arguments})


def image(**arguments):
    return read_image(**{"path": "nowhere", **arguments})


def archive(**arguments):
    return extract_archive(**{"path": "nowhere.zip", "folder": "made", **arguments})


def model_input(images=IMAGES, size=8):
    return as_model_input(images, size)


def plantdoc(**arguments):
    return load(**{"name": "Cropped-PlantDoc", "folder": "nowhere", **arguments})


# Function, argument, values; None is allowed where the default is None.
TABLE = [
    (folder, "path", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (folder, "test_path", (*NO_PATHS[1:], *NO_LOCAL_PATHS)),
    (folder, "image_size", (0, 7, -8, 10_001, *NO_INTS)),
    (folder, "test_fraction", NO_FRACTIONS),
    (folder, "shape", NO_CHOICES),
    (folder, "interpolation", NO_CHOICES),
    (folder, "seed", NO_SEEDS),
    (folder, "memory_limit", (-1, *NO_INTS)),
    (folder, "name", (3, b"x", ["x"])),
    (data_set, "files_train", (3, "ab", {"a": "b"}, [3], (b"a",), ["a"] * (len(LABELS) + 1), [])),
    (data_set, "files_test", (3, "ab", {"a": "b"}, [3], (b"a",), ["a"] * (len(LABELS) + 1), [])),
    (datasets.keep_downloads, "folder", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (datasets.restore_downloads, "folder", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (image, "path", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (image, "image_size", (0, 7, 10_001, *NO_INTS)),
    (image, "shape", NO_CHOICES),
    (image, "interpolation", NO_CHOICES),
    (archive, "path", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (archive, "folder", (*NO_PATHS, *NO_LOCAL_PATHS)),
    (archive, "sha256", (3, b"0" * 64, "", "0" * 63, "g" * 64, True)),
    (archive, "max_bytes", (-1, *NO_INTS)),
    (archive, "max_files", (-1, *NO_INTS)),
    (fashion_mnist, "folder", (*NO_PATHS[1:], *NO_LOCAL_PATHS)),
    (plantdoc, "name", (None, 3, b"x", "", "ImageNet")),
    (plantdoc, "image_size", (0, 7, 10_001, *NO_INTS[1:])),
    (plantdoc, "folder", (*NO_PATHS[1:], *NO_LOCAL_PATHS)),
    (plantdoc, "archive", (*NO_PATHS[1:], *NO_LOCAL_PATHS)),
    (plantdoc, "data_dir", (*NO_PATHS[1:], *NO_LOCAL_PATHS)),
    (plantdoc, "division", NO_CHOICES),
    (division, "labels", (*NO_LABELS, [], [[0, 1]], 3)),
    (division, "per_class", (0, 3, -1, 1.5, "1", None, True, {0: 1}, {0: True, 1: True})),
    (division, "seed", NO_SEEDS),
    (validation, "images", (None, 3, [1, 2, 3, 4], "abcd")),
    (validation, "labels", (*NO_LABELS, [0, 1], [[0, 1]])),
    (validation, "validation_fraction", NO_FRACTIONS),
    (validation, "seed", NO_SEEDS),
    (on_demand, "sources", (None, 3, "x", b"x", {1, 2})),
    (on_demand, "size", (0, -1, 10_001, *NO_INTS)),
    (on_demand, "shape", NO_CHOICES),
    (on_demand, "interpolation", NO_CHOICES),
    (on_demand, "names", (3, "x", ["a", "b"], [])),
    (data_set, "name", (None, 3)),
    (data_set, "x_train", (None, [1, 2, 3, 4], IMAGES[:3])),
    (data_set, "y_test", (*NO_LABELS, [[0, 1]], LABELS[:3], LABELS + 1, LABELS - 1)),
    (data_set, "class_names", (None, "ab", [1, 2])),
    (model_input, "images", (None, [[0]], IMAGES.astype(float), IMAGES[0], IMAGES[..., :2])),
    (model_input, "size", (7, -1, 10_001, *NO_INTS)),
    (datasets.photo_patches, "size", (7, 101, *NO_INTS)),
    (datasets.photo_patches, "train_per_photograph", (0, 10**6, *NO_INTS)),
    (datasets.photo_patches, "test_per_photograph", (0, 10**6, *NO_INTS)),
    (datasets.photo_patches, "seed", NO_SEEDS),
    (datasets.photo_collages, "count", (0, 10**9, *NO_INTS)),
    (datasets.photo_collages, "grid", (1, 9, *NO_INTS)),
    (datasets.photo_collages, "size", (7, 101, *NO_INTS)),
    (datasets.photo_collages, "part", NO_CHOICES),
    (datasets.photo_collages, "seed", NO_SEEDS),
]


@pytest.mark.parametrize(
    ("function", "argument", "value"),
    [
        pytest.param(function, argument, value, id=f"{function.__name__}-{argument}-{value!r:.30}")
        for function, argument, values in TABLE
        for value in values
    ],
)
def test_a_wrong_argument_is_named_with_what_was_received(tmp_path, monkeypatch, function, argument, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=rf"`{argument}`.* Received: ") as error:
        function(**{argument: value})
    assert not isinstance(error.value, UnicodeError)
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_every_argument_of_every_public_function():
    tried = {(function, argument) for function, argument, _ in TABLE}
    for ours, public in (
        (folder, image_folder),
        (image, read_image),
        (archive, extract_archive),
        (fashion_mnist, fashion_mnist),
        (plantdoc, load),
        (division, datasets.stratified_indices),
        (validation, datasets.train_validation_split),
        (on_demand, datasets.DecodedOnDemand),
        (model_input, as_model_input),
        (datasets.photo_patches, datasets.photo_patches),
        (datasets.photo_collages, datasets.photo_collages),
    ):
        for argument in inspect.signature(public).parameters:
            assert (ours, argument) in tried, (public, argument)


def test_integers_of_numpy_are_integers():
    size, seed = np.int64(8), np.uint8(3)
    assert as_model_input(IMAGES, size=np.int32(9)).shape == (4, 9, 9, 3)
    assert division(per_class=np.int64(1), seed=seed).shape == (2,)
    assert len(datasets.photo_collages(np.int64(2), np.int16(2), size, seed=seed)[0]) == 2
    assert datasets.photo_patches(size, np.int64(2), np.int64(1), seed).x_test.shape == (6, 8, 8, 3)
    assert datasets.DecodedOnDemand([IMAGES[0]], size)[np.int64(0)].shape == (8, 8, 3)
    assert validation(validation_fraction=np.float32(0.5), seed=seed)[0].shape == (2, 8, 8, 3)
    with pytest.raises(FileNotFoundError):
        folder(image_size=size, seed=seed, memory_limit=np.int64(0))


@pytest.mark.parametrize("function", [folder, image, archive, plantdoc])
def test_what_does_not_exist_is_named(tmp_path, monkeypatch, function):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        function()
