"""kMobileNetV3 Large and Small: published counts, the baseline, reference outputs, options and bad input."""

import pathlib

import keras
import numpy as np
import pytest

import kgpc
from kgpc.applications import kMobileNetV3Large, kMobileNetV3Small

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the reference vectors are not part of the project")
BASELINES = {
    kMobileNetV3Large: keras.applications.MobileNetV3Large,
    kMobileNetV3Small: keras.applications.MobileNetV3Small,
}


def images(height=32, width=32):
    return np.random.default_rng(0).random((2, height, width, 3), dtype="float32")


@pytest.mark.parametrize(
    "scheme, classes, parameters, paper_flops",
    [
        (None, 10, 4_214_842, 217_459_990),
        (kgpc.D6(16), 10, 401_002, 80_950_134),
        (kgpc.D6(32), 10, 710_074, 117_295_446),
        (kgpc.D6(16), 100, 516_292, 81_065_604),
        (kgpc.D6(32), 29, 734_413, 117_319_823),
        (kgpc.D6(16), 37, 435_589, 80_984_775),
    ],
)
def test_published_counts(scheme, classes, parameters, paper_flops):
    with keras.StatelessScope():
        model = kMobileNetV3Large(classes=classes, scheme=scheme)
    assert kgpc.flops.trainable_parameters(model) == parameters
    assert kgpc.flops.paper_flops(model) == paper_flops


@pytest.mark.parametrize("ours, filters", [(kMobileNetV3Large, 1280), (kMobileNetV3Small, 1024)])
@pytest.mark.parametrize("alpha, share", [(0.1875, 0.1875), (1.0, 1.0), (1.5, 1.5)])
def test_the_head_scales_with_the_width_where_asked(ours, filters, alpha, share):
    arguments = {"input_shape": (32, 32, 3), "classes": 10, "scheme": None, "alpha": alpha}
    with keras.StatelessScope():
        wide, scaled = ours(**arguments), ours(**arguments, scale_head=True)
    assert wide.get_layer("Conv_2").filters == max(filters, share * filters)
    head = scaled.get_layer("Conv_2")
    assert head.filters == share * filters
    # All else stays: the difference is what this convolution and the classifier hold.
    features = wide.get_layer("Conv_1").filters
    fewer = wide.get_layer("Conv_2").filters - head.filters
    assert wide.count_params() - scaled.count_params() == fewer * (features + 1 + 10)


@pytest.mark.parametrize("ours, theirs", BASELINES.items())
@pytest.mark.parametrize("alpha, minimalistic", [(0.35, False), (0.75, True), (1.25, False)])
def test_without_a_scheme_it_has_the_weights_of_mobilenet_v3(ours, theirs, alpha, minimalistic):
    arguments = {"input_shape": (32, 32, 3), "classes": 10, "alpha": alpha, "minimalistic": minimalistic}
    with keras.StatelessScope():
        actual = ours(scheme=None, **arguments)
        expected = theirs(weights=None, **arguments)
    assert [weight.shape for weight in actual.weights] == [weight.shape for weight in expected.weights]


@pytest.mark.parametrize("ours, theirs", BASELINES.items())
def test_without_a_scheme_it_computes_mobilenet_v3(ours, theirs):
    expected = theirs(input_shape=(33, 48, 3), classes=10, weights=None, include_preprocessing=False)
    numbers = np.random.default_rng(0)
    expected.set_weights([weight + numbers.uniform(0, 0.1, weight.shape) for weight in expected.get_weights()])
    actual = ours(input_shape=(33, 48, 3), classes=10, scheme=None)
    actual.set_weights(expected.get_weights())
    np.testing.assert_allclose(actual(images(33, 48)).numpy(), expected(images(33, 48)).numpy(), atol=1e-6)
    momenta = [layer.momentum for layer in actual.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert set(momenta) == {0.999}


def test_batch_normalization_of_the_scheme_differs_in_momentum_only():
    model = kMobileNetV3Small(input_shape=(32, 32, 3), classes=10)
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.epsilon for layer in normalizations} == {1e-3}
    of_the_network = [layer.name for layer in normalizations if layer.momentum == 0.999]
    assert of_the_network == ["Conv_bn"] + [
        f"expanded_conv{index}_depthwise_bn" for index in ["", *(f"_{i}" for i in range(1, 11))]
    ]
    assert {layer.momentum for layer in normalizations if layer.name not in of_the_network} == {0.99}


@needs_golden
def test_reference_outputs():
    model = kMobileNetV3Large(
        input_shape=(64, 64, 3), classes=10, weights=GOLDEN / "kmobilenetv3large_d6_16ch_64.weights.hdf5"
    )
    vectors = np.load(GOLDEN / "kmobilenetv3large_d6_16ch_64.npz")
    parts = [model.get_layer(name).output for name in ("Conv_1_group_interleaved", "flatten")]
    view = keras.Model(model.input, [*parts, model.output])
    atol = {"features": 0.003, "logits": 6e-05, "probs": 6e-06}
    for actual, key in zip(view(vectors["input"], training=False), atol, strict=True):
        np.testing.assert_allclose(actual.numpy(), vectors[key], rtol=0, atol=atol[key], err_msg=key)


