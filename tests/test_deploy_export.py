"""Exported files: each format run by its runtime, what is refused before and after writing, and what is left behind."""

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from kgpc import __main__, deploy, layers, model_files
from kgpc.deploy import exporting, formulation, runtimes, verification
from kgpc.grouping import interleaved_order

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="files are written by way of TensorFlow"
)
NEEDED = [package for format in runtimes.SUFFIXES for package in runtimes.missing(format)]
needs_extra = pytest.mark.skipif(bool(NEEDED), reason=f"the extra `deploy` is not installed: {', '.join(NEEDED)}")
FORMATS = [("litert", "float32"), ("litert", "float16"), ("litert", "dynamic"), ("litert", "int8"), ("onnx", "float32")]


@pytest.fixture(scope="module")
def model():
    """A network with an interleaving between two grouped convolutions, and with Keras' own grouped one."""
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(96, 3, strides=2, use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.GroupedPointwiseConv2D(96, 6)(layers.Activation("swish")(x))
    x = layers.GroupedPointwiseConv2D(96, 6, name="second")(layers.InterleaveChannels(16)(x))
    x = keras.layers.Conv2D(48, 3, groups=4, activation="relu", name="keras_grouped")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights(
            [
                generator.uniform(0.5, 1.5, weight.shape)
                if weight.name in ("gamma", "moving_variance")
                else generator.normal(size=weight.shape) * (0.1 if len(weight.shape) == 1 else 0.25)
                for weight in layer.weights
            ]
        )
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((10, 12, 12, 3), dtype="float32")


@pytest.fixture(scope="module")
def written(model, images, tmp_path_factory):
    """Exports of the model by format and precision, made when they are asked for."""
    made, folder = {}, tmp_path_factory.mktemp("exported")

    def export(format, precision, **options):
        key = (format, precision, *options.items())
        if key not in made:
            path = folder / f"{len(made)}{runtimes.SUFFIXES[format]}"
            given = {"images": images, "representative": images, "agreement": 0.0, **options}
            made[key] = deploy.export(model, path, precision=precision, **given)
        return made[key]

    return export


@needs_extra
@pytest.mark.parametrize("format, precision", FORMATS)
def test_each_format_is_run_by_its_runtime(format, precision, written, model, images):
    exported = written(format, precision)
    runtime = runtimes.opened(exported.path)
    expected = keras.ops.convert_to_numpy(model(images))
    actual = verification.file_outputs(runtime, images)
    limit = {"float32": 1e-5, "float16": 5e-3}.get(precision, 0.1)
    np.testing.assert_allclose(actual, expected, atol=limit)
    assert exported.largest_difference == pytest.approx(np.abs(actual - expected).max() / expected.max(), rel=1e-3)
    assert exported.images == 10 and exported.bytes == exported.path.stat().st_size
    assert exported.format == format and exported.folded == 1 and exported.runtime == runtime.name
    assert runtime.shape == (1, 12, 12, 3)


@needs_extra
def test_fewer_bits_make_a_smaller_file(written):
    sizes = [written("litert", precision).bytes for precision in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True) and sizes[1] < 0.7 * sizes[0] and sizes[2] < 0.55 * sizes[0]


@needs_extra
@pytest.mark.parametrize("format", runtimes.SUFFIXES)
def test_any_number_of_images_at_a_time(format, written, model, images):
    runtime = runtimes.opened(written(format, "float32", batch=None).path)
    assert runtime.shape[0] is None
    for count in (1, 7, 1, 7):
        expected = keras.ops.convert_to_numpy(model(images[:count]))
        np.testing.assert_allclose(runtime.predict(images[:count]), expected, atol=1e-5)


@needs_extra
def test_integers_in_and_out_in_batches_of_four(written, images, model):
    exported = written("litert", "int8", integer_io=True, batch=4)
    runtime = runtimes.opened(exported.path)
    assert runtime.shape == (4, 12, 12, 3) and runtime.given[0] == runtime.returned[0] == "int8"
    card = json.loads(exported.card.read_text(encoding="utf-8"))
    assert card["input"]["dtype"] == "int8" and card["input"]["scale"] == pytest.approx(1 / 255, rel=0.02)
    outputs = verification.file_outputs(runtime, images)
    np.testing.assert_allclose(outputs, keras.ops.convert_to_numpy(model(images)), atol=0.1)


@pytest.mark.parametrize("interleaving", formulation.INTERLEAVING)
@pytest.mark.parametrize("grouped", formulation.GROUPED)
def test_all_ways_to_write_a_model_compute_the_same(grouped, interleaving, model, images):
    rewritten = formulation.rewritten(model, grouped, interleaving)
    assert not any(
        type(layer) in (layers.GroupedPointwiseConv2D, layers.InterleaveChannels) for layer in rewritten.layers
    )
    np.testing.assert_allclose(rewritten(images), model(images), atol=1e-5)


@pytest.mark.parametrize(
    "way, integers, transpositions",
    [("transpose", True, 1), ("twice", False, 2), ("mixed", False, 1), ("mixed", True, 2)],
)
def test_an_interleaving_is_written_by_the_size_of_the_map(way, integers, transpositions):
    inputs = keras.Input((8, 8, 16))
    rewritten = formulation.rewritten(
        keras.Model(inputs, layers.InterleaveChannels(4)(inputs)), "native", way, integers
    )
    tf = pytest.importorskip("tensorflow")
    function = tf.function(rewritten).get_concrete_function(tf.TensorSpec((1, 8, 8, 16)))
    assert sum(operation.type == "Transpose" for operation in function.graph.get_operations()) == transpositions
    x = np.arange(1024, dtype="float32").reshape(1, 8, 8, 16)
    np.testing.assert_array_equal(function(x), x[..., interleaved_order(16, 4)])


@needs_extra
@pytest.mark.parametrize("format", runtimes.SUFFIXES)
def test_zeros_between_the_groups_cost_bytes(format, written):
    assert written(format, "float32", grouped="ordinary").bytes > 2 * written(format, "float32").bytes
    assert written(format, "float32").grouped == "native"


@needs_extra
def test_the_card_says_what_goes_in_and_comes_out(model, images, tmp_path):
    labels = keras.ops.convert_to_numpy(model(images)).argmax(axis=1)
    exported = deploy.export(
        model,
        tmp_path / "model.onnx",
        images=images,
        labels=labels,
        class_names=("cat", "dog", "fox"),
        preprocessing={"scale": 1 / 255, "offset": [0, 0, 0], "resize": "crop", "channels": "RGB"},
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]
    card = json.loads((tmp_path / "model.onnx.json").read_text(encoding="utf-8"))
    assert card["class_names"] == ["cat", "dog", "fox"] and card["preprocessing"]["resize"] == "crop"
    assert card["input"] == {"shape": [1, 12, 12, 3], "dtype": "float32"}
    assert card["output"] == {"shape": [1, 3], "dtype": "float32", "meaning": "classes"}
    assert card["verified"]["accuracy"] == exported.accuracy == exported.keras_accuracy == 1.0
    assert card["bytes"] == exported.bytes and exported.series()["agreement"] == 1.0


# What differs, or cannot be loaded


def damaged(change):
    """A converter whose file is changed afterwards."""
    convert = exporting.conversion.onnx_bytes
    return lambda *arguments: change(convert(*arguments))


@needs_extra
def test_a_file_that_differs_is_removed_and_what_was_there_stays(model, images, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_text("of before", encoding="utf-8")
    other = keras.models.clone_model(model)  # random weights
    monkeypatch.setattr(exporting, "fold", lambda _: other)
    with pytest.raises(deploy.ExportError, match="its outputs differ from the model's by up to .* `tolerance` allows"):
        deploy.export(model, tmp_path / "model.onnx", images=images)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text(encoding="utf-8") == "of before"


@needs_extra
def test_a_file_that_does_not_load_is_removed(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.conversion, "onnx_bytes", lambda *_: b"no file of ONNX")
    with pytest.raises(deploy.ExportError, match="its own runtime cannot run it"):
        deploy.export(model, tmp_path / "model.onnx", images=images)
    assert not list(tmp_path.iterdir())


@needs_extra
def test_nothing_is_left_where_the_converter_gives_up(images, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.conversion, "_frozen", lambda *_: 1 / 0)
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(deploy.ExportError, match='cannot be written with format "litert" in float32: division by zero'):
        deploy.export(model, tmp_path / "model.tflite", images=images)
    assert not list(tmp_path.iterdir())


def test_limits_of_a_comparison():
    expected = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], "float32")
    actual = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55]], "float32")
    found = verification.compared(expected, actual, labels=np.array([0, 1, 0]))
    assert found.agreement == pytest.approx(2 / 3) and found.largest_difference == pytest.approx(0.15 / 0.9)
    assert (found.keras_accuracy, found.accuracy) == (1.0, pytest.approx(2 / 3))
    assert "differ from the model's by up to 0.17" in verification.why_refused(found, "float32")
    assert "the model's class to 66.7% of the 3 images" in verification.why_refused(found, "int8")
    assert "66.7% of the labelled images right, the model 100.0%" in verification.why_refused(
        found, "int8", agreement=0
    )
    assert verification.why_refused(found, "int8", agreement=0, accuracy_loss=0.5) == ""
    broken = verification.compared(expected, np.full_like(expected, np.nan))
    assert "not finite" in verification.why_refused(broken, "int8", agreement=0)
    assert "another shape" in verification.why_refused(verification.compared(expected, expected[:, :1]), "float32")


