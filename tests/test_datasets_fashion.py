"""Fashion-MNIST: the embedded sample and the full data set."""

import gzip
import importlib.util
import json
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from kgpc.datasets import DEBIAN_FASHION_MNIST, FASHION_MNIST_CLASSES, fashion, fashion_mnist, fashion_mnist_sample
from kgpc.resources import data_path

needs_debian_package = pytest.mark.skipif(
    not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
)
SAMPLE_FILES = ("fashion_mnist_sample.npz", "fashion_mnist_sample.json")


@pytest.fixture(scope="module")
def sample():
    return fashion_mnist_sample()


@pytest.fixture
def copied_sample(tmp_path, monkeypatch):
    """A folder with a copy of the sample, which `fashion_mnist_sample` reads instead of the shipped one."""
    for name in SAMPLE_FILES:
        (tmp_path / name).write_bytes(data_path(name).read_bytes())
    monkeypatch.setattr(fashion, "data_path", lambda name: tmp_path / name)
    return tmp_path


def flip_one_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def write_idx(path, array, dtype_code=8):
    """Writes an idx file as the loader expects it: magic number, lengths as big-endian 32-bit integers, values."""
    header = bytes([0, 0, dtype_code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + array.tobytes())


# The sample


def test_shapes_and_types(sample):
    assert sample.x_train.shape == (6000, 28, 28) and sample.x_train.dtype == np.uint8
    assert sample.x_test.shape == (1000, 28, 28) and sample.x_test.dtype == np.uint8
    assert sample.y_train.shape == (6000,) and sample.y_train.dtype == np.int64
    assert sample.y_test.shape == (1000,) and sample.y_test.dtype == np.int64


def test_every_class_has_the_same_number_of_images(sample):
    assert np.bincount(sample.y_train).tolist() == [600] * 10
    assert np.bincount(sample.y_test).tolist() == [100] * 10


def test_class_names(sample):
    assert sample.class_names == FASHION_MNIST_CLASSES
    assert (len(sample.class_names), sample.class_names[0], sample.class_names[9]) == (10, "T-shirt/top", "Ankle boot")


def test_pictures_fit_their_labels(sample):
    """Trousers are narrow and tall, sneakers wide and low: the mean pictures tell if labels were mixed up."""
    mean = [sample.x_train[sample.y_train == label].mean(axis=0) for label in range(10)]
    height = [np.count_nonzero(picture.mean(axis=1) > 20) for picture in mean]
    width = [np.count_nonzero(picture.mean(axis=0) > 20) for picture in mean]
    trouser, sneaker = FASHION_MNIST_CLASSES.index("Trouser"), FASHION_MNIST_CLASSES.index("Sneaker")
    assert height[trouser] > 1.5 * width[trouser]
    assert width[sneaker] > 1.5 * height[sneaker]


def test_no_test_image_is_among_the_training_images(sample):
    train = {image.tobytes() for image in sample.x_train}
    assert not any(image.tobytes() in train for image in sample.x_test)


def test_a_dataset_is_read_only_and_prints_in_one_line(sample):
    with pytest.raises(AttributeError):
        sample.name = "other"
    expected = "<ImageDataset 'Fashion-MNIST sample': 6000 training and 1000 test images of 28x28, 10 classes>"
    assert repr(sample) == expected


def test_the_file_is_small_and_its_licence_lies_beside_it():
    path = data_path("fashion_mnist_sample.npz")
    manifest = json.loads(data_path("fashion_mnist_sample.json").read_text(encoding="utf-8"))
    assert path.stat().st_size == manifest["bytes"] < 4 * 2**20
    assert manifest["file"] == path.name
    licence = data_path("fashion_mnist_LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT License" in licence and "Zalando SE" in licence


@pytest.mark.parametrize("position", [0, 1_000_000, -1])
def test_a_damaged_file_is_noticed(copied_sample, position):
    path = copied_sample / "fashion_mnist_sample.npz"
    expected = json.loads((copied_sample / "fashion_mnist_sample.json").read_text(encoding="utf-8"))["sha256"]
    fashion_mnist_sample()
    flip_one_bit(path, position)
    with pytest.raises(ValueError, match="damaged") as error:
        fashion_mnist_sample()
    message = str(error.value)
    assert str(path) in message and expected in message and "Restore it" in message


def test_a_truncated_file_is_noticed(copied_sample):
    path = copied_sample / "fashion_mnist_sample.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        fashion_mnist_sample()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256":'])
def test_a_damaged_manifest_is_noticed(copied_sample, text):
    (copied_sample / "fashion_mnist_sample.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest .*fashion_mnist_sample\.json is damaged"):
        fashion_mnist_sample()


# How the sample was made


@pytest.fixture(scope="module")
def script():
    """The script as a module; it is not part of an installed package."""
    path = Path(__file__).parents[1] / "data" / "make_fashion_mnist_sample.py"
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_sample", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_debian_package
def test_a_rerun_of_the_script_makes_the_same_file(script, tmp_path, capsys):
    path = script.main(["--output", str(tmp_path)])
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(SAMPLE_FILES)
    with np.load(path) as made, np.load(data_path("fashion_mnist_sample.npz")) as shipped:
        assert list(made) == list(shipped)
        for name in shipped:
            assert made[name].dtype == shipped[name].dtype
            np.testing.assert_array_equal(made[name], shipped[name])
    made_manifest = json.loads((tmp_path / "fashion_mnist_sample.json").read_text(encoding="utf-8"))
    assert made_manifest["sha256"] in capsys.readouterr().out
    manifest = json.loads(data_path("fashion_mnist_sample.json").read_text(encoding="utf-8"))
    # Another zlib may compress the same arrays into other bytes.
    if zlib.ZLIB_RUNTIME_VERSION == manifest["zlib"]:
        assert path.read_bytes() == data_path("fashion_mnist_sample.npz").read_bytes()
        assert made_manifest == manifest


@needs_debian_package
def test_sample_images_are_images_of_the_full_set(sample):
    full = fashion_mnist()
    with np.load(data_path("fashion_mnist_sample.npz")) as arrays:
        train, test = arrays["train_index"], arrays["test_index"]
    for index, x, y, full_x, full_y in (
        (train, sample.x_train, sample.y_train, full.x_train, full.y_train),
        (test, sample.x_test, sample.y_test, full.x_test, full.y_test),
    ):
        assert len(np.unique(index)) == len(index)
        np.testing.assert_array_equal(full_x[index], x)
        np.testing.assert_array_equal(full_y[index], y)


def test_bytes_of_an_npz_do_not_depend_on_the_time(script, monkeypatch):
    arrays = {"a": np.arange(5, dtype=np.uint8)}
    first = script.npz_bytes(arrays)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert script.npz_bytes(arrays) == first


def test_the_script_leaves_the_old_file_when_writing_fails(script, tmp_path, monkeypatch):
    path = tmp_path / "sample.npz"
    path.write_bytes(b"old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(script.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        script.write_file(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["sample.npz"]
    assert path.read_bytes() == b"old"


def test_the_script_refuses_an_output_folder_that_does_not_exist(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main(["--output", str(tmp_path / "nowhere")])
    assert "--output must be an existing folder" in capsys.readouterr().err


# The full Fashion-MNIST


@needs_debian_package
def test_the_full_set_has_70000_images():
    full = fashion_mnist()
    assert full.name == "Fashion-MNIST"
    assert full.x_train.shape == (60000, 28, 28) and full.x_test.shape == (10000, 28, 28)
    assert full.x_train.dtype == np.uint8 and full.y_train.dtype == np.int64
    assert np.bincount(full.y_train).tolist() == [6000] * 10
    assert np.bincount(full.y_test).tolist() == [1000] * 10


@needs_debian_package
def test_uncompressed_files_are_read_too(tmp_path):
    for path in DEBIAN_FASHION_MNIST.iterdir():
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(fashion_mnist(tmp_path).x_test, fashion_mnist().x_test)


@needs_debian_package
def test_a_damaged_file_of_the_full_set_is_noticed(tmp_path):
    for path in DEBIAN_FASHION_MNIST.iterdir():
        content = bytearray(gzip.decompress(path.read_bytes()))
        if path.stem == "t10k-labels-idx1-ubyte":
            content[5000] ^= 1
        (tmp_path / path.stem).write_bytes(content)
    with pytest.raises(ValueError, match=r"y_test \(t10k-labels-idx1-ubyte\) .* is damaged or another data set"):
        fashion_mnist(tmp_path)


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`folder` must contain train-images-idx3-ubyte"):
        fashion_mnist(tmp_path)


def test_without_debians_package_keras_provides_the_set(tmp_path, monkeypatch):
    """Keras' loader is replaced: it gives other images here, which the checksum must refuse."""
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(fashion, "DEBIAN_FASHION_MNIST", tmp_path)
    part = (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: (part, part))
    with pytest.raises(ValueError, match=r"x_train .* from keras\.datasets is damaged or another data set"):
        fashion_mnist()


def test_a_failed_download_says_what_works_without_a_network(tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(fashion, "DEBIAN_FASHION_MNIST", tmp_path)

    def fail():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    with pytest.raises(OSError, match=r"URL fetch failure.*fashion_mnist_sample\(\)"):
        fashion_mnist()


@pytest.mark.parametrize("shape", [(7,), (3, 2, 4), (0,)])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_files_of_any_rank_are_read(tmp_path, shape, compress):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_idx(tmp_path / "a", array)
    (tmp_path / "a").write_bytes(compress((tmp_path / "a").read_bytes()))
    np.testing.assert_array_equal(fashion._read_idx(tmp_path / "a", shape), array)


def test_idx_files_that_are_damaged_are_refused(tmp_path):
    path = tmp_path / "a"
    write_idx(path, np.zeros((4, 4), np.uint8))
    whole = path.read_bytes()
    for content, reason in (
        (whole[:-1], "has only 15 values, expected 16"),
        (whole + b"\0", "has more values, expected 16"),
        (whole[:6], r"its shape is \(\), expected \(4, 4\)"),
        (whole[:7] + b"\5" + whole[8:], r"its shape is \(5, 4\), expected \(4, 4\)"),
        (b"", "not an idx file of unsigned bytes with 2 axes: it begins with b''"),
        (gzip.compress(whole)[:-4], "cannot be decompressed"),
        (gzip.compress(whole) + b"more", "cannot be decompressed"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            fashion._read_idx(path, (4, 4))
    write_idx(path, np.zeros((4, 4), np.uint8), dtype_code=13)
    with pytest.raises(ValueError, match="not an idx file of unsigned bytes"):
        fashion._read_idx(path, (4, 4))


def test_no_more_of_an_idx_file_is_unpacked_than_its_shape_needs(tmp_path):
    """100 MB of zeros that take 100 kB, once behind the right shape and once behind one of their own."""
    path = tmp_path / "a"
    for shape in ((10_000,), (100_000_000,)):
        path.write_bytes(gzip.compress(bytes((0, 0, 8, 1)) + np.array(shape, ">u4").tobytes() + bytes(100_000_000)))
        tracemalloc.start()
        with pytest.raises(ValueError, match="has more values|its shape is"):
            fashion._read_idx(path, (10_000,))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


def test_pipes_and_folders_in_place_of_idx_files_are_refused_at_once(tmp_path):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "train-images-idx3-ubyte.gz").mkdir()
    with pytest.raises(FileNotFoundError, match=r"`folder` must contain train-images-idx3-ubyte .* a regular file"):
        fashion_mnist(tmp_path)


def test_any_damage_to_an_idx_file_gives_its_values_or_a_value_error(tmp_path):
    """Random damage for a moment: nothing else is raised, and the shape stays."""
    generator = random.Random(0)
    write_idx(tmp_path / "a", np.frombuffer(generator.randbytes(400), np.uint8).reshape(20, 20))
    plain = (tmp_path / "a").read_bytes()
    refused = 0
    for whole in (plain, gzip.compress(plain)):
        for _ in range(300):
            content = bytearray(whole)
            start = generator.choice((generator.randrange(24), generator.randrange(len(content))))
            content[start : start + generator.randint(1, 9)] = generator.choice((b"", bytes(4), generator.randbytes(4)))
            (tmp_path / "a").write_bytes(content)
            try:
                assert fashion._read_idx(tmp_path / "a", (20, 20)).shape == (20, 20)
            except ValueError as error:
                assert str(tmp_path / "a") in str(error)
                refused += 1
    assert refused > 200
