"""Fetching, dividing and loading folders of images under old names."""

import inspect
import pathlib
import random
import zipfile

import cv2
import numpy as np
import PIL.Image
import pytest

from kgpc import cai
from kgpc.cai import image_folders

LOAD = {
    "seed": None,
    "root_dir": None,
    "lab": False,
    "verbose": True,
    "bipolar": False,
    "base_model_name": "plant_leaf",
    "training_size": 0.6,
    "validation_size": 0.2,
    "test_size": 0.2,
    "target_size": (224, 224),
    "has_training": True,
    "has_validation": True,
    "has_testing": True,
    "smart_resize": False,
}


def load(root, **options):
    return cai.datasets.load_images_from_folders(**{"seed": 7, "root_dir": root, "verbose": False, **options})


def test_arguments_their_order_and_their_defaults():
    signature = inspect.signature(cai.datasets.load_images_from_folders)
    actual = [(name, parameter.default) for name, parameter in signature.parameters.items()]
    assert actual == list(LOAD.items())


# Dividing by moving


def class_files(root, counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:03}.png").write_text(f"{name} {number}")
    return root


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_tenth_and_then_a_ninth_of_the_rest_are_moved(tmp_path):
    source = class_files(tmp_path / "all", {"a": 100, "b": 30})
    cai.datasets.extract_subset_every(str(source), str(tmp_path / "val"), 10)
    cai.datasets.extract_subset_every(str(source), str(tmp_path / "test"), move_every=9, shift=0)
    assert names(tmp_path / "val") == [f"a/{n:03}.png" for n in range(0, 100, 10)] + [
        "b/000.png",
        "b/010.png",
        "b/020.png",
    ]
    left = [n for n in range(100) if n % 10]
    assert names(tmp_path / "test")[:10] == [f"a/{n:03}.png" for n in left[::9]]
    assert [len(names(tmp_path / part)) for part in ("all", "val", "test")] == [80 + 24, 10 + 3, 10 + 3]


def test_the_calls_can_be_repeated(tmp_path):
    source = class_files(tmp_path / "all", {"a": 20, "b": 47})
    for _ in range(3):
        cai.datasets.extract_subset_every(source, tmp_path / "val", 10)
        cai.datasets.extract_subset_every(source, tmp_path / "test", 9)
    assert [len(names(tmp_path / part)) for part in ("all", "val", "test")] == [16 + 37, 2 + 5, 2 + 5]


