"""Differences of networks over seeds, against plain formulations of the same statistics."""

import math

import numpy as np
import pandas as pd
import pytest

from kgpc import seeds

NETWORKS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def accuracies():
    generator = np.random.default_rng(3)
    values = 0.7 + 0.05 * np.arange(4) + 0.01 * generator.normal(size=(5, 1)) + 0.004 * generator.normal(size=(5, 4))
    return pd.DataFrame(values, index=range(1, 6), columns=NETWORKS)


# Tables of Student's distribution, two-sided 95% and others.
@pytest.mark.parametrize(
    ("degrees", "probability", "quantile"),
    [(1, 0.975, 12.7062), (2, 0.975, 4.3027), (4, 0.975, 2.7764), (6, 0.99, 3.1427), (9, 0.95, 1.8331), (30, 0.5, 0)],
)
def test_quantiles_of_student(degrees, probability, quantile):
    assert seeds.student_quantile(degrees, probability) == pytest.approx(quantile, abs=5e-5)


def test_the_two_way_analysis_is_that_of_a_linear_model(accuracies):
    # The same model as least squares: an intercept, an indicator for each further network and each further seed.
    values = accuracies.to_numpy().ravel()
    seed, network = (index.ravel() for index in np.indices(accuracies.shape))
    columns = [np.ones(20), *(network == n for n in (1, 2, 3)), *(seed == s for s in (1, 2, 3, 4))]
    design = np.column_stack(columns).astype(float)
    estimate, (squares,), _, _ = np.linalg.lstsq(design, values, rcond=None)
    degrees = 20 - design.shape[1]
    error = math.sqrt(squares / degrees * np.linalg.inv(design.T @ design)[1, 1])
    table = seeds.contrasts(accuracies, [("b", "a"), ("c", "a"), ("d", "a")])
    row = table.iloc[0]
    assert (row["degrees"], row["seeds"]) == (degrees, 5)
    assert row["difference"] == pytest.approx(estimate[1])
    # Bonferroni over three pairs: 95% become 98.3%, for which tables of Student's distribution give 2.7795.
    assert (row["high"] - row["low"]) / 2 == pytest.approx(2.7795 * error, rel=1e-4)


def test_with_two_networks_the_interval_is_the_paired_one(accuracies):
    row = seeds.contrasts(accuracies[["a", "b"]], [("b", "a")]).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((row["paired_low"], row["paired_high"]))
    differences = accuracies["b"] - accuracies["a"]
    half = 2.7764 * differences.std(ddof=1) / math.sqrt(5)
    assert (row["paired_high"] - row["paired_low"]) / 2 == pytest.approx(half, rel=1e-4)


def test_a_shift_of_a_seed_changes_no_difference(accuracies):
    shifted = accuracies.add([0.1, -0.2, 0, 0.05, 0.3], axis=0)
    pairs = [("b", "a"), ("d", "c")]
    pd.testing.assert_frame_equal(seeds.contrasts(accuracies, pairs), seeds.contrasts(shifted, pairs))


def test_incomplete_seeds_are_left_out(accuracies):
    lacking = accuracies.copy()
    lacking.loc[2, "c"] = math.nan
    pd.testing.assert_frame_equal(
        seeds.contrasts(lacking, [("b", "a")]), seeds.contrasts(accuracies.drop(index=2), [("b", "a")])
    )


def test_one_seed_has_no_interval(accuracies):
    row = seeds.contrasts(accuracies.iloc[:1], [("b", "a")]).iloc[0]
    assert row["difference"] == pytest.approx(accuracies["b"].iloc[0] - accuracies["a"].iloc[0])
    assert all(math.isnan(row[name]) for name in ("low", "high", "paired_low", "paired_high"))
    assert seeds.sign_in_a_word(row["low"], row["high"]) == "undecided"
    assert seeds.margin_in_a_word(row["low"], row["high"], 0.01) == "undecided"
    assert all(map(math.isnan, seeds.mean_interval([])))


def test_the_bootstrap_has_the_spread_of_images_and_seeds():
    generator = np.random.default_rng(5)
    # Ten seeds whose difference has a standard deviation of 3 points, 2000 images.
    gain = 0.1 + 0.03 * generator.normal(size=(10, 1))
    first = generator.random((10, 2000)) < 0.6 + gain
    second = generator.random((10, 2000)) < 0.6
    low, high = seeds.bootstrap(first, second)
    differences = first.mean(axis=1) - second.mean(axis=1)
    # The variance of such a draw is known: that of the seeds, that of the images, and what depends on both.
    gains = first.astype(float) - second
    of_seeds, of_images = gains.mean(axis=1, keepdims=True), gains.mean(axis=0, keepdims=True)
    rest = gains - of_seeds - of_images + gains.mean()
    variance = of_seeds.var() / 10 + of_images.var() / 2000 + rest.var() / 20_000
    assert low < differences.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.06)
    assert seeds.bootstrap(first, second) == (low, high)
    same = np.repeat(first[:1], 3, axis=0)
    # Equal seeds leave the images alone: the normal interval of a paired difference.
    other = np.repeat(second[:1], 3, axis=0)
    low, high = seeds.bootstrap(same, other)
    spread = (same[0].astype(float) - other[0]).std() / math.sqrt(2000)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


@pytest.mark.parametrize(
    ("low", "high", "sign", "margin"),
    [
        (0.2, 0.9, "positive", "holds"),
        (-0.9, 0.5, "undecided", "holds"),
        (-0.9, -0.1, "negative", "holds"),
        (-1.4, 0.5, "undecided", "undecided"),
        (-3.0, -1.2, "negative", "fails"),
        (-1.0, 0.0, "undecided", "undecided"),
    ],
)
def test_words_for_an_interval(low, high, sign, margin):
    assert seeds.sign_in_a_word(low, high) == sign
    assert seeds.margin_in_a_word(low, high, 1.0) == margin


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: seeds.contrasts([1], [("a", "b")]), "`accuracies` must be a pandas.DataFrame"),
        (lambda t: seeds.contrasts(t, [("a", "x")]), "`pairs` must name two of a, b, c, d"),
        (lambda t: seeds.contrasts(t, []), "`pairs` must name"),
        (lambda t: seeds.contrasts(t, [("a", "b")], confidence=95), "`confidence` must be in"),
        (lambda t: seeds.mean_interval([1.0, math.nan]), "`values` must be finite"),
        (lambda t: seeds.mean_interval(["1"]), "`values` must be a sequence of numbers"),
        (lambda t: seeds.student_quantile(0), "`degrees` must be at least 1"),
        (lambda t: seeds.student_quantile(3, 1.0), "`probability` must be in"),
        (lambda t: seeds.bootstrap(np.ones((2, 3)), np.ones((2, 3))), "`first` must be a bool array"),
        (lambda t: seeds.bootstrap(np.ones((2, 3), bool), np.ones((2, 4), bool)), "must have the same shape"),
        (lambda t: seeds.bootstrap(np.ones((2, 3), bool), np.ones((2, 3), bool), draws=5), "`draws` must be"),
        (lambda t: seeds.margin_in_a_word(0, 1, 0), "`margin` must be greater than 0"),
        (lambda t: seeds.margin_in_a_word(0, 1, "1"), "`margin` must be a number"),
    ],
)
def test_bad_input_is_refused(call, message, accuracies):
    with pytest.raises((TypeError, ValueError), match=message):
        call(accuracies)
