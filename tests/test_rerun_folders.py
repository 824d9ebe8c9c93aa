"""Folders with results that somebody hands over: damaged, of another tool, of other data, read only."""

import dataclasses
import json
import os
import random
import sys
import types
import warnings

import numpy as np
import pandas as pd
import pytest

from kgpc import __main__ as command_line
from kgpc import datasets, files, paper, training
from kgpc.paper import execution, provenance, records, run_folder, run_table, storage

METRICS = {
    "parameters": 1000,
    "flops": 2000,
    "data": "Fashion-MNIST",
    "train_images": 40,
    "test_accuracy": 0.5,
    "test_loss": 1.5,
    "test_images": 50,
    "epochs": 3,
    "best_epoch": 2,
    "validation_accuracy": 0.4,
    "validation_loss": 1.6,
    "training_loss": 1.0,
    "training_seconds": 9.5,
}
VERSIONS = {"kgpc": "0.1.0", "python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1", "backend": "tensorflow"}


def run_with(seed=1, **changes):
    (run,) = paper.runs(models="kMobileNet 16ch", seeds=[seed])
    return dataclasses.replace(run, **changes)


def fill(output, run, metrics=METRICS, versions=VERSIONS, config=None):
    """The folder of a complete run, without training it."""
    folder = output / run.name
    folder.mkdir(parents=True)
    texts = {"config.json": config or run.config(), "metrics.json": metrics, "versions.json": versions}
    for name, values in texts.items():
        if values is not None:
            (folder / name).write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture
def output(tmp_path):
    """A folder with one good run."""
    fill(tmp_path, run_with(1))
    return tmp_path


def left_out(output):
    """The reasons of the folders that are left out, after a look that the good run is there."""
    with pytest.warns(paper.ResultsWarning) as caught:
        table = paper.results(output)
    assert table["seed"].tolist() == [1]
    return [str(warning.message) for warning in caught]


# Damaged and foreign files

WRONG_METRICS = {
    "test_accuracy": [150, -0.1, 1.5, "0.5", True, [], 10**400],
    "mirrored_test_accuracy": [15000, "x"],
    "validation_accuracy": [2, None],
    "test_loss": [-1, "1"],
    "training_loss": [-1, None],
    "parameters": [0, 1.5, "1000", None, 2**63],
    "epochs": [4, 0, 2.5],
    "best_epoch": [0, 4],
    "training_seconds": [-1],
    "data": ["", 3, "a\x1b[2Jb", "\ud800"],
}


@pytest.mark.parametrize(
    "key, value",
    [(key, value) for key, values in WRONG_METRICS.items() for value in values],
    ids=lambda item: ascii(item)[:20],
)
def test_metrics_that_cannot_be_are_named_and_the_others_compared(output, key, value):
    folder = fill(output, run_with(2), {**METRICS, key: value})
    (reason,) = left_out(output)
    assert reason.startswith(f"Left out of the results: {folder}. The file {folder / 'metrics.json'} is")
    assert f"`{key}`" in reason and "To train that run again, remove the folder" in reason
    assert reason.isascii() and len(reason) < 900
    # A rerun does not take it for complete either.
    outcome = execution.attempt(run_with(2), output)
    assert outcome.outcome == "failed" and f"`{key}`" in outcome.error and "remove" in outcome.error


@pytest.mark.parametrize(
    "text", ["", "null", '{"a": 1}', "<<<<<<< HEAD\n{}\n>>>>>>> x", "{" * 9999, '{"test_accuracy": NaN}']
)
@pytest.mark.parametrize("name", ["metrics.json", "config.json", "versions.json"])
def test_a_damaged_file_is_named_and_the_others_compared(output, name, text):
    folder = fill(output, run_with(2))
    (folder / name).write_text(text)
    (reason,) = left_out(output)
    assert str(folder / name) in reason


@pytest.mark.parametrize("name", ["config.json", "versions.json"])
def test_a_folder_of_another_tool_is_named_and_the_others_compared(output, name):
    folder = fill(output, run_with(2))
    (folder / name).unlink()
    (reason,) = left_out(output)
    assert f"The file {folder / name} is missing, so something else wrote there." in reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_folders_in_place_of_files_are_named(output):
    one, other = fill(output, run_with(2)), fill(output, run_with(3))
    (one / "metrics.json").unlink()
    os.mkfifo(one / "metrics.json")
    (other / "config.json").unlink()
    (other / "config.json").mkdir()
    first, second = left_out(output)
    assert "is a named pipe" in first and "is a folder" in second


