"""The loss of each step: what an independent computation says, without a transfer after each step, and finite."""

import math

import keras
import numpy as np
import pytest
import training_check
from training_check import small_network

from kgpc import training
from kgpc.training import NonFiniteLoss, training_loop
from kgpc.training.step_losses import StepLosses
from kgpc.training.training_loop import Callbacks

RECIPE = training_check.RECIPE.replace(epochs=2, optimizer="SGD", learning_rate=training.Exponential(0.05))


@pytest.fixture(scope="module")
def data():
    return training_check.small_data()


@pytest.mark.parametrize("changes", [{}, {"label_smoothing": 0.2, "class_weight": "balanced", "batch_size": 9}])
def test_step_losses_are_those_of_single_steps(changes, data):
    recipe = RECIPE.replace(**changes)
    result = training.fit(training.build(small_network, recipe, dropout=0.0), data, recipe, progress=False)
    model = training.build(small_network, recipe, dropout=0.0)
    batches = training.Batches(data.x_train, data.y_train, recipe, indices=training.split(data.y_train, recipe)[0])
    training.set_batch_norm_momentum(model, recipe.batch_norm_momentum)
    kernel = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    model.compile(keras.optimizers.SGD(0.05), kernel)
    expected = []
    for batches.epoch in range(2):
        for number in range(len(batches)):
            images, labels, *weights = batches[number]
            model.reset_metrics()  # Keras 3.8 returns the mean since then
            expected.append(model.train_on_batch(images, np.eye(3, dtype="float32")[labels], *weights))
    assert len(expected) == 2 * (45 // recipe.batch_size)
    np.testing.assert_allclose(result.step_losses, expected, rtol=2e-6)


def test_a_loss_is_kept_as_it_is_however_large_those_before_it_were():
    losses = StepLosses(4)
    for loss in (3e7, 1e-7, 0.0):
        losses.update_state(np.float32(loss), sample_weight=8)
    np.testing.assert_array_equal(losses.fetch(3), np.array([3e7, 1e-7, 0.0], "float32"))
    assert float(losses.result()) == pytest.approx(1e7)
    for _ in range(3):
        losses.update_state(np.float32(2))  # beyond the fourth step: part of the mean only
    assert losses.fetch(4).tolist()[3] == 2.0
    losses.reset_state()
    assert all(not np.any(variable) for variable in losses.variables)


def test_the_network_has_one_metric_for_its_loss(data):
    recipe = RECIPE.replace(epochs=1)
    model = training.build(small_network, recipe)
    training.fit(model, data, recipe, progress=False)
    assert [type(metric).__name__ for metric in model.metrics] == ["StepLosses", "CompileMetrics"]
    assert set(model.evaluate(np.zeros((4, 8, 8, 3)), np.zeros(4), verbose=0, return_dict=True)) == {"loss", "accuracy"}


def test_nothing_is_fetched_after_a_step():
    class OnDevice:
        def __float__(self):
            raise AssertionError("fetched")

    received = []

    class Recording(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            received.append(logs)

    logs = {"loss": OnDevice()}
    Callbacks([Recording()]).on_train_batch_end(0, logs)
    assert received == [logs]


class Rates:
    """A schedule with a rate of its own at one step, counted from 0 over the epochs of five steps."""

    constant_within_epoch = False

    def __init__(self, step, rate):
        self.step, self.other = step, rate

    def rate(self, epochs, total_epochs):
        return self.other if math.floor(epochs * 5) == self.step else 0.001


def fit_with_rates(rates, data, monkeypatch):
    recipe = RECIPE.replace(epochs=3)
    object.__setattr__(recipe, "learning_rate", rates)
    model = training.build(small_network, recipe)
    initial = model.get_weights()
    with pytest.raises(NonFiniteLoss) as error:
        training.fit(model, data, recipe, progress=False)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    return error.value, initial, model.get_weights()


@pytest.mark.parametrize("seconds", [0.0, math.inf])
def test_the_step_is_named_however_rarely_somebody_looks(seconds, data, monkeypatch):
    monkeypatch.setattr(training_loop, "_SECONDS_BETWEEN_LOOKS", seconds)
    error, initial, weights = fit_with_rates(Rates(1, 1e38), data, monkeypatch)
    assert (error.epoch, error.step) == (1, 3) and not math.isfinite(error.loss)
    assert "The network has its initial weights" in str(error)
    for actual, wanted in zip(weights, initial, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_weights_that_are_no_numbers_stop_the_training_before_they_are_kept(data, monkeypatch):
    error, initial, weights = fit_with_rates(Rates(9, 1e39), data, monkeypatch)
    assert (error.epoch, error.step) == (2, 5) and math.isfinite(error.loss)
    assert "A weight is infinite or not a number after step 5 in epoch 2" in str(error)
    assert "The network has the weights of epoch 1, the best so far" in str(error)
    assert not np.array_equal(weights[0], initial[0])


def test_answers_that_are_no_numbers_are_wrong_and_refused(data):
    recipe = RECIPE.replace(epochs=1)
    model = training.build(small_network, recipe)
    model.layers[-1].bias.assign([np.nan, 0, 0])
    data.x_test, data.y_test = data.x_train, data.y_train
    with pytest.raises(ValueError, match="`model` must answer with numbers. Received: .* for 60 of 60 images"):
        training.evaluate(model, data, recipe)
    with pytest.raises(ValueError, match="`model` must have finite weights. Received: .*/bias with 1 that are"):
        training.fit(model, data, recipe)
