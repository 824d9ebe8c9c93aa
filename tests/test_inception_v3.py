"""kInceptionV3: published counts, reference outputs, the light and chroma branches, CIE Lab, options, bad input."""

import pathlib

import h5py
import keras
import numpy as np
import pytest

import kgpc
from kgpc.applications import kInceptionV3
from kgpc.applications.inception_v3 import preprocess_input, rgb_to_scaled_lab

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project"
)


def counting(**arguments):
    """A model that can be counted but has no weights in memory."""
    with keras.StatelessScope():
        return kInceptionV3(**{"input_shape": (224, 224, 3), "classes": 10, **arguments})


def channels(model, *names):
    return [model.get_layer(name).output.shape[-1] for name in names]


def described(model):
    return [(layer.name, layer.output.shape) for layer in model.layers[1:]]


def names(model):
    return {layer.name for layer in model.layers}


@pytest.mark.parametrize(
    "scheme, parameters, paper_flops",
    [
        (None, 21_788_842, 2_842_007_118),
        (kgpc.D6(16), 14_881_754, 2_297_780_430),
        (kgpc.D6(32), 15_007_514, 2_320_658_062),
        (kgpc.Grouped(16), 14_845_706, 2_294_001_070),
    ],
)
def test_published_counts(scheme, parameters, paper_flops):
    model = counting(scheme=scheme)
    assert kgpc.flops.trainable_parameters(model) == parameters
    assert kgpc.flops.paper_flops(model) == paper_flops


def test_published_counts_are_those_of_the_table():
    rows = kgpc.paper.published()
    rows = rows[rows["model"].isin(["Inception V3", "kInception V3"])]
    assert sorted(zip(rows["parameters"], rows["flops"], strict=True)) == [
        (14_881_754, 2_297_780_430),
        (15_007_514, 2_320_658_062),
        (21_788_842, 2_842_007_118),
    ]


def test_the_two_branch_models_have_the_published_parameters():
    rows = kgpc.paper.published("two_branch_results").dropna(subset=["raw_trainable_parameters"])
    assert len(rows) == 13
    # Tables 4 and 5 share one configuration.
    rows = rows.drop_duplicates(["colour_space", "l_ratio", "max_mix_idx"])
    for row in rows.itertuples():
        two_branches = row.colour_space == "L-AB"
        ratios = {"l_ratio": row.l_ratio, "ab_ratio": 1 - row.l_ratio} if two_branches else {}
        model = counting(
            classes=29, scheme=None, two_paths_first_block=two_branches, max_mix_idx=int(row.max_mix_idx), **ratios
        )
        assert kgpc.flops.trainable_parameters(model) == row.raw_trainable_parameters, row
        assert model.count_params() == row.raw_total_parameters, row


@pytest.mark.parametrize("ratio, weights", [(None, 28_512), (0.2, 19_566), (0.5, 14_256), (0.8, 19_386)])
def test_the_two_branches_save_weights_in_the_first_layers(ratio, weights):
    options = {} if ratio is None else {"two_paths_first_block": True, "l_ratio": ratio, "ab_ratio": 1 - ratio}
    model = counting(max_mix_idx=-1, **options)
    convolutions = [layer for layer in model.layers if layer.name[-6:] in ("1_conv", "2_conv", "3_conv")]
    assert len(convolutions) == (3 if ratio is None else 6)
    assert sum(layer.count_params() for layer in convolutions) == weights


def test_without_a_scheme_it_is_inception_v3():
    ours = kInceptionV3(input_shape=(75, 75, 3), classes=10, scheme=None)
    theirs = keras.applications.InceptionV3(input_shape=(75, 75, 3), classes=10, weights=None)
    assert kgpc.flops.trainable_parameters(ours) == kgpc.flops.trainable_parameters(theirs) == 21_788_842
    pairs = zip(kgpc.weights.construction_order(ours), kgpc.weights.construction_order(theirs), strict=True)
    for our_layer, their_layer in pairs:
        if isinstance(our_layer, keras.layers.Layer):
            our_layer.set_weights(their_layer.get_weights())
    x = np.random.default_rng(0).random((2, 75, 75, 3), dtype="float32")
    np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), rtol=0, atol=1e-6)


