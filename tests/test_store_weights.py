"""`data/store_weights.py`: weights of a run become a file with a card; it loads by name and is what the card says."""

import numpy as np
import pandas as pd
import pytest

from kgpc import applications, datasets, included, training
from kgpc.paper import experiment, protocol
from kgpc.paper.rerun_results import results

STAGE = protocol.stage("core")


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("store_weights")


@pytest.fixture
def output(tmp_path, monkeypatch, script):
    """A folder with the weights of one complete run; images and results are made up."""
    network = protocol.arm("MobileNet", "narrow-parameters")
    run = experiment._run(STAGE, network, 1, 0.004, tmp_path)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (40, 32, 32, 3), dtype="uint8"), np.arange(40) % 10
    data = datasets.ImageDataset("made up", images, labels, images, labels, [str(number) for number in range(10)])
    folder = tmp_path / "runs" / run.name
    folder.mkdir(parents=True)
    model = run.build(10)
    for weight in model.trainable_weights:  # no numbers that float16 has exactly
        weight.assign(random.normal(0, 0.1, weight.shape))
    model.save_weights(folder / "best.weights.h5")
    done = pd.DataFrame([{**run.config(), "seed": 1, "epochs": 24, "test_accuracy": 0.5}])
    monkeypatch.setattr(script, "results", lambda path: done if str(path) == str(tmp_path / "runs") else results(None))
    monkeypatch.setattr(script, "load_dataset", lambda *arguments: data)
    monkeypatch.setattr(experiment, "rate_of", lambda *arguments: 0.004)
    monkeypatch.setattr(experiment, "joined", lambda *tables: tables[-1])
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(included, "folder", lambda: tmp_path / "weights")
    return tmp_path, run, data


def test_a_stored_network_is_as_accurate_as_its_card_says(output, script):
    folder, run, data = output
    card = script.store(folder / "runs", run.name, "narrow", folder, folder / "weights")
    assert (card.family, card.scheme, card.classes, card.seed) == ("kMobileNet", "D6(4096)", 10, 1)
    assert (card.image_size, card.epochs, card.recipe["optimizer"]) == ("33x33", 24, "AdamW")
    assert card.command.endswith("--stages core --images FOLDER --output FOLDER")
    model = applications.kMobileNet(weights="narrow", input_shape=(33, 33, 3), classes=10, **run.arguments)
    assert training.evaluate(model, data, run.recipe).accuracy == card.test_accuracy
    with pytest.raises(ValueError, match="are for another network. They differ in alpha: 0.268 there, 1"):
        applications.kMobileNet(weights="narrow", classes=10, scheme=run.arguments["scheme"], skip_stride_cnt=0)


def test_runs_that_cannot_be_stored_are_named(output, script, capsys):
    folder, run, _ = output
    assert script.main([str(folder / "runs"), "other", "narrow"]) == 1
    assert "`run` must be complete in" in capsys.readouterr().err
    done = script.results(folder / "runs")
    done.loc[0, "name"] = "foreign"
    assert script.main([str(folder / "runs"), "foreign", "narrow"]) == 1
    assert "`run` must be one of the protocol's that are tested. Received: run='foreign'" in capsys.readouterr().err
    assert not list((folder / "weights").iterdir())
