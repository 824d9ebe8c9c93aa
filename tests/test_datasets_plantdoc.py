"""Cropped-PlantDoc: crops of a made repository, what its annotations may look like, and its two divisions."""

import io
import os
import random
import warnings
import zipfile

import numpy as np
import PIL.Image
import pytest

from kgpc import datasets
from kgpc.datasets import ArchiveError, ImageWarning, papers, plantdoc
from kgpc.datasets.pascal_voc import AnnotationError, boxes_in_pixels, read_annotation


def jpeg(pixels, **options):
    content = io.BytesIO()
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(content, "JPEG", quality=100, subsampling=0, **options)
    return content.getvalue()


def annotation(boxes, size=(60, 40)):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in boxes
    )
    size = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>{size}{objects}</annotation>".encode()


@pytest.fixture
def plantdoc_files():
    """Six photographs of 60x40, left half dark, right half bright, with a box around each half."""
    files = {}
    for number in range(6):
        pixels = np.full((40, 60, 3), 30 + number, np.uint8)
        pixels[:, 30:] = 200 + number
        name = f"{'TRAIN' if number < 4 else 'TEST'}/photo?{number}.JPG"
        files[f"{name}.jpg"] = jpeg(pixels)
        files[f"{name}.xml"] = annotation([("Dark leaf ", 1, 1, 30, 40), ("bright  leaf", 31, 1, 60, 40)])
    return files


@pytest.fixture
def plantdoc_folder(tmp_path, plantdoc_files):
    for name, content in plantdoc_files.items():
        path = tmp_path / "plantdoc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "plantdoc"


def load_plantdoc(**arguments):
    with pytest.warns(ImageWarning, match="crops of 2 classes here; the published runs had 8883 of 29"):
        return datasets.load("Cropped-PlantDoc", image_size=40, **arguments)


def test_plantdoc_is_cropped_by_its_boxes(plantdoc_folder):
    data = load_plantdoc(folder=plantdoc_folder)
    assert data.class_names == ("Dark leaf", "bright leaf")
    assert data.x_train.shape == (8, 40, 40, 3) and data.x_test.shape == (4, 40, 40, 3)
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        for image, label in zip(images, labels, strict=True):
            assert (image[:, :5] == 0).all() and (image[:, -5:] == 0).all()  # 30x40 padded to 40x40
            middle = image[:, 5:-5].astype(int)
            assert middle.shape == (40, 30, 3)
            assert ((middle > 150) == bool(label)).all()
    again = load_plantdoc(folder=plantdoc_folder)
    np.testing.assert_array_equal(again.x_test, data.x_test)


def write_plantdoc_zip(path, files, comment=plantdoc.COMMIT):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"PlantDoc-Object-Detection-Dataset-{plantdoc.COMMIT}/{name}", content)
        archive.comment = comment.encode()
    return path


def test_an_archive_gives_the_same_as_a_folder(tmp_path, plantdoc_folder, plantdoc_files):
    archive = write_plantdoc_zip(tmp_path / "plantdoc.zip", plantdoc_files)
    one, other = load_plantdoc(folder=plantdoc_folder), load_plantdoc(archive=archive)
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_test, other.y_test)


def test_the_download_is_kept_unpacked_and_its_commit_is_checked(tmp_path, plantdoc_files, monkeypatch):
    keras = pytest.importorskip("keras")
    archive = tmp_path / f"plantdoc-{plantdoc.COMMIT}.zip"
    asked = []

    def get_file(name, origin, **options):
        asked.append(origin)
        return str(archive)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    write_plantdoc_zip(archive, plantdoc_files, comment="0" * 40)
    with pytest.raises(ArchiveError, match=f"is not the archive of commit {plantdoc.COMMIT}"):
        datasets.load("Cropped-PlantDoc")
    assert not archive.exists()
    write_plantdoc_zip(archive, plantdoc_files)
    for _ in range(2):
        assert len(load_plantdoc().x_train) == 8
    assert asked == [plantdoc.URL] * 3 and plantdoc.COMMIT in plantdoc.URL
    assert (tmp_path / f"plantdoc-{plantdoc.COMMIT}").is_dir()


def test_a_failed_download_of_plantdoc_is_an_os_error(monkeypatch):
    keras = pytest.importorskip("keras")

    def fail(*arguments, **options):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(OSError, match="could not be downloaded .* URL fetch failure. Give `folder` or `archive`"):
        datasets.load("Cropped-PlantDoc")


