"""Training by a recipe: what it does, that it resumes exactly, and what it refuses."""

import json
import shutil
import types
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from training_check import Killed, KillingProgress

from kgpc import layers, training
from kgpc.training import QUICK, Augmentation, DamagedCheckpoint, Exponential, NonFiniteLoss

# Everything that a resumed run has to restore: order, augmentation, a schedule that changes, dropout, batch statistics.
RECIPE = QUICK.replace(
    epochs=4, image_size=8, batch_size=8, augmentation=Augmentation(), validation_fraction=0.25, batch_norm_momentum=0.7
)


def tiny(input_shape=(8, 8, 3), classes=3, filters=4, activation="softmax"):
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(filters, 3)(x)
    x = layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(x))


@pytest.fixture(scope="module")
def data():
    """Bright and dark images of three classes, hard enough not to be learned at once."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = generator.integers(0, 160, (60, 8, 8, 3)) + 45 * labels[:, None, None, None]
    images = np.minimum(images, 255).astype("uint8")
    return types.SimpleNamespace(
        name="tiny",
        x_train=images[:48],
        y_train=labels[:48],
        x_test=images[48:],
        y_test=labels[48:],
        class_names=("a", "b", "c"),
    )


@pytest.fixture(scope="module")
def uninterrupted(data):
    """A training from the beginning to the end, without a folder."""
    model = training.build(tiny, RECIPE)
    return model, training.fit(model, data, RECIPE, progress=False)


class Noting(training.Progress):
    """A line of progress that keeps all that it is told."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def advance(self, note=""):
        super().advance(note)
        self.notes.append(note)

    def say(self, note):
        super().say(note)
        self.notes.append(note)


def test_the_line_shows_the_newest_validation_accuracy(data, uninterrupted, tmp_path):
    accuracies = uninterrupted[1].history["val_accuracy"]
    progress = Noting()
    training.fit(training.build(tiny, RECIPE), data, RECIPE.replace(), folder=tmp_path, progress=progress)
    assert not any("validation" in note for note in progress.notes[:4])
    said = [note for note in progress.notes if "validation" in note]
    for epoch, accuracy in enumerate(accuracies, start=1):
        assert any(note.endswith(f"validation {accuracy:.1%} after epoch {epoch}") for note in said)
    assert said[0].startswith("epoch 1 of 4, loss ") and f"{accuracies.iloc[-1]:.1%} after epoch 4" in repr(progress)


def assert_equal_runs(model, result, expected_model, expected):
    for actual, wanted in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    pd.testing.assert_frame_equal(
        result.history.drop(columns="seconds"), expected.history.drop(columns="seconds"), check_exact=True
    )
    np.testing.assert_array_equal(result.step_losses, expected.step_losses)
    assert result.best_epoch == expected.best_epoch


def snapshot(folder):
    """Content and times of a folder: what would change if anything in it was written, even for a moment."""
    entries = {path.name: (path.lstat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    return entries, folder.stat().st_mtime_ns


def train_until_killed(data, folder, epoch, step):
    """A training that ends at a step of an epoch, both from 0."""
    with pytest.raises(Killed):
        progress = KillingProgress(epoch * 4 + step + 1)
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=folder, progress=progress)
    assert (folder / f"state-{epoch:06d}.npz").exists() and not (folder / f"state-{epoch + 1:06d}.npz").exists()


# What a training does


def test_the_history_has_one_row_for_each_epoch(uninterrupted, data):
    model, result = uninterrupted
    history = result.history
    assert list(history.columns) == [
        "epoch",
        "learning_rate",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "seconds",
    ]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert len(result.step_losses) == 4 * 4  # 36 images in batches of 8
    for epoch in range(4):
        mean = result.step_losses[4 * epoch : 4 * epoch + 4].mean()
        assert history["loss"][epoch] == pytest.approx(mean, rel=1e-5)
        rate = RECIPE.learning_rate.rate(epoch + 3.5 / 4, 4)
        assert history["learning_rate"][epoch] == pytest.approx(rate, rel=1e-6)
    assert result.seconds == pytest.approx(history["seconds"].sum())
    assert f"best epoch {result.best_epoch}" in repr(result)
    assert all(layer.momentum == 0.7 for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))