def test_metrics_do_not_change_what_the_run_was(tmp_path):
    foreign = {"model": "other", "seed": 9, "label": "JP00", "profile": "paper", "name": "x", "batch_norm_momentum": 7}
    fill(tmp_path, run_with(1), {**METRICS, **foreign})
    (row,) = paper.results(tmp_path).to_dict("records")
    assert (row["model"], row["seed"], row["profile"], row["name"]) == (
        "kMobileNet 16ch", 1, "quick", run_with(1).name,
    )  # fmt: skip
    assert row["batch_norm_momentum"] == run_with(1).recipe.batch_norm_momentum


def test_a_number_too_large_for_a_float_is_no_number(output):
    fill(output, run_with(2), json.dumps(METRICS).replace('"test_loss": 1.5', '"test_loss": 1e400'))
    (reason,) = left_out(output)
    assert "`test_loss` must be a number of at least 0, or null. Received: test_loss=inf." in reason


def test_a_copy_of_a_folder_does_not_count_twice(output):
    fill(output, run_with(2))
    (output / run_with(2).name).rename(output / "copy")
    (reason,) = left_out(output)
    assert "is that of another run: `name` must be the folder's, 'copy'" in reason


def test_what_is_not_complete_is_no_reason_for_a_word(output):
    (output / "notes").mkdir()
    (output / "quick-x-seed1").mkdir()
    (output / "quick-x-seed1" / "config.json").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(paper.results(output)) == 1


def test_the_command_says_what_was_left_out_and_compares_the_rest(output, capsys):
    folder = fill(output, run_with(2), {**METRICS, "test_accuracy": 150})
    assert command_line.main(["compare", str(output)]) == 0
    captured = capsys.readouterr()
    assert "50.00" in captured.out and "15000" not in captured.out
    assert captured.err.count("\n") == 1 and str(folder / "metrics.json") in captured.err
    (output / run_with(1).name / "metrics.json").unlink()
    assert command_line.main(["compare", str(output)]) == 1
    assert "There is no complete run" in capsys.readouterr().err


@pytest.mark.parametrize("value", [150, -1, "many"])
def test_a_table_with_an_accuracy_that_cannot_be_is_refused(output, value):
    table = paper.results(output).astype({"test_accuracy": object})
    table.loc[0, "test_accuracy"] = value
    for compare in (paper.compare, paper.compare_variants):
        with pytest.raises(ValueError, match=r"fractions in \[0, 1\] as `test_accuracy`. Received: test_accuracy="):
            compare(table)


def test_any_change_of_the_files_of_a_run_gives_a_row_that_can_be_or_is_named(tmp_path):
    """A fuzz test of what a user can hand over: bytes and values of the three files, changed at random."""
    generator = random.Random(15)
    run = run_with(1)
    folder = fill(tmp_path, run)
    good = {name: (folder / name).read_bytes() for name in ("config.json", "metrics.json", "versions.json")}
    values = [None, True, -1, 0, 1e999, 10**30, "", "x", "\ud800", [], {}, [[1]], 0.5, 2**63]
    rows = 0
    for _ in range(120):
        name = generator.choice(list(good))
        if generator.random() < 0.5:
            content = bytearray(good[name])
            at = generator.randrange(len(content))
            content[at : at + generator.randint(0, 6)] = generator.randbytes(generator.randint(0, 3))
        else:
            record = json.loads(good[name])
            target = record["recipe"] if name == "config.json" and generator.random() < 0.5 else record
            target[generator.choice(list(target))] = generator.choice(values)
            content = json.dumps(record).encode()
        (folder / name).write_bytes(bytes(content))
        table, reasons = run_table.read_results(tmp_path)
        assert len(table) + len(reasons) == 1
        if reasons:
            assert str(folder / name) in reasons[0]
        else:
            rows += 1
            assert 0 <= table["test_accuracy"][0] <= 1 and table["epochs"][0] == 3
            table.to_string().encode()  # no half characters, which a terminal could not show
        (folder / name).write_bytes(good[name])
    assert 0 < rows < 120


# Other data under the same name


