"""The exercises of notebooks 03 to 06: what the solutions reach is right, and what readers get wrong is told so."""

import keras
import numpy as np
import pytest

from kgpc import D6, exercises
from kgpc.applications import kEfficientNetB0

# What the solution cells print.
RIGHT = {
    "03.1": 62_720,
    "03.2": 9.5,
    "03.3": 261_984 - 251_904,
    "04.1": 1_090_918,
    "04.2": (8, 84_833_890),
    "05.1": 87_552,
    "05.2": 413_602 - 349_918,
    "05.3": [4, 4, 5, 4, 6, 4, 7, 4, 8],
    "06.1": 14_664_362,
    "06.2": "mixed10",
    "06.3": (88.5, 78.0, 68.3),
}
WRONG = {
    "03.1": (61_440, "Each filter has a bias besides."),
    "03.2": (0.095, "The answer is a percentage."),
    "03.3": (-10_080, "Look at the sign"),
    "04.1": (639_702, "not right yet."),
    "04.2": ((1, 84_833_890), "1 of 2 are right."),
    "05.1": (48 * sum(range(24, 228, 12)), "one unit more"),
    "05.2": (68_328, "K and L go"),
    "05.3": ([4, 4, 5, 5, 6, 6, 7, 7, 8], "6 of 9 are right."),
    "06.1": (14_881_754, "not right yet."),
    "06.2": ("mixed9", "not right yet."),
    "06.3": ((88.5, 78.0, 0.683), "2 of 3 are right."),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_the_solution_reaches_is_right(name, capsys):
    exercises.check(name, RIGHT[name])
    assert capsys.readouterr().out == f"Exercise {name}: right.\n"


@pytest.mark.parametrize("name", WRONG)
def test_a_usual_mistake_gets_its_hint_and_not_the_answer(name, capsys):
    answer, hint = WRONG[name]
    exercises.check(name, answer)
    said = capsys.readouterr().out
    assert hint in said and "right.\n" not in said.replace("are right. ", "")
    assert f"{RIGHT[name]}" not in said


@pytest.fixture(scope="module")
def small():
    """A grouped EfficientNet of few blocks, and its top as a matrix and a constant."""
    keras.utils.set_random_seed(3)
    network = kEfficientNetB0(input_shape=(32, 32, 3), classes=10, scheme=D6(16), depth=0.3)
    end = network.get_layer("k_block7a__0project_conv_inter_group_add").output
    features = keras.Model(end, network.layers[-3].output)
    kernel, bias = network.layers[-1].get_weights()

    def scores(maps):
        return keras.ops.convert_to_numpy(features(maps)).reshape(len(maps), -1) @ kernel + bias

    constant = scores(np.zeros((1, *end.shape[1:]), "float32"))
    one_by_one = np.broadcast_to(np.eye(320, dtype="float32")[:, None, None], (320, *end.shape[1:]))
    return network, scores(one_by_one) - constant, constant


def test_the_top_as_a_matrix(small, capsys):
    network, matrix, constant = small
    exercises.check("04.3", small)
    assert capsys.readouterr().out == "Exercise 04.3: right.\n"
    exercises.check("04.3", (network, matrix, constant + 1))
    assert "the scores differ from those of the network by up to 1." in capsys.readouterr().out
    exercises.check("04.3", (network, matrix.T, constant))
    assert "Received: shapes (10, 320)" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [1, "W", (1, 2, 3), (), np.eye(3)], ids=["number", "text", "three", "none", "array"])
def test_something_else_than_a_top_is_told_what_is_asked_for(answer, small, capsys):
    exercises.check("04.3", answer)
    assert "the answer is a tuple of the grouped network" in capsys.readouterr().out
    exercises.check("04.3", (small[0], answer, "b"))
    assert "the answer is a tuple of the grouped network" in capsys.readouterr().out
