"""Recipes and schedules: the published ones point by point, and what is refused."""

import dataclasses
import math

import pytest

from kgpc import paper, training
from kgpc.training import Augmentation, Cyclical, Exponential, OneCycle, Recipe

RECIPES = paper.published("recipes")
DATASETS = sorted(RECIPES["dataset"].unique())


@pytest.fixture(scope="module")
def curves():
    return paper.published("training_curves")


@pytest.mark.parametrize("label", sorted(paper.published("training_curves")["label"].unique()))
def test_the_schedule_is_the_logged_one_point_by_point(label, curves):
    curve = curves[curves["label"] == label]
    (dataset,) = curve["dataset"].unique()
    recipe = training.recipe(dataset, label)
    assert curve["epoch"].max() <= recipe.epochs
    for epoch, computed, printed in zip(
        curve["epoch"], curve["learning_rate_schedule"], curve["learning_rate_printed"], strict=True
    ):
        for share in (0, 0.5, 0.99):
            rate = recipe.learning_rate.rate(epoch - 1 + share, recipe.epochs)
            assert rate == pytest.approx(computed, abs=6e-7)  # it has six decimals
            # Some logs have four decimals, others eight.
            decimals = max(4, len(f"{printed:.8f}".rstrip("0").partition(".")[2]))
            assert math.isnan(printed) or rate == pytest.approx(printed, abs=0.51 * 10**-decimals)