@pytest.mark.parametrize("moves", [0, 1, 4, 7])
def test_an_interrupted_call_is_completed(tmp_path, monkeypatch, moves):
    source, whole = (class_files(tmp_path / name, {"a": 53, "b": 31}) for name in ("interrupted", "whole"))
    cai.datasets.extract_subset_every(whole, tmp_path / "expected", 10, shift=3)
    move, left = image_folders._move, iter(range(moves))

    def interrupted(origin, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        move(origin, target)

    monkeypatch.setattr(image_folders, "_move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cai.datasets.extract_subset_every(source, tmp_path / "part", 10, shift=3)
    monkeypatch.undo()
    cai.datasets.extract_subset_every(source, tmp_path / "part", 10, shift=3)
    assert names(tmp_path / "part") == names(tmp_path / "expected")
    assert names(source) == names(whole)


def test_moving_to_another_disk_leaves_no_half_files(tmp_path, monkeypatch):
    source = class_files(tmp_path / "all", {"a": 10, "b": 10})
    rename = pathlib.Path.rename

    def across(self, target):
        if self.parent != pathlib.Path(target).parent:
            raise OSError(18, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", across)
    # Interrupted between the copy and the removal of the original.
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "000.png").write_text("a 0")
    cai.datasets.extract_subset_every(source, tmp_path / "val")
    assert names(tmp_path / "val") == ["a/000.png", "b/000.png"] and len(names(source)) == 18


def test_nothing_is_moved_over_a_file_or_out_of_the_folders(tmp_path):
    source = class_files(tmp_path / "all", {"a": 10, "b": 10})
    (tmp_path / "val" / "b").mkdir(parents=True)
    (tmp_path / "val" / "b" / "000.png").write_text("precious")
    with pytest.raises(FileExistsError, match="b/000.png is there already"):
        cai.datasets.extract_subset_every(source, tmp_path / "val")
    assert len(names(source)) == 20 and (tmp_path / "val" / "b" / "000.png").read_text() == "precious"
    (tmp_path / "other" / "a").mkdir(parents=True)
    (tmp_path / "other" / "a" / "foreign.png").write_text("x")
    cases = {
        lambda: cai.datasets.extract_subset_every(source, tmp_path / "other", 3): "must have no other files",
        lambda: cai.datasets.extract_subset_every(source, source / "val"): "must not be in one another",
        lambda: cai.datasets.extract_subset_every(source, tmp_path): "must not be in one another",
        lambda: cai.datasets.extract_subset_every(source, source): "must not be in one another",
        lambda: cai.datasets.extract_subset_every(source, tmp_path / "v", 0): "`move_every` must be an integer",
        lambda: cai.datasets.extract_subset_every(source, tmp_path / "v", 2, -1): "`shift` must be an integer",
        lambda: cai.datasets.extract_subset_every(tmp_path / "no", tmp_path / "v"): "must be an existing folder",
    }
    for call, message in cases.items():
        with pytest.raises((ValueError, OSError), match=message):
            call()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "001.png").write_text("not of the data set")
    (source / "c").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(ValueError, match="must have no links"):
        cai.datasets.extract_subset_every(source, tmp_path / "v")
    (source / "c").unlink()
    (source / "a" / "link.png").symlink_to(tmp_path / "outside" / "001.png")
    with pytest.raises(ValueError, match="must have no links"):
        cai.datasets.extract_subset_every(source, tmp_path / "v")
    assert not (tmp_path / "v").exists() and len(names(source)) == 21


# Fetching


def test_an_archive_is_fetched_and_unpacked_where_it_is_missing(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("a/1.png", "one")
    url = (tmp_path / "source.zip").as_uri()
    arguments = (url, str(tmp_path / "local.zip"), str(tmp_path / "data"))
    cai.datasets.download_zip_and_extract(*arguments, True)
    assert names(tmp_path / "data") == ["a/1.png"] and capsys.readouterr().out
    (tmp_path / "source.zip").unlink()
    cai.datasets.download_zip_and_extract(*arguments)
    for path in (tmp_path / "data").rglob("*.png"):
        path.write_text("kept")
    cai.datasets.download_zip_and_extract(*arguments, Verbose=False)
    assert (tmp_path / "data" / "a" / "1.png").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "local.zip"]


def test_half_a_download_and_a_hostile_archive_leave_nothing(tmp_path):
    with pytest.raises(OSError):
        cai.datasets.download_zip_and_extract((tmp_path / "no.zip").as_uri(), tmp_path / "l.zip", tmp_path / "data")
    assert not list(tmp_path.iterdir())
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("../escaped.png", "x")
    with pytest.raises(ValueError, match="leads out of its folder"):
        cai.datasets.download_zip_and_extract("file:///none", tmp_path / "l.zip", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["l.zip"]
    with pytest.raises(ValueError, match="`url_zip_file` must be an address"):
        cai.datasets.download_zip_and_extract("data.zip", tmp_path / "new" / "k.zip", tmp_path / "data")
    assert not (tmp_path / "new").exists()
    with pytest.raises(TypeError, match="`url_zip_file` must be a str"):
        cai.datasets.download_zip_and_extract(3, tmp_path / "l.zip", tmp_path / "data")


# Loading


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three classes of 20, 11 and 4 images; the class of an image is its red value, its number the green one."""
    root = tmp_path_factory.mktemp("folders")
    for index, (name, count) in enumerate({"b leaf": 11, "a leaf": 20, "c": 4}.items()):
        (root / name).mkdir()
        for number in range(count):
            suffix = ("png", "bmp", "tif", "PNG")[number % 4]
            PIL.Image.new("RGB", (6 + number, 9), (index, number, 200)).save(root / name / f"{number}.{suffix}")
    (root / "b leaf" / "readme.md").write_text("no image")
    return root


def numbers(images):
    return [(round(float(image[4, 4, 0]) * 255), round(float(image[4, 4, 1]) * 255)) for image in images]


def test_files_are_shuffled_by_class_and_cut(folders):
    with pytest.warns(UserWarning, match="not the published ones"):
        *parts, class_weight, classes = load(folders, target_size=(8, 8), training_size=0.65, validation_size=0.15)
    assert classes == ["a leaf", "b leaf", "c"]
    generator, expected = random.Random(7), ([], [], [])
    for red, count in ((1, 20), (0, 11), (2, 4)):
        suffixes = ("png", "bmp", "tif", "PNG")
        files = sorted((f"{number}.{suffixes[number % 4]}", number) for number in range(count))
        generator.shuffle(files)
        cuts = [0, int(count * 0.65), int(count * (0.65 + 0.15)), count]
        for part, start, stop in zip(expected, cuts, cuts[1:], strict=False):
            part += [(red, number) for _, number in files[start:stop]]
    assert [numbers(part) for part in parts[:3]] == list(expected)
    for images, labels, part in zip(parts[:3], parts[3:], expected, strict=True):
        assert images.dtype == labels.dtype == np.float32 and images.shape == (len(part), 8, 8, 3)
        assert [{0: 1, 1: 0, 2: 2}[label] for label in labels.argmax(1)] == [red for red, _ in part]
        assert labels.shape == (len(part), 3) and (labels.sum(1) == 1).all()
    counts = [13, 7, 2]
    assert class_weight == pytest.approx({index: 22 / (3 * count) for index, count in enumerate(counts)})


@pytest.mark.parametrize(
    "sizes, of_ten, of_ninety",
    [
        ((0.7, 0.2, 0.1), (7, 2, 1), (63, 18, 9)),
        ((0.6, 0.3, 0.1), (6, 3, 1), (54, 27, 9)),
        ((0.7, 0.15, 0.15), (7, 1, 2), (63, 13, 14)),  # 90 * 0.7 = 62.99999999999999
        ((0.1, 0.2, 0.4), (1, 2, 4), (9, 18, 36)),
        ((0.7, 0.3, 0), (7, 3, 0), (63, 27, 0)),
        # As the published runs had them.
        ((0.65, 0.15, 0.2), (6, 2, 2), (58, 14, 18)),
        ((0.6, 0.2, 0.2), (6, 2, 2), (54, 18, 18)),
        ((0.8, 0.1, 0.1), (8, 1, 1), (72, 9, 9)),
    ],
    ids=str,
)
def test_no_image_is_lost_where_the_sizes_sum_to_one(tmp_path, sizes, of_ten, of_ninety):
    for count, expected in ((10, of_ten), (90, of_ninety)):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").touch()
        parts = image_folders._divide([folder], random.Random(0), sizes)
        assert tuple(map(len, parts)) == expected
        assert len({file for part in parts for file, _ in part}) == sum(expected)


def test_a_part_that_is_not_wanted_is_empty_and_has_its_labels(folders, recwarn):
    everything = load(folders, target_size=(8, 8), training_size=0, validation_size=0, test_size=1)
    assert not recwarn.list
    train_x, val_x, test_x, train_y, val_y, test_y, class_weight, _ = everything
    assert train_x.size == val_x.size == 0 and len(test_x) == len(test_y) == 35 and class_weight is None
    assert train_y.shape == val_y.shape == (0, 3)
    train_x, _, test_x, train_y, _, test_y, *_ = load(
        folders, target_size=(8, 8), has_training=False, has_validation=False, has_testing=False
    )
    assert train_x.size == test_x.size == 0 and len(train_y) == 20 and len(test_y) == 8


def one_image(tmp_path, pixels, **options):
    (tmp_path / "only").mkdir(exist_ok=True)
    PIL.Image.fromarray(pixels).save(tmp_path / "only" / "1.png")
    return load(tmp_path, training_size=0, validation_size=0, test_size=1, **options)[2][0]


@pytest.mark.parametrize("height, width, target", [(150, 150, 224), (32, 32, 224), (50, 31, 40)])
def test_the_two_ways_to_change_the_size_differ(tmp_path, height, width, target):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype("uint8")
    plain = one_image(tmp_path, pixels, target_size=(target, target))
    expected = PIL.Image.fromarray(pixels).resize((target, target), PIL.Image.Resampling.NEAREST)
    np.testing.assert_allclose(plain, np.asarray(expected) / 255, atol=1e-6)

    smart = one_image(tmp_path, pixels, target_size=(target, target), smart_resize=True)
    around = [(max(height, width) - side) // 2 for side in (height, width)]
    padded = np.pad(pixels, ((around[0],) * 2, (around[1],) * 2, (0, 0)))
    rows, columns = (np.arange(target) * side // target for side in padded.shape[:2])
    np.testing.assert_allclose(smart, padded[rows][:, columns] / 255, atol=1e-6)
    if (height, target) == (150, 224):
        assert 0.44 < (plain == smart).all(axis=-1).mean() < 0.46
    if height == 32:
        assert (plain == smart).all()


def test_padding_follows_the_scaling(tmp_path):
    pixels = np.full((8, 4, 3), 200, "uint8")
    options = {"target_size": (8, 8), "smart_resize": True}
    assert one_image(tmp_path, pixels, **options)[0, 0].tolist() == [0, 0, 0]
    # Zeros are a saturated colour in Lab: L = 0, a = b = -100, where neutral would be 0.5.
    lab = one_image(tmp_path, pixels, lab=True, **options)
    assert lab[0, 0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(lab[4, 4], [0.807, 0.5, 0.5], atol=1e-3)
    bipolar = one_image(tmp_path, pixels, bipolar=True, **options)
    assert bipolar[0, 0].tolist() == [0, 0, 0] and bipolar[4, 4].tolist() == [200 / 64 - 2] * 3


def test_an_odd_difference_stays_one_pixel_off(tmp_path):
    pixels = np.full((9, 4, 3), 255, "uint8")
    smart = one_image(tmp_path, pixels, target_size=(18, 16), smart_resize=True)
    padded = cv2.resize(np.pad(pixels, ((0, 0), (2, 2), (0, 0))), (16, 18), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(smart, padded / np.float32(255))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"root_dir": None}, "`root_dir` must be a path"),
        ({"root_dir": "/no/such/folder"}, "`root_dir` must be an existing folder"),
        ({"training_size": 0.9}, "`training_size` and `validation_size` must not exceed 1 together"),
        ({"test_size": -0.1}, "`test_size` must be a number in"),
        ({"target_size": 224}, "`target_size` must be two integers"),
        ({"lab": 2}, "`lab` must be a bool, or 0 or 1"),
        ({"seed": "7"}, "`seed` must be an integer"),
    ],
)
def test_bad_arguments_are_refused(folders, options, message):
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
        load(**{"root": folders, **({"root": options.pop("root_dir")} if "root_dir" in options else {}), **options})


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="broken.png is damaged"):
        load(tmp_path, training_size=1, validation_size=0, test_size=0)
