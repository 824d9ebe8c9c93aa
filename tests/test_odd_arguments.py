"""Every public function with odd arguments, one at a time: what is wrong is named, by us and not by a library below.

`CALLS` has a good call for each function. Each of its arguments is replaced by each odd value in turn. What must not
be taken is refused with an error that names the argument and is raised in kgpc; what is neither right nor wrong for
every argument (a text, -1, None) may also give a result.
"""

import functools
import importlib
import inspect
import math
import re
import traceback
import types
import zipfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kgpc
from kgpc import D6, applications, comparison, datasets, deploy, figures, paper, plots, training

PACKAGE, KERAS = (Path(module.__file__).parent for module in (kgpc, keras))

# The rooms that `import kgpc` offers, and the one that finds files. The others serve these rooms, and are called with
# what was checked there. `cai` takes the arguments of older code as they were.
ROOMS = [
    name for name in sorted(kgpc.__all__) if inspect.ismodule(getattr(kgpc, name)) and name != "tensorflow_settings"
]
ROOMS += ["conversion", "deploy", "inspection", "resources", "timing"]
# Results that functions return and nobody makes by hand; and Keras' own layers, with more speed or more checks.
RESULTS = {
    "cam.ClassScores",
    "cam.Curve",
    "cam.Randomization",
    "conversion.Conversion",
    "datasets.Photograph",
    "deploy.Exported",
    "figures.MovingFigure",
    "flops.LayerCount",
    "paper.Run",
    "plots.CaptionedTable",
    "training.Evaluation",
    "training.Lesson",
    "training.Progress",
    "training.TrainingResult",
    "training.Transformation",
}
KERAS_LAYERS = {f"layers.{name}" for name in ("Activation", "BatchNormalization", "DepthwiseConv2D", "ZeroPadding2D")}
# Most functions of these rooms are steps that other rooms take, after a reader's arguments were checked; these are not.
FOR_READERS = {"blocks": ["pointwise"], "released": ["find", "runs"], "weights": ["construction_order", "load"]}
# B1 to B7 are the function of B0 with other numbers.
LIKE_ANOTHER = {f"applications.kEfficientNetB{size}" for size in range(1, 8)}
# What Keras is given as it is, and refuses in its own words.
FOR_KERAS = re.compile(r"activation|classifier_activation|.*_(initializer|regularizer|constraint)")

NOTHING_LIKE_IT = {"an object": object(), "NaN": math.nan, "a list": [object()], "a dict": {1: object()}}
PERHAPS = {"a text": "nonsense", "-1": -1, "None": None}


@functools.cache
def model():
    """A small classifier for two classes."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


@functools.cache
def pointwise():
    """A network with a pointwise convolution."""
    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(keras.layers.Conv2D(8, 1, name="pointwise")(inputs)))


@functools.cache
def teacher():
    """Another one."""
    return keras.models.clone_model(model())


@functools.cache
def grouped():
    """The grouped twin of `pointwise`."""
    return kgpc.convert(pointwise(), D6(2))


@functools.cache
def data():
    """Twelve images of two classes for training, six for the test."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8) for count in (12, 6)]
    return datasets.ImageDataset("odd", images[0], np.arange(12) % 2, images[1], np.arange(6) % 2, ("a", "b"))


@functools.cache
def recipe():
    return training.Recipe(epochs=1, image_size=8, batch_size=4, validation_fraction=0.25)


