"""Exercises: right, wrong and odd answers get their sentences; nothing gives the right answer away."""

import re

import numpy as np
import pytest

from kgpc import exercises
from kgpc.exercises import Choice, Made, Number, Numbers


def test_no_answer_yet_says_what_is_asked_for(capsys):
    exercises.check("01.1", None)
    said = capsys.readouterr().out
    assert said.startswith("Exercise 01.1: no answer yet. Asked for: the number of groups")


@pytest.mark.parametrize("answer", [(6, 384, 96), [6.0, 384, 96], np.array([6, 384, 96])])
def test_right_numbers(answer, capsys):
    exercises.check("01.1", answer)
    assert capsys.readouterr().out == "Exercise 01.1: right.\n"


def test_wrong_numbers_are_counted_and_not_told(capsys):
    exercises.check("01.1", (6, 384, 384))
    said = capsys.readouterr().out
    assert "2 of 3 are right" in said and not re.search(r"\b96\b", said)


@pytest.mark.parametrize("answer", ["6", 6, (6, 384), (6, "384", 96), {6: 1}, object(), np.zeros((3, 3)), True])
def test_odd_answers_are_told_what_is_asked_for(answer, capsys):
    exercises.check("01.1", answer)
    assert "the answer is the number of groups" in capsys.readouterr().out


def test_a_number_with_a_tolerance_and_a_hint():
    asked = Number("a share", lambda: 0.5, tolerance=0.01, hints={"That is the other half.": lambda: 1.5})
    assert asked.problem(0.504) is None
    assert asked.problem(np.float32(0.5)) is None
    assert asked.problem(np.array([0.5])) is None
    assert asked.problem(1.5) == "not right yet. That is the other half."
    assert asked.problem(0.6) == "not right yet."
    assert asked.problem(float("nan")) == "not right yet."
    assert "a share, a number. Received" in asked.problem(True)


def test_a_choice_takes_any_case():
    asked = Choice("a scheme", ["D6", "D6v3"], lambda: "D6v3", hints={"D6": "Look at 97 channels."})
    assert asked.problem(" d6V3 ") is None
    assert asked.problem("D6") == "not right yet. Look at 97 channels."
    assert "one of 'D6', 'D6v3'" in asked.problem("D7")
    assert "one of 'D6', 'D6v3'" in asked.problem(3)


def test_numbers_without_a_hint_and_something_made():
    assert Numbers("two numbers", lambda: (1, 2)).problem([1, 3]) == "1 of 2 are right."
    assert (
        Made("a list", lambda answer: None if answer == [] else "it is not empty.").problem([1]) == "it is not empty."
    )


@pytest.mark.parametrize("name", ["01.9", "1.1", "99.1", "", "01.1\n"])
def test_an_unknown_exercise_is_named(name):
    with pytest.raises(ValueError, match="`exercise` must be the name of an exercise"):
        exercises.check(name, 1)


def test_an_exercise_is_named_by_a_text():
    with pytest.raises(TypeError, match="`exercise` must be"):
        exercises.check(1.1, 1)


def test_every_exercise_can_be_checked_and_every_notebook_asks_only_for_known_ones(root):
    asked = [
        name
        for path in sorted((root / "notebooks").glob("*.py"))
        for name in re.findall(r'exercises\.check\("([^"]+)"', path.read_text(encoding="utf-8"))
    ]
    # In the reader's cell, and perhaps in that of the solution.
    assert max(asked.count(name) for name in asked) <= 2
    for name in sorted(set(asked)):
        exercises.check(name, None)
        exercises.check(name, object())