@pytest.mark.parametrize("row", RECIPES.to_dict("records"), ids=lambda row: f"{row['paper']}-{row['label']}")
def test_a_recipe_has_what_its_row_says(row):
    recipe = training.recipe(row["dataset"], row["label"])
    assert recipe.name == f"{row['dataset']} {row['label']}"
    assert f"{recipe.image_size}x{recipe.image_size}" == row["input_size"]
    assert (recipe.batch_size, recipe.epochs) == (row["batch_size"], row["epochs"])
    assert recipe.optimizer == row["optimizer"]
    nesterov = any(text in row["optimizer_args"] for text in ("momentum 0.9, nesterov", "momentum 0.9 nesterov"))
    assert (recipe.momentum, recipe.nesterov) == (0.9 if nesterov else 0.0, nesterov)
    assert row["checkpoint_monitor"].startswith(recipe.monitor)
    assert recipe.precision == row["mixed_precision"]
    assert str(recipe.seed) == row["seed"].split()[0]
    assert (recipe.class_weight or "no") == row["class_weight"]
    assert ("Lab" in row["colour_space_and_range"]) == (recipe.color_space == "lab")
    assert ("[0,255]" in row["colour_space_and_range"]) == (recipe.pixel_maximum == 255)
    assert recipe.batch_norm_momentum is None and recipe.train_images is None
    if row["augmentation_arguments_given"] == "none":
        assert recipe.augmentation is None
    else:
        for ours, published in {
            "rotation": "rotation_range",
            "width_shift": "width_shift_range",
            "height_shift": "height_shift_range",
            "shear": "shear_range",
            "zoom": "zoom_range",
            "channel_shift": "channel_shift_range",
            "horizontal_flip": "horizontal_flip",
            "vertical_flip": "vertical_flip",
        }.items():
            assert getattr(recipe.augmentation, ours) == row[published]
    assert (recipe.validation_views == "augmented") == row["validation_augmented"].startswith("yes")
    assert (recipe.validation_views == "mirrored") == ("4 copies" in row["validation_split"])
    # The share of the images that are not for the test; the published numbers are whole images of each class.
    validation = int(row["validation_images"].split()[0])
    assert recipe.validation_fraction == pytest.approx(validation / (validation + row["train_images"]), abs=2e-3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_a_recipe_whatever_the_spelling(dataset):
    recipe = training.recipe(dataset)
    assert training.recipe(dataset.lower().replace(" ", "_").replace("-", "")) == recipe
    assert recipe.name.startswith(dataset)


def test_equal_labels_of_a_data_set_mean_equal_recipes():
    for (dataset, label), rows in RECIPES.groupby(["dataset", "label"]):
        recipes = {
            training.recipes._recipe_of(row)
            for row in training.recipes._published_rows()
            if (row["dataset"], row["label"]) == (dataset, label)
        }
        assert len(rows) >= len(recipes) == 1


def test_the_quick_recipe_has_the_published_optimizer_batch_and_peak():
    published, quick = training.recipe("CIFAR-10"), training.QUICK
    assert (quick.optimizer, quick.batch_size) == (published.optimizer, published.batch_size)
    assert quick.learning_rate.peak == published.learning_rate.peak
    rates = [quick.learning_rate.rate(epochs / 100, quick.epochs) for epochs in range(100 * quick.epochs + 1)]
    assert max(rates) == pytest.approx(0.004) and rates[0] == 0 and rates[-1] == pytest.approx(0)
    assert rates.index(max(rates)) == 20 * quick.epochs  # after a fifth


def test_recipes_are_values():
    assert training.recipe("CIFAR-10") == training.recipe("CIFAR-10")
    assert hash(training.QUICK) == hash(training.QUICK.replace())
    changed = training.QUICK.replace(seed=8)
    assert changed.seed == 8 and changed != training.QUICK
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.seed = 9
    assert training.QUICK.as_dict()["learning_rate"] == {"schedule": "OneCycle", "peak": 0.004, "warmup_fraction": 0.2}


@pytest.mark.parametrize(
    "error, changes, message",
    [
        (ValueError, {"epochs": 0}, "`epochs` must be at least 1. Received: epochs=0"),
        (TypeError, {"epochs": 2.5}, "`epochs` must be an integer of at least 1. Received: epochs=2.5"),
        (TypeError, {"batch_size": True}, "`batch_size` must be an integer of at least 1"),
        (ValueError, {"image_size": -3}, "`image_size` must be at least 1. Received: image_size=-3"),
        (ValueError, {"train_images": 0}, "`train_images` must be at least 1"),
        (
            ValueError,
            {"optimizer": "Adam"},
            "`optimizer` must be one of 'RMSprop', 'SGD', 'AdamW'. Received: optimizer='Adam'",
        ),
        (ValueError, {"momentum": 0.9}, '`momentum` and `nesterov` are for "SGD"'),
        (ValueError, {"optimizer": "SGD", "momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        (TypeError, {"learning_rate": 0.1}, "`learning_rate` must be a schedule.*Received: learning_rate=0.1"),
        (TypeError, {"augmentation": True}, "`augmentation` must be an Augmentation or None"),
        (ValueError, {"validation_fraction": 0}, r"`validation_fraction` must be in \(0, 1\). Received"),
        (TypeError, {"validation_fraction": "10%"}, "`validation_fraction` must be a number"),
        (ValueError, {"validation_split": "last"}, "`validation_split` must be one of 'first', .*'last'"),
        (ValueError, {"validation_views": "augmented"}, "needs an `augmentation`"),
        (ValueError, {"monitor": "accuracy"}, "`monitor` must be one of 'val_accuracy', 'val_loss', 'last'"),
        (ValueError, {"color_space": "hsv"}, "`color_space` must be one of 'rgb', 'lab'"),
        (ValueError, {"pixel_maximum": 128}, "`pixel_maximum` must be one of 1.0, 255.0"),
        (ValueError, {"class_weight": "equal"}, "`class_weight` must be one of None, 'balanced'"),
        (ValueError, {"precision": "float16"}, "`precision` must be one of 'float32', 'mixed_float16'"),
        (ValueError, {"batch_norm_momentum": 1.0}, r"`batch_norm_momentum` must be in \[0, 1\)"),
        (ValueError, {"seed": -1}, "`seed` must be at least 0. Received: seed=-1"),
        (TypeError, {"seed": "7"}, "`seed` must be an int"),
        (TypeError, {"nesterov": "yes", "optimizer": "SGD"}, "`nesterov` must be a bool"),
        (TypeError, {"name": None}, "`name` must be a str"),
        (ValueError, {"epoch": 3}, "A recipe has no field 'epoch'"),
    ],
)
def test_bad_fields_are_refused(error, changes, message):
    with pytest.raises(error, match=message):
        training.QUICK.replace(**changes)


@pytest.mark.parametrize(
    "error, make, message",
    [
        (ValueError, lambda: Cyclical(base=0), "`base` must be greater than 0. Received: base=0"),
        (ValueError, lambda: Cyclical(decay=1.5), r"`decay` must be in \(0, 1\]"),
        (ValueError, lambda: Cyclical(cycle_epochs=0), "`cycle_epochs` must be a whole number of at least 1"),
        (ValueError, lambda: Cyclical(floor=1), r"`floor` must be in \[0, peak\]"),
        (TypeError, lambda: Cyclical(floor="low"), "`floor` must be a number"),
        (TypeError, lambda: OneCycle(peak="high"), "`peak` must be a number"),
        (ValueError, lambda: OneCycle(warmup_fraction=1), r"`warmup_fraction` must be in \(0, 1\)"),
        (ValueError, lambda: OneCycle(peak=math.inf), "`peak` must be a finite number"),
        (ValueError, lambda: Exponential(0.01, decay=0), r"`decay` must be in \(0, 1\]"),
        (ValueError, lambda: Augmentation(zoom=1), r"`zoom` must be in \[0, 1\)"),
        (ValueError, lambda: Augmentation(rotation=-5), "`rotation` must be at least 0"),
        (TypeError, lambda: Augmentation(shear=None), "`shear` must be a number"),
        (TypeError, lambda: Augmentation(horizontal_flip="yes"), "`horizontal_flip` must be a bool"),
        (TypeError, lambda: Recipe(), "epochs"),
        (
            ValueError,
            lambda: training.recipe("MNIST"),
            "`dataset` must be one of 'CIFAR-10', .*Received: dataset='MNIST'",
        ),
        (TypeError, lambda: training.recipe(10), "`dataset` must be a str"),
        (ValueError, lambda: training.recipe("CIFAR-10", "JP00"), "`label` must be one of JP33B15, .*'JP00'"),
        (TypeError, lambda: training.recipe("CIFAR-10", 3), "`label` must be a str or None"),
    ],
)
def test_bad_values_are_refused(error, make, message):
    with pytest.raises(error, match=message):
        make()
