"""Old call names: the calls of older code run as they stand, and the reference outputs come out of them."""

import inspect
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import kgpc
from kgpc import cai

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
CARRIED = pathlib.Path(__file__).resolve().parent / "data" / "blocks"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project"
)

num_classes = 10


def without_values(call):
    """A model whose weights were never drawn: the call is the same, only faster."""
    with keras.StatelessScope():
        return call()


def entries(folder, kind):
    index = folder / "index.json"
    return json.loads(index.read_text())[kind] if index.is_file() else []


def called(oracle):
    """The function that a dotted name such as "cai.mobilenet.kMobileNet" stands for."""
    found = cai
    for name in oracle.removeprefix("cai.").split("."):
        found = getattr(found, name)
    return found


def our_name(name):
    return name.replace("/BatchNorm", "_bn").replace("/", "_")


def check_block(arguments, entry, vectors):
    x = keras.Input(vectors["input"].shape[1:])
    model = keras.Model(x, cai.layers.kPointwiseConv2D(x, **arguments))
    assert kgpc.flops.trainable_parameters(model) == entry["trainable_params"]
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(vectors[f"w/{layer.name}/{weight.name}:0"])
    actual = keras.ops.convert_to_numpy(model(vectors["input"], training=False))
    np.testing.assert_allclose(actual, vectors["output"], rtol=0, atol=entry["atol"])


@pytest.mark.parametrize("entry", entries(CARRIED, "blocks"), ids=lambda entry: entry["block"])
def test_the_block_computes_the_reference_output(entry):
    check_block(entry["constructor"], entry, np.load(CARRIED / pathlib.Path(entry["vectors"]).name))


@needs_golden
@pytest.mark.parametrize("entry", entries(GOLDEN, "blocks"), ids=lambda entry: entry["block"])
def test_the_block_computes_every_reference_output(entry):
    assert called(entry["oracle"]) is cai.layers.kPointwiseConv2D
    check_block(entry["constructor"], entry, np.load(GOLDEN / entry["vectors"]))


@needs_golden
@pytest.mark.parametrize("entry", entries(GOLDEN, "models"), ids=lambda entry: entry["variant"])
def test_models_compute_the_reference_outputs(entry):
    vectors = np.load(GOLDEN / entry["vectors"])
    model = called(entry["oracle"])(**entry["constructor"])
    assert kgpc.flops.trainable_parameters(model) == entry["trainable_params"]
    assert model.count_params() == entry["trainable_params"] + entry["non_trainable_params"]
    kgpc.weights.load(model, GOLDEN / entry["weights"])
    pooled_layer = model.get_layer(our_name(entry["pooling_layer"]))
    feature_layer = model.get_layer(our_name(entry["feature_layer"]))
    logits_name, _, applied_by_hand = entry["logits_from"].partition(" ")
    logits_layer = model.get_layer(our_name(logits_name))
    logits_tensor = logits_layer.input if applied_by_hand else logits_layer.output
    view = keras.Model(model.input, [pooled_layer.input, feature_layer.output, logits_tensor, model.output])
    outputs = view(vectors["input"], training=False)
    pooled_from, features, logits, probabilities = map(keras.ops.convert_to_numpy, outputs)
    np.testing.assert_array_equal(features, pooled_from)
    actual = {"features": features, "probs": probabilities}
    actual["logits"] = logits @ logits_layer.kernel.numpy() + logits_layer.bias.numpy() if applied_by_hand else logits
    if "cam" in vectors:
        maps = [
            [
                cai.models.calculate_heat_map_from_dense_and_avgpool(
                    aInput=image,
                    target_class=int(index),
                    pModel=model,
                    pOutputLayerName=entry["feature_layer"],
                    pDenseLayerName="k_probs",
                )
                for index in vectors["cam_classes"]
            ]
            for image in vectors["input"]
        ]
        actual["cam"] = np.array(maps)
    for key, value in actual.items():
        np.testing.assert_allclose(value, vectors[key], rtol=0, atol=entry["atol"][key], err_msg=key)