@pytest.fixture
def small_data(monkeypatch):
    """Twenty images in place of a data set; a function changes them."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(20) % 10
    names = tuple("abcdefghij")
    data = datasets.ImageDataset("Fashion-MNIST", images, labels, images[:10], labels[:10], names)

    def use(**changes):
        execution._dataset.cache_clear()
        monkeypatch.setattr(execution, "load_dataset", lambda *_: dataclasses.replace(data, **changes))

    use()
    yield use
    execution._dataset.cache_clear()


def other_pixel(images):
    images = images.copy()
    images[-1, -1, -1, -1] ^= 1
    return images


@pytest.mark.parametrize("metrics", [METRICS, None], ids=["complete", "begun"])
def test_a_folder_of_other_data_is_refused_by_name(tmp_path, small_data, metrics, monkeypatch):
    monkeypatch.setattr(training, "fit", None)  # nothing is trained
    run = run_with(1)
    folder = fill(tmp_path, run, metrics)
    data = execution.load_dataset()
    files.write_json(folder / "data.json", provenance.describe_data(data))
    before = sorted(path.name for path in folder.iterdir())
    cases = (
        ({"x_train": other_pixel(data.x_train)}, "the pixels of its training images differ"),
        ({"x_test": other_pixel(data.x_test)}, "the pixels of its test images differ"),
        ({"y_train": data.y_train[::-1]}, "the labels of its training images differ"),
        ({"class_names": (*data.class_names[:-1], "k")}, "its class names differ"),
        ({"x_test": data.x_test[:9], "y_test": data.y_test[:9]}, "it has 10 test images there and 9 here"),
        ({"name": "other"}, "its name is 'Fashion-MNIST' there and 'other' here"),
    )
    for changes, message in cases if metrics else cases[:1]:
        small_data(**changes)
        with pytest.raises(ValueError, match=message) as error:
            execution.execute(run, tmp_path)
        assert str(folder) in str(error.value) and "data.json" in str(error.value)
    assert {path.name for path in folder.iterdir()} - {*before, "log.txt", "lock"} == set()
    small_data()
    if metrics:
        assert execution.execute(run, tmp_path) == "complete"


def test_class_names_are_the_same_however_an_umlaut_is_written():
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.arange(2)
    composed, decomposed = (
        provenance.describe_data(datasets.ImageDataset("d", images, labels, images, labels, ("a", umlaut)))
        for umlaut in ("\u00fc", "u\u0308")
    )
    assert provenance.data_differences(composed, decomposed) == []


def test_of_images_that_are_decoded_when_asked_for_the_last_one_counts():
    images = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)
    changed = images.copy()
    changed[-1] ^= 255
    labels = np.arange(1000) % 2
    described, other = (
        provenance.describe_data(
            datasets.ImageDataset("d", datasets.DecodedOnDemand(list(pixels), 8), labels, images, labels, ("a", "b"))
        )
        for pixels in (images, changed)
    )
    assert provenance.data_differences(described, other) == ["the pixels of its training images differ"]


# Versions


def test_versions_of_a_run_that_goes_on_with_others_stay_known(tmp_path):
    run = run_with(1)
    folder = fill(tmp_path, run, None, {**VERSIONS, "keras": "3.8.0", "begun_with": {"kgpc": "0.0.9"}})
    now = {**VERSIONS, "numpy": "2"}
    assert run_folder.earlier_versions(folder, now) == {"keras": "3.8.0", "kgpc": "0.0.9"}
    (folder / "versions.json").write_text("damaged")
    assert run_folder.earlier_versions(folder, now) == {}


def test_versions_on_jax_ask_for_no_tensorflow(monkeypatch):
    device = types.SimpleNamespace(platform="gpu")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(__version__="0.10.2", devices=lambda: [device] * 2))
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    found = provenance.versions()
    assert (found["backend"], found["jax"], found["devices"]) == ("jax", "0.10.2", ["GPU", "GPU"])
    assert "tensorflow" not in found


def test_results_name_the_versions_of_the_backend(tmp_path):
    versions = {key: value for key, value in VERSIONS.items() if key != "tensorflow"}
    fill(tmp_path, run_with(1), versions={**versions, "backend": "jax", "jax": "0.10.2"})
    assert paper.results(tmp_path)["versions"].tolist() == ["kgpc 0.1.0, python 3.11.7, jax 0.10.2, keras 3.15.1"]


# Complete, read only, planted


def test_a_complete_run_is_read_and_nothing_is_written(tmp_path, monkeypatch):
    """As on a disk that cannot be written: every way to write fails."""
    run = run_with(1)
    folder = fill(tmp_path, run)
    before = sorted(path.name for path in folder.iterdir())
    real = os.open

    def read_only(path, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert execution.execute(run, tmp_path) == "complete"
    assert paper.results(tmp_path)["seed"].tolist() == [1]
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("kind", ["link", "file with a second name"])
@pytest.mark.parametrize("name", ["lock", "log.txt"])
def test_planted_links_are_not_followed(tmp_path, name, small_data, kind):
    run, victim = run_with(1), tmp_path / "victim"
    victim.write_text("theirs")
    (tmp_path / run.name).mkdir()
    link = tmp_path / run.name / name
    link.symlink_to(victim) if kind == "link" else link.hardlink_to(victim)
    outcome = execution.attempt(run, tmp_path)
    assert outcome.outcome == "failed" and f"{name} must be a file of its own, and is a {kind}" in outcome.error
    assert victim.read_text() == "theirs"


def test_a_file_in_the_place_of_the_folder_of_a_run_is_named(tmp_path):
    (tmp_path / run_with(1).name).touch()
    outcome = execution.attempt(run_with(1), tmp_path)
    assert outcome.outcome == "failed" and "must be a folder, that of a run, and is none" in outcome.error


def test_a_configuration_of_another_tool_is_named_in_a_line(tmp_path):
    fill(tmp_path, run_with(1), None, config={"architectures": ["x" * 5000], **{f"key{n}": n for n in range(99)}})
    with pytest.raises(ValueError, match="`output` has another run in .*architectures is") as error:
        execution.execute(run_with(1), tmp_path)
    assert len(str(error.value)) < 1500


def test_metrics_that_could_not_be_read_are_not_written():
    for key, value in (("test_accuracy", float("nan")), ("training_loss", float("inf"))):
        with pytest.raises(ValueError, match=f"`{key}` must be"):
            records.checked_metrics({**METRICS, key: value}, True, "metrics.json")
    kept = records.checked_metrics(
        {**METRICS, "test_accuracy": None, "test_loss": None, "test_images": None}, False, "x"
    )
    assert kept["validation_loss"] == 1.6


# Where results go


@pytest.mark.parametrize(
    "output, message",
    [
        ("memory://runs", "results go to a URL only with `ray`"),
        ("s3://bucket/runs", "results go to a URL only with `ray`"),
        ("s3:/bucket/runs", "not a URL"),
        ("", "must be a path"),
        ("~nobody-has-this-name", "no home folder is known"),
    ],
)
def test_an_output_that_is_no_folder_is_refused_before_any_work(output, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execution, "attempt", None)
    with pytest.raises(ValueError, match=f"`output`.*{message}"):
        paper.rerun(output, seeds=1)
    assert command_line.main(["rerun", "--output", output]) == 1
    error = capsys.readouterr().err.strip()
    assert "`output`" in error and len(error.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_the_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "home" / "runs", run_with(1))
    assert len(paper.results("~/runs")) == 1
    assert paper.rerun("~/runs", models="kMobileNet 16ch", seeds=1, progress=False)["outcome"].tolist() == ["complete"]
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.parametrize(
    "url, error, message",
    [
        ("memory://runs", ValueError, "must be a place that outlasts the processes"),
        ("memory://", ValueError, "must name a folder"),
        ("no-such-kind://runs", ValueError, "a URL that fsspec knows"),
    ],
)
def test_a_url_that_cannot_have_results_is_refused_before_any_work(url, error, message):
    pytest.importorskip("fsspec")
    with pytest.raises(error, match=message):
        storage.checked_place(url, on_cluster=True)


def test_a_package_that_a_url_needs_is_asked_for_before_any_work(monkeypatch):
    fsspec = pytest.importorskip("fsspec")

    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(ModuleNotFoundError, match=r"Install s3fs to access S3.*output='s3://bucket/runs'"):
        storage.checked_place("s3://bucket/runs", on_cluster=True)


def test_a_place_that_cannot_be_written_is_found_out_before_any_work(tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    url = (tmp_path / "runs").as_uri()
    assert storage.checked_place(url, on_cluster=True) == url
    assert os.listdir(tmp_path / "runs") == []  # the file that was written to find out is gone

    def denied(*_, **__):
        raise RuntimeError("access denied")

    monkeypatch.setattr(type(storage.Remote(url).system), "pipe_file", denied)
    with pytest.raises(OSError, match="Nothing can be written to .*RuntimeError: access denied"):
        storage.checked_place(url, on_cluster=True)


def test_a_folder_for_a_cluster_does_not_depend_on_where_its_processes_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.checked_place("runs", on_cluster=True) == tmp_path / "runs"
    assert storage.checked_place("runs", on_cluster=False) == files.Path("runs")


# Computers that are unusual


def test_a_computer_without_a_home_folder(monkeypatch, output, capsys):
    for name in ("HOME", "USERPROFILE", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user that the system does not know
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", output / "nowhere")
    assert paper.runs(models="MobileNet", seeds=1)[0].dataset == "Fashion-MNIST sample"
    assert command_line.main(["rerun", "--list"]) == 0
    assert command_line.main(["compare", str(output)]) == 0
    capsys.readouterr()
    with pytest.raises(ValueError, match="no home folder is known for ~"):
        paper.results("~/runs")


def test_a_name_that_a_terminal_cannot_show_is_no_reason_to_stop(monkeypatch):
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    run_folder.say("übung \udcfc: failed")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xfcbung \\udcfc: failed\n"


def test_pandas_reads_what_the_command_saves(output, tmp_path):
    path = tmp_path / "table of runs.csv"
    assert command_line.main(["compare", str(output), "--save", str(path)]) == 0
    stored = run_table.typed(pd.read_csv(path, dtype=str, keep_default_na=False))
    pd.testing.assert_frame_equal(stored, paper.results(output), check_dtype=False)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "epochs"] = "three"
    with pytest.raises(ValueError, match="The column 'epochs' of the results must have numbers"):
        run_table.typed(table)