def test_alpha_scales_the_filters_of_every_convolution():
    whole, half = counting(scheme=None), counting(scheme=None, alpha=0.5)
    pairs = list(zip(whole.layers, half.layers, strict=True))
    for one, other in pairs:
        if isinstance(one, keras.layers.Conv2D):
            assert other.filters == one.filters // 2, one.name
            assert (other.kernel_size, other.strides) == (one.kernel_size, one.strides)
    assert sum(isinstance(one, keras.layers.Conv2D) for one, _ in pairs) == 94
    least = counting(scheme=None, alpha=0.001, max_mix_idx=0)
    assert {layer.filters for layer in least.layers if isinstance(layer, keras.layers.Conv2D)} == {1}


def test_alpha_comes_before_the_shares_of_two_branches():
    model = counting(two_paths_second_block=True, max_mix_idx=-1, alpha=0.5)
    filters = {layer.name: layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert [filters[f"light_{index}_conv"] for index in (1, 2, 3, 4)] == [8, 8, 16, 63]  # round(96 * 0.655)


@needs_golden
def test_reference_outputs():
    weights = GOLDEN / "kinceptionv3_d6_16ch_107.weights.hdf5"
    vectors = np.load(GOLDEN / "kinceptionv3_d6_16ch_107.npz")
    model = kInceptionV3(input_shape=(107, 107, 3), classes=10, weights=weights)
    view = keras.Model(
        model.input, [model.get_layer("mixed10").output, model.get_layer("avg_pool").output, model.output]
    )
    features, pooled, probabilities = map(keras.ops.convert_to_numpy, view(vectors["input"], training=False))
    kernel, bias = model.get_layer("predictions").get_weights()
    np.testing.assert_allclose(features, vectors["features"], rtol=0, atol=0.03)
    np.testing.assert_allclose(pooled @ kernel + bias, vectors["logits"], rtol=0, atol=0.001)
    np.testing.assert_allclose(probabilities, vectors["probs"], rtol=0, atol=0.0002)


def test_three_pointwise_convolutions_stay_ordinary():
    model = counting(max_mix_idx=3)
    pointwise = [layer for layer in model.layers if getattr(layer, "kernel_size", None) == (1, 1)]
    assert sorted(layer.name for layer in pointwise if layer.groups == 1) == [
        "mixed0_11c_conv",
        "mixed2_11c_conv",
        "mixed2_avg11_conv",
    ]
    assert model.get_layer("single_path_conv").groups == 4


def test_a_file_with_automatic_names_is_matched_light_branch_first(tmp_path):
    model = kInceptionV3(
        input_shape=(75, 75, 3),
        classes=10,
        scheme=None,
        two_paths_first_block=True,
        l_ratio=0.2,
        ab_ratio=0.8,
        max_mix_idx=-1,
    )
    rng = np.random.default_rng(0)
    # The numbers that Keras 2 gave in a published two-branch model: those of the light branch are the smaller ones.
    units = ["light_1", "light_2", "light_3", "chroma_1", "chroma_2", "chroma_3", "single_path", "stem_4"]
    stored = {"predictions": model.get_layer("predictions")}
    for number, unit in enumerate(units, start=52):
        stored[f"conv2d_{number}"] = model.get_layer(f"{unit}_conv")
        stored[f"batch_normalization_{number}"] = model.get_layer(f"{unit}_bn")
    expected = {}
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        # Keras 2 lists layers by depth, so both branches alternate; the order of the list must not matter.
        file.attrs["layer_names"] = sorted(stored, reverse=True)
        for name, layer in stored.items():
            file.create_group(name).attrs["weight_names"] = [f"{name}/{weight.name}:0" for weight in layer.weights]
            for weight in layer.weights:
                expected[weight.path] = rng.random(weight.shape, dtype="float32")
                file[name][f"{name}/{weight.name}:0"] = expected[weight.path]
    kgpc.weights.load(model, tmp_path / "weights.hdf5")
    for weight in model.weights:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), expected[weight.path], err_msg=weight.path)


