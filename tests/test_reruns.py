"""Reruns of the tables: what is selected, a folder per run, resumed, locked, compared; here or on a Ray cluster."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import filelock
import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from kgpc import __main__ as command_line
from kgpc import applications, datasets, flops, paper, training
from kgpc.paper import cluster, execution, rerun_results, selection, storage

# A network that TensorFlow traces in two seconds, and a recipe of a few steps.
TINY_RECIPE = training.QUICK.replace(
    epochs=3, batch_size=20, train_images=40, validation_fraction=0.1, batch_norm_momentum=0.8, seed=5
)


def tiny_run(**changes):
    values = {
        "profile": "quick",
        "family": "DenseNet-BC L10",
        "model": "DenseNet-BC L10",
        "variant": "baseline",
        "label": "",
        "dataset": "Fashion-MNIST sample",
        "constructor": "kDenseNetBC",
        "arguments": {"scheme": None, "depth": 10, "growth_rate": 4},
        "recipe": TINY_RECIPE,
        "test_images": 50,
    }
    return paper.Run(**{**values, **changes})


def weights_of(folder):
    """All arrays of the stored weights, by name."""
    arrays = {}
    with h5py.File(folder / "best.weights.h5") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    assert arrays
    return arrays


def assert_same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert np.array_equal(values, other[name]), name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one complete run."""
    output = tmp_path_factory.mktemp("runs")
    assert execution.execute(tiny_run(), output, progress=False) == "trained"
    return output


# What is selected


def test_every_published_row_has_its_run():
    names = {run.name for run in paper.runs("paper")}
    for _, row in paper.published().iterrows():
        run = selection.run_of(row)
        assert run.name in names
        assert (run.recipe.epochs, run.recipe.image_size) == (row["epochs"], row["image_size"])
    assert len(names) == len(paper.runs("paper")) == 57


def test_a_row_that_averages_two_views_is_tested_with_the_run_of_the_plain_row():
    mirrored = [run for run in paper.runs("paper") if run.mirrored_test]
    assert {run.label for run in mirrored} == {"JP30I02", "JP30I02j"}
    assert all(run.scheme == "D6v3(32)" for run in mirrored)


def test_the_quick_profile_has_four_variants_of_five_families_and_three_seeds():
    selected = paper.runs()
    assert len({run.name for run in selected}) == len(selected) == 5 * 4 * 3
    assert [run.recipe.seed for run in selected] == [1] * 20 + [2] * 20 + [3] * 20
    for family in {run.family for run in selected}:
        members = [run for run in selected if run.family == family and run.recipe.seed == 1]
        assert [run.variant for run in members] == ["baseline", "grouped", "grouped", "narrow"]
        assert [run.scheme for run in members] == ["", "D6(32)", "D6(16)", ""]
        assert len({run.recipe for run in members}) == 1  # one recipe for all of them
        constructors = {run.constructor for run in members}
        assert len(constructors) == 1


@pytest.mark.parametrize("family", [family.family for family in selection.QUICK_FAMILIES])
def test_the_control_has_as_many_parameters_as_16ch(family):
    parameters = {}
    for run in paper.runs(models=family, seeds=1):
        with keras.StatelessScope():
            model = getattr(applications, run.constructor)(
                input_shape=(run.recipe.image_size, run.recipe.image_size, 3), classes=10, **run.arguments
            )
        parameters[run.variant, run.scheme] = flops.trainable_parameters(model)
    assert parameters["narrow", ""] == pytest.approx(parameters["grouped", "D6(16)"], rel=0.02)
    assert parameters["baseline", ""] > parameters["grouped", "D6(32)"] > parameters["grouped", "D6(16)"]


@pytest.mark.parametrize(
    "filters, models",
    [
        ({"rows": "JP35B14"}, ["MobileNet", "kMobileNet 32ch", "kMobileNet 16ch", "narrow MobileNet"]),
        ({"models": ["kmobilenet"]}, ["kMobileNet 32ch", "kMobileNet 16ch"]),
        ({"models": "kMobileNet 16ch"}, ["kMobileNet 16ch"]),
        ({"models": "MobileNet", "schemes": "none"}, ["MobileNet", "narrow MobileNet"]),
        ({"rows": ["JP35B14", "JP30B27"], "schemes": "D6(16)"}, ["kMobileNet 16ch", "kEffNet-B0 16ch"]),
    ],
)
def test_filters_of_the_quick_profile(filters, models):
    assert [run.model for run in paper.runs(seeds=[7], **filters)] == models


