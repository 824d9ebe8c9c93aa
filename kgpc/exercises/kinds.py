"""The kinds of answers that exercises ask for, and how each is compared with the right one.

Right values are functions without arguments: they are computed when an answer is checked, from the package, and are not
written down beside the question. `problem` returns None for a right answer, and otherwise a sentence.
"""

import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kgpc.arguments import shown

_WRONG = "not right yet."


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _plain(value):
    """A number from an array or tensor of one value; other values as they are."""
    if not isinstance(value, numbers.Number | str | bytes) and hasattr(value, "__array__"):
        array = np.asarray(value)
        return array.item() if array.size == 1 else array
    return value


@dataclasses.dataclass(frozen=True)
class Number:
    """A number.

    Attributes:
        asks: str, what is asked for, without giving it away, for example "a number of weights".
        right: function without arguments that returns the number.
        tolerance: float, largest difference at which an answer is right, as a share of the right number.
        hints: mapping from a sentence to a function that returns the wrong number it belongs to.
    """

    asks: str
    right: Callable
    tolerance: float = 0.0
    hints: Mapping[str, Callable] = dataclasses.field(default_factory=dict)

    def _is(self, answer, value):
        return abs(answer - value) <= self.tolerance * abs(value)

    def problem(self, answer):
        """Returns None for the right number, and otherwise what to say."""
        answer = _plain(answer)
        if not _is_number(answer):
            return f"the answer is {self.asks}, a number. Received: {shown(answer)}."
        if self._is(answer, self.right()):
            return None
        for hint, wrong in self.hints.items():
            if self._is(answer, wrong()):
                return f"{_WRONG} {hint}"
        return _WRONG


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Several numbers in a given order.

    Attributes:
        asks: str, what is asked for and in which order, for example "the groups, the weights of K, and those of L".
        right: function without arguments that returns the sequence of numbers.
        tolerance: float, largest difference at which each is right, as a share of the right number.
        hint: str, what helps where they are not all right.
    """

    asks: str
    right: Callable
    tolerance: float = 0.0
    hint: str = ""

    def problem(self, answer):
        """Returns None for the right numbers, and otherwise how many of them are right."""
        right = list(self.right())
        answer = np.asarray(answer).ravel().tolist() if hasattr(answer, "__array__") else answer
        if isinstance(answer, str) or not isinstance(answer, Sequence):
            return f"the answer is {self.asks}: {len(right)} numbers, as a list. Received: {shown(answer)}."
        answer = [_plain(each) for each in answer]
        if len(answer) != len(right) or not all(map(_is_number, answer)):
            return f"the answer is {self.asks}: {len(right)} numbers. Received: {shown(answer)}."
        good = sum(
            abs(given - value) <= self.tolerance * abs(value) for given, value in zip(answer, right, strict=True)
        )
        return None if good == len(right) else f"{good} of {len(right)} are right. {self.hint}".rstrip()


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several words.

    Attributes:
        asks: str, what is asked for.
        options: sequence of str, the words.
        right: function without arguments that returns the right word.
        hints: mapping from a wrong word to a sentence.
    """

    asks: str
    options: Sequence[str]
    right: Callable
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def problem(self, answer):
        """Returns None for the right word, and otherwise what to say."""
        words = {word.casefold(): word for word in self.options}
        word = words.get(answer.strip().casefold()) if isinstance(answer, str) else None
        if word is None:
            allowed = ", ".join(map(repr, self.options))
            return f"the answer is {self.asks}, one of {allowed}. Received: {shown(answer)}."
        return None if word == self.right() else f"{_WRONG} {self.hints.get(word, '')}".rstrip()


@dataclasses.dataclass(frozen=True)
class Made:
    """Something that was built or written: a network, a function, a table.

    Attributes:
        asks: str, what is asked for.
        look: function that takes the answer and returns None where it is right, or a sentence about what it lacks.
            It raises for no answer, however odd.
    """

    asks: str
    look: Callable

    def problem(self, answer):
        """Returns None for a good answer, and otherwise what it lacks."""
        return self.look(answer)
