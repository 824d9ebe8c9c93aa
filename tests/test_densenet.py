"""kDenseNetBC and DenseNetBC: published counts, reference outputs, loading in construction order, options, errors."""

import pathlib
import re

import h5py
import keras
import numpy as np
import pytest

import kgpc
from kgpc.applications import DenseNetBC, kDenseNetBC

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the reference vectors are not part of the project")

# The arrangement of the published grouped-only runs.
GROUPED_ONLY = {"activation": "relu", "interleave_transitions": False, "relu_before_3x3": True}


def images(height=8, width=8):
    return np.random.default_rng(0).random((2, height, width, 3), dtype="float32")


def small(model=kDenseNetBC, **arguments):
    return model(**{"input_shape": (8, 8, 3), "depth": 16, **arguments})


@pytest.mark.parametrize(
    "arguments, parameters, paper_flops",
    [
        ({"scheme": None}, 769_186, 288_027_450),
        ({"scheme": kgpc.D6(12)}, 349_918, 138_209_274),
        ({"scheme": kgpc.D6(24)}, 384_136, 159_595_002),
        ({"scheme": kgpc.Grouped(32), **GROUPED_ONLY}, 383_110, 158_152_506),
        ({"scheme": kgpc.Grouped(64), **GROUPED_ONLY}, 483_586, 201_421_626),
    ],
)
def test_published_counts(arguments, parameters, paper_flops):
    with keras.StatelessScope():
        model = kDenseNetBC(**arguments)
    assert model.input_shape == (None, 32, 32, 3)
    assert kgpc.flops.trainable_parameters(model) == parameters
    assert kgpc.flops.paper_flops(model) == paper_flops


def test_published_counts_are_those_of_the_tables():
    results, unlisted = kgpc.paper.published(), kgpc.paper.published("unlisted_runs")
    dense = results[results["model"].str.contains("DenseNet")]
    assert set(zip(dense["parameters"], dense["flops"], strict=True)) == {
        (769_186, 288_027_450),
        (349_918, 138_209_274),
        (384_136, 159_595_002),
    }
    grouped = unlisted[unlisted["model"].str.contains("DenseNet")]
    assert set(zip(grouped["raw_parameters"], grouped["raw_flops"], strict=True)) == {
        (383_110, 158_152_506),
        (483_586, 201_421_626),
    }


@needs_golden
@pytest.mark.parametrize(
    "variant, model, atol",
    [
        ("kdensenet_bc_l100_d6_12ch_32", kDenseNetBC, {"features": 0.0006, "logits": 3e-05, "probs": 4e-06}),
        ("densenet_bc_l100_baseline_32", DenseNetBC, {"features": 0.0006, "logits": 3e-05, "probs": 6e-06}),
    ],
)
def test_reference_outputs(variant, model, atol):
    vectors = np.load(GOLDEN / f"{variant}.npz")
    model = model(weights=GOLDEN / f"{variant}.weights.hdf5")
    view = keras.Model(model.input, [model.get_layer("relu").output, model.output])
    features, probabilities = (part.numpy() for part in view(vectors["input"], training=False))
    kernel, bias = (weight.numpy() for weight in model.get_layer("softmax").weights)
    logits = features.mean(axis=(1, 2)) @ kernel + bias
    for actual, key in zip((features, logits, probabilities), atol, strict=True):
        np.testing.assert_allclose(actual, vectors[key], rtol=0, atol=atol[key], err_msg=key)


def save_as_keras_2_did(model, path, first_numbers):
    """Writes the weights under the automatic names that the published models' layers have."""
    counts = dict(first_numbers)
    with h5py.File(path, "w") as file:
        names = []
        for layer in kgpc.weights.construction_order(model):
            if not getattr(layer, "weights", None):
                continue
            name = layer.name
            kind = "batch_normalization" if isinstance(layer, keras.layers.BatchNormalization) else "conv2d"
            if not re.fullmatch(r"dn\d_b\d+_k_.*conv|dntransition\d_.*|bn|softmax", name):
                counts[kind] += 1
                name = f"{kind}_{counts[kind]}"
            names.append(name)
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{weight.name}:0" for weight in layer.weights]
            for weight in layer.weights:
                group[f"{name}/{weight.name}:0"] = weight.numpy()
        # Not the order of construction, so that only the numbers tell it.
        file.attrs["layer_names"] = sorted(names)


