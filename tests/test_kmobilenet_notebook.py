"""Notebook 02: its training conditions, and its paper profile with a budget that a processor can afford."""

import dataclasses
import os

import nbformat
import numpy as np
import pandas as pd
import pytest

from kgpc import datasets, paper
from kgpc.notebooks import execute, set_profile

TINY = """\
def load_data():
    generator = np.random.default_rng(0)

    def part(per_class):
        labels = np.repeat(np.arange(10, dtype="uint8"), per_class)[:, None]
        return generator.integers(0, 256, (len(labels), 32, 32, 3), dtype="uint8"), labels

    return part(10), part(2)


keras.datasets.cifar10.load_data = load_data
settings = dataclasses.replace(settings, image_size=64, epochs=2, batch_size=16)
"""


@pytest.fixture
def notebook(root):
    """The notebook as it is stored."""
    return nbformat.read(root / "notebooks" / "02_kmobilenet.ipynb", as_version=4)


def index_of(notebook, text):
    """Position of the only code cell that contains a text."""
    (index,) = (i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and text in cell.source)
    return index


@pytest.fixture
def conditions(notebook):
    """What the cells define that say how images are prepared, in which order, and at which learning rate."""
    import keras

    names = {"dataclasses": dataclasses, "keras": keras, "np": np, "PROFILE": "quick"}
    exec("import math\nimport cv2\nimport kgpc", names)
    for text in ("class Settings", "def transformed", "class Batches", "def learning_rate"):
        exec(notebook.cells[index_of(notebook, text)].source, names)
    return names


def test_the_paper_profile_has_the_published_recipe(conditions):
    recipe = paper.published("recipes").query("label == 'JP35B14'").iloc[0]
    settings = conditions["PROFILES"]["paper"]
    assert settings.dataset == recipe["dataset"] and settings.train_images is None
    assert f"{settings.image_size}x{settings.image_size}" == recipe["input_size"]
    assert (settings.epochs, settings.batch_size) == (recipe["epochs"], recipe["batch_size"])

    curve = paper.published("training_curves").query("label == 'JP35B14' and model == 'MobileNet'")
    assert len(curve) == settings.epochs
    for epoch, rate in zip(curve["epoch"], curve["learning_rate_schedule"], strict=True):
        for share in (0, 0.5, 0.99):
            # The table has six decimals.
            assert conditions["learning_rate"](epoch - 1 + share, settings) == pytest.approx(rate, abs=1e-6)


def test_the_order_depends_on_seed_and_epoch_only(conditions):
    settings = dataclasses.replace(conditions["PROFILES"]["quick"], batch_size=4)
    images, labels = np.zeros((10, 28, 28), "uint8"), np.arange(10)

    def orders(training, epochs):
        batches = conditions["Batches"](images, labels, settings, training=training)
        result = []
        for epoch in epochs:
            batches.epoch = epoch
            result.append(np.concatenate([batches[index][1] for index in range(len(batches))]).tolist())
        return result

    first, second = orders(True, [0, 1])
    assert first != second and len(set(first)) == len(set(second)) == 8  # two whole batches
    assert orders(True, [1, 0]) == [second, first]
    assert orders(False, [0, 1]) == [list(range(10))] * 2


def test_transformed_images_stay_images_and_are_repeatable(conditions):
    settings = dataclasses.replace(conditions["PROFILES"]["paper"], image_size=64)
    data = datasets.fashion_mnist_sample()
    batches = conditions["Batches"](data.x_train[:64], data.y_train[:64], settings, training=True)
    images, again = batches[0][0], batches[0][0]
    assert images.shape == (64, 64, 64, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(images, again)
    batches.epoch = 1
    assert not np.array_equal(images, batches[0][0])


def test_a_transformation_keeps_what_is_in_the_centre(conditions):
    class Nothing:
        """Draws the middle of every range, and never mirrors."""

        def uniform(self, low, high, size=None):
            middle = (np.asarray(low, float) + np.asarray(high, float)) / 2
            return middle if size is None else np.full(size, middle)

        def choice(self, values):
            return max(values)

    image = np.random.default_rng(0).random((32, 32, 3), "float32")
    np.testing.assert_allclose(conditions["transformed"](image, Nothing()), image, atol=1e-6)


@pytest.mark.slow
def test_the_paper_profile_runs_with_tiny_values(notebook, root, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "KGPC_RESULTS", str(tmp_path))
    set_profile(notebook, "paper")
    notebook.cells.insert(index_of(notebook, "settings = PROFILES[PROFILE]") + 1, nbformat.v4.new_code_cell(TINY))
    execute(notebook, root / "notebooks", "02_kmobilenet")
    table = pd.read_csv(tmp_path / "comparison.csv")
    ours = table[table["origin"] == "this run"]
    assert ours["dataset"].tolist() == ["CIFAR-10"] * 4
    assert ours["image_px"].tolist() == [64] * 4 and ours["epochs"].tolist() == [2] * 4
    assert ours["trainable_params"].tolist()[:3] == [3217226, 403018, 244298]
    assert ours["test_acc_pct"].between(0, 100).all() and (ours["train_seconds"] > 0).all()
    published = table[table["origin"] == "published"]
    assert published["test_acc_pct"].tolist() == [93.15, 89.81, 91.27] and published["train_seconds"].isna().all()