@pytest.mark.parametrize("scheme", [kgpc.D6v3(8), kgpc.Grouped(8)])
def test_every_pointwise_convolution_but_the_classifier_is_the_schemes(scheme):
    with keras.StatelessScope():
        model = kMobileNetV3Small(input_shape=(32, 32, 3), classes=10, scheme=scheme)
    grouped = [layer.name for layer in model.layers if isinstance(layer, kgpc.layers.GroupedPointwiseConv2D)]
    block = "expanded_conv_4"
    places = [f"{block}_expand", f"{block}_squeeze_excite_Conv", f"{block}_squeeze_excite_Conv_1", f"{block}_project"]
    for place in [*places, "Conv_1", "Conv_2"]:
        assert any(name.startswith(f"{place}_c") for name in grouped), place
    assert type(model.get_layer("Logits")) is keras.layers.Conv2D


@pytest.mark.parametrize(
    "model, skip, sizes",
    [
        (kMobileNetV3Large, -1, [16, 8, 4, 2, 1]),
        (kMobileNetV3Large, 2, [32, 32, 32, 16, 8]),
        (kMobileNetV3Small, 0, [32, 16, 8, 4, 2]),
        (kMobileNetV3Small, 4, [32, 32, 32, 32, 32]),
    ],
)
def test_small_images_keep_their_size_where_strides_are_skipped(model, skip, sizes):
    reducing = ("_1", "_3", "_6", "_12") if model is kMobileNetV3Large else ("", "_1", "_3", "_8")
    with keras.StatelessScope():
        built = model(input_shape=(32, 32, 3), classes=10, skip_stride_cnt=skip)
    names = ["Conv", *(f"expanded_conv{index}_depthwise" for index in reducing)]
    assert [built.get_layer(name).output.shape[1] for name in names] == sizes
    if model is kMobileNetV3Large:
        assert kgpc.flops.trainable_parameters(built) == 401_002


def test_minimalistic_has_neither_squeeze_and_excite_nor_hard_swish_nor_large_kernels():
    with keras.StatelessScope():
        model = kMobileNetV3Large(input_shape=(32, 32, 3), classes=10, minimalistic=True)
    activations = {getattr(getattr(layer, "activation", None), "__name__", None) for layer in model.layers}
    assert activations == {None, "linear", "relu", "softmax"}
    assert {layer.kernel_size for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)} == {(3, 3)}
    assert not any("squeeze_excite" in layer.name for layer in model.layers)


def test_a_model_survives_saving(tmp_path):
    model = kMobileNetV3Small(input_shape=(32, 32, 3), classes=10, scheme=kgpc.D6v3(16), skip_stride_cnt=2, alpha=0.5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    expected = model(images()).numpy()
    np.testing.assert_array_equal(again(images()).numpy(), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(images()).numpy(), expected)


@pytest.mark.parametrize("pooling, shape", [(None, (None, 1, 1, 576)), ("avg", (None, 576)), ("max", (None, 576))])
def test_without_the_top(pooling, shape):
    with keras.StatelessScope():
        model = kMobileNetV3Small(include_top=False, pooling=pooling, input_shape=(32, 32, 3))
    assert model.output.shape == shape
    assert "Conv_2_conv" not in {layer.name for layer in model.layers}


@pytest.mark.parametrize("height, width", [(31, 44), (1, 1)])
def test_an_open_size_computes_what_a_fixed_size_computes(height, width):
    open_size = kMobileNetV3Small(input_shape=(None, None, 3), classes=10)
    fixed_size = kMobileNetV3Small(input_shape=(height, width, 3), classes=10)
    fixed_size.set_weights(open_size.get_weights())
    expected = fixed_size(images(height, width)).numpy()
    np.testing.assert_allclose(open_size(images(height, width)).numpy(), expected, atol=1e-6)


def test_a_given_input_keeps_the_layers_before_it():
    image = keras.Input((32, 32, 3))
    model = kMobileNetV3Small(input_tensor=keras.layers.Rescaling(1 / 255, name="scale")(image), classes=10)
    assert model.input is image
    assert model.get_layer("scale").scale == 1 / 255


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = kMobileNetV3Small(input_shape=(32, 32, 3), classes=10)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(model(images()).numpy().astype("float32").sum(axis=1), 1, atol=0.02)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"scheme": "D6"}, ValueError, "`scheme` must be"),
        ({"input_shape": (32, 32)}, ValueError, r"`input_shape` must be \(height, width, channels\)"),
        ({"classes": 0}, ValueError, "`classes` must be at least 1"),
        ({"pooling": "mean", "include_top": False}, ValueError, "`pooling` must be"),
        ({"skip_stride_cnt": -2}, ValueError, "`skip_stride_cnt` must be at least -1"),
        ({"alpha": 0}, ValueError, "`alpha` must be a finite number above 0"),
        ({"dropout": 1}, ValueError, r"`dropout` must be a fraction in \[0, 1\)"),
        ({"weights": "no_such_file.hdf5"}, (FileNotFoundError, ValueError), "no_such_file"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with keras.StatelessScope(), pytest.raises(error, match=message):
        kMobileNetV3Small(**{"input_shape": (32, 32, 3), "classes": 10, **arguments})