def test_filters_of_the_paper_profile():
    selected = paper.runs("paper", datasets="CIFAR-10", models="kMobileNet", schemes=["16ch", "D6(128)"], seeds=[1, 2])
    assert [(run.label, run.scheme, run.recipe.seed) for run in selected] == [
        ("JP35B14", "D6(16)", 1),
        ("JP35B18", "D6(128)", 1),
        ("JP35B14", "D6(16)", 2),
        ("JP35B18", "D6(128)", 2),
    ]
    (published,) = paper.runs("paper", rows="JP35B14", schemes="16ch")
    assert published.recipe == training.recipe("CIFAR-10", "JP35B14")
    assert paper.runs("paper", rows="JP35B14", epochs=2)[0].recipe.epochs == 2


@pytest.mark.parametrize(
    "filters, error, message",
    [
        ({"profile": "fast"}, ValueError, '`profile` must be "quick" or "paper"'),
        ({"rows": "JP00"}, ValueError, r"`rows` must be among .*JP35B14.* Received: rows=\['JP00'\]"),
        ({"models": ["kMobileNet", "ResNet"]}, ValueError, "`models` must be among .*kMobileNet"),
        ({"models": []}, ValueError, "`models` must be among"),
        ({"schemes": 16}, TypeError, "`schemes` must be a str"),
        ({"schemes": "64ch"}, ValueError, "`schemes` must be among"),
        ({"datasets": "MNIST"}, ValueError, "`datasets` must be among Fashion-MNIST"),
        ({"profile": "paper", "rows": "JP35B14", "schemes": "D6v3(2)"}, ValueError, "No run fits all of these"),
        ({"seeds": []}, ValueError, "`seeds` must be one int or more"),
        ({"seeds": [-1]}, ValueError, "`seeds` must be in"),
        ({"seeds": ["a"]}, TypeError, "`seeds` must be an int or several"),
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1"),
        ({"epoch": 3}, ValueError, "no field 'epoch'"),
    ],
)
def test_bad_selections_are_named(filters, error, message):
    with pytest.raises(error, match=message):
        paper.runs(**filters)


def test_without_all_of_fashion_mnist_the_sample_takes_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "nowhere")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    run = paper.runs(models="MobileNet", schemes="16ch", seeds=1)[0]
    assert run.dataset == "Fashion-MNIST sample"
    training.split(selection.load_dataset(run.dataset, 32).y_train, run.recipe)  # it has as many images as the recipe


# One run, and its folder


def test_the_folder_of_a_run_says_what_it_was_and_what_came_out(trained):
    run = tiny_run()
    folder = trained / run.name
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "versions.json", "log.txt", "metrics.json", "predictions.npz", "history.csv"}
    assert "best.weights.h5" in names
    assert not [name for name in names if name.startswith("state-")]  # several times as large as the weights
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["seed"] == 5 and config["arguments"]["depth"] == 10
    assert json.loads((folder / "versions.json").read_text())["keras"] == keras.version()
    metrics = json.loads((folder / "metrics.json").read_text())
    predictions = np.load(folder / "predictions.npz")
    assert metrics["test_accuracy"] == np.mean(predictions["predicted"] == predictions["true"])
    assert np.bincount(predictions["true"]).tolist() == [5] * 10
    assert (metrics["train_images"], metrics["test_images"], metrics["epochs"]) == (40, 50, 3)
    log = (folder / "log.txt").read_text().splitlines()
    assert f"started by process {os.getpid()}" in log[0] and "complete" in log[-1]


def test_a_complete_run_is_skipped(trained, monkeypatch):
    monkeypatch.setattr(paper.Run, "build", None)  # nothing is built
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (trained / tiny_run().name).iterdir())
    assert execution.execute(tiny_run(), trained, progress=False) == "complete"
    after = sorted((path.name, path.stat().st_mtime_ns) for path in (trained / tiny_run().name).iterdir())
    assert [item for item in before if item[0] != "lock"] == [item for item in after if item[0] != "lock"]


