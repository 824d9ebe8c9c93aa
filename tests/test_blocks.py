"""The pointwise block against reference outputs and a plain computation."""

import itertools
import json
import pathlib

import keras
import numpy as np
import pytest

import kgpc
from kgpc.blocks import pointwise

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
CARRIED = pathlib.Path(__file__).resolve().parent / "data" / "blocks"
SCHEMES = {"D6": kgpc.D6, "D6v3": kgpc.D6v3, "kT3": kgpc.Grouped}


def check_block(entry, vectors):
    arguments = entry["constructor"]
    x = keras.Input(vectors["input"].shape[1:])
    y = pointwise(
        x,
        arguments["filters"],
        SCHEMES[entry["scheme"]](entry["channels_per_group"]),
        name="blk",
        activation=arguments["activation"],
        batch_norm=arguments["has_batch_norm"],
        batch_norm_scale=arguments["has_batch_scale"],
        use_bias=arguments["use_bias"],
    )
    model = keras.Model(x, y)
    assert kgpc.flops.trainable_parameters(model) == entry["trainable_params"]
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(vectors[f"w/{layer.name}/{weight.name}:0"])
    actual = keras.ops.convert_to_numpy(model(vectors["input"], training=False))
    np.testing.assert_allclose(actual, vectors["output"], rtol=0, atol=entry["atol"])


def entries(folder):
    index = folder / "index.json"
    return json.loads(index.read_text())["blocks"] if index.is_file() else []


@pytest.mark.parametrize("entry", entries(CARRIED), ids=lambda entry: entry["block"])
def test_block_computes_the_reference_output(entry):
    check_block(entry, np.load(CARRIED / pathlib.Path(entry["vectors"]).name))


def test_the_carried_reference_outputs_are_there():
    assert len(entries(CARRIED)) >= 3


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project")
@pytest.mark.parametrize("entry", entries(GOLDEN), ids=lambda entry: entry["block"])
def test_block_computes_every_reference_output(entry):
    check_block(entry, np.load(GOLDEN / entry["vectors"]))


@pytest.mark.parametrize("scheme", [None, kgpc.D6(4), kgpc.D6v3(4), kgpc.Grouped(4), kgpc.GroupedV3(4)], ids=str)
@pytest.mark.parametrize("in_channels, filters", [(16, 24), (18, 10), (13, 13)])
def test_parameters_of_the_block_are_those_of_the_plan(scheme, in_channels, filters):
    x = keras.Input((2, 2, in_channels))
    model = keras.Model(x, pointwise(x, filters, scheme, name="unit", activation="swish", use_bias=True))
    plan = kgpc.grouping.ordinary_plan(in_channels, filters) if scheme is None else scheme.plan(in_channels, filters)
    assert kgpc.flops.trainable_parameters(model) == plan.parameters(use_bias=True)
    assert kgpc.flops.macs(model) == 4 * plan.weights
    assert model.output.shape == (None, 2, 2, filters)


def test_groups_alone_never_mix_and_interleaving_with_a_second_convolution_does():
    """The reach of one input channel after two stacked blocks, read off the nonzero outputs."""

    ones = {"activation": None, "batch_norm": False, "kernel_initializer": "ones"}

    def reached(scheme):
        x = keras.Input((1, 1, 16))
        y = pointwise(x, 16, scheme, name="a", **ones)
        y = pointwise(y, 16, scheme, name="b", **ones)
        impulse = np.zeros((1, 1, 1, 16), "float32")
        impulse[..., 0] = 1
        return np.count_nonzero(keras.Model(x, y)(impulse).numpy())

    assert reached(kgpc.Grouped(4)) == 4
    assert reached(kgpc.D6(4)) == 16


@pytest.mark.parametrize("scheme", [None, kgpc.D6(4), kgpc.D6v3(4), kgpc.D6(64)], ids=str)
def test_channels_are_last_whatever_the_global_layout_is(scheme):
    """An ordinary convolution and groups alike, when the block is made and when it is called."""

    def make():
        x = keras.Input((2, 3, 18))
        return keras.Model(x, pointwise(x, 10, scheme, name="unit", activation="swish"))

    expected = make()
    images = np.random.default_rng(0).normal(size=(2, 2, 3, 18)).astype("float32")
    before = expected(images).numpy()
    try:
        keras.config.set_image_data_format("channels_first")
        model = make()
        assert model.output.shape == (None, 2, 3, 10)
        model.set_weights(expected.get_weights())
        np.testing.assert_array_equal(model(images), before)
        np.testing.assert_array_equal(expected(images), before)
        assert [layer.get_config() for layer in model.layers[1:]] == [
            layer.get_config() for layer in expected.layers[1:]
        ]
    finally:
        keras.config.set_image_data_format("channels_last")


def test_nobody_gets_a_linear_block_without_asking_for_it():
    inputs = keras.Input((2, 2, 64))
    with pytest.raises(TypeError, match="'activation'"):
        pointwise(inputs, 64, kgpc.D6(16), name="unit")
    for activation, expected in (("relu", ["unit", "unit_group_interconn"]), (None, [])):
        model = keras.Model(inputs, pointwise(inputs, 64, kgpc.D6(16), name="unit", activation=activation))
        assert [layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)] == expected


