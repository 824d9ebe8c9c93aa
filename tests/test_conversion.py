"""Converted networks of every topology: the same values as the original where its kernels have zeros between groups."""

import keras
import numpy as np
import pytest
from conversions import grouped_twin, kinds, numbers, same, shake
from keras import layers

import kgpc
from kgpc import D6, D6v3, Grouped
from kgpc.conversion import plan


def made_of(conversion):
    return {unit.path: list(new.layers) for unit, new in conversion.subnetworks.items()}


def check(model, inputs, scheme, **options):
    """Compares a model with its twin: eager, compiled and in training, with moving statistics. Returns the twin."""
    conversion = grouped_twin(shake(model), scheme, **options)
    twin = conversion.model
    assert conversion.subnetworks and twin.name == model.name
    same(twin(inputs, training=False), model(inputs, training=False))
    same(twin.predict(inputs, verbose=0), model.predict(inputs, verbose=0))
    same(twin(inputs, training=True), model(inputs, training=True), 1e-4)
    same(twin(inputs, training=False), model(inputs, training=False), 1e-4)
    return conversion


@pytest.mark.parametrize("scheme", [Grouped(4), D6(4)], ids=str)
def test_each_kind_of_layer_computes_what_the_original_computes(scheme, tmp_path):
    model, inputs = kinds(), numbers(0, 4, 9, 7, 8)
    conversion = check(model, inputs, scheme, only_if_smaller=False)
    expected = {"normalized", "strided", "linear", "dense", "separable", "by_function", "attention", "sequence"}
    assert {unit.path for unit in conversion.subnetworks} == expected
    gone = {"normalized_bn", "normalized_relu", "strided_bn", "linear_gelu", "linear_bn", "leaky", "sequence_bn"}
    twin = conversion.model
    kept = {layer.name for layer in twin.layers}
    # Batch normalizations made have the names of those that went along.
    assert not {type(twin.get_layer(name)) for name in gone & kept} - {kgpc.layers.BatchNormalization}
    assert {"images", "positions", "flat", "predictions"} < kept
    twin.save(tmp_path / "twin.keras")
    loaded = keras.saving.load_model(tmp_path / "twin.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), twin.predict(inputs, verbose=0))


def test_gradients_and_a_step_of_training_are_those_of_the_original():
    model, inputs, labels = kinds(), numbers(0, 8, 9, 7, 8), np.arange(8) % 5
    # Grouped alone: a silent second convolution would learn.
    twin = grouped_twin(shake(model), Grouped(4)).model
    losses = []
    for each in (model, twin):
        each.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        losses.append(each.train_on_batch(inputs, labels))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    before = [keras.ops.convert_to_numpy(weight) for weight in twin.trainable_weights]
    twin.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    twin.train_on_batch(inputs, labels)
    for weight, value in zip(twin.trainable_weights, before, strict=True):
        assert not np.array_equal(keras.ops.convert_to_numpy(weight), value), weight.path


def nested():
    """A model called twice, in a Sequential in a functional model, with two inputs and a dict of outputs."""
    inner_input = keras.Input((6, 6, 8))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(8, 1, name="conv")(inner_input))
    inner = keras.Model(inner_input, layers.ReLU(name="relu")(x), name="inner")
    middle = keras.Sequential([keras.Input((6, 6, 8)), inner, layers.Conv2D(16, 1, name="wide")], name="middle")
    a, b = keras.Input((6, 6, 8), name="a"), keras.Input((6, 6, 8), name="b")
    read = layers.Conv2D(16, 3, padding="same", name="spatial")(inner(b))
    total = layers.Add(name="total")([middle(a), read])
    last = layers.Conv2D(16, 1, name="last")(total)
    last = layers.ReLU(name="last_relu")(layers.BatchNormalization(name="last_bn")(last))
    return keras.Model({"a": a, "b": b}, {"maps": last, "read": read}, name="outer")


