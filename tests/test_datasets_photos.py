"""The shipped photographs, the patches and the collages that are cut from them."""

import importlib.util
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from kgpc.datasets import photo_collages, photo_patches, photographs, photos
from kgpc.resources import data_path


@pytest.fixture(scope="module")
def pictures():
    return photographs()


@pytest.fixture(scope="module")
def patches():
    return photo_patches()


@pytest.fixture
def copied_photographs(tmp_path, monkeypatch):
    """A folder with a copy of the photographs, which `photographs` reads instead of the shipped ones."""
    (tmp_path / "photographs").mkdir()
    for path in data_path("photographs/manifest.json").parent.iterdir():
        (tmp_path / "photographs" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(photos, "data_path", lambda name: tmp_path / name)
    return tmp_path / "photographs"


def places(picture, patch):
    """Every (top, left) at which a patch occurs in a photograph."""
    error = cv2.matchTemplate(picture.pixels, patch, cv2.TM_SQDIFF)
    candidates = np.argwhere(error < 1000)
    size = len(patch)
    return [
        (top, left)
        for top, left in candidates
        if np.array_equal(picture.pixels[top : top + size, left : left + size], patch)
    ]


def test_the_photographs_are_colour_pictures_with_author_licence_and_source(pictures):
    assert [picture.name for picture in pictures] == ["cat", "coffee", "astronaut", "rocket", "retina", "galaxies"]
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3 and len(picture.pixels) == 300
        assert picture.licence in ("CC0-1.0", "public domain")
        assert picture.author and picture.title and "scikit-image" in picture.source


def test_channels_are_red_green_blue(pictures):
    """The retina is red, the sky behind the rocket blue."""
    by_name = {picture.name: picture.pixels.reshape(-1, 3).mean(axis=0) for picture in pictures}
    assert by_name["retina"].argmax() == 0 and by_name["rocket"].argmax() == 2


def test_the_photographs_are_small_and_the_readme_of_the_data_names_them(pictures):
    manifest = json.loads(data_path("photographs/manifest.json").read_text(encoding="utf-8"))
    sizes = [data_path(f"photographs/{entry['file']}").stat().st_size for entry in manifest]
    assert sizes == [entry["bytes"] for entry in manifest] and sum(sizes) < 1_300_000
    readme = (Path(__file__).parents[1] / "data" / "README.md").read_text(encoding="utf-8")
    for picture in pictures:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{picture.name}` |"))
        assert picture.title in row and picture.author in row and picture.licence in row


def test_a_damaged_photograph_is_noticed(copied_photographs):
    path = copied_photographs / "coffee.png"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"coffee\.png is damaged.*Restore it"):
        photo_patches()


@pytest.mark.parametrize("text", ["", "{}", '[{"file": "cat.png"}]', "[1]"])
def test_a_damaged_manifest_is_noticed(copied_photographs, text):
    (copied_photographs / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        photographs()


def test_a_missing_photograph_is_named(copied_photographs):
    (copied_photographs / "cat.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"cat\.png"):
        photographs()


def test_patches_are_labelled_with_their_photograph(patches, pictures):
    assert repr(patches) == (
        "<ImageDataset 'photograph patches': 1800 training and 600 test images of 32x32x3, 6 classes>"
    )
    assert patches.x_train.dtype == np.uint8 and patches.y_train.dtype == np.int64
    assert np.bincount(patches.y_train).tolist() == [300] * 6 and np.bincount(patches.y_test).tolist() == [100] * 6
    for index in (0, 299, 300, 1799):
        assert places(pictures[patches.y_train[index]], patches.x_train[index])


@pytest.mark.parametrize("size", [32, 64])
def test_training_patches_and_test_patches_share_no_pixel(pictures, size):
    """Looked up in the photographs, independently of how they were cut."""
    data = photo_patches(size=size, train_per_photograph=8, test_per_photograph=8)
    for images, labels, expected in ((data.x_train, data.y_train, False), (data.x_test, data.y_test, True)):
        for image, label in zip(images, labels, strict=True):
            area = pictures[label].test_area
            found = places(pictures[label], image)
            assert found
            assert any((area[top : top + size, left : left + size] == expected).all() for top, left in found)


def test_a_third_of_each_photograph_is_for_testing(pictures):
    for picture in pictures:
        assert picture.test_area.shape == picture.pixels.shape[:2]
        assert abs(picture.test_area.mean() - 1 / 3) < 0.01


def test_the_seed_decides_which_patches_are_drawn():
    one, same, other = (photo_patches(train_per_photograph=5, test_per_photograph=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x_train, same.x_train)
    np.testing.assert_array_equal(one.x_test, same.x_test)
    assert not np.array_equal(one.x_train, other.x_train)


def test_no_patch_is_drawn_twice(patches):
    assert len(np.unique(patches.x_train.reshape(1800, -1), axis=0)) == 1800


@pytest.mark.parametrize("argument", ["size", "train_per_photograph", "test_per_photograph"])
def test_numbers_out_of_range_are_refused(argument):
    for value in (0, -1):
        with pytest.raises(ValueError, match=rf"`{argument}` must be .* Received: {argument}={value}"):
            photo_patches(**{argument: value})
    for value in (8.0, "8", True, None):
        with pytest.raises(TypeError, match=f"`{argument}` must be an int"):
            photo_patches(**{argument: value})


def test_more_patches_than_positions_are_refused():
    with pytest.raises(ValueError, match=r"`test_per_photograph` must be at most .*, 3 in 'astronaut'"):
        photo_patches(size=100, train_per_photograph=1, test_per_photograph=4)


@pytest.mark.parametrize("part", ["test", "train"])
def test_every_tile_of_a_collage_comes_from_the_part_of_the_photograph_that_its_class_says(pictures, part):
    images, classes = photo_collages(count=3, grid=3, size=24, part=part)
    assert images.shape == (3, 72, 72, 3) and images.dtype == np.uint8
    assert classes.shape == (3, 3, 3) and classes.dtype == np.int64
    for index, row, column in np.ndindex(classes.shape):
        tile = images[index, 24 * row : 24 * row + 24, 24 * column : 24 * column + 24]
        picture = pictures[classes[index, row, column]]
        found = [picture.test_area[top : top + 24, left : left + 24] for top, left in places(picture, tile)]
        assert any((area == (part == "test")).all() for area in found)


def test_neighbouring_tiles_show_different_photographs():
    _, classes = photo_collages(count=50, grid=4, size=8)
    for tiles in classes:
        for row, column in np.ndindex(3, 3):
            assert len(np.unique(tiles[row : row + 2, column : column + 2])) == 4
    assert len(np.unique(classes)) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"count": 0}, ValueError, "`count` must be at least 1"),
        ({"grid": 1}, ValueError, "`grid` must be at least 2"),
        ({"size": 101}, ValueError, "`size` must be at most 100"),
        ({"part": "validation"}, ValueError, "`part` must be one of 'train', 'test'"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0. Received: seed=-1"),
        ({"grid": 2.0}, TypeError, "`grid` must be an int"),
    ],
)
def test_collages_refuse_what_they_cannot_make(arguments, error, message):
    with pytest.raises(error, match=message):
        photo_collages(**arguments)


def test_colour_tells_the_photographs_apart_but_not_perfectly(patches):
    """The nearest mean colour gets some patches right and many wrong: the task is neither hopeless nor trivial."""
    train, test = (images.mean(axis=(1, 2)) for images in (patches.x_train, patches.x_test))
    means = np.stack([train[patches.y_train == label].mean(axis=0) for label in range(6)])
    guess = np.linalg.norm(test[:, np.newaxis] - means, axis=2).argmin(axis=1)
    assert 0.4 < np.mean(guess == patches.y_test) < 0.9


# How the photographs were made


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[1] / "data" / "make_photographs.py"
    spec = importlib.util.spec_from_file_location("make_photographs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_refuses_another_picture(script, tmp_path):
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("skimage/data/chelsea.png", b"not the cat")
    with pytest.raises(SystemExit, match="is another picture"):
        script.main([str(wheel), "--output", str(tmp_path / "made")])
    assert not (tmp_path / "made").exists()


def test_the_script_refuses_another_wheel(script, tmp_path):
    wheel = tmp_path / "other.whl"
    zipfile.ZipFile(wheel, "w").close()
    with pytest.raises(SystemExit, match="is not the wheel of scikit-image"):
        script.main([str(wheel)])
    wheel.write_bytes(b"no archive")
    with pytest.raises(SystemExit, match=r"other\.whl is damaged or no wheel"):
        script.main([str(wheel)])
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("skimage/data/chelsea.png", bytes(script.MAX_ORIGINAL_BYTES + 1))
    with pytest.raises(SystemExit, match="another picture: it has more than 2097152 bytes"):
        script.main([str(wheel)])
    content = bytearray(wheel.read_bytes())
    content[100:120] = b"x" * 20
    wheel.write_bytes(content)
    with pytest.raises(SystemExit, match=r"is damaged: chelsea\.png cannot be read"):
        script.main([str(wheel)])


def test_the_script_writes_no_file_through_a_link(script, tmp_path):
    (tmp_path / "outside").write_bytes(b"mine")
    for name in ("made", "made.part"):
        (tmp_path / name).symlink_to(tmp_path / "outside")
    script.write_file(tmp_path / "made", b"new")
    assert (tmp_path / "outside").read_bytes() == b"mine"
    assert (tmp_path / "made").read_bytes() == b"new" and not (tmp_path / "made").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.part", "outside"]


def test_a_picture_is_cropped_before_it_is_made_smaller(script):
    pixels = np.zeros((700, 700, 3), np.uint8)
    pixels[:600, :600] = 200
    content = cv2.imencode(".png", pixels)[1].tobytes()
    small = script.shrink(content, (0, 0, 600, 600))
    assert small.shape == (300, 300, 3) and (small == 200).all()
