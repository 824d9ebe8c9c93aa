"""Folders of images: what is found in them, what is passed over, and images that are in both parts."""

import os
import threading
import unicodedata
import warnings

import cv2
import numpy as np
import pytest

from kgpc.datasets import ImageWarning, image_folder

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def write(path, value, kind=".png"):
    """An image of one colour that no other number gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((16, 16, 3), value % 250, np.uint8)
    pixels[0, 0] = (value // 250, 7, 7)
    path.write_bytes(cv2.imencode(kind, pixels)[1].tobytes())


@pytest.fixture
def folder(tmp_path):
    """Two classes of four images each."""
    root = tmp_path / "plants"
    for number in range(8):
        write(root / "ab"[number % 2] / f"{number}.png", number)
    return root


def load(path, **arguments):
    """The data set, and the warnings that are given where this function calls `image_folder`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = image_folder(path, 16, **arguments)
    assert {warning.filename for warning in caught} <= {__file__}
    assert {warning.category for warning in caught} <= {ImageWarning}
    return data, [str(warning.message) for warning in caught]


def count(data):
    return len(data.y_train) + len(data.y_test)


@pytest.mark.parametrize("name", ["x.jfif", "x.jpe", "x.JPEG", "x", "x.jpg?itok=a", "x.dat", "Blatt ä (1).x", "a\nb"])
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".tiff", ".bmp"])
def test_a_file_that_begins_like_an_image_is_one(folder, name, kind):
    write(folder / "a" / name, 100, kind)
    data, messages = load(folder)
    assert count(data) == 9 and messages == []


def test_what_is_passed_over_is_counted_and_named_once(folder):
    write(folder / "loose.png", 100)
    for number in range(5):
        (folder / "a" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(10))
    os.mkfifo(folder / "b" / "pipe.jpg")
    (folder / "b" / "lost.jpg").symlink_to("nowhere.jpg")
    (folder / "b" / "circle.jpg").symlink_to("circle.jpg")
    data, (message,) = load(folder)
    assert count(data) == 8
    assert "9 files in" in message and "'plants/loose.png', 'a/0.heic', 'a/1.heic' and 6 more" in message
    assert message.endswith("Among them are images in other formats (5 HEIC): save these as JPEG or PNG.")


