"""`data/fine_tune_larger.py`: the trained network goes on at a larger size, and is stored with its card."""

import numpy as np
import pytest

from kgpc import datasets, included, weight_archives


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("fine_tune_larger")


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (160, 32, 32, 3), dtype="uint8"), np.arange(160) % 10
    return datasets.ImageDataset("made up", images, labels, images[:20], labels[:20], [str(n) for n in range(10)])


def test_images_and_recipe_grow_together(script, data):
    larger = script.enlarged(data)
    assert larger.x_train.shape == (160, 96, 96, 3) and larger.x_test.shape == (20, 96, 96, 3)
    # Cubic, not repeated pixels; the mean colour stays.
    assert (larger.x_train[0, 0, :3] != larger.x_train[0, 0, 0]).any()
    assert abs(float(larger.x_train.mean()) - float(data.x_train.mean())) < 1
    own = script.recipe()
    assert (own.image_size, own.epochs, own.augmentation.shift_pixels) == (97, 3, 12)
    assert own.seed == included.find(script.START).seed


def test_the_network_goes_on_from_the_stored_one_and_is_stored(script, data, tmp_path):
    (tmp_path / "weights").mkdir()
    card = script.fine_tune(data, script.recipe(times=1, epochs=1), tmp_path / "training", tmp_path / "weights")
    assert card == included.read_card(tmp_path / "weights" / f"{script.NAME}.json")
    start = included.find(script.START)
    assert (card.family, card.scheme, card.arguments) == (start.family, start.scheme, start.arguments)
    assert (card.image_size, card.epochs, card.test_images) == ("33x33", 1, 20)
    assert card.recipe["begun with"] == script.START
    before, after = weight_archives.stored_arrays(start), weight_archives.stored_arrays(card)
    assert before.keys() == after.keys()
    # One step of a low rate: other weights, but near those that it began with.
    kernel = next(name for name in before if name.endswith("conv_preds/kernel"))
    change = np.abs(np.float32(after[kernel].read()) - np.float32(before[kernel].read())).max()
    assert 0 < change < 0.5 * np.abs(np.float32(before[kernel].read())).max()
    assert (tmp_path / "training" / script.NAME / "history.csv").is_file()
