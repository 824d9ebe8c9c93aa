"""Narrow groups computed in wider ones: the same convolution and gradients, and the rules that choose the width."""

import numpy as np
import pytest
import tensorflow as tf

from kgpc import layers, wide_groups

SHAPES = [(1, 6, 4), (2, 6, 4), (4, 12, 24), (12, 204, 48), (16, 48, 48), (8, 144, 24), (6, 84, 48), (18, 216, 108)]


def example(groups, channels, filters, dtype="float64"):
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(2, 3, 4, channels)).astype(dtype)
    return tf.constant(inputs), tf.constant(rng.normal(size=(1, 1, channels // groups, filters)).astype(dtype))


def divisors(number):
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wider_kernel_is_the_same_convolution(shape):
    inputs, kernel = example(*shape)
    expected = layers.grouped_matmul(inputs, kernel, shape[0]).numpy()
    for into in divisors(shape[0]):
        wider = wide_groups.widen(kernel, shape[0], into)
        np.testing.assert_allclose(layers.grouped_matmul(inputs, wider, into), expected, atol=1e-11)
        assert np.count_nonzero(wider) == kernel.numpy().size


@pytest.mark.parametrize("shape", SHAPES)
def test_narrow_undoes_widen_and_drops_what_lies_between_groups(shape):
    _, kernel = example(*shape)
    for into in divisors(shape[0]):
        wider = wide_groups.widen(kernel, shape[0], into)
        filled = tf.where(wider == 0, tf.fill(wider.shape, tf.constant(7.0, "float64")), wider)
        np.testing.assert_array_equal(wide_groups.narrow(filled, shape[0], into), kernel)


@pytest.mark.parametrize("convolve", [wide_groups.convolve, wide_groups.convolve_in_training])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_plain_formulation_in_double_precision(shape, convolve):
    inputs, kernel = example(*shape, dtype="float32")

    def run(function, inputs, kernel):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = function(inputs, kernel)
            loss = tf.reduce_sum(tf.sin(outputs))
        return outputs, *tape.gradient(loss, [inputs, kernel])

    def plain(inputs, kernel):
        return layers.grouped_matmul(inputs, kernel, shape[0])

    actual = tf.function(lambda *arguments: run(convolve, *arguments), autograph=False)(inputs, kernel)
    expected = run(plain, tf.cast(inputs, "float64"), tf.cast(kernel, "float64"))
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_gradient_of_a_gradient_can_be_taken():
    inputs, kernel = example(12, 24, 48, dtype="float32")

    def curvature(convolve):
        with tf.GradientTape() as outer:
            outer.watch(kernel)
            with tf.GradientTape() as inner:
                inner.watch(kernel)
                loss = tf.reduce_sum(convolve(inputs, kernel) ** 3)
            slope = tf.reduce_sum(inner.gradient(loss, kernel) ** 2)
        return outer.gradient(slope, kernel)

    expected = curvature(lambda x, k: layers.grouped_matmul(x, k, 12))
    actual = curvature(wide_groups.convolve_in_training)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((12, 204, 48), (3, 12, 12)),  # four filters per group fill half a vector
        ((8, 128, 128), (8, 8, 1)),  # groups of 16 are wide enough, but few weights
        ((32, 512, 512), (32, 32, 32)),
        ((2, 32, 64), (2, 1, 1)),
        ((18, 216, 108), (18, 9, 18)),  # six filters: no multiple of eight divides; twice twelve channels is one
        ((1, 64, 64), (1, 1, 1)),
    ],
)
def test_the_rules(shape, expected):
    rules = (wide_groups.forward, wide_groups.input_gradient, wide_groups.kernel_gradient)
    assert tuple(rule(*shape) for rule in rules) == expected


@pytest.mark.parametrize("groups", range(1, 65))
def test_wider_groups_always_divide(groups):
    for reads in (1, 3, 8, 17):
        for writes in (1, 3, 8, 17):
            shape = (groups, groups * reads, groups * writes)
            for rule in (wide_groups.forward, wide_groups.input_gradient, wide_groups.kernel_gradient):
                assert groups % rule(*shape) == 0
