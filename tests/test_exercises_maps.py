"""The exercises of notebooks 08, 09 and 12: what the solutions reach is right, and near misses get their sentences."""

import re

import nbformat
import numpy as np
import pytest

from kgpc import exercises, paper


def said(capsys, name, answer):
    """What the check of an exercise prints, without its name."""
    exercises.check(name, answer)
    return capsys.readouterr().out.removeprefix(f"Exercise {name}: ").strip()


def stored_output(root, notebook, number):
    """What the cell of a solution printed when it was stored."""
    cells = nbformat.read(root / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = (cell for cell in cells if cell.source.startswith(f"# @title Solution {number} "))
    return "".join(output.get("text", "") for output in cell.outputs)


def points_at(heat, row, column):
    strongest = np.unravel_index(np.argmax(heat), heat.shape)
    found = tuple(int(place) // (size // 2) for place, size in zip(strongest, heat.shape, strict=True))
    return bool(np.any(heat > 0)) and found == (row, column)


def test_chances_of_tiles(capsys):
    assert said(capsys, "08.1", [1 / 9, 0.111, 0.25]) == "right."
    assert said(capsys, "08.1", [1 / 9, 1 / 9, 0.5]).startswith("2 of 3 are right.")


def test_the_pointing_game(capsys):
    assert said(capsys, "08.2", points_at) == "right."
    assert "a map that is strongest in a single position" in said(capsys, "08.2", lambda heat, row, column: True)
    assert "single position" in said(capsys, "08.2", lambda heat, row, column: points_at(heat, column, row))
    everywhere = said(capsys, "08.2", lambda heat, row, column: points_at(heat + 1, row, column))
    assert everywhere == "not right yet. What of a map that is 0 everywhere?"
    assert said(capsys, "08.2", lambda heat: True) == "for a map of 6 by 8 positions it raises TypeError."
    assert said(capsys, "08.2", lambda heat, row, column: np.zeros(3) > heat[:3, :3]).endswith("raises ValueError.")
    assert said(capsys, "08.2", 3) == "the answer is a function of a map, a row and a column."


WITHOUT_COLOUR = {
    "mean": lambda images: images.mean(axis=-1, keepdims=True).repeat(3, axis=-1),
    "luma": lambda images: (images @ np.float32([0.299, 0.587, 0.114]))[..., None].repeat(3, axis=-1),
    "one channel": lambda images: images[..., 1:2].repeat(3, axis=-1),
}


@pytest.mark.parametrize("way", WITHOUT_COLOUR)
def test_every_way_to_take_the_colour_away_is_right(way, capsys):
    assert said(capsys, "08.3", WITHOUT_COLOUR[way]) == "right."


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda images: images, "The three channels of a pixel differ."),
        (lambda images: images.mean(axis=-1), "become an array of shape (2, 5, 7)."),
        (lambda images: images.sum(axis=-1, keepdims=True).repeat(3, axis=-1), "should stay as they are."),
        (np.zeros_like, "should stay as they are."),
        (lambda images: images.nothing, "it raises AttributeError."),
        (None.__class__, "it raises TypeError."),
        ("grey", "the answer is a function of a batch of images."),
    ],
    ids=["as it is", "two axes", "too light", "black", "no attribute", "a class", "a text"],
)
def test_what_leaves_colour_or_takes_more(function, sentence, capsys):
    assert said(capsys, "08.3", function).endswith(sentence)


def test_the_smallest_network_that_may_be_as_accurate(root, capsys):
    """The right answer is a row that the notebook prints; a smaller network with a sure loss is none."""
    rows = paper.published().query("paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10'")
    original = rows.query("label == 'JP35B14' and scheme == 'none'").iloc[0]
    grouped = rows.query("label == 'JP35B14' and channels_per_group == 16").iloc[0]
    lost = grouped["test_accuracy_percent"] - original["test_accuracy_percent"]
    assert lost < -3 and said(capsys, "09.1", (grouped["parameters"] / original["parameters"], lost)) != "right."
    share, points = re.search(
        r"([\d.]+)% of the parameters: .*, ([-+\d.]+) points", stored_output(root, "09_reproduce_the_tables", 1)
    ).groups()
    assert said(capsys, "09.1", (float(share) / 100, float(points))) == "right."


def test_percents_of_histology_and_the_gain_of_two_passes(capsys):
    rows = paper.published().drop_duplicates("label").set_index("label")
    trained = 100 * rows.loc["JP30N13", "parameters"] / rows.loc["JP30N02", "parameters"]
    assert said(capsys, "09.2", trained) == "right." and said(capsys, "09.2", round(trained, 2)) == "right."
    assert "are all of those parameters trained?" in said(capsys, "09.2", 8.84)
    reports = paper.published("classification_reports")
    keys = ["dataset", "label", "channels_per_group"]
    wide = reports.pivot_table(index=keys, columns="test_variant", values="accuracy", dropna=False)
    gain = 100 * (wide["Original + Flip X"] - wide["Original"]).dropna()
    assert said(capsys, "09.3", gain.groupby("dataset").mean()["CIFAR-10"]) == "right."
    assert said(capsys, "09.3", gain.mean()) == "not right yet."


def test_the_weights_of_two_branches(capsys):
    assert said(capsys, "12.1", (50, 50, 14_000)).startswith("0 of 3 are right.")
    assert said(capsys, "12.2", 9 * 32) == "right."
    assert "3×3 positions of each channel" in said(capsys, "12.2", 32)


def test_the_best_shares_are_those_around_a_half(capsys):
    single = sum(9 * channels * filters for channels, filters in ((3, 32), (32, 32), (32, 64)))
    # At a half: 16 filters of one channel and 16 of two, then half of all weights.
    half = 9 * (16 + 2 * 16) + 9 * 2 * (16 * 16 + 16 * 32)
    assert half < 0.51 * single
    assert said(capsys, "12.1", (49, 51, half)) == "right."


def test_noise_in_lab(root, capsys):
    printed = stored_output(root, "12_light_chroma_branches", 3)
    noise = [float(value) for value in re.findall(r"noise +([\d.]+)", printed)]
    assert len(noise) == 3 and said(capsys, "12.3", noise) == "right."
    scaled = [value / unit for value, unit in zip(noise, (100, 200, 200), strict=True)]
    assert "rgb_to_scaled_lab divides" in said(capsys, "12.3", scaled)
