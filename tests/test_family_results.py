"""What the pages show of the experiment: how far it is, and the family's figure once there are rows."""

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from test_verdicts import MEANS, row, table_of

from kgpc import paper, plots
from kgpc.paper import experiment, family_results, protocol

PAGES = {
    "02_kmobilenet": ["MobileNet"],
    "03_kmobilenet_v3": ["MobileNet V3 Large"],
    "04_keffnet": ["EfficientNet-B0"],
    "09_reproduce_the_tables": list(protocol.CONTRASTS),
}


@pytest.fixture
def three_seeds():
    noise = np.random.default_rng(0).normal(0, 0.2, (3, 4))
    return table_of(
        [row(key, seed, mean + noise[seed - 1, i]) for i, (key, mean) in enumerate(MEANS.items()) for seed in (1, 2, 3)]
    )


def test_before_the_first_test_there_is_a_sentence_and_no_figure():
    search = table_of([row("ordinary", 100, 70, epochs=6, peak_learning_rate=0.001, validation_loss=0.9)])
    lines = family_results.sentences("MobileNet", search)
    assert lines == [
        "MobileNet: 0 of 45 runs with a test are complete, and 1 of the 15 that look for learning rates.",
        "None of the questions about this family is answered yet.",
    ]
    assert family_results.points("MobileNet", search) == {}
    assert family_results.differences("MobileNet", search).empty


def test_three_seeds_are_a_figure_with_a_dot_for_each_and_an_interval_for_each_question(three_seeds):
    assert "12 of 45 runs with a test are complete" in family_results.progress("MobileNet", three_seeds)
    points = family_results.points("MobileNet", three_seeds)
    assert {len(frame) for frame in points.values()} == {3} and len(points) == 4
    figure = plots.scatter(points, xlabel="trainable parameters", ylabel="test accuracy, %", log_x=True)
    assert len(figure.axes[0].collections) == 4
    differences = family_results.differences("MobileNet", three_seeds)
    assert len(differences) == 3 and differences.index[0] == "grouped, 16ch − ordinary, matched"
    assert (differences["low"] < differences["value"]).all() and (differences["value"] < differences["high"]).all()
    plots.interval_chart(differences, xlabel="points", levels={"equal": 0})
    lines = family_results.sentences("MobileNet", three_seeds)
    assert len(lines) == 5
    assert lines[1].startswith("a) grouped, 16ch minus ordinary, matched: -") and lines[1].endswith("fails.")
    assert family_results.points("EfficientNet-B0", three_seeds) == {}


def test_one_seed_is_shown_and_decides_nothing(three_seeds):
    one = three_seeds[three_seeds["seed"] == 1]
    assert {len(frame) for frame in family_results.points("MobileNet", one).values()} == {1}
    assert family_results.differences("MobileNet", one).empty
    lines = family_results.sentences("MobileNet", one)
    assert all("no interval, 1 seed). Sign: undecided." in line for line in lines[1:])


def shown_by(family, table, monkeypatch):
    """The captions and texts of the figures that `show_experiment` shows."""
    found = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, caption: (plt.close(figure), found.append((caption, alt))))
    paper.show_experiment(family, first_figure=7, table=table)
    return found


def test_both_figures_are_shown_with_their_numbers_and_the_sentences_are_printed(three_seeds, monkeypatch, capsys):
    (first, runs), (second, answers) = shown_by("MobileNet", three_seeds, monkeypatch)
    assert first.startswith("Figure 7. Does it hold?") and second.startswith(
        "Figure 8. MobileNet: the protocol's questions"
    )
    assert "grouped, 16ch 79.9% (3)" in runs
    for value in family_results.differences("MobileNet", three_seeds)["value"]:
        assert f"{value:+.1f} (" in answers
    assert capsys.readouterr().out.splitlines() == family_results.sentences("MobileNet", three_seeds)


def test_figures_without_results_are_left_out(three_seeds, monkeypatch, capsys):
    assert [
        caption[:9] for caption, _ in shown_by("MobileNet", three_seeds[three_seeds["seed"] == 1], monkeypatch)
    ] == ["Figure 7."]
    assert shown_by("EfficientNet-B0", three_seeds, monkeypatch) == []
    assert "None of the questions about this family is answered yet." in capsys.readouterr().out