def test_the_network_has_the_weights_of_the_best_epoch(uninterrupted, data):
    model, result = uninterrupted
    assert result.best_epoch == 1 + result.history["val_accuracy"].argmax()
    evaluation = training.evaluate(model, data, RECIPE, part="validation")
    best = result.history.iloc[result.best_epoch - 1]
    assert evaluation.images == 12
    assert evaluation.accuracy == pytest.approx(best["val_accuracy"])
    assert evaluation.loss == pytest.approx(best["val_loss"], rel=1e-4)


def test_evaluation_is_what_numpy_says(uninterrupted, data):
    model, _ = uninterrupted
    evaluation = training.evaluate(model, data, RECIPE)
    probabilities = model.predict(training.prepare(data.x_test, RECIPE), verbose=0)
    assert evaluation.images == 12
    np.testing.assert_array_equal(evaluation.predictions, probabilities.argmax(axis=1))
    np.testing.assert_array_equal(evaluation.correct, evaluation.predictions == data.y_test)
    assert evaluation.accuracy == evaluation.correct.mean()
    assert evaluation.loss == pytest.approx(-np.log(probabilities[np.arange(12), data.y_test]).mean(), rel=1e-5)


def test_training_step_and_answers_are_traced_once(data):
    """A second trace of a large network takes as long as hundreds of steps."""
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs, training=None):
            if training is not None:  # the network is not only being built
                traces.append(training)
            return inputs

    def counted(input_shape):
        inputs = keras.Input(input_shape)
        x = keras.layers.GlobalAveragePooling2D()(Counting()(inputs))
        return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))

    recipe = RECIPE.replace(epochs=2, augmentation=None)
    model = training.build(counted, recipe)
    training.fit(model, data, recipe, progress=False)
    training.evaluate(model, data, recipe)
    assert sorted(traces) == [False, True]


def test_the_best_epoch_follows_the_monitor(data):
    for monitor, best in (("val_accuracy", np.argmax), ("val_loss", np.argmin)):
        recipe = RECIPE.replace(monitor=monitor, epochs=3)
        result = training.fit(training.build(tiny, recipe), data, recipe, progress=False)
        assert result.best_epoch == 1 + best(result.history[monitor])


def test_threads_change_no_result(uninterrupted, data):
    model = training.build(tiny, RECIPE)
    result = training.fit(model, data, RECIPE, progress=False, workers=3)
    assert_equal_runs(model, result, *uninterrupted)


def test_build_sets_seed_size_and_precision():
    first, second = training.build(tiny, RECIPE), training.build(tiny, RECIPE)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    other = training.build(tiny, RECIPE.replace(seed=8))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    mixed = training.build(tiny, RECIPE.replace(precision="mixed_bfloat16", image_size=16))
    assert mixed.input_shape == (None, 16, 16, 3)
    assert mixed.layers[1].compute_dtype == "bfloat16" and mixed.layers[-1].compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(precision, data, tmp_path):
    recipe = RECIPE.replace(precision=precision, epochs=2)
    model = training.build(tiny, recipe)
    before = model.get_weights()[0]
    result = training.fit(model, data, recipe, folder=tmp_path, progress=False)
    assert np.isfinite(result.step_losses).all() and not np.array_equal(before, model.get_weights()[0])
    assert result.history["learning_rate"][0] == pytest.approx(recipe.learning_rate.rate(3.5 / 4, 2))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_of_another_precision_than_the_recipes_is_refused(precision, data):
    half = RECIPE.replace(precision=precision)
    for built, asked in ((half, RECIPE), (RECIPE, half)):
        model = training.build(tiny, built)
        for function in (training.evaluate, training.fit):
            with pytest.raises(ValueError, match=f"the precision of the recipe, '{asked.precision}'"):
                function(model, data, asked)


