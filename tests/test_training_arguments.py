"""Every public function of kgpc.training, called with odd arguments: the error names the argument and its value."""

import math
import re
import types

import keras
import numpy as np
import pytest

from kgpc import training
from kgpc.training import (
    QUICK,
    Augmentation,
    Batches,
    Cyclical,
    Exponential,
    OneCycle,
    Progress,
    Recipe,
    Transformation,
    prepare,
    sample_generator,
    split,
)

HUGE = 10**5000  # more digits than Python writes
IMAGES, LABELS = np.zeros((8, 8, 8, 3), "uint8"), np.arange(8) % 2
RECIPE = QUICK.replace(image_size=8, batch_size=2, validation_fraction=0.25)
DATA = types.SimpleNamespace(
    x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS, class_names=("a", "b"), name="zeros"
)
MATRIX = np.eye(3)[:2]


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def other(**changes):
    return types.SimpleNamespace(**(vars(DATA) | changes))


def without(name):
    return types.SimpleNamespace(**{key: value for key, value in vars(DATA).items() if key != name})


def infinite(model):
    copy = keras.models.clone_model(model)
    copy.layers[-1].bias.assign([0.0, math.inf])
    return copy


# Calls with `model`, and the argument and the value that the error must name.
CALLS = [
    # Schedules
    *(
        (lambda model, make=make, value=value: make.rate(value, 4), "epochs", value)
        for make in (Cyclical(), Exponential(), OneCycle())
        for value in (-1, -1e-9, math.nan, math.inf, -math.inf, 4.5, True, "2", None, [1], HUGE)
    ),
    *(
        (lambda model, make=make, value=value: make.rate(0, value), "total_epochs", value)
        for make in (Cyclical(), Exponential(), OneCycle())
        for value in (0, -3, math.nan, math.inf, True, "2", HUGE)
    ),
    (lambda model: OneCycle().rate(0, None), "total_epochs", None),
    *((lambda model, value=value: Cyclical(base=value), "base", value) for value in (0, math.nan, "a", True, HUGE)),
    *((lambda model, value=value: Cyclical(floor=value), "floor", value) for value in (-1, math.nan, "a", None, HUGE)),
    *((lambda model, value=value: Cyclical(cycle_epochs=value), "cycle_epochs", value) for value in (0, 2.5, None)),
    *((lambda model, value=value: OneCycle(peak=value), "peak", value) for value in (-1, math.inf, None, HUGE)),
    *((lambda model, value=value: OneCycle(warmup_fraction=value), "warmup_fraction", value) for value in (0, 1, "a")),
    *((lambda model, value=value: Exponential(decay=value), "decay", value) for value in (0, 1.1, math.nan, None)),
    # Augmentation
    *((lambda model, value=value: Augmentation(zoom=value), "zoom", value) for value in (-1, 1, math.nan, "a", HUGE)),
    *(
        (lambda model, value=value: Augmentation(shift_pixels=value), "shift_pixels", value)
        for value in (-1, 1.0, True, HUGE)
    ),
    *(
        (lambda model, value=value: Augmentation(horizontal_flip=value), "horizontal_flip", value)
        for value in ("no", 1, None)
    ),
    *(
        (lambda model, value=value: Augmentation().sample(value, np.random.default_rng(0)), "shape", value)
        for value in (8, None, (8,), "88", (8, 0), (8, -1), (8.0, 8), (True, 8))
    ),
    *((lambda model, value=value: Augmentation().sample((8, 8), value), "generator", value) for value in (None, 7)),
    *(
        (lambda model, value=value: sample_generator(value, 0, 0), "seed", value)
        for value in (-1, 1.5, None, "7", True)
    ),
    (lambda model: sample_generator(0, -1, 0), "epoch", -1),
    (lambda model: sample_generator(0, 0, math.nan), "index", math.nan),
    *(
        (lambda model, value=value: Transformation(value), "matrix", None)
        for value in (None, np.eye(3), MATRIX.tolist(), MATRIX * math.nan, MATRIX.astype("float32"))
    ),
    (lambda model: Transformation(MATRIX, math.nan), "channel_shift", math.nan),
    *(
        (lambda model, value=value: Transformation(MATRIX).apply(value), "image", None)
        for value in (None, [[1]], IMAGES[0], np.zeros((8, 8), "float32"), np.zeros((0, 8, 3), "float32"))
    ),
    # Recipes
    *((lambda model, value=value: QUICK.replace(epochs=value), "epochs", value) for value in (0, -1, 2.0, None, "3")),
    *((lambda model, value=value: QUICK.replace(image_size=value), "image_size", value) for value in (0, 10**9, HUGE)),
    *(
        (lambda model, value=value: QUICK.replace(optimizer=value), "optimizer", value)
        for value in (None, 3, ["SGD"], "adam")
    ),
    (lambda model: QUICK.replace(monitor=np.array(["last", "val_loss"])), "monitor", None),
    (lambda model: QUICK.replace(pixel_maximum=True), "pixel_maximum", True),
    *(
        (lambda model, value=value: QUICK.replace(label_smoothing=value), "label_smoothing", value)
        for value in (1, -0.1, math.nan, "a", None)
    ),
    (lambda model: QUICK.replace(learning_rate=0.1), "learning_rate", 0.1),
    (lambda model: QUICK.replace(augmentation=True), "augmentation", True),
    (lambda model: QUICK.replace(seed=2**32), "seed", 2**32),
    (lambda model: Recipe(epochs=True), "epochs", True),
    *((lambda model, value=value: training.recipe(value), "dataset", value) for value in (None, 10, "MNIST", "")),
    *((lambda model, value=value: training.recipe("CIFAR-10", value), "label", value) for value in (3, "", "JP00")),
    # Batches
    *(
        (lambda model, value=value: prepare(value, RECIPE), "images", None)
        for value in (None, "a", IMAGES.tolist(), IMAGES[0], IMAGES.astype(float), IMAGES[..., :2], 7)
    ),
    *((lambda model, value=value: prepare(IMAGES, value), "recipe", value) for value in (None, 224, {"epochs": 3})),
    *(
        (lambda model, value=value: split(value, RECIPE), "labels", None)
        for value in (None, 7, [], "ab", LABELS.astype(float), LABELS[None], [[1], [1, 2]], -LABELS, ["a", "b"])
    ),
    (lambda model: split(LABELS, None), "recipe", None),
    (lambda model: split(LABELS[:2], RECIPE), "validation_fraction", 0.25),
    (lambda model: Batches(IMAGES.tolist(), LABELS, RECIPE), "images", None),
    (lambda model: Batches(None, LABELS, RECIPE), "images", None),
    (lambda model: Batches(IMAGES.astype("float32"), LABELS, RECIPE), "images", None),
    (lambda model: Batches(IMAGES, LABELS[1:], RECIPE), "labels", None),
    (lambda model: Batches(IMAGES, LABELS.astype(str), RECIPE), "labels", None),
    (lambda model: Batches(IMAGES, LABELS, "quick"), "recipe", "quick"),
    *(
        (lambda model, value=value: Batches(IMAGES, LABELS, RECIPE, workers=value), "workers", value)
        for value in (0, -1, 10**6, 1.5, None, True, HUGE)
    ),
    *(
        (lambda model, value=value: Batches(IMAGES, LABELS, RECIPE, indices=value), "indices", None)
        for value in ([8], [-1], [0.5], LABELS > 0, "a", 3)
    ),
    *(
        (lambda model, value=value: Batches(IMAGES, LABELS, RECIPE, views=value), "views", value)
        for value in ("both", 4, ["plain"])
    ),
    (lambda model: Batches(IMAGES, LABELS, RECIPE, training="no"), "training", "no"),
    (lambda model: Batches(IMAGES, LABELS, RECIPE, fill=1), "fill", 1),
    (lambda model: Batches(IMAGES, LABELS, RECIPE, process=1), "process", 1),
    (lambda model: Batches(IMAGES, LABELS, RECIPE, processes=0), "processes", 0),
    (lambda model: Batches(IMAGES, LABELS, RECIPE.replace(batch_size=9)), "batch_size", 9),
    # Progress
    *((lambda model, value=value: Progress(runs=value), "runs", value) for value in (0, 1.5, True, None, "2")),
    *((lambda model, value=value: Progress(value), "title", value) for value in (3, None, True)),
    (lambda model: Progress().begin(-1), "steps", -1),
    (lambda model: Progress().begin(3, done=4), "done", 4),
    # build, set_batch_norm_momentum
    (lambda model: training.build("kMobileNet", RECIPE), "constructor", "kMobileNet"),
    (lambda model: training.build(None, RECIPE), "constructor", None),
    (lambda model: training.build(lambda input_shape: None, RECIPE), "constructor", None),
    (lambda model: training.build(keras.Model, None), "recipe", None),
    *(
        (lambda model, value=value: training.set_batch_norm_momentum(model, value), "momentum", value)
        for value in (1, -0.1, math.nan, "0.9", None, True, HUGE)
    ),
    (lambda model: training.set_batch_norm_momentum(None, 0.9), "model", None),
    # fit
    *((lambda model, value=value: training.fit(value, DATA, RECIPE), "model", None) for value in (None, "a", 3, [])),
    *(
        (lambda model, value=value: training.fit(model, value, RECIPE), "data", None)
        for value in (None, IMAGES, "CIFAR")
    ),
    *(
        (lambda model, name=name: training.fit(model, without(name), RECIPE), "data", None)
        for name in ("x_train", "y_train", "class_names")
    ),
    *((lambda model, value=value: training.fit(model, DATA, value), "recipe", value) for value in (None, "quick", 3)),
    *(
        (lambda model, value=value: training.fit(model, DATA, RECIPE, folder=value), "folder", value)
        for value in (7, True, "", "memory://runs", b"runs", "a\0b")
    ),
    *(
        (lambda model, value=value: training.fit(model, DATA, RECIPE, progress=value), "progress", value)
        for value in (3, None, [], 0)
    ),
    *(
        (lambda model, value=value: training.fit(model, DATA, RECIPE, workers=value), "workers", value)
        for value in (0, -1, 10**6, 1.5, None, True, "2", HUGE)
    ),
    *(
        (lambda model, value=value: training.fit(model, other(x_train=value), RECIPE), "x_train", None)
        for value in (None, IMAGES.tolist(), IMAGES.astype(float), IMAGES[0, 0])
    ),
    *(
        (lambda model, value=value: training.fit(model, other(y_train=value), RECIPE), "y_train", None)
        for value in (None, LABELS.astype(float), LABELS + 1, -LABELS, LABELS[:, None], list("abababab"))
    ),
    (lambda model: training.fit(model, other(y_train=LABELS[1:]), RECIPE), "labels", None),
    *(
        (lambda model, value=value: training.fit(model, other(class_names=value), RECIPE), "class_names", None)
        for value in (None, "ab", 2, [1, 2])
    ),
    (lambda model: training.fit(model, other(class_names=("a", "b", "c")), RECIPE), "model", None),
    (lambda model: training.fit(model, DATA, RECIPE.replace(image_size=9)), "model", None),
    (lambda model: training.fit(model, DATA, RECIPE.replace(precision="mixed_float16")), "model", None),
    (lambda model: training.fit(infinite(model), DATA, RECIPE), "model", None),
    (lambda model: training.fit(model, DATA, RECIPE.replace(batch_size=7)), "batch_size", 7),
    (lambda model: training.fit(model, DATA, RECIPE.replace(train_images=100)), "train_images", 100),
    # evaluate
    *((lambda model, value=value: training.evaluate(value, DATA, RECIPE), "model", None) for value in (None, "a")),
    (lambda model: training.renew_moving_averages(None, DATA, RECIPE), "model", None),
    (lambda model: training.renew_moving_averages(model, without("x_train"), RECIPE), "data", None),
    (lambda model: training.renew_moving_averages(model, DATA, None), "recipe", None),
    *(
        (lambda model, value=value: training.renew_moving_averages(model, DATA, RECIPE, images=value), "images", value)
        for value in (0, -1, 1.5, True, "2", None)
    ),
    (lambda model: training.evaluate(model, None, RECIPE), "data", None),
    (lambda model: training.evaluate(model, without("x_test"), RECIPE), "data", None),
    (lambda model: training.evaluate(model, DATA, None), "recipe", None),
    *(
        (lambda model, value=value: training.evaluate(model, DATA, RECIPE, part=value), "part", value)
        for value in ("train", None, 1, ["test"])
    ),
    (lambda model: training.evaluate(model, other(y_test=LABELS + 1), RECIPE), "y_test", None),
    (lambda model: training.evaluate(model, other(x_test=IMAGES[:0], y_test=LABELS[:0]), RECIPE), "data", None),
    (lambda model: training.evaluate(model, other(x_test=IMAGES[:3]), RECIPE), "labels", None),
    # Lessons
    *((lambda model, value=value: training.check_profile(value), "profile", value) for value in ("fast", None, True)),
    (lambda model: training.lesson("fast", "CIFAR-10", RECIPE), "profile", "fast"),
    (lambda model: training.lesson("quick", "MNIST", RECIPE), "dataset", "MNIST"),
    (lambda model: training.lesson("quick", "CIFAR-10", None), "published", None),
    (lambda model: training.lesson("quick", "CIFAR-10", RECIPE, demonstration="short"), "demonstration", "short"),
]


