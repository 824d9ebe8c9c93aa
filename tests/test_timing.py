"""The stopwatch: it runs what it is given, in turns, and refuses what it cannot time."""

import numpy as np
import pytest

import kgpc
from kgpc import device_steps, timing


def test_sides_run_in_turns_after_their_warmup():
    calls = []
    medians = timing.in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warmup=1)
    assert calls == ["a", "b"] + ["a", "b"] * 3
    assert list(medians) == ["a", "b"] and all(value >= 0 for value in medians.values())


def test_runs_of_one_round_stand_at_the_same_place(monkeypatch):
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 25.0, 30.0, 32.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    seconds = timing.seconds_in_turns({"a": list, "b": list}, rounds=2, warmup=0)
    monkeypatch.undo()
    assert seconds == {"a": [3, 5], "b": [1, 2]}


def test_a_machine_names_what_times_depend_on():
    machine = timing.machine()
    assert machine["backend"] == "tensorflow" and machine["precision"] == "float32"
    assert machine["kgpc"] == kgpc.__version__ and "cores" in machine["machine"]


def test_steps_train_and_predict():
    model = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=10, alpha=0.25)
    before = model.get_weights()[0].copy()
    step = timing.train_step(model, batch_size=2)
    assert step() > 0
    assert (model.get_weights()[0] != before).any()
    assert timing.predict_step(model, batch_size=2)().shape == (2, 10)


def test_bad_input_is_named():
    open_size = kgpc.applications.kMobileNet(input_shape=(None, None, 3), classes=10, alpha=0.25)
    with pytest.raises(ValueError, match="fixed image size"):
        timing.train_step(open_size, 2)
    with pytest.raises(ValueError, match="`rounds` must be at least 1"):
        timing.in_turns({"a": lambda: None}, rounds=0)
    with pytest.raises(ValueError, match="`steps` must hold at least one entry"):
        timing.in_turns({})


def test_the_fastest_round_sets_the_limits_of_a_machine(monkeypatch):
    readings = [0.0, 3.0, 10.0, 11.0, 20.0, 22.0]  # rounds of 3, 1 and 2 seconds
    clock = iter(2 * readings)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    bandwidth, rate = timing.memory_bandwidth(megabytes=1, rounds=3), timing.matrix_product_rate(size=64, rounds=3)
    monkeypatch.undo()
    assert bandwidth == 2 * 2**20 and rate == 2 * 64**3


def test_the_two_limits_of_a_machine_are_positive_rates():
    assert timing.memory_bandwidth(megabytes=1, rounds=1) > 0
    assert timing.matrix_product_rate(size=64, rounds=1) > 0
    with pytest.raises(ValueError, match="`megabytes` must be at least 1"):
        timing.memory_bandwidth(megabytes=0)
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        timing.matrix_product_rate(size=0)
    for function, name in ((timing.cache_bandwidth, "kilobytes"), (timing.narrow_product_rate, "channels")):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
            function(**{name: 0})
        with pytest.raises(ValueError, match="`passes` must be at most 1000000"):
            function(passes=10**7)


def test_the_rates_of_the_cache_and_of_narrow_products_count_every_pass(monkeypatch):
    clock = iter(2 * [0.0, 2.0, 10.0, 11.0])  # rounds of 2 and 1 seconds
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    cache = timing.cache_bandwidth(kilobytes=4, rounds=2, passes=5)
    narrow = timing.narrow_product_rate(channels=8, rows=16, rounds=2, passes=5)
    monkeypatch.undo()
    assert cache == 2 * 4 * 2**10 * 5 and narrow == 2 * 16 * 8**2 * 5


def test_a_timed_layer_computes_outputs_and_gradients():
    layer = kgpc.layers.GroupedPointwiseConv2D(6, 2, use_bias=False)
    images = np.random.default_rng(0).random((2, 3, 3, 4), dtype="float32")
    steps = device_steps.layer_steps(layer, images, training=True)
    kernel = layer.get_weights()[0][0, 0]
    # What comes back is ones, so a gradient is a sum of weights, or of inputs over all pixels.
    expected = [images[0, 0, 0, :2] @ kernel[:, 0], kernel[0, :3].sum(), images[..., 0].sum()]
    np.testing.assert_allclose(steps["forward + backward"](), expected, rtol=1e-5)
    np.testing.assert_allclose(steps["forward"](), expected[:1], rtol=1e-5)