def regularized(**options):
    model = tiny(**options)
    model.layers[1].kernel.regularizer = keras.regularizers.L2(0.5)
    return model


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("network", [tiny, regularized])
def test_the_losses_of_the_history_are_plain_cross_entropies(network, class_weight, smoothing, data):
    recipe = RECIPE.replace(
        optimizer="SGD",
        learning_rate=Exponential(1e-12),
        class_weight=class_weight,
        label_smoothing=smoothing,
        augmentation=None,
        epochs=1,
    )
    data = types.SimpleNamespace(**{**vars(data), "y_train": np.repeat([0, 1, 2], [30, 12, 6])})
    plain = recipe.replace(class_weight=None, label_smoothing=0.0)
    losses = []
    for constructor, one in ((network, recipe), (tiny, plain)):  # at this rate no weight changes
        model = training.build(constructor, one)
        losses.append(training.fit(model, data, one, progress=False).history["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_class_weights_and_momentum_reach_the_optimizer(data):
    recipe = RECIPE.replace(
        optimizer="SGD", momentum=0.9, nesterov=True, learning_rate=Exponential(0.01), class_weight="balanced", epochs=1
    )
    model = training.build(tiny, recipe)
    training.fit(model, data, recipe, progress=False)
    assert (model.optimizer.momentum, model.optimizer.nesterov) == (0.9, True)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


# Resuming


@pytest.mark.parametrize("epoch, step", [(0, 2), (1, 1), (3, 3)])
def test_an_interrupted_run_ends_like_one_without_interruption(epoch, step, uninterrupted, data, tmp_path):
    train_until_killed(data, tmp_path, epoch, step)
    model = training.build(tiny, RECIPE)
    result = training.fit(model, data, RECIPE, folder=tmp_path, progress=False)
    assert_equal_runs(model, result, *uninterrupted)


def test_the_folder_has_the_best_weights_and_the_history(uninterrupted, data, tmp_path):
    expected_model, expected = uninterrupted
    model = training.build(tiny, RECIPE)
    result = training.fit(model, data, RECIPE, folder=tmp_path / "runs" / "tiny", progress=False)
    assert_equal_runs(model, result, *uninterrupted)
    names = sorted(path.name for path in (tmp_path / "runs" / "tiny").iterdir())
    assert names == [".fit.lock", "best.weights.h5", "history.csv", "run.json", "state-000003.npz", "state-000004.npz"]
    history = pd.read_csv(tmp_path / "runs" / "tiny" / "history.csv")
    pd.testing.assert_frame_equal(history, result.history, rtol=1e-14)
    loaded = training.build(tiny, RECIPE.replace(seed=99))
    loaded.load_weights(tmp_path / "runs" / "tiny" / "best.weights.h5")
    for actual, wanted in zip(loaded.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    run = json.loads((tmp_path / "runs" / "tiny" / "run.json").read_text())
    assert run["identity"]["recipe"]["epochs"] == 4 and run["versions"]["keras"] == keras.version()


def test_a_complete_run_is_not_repeated(uninterrupted, data, tmp_path):
    training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=tmp_path, progress=False)
    model = training.build(tiny, RECIPE)
    before = snapshot(tmp_path)
    result = training.fit(model, data, RECIPE, folder=tmp_path, progress=KillingProgress(1))
    assert_equal_runs(model, result, *uninterrupted)
    assert snapshot(tmp_path) == before


@pytest.fixture(scope="module")
def killed_in_the_third_epoch(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    train_until_killed(data, folder, 2, 1)
    return folder


@pytest.fixture
def half(killed_in_the_third_epoch, tmp_path):
    """A folder with a run that was killed in the third of four epochs."""
    return shutil.copytree(killed_in_the_third_epoch, tmp_path / "half")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_state_is_noticed_and_the_one_before_it_is_used(damage, half, uninterrupted, data):
    path = half / "state-000002.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0x10
    content = {"truncated": content[:-300], "flipped": content, "empty": b"", "text": b"no checkpoint"}[damage]
    path.write_bytes(content)
    model = training.build(tiny, RECIPE)
    with pytest.warns(UserWarning, match=r"is damaged: state-000002.npz .* after epoch 1"):
        result = training.fit(model, data, RECIPE, folder=half, progress=False)
    assert_equal_runs(model, result, *uninterrupted)


def test_only_damaged_states_are_refused(half, data):
    for path in half.glob("state-*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedCheckpoint, match="are damaged: state-000002.npz .*state-000001.npz .* Empty the folder"):
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=half, progress=False)


def test_a_state_that_was_not_finished_does_not_count(half, uninterrupted, data):
    (half / ".unfinished-0123456789abcdef-state-000003.npz").write_bytes(b"half a state")
    model = training.build(tiny, RECIPE)
    result = training.fit(model, data, RECIPE, folder=half, progress=False)
    assert_equal_runs(model, result, *uninterrupted)
    assert not list(half.glob(".unfinished*"))


def other_recipe(data):
    recipe = RECIPE.replace(epochs=5)
    return training.build(tiny, recipe), data, recipe


def other_width(data):
    return training.build(tiny, RECIPE, filters=5), data, RECIPE


def other_activation(data):
    model = training.build(tiny, RECIPE)
    model.layers[3].activation = keras.activations.silu
    return model, data, RECIPE


def with_other(data, **changes):
    return types.SimpleNamespace(**(vars(data) | changes))


def other_images(data):
    images = data.x_train.copy()
    images[-1, 3, 3, 0] ^= 1
    return training.build(tiny, RECIPE), with_other(data, x_train=images), RECIPE


def other_class_names(data):
    return training.build(tiny, RECIPE), with_other(data, class_names=("a", "b", "C")), RECIPE


def other_start(data):
    return training.build(tiny, RECIPE.replace(seed=8)), data, RECIPE


def other_labels(data):
    labels = data.y_train.copy()
    labels[[0, 1]] = labels[[1, 0]]
    return training.build(tiny, RECIPE), with_other(data, y_train=labels), RECIPE


@pytest.mark.parametrize(
    "change, message",
    [
        (other_recipe, "recipe.epochs is 4 there and 5 here"),
        (other_width, "model.parameters is 143 there and 178 here"),
        (other_activation, "model.sha256 is "),
        (other_labels, "data.labels_sha256 is "),
        (other_images, "data.images_sha256 is "),
        (other_class_names, r"data.class_names\[2\] is 'c' there and 'C' here"),
        (other_start, "2 of 8 initial weights differ, first conv2d"),
    ],
)
def test_the_folder_of_another_run_is_refused(change, message, half, data):
    before = {path.name: path.read_bytes() for path in half.iterdir()}
    model, data, recipe = change(data)
    with pytest.raises(
        ValueError, match=f"`folder` belongs to another run: {message}.*Received: folder=.*another folder"
    ):
        training.fit(model, data, recipe, folder=half, progress=False)
    assert {path.name: path.read_bytes() for path in half.iterdir()} == before


def test_folders_without_a_run_are_refused_where_they_could_be_mistaken(half, data, tmp_path):
    (half / "run.json").unlink()
    with pytest.raises(ValueError, match="checkpoints of a run that is not known: run.json is missing"):
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=half, progress=False)
    (half / "run.json").write_text("{")
    with pytest.raises(DamagedCheckpoint, match="run.json is damaged"):
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=half, progress=False)
    with pytest.raises(NotADirectoryError, match="`folder` must be a folder.*is a file"):
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=half / "run.json", progress=False)


