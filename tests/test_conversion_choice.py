"""Which layers a conversion replaces: what cannot be, what a reader asks for, and what a budget leaves."""

import re

import keras
import numpy as np
import pandas as pd
import pytest
from conversions import numbers, same
from keras import layers

import kgpc
from kgpc import D6, D6v3, Grouped, flops
from kgpc.conversion import plan


def reasons(model, scheme=None, **options):
    scheme = scheme or D6(2)
    table = kgpc.convert(model, scheme, report_only=True, **options)
    return {row.layer: "" if row.replaced else row.reason for row in table.itertuples()}


class Twice(layers.Conv2D):
    """A convolution that computes something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


class Same(layers.Conv2D):
    """A convolution of its own name."""


def odd_layers():
    """Many pointwise convolutions, each of which must not be replaced."""
    inputs = keras.Input((4, 4, 8), name="images")
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    x = layers.Conv2D(8, 1, name="plain")(inputs)
    for index, layer in enumerate(
        (
            Twice(8, 1, name="subclass"),
            Same(8, 1, name="other_class"),
            layers.Conv2D(8, 3, padding="same", name="spatial"),
            layers.Conv2D(8, 1, dilation_rate=2, name="dilated"),
            layers.Conv2D(8, 1, groups=2, name="grouped"),
            kgpc.layers.GroupedPointwiseConv2D(8, 2, name="ours"),
            layers.Conv2D(8, 1, activity_regularizer="l2", name="penalty"),
            layers.Conv2D(8, 1, activation=layers.PReLU(), name="layer_activation"),
            layers.Conv2D(8, 1, trainable=False, name="frozen"),
            layers.Conv2D(8, 1, name="held_back"),
            layers.Conv2D(8, 1, kernel_initializer=keras.initializers.Constant(np.ones((1, 1, 8, 8))), name="fixed"),
            layers.Dense(8, name="low_rank"),
            layers.Dense(8, name="whole_numbers"),
            layers.Conv2D(8, 1, name="last"),
        )
    ):
        x = layer(x)
        if layer.name == "held_back":
            x = layers.BatchNormalization(trainable=False, name="frozen_bn")(x)
        if layer.name == "low_rank":
            layer.enable_lora(2)
        if index == 5:
            x = layers.Concatenate(name="more")([x, inputs])
    wrapped = layers.Conv2D(8, 1, name="wrapped")
    video = layers.Reshape((2, 2, 4, 8), name="video")(wrapped(x))
    video = layers.TimeDistributed(wrapped, name="each_image")(video)
    video = layers.Dense(8, name="of_five_axes")(video)
    embedded = layers.Embedding(10, 8, mask_zero=True, name="embedding")(tokens)
    embedded = layers.Dense(8, name="masked")(embedded)
    pooled = layers.Dense(8, name="pooled")(layers.GlobalAveragePooling2D(name="pool")(x))
    frozen = keras.Sequential([keras.Input((4, 4, 8)), layers.Conv2D(8, 1, name="inside")], name="backbone")
    frozen.trainable = False
    frozen.get_layer("inside").trainable = True
    x = layers.BatchNormalization(name="end_bn")(frozen(x))
    model = keras.Model([inputs, tokens], [x, video, embedded, pooled], name="odd")
    model.get_layer("whole_numbers").quantize("int8")
    return model


def test_what_cannot_be_replaced_is_left_alone_and_the_report_says_why():
    model = odd_layers()
    table = kgpc.convert(model, D6(2), report_only=True)
    found = {row.layer: row.reason for row in table.itertuples() if not row.replaced}
    expected = {
        "subclass": "a Twice may compute something else",
        "other_class": "a Same may compute something else",
        "spatial": "its kernel is 3x3",
        "dilated": "it is dilated",
        "grouped": "it is grouped already",
        "ours": "it is grouped already",
        "penalty": "it has a penalty on its output",
        "layer_activation": "its activation is a layer (PReLU)",
        "frozen": "it is frozen",
        "held_back": "its batch normalization is frozen",
        "fixed": "its kernel initializer makes no kernels of other shapes",
        "low_rank": "it has LoRA weights",
        "whole_numbers": "it is quantized",
        "wrapped": "it is used inside 'each_image' too",
        "each_image": "a TimeDistributed is not entered",
        "of_five_axes": "its input has 5 axes",
        "embedding": "an Embedding is no pointwise convolution",
        "masked": "its input carries a mask",
        "pooled": "its input has no axes of space",
        "backbone/inside": "it is frozen",
        "frozen_bn": "no convolution that is replaced is alone before it",
    }
    for layer, reason in expected.items():
        assert found[layer].startswith(reason), (layer, found[layer])
    assert set(table.layer[table.replaced]) == {"plain", "last"}
    twin = kgpc.convert(model, D6(2))
    for layer in expected:
        if "/" not in layer:
            assert type(twin.get_layer(layer)) is type(model.get_layer(layer)), layer


def test_where_nothing_would_change_the_error_says_why():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="a"), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"nothing would change.*Its layers stay: a: its kernel is 3x3; dense.*axes of"
    ):
        kgpc.convert(model, D6(2))
    assert not kgpc.convert(model, D6(2), report_only=True).replaced.any()
    twin = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=2, alpha=0.25)
    with pytest.raises(ValueError, match=r"conv_pw_1_bn_conv: D6\(16\) leaves 8 -> 16 channels ordinary"):
        kgpc.convert(twin, D6(16))


def backbone():
    """Four pointwise convolutions of different sizes, one within a model, and a classifier."""
    inputs = keras.Input((4, 4, 16))
    x = layers.Conv2D(64, 1, use_bias=False, name="conv_1")(inputs)
    x = layers.ReLU(6.0, name="relu_1")(layers.BatchNormalization(name="bn_1")(x))
    inner = keras.Sequential([keras.Input((4, 4, 64)), layers.Conv2D(128, 1, name="conv_2")], name="inner")
    x = layers.Conv2D(64, 1, activation="relu", name="conv_3")(inner(x))
    x = layers.Conv2D(8, 1, activation="sigmoid", name="conv_4")(x)
    x = layers.Conv2D(32, 3, name="spatial")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Dropout(0.5)(layers.Conv2D(16, 1, name="classifier")(x))
    return keras.Model(inputs, layers.Activation("softmax", name="softmax")(layers.Flatten()(x)), name="backbone")


@pytest.mark.parametrize(
    "options, replaced",
    [
        ({}, {"conv_1", "inner/conv_2", "conv_3", "conv_4"}),
        ({"layers": "conv_2"}, {"inner/conv_2"}),
        ({"layers": ["inner/conv_2", "conv_3"]}, {"inner/conv_2", "conv_3"}),
        ({"layers": re.compile(r"conv_[12]$")}, {"conv_1", "inner/conv_2"}),
        ({"layers": lambda layer: layer.name == "conv_4"}, {"conv_4"}),
        ({"layers": [re.compile("^inner/"), lambda layer: bool(layer.name == "conv_1")]}, {"conv_1", "inner/conv_2"}),
        ({"min_channels": 16}, {"conv_1", "inner/conv_2", "conv_3"}),
        ({"min_channels": np.int64(64)}, {"inner/conv_2", "conv_3"}),
        ({"classifier": True}, {"conv_1", "inner/conv_2", "conv_3", "conv_4", "classifier"}),
        ({"layers": "classifier"}, {"classifier"}),
    ],
)
def test_layers_are_chosen_by_the_reader(options, replaced):
    assert {layer for layer, reason in reasons(backbone(), **options).items() if not reason} - {"bn_1"} == replaced


def test_each_layer_can_have_a_scheme_of_its_own():
    scheme = {"conv_3": D6(32), "conv_4": None, re.compile(r"conv_\d"): D6v3(8)}
    table = kgpc.convert(backbone(), scheme, report_only=True).set_index("layer")
    assert dict(table.scheme[table.scheme != ""]) == {
        "conv_1": "D6v3(8)",
        "bn_1": "D6v3(8)",
        "inner/conv_2": "D6v3(8)",
        "conv_3": "D6(32)",
    }
    assert table.reason["conv_4"] == "no scheme groups it"


def test_what_would_not_shrink_is_left_alone_unless_asked_for():
    inputs = keras.Input((4, 4, 32))
    model = keras.Model(inputs, layers.Conv2D(8, 3)(layers.Conv2D(32, 1, name="conv")(inputs)))
    # K and L of two groups each have the weights of the dense kernel, and a bias more.
    assert reasons(model, D6(16))["conv"] == "D6(16) would give it 1,088 parameters instead of 1,056"
    assert reasons(model, D6(16), only_if_smaller=False)["conv"] == ""
    assert reasons(model, D6(32))["conv"] == "D6(32) leaves 32 -> 32 channels ordinary"


def test_the_report_counts_what_the_converted_network_has():
    model = backbone()
    conversion = plan(model, D6(4), classifier=True)
    table, twin = conversion.table, conversion.model
    for count, network in (("before", model), ("after", twin)):
        assert table[f"parameters_{count}"].sum() == flops.trainable_parameters(network)
        assert table[f"macs_{count}"].sum() == flops.macs(network)
        assert table[f"share_{count}"].sum() == pytest.approx(1)
    names = {layer.name for layer in twin.layers} | {f"inner/{layer.name}" for layer in twin.get_layer("inner").layers}
    for row in table[table.replaced].itertuples():
        assert row.made and set(row.made) <= names, row.layer
        weights = sum(twin.get_layer(name).count_params() for name in row.made if "/" not in name)
        assert "/" in row.layer or row.type == "BatchNormalization" or weights == row.parameters_after
    assert list(table.layer[:3]) == ["conv_1", "bn_1", "inner/conv_2"]


def test_multiply_adds_of_layers_called_several_times_and_of_open_sizes():
    conv = layers.Conv2D(8, 1, name="conv")
    inner = keras.Sequential([keras.Input((4, 4, 8)), conv, layers.Conv2D(8, 3, name="end")], name="inner")
    a, b = keras.Input((4, 4, 8)), keras.Input((4, 4, 8))
    model = keras.Model([a, b], layers.Add(name="add")([inner(conv(a)), inner(b)]))
    table = kgpc.convert(model, Grouped(2), report_only=True).set_index("layer")
    assert table.macs_before["conv"] == 3 * 16 * 64 and table.macs_after["conv"] == 3 * 16 * 16
    assert table.macs_before["inner/end"] == 2 * 4 * 9 * 64 and table.parameters_before["conv"] == 72
    open_size = keras.Input((None, None, 8))
    table = kgpc.convert(keras.Model(open_size, layers.Conv2D(8, 3)(conv(open_size))), D6(2), report_only=True)
    assert table.macs_before.isna().all() and table.parameters_after[0] == 2 * (16 + 8)


def test_another_activation_takes_the_place_of_those_that_layers_have():
    def activations(twin):
        layers_of = [layer for model in (twin, twin.get_layer("inner")) for layer in model.layers]
        return {layer.name: layer.activation.__name__ for layer in layers_of if hasattr(layer, "activation")}

    # D6(16) leaves conv_1 ordinary: it is given the activation all the same.
    everywhere = activations(kgpc.convert(backbone(), D6(16), activation="swish"))
    assert everywhere["relu_1"] == everywhere["conv_3"] == everywhere["conv_3_group_interconn"] == "silu"
    assert everywhere["conv_4"] == "silu" and everywhere["softmax"] == "softmax" and everywhere["spatial"] == "linear"
    chosen = activations(kgpc.convert(backbone(), D6(16), activation={"relu": "tanh", "relu6": "swish"}))
    assert (chosen["relu_1"], chosen["conv_3"], chosen["conv_4"]) == ("silu", "tanh", "sigmoid")
    assert activations(kgpc.convert(backbone(), D6(16), activation={"relu6": "hard_swish"}))["relu_1"] == "hard_silu"
    own = activations(kgpc.convert(backbone(), D6(16), layers="conv_2", activation="swish"))
    assert own["conv_3"] == "relu" and "relu_1" not in own
    model = backbone()
    twin = kgpc.convert(model, {"conv_2": D6(16), "conv_3": D6(128)}, activation="swish")
    assert twin.get_layer("conv_3").activation is keras.activations.silu
    same(twin.get_layer("conv_3").get_weights(), model.get_layer("conv_3").get_weights())


@pytest.mark.parametrize("name", ["swish", "silu"])
def test_activations_are_known_by_each_name_that_keras_has_for_them(name):
    inputs = keras.Input((4, 4, 8))
    x = layers.Conv2D(16, 1, activation="swish", name="unit")(inputs)
    x = layers.ReLU(negative_slope=0.1, name="leaky")(layers.Conv2D(16, 1, name="other")(x))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(x))
    twin = kgpc.convert(model, D6(4), activation={name: "tanh", "ReLU": "elu"})
    names = [layer.activation.__name__ for layer in twin.layers if type(layer).__name__ == "Activation"]
    assert set(names) == {"tanh", "elu"}


def test_an_activation_that_several_layers_share_is_replaced_for_those_that_are_chosen():
    relu = layers.ReLU(name="relu")
    inputs = keras.Input((4, 4, 8))
    x = relu(layers.Conv2D(8, 1, name="first")(inputs))
    x = relu(layers.Conv2D(16, 1, name="second")(x))
    x = relu(layers.Conv2D(8, 3, name="spatial")(relu(layers.Conv2D(4, 1, name="third")(x))))
    model = keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(x))
    # The second has two groups; the first and the third stay ordinary, and are given the activation too.
    twin = kgpc.convert(model, {"second": Grouped(4), re.compile("first|third"): Grouped(64)}, activation="tanh")
    found = {layer.name: type(layer).__name__ for layer in twin.layers if "relu" in layer.name}
    assert found == {"relu": "ReLU", "first_relu": "Activation", "third_relu": "Activation"}
    x = layers.Activation("tanh")(model.get_layer("first")(inputs))
    first = keras.Model(inputs, x)
    images = numbers(0, 2, 4, 4, 8)
    same(keras.Model(twin.input, twin.get_layer("first_relu").output)(images), first(images))


def test_a_budget_is_kept_and_spent_where_it_saves_most():
    model = backbone()
    total = flops.trainable_parameters(model)
    for budget in (0.5, 0.7, total - 1, 10_000):
        conversion = plan(model, "auto", budget=budget)
        limit = budget if isinstance(budget, int) else int(budget * total)
        assert flops.trainable_parameters(conversion.model) <= limit
        table = conversion.table
        assert table.parameters_after.sum() == flops.trainable_parameters(conversion.model)
    # The less there is to spend, the fewer channels each filter reads.
    reads = []
    for budget in (0.45, 0.7, 0.9):
        table = plan(model, "auto", budget=budget).table.set_index("layer")
        reads.append(table.in_channels["inner/conv_2"] / table.groups["inner/conv_2"])
    assert reads == sorted(reads) and reads[0] < reads[-1]
    kinds = set(plan(model, D6v3, budget=0.6).table.scheme)
    assert any(kind.startswith("D6v3") for kind in kinds)


def test_a_sensitivity_says_what_to_spare():
    model = backbone()
    rows = [("inner/conv_2", 8, 0.5), ("inner/conv_2", 32, 0.1), ("conv_3", 8, 0.01), ("conv_3", 32, 0.005)]
    sensitivity = pd.DataFrame(rows, columns=["layer", "channels_per_group", "cost"])
    table = plan(model, "auto", budget=0.81, sensitivity=sensitivity).table.set_index("layer")
    # conv_3 costs nearly nothing, and what it saves is enough.
    assert table.scheme["conv_3"] in ("D6(8)", "D6(32)") and table.scheme["inner/conv_2"] == ""
    assert table.scheme["conv_1"] == "" and not table.replaced["conv_1"]
    turned = sensitivity.assign(cost=[0.01, 0.005, 0.5, 0.1])
    table = plan(model, "auto", budget=0.81, sensitivity=turned).table.set_index("layer")
    assert table.scheme["inner/conv_2"] == "D6(32)" and table.scheme["conv_3"] == ""


def test_layers_whose_grouping_costs_nothing_are_grouped_within_the_budget():
    model = backbone()
    rows = [("inner/conv_2", 8, 0.0), ("inner/conv_2", 32, 0.0), ("conv_3", 8, 0.0), ("conv_3", 32, 0.3)]
    free = pd.DataFrame(rows, columns=["layer", "channels_per_group", "cost"])
    dearer = free.assign(cost=[0.1, 0.05, 0.1, 0.3])
    least = plan(model, "auto", budget=0.81, sensitivity=dearer).table
    conversion = plan(model, "auto", budget=0.81, sensitivity=free)
    table = conversion.table.set_index("layer")
    assert table.scheme["inner/conv_2"] == table.scheme["conv_3"] == "D6(8)"
    # The parameters that the refusal of too small a budget names are those of that network.
    fewest = table.parameters_after.sum()
    assert fewest <= least.parameters_after.sum()
    with pytest.raises(ValueError, match=f"at least {flops.trainable_parameters(conversion.model):,} parameters"):
        plan(model, "auto", budget=0.01, sensitivity=free)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"scheme": "D6(16)"}, ValueError, "`scheme` must be a scheme"),
        ({"scheme": {}}, ValueError, "`scheme` must hold"),
        ({"scheme": {"conv_1": 16}}, ValueError, "`scheme` must be a value"),
        ({"scheme": {None: D6(2)}}, TypeError, "`scheme`"),
        ({"scheme": {"conv_9": D6(2)}}, ValueError, "'conv_9', which is none. Perhaps: conv_"),
        ({"scheme": {"spatial": D6(2)}}, ValueError, "`scheme` must name layers that can be.*3x3"),
        ({"layers": "conv9"}, ValueError, "Perhaps: conv_"),
        ({"layers": "spatial"}, ValueError, "`layers` must name layers that can be.*'spatial', and its kernel is 3x3"),
        ({"layers": re.compile("nowhere")}, ValueError, "'nowhere', which fits none"),
        ({"layers": re.compile(b"x")}, TypeError, "regular expressions of str"),
        ({"layers": []}, ValueError, "`layers` must not be empty"),
        ({"layers": [3]}, TypeError, "`layers` must be names"),
        ({"layers": lambda layer: 1}, TypeError, "returns a bool"),
        ({"min_channels": 0}, ValueError, "`min_channels` must be at least 1"),
        ({"min_channels": 1000}, ValueError, "nothing would change.*fewer than 1000 channels"),
        ({"classifier": "no"}, TypeError, "`classifier` must be True or False"),
        ({"only_if_smaller": 1}, TypeError, "`only_if_smaller` must be True or False"),
        ({"report_only": 1}, TypeError, "`report_only` must be True or False"),
        ({"activation": "nonsense"}, ValueError, "`activation` must be what Keras knows"),
        ({"activation": {}}, ValueError, "`activation` must hold"),
        ({"activation": {"relu": "nonsense"}}, ValueError, "`activation` must be what Keras knows"),
        ({"activation": {"nonsense": "relu"}}, ValueError, "`activation` must be what Keras knows"),
        ({"activation": {"relu": "tanh", "swish": "relu"}}, ValueError, "of the network: 'relu.*Received: 'swish'"),
        ({"activation": {"swish": "tanh", "silu": "relu"}}, ValueError, "one entry for each activation.*'silu'"),
        ({"budget": 0.5}, ValueError, "`budget` and `sensitivity` must be left out"),
        ({"scheme": "auto"}, ValueError, "`budget` must be given"),
        ({"scheme": "auto", "budget": 1.5}, ValueError, "above 0 and below 1"),
        ({"scheme": "auto", "budget": True}, TypeError, "`budget` must be a number"),
        ({"scheme": "auto", "budget": 10}, ValueError, "`budget` must be at least [0-9,]+ parameters"),
        ({"scheme": "auto", "budget": 10**9}, ValueError, "`budget` must be below the [0-9,]+ parameters"),
        ({"scheme": "auto", "budget": 0.5, "sensitivity": {}}, TypeError, "`sensitivity` must be a pandas DataFrame"),
        ({"scheme": "auto", "budget": 0.5, "sensitivity": pd.DataFrame({"layer": ["x"]})}, ValueError, "columns layer"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        kgpc.convert(backbone(), **{"scheme": D6(2), **arguments})


class Own(keras.Model):
    """A functional model that trains in its own way."""

    def train_step(self, data):
        return super().train_step(data)


def test_models_that_cannot_be_read_or_would_lose_their_training_are_refused():
    inputs = keras.Input((4, 4, 8))
    outputs = layers.Conv2D(8, 3)(layers.Conv2D(8, 1)(inputs))
    with pytest.raises(TypeError, match="Own, which may train in its own way"):
        kgpc.convert(Own(inputs, outputs), D6(2))
    with pytest.raises(TypeError, match="functional or Sequential"):
        kgpc.convert(layers.Conv2D(8, 1), D6(2))
    with pytest.raises(ValueError, match="must know the shape"):
        kgpc.convert(keras.Sequential([layers.Conv2D(8, 1)]), D6(2))


def test_the_original_is_not_changed():
    model = backbone()
    before, config = model.get_weights(), model.get_config()
    twin = kgpc.convert(model, D6(2))
    assert model.get_config() == config
    for weight in twin.weights:
        weight.assign(weight + 1)
    same(model.get_weights(), before)
    same(model(numbers(0, 1, 4, 4, 16)), model(numbers(0, 1, 4, 4, 16)))