def test_boxes_fit_the_photograph_as_the_annotation_saw_it(plantdoc_folder):
    """A photograph that a camera marked as turned: its boxes were drawn on the unturned one."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pixels = np.full((40, 60, 3), 30, np.uint8)
    pixels[:, 30:] = 200
    (plantdoc_folder / "TRAIN" / "photo?0.JPG.jpg").write_bytes(jpeg(pixels, exif=exif))
    data = load_plantdoc(folder=plantdoc_folder)
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert ((images[:, 20, 20, 0] > 150) == labels.astype(bool)).all()


def test_photographs_and_boxes_that_cannot_be_used_are_named_and_the_rest_is_kept(plantdoc_folder):
    (plantdoc_folder / "TRAIN" / "photo?1.JPG.jpg").write_bytes(b"damaged")
    (plantdoc_folder / "TEST" / "photo?5.JPG.jpg").unlink()
    path = plantdoc_folder / "TRAIN" / "photo?0.JPG.xml"
    path.write_bytes(annotation([("Dark leaf", 1, 1, 30, 40), ("bright leaf", 70, 1, 80, 40)]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.load("Cropped-PlantDoc", image_size=40, folder=plantdoc_folder)
    messages = [str(warning.message) for warning in caught if warning.category is ImageWarning]
    assert len(data.x_train) + len(data.x_test) == 7
    assert len(messages) == 4
    for text in ("photo?1.JPG.jpg is damaged", "no image for", "(70, 1, 80, 40) in", "has 7 crops"):
        assert any(text in message for message in messages), text
    assert {warning.filename for warning in caught if warning.category is ImageWarning} == {__file__}


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not PlantDoc's repository: it has no folders TRAIN and TEST"):
        datasets.load("Cropped-PlantDoc", folder=tmp_path)
    (tmp_path / "TRAIN").mkdir()
    (tmp_path / "TEST").mkdir()
    with pytest.raises(ValueError, match="there are no annotations"):
        datasets.load("Cropped-PlantDoc", folder=tmp_path)


# Names, sizes and faults


def loaded(folder):
    """The data set, with the colours of its crops and labels, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.load("Cropped-PlantDoc", image_size=40, folder=folder)
    bright = np.concatenate([data.x_train, data.x_test])[:, 20, 20, 0] > 150
    labels = np.concatenate([data.y_train, data.y_test])
    messages = [str(warning.message) for warning in caught if warning.category is ImageWarning]
    return data, bright, labels, [message for message in messages if "published runs" not in message]


@pytest.mark.parametrize(
    ("image", "xml"),
    [
        ("leaf.JPG", "leaf.xml"),
        ("leaf.Jpeg", "leaf.XML"),
        ("LEAF.jpg", "leaf.xml"),
        ("leaf.jfif", "leaf.Xml"),
        ("leaf.jpg", "leaf.jpg.xml"),
        ("leaf", "leaf.xml"),
        ("leaf.jpg?itok=a", "leaf.xml"),
    ],
)
def test_photographs_and_annotations_find_each_other(plantdoc_folder, image, xml):
    old = plantdoc_folder / "TRAIN" / "photo?0.JPG.jpg"
    old.rename(old.with_name(image))
    old.with_suffix(".xml").rename(old.with_name(xml))
    (old.parent / "leaf.txt").write_text("a note")
    data, bright, labels, messages = loaded(plantdoc_folder)
    assert messages == [] and len(labels) == 12
    np.testing.assert_array_equal(bright, labels)


def test_photographs_whose_names_differ_in_capital_letters_keep_their_own_annotation(plantdoc_folder):
    train = plantdoc_folder / "TRAIN"
    for name, value in (("Leaf", 50), ("leaf", 250)):
        (train / f"{name}.jpg").write_bytes(jpeg(np.full((40, 60, 3), value, np.uint8)))
        (train / f"{name}.xml").write_bytes(annotation([("bright leaf" if value > 150 else "Dark leaf", 1, 1, 60, 40)]))
    if len(list(train.glob("*eaf.jpg"))) < 2:
        pytest.skip("the file system does not tell capital letters from small ones")
    _, bright, labels, messages = loaded(plantdoc_folder)
    assert messages == [] and len(labels) == 14
    np.testing.assert_array_equal(bright, labels)


def test_no_photograph_has_two_annotations(plantdoc_folder):
    train = plantdoc_folder / "TRAIN"
    for name in ("Photo?0.jpg.XML", "photo?0.JPG.jpg.xml", "._photo?0.JPG.xml"):
        (train / name).write_bytes(annotation([("bright leaf", 1, 1, 30, 40)]))
    _, bright, labels, messages = loaded(plantdoc_folder)
    assert len(labels) == 12 and len(messages) == 2 and all("There is no image for" in message for message in messages)
    np.testing.assert_array_equal(bright, labels)


