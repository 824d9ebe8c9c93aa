"""Trained weights that come along in `data/weights`: each file has a card that says what it is.

A card `<name>.json` describes `<name>.npz`: the network, what it was trained on and how, how accurate this very file
is, and its checksum, which is compared whenever the weights are loaded. `kgpc.weight_archives` reads and writes the
files, `kgpc.weights` fills models.
"""

import dataclasses
import json
import math
import numbers
import os
import pathlib
import re

import keras
import numpy as np

from kgpc.resources import data_path

_MAX_CARD_BYTES = 100_000
_NAME = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True)
class Card:
    """What is known about a file of trained weights.

    Attributes:
        name: str, what `weights=` calls it: lower-case letters, digits and single underscores.
        family: str, the network as the published tables call it, for example "kMobileNet".
        scheme: str, its scheme, for example "D6(16)", or "None".
        arguments: dict, other arguments of its constructor that the predictions depend on: numbers, texts, bools, None.
        dataset: str, what it was trained on.
        classes: int, number of classes.
        epochs: int, epochs of training.
        image_size: str, size of the training images in pixels, for example "33x33".
        images: str, the values of the images it expects, for example "RGB, [0,1]".
        recipe: dict, how it was trained: optimizer, rate, batch size, ...
        seed: int, seed of the training.
        test_accuracy: float in [0, 1], share of the test images that the network classifies right with this very file.
        test_images: int, number of test images.
        command: str, what to run to train it again.
        sha256: str, checksum of the file of arrays: 64 hexadecimal digits.
        path: `pathlib.Path` of the file of arrays.
    """

    name: str
    family: str
    scheme: str
    arguments: dict
    dataset: str
    classes: int
    epochs: int
    image_size: str
    images: str
    recipe: dict
    seed: int
    test_accuracy: float
    test_images: int
    command: str
    sha256: str
    path: pathlib.Path

    def __str__(self):
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return (
            f"{self.name!r} ({self.dataset}, {self.classes} classes, {self.epochs} epochs at {self.image_size}, "
            f"images {self.images}): {self.family}, scheme={self.scheme}{arguments}"
        )


FIELDS = {field.name: field.type for field in dataclasses.fields(Card) if field.name != "path"}


def folder():
    """`pathlib.Path` of the folder in which weights come along."""
    return data_path("weights/README.md").parent


def cards():
    """The cards of all weights that come along.

    Returns:
        List of `Card`, ordered by name.

    Raises:
        ValueError: if a card is damaged; the message names it.
    """
    return [read_card(path) for path in sorted(folder().glob("*.json"))]


def find(name):
    """The card of the weights of this name, or None where none of this name come along.

    Raises:
        ValueError: if the card is damaged; the message names it.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    path = folder() / f"{name}.json"
    return read_card(path) if path.is_file() else None


def read_card(path):
    """Reads a card.

    Args:
        path: path of the `.json` file.

    Returns:
        A `Card`.

    Raises:
        TypeError: if `path` is not a path.
        FileNotFoundError: if there is no such file.
        ValueError: if it is no card; the message names the file and what is wrong.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must be a path. Received: path={path!r} ({type(path).__name__}).")
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` must be the card of a weight file. Received: path={str(path)!r}.")
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_CARD_BYTES + 1)
        if len(content) > _MAX_CARD_BYTES:
            raise ValueError(f"it has more than {_MAX_CARD_BYTES} bytes")
        values = json.loads(content.decode("utf-8"), parse_constant=refuse_constant)
        card = checked(values, path.with_suffix(".npz"))
        if card.name != path.stem:
            raise ValueError(f"it is the card of {card.name!r}")
        return card
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"The card {path.name!r} of weights that come along is damaged or foreign: {error}. "
            f"Install kgpc again, or remove {str(path)!r}."
        ) from error


def refuse_constant(text):
    """For `json.loads`: NaN and infinity are no JSON."""
    raise ValueError(f"{text} is no number")


def checked(values, path):
    """A `Card`, after its values were checked.

    Args:
        values: dict of the fields but `path`.
        path: `pathlib.Path` of the file of arrays.

    Raises:
        ValueError: if a field is missing, unknown, of another type or out of its range.
    """
    if not isinstance(values, dict):
        raise ValueError("it holds no fields")
    missing, surplus = sorted(FIELDS.keys() - values.keys()), sorted(values.keys() - FIELDS.keys())
    if missing or surplus:
        raise ValueError(f"missing fields: {missing}, unknown fields: {surplus}")
    for name, kind in FIELDS.items():
        value = values[name]
        number = numbers.Integral if kind is int else numbers.Real if kind is float else kind
        if not isinstance(value, number) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"`{name}` must be of type {kind.__name__}. Received: {name}={value!r}")
    for name in ("classes", "test_images"):
        if values[name] < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={values[name]}")
    if values["epochs"] < 0:
        raise ValueError(f"`epochs` must be at least 0. Received: epochs={values['epochs']}")
    if not 0 <= values["test_accuracy"] <= 1:
        raise ValueError(f"`test_accuracy` must be in [0, 1]. Received: test_accuracy={values['test_accuracy']}")
    if not _NAME.fullmatch(values["name"]):
        raise ValueError(
            "`name` must consist of lower-case letters, digits and single underscores. "
            f"Received: name={values['name']!r}"
        )
    if not re.fullmatch("[0-9a-f]{64}", values["sha256"]):
        raise ValueError(f"`sha256` must be 64 hexadecimal digits. Received: sha256={values['sha256']!r}")
    for name, value in values["arguments"].items():
        if not (
            value is None or isinstance(value, (bool, int, str)) or isinstance(value, float) and math.isfinite(value)
        ):
            raise ValueError(f"`arguments` must hold numbers, texts, bools or None. Received: {name}={value!r}")
    return Card(**values, path=path)


def check(card, *, family, scheme, arguments, classes):
    """Compares a card with the network that the weights are for.

    Args:
        card: a `Card`.
        family: str, the network as the published tables call it.
        scheme: its scheme, or None.
        arguments: dict, all other arguments of the network that its predictions depend on.
        classes: int, its number of classes; None where it has no classifier.

    Raises:
        ValueError: if they are for another network; the message says in what it differs.
    """
    asked = {"network": family, "scheme": str(scheme), **arguments}
    stored = {"network": card.family, "scheme": card.scheme, **card.arguments}
    if classes is not None:
        asked["classes"], stored["classes"] = classes, card.classes
    missing = object()
    differing = [
        f"{name}: {_shown(stored.get(name, missing), missing)} there, {_shown(asked.get(name, missing), missing)} here"
        for name in stored | asked
        if not _equal(name, stored.get(name, missing), asked.get(name, missing))
    ]
    if differing:
        raise ValueError(
            f"The weights {card.name!r} that come along are for another network. They differ in {'; '.join(differing)}."
            f" Received: weights={card.name!r}. They are {card}."
        )


def _shown(value, missing):
    return "not said" if value is missing else repr(value)


def _equal(name, stored, asked):
    if name.endswith("activation") and isinstance(stored, str) and (isinstance(asked, str) or callable(asked)):
        return keras.activations.get(stored) == keras.activations.get(asked)
    if isinstance(stored, bool) != isinstance(asked, (bool, np.bool_)):
        return False
    if isinstance(stored, float) and isinstance(asked, numbers.Real):
        return math.isclose(stored, asked, rel_tol=1e-9)
    return stored == asked