@pytest.mark.parametrize("scheme", [Grouped(2), D6(2)], ids=str)
def test_models_within_models_are_entered_and_stay_shared(scheme):
    model, inputs = nested(), {"a": numbers(1, 4, 6, 6, 8), "b": numbers(2, 4, 6, 6, 8)}
    conversion = check(model, inputs, scheme)
    assert list(made_of(conversion)) == ["last", "inner/conv", "middle/wide"]
    twin = conversion.model
    assert twin.get_layer("middle").get_layer("inner") is twin.get_layer("inner")
    assert set(twin.output_names) == set(model.output_names)
    assert twin.get_layer("spatial").trainable and twin.input["a"].name == "a"


def shared(normalizations):
    """One convolution that is called three times, each time followed by one of these normalizations."""
    convolution = layers.Conv2D(8, 1, name="conv")
    inputs = [keras.Input((4, 4, 8), name=name) for name in "abc"]
    relu = layers.ReLU(name="relu")
    outputs = [relu(each(convolution(x))) for each, x in zip(normalizations, inputs, strict=True)]
    x = layers.Concatenate(name="all")(outputs)
    return keras.Model(inputs, layers.Conv2D(8, 3, name="end")(x), name="shared")


@pytest.mark.parametrize("together", [True, False], ids=["one normalization", "two normalizations"])
def test_a_layer_that_is_called_several_times_stays_shared(together):
    first, second = (layers.BatchNormalization(name=f"bn_{index}") for index in range(2))
    model = shared([first, first, first if together else second])
    inputs = [numbers(seed, 2, 4, 4, 8) for seed in range(3)]
    conversion = check(model, inputs, D6(2))
    (unit,) = conversion.subnetworks
    assert (unit.normalization is first) == together
    kinds = [type(layer) for layer in conversion.model.layers]
    # One for each of the two convolutions; or the original's own, each of them.
    assert kinds.count(kgpc.layers.BatchNormalization) == (2 if together else 0)
    assert kinds.count(layers.BatchNormalization) == (0 if together else 2)
    assert kinds.count(kgpc.layers.GroupedPointwiseConv2D) == 2


def across_levels():
    """Two layers that a model calls, and that a model within it calls too."""
    wide, narrow = (layers.Conv2D(filters, 1, name=name) for filters, name in ((16, "wide"), (8, "narrow")))
    inner_input = keras.Input((6, 6, 8))
    x = layers.ReLU(name="inner_relu")(narrow(layers.ReLU(name="inner_first")(wide(inner_input))))
    inner = keras.Model(inner_input, x, name="inner")
    inputs = keras.Input((6, 6, 8), name="images")
    x = layers.Concatenate(name="all")([wide(inputs), inner(narrow(wide(inputs)))])
    return keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x), name="outer")


def comes_back(model, images, path):
    """Whether Keras loads what it saved of a model, and the model computes the same."""
    model.save(path)
    try:
        loaded = keras.saving.load_model(path, compile=False)(images)
    except (ValueError, KeyError):
        return False
    return np.array_equal(loaded, model(images))


@pytest.mark.parametrize("scheme", [Grouped(2), D6(2)], ids=str)
def test_a_layer_that_two_levels_call_stays_shared(scheme, tmp_path):
    model, images = across_levels(), numbers(3, 2, 6, 6, 8)
    conversion = check(model, images, scheme)
    assert list(made_of(conversion)) == ["wide", "narrow"]
    twin = conversion.model
    inner = twin.get_layer("inner")
    for new in conversion.subnetworks.values():
        for name, layer in new.layers.items():
            assert twin.get_layer(name) is inner.get_layer(name) is layer
    folded = kgpc.deploy.fold(twin)
    same(folded(images), twin(images))
    assert folded.count_params() == twin.count_params()
    # Read again, nothing counts twice.
    report = kgpc.convert(twin, scheme, report_only=True)
    assert report["parameters_before"].sum() == kgpc.flops.trainable_parameters(twin)
    # Keras itself cannot load a file of such a model. Weights alone come back.
    paths = tmp_path / "twin.keras", tmp_path / "model.keras"
    assert comes_back(twin, images, paths[0]) or not comes_back(model, images, paths[1])
    twin.save_weights(tmp_path / "twin.weights.h5")
    other = kgpc.convert(across_levels(), scheme)
    other.load_weights(tmp_path / "twin.weights.h5")
    np.testing.assert_array_equal(other(images), twin(images))