@pytest.mark.parametrize("arguments", [{}, {"scheme": kgpc.Grouped(32), **GROUPED_ONLY}, {"scheme": None}])
def test_automatic_names_are_matched_in_order_of_construction(tmp_path, arguments):
    published = small(**arguments)
    numbers = np.random.default_rng(0)
    published.set_weights([numbers.uniform(0.1, 1, weight.shape) for weight in published.get_weights()])
    # Numbers of two and three digits: as text, 100 would sort before 99.
    save_as_keras_2_did(published, tmp_path / "published.hdf5", {"conv2d": 97, "batch_normalization": 95})
    loaded = small(**arguments, weights=tmp_path / "published.hdf5")
    for expected, actual in zip(published.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_without_schemes_it_is_the_baseline():
    with keras.StatelessScope():
        built = small(scheme=None)
        baseline = small(DenseNetBC)
        ordinary_blocks = small(scheme=None, transition_scheme=kgpc.D6(12))
        ordinary_transitions = small(transition_scheme=None)
    assert [layer.name for layer in built.layers][1:] == [layer.name for layer in baseline.layers][1:]
    assert built.name == baseline.name == "densenet_bc"
    assert built.get_layer("relu").activation is keras.activations.relu
    for model, blocks, transitions in ((ordinary_blocks, False, True), (ordinary_transitions, True, False)):
        grouped = [layer.name for layer in model.layers if isinstance(layer, kgpc.layers.GroupedPointwiseConv2D)]
        assert any(name.startswith("dn1_") for name in grouped) is blocks
        assert any(name.startswith("dntransition") for name in grouped) is transitions
        assert model.get_layer("relu").activation is keras.activations.silu


def test_the_baseline_has_its_relu_before_each_convolution_and_the_scheme_after_it():
    with keras.StatelessScope():
        baseline, model, grouped = small(DenseNetBC), small(), small(scheme=kgpc.Grouped(32), **GROUPED_ONLY)
    kinds = [type(layer).__name__ for layer in baseline.layers[2:9]]
    assert kinds == ["BatchNormalization", "Activation", "Conv2D"] * 2 + ["Concatenate"]
    assert baseline.get_layer("dn1_b1_growth_conv").activation is keras.activations.linear
    assert model.get_layer("dn1_b1_growth_conv").activation is keras.activations.relu
    assert model.get_layer("dn1_b1_k").activation is keras.activations.silu
    assert grouped.get_layer("dn1_b1_growth_conv").activation is keras.activations.linear
    assert grouped.get_layer("dn1_b1_growth_relu").activation is keras.activations.relu
    assert {layer.epsilon for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)} == {1.001e-5}


def test_transitions_interleave_before_anything_else():
    with keras.StatelessScope():
        model, plain = small(growth_rate=8), small(interleave_transitions=False)
    interleave = model.get_layer("dntransition1_inter")
    assert interleave.step == 8
    assert interleave.input is model.get_layer("dn1_b2_concat").output
    assert not any(layer.name.endswith("_inter") for layer in plain.layers)


def test_depth_growth_bottleneck_and_compression():
    with keras.StatelessScope():
        model = small(depth=22, growth_rate=4, compression=0.25)
        wide = small(bottleneck=20)
    assert model.get_layer("stem_conv").filters == 8
    assert model.get_layer("dn3_b3_growth_conv").filters == 4
    assert model.get_layer("dn1_b1_k_conv").filters == 16
    # 8 + 3 * 4 channels, a quarter of them kept.
    assert model.get_layer("dntransition1_pool").output.shape == (None, 4, 4, 5)
    assert wide.get_layer("dn1_b1_k_conv").filters == 20


