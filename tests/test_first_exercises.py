"""The exercises of notebooks 00, 01, 02 and 11: what the solutions reach is right, what readers get wrong is not."""

import keras
import nbformat
import numpy as np
import pytest

from kgpc import D6, D6v3
from kgpc.blocks import pointwise
from kgpc.exercises import check
from kgpc.exercises.notebook_00 import EXERCISES as OF_00
from kgpc.exercises.notebook_01 import EXERCISES as OF_01
from kgpc.exercises.notebook_02 import EXERCISES as OF_02
from kgpc.exercises.notebook_11 import EXERCISES as OF_11


def said(capsys, exercise, answer):
    check(exercise, answer)
    return capsys.readouterr().out.removeprefix(f"Exercise {exercise}: ").strip()


def stored_output(root, notebook, title):
    """What a cell of a notebook printed when it was stored."""
    cells = nbformat.read(root / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = (cell for cell in cells if cell.source.startswith(f"# @title {title} "))
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("exercises, count", [(OF_00, 3), (OF_01, 4), (OF_02, 3), (OF_11, 3)])
def test_each_exercise_has_its_check(exercises, count):
    assert len(exercises) == count


@pytest.mark.parametrize(
    "exercise, answer",
    [
        ("00.2", "classifier"),
        ("01.2", "near 50%"),
        ("01.3", 4),
        ("02.1", [2 * size * 1024 for size in (8, 16, 32, 64, 128)]),
        ("02.2", 0.84),
        ("11.1", (7, 12, 3, 66 * 16, 66 * 16)),
        ("11.2", (1 / 3, 2 * 16 / 104, 104)),
        ("11.3", (128, 16, 2 / (1 + 16 / 128))),
    ],
)
def test_what_the_solution_says_is_right(exercise, answer, capsys):
    assert said(capsys, exercise, answer) == "right."


@pytest.mark.parametrize(
    "exercise, answer, sentence",
    [
        ("00.2", "pointwise", "not right yet. That was so with 10 classes. Count with 1000."),
        ("00.2", "body", "the answer is a part of the network, one of"),
        ("01.2", "above 95%", "not right yet. Can a function of channel 0"),
        ("01.3", 1, "not right yet. One layer sees only"),
        ("02.2", 6 / 13, "not right yet. That is their share of the blocks."),
        ("02.1", [1, 2, 3, 4, 5], "0 of 5 are right. How many channels"),
        ("11.1", (7, 12, 3, 1056, 66 * 13), "4 of 5 are right."),
        ("11.2", (0.5, 2 * 16 / 104, 104), "2 of 3 are right."),
    ],
)
def test_what_readers_get_wrong(exercise, answer, sentence, capsys):
    assert said(capsys, exercise, answer).startswith(sentence)


def test_the_counts_of_notebook_00(root):
    text = stored_output(root, "00_start_here", "Solution 1")
    counted = int(text.splitlines()[0].split()[-1].replace(",", ""))
    assert OF_00["00.1"].problem(counted) is None
    assert OF_00["00.1"].problem(244_298) == "not right yet. That is the network with 16 channels per group."
    assert OF_00["00.3"].problem([1, (160 / 224) ** 2, (160 / 224) ** 2]) is None
    assert OF_00["00.3"].problem([0.51, 0.51, 0.51]).startswith("2 of 3 are right.")


def test_the_network_of_notebook_01_stays_near_chance_as_its_exercise_says(root):
    share = float(stored_output(root, "01_theory", "Solution 2").split("%")[0])
    nearest = min(OF_01["01.2"].options, key=lambda option: abs(float(option.split()[-1].rstrip("%")) - share))
    assert OF_01["01.2"].problem(nearest) is None


def pair_of(first="swish", second=None, between=192, scheme=None, batch_norm=True, behind=None):
    scheme = D6(16) if scheme is None else scheme
    inputs = keras.Input((7, 7, 96))
    options = {"batch_norm": batch_norm, "use_bias": not batch_norm}
    x = pointwise(inputs, between, scheme, name="first", activation=first, **options)
    x = pointwise(x, 96, scheme, name="second", activation=second, **options)
    return keras.Model(inputs, keras.layers.Activation(behind)(x) if behind else x)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({}, None),
        ({"first": "silu"}, None),
        ({"first": None}, "it is linear: there is no activation in it"),
        ({"second": "swish"}, "there is an activation too many: the projection has none."),
        ({"behind": "swish"}, "there is an activation too many: the projection has none."),
        ({"first": "relu"}, "its activations are relu; asked for is swish."),
        ({"between": 144}, "its convolutions are not those that D6(16) plans"),
        ({"scheme": D6v3(16)}, "its convolutions are not those that D6(16) plans"),
        ({"batch_norm": False}, "batch normalization should follow each convolution"),
    ],
    ids=str,
)
def test_a_pair_of_convolutions_is_looked_at_layer_by_layer(changes, sentence):
    problem = OF_01["01.4"].problem(pair_of(**changes))
    assert problem is None if sentence is None else problem.startswith(sentence)


def test_other_things_than_the_pair_are_told_what_they_lack():
    inputs = keras.Input((7, 7, 64))
    other = keras.Model(inputs, keras.layers.Conv2D(96, 1)(inputs))
    assert OF_01["01.4"].problem(other) == "its input has the shape (None, 7, 7, 64); it should be (None, 7, 7, 96)."
    for odd in (3, "model", [], keras.Sequential(), keras.layers.Dense(3)):
        assert "the answer is a Keras model" in OF_01["01.4"].problem(odd)


def recall(correct, labels, classes):
    return [correct[labels == label].mean() for label in range(classes)]


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (recall, None),
        (lambda *each: np.array(recall(*each)), None),
        (lambda *each: None, "the function returns nothing yet."),
        (lambda *each: [100 * share for share in recall(*each)], "these are percentages"),
        (lambda correct, labels, classes: correct.mean(), "the function should return one number for each"),
        (
            lambda correct, labels, classes: [(correct & (labels == label)).mean() for label in range(classes)],
            "not right yet. The share is one of the images of the class",
        ),
        (lambda *each: [0, 0, 0], "not right yet, when tried"),
        (lambda: 1, "it stops with TypeError"),
        (lambda *each: "abc", "the function should return a number for each class."),
        (3, "the answer is a function"),
    ],
    ids=range(10),
)
def test_a_function_of_the_reader_is_tried(answer, sentence):
    problem = OF_02["02.3"].problem(answer)
    assert problem is None if sentence is None else problem.startswith(sentence), problem
