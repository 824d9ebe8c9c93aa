"""Decoding and resizing, and data sets made of a folder with one sub-folder for each class."""

import io
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest

from kgpc import datasets
from kgpc.datasets import DecodedOnDemand, ImageError, ImageWarning, decoding, formats, image_folder
from kgpc.datasets.decoding import decode, fit


def encode(pixels, kind="PNG", **options):
    content = io.BytesIO()
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(content, kind, **options)
    return content.getvalue()


def picture(value, height=20, width=20):
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three classes with 10, 5 and 2 images; the first channel numbers the images, the second the classes."""
    root = tmp_path / "animals"
    for label, (name, count) in enumerate({"ant": 10, "bee": 5, "cow": 2}.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:02}.png").write_bytes(encode(picture((number, label, 0))))
    return root


# Decoding


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_formats_without_loss_are_decoded_exactly(kind):
    pixels = np.random.default_rng(0).integers(0, 4, (9, 7, 3)) * 85
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decode(encode(pixels, kind, **options)), pixels)


def test_colours_are_in_the_order_red_green_blue():
    assert decode(encode(picture((250, 100, 5)), "JPEG", quality=95)).mean(axis=(0, 1)).round(-1).tolist() == [
        250,
        100,
        0,
    ]


def test_grey_images_and_transparent_ones_get_three_channels():
    for mode in ("L", "LA", "RGBA", "P", "1"):
        content = io.BytesIO()
        PIL.Image.new(mode, (6, 4), 1).save(content, "PNG")
        assert decode(content.getvalue()).shape == (4, 6, 3)


def test_the_orientation_that_a_camera_notes_is_applied():
    content = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it upright
    PIL.Image.fromarray(picture(9, height=4, width=8)).save(content, "JPEG", exif=exif)
    assert decode(content.getvalue()).shape == (8, 4, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"])
def test_incomplete_images_are_refused(kind, tmp_path):
    content = encode(np.random.default_rng(0).integers(0, 256, (50, 50, 3)), kind)
    path = tmp_path / "broken"
    for length in (0, 10, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(ImageError, match=r"broken is damaged"):
            decode(path)


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    content = encode(picture(0, 10, 10))
    monkeypatch.setattr(formats, "MAX_PIXELS", 99)
    monkeypatch.setattr(PIL.Image.Image, "load", None)
    with pytest.raises(ImageError, match="has 10x10 pixels, more than the 99 allowed"):
        decode(content)


def test_a_bomb_is_refused_without_a_warning():
    """A PNG that says it has 40,000 x 40,000 pixels: 4.8 GB."""
    content = bytearray(encode(picture(0)))
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="more than the 120000000 "):
            decode(bytes(content))


def test_formats_that_need_another_program_are_refused():
    with pytest.raises(ImageError, match="its format is none of"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file .*nowhere\.png"):
        decode(tmp_path / "nowhere.png")


# Resizing


def test_padding_keeps_the_image_in_the_centre_of_black():
    result = fit(picture(200, height=2, width=5), 5)
    assert result[:, :, 0].tolist() == [[0] * 5, [200] * 5, [200] * 5, [0] * 5, [0] * 5]


def test_cropping_takes_the_centre():
    pixels = np.repeat(np.arange(7, dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2).repeat(3, axis=0)
    assert fit(pixels, 3, shape="crop")[0, :, 0].tolist() == [2, 3, 4]


def test_stretching_changes_the_proportions():
    pixels = np.concatenate([picture(10, 2, 4), picture(90, 2, 4)], axis=0)
    result = fit(np.concatenate([pixels, pixels], axis=1), 4, shape="stretch")
    assert (result[:2] == 10).all() and (result[2:] == 90).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("width", [100, 224])
def test_a_side_that_shrinks_has_means_though_the_other_grows(turned, width):
    rows = np.zeros((1120, width, 3), np.uint8)
    rows[::5] = 255  # one of the five rows that each new one covers
    result = fit(rows.swapaxes(0, 1) if turned else rows, 224, shape="stretch", interpolation="area")
    assert result.shape == (224, 224, 3) and (result == 51).all()


@pytest.mark.parametrize(
    ("before", "after"), [(150, 224), (256, 224), (32, 224), (300, 64), (64, 300), (500, 10), (1001, 77)]
)
def test_nearest_pixels_are_those_of_the_published_runs(before, after):
    """OpenCV's rule as a formula, and Pillow's own resizing."""
    pixels = np.random.default_rng(1).integers(0, 256, (before, before, 3), np.uint8)
    chosen = np.floor(np.arange(after) * (before / after)).astype(int)
    np.testing.assert_array_equal(fit(pixels, after), pixels[chosen][:, chosen])
    pillow = PIL.Image.fromarray(pixels).resize((after, after), PIL.Image.Resampling.NEAREST)
    np.testing.assert_array_equal(fit(pixels, after, interpolation="nearest_center"), np.asarray(pillow))


def test_area_takes_the_mean():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[::2] = 100
    assert (fit(pixels, 2, interpolation="area") == 50).all()


def test_a_single_file_is_read_as_a_folder_reads_it(folder):
    data = datasets.image_folder(folder, 16)
    images = [datasets.read_image(path, 16) for path in sorted(folder.rglob("*.png"))]
    every = {image.tobytes() for image in np.concatenate([data.x_train, data.x_test])}
    assert {image.tobytes() for image in images} == every
    with pytest.raises(ValueError, match=r"`image_size` must be at least 8. Received: image_size=4"):
        datasets.read_image(folder / "nowhere.png", 4)


# Decoding on demand


def test_images_on_demand_are_indexed_like_an_array(monkeypatch):
    pixels = [picture(value, 6, 6) for value in range(5)]
    lazy, array = DecodedOnDemand([encode(image) for image in pixels], 6), np.stack(pixels)
    assert (len(lazy), lazy.shape, lazy.dtype, lazy.ndim) == (5, (5, 6, 6, 3), np.uint8, 4)
    for index in (0, -1, np.int64(2), slice(1, 4), [3, 0, 3], np.array([4, 1]), np.arange(5) > 2, np.array([], int)):
        np.testing.assert_array_equal(lazy[index], array[index])
        assert lazy[index].dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(lazy), array)
    np.testing.assert_array_equal(lazy.take([4, 2])[:], array[[4, 2]])
    with pytest.raises(IndexError):
        lazy[5]


def test_only_what_is_asked_for_is_decoded(monkeypatch):
    decoded = []
    monkeypatch.setattr(decoding, "decode", lambda source, name, **_: decoded.append(name) or picture(0, 4, 4))
    lazy = DecodedOnDemand([b"a", b"b", b"c"], 4, names=["one", "two", "three"])
    lazy.take([2, 0])[[0]]
    assert decoded == ["three"]


# Folders


def test_a_folder_becomes_a_data_set(folder):
    data = image_folder(folder, 20)
    assert repr(data) == "<ImageDataset 'animals': 13 training and 4 test images of 20x20x3, 3 classes>"
    assert data.class_names == ("ant", "bee", "cow")
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(images[:, 0, 0, 1], labels)
    assert np.bincount(data.y_train).tolist() == [8, 4, 1]
    every = sorted(map(tuple, np.concatenate([data.x_train, data.x_test])[:, 0, 0, :2].tolist()))
    assert every == [(number, label) for number in range(10) for label in range(3) if number < (10, 5, 2)[label]]


def test_the_share_for_testing_holds_in_every_class(folder):
    data = image_folder(folder, 20, test_fraction=0.4)
    assert np.bincount(data.y_test).tolist() == [4, 2, 1] and np.bincount(data.y_train).tolist() == [6, 3, 1]


def test_the_same_folder_gives_the_same_data_set(folder):
    one, same, other = (image_folder(folder, 20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x_test, same.x_test)
    assert not np.array_equal(one.x_test, other.x_test)


def test_images_that_exceed_the_memory_are_decoded_on_demand(folder):
    kept, lazy = image_folder(folder, 24), image_folder(folder, 24, memory_limit=17 * 24 * 24 * 3 - 1)
    assert isinstance(kept.x_train, np.ndarray) and isinstance(lazy.x_train, DecodedOnDemand)
    assert repr(lazy) == repr(kept)
    np.testing.assert_array_equal(lazy.x_train[:], kept.x_train)
    np.testing.assert_array_equal(lazy.x_test[:], kept.x_test)


def test_a_second_folder_can_be_the_test_part(folder, tmp_path):
    other = tmp_path / "other"
    for name in ("ant", "bee", "cow"):
        (other / name).mkdir(parents=True)
        (other / name / "x.jpg").write_bytes(encode(picture(7), "JPEG"))
    data = image_folder(folder, 20, test_path=other)
    assert (len(data.x_train), data.y_test.tolist()) == (17, [0, 1, 2])
    (other / "dog").mkdir()
    (other / "dog" / "x.jpg").write_bytes(encode(picture(7), "JPEG"))
    with pytest.raises(ValueError, match="`test_path` must have the classes of `path`, ant, bee, cow"):
        image_folder(folder, 20, test_path=other)


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_a_damaged_image_is_left_out_with_a_warning_that_names_it(folder, memory_limit):
    path = folder / "ant" / "03.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(ImageWarning, match=r"left out: .*03\.png is damaged") as caught:
        data = image_folder(folder, 20, memory_limit=memory_limit)
    assert [warning.filename for warning in caught] == [__file__]
    assert len(data.x_train) + len(data.x_test) == 16
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(images[:][:, 0, 0, 1], labels)
        assert (3, 0) not in set(map(tuple, images[:][:, 0, 0, :2].tolist()))


def test_a_class_of_damaged_images_is_refused(folder):
    for path in (folder / "cow").iterdir():
        path.write_bytes(b"")
    with pytest.warns(ImageWarning), pytest.raises(ValueError, match="class 'cow' in .* has 0 images that can be read"):
        image_folder(folder, 20)


def test_a_class_with_one_image_cannot_be_divided(folder):
    (folder / "cow" / "00.png").unlink()
    with pytest.raises(ValueError, match="class 'cow' .* has 1 images that can be read; it needs at least 2"):
        image_folder(folder, 20)


def test_an_empty_class_is_refused(folder):
    (folder / "dog").mkdir()
    (folder / "dog" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="The class 'dog' is empty"):
        image_folder(folder, 20)


def test_hidden_files_and_other_files_are_passed_over(folder):
    for name in (".DS_Store", "._00.png", "notes.txt"):
        (folder / "ant" / name).write_bytes(b"x")
    (folder / ".cache").mkdir()
    (folder / "__MACOSX").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(image_folder(folder, 20).class_names) == 3


def test_a_folder_without_sub_folders_is_refused(folder):
    with pytest.raises(ValueError, match="has 0 sub-folders. It must have one sub-folder for each class"):
        image_folder(folder / "ant")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` must be an existing folder. Received: path=.*nowhere"):
        image_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image_size": 7}, ValueError, r"`image_size` must be at least 8. Received: image_size=7"),
        ({"image_size": 32.0}, TypeError, "`image_size` must be an int"),
        ({"test_fraction": 0}, ValueError, r"`test_fraction` must be in \(0, 1\). Received: test_fraction=0"),
        ({"test_fraction": "half"}, ValueError, r"`test_fraction` must be in \(0, 1\)"),
        ({"shape": "round"}, ValueError, "`shape` must be one of 'pad', 'crop', 'stretch'. Received: shape='round'"),
        ({"interpolation": "cubic"}, ValueError, "`interpolation` must be one of 'nearest'"),
        ({"memory_limit": -1}, ValueError, "`memory_limit` must be at least 0. Received: memory_limit=-1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_read(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        image_folder(tmp_path / "nowhere", **arguments)