@pytest.mark.parametrize(
    "call, name, value", CALLS, ids=[f"{number}-{name}" for number, (_, name, _) in enumerate(CALLS)]
)
def test_a_wrong_argument_is_named_with_its_value(call, name, value, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError)) as error:
        call(model)
    message = str(error.value)
    assert re.search(rf"`{name}`|^`{name}=", message), message
    assert "Received: " in message, message
    if value is not None and value is not HUGE:
        received = message.split("Received: ")[-1]
        assert f"{name}={value}" in received or f"{name}={value!r}" in received, message
    assert len(message) < 2000
    assert not list(tmp_path.iterdir())


def test_integers_of_numpy_are_integers_everywhere(model):
    one, two = np.int64(1), np.int32(2)
    assert Progress(runs=one).runs == 1
    assert QUICK.replace(epochs=two).as_dict()["epochs"] == 2 and type(QUICK.replace(epochs=two).epochs) is int
    assert sample_generator(one, two, np.uint8(3)).random() == sample_generator(1, 2, 3).random()
    assert Cyclical(cycle_epochs=np.int64(3)).rate(np.float32(4)) == Cyclical(cycle_epochs=3).rate(4)
    assert len(Batches(IMAGES, LABELS, RECIPE, workers=one, process=np.int64(0), processes=one)) == 4
    assert Augmentation(shift_pixels=two).sample((np.int64(8), np.int64(8)), np.random.default_rng(0)).matrix.shape == (
        2,
        3,
    )
    training.set_batch_norm_momentum(model, np.float32(0.5))


def test_progress_is_begun_before_it_goes_on():
    for name in ("advance", "end"):
        with pytest.raises(RuntimeError, match="`begin` must be called first"):
            getattr(Progress(), name)()


def test_every_public_function_is_in_the_table():
    import inspect

    source = inspect.getsource(inspect.getmodule(other))
    for name in training.__all__:
        public = getattr(training, name)
        if inspect.isfunction(public) or (inspect.isclass(public) and not issubclass(public, BaseException)):
            # What only `fit`, `evaluate` and `lesson` make has no arguments of a user's.
            assert name in ("TrainingResult", "Evaluation", "Lesson") or f"{name}(" in source, name
