"""The command that measures released weights: what it stores, how it goes on, what it refuses."""

import numpy as np
import pandas as pd
import pytest

from kgpc import __main__ as command_line
from kgpc import applications, datasets, paper, released, training
from kgpc.paper import protocol, released_accuracy

RUN = next(run for run in released.runs() if (run.label, run.scheme) == ("JP35B14", "D6(16)"))


class FirstPixel:
    """In the place of a network: it takes the first pixel of an image for its class."""

    calls = 0

    def predict_on_batch(self, images):
        FirstPixel.calls += 1
        assert images.shape[1:] == (224, 224, 3) and images.max() <= 1
        # Enlarged by repeating pixels.
        assert np.array_equal(images[:, 0, 0], images[:, 6, 6])
        return np.eye(10)[np.rint(images[:, 0, 0, 0] * 255).astype(int)]


@pytest.fixture
def copies(monkeypatch):
    """120 test images whose first pixel says the class in three of four of them, and a network that reads it."""
    labels = np.arange(120) % 10
    images = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.where(np.arange(120) % 4 == 3, (labels + 1) % 10, labels)
    data = datasets.ImageDataset(
        protocol.COPIES, images[:20], labels[:20], images, labels, tuple(released_accuracy._CLASSES["CIFAR-10"])
    )
    monkeypatch.setattr(released_accuracy, "load_dataset", lambda *_: data)
    monkeypatch.setattr(released_accuracy, "CHUNK", 50)
    built = []

    def network(**options):
        built.append(options)
        return FirstPixel()

    monkeypatch.setattr(applications, "kMobileNet", network)
    monkeypatch.setattr(released_accuracy, "_files", lambda runs, *_: [(RUN, "weights.hdf5")] if RUN in runs else [])
    return data, built


def test_a_row_has_the_accuracy_its_interval_and_what_was_loaded(copies, tmp_path):
    lines = []
    table = released_accuracy.measure(tmp_path, images="folder", labels=["JP35B14"], progress=lines.append)
    assert list(table.columns) == released_accuracy.COLUMNS
    (row,) = table.to_dict("records")
    assert (row["label"], row["model"], row["scheme"]) == ("JP35B14", "kMobileNet", "D6(16)")
    assert (row["data"], row["test_images"], row["correct"], row["accuracy_pct"]) == (protocol.COPIES, 120, 90, 75.0)
    assert row["low_pct"] < 75 < row["high_pct"] and row["published_pct"] == 89.81
    assert row["git_blob_sha1"] == RUN.blob_id
    (options,) = copies[1]
    assert options["weights"] == "weights.hdf5" and "stem_activation" not in options
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [f"{n} of 120 images" for n in (50, 100, 120)]


def test_the_activations_of_the_later_code_are_asked_for_by_name(copies, tmp_path):
    table = released_accuracy.measure(tmp_path, images="folder", activations="swish", progress=lambda line: None)
    assert copies[1][0]["stem_activation"] == copies[1][0]["depthwise_activation"] == "swish"
    assert table["activations"].tolist() == ["swish"]


def test_a_measurement_that_was_stopped_goes_on(copies, tmp_path):
    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        released_accuracy.measure(tmp_path, images="folder", labels=["JP35B14"], progress=stop)
    FirstPixel.calls = 0
    table = released_accuracy.measure(tmp_path, images="folder", labels=["JP35B14"], progress=lambda line: None)
    assert FirstPixel.calls == 2  # 70 of 120 images were left
    assert table["correct"].tolist() == [90]
    FirstPixel.calls = 0
    again = released_accuracy.measure(tmp_path, images="folder", labels=["JP35B14"], progress=lambda line: None)
    assert FirstPixel.calls == 0 and again["correct"].tolist() == [90]