# The calls of older code as they stand there, and trainable parameters that the authors published for them.
CALLS = {
    "kEfficientNetB0": (
        lambda: cai.efficientnet.kEfficientNetB0(
            include_top=True, input_shape=(224, 224, 3), classes=10, kType=cai.layers.D6_16ch()
        ),
        639_702,
    ),
    "kEfficientNetB0 for small images": (
        lambda: cai.efficientnet.kEfficientNetB0(
            include_top=True, skip_stride_cnt=3, input_shape=(32, 32, 3), classes=10, kType=cai.layers.D6_16ch()
        ),
        639_702,
    ),
    "ksimple_densenet": (
        lambda: cai.densenet.ksimple_densenet(
            [32, 32, 3],
            blocks=16,
            growth_rate=12,
            bottleneck=48,
            compression=0.5,
            l2_decay=0,
            kTypeTransition=cai.layers.D6_12ch(),
            kTypeBlock=cai.layers.D6_12ch(),
            num_classes=10,
            dropout_rate=0.0,
            activation=keras.activations.swish,
            has_interleave_at_transition=True,
        ),
        349_918,
    ),
    "two_path_inception_v3": (
        lambda: cai.inception_v3.two_path_inception_v3(
            include_top=True,
            weights=None,
            input_shape=(224, 224, 3),
            pooling=None,
            classes=num_classes,
            two_paths_partial_first_block=0,
            two_paths_first_block=False,
            two_paths_second_block=False,
            deep_two_paths=False,
            kType=cai.layers.D6_32ch(),
        ),
        15_007_514,
    ),
    "kMobileNet": (
        lambda: cai.mobilenet.kMobileNet(
            include_top=True,
            weights=None,
            input_shape=(224, 224, 3),
            pooling=None,
            classes=10,
            kType=cai.layers.D6_32ch(),
        ),
        403_018,
    ),
    "kMobileNetV3Large": (
        lambda: cai.mobilenet_v3.kMobileNetV3Large(
            input_shape=(224, 224, 3),
            alpha=1.0,
            minimalistic=False,
            include_top=True,
            input_tensor=None,
            classes=10,
            pooling=None,
            dropout_rate=0.2,
            kType=cai.layers.D6_32ch(),
        ),
        710_074,
    ),
}


@pytest.mark.parametrize("call, parameters", CALLS.values(), ids=CALLS)
def test_old_calls_run_as_they_stand(call, parameters):
    assert kgpc.flops.trainable_parameters(without_values(call)) == parameters


def test_the_old_call_for_a_heat_map_runs_as_it_stands():
    model = cai.efficientnet.kEfficientNetB0(input_shape=(32, 32, 3), classes=10, kType=2, skip_stride_cnt=3)
    image = np.random.default_rng(0).random((32, 32, 3), dtype="float32")
    heat = cai.models.calculate_heat_map_from_dense_and_avgpool(
        aInput=image,
        target_class=3,
        pModel=model,
        pOutputLayerName="k_top_conv_group_interleaved",
        pDenseLayerName="k_probs",
    )
    view = keras.Model(model.input, model.get_layer("k_avg_pool").input)
    evidence = view(image[np.newaxis])[0].numpy() @ model.get_layer("k_probs").kernel.numpy()[:, 3]
    expected = np.maximum(evidence, 0)
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-4)
    with pytest.raises(ValueError, match="`aInput` must be one image"):
        cai.models.calculate_heat_map_from_dense_and_avgpool(image[np.newaxis], 3, model, "k_avg_pool", "k_probs")


@pytest.mark.parametrize(
    "prefix, scheme, channels",
    [
        ("D6", kgpc.D6, (4, 8, 12, 16, 24, 32, 64, 128)),
        ("D6v3", kgpc.D6v3, (2, 4, 8, 12, 16, 24, 32, 64, 128)),
        ("kT3", kgpc.Grouped, (16, 32, 64, 128)),
        ("kT3v3", kgpc.GroupedV3, (4, 8, 16, 32, 64, 128)),
    ],
)
def test_old_names_of_the_schemes(prefix, scheme, channels):
    for count in channels:
        number = getattr(cai.layers, f"{prefix}_{count}ch")()
        assert type(number) is int and cai.layers.scheme_of(number) == scheme(count)
    named = [name for name in vars(cai.layers) if name.startswith(f"{prefix}_")]
    assert sorted(named) == sorted(f"{prefix}_{count}ch" for count in channels)


