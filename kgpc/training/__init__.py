"""Training one can trust: recipes as values, augmentation that can be repeated, runs that survive an interruption.

    from kgpc import D6, datasets, training
    from kgpc.applications import kMobileNet

    data, recipe = datasets.fashion_mnist_sample(), training.QUICK
    model = training.build(kMobileNet, recipe, classes=10, scheme=D6(16))
    result = training.fit(model, data, recipe, folder="runs/kmobilenet-16ch")
    print(training.evaluate(model, data, recipe))

`recipe("CIFAR-10")` is a published recipe; `QUICK` is for a few minutes on a processor, `DEMONSTRATION` for one. With a
`folder`, a run that was interrupted goes on when the same lines are executed again.
"""

from kgpc.training.augmentation import Augmentation, Transformation, sample_generator
from kgpc.training.batch_statistics import renew_moving_averages
from kgpc.training.batches import Batches, prepare, split
from kgpc.training.checkpoints import DamagedCheckpoint, FolderBusy
from kgpc.training.compilation import set_batch_norm_momentum
from kgpc.training.evaluation import Evaluation, evaluate
from kgpc.training.fitting import TrainingResult, build, fit
from kgpc.training.lessons import DEMONSTRATION, Lesson, check_profile, lesson
from kgpc.training.progress import Progress
from kgpc.training.recipes import QUICK, Recipe, recipe
from kgpc.training.schedules import Cyclical, Exponential, OneCycle
from kgpc.training.training_loop import NonFiniteLoss

__all__ = [
    "DEMONSTRATION",
    "QUICK",
    "Augmentation",
    "Batches",
    "Cyclical",
    "DamagedCheckpoint",
    "Evaluation",
    "Exponential",
    "FolderBusy",
    "Lesson",
    "NonFiniteLoss",
    "OneCycle",
    "Progress",
    "Recipe",
    "TrainingResult",
    "Transformation",
    "build",
    "check_profile",
    "evaluate",
    "fit",
    "lesson",
    "prepare",
    "recipe",
    "renew_moving_averages",
    "sample_generator",
    "set_batch_norm_momentum",
    "split",
]
