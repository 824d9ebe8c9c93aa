"""kMobileNet: published counts, reference outputs, the released checkpoint, options and bad input."""

import pathlib

import keras
import numpy as np
import pytest

import kgpc
from kgpc.applications import kMobileNet

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the full set of reference vectors is not part of the project"
)


@pytest.mark.parametrize(
    "channels_per_group, parameters, paper_flops",
    [
        (16, 244_298, 92_007_966),
        (32, 403_018, 153_824_798),
        (64, 718_410, 251_768_350),
        # The table prints 201,421,626 flops here, another model's number; the experiment's notebook has this one.
        (128, 1_324_362, 370_384_414),
    ],
)
def test_published_counts(channels_per_group, parameters, paper_flops):
    with keras.StatelessScope():
        model = kMobileNet(input_shape=(224, 224, 3), classes=10, scheme=kgpc.D6(channels_per_group))
    assert kgpc.flops.trainable_parameters(model) == parameters
    assert kgpc.flops.paper_flops(model) == paper_flops


def test_published_counts_are_those_of_the_table():
    rows = kgpc.paper.published()
    rows = rows[(rows["model"] == "kMobileNet") & (rows["scheme"] == "D6") & (rows["dataset"] == "CIFAR-10")]
    counts = {int(row.channels_per_group): (int(row.parameters), int(row.flops)) for row in rows.itertuples()}
    assert counts[16] == (244_298, 92_007_966) and counts[128] == (1_324_362, 370_384_414)


def test_without_a_scheme_it_is_mobilenet():
    ours = kMobileNet(input_shape=(64, 64, 3), classes=10, scheme=None)
    theirs = keras.applications.MobileNet(input_shape=(64, 64, 3), classes=10, weights=None)
    assert kgpc.flops.trainable_parameters(ours) == 3_217_226
    ours.set_weights(theirs.get_weights())
    x = np.random.default_rng(0).random((2, 64, 64, 3), dtype="float32")
    np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), atol=1e-6)


def check_vectors(model, vectors, features, atol):
    parts = [model.get_layer(name).output for name in (features, "reshape_2")]
    view = keras.Model(model.input, [*parts, model.output])
    for actual, key in zip(view(vectors["input"], training=False), ("features", "logits", "probs"), strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(actual), vectors[key], rtol=0, atol=atol[key], err_msg=key
        )


@needs_golden
@pytest.mark.parametrize(
    "variant, scheme, features, atol",
    [
        (
            "kmobilenet_d6_16ch_64",
            kgpc.D6(16),
            "conv_pw_13_bn_inter_group_add",
            {"features": 0.004, "logits": 0.001, "probs": 8e-05},
        ),
        ("mobilenet_baseline_64", None, "conv_pw_13_relu", {"features": 0.004, "logits": 0.0009, "probs": 0.0002}),
    ],
)
def test_reference_outputs(variant, scheme, features, atol):
    weights = GOLDEN / f"{variant}.weights.hdf5"
    model = kMobileNet(input_shape=(64, 64, 3), classes=10, scheme=scheme, weights=weights)
    check_vectors(model, np.load(GOLDEN / f"{variant}.npz"), features, atol)


@needs_golden
def test_the_released_checkpoint_predicts_as_published():
    folder = GOLDEN / "released_kmobilenet_16ch"
    model = kMobileNet(classes=10, weights=folder / "JP35B14-mobilenet-CIFAR10-2-best_result.hdf5")
    data = np.load(folder / "cifar10_100.npz")
    images = kgpc.applications.mobilenet.preprocess_input(data["images"].repeat(7, axis=1).repeat(7, axis=2))
    probabilities = model.predict(images, batch_size=20, verbose=0)
    np.testing.assert_allclose(probabilities, data["probs"], rtol=0, atol=5e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), data["probs"].argmax(axis=1))
    assert (probabilities.argmax(axis=1) == data["labels"]).sum() == 86


def test_small_images_keep_their_size_where_strides_are_skipped():
    sizes = {}
    for skip in (-1, 0, 1, 4):
        model = kMobileNet(input_shape=(32, 32, 3), classes=10, skip_stride_cnt=skip)
        sizes[skip] = model.get_layer("conv_pw_13_bn_inter_group_add").output.shape[1]
        assert kgpc.flops.trainable_parameters(model) == 244_298
    # The stride-1 stem still pads by one and runs without padding of its own: 32 -> 31.
    assert model.get_layer("conv1").output.shape[1] == 31
    assert sizes == {-1: 1, 0: 1, 1: 3, 4: 31}