def test_old_integers_are_those_of_the_published_runs():
    rows = kgpc.paper.published().query("scheme != 'none'")
    for row in rows.itertuples():
        scheme = {"D6": kgpc.D6, "D6v3": kgpc.D6v3}[row.scheme](int(row.channels_per_group))
        assert cai.layers.scheme_of(int(row.ktype)) == scheme
    assert cai.layers.scheme_of(-1) is None
    assert cai.layers.scheme_of(kgpc.D6(5)) == kgpc.D6(5)


def test_files_are_named_by_the_old_integers():
    released = kgpc.paper.published("released_weights").query("scheme in ['D6', 'D6v3']")
    for row in released.itertuples():
        number = getattr(cai.layers, f"{row.scheme}_{row.channels_per_group}ch")()
        assert f"-{number}-best_result.hdf5" in row.path


def test_an_ordinary_scheme_never_groups():
    assert cai.layers.scheme_of(0).plan(4096, 2048) == kgpc.grouping.ordinary_plan(4096, 2048)


@pytest.mark.parametrize("unknown", [1, 99, -2, True, None, "D6", 2.0])
def test_an_unknown_type_lists_the_known_ones(unknown):
    calls = [
        lambda: cai.efficientnet.kEfficientNetB0(kType=unknown),
        lambda: cai.efficientnet.kEfficientNetB0(kType=[2, unknown]),
        lambda: cai.mobilenet.kMobileNet(kType=unknown),
        lambda: cai.mobilenet_v3.kMobileNetV3Small(kType=unknown),
        lambda: cai.densenet.ksimple_densenet([32, 32, 3], kTypeBlock=unknown),
        lambda: cai.densenet.ksimple_densenet([32, 32, 3], kTypeTransition=unknown),
        lambda: cai.inception_v3.two_path_inception_v3(kType=unknown),
        lambda: cai.layers.kPointwiseConv2D(keras.Input((4, 4, 8)), kType=unknown),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"`kType\w*` must be .* 2 = D6\(16\), .* 46 = D6v3\(2\)"):
            call()


def test_minus_one_is_the_baseline_and_zero_the_k_architecture_with_ordinary_convolutions():
    def names(call):
        return {layer.name for layer in without_values(call).layers}

    assert "conv_pw_1_relu" in names(lambda: cai.mobilenet.kMobileNet(kType=-1))
    assert {"conv_pw_1_bn_conv", "conv_pw_1_bn_bn"} < names(lambda: cai.mobilenet.kMobileNet(kType=0))
    assert "block1a_dwconv" in names(lambda: cai.efficientnet.kEfficientNetB0(kType=-1))
    assert "block1a_dwconv" in names(cai.efficientnet.EfficientNetB0)
    assert "k_block1a__0dwconv" in names(lambda: cai.efficientnet.kEfficientNetB0(kType=0))

    def densenet(block, transition):
        return names(lambda: cai.densenet.ksimple_densenet([8, 8, 3], 1, kTypeBlock=block, kTypeTransition=transition))

    assert "dn1_b1_bottleneck_relu" in densenet(-1, -1)
    assert {"dn1_b1_k_conv", "dntransition1_conv"} < densenet(0, 0)
    assert "dntransition1_group_interleaved" in densenet(0, 15)


def test_a_list_of_types_makes_several_paths():
    model = without_values(lambda: cai.efficientnet.kEfficientNetB0(input_shape=(32, 32, 3), kType=[2, 32]))
    names = {layer.name for layer in model.layers}
    assert {
        "k_block1a__0dwconv",
        "k_block1a__1dwconv",
        "k_end_relu_1",
        "k_global_concat",
        "k_top_conv_c1_m40_conv",
    } < names
    added = without_values(
        lambda: cai.efficientnet.kEfficientNetB0(input_shape=(32, 32, 3), kType=[2, -1], concat_paths=False)
    )
    assert {"k_global_add", "k_top_conv_conv"} < {layer.name for layer in added.layers}


def test_activations_of_kmobilenet():
    def stem_and_depthwise(**options):
        model = without_values(lambda: cai.mobilenet.kMobileNet(input_shape=(32, 32, 3), **options))
        return [type(model.get_layer(name)).__name__ for name in ("conv1_relu", "conv_dw_1_relu")]

    assert stem_and_depthwise() == ["ReLU", "ReLU"]
    assert stem_and_depthwise(conv1_activation=None, d_separable_activation=None) == ["ReLU", "ReLU"]
    assert stem_and_depthwise(conv1_activation=keras.activations.swish) == ["Activation", "ReLU"]


