"""The reports on mirrored, cropped and grey images against predictions made by hand."""

import re

import cv2
import keras
import numpy as np
import pytest

from kgpc import cai

HEADINGS = [
    "original",
    "flip X",
    "original + flip X",
    "flip Y",
    "original + flip Y",
    "original + flip X + flip Y",
    "center crop",
    "original + center crop",
    "original + flip X + center crop",
    "grey",
    "original + grey",
    "original + flip X + flip Y + grey",
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that sees where something is, and images."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 8, strides=8)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    path = tmp_path_factory.mktemp("model") / "m.hdf5"
    model.save(path)
    draw = np.random.default_rng(0)
    return model, str(path), draw.random((60, 32, 32, 3)).astype("float32"), np.eye(3)[draw.integers(0, 3, 60)]


def accuracies(text):
    headings = re.findall(r"Test Results: (.*)", text)
    values = [float(value) for value in re.findall(r"accuracy +(\d\.\d{4})", text)]
    return dict(zip(headings, values, strict=True))


def test_twelve_views_and_sums(saved, capsys):
    pytest.importorskip("sklearn")
    model, path, x, y = saved
    cai.datasets.test_flips_on_saved_model(x, y, path, center_crop=0.15)
    actual = accuracies(capsys.readouterr().out)
    assert list(actual) == HEADINGS
    inner = [cv2.resize(image[2:30, 2:30], (32, 32), interpolation=cv2.INTER_NEAREST) for image in x]
    views = {
        "original": x,
        "flip X": x[:, :, ::-1],
        "flip Y": x[:, ::-1],
        "center crop": np.stack(inner),
        "grey": np.stack([x.mean(-1)] * 3, -1),
    }
    outputs = {name: model.predict(images, verbose=0) for name, images in views.items()}
    for heading, value in actual.items():
        total = sum(outputs[name] for name in heading.split(" + "))
        assert value == pytest.approx((total.argmax(1) == y.argmax(1)).mean(), abs=5e-5), heading
    assert len(set(actual.values())) >= 5


def test_views_can_be_turned_off(saved, capsys):
    pytest.importorskip("sklearn")
    _, path, x, y = saved
    cai.datasets.test_flips_on_saved_model(x, y, path, has_flip_x=False)
    expected = [heading for heading in HEADINGS if "X" not in heading and "crop" not in heading]
    assert list(accuracies(capsys.readouterr().out)) == expected


def test_it_is_no_test():
    assert cai.datasets.test_flips_on_saved_model.__test__ is False


def test_bad_arguments_are_refused(saved):
    _, path, x, y = saved
    for arguments, options, message in (
        ((x[0], y, path), {}, "`test_x` must be numbers of the shape"),
        ((x, y.argmax(1), path), {}, r"`test_y` must have the shape \(n, classes\)"),
        ((x, y[:3], path), {}, r"`test_y` must have the shape \(n, classes\)"),
        ((x, y, path), {"center_crop": 1}, "`center_crop` must be a number in"),
        ((x, y, path), {"has_bw": "no"}, "`has_bw` must be a bool"),
        ((x, y, 3), {}, "`model_file_name` must be a path"),
        ((x, y, "no.hdf5"), {}, "`model_file_name` must be an existing file"),
    ):
        with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
            cai.datasets.test_flips_on_saved_model(*arguments, **options)