def photograph(folder, name="a", grey=0):
    """A picture in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (grey, grey, grey)).save(folder / f"{name}.png")
    return folder / f"{name}.png"


def two_classes(folder):
    """A folder with a folder of pictures for each of two classes."""
    for index in range(4):
        photograph(folder / "ab"[index % 2], name=str(index), grey=50 * index)
    return folder


def archive(folder):
    """An archive with one file."""
    with zipfile.ZipFile(folder / "a.zip", "w") as content:
        content.writestr("a.txt", "text")
    return folder / "a.zip"


def weights(folder):
    """A file with the weights of `model`."""
    path = folder / "a.weights.h5"
    if not path.exists():
        model().save_weights(path)
    return path


def exported(folder):
    """A file of ONNX that computes what `model` computes."""
    path = folder / "exported.onnx"
    if not path.exists():
        deploy.export(model(), path, images=data().x_test / 255)
    return path


PARTS = pd.DataFrame({"pointwise": [90.0, 10.0], "depthwise": [10.0, 10.0]}, index=["large", "small"])
POINTS = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
MAPS = pd.DataFrame({"label": ["image"], "size": [32], "channels": [3], "kind": [""]})
INTERVALS = pd.DataFrame({"value": [1.0], "low": [0.0], "high": [3.0]}, index=["first"])
COSTS = pd.DataFrame({"layer": ["stem"], "part": ["pointwise"], "trainable_parameters": [4], "macs": [16]})
PRICES = pd.DataFrame(
    {
        "network": "MobileNet",
        "channels_per_group": [16, None],
        "parameters": [10, 20],
        "features": 4,
        "accuracy_percent": [90.0, 91.0],
    }
)
ROOF = pd.DataFrame({"name": ["layer"], "kind": ["ordinary"], "intensity": [4.0], "rate": [1e9]})
RUNS = pd.DataFrame(
    {
        "network": ["ordinary", "grouped"],
        "run": "seed 1",
        "published": False,
        "parameters": [20, 10],
        "flops": [30, 20],
        "accuracy_percent": [90.0, 88.0],
    }
)
AXES = {"xlabel": "epoch", "ylabel": "loss"}
RIGHT = np.array([True, False, True])
PATCHES = np.random.default_rng(0).normal(size=(8, 8, 8, 4)).astype("float32")
MODEL_OPTIONS = {"weights": None, "input_shape": (32, 32, 3), "classes": 2}


def one_map():
    return {"model": model(), "images": np.ones((1, 8, 8, 3), "float32"), "maps": np.eye(4)[None]}


def evaluation():
    return types.SimpleNamespace(correct=RIGHT)


# For each function all arguments that it needs; the others keep their defaults until it is their turn.
CALLS = {
    "applications.DenseNetBC": lambda _: {**MODEL_OPTIONS, "depth": 10},
    "applications.kDenseNetBC": lambda _: {**MODEL_OPTIONS, "depth": 10},
    "applications.kEfficientNetB0": lambda _: MODEL_OPTIONS,
    "applications.kInceptionV3": lambda _: {**MODEL_OPTIONS, "input_shape": (75, 75, 3)},
    "applications.kMobileNet": lambda _: {**MODEL_OPTIONS, "alpha": 0.25, "l_ratio": 0.5, "ab_ratio": 0.5},
    "applications.kMobileNetV3Large": lambda _: {**MODEL_OPTIONS, "alpha": 0.25},
    "applications.kMobileNetV3Small": lambda _: {**MODEL_OPTIONS, "alpha": 0.25},
    "blocks.pointwise": lambda _: {
        "x": keras.Input((4, 4, 8)),
        "filters": 4,
        "scheme": None,
        "name": "unit",
        "activation": None,
    },
    "cam.class_activation_map": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.grad_cam": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.hires_cam": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.layer_cam": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.class_scores": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.deletion_curve": lambda _: {**one_map(), "steps": 2},
    "cam.insertion_curve": lambda _: {**one_map(), "steps": 2},
    "cam.randomization_test": lambda _: {"model": model(), "images": np.ones((1, 8, 8, 3), "float32")},
    "cam.rank_correlation": lambda _: {"first": np.eye(4), "second": np.eye(4)},
    "cam.structural_similarity": lambda _: {"first": np.eye(4), "second": np.eye(4)},
    "cam.overlay": lambda _: {"image": data().x_test[0], "heat": np.eye(4)},
    "cam.gallery": lambda _: {"images": data().x_test[:1], "maps": np.eye(4)[None]},
    "cam.beside": lambda _: {"images": data().x_test[:1], "maps": np.eye(4)[None]},
    "cam.save_picture": lambda folder: {"picture": data().x_test[0], "path": folder / "picture.png"},
    "comparison.Interval": lambda _: {"value": 0.1, "low": 0.0, "high": 0.2},
    "comparison.accuracy": lambda _: {"correct": RIGHT},
    "comparison.accuracy_difference": lambda _: {"first": RIGHT, "second": RIGHT},
    "comparison.in_words": lambda _: {"difference": comparison.Interval(0, 0, 0), "first": "A", "second": "B"},
    "comparison.of_runs": lambda _: {"models": {"a": model()}, "evaluations": {"a": evaluation()}, "seconds": {"a": 1}},
    "conversion.convert": lambda _: {"model": pointwise(), "scheme": D6(2)},
    "conversion.Distiller": lambda _: {"student": model(), "teacher": teacher()},
    "conversion.distill": lambda _: {"student": model(), "teacher": teacher()},
    "conversion.plan": lambda _: {"model": pointwise(), "scheme": D6(2)},
    "conversion.sensitivity": lambda _: {"model": pointwise(), "images": PATCHES, "channels_per_group": 2},
    "conversion.warm_start": lambda _: {
        "converted": grouped(),
        "original": pointwise(),
        "images": PATCHES,
        "steps": 0,
    },
    "datasets.DecodedOnDemand": lambda folder: {"sources": [photograph(folder)], "size": 8},
    "datasets.ImageDataset": lambda _: {
        name: getattr(data(), name) for name in ("name", "x_train", "y_train", "x_test", "y_test", "class_names")
    },
    "datasets.as_model_input": lambda _: {"images": data().x_test},
    "datasets.extract_archive": lambda folder: {"path": archive(folder), "folder": folder / "out"},
    "datasets.image_folder": lambda folder: {"path": two_classes(folder / "photographs")},
    "datasets.keep_downloads": lambda folder: {"folder": folder / "kept"},
    "datasets.load": lambda folder: {"name": "Cropped-PlantDoc", "folder": folder},
    "datasets.photo_collages": lambda _: {"count": 1},
    "datasets.photo_patches": lambda _: {"train_per_photograph": 1, "test_per_photograph": 1},
    "datasets.read_image": lambda folder: {"path": photograph(folder), "image_size": 8},
    "datasets.restore_downloads": lambda folder: {"folder": folder / "kept"},
    "datasets.stratified_indices": lambda _: {"labels": data().y_train, "per_class": 1},
    "datasets.train_validation_split": lambda _: {"images": data().x_train, "labels": data().y_train},
    "deploy.export": lambda folder: {"model": model(), "path": folder / "a.onnx", "images": data().x_test / 255},
    "deploy.fold": lambda _: {"model": model()},
    "deploy.measure": lambda folder: {"paths": {"a": exported(folder)}, "rounds": 1, "memory": False},
    "figures.accuracies": lambda _: {"frame": RUNS, "published": "CIFAR-10", "own": "copies"},
    "figures.d6": lambda _: {},
    "figures.dense_units": lambda _: {"stages": {"stage 1": 24}},
    "figures.layer_costs": lambda _: {"networks": {"network": COSTS}},
    "figures.price": lambda _: {"frame": PRICES, "task": "CIFAR-10"},
    "figures.restored": lambda _: {"stored": {"name": "d6", "parameters": figures.d6().parameters}},
    "figures.roofline": lambda _: {"frame": ROOF, "peak": 1e11, "bandwidth": 1e10, "cache_bandwidth": 2e10},
    "flops.beyond_macs": lambda _: {"model": model()},
    "flops.layer_counts": lambda _: {"model": model()},
    "flops.layer_table": lambda _: {"model": model()},
    "flops.macs": lambda _: {"model": model()},
    "flops.paper_flops": lambda _: {"model": model()},
    "flops.trainable_parameters": lambda _: {"model": model()},
    "grouping.Convolution": lambda _: {"suffix": "", "in_channels": 4, "filters": 4, "groups": 2},
    "grouping.Plan": lambda _: {"in_channels": 4, "filters": 4, "first": D6(2).plan(4, 4).first},
    "grouping.Stage": lambda _: {"copied_channels": 0, "paths": D6(2).plan(4, 4).first.paths},
    "grouping.check_scheme": lambda _: {"scheme": D6(4)},
    "grouping.interleaved_order": lambda _: {"channels": 6, "step": 2},
    "grouping.largest_common_divisor": lambda _: {"first": 6, "second": 4, "at_most": 3},
    "grouping.ordinary_plan": lambda _: {"in_channels": 4, "filters": 4},
    "inspection.connections": lambda _: {"plan": D6(2).plan(4, 4)},
    "inspection.place_looks": lambda _: {"family": "MobileNet"},
    "inspection.plan_table": lambda _: {"plans": {"one": D6(2).plan(4, 4)}},
    "inspection.plates": lambda _: {"model": model(), "places": {"stem": (model().layers[1].name, "")}},
    "inspection.pointwise_plans": lambda _: {"model": pointwise(), "family": "MobileNet", "scheme": D6(2)},
    "inspection.sums_by_place": lambda _: {"networks": {"one": model()}, "family": "MobileNet"},
    "layers.CopyChannels": lambda _: {"channels": 2},
    "layers.GroupedPointwiseConv2D": lambda _: {"filters": 4},
    "layers.InterleaveChannels": lambda _: {"step": 2},
    "paper.arguments_of": lambda _: {"row": paper.published().iloc[0]},
    "paper.family_rows": lambda _: {"family": "MobileNet"},
    "paper.footnotes": lambda _: {"rows": paper.published()},
    "paper.rerun": lambda folder: {"output": folder / "runs"},
    "paper.model_of": lambda _: {"row": paper.published().iloc[0]},
    "paper.show_experiment": lambda _: {"family": "MobileNet", "first_figure": 1},
    "plots.Box": lambda _: {"text": "3×3"},
    "plots.as_html": lambda _: {"figure": plt.figure(), "alt": "Nothing."},
    "plots.block_diagram": lambda _: {"networks": {"network": [plots.Box("3×3")]}},
    "plots.curve_panels": lambda _: {"panels": {"panel": {"curve": ([1, 2], [3, 4])}}, **AXES},
    "plots.feature_maps": lambda _: {"frame": MAPS},
    "plots.images": lambda _: {"pictures": data().x_test},
    "plots.interval_chart": lambda _: {"frame": INTERVALS, "xlabel": "points"},
    "plots.layer_bars": lambda _: {"frame": pd.DataFrame({"kind": ["a"], "value": [1]}), "ylabel": "parameters"},
    "plots.line_chart": lambda _: {"x": [1, 2], "curves": {"curve": [1, 2]}, **AXES},
    "plots.matrices": lambda _: {"panels": {"one": np.eye(4)}, **AXES, "colorbar": "weight"},
    "plots.normalization_box": lambda _: {"activation": "ReLU"},
    "plots.pointwise_boxes": lambda _: {"plan": D6(4).plan(8, 8)},
    "plots.scatter": lambda _: {"groups": {"one": POINTS}, **AXES},
    "plots.show": lambda _: {"figure": plt.figure(), "alt": "Nothing."},
    "plots.stacked_bars": lambda _: {"frame": PARTS, "xlabel": "parameters"},
    "plots.step_losses": lambda _: {"losses": {"one": np.ones(20)}},
    "plots.subnetwork": lambda _: {"plan": D6(4).plan(8, 8)},
    "plots.table": lambda _: {"frame": PARTS, "caption": "A caption."},
    "resources.data_path": lambda _: {"name": "published/errata.csv"},
    "timing.cache_bandwidth": lambda _: {"kilobytes": 1, "rounds": 1, "passes": 1},
    "timing.in_turns": lambda _: {"steps": {"step": list}},
    "timing.machine": lambda _: {},
    "timing.matrix_product_rate": lambda _: {"size": 8, "rounds": 1},
    "timing.memory_bandwidth": lambda _: {"megabytes": 1, "rounds": 1},
    "timing.narrow_product_rate": lambda _: {"channels": 4, "rows": 4, "rounds": 1, "passes": 1},
    "timing.predict_step": lambda _: {"model": model(), "batch_size": 2},
    "timing.seconds_in_turns": lambda _: {"steps": {"step": list}},
    "timing.train_step": lambda _: {"model": model(), "batch_size": 2},
    "training.Batches": lambda _: {"images": data().x_train, "labels": data().y_train, "recipe": recipe()},
    "training.Recipe": lambda _: {"epochs": 1},
    "training.build": lambda _: {"constructor": applications.kMobileNet, "recipe": recipe().replace(image_size=32)},
    "training.check_profile": lambda _: {"profile": "quick"},
    "training.evaluate": lambda _: {"model": model(), "data": data(), "recipe": recipe()},
    "training.fit": lambda _: {"model": model(), "data": data(), "recipe": recipe(), "progress": False},
    "training.lesson": lambda _: {"profile": "quick", "dataset": "CIFAR-10", "published": recipe()},
    "training.prepare": lambda _: {"images": data().x_test, "recipe": recipe()},
    "training.recipe": lambda _: {"dataset": "CIFAR-10"},
    "training.renew_moving_averages": lambda _: {"model": model(), "data": data(), "recipe": recipe()},
    "training.sample_generator": lambda _: {"seed": 1, "epoch": 0, "index": 0},
    "training.set_batch_norm_momentum": lambda _: {"model": model(), "momentum": 0.9},
    "training.split": lambda _: {"labels": data().y_train, "recipe": recipe()},
    "weights.construction_order": lambda _: {"model": model()},
    "weights.load": lambda folder: {"model": model(), "path": weights(folder)},
}

# What these take they train for an hour, so they are given only what nothing takes.
LONG = {"paper.rerun"}
# Arguments that may be a text as well as True or False.
OR_TEXT = {("training.fit", "progress")}
# Arguments that are not walked: (function, argument).
LEFT_OUT = {
    # Looked at when they are decoded.
    ("datasets.DecodedOnDemand", "sources"),
    ("datasets.DecodedOnDemand", "names"),
    ("cam.gallery", "titles"),  # written as texts, whatever they are
    ("cam.beside", "titles"),
    ("weights.load", "argument"),  # what constructors of networks call the path in their messages
}


def public():
    """The public functions and classes of the package by their names below `kgpc`."""
    found = {}
    for room in ROOMS:
        module = importlib.import_module(f"kgpc.{room}")
        names = (
            FOR_READERS.get(room)
            or getattr(module, "__all__", None)
            or [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        )
        for name in names:
            value = getattr(module, name)
            is_error = inspect.isclass(value) and issubclass(value, Exception | Warning)
            if callable(value) and not name.startswith("_") and not inspect.isabstract(value) and not is_error:
                found[f"{room}.{name}"] = value
    return found


PUBLIC = public()
WALKED = [name for name in PUBLIC if name not in RESULTS | KERAS_LAYERS | LIKE_ANOTHER]


def arguments_of(function):
    """The arguments of a function or class that have a name, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def complaint(function, given, argument, must_refuse):
    """Calls a function and returns what is wrong with how it takes an argument, or None."""
    try:
        function(**given)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1].filename
        # A file that is missing or damaged has a name of its own, which says more than that of the argument.
        ours = Path(place).is_relative_to(PACKAGE) and re.search(rf"\b({argument}|nonsense)\b", str(error))
        # Keras names an argument as we do, where it is the same one.
        by_keras = Path(place).is_relative_to(KERAS) and f"`{argument}`" in str(error)
        if isinstance(error, ValueError | TypeError | OSError) and (ours or by_keras):
            return None
        return f"{type(error).__name__} in {Path(place).name}: {str(error)[:150]}"
    finally:
        plt.close("all")
    return "taken without a word" if must_refuse else None