def test_all_families_follow_each_other_with_numbers_in_order(three_seeds, monkeypatch, capsys):
    other = three_seeds.assign(family="MobileNet V3 Large")
    both = pd.concat([three_seeds, other], ignore_index=True)
    captions = [caption for caption, _ in shown_by(None, both, monkeypatch)]
    assert [caption.split(".")[0] for caption in captions] == [f"Figure {7 + place}" for place in range(len(captions))]
    assert len(captions) > 2 and [caption for caption in captions if "MobileNet V3 Large" in caption]
    lines = [line for family in protocol.CONTRASTS for line in family_results.sentences(family, both)]
    assert [line for line in capsys.readouterr().out.splitlines() if line] == lines


def test_other_lengths_and_data_are_not_in_the_figure():
    other = table_of([row("16ch", 1, 10, epochs=72), row("16ch", 1, 10, dataset="Fashion-MNIST"), row("16ch", 100, 10)])
    assert family_results.points("MobileNet", other) == {}


def epochs_of(table):
    """Made-up histories of runs: an accuracy that rises to one of their own."""
    rows = [
        {"name": run["name"], "epoch": epoch, "val_accuracy": (0.5 + index / 100) * epoch / run["epochs"]}
        for index, run in enumerate(table.to_dict("records"))
        for epoch in range(1, run["epochs"] + 1)
    ]
    return pd.DataFrame(rows, columns=experiment.EPOCH_COLUMNS)


def test_the_run_that_learned_is_the_longest_and_of_those_the_best_in_validation():
    search = {"epochs": 6, "image_size": 33, "train_images": 45_000}
    rows = [
        row("16ch", 100, 0, peak_learning_rate=0.001, validation_loss=0.9, **search),
        row("16ch", 100, 0, peak_learning_rate=0.002, validation_loss=0.7, **search),
        row("16ch", 100, 0, peak_learning_rate=0.004, validation_loss=0.8, **search),
        row("ordinary", 1, 90, validation_loss=0.1),
    ]
    for index, values in enumerate(rows):
        values["name"] = f"run {index}"
    table = table_of(rows)
    sentence, history = family_results.longest_run("MobileNet", "16ch", table, epochs_of(table))
    assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6] and history["val_accuracy"].iloc[-1] == 0.51
    assert "rate 0.002, seed 100: 51.0% of the validation" in sentence and "no test image" in sentence
    longer = {**row("16ch", 2, 80, validation_loss=2.0, peak_learning_rate=0.004, test_images=10_000), "name": "long"}
    table = table_of([*rows, longer | {"train_images": 45_000}])
    sentence, history = family_results.longest_run("MobileNet", "16ch", table, epochs_of(table))
    assert len(history) == 24 and sentence.endswith("It classifies 80.0% of 10,000 test images right.")


def test_without_a_run_there_is_a_sentence_and_an_empty_table():
    sentence, history = family_results.longest_run("MobileNet", "16ch", table_of([]), epochs_of(table_of([])))
    assert sentence == "No run of MobileNet 16ch is stored yet." and history.empty
    with pytest.raises(ValueError, match="`family` and `key` must be one of"):
        family_results.longest_run("MobileNet", "17ch")


def test_the_page_about_training_shows_the_stored_run(root):
    notebook = nbformat.read(root / "notebooks" / "07_train_on_colab_gpu.ipynb", as_version=4)
    page = "\n".join(str(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", []))
    sentence, history = family_results.longest_run("MobileNet", "16ch")
    assert sentence in " ".join(page.split()), "write it anew: python data/store_experiment.py"
    assert history["val_accuracy"].iloc[-1] > 0.5  # it learned: guessing is 0.1


def test_a_family_that_the_experiment_does_not_have_is_refused():
    functions = (family_results.progress, family_results.points, family_results.differences, family_results.sentences)
    for function in functions:
        for bad in ("Inception V3", "", None, 3):
            with pytest.raises(ValueError, match="`family` must be one of 'MobileNet'"):
                function(bad)


@pytest.mark.parametrize("name", PAGES)
def test_stored_pages_say_how_far_the_experiment_is(name, root):
    notebook = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)
    page = "\n".join(str(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", []))
    table = experiment.stored()
    for family in PAGES[name]:
        for line in family_results.sentences(family, table):
            assert line in page, "write it anew: python data/store_experiment.py"
    (cell,) = (cell for cell in notebook.cells if "experiment" in cell.metadata.get("tags", []))
    assert "show_experiment(" in cell.source or "family_results.sentences(" in cell.source


def test_the_table_of_runs_is_counted_once():
    assert isinstance(experiment.stored(), pd.DataFrame)
    counts = [experiment.stored_and_wanted(experiment.stored(), stage) for stage in protocol.STAGES]
    assert all(0 <= stored <= wanted for stored, wanted in counts)