def test_what_is_read_elsewhere_too_does_not_go_along():
    inputs = keras.Input((4, 4, 8))
    convolution = layers.Conv2D(8, 1, name="read_twice")(inputs)
    x = layers.BatchNormalization(name="stays")(convolution)
    y = layers.BatchNormalization(name="goes")(layers.Conv2D(8, 1, name="before_two")(x))
    y = layers.Add(name="residual")([layers.ReLU(name="also_stays")(y), y, convolution])
    model = keras.Model(inputs, layers.Conv2D(8, 3, name="end")(y))
    conversion = check(model, numbers(0, 2, 4, 4, 8), D6(2))
    tails = {unit.path: [operation.name for operation in unit.tail] for unit in conversion.subnetworks}
    assert tails == {"read_twice": [], "before_two": ["goes"]}
    assert {"stays", "also_stays"} <= {layer.name for layer in conversion.model.layers}


def test_sequential_models_of_sequential_models_become_functional_ones():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            keras.Sequential([layers.Conv2D(16, 1, name="conv"), layers.BatchNormalization(), layers.ReLU()], name="a"),
            keras.Sequential([layers.Flatten(), layers.Dense(3, name="top")], name="b"),
        ],
        name="all",
    )
    conversion = check(model, numbers(0, 2, 6, 6, 8), D6(2))
    assert list(made_of(conversion)) == ["a/conv"]
    assert [layer.name for layer in conversion.model.layers[1:]] == ["a", "b"]


def test_a_twin_of_the_enhanced_scheme_computes_its_formula():
    """Copied channels, two paths, interleaving, L, bias, normalization and activation, in NumPy."""
    inputs = keras.Input((3, 3, 22))
    x = layers.Conv2D(14, 1, name="conv")(inputs)
    x = layers.Activation("tanh", name="act")(layers.BatchNormalization(name="bn")(x))
    model = shake(keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x)))
    conversion = plan(model, D6v3(4), only_if_smaller=False)
    twin, (new,) = conversion.model, conversion.subnetworks.values()
    shake(twin)
    plans = new.plan
    assert plans.first.copied_channels == 2 and len(plans.first.paths) == 2 and len(plans.second.paths) == 2

    def unit(x, part):
        kernel, bias = new.convolution(part).get_weights()
        gamma, beta, mean, variance = new.normalization(part).get_weights()
        pieces = np.split(x, part.groups, axis=-1)
        kernels = np.split(kernel[0, 0], part.groups, axis=-1)
        y = np.concatenate([piece @ each for piece, each in zip(pieces, kernels, strict=True)], axis=-1) + bias
        return np.tanh((y - mean) / np.sqrt(variance + 1e-3) * gamma + beta)

    def stage(x, stage):
        x = np.concatenate([x, x[..., : stage.copied_channels]], axis=-1)
        return np.concatenate([unit(x[..., : part.in_channels], part) for part in stage.paths], axis=-1)

    images = numbers(5, 2, 3, 3, 22)
    first = stage(images, plans.first)
    mixed = first[..., [c for start in range(plans.interleave_step) for c in range(start, 14, plans.interleave_step)]]
    inner = keras.Model(twin.input, twin.get_layer("end").input)
    same(inner(images, training=False), stage(mixed, plans.second) + first)


def test_mixed_precision_stays_what_it_was():
    def policy(name):
        return keras.dtype_policies.DTypePolicy(name)

    inputs = keras.Input((4, 4, 8), dtype="float32")
    x = layers.Conv2D(8, 1, use_bias=False, dtype=policy("mixed_bfloat16"), name="half")(inputs)
    x = layers.BatchNormalization(dtype=policy("float32"), name="bn")(x)
    x = layers.Conv2D(8, 1, activation="relu", dtype=policy("float64"), name="double")(x)
    model = shake(keras.Model(inputs, layers.Conv2D(4, 3, dtype="float32", name="end")(x)))
    conversion = grouped_twin(model, D6(2))
    twin, images = conversion.model, numbers(3, 2, 4, 4, 8)
    same(twin(images), model(images), 0.02)
    policies = {
        unit.path: {layer.dtype_policy.name for layer in new.layers.values()}
        for unit, new in conversion.subnetworks.items()
    }
    # In Keras 3.8 a cast reads the convolution, an operation of its own, and the normalization behind it stays outside.
    cast = any(type(operation).__name__ == "Cast" for operation in model.operations)
    assert policies == {"half": {"mixed_bfloat16"} if cast else {"mixed_bfloat16", "float32"}, "double": {"float64"}}
    assert twin.get_layer("half_inter_group_add").output.dtype == ("bfloat16" if cast else "float32")
    assert twin.get_layer("double_inter_group_add").output.dtype == "float64"


