"""Weights that come along: written with a card, loaded by name, and refused where anything does not fit."""

import hashlib
import io
import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest

import kgpc
from kgpc import included, released, weight_archives, weights
from kgpc.applications import kMobileNet, kMobileNetV3Small

ARGUMENTS = {"input_shape": (32, 32, 3), "alpha": 0.25, "skip_stride_cnt": 1}
CARD = {
    "name": "tiny_16ch",
    "family": "kMobileNet",
    "scheme": kgpc.D6(16),
    "arguments": {
        "alpha": np.float64(0.25),
        "skip_stride_cnt": np.int64(1),
        "depth_multiplier": 1,
        "stem_activation": "relu6",
        "depthwise_activation": "relu6",
        "pointwise_activation": "swish",
        "l_ratio": None,
        "ab_ratio": None,
    },
    "dataset": "made-up images",
    "classes": 3,
    "epochs": 2,
    "image_size": "32x32",
    "images": "RGB, [0,1]",
    "recipe": {"optimizer": "AdamW", "learning_rate": 0.004},
    "seed": np.int64(7),
    "test_accuracy": np.float32(0.5),
    "test_images": 10,
    "command": "python -m kgpc rerun",
}


def tiny(**arguments):
    return kMobileNet(**{**ARGUMENTS, "classes": 3, **arguments})