def test_light_and_chroma_ratios():
    def stem(**options):
        model = without_values(lambda: cai.mobilenet.kMobileNet(input_shape=(32, 32, 3), **options))
        return {layer.name: layer.filters for layer in model.layers if layer.name in ("l", "ab", "conv1")}

    assert stem(l_ratio=0.25, ab_ratio=0.75) == {"l": 8, "ab": 24}
    assert stem(l_ratio=-1, ab_ratio=-1) == stem() == {"conv1": 32}
    inception = without_values(
        lambda: cai.inception_v3.two_path_inception_v3(
            input_shape=(75, 75, 3),
            max_mix_idx=1,
            max_mix_deep_two_paths_idx=0,
            two_paths_first_block=True,
            l_ratio=0.2,
        )
    )
    names = {layer.name for layer in inception.layers}
    assert "mixed0_interleaved" in names and not {"mixed1_interleaved", "mixed2"} & names


def test_regularization_of_densenet():
    model = without_values(lambda: cai.densenet.simple_densenet([8, 8, 3], blocks=1, l2_decay=0.25))
    assert float(model.get_layer("stem_conv").kernel_regularizer.l2) == 0.25
    assert (
        without_values(lambda: cai.densenet.simple_densenet([8, 8, 3], 1)).get_layer("stem_conv").kernel_regularizer
        is None
    )


def test_units_without_a_name_get_different_ones():
    x = keras.Input((4, 4, 32))
    y = cai.layers.kPointwiseConv2D(cai.layers.kPointwiseConv2D(x, 32), 32, channel_axis=-1)
    assert len(keras.Model(x, y).layers) > 4
    with pytest.raises(ValueError, match="`channel_axis` must be 3 or -1"):
        cai.layers.kPointwiseConv2D(x, 32, channel_axis=1)


def test_all_variants_are_there_with_help():
    for index in range(8):
        for prefix in ("k", ""):
            constructor = getattr(cai.efficientnet, f"{prefix}EfficientNetB{index}")
            assert constructor.__name__ == f"{prefix}EfficientNetB{index}" and f"B{index}" in inspect.getdoc(
                constructor
            )


def test_kgpc_does_not_import_the_old_names(root):
    code = "import sys, kgpc; assert not any(name.startswith('kgpc.cai') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


INCEPTION = {
    "two_paths_partial_first_block": 0,
    "two_paths_first_block": False,
    "two_paths_second_block": False,
    "deep_two_paths": False,
    "deep_two_paths_compression": 0.655,
    "deep_two_paths_bottleneck_compression": 0.5,
    "l_ratio": 0.5,
    "ab_ratio": 0.5,
    "max_mix_idx": 10,
    "max_mix_deep_two_paths_idx": -1,
}
NAMED = {"model_name": "two_path_inception_v3"}
SIGNATURES = {
    "models.two_path_inception_v3": {
        "include_top": True,
        "weights": None,
        "input_shape": (224, 224, 3),
        "pooling": None,
        "classes": 1000,
        **INCEPTION,
        **NAMED,
    },
    "models.compiled_two_path_inception_v3": {"input_shape": (224, 224, 3), "classes": 1000, **INCEPTION, **NAMED},
    "inception_v3.compiled_two_path_inception_v3": {
        "input_tensor": None,
        "input_shape": (224, 224, 3),
        "classes": 1000,
        **INCEPTION,
        **NAMED,
        "optimizer": None,
    },
    "inception_v3.InceptionV3": {
        "include_top": True,
        "weights": "imagenet",
        "input_tensor": None,
        "input_shape": None,
        "pooling": None,
        "classes": 1000,
    },
    "mobilenet_v3.MobileNetV3Large": {
        "input_shape": None,
        "alpha": 1.0,
        "minimalistic": False,
        "include_top": True,
        "weights": "imagenet",
        "input_tensor": None,
        "classes": 1000,
        "pooling": None,
        "dropout_rate": 0.2,
    },
    "datasets.load_dataset": {
        "dataset": inspect.Parameter.empty,
        "lab": False,
        "verbose": False,
        "bipolar": True,
        "base_model_name": "",
    },
    "datasets.save_dataset_as_png": {
        "aImages": inspect.Parameter.empty,
        "aClasses": inspect.Parameter.empty,
        "dest_folder_name": "img",
        "with_horizontal_flip": False,
        "with_vertical_flip": False,
    },
    "datasets.download_zip_and_extract": {
        "url_zip_file": inspect.Parameter.empty,
        "local_zip_file": inspect.Parameter.empty,
        "expected_folder_name": inspect.Parameter.empty,
        "Verbose": True,
    },
    "datasets.extract_subset_every": {
        "source_folder": inspect.Parameter.empty,
        "dest_folder": inspect.Parameter.empty,
        "move_every": 10,
        "shift": 0,
        "verbose": False,
    },
    "datasets.test_flips_on_saved_model": {
        "test_x": inspect.Parameter.empty,
        "test_y": inspect.Parameter.empty,
        "model_file_name": inspect.Parameter.empty,
        "has_flip_x": True,
        "has_flip_y": True,
        "has_bw": True,
        "center_crop": 0.0,
    },
    "datasets.skimage_rgb2lab_a": {"aRGB": inspect.Parameter.empty, "verbose": True},
    "datasets.fix_bad_tfkeras_channel_order": {"aImages": inspect.Parameter.empty},
    "models.load_kereas_model": {"filename": inspect.Parameter.empty},
    "models.save_model": {"model": inspect.Parameter.empty, "base_name": inspect.Parameter.empty},
    "layers.CopyChannels": {"channel_start": 0, "channel_count": 1},
}