def test_a_model_survives_saving(tmp_path):
    model = kMobileNet(input_shape=(32, 32, 3), classes=10, scheme=kgpc.D6v3(16), skip_stride_cnt=3, alpha=0.25)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    np.testing.assert_array_equal(model(x).numpy(), again(x).numpy())
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(x).numpy(), clone(x).numpy())
    model.save_weights(tmp_path / "model.weights.h5")
    arguments = {
        "input_shape": (32, 32, 3),
        "classes": 10,
        "scheme": kgpc.D6v3(16),
        "skip_stride_cnt": 3,
        "alpha": 0.25,
    }
    loaded = kMobileNet(weights=tmp_path / "model.weights.h5", **arguments)
    np.testing.assert_array_equal(model(x).numpy(), loaded(x).numpy())


@pytest.mark.parametrize("pooling, shape", [(None, (None, 2, 2, 256)), ("avg", (None, 256)), ("max", (None, 256))])
def test_without_the_top(pooling, shape):
    model = kMobileNet(include_top=False, pooling=pooling, input_shape=(64, 64, 3), alpha=0.25)
    assert model.output.shape == shape


def test_open_image_sizes_and_a_given_input():
    model = kMobileNet(input_shape=(None, None, 3), classes=10, alpha=0.25)
    assert model(np.zeros((1, 40, 56, 3), "float32")).shape == (1, 10)
    image = keras.Input((32, 32, 3))
    model = kMobileNet(input_tensor=keras.layers.Rescaling(1 / 255)(image), classes=10, alpha=0.25)
    assert model.output.shape == (None, 10)


def test_light_and_chroma_branches_of_the_stem():
    model = kMobileNet(input_shape=(32, 32, 3), classes=10, l_ratio=0.2, ab_ratio=0.8)
    assert model.get_layer("l").output.shape[-1] == 6 and model.get_layer("ab").output.shape[-1] == 26
    assert model.get_layer("l").kernel.shape == (3, 3, 1, 6) and model.get_layer("ab").kernel.shape == (3, 3, 2, 26)
    only_light = kMobileNet(input_shape=(32, 32, 3), classes=10, l_ratio=1, ab_ratio=0)
    assert only_light.get_layer("l").output.shape[-1] == 32
    assert "ab" not in {layer.name for layer in only_light.layers}


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"scheme": "D6"}, ValueError, "`scheme` must be"),
        ({"scheme": 2}, ValueError, "`scheme` must be"),
        ({"input_shape": (32, 32)}, ValueError, r"`input_shape` must be \(height, width, channels\)"),
        ({"input_shape": (32, 32, None)}, ValueError, "`input_shape` must have a channel count"),
        ({"input_shape": (32.5, 32, 3)}, ValueError, "`input_shape` must hold integers"),
        ({"classes": 0}, ValueError, "`classes` must be at least 1"),
        ({"classes": "ten"}, TypeError, "`classes` must be an integer"),
        ({"pooling": "mean", "include_top": False}, ValueError, "`pooling` must be"),
        ({"skip_stride_cnt": -2}, ValueError, "`skip_stride_cnt` must be at least -1"),
        ({"skip_stride_cnt": 1.0}, TypeError, "`skip_stride_cnt` must be an integer"),
        ({"alpha": 0}, ValueError, "`alpha` must be a finite number above 0"),
        ({"dropout": 1}, ValueError, r"`dropout` must be a fraction in \[0, 1\)"),
        ({"l_ratio": 0.5}, ValueError, "`ab_ratio` must be a fraction"),
        ({"l_ratio": 0, "ab_ratio": 0}, ValueError, "must leave filters"),
        ({"weights": "no_such_file.hdf5"}, FileNotFoundError, "no_such_file"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        kMobileNet(**{"input_shape": (32, 32, 3), "classes": 10, **arguments})


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match='`data_format` must be "channels_last"'):
            kMobileNet(input_shape=(3, 32, 32), classes=10)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_a_batch_of_the_wrong_rank_is_refused():
    with pytest.raises(ValueError, match="`images` must be numbers of rank 4"):
        kgpc.applications.mobilenet.preprocess_input(np.zeros((32, 32, 3), "uint8"))
    model = kMobileNet(input_shape=(32, 32, 3), classes=10, alpha=0.25)
    with pytest.raises(ValueError, match="32, 32, 3"):
        model.predict(np.zeros((32, 32, 3), "float32"), verbose=0)
