"""Images beside their maps, and pictures as files."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from kgpc import cam


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def pictures(count=3, size=(9, 12)):
    return np.random.default_rng(2).integers(0, 256, (count, *size, 3), dtype="uint8")


def opened(path):
    """Pixels and format of a picture file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")), image.format


def heats(count=3):
    """Maps that are strongest at the top left, in the middle, and nowhere."""
    maps = np.zeros((4, 3, 4), "float32")
    maps[0, 0, 0] = maps[1, 1, 1] = 1
    return maps[:count]


def test_each_image_is_beside_its_maps_with_their_cells():
    images, maps = pictures(), heats()
    titles = ["cat: logit 3.1, 92%", "dog", "cat"]
    figure = cam.beside(images, {"CAM": maps, "opposite": 1 - maps}, titles, columns=2, alpha=0.2)
    *shown, scale = figure.axes
    assert [axes.get_title(loc="left") for axes in shown] == [titles[0], "", "", titles[1], "", "", titles[2], "", ""]
    assert [axes.get_xlabel() for axes in shown] == ["", "CAM", "opposite"] * 3
    assert scale.get_xlabel() == "evidence (1: strongest of its map)" and scale.get_xlim() == (0, 1)
    for index, image in enumerate(images):
        own, first, second = (axes.images[0].get_array() for axes in shown[3 * index : 3 * index + 3])
        np.testing.assert_array_equal(own, image / np.float32(255))
        np.testing.assert_array_equal(first, cam.overlay(image, maps[index], 0.2, smooth=False))
        np.testing.assert_array_equal(second, cam.overlay(image, 1 - maps[index], 0.2, smooth=False))
    rows, columns = shown[1].collections
    assert [line[0][1] for line in rows.get_segments()] == [2.5, 5.5]
    assert [line[0][0] for line in columns.get_segments()] == [2.5, 5.5, 8.5]
    assert "Image 1 (cat: logit 3.1, 92%, CAM): strongest at the top left." in figure.get_label()
    assert "Image 3 (cat, CAM): no evidence." in figure.get_label()


def test_texts_can_be_read_and_columns_do_not_overlap():
    figure = cam.beside(pictures(4), heats(4), ["a title of class, logit and share"] * 4, columns=2)
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    sizes = [text.get_fontsize() for text in texts if text.axes is None or text.axes.axison]
    assert len(sizes) > 4 and min(sizes) >= 9
    boxes = [axes.get_window_extent() for axes in figure.axes[:-1]]
    for first, second in zip(boxes, boxes[1:], strict=False):
        assert first.x1 <= second.x0 or first.y0 >= second.y1
    fine = cam.beside(pictures(1, (90, 120)), np.ones((1, 30, 40)))
    assert not fine.axes[1].collections  # so many lines would hide the cells
    smooth = cam.beside(pictures(1), heats(1), cells=False)
    assert not smooth.axes[1].collections
    np.testing.assert_array_equal(smooth.axes[1].images[0].get_array(), cam.overlay(pictures(1)[0], heats(1)[0], 0.35))


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"maps": heats(2)}, ValueError, "`maps` must be one for each image. Received: 2 maps and 3 images"),
        ({"maps": {"CAM": heats(2)}}, ValueError, "`maps` must be one for each image"),
        ({"maps": {}}, ValueError, "`maps` must hold at least one entry"),
        ({"maps": {3: heats()}}, TypeError, "`maps` must be a dict from names"),
        ({"maps": {"CAM": 2 * heats()}}, ValueError, r"`maps\['CAM'\]` must be in \[0, 1\]"),
        ({"titles": ["a"]}, ValueError, "`titles` must be one text for each of the 3 images"),
        ({"columns": 0}, ValueError, "`columns` must be at least 1"),
        ({"cells": 1}, TypeError, "`cells` must be True or False"),
        ({"alpha": 2}, ValueError, "`alpha` must be in"),
        ({"width": 0}, ValueError, "`width` must be a finite number above 0"),
        ({"images": np.zeros((3, 900, 1, 3))}, ValueError, "`images` must fit into 200 inches. Received: 3 rows"),
        ({"images": 3}, TypeError, "`images` must be a batch of images. Received: images=3"),
    ],
)
def test_what_cannot_be_drawn_is_named(change, error, message):
    with pytest.raises(error, match=message):
        cam.beside(**{"images": pictures(), "maps": heats(), **change})
    assert not plt.get_fignums()


def test_an_image_is_saved_pixel_for_pixel(tmp_path):
    image = cam.overlay(pictures(1)[0], heats(1)[0])
    path = cam.save_picture(image, tmp_path / "map.png")
    np.testing.assert_array_equal(opened(path)[0], image)
    cam.save_picture(image / 255, str(tmp_path / "map.PNG"))
    np.testing.assert_array_equal(opened(tmp_path / "map.PNG")[0], image)
    cam.save_picture(image, tmp_path / "map.jpg")
    pixels, kind = opened(tmp_path / "map.jpg")
    assert kind == "JPEG" and pixels.shape == image.shape
    assert sorted(each.name for each in tmp_path.iterdir()) == ["map.PNG", "map.jpg", "map.png"]


def test_a_figure_is_saved_and_stays_open(tmp_path):
    figure = cam.beside(pictures(1), heats(1), ["cat"])
    path = cam.save_picture(figure, tmp_path / "figure.jpeg")
    assert opened(path)[0].shape[1] > 900 and plt.fignum_exists(figure.number)


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path = cam.save_picture(pictures(1)[0], tmp_path / "map.png")
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        cam.save_picture(pictures(1)[0], path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"path": "map.gif"}, ValueError, "`path` must end in .png, .jpg or .jpeg. Received: path='map.gif'"),
        ({"path": "map"}, ValueError, "`path` must end in"),
        ({"path": "no_such_folder/map.png"}, ValueError, "`path` must be a file in a folder that exists"),
        ({"path": "https://example.org/map.png"}, ValueError, "`path` must be a path of this computer"),
        ({"path": 3}, TypeError, "`path` must be a path"),
        ({"path": "folder.png"}, ValueError, "folder.png must be a file, and is a folder"),
        ({"picture": "map"}, TypeError, "`picture` must be a figure, or an image as an array. Received: picture='map'"),
        ({"picture": np.full((3, 3), 255.0)}, ValueError, r"`picture` must be in \[0, 1\]"),
        ({"picture": np.zeros((2, 3, 3, 3))}, ValueError, "`picture` must be of shape"),
    ],
)
def test_what_cannot_be_saved_is_named(change, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=message):
        cam.save_picture(**{"picture": pictures(1)[0], "path": "map.png", **change})
    assert [each.name for each in tmp_path.iterdir()] == ["folder.png"]