@pytest.mark.parametrize("name, expected", SIGNATURES.items(), ids=SIGNATURES)
def test_arguments_their_order_and_their_defaults(name, expected):
    parameters = inspect.signature(called(name)).parameters.items()
    assert [(key, parameter.default) for key, parameter in parameters][: len(expected)] == list(expected.items())


def test_baselines_without_a_scheme_have_the_published_parameters():
    large = without_values(lambda: cai.mobilenet_v3.MobileNetV3Large((None, None, 3), classes=10))
    assert kgpc.flops.trainable_parameters(large) == 4_214_842
    inception = without_values(
        lambda: cai.inception_v3.InceptionV3(weights=None, input_shape=(None, None, 3), classes=10)
    )
    assert kgpc.flops.trainable_parameters(inception) == 21_788_842
    with pytest.warns(UserWarning, match="the weights are random"):
        without_values(lambda: cai.inception_v3.InceptionV3(False, input_shape=(75, 75, 3)))
    small = without_values(lambda: cai.mobilenet_v3.MobileNetV3Small((32, 32, 3), classes=10))
    assert "small" in small.name


def test_ratios_are_ignored_where_nothing_has_two_paths():
    def stem(**options):
        model = without_values(
            lambda: cai.models.two_path_inception_v3(input_shape=(75, 75, 3), max_mix_idx=-1, classes=10, **options)
        )
        return {layer.name: layer.filters for layer in model.layers if layer.name.endswith("_1_conv")}

    assert stem(l_ratio=-1, ab_ratio=2) == stem() == {"stem_1_conv": 32}
    assert stem(two_paths_first_block=True, l_ratio=0.2, ab_ratio=0.8) == {"light_1_conv": 6, "chroma_1_conv": 26}
    assert stem(two_paths_first_block=True, l_ratio=0, ab_ratio=1) == {"chroma_1_conv": 32}
    with pytest.raises(ValueError, match="`l_ratio` must be"):
        stem(two_paths_partial_first_block=1, l_ratio=-1, ab_ratio=2)


def test_compressions_are_ignored_where_they_do_not_act_and_else_the_published_ones():
    def build(**options):
        options = {"max_mix_idx": 0, "input_shape": (75, 75, 3), "classes": 10, **options}
        return without_values(lambda: cai.models.two_path_inception_v3(**options))

    halves = {"deep_two_paths_compression": 0.5, "deep_two_paths_bottleneck_compression": 0.5}
    plain, given = build(two_paths_first_block=True), build(two_paths_first_block=True, **halves)
    assert [layer.name for layer in plain.layers[1:]] == [layer.name for layer in given.layers[1:]]
    second = build(two_paths_second_block=True, **{**halves, "deep_two_paths_compression": 0.655})
    names = ("second_block_ta_conv", "l_branch_path_conv", "light_4_conv")
    assert [second.get_layer(name).filters for name in names] == [32, 52, 126]
    for options in (
        {"two_paths_second_block": True},
        {"two_paths_partial_first_block": 4},
        {"deep_two_paths": True},
        {"max_mix_deep_two_paths_idx": 0},
    ):
        with pytest.raises(ValueError, match="`deep_two_paths_compression` must be 0.655"):
            build(**options, **halves)
    # With 1 or 2, the second block is not in two paths whatever is said of it.
    build(two_paths_partial_first_block=1, two_paths_second_block=True, **halves)
    with pytest.warns(UserWarning, match="Unknown arguments are ignored: color_space"):
        build(color_space="lab")
    for bad in (None, "no"):
        with pytest.raises((TypeError, ValueError), match="`max_mix_deep_two_paths_idx` must be"):
            build(max_mix_deep_two_paths_idx=bad)


