"""The exercises of notebook 07, Train on Colab's GPU."""

from kgpc import training
from kgpc.exercises.kinds import Choice, Number, Numbers

_TRAINING_IMAGES = 45_000  # of the published runs on CIFAR-10: 50,000 without a tenth for validation


def _steps_and_images(training_images=_TRAINING_IMAGES):
    recipe = training.recipe("CIFAR-10", "JP35B14")
    steps = recipe.epochs * (training_images // recipe.batch_size)
    return steps, steps * recipe.batch_size


EXERCISES = {
    "07.1": Numbers(
        "the number of steps, and that of images",
        _steps_and_images,
        hint="Validation images are not learned from, and an epoch has whole batches only; Table 2 has the recipe.",
    ),
    "07.2": Choice(
        "what `fit` does",
        ("goes on", "begins again", "refused"),
        lambda: "refused",
        hints={
            "goes on": "The learning rate of a step depends on how many epochs there will be.",
            "begins again": "A folder that has hours of work in it is not overwritten.",
        },
    ),
    "07.3": Numbers(
        "minutes that are lost on average, and their share of the time",
        lambda: (6 / 2, 6 / 2 / 120),
        tolerance=0.01,
        hint="What is lost is what was done since the last complete epoch; all its moments are equally likely.",
    ),
    "07.4": Number(
        "the number of an epoch",
        lambda: 12 - 2 + 1,
        hints={
            "That would be so if the newest state were whole.": lambda: 12,
            "That is the epoch after which the whole state was written.": lambda: 10,
            "`fit` keeps two states, and needs only one of them.": lambda: 1,
        },
    ),
}