def test_predictions_of_other_images_or_damaged_ones_are_refused(copies, tmp_path):
    data, _ = copies
    call = {"images": "folder", "labels": ["JP35B14"], "progress": lambda line: None}
    released_accuracy.measure(tmp_path, **call)
    (folder,) = tmp_path.iterdir()
    (folder / "predictions.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="`output` has a damaged file"):
        released_accuracy.measure(tmp_path, **call)
    about = (folder / "about.json").read_text()
    (folder / "about.json").write_text(about.replace(RUN.blob_id, "0" * 40))
    with pytest.raises(ValueError, match="`output` has predictions of other weights or images"):
        released_accuracy.measure(tmp_path, **call)


def test_other_class_names_are_refused(copies, tmp_path, monkeypatch):
    data, _ = copies
    other = datasets.ImageDataset("x", data.x_train, data.y_train, data.x_test, data.y_test, tuple("abcdefghij"))
    monkeypatch.setattr(released_accuracy, "load_dataset", lambda *_: other)
    with pytest.raises(ValueError, match="`images` must be a folder with the classes airplane"):
        released_accuracy.measure(tmp_path, images="folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"dataset": "MNIST"}, "`dataset` must be one of 'CIFAR-10'"),
        ({"dataset": "Malaria", "images": "x"}, "`images` must be None"),
        ({"activations": "relu"}, "`activations` must be one of"),
        ({"labels": ["JP00"]}, "`labels` must be among"),
        ({"labels": "JP35B14"}, "`labels` must be None or several"),
        ({"output": 3}, "`output`"),
    ],
)
def test_odd_arguments_are_named(changes, error, tmp_path):
    with pytest.raises((TypeError, ValueError), match=error):
        released_accuracy.measure(**({"output": tmp_path} | changes))


def test_a_folder_without_released_weights_is_refused(tmp_path):
    (tmp_path / "a.hdf5").write_bytes(b"something else")
    with pytest.raises(ValueError, match="`weights` must be a folder that has one of the released"):
        released_accuracy.measure(tmp_path / "out", weights=tmp_path)
    with pytest.raises(ValueError, match="`weights` must be a folder with released"):
        released_accuracy.measure(tmp_path / "out", weights=tmp_path / "nowhere")


def test_a_measurement_takes_the_place_of_an_earlier_one(tmp_path):
    stored = released_accuracy.stored()
    path = tmp_path / "table.csv"
    released_accuracy.save(stored, path)
    released_accuracy.save(stored.iloc[:1].assign(correct=1), path)
    table = pd.read_csv(path)
    assert len(table) == len(stored) and table["correct"].tolist()[0] == 1
    pd.DataFrame({"a": [1]}).to_csv(path)
    with pytest.raises(ValueError, match="must have the columns of measured weights"):
        released_accuracy.save(stored, path)


def test_the_stored_rows_are_what_they_say_and_stand_beside_their_published_rows():
    stored = released_accuracy.stored()
    known = {run.blob_id: run for run in released.runs()}
    for row in stored.to_dict("records"):
        run = known[row["git_blob_sha1"]]
        assert (run.label, run.family, run.scheme, run.dataset) == tuple(
            row[key] for key in ("label", "model", "scheme", "dataset")
        )
        assert round(100 * row["correct"] / row["test_images"], 4) == row["accuracy_pct"]
        assert row["low_pct"] < row["accuracy_pct"] < row["high_pct"]
    rows = pd.DataFrame(
        [
            ("JP35B14", "kMobileNet", "D6(16)", "CIFAR-10"),
            ("JP35B14", "kMobileNet", "D6(32)", "CIFAR-10"),
            ("JP35B14", "MobileNet", "", "CIFAR-10"),
        ],
        columns=["label", "model", "scheme", "dataset"],
    )
    beside = released_accuracy.beside(rows)
    assert beside[0].startswith("78.56 (77.7 to 79.4), CIFAR-10 (JPEG copies)") and beside[1:] == ["", ""]
    assert released_accuracy.beside(rows, stored[:0]) == ["", "", ""]


def test_the_command_prints_saves_and_names_what_is_wrong(copies, tmp_path, capsys):
    table = tmp_path / "table.csv"
    command = ["measure-released", "--output", str(tmp_path / "out"), "--images", "folder", "--rows", "JP35B14"]
    assert command_line.main([*command, "--save", str(table)]) == 0
    assert "75.0" in capsys.readouterr().out
    assert pd.read_csv(table)["correct"].tolist() == [90]
    assert command_line.main([*command[:-1], "JP00"]) == 1
    assert "`labels` must be among" in capsys.readouterr().err
    assert command_line.main([*command, "--save", str(tmp_path)]) == 1
    assert "must be a file" in capsys.readouterr().err


def test_every_released_run_of_cifar_has_its_published_row_and_recipe():
    for run in released.runs():
        if run.dataset == "CIFAR-10":
            row = released_accuracy._published_row(run)
            assert released_accuracy._published_accuracy(row) > 80
            assert isinstance(released_accuracy._recipe(run), training.Recipe)
    assert paper.released_accuracy is released_accuracy