def test_a_partial_first_block_splits_the_first_convolutions_only():
    one = counting(two_paths_partial_first_block=1, l_ratio=0.2, ab_ratio=0.8, max_mix_idx=-1)
    assert channels(one, "light_1", "chroma_1", "concat_partial_first_block1", "stem_2", "stem_3") == [
        6,
        26,
        32,
        32,
        64,
    ]
    assert one.get_layer("light_1_conv").kernel.shape == (3, 3, 1, 6)
    assert one.get_layer("chroma_1_conv").kernel.shape == (3, 3, 2, 26)
    two = counting(two_paths_partial_first_block=2, l_ratio=0.2, ab_ratio=0.8, max_mix_idx=-1)
    assert channels(two, "light_2", "chroma_2", "concat_partial_first_block2", "stem_3") == [6, 26, 32, 64]
    assert not {"stem_1", "stem_2", "light_3", "concat_first_block"} & names(two)
    # With 1 or 2 the flags do not count.
    flags = {"two_paths_first_block": True, "two_paths_second_block": True}
    flagged = counting(two_paths_partial_first_block=2, l_ratio=0.2, ab_ratio=0.8, max_mix_idx=-1, **flags)
    assert described(flagged) == described(two)


def test_the_second_block_includes_the_first():
    model = counting(two_paths_second_block=True, l_ratio=0.2, ab_ratio=0.8, max_mix_idx=0)
    assert channels(model, "light_3", "chroma_3", "concat_first_block") == [13, 51, 64]
    assert channels(model, "second_block_ta_bn", "l_branch_path", "light_4") == [32, 52, 126]
    assert channels(model, "second_block_tb_bn", "ab_branch_path", "chroma_4", "concat_second_block") == [
        32,
        52,
        126,
        252,
    ]
    assert model.get_layer("light_4").output.shape[1] == 52 and model.get_layer("mixed0").output.shape[1] == 25
    # No activation follows the two convolutions that halve the channels.
    assert not {"second_block_ta", "second_block_tb"} & names(model)


@pytest.mark.parametrize("partial, flag", [(3, {"two_paths_first_block": True}), (4, {"two_paths_second_block": True})])
def test_larger_partial_first_blocks_are_the_flags(partial, flag):
    by_number, by_flag = (
        counting(two_paths_partial_first_block=partial, max_mix_idx=-1),
        counting(max_mix_idx=-1, **flag),
    )
    assert described(by_number) == described(by_flag)


@pytest.mark.parametrize("light, chroma", [(1, 0), (0, 1)])
def test_a_ratio_of_0_removes_the_branch(light, chroma):
    model = counting(two_paths_first_block=True, l_ratio=light, ab_ratio=chroma, max_mix_idx=-1)
    gone, left = ("chroma", "light") if light else ("light", "chroma")
    assert channels(model, f"{left}_1", f"{left}_2", f"{left}_3") == [32, 32, 64]
    assert not any(name.startswith(gone) for name in names(model)) and "concat_first_block" not in names(model)


def test_the_branches_read_their_own_channels():
    model = kInceptionV3(input_shape=(75, 75, 3), classes=10, two_paths_first_block=True, max_mix_idx=-1)
    view = keras.Model(model.input, [model.get_layer("light_1").output, model.get_layer("chroma_1").output])
    image = np.random.default_rng(0).random((1, 75, 75, 3), dtype="float32")
    darker = image * np.float32([0.5, 1, 1])
    (light, chroma), (light_of_darker, chroma_of_darker) = view(image), view(darker)
    np.testing.assert_array_equal(chroma, chroma_of_darker)
    assert np.abs(light - light_of_darker).max() > 0.01


