"""The layers against plain computations, their gradients, serialization, precision and bad input."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgpc import layers, merging
from kgpc.grouping import interleaved_order


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(3, 5, 4, 12)).astype("float32")


def grouped_products(x, kernel, groups):
    """Grouped pointwise convolution as separate matrix products, in float64."""
    x, kernel = x.astype("float64"), kernel[0, 0].astype("float64")
    size, out = x.shape[-1] // groups, kernel.shape[-1] // groups
    parts = [x[..., size * g : size * (g + 1)] @ kernel[:, out * g : out * (g + 1)] for g in range(groups)]
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("groups, filters", [(1, 5), (2, 6), (3, 3), (4, 8), (12, 24)])
def test_grouped_pointwise_convolution_is_parallel_matrix_products(images, groups, filters):
    layer = layers.GroupedPointwiseConv2D(filters, groups, bias_initializer="uniform")
    actual = keras.ops.convert_to_numpy(layer(images))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (1, 1, 12 // groups, filters)
    np.testing.assert_allclose(actual, grouped_products(images, kernel, groups) + bias, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
def test_both_computations_agree_in_value_and_gradient(images, groups):
    """The one TensorFlow runs and the one of the other backends, the latter also in float64."""
    layer = layers.GroupedPointwiseConv2D(6, groups, use_bias=False)
    layer.build(images.shape)
    kernel = layer.get_weights()[0]

    def run(function, dtype):
        x, k = tf.constant(images, dtype), tf.constant(kernel, dtype)
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            y = function(x, k)
            loss = tf.reduce_sum(tf.sin(y))
        return [value.numpy() for value in (y, *tape.gradient(loss, [x, k]))]

    plain = run(lambda x, k: layers.grouped_matmul(x, k, groups), "float64")
    for function, dtype in (
        (lambda x, k: layer.convolve(x, k, None), "float32"),
        (lambda x, k: layer.convolve(x, k, None, training=True), "float32"),
        (lambda x, k: layers.grouped_matmul(x, k, groups), "float32"),
    ):
        for actual, expected in zip(run(function, dtype), plain, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-5)


def test_grouped_pointwise_convolution_has_the_weights_of_conv2d(images):
    reference = keras.layers.Conv2D(8, 1, groups=4)
    expected = keras.ops.convert_to_numpy(reference(images))
    layer = layers.GroupedPointwiseConv2D(8, groups=4)
    layer.build(images.shape)
    layer.set_weights(reference.get_weights())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(images)), expected, atol=1e-6)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 12])
def test_interleaving_takes_channels_in_order(images, step):
    actual = keras.ops.convert_to_numpy(layers.InterleaveChannels(step)(images))
    np.testing.assert_array_equal(actual, images[..., interleaved_order(12, step)])


@pytest.mark.parametrize("channels, start", [(12, 0), (5, 0), (2, 1), (15, 0), (30, 0), (14, 11)])
def test_copying_starts_over_at_the_first_channel(images, channels, start):
    actual = keras.ops.convert_to_numpy(layers.CopyChannels(channels, start=start)(images))
    np.testing.assert_array_equal(actual, images[..., [(start + i) % 12 for i in range(channels)]])


@pytest.mark.parametrize("scale, center", [(True, True), (False, True), (True, False)])
def test_batch_normalization_agrees_with_keras(images, scale, center):
    """Outputs, gradients and moving statistics in training, then outputs and gradients in inference."""
    results = []
    for cls in (layers.BatchNormalization, keras.layers.BatchNormalization):
        layer = cls(scale=scale, center=center, momentum=0.7, epsilon=1e-3)
        layer.build(images.shape)
        rng = np.random.default_rng(1)
        for weight in layer.trainable_weights:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        values = []
        for training in (True, True, False):
            x = tf.constant(images * 2 + 3)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=training)
                loss = tf.reduce_sum(tf.sin(y))
            values += [y, *tape.gradient(loss, [x, *[weight.value for weight in layer.trainable_weights]])]
        values += [layer.moving_mean.value, layer.moving_variance.value]
        results.append([np.asarray(value) for value in values])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=2e-5)


def test_frozen_batch_normalization_keeps_its_statistics(images):
    layer = layers.BatchNormalization()
    layer.build(images.shape)
    layer.trainable = False
    layer(images, training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)


def test_batch_normalization_on_vectors_falls_back_to_keras():
    x = np.random.default_rng(2).normal(size=(8, 5)).astype("float32")
    fused, plain = layers.BatchNormalization(), keras.layers.BatchNormalization()
    np.testing.assert_allclose(fused(x, training=True).numpy(), plain(x, training=True).numpy(), atol=1e-6)


def all_layers_model():
    inputs = keras.Input((4, 4, 8))
    x = layers.GroupedPointwiseConv2D(12, 4, kernel_regularizer="l2", name="grouped")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.InterleaveChannels(3, name="interleave")(x)
    return keras.Model(inputs, layers.CopyChannels(5, start=10, name="copy")(x))


def test_layers_survive_saving_in_safe_mode(tmp_path):
    model = all_layers_model()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = np.random.default_rng(3).normal(size=(2, 4, 4, 8)).astype("float32")
    np.testing.assert_array_equal(model(x).numpy(), again(x).numpy())
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    for layer, loaded in zip(model.layers[1:], again.layers[1:], strict=True):
        # Through JSON, which has no tuples.
        assert json.loads(json.dumps(layer.get_config())) == json.loads(json.dumps(loaded.get_config()))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_layers_keep_the_precision_they_are_given(policy):
    with keras.device("cpu:0"):
        previous = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = all_layers_model()
        finally:
            keras.config.set_dtype_policy(previous)
    x = np.random.default_rng(4).normal(size=(2, 4, 4, 8)).astype("float32")
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32"))
    assert y.dtype == keras.dtype_policies.get(policy).compute_dtype
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(np.isfinite(gradient.numpy().astype("float64")).all() for gradient in gradients)
    assert model.get_layer("grouped").kernel.dtype == keras.dtype_policies.get(policy).variable_dtype


@pytest.mark.skipif(not hasattr(keras.layers.BatchNormalization(), "renorm"), reason="this Keras has no renorm")
def test_renormalization_is_that_of_keras(images):
    ours, theirs = (
        cls(renorm=True, momentum=0.5) for cls in (layers.BatchNormalization, keras.layers.BatchNormalization)
    )
    for _ in range(2):
        np.testing.assert_allclose(ours(images, training=True), theirs(images, training=True), atol=1e-5)


@pytest.fixture
def channels_first():
    """Makes the other layout the global one when it is called, and takes it back after the test."""
    yield lambda: keras.config.set_image_data_format("channels_first")
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("training", [False, True])
def test_layers_keep_the_layout_they_were_built_with(images, channels_first, training):
    """Whatever the global setting says when they are called, loaded or rewritten."""
    x = inputs = keras.Input((5, 4, 12))
    x = layers.BatchNormalization(merge=True)(x)
    x = layers.GroupedPointwiseConv2D(12, 4)(x)
    x = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(((1, 1), (1, 2)))(x))
    x = layers.DepthwiseConv2D(5, padding="same")(layers.Activation("swish")(x))
    x = layers.GroupedPointwiseConv2D(6, 2)(layers.CopyChannels(18)(layers.InterleaveChannels(3)(x)))
    model = keras.Model(inputs, x)
    for network in (model, merging.training_twin(model)):
        expected = network(images, training=training)
        channels_first()
        compiled = tf.function(lambda x, network=network: network(x, training=training), autograph=False)
        for actual in (network(images, training=training), compiled(images)):
            np.testing.assert_allclose(actual, expected, atol=1e-5)
        keras.config.set_image_data_format("channels_last")


def test_files_of_earlier_versions_load(tmp_path, images):
    """Their zero padding is a layer of ours, and normalizations know whether they are merged."""
    inputs = keras.Input((5, 4, 12))
    x = layers.BatchNormalization(merge=True, name="merged")(inputs)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(layers.BatchNormalization(name="plain")(x))
    model = keras.Model(inputs, layers.DepthwiseConv2D(3, strides=2)(x))
    configuration = model.get_layer("pad").get_config()
    assert keras.saving.get_registered_name(layers.ZeroPadding2D) == "kgpc>ZeroPadding2D"
    assert configuration == keras.layers.ZeroPadding2D.from_config(configuration).get_config()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(images), model(images))
    assert again.get_layer("merged").merge
    assert "merge" not in again.get_layer("plain").get_config()


def test_integers_of_numpy_are_integers(images):
    three, two = np.int64(3), np.int32(2)
    for make in (
        lambda three, two: layers.GroupedPointwiseConv2D(6 * two, three),
        lambda three, two: layers.DepthwiseConv2D(three, strides=two, depth_multiplier=two),
        lambda three, two: layers.DepthwiseConv2D((three, two)),
        lambda three, two: layers.CopyChannels(three, start=two),
        lambda three, two: layers.InterleaveChannels(three),
        lambda three, two: layers.BatchNormalization(axis=three, scale=three == 3, merge=two == 2),
    ):
        ours, theirs = make(three, two), make(3, 2)
        shape = tuple(ours(images).shape)
        assert shape == tuple(theirs(images).shape)
        configs = [{**layer.get_config(), "name": None} for layer in (ours, theirs)]
        assert json.loads(json.dumps(configs[0])) == json.loads(json.dumps(configs[1]))


NUMBERS = [np.nan, -1, np.inf, "0.5", None, True]
# Layer, arguments that are right, name and values that are not.
WRONG = [
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "filters", [0, -1, 2.0, "8", None, True, np.nan]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "groups", [0, -1, 2.0, "2", None, True]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "use_bias", ["no", 0, 2, None]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "data_format", ["channels_first", "last", 5, np.zeros(2)]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "kernel_initializer", ["ones_and_zeros", 5, np.nan]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "bias_regularizer", ["l3", 5]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "kernel_constraint", ["small", 5]),
    (layers.GroupedPointwiseConv2D, {"filters": 8}, "activity_regularizer", ["l3", 5]),
    (layers.InterleaveChannels, {}, "step", [0, -2, 1.5, "2", None, True]),
    (layers.CopyChannels, {}, "channels", [0, -3, 1.5, "2", None, True]),
    (layers.CopyChannels, {"channels": 3}, "start", [-1, 0.0, "", None, False]),
    (layers.DepthwiseConv2D, {}, "kernel_size", [0, -1, 2.5, "3", None, True, (3, 3, 3), (3, 0), (2.5, 3), ()]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "strides", [0, 1.5, "2", None, True, (1,)]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "dilation_rate", [0, 1.5, None]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "padding", ["full", None, 1, "causal"]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "depth_multiplier", [0, 1.5, "2", None, True]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "data_format", ["last", 5, np.zeros(2)]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "activation", ["swosh", 5]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "use_bias", ["yes", 1, None]),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, "depthwise_initializer", ["ones_and_zeros"]),
    (layers.BatchNormalization, {}, "momentum", [*NUMBERS, 1.5]),
    (layers.BatchNormalization, {}, "epsilon", [*NUMBERS, 0]),
    (layers.BatchNormalization, {}, "axis", [1.5, "3", None, True]),
    (layers.BatchNormalization, {}, "merge", ["no", 1, None]),
    (layers.BatchNormalization, {}, "scale", ["no", 1, None]),
    (layers.BatchNormalization, {}, "center", ["no", 1]),
    (layers.BatchNormalization, {}, "gamma_initializer", ["ones_and_zeros"]),
    (layers.Activation, {}, "activation", ["swosh", 5, np.nan]),
]


@pytest.mark.parametrize(
    "shape, kernel, groups, error, message",
    [
        ((2, 3, 3, 12), (1, 1, 4, 6), 3.0, TypeError, "`groups` must be an integer"),
        ((2, 3, 3, 12), (1, 1, 4, 6), 0, ValueError, "`groups` must be at least 1"),
        ((2, 3, 3, 12), (1, 1, 4, 6), 4, ValueError, "`groups` must divide the channels.*groups=4"),
        ((2, 3, 3, 12), (1, 1, 4, 7), 3, ValueError, "`groups` must divide the channels.*groups=3"),
        ((2, 3, 12), (1, 1, 4, 6), 3, ValueError, r"`inputs` must be .*\(2, 3, 12\)"),
        ((2, 3, 3, 12), (3, 3, 4, 6), 3, ValueError, r"`kernel` \(1, 1, .*\(3, 3, 4, 6\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shape, kernel, groups, error, message):
    with pytest.raises(error, match=message):
        layers.grouped_matmul(np.zeros(shape, "float32"), np.zeros(kernel, "float32"), groups)


@pytest.mark.parametrize(
    "make, right, name, value", [(make, right, name, value) for make, right, name, values in WRONG for value in values]
)
def test_a_wrong_argument_is_named_with_its_value(make, right, name, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**{**right, name: value})
    message = str(caught.value)
    assert message.startswith(f"`{name}` ") and f"{name}={value!r}" in message, message


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: layers.GroupedPointwiseConv2D(0), ValueError, "`filters` must be at least 1"),
        (lambda: layers.GroupedPointwiseConv2D(8, 0), ValueError, "`groups` must be at least 1"),
        (lambda: layers.GroupedPointwiseConv2D(8, 2.0), TypeError, "`groups` must be an integer"),
        (lambda: layers.GroupedPointwiseConv2D(8, 3), ValueError, "`filters` must be a multiple of `groups`"),
        (lambda: layers.GroupedPointwiseConv2D(8, data_format="channels_first"), ValueError, "`data_format` must be"),
        (lambda: layers.InterleaveChannels(0), ValueError, "`step` must be at least 1"),
        (lambda: layers.CopyChannels(-3), ValueError, "`channels` must be at least 1"),
        (lambda: layers.CopyChannels(3, start=-1), ValueError, "`start` must be at least"),
        (
            lambda: layers.GroupedPointwiseConv2D(9, 3, name="g").build((None, 2, 2, 8)),
            ValueError,
            "`groups` of `g` must divide",
        ),
        (lambda: layers.GroupedPointwiseConv2D(8)(np.zeros((2, 8))), ValueError, r"must have rank 4"),
        (lambda: layers.InterleaveChannels(2).build((None, 4, 4, None)), ValueError, "number of input channels"),
        (lambda: layers.CopyChannels(2, start=8).build((None, 4, 4, 8)), ValueError, "must be smaller than the 8"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
