"""The folder of a run: whose it is, two at once, what lies in the place of files, and folders nobody may write to."""

import contextlib
import json
import os
import shutil
import types
import warnings

import filelock
import keras
import numpy as np
import pytest
import training_check
from training_check import Killed, KillingProgress, small_network

from kgpc import datasets, training
from kgpc.training import identity
from kgpc.training.checkpoints import checked_folder

RECIPE = training_check.RECIPE.replace(epochs=2)
STEPS = 5


@pytest.fixture(scope="module")
def data():
    return training_check.small_data()


def fit(model, data, folder, progress=False, recipe=RECIPE):
    return training.fit(model, data, recipe, folder=folder, progress=progress)


def new_network():
    return training.build(small_network, RECIPE)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A complete run: its folder, network and result."""
    folder, model = tmp_path_factory.mktemp("runs") / "complete", new_network()
    return folder, model, fit(model, data, folder)


@pytest.fixture
def complete(trained, tmp_path):
    """A copy of the folder of a complete run."""
    return shutil.copytree(trained[0], tmp_path / "complete")


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """A run that was interrupted in its second epoch: its folder, its network, and the weights this had then."""
    folder, model = tmp_path_factory.mktemp("runs") / "half", new_network()
    with pytest.raises(Killed):
        fit(model, data, folder, KillingProgress(STEPS + 3))
    assert (folder / "state-000001.npz").exists() and not (folder / "state-000002.npz").exists()
    return folder, model, model.get_weights()


@pytest.fixture
def half(interrupted, tmp_path):
    """A copy of the folder of a run that was interrupted in its second epoch."""
    return shutil.copytree(interrupted[0], tmp_path / "half")


def snapshot(folder):
    """Content and times of a folder: what would change if anything in it was written, even for a moment."""
    entries = {path.name: (path.lstat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    return entries, folder.stat().st_mtime_ns


def assert_same_run(model, result, trained):
    _, expected_model, expected = trained
    for actual, wanted in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    np.testing.assert_array_equal(result.step_losses, expected.step_losses)
    assert result.best_epoch == expected.best_epoch


# Whose it is


def test_the_same_network_goes_on_after_an_interruption_and_is_known_after_the_end(half, interrupted, data, trained):
    model = interrupted[1]
    result = fit(model, data, half)
    assert_same_run(model, result, trained)
    assert_same_run(model, fit(model, data, half), trained)
    model.layers[-1].bias.assign_add(np.array([0, 0.001, 0], "float32"))
    with pytest.raises(ValueError, match="initial weights differ.*Build the network as for that run, with the same"):
        fit(model, data, half)


def test_an_interrupted_network_has_the_weights_of_the_last_complete_epoch(interrupted):
    with np.load(interrupted[0] / "state-000001.npz") as state:
        stored = [state[name] for name in sorted(state) if name.startswith("best/")]  # the first epoch is the only one
    for actual, wanted in zip(interrupted[2], stored, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_other_initial_weights_are_refused_also_where_the_run_is_complete(complete, data):
    model = new_network()
    model.layers[1].kernel.assign_add(np.full(model.layers[1].kernel.shape, 1e-3, "float32"))
    before = snapshot(complete)
    with pytest.raises(ValueError, match=r"1 of 9 initial weights differ, first conv2d.*/kernel. Received: folder="):
        fit(model, data, complete)
    assert snapshot(complete) == before


def test_rounding_of_another_processor_is_no_difference(complete, data, trained):
    model = new_network()
    model.set_weights([weight * np.float32(1 + 2e-7) for weight in model.get_weights()])
    assert_same_run(model, fit(model, data, complete), trained)


def test_the_momentum_of_the_recipe_makes_no_other_network(complete, data, trained):
    model = new_network()
    training.set_batch_norm_momentum(model, RECIPE.batch_norm_momentum)
    assert_same_run(model, fit(model, data, complete), trained)


def test_a_refused_network_is_left_as_it_was(complete, data):
    model = training.build(small_network, RECIPE.replace(seed=8))
    before, momentum = model.get_weights(), model.layers[2].momentum
    with pytest.raises(ValueError, match="initial weights differ"):
        fit(model, data, complete)
    for actual, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert model.layers[2].momentum == momentum != RECIPE.batch_norm_momentum


def test_class_names_that_look_the_same_are_the_same(data, tmp_path):
    composed, decomposed = "\u00e9pic\u00e9a", "e\u0301pice\u0301a"
    names = [
        types.SimpleNamespace(**(vars(data) | {"class_names": (name, "b", "c")})) for name in (composed, decomposed)
    ]
    model = new_network()
    one, other = (identity.identity(model, named, RECIPE) for named in names)
    assert one == other and one["data"]["class_names"][0] == composed


def test_numbers_of_numpy_are_numbers(complete, data, trained):
    recipe = RECIPE.replace(epochs=np.int64(2), seed=np.uint32(7), validation_fraction=np.float32(0.25))
    model = training.build(small_network, recipe)
    assert_same_run(model, fit(model, data, complete, recipe=recipe), trained)


def test_the_run_file_says_what_the_run_is_computed_with(trained):
    run = json.loads((trained[0] / "run.json").read_text())
    import tensorflow as tf

    import kgpc

    assert run["versions"]["kgpc"] == kgpc.__version__ and run["versions"]["tensorflow"] == tf.__version__
    assert run["versions"]["numpy"] == np.__version__ and run["versions"]["keras"] == keras.version()
    assert run["identity"]["data"]["class_names"] == ["dark", "grey", "bright"]
    assert len(run["initial_weights"]) == len(trained[1].weights)


def test_all_images_count_where_they_are_an_array():
    images = np.random.default_rng(0).integers(0, 256, (700, 4, 4, 3), dtype=np.uint8)
    digest = identity.images_digest(images)
    assert identity.images_digest(images.copy()) == identity.images_digest(images[::-1][::-1]) == digest
    for position in (0, 311, 699):
        other = images.copy()
        other[position, 3, 3, 2] ^= 1
        assert identity.images_digest(other) != digest
    assert identity.images_digest(images.reshape(700, 4, 12)) != digest
    assert identity.images_digest(np.concatenate([images, images[:1]])) != digest


def test_of_images_that_are_decoded_on_demand_a_spread_counts(monkeypatch):
    arrays = list(np.random.default_rng(0).integers(0, 256, (2000, 4, 4, 3), dtype=np.uint8))
    decoded = []

    class Counted(datasets.DecodedOnDemand):
        def _image(self, which):
            decoded.append(which)
            return super()._image(which)

    digest = identity.images_digest(Counted(arrays, 4))
    assert len(decoded) == 512 and {0, 1999} < set(decoded) and np.diff(decoded).max() <= 5
    assert identity.images_digest(Counted(list(arrays), 4)) == digest
    for position in (0, decoded[100], 1999):
        other = list(arrays)
        other[position] = other[position] ^ 1
        assert identity.images_digest(Counted(other, 4)) != digest
    # An array that is too large to be looked at as a whole has the same spread.
    monkeypatch.setattr(identity, "_WHOLE_BYTES", 1000)
    assert identity.images_digest(np.stack(arrays)) == digest


def test_fingerprints_tell_arrays_apart_and_rounding_not():
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(3, 3, 8, 16)).astype("float32"), np.zeros(16, "float32"), np.ones((), "float32")]
    one = identity.fingerprints(arrays)
    assert json.loads(json.dumps(one)) == one
    rounded = [array * (1 + generator.uniform(-3e-7, 3e-7, array.shape)) for array in arrays]
    assert identity.unlike(one, identity.fingerprints(rounded)) == []
    for changed in (arrays[0][::-1], arrays[0] * 1.001, -arrays[0], np.zeros_like(arrays[0])):
        assert identity.unlike(one, identity.fingerprints([changed, *arrays[1:]])) == [0]
    assert identity.unlike(one, identity.fingerprints([arrays[0], np.full(16, 1e-30), arrays[2]])) == [1]
    with pytest.raises(ValueError):
        identity.unlike(one, one[:2])


def wired(first, second, names=None):
    """Three equal layers, of which the last ones read what they are told to."""
    tensors = [keras.Input((8, 8, 3))]
    for source in (0, first, second):
        name = None if names is None else f"{names}{len(tensors)}"
        tensors.append(keras.layers.Conv2D(3, 1, name=name)(tensors[source]))
    inner = keras.layers.Add()(tensors[1:])
    return keras.Model(tensors[0], keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inner)))


def test_networks_of_the_same_layers_differ_by_who_reads_whom():
    digest = identity._network_digest(wired(1, 2), RECIPE)
    assert identity._network_digest(wired(1, 2), RECIPE) == identity._network_digest(wired(1, 2, "a"), RECIPE) == digest
    assert len({identity._network_digest(wired(*sources), RECIPE) for sources in ((0, 0), (0, 1), (1, 1), (1, 2))}) == 4
    nested = []
    for sources in ((1, 2), (0, 0), (1, 2)):
        inputs = keras.Input((8, 8, 3))
        nested.append(identity._network_digest(keras.Model(inputs, wired(*sources)(inputs)), RECIPE))
    assert nested[0] == nested[2] != nested[1]
    sequential = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    assert len(identity._network_digest(sequential, RECIPE)) == 64


# Two at once


class Nested(training.Progress):
    """Begins a second training in the folder of the first one."""

    def __init__(self, data, folder):
        super().__init__()
        self.data, self.folder, self.errors = data, folder, []

    def advance(self, note=""):
        if not self.errors:
            with pytest.raises(training.FolderBusy) as error:
                fit(new_network(), self.data, self.folder)
            self.errors.append(str(error.value))


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(half, data, trained):
    (half / ".unfinished-of-somebody").write_text("being written")
    with filelock.FileLock(half / ".fit.lock"):
        before = snapshot(half)
        with pytest.raises(training.FolderBusy, match="`folder` is busy: another process trains there. Received: fold"):
            fit(new_network(), data, half)
        after = snapshot(half)
    for entries, _ in (before, after):
        entries.pop(".fit.lock")  # of which filelock changes the time
    assert after == before
    model, progress = new_network(), Nested(data, half)
    result = fit(model, data, half, progress)
    assert_same_run(model, result, trained)
    assert len(progress.errors) == 1 and not (half / ".unfinished-of-somebody").exists()
    with filelock.FileLock(half / ".fit.lock", timeout=0):
        pass  # it has been given back


def test_a_file_system_without_locks_is_a_warning(half, data, monkeypatch):
    def acquire(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match="has no locks. See to it that no other process trains there"):
        fit(new_network(), data, half)


# Nobody may write, and other things in the place of files


@contextlib.contextmanager
def read_only(folder):
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(0o755)


def test_a_complete_run_is_read_and_nothing_written(complete, data, trained):
    (complete / ".fit.lock").unlink(missing_ok=True)
    before, model = snapshot(complete), new_network()
    with read_only(complete):
        result = fit(model, data, complete, KillingProgress(1))
    assert_same_run(model, result, trained)
    assert snapshot(complete) == before


def test_a_complete_run_is_read_while_another_process_reads_it(complete, data, trained):
    with filelock.FileLock(complete / ".fit.lock"):
        model = new_network()
        assert_same_run(model, fit(model, data, complete), trained)


@pytest.mark.parametrize("name", ["history.csv", "best.weights.h5"])
def test_what_is_missing_beside_a_complete_state_is_written(name, complete, data, trained):
    expected = (complete / "history.csv").read_bytes()
    (complete / name).unlink()
    fit(new_network(), data, complete)
    assert (complete / "history.csv").read_bytes() == expected
    model = new_network()
    model.load_weights(complete / "best.weights.h5")
    for actual, wanted in zip(model.get_weights(), trained[1].get_weights(), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_what_is_missing_where_nobody_may_write_is_a_warning(complete, data, trained, monkeypatch):
    (complete / "history.csv").unlink()

    def mkdir(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)
    model = new_network()
    with pytest.warns(UserWarning, match=r"history.csv or .* is not up to date: .*Read-only file system"):
        result = fit(model, data, complete)
    assert_same_run(model, result, trained)


def test_an_incomplete_run_where_nobody_may_write_is_refused_at_once(half, data, monkeypatch):
    def acquire(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(PermissionError, match="`folder` cannot be written to .Permission denied.. Received: folder="):
        fit(new_network(), data, half)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
@pytest.mark.parametrize("name", ["run.json", "state-000001.npz", "history.csv", "best.weights.h5", ".fit.lock"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(name, kind, half, data):
    (half / name).unlink(missing_ok=True)
    os.mkfifo(half / name) if kind == "pipe" else (half / name).mkdir()
    before = sorted(os.listdir(half))
    with pytest.raises(ValueError, match=rf"{name} must be a file, but is a {'named ' * (kind == 'pipe')}{kind}"):
        fit(new_network(), data, half)
    assert sorted(os.listdir(half)) == before


def test_planted_links_are_not_followed(half, data, trained, tmp_path):
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    for name in (".unfinished-run.json", ".unfinished-state-000002.npz", "history.csv", "state-000002.npz"):
        (half / name).unlink(missing_ok=True)
        (half / name).symlink_to(outside)
    model = new_network()
    with pytest.warns(UserWarning, match="is damaged: state-000002.npz"):
        result = fit(model, data, half)
    assert_same_run(model, result, trained)
    assert outside.read_text() == "precious"
    assert not [path for path in half.iterdir() if path.is_symlink() or "unfinished" in path.name]


def test_a_link_in_the_place_of_the_lock_is_refused(half, data, tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    (half / ".fit.lock").unlink(missing_ok=True)
    (half / ".fit.lock").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(ValueError, match=r"\.fit\.lock must be a file, but is a link"):
        fit(new_network(), data, half)
    assert (tmp_path / "precious.txt").read_text() == "precious"


def test_a_state_with_other_numbers_is_not_believed(half, data, trained):
    """As in `test_training_states.py`, but through `fit`, with the network that it is for."""
    with np.load(half / "state-000001.npz") as file:
        content = dict(file)
    about = json.loads(str(content["about"]))
    about["epoch"], about["history"] = 2, [*about["history"], about["history"][0] | {"epoch": 2}]
    content["about"] = np.array(json.dumps(about))
    content["step_losses"] = np.tile(content["step_losses"], 2)
    content["variables/000000"] = content["variables/000000"] * np.nan
    np.savez(half / "state-000002.npz", **content)
    model = new_network()
    with pytest.warns(UserWarning, match="state-000002.npz .it has weights that are infinite.* after epoch 1"):
        result = fit(model, data, half)
    assert_same_run(model, result, trained)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, data, half)


@pytest.mark.parametrize(
    "folder, error, message",
    [
        ("", ValueError, "neither empty nor a URL. Received: folder=''"),
        ("memory://runs/a", ValueError, "neither empty nor a URL. Received: folder='memory://runs/a'"),
        ("s3://bucket/a", ValueError, "nor a URL"),
        ("a\0b", ValueError, "must be the path of a folder"),
        ("~nobody-of-this-name/a", ValueError, "names a user whose home folder is not known"),
        (b"runs", TypeError, "`folder` must be a path or None. Received: folder=b'runs' of type bytes"),
        (7, TypeError, "`folder` must be a path or None. Received: folder=7 of type int"),
        (True, TypeError, "`folder` must be a path or None"),
    ],
)
def test_what_is_no_folder_is_refused(folder, error, message, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        checked_folder(folder)
    assert not os.listdir(tmp_path)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert checked_folder("~/runs") == tmp_path / "runs"