# Outputs that are no classes


def of_one_value():
    """A network with one probability, as large as its images."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    x = keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(stddev=5))(
        keras.layers.GlobalAveragePooling2D()(x)
    )
    return keras.Model(inputs, x)


def of_maps():
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, keras.layers.Conv2D(3, 3)(inputs))


def test_integers_whose_outputs_are_no_classes_are_judged_by_the_outputs():
    expected = np.linspace(0, 1, 12, dtype="float32")
    for shape in ((12, 1), (3, 4, 1), (1, 3, 4), (12,)):
        for change, refused in ((0.05, False), (0.2, True)):
            found = verification.compared(expected.reshape(shape), expected.reshape(shape) + np.float32(change))
            assert np.isnan(found.agreement)
            for precision in ("dynamic", "int8"):
                assert bool(verification.why_refused(found, precision)) == refused
                assert not verification.why_refused(found, precision, tolerance=1.0)


@needs_extra
def test_a_file_of_integers_that_computes_another_value_is_removed(images, tmp_path):
    model, path = of_one_value(), tmp_path / "one.tflite"
    given = {"precision": "int8", "images": images}
    with pytest.raises(deploy.ExportError, match="its outputs differ from the model's .* `tolerance` allows 0.1"):
        deploy.export(model, path, representative=images * 1e-3, **given)
    assert not list(tmp_path.iterdir())
    exported = deploy.export(model, path, representative=images, **given)
    assert np.isnan(exported.agreement) and exported.largest_difference < 0.1
    card = json.loads(exported.card.read_text(encoding="utf-8"))
    assert card["output"] == {"shape": [1, 1], "dtype": "float32", "meaning": "values"}


# What is refused before anything is written


def two_inputs():
    inputs = [keras.Input((12, 12, 3)), keras.Input((12, 12, 3))]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def in_half_precision():
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, keras.layers.Conv2D(3, 1, dtype="mixed_float16", name="half")(inputs))


def of_vectors():
    inputs = keras.Input((12,))
    return keras.Model(inputs, keras.layers.Dense(3)(inputs))


REFUSED = {
    "another ending": ({"path": "model.pb"}, ValueError, r"`path` must end in \.tflite .*, or `format` be given"),
    "an ending of another format": ({"format": "onnx"}, ValueError, r"`path` must end in \.onnx with format \"onnx\""),
    "unknown format": ({"format": "tflite"}, ValueError, '`format` must be one of "litert", "onnx"'),
    "no such folder": ({"path": "nowhere/model.tflite"}, ValueError, "`path` must be a file in a folder that exists"),
    "int8 in ONNX": ({"path": "model.onnx", "precision": "int8"}, ValueError, 'one of "float32" with format "onnx"'),
    "int8 without images": ({"precision": "int8"}, ValueError, "`representative` must be an array of real images"),
    "no images": ({"images": None}, ValueError, "`images` must be an array of real images"),
    "integer io in float": ({"integer_io": True}, ValueError, "`integer_io` goes with precision"),
    "images of another size": ({"images": np.ones((1, 8, 8, 3))}, ValueError, r"\(images, 12, 12, 3\)"),
    "images with NaN": ({"images": np.full((1, 12, 12, 3), np.nan)}, ValueError, "`images` must hold finite numbers"),
    "labels of other classes": ({"labels": np.full(10, 3)}, ValueError, "`labels` must be of the 3 classes"),
    "too few labels": ({"labels": [0]}, ValueError, "`labels` must be 10 integers"),
    "too few names": ({"class_names": ["a"]}, ValueError, "a name for each of the 3 outputs. Received: 1"),
    "unknown preprocessing": ({"preprocessing": {"colour": 1}}, ValueError, "`preprocessing` must have keys of"),
    "odd preprocessing": ({"preprocessing": {"resize": "no"}}, ValueError, "must be one of 'pad', 'crop', 'stretch'"),
    "unknown way": ({"grouped": "fast"}, ValueError, '`grouped` must be one of "native"'),
    "several inputs": ({"model": two_inputs}, ValueError, "`model` must have one input. Received: a model with 2"),
    "half precision": ({"model": in_half_precision}, ValueError, "layer 'half' computes in float16"),
    "vectors": ({"model": of_vectors}, ValueError, "`model` must take images"),
    "agreement of maps": ({"model": of_maps, "agreement": 0.9}, ValueError, "`agreement` must be None where"),
    "labels of one value": ({"model": of_one_value, "labels": [0] * 10}, ValueError, "`labels` must be None where"),
    "accuracy of one": (
        {"model": of_one_value, "accuracy_loss": 0.0},
        ValueError,
        "`accuracy_loss` must be None where",
    ),
}


@pytest.mark.parametrize("changes, error, message", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    changes, error, message, model, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "_content", lambda *_: pytest.fail("it began to convert"))
    given = {"model": model, "path": "model.tflite", "images": images, **changes}
    if callable(changes.get("model")):
        given["model"] = changes["model"]()
    with pytest.raises(error, match=message):
        deploy.export(**given)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "missing", lambda _: ["ai-edge-litert"])
    with pytest.raises(ModuleNotFoundError, match=r"needs ai-edge-litert: pip install \"kgpc\[deploy\]\""):
        deploy.export(model, tmp_path / "model.tflite", images=images)
    assert importlib.util.find_spec("kgpc.deploy.exporting")  # importing it asks for none of them


# Places


@needs_extra
def test_a_link_is_replaced_and_not_followed(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_content", lambda *_: b"content")
    outputs = verification.compared(np.eye(3), np.eye(3))
    monkeypatch.setattr(exporting, "_run", lambda *_: (Runtime, outputs, (3,)))
    (tmp_path / "other.txt").write_text("mine", encoding="utf-8")
    for name in ("model.onnx", "model.onnx.json"):
        (tmp_path / name).symlink_to(tmp_path / "other.txt")
    deploy.export(model, tmp_path / "model.onnx", images=images)
    assert (tmp_path / "other.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "model.onnx").read_bytes() == b"content" and not (tmp_path / "model.onnx").is_symlink()


class Runtime:
    name, given, returned = "a runtime", ("float32", (0, 0)), ("float32", (0, 0))


@needs_extra
@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.json"])
def test_a_folder_in_the_place_is_refused(name, model, images, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name} must be a file, and is a folder"):
        deploy.export(model, tmp_path / "model.onnx", images=images)


@needs_extra
@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_is_read_only_is_said_before_the_work(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_content", lambda *_: pytest.fail("it began to convert"))
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        deploy.export(model, tmp_path / "model.onnx", images=images)
    tmp_path.chmod(0o700)


# Measuring


@needs_extra
def test_files_are_measured(written):
    paths = {name: written(name, "float32").path for name in runtimes.SUFFIXES}
    measured = deploy.measure(paths, rounds=3).set_index("file")
    assert list(measured.index) == list(paths)
    assert list(measured["bytes"]) == [path.stat().st_size for path in paths.values()]
    assert (measured[["median_ms", "cpu_ms"]] > 0).all(axis=None)
    assert (measured["lower_quartile_ms"] <= measured["upper_quartile_ms"]).all()
    if Path("/proc/self/status").exists():
        assert (measured["peak_bytes"] > 10_000).all()


def test_other_files_are_not_measured(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is none"):
        deploy.measure({"a": tmp_path / "a.onnx"})
    with pytest.raises(ValueError, match=r"must end in \.tflite or \.onnx"):
        deploy.measure({"a": tmp_path / "a.h5"})


# Files of models


def altered(source, target, change):
    """A `.keras` file with another configuration."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, change(content) if name == "config.json" else content)
    return target


