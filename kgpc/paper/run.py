"""One training of a rerun, as a value."""

import dataclasses
import os
import re

import numpy as np

from kgpc import applications, training
from kgpc.grouping import positive_integer

PROFILES = ("quick", "paper", "experiment", "experiment-gpu")


def plain(text):
    """A text without case, spaces and punctuation."""
    return re.sub("[^a-z0-9]+", "", text.lower())


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a rerun.

    Attributes:
        profile: "quick", "paper", "experiment" or "experiment-gpu".
        family: str, what the run is compared within: "MobileNet", "Inception V3", ...
        model: str, as in the published tables; with the channels per group in the quick profile ("kMobileNet 16ch").
        variant: "baseline", "grouped" or "narrow" (the control of the quick profile); in the experiment the key of the
            network in `kgpc.paper.protocol`.
        label: str, the published run, such as "JP35B14"; in the quick profile the one that it stands for, or "".
        dataset: str, name of the data set.
        constructor: str, name in `kgpc.applications`.
        arguments: dict of its arguments, without `input_shape`, which is the recipe's, and `classes`.
        recipe: `kgpc.training.Recipe`, with the seed.
        mirrored_test: bool, whether a published row averages the predictions of an image and its mirror image.
        test_images: int or None, number of test images to test on, equally many of each class; None for all.
        tested: bool, whether the test images are looked at; a search for rates does not.
        images: path or None, for data that nobody can fetch: the folder with `train/<class>/` and `test/<class>/`.
    """

    profile: str
    family: str
    model: str
    variant: str
    label: str
    dataset: str
    constructor: str
    arguments: dict
    recipe: training.Recipe
    mirrored_test: bool = False
    test_images: int | None = None
    tested: bool = True
    images: str | os.PathLike | None = None

    def __post_init__(self):
        _check_run(self)

    @property
    def scheme(self):
        """The scheme as text, such as "D6(16)"; "" without one."""
        return str(self.arguments.get("scheme") or "")

    @property
    def name(self):
        """Name of the folder of the run."""
        parts = [self.model, self.scheme, self.dataset, self.label, f"seed{self.recipe.seed}"]
        if self.profile.startswith("experiment"):
            recipe = self.recipe
            budget = f"{recipe.image_size}px-{recipe.epochs}ep-{recipe.learning_rate.peak:g}"
            parts = [self.dataset, budget, self.model, "gpu" * self.profile.endswith("gpu"), f"seed{recipe.seed}"]
        if self.profile == "quick":
            parts = [self.profile, self.model, f"seed{self.recipe.seed}"]
        return "-".join(re.sub("[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts if part)

    def config(self):
        """All that decides the run, as plain values that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del values["images"]  # where they lie is not what they are
        return _plain_values({"name": self.name, **values, "recipe": self.recipe.as_dict()})

    def build(self, classes):
        """Builds the network with the seed of the recipe.

        Args:
            classes: int, number of classes of the data.

        Returns:
            Keras model with random weights.
        """
        constructor = getattr(applications, self.constructor)
        return training.build(constructor, self.recipe, classes=classes, **self.arguments)


def _plain_values(value):
    """A value as JSON can hold it: numbers of NumPy become Python's, schemes and other objects their text."""
    if isinstance(value, dict):
        return {key: _plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _check_run(run):
    """Raises a TypeError or ValueError that names the field of a `Run` that is none."""
    for field in ("profile", "family", "model", "variant", "label", "dataset", "constructor"):
        value = getattr(run, field)
        if not isinstance(value, str):
            raise TypeError(f"`{field}` must be a str. Received: {field}={value!r} of type {type(value).__name__}.")
        if field != "label" and not plain(value):
            raise ValueError(f"`{field}` must have letters or digits. Received: {field}={value!r}.")
    if run.profile not in PROFILES:
        raise ValueError(f"`profile` must be one of {', '.join(PROFILES)}. Received: profile={run.profile!r}.")
    if run.constructor not in applications.__all__:
        raise ValueError(
            f"`constructor` must be a name in kgpc.applications. Received: constructor={run.constructor!r}."
        )
    if not isinstance(run.arguments, dict) or not all(isinstance(name, str) for name in run.arguments):
        raise TypeError(f"`arguments` must be a dict of named arguments. Received: arguments={run.arguments!r}.")
    if not isinstance(run.recipe, training.Recipe):
        raise TypeError(
            f"`recipe` must be a Recipe. Received: recipe={run.recipe!r} of type {type(run.recipe).__name__}."
        )
    for field in ("mirrored_test", "tested"):
        value = getattr(run, field)
        if not isinstance(value, bool):
            raise TypeError(f"`{field}` must be a bool. Received: {field}={value!r} of type {type(value).__name__}.")
    if run.test_images is not None:
        positive_integer("test_images", run.test_images)
