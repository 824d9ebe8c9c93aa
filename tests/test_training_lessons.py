"""What a page trains with: the demonstration in the quick profile, the published recipe in the paper profile."""

import numpy as np
import pytest

from kgpc import datasets, training


@pytest.fixture
def published(monkeypatch):
    """A published recipe; and a data set of its name that need not be fetched."""

    def load(name):
        images = np.zeros((40, 32, 32, 3), np.uint8)
        return datasets.ImageDataset(
            name, images, np.repeat(np.arange(10), 4), images[:9], np.arange(9), tuple("abcdefghij")
        )

    monkeypatch.setattr(datasets, "load", load)
    return training.recipe("CIFAR-10", "JP36B12").replace(
        validation_fraction=0.25, validation_split="first of each class"
    )


def test_the_quick_profile_takes_the_sample_and_the_demonstration(published, capsys):
    data, recipe, budget = training.lesson("quick", "cifar 10", published)
    assert data.name == "Fashion-MNIST sample" and recipe == training.DEMONSTRATION
    assert budget == "Fashion-MNIST sample, 32×32 pixels, 4 epochs"
    assert capsys.readouterr().out == (
        f'Profile "quick": {budget}.\n640 images to train on, 300 for validation, 1,000 for the test.\n'
    )
    other = training.DEMONSTRATION.replace(epochs=6)
    assert training.lesson("quick", "CIFAR-10", published, other).recipe is other


def test_the_paper_profile_takes_the_published_recipe(published, capsys):
    lesson = training.lesson("paper", "CIFAR-10", published)
    assert lesson.recipe is published and lesson.budget == "CIFAR-10, 224×224 pixels, 50 epochs"
    assert "30 images to train on, 10 for validation, 9 for the test." in capsys.readouterr().out


def test_a_demonstration_chooses_no_epoch_and_decides_nothing():
    assert training.DEMONSTRATION.monitor == "last" and training.DEMONSTRATION.train_images < 1000


@pytest.mark.parametrize("bad", ["Paper", "", None, 1, True])
def test_another_profile_is_refused(published, bad):
    with pytest.raises(ValueError, match='`profile` must be "quick" or "paper"'):
        training.lesson(bad, "CIFAR-10", published)
    with pytest.raises(ValueError, match='`profile` must be "quick" or "paper"'):
        training.check_profile(bad)


def test_another_data_set_is_refused_in_the_quick_profile_too(published):
    with pytest.raises(ValueError, match="`dataset` must be one of 'CIFAR-10'"):
        training.lesson("quick", "CIFAR-11", published)
