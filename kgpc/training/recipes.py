"""Recipes as values: everything that decides how a network is trained, apart from the network and the images.

`recipe("CIFAR-10")` is a published recipe, `QUICK` one for a few minutes on a processor. A recipe is frozen;
`recipe.replace(epochs=10)` is another one.
"""

import csv
import dataclasses
import functools
import numbers
import re

from kgpc.arguments import integer
from kgpc.resources import data_path
from kgpc.training.augmentation import Augmentation
from kgpc.training.schedules import Cyclical, Exponential, OneCycle

SCHEDULES = (Cyclical, Exponential, OneCycle)

# Allowed values of the fields that choose.
CHOICES = {
    "optimizer": ("RMSprop", "SGD", "AdamW"),
    "validation_split": ("first", "first of each class", "every nth of each class", "random of each class"),
    "validation_views": ("plain", "augmented", "mirrored"),
    "monitor": ("val_accuracy", "val_loss", "last"),
    "color_space": ("rgb", "lab"),
    "margin": ("zeros", "edge"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}

# Smallest and largest value of the whole numbers, None for no limit. OpenCV does not transform larger images.
_RANGES = {
    "epochs": (1, None),
    "image_size": (1, 32_766),
    "batch_size": (1, None),
    "train_images": (1, None),
    "seed": (0, 2**32 - 1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: int >= 1.
        image_size: int in [1, 32766], side of the square images that the network sees, in pixels.
        batch_size: int >= 1, images in a step (in all devices together).
        optimizer: "RMSprop", "SGD" or "AdamW", with Keras' defaults.
        momentum, nesterov: of SGD: float in [0, 1), bool.
        weight_decay: of AdamW: float in [0, 1), decoupled decay: each step takes this share times the learning rate
            from every kernel. Biases and batch normalizations do not decay.
        label_smoothing: float in [0, 1), share of the target that is spread evenly over all classes. It is part of
            what is minimized; losses of the history are plain cross-entropies all the same.
        learning_rate: a schedule: `Cyclical`, `OneCycle` or `Exponential`.
        augmentation: `Augmentation` for the training images, or None.
        train_images: int or None, images to train on, equally many of each class; None for all.
        validation_fraction: float in (0, 1), share of the training part that is set aside for validation.
        validation_split: which ones: "first" (of the data set), "first of each class", "every nth of each class", or
            "random of each class" (by the seed).
        validation_views: how the network sees validation images: "plain"; "augmented" at random as in training, which
            is what the published CIFAR runs did; or "mirrored": four copies, mirrored along each axis or not.
        monitor: "val_accuracy" (highest counts) or "val_loss" (lowest), what chooses the best epoch; "last" chooses
            none: the last epoch counts.
        color_space: "rgb", or "lab": CIE Lab, as L/100, a/200 + 0.5, b/200 + 0.5.
        margin: "zeros" or "edge" (the nearest pixel), what small images are padded with where that makes them fit.
        pixel_maximum: 1.0, or 255.0 for images in [0, 255].
        class_weight: None, or "balanced": an image weighs inversely to the number of images of its class.
        precision: "float32", "mixed_float16" or "mixed_bfloat16", Keras' policy for the layers.
        batch_norm_momentum: float in [0, 1), set in all batch normalizations of the network; None leaves them alone.
            0.99, the usual value, averages over a hundred steps, too many for a training of a few hundred.
        seed: int in [0, 2**32), decides order, augmentation, and with `build` the initial weights and dropout.
        name: str, where the recipe is from.

    Raises:
        TypeError, ValueError: if a value is none of these; the message names the field, the value and what is allowed.

    Example:

    >>> short = QUICK.replace(epochs=2)
    >>> short.epochs, short.batch_size
    (2, 64)
    """

    epochs: int
    image_size: int = 224
    batch_size: int = 64
    optimizer: str = "RMSprop"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    learning_rate: Cyclical | Exponential | OneCycle = Cyclical()  # noqa: RUF009  a frozen value
    augmentation: Augmentation | None = None
    train_images: int | None = None
    validation_fraction: float = 0.1
    validation_split: str = "random of each class"
    validation_views: str = "plain"
    monitor: str = "val_accuracy"
    color_space: str = "rgb"
    margin: str = "zeros"
    pixel_maximum: float = 1.0
    class_weight: str | None = None
    precision: str = "float32"
    batch_norm_momentum: float | None = None
    seed: int = 7
    name: str = ""

    def __post_init__(self):
        for field, (low, high) in _RANGES.items():
            if field != "train_images" or self.train_images is not None:
                # NumPy's integers become Python's, which JSON can hold.
                object.__setattr__(self, field, integer(field, getattr(self, field), low, high))
        for field, allowed in CHOICES.items():
            self._check_choice(field, allowed)
        self._check_choice("class_weight", (None, "balanced"))
        self._check_choice("pixel_maximum", (1.0, 255.0))
        for field in ("validation_fraction", "momentum", "weight_decay", "label_smoothing", "batch_norm_momentum"):
            self._check_fraction(field, zero_allowed=field != "validation_fraction")
        if not isinstance(self.nesterov, bool):
            raise TypeError(f"`nesterov` must be a bool. Received: nesterov={self.nesterov!r}.")
        if self.optimizer != "SGD" and (self.momentum or self.nesterov):
            raise ValueError(f'`momentum` and `nesterov` are for "SGD". Received: optimizer={self.optimizer!r}.')
        if self.optimizer != "AdamW" and self.weight_decay:
            raise ValueError(f'`weight_decay` is for "AdamW". Received: optimizer={self.optimizer!r}.')
        if not isinstance(self.learning_rate, SCHEDULES):
            raise TypeError(
                "`learning_rate` must be a schedule: Cyclical, Exponential or OneCycle of kgpc.training. "
                f"Received: learning_rate={self.learning_rate!r}."
            )
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise TypeError(
                f"`augmentation` must be an Augmentation or None. Received: augmentation={self.augmentation!r}."
            )
        if not isinstance(self.name, str):
            raise TypeError(f"`name` must be a str. Received: name={self.name!r}.")
        if self.validation_views == "augmented" and self.augmentation is None:
            raise ValueError('`validation_views="augmented"` needs an `augmentation`. Received: augmentation=None.')

    def _check_choice(self, field, allowed):
        value = getattr(self, field)
        # An array, compared with anything, is no answer but an array.
        if isinstance(value, bool) or not isinstance(value, (str, numbers.Real, type(None))) or value not in allowed:
            raise ValueError(f"`{field}` must be one of {', '.join(map(repr, allowed))}. Received: {field}={value!r}.")

    def _check_fraction(self, field, zero_allowed):
        value = getattr(self, field)
        if value is None and field == "batch_norm_momentum":
            return
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"`{field}` must be a number. Received: {field}={value!r} of type {type(value).__name__}.")
        if not (0 <= value < 1 if zero_allowed else 0 < value < 1):
            raise ValueError(f"`{field}` must be in {'[' if zero_allowed else '('}0, 1). Received: {field}={value}.")
        object.__setattr__(self, field, float(value))

    def replace(self, **changes):
        """Another recipe, equal to this one but for the given fields."""
        unknown = sorted(set(changes) - {field.name for field in dataclasses.fields(self)})
        if unknown:
            raise ValueError(f"A recipe has no field {', '.join(map(repr, unknown))}. It has: {', '.join(vars(self))}.")
        return dataclasses.replace(self, **changes)

    def as_dict(self):
        """The recipe as a dict of plain values, which JSON can hold."""
        values = dataclasses.asdict(self)
        values["learning_rate"] = {"schedule": type(self.learning_rate).__name__, **values["learning_rate"]}
        return values


def check_recipe(recipe):
    """Raises TypeError if a recipe is none."""
    if not isinstance(recipe, Recipe):
        raise TypeError(f"`recipe` must be a Recipe. Received: recipe={recipe!r} of type {type(recipe).__name__}.")


QUICK = Recipe(
    name="quick",
    epochs=4,
    image_size=32,
    learning_rate=OneCycle(peak=0.004, warmup_fraction=0.2),
    batch_norm_momentum=0.8,
)
"""Few epochs at 32 x 32 pixels: the published optimizer, batch size and highest rate, without augmentation."""

# Which run stands for a data set where no label is given: the first of the network that this collection begins with
# where there is one, else the first row of the table of recipes.
_DEFAULT_LABELS = {"cifar10": "JP35B14"}

# How the published notebooks divide their images, as the table says it -> (validation_split, validation_fraction of
# the images that are not for the test).
_SPLITS = {
    "on arrays": ("first", 0.1),
    "on class folders": ("first of each class", 0.1),
    "every 10th file": ("every nth of each class", 1 / 9),
    "60/20/20": ("random of each class", 0.25),
    "65/15/20": ("random of each class", 0.1875),
    "90/10": ("random of each class", 0.1),
}


def recipe(dataset, label=None):
    """A published recipe.

    Args:
        dataset: str, data set: "CIFAR-10", "CIFAR-100", "Cropped-PlantDoc", "Oxford-IIIT Pet", "Malaria",
            "Colorectal histology" or "Plant Village". Case, spaces and punctuation do not matter.
        label: str or None, one of the published runs, such as "JP30B27"; None takes one that stands for the data set.

    Returns:
        `Recipe`. Where the published seed was for the split only, it is that one.

    Raises:
        TypeError: if an argument is not a str.
        ValueError: if there is no such data set or run; the message lists those there are.

    Example:

    >>> published = recipe("CIFAR-10")
    >>> published.batch_size, published.epochs, published.image_size, published.learning_rate.cycle_epochs
    (64, 50, 224, 25)

    Reference: `published/recipes.csv` of the data folder, whose README says what each column means.
    """
    if not isinstance(dataset, str):
        raise TypeError(f"`dataset` must be a str. Received: dataset={dataset!r} of type {type(dataset).__name__}.")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"`label` must be a str or None. Received: label={label!r} of type {type(label).__name__}.")
    rows = [row for row in _published_rows() if _plain(row["dataset"]) == _plain(dataset)]
    if not rows:
        known = ", ".join(repr(name) for name in dict.fromkeys(row["dataset"] for row in _published_rows()))
        raise ValueError(f"`dataset` must be one of {known}. Received: dataset={dataset!r}.")
    labels = list(dict.fromkeys(row["label"] for row in rows))
    if label is None:
        label = _DEFAULT_LABELS.get(_plain(dataset), labels[0])
    if label not in labels:
        raise ValueError(f"`label` must be one of {', '.join(labels)} for {dataset}. Received: label={label!r}.")
    return _recipe_of(next(row for row in rows if row["label"] == label))


def _plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


@functools.cache
def _published_rows():
    with data_path("published/recipes.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _recipe_of(row):
    """The recipe of a row of the published table."""
    split, fraction = next(value for text, value in _SPLITS.items() if text in row["validation_split"])
    if row["validation_augmented"].startswith("yes"):
        views = "augmented"
    else:
        views = "mirrored" if "4 copies" in row["validation_split"] else "plain"
    return Recipe(
        name=f"{row['dataset']} {row['label']}",
        epochs=int(row["epochs"]),
        image_size=int(row["input_size"].partition("x")[0]),
        batch_size=int(row["batch_size"]),
        optimizer=row["optimizer"],
        # The one remark that leaves a choice says which is the probable one.
        momentum=0.9 if "momentum 0.9" in row["optimizer_args"] else 0.0,
        nesterov="momentum 0.9" in row["optimizer_args"],
        learning_rate=_schedule_of(row),
        augmentation=_augmentation_of(row),
        validation_fraction=fraction,
        validation_split=split,
        validation_views=views,
        monitor=row["checkpoint_monitor"].partition(" ")[0],
        color_space="lab" if "Lab" in row["colour_space_and_range"] else "rgb",
        pixel_maximum=255.0 if "[0,255]" in row["colour_space_and_range"] else 1.0,
        class_weight="balanced" if row["class_weight"] == "balanced" else None,
        precision=row["mixed_precision"],
        seed=int(row["seed"].partition(" ")[0]),
    )


def _schedule_of(row):
    if row["lr_cycle_epochs"]:
        return Cyclical(
            base=float(row["lr_base"]),
            warmup_epochs=int(row["lr_warmup_epochs"]),
            peak=float(row["lr_peak"]),
            decay=float(row["lr_decay"]),
            cycle_epochs=int(row["lr_cycle_epochs"]),
            floor=float(row["lr_floor"] or 0),
        )
    return Exponential(base=float(row["lr_base"]), decay=float(row["lr_decay"] or 1))


def _augmentation_of(row):
    if row["augmentation_arguments_given"] == "none":
        return None
    return Augmentation(
        rotation=float(row["rotation_range"]),
        width_shift=float(row["width_shift_range"]),
        height_shift=float(row["height_shift_range"]),
        shear=float(row["shear_range"]),
        zoom=float(row["zoom_range"]),
        channel_shift=float(row["channel_shift_range"]),
        horizontal_flip=row["horizontal_flip"] == "True",
        vertical_flip=row["vertical_flip"] == "True",
    )