def test_other_versions_are_a_warning(half, uninterrupted, data):
    run = json.loads((half / "run.json").read_text())
    run["versions"]["keras"] = "3.0.0"
    (half / "run.json").write_text(json.dumps(run))
    with pytest.warns(UserWarning, match="begun with other versions \\(keras 3.0.0 -> "):
        training.fit(training.build(tiny, RECIPE), data, RECIPE, folder=half, progress=False)


def test_the_name_of_automatic_layers_does_not_count(half, uninterrupted, data):
    tiny()  # moves the numbers in automatic names on
    model = training.build(tiny, RECIPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result = training.fit(model, data, RECIPE, folder=half, progress=False)
    assert_equal_runs(model, result, *uninterrupted)


# A loss that is no number


def exploding(epoch, step):
    """A schedule whose rate leaves all bounds at one step."""

    class Rate:
        constant_within_epoch = False

        def rate(self, epochs, total_epochs):
            return 1e38 if (int(epochs), int(4 * (epochs % 1))) == (epoch, step) else 0.001

    return Rate()


@pytest.mark.parametrize("folder", [True, False])
def test_a_loss_that_is_no_number_stops_at_its_step(folder, data, tmp_path, monkeypatch):
    model = training.build(tiny, RECIPE)
    initial = model.get_weights()
    recipe = RECIPE.replace()
    object.__setattr__(recipe, "learning_rate", exploding(1, 1))
    monkeypatch.setattr(type(recipe), "as_dict", lambda self: {})
    with pytest.raises(NonFiniteLoss, match="step 3 in epoch 2 is (nan|inf)") as error:
        training.fit(model, data, recipe, folder=tmp_path if folder else None, progress=False)
    assert (error.value.epoch, error.value.step) == (2, 3) and not np.isfinite(error.value.loss)
    assert "has the weights of epoch 1, the best so far" in str(error.value)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert not np.array_equal(initial[0], model.get_weights()[0])
    if folder:
        assert f"The last good checkpoint, after epoch 1, is in {tmp_path}" in str(error.value)
        assert not list(tmp_path.glob("state-000002*")) and (tmp_path / "state-000001.npz").exists()


def test_in_the_first_epoch_the_network_gets_its_initial_weights(data):
    recipe = RECIPE.replace(optimizer="SGD", learning_rate=Exponential(1e38))
    model = training.build(tiny, recipe)
    initial = model.get_weights()
    with pytest.raises(NonFiniteLoss, match="step 2 in epoch 1 .* The network has its initial weights"):
        training.fit(model, data, recipe, progress=False)
    for actual, wanted in zip(model.get_weights(), initial, strict=True):
        np.testing.assert_array_equal(actual, wanted)


# What is refused


@pytest.mark.parametrize(
    "error, change, message",
    [
        (TypeError, {"model": "kMobileNet"}, "`model` must be a Keras model. Received: model of type str"),
        (TypeError, {"recipe": {"epochs": 3}}, "`recipe` must be a Recipe"),
        (ValueError, {"recipe": RECIPE.replace(image_size=32)}, "`model` must take images of 32x32 with 3 channels"),
        (ValueError, {"classes": 4}, "`model` must have one output for each of the 3 classes"),
        (ValueError, {"activation": None}, r"`model` must end in probabilities \(softmax\)"),
        (ValueError, {"recipe": RECIPE.replace(precision="mixed_float16")}, "`model` must have the precision of the"),
        (ValueError, {"y_train": np.arange(48) % 4}, r"`y_train` of `data` must be in \[0, 3\).*from 0 to 3"),
        (TypeError, {"y_train": np.zeros(48)}, "`y_train` of `data` must be an int array"),
        (ValueError, {"y_train": np.arange(47) % 3}, "`labels` must have the shape"),
        (ValueError, {"recipe": RECIPE.replace(batch_size=64)}, "`batch_size` must be at most the number of images"),
        (ValueError, {"workers": 0}, "`workers` must be at least 1. Received: workers=0"),
        (ValueError, {"workers": 10**6}, "`workers` must be at most 256. Received: workers=1000000"),
        (TypeError, {"workers": 2.0}, "`workers` must be an integer of at least 1. Received: workers=2.0"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_any_work(error, change, message, data, tmp_path):
    options = {key: change[key] for key in ("classes", "activation") if key in change}
    model = change.get("model") or tiny(**options)
    data = types.SimpleNamespace(**(vars(data) | {key: change[key] for key in ("y_train",) if key in change}))
    with pytest.raises(error, match=message):
        training.fit(
            model, data, change.get("recipe", RECIPE), folder=tmp_path / "run", workers=change.get("workers", 1)
        )
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_not_built_is_refused(data):
    with pytest.raises(ValueError, match="`model` must be built, with one input and one output"):
        training.fit(keras.Sequential([keras.layers.Dense(3, activation="softmax")]), data, RECIPE)


def test_an_unknown_part_is_refused(uninterrupted, data):
    with pytest.raises(ValueError, match='`part` must be "test" or "validation". Received: part=\'train\''):
        training.evaluate(uninterrupted[0], data, RECIPE, part="train")


def test_data_without_test_images_are_refused(uninterrupted, data):
    empty = types.SimpleNamespace(**(vars(data) | {"x_test": data.x_test[:0], "y_test": data.y_test[:0]}))
    with pytest.raises(ValueError, match="`data` must have test images"):
        training.evaluate(uninterrupted[0], empty, RECIPE)
