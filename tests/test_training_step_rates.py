"""Learning rates that the compiled step looks up: those of the schedule, after a restart, a save and a load too."""

import keras
import numpy as np
import pytest

from kgpc.training import OneCycle
from kgpc.training.step_rates import StepRates


def test_each_step_has_the_rate_of_its_middle():
    schedule = OneCycle(peak=0.01, warmup_fraction=0.3)
    rates = StepRates(schedule, epochs=3, steps=4)
    expected = [schedule.rate((number + 0.5) / 4, 3) for number in range(12)]
    np.testing.assert_array_equal([float(rates(number)) for number in range(12)], np.float32(expected))
    assert float(rates(12)) == float(rates(10**6)) == np.float32(expected[-1])


def test_an_optimizer_uses_them_by_its_own_count():
    rates = StepRates(OneCycle(peak=0.5), epochs=2, steps=3)
    optimizer, weight = keras.optimizers.SGD(rates), keras.Variable(np.zeros(1, np.float32))
    values = [0.0]
    for _ in range(6):
        optimizer.apply([keras.ops.ones(1)], [weight])
        values.append(float(weight.numpy()[0] if hasattr(weight, "numpy") else weight[0]))
    np.testing.assert_allclose(-np.diff(values), rates.rates, rtol=1e-5)


def test_a_saved_network_loads_with_them(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(StepRates(OneCycle(peak=0.5), epochs=2, steps=3)), "mse")
    model.fit(np.ones((6, 2)), np.ones(6), batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (
        float(loaded.optimizer.learning_rate)
        == float(model.optimizer.learning_rate)
        == np.float32(0.5 * (1 + np.cos(np.pi * (3.5 / 6 - 0.2) / 0.8)) / 2)
    )


@pytest.mark.parametrize("argument", ["epochs", "steps"])
@pytest.mark.parametrize("value", [0, 1.5, "2", True])
def test_numbers_are_checked(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"`{argument}`"):
        StepRates(OneCycle(), **{"epochs": 2, "steps": 3, argument: value})
