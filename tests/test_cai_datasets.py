"""Loading and writing images under their old names, against values given and against plain computations."""

import types

import cv2
import numpy as np
import PIL.Image
import pytest

from kgpc import cai

# CIE L*a*b* of three colours, by scikit-image.
COLOURS = {
    (255, 0, 0): (53.2406, 80.0923, 67.2028),
    (10, 100, 200): (43.2811, 15.2964, -58.4201),
    (0, 0, 255): (32.2957, 79.1856, -107.8573),
}


def as_data_set(x_train, y_train, x_test=None, y_test=None):
    test = (x_train, y_train) if x_test is None else (x_test, y_test)
    return types.SimpleNamespace(load_data=lambda: ((x_train, y_train), test))


def colours():
    return np.array(list(COLOURS), "uint8").reshape(3, 1, 1, 3)


def test_rgb_is_scaled_to_the_unit_interval_or_around_zero():
    values = np.array([0, 255, 128], "uint8").reshape(1, 1, 1, 3)
    data = as_data_set(values, [[1]])
    x_train, y_train, x_test, y_test = cai.datasets.load_dataset(data, bipolar=False)
    np.testing.assert_allclose(x_train.ravel(), [0, 1, 128 / 255], rtol=1e-7)
    np.testing.assert_allclose(cai.datasets.load_dataset(data)[0].ravel(), [-2, 1.984375, 0], rtol=1e-7)
    assert x_train.dtype == np.float32 and y_train.tolist() == y_test.tolist() == [[0, 1]]


def test_lab_is_that_of_the_given_colours():
    expected = np.array(list(COLOURS.values()))
    data = as_data_set(colours(), [0, 1, 2])
    lab = cai.datasets.load_dataset(data, lab=True, bipolar=False)[0].reshape(3, 3)
    np.testing.assert_allclose(lab, expected / [100, 200, 200] + [0, 0.5, 0.5], atol=2e-6)
    assert -0.0394 < lab[2, 2] < -0.0392  # [0, 1] is not kept
    bipolar = cai.datasets.load_dataset(data, lab=True)[0].reshape(3, 3)
    np.testing.assert_allclose(bipolar, expected / [25, 50, 50] - [2, 0, 0], atol=5e-6)
    np.testing.assert_allclose(cai.util.rgb2bipolar_lab(colours().astype(float)).reshape(3, 3), bipolar, atol=1e-6)


def test_lab_is_that_of_scikit_image():
    color = pytest.importorskip("skimage.color")
    rgb = np.random.default_rng(0).random((2, 9, 9, 3))
    expected = color.rgb2lab(rgb)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-4), ("float16", 0.07)):
        images = rgb.astype(dtype)
        cai.datasets.skimage_rgb2lab_a(images, verbose=False)
        np.testing.assert_allclose(images, expected, atol=tolerance)


@pytest.mark.parametrize("yes, no", [(1, 0), (np.int64(1), np.int64(0)), (np.True_, np.False_)])
def test_flags_may_be_one_or_zero_as_older_code_has_them(yes, no, capsys):
    data = as_data_set(colours(), [0, 1, 2])
    images = cai.datasets.load_dataset(data, lab=yes, verbose=no, bipolar=yes)[0]
    np.testing.assert_array_equal(images, cai.datasets.load_dataset(data, True, False, True)[0])
    assert not capsys.readouterr().out
    cai.datasets.load_dataset(data, verbose=yes)
    assert "train images" in capsys.readouterr().out


def test_shapes_and_values_are_printed_where_asked(capsys):
    data = as_data_set(colours(), [0, 1, 2])
    cai.datasets.load_dataset(data)
    assert capsys.readouterr().out == ""
    cai.datasets.load_dataset(data, False, True, False)
    assert "(3, 1, 1, 3)" in capsys.readouterr().out
    cai.datasets.skimage_rgb2lab_a(colours() / 255.0)
    assert capsys.readouterr().out != ""