def replaced(*pairs):
    def change(content):
        for old, new in pairs:
            assert old in content
            content = content.replace(old, new)
        return content

    return change


DENSE = b'"module": "keras.layers", "class_name": "Dense"'
HOSTILE = {
    "a class of Python's": replaced((DENSE, b'"module": "os", "class_name": "system"')),
    "a submodule": replaced((DENSE, b'"module": "subprocess", "class_name": "Popen"')),
    "code in a Lambda": replaced((DENSE, b'"module": "keras.layers", "class_name": "Lambda"')),
    "a function of Python's": replaced((DENSE, b'"module": "builtins", "class_name": "eval"')),
    "a class that another package registered": replaced((b'"registered_name": "kgpc>', b'"registered_name": "other>')),
    "no JSON": lambda _: b"{",
    "no object": lambda _: b"[]",
    "without end": lambda _: b"[" * 100_000,
    "an unknown class": replaced((DENSE, b'"module": "keras.layers", "class_name": "Nothing"')),
}


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


def test_a_model_is_loaded_from_its_file(saved, model, images):
    np.testing.assert_allclose(model_files.load(saved)(images), model(images), atol=1e-6)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_files_that_are_hostile_or_damaged_are_refused(change, saved, tmp_path, capsys):
    path = altered(saved, tmp_path / "hostile.keras", change)
    with pytest.raises(ValueError, match="hostile.keras"):
        model_files.load(path)
    arguments = ["export", str(path), "--to", "onnx", "--images", str(tmp_path)]
    assert __main__.main(arguments) == 1
    (message,) = capsys.readouterr().err.strip().splitlines()
    assert "hostile.keras" in message


