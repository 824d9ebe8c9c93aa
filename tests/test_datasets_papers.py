"""The papers' data sets: offline, with Keras' loaders replaced and tensorflow_datasets' mock data."""

import csv
import importlib.abc
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from kgpc import datasets
from kgpc.datasets import DecodedOnDemand, papers
from kgpc.resources import data_path

TFDS_SETS = {"Oxford-IIIT Pet": 37, "Malaria": 2, "Colorectal histology": 8, "Plant Village": 38}


def cifar(monkeypatch, module, classes):
    """Replaces a loader of Keras by one that returns small numbers; the images are one array, repeated for nothing."""
    keras = pytest.importorskip("keras")

    def part(count):
        images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))
        return images, (np.arange(count) % classes)[:, np.newaxis].astype(np.uint8)

    monkeypatch.setattr(getattr(keras.datasets, module), "load_data", lambda: (part(50_000), part(10_000)))


@pytest.fixture
def mock_tfds():
    tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow_datasets is not installed")
    pytest.importorskip("importlib_resources", reason="importlib_resources is not installed")
    with tfds.testing.mock_data(num_examples=60):
        yield tfds


# What all have in common


def test_every_published_data_set_has_a_name():
    with data_path("published/recipes.csv").open(encoding="utf-8", newline="") as file:
        published = {row["dataset"]: row for row in csv.DictReader(file)}
    assert {papers._find(name).name for name in published} == set(datasets.names())


def test_images_are_resized_as_the_recipes_say():
    """The first recipe of each data set; the published words beside the values here."""
    words = {
        "zero padding to a square, then cv2 INTER_NEAREST": ("pad", "nearest"),
        "Keras load_img default (nearest)": ("stretch", "nearest_center"),
        "PIL nearest (flow_from_directory default) 32 -> 224": ("pad", "nearest"),  # the same when 32 becomes 224
        "none (32x32 used as is)": ("pad", "nearest"),
    }
    first = {}
    with data_path("published/recipes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            first.setdefault(row["dataset"], row["resize_interpolation"].replace(" (150 -> 224)", ""))
    for name, resizing in first.items():
        source = papers._find(name)
        assert (source.shape, source.interpolation) == words[resizing], name


@pytest.mark.parametrize(("name", "other"), [("CIFAR-10", "cifar10"), ("Oxford-IIIT Pet", "oxford iiit-pet")])
def test_case_spaces_and_punctuation_of_a_name_do_not_matter(name, other):
    assert papers._find(other).name == name


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "ImageNet"}, ValueError, "`name` must be one of 'CIFAR-10', .*Received: name='ImageNet'"),
        ({"name": 10}, TypeError, "`name` must be a str"),
        ({"name": "CIFAR-10", "image_size": "32"}, TypeError, "`image_size` must be an int"),
        (
            {"name": "CIFAR-10", "image_size": 0},
            ValueError,
            r"`image_size` must be at least 8. Received: image_size=0",
        ),
        ({"name": "CIFAR-10", "folder": "x"}, ValueError, "CIFAR-10 has no `folder`. Received: folder='x'"),
        ({"name": "Malaria", "archive": "x"}, ValueError, "Malaria has no `archive`"),
        ({"name": "Cropped-PlantDoc", "data_dir": "x"}, ValueError, "Cropped-PlantDoc has no `data_dir`"),
        ({"name": "Malaria", "division": "photograph"}, ValueError, "Malaria has only the published division"),
        ({"name": "Malaria", "division": "crop"}, ValueError, "`division` must be one of 'published', 'photograph'"),
        ({"name": "Cropped-PlantDoc", "folder": "x", "archive": "y"}, ValueError, "Only one of `folder` and `archive`"),
        ({"name": "Cropped-PlantDoc", "folder": "nowhere"}, FileNotFoundError, "`folder` must be an existing folder"),
        ({"name": "Cropped-PlantDoc", "archive": "nowhere"}, FileNotFoundError, "There is no archive nowhere"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.load(**arguments)


def test_the_page_on_data_sets_has_all_of_them():
    page = Path(__file__).parents[1] / "docs" / "data-sets.md"
    rows = [line.split("|")[1].strip() for line in page.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    for name in datasets.names():
        assert rows.count(name) == 2, name


# CIFAR


@pytest.mark.parametrize(("name", "module", "classes"), [("CIFAR-10", "cifar10", 10), ("CIFAR-100", "cifar100", 100)])
def test_cifar_comes_from_keras(monkeypatch, name, module, classes):
    cifar(monkeypatch, module, classes)
    data = datasets.load(name)
    assert data.name == name and len(data.class_names) == classes
    assert data.x_train.shape == (50_000, 32, 32, 3) and data.x_test.shape == (10_000, 32, 32, 3)
    assert data.y_train.dtype == np.int64 and data.y_test[:3].tolist() == [0, 1, 2]


def test_cifar_is_enlarged_on_demand(monkeypatch):
    cifar(monkeypatch, "cifar10", 10)
    data = datasets.load("cifar10", image_size=224)
    assert isinstance(data.x_train, DecodedOnDemand) and data.x_train.shape == (50_000, 224, 224, 3)
    assert data.x_train[[3, 200]][:, 0, 0, 0].tolist() == [3, 200]


def test_cifar_of_another_shape_is_refused(monkeypatch):
    keras = pytest.importorskip("keras")
    part = (np.zeros((3, 32, 32, 3), np.uint8), np.zeros((3, 1), np.uint8))
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (part, part))
    with pytest.raises(ValueError, match="something else than CIFAR-10"):
        datasets.load("CIFAR-10")


def test_a_failed_download_of_cifar_is_an_os_error(monkeypatch):
    keras = pytest.importorskip("keras")

    def fail():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", fail)
    with pytest.raises(OSError, match="CIFAR-100 could not be loaded with keras.datasets: URL fetch failure"):
        datasets.load("CIFAR-100")


def test_class_names_of_cifar_are_in_alphabetical_order():
    """The labels of both data sets number the names alphabetically."""
    for names, count in ((datasets.CIFAR10_CLASSES, 10), (datasets.CIFAR100_CLASSES, 100)):
        assert len(names) == count and list(names) == sorted(set(names))


# tensorflow_datasets


@pytest.mark.parametrize("name", TFDS_SETS)
def test_tensorflow_datasets_provide_the_rest(mock_tfds, name):
    """The mock data has 60 random images of odd sizes in every split, and random labels."""
    data = datasets.load(name, image_size=24)
    assert data.name == name and len(data.class_names) == TFDS_SETS[name]
    assert len(data.x_train) + len(data.x_test) == (120 if name == "Oxford-IIIT Pet" else 60)
    images = data.x_train[np.array([1, 0])]
    assert images.shape == (2, 24, 24, 3) and images.dtype == np.uint8 and images.std() > 0
    assert data.y_train.dtype == np.int64 and set(data.y_train) <= set(range(TFDS_SETS[name]))
    again = datasets.load(name, image_size=24)
    np.testing.assert_array_equal(again.y_train, data.y_train)
    np.testing.assert_array_equal(again.x_test[:], data.x_test[:])


def test_images_and_labels_of_tensorflow_datasets_stay_together(mock_tfds):
    """Against a plain reading of the same mock data, image by image."""
    expected = {}
    for example in mock_tfds.as_numpy(mock_tfds.load("colorectal_histology", split="train", shuffle_files=False)):
        expected.setdefault(example["image"].tobytes(), set()).add(int(example["label"]))
    data = datasets.load("Colorectal histology", image_size=150)
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        for image, label in zip(images[:], labels.tolist(), strict=True):
            assert label in expected[image.tobytes()]


def test_without_tensorflow_datasets_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r'needs tensorflow_datasets: python -m pip install "kgpc\[datasets\]"'):
        datasets.load("Malaria")


