"""Files of models: what an ordinary one may have in it, and descriptions that ask for more than the file has."""

import json
import threading
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import kgpc
from kgpc import files, model_files, weight_limit

ORIGINAL = layers.Layer.add_weight


def saved(model, path):
    model.save(path)
    return path


def described(source, path, change):
    """A copy of a model file with another description: `change` is called with each layer's entry, at all levels."""

    def changed(value):
        if isinstance(value, dict):
            value = {key: changed(inner) for key, inner in value.items()}
            if isinstance(value.get("config"), dict) and "name" in value["config"]:
                change(value)
        return [changed(inner) for inner in value] if isinstance(value, list) else value

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = json.dumps(changed(json.loads(content)))
            new.writestr(name, content)
    return path


def rich():
    """Layers with all that a file holds besides plain weights, and a state of the optimizer after a step."""
    inner = keras.Sequential(
        [keras.Input((6, 6, 8)), layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization()], name="inner"
    )
    inputs = keras.Input((6, 6, 8), name="images")
    x = layers.RandomFlip(seed=1, name="flip")(inputs)
    x = layers.Dropout(0.2, seed=2, name="dropout")(inner(inner(x)))
    x = kgpc.layers.GroupedPointwiseConv2D(16, 2, name="grouped")(x)
    x = layers.Reshape((36, 16), name="sequence")(keras.ops.relu(x))
    low_rank, quantized = layers.Dense(12, name="low_rank"), layers.Dense(64, name="quantized")
    x = quantized(low_rank(x))
    x = layers.TimeDistributed(layers.Dense(6), name="each")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, value=x)
    x = layers.Bidirectional(layers.GRU(4), name="recurrent")(x)
    x = layers.SpectralNormalization(layers.Dense(3), name="normalized")(x)
    start = keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator(3))
    x = layers.Dense(2, activation="softmax", kernel_initializer=start, name="top")(x)
    model = keras.Model({"images": inputs}, x, name="rich")
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch({"images": np.ones((2, 6, 6, 8), "float32")}, np.array([0, 1]))
    low_rank.enable_lora(12)
    quantized.quantize("int8")
    return model


@pytest.fixture(scope="module")
def rich_file(tmp_path_factory):
    model = rich()
    return model, saved(model, tmp_path_factory.mktemp("models") / "rich.keras")


def test_a_file_may_have_more_in_it_than_weights(rich_file):
    model, path = rich_file
    loaded = model_files.load(path)
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype("float32")
    # Said, because Keras' layers for augmentation take it for training otherwise, and tell the layers after them.
    actual, expected = (each({"images": images}, training=False) for each in (loaded, model))
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert [weight.shape for weight in loaded.weights] == [weight.shape for weight in model.weights]


def test_a_file_may_have_no_weights(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.Rescaling(0.5), layers.GlobalAveragePooling2D()])
    loaded = model_files.load(saved(model, tmp_path / "plain.keras"))
    np.testing.assert_allclose(loaded(np.ones((1, 4, 4, 3))), [[0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    "layer, settings, shape",
    [
        ("top", {"units": 10**9}, (3, 10**9)),
        ("conv2d", {"filters": 10**6, "groups": 1}, (3, 3, 8, 10**6)),
        ("grouped", {"filters": 2 * 10**6}, (1, 1, 4, 2 * 10**6)),
        ("low_rank", {"lora_rank": 10**8}, (16, 10**8)),
        ("forward_gru", {"units": 10**5}, (6, 3 * 10**5)),
    ],
)
def test_a_description_may_not_ask_for_more_than_there_is(layer, settings, shape, rich_file, tmp_path):
    def change(entry):
        if entry["config"]["name"].startswith(layer):
            entry["config"] |= settings
            entry.pop("build_config", None)

    path = described(rich_file[1], tmp_path / "huge.keras", change)
    most = 3 * sum(int(np.prod(weight.shape)) for weight in rich_file[0].weights) + 2**16 + 1000
    with pytest.raises(files.FileError, match="huge.keras cannot be used") as refused:
        model_files.load(path)
    message = str(refused.value)
    named = {"forward_gru": "gru_cell"}.get(layer, layer)
    assert f"of '{named}" in message and f"of shape {shape} it needs more than" in message, message
    assert int(message.split("more than ")[1].split(" ")[0].replace(",", "")) < most
    # Afterwards layers of any size are built as before.
    assert layers.Layer.add_weight is ORIGINAL


def test_weights_count_together():
    """None of the layers is large."""
    with pytest.raises(ValueError, match="'the_last' of shape \\(10, 10\\) it needs more than 1,000 numbers"):
        with weight_limit.limited(1000):
            for index in range(11):
                layers.Dense(10, use_bias=False, name="the_last" if index == 10 else None).build((None, 10))


def test_a_refusal_that_is_passed_over_is_one_all_the_same():
    with pytest.raises(ValueError, match="'large' of shape \\(10, 10\\)"):
        with weight_limit.limited(50):
            try:
                layers.Dense(10, name="large").build((None, 10))
            except ValueError:
                pass


def test_other_threads_build_what_they_like():
    made, inside = [], threading.Event()

    def build():
        inside.wait(60)
        made.append(layers.Dense(100).build((None, 100)))

    thread = threading.Thread(target=build)
    thread.start()
    with weight_limit.limited(10):
        inside.set()
        thread.join(60)
        layers.Dense(2).build((None, 4))
    assert made == [None] and layers.Layer.add_weight is ORIGINAL


def test_nothing_is_computed_while_a_file_is_loaded(rich_file, tmp_path, monkeypatch):
    """A call with values alone would be computed at once, whatever it asks for."""

    def change(entry):
        if entry["config"]["name"] == "sequence":
            values = {"class_name": "__numpy__", "config": {"value": [[1.0]], "dtype": "float32"}}
            entry["inbound_nodes"] = [{"args": [values], "kwargs": {}}]

    path = described(rich_file[1], tmp_path / "computed.keras", change)
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(files.FileError, match="computed.keras cannot be used .* with values alone"):
        model_files.load(path)
