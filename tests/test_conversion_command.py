"""`python -m kgpc convert`, and the model files it reads: hostile and damaged ones are refused, nothing is executed."""

import json
import re
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

import kgpc
from kgpc import D6, D6v3, flops, model_files
from kgpc import __main__ as command_line


def network():
    inputs = keras.Input((6, 6, 16), name="images")
    x = layers.Conv2D(32, 1, use_bias=False, name="conv_1")(inputs)
    x = layers.ReLU(6.0, name="relu_1")(layers.BatchNormalization(name="bn_1")(x))
    inner = keras.Sequential(
        [keras.Input((6, 6, 32)), layers.Conv2D(64, 1, activation="relu", name="conv_2")], name="inner"
    )
    x = layers.Conv2D(64, 3, name="spatial")(inner(x)) * 2.0
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="top")(x), name="network")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The path of a compiled model in a file."""
    model = network()
    model.get_layer("inner").compile("sgd", "mse")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    path = tmp_path_factory.mktemp("models") / "model.keras"
    model.save(path)
    return path


def run(*arguments):
    return command_line.main(["convert", *map(str, arguments)])


def test_a_file_is_converted(stored, tmp_path, capsys):
    output, table = tmp_path / "out.keras", tmp_path / "report.csv"
    assert run(stored, "--scheme", "D6(4)", "--output", output, "--csv", table, "--report") == 0
    printed = capsys.readouterr().out
    assert (
        "its kernel is 3x3" in printed
        and "it is a classifier" not in printed
        and "it goes along with conv_1" in printed
    )
    model, twin = (keras.saving.load_model(path, compile=False) for path in (stored, output))
    expected = kgpc.convert(model, D6(4))
    assert [layer.name for layer in twin.layers] == [layer.name for layer in expected.layers]
    assert flops.trainable_parameters(twin) == flops.trainable_parameters(expected)
    np.testing.assert_array_equal(twin.get_layer("spatial").kernel, model.get_layer("spatial").kernel)
    before, after = flops.trainable_parameters(model), flops.trainable_parameters(twin)
    assert f"2 layers replaced: parameters {before:,} -> {after:,} ({after / before:.1%}); multiply-adds" in printed
    report = pd.read_csv(table)
    assert report["parameters_after"].sum() == after and report["made"][0].split()[0] == "conv_1_conv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.keras", "report.csv"]


@pytest.mark.parametrize(
    "options, arguments",
    [
        (["--scheme", "D6v3(8)", "--layers", "conv_1"], {"scheme": D6v3(8), "layers": "conv_1"}),
        (["--scheme", "D6(4)", "--matching", "conv_[2-9]"], {"scheme": D6(4), "layers": re.compile("conv_[2-9]")}),
        (["--scheme", "D6(4)", "--min-channels", "32"], {"scheme": D6(4), "min_channels": 32}),
        (["--scheme", " auto", "--budget", "0.97"], {"scheme": "auto", "budget": 0.97}),
        (["--scheme", "D6v3", "--budget", "38500"], {"scheme": D6v3, "budget": 38500}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_are_the_arguments(options, arguments, stored, tmp_path):
    assert run(stored, *options, "--csv", tmp_path / "table.csv") == 0
    table = pd.read_csv(tmp_path / "table.csv")
    expected = kgpc.convert(network(), **arguments, report_only=True)
    assert list(table["replaced"]) == list(expected["replaced"]) and expected["replaced"].any()
    assert list(table["parameters_after"]) == list(expected["parameters_after"])
    assert list(table["scheme"].fillna("")) == list(expected["scheme"])


def test_activations_are_replaced(stored, tmp_path):
    for value, names in (("swish", {"silu"}), ("relu6=tanh", {"tanh", "relu"})):
        assert run(stored, "--scheme", "D6(4)", "--output", tmp_path / "o.keras", "--activation", value) == 0
        twin = keras.saving.load_model(tmp_path / "o.keras")
        flat = [layer for layer in twin._flatten_layers() if isinstance(layer, layers.Activation)]
        assert {layer.activation.__name__ for layer in flat} == names


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--output is missing"),
        (["--output", "{}/o.h5"], '--output must end with ".keras"'),
        (["--output", "{}/nowhere/o.keras"], "`--output` must be a file in a folder that exists"),
        (["--report", "--scheme", "D6(x)"], '--scheme must be such as "D6(16)"'),
        (["--report", "--scheme", "D6(0)"], "--scheme: `channels_per_group` must be at least 1"),
        (["--report", "--scheme", "__import__('os').getcwd()"], '--scheme must be such as "D6(16)"'),
        (["--report", "--scheme", "D6"], "--budget must be given"),
        (["--report", "--scheme", "auto", "--budget", "x"], "--budget must be a number"),
        (["--report", "--scheme", "auto", "--budget", "1.5"], "--budget must be a number of parameters"),
        (["--report", "--budget", "0.5"], "--budget and `sensitivity` must be left out"),
        (["--report", "--layers", "conv_9"], "--layers must be the name or the path of a layer"),
        (["--report", "--matching", "("], "--matching must be a regular expression"),
        (["--report", "--min-channels", "0"], "--min-channels must be at least 1"),
        (["--report", "--activation", "nonsense"], "--activation must be what Keras knows"),
        (["--report", "--activation", "relu=swish", "tanh"], "--activation must be one name, or pairs"),
        (["--output", "{}/o.keras", "--min-channels", "999"], "MODEL.keras must have a layer that the scheme groups"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_get_one_line_and_write_nothing(options, message, stored, tmp_path, capsys):
    options = [option.format(tmp_path) for option in options]
    if "--scheme" not in options:
        options += ["--scheme", "D6(4)"]
    assert run(stored, *options) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not any(tmp_path.iterdir())


def test_the_model_itself_is_not_written_over(stored, tmp_path, capsys, monkeypatch):
    copy = tmp_path / "model.keras"
    shutil.copy(stored, copy)
    content = copy.read_bytes()
    monkeypatch.chdir(tmp_path)
    for options, message in (
        (["--output", copy], "--output must be another file than the model itself"),
        (["--csv", "model.keras"], "--csv must be another file than the model itself"),
        (["--output", "o.keras", "--csv", "o.keras"], "--csv must be another file than --output"),
    ):
        assert run("model.keras", "--scheme", "D6(4)", *options) == 1
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"] and copy.read_bytes() == content


def altered(stored, path, change=lambda description: description, weights=None, text=None, others=()):
    """A copy of a model file with another description, or other weights, or further members."""
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = text or json.dumps(change(json.loads(content)))
            if name == "model.weights.h5" and weights is not None:
                content = weights
            target.writestr(name, content)
        for name, content in others:
            target.writestr(name, content)
    return path


def with_layer(**entry):
    """Replaces the description of the layer `spatial`."""

    def change(description):
        for layer in description["config"]["layers"]:
            if layer["name"] == "spatial":
                layer |= entry
        return description

    return change


def with_setting(**setting):
    def change(description):
        for layer in description["config"]["layers"]:
            if layer["name"] == "spatial":
                layer["config"] |= setting
        return description

    return change


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


HOSTILE = {
    "a lambda": with_setting(activation={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}),
    "a Lambda layer": with_layer(module="keras.layers", class_name="Lambda", registered_name=None),
    "a saved program": with_layer(module="keras.layers", class_name="TFSMLayer", registered_name=None),
    "a pickle": with_layer(module="keras.layers", class_name="TorchModuleWrapper", registered_name=None),
    "a table": with_layer(module="keras.layers", class_name="StringLookup", registered_name=None),
    "a function of os": with_setting(activation=function("os", "system")),
    "a function of builtins": with_setting(activation=function("builtins", "exec")),
    "a tool of keras": with_setting(kernel_initializer=function("keras.utils", "get_file")),
    "a class of os": with_layer(module="subprocess", class_name="Popen", registered_name="Popen"),
    "a module of keras": with_layer(module="keras.src.saving.saving_lib", class_name="zipfile", registered_name=None),
    "a loader": with_layer(module="keras.config", class_name="enable_unsafe_deserialization", registered_name=None),
    "another package": with_layer(module="there", class_name="Layer", registered_name="there>Layer"),
    "a forged name": with_layer(module="there", class_name="Layer", registered_name="kgpc>Nothing"),
    "no names": with_layer(class_name=None),
    "no model": lambda description: [],
    "another object": lambda description: {"module": "keras.layers", "class_name": "ReLU", "config": {}},
    "nothing": lambda description: {},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions_are_refused(name, stored, tmp_path, capsys, monkeypatch):
    path = altered(stored, tmp_path / "hostile.keras", HOSTILE[name])
    if name not in ("another object", "nothing"):
        # Refused before Keras sees it.
        monkeypatch.setattr(keras.saving, "deserialize_keras_object", lambda *_, **__: pytest.fail("built"))
    assert run(path, "--scheme", "D6(4)", "--output", tmp_path / "out.keras") == 1
    error = capsys.readouterr().err.strip()
    assert "hostile.keras" in error and "\n" not in error
    assert [each.name for each in tmp_path.iterdir()] == ["hostile.keras"]


def test_damaged_files_are_refused(stored, tmp_path, capsys):
    def linked():
        path = tmp_path / "linked.h5"
        with zipfile.ZipFile(stored) as archive:
            path.write_bytes(archive.read("model.weights.h5"))
        with h5py.File(path, "a") as file:
            del file["layers/conv2d/vars/0"]
            file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")
        content = path.read_bytes()
        path.unlink()
        return content

    content = stored.read_bytes()
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "text": b"not a model",
        "numbers lost": altered(stored, tmp_path / "a", weights=b"").read_bytes(),
        "link": altered(stored, tmp_path / "a", weights=linked()).read_bytes(),
        "assets": altered(stored, tmp_path / "a", others=[("assets/words.txt", "x")]).read_bytes(),
        "other sizes": altered(stored, tmp_path / "a", with_setting(filters=65)).read_bytes(),
        "not a size": altered(stored, tmp_path / "a", with_setting(filters="x")).read_bytes(),
        "deep": altered(stored, tmp_path / "a", text="[" * 100_000).read_bytes(),
    }
    (tmp_path / "a").unlink()
    for name, content in damaged.items():
        (tmp_path / f"{name}.keras").write_bytes(content)
        assert run(tmp_path / f"{name}.keras", "--scheme", "D6(4)", "--output", tmp_path / "out.keras") == 1, name
        error = capsys.readouterr().err.strip()
        assert f"{name}.keras" in error and "\n" not in error, error
    assert not (tmp_path / "out.keras").exists()
    for place in (tmp_path, tmp_path / "nothing.keras"):
        assert run(place, "--scheme", "D6(4)", "--report") == 1
        assert "`MODEL.keras` must be a file" in capsys.readouterr().err


def test_an_output_is_written_whole_or_not_at_all(stored, tmp_path, capsys, monkeypatch):
    target = tmp_path / "out.keras"
    target.write_bytes(b"before")

    def fail(self, path, *_, **__):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(keras.Model, "save", fail)
    assert run(stored, "--scheme", "D6(4)", "--output", target) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert target.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == ["out.keras"]


def test_a_model_of_this_package_comes_back_with_its_weights(tmp_path):
    model = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=2, alpha=0.25)
    model.save(tmp_path / "ours.keras")
    loaded = model_files.load(tmp_path / "ours.keras")
    assert not loaded.compiled and [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    shutil.copy(tmp_path / "ours.keras", tmp_path / "copy.keras")
    model_files.save(tmp_path / "copy.keras", loaded)
    assert keras.saving.load_model(tmp_path / "copy.keras").count_params() == model.count_params()