def test_without_what_tensorflow_datasets_forgets_to_name_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "importlib_resources", None)
    with pytest.raises(ImportError, match="importlib_resources"):
        datasets.load("Malaria")


def test_tensorflow_datasets_that_do_not_fit_protobuf_say_so(monkeypatch):
    pytest.importorskip("importlib_resources", reason="importlib_resources is not installed")

    class Protobuf(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "tensorflow_datasets.public_api":
                raise RuntimeError("gencode 6.31.1 runtime 5.29.6")

    # What is left of the package after it has logged such an error; it does not raise it.
    half = types.ModuleType("tensorflow_datasets")
    half.__path__ = []
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", half)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets.public_api", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Protobuf(), *sys.meta_path])
    with pytest.raises(ImportError, match='Malaria needs .*gencode 6.31.1 runtime 5.29.6.*"tensorflow-metadata<1.21"'):
        datasets.load("Malaria")


def test_a_failure_of_tensorflow_datasets_is_an_os_error(mock_tfds, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("checksum of the download")

    monkeypatch.setattr(mock_tfds, "load", fail)
    with pytest.raises(OSError, match="Malaria could not be loaded .*: checksum of the download"):
        datasets.load("Malaria")


# Divisions


def test_every_tenth_is_the_published_division():
    """Counted for colorectal histology and malaria, and compared with the published rule written out."""
    for count, classes, train_and_validation, test_count in (
        (625, 8, 3992 + 504, 504),
        (13_779, 2, 22_046 + 2756, 2756),
    ):
        labels = np.repeat(np.arange(classes), count)
        train, test = papers._every_tenth(labels)
        assert (len(train), len(test)) == (train_and_validation, test_count)
        names = list(range(count))
        validation = names[::10]
        rest = [name for name in names if name not in set(validation)]
        assert test[labels[test] == 0].tolist() == rest[::9]
        assert train[labels[train] == 0][::9].tolist() == validation


def test_a_random_fifth_has_about_the_published_numbers():
    """PlantVillage: 10,876 of 54,303 images in 38 classes. The classes' sizes are made up, their sum is not."""
    sizes = np.random.default_rng(0).multinomial(54_303, np.ones(38) / 38)
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(38), sizes))
    train, test = papers._random_fifth(labels)
    assert abs(len(test) - 10_876) < 20
    assert sorted([*train, *test]) == list(range(54_303))
    np.testing.assert_array_equal(papers._random_fifth(labels)[1], test)