def test_deep_two_branch_layers_have_the_filters_of_the_paper():
    model = counting(deep_two_paths=True, scheme=kgpc.D6(16))
    assert model.get_layer("mixed0_interleaved").step == 2
    assert channels(model, "mixed0_interleaved", "mixed0_ta_bn", "mixed0_tb_bn") == [192, 96, 96]
    assert not {"mixed0_ta", "mixed0_tb", "mixed0_11a"} & names(model)
    for half in "ab":
        # Pointwise: int(0.5 * n); others int(0.655 * n), and so is the 1x1 before the double 3x3 of mixed0 to mixed2.
        units = [f"mixed0{half}_{suffix}" for suffix in ("11a", "11b", "55b", "11c", "33c", "33cc", "avg11")]
        assert channels(model, *units) == [32, 24, 41, 41, 62, 62, 16]
        units = [f"mixed2{half}_{suffix}" for suffix in ("11a", "11b", "55b", "11c", "33c", "33bb", "avg11")]
        assert channels(model, *units) == [32, 24, 41, 41, 62, 62, 32]
        units = [f"mixed3{half}_{suffix}" for suffix in ("33a", "11b", "33b", "33bb", "max")]
        assert channels(model, *units) == [192, 32, 62, 62, 167]
        units = [f"mixed4{half}_{suffix}" for suffix in ("11a", "11b", "17b", "71b", "11c", "71cc", "17cc", "avg11")]
        assert channels(model, *units) == [96, 64, 83, 125, 64, 83, 125, 96]
        units = [f"mixed8{half}_{suffix}" for suffix in ("11a", "33a", "11b", "17b", "33b")]
        assert channels(model, *units) == [96, 209, 96, 125, 125]
        units = [f"mixed10{half}_{suffix}" for suffix in ("11", "22", "11a", "31a", "pa", "11b", "33b", "pb", "avg11")]
        assert channels(model, *units) == [160, 192, 251, 251, 502, 224, 251, 502, 96]
    assert channels(model, "mixed0a", "mixed0", "mixed2", "mixed3") == [151, 302, 334, 842]
    assert [tensor.name for tensor in model.get_layer("mixed10").input] == [
        model.get_layer(name).output.name for name in ("mixed10a", "mixed10b")
    ]


@pytest.mark.parametrize(
    "options, deep",
    [
        ({}, []),
        ({"deep_two_paths": True}, [0, 1, 2]),
        ({"deep_two_paths": True, "max_mix_deep_two_paths_idx": 1}, [0, 1]),
        ({"max_mix_deep_two_paths_idx": 0}, [0]),
        ({"max_mix_deep_two_paths_idx": 9}, [0, 1, 2]),
    ],
)
def test_how_deep_the_two_branches_go(options, deep):
    model = counting(max_mix_idx=2, **options)
    assert [index for index in range(11) if f"mixed{index}a" in names(model)] == deep
    assert [index for index in range(11) if f"mixed{index}" in names(model)] == [0, 1, 2]


@pytest.mark.parametrize("scheme", [None, kgpc.D6v3(16)])
def test_a_two_branch_model_survives_saving(scheme, tmp_path):
    arguments = {
        "input_shape": (75, 75, 3),
        "classes": 10,
        "scheme": scheme,
        "two_paths_second_block": True,
        "max_mix_deep_two_paths_idx": 0,
        "max_mix_idx": 0,
    }
    model = kInceptionV3(**arguments)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = kInceptionV3(weights=tmp_path / "model.weights.h5", **arguments)
    x = np.random.default_rng(0).random((2, 75, 75, 3), dtype="float32")
    for other in (again, clone, loaded):
        np.testing.assert_array_equal(model(x).numpy(), other(x).numpy())


@pytest.mark.parametrize("pooling, shape", [(None, (None, 7, 7, 256)), ("avg", (None, 256)), ("max", (None, 256))])
def test_without_the_top(pooling, shape):
    model = counting(include_top=False, pooling=pooling, input_shape=(75, 75, 3), max_mix_idx=0)
    assert model.output.shape == shape


def test_the_smallest_image_leaves_one_feature_vector():
    assert counting(include_top=False, input_shape=(75, 75, 3)).output.shape == (None, 1, 1, 2048)


