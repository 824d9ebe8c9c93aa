"""Weights carried over from a trained network: exact where the original's kernels have the groups, close elsewhere."""

import keras
import numpy as np
import pytest
from carried_networks import NETWORKS, carried
from keras import layers

import kgpc
from kgpc import D6, D6v3, conversion
from kgpc.conversion import warm
from kgpc.conversion.fitting import normalize

SCHEME = D6(4)


def settle(model, channels=3):
    """Gives all weights values as training leaves them, and normalizations the statistics of their input."""
    generator, x = np.random.default_rng(0), images(128, channels=channels)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
        elif layer.weights and not layer._layers:
            layer.set_weights([generator.normal(0, 0.5, weight.shape) for weight in layer.weights])
    restate(model, x)
    return model


def restate(model, x):
    """Gives normalizations the statistics of their input for these images."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            values = keras.ops.convert_to_numpy(keras.Model(model.input, layer.input)(x, training=False))
            normalize(layer, values.reshape(-1, values.shape[-1]))


def images(count=64, size=6, channels=3, seed=1):
    return np.random.default_rng(seed).normal(size=(count, size, size, channels)).astype("float32")


def network(first=16, second=16, activation="relu", **options):
    """Two pointwise convolutions with a depthwise one between."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.Conv2D(first, 1, use_bias=False, name="one")(x)
    x = layers.BatchNormalization(name="one_bn")(x)
    x = layers.Activation(activation, name="one_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    x = layers.Activation("relu", name="depthwise_relu")(x)
    x = layers.Conv2D(second, 1, use_bias=False, name="two", **options)(x)
    x = layers.BatchNormalization(name="two_bn")(x)
    x = layers.Activation(activation, name="two_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return settle(keras.Model(inputs, layers.Dense(5, activation="softmax", name="classes")(x), name="network"))


def masked(layer, groups, interleaved=False, order=None):
    """Zeroes the connections that a grouped convolution does not have."""
    kernel, *bias = layer.get_weights()
    channels, filters = kernel.shape[-2:]
    inputs, outputs = np.arange(channels) // (channels // groups), np.arange(filters) // (filters // groups)
    if interleaved:
        outputs = np.arange(filters) % groups
    if order is not None:
        inputs = inputs[order]
    kernel = kernel * (inputs[:, None] == outputs)
    layer.set_weights([kernel, *bias])


def test_kernels_that_have_the_groups_come_over_as_they_are():
    # With more filters than channels there is no second convolution, and the result is interleaved.
    original = network(first=16, second=32)
    masked(original.get_layer("one"), 2, interleaved=True)
    masked(original.get_layer("two"), 4, interleaved=True)
    restate(original, images())
    converted = kgpc.convert(original, SCHEME)
    report = conversion.warm_start(converted, original, images(), steps=0, permute=False)
    assert list(report["layer"]) == ["one", "two"] and list(report["groups"]) == [2, 4]
    assert report["error"].max() < 1e-3
    x = images(8, seed=2)
    np.testing.assert_allclose(converted.predict(x, verbose=0), original.predict(x, verbose=0), atol=2e-3)


def test_groups_hidden_in_another_order_are_found():
    original = network(first=16, second=32)
    masked(original.get_layer("one"), 2, interleaved=True)
    shuffled = np.random.default_rng(5).permutation(16)
    masked(original.get_layer("two"), 4, interleaved=True, order=shuffled)
    restate(original, images())
    errors = {}
    for permute in (False, True):
        converted = kgpc.convert(original, SCHEME, layers="two")
        report = conversion.warm_start(converted, original, images(), steps=0, permute=permute)
        errors[permute] = report["error"].item()
    assert errors[True] < 1e-3 < 0.1 < errors[False]


@pytest.mark.parametrize("scheme", [SCHEME, D6v3(3)], ids=str)
def test_a_converted_network_computes_nearly_what_the_original_does(scheme):
    original = network(activation="silu")
    before = original.get_weights()
    converted = kgpc.convert(original, scheme)
    x = images(8, seed=2)
    expected = original.predict(x, verbose=0)
    random = np.abs(converted.predict(x, verbose=0) - expected).mean()
    report = conversion.warm_start(converted, original, images(), steps=40)
    after = np.abs(converted.predict(x, verbose=0) - expected).mean()
    assert after < random
    assert (report["error"] < 1).all() and report["error"].mean() <= report["error_least_squares"].mean() + 0.05
    for old, new in zip(before, original.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_that_both_have_get_the_weights_and_the_statistics_of_the_sample():
    original = network()
    converted = kgpc.convert(original, SCHEME)
    for layer in converted.layers:
        layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    x = images()
    conversion.warm_start(converted, original, x, steps=0, permute=False)
    for name in ("stem", "depthwise", "classes"):
        for mine, other in zip(
            converted.get_layer(name).get_weights(), original.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, other)
    layer = converted.get_layer("depthwise_bn")
    values = keras.Model(converted.input, layer.input).predict(x, verbose=0).reshape(-1, 16)
    np.testing.assert_allclose(layer.moving_mean, values.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, values.var(axis=0), rtol=1e-3)
    np.testing.assert_array_equal(layer.gamma, original.get_layer("depthwise_bn").gamma)


def test_reordered_channels_change_no_output():
    # Nothing is grouped between them: the network must compute what it did, in whatever order.
    original = network(first=16, second=32)
    converted = kgpc.convert(original, SCHEME, layers="two")
    conversion.warm_start(converted, original, images(), steps=0, permute=True)
    features = [keras.Model(model.input, model.get_layer("depthwise_relu").output) for model in (converted, original)]
    mine, other = (model.predict(images(8), verbose=0).reshape(-1, 16) for model in features)
    assert sorted(map(tuple, mine.T.round(2))) == sorted(map(tuple, other.T.round(2)))


def other_forms():
    """Networks with a unit of another form each, whose kernel has the groups of D6(4) already."""
    inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(16, 1, strides=2, activation="relu", name="unit")(inputs)
    yield "strides, bias and own activation", keras.Model(inputs, layers.Flatten()(x))
    x = layers.Conv2D(16, 1, name="unit")(inputs)
    x = layers.BatchNormalization(name="bn")(layers.ReLU(name="relu")(x))
    yield "normalization behind the activation", keras.Model(inputs, layers.Flatten()(x))
    x = layers.SeparableConv2D(16, 3, use_bias=False, name="unit")(inputs)
    x = layers.BatchNormalization(scale=True, name="bn")(x)
    yield "separable", keras.Model(inputs, layers.Flatten()(x))
    x = layers.Dense(16, name="unit")(layers.Reshape((36, 8))(inputs))
    yield "dense on positions", keras.Model(inputs, layers.Flatten()(x))
    inner = keras.Sequential([keras.Input((6, 6, 8)), layers.Conv2D(16, 1, name="unit")], name="inner")
    yield (
        "nested and called twice",
        keras.Model(inputs, layers.Concatenate()([inner(inputs), inner(layers.ReLU()(inputs))])),
    )


@pytest.mark.parametrize("name, original", other_forms(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_form_of_a_unit_is_fitted(name, original):
    settle(original, channels=8)
    unit = next(layer for layer in original._flatten_layers() if layer.name == "unit")
    weights = unit.get_weights()
    place = 1 if name == "separable" else 0
    kernel = weights[place]
    weights[place] = kernel * (np.arange(8)[:, None] // 4 == np.arange(16) % 2)
    unit.set_weights(weights)
    restate(original, images(channels=8))
    converted = kgpc.convert(original, SCHEME, classifier=True)
    x = images(64, channels=8)
    report = conversion.warm_start(converted, original, x, steps=0)
    assert report["layer"].tolist() == [("inner/" if "nested" in name else "") + "unit"]
    np.testing.assert_allclose(converted.predict(x, verbose=0), original.predict(x, verbose=0), atol=0.02)


@pytest.mark.parametrize("name", NETWORKS)
def test_additions_products_and_concatenations_of_channels_come_over(name):
    random, carried_over = carried(name, steps=0)
    assert carried_over < 0.6 * random and carried_over < 1


def joined(kind):
    """Networks in which the steps of a sub-network are hard to tell from others."""
    inputs = keras.Input((6, 6, 8))
    unit = layers.Conv2D(16, 1, activation="relu", name="unit")
    if kind == "called side by side":
        other = layers.ReLU(name="other")(inputs)
        x = layers.Add(name="sum")([unit(inputs), unit(other)])
    elif kind == "called on its own output":
        unit = layers.Conv2D(8, 1, activation="relu", name="unit")
        x = unit(unit(inputs))
    elif kind == "named like one another":
        x = layers.Conv2D(16, 1, activation="relu", name="unit_conv")(unit(inputs))
    elif kind == "behind a layer that is named like a part":
        x = layers.DepthwiseConv2D(3, padding="same", name="unit_depthwise")(inputs)
        x = unit(x)
    elif kind == "beside a quantized layer":
        x = layers.Dense(8, name="quantized")(inputs)
        x = unit(x)
    model = keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x))
    if "quantized" in kind:
        model.get_layer("quantized").quantize("int8")
    return model


@pytest.mark.parametrize(
    "kind, replaced",
    [
        ("called side by side", ["unit"]),
        ("called on its own output", ["unit"]),
        ("named like one another", ["unit", "unit_conv"]),
        ("behind a layer that is named like a part", ["unit"]),
        ("beside a quantized layer", ["unit"]),
    ],
)
def test_units_are_told_from_what_is_around_them(kind, replaced):
    keras.utils.set_random_seed(1)
    original = joined(kind)
    for name in replaced:
        layer = original.get_layer(name)
        masked(layer, layer.kernel.shape[2] // 4, interleaved=layer.filters > layer.kernel.shape[2])
    converted = kgpc.convert(original, SCHEME, only_if_smaller=False, layers=replaced)
    x = images(32, channels=8)
    report = conversion.warm_start(converted, original, x, steps=0, permute=False)
    assert report["layer"].tolist() == replaced
    # What is fitted is computed with the original's groups, so little is lost.
    assert report["error"].max() < 0.2
    random = kgpc.convert(original, SCHEME, only_if_smaller=False, layers=replaced)
    expected = original.predict(x, verbose=0)
    distances = [np.abs(model.predict(x, verbose=0) - expected).mean() for model in (converted, random)]
    assert distances[0] < 0.5 * distances[1]


def test_an_error_that_cannot_be_measured_is_none():
    target = np.full((4, 2), 3.0, "float32")
    assert np.isnan(warm.relative_error(target + 1, target))
    assert warm.relative_error(target, target) == 0
    assert warm.relative_error(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]])) == 1


def test_what_cannot_be_carried_over_is_refused_and_nothing_changes():
    original = network()
    converted = kgpc.convert(original, SCHEME)
    before = converted.get_weights()
    bad = images()
    bad[3, 0, 0, 0] = np.nan
    for given, message in (
        (bad, "`images` must be finite"),
        (images(1), "`images` must hold at least two"),
        (images(channels=4), "`images` must have the shape"),
        ([], "`images` must have the shape"),
    ):
        with pytest.raises(ValueError, match=message):
            conversion.warm_start(converted, original, given)
    with pytest.raises(TypeError, match="`images` must be an array of numbers"):
        conversion.warm_start(converted, original, "images")
    with pytest.raises(TypeError, match="`original` must be a functional or Sequential Keras model"):
        conversion.warm_start(converted, "original", images())
    with pytest.raises(ValueError, match="`converted` must be what `kgpc.convert` made"):
        conversion.warm_start(network(), original, images())
    with pytest.raises(ValueError, match="`steps` must be at least 0"):
        conversion.warm_start(converted, original, images(), steps=-1)
    broken = network()
    broken.get_layer("two").set_weights([np.full((1, 1, 16, 16), np.inf)])
    with pytest.raises(ValueError, match="`original` must have finite weights"):
        conversion.warm_start(converted, broken, images())
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_error_on_the_way_leaves_the_network_as_it_was(monkeypatch):
    original = network()
    converted = kgpc.convert(original, SCHEME)
    before = converted.get_weights()
    monkeypatch.setattr("kgpc.conversion.fitting.Fit.predict", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        conversion.warm_start(converted, original, images(), steps=0)
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_sensitivity_refuses_images_whose_outputs_do_not_differ():
    original = network()
    assert (conversion.sensitivity(original, images(10), channels_per_group=4)["cost"] > 0).any()
    for given, message in (
        (images(4), "a fifth of them is set aside .* 4 images; for the last 1 of them .* one output alone"),
        (np.zeros_like(images(10)), "for the last 2 of them .* the same"),
    ):
        with pytest.raises(ValueError, match=message):
            conversion.sensitivity(original, given, channels_per_group=4)


def test_sensitivity_finds_the_layer_that_loses_nothing_and_feeds_the_budget():
    original = network(first=16, second=32)
    masked(original.get_layer("two"), 4, interleaved=True)
    restate(original, images())
    costs = conversion.sensitivity(original, images(), channels_per_group=(4, 8))
    assert list(costs.columns) == ["layer", "channels_per_group", "groups", "cost"]
    table = costs.set_index(["layer", "channels_per_group"])["cost"]
    assert table["two", 4] < 1e-4 < table["one", 4]
    total = sum(row for row in kgpc.convert(original, SCHEME, report_only=True)["parameters_before"])
    automatic = kgpc.convert(original, "auto", budget=total - 100, sensitivity=costs, report_only=True)
    replaced = automatic.query("replaced and type == 'Conv2D'")["layer"].tolist()
    assert replaced == ["two"]
    with pytest.raises(ValueError, match="`model` must have a layer that is grouped"):
        conversion.sensitivity(original, images(), channels_per_group=64)
    with pytest.raises(TypeError, match="`kind` must be a kind of scheme"):
        conversion.sensitivity(original, images(), kind=SCHEME)
    with pytest.raises(TypeError, match="`channels_per_group` must be an integer"):
        conversion.sensitivity(original, images(), channels_per_group="16")


def test_statistics_are_those_of_an_array():
    layer = layers.BatchNormalization()
    layer.build((None, 3))
    values = np.random.default_rng(0).normal(2, 3, (50, 3)).astype("float32")
    normalize(layer, values)
    np.testing.assert_allclose(layer.moving_mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, values.var(axis=0), rtol=1e-5)
    # Sums in two bytes, or of many numbers in four, would stand still long before their end.
    for dtype, value, count in (("float16", 3, 5_000), ("float32", 100, 3_000_000)):
        many = np.full((count, 3), value, dtype)
        many[::2] += 1
        normalize(layer, many)
        np.testing.assert_allclose(layer.moving_mean, [value + 0.5] * 3, rtol=1e-5)
        np.testing.assert_allclose(layer.moving_variance, [0.25] * 3, rtol=1e-3)


# What is carried over beside the units


def without_names(filters=8):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(filters, 3, activation="relu")(inputs)
    x = layers.Conv2D(16, 1, name="unit")(x)
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), name="network")


def test_a_network_built_twice_is_no_twin_where_layers_have_other_names():
    original, converted = without_names(), kgpc.convert(without_names(), SCHEME)
    before = converted.get_weights()
    with pytest.raises(ValueError, match="`converted` must be what .* for 2 with weights of `original`: 'conv2d"):
        conversion.warm_start(converted, original, images())
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(conversion.warm_start(kgpc.convert(original, SCHEME), original, images(), steps=0)) == 1


def test_a_layer_that_the_original_does_not_have_is_refused():
    original = without_names()
    converted = kgpc.convert(original, SCHEME)
    outputs = layers.Dense(5, name="more")(converted.output)
    with pytest.raises(ValueError, match="for 1 with weights of `converted`: 'more'"):
        conversion.warm_start(keras.Model(converted.input, outputs), original, images())


def test_the_depthwise_half_of_a_separable_convolution_comes_over_whatever_it_was():
    inputs = keras.Input((6, 6, 8))
    x = layers.ReLU(name="relu")(layers.SeparableConv2D(16, 3, padding="same", name="unit")(inputs))
    original = settle(keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x)), channels=8)
    reports = []
    for used in (False, True):
        converted = kgpc.convert(original, SCHEME)
        if used:
            converted.set_weights([np.ones_like(weight) for weight in converted.get_weights()])
        reports.append(conversion.warm_start(converted, original, images(channels=8), steps=0))
        kernel = converted.get_layer("unit_depthwise").get_weights()[0]
        np.testing.assert_array_equal(kernel, original.get_layer("unit").get_weights()[0])
    np.testing.assert_allclose(reports[0]["error"], reports[1]["error"], rtol=1e-3)


