"""Every family, and every trained network that comes along, still computes what it computed when it was recorded."""

import json

import numpy as np
import pytest
from recorded_models import MODELS, RECORDED, RECORDED_INCLUDED, included_logits, included_model, logits

from kgpc import datasets, included, training

CARDS = {card.name: card for card in included.cards()}
RIGHT_OF_THE_SAMPLE = 928  # of the 1,000 test images


def test_every_model_is_recorded():
    assert json.loads(RECORDED.read_text(encoding="utf-8")).keys() == MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_recorded_ones(name):
    expected = np.array(json.loads(RECORDED.read_text(encoding="utf-8"))[name])
    # Another activation or another step of interleaving changes them by a tenth of the largest and more.
    np.testing.assert_allclose(logits(name), expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_every_network_that_comes_along_is_recorded():
    assert json.loads(RECORDED_INCLUDED.read_text(encoding="utf-8")).keys() == CARDS.keys()


@pytest.mark.parametrize("name", CARDS)
def test_a_network_that_comes_along_gives_the_recorded_outputs(name):
    expected = np.array(json.loads(RECORDED_INCLUDED.read_text(encoding="utf-8"))[name])
    np.testing.assert_allclose(included_logits(CARDS[name]), expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_the_fashion_network_recognizes_the_images_that_come_along():
    """As many as were right when its weights were stored; another processor may decide two of them otherwise."""
    model = included_model(CARDS["kmobilenet_16ch_fashion_mnist"])
    recipe = training.QUICK.replace(image_size=33, margin="zeros")
    evaluation = training.evaluate(model, datasets.fashion_mnist_sample(), recipe)
    assert evaluation.images == 1000
    assert abs(round(1000 * evaluation.accuracy) - RIGHT_OF_THE_SAMPLE) <= 2