FOREIGN = {
    "photo.heic": (b"\0\0\0\x18ftypheic", "1 HEIC"),
    "photo.avif": (b"\0\0\0\x18ftypavif", "1 AVIF"),
    "no_ending": (b"\0\0\0\x18ftypmif1", "1 HEIC"),
    "unlike its name.dat": (b"8BPS\0\1", "1 Photoshop"),
    "photo.jxl": (b"\xff\x0a", "1 JPEG XL"),
    "photo.jp2": (b"\0\0\0\x0cjP  ", "1 JPEG 2000"),
    "drawing.SVG": (b"<?xml version", "1 SVG"),
    "page.pdf": (b"%PDF-1.7", "1 PDF"),
    "camera.CR2": (b"anything", "1 raw camera file"),
    "camera.cr3": (b"\0\0\0\x18ftypcrx ", "1 raw camera file"),
    "empty.heif": (b"", "1 HEIC"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_images_in_other_formats_are_named_by_their_format(folder, name):
    beginning, counted = FOREIGN[name]
    (folder / "a" / name).write_bytes(beginning + bytes(20 if beginning else 0))
    data, (message,) = load(folder)
    assert count(data) == 8 and f"in other formats ({counted}): save these" in message


def test_formats_are_counted_and_what_is_no_image_is_not_among_them(folder):
    for number in range(3):
        (folder / "a" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "b" / "photo.avif").write_bytes(b"\0\0\0\x18ftypavif")
    (folder / "b" / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    _, (message,) = load(folder)
    assert "5 files in" in message and "(1 AVIF, 3 HEIC)" in message


def test_a_class_of_other_formats_only_is_an_error_that_names_them(folder):
    (folder / "c").mkdir()
    (folder / "c" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ValueError, match=r"The class 'c' is empty.*\(1 HEIC\): save these as JPEG or PNG"):
        load(folder)


def test_a_foreign_format_under_a_name_of_another_is_named(folder):
    (folder / "a" / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    data, (message,) = load(folder)
    assert count(data) == 8
    assert "photo.jpg has the format HEIC, whatever its name" in message and "Save it as JPEG or PNG." in message


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_every_image_has_its_file(folder, memory_limit):
    (folder / "a" / "broken.png").write_bytes(b"no picture")
    data, _ = load(folder, memory_limit=memory_limit)
    for files, labels, images in (
        (data.files_train, data.y_train, data.x_train),
        (data.files_test, data.y_test, data.x_test),
    ):
        assert [file.parent.name for file in files] == [data.class_names[label] for label in labels]
        assert [int(file.stem) for file in files] == images[:][:, 8, 8, 0].tolist()
    assert len({*data.files_train, *data.files_test}) == 8


def test_a_folder_for_the_test_has_its_own_files(folder, tmp_path):
    for number in range(100, 104):
        write(tmp_path / "more" / "ab"[number % 2] / f"{number}.png", number)
    data, _ = load(folder, test_path=tmp_path / "more")
    assert [file.name for file in data.files_test] == ["100.png", "102.png", "101.png", "103.png"]
    assert {file.parent.parent for file in data.files_test} == {tmp_path / "more"}


def test_images_below_a_class_are_counted_and_named(folder):
    for number in range(4):
        write(folder / "a" / "more" / "deep" / f"{number}.png", 100 + number)
    (folder / "a" / "circle").symlink_to(folder / "a")
    data, (message,) = load(folder)
    assert count(data) == 8
    assert "12 files in folders inside of a class" in message and "more" in message
    (folder / "a" / "circle").unlink()
    assert "4 files in folders inside of a class" in load(folder)[1][0]
    assert "'deep/0.png', 'deep/1.png', 'deep/2.png' and 1 more" in load(folder)[1][0]


def test_notes_and_hidden_files_are_passed_over_in_silence(folder):
    for name in ("notes.txt", "labels.CSV", "Thumbs.db", "desktop.ini", "README", ".DS_Store", "._0.png"):
        (folder / "a" / name).write_bytes(b"x")
        (folder / name).write_bytes(b"x")
    for name in (".cache", "__MACOSX"):
        write(folder / name / "0.png", 100)
        write(folder / "a" / name / "0.png", 100)
    (folder / "a" / "more").mkdir()
    (folder / "a" / "more" / "notes.txt").write_text("x")
    data, messages = load(folder)
    assert count(data) == 8 and data.class_names == ("a", "b") and messages == []


@pytest.mark.parametrize("name", ["__x__", "_", "a b", " a", "ä", "葉", "%s{}[*]?", "a.jpg", "-n", "a\nb", "a'\"b"])
def test_unusual_names_of_classes_are_classes(folder, name):
    (folder / "b").rename(folder / name)
    data, messages = load(folder)
    assert set(data.class_names) == {"a", name} and messages == []
    assert load(folder, memory_limit=0)[0].x_train[:].shape == data.x_train.shape


def test_a_name_that_is_no_text_is_a_class(folder):
    try:
        os.rename(folder / "b", os.path.join(os.fsencode(folder), b"b\xff"))
    except OSError:
        pytest.skip("the file system takes only names that are text")
    data, messages = load(folder)
    assert data.class_names == ("a", "b\udcff") and messages == []


def separate_forms(folder):
    (folder / COMPOSED).mkdir()
    if (folder / DECOMPOSED).exists():
        pytest.skip("the file system does not tell the forms apart")
    (folder / COMPOSED).rmdir()


def test_a_class_may_be_composed_here_and_decomposed_there(folder, tmp_path):
    separate_forms(folder)
    (folder / "b").rename(folder / DECOMPOSED)
    for number, name in enumerate(("a", COMPOSED)):
        write(tmp_path / "other" / name / "x.png", 100 + number)
    data, messages = load(folder, test_path=tmp_path / "other")
    assert data.class_names == ("a", COMPOSED) and data.y_test.tolist() == [0, 1] and messages == []
    # Both forms in one folder are one class.
    write(folder / COMPOSED / "1.png", 200)
    data, messages = load(folder)
    assert data.class_names == ("a", COMPOSED) and count(data) == 9 and messages == []
    assert all(unicodedata.is_normalized("NFC", name) for name in data.class_names)


def test_classes_that_differ_are_named(folder, tmp_path):
    for number, name in enumerate(("A", "b ", "c")):
        write(tmp_path / "other" / name / "x.png", 100 + number)
    with pytest.raises(ValueError, match="it lacks 'a', 'b' and it has besides 'A', 'b ', 'c'"):
        image_folder(folder, 16, test_path=tmp_path / "other")


# Images in both parts


def test_images_that_are_in_both_parts_are_counted_and_named(folder, tmp_path):
    """Copies under other names, in another format, in a class of another name; and one that is no copy."""
    other = tmp_path / "other"
    write(other / "a" / "same.bmp", 0, ".bmp")
    write(other / "b" / "wrong.png", 2)
    write(other / "b" / "new.png", 101)
    data, (message,) = load(folder, test_path=other)
    assert count(data) == 11
    assert "2 of 3 test images are in the training part as well, 1 of them under another class" in message
    for path in (other / "a" / "same.bmp", folder / "a" / "0.png", other / "b" / "wrong.png", folder / "a" / "2.png"):
        assert str(path) in message
    assert load(folder, test_path=other, memory_limit=0)[1] == [message]


def test_copies_that_are_drawn_into_both_parts_are_noticed(folder):
    for number in range(0, 8, 2):
        write(folder / "a" / f"copy{number}.png", number)
    data, messages = load(folder, test_fraction=0.4)
    train = {image.tobytes() for image in data.x_train}
    shared = sum(image.tobytes() in train for image in data.x_test)
    assert shared > 0 and messages[0].startswith(f"{shared} of {len(data.x_test)} test images are in the training part")


def test_copies_in_one_part_are_nobodys_business(folder, tmp_path):
    for name in "ab":
        write(tmp_path / "other" / name / "x.png", 100)
        write(folder / name / "twice.png", 101)
    assert load(folder, test_path=tmp_path / "other")[1] == []


# Warnings


def test_many_damaged_images_are_counted(folder):
    for number in range(25):
        (folder / "a" / f"bad{number:02}.jpg").write_bytes(b"damaged")
    data, messages = load(folder)
    assert count(data) == 8 and len(messages) == 11
    assert "bad09.jpg is damaged" in messages[9] and messages[10] == "15 images were left out as well."


def test_the_filters_of_warnings_stay_as_they_are(folder):
    """Also while images are decoded, by several threads at a time."""
    before, seen, done = list(warnings.filters), [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(list(warnings.filters) == before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(5):
            image_folder(folder, 16)
    finally:
        done.set()
        watcher.join()
    assert all(seen) and list(warnings.filters) == before