def test_open_image_sizes_and_a_given_input():
    model = kInceptionV3(input_shape=(None, None, 3), classes=10, two_paths_first_block=True, max_mix_idx=0)
    assert model(np.zeros((1, 80, 96, 3), "float32")).shape == (1, 10)
    image = keras.Input((75, 75, 3))
    model = kInceptionV3(input_tensor=keras.layers.Rescaling(1 / 255)(image), classes=10, max_mix_idx=0)
    assert model.output.shape == (None, 10)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = kInceptionV3(input_shape=(75, 75, 3), classes=10, max_mix_deep_two_paths_idx=0, max_mix_idx=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("mixed0").compute_dtype == "bfloat16" and model.weights[0].dtype == "float32"
    probabilities = keras.ops.cast(model(np.ones((1, 75, 75, 3), "float32")), "float32")
    assert abs(float(keras.ops.sum(probabilities)) - 1) < 0.02


def test_inputs_are_left_unscaled_but_for_their_type():
    images = np.arange(2 * 4 * 4 * 3, dtype="uint8").reshape(2, 4, 4, 3)
    actual = preprocess_input(images)
    assert actual.dtype == "float32"
    np.testing.assert_array_equal(actual, images)


def test_known_colours_in_scaled_lab():
    colours = np.uint8([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [119, 119, 119]])
    lab = [
        [100, 0, 0],
        [0, 0, 0],
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
        [50.03, 0, 0],
    ]
    actual = rgb_to_scaled_lab(colours.reshape(1, 2, 3, 3))
    assert actual.shape == (1, 2, 3, 3) and actual.dtype == "float32"
    expected = np.array(lab) / [100, 200, 200] + [0, 0.5, 0.5]
    np.testing.assert_allclose(actual.reshape(-1, 3), expected, rtol=0, atol=1e-4)
    assert rgb_to_scaled_lab(np.zeros((0, 8, 8, 3), "uint8")).shape == (0, 8, 8, 3)


def test_scaled_lab_agrees_with_the_definition():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype="uint8")
    srgb = images / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    x, y, z = np.moveaxis(linear @ matrix.T / matrix.sum(axis=1), -1, 0)
    x, y, z = (np.where(v > 216 / 24389, np.cbrt(v), (24389 / 27 * v + 16) / 116) for v in (x, y, z))
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    expected = lab / [100, 200, 200] + [0, 0.5, 0.5]
    np.testing.assert_allclose(rgb_to_scaled_lab(images), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((8, 8, 3), "uint8"), r"`images` must be numbers of rank 4 \(batch, height, width, channels\)"),
        (np.zeros((1, 8, 8, 1), "uint8"), r"`images` must be \(batch, height, width, 3\)"),
        (np.full((1, 8, 8, 3), -1.0), r"`images` must hold values of 0\.\.255"),
        (np.full((1, 8, 8, 3), 256), r"`images` must hold values of 0\.\.255"),
        (np.full((1, 8, 8, 3), np.nan), r"`images` must hold values of 0\.\.255"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        rgb_to_scaled_lab(images)


def test_a_batch_of_the_wrong_rank_is_refused():
    with pytest.raises(ValueError, match=r"`images` must be numbers of rank 4 \(batch, height, width, channels\)"):
        preprocess_input(np.zeros((32, 32, 3), "uint8"))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"scheme": 2}, ValueError, "`scheme` must be"),
        ({"input_shape": (74, 75, 3)}, ValueError, "`input_shape` must be at least 75 pixels"),
        ({"input_shape": (75, 75)}, ValueError, r"`input_shape` must be \(height, width, channels\)"),
        ({"classes": 0}, ValueError, "`classes` must be at least 1"),
        ({"pooling": "mean"}, ValueError, "`pooling` must be"),
        ({"alpha": 0}, ValueError, "`alpha` must be a finite number above 0"),
        ({"l_ratio": 1.1}, ValueError, "`l_ratio` must be a fraction"),
        ({"ab_ratio": -1}, ValueError, "`ab_ratio` must be a fraction"),
        (
            {"two_paths_first_block": True, "l_ratio": 0, "ab_ratio": 0},
            ValueError,
            "`l_ratio` or `ab_ratio` must be above 0",
        ),
        (
            {"two_paths_first_block": True, "l_ratio": 0.01},
            ValueError,
            "`l_ratio` must be 0 or leave at least one filter",
        ),
        ({"two_paths_first_block": True, "input_shape": (75, 75, 1)}, ValueError, "needs 3 input channels"),
        (
            {"two_paths_partial_first_block": -1},
            ValueError,
            "`two_paths_partial_first_block` must be an integer of at least 0",
        ),
        ({"two_paths_partial_first_block": True}, TypeError, "`two_paths_partial_first_block` must be an integer"),
        ({"max_mix_idx": 11}, ValueError, r"`max_mix_idx` must be an integer in \[-1, 10\]"),
        ({"max_mix_idx": 1.0}, TypeError, "`max_mix_idx` must be an integer"),
        (
            {"max_mix_deep_two_paths_idx": -2},
            ValueError,
            r"`max_mix_deep_two_paths_idx` must be an integer in \[-1, 10\]",
        ),
        ({"weights": "no_such_file.hdf5"}, FileNotFoundError, "no_such_file"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        kInceptionV3(**{"input_shape": (75, 75, 3), "classes": 10, "max_mix_idx": -1, **arguments})
