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
        assert getattr(cai.layers, f"{prefix}_{count}ch")() == scheme(count)
    named = [name for name in vars(cai.layers) if name.startswith(f"{prefix}_")]
    assert sorted(named) == sorted(f"{prefix}_{count}ch" for count in channels)


def test_old_integers_are_those_of_the_published_runs():
    rows = kgpc.paper.published().query("scheme != 'none'")
    for row in rows.itertuples():
        scheme = {"D6": kgpc.D6, "D6v3": kgpc.D6v3}[row.scheme](int(row.channels_per_group))
        assert cai.layers.scheme_of(int(row.ktype)) == scheme
    assert cai.layers.scheme_of(-1) is None
    assert cai.layers.scheme_of(kgpc.D6(5)) == kgpc.D6(5)


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
