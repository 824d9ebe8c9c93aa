"""kEffNet B0 to B7: published counts, reference outputs, the baselines, paths side by side, options and bad input."""

import functools
import inspect
import json
import pathlib
import pickle

import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications
from kgpc.applications import efficientnet, kEfficientNetB0, kEfficientNetB1, kEfficientNetB7

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
SCHEMES = {"D6": kgpc.D6, "D6v3": kgpc.D6v3}
BASELINES = ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7")
SMALL = {"input_shape": (32, 32, 3), "classes": 10}


def constructor(variant):
    return getattr(applications, f"kEfficientNet{variant}")


def build_without_values(build, **arguments):
    """A model whose weights have shapes but were never drawn: enough to count, and several times faster."""
    with keras.StatelessScope():
        return build(**arguments)


@functools.cache
def counted_b0():
    """kEffNet-B0 16ch for small images, for tests that read its layers."""
    return build_without_values(kEfficientNetB0, scheme=kgpc.D6(16), **SMALL)


def predict(model, x):
    """Outputs of a model for one batch: a NumPy array, or a list of them."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x, training=False))


@pytest.fixture
def double_precision():
    """Two ways to compute the same differ by rounding, which a deep random network multiplies by thousands."""
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


def settle(model, x):
    """Gives batch normalization the statistics of a batch: with those of a new model the signal dies out on the way."""
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum, momentum = 0.0, layer.momentum
    model(x, training=True)
    for layer in normalizations:
        layer.momentum = momentum


def random_images(shape, seed=0):
    return np.random.default_rng(seed).random((2, *shape)).astype(keras.config.floatx())


def published_rows():
    rows = kgpc.paper.published()
    return rows[rows["model"].isin(["EfficientNet-B0", "kEffNet-B0"])]


def published_models():
    """(scheme, image size) of every published model; the text of a scheme as in `str(kgpc.D6(16))`."""
    rows = published_rows()
    return sorted(set(zip(rows.apply(scheme_text, axis=1), map(int, rows["image_size"]), strict=True)))


def scheme_text(row):
    return "None" if row["scheme"] == "none" else f"{row['scheme']}({row['channels_per_group']})"


def scheme_of(text):
    name, _, channels_per_group = text.rstrip(")").partition("(")
    return SCHEMES[name](int(channels_per_group)) if channels_per_group else None


@pytest.mark.parametrize("scheme, size", published_models())
def test_every_published_row_has_our_counts(scheme, size):
    model = build_without_values(
        kEfficientNetB0,
        input_shape=(size, size, 3),
        classes=10,
        scheme=scheme_of(scheme),
        skip_stride_cnt=3 if size == 32 else -1,
    )
    parameters, paper_flops = kgpc.flops.trainable_parameters(model), kgpc.flops.paper_flops(model)
    rows = published_rows()
    rows = rows[(rows.apply(scheme_text, axis=1) == scheme) & (rows["image_size"] == size)]
    assert len(rows) > 0
    for row in rows.itertuples():
        # Another class is another column of the classifier: 1280 weights and a bias; in flops, half of 2 * 1280 for the
        # products, 1 for the bias and 5 for the softmax.
        more = int(row.classes) - 10
        assert row.parameters == parameters + 1281 * more, row.label
        assert row.flops == (paper_flops + 1283 * more) * row.forward_passes, row.label


def test_the_published_rows_are_all_there():
    assert len(published_rows()) == 42
    assert len(published_models()) == 16


def test_counts_with_another_number_of_classes():
    model = build_without_values(kEfficientNetB0, input_shape=(224, 224, 3), classes=100, scheme=kgpc.D6(16))
    assert kgpc.flops.trainable_parameters(model) == 754_992
    assert kgpc.flops.paper_flops(model) == 129_119_560


def golden_models():
    index = GOLDEN / "index.json"
    entries = json.loads(index.read_text())["models"] if index.is_file() else []
    return [entry for entry in entries if entry["variant"].startswith("keffnet")]


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project")
@pytest.mark.parametrize("entry", golden_models(), ids=lambda entry: entry["variant"])
def test_reference_outputs(entry):
    vectors = np.load(GOLDEN / entry["vectors"])
    model = kEfficientNetB0(
        input_shape=tuple(entry["input_shape"]),
        classes=entry["classes"],
        scheme=SCHEMES[entry["scheme"]](entry["channels_per_group"]),
        skip_stride_cnt=entry["constructor"]["skip_stride_cnt"],
        weights=GOLDEN / entry["weights"],
    )
    assert model.count_params() == entry["trainable_params"] + entry["non_trainable_params"]
    names = [entry["feature_layer"], entry["pooling_layer"]]
    view = keras.Model(model.input, [*(model.get_layer(name).output for name in names), model.output])
    features, pooled, probabilities = predict(view, vectors["input"])
    kernel, bias = model.get_layer("k_probs").get_weights()
    actual = {"features": features, "logits": pooled @ kernel + bias, "probs": probabilities}
    maps = np.maximum(np.einsum("bhwc,ck->bkhw", features, kernel[:, vectors["cam_classes"]]), 0)
    peaks = maps.max(axis=(2, 3), keepdims=True)
    actual["cam"] = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
    for key, value in actual.items():
        np.testing.assert_allclose(value, vectors[key], rtol=0, atol=entry["atol"][key], err_msg=key)


# Trainable parameters with 1000 classes. Keras' own models also hold 7 numbers of their normalization, not trainable.
@pytest.mark.parametrize("variant, parameters", [("B1", 7_794_184), ("B3", 12_233_232)])
def test_without_a_scheme_it_has_the_parameters_of_efficientnet(variant, parameters):
    ours = build_without_values(constructor(variant), scheme=None)
    assert kgpc.flops.trainable_parameters(ours) == parameters
    assert ours.name == f"efficientnet{variant.lower()}"


def layer_list(model):
    preprocessing = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    return [
        (layer.name, layer.output.shape, layer.count_params(), getattr(layer, "rate", None))
        for layer in model.layers
        if not isinstance(layer, preprocessing)
    ]


@pytest.mark.parametrize(
    "variant",
    [
        "B0",
        "B2",
        *(pytest.param(variant, marks=pytest.mark.slow) for variant in BASELINES if variant not in ("B0", "B2")),
    ],
)
def test_without_a_scheme_it_has_the_layers_of_keras_applications(variant):
    ours = build_without_values(constructor(variant), scheme=None)
    theirs = build_without_values(getattr(keras.applications, f"EfficientNet{variant}"), weights=None)
    assert ours.input_shape == theirs.input_shape
    # Only the classifier has the name that the published models gave it.
    renamed = [("probs" if name == "predictions" else name, *rest) for name, *rest in layer_list(theirs)]
    assert layer_list(ours) == [tuple(entry) for entry in renamed]
    assert kgpc.flops.trainable_parameters(ours) == kgpc.flops.trainable_parameters(theirs)
    assert kgpc.flops.paper_flops(ours) == kgpc.flops.paper_flops(theirs)


def test_without_a_scheme_it_computes_what_keras_applications_computes(double_precision):
    # Odd sizes on the way: 70 -> 35 -> 18 -> 9 -> 5 -> 3 and 45 -> 23 -> 12 -> 6 -> 3 -> 2.
    arguments = {"input_shape": (70, 45, 3), "classes": 10, "classifier_activation": None}
    ours = kEfficientNetB0(scheme=None, **arguments)
    theirs = keras.applications.EfficientNetB0(weights=None, **arguments)
    images = random_images((70, 45, 3)) * 255
    settle(theirs, images)
    for layer in theirs.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            ours.get_layer("probs" if layer.name == "predictions" else layer.name).set_weights(layer.get_weights())
    scaled = predict(keras.Model(theirs.input, theirs.get_layer("stem_conv_pad").input), images)
    np.testing.assert_allclose(scaled, images / 255, rtol=1e-6)
    expected = predict(theirs, images)
    np.testing.assert_allclose(predict(ours, scaled), expected, rtol=0, atol=1e-9)
    assert abs(expected[0] - expected[1]).max() > 0.01


@pytest.mark.parametrize("variant", ["B0", "B3"])
def test_the_default_width_and_depth_are_those_of_the_variant(variant):
    parameters = inspect.signature(constructor(variant)).parameters
    assert parameters["width"].default == efficientnet.VARIANTS[variant].width
    assert parameters["depth"].default == efficientnet.VARIANTS[variant].depth


def test_another_width_scales_stem_blocks_and_top_and_another_depth_the_blocks():
    for width, depth in ((0.35, 1.0), (1.1, 1.0), (1.0, 0.5), (0.5, 1.2)):
        scaled = build_without_values(kEfficientNetB0, scheme=None, width=width, depth=depth, **SMALL)
        # The function behind keras.applications' variants takes the two factors as they are.
        theirs = build_without_values(
            keras.src.applications.efficientnet.EfficientNet,
            width_coefficient=width,
            depth_coefficient=depth,
            default_size=32,
            weights=None,
            **SMALL,
        )
        assert kgpc.flops.trainable_parameters(scaled) == kgpc.flops.trainable_parameters(theirs)


def test_half_the_depth_leaves_at_least_one_block_of_each_stage():
    model = build_without_values(kEfficientNetB0, depth=0.5, **SMALL)
    added = {layer.name for layer in model.layers if layer.name.endswith("add") and "inter_group" not in layer.name}
    blocks = {layer.name.split("__")[0] for layer in model.layers if layer.name.startswith("k_block")}
    labels = ["1a", "2a", "3a", "4a", "4b", "5a", "5b", "6a", "6b", "7a"]
    assert sorted(blocks) == [f"k_block{label}" for label in labels]
    assert sorted(added) == [f"k_block{label}__0add" for label in ("4b", "5b", "6b")]


@pytest.mark.parametrize("skip, size", [(-1, 1), (0, 2), (3, 8), (7, 31)])
def test_small_images_keep_their_size_where_strides_are_skipped(skip, size):
    model = build_without_values(kEfficientNetB0, include_top=False, skip_stride_cnt=skip, input_shape=(32, 32, 3))
    assert model.output.shape == (None, size, size, 1280)
    # The stride-1 stem still pads by one and runs without padding of its own: 32 -> 31.
    assert model.get_layer("k_stem_conv").output.shape[1] == (16 if skip < 0 else 31)
    if skip == 3:
        sizes = {stage: model.get_layer(f"k_block{stage}a__0bn").output.shape[1] for stage in range(1, 8)}
        assert sizes == {1: 31, 2: 31, 3: 31, 4: 16, 5: 16, 6: 8, 7: 8}


def test_several_schemes_are_paths_side_by_side(double_precision):
    model = kEfficientNetB0(scheme=[kgpc.Grouped(16), kgpc.D6v3(32)], path_merge="add", include_top=False, **SMALL)
    # The top follows the last scheme: D6v3 names its grouped convolution so, 320 channels in groups of 32.
    assert model.get_layer("k_top_conv_c1_m10_conv").filters == 1280

    x = random_images((32, 32, 3))
    settle(model, x)
    names = ("k_global_add", "k_end_relu_0", "k_end_relu_1")
    merged, first, second = predict(keras.Model(model.input, [model.get_layer(name).output for name in names]), x)
    np.testing.assert_array_equal(merged, first + second)
    alone = kEfficientNetB0(scheme=kgpc.D6v3(32), include_top=False, **SMALL)
    for layer in alone.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name.replace("__0", "__1")).get_weights())
    expected = predict(keras.Model(alone.input, alone.get_layer("k_block7a__0project_conv_iga").output), x)
    np.testing.assert_allclose(second, np.maximum(expected, 0), rtol=0, atol=1e-9)
    assert second.max() > 0.1


def test_paths_are_concatenated_unless_told_otherwise():
    model = build_without_values(kEfficientNetB0, scheme=(kgpc.D6(16), None, kgpc.D6(32)), **SMALL)
    assert model.get_layer("k_global_concat").output.shape[-1] == 3 * 320
    # None in a list is a path of ordinary pointwise convolutions.
    assert type(model.get_layer("k_block7a__1expand_conv")) is keras.layers.Conv2D


def test_a_list_of_one_scheme_is_that_scheme():
    listed = build_without_values(kEfficientNetB0, scheme=[kgpc.D6(16)], name="mine", **SMALL)
    assert layer_list(listed) == layer_list(counted_b0())
    assert (listed.name, counted_b0().name) == ("mine", "kefficientnetb0")
    ordinary = build_without_values(kEfficientNetB0, scheme=[None], **SMALL)
    assert kgpc.flops.trainable_parameters(ordinary) == 4_020_358
    assert ordinary.get_layer("k_avg_pool").input.name == ordinary.get_layer("k_top_conv_bn").output.name


def test_drop_connect_rates_divide_by_the_blocks_of_b0():
    def rates(model):
        return {layer.name: layer.rate for layer in model.layers if layer.name.endswith("drop")}

    assert rates(counted_b0())["k_block2b__0drop"] == 0.2 * 2 / 16
    deeper = rates(build_without_values(kEfficientNetB1, **SMALL))
    assert deeper["k_block7b__0drop"] == pytest.approx(0.2 * 22 / 16)
    baseline = rates(build_without_values(kEfficientNetB1, scheme=None, **SMALL))
    assert baseline["block7b_drop"] == pytest.approx(0.2 * 22 / 23)
    assert rates(build_without_values(kEfficientNetB0, drop_connect_rate=0, **SMALL)) == {}


def test_drop_connect_leaves_out_whole_branches():
    layer = keras.layers.Dropout.from_config(counted_b0().get_layer("k_block6d__0drop").get_config())
    dropped = keras.ops.convert_to_numpy(layer(np.ones((64, 3, 3, 2), "float32"), training=True)).reshape(64, -1)
    assert (dropped == dropped[:, :1]).all()
    # A rate of 0.175: neither none nor all of 64 images.
    assert 0 < (dropped[:, 0] == 0).sum() < 64


def test_initial_values_are_those_of_the_published_models():
    model = kEfficientNetB0(scheme=kgpc.D6(16), **SMALL)

    def initializer(name, attribute="kernel_initializer"):
        return getattr(model.get_layer(name), attribute)

    for found in (initializer("k_stem_conv"), initializer("k_block2a__0dwconv", "depthwise_initializer")):
        assert (found.scale, found.mode, found.distribution) == (2.0, "fan_out", "truncated_normal")
    classifier = initializer("k_probs")
    assert (classifier.scale, classifier.mode, classifier.distribution) == (1 / 3, "fan_out", "uniform")
    for name in ("k_block2a__0expand_conv", "k_block2a__0se_reduce_conv", "k_top_conv_conv"):
        assert isinstance(initializer(name), keras.initializers.GlorotUniform)
    kernels = [model.get_layer(f"k_block6{block}__0dwconv").get_weights()[0] for block in "bc"]
    assert not np.array_equal(*kernels)


def test_a_model_survives_saving(tmp_path):
    model = kEfficientNetB0(scheme=kgpc.D6(16), skip_stride_cnt=3, **SMALL)
    x = random_images((32, 32, 3))
    settle(model, x)
    expected = predict(model, x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(expected, predict(again, x))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(expected, predict(clone, x))


@pytest.mark.parametrize("pooling, shape", [(None, (None, 2, 2, 1280)), ("avg", (None, 1280)), ("max", (None, 1280))])
def test_without_the_top(pooling, shape):
    model = build_without_values(kEfficientNetB0, include_top=False, pooling=pooling, input_shape=(64, 64, 3))
    assert model.output.shape == shape


def test_open_image_sizes(double_precision):
    model = kEfficientNetB0(input_shape=(None, None, 3), classes=10, classifier_activation=None)
    fixed = kEfficientNetB0(input_shape=(64, 96, 3), classes=10, classifier_activation=None)
    x = random_images((64, 96, 3))
    settle(fixed, x)
    model.set_weights(fixed.get_weights())
    expected = predict(fixed, x)
    np.testing.assert_allclose(predict(model, x), expected, rtol=0, atol=1e-9)
    assert abs(expected[0] - expected[1]).max() > 0.01
    assert predict(model, random_images((33, 47, 3))).shape == (2, 10)


def test_what_an_input_is_computed_from_belongs_to_the_model():
    image = keras.Input((32, 32, 3))
    model = kEfficientNetB0(input_tensor=keras.layers.Rescaling(1 / 255, name="scale")(image), classes=10)
    assert model.input is image and model.get_layer("scale").scale == 1 / 255


def test_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = kEfficientNetB0(scheme=kgpc.D6(16), skip_stride_cnt=3, **SMALL)
        probabilities = keras.ops.convert_to_numpy(model(random_images((32, 32, 3)), training=True))
    finally:
        keras.config.set_dtype_policy("float32")
    assert probabilities.dtype == "float16" and model.get_layer("k_stem_conv").variable_dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-2)


@pytest.mark.parametrize("variant", BASELINES)
def test_each_variant_has_its_own_name_defaults_and_help(variant):
    build, row = constructor(variant), efficientnet.VARIANTS[variant]
    signature = inspect.signature(build)
    assert list(signature.parameters)[:8] == [
        "include_top",
        "weights",
        "input_tensor",
        "input_shape",
        "pooling",
        "classes",
        "classifier_activation",
        "name",
    ]
    assert signature.parameters["scheme"].default == kgpc.D6(16)
    assert signature.parameters["dropout"].default == row.dropout
    assert build.__name__ == f"kEfficientNet{variant}" and pickle.loads(pickle.dumps(build)) is build
    documentation = inspect.getdoc(build)
    assert documentation.startswith(f"Instantiates kEffNet-{variant}: ")
    assert f"Default ({row.image_size}, {row.image_size}, 3)" in documentation
    assert not set(signature.parameters) - {line.split(":")[0].strip() for line in documentation.splitlines()}
    assert "{" not in documentation


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"scheme": "D6"}, ValueError, "`scheme` must be"),
        ({"scheme": 2}, ValueError, "`scheme` must be"),
        ({"scheme": []}, ValueError, "`scheme` must hold at least one"),
        ({"scheme": [kgpc.D6(16), 32]}, ValueError, "`scheme` must be .* Received: scheme=32"),
        ({"path_merge": "mean"}, ValueError, "`path_merge` must be .* Received: path_merge='mean'"),
        ({"drop_connect_rate": -0.1}, ValueError, "`drop_connect_rate` must be a fraction"),
        ({"drop_connect_rate": 0.3}, ValueError, "`drop_connect_rate` must be smaller than 16/54"),
        ({"width": 0}, ValueError, "`width` must be a finite number above 0"),
        ({"width": float("nan")}, ValueError, "`width` must be a finite number above 0"),
        ({"depth": -1}, ValueError, "`depth` must be a finite number above 0. Received: depth=-1"),
        ({"depth": float("inf")}, ValueError, "`depth` must be a finite number above 0"),
        ({"dropout": 1}, ValueError, r"`dropout` must be a fraction in \[0, 1\)"),
        ({"input_shape": (32, 32)}, ValueError, r"`input_shape` must be \(height, width, channels\)"),
        ({"input_shape": (32, 32, None)}, ValueError, "`input_shape` must have a channel count"),
        ({"classes": 0}, ValueError, "`classes` must be at least 1"),
        ({"pooling": "mean", "include_top": False}, ValueError, "`pooling` must be"),
        ({"skip_stride_cnt": -2}, ValueError, "`skip_stride_cnt` must be at least -1"),
        ({"skip_stride_cnt": 1.5}, TypeError, "`skip_stride_cnt` must be an integer"),
    ],
)
def test_bad_input_is_named_before_anything_is_built(arguments, error, message):
    # B7 takes seconds to build: a check that came late would show.
    with pytest.raises(error, match=message):
        kEfficientNetB7(**{**SMALL, **arguments})


def test_weights_that_are_not_there():
    with pytest.raises(FileNotFoundError, match="no_such_file"):
        kEfficientNetB0(weights="no_such_file.hdf5", **SMALL)