def test_the_compiled_two_branch_network_has_its_classifier_and_optimizer():
    options = {"input_shape": (75, 75, 3), "classes": 29, "max_mix_idx": 0, "l_ratio": 0.2, "ab_ratio": 0.8}
    model = cai.models.compiled_two_path_inception_v3(**options, two_paths_first_block=True)
    assert [type(layer).__name__ for layer in model.layers[-3:]] == ["GlobalAveragePooling2D", "Dense", "Activation"]
    assert [layer.name for layer in model.layers[-2:]] == ["preprediction", "prediction"]
    assert (model.name, model.loss) == ("two_path_inception_v3", "categorical_crossentropy")
    assert kgpc.flops.trainable_parameters(model) == 426_219  # the row of JP27B17 with one mixed layer
    config = model.optimizer.get_config()
    assert type(model.optimizer) is keras.optimizers.SGD and config["nesterov"]
    assert (round(config["learning_rate"], 6), config["momentum"]) == (0.01, 0.9)
    plain = cai.inception_v3.compiled_two_path_inception_v3(
        **{**options, "max_mix_idx": -1}, optimizer="sgd", deep_two_paths_compression=0.6
    )
    assert plain.optimizer.get_config()["momentum"] == 0


def test_copied_channels_end_with_the_input():
    x = np.arange(2 * 3 * 3 * 5, dtype="float32").reshape(2, 3, 3, 5)
    for start, count, expected in ((0, 1, x[..., :1]), (1, 2, x[..., 1:3]), (3, 9, x[..., 3:])):
        layer = cai.layers.CopyChannels(start, count)
        np.testing.assert_array_equal(layer(x), expected)
        assert layer.compute_output_shape(x.shape) == expected.shape
        again = cai.layers.CopyChannels.from_config(layer.get_config())
        assert (again.channel_start, again.channel_count) == (start, count)
    assert cai.layers.CopyChannels(2)(keras.Input((4, 4, 3))).shape == (None, 4, 4, 1)
    for bad in ({"channel_start": -1}, {"channel_count": 0}, {"channel_count": 1.5}):
        with pytest.raises((TypeError, ValueError), match=f"`{next(iter(bad))}` must be an integer"):
            cai.layers.CopyChannels(**bad)
    with pytest.raises(ValueError, match="`channel_start` must be smaller than the 3 input channels"):
        cai.layers.CopyChannels(3)(keras.Input((4, 4, 3)))
    with pytest.raises(ValueError, match="`channel_start` must be smaller than the 5 input channels"):
        cai.layers.CopyChannels(5)(x)


def test_the_schedule_of_a_hundred_epochs():
    rates = [cai.densenet.cyclical_smooth_lrscheduler(epoch) for epoch in (0, 49, 50, 74, 75, 99, 100, 175)]
    assert rates == [0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.01, 0.0001]
    with pytest.raises(ValueError, match="`epoch` must be an integer of at least 0"):
        cai.densenet.cyclical_smooth_lrscheduler(-1)


def test_a_saved_model_is_two_files(tmp_path):
    model = cai.mobilenet.kMobileNet(input_shape=(32, 32, 3), classes=10, alpha=0.25)
    cai.models.save_model(model, str(tmp_path / "base"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.h5", "base.model"]
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    for load in (
        lambda model: model.load_weights(tmp_path / "base.h5"),
        lambda model: kgpc.weights.load(model, tmp_path / "base.h5"),
    ):
        again = keras.models.model_from_json((tmp_path / "base.model").read_text())
        load(again)
        np.testing.assert_array_equal(again(images), model(images))
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        cai.models.save_model("model", tmp_path / "other")