def test_a_run_that_was_stopped_is_resumed_and_ends_as_if_it_had_not_been(trained, tmp_path, monkeypatch):
    class Stop(training.Progress):
        steps = 0

        def advance(self, note=""):
            self.steps += 1
            if self.steps == 4:  # in the second step of the second epoch
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execution.execute(tiny_run(), tmp_path, progress=Stop())
    folder = tmp_path / tiny_run().name
    assert len(pd.read_csv(folder / "history.csv")) == 1
    assert "stopped: KeyboardInterrupt" in (folder / "log.txt").read_text()
    assert not (folder / "metrics.json").exists()
    assert execution.execute(tiny_run(), tmp_path, progress=False) == "resumed"
    assert_same_weights(folder, trained / tiny_run().name)
    one, other = (json.loads((path / tiny_run().name / "metrics.json").read_text()) for path in (tmp_path, trained))
    assert {**one, "training_seconds": 0} == {**other, "training_seconds": 0}


def test_a_folder_with_another_recipe_is_refused(trained):
    run = tiny_run(recipe=TINY_RECIPE.replace(epochs=4))
    with pytest.raises(ValueError, match=r"recipe.epochs is 3 there and 4 here. Choose another output folder"):
        execution.execute(run, trained, progress=False)


def test_a_run_that_another_process_trains_is_busy(tmp_path):
    folder = tmp_path / tiny_run().name
    folder.mkdir()
    with filelock.FileLock(folder / "lock"):
        assert execution.execute(tiny_run(), tmp_path, progress=False) == "busy"
    assert [path.name for path in folder.iterdir()] in (["lock"], [])


def test_the_mean_of_image_and_mirror_image(tmp_path):
    data = datasets.fashion_mnist_sample()
    data = dataclasses.replace(data, x_test=data.x_test[:30], y_test=data.y_test[:30])
    model = tiny_run().build(10)
    images = training.prepare(data.x_test, TINY_RECIPE)
    expected = np.argmax(model.predict(images, verbose=0) + model.predict(images[:, :, ::-1], verbose=0), axis=1)
    assert execution.mirrored_predictions(model, data, TINY_RECIPE).tolist() == expected.tolist()


# Several runs


def test_what_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    broken = tiny_run(model="broken", arguments={"depth": 11})
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [broken, tiny_run()])
    outcomes = paper.rerun(tmp_path)
    assert outcomes["outcome"].tolist() == ["failed", "trained"]
    assert outcomes["error"][0].startswith("ValueError: `depth` must be 6 * n + 4")
    assert "`depth` must be" in (tmp_path / broken.name / "log.txt").read_text()
    assert outcomes["test_accuracy"].isna().tolist() == [True, False]
    assert "1 of 2, quick-broken-seed5: failed: ValueError" in capsys.readouterr().out
    assert paper.rerun(tmp_path, progress=False)["outcome"].tolist() == ["failed", "complete"]


def test_nothing_is_trained_if_a_folder_has_another_recipe(trained, monkeypatch):
    other = tiny_run(recipe=TINY_RECIPE.replace(epochs=4))
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [tiny_run(model="new"), other])
    with pytest.raises(ValueError, match="recipe.epochs is 3 there"):
        paper.rerun(trained, progress=False)
    assert not (trained / "quick-new-seed5").exists()


# Results


def quick_results(accuracies):
    """A table of results; `accuracies` are those of (model, variant, seed)."""
    rows = []
    for (model, variant, seed), accuracy in accuracies.items():
        parameters = {"baseline": 1000, "grouped": 100, "narrow": 101}[variant]
        rows.append(
            {
                "profile": "quick",
                "family": "MobileNet",
                "model": model,
                "variant": variant,
                "scheme": "D6(16)" if variant == "grouped" else "",
                "label": "" if variant == "narrow" else "JP35B14",
                "dataset": "Fashion-MNIST",
                "data": "Fashion-MNIST",
                "seed": seed,
                "epochs": 3,
                "batch_size": 64,
                "peak_learning_rate": 0.001,
                "training_seconds": 20.0,
                "versions": "kgpc 1",
                "image_size": 32,
                "train_images": 3200,
                "test_images": 1000,
                "parameters": parameters,
                "flops": 10 * parameters,
                "test_accuracy": accuracy,
            }
        )
    return rerun_results.typed(pd.DataFrame(rows, columns=rerun_results.COLUMNS))


