"""Intervals of accuracies and of their differences: known values, and how often they hold the truth."""

import types

import numpy as np
import pytest

from kgpc import comparison


def outcomes(right, wrong):
    return np.array([True] * right + [False] * wrong)


@pytest.mark.parametrize(
    "right, wrong, low, high",
    [(0, 10, 0.0, 0.2775), (10, 0, 0.7225, 1.0), (90, 10, 0.8256, 0.9448), (1, 1, 0.0945, 0.9055)],
)
def test_the_interval_of_an_accuracy_is_wilsons(right, wrong, low, high):
    interval = comparison.accuracy(outcomes(right, wrong))
    assert interval.value == right / (right + wrong)
    assert interval.low == pytest.approx(low, abs=1e-4) and interval.high == pytest.approx(high, abs=1e-4)


def test_only_images_that_one_network_alone_recognizes_count():
    # 53 images for the one network, 16 for the other, and 931 that say nothing; by hand.
    first = outcomes(53, 16 + 931)
    second = np.roll(outcomes(16, 53 + 931), 53)
    interval = comparison.accuracy_difference(first, second)
    assert interval.value == pytest.approx(0.037)
    center, error = 37 / 1002, np.sqrt(70 / 1002 - (37 / 1002) ** 2) / np.sqrt(1002)
    assert interval.low == pytest.approx(center - 1.96 * error, abs=1e-5)
    assert interval.high == pytest.approx(center + 1.96 * error, abs=1e-5)
    mirrored = comparison.accuracy_difference(second, first)
    assert mirrored.low == pytest.approx(-interval.high) and mirrored.value == pytest.approx(-interval.value)


def test_equal_networks_are_not_told_apart_and_not_called_equal():
    correct = outcomes(80, 20)
    interval = comparison.accuracy_difference(correct, correct)
    assert interval.value == 0 and interval.low < 0 < interval.high and interval.includes_zero


def test_the_intervals_hold_the_truth_in_about_95_of_100_samples():
    generator = np.random.default_rng(0)
    # Both right, only the first, only the second, neither: the second network is two points better.
    shares, held, held_single = [0.70, 0.06, 0.08, 0.16], 0, 0
    for _ in range(2000):
        kind = generator.choice(4, size=200, p=shares)
        first, second = np.isin(kind, (0, 1)), np.isin(kind, (0, 2))
        difference, single = comparison.accuracy_difference(first, second), comparison.accuracy(first)
        held += difference.low <= -0.02 <= difference.high
        held_single += single.low <= 0.76 <= single.high
    # Of 2,000 samples 1,900 are expected, with a standard deviation of 10.
    assert 1860 <= held <= 1950 and 1860 <= held_single <= 1950


def test_a_sentence_says_which_is_better_or_that_it_is_open():
    better = comparison.Interval(0.021, 0.004, 0.038)
    assert comparison.in_words(better, "A", "B") == (
        "A is more accurate than B: +2.1 points, 95% interval +0.4 to +3.8"
    )
    assert comparison.in_words(comparison.Interval(-0.03, -0.05, -0.01), "A", "B").startswith("A is less accurate")
    open_ = comparison.Interval(0.01, -0.01, 0.03)
    assert comparison.in_words(open_, "A", "B").startswith("A and B cannot be told apart on these images: +1.0 points")


def test_the_table_of_runs_has_a_row_for_each_network():
    import keras

    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    evaluation = types.SimpleNamespace(correct=outcomes(90, 10))
    table = comparison.of_runs({"small": model}, {"small": evaluation}, {"small": 1.5})
    assert table.to_dict("records") == [
        {
            "network": "small",
            "trainable parameters": 26,
            "paper flops": 25,
            "accuracy, %": 90.0,
            "95% interval": "82.6 to 94.5",
            "training, s": 1.5,
        }
    ]


@pytest.mark.parametrize("correct", [[0.9, 0.8], np.zeros((2, 2), bool), np.array([], bool)])
def test_what_is_no_outcome_is_refused(correct):
    with pytest.raises(ValueError, match="`correct` must be a bool array"):
        comparison.accuracy(correct)
    with pytest.raises(ValueError, match="`second` must be a bool array"):
        comparison.accuracy_difference(outcomes(1, 1), correct)


def test_outcomes_on_different_images_are_refused():
    with pytest.raises(ValueError, match="Received: 2 and 3 outcomes"):
        comparison.accuracy_difference(outcomes(1, 1), outcomes(1, 2))