def test_written_images_are_the_original_ones(tmp_path):
    original = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3)).astype("uint8")
    one_hot = np.eye(12)[[0, 11, 2, 0, 11, 2]]
    exchanged = cai.datasets.fix_bad_tfkeras_channel_order(original.astype("float32") / 255)
    assert exchanged.dtype == np.float64
    np.testing.assert_allclose(exchanged[..., 0] * 255, original[..., 2], atol=1e-4)
    for labels in (one_hot, one_hot.argmax(1), one_hot.argmax(1)[:, None]):
        cai.datasets.save_dataset_as_png(
            exchanged * 255, labels, str(tmp_path / "img"), with_horizontal_flip=True, with_vertical_flip=True
        )
    assert sorted(path.name for path in (tmp_path / "img").iterdir()) == ["class_0", "class_11", "class_2"]
    assert len(list(tmp_path.rglob("*"))) == 1 + 3 + 6 * 4
    for number, label in enumerate(one_hot.argmax(1)):
        folder = tmp_path / "img" / f"class_{label}"
        for prefix, view in (("", slice(None)), ("v_", slice(None, None, -1))):
            for side, columns in (("", slice(None)), ("h", slice(None, None, -1))):
                name = {"": side and "h_", "v_": "hv_" if side else "v_"}[prefix]
                written = np.asarray(PIL.Image.open(folder / f"{name}img_{number}.png"))
                np.testing.assert_array_equal(written, original[number][view][:, columns])


def test_values_are_rounded_and_limited(tmp_path):
    values = np.array([[[[-3.0, 2.6, 300.0]]]])
    cai.datasets.save_dataset_as_png(values, [4], tmp_path)
    assert cv2.imread(str(tmp_path / "class_4" / "img_0.png")).tolist() == [[[0, 3, 255]]]
    assert not list(tmp_path.rglob("v_*")) and not list(tmp_path.rglob("h*_*"))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cai.datasets.load_dataset("cifar10"), r"`dataset` must have a function load_data\(\)"),
        (lambda: cai.datasets.load_dataset(as_data_set(colours(), [0, 1, 2]), lab="no"), "`lab` must be a bool"),
        (lambda: cai.datasets.load_dataset(as_data_set(colours()[..., :2], [0, 1, 2])), "`dataset` must be numbers"),
        (
            lambda: cai.datasets.load_dataset(as_data_set(colours(), [0, 1, 2], colours(), [0, 1, 3])),
            "`dataset` must have no test label that does not occur in training. Received: the test labels 3",
        ),
        (
            lambda: cai.datasets.load_dataset(as_data_set(colours(), [0, 3, 3], colours(), [1, 0, 2])),
            "`dataset` must have no test label that does not occur in training. Received: the test labels 1, 2",
        ),
        (
            lambda: cai.datasets.load_dataset(as_data_set(colours(), [0, 1])),
            "`dataset` must have one label for each image. Received: 2 training labels for 3 images",
        ),
        (
            lambda: cai.datasets.load_dataset(as_data_set(colours(), [0, 1, 2], colours(), [[0, 1, 2]])),
            "`dataset` must have one label for each image. Received: 1 test labels for 3 images",
        ),
        (lambda: cai.datasets.fix_bad_tfkeras_channel_order(np.zeros((2, 3, 3))), "`aImages` must be numbers"),
        (lambda: cai.datasets.save_dataset_as_png(colours(), [0, 1]), "`aClasses` must have one class for each"),
        (lambda: cai.datasets.save_dataset_as_png(colours(), [0, 1, -1]), "`aClasses` must have class indices"),
        (lambda: cai.datasets.skimage_rgb2lab_a(colours()), "`aRGB` must be an array of floating-point numbers"),
        (lambda: cai.util.rgb2bipolar_lab([1.0, 2.0]), r"`img` must be numbers of the shape \(..., 3\)"),
        (lambda: cai.util.rgb2bipolar_lab(["a", "b", "c"]), r"`img` must be numbers of the shape \(..., 3\)"),
    ],
)
def test_bad_arguments_are_refused(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message):
        call()
    assert not list(tmp_path.iterdir())