THREE_SEEDS = {
    ("MobileNet", "baseline", 1): 0.80,
    ("MobileNet", "baseline", 2): 0.82,
    ("MobileNet", "baseline", 3): 0.84,
    ("kMobileNet 16ch", "grouped", 1): 0.79,
    ("kMobileNet 16ch", "grouped", 2): 0.82,
    ("kMobileNet 16ch", "grouped", 3): 0.82,
    ("narrow MobileNet", "narrow", 1): 0.70,
}


def test_variants_are_compared_within_a_seed():
    table = paper.compare_variants(quick_results(THREE_SEEDS)).set_index("model")
    grouped = table.loc["kMobileNet 16ch"]
    assert grouped["accuracy"] == pytest.approx(81) and grouped["spread"] == pytest.approx(math.sqrt(3))
    # Differences of -1, 0 and -2 points: mean -1, standard deviation 1, Student's quantile 4.3027 for two degrees.
    assert grouped["minus_baseline"] == pytest.approx(-1)
    assert grouped["minus_baseline_high"] == pytest.approx(-1 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert grouped["minus_baseline_low"] == pytest.approx(-1 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert grouped["minus_narrow"] == pytest.approx(9) and math.isnan(grouped["minus_narrow_low"])
    assert math.isnan(table.loc["MobileNet", "minus_baseline"])
    assert grouped["parameters_share"] == 0.1


@pytest.mark.parametrize(
    ("column", "value"), [("epochs", 50), ("train_images", 1600), ("batch_size", 8), ("peak_learning_rate", 0.1)]
)
def test_variants_that_were_trained_in_different_ways_are_not_compared(column, value):
    table = quick_results(THREE_SEEDS)
    table.loc[table["variant"] == "grouped", column] = value
    with pytest.raises(ValueError, match=f"alike in `{column}`.*Received: {column}="):
        paper.compare_variants(table)


def test_a_table_with_a_run_twice_is_refused():
    table = quick_results(THREE_SEEDS)
    for compare in (paper.compare, paper.compare_variants):
        with pytest.raises(ValueError, match="`source` must have one run of a model with a seed.*seed 1"):
            compare(pd.concat([table, table[:1]], ignore_index=True))


def test_what_departs_from_the_published_run_is_remarked():
    (run,) = paper.runs("paper", rows="JP35B14", schemes="D6(16)")
    row = {**run.config(), "data": "CIFAR-10", "seed": 12, "scheme": run.scheme, "parameters": 1, "test_accuracy": 0.5}
    row |= {"epochs": 50, "image_size": 32, "batch_size": 8, "peak_learning_rate": 0.1}
    table = paper.compare(rerun_results.typed(pd.DataFrame([row], columns=rerun_results.COLUMNS)))
    peak = run.recipe.learning_rate.peak
    assert table["remark"].tolist() == [
        f"published with images of 224 pixels; published with batches of 64; published with a highest rate of {peak}"
    ]


def test_quick_results_stand_beside_the_published_row_without_a_difference():
    table = paper.compare(quick_results(THREE_SEEDS)).set_index("model")
    row = table.loc["kMobileNet 16ch"]
    assert (row["published_accuracy"], row["published_parameters"]) == (89.81, 244_298)
    assert math.isnan(row["difference"]) and row["seeds"] == "1 2 3"
    assert "published: CIFAR-10" in row["remark"]
    assert math.isnan(table.loc["narrow MobileNet", "published_accuracy"])


def test_paper_results_have_the_difference_and_the_mirrored_row_its_own_accuracy():
    (run,) = paper.runs("paper", rows="JP30I02j")
    rows = [
        {
            **run.config(),
            "data": "CIFAR-10",
            "seed": seed,
            "epochs": 180,
            "image_size": 32,
            "parameters": 1_000_000,
            "test_accuracy": accuracy,
            "mirrored_test_accuracy": accuracy + 0.01,
        }
        for seed, accuracy in ((12, 0.94), (13, 0.95))
    ]
    for row in rows:
        row["scheme"] = run.scheme
    table = paper.compare(rerun_results.typed(pd.DataFrame(rows, columns=rerun_results.COLUMNS)))
    assert table["seeds"].tolist() == ["12 13"] * 2
    assert table["accuracy"].tolist() == pytest.approx([94.5, 95.5])
    assert table["published_accuracy"].tolist() == pytest.approx([94.45, 94.95])
    assert table["difference"].tolist() == pytest.approx([0.05, 0.55])
    assert table["remark"].tolist() == ["", "mean of image and mirror image"]


def test_results_come_from_the_folder(trained, tmp_path):
    table = paper.results(trained)
    row = table[table["model"] == "DenseNet-BC L10"].iloc[0]
    assert (row["seed"], row["epochs"], row["train_images"]) == (5, 3, 40)
    assert row["peak_learning_rate"] == TINY_RECIPE.learning_rate.peak
    assert paper.results(tmp_path).empty and paper.results(tmp_path / "nowhere").empty
    with pytest.raises(ValueError, match="`source` must have the results of complete runs"):
        paper.compare(tmp_path)


# Results elsewhere


def test_results_at_a_url(tmp_path):
    pytest.importorskip("fsspec")
    url = "memory://bucket/runs"
    remote = storage.Remote(url)
    assert remote.folders() == [] and paper.results(url).empty

    # An attempt that ended after two epochs: its state is there, in part of another one too.
    class Stop(training.Progress):
        def advance(self, note=""):
            if "epoch 3" in note:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execution.execute(tiny_run(), tmp_path, progress=Stop())
    mirror = storage.Mirror(tmp_path / tiny_run().name, remote, tiny_run().name)
    mirror.copy()
    assert "state-000002.npz" in remote.files(tiny_run().name) and "lock" not in remote.files(tiny_run().name)

    assert storage.attempt(tiny_run(), url) == execution.Outcome(tiny_run().name, "resumed")
    assert storage.attempt(tiny_run(), url) == execution.Outcome(tiny_run().name, "complete")
    left = remote.files(tiny_run().name)
    assert "metrics.json" in left and not [name for name in left if name.startswith("state-") or "unfinished" in name]
    assert paper.results(url)["epochs"].tolist() == [3]


class Remote:
    """A place that dies after a number of files."""

    def __init__(self, folder, lives):
        self.folder, self.lives = folder, lives
        folder.mkdir(exist_ok=True)

    def files(self, name):
        return [path.name for path in self.folder.iterdir()]

    def get(self, path, to):
        shutil.copy(self.folder / Path(path).name, to)

    def put(self, path, name):
        if not self.lives:
            raise ConnectionError("gone")
        self.lives -= 1
        shutil.copy(path, self.folder / Path(name).name)

    def remove(self, name):
        (self.folder / Path(name).name).unlink()


def test_the_copy_of_a_run_goes_on_right_wherever_its_worker_died(tmp_path, monkeypatch):
    class Stop(training.Progress):
        def __init__(self, epoch):
            super().__init__()
            self.epoch = epoch

        def advance(self, note=""):
            if f"epoch {self.epoch}" in note:
                raise KeyboardInterrupt

    folder = tmp_path / "here" / tiny_run().name
    for epoch in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            execution.execute(tiny_run(), tmp_path / "here", progress=Stop(epoch))
        if epoch == 2:
            first = Remote(tmp_path / "first", 100)
            storage.Mirror(folder, first, tiny_run().name).copy()
    files = [path for path in folder.iterdir() if path.name != "lock" and not path.name.startswith(".")]
    for lives in (0, len(files) - 2, len(files) - 1):  # nothing, all but weights and history, all but the history
        remote = Remote(tmp_path / f"remote-{lives}", lives)
        shutil.copytree(first.folder, remote.folder, dirs_exist_ok=True)
        mirror = storage.Mirror(folder, remote, tiny_run().name)
        with contextlib.suppress(ConnectionError):
            mirror.copy()
        there = tmp_path / f"there-{lives}" / tiny_run().name
        remote.lives = 100
        storage.Mirror(there, remote, tiny_run().name).fetch()
        execution.execute(tiny_run(), there.parent, progress=False)
        arrays = {name: array for name, array in weights_of(there).items() if not name.startswith("optimizer/")}
        if not lives:
            expected = arrays
        assert (there / "history.csv").read_text().count("\n") == 1 + tiny_run().recipe.epochs
        assert arrays.keys() == expected.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{lives} files, {name}")


def test_a_connection_that_comes_back_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_SECONDS_BETWEEN_COPIES", 0.01)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "log.txt").write_text("begun")
    remote = Remote(tmp_path / "there", 0)
    mirror = storage.Mirror(tmp_path / "here", remote, "run")
    with mirror.copying():
        time.sleep(0.1)
        assert remote.files("run") == []
        remote.lives = 100
        deadline = time.monotonic() + 30
        while not remote.files("run") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert remote.files("run") == ["log.txt"]


# Ray


class FakeTasks:
    """Tasks that end in reverse order; a reference is the name of its run."""

    def __init__(self, outcomes):
        self.outcomes, self.submitted = outcomes, []

    def submit(self, run):
        self.submitted.append(run.name)
        return run.name

    def wait(self, references):
        return references[-1:], references[:-1]

    def get(self, reference):
        outcome = self.outcomes[reference]
        if isinstance(outcome, Exception):
            raise outcome
        return execution.Outcome(reference, outcome)


def test_outcomes_are_gathered_as_tasks_end_and_returned_in_order(capsys):
    selected = [tiny_run(model=name) for name in ("a", "b", "c")]
    tasks = FakeTasks(
        {"quick-a-seed5": "trained", "quick-b-seed5": RuntimeError("died\nagain"), "quick-c-seed5": "resumed"}
    )
    outcomes = cluster.collect(selected, tasks.submit, tasks.wait, tasks.get)
    assert tasks.submitted == [run.name for run in selected]
    assert [str(outcome) for outcome in outcomes] == ["trained", "failed: RuntimeError: died", "resumed"]
    assert capsys.readouterr().out.splitlines()[0] == "1 of 3, quick-c-seed5: resumed"


def test_what_no_machine_has_is_refused():
    nodes = [{"Alive": True, "Resources": {"CPU": 2}}, {"Alive": False, "Resources": {"CPU": 8, "GPU": 1}}]
    ray = types.SimpleNamespace(nodes=lambda: nodes)
    cluster._check_resources(ray, cpus=2, gpus=0)
    for cpus, gpus in ((3, 0), (1, 1)):
        with pytest.raises(ValueError, match="`cpus` and `gpus` must be what one machine"):
            cluster._check_resources(ray, cpus, gpus)


def test_the_extra_is_named_where_ray_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "kgpc\[cluster\]"'):
        paper.rerun(tmp_path, seeds=1, ray="local")


SEQUENTIAL = """
import pickle, sys
from kgpc.paper import execution
for run in pickle.load(open(sys.argv[1], "rb")):
    assert execution.execute(run, sys.argv[2], progress=False) == "trained"
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a process is killed with a signal that Windows does not have")
def test_a_killed_ray_worker_loses_nothing(tmp_path):
    ray = pytest.importorskip("ray", reason='needs the extra "cluster"')
    recipe = TINY_RECIPE.replace(epochs=12, train_images=200)
    selected = [tiny_run(recipe=recipe.replace(seed=seed)) for seed in (1, 2, 3, 4)]
    on_ray, one_by_one = tmp_path / "ray", tmp_path / "sequential"
    victim = on_ray / selected[0].name
    killed = []

    def kill_in_the_middle():
        """Ends the process that trains the first run as soon as that has complete epochs."""
        while not killed:
            history = victim / "history.csv"
            if history.is_file() and len(history.read_text().splitlines()) > 3:
                log = (victim / "log.txt").read_text()
                pid = int(log.partition("process ")[2].split()[0])
                assert pid != os.getpid() and not (victim / "metrics.json").exists()
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.02)

    ray.init(num_cpus=2, log_to_driver=False, logging_level="error", include_dashboard=False)
    try:
        thread = threading.Thread(target=kill_in_the_middle, daemon=True)
        thread.start()
        outcomes = cluster.execute_all(selected, str(on_ray), progress=False)
        thread.join(timeout=1)
    finally:
        ray.shutdown()
    assert len(killed) == 1
    assert [outcome.outcome for outcome in outcomes] == ["resumed", "trained", "trained", "trained"]
    processes = {(on_ray / run.name / "log.txt").read_text().partition("process ")[2].split()[0] for run in selected}
    assert len(processes) >= 2
    assert (victim / "log.txt").read_text().count("by process") == 2

    import pickle

    (tmp_path / "runs.pickle").write_bytes(pickle.dumps(selected))
    command = [sys.executable, "-c", SEQUENTIAL, str(tmp_path / "runs.pickle"), str(one_by_one)]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    subprocess.run(command, check=True, env={**os.environ, **threads})
    for run in selected:
        assert_same_weights(on_ray / run.name, one_by_one / run.name)
        one, other = (json.loads((folder / run.name / "metrics.json").read_text()) for folder in (on_ray, one_by_one))
        assert {**one, "training_seconds": 0} == {**other, "training_seconds": 0}


# The command line


def test_the_command_lists_what_it_would_train(capsys):
    assert command_line.main(["rerun", "--profile", "paper", "--rows", "JP35B14", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 4 and "kmobilenet-d6-16-cifar-10-jp35b14-seed12" in lines[2]
    assert command_line.main(["rerun", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 60


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["rerun"], "--output is missing"),
        (["rerun", "--rows", "JP00", "--output", "x"], "`rows` must be among"),
        (["rerun", "--profile", "paper", "--output", "x"], "--profile paper needs a selection"),
        (["rerun", "--seeds", "-1", "--output", "x"], "`seeds` must be in"),
        (["rerun", "--output", "file", "--rows", "JP35B14"], "`output` must be a folder. Received: output='file'"),
        (["rerun", "--list", "--stages", "core"], '`stages` and `images` are for the profile "experiment"'),
        (["rerun", "--list", "--images", "x"], '`stages` and `images` are for the profile "experiment"'),
        (
            ["rerun", "--list", "--profile", "experiment", "--rows", "JP35B14", "--epochs", "2", "--ray", "local"],
            "Received: rows, ray, epochs.",
        ),
        (["rerun", "--list", "--cpus", "2"], "`cpus` must be None without `ray`"),
        (["rerun", "--output", "x", "--gpus", "1"], "`gpus` must be None without `ray`"),
        (["rerun", "--output", "x", "--train-images", "7"], "`train_images` must be a multiple of the 10 classes"),
        (["rerun", "--output", "/dev/null/x"], "`output` must be a folder that can be made (Not a directory)"),
        (["notebooks", "--output", "file/x"], "`--output` must be a folder that can be made (Not a directory)"),
        (["compare", "nowhere"], "There is no complete run in nowhere."),
    ],
)
def test_what_the_user_got_wrong_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_table.ipynb").touch()
    assert command_line.main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.strip().splitlines()) == 1 and "Errno" not in captured.err
    assert not (tmp_path / "x").exists()


def test_where_nothing_can_be_written_only_complete_runs_are_taken(trained, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode, **_: os.fspath(path) != os.fspath(trained))
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [tiny_run()])
    assert paper.rerun(trained, progress=False)["outcome"].tolist() == ["complete"]
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [tiny_run(), tiny_run(model="new")])
    with pytest.raises(PermissionError, match="`output` must be a folder that can be written to: 1 of 2 runs are not"):
        paper.rerun(trained, progress=False)


@pytest.mark.parametrize("arguments", [["rerun", "--seeds", "one"], ["rerun", "--profile", "fast"], ["compare"]])
def test_malformed_command_lines_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_code:
        command_line.main(arguments)
    assert exit_code.value.code == 2
    assert "usage: python -m kgpc" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["rerun", "compare"])
def test_every_option_is_explained(command, capsys):
    with pytest.raises(SystemExit):
        command_line.main([command, "--help"])
    assert "FOLDER" in capsys.readouterr().out


def test_the_command_trains_and_compares(trained, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [tiny_run()])
    assert command_line.main(["rerun", "--output", str(trained)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 complete"
    table = tmp_path / "runs.csv"
    assert command_line.main(["compare", str(trained), "--save", str(table)]) == 0
    assert "DenseNet-BC L10" in capsys.readouterr().out
    stored = rerun_results.typed(pd.read_csv(table, dtype=str, keep_default_na=False))
    pd.testing.assert_frame_equal(stored, paper.results(trained), check_dtype=False)
    broken = tiny_run(model="broken", arguments={"depth": 11})
    monkeypatch.setattr("kgpc.paper.rerunning.runs", lambda *_, **__: [broken])
    assert command_line.main(["rerun", "--output", str(tmp_path / "runs")]) == 1