def test_without_an_activation_the_block_is_linear_and_with_one_it_is_not():
    inputs = keras.Input((1, 1, 16))
    images = np.random.default_rng(0).normal(size=(2, 6, 1, 1, 16)).astype("float32")
    for activation, is_linear in ((None, True), ("relu", False), ("swish", False)):
        outputs = pointwise(inputs, 16, kgpc.D6(4), name="unit", activation=activation, batch_norm=False)
        block = keras.Model(inputs, outputs)
        of_sum, sum_of = block(images.sum(axis=0)), block(images[0]) + block(images[1])
        assert np.allclose(of_sum, sum_of, atol=1e-5) == is_linear


@pytest.mark.parametrize("scheme", [kgpc.D6(16), kgpc.D6v3(16)], ids=str)
def test_an_initializer_given_as_an_object_repeats_no_kernel_unless_it_has_a_seed(scheme):
    def alike(initializer):
        x = keras.Input((1, 1, 97 if isinstance(scheme, kgpc.D6v3) else 128))
        y = pointwise(x, x.shape[-1], scheme, name="unit", activation=None, kernel_initializer=initializer)
        layers = keras.Model(x, y).layers
        kernels = [keras.ops.convert_to_numpy(layer.kernel) for layer in layers if hasattr(layer, "kernel")]
        pairs = list(itertools.combinations(kernels, 2))
        assert any(first.shape == second.shape for first, second in pairs)
        return any(np.array_equal(first, second) for first, second in pairs)

    unseeded = keras.initializers.GlorotUniform()
    assert not alike(unseeded) and not alike("he_normal") and not alike({"class_name": "HeNormal", "config": {}})
    assert not alike(keras.initializers.HeNormal(seed=keras.random.SeedGenerator(3)))
    assert alike(keras.initializers.HeNormal(seed=3))


class Level(keras.initializers.Initializer):
    """An initializer that does not say how to make it anew."""

    def __init__(self, level):
        self.level = level

    def __call__(self, shape, dtype=None):
        return self.level * keras.ops.ones(shape, dtype)


def test_an_initializer_without_a_configuration_is_used_as_it_is():
    x = keras.Input((1, 1, 8))
    y = pointwise(x, 8, kgpc.D6(4), name="unit", activation=None, batch_norm=False, kernel_initializer=Level(2.0))
    for weight in keras.Model(x, y).weights:
        assert (keras.ops.convert_to_numpy(weight) == 2).all()


WRONG = {
    "filters": [0, -1, 2.5, "8", None, True, np.nan],
    "scheme": ["D6", 16, kgpc.D6, True],
    "name": [None, 3, "", "a/b"],
    "activation": ["swosh", 5],
    "batch_norm": ["no", 0, None],
    "batch_norm_scale": ["no", 1, None],
    "use_bias": ["no", 2, None],
    "kernel_initializer": ["ones_and_zeros", 5],
    "kernel_regularizer": ["l3", 5],
    "momentum": [np.nan, -1, 1.01, np.inf, "0.9", None, True],
    "epsilon": [np.nan, -1, 0, 0.0, np.inf, "0.001", None, True],
    "x": ["images", None, 3],
}


@pytest.mark.parametrize("argument, value", [(name, value) for name, values in WRONG.items() for value in values])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_wrong_argument_is_named_with_its_value(argument, value, batch_norm):
    right = {"x": keras.Input((2, 2, 8)), "filters": 8, "scheme": None, "name": "unit", "activation": None}
    right["batch_norm"] = batch_norm
    with pytest.raises((TypeError, ValueError)) as caught:
        pointwise(**{**right, argument: value})
    message = str(caught.value)
    assert message.startswith(f"`{argument}` ") and f"Received: {argument}={value!r}" in message, message


def test_numbers_of_numpy_are_numbers():
    x = keras.Input((2, 2, 8))
    y = pointwise(
        x,
        np.int64(6),
        None,
        name="unit",
        activation=None,
        batch_norm=np.bool_(True),
        use_bias=np.bool_(False),
        momentum=np.float32(0.5),
        epsilon=np.float64(1e-4),
    )
    model = keras.Model(x, y)
    assert y.shape == (None, 2, 2, 6)
    assert model.get_layer("unit_bn").momentum == 0.5 and model.get_layer("unit_conv").use_bias is False
    assert keras.Model.from_config(model.get_config()).count_params() == model.count_params()


@pytest.mark.parametrize(
    "shape, arguments, error, message",
    [
        ((2, 2, None), (8, kgpc.D6(4)), ValueError, "known number of channels"),
        ((2, 8), (8, kgpc.D6(4)), ValueError, "`x` must be a tensor"),
        ((2, 2, 8), (8, "D6"), ValueError, "`scheme` must be a value such as"),
        ((2, 2, 8), (0, kgpc.D6(4)), ValueError, "`filters` must be at least 1"),
        ((2, 2, 8), (2.5, None), TypeError, "`filters` must be an integer"),
    ],
)
def test_bad_input_is_named(shape, arguments, error, message):
    with pytest.raises(error, match=message):
        pointwise(keras.Input(shape), *arguments, name="unit", activation="relu")