def test_a_layer_that_learns_from_data_computes_what_the_original_has_learned():
    inputs = keras.Input((6, 6, 8))
    learned = layers.Normalization(name="learned")
    x = layers.Conv2D(16, 1, name="unit")(learned(inputs))
    original = keras.Model(inputs, [layers.Conv2D(4, 3, name="end")(x), learned.output])
    converted = kgpc.convert(original, SCHEME)
    x = 5 * images(channels=8) + 3
    before = converted.predict(x, verbose=0)
    learned.adapt(x)
    with pytest.raises(ZeroDivisionError), pytest.MonkeyPatch.context() as patch:
        patch.setattr("kgpc.conversion.fitting.Fit.predict", lambda *_: 1 / 0)
        conversion.warm_start(converted, original, x, steps=0)
    for old, new in zip(before, converted.predict(x, verbose=0), strict=True):
        np.testing.assert_array_equal(old, new)
    conversion.warm_start(converted, original, x, steps=0)
    expected = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    np.testing.assert_allclose(converted.predict(x, verbose=0)[1], expected, atol=1e-3)


def test_a_normalization_that_both_networks_share_keeps_its_statistics():
    def penalty(weight):  # its name says nothing to Keras, so the layer cannot be copied
        return 1e-4 * keras.ops.sum(weight**2)

    inputs = keras.Input((6, 6, 16))
    x = layers.Add(name="sum")([layers.Conv2D(16, 1, name="unit")(inputs), inputs])
    x = layers.BatchNormalization(name="bn", gamma_regularizer=penalty)(x)
    original = keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x))
    converted = kgpc.convert(original, SCHEME)
    assert converted.get_layer("bn") is original.get_layer("bn")
    before = original.get_weights()
    conversion.warm_start(converted, original, images(channels=16), steps=0)
    for old, new in zip(before, original.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_every_form_of_a_unit_is_read_in_half_precision(policy):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((12, 12, 8), dtype=policy)
        x = layers.Conv2D(16, 1, strides=2, activation="relu", name="strided")(inputs)
        x = layers.SeparableConv2D(32, 3, name="separable")(x)
        x = layers.BatchNormalization(name="bn")(layers.Reshape((16, 32))(x * 2.0))
        x = layers.Dense(32, activation="softmax", name="positions")(x)
        original = keras.Model(inputs, layers.Dense(5, name="end")(layers.Flatten()(x)))
        converted = kgpc.convert(original, SCHEME)
    finally:
        keras.config.set_dtype_policy("float32")
    x = images(64, size=12, channels=8)
    report = conversion.warm_start(converted, original, x, steps=2)
    assert report["layer"].tolist() == ["strided", "separable", "positions"] and (report["error"] < 1).all()
    assert np.isfinite(conversion.sensitivity(original, x, channels_per_group=4)["cost"]).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_has_the_statistics_of_whole_numbers(policy):
    def made():
        inputs = keras.Input((16, 16, 8))
        x = layers.Conv2D(8, 3, padding="same", bias_initializer="ones", activation="relu", name="stem")(inputs)
        x = layers.Conv2D(16, 1, name="unit")(x)
        x = layers.BatchNormalization(name="bn")(layers.Activation("softplus", name="softplus")(x))
        return keras.Model(inputs, layers.Conv2D(4, 3, dtype="float32", name="end")(x))

    keras.utils.set_random_seed(0)
    whole, x = made(), images(64, size=16, channels=8)
    keras.config.set_dtype_policy(policy)
    try:
        original = made()
        original.set_weights(whole.get_weights())
        converted = kgpc.convert(original, SCHEME)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = conversion.warm_start(kgpc.convert(whole, SCHEME), whole, x, steps=0, permute=False)
    report = conversion.warm_start(converted, original, x, steps=0, permute=False)
    np.testing.assert_allclose(report["error"], expected["error"], rtol=0.1)
    features = keras.Model(converted.input, converted.get_layer("unit").output).predict(x, verbose=0)
    features = np.asarray(features, "float64").reshape(-1, 16)
    bn = converted.get_layer("unit_bn")
    np.testing.assert_allclose(bn.moving_mean, features.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(bn.moving_variance, features.var(axis=0), rtol=0.05)
    costs = [conversion.sensitivity(model, x, channels_per_group=4)["cost"].item() for model in (whole, original)]
    assert costs[1] == pytest.approx(costs[0], rel=0.1)


def test_sensitivity_refuses_outputs_that_are_not_finite():
    inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(16, 1, name="unit")(inputs)
    model = keras.Model(inputs, layers.Conv2D(4, 3)(layers.Rescaling(1e30)(layers.Rescaling(1e30)(x))))
    with pytest.raises(ValueError, match="the outputs of `model` are finite. Received: 10 images"):
        conversion.sensitivity(model, images(10, channels=8), channels_per_group=4)


def test_an_activation_of_the_layer_before_its_normalization_is_one_of_a_layer_of_its_own():
    def made(own):
        inputs = keras.Input((6, 6, 8))
        x = layers.Conv2D(16, 1, activation="relu" if own else None, name="unit")(inputs)
        x = layers.BatchNormalization(name="bn")(x if own else layers.ReLU(name="relu")(x))
        return keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x))

    own, apart = made(True), made(False)
    settle(own, channels=8)
    gamma = own.get_layer("bn").gamma
    gamma.assign(np.where(np.arange(16) % 2, -1.0, 1.0) * keras.ops.convert_to_numpy(gamma))
    apart.set_weights(own.get_weights())
    errors = [
        conversion.warm_start(kgpc.convert(model, SCHEME), model, images(channels=8), steps=0, permute=False)
        for model in (own, apart)
    ]
    np.testing.assert_allclose(errors[0]["error_least_squares"], errors[1]["error_least_squares"], rtol=1e-3)
    costs = [conversion.sensitivity(model, images(channels=8), channels_per_group=4)["cost"] for model in (own, apart)]
    np.testing.assert_allclose(*costs, rtol=1e-3)


def test_sensitivity_leaves_out_what_is_called_more_than_once():
    first, second = keras.Input((6, 6, 8)), keras.Input((6, 6, 8))
    unit = layers.Conv2D(16, 1, name="unit")
    inner = keras.Sequential([keras.Input((6, 6, 16)), layers.Conv2D(16, 1, name="within")], name="inner")
    x = layers.Add()([inner(unit(first)), inner(layers.ReLU()(unit(second)))])
    model = keras.Model([first, second], layers.Conv2D(4, 3)(layers.Conv2D(16, 1, name="once")(x)))
    costs = conversion.sensitivity(model, [images(channels=8), images(channels=8, seed=2)], channels_per_group=4)
    assert costs["layer"].tolist() == ["once"]
    twice = keras.Model([first, second], layers.Conv2D(4, 3)(x))
    with pytest.raises(ValueError, match="and called once"):
        conversion.sensitivity(twice, [images(channels=8), images(channels=8, seed=2)], channels_per_group=4)