def test_boxes_in_a_namespace_are_found(plantdoc_folder):
    for path in plantdoc_folder.rglob("*.xml"):
        path.write_bytes(path.read_bytes().replace(b"<annotation>", b'<annotation xmlns="http://example.org/voc">'))
    data, _, labels, messages = loaded(plantdoc_folder)
    assert messages == [] and len(labels) == 12


@pytest.mark.parametrize("factor", [2, 3, 0.5])
def test_boxes_follow_a_photograph_that_was_resized(plantdoc_folder, factor):
    path = plantdoc_folder / "TRAIN" / "photo?0.JPG.jpg"
    with PIL.Image.open(path) as image:
        image.resize((int(60 * factor), int(40 * factor)), PIL.Image.Resampling.NEAREST).save(path, quality=100)
    _, bright, labels, messages = loaded(plantdoc_folder)
    assert messages == [] and len(labels) == 12
    np.testing.assert_array_equal(bright, labels)


def test_a_photograph_of_other_proportions_than_noted_is_left_out(plantdoc_folder):
    (plantdoc_folder / "TRAIN" / "photo?0.JPG.jpg").write_bytes(jpeg(np.zeros((40, 80, 3), np.uint8)))
    _, _, labels, (message,) = loaded(plantdoc_folder)
    assert len(labels) == 10
    assert "photo?0.JPG.xml is of an image of 60x40 pixels, the image beside it has 80x40" in message


@pytest.mark.parametrize("size", [(0, 0), (60, 0)])
def test_without_a_size_only_boxes_inside_of_the_photograph_are_cut(plantdoc_folder, size):
    boxes = [("Dark leaf", 1, 1, 30, 40), ("bright leaf", 31, 1, 61, 40)]
    (plantdoc_folder / "TRAIN" / "photo?0.JPG.xml").write_bytes(annotation(boxes, size))
    _, _, labels, (message,) = loaded(plantdoc_folder)
    assert len(labels) == 11
    assert "(31, 1, 61, 40) in" in message and "reaches beyond the image of 60x40 pixels" in message


def test_a_box_beyond_a_border_that_is_known_is_cut_at_it(plantdoc_folder):
    boxes = [("Dark leaf", 0, 0, 30, 41), ("bright leaf", 31, 1, 62, 40)]
    (plantdoc_folder / "TRAIN" / "photo?0.JPG.xml").write_bytes(annotation(boxes))
    _, bright, labels, messages = loaded(plantdoc_folder)
    assert messages == [] and len(labels) == 12
    np.testing.assert_array_equal(bright, labels)


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_a_box_without_a_class_name_is_left_out(plantdoc_folder, name):
    boxes = [(name, 1, 1, 30, 40), ("bright leaf", 31, 1, 60, 40)]
    (plantdoc_folder / "TRAIN" / "photo?0.JPG.xml").write_bytes(annotation(boxes))
    data, _, labels, (message,) = loaded(plantdoc_folder)
    assert data.class_names == ("Dark leaf", "bright leaf") and len(labels) == 11
    assert "(1, 1, 30, 40) in" in message and "has no class name" in message


def test_class_names_are_composed(plantdoc_folder):
    for path, name in zip(sorted(plantdoc_folder.rglob("*.xml")), ["caf\u00e9", "cafe\u0301"] * 3, strict=True):
        path.write_text(annotation([(name, 1, 1, 30, 40)]).decode(), encoding="utf-8")
    data, *_ = loaded(plantdoc_folder)
    assert data.class_names == ("caf\u00e9",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"<annotation>", "is damaged"),
        (b"<annotation><object/></annotation>", "an object has no `bndbox`"),
        (b"<a><object><name>x</name><bndbox><xmin>1</xmin></bndbox></object></a>", "'nothing'"),
        (annotation([("x", "nan", 1, 2, 3)]), "'nan' is no number of pixels"),
        (annotation([("x", "1e30", 1, 2, 3)]), "'1e30' is no number of pixels"),
        (b'<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>', "it defines entities"),
        (b"<a>" + b" " * 2**20 + b"</a>", "has more than 1048576 bytes"),
    ],
)
def test_one_damaged_annotation_costs_its_photograph_only(plantdoc_folder, content, message):
    (plantdoc_folder / "TEST" / "photo?4.JPG.xml").write_bytes(content)
    _, _, labels, (warning,) = loaded(plantdoc_folder)
    assert len(labels) == 10
    assert "photo?4.JPG.xml" in warning and message in warning