def test_settings_of_the_layer_replaced_go_to_all_convolutions():
    inputs = keras.Input((4, 4, 8))
    settings = {
        "kernel_initializer": keras.initializers.HeNormal(),
        "bias_initializer": keras.initializers.Constant(0.25),
        "kernel_regularizer": keras.regularizers.L2(0.01),
        "bias_regularizer": keras.regularizers.L1(0.02),
        "kernel_constraint": keras.constraints.MaxNorm(1.5),
        "bias_constraint": keras.constraints.NonNeg(),
    }
    x = layers.Conv2D(8, 1, name="conv", **settings)(inputs)
    normalization = {"momentum": 0.8, "epsilon": 0.02, "scale": False, "beta_regularizer": keras.regularizers.L2(0.1)}
    x = layers.BatchNormalization(name="bn", beta_initializer="ones", **normalization)(x)
    model = keras.Model(inputs, layers.Conv2D(4, 3, name="end")(x))
    conversion = plan(model, D6(2))
    twin, (new,) = conversion.model, conversion.subnetworks.values()
    parts = [part for stage in new.plan.stages for part in stage.paths]
    assert len(parts) == 2
    for part in parts:
        layer, bn = new.convolution(part), new.normalization(part)
        for name, value in settings.items():
            assert getattr(layer, name).get_config() == value.get_config(), name
        assert (bn.momentum, bn.epsilon, bn.scale, bn.beta_regularizer.l2) == (0.8, 0.02, False, pytest.approx(0.1))
        np.testing.assert_array_equal(bn.beta, np.ones(8))
        np.testing.assert_array_equal(layer.bias, np.full(8, 0.25))
    kernels = [keras.ops.convert_to_numpy(new.convolution(part).kernel) for part in parts]
    assert not np.array_equal(*kernels)  # each draws its own numbers
    assert len(twin.losses) == 6 and len(model.losses) == 3


def test_names_collide_with_nothing():
    inputs = keras.Input((4, 4, 8))
    x = layers.Conv2D(8, 1, name="conv")(inputs)
    x = layers.Conv2D(8, 3, name="conv_conv")(x)
    x = layers.Conv2D(8, 1, name="conv_grouped")(x)
    model = keras.Model(inputs, layers.Conv2D(8, 3, padding="same", name="conv_grouped_conv")(x))
    conversion = check(model, numbers(0, 2, 4, 4, 8), Grouped(2))
    assert made_of(conversion) == {"conv": ["conv_grouped_2_conv"], "conv_grouped": ["conv_grouped_grouped_conv"]}


def test_an_output_keeps_its_name():
    inputs = keras.Input((4, 4, 8))
    x = layers.Conv2D(8, 1, activation="relu", name="maps")(inputs)
    y = layers.Conv2D(8, 1, name="other")(x)
    y = layers.ReLU(name="end")(layers.BatchNormalization(name="bn")(y))
    model = keras.Model(inputs, [x, y])
    conversion = check(model, numbers(0, 2, 4, 4, 8), D6(2), classifier=True)
    twin = conversion.model
    assert twin.output_names == model.output_names == ["maps", "end"]
    twin.compile("sgd", loss={"maps": "mse", "end": "mae"})
    twin.train_on_batch(numbers(0, 2, 4, 4, 8), {"maps": numbers(1, 2, 4, 4, 8), "end": numbers(2, 2, 4, 4, 8)})
