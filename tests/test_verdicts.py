"""Verdicts, exploratory intervals and the equivalent width from made-up results, and how results are stored."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from kgpc import seeds
from kgpc.paper import (
    execution,
    experiment,
    experiment_page,
    family_results,
    protocol,
    run_table,
    training_length,
    verdicts,
)

SIZES = {"ordinary": 3_000_000, "16ch": 240_000, "narrow-parameters": 241_000, "narrow-flops": 490_000}
MEANS = {"ordinary": 85.0, "16ch": 80.0, "narrow-parameters": 75.0, "narrow-flops": 79.0}


def row(key, seed, accuracy, family="MobileNet", epochs=24, dataset=protocol.COPIES, **more):
    network = protocol.arm(family, key)
    values = {
        **dict.fromkeys(("model", "label", "data", "versions", "processor"), "made up"),
        "profile": "experiment",
        "family": family,
        "variant": key,
        "scheme": str(network.arguments["scheme"] or ""),
        "dataset": dataset,
        "seed": seed,
        "epochs": epochs,
        "image_size": network.image_size,
        "batch_size": 128,
        "batch_norm_momentum": 0.99,
        "parameters": SIZES.get(key, 1_000_000),
        "test_accuracy": accuracy / 100,
        "name": f"{family}-{key}-{dataset}-{epochs}-{seed}",
        **more,
    }
    return {name: values.get(name) for name in run_table.COLUMNS}


def table_of(rows):
    return run_table.typed(pd.DataFrame(rows, columns=run_table.COLUMNS))


@pytest.fixture
def core():
    noise = np.random.default_rng(0).normal(0, 0.2, (3, 4))
    return table_of(
        [
            row(key, seed, mean + noise[seed - 1, column])
            for column, (key, mean) in enumerate(MEANS.items())
            for seed in (1, 2, 3)
        ]
    )


def test_the_questions_are_answered_from_one_simultaneous_interval(core):
    found = verdicts.confirmatory(core).set_index("question")
    assert found["second"].to_dict() == {"a": "ordinary", "b": "narrow-parameters", "c": "narrow-flops"}
    assert found["sign"].to_dict() == {"a": "negative", "b": "positive", "c": "positive"}
    assert found["margin"].to_dict() == {"a": "fails", "b": "", "c": ""}
    values = verdicts.accuracies(core, "MobileNet", list(SIZES))
    expected = seeds.contrasts(values, protocol.CONTRASTS["MobileNet"]).set_index("second")
    for _, line in found.iterrows():
        assert line["low"] == pytest.approx(expected.loc[line["second"], "low"])
    assert found["bootstrap_low"].isna().all()


def test_a_family_without_a_complete_seed_has_no_line_and_one_seed_decides_nothing(core):
    assert verdicts.confirmatory(core[core["variant"] != "narrow-flops"]).empty
    one = verdicts.confirmatory(core[core["seed"] == 1])
    assert set(one["sign"]) == {"undecided"} and set(one["margin"]) == {"undecided", ""}


def test_runs_of_other_lengths_and_of_the_search_do_not_count(core):
    other = table_of([row("16ch", 100, 10), row("16ch", 1, 10, epochs=72), row("16ch", 1, 10, dataset="Fashion-MNIST")])
    pd.testing.assert_frame_equal(verdicts.confirmatory(experiment.joined(core, other)), verdicts.confirmatory(core))


def test_the_bootstrap_reads_the_predictions_of_the_same_seeds(core):
    generator, true = np.random.default_rng(1), np.arange(1000, dtype=np.uint8) % 10
    stored = {f"true/{protocol.COPIES}": true}
    for _, line in core.iterrows():
        wrong = generator.random(1000) > line["test_accuracy"]
        stored[line["name"]] = np.where(wrong, (true + 1) % 10, true).astype(np.uint8)
    found = verdicts.confirmatory(core, stored).iloc[0]
    correct = [
        np.stack([stored[f"MobileNet-{key}-{protocol.COPIES}-24-{seed}"] == true for seed in (1, 2, 3)])
        for key in ("16ch", "ordinary")
    ]
    low, high = seeds.bootstrap(*correct)
    assert (found["bootstrap_low"], found["bootstrap_high"]) == pytest.approx((100 * low, 100 * high))


def test_everything_else_is_exploratory(core):
    more = table_of(
        [row("k-interleaving-32ch", seed, 81.0 + seed / 10) for seed in (1, 2, 3)]
        + [row(key, 1, mean, epochs=72) for key, mean in (("ordinary", 90.0), ("16ch", 87.0))]
    )
    found = verdicts.exploratory(experiment.joined(core, more)).set_index(["epochs", "first", "second"])
    asked = [(24, *pair) for pair in protocol.CONTRASTS["MobileNet"]]
    assert not set(asked) & set(found.index)
    assert found.loc[(72, "16ch", "ordinary"), "difference"] == pytest.approx(-3)
    assert math.isnan(found.loc[(72, "16ch", "ordinary"), "low"])
    line = found.loc[(24, "k-interleaving-32ch", "16ch")]
    assert line["low"] < line["difference"] < line["high"] and line["seeds"] == 3
    assert "sign" not in found and "margin" not in found


def test_the_equivalent_width_is_interpolated_over_the_logarithm():
    levels = {"narrow-parameters": (100, 70), "narrow-flops": (1000, 80), "ordinary": (10_000, 90), "16ch": (100, 75)}
    table = table_of([row(key, 1, level, parameters=size) for key, (size, level) in levels.items()])
    found = verdicts.equivalent_width(table)
    assert found.parameters == pytest.approx(10**2.5)
    assert found.times == pytest.approx(10**0.5)
    assert found.width_multiplier == pytest.approx((0.268 * 0.386) ** 0.5)  # half-way between the two narrow networks
    assert found.points == ((100, 70.0), (1000, 80.0), (10_000, 90.0)) and math.isnan(found.low_times)
    levels["16ch"] = (100, 95)
    better = table_of([row(key, 1, level, parameters=size) for key, (size, level) in levels.items()])
    assert verdicts.equivalent_width(better).parameters == math.inf
    assert verdicts.equivalent_width(table[table["variant"] != "16ch"]) is None


def test_the_equivalent_width_has_the_ends_of_the_interval_and_the_flops(core):
    flops = {"ordinary": 46e6, "16ch": 7e6, "narrow-parameters": 4e6, "narrow-flops": 7e6}
    core["flops"] = core["variant"].map(flops)
    core.loc[core["variant"] == "narrow-flops", "test_accuracy"] += 0.02
    found, asked = verdicts.equivalent_width(core), verdicts.confirmatory(core).iloc[0]
    half = asked["high"] - asked["difference"]
    for end, shift in ((found.low_times, -half), (found.high_times, half)):
        moved = core.copy()
        moved.loc[moved["variant"] == "16ch", "test_accuracy"] += shift / 100
        assert end == pytest.approx(verdicts.equivalent_width(moved).times)
    low, high = (found.points[i][1] for i in (0, 1))
    share = (found.accuracy - low) / (high - low)
    assert 0 < share < 1 and found.flops_times == pytest.approx(4e6 / 7e6 * (7 / 4) ** share)


def test_a_further_width_counts_once_it_has_all_seeds(core):
    core["flops"] = 1e6
    before = verdicts.equivalent_width(core)
    first = [row("width-0.6", 1, 84.0, flops=1e6)]
    assert verdicts.equivalent_width(experiment.joined(core, table_of(first))) == before
    all_of_them = [row("width-0.6", seed, 84.0, flops=1e6) for seed in (1, 2, 3)]
    found = verdicts.equivalent_width(experiment.joined(core, table_of(all_of_them)))
    assert found.seeds == before.seeds == 3 and len(found.points) == len(before.points) + 1


def test_looking_after_each_seed_raises_the_probability_of_a_false_sign():
    generator, families = np.random.default_rng(0), 20_000
    noise, wrong = generator.normal(size=(families, 5, 4)), {}
    for count in (2, 3, 4, 5):
        looked_at = noise[:, :count]
        fitted = looked_at.mean(1, keepdims=True) + looked_at.mean(2, keepdims=True)
        residuals = looked_at - fitted + looked_at.mean((1, 2), keepdims=True)
        degrees = 3 * (count - 1)
        scale = np.sqrt(np.square(residuals).sum((1, 2)) / degrees * 2 / count)
        differences = np.abs(looked_at[:, :, :1].mean(1) - looked_at[:, :, 1:].mean(1))
        wrong[count] = (differences.max(1) > seeds.student_quantile(degrees, 1 - 0.05 / 6) * scale,)
    assert np.mean(wrong[5]) == pytest.approx(0.04, abs=0.006)
    assert np.any([each[0] for each in wrong.values()], axis=0).mean() == pytest.approx(0.11, abs=0.006)
    assert "from 4% to 11% (simulated)" in " ".join(" ".join(entry) for entry in protocol.DEVIATIONS)


def test_the_same_differences_on_validation_images_have_no_verdict(core):
    assert verdicts.on_validation(core).empty  # made-up rows have none
    core["validation_accuracy"] = core["test_accuracy"] + 0.01 * (core["variant"] == "16ch")
    found, tested = verdicts.on_validation(core), verdicts.confirmatory(core)
    assert (found["difference"] - tested["difference"]).tolist() == pytest.approx([1, 1, 1])
    assert "sign" not in found and "margin" not in found
    text = " ".join(experiment_page.page(core.assign(training_seconds=9.0)).split())
    assert f"| MobileNet | a | 3 | {verdicts.in_points(found.loc[0, 'difference'])} |" in text


def test_an_undecided_question_is_not_known(core):
    same = core.copy()
    same.loc[same["variant"] == "narrow-parameters", "test_accuracy"] = core.loc[
        core["variant"] == "16ch", "test_accuracy"
    ].to_numpy()
    text = " ".join(experiment_page.page(same.assign(training_seconds=9.0)).split())
    assert "the answers to the questions below: b of MobileNet; a, b of MobileNet V3 Large;" in text
    assert "; not told apart (+0.00 points, " in text


@pytest.fixture
def output(tmp_path, monkeypatch, core):
    """A folder with files of two complete runs, whose results are given."""
    search = [
        row("16ch", protocol.SEARCH_SEED, math.nan, epochs=6, peak_learning_rate=rate, validation_loss=loss)
        for rate, loss in ((0.004, 1.1), (0.008, 1.0), (0.016, 1.1))
    ]
    search = [{**line, "name": f"search-{line['peak_learning_rate']}"} for line in search]
    runs = table_of([row("16ch", 1, 200 / 3, peak_learning_rate=0.008), *search])
    for _, line in runs.iterrows():
        folder = tmp_path / "runs" / line["name"]
        folder.mkdir(parents=True)
        history = dict(
            epoch=[1, 2], learning_rate=0.1, loss=1.5, accuracy=0.5, val_loss=2.0, val_accuracy=0.4, seconds=9
        )
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
        about = {part: {"pixels": digest, "images": 3} for part, digest in protocol.COPIES_PIXELS.items()}
        (folder / execution.DATA_FILE).write_text(json.dumps(about))
    arrays = {"predicted": np.array([1, 2, 3], np.int16), "true": np.array([1, 2, 4], np.int16)}
    np.savez(tmp_path / "runs" / runs["name"][0] / execution.PREDICTIONS_FILE, **arrays)
    (tmp_path / "reruns").mkdir()
    monkeypatch.setattr(experiment, "results", lambda folder: runs if folder is not None else table_of([]))
    monkeypatch.setattr(experiment, "data_path", lambda name: tmp_path / name)
    monkeypatch.setattr(run_table, "data_path", lambda name: tmp_path / name)
    return tmp_path, runs


def test_complete_runs_are_stored_once_with_epochs_and_predictions(output):
    folder, runs = output
    assert experiment.store(folder / "runs", folder / "reruns") == runs["name"].tolist()
    pd.testing.assert_frame_equal(experiment.stored(), runs, check_dtype=False)
    assert experiment.epochs().groupby("name").size().to_dict() == dict.fromkeys(runs["name"], 2)
    stored = experiment.predictions()
    assert stored[runs["name"][0]].tolist() == [1, 2, 3]
    assert stored[f"true/{protocol.COPIES}"].tolist() == [1, 2, 4]
    assert not [name for name in runs["name"][1:] if name in stored]  # a search tests nothing
    before = {path: path.read_bytes() for path in (folder / "reruns").iterdir()}
    assert experiment.store(folder / "runs", folder / "reruns") == []
    assert {path: path.read_bytes() for path in (folder / "reruns").iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 32}, "of another protocol: `image_size` must be 33"),
        ({"scheme": "D6(8)"}, r"`scheme` must be 'D6\(16\)'"),
        ({"dataset": "CIFAR-10"}, "`dataset` must be one of 'CIFAR-10 \\(JPEG copies\\)'"),
        ({"variant": "8ch"}, "`family` and `key` must be one of"),
        ({"seed": 6}, "is in no stage of the protocol. Received: .* seed=6"),
        ({"epochs": 25}, "is in no stage of the protocol"),
        ({"peak_learning_rate": 0.016}, "`peak_learning_rate` must be 0.008"),
        ({"test_accuracy": 0.8}, "must have the accuracy of its predictions, 0.6667"),
    ],
)
def test_a_run_of_another_protocol_is_not_stored(output, change, message, monkeypatch):
    folder, runs = output
    changed = table_of([{**runs.iloc[0].to_dict(), **change}, *runs.iloc[1:].to_dict("records")])
    monkeypatch.setattr(experiment, "results", lambda folder: changed if folder is not None else table_of([]))
    with pytest.raises(ValueError, match=message):
        experiment.store(folder / "runs", folder / "reruns")
    assert not list((folder / "reruns").iterdir())


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_a_call_that_was_stopped_between_two_files_leaves_nothing_twice(output, stopped, monkeypatch):
    folder, runs = output
    calls, whole = [], experiment.replacing

    def replacing(path):
        calls.append(path)
        if len(calls) == stopped:
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(experiment, "replacing", replacing)
    with pytest.raises(KeyboardInterrupt):
        experiment.store(folder / "runs", folder / "reruns")
    assert experiment.store(folder / "runs", folder / "reruns") == runs["name"].tolist()
    assert experiment.epochs().groupby("name").size().to_dict() == dict.fromkeys(runs["name"], 2)
    assert list(experiment.predictions()) == [runs["name"][0], f"true/{protocol.COPIES}"]


def test_a_run_that_was_repeated_at_half_its_rate_is_stored(output, monkeypatch):
    folder, runs = output
    stage, network = protocol.stage("core"), protocol.arm("MobileNet", "16ch")
    monkeypatch.setattr(protocol, "REPEATED_AT_HALF_RATE", (experiment._run(stage, network, 1, 0.008, None).name,))
    half = table_of([{**runs.iloc[0].to_dict(), "peak_learning_rate": 0.004}, *runs.iloc[1:].to_dict("records")])
    monkeypatch.setattr(experiment, "results", lambda folder: half if folder is not None else table_of([]))
    assert experiment.store(folder / "runs", folder / "reruns") == runs["name"].tolist()


@pytest.mark.parametrize("what", ["pixels", "true"])
def test_a_run_on_other_images_than_the_stored_ones_is_not_stored(output, what, monkeypatch):
    folder, runs = output
    experiment.store(folder / "runs", folder / "reruns")
    before = {path: path.read_bytes() for path in (folder / "reruns").iterdir()}
    second = {**runs.iloc[0].to_dict(), "seed": 2, "name": "second"}
    shutil.copytree(folder / "runs" / runs["name"][0], folder / "runs" / "second")
    path = folder / "runs" / "second" / execution.DATA_FILE
    if what == "pixels":
        path.write_text(path.read_text().replace(protocol.COPIES_PIXELS["test"], "0" * 64))
    else:
        arrays = {"predicted": np.array([1, 2, 3], np.int16), "true": np.array([2, 1, 3], np.int16)}
        np.savez(folder / "runs" / "second" / execution.PREDICTIONS_FILE, **arrays)
    both = table_of([*runs.to_dict("records"), second])
    monkeypatch.setattr(experiment, "results", lambda folder: both if folder is not None else runs)
    message = {"pixels": "must have been trained on the JPEG copies", "true": "of the test images that are stored"}
    with pytest.raises(ValueError, match=message[what]):
        experiment.store(folder / "runs", folder / "reruns")
    assert {path: path.read_bytes() for path in (folder / "reruns").iterdir()} == before


def test_what_is_stored_with_the_package_is_of_this_protocol():
    table = experiment.stored()
    experiment._check_protocol(table)
    assert table["name"].is_unique
    tested = table[table["seed"] != protocol.SEARCH_SEED]
    predictions = experiment.predictions()
    for _, line in tested.iterrows():
        predicted, true = predictions[line["name"]], predictions[f"true/{line['dataset']}"]
        assert len(predicted) == line["test_images"]
        assert np.mean(predicted == true) == pytest.approx(line["test_accuracy"], abs=1e-9)
    epochs = experiment.epochs()
    assert set(epochs["name"]) == set(table["name"])
    last = epochs.groupby("name").last()["val_loss"]
    for _, line in table.iterrows():
        assert last[line["name"]] == pytest.approx(line["validation_loss"], rel=1e-4)


def test_the_page_is_the_one_that_its_table_gives(root):
    page = (root / "docs" / "does-it-hold.md").read_text(encoding="utf-8")
    assert page == experiment_page.page(experiment.stored(), experiment.predictions())


_RATES = (0.001, 0.002, 0.004, 0.008)


def test_the_page_says_what_the_runs_decide(core):
    core["training_seconds"] = 2400.0
    search = table_of(
        [
            row("16ch", protocol.SEARCH_SEED, math.nan, epochs=6, peak_learning_rate=rate, validation_loss=loss)
            for rate, loss in zip(_RATES, (1.2, 1.1, 1.0, 1.1), strict=True)
        ]
    )
    page = experiment_page.page(experiment.joined(core, search))
    text = " ".join(page.split())
    found = verdicts.confirmatory(core).iloc[0]
    difference = f"{found['difference']:+.1f} | {found['low']:+.1f} to {found['high']:+.1f}"
    assert f"| MobileNet | a | grouped, 16ch - ordinary, matched | 3 | {difference}" in page
    assert "| negative | fails |" in page
    accuracies = verdicts.accuracies(core, "MobileNet", ["16ch"])["16ch"]
    assert f"{', '.join(f'{value:.2f}' for value in accuracies)} | 1, 2, 3 | {accuracies.mean():.2f} | 100 |" in page
    assert "| network | 0.001 | 0.002 | 0.004 | 0.008 | chosen |" in page
    assert "| 1.200 | 1.100 | **1.000** | 1.100 | 0.004 |" in page
    assert "No question is answered yet" not in page
    assert "equal in everything but the pointwise convolutions | negative; margin fails | open | open |" in page
    assert "the answers to the questions below: a, b of MobileNet V3 Large; a, b of EfficientNet-B0." in text
    assert "**Known:** the test accuracies of 12 of 63 runs" in text and "rest on 3 of the 5 planned seeds" in text
    assert "| `core` | MobileNet | questions a, b and c | 24 | 12 | 12 |" in page
    assert "## What would change a verdict" in page
    width = verdicts.equivalent_width(core)
    assert f"{width.times:.1f} times its own" in text
    assert f"an ordinary MobileNet of width {width.width_multiplier:.2f}, with about" in text
    assert "between the networks that were trained (3 seeds)." in text
    assert all(len(line) <= 120 for line in page.splitlines() if not line.startswith("|"))


def test_longer_training_is_compared_within_a_seed(core):
    rates = ((0.008, 0.9, 0.70), (0.016, 0.8, 0.74))
    search = [
        row(
            key,
            protocol.SEARCH_SEED,
            math.nan,
            epochs=6,
            peak_learning_rate=rate,
            validation_loss=loss,
            validation_accuracy=accuracy - (key == "16ch") / 10,
            name=f"search {key} {rate}",
        )
        for key in ("ordinary", "16ch")
        for rate, loss, accuracy in rates
    ]
    core["peak_learning_rate"] = core["variant"].map({"ordinary": 0.01, "16ch": 0.03}).fillna(0.02)
    longer = [
        row(key, 1, mean, epochs=72, peak_learning_rate=rate)
        for key, mean, rate in (("ordinary", 90.0, 0.01), ("16ch", 87.0, 0.03))
    ]
    table = experiment.joined(core, table_of(search + longer))
    true = np.arange(1000, dtype=np.uint8) % 10
    predicted = {f"true/{protocol.COPIES}": true}
    for _, line in table[table["seed"] != protocol.SEARCH_SEED].iterrows():
        right = np.arange(1000) < round(1000 * line["test_accuracy"])
        predicted[line["name"]] = np.where(right, true, (true + 1) % 10).astype(np.uint8)
    found = training_length.gaps(table, predicted)
    assert found[["images", "epochs", "seed"]].to_numpy().tolist() == [
        ["validation", 6, 100],  # the core's made-up rows have no validation accuracy
        ["test", 24, 1],
        ["test", 72, 1],
    ]
    assert found.loc[0, ["ordinary", "16ch", "difference"]].tolist() == pytest.approx([74, 64, -10])
    last = found.loc[2]
    assert last["difference"] == pytest.approx(-3) and last["low"] < -3 < last["high"]
    assert (last["low"] + last["high"]) / 2 == pytest.approx(-3)
    # 30 of 1,000 images are recognized by one network alone: deviation sqrt(0.03 * 0.97), Student's quantile 1.962.
    assert last["high"] - last["low"] == pytest.approx(2 * 1.9623 * 100 * math.sqrt(0.03 * 0.97 / 999), rel=1e-4)
    change = training_length.change(table, predicted)
    first = core.set_index(["variant", "seed"])["test_accuracy"]
    before = round(1000 * first["16ch", 1]) / 10 - round(1000 * first["ordinary", 1]) / 10
    assert (change.short, change.long, change.points) == (24, 72, pytest.approx(-3 - before))
    assert change.low < change.points < change.high
    page = " ".join(experiment_page.page(table, None).split())
    assert "| test | 72 | 1 | 0.01 and 0.03 | 90.00 | 87.00 | -3.0 | |" in page
    told = training_length.yardstick(table)
    assert told.mean == pytest.approx(np.mean(told.gaps)) and len(told.gaps) == 3
    asked = verdicts.confirmatory(core).iloc[0]
    reach = seeds.student_quantile(6, 0.975) * asked["residual"]
    assert (told.same_seed, told.to_mean) == pytest.approx((2 * reach, reach * math.sqrt(8 / 3)))
    assert training_length.yardstick(core[core["seed"] == 1]) is None
    page = " ".join(experiment_page.page(table, predicted).split())
    assert f"Against the mean of those, {told.mean:+.1f}, the change is {-3 - told.mean:+.1f}, and up to" in page
    page = " ".join(experiment_page.page(table, None).split())
    assert "changes by" not in page and training_length.change(table, None) is None
    assert "with longer training?" not in experiment_page.page(core)


def test_the_rival_is_told_with_an_interval_and_without_a_verdict(core):
    core["flops"] = core["variant"].map({"16ch": 7_000_000}).fillna(9_000_000)
    levels = [81.0, 81.2, 81.6]
    rival = [
        row("k-interleaving-32ch", seed, level, parameters=264_000, flops=8_400_000)
        for seed, level in enumerate(levels, start=1)
    ]
    one = experiment.joined(core, table_of(rival[:1]))
    assert verdicts.rival_in_words(one) == "" == verdicts.rival_in_words(core)
    table = experiment.joined(core, table_of(rival))
    gains = levels - verdicts.accuracies(core, "MobileNet", ["16ch"])["16ch"].to_numpy()
    mean, low, high = seeds.mean_interval(gains)
    text = verdicts.rival_in_words(table)
    assert text.endswith(
        "(1.10 times the parameters of 16ch, 1.20 times its flops), minus 16ch: "
        f"{mean:+.1f} points (paired 95%, for this difference alone: "
        f"{verdicts.in_points(low)} to {verdicts.in_points(high)}, 3 seeds)."
    )
    assert not [word for word in ("positive", "negative", "undecided", "holds", "fails") if word in text]
    assert verdicts.rival_in_words(table, "EfficientNet-B0") == ""
    assert text in " ".join(experiment_page.page(table).split())
    assert family_results.sentences("MobileNet", table)[-1] == text


def test_the_pilots_rate_is_the_best_of_no_network():
    table = experiment.stored()
    rates = [experiment.rate_of(table, protocol.arm("MobileNet", key)) for key in protocol.stage("rates").keys]
    assert 0.004 not in rates and len(set(rates)) > 1


def test_answers_of_fewer_seeds_than_planned_are_called_so(core):
    text = " ".join(experiment_page.page(core[core["seed"] < 3]).split())
    assert "These answers rest on 2 of the 5 planned seeds, and the next may change them." in text
    found = verdicts.confirmatory(core)
    assert verdicts.planned_seeds("MobileNet") == [1, 2, 3, 4, 5]
    assert verdicts.planned_seeds("MobileNet V3 Large") == [1, 2, 3]
    assert verdicts.interim_in_words(found, "MobileNet") in family_results.sentences("MobileNet", core)
    assert verdicts.interim_in_words(found.assign(seeds=5), "MobileNet") == ""
    assert verdicts.interim_in_words(found, "EfficientNet-B0") == ""


@pytest.mark.parametrize(
    ("value", "text"), [(-1.55, "-1.6"), (0.96, "+1.0"), (-0.03, "-0.03"), (0.067, "+0.07"), (0.15, "+0.1")]
)
def test_a_difference_near_zero_keeps_its_sign(value, text):
    assert verdicts.in_points(value) == text


def test_one_seed_answers_nothing(core):
    first = core[core["seed"] == 1]
    page = experiment_page.page(first)
    assert "**No question is answered yet.**" in page and "negative" not in page.split("## The intervals")[1]
    difference = verdicts.confirmatory(first).iloc[0]["difference"]
    assert f"the pointwise convolutions | {difference:+.1f} with one seed: open | open | open |" in page
    assert "that were trained (1 seed)." in " ".join(page.split()) and "over the simultaneous interval" not in page


def test_the_page_says_what_comes_next_and_judges_nothing_before_there_is_an_answer():
    losses = dict(zip(_RATES, (1.2, 1.1, 1.0, 0.9), strict=True))
    search = table_of(
        [
            row("16ch", 100, math.nan, epochs=6, peak_learning_rate=rate, validation_loss=loss, training_seconds=360)
            for rate, loss in losses.items()
        ]
    )
    page = experiment_page.page(search)
    text = " ".join(page.split())
    assert "**No question is answered yet.**" in text
    # The best rate is the highest, so this search needs a fifth run.
    assert "of 4 of the 35 runs that look for learning rates" in text
    assert "`rates` (search for learning rates, MobileNet), of which 4 of 17 runs are stored; then `core`" in text
    assert "a, b, c of MobileNet; a, b of MobileNet V3 Large; a, b of EfficientNet-B0" in text
    assert "| 1.000 | **0.900** | open |" in page
    assert "4 runs, 0.4 hours of training, 1.0 minutes an epoch" in text
    planned = sum(
        len(stage.keys) * len(stage.seeds) * stage.epochs * (3 if stage.search else 1) for stage in protocol.STAGES
    )
    assert f"{planned + 2 * 6 - 4 * 6:,} epochs are left" in text
    # But for where the page explains the word, and for what the protocol's deviations say.
    judged = text.replace("*undecided*", "").split("## Deviations")[0]
    for word in ("verdict", "margin holds", "margin fails", "undecided", "negative;", "positive;"):
        assert word not in judged
    assert all(len(line) <= 120 for line in page.splitlines() if not line.startswith("|"))


def test_every_stage_and_question_is_explained_on_the_page():
    assert list(experiment_page._PURPOSES) == [stage.name for stage in protocol.STAGES]
    assert list(experiment_page._ASKED) == sorted(verdicts.QUESTIONS.values())
    one = experiment_page.page(table_of([row("16ch", 1, 80.0, training_seconds=60)]))
    assert "1 run, 0.0 hours" in one and "the test accuracies of 1 of 63 runs" in one


def test_headlines_have_the_differences_that_the_runs_give(root):
    found = verdicts.confirmatory(experiment.stored(), experiment.predictions())
    found = found[found["family"] == "MobileNet"].set_index("question")
    assert list(found["sign"]) == ["negative", "positive", "negative"] and set(found["seeds"]) == {3}
    points = {key: f"{abs(found.loc[key, 'difference']):.1f}" for key in "abc"}
    ends = [sorted((found.loc[key, "low"], found.loc[key, "high"]), key=abs) for key in "abc"]
    intervals = ", ".join(" to ".join(map(verdicts.size_in_points, pair)) for pair in ends)
    left = len(verdicts.planned_seeds("MobileNet")) - 3
    assert left == 2
    notebooks = ("00_start_here", "02_kmobilenet", "09_reproduce_the_tables")
    for path in ("README.md", "docs/index.md", *(f"notebooks/{name}.py" for name in notebooks)):
        text = " ".join((root / path).read_text(encoding="utf-8").replace("\n# ", " ").split())
        assert "24 epochs, three seeds)" in text, path
        assert f"{points['a']} points below its ordinary twin, {points['b']} above an ordinary" in text, path
        assert f"made as small by width, and {points['c']} below one with as few multiply-adds" in text, path
        assert f"(95% intervals: {intervals}; two more seeds are planned)" in text, path


def test_pages_tell_of_longer_training_what_its_runs_give(root):
    found = training_length.gaps(experiment.stored(), experiment.predictions())
    gaps = found[found["images"] == "test"].set_index("epochs")["difference"]
    change, scatter = (
        training_length.change(experiment.stored(), experiment.predictions()),
        training_length.yardstick(experiment.stored()),
    )
    assert change.low < 0 < change.high and abs(change.points) < scatter.same_seed
    words = f"{abs(gaps[72]):.1f} points after 72 epochs, {abs(gaps[24]):.1f} after 24"
    for name in ("00_start_here", "02_kmobilenet", "09_reproduce_the_tables"):
        text = (root / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
        assert words in " ".join(text.replace("\n# ", " ").split()), name


def test_pages_tell_of_the_rival_what_its_runs_give(root):
    found = verdicts.exploratory(experiment.stored())
    found = found[(found["family"] == "MobileNet") & (found["dataset"] == protocol.COPIES) & (found["epochs"] == 24)]
    line = found.set_index(["first", "second"]).loc[("k-interleaving-32ch", "16ch")]
    assert line["seeds"] == 3 and line["low"] > 0
    gain = f"{line['difference']:.1f} points ({line['low']:.1f} to {line['high']:.1f}) more accurate"
    sizes = experiment.stored().groupby("variant")["parameters"].first()
    flops = experiment.stored().groupby("variant")["flops"].first()
    times, flops = (table["k-interleaving-32ch"] / table["16ch"] for table in (sizes, flops))
    of_theory = (gain + " than 16ch", f"{times:.2f} times the parameters and {flops:.2f} times the flops of 16ch")
    of_summary = (gain + " there than 16ch", f"{times:.2f} times its parameters and {flops:.2f} times its flops")
    for name, words in (("01_theory", of_theory), ("02_kmobilenet", of_summary)):
        text = (root / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
        text = " ".join(text.replace("\n# ", " ").split())
        assert not [part for part in words if part not in text], name
        assert "not asked beforehand, so without a verdict" in text
