"""Notebooks 07 and 13: the cell about Drive, the network that 13 begins with, and its ImageNet network."""

import importlib.util
import re
import sys
import types
import warnings

import keras
import nbformat
import numpy as np
import pytest

from kgpc import D6, applications, datasets, training


@pytest.fixture(scope="module")
def cells(root):
    """The code cells of notebooks 07 and 13, by number of the notebook."""
    names = {"07": "07_train_on_colab_gpu", "13": "13_your_own_images"}
    return {
        number: [
            cell.source
            for cell in nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4).cells
            if cell.cell_type == "code"
        ]
        for number, name in names.items()
    }


def one(cells, text):
    """The one cell with a text."""
    (found,) = (cell for cell in cells if text in cell)
    return found


def test_drive_comes_before_kgpc_is_installed_and_is_the_same_in_both(cells):
    for number in cells:
        order = [
            next(place for place, cell in enumerate(cells[number]) if text in cell)
            for text in ("PROFILE = ", "drive.mount(", "# @title Setup", "import kgpc\n")
        ]
        assert order == sorted(order) and order[:3] == [0, 1, 2]
    assert one(cells["07"], "drive.mount(") == one(cells["13"], "drive.mount(")


def test_drive_gives_its_wheels_and_a_computer_of_ones_own_has_none(cells, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = one(cells["07"], "drive.mount(").replace("/content", str(tmp_path / "content"))
    exec(code, names := {"DRIVE_FOLDER": "kgpc"})
    assert names["drive_folder"] is None and "No Drive" in capsys.readouterr().out

    drive = types.ModuleType("google.colab.drive")
    drive.mount = lambda path: None
    package = types.ModuleType("google.colab")
    package.drive = drive
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "found" if name.startswith("google") else found(name))
    for name, module in (("google.colab", package), ("google.colab.drive", drive)):
        monkeypatch.setitem(sys.modules, name, module)
    exec(code, names)
    assert names["drive_folder"].is_dir() and "nothing in 'kgpc' yet" in capsys.readouterr().out
    (names["drive_folder"] / "kgpc-1.0.0-py3-none-any.whl").write_bytes(b"wheel")
    exec(code, names)
    assert (tmp_path / "kgpc-1.0.0-py3-none-any.whl").read_bytes() == b"wheel"
    assert "On Drive: kgpc-1.0.0-py3-none-any.whl" in capsys.readouterr().out
    exec(code, names := {"DRIVE_FOLDER": ""})
    assert names["drive_folder"] is None


@pytest.fixture
def start(cells, tmp_path):
    """Executes what notebook 13 does before it trains, for three classes; returns its names."""
    import kgpc

    def begin(**changes):
        names = {"PROFILE": "quick", "kgpc": kgpc, "D6": D6, "training": training, "keras": keras, "np": np}
        names |= {"kMobileNet": applications.kMobileNet, "results": tmp_path, "warnings": warnings, "classes": 3}
        names |= {"datasets": datasets} | changes
        exec(one(cells["13"], "card = kgpc.included.find("), names)
        exec(one(cells["13"], "a_little = "), names)
        return names

    return begin


def test_notebook_13_begins_with_a_network_that_comes_along(start, cells, capsys):
    names = start()
    assert "of 10,000 test images recognized" in capsys.readouterr().out
    exec(one(cells["13"], "first.save_weights("), names)
    exec(one(cells["13"], "def from_saved("), names)
    assert names["first"].input_shape == (None, 33, 33, 3) and names["recipe"].image_size == 33
    assert names["recipe"].class_weight == "balanced"
    card = names["card"]
    shipped = applications.kMobileNet(
        input_shape=(33, 33, 3), weights=card.name, classes=10, scheme=D6(16), **card.arguments
    )
    for ours, theirs in zip(names["first"].get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert re.search(r"(\d+) of \d+ layers are taken over\nnew: conv_preds\n", capsys.readouterr().out)


def test_the_imagenet_network_is_one_of_the_ways_where_it_can_be_downloaded(start, cells, monkeypatch, capsys):
    mobilenet = keras.applications.MobileNet

    def downloaded(shape, include_top, weights):
        assert weights == "imagenet" and not include_top
        return mobilenet(shape, include_top=False, weights=None, alpha=0.25)

    def not_downloaded(*_, **__):
        raise Exception("URL fetch failure on the address: None")

    names = start() | {"PROFILE": "paper", "first": None, "from_saved": lambda own: None}
    for function, count in ((not_downloaded, 3), (downloaded, 5)):
        monkeypatch.setattr(keras.applications, "MobileNet", function)
        exec(one(cells["13"], "def imagenet("), names)
        exec(one(cells["13"], "left_out = "), names)
        assert len(names["ways"]) == count
    said = capsys.readouterr().out
    assert "left out: it cannot be downloaded here (URL fetch failure on the address: None)" in said
    model = names["ways"]["ImageNet, body frozen"](names["recipe"])
    assert model.output_shape == (None, 3) and [w.path for w in model.trainable_weights] == [
        "conv_preds/kernel",
        "conv_preds/bias",
    ]
    # The body gets its images in [-1, 1].
    inner = keras.Model(model.input, model.layers[1].output)
    np.testing.assert_allclose(np.ravel(inner(np.full((1, 33, 33, 3), 0.25, "float32"))), -0.5)
    # And section 6 finds the body's answers in it.
    exec(one(cells["13"], "def fit_classifier("), names)
    images = np.random.default_rng(0).integers(0, 256, (6, 33, 33, 3), dtype=np.uint8)
    rows = names["features"](model, images, at_once=4)
    assert rows.shape == (6, 256)
    np.testing.assert_allclose(rows[4:], names["features"](model, images[4:]), atol=1e-5)


def test_the_classifier_of_notebook_13_has_converged_and_weights_help_the_small_class(cells):
    exec(one(cells["13"], "def fit_classifier("), names := {"np": np, "classes": 3})
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [200, 200, 20])
    rows = generator.normal(size=(420, 20)) + np.eye(20)[labels]
    others = generator.normal(size=(300, 20)) + np.eye(20)[np.arange(300) % 3]
    recalls = {}
    for weighted in (False, True):
        image_weights = (1 / np.bincount(labels))[labels] if weighted else None
        found = names["fit_classifier"](rows, labels, image_weights)(others)
        longer = names["fit_classifier"](rows, labels, image_weights, steps=4000)(others)
        # 400 steps answer as 4000 do, but for images between two classes.
        assert np.mean(found == longer) > 0.95
        recalls[weighted] = [np.mean(found[label::3] == label) for label in range(3)]
    assert recalls[True][2] > recalls[False][2] + 0.1
    assert min(recalls[False][:2]) > 0.6