def test_pipes_and_folders_in_place_of_files_are_left_out_at_once(plantdoc_folder):
    train = plantdoc_folder / "TRAIN"
    for number, make in enumerate((os.mkfifo, os.mkdir)):
        (train / f"photo?{number}.JPG.xml").unlink()
        make(train / f"photo?{number}.JPG.xml")
        (train / f"photo?{number + 2}.JPG.jpg").unlink()
        make(train / f"photo?{number + 2}.JPG.jpg")
    _, _, labels, messages = loaded(plantdoc_folder)
    assert len(labels) == 4 and len(messages) == 4
    assert sum("is no regular file" in message for message in messages) == 2
    assert sum("There is no image for" in message for message in messages) == 2


def test_without_any_readable_photograph_the_error_says_so(plantdoc_folder):
    for path in plantdoc_folder.rglob("*.jpg"):
        path.write_bytes(b"damaged")
    with (
        pytest.warns(ImageWarning),
        pytest.raises(ValueError, match="no photograph in TRAIN and TEST from which a crop"),
    ):
        datasets.load("Cropped-PlantDoc", folder=plantdoc_folder)


def test_any_damage_to_an_annotation_gives_boxes_inside_or_an_annotation_error(tmp_path):
    """Random damage for a moment, and the deepest nesting that fits into a file."""
    generator, path = random.Random(0), tmp_path / "a.xml"
    whole = annotation([("leaf", 1, 1, 30, 40), ("other leaf", 31, 1, 60, 40)])
    contents = [b"<a>" * 10_000 + b"</a>" * 10_000]
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            number = whole.index(generator.choice((b"<xmin>31", b"<ymax>40", b"<name>other", b"<width>60"))) + 6
            start = generator.choice((number, number, number, generator.randrange(len(content))))
            content[start : start + generator.randint(0, 3)] = generator.choice(
                (b"", b"-", b"7", b"99999", b"1e3", b"<", b"&amp;", generator.randbytes(1), whole[20:90])
            )
        contents.append(bytes(content))
    boxes = 0
    for content in contents:
        path.write_bytes(content)
        try:
            found, _ = boxes_in_pixels(read_annotation(path), np.empty((40, 60, 3), np.uint8))
        except AnnotationError as error:
            assert str(path) in str(error)
            continue
        for name, (left, top, right, bottom) in found:
            assert name and 0 <= left < right <= 60 and 0 <= top < bottom <= 40
            boxes += 1
    assert 50 < boxes < 1000


# By photograph


def test_crops_of_one_photograph_are_on_one_side(plantdoc_folder):
    """Photographs are told apart by their brightness; one of them lies there under two names."""
    train = plantdoc_folder / "TRAIN"
    for ending in ("jpg", "xml"):
        (train / f"copy.{ending}").write_bytes((train / f"photo?0.JPG.{ending}").read_bytes())
    with pytest.warns(ImageWarning, match="has 14 crops"):
        data = datasets.load("Cropped-PlantDoc", image_size=40, folder=plantdoc_folder, division="photograph")
    assert data.name == "Cropped-PlantDoc by photograph"
    sides = [set((images[:, 20, 20, 0] % 10).tolist()) for images in (data.x_train, data.x_test)]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert sum(len(images) for images in (data.x_train, data.x_test)) == 14
    assert set(data.y_train) == set(data.y_test) == {0, 1}


def test_the_division_by_photograph_is_close_to_a_fifth_of_every_class():
    generator = np.random.default_rng(0)
    photographs = np.repeat(np.arange(600), generator.integers(1, 9, 600))
    labels = generator.integers(0, 6, 600)[photographs]
    mixed = generator.random(len(labels)) < 0.05
    labels[mixed] = generator.integers(0, 6, mixed.sum())
    train, test = papers._fifth_of_photographs(labels, photographs)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert not set(photographs[train]) & set(photographs[test])
    shares = np.bincount(labels[test], minlength=6) / np.bincount(labels, minlength=6)
    assert (abs(shares - 0.2) < 0.04).all()
    np.testing.assert_array_equal(papers._fifth_of_photographs(labels, photographs)[1], test)


def test_a_class_of_one_photograph_stays_in_the_training_part():
    train, test = papers._fifth_of_photographs(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 2]))
    assert train.tolist()[:2] == [0, 1] and len(test) > 0 and set(test) < {2, 3, 4}