@pytest.mark.parametrize("model", [kDenseNetBC, DenseNetBC])
def test_dropout_and_regularizer_reach_every_convolution(model):
    with keras.StatelessScope():
        built = small(model, depth=10, dropout=0.2, kernel_regularizer=keras.regularizers.L2(1e-4))
        plain = small(model, depth=10)
    with_kernel = [layer for layer in built.layers if hasattr(layer, "kernel")]
    assert all(layer.kernel_regularizer is not None for layer in with_kernel)
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in built.layers) == 2 * 3 + 2
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in plain.layers)


@pytest.mark.parametrize("scheme", [kgpc.D6v3(8), None])
def test_a_model_survives_saving(tmp_path, scheme):
    model = small(scheme=scheme, depth=10)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    expected = model(images()).numpy()
    np.testing.assert_array_equal(again(images()).numpy(), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(images()).numpy(), expected)


@pytest.mark.parametrize("pooling, shape", [(None, (None, 2, 2, 48)), ("avg", (None, 48)), ("max", (None, 48))])
@pytest.mark.parametrize("model", [kDenseNetBC, DenseNetBC])
def test_without_the_top(model, pooling, shape):
    with keras.StatelessScope():
        assert small(model, include_top=False, pooling=pooling).output.shape == shape


def test_an_open_size_computes_what_a_fixed_size_computes():
    open_size, fixed_size = small(input_shape=(None, None, 3)), small(input_shape=(9, 12, 3))
    fixed_size.set_weights(open_size.get_weights())
    np.testing.assert_array_equal(open_size(images(9, 12)).numpy(), fixed_size(images(9, 12)).numpy())


@pytest.mark.parametrize("model", [kDenseNetBC, DenseNetBC])
def test_a_given_input_keeps_the_layers_before_it(model):
    image = keras.Input((8, 8, 3))
    built = small(model, input_tensor=keras.layers.Rescaling(1 / 255, name="scale")(image))
    assert built.input is image
    assert built.get_layer("scale").scale == 1 / 255


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(model(images()).numpy().astype("float32").sum(axis=1), 1, atol=0.02)


BAD_INPUT = [
    ({"depth": 99}, ValueError, r"`depth` must be 6 \* n \+ 4 .* Received: depth=99"),
    ({"depth": 4}, ValueError, "`depth` must be"),
    ({"depth": 100.0}, TypeError, "`depth` must be an integer"),
    ({"growth_rate": 0}, ValueError, "`growth_rate` must be at least 1"),
    ({"bottleneck": 0}, ValueError, "`bottleneck` must be at least 1"),
    ({"compression": 0}, ValueError, "`compression` must be"),
    ({"compression": 1.5}, ValueError, "`compression` must be"),
    ({"input_shape": (3, 8, 3)}, ValueError, "at least 4 pixels"),
    ({"classes": 0}, ValueError, "`classes` must be at least 1"),
    ({"pooling": "mean"}, ValueError, "`pooling` must be"),
    ({"dropout": 1}, ValueError, "`dropout` must be"),
    ({"weights": "no_such_file.hdf5"}, (FileNotFoundError, ValueError), "no_such_file"),
]


@pytest.mark.parametrize("model", [kDenseNetBC, DenseNetBC])
@pytest.mark.parametrize("arguments, error, message", BAD_INPUT)
def test_bad_input_is_named(model, arguments, error, message):
    with keras.StatelessScope(), pytest.raises(error, match=message):
        small(model, **{"depth": 10, **arguments})


@pytest.mark.parametrize("arguments", [{"scheme": 40}, {"transition_scheme": 40}, {"transition_scheme": "D6"}])
def test_an_unknown_scheme_is_named(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be a value such as"):
        small(**arguments)


@pytest.mark.parametrize("name", [0, False, np.zeros(2)], ids=str)
@pytest.mark.parametrize("constructor", [kDenseNetBC, DenseNetBC])
def test_what_is_no_name_is_refused(constructor, name):
    with pytest.raises(TypeError, match="`name` must be a text or None"):
        constructor(name=name)
