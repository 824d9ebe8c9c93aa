"""The training on a page: the published recipe in the paper profile, a demonstration of a minute in the quick one."""

from typing import NamedTuple

from kgpc import datasets
from kgpc.arguments import received, shown, text
from kgpc.datasets import ImageDataset
from kgpc.training.batches import split
from kgpc.training.recipes import QUICK, Recipe

PROFILES = ("quick", "paper")
DEMONSTRATION = QUICK.replace(name="demonstration", train_images=640, validation_fraction=0.05, monitor="last")
"""`QUICK` for a training that is watched and decides nothing: few images, and the last epoch counts."""


class Lesson(NamedTuple):
    """What a page trains with.

    Attributes:
        data: `kgpc.datasets.ImageDataset`.
        recipe: `Recipe`.
        budget: str, data set, size of the images and epochs, for captions.
    """

    data: ImageDataset
    recipe: Recipe
    budget: str


def check_profile(profile):
    """Checks what was chosen in the parameters cell of a page, before anything is built.

    Args:
        profile: "quick" or "paper".

    Raises:
        ValueError: if it is neither.
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f'`profile` must be "quick" or "paper". Received: profile={shown(profile)}.')


def lesson(profile, dataset, published, demonstration=DEMONSTRATION):
    """Chooses data and recipe by the profile of a page, and prints what was chosen.

    Args:
        profile: "quick": `demonstration` on the sample of Fashion-MNIST that comes along; or "paper": `published` on
            the data set, which is downloaded where it is not there yet.
        dataset: str, name for `kgpc.datasets.load`.
        published: `Recipe`, as `recipe("CIFAR-10", "JP36B12")` returns it.
        demonstration: `Recipe`.

    Returns:
        `Lesson`.

    Raises:
        TypeError: if a recipe is none.
        ValueError: if `profile` is neither, or there is no such data set.
    """
    check_profile(profile)
    text("dataset", dataset)
    if _plain(dataset) not in map(_plain, datasets.names()):
        known = ", ".join(map(repr, datasets.names()))
        raise ValueError(f"`dataset` must be one of {known}. Received: dataset={shown(dataset)}.")
    for name, value in {"published": published, "demonstration": demonstration}.items():
        if not isinstance(value, Recipe):
            raise TypeError(f"`{name}` must be a Recipe. {received(name, value)}")
    if profile == "paper":
        data, recipe = datasets.load(dataset), published
    else:
        data, recipe = datasets.fashion_mnist_sample(), demonstration
    budget = f"{data.name}, {recipe.image_size}×{recipe.image_size} pixels, {recipe.epochs} epochs"
    chosen, for_validation = split(data.y_train, recipe)
    print(f'Profile "{profile}": {budget}.')
    counts = len(chosen), len(for_validation), len(data.x_test)
    print("{:,} images to train on, {:,} for validation, {:,} for the test.".format(*counts))
    return Lesson(data, recipe, budget)


def _plain(name):
    return "".join(filter(str.isalnum, name.casefold()))