@pytest.fixture(scope="module")
def trained():
    """A network with weights of all sizes, rounded as they are stored."""
    model = tiny()
    random = np.random.default_rng(0)
    for weight in model.weights:
        values = random.normal(0, 1, weight.shape).astype("float32")
        weight.assign(np.abs(values) + 0.1 if weight.name == "moving_variance" else values)
    model.get_layer("conv1_bn").moving_variance.assign([1e-6, 1e-9, 0, 1, 2, 3, 4, 70_000])
    model.get_layer("conv_dw_1_bn").moving_variance.assign(np.full(8, 70_000.0))
    model.get_layer("conv_dw_2_bn").moving_mean.assign(np.full_like(model.get_layer("conv_dw_2_bn").moving_mean, 1e6))
    return weight_archives.round_to_stored(model)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in place of the one that comes along."""
    monkeypatch.setattr(included, "folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def card(folder, trained):
    return weight_archives.write(trained, folder, **CARD)


def assert_same(actual, expected):
    for ours, theirs in zip(actual.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_what_was_written_loads_by_name(card, folder, trained):
    assert sorted(path.name for path in folder.iterdir()) == ["tiny_16ch.json", "tiny_16ch.npz"]
    assert card.sha256 == hashlib.sha256((folder / "tiny_16ch.npz").read_bytes()).hexdigest()
    assert included.find("tiny_16ch") == card and included.cards() == [card]
    assert card.seed == 7 and card.test_accuracy == 0.5 and card.scheme == "D6(16)"
    assert_same(tiny(weights="tiny_16ch"), trained)
    # A front of the network has the weights of the front.
    features = tiny(weights="tiny_16ch", include_top=False, pooling="avg", classes=1000)
    for ours, theirs in zip(features.weights, trained.weights[: len(features.weights)], strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    # Another size of images is another use of the same network.
    assert_same(tiny(weights="tiny_16ch", input_shape=(48, 48, 3)), trained)


def test_writing_twice_gives_the_same_bytes(card, folder, trained):
    first = [(folder / name).read_bytes() for name in ("tiny_16ch.json", "tiny_16ch.npz")]
    weight_archives.write(trained, folder, **CARD)
    assert first == [(folder / name).read_bytes() for name in ("tiny_16ch.json", "tiny_16ch.npz")]


def test_arrays_are_in_float16_unless_that_would_lose_them(card):
    with np.load(card.path) as arrays:
        dtypes = {name: str(array.dtype) for name, array in arrays.items()}
        assert arrays["conv1_bn/moving_variance"][0] == np.float32(1e-6)
    wide = {name for name, dtype in dtypes.items() if dtype == "float32"}
    # Too small, too large, too large.
    assert wide == {"conv1_bn/moving_variance", "conv_dw_1_bn/moving_variance", "conv_dw_2_bn/moving_mean"}
    assert {dtype for name, dtype in dtypes.items() if name not in wide} == {"float16"}
    # In the order in which the network is built.
    assert list(dtypes)[0] == "conv1/kernel" and list(dtypes)[-1] == "conv_preds/bias"


def test_rounding_changes_a_number_by_half_a_step_of_float16_at_most():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(50, name="d")])
    before = model.get_weights()[0]
    weight_archives.round_to_stored(model)
    error = np.abs(model.get_weights()[0] - before)
    assert (error <= np.maximum(np.abs(before) * 2.0**-11, 2.0**-25)).all() and error.max() > 0


def test_the_table_lists_what_comes_along_and_what_was_released(card):
    table = weights.table()
    assert list(table.kind) == ["included"] + ["released"] * len(released.runs())
    first = table.iloc[0]
    assert (first["name"], first.network, first.scheme, first.seed, first.test_acc_pct) == (
        "tiny_16ch",
        "kMobileNet",
        "D6(16)",
        7,
        50.0,
    )
    assert first.size_bytes == card.path.stat().st_size and first.checksum == card.sha256
    assert "alpha=0.25" in first.arguments and "skip_stride_cnt=1" in first.arguments
    assert set(table.name[1:]) == {run.label for run in released.runs()}
    assert table.test_acc_pct[1:].isna().all() and table.dtypes["seed"] == "Int64"


@pytest.mark.parametrize(
    "arguments, difference",
    [
        ({"scheme": kgpc.D6(32)}, r"scheme: 'D6\(16\)' there, 'D6\(32\)' here"),
        ({"scheme": None}, "scheme: .* 'None' here"),
        ({"alpha": 0.5}, "alpha: 0.25 there, 0.5 here"),
        ({"skip_stride_cnt": -1}, "skip_stride_cnt: 1 there, -1 here"),
        ({"pointwise_activation": "relu"}, "pointwise_activation: 'swish' there, 'relu' here"),
        ({"l_ratio": 0.5, "ab_ratio": 0.5}, "l_ratio: None there, 0.5 here; ab_ratio"),
        ({"classes": 10}, "classes: 3 there, 10 here"),
    ],
)
def test_the_card_of_another_network_is_refused(card, arguments, difference):
    with pytest.raises(ValueError, match=f"weights 'tiny_16ch' .* are for another network.*{difference}"):
        tiny(weights="tiny_16ch", **arguments)


def test_another_family_is_refused_and_equal_activations_are_equal(card):
    message = "network: 'kMobileNet' there, 'kMobileNet V3 Small' here.*minimalistic: not said there, False here"
    with pytest.raises(ValueError, match=message):
        kMobileNetV3Small(input_shape=(32, 32, 3), classes=3, weights="tiny_16ch")
    tiny(weights="tiny_16ch", pointwise_activation=keras.activations.silu)


def test_an_unknown_name_lists_what_comes_along_too(card):
    with pytest.raises(ValueError, match="(?s)No released weights of this name.*come along:.*'tiny_16ch' .made-up"):
        tiny(weights="no_such_name")


def damage_file(folder):
    content = bytearray((folder / "tiny_16ch.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "tiny_16ch.npz").write_bytes(content)


def other_file(folder):
    np.savez(folder / "tiny_16ch.npz", a=np.zeros(3))


def large_file(folder):
    (folder / "tiny_16ch.npz").write_bytes(bytes(weight_archives.MAX_BYTES + 1))


@pytest.mark.parametrize(
    "damage, message",
    [
        (damage_file, "its SHA-256 is .*, the card says"),
        (other_file, "its SHA-256 is .*, the card says"),
        (large_file, "more than 1500000 bytes"),
    ],
)
def test_a_damaged_file_is_refused_by_name(card, folder, damage, message):
    damage(folder)
    model = tiny()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"tiny_16ch.npz.*{message}.*Nothing was loaded"):
        weights.load_included(model, card)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=f"`weights` must be .*tiny_16ch.npz.*{message}"):
        tiny(weights="tiny_16ch")


def test_a_missing_file_is_named(card, folder):
    (folder / "tiny_16ch.npz").unlink()
    with pytest.raises(FileNotFoundError, match="weights of the card 'tiny_16ch' are missing: there is no .*npz"):
        tiny(weights="tiny_16ch")
    assert weights.table().size_bytes.isna().all()


def repacked(card, change):
    """The file with other content, and a card with its checksum."""
    packed = io.BytesIO()
    with zipfile.ZipFile(card.path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for index, info in enumerate(old.infolist()):
            change(new, index, info.filename, old.read(info))
    card.path.write_bytes(packed.getvalue())
    values = json.loads(card.path.with_suffix(".json").read_text())
    values["sha256"] = hashlib.sha256(packed.getvalue()).hexdigest()
    card.path.with_suffix(".json").write_text(json.dumps(values))


def array(values, **options):
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


FIRST = {
    "other shape": (array(np.zeros((3, 3, 3, 9), "float16")), r"differs is 'conv1/kernel'. Model: .*8\). File: .*9\)"),
    "NaN": (array(np.full((3, 3, 3, 8), np.nan, "float16")), "'kernel' of the layer 'conv1' holds NaN"),
    "float64": (array(np.zeros((3, 3, 3, 8))), "is no array in float16 or float32"),
    "Fortran": (array(np.asfortranarray(np.zeros((3, 3, 3, 8), "float16"))), "is no array in float16"),
    "pickle": (array(np.array([{}] * 3, object), allow_pickle=True), "is no array in float16"),
    "not an array": (b"\x93NUMPY\x09\x09 nonsense", "undamaged"),
    "text": (b"weights", "undamaged"),
    "empty": (b"", "undamaged"),
    "cut": (array(np.zeros((3, 3, 3, 8), "float16"))[:-2], "does not fit in"),
    "bomb": (array(np.zeros((3, 3, 3, 8), "float16")) + bytes(10**7), "does not fit in"),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_foreign_array_is_refused(card, name):
    content, message = FIRST[name]
    repacked(card, lambda new, index, name, old: new.writestr(name, old if index else content))
    with pytest.raises(ValueError, match=f"tiny_16ch.*{message}|{message}.*tiny_16ch"):
        tiny(weights="tiny_16ch")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda new, i, name, old: new.writestr(name.replace("conv1/", "conv9/"), old), "differs is 'conv1/kernel'"),
        (lambda new, i, name, old: i and new.writestr(name, old), "The file has 'conv1_bn/gamma' in its place"),
        (lambda new, i, name, old: i > 3 or new.writestr(name, old), "which the file does not have"),
        (lambda new, i, name, old: [new.writestr(name, old)] * (i > 3) + [new.writestr(name, old)], "is there twice"),
        (lambda new, i, name, old: [new.writestr(f"{name}{e}", old) for e in ("", "x")[: 1 + (i == 3)]], "or no array"),
    ],
)
def test_other_names_are_refused(card, change, message):
    repacked(card, change)
    with pytest.raises(ValueError, match=message):
        tiny(weights="tiny_16ch")


def test_more_arrays_than_the_model_has_are_refused(card):
    def one_more(new, index, name, old):
        new.writestr(name, old)
        if name == "conv_preds/bias.npy":
            new.writestr("more/kernel.npy", old)

    repacked(card, one_more)
    with pytest.raises(ValueError, match="differs is 'more/kernel' of the file, which 'kmobilenet' does not have"):
        tiny(weights="tiny_16ch")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "other"}, "it is the card of 'other'"),
        ({"name": "../other"}, "`name` must consist of"),
        ({"classes": "3"}, "`classes` must be of type int"),
        ({"classes": True}, "`classes` must be of type int"),
        ({"classes": 0}, "`classes` must be at least 1"),
        ({"epochs": -1}, "`epochs` must be at least 0"),
        ({"test_accuracy": 1.5}, r"`test_accuracy` must be in \[0, 1\]"),
        ({"test_accuracy": float("nan")}, "NaN is no number"),
        ({"sha256": "0"}, "`sha256` must be 64 hexadecimal digits"),
        ({"recipe": "AdamW"}, "`recipe` must be of type dict"),
        ({"arguments": {"alpha": [1]}}, "`arguments` must hold numbers"),
        ({"surplus": 1}, r"unknown fields: \['surplus'\]"),
        ({"seed": None}, "`seed` must be of type int"),
    ],
)
def test_a_damaged_card_is_named(card, folder, change, message):
    path = folder / "tiny_16ch.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for call in (lambda: tiny(weights="tiny_16ch"), weights.table, lambda: included.read_card(path)):
        with pytest.raises(ValueError, match=f"card 'tiny_16ch.json' of weights.*damaged or foreign.*{message}"):
            call()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{", b"\xff", b"[" * 50_000, b'{"name": "tiny_16ch"}', b"<<<<<<< HEAD\n{}", b" " * 200_000],
)
def test_a_foreign_card_is_named(card, folder, content):
    (folder / "tiny_16ch.json").write_bytes(content)
    with pytest.raises(ValueError, match="card 'tiny_16ch.json' of weights that come along is damaged or foreign"):
        tiny(weights="tiny_16ch")
    # Whoever asks for something else is not disturbed.
    assert included.find("other") is None


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"name": "Tiny"}, ValueError, "`name` must consist of lower-case"),
        ({"name": "cifar10"}, ValueError, "`name` must not be that of released weights"),
        ({"name": "jp30i02"}, ValueError, "`name` must not be that of released weights"),
        ({"test_accuracy": 50.0}, ValueError, r"`test_accuracy` must be in \[0, 1\]"),
        ({"recipe": {"rate": float("inf")}}, ValueError, "Infinity is no number"),
        ({"recipe": {"rate": print}}, TypeError, "fields of a card must be texts"),
        ({"surplus": 1}, TypeError, "unknown fields"),
    ],
)
def test_a_wrong_field_writes_nothing(tmp_path, trained, change, error, message):
    with pytest.raises(error, match=message):
        weight_archives.write(trained, tmp_path, **{**CARD, **change})
    assert not list(tmp_path.iterdir())


def test_a_missing_field_and_folder_are_named(tmp_path, trained):
    fields = {name: value for name, value in CARD.items() if name != "scheme"}
    with pytest.raises(TypeError, match=r"Missing fields: \['scheme'\]"):
        weight_archives.write(trained, tmp_path, **fields)
    with pytest.raises(FileNotFoundError, match="`folder` must be an existing folder"):
        weight_archives.write(trained, tmp_path / "no", **CARD)
    with pytest.raises(TypeError, match="`folder` must be a path. Received: folder=3"):
        weight_archives.write(trained, 3, **CARD)
    with pytest.raises(TypeError, match="`path` must be a path. Received: path=3"):
        included.read_card(3)


def dense(values):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, use_bias=False, name="d")])
    model.set_weights([np.array([values], "float32")])
    return model


def test_only_rounded_finite_weights_are_written(tmp_path):
    with pytest.raises(ValueError, match=r"'d/kernel' holds others. Call `round_to_stored\(model\)`"):
        weight_archives.write(dense([0.1, 0.2, 0.3]), tmp_path, **CARD)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`model` must hold finite weights.*'d/kernel'"):
            weight_archives.round_to_stored(dense([0, 1, bad]))
        with pytest.raises(ValueError, match="`model` must hold finite weights"):
            weight_archives.write(dense([0, 1, bad]), tmp_path, **CARD)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_too_large_is_not_written(tmp_path, monkeypatch, trained):
    monkeypatch.setattr(weight_archives, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="would have [0-9]+ bytes, more than 1000. Nothing was written"):
        weight_archives.write(trained, tmp_path, **CARD)
    assert not list(tmp_path.iterdir())


def test_a_file_of_that_name_comes_first(card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = tiny()
    other.save_weights("own.weights.h5")
    shutil.move("own.weights.h5", "tiny_16ch")
    assert_same(tiny(weights="tiny_16ch"), other)
    assert_same(tiny(weights=pathlib.Path("tiny_16ch")), other)


def test_what_comes_along_is_listed_checked_and_small():
    """The real folder: every file has a card, every card its file, of the bytes that it says."""
    folder = included.folder()
    cards = included.cards()
    assert {path.name for path in folder.iterdir()} == {"README.md"} | {
        f"{card.name}.{suffix}" for card in cards for suffix in ("npz", "json")
    }
    for card in cards:
        assert weight_archives.stored_arrays(card)
    assert sum(card.path.stat().st_size for card in cards) <= 8_000_000