def test_a_truncated_file_is_refused(saved, tmp_path):
    path = tmp_path / "half.keras"
    path.write_bytes(saved.read_bytes()[:1000])
    with pytest.raises(ValueError, match="half.keras cannot be used"):
        model_files.load(path)


# The command line


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a folder of pictures for each of three classes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(9):
        path = folder / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
    (folder / "a" / "broken.png").write_bytes(b"no picture")
    return folder


@needs_extra
def test_the_command_writes_a_verified_file(saved, pictures, tmp_path, capsys):
    output = tmp_path / "phone.onnx"
    arguments = ["export", str(saved), "--to", "onnx", "--images", str(pictures), "--output", str(output)]
    assert __main__.main(arguments) == 0
    printed = capsys.readouterr()
    assert "keras_accuracy" in printed.out and "broken.png" in printed.err
    card = json.loads(output.with_name("phone.onnx.json").read_text(encoding="utf-8"))
    assert card["class_names"] == ["a", "b", "c"] and card["verified"]["images"] == 9
    assert card["preprocessing"] == {"scale": 1 / 255, "offset": 0.0, "resize": "pad", "channels": "RGB"}


@needs_extra
def test_folders_are_no_classes_of_a_model_of_maps(pictures, tmp_path):
    of_maps().save(tmp_path / "maps.keras")
    output = tmp_path / "maps.onnx"
    arguments = ["export", str(tmp_path / "maps.keras"), "--to", "onnx", "--images", str(pictures)]
    assert __main__.main([*arguments, "--output", str(output)]) == 0
    card = json.loads(output.with_name("maps.onnx.json").read_text(encoding="utf-8"))
    assert card["class_names"] is None and card["output"]["meaning"] == "values"


WRONG = {
    "no such model": (["none.keras"], "none.keras"),
    "no such folder": (["MODEL", "--images", "nowhere"], "--images must be a folder of pictures"),
    "int8 in ONNX": (["MODEL", "--int8"], 'what --float16, --dynamic and --int8 ask for must be one of "float32"'),
    "itself": (["MODEL", "--output", "MODEL"], "--output must be another file than the model itself"),
    "an infinite scale": (["MODEL", "--scale", "inf"], "--scale must be a finite number"),
    "no batch": (["MODEL", "--batch", "0"], "--batch must be at least 1"),
    "odd batch": (["MODEL", "--batch", "few"], "--batch must be a number"),
    "another size": (["MODEL", "--size", "64"], "--size be their side"),
    "wrong ending": (["MODEL", "--output", "model.tflite"], "--output must end in .onnx"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_clear_line(arguments, message, saved, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, *options = [str(saved) if each == "MODEL" else each for each in arguments]
    images = [] if "--images" in options else ["--images", str(pictures)]
    assert __main__.main(["export", model, "--to", "onnx", *images, *options]) == 1
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["export", "--help"])
    assert stopped.value.code == 0 and "export clothes.keras --to litert --int8" in capsys.readouterr().out