def complaints(name, function, folder):
    """All complaints about a function."""
    defaults = arguments_of(function)
    good = CALLS[name](folder) if name in CALLS else {}
    missing = [argument for argument, default in defaults.items() if default is inspect.Parameter.empty]
    for argument, default in defaults.items():
        if FOR_KERAS.fullmatch(argument) or (name, argument) in LEFT_OUT:
            continue
        odd = NOTHING_LIKE_IT | (PERHAPS if name not in LONG else {})
        must_refuse = set(NOTHING_LIKE_IT)
        if isinstance(default, bool | int | float) and (name, argument) not in OR_TEXT:
            must_refuse.add("a text")
        if isinstance(default, int) and not isinstance(default, bool) and name not in LONG:
            odd["1.5"] = 1.5
            must_refuse.add("1.5")
        for label, value in odd.items():
            if value is default or value == default:
                continue
            given = {**good, argument: value}
            if set(missing) - set(given):
                # There is no good call: all that it needs is wrong, and one of them must be named.
                given = dict.fromkeys(missing, value) | {argument: value}
            found = complaint(function, given, argument if name in CALLS else "|".join(defaults), label in must_refuse)
            if found:
                yield f"{name}({argument}={label}): {found}"


@pytest.mark.parametrize("name", WALKED)
def test_what_is_wrong_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name in LONG:
        monkeypatch.setattr(training, "fit", lambda *arguments, **options: pytest.fail("it began to train"))
    found = list(complaints(name, PUBLIC[name], tmp_path))
    assert not found, "\n".join(found)


def test_every_good_call_is_one_of_a_public_function(tmp_path):
    assert set(CALLS) <= set(WALKED) and RESULTS | KERAS_LAYERS | LIKE_ANOTHER <= set(PUBLIC)
    for name, call in CALLS.items():
        inspect.signature(PUBLIC[name]).bind(**call(tmp_path))


@pytest.mark.parametrize("name", sorted(set(CALLS) - LONG - {"datasets.load"}))  # it needs data that are fetched
def test_good_calls_are_good_with_integers_of_numpy(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = arguments_of(PUBLIC[name]) | CALLS[name](tmp_path)
    given = {argument: np.int64(value) if type(value) is int else value for argument, value in given.items()}
    PUBLIC[name](**{argument: value for argument, value in given.items() if value is not inspect.Parameter.empty})
    plt.close("all")
