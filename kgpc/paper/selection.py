"""Which trainings a rerun of the tables consists of: rows of the published tables, or small stand-ins for them.

In the profile "paper" a run is a published row, with its data set and its recipe. In the profile "quick" it is one of
four variants of a family (the ordinary network, 32 and 16 channels per group, and a control: the ordinary network made
so narrow that it has as many parameters as 16ch), on small grey images and for a few epochs, so that a processor can
train all of them.
"""

import dataclasses
import functools
import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kgpc import datasets, training
from kgpc.grouping import D6
from kgpc.paper import protocol
from kgpc.paper.models import arguments_of
from kgpc.paper.run import Run, plain
from kgpc.paper.tables import published

PROFILES = ("quick", "paper")  # of `runs`
FIRST_PAPER = "grouped-pointwise-2022"
QUICK_SEEDS = (1, 2, 3)
QUICK_TEST_IMAGES = 2000


class QuickFamily(NamedTuple):
    """How the variants of a family are trained in the quick profile.

    Attributes:
        family: str, the ordinary network, as in the published tables.
        constructor: str, name in `kgpc.applications`.
        options: dict, arguments that all variants share.
        narrow: dict, arguments that make the ordinary network as small as the one with 16 channels per group.
        recipe: changes of `QUICK_RECIPE`.
    """

    family: str
    constructor: str
    options: dict
    narrow: dict
    recipe: dict


# What all quick runs share: optimizer and batch size are the published ones, and the highest learning rate is the
# published rate of the first epoch, which alone has seven times as many steps. No test image had a say in it.
QUICK_RECIPE = training.QUICK.replace(
    name="quick rerun",
    train_images=1600,
    epochs=3,
    learning_rate=training.OneCycle(peak=0.001, warmup_fraction=0.2),
    batch_norm_momentum=0.8,
    validation_fraction=0.01,
)

QUICK_FAMILIES = (
    QuickFamily("MobileNet", "kMobileNet", {}, {"alpha": 0.268}, {}),
    QuickFamily("MobileNet V3 Large", "kMobileNetV3Large", {}, {"alpha": 0.1875}, {}),
    QuickFamily("EfficientNet-B0", "kEfficientNetB0", {}, {"width": 0.3875}, {}),
    QuickFamily(
        "DenseNet-BC L40",
        "kDenseNetBC",
        {"depth": 40},
        {"growth_rate": 11, "bottleneck": 38},
        {"train_images": 960},
    ),
    QuickFamily("Inception V3", "kInceptionV3", {}, {"alpha": 0.8297}, {"image_size": 75, "train_images": 960}),
)


def runs(profile="quick", rows=None, models=None, schemes=None, datasets=None, seeds=None, **changes):
    """Selects the trainings of a rerun. A run is selected if it fits all filters that are given.

    Args:
        profile: "quick" or "paper".
        rows: labels of published runs ("JP35B14"), a str or several; None for all.
        models: models as in the tables ("kMobileNet"), or families ("MobileNet"); None for all.
        schemes: schemes such as "D6(16)", "16ch" for all schemes with that many channels per group, or "none" for
            networks without; None for all.
        datasets: data sets ("CIFAR-10"); None for all.
        seeds: ints; None for 1, 2, 3 in the quick profile and for the published seed in the paper profile.
        changes: fields of the recipe that are to differ from the profile's, such as `epochs=2`.

    Returns:
        List of `Run`, all of one seed before those of the next one.

    Raises:
        TypeError: if a filter is no text, or a seed no int.
        ValueError: if there is no such profile, nothing is selected, a filter fits nothing, or a change is no field of
            a recipe; the message lists what there is.

    Example:

    >>> [run.model for run in runs(rows="JP35B14", seeds=[1])]
    ['MobileNet', 'kMobileNet 32ch', 'kMobileNet 16ch', 'narrow MobileNet']
    """
    if profile not in PROFILES:
        raise ValueError(f'`profile` must be "quick" or "paper". Received: profile={profile!r}.')
    if "seed" in changes:
        raise ValueError(f"`seed` cannot be a change: say `seeds`. Received: seed={changes['seed']!r}.")
    # Numbers of NumPy become Python's, which the files of a run can hold.
    changes = {name: value.item() if isinstance(value, np.generic) else value for name, value in changes.items()}
    seeds = _seeds(seeds, profile)
    candidates = _quick_runs() if profile == "quick" else _published_runs()
    filters = {
        "rows": (rows, _labels),
        "models": (models, lambda run: (run.model, run.family, run.model.rpartition(" ")[0])),
        "schemes": (schemes, _scheme_names),
        "datasets": (datasets, lambda run: (run.dataset,)),
    }
    for name, (wanted, names_of) in filters.items():
        candidates = _filtered(candidates, name, wanted, names_of)
    if not candidates:
        raise ValueError("No run fits all of these filters; each of them alone fits some.")
    return [
        dataclasses.replace(run, recipe=run.recipe.replace(**changes, **({} if seed is None else {"seed": seed})))
        for seed in seeds
        for run in candidates
    ]


def listing(selected):
    """What is selected, to look at.

    Args:
        selected: list of `Run`.

    Returns:
        `pandas.DataFrame`, one row for each run: `row` (label), `model`, `scheme`, `dataset`, `image_size`, `epochs`,
        `seed`, `name` (of its folder).

    Raises:
        TypeError: if `selected` is something else.
    """
    if not isinstance(selected, (list, tuple)) or not all(isinstance(run, Run) for run in selected):
        raise TypeError(f"`selected` must be a list of Run, as `runs` returns it. Received: selected={selected!r}.")
    columns = {
        "row": lambda run: run.label,
        "model": lambda run: run.model,
        "scheme": lambda run: run.scheme,
        "dataset": lambda run: run.dataset,
        "image_size": lambda run: run.recipe.image_size,
        "epochs": lambda run: run.recipe.epochs,
        "seed": lambda run: run.recipe.seed,
        "name": lambda run: run.name,
    }
    return pd.DataFrame({title: [value(run) for run in selected] for title, value in columns.items()})


def _labels(run):
    """Labels that select a run: in the quick profile those of all published runs of the family."""
    if run.profile == "paper":
        return (run.label,)
    return tuple(dict.fromkeys(other.label for other in _quick_runs() if other.family == run.family))


def _scheme_names(run):
    scheme = run.arguments.get("scheme")
    return ("none",) if scheme is None else (str(scheme), f"{scheme.channels_per_group}ch")


def _filtered(candidates, name, wanted, names_of):
    """The runs that one of the wanted names fits; case, spaces and punctuation do not matter."""
    if wanted is None:
        return candidates
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(wanted, (list, tuple, set)) or not all(isinstance(text, str) for text in wanted):
        raise TypeError(f"`{name}` must be a str or several of them. Received: {name}={wanted!r}.")
    known = {plain(text): text for run in _all_runs(candidates) for text in names_of(run) if text}
    unknown = [text for text in wanted if plain(text) not in known]
    if unknown or not wanted:
        raise ValueError(
            f"`{name}` must be among {', '.join(dict.fromkeys(known.values()))}. Received: {name}={wanted}."
        )
    chosen = {plain(text) for text in wanted}
    return [run for run in candidates if chosen & {plain(text) for text in names_of(run)}]


def _all_runs(candidates):
    """All runs of the profile, for the list of known names: earlier filters do not make a name unknown."""
    if not candidates:
        return _quick_runs() + _published_runs()
    return _quick_runs() if candidates[0].profile == "quick" else _published_runs()


def _seeds(seeds, profile):
    if seeds is None:
        return QUICK_SEEDS if profile == "quick" else (None,)
    if isinstance(seeds, numbers.Integral):
        seeds = [seeds]
    if isinstance(seeds, (str, bytes, dict)) or not isinstance(seeds, Iterable):
        raise TypeError(f"`seeds` must be an int or several. Received: seeds={seeds!r} of type {type(seeds).__name__}.")
    seeds = list(seeds)
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
            raise TypeError(f"`seeds` must be an int or several. Received: seeds={seeds!r}.")
        if not 0 <= seed < 2**32:
            raise ValueError(f"`seeds` must be in [0, 2**32). Received: seeds={seeds!r}.")
    if not seeds:
        raise ValueError(f"`seeds` must be one int or more. Received: seeds={seeds}.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` must be different ones. Received: seeds={seeds}.")
    return [int(seed) for seed in seeds]


def _quick_runs():
    dataset = "Fashion-MNIST" if _has_fashion_mnist() else "Fashion-MNIST sample"
    recipe = QUICK_RECIPE if _has_fashion_mnist() else QUICK_RECIPE.replace(validation_fraction=0.1)
    selected = []
    for row in QUICK_FAMILIES:
        grouped = "k" + row.family.replace("EfficientNet", "EffNet")
        variants = {
            row.family: ("baseline", {"scheme": None}),
            f"{grouped} 32ch": ("grouped", {"scheme": D6(32)}),
            f"{grouped} 16ch": ("grouped", {"scheme": D6(16)}),
            f"narrow {row.family}": ("narrow", {"scheme": None, **row.narrow}),
        }
        for model, (variant, arguments) in variants.items():
            selected.append(
                Run(
                    profile="quick",
                    family=row.family,
                    model=model,
                    variant=variant,
                    label=_published_label(model, arguments["scheme"]),
                    dataset=dataset,
                    constructor=row.constructor,
                    arguments={**row.options, **arguments},
                    recipe=recipe.replace(**row.recipe),
                    test_images=QUICK_TEST_IMAGES,
                )
            )
    return selected


@functools.cache
def _published_label(model, scheme):
    """Label of the published run that a model of the quick profile stands for, "" if there is none."""
    rows = published()
    rows = rows[(rows["paper"] == FIRST_PAPER) & (rows["dataset"] == "CIFAR-10")]
    rows = rows[rows["model"].eq(model if scheme is None else model.rpartition(" ")[0])]
    # Where it was published with several image sizes, the larger one comes first.
    labels = rows["label"][rows.apply(scheme_text, axis=1) == str(scheme or "")]
    return labels.iloc[0] if len(labels) else ""


def scheme_text(row):
    """Scheme of a published row as `str` writes it, such as "D6(16)"; "" without one."""
    return "" if row["scheme"] == "none" else f"{row['scheme']}({row['channels_per_group']})"


def run_of(row):
    """The training that a row of `published("results")` is the result of.

    Several rows can be results of the same training: some stand in both papers, or test it in another way.

    Args:
        row: `pandas.Series`.

    Returns:
        `Run` with the published recipe and seed; `mirrored_test` says how this row tests.
    """
    constructor, arguments = arguments_of(row)
    del arguments["input_shape"], arguments["classes"]
    return Run(
        profile="paper",
        family=row["model"].removeprefix("k").replace("EffNet", "EfficientNet"),
        model=row["model"],
        variant="baseline" if row["scheme"] == "none" else "grouped",
        label=row["label"],
        dataset=row["dataset"],
        constructor=constructor,
        arguments=arguments,
        recipe=training.recipe(row["dataset"], row["label"]),
        mirrored_test=bool(row["horizontal_flip_test"]),
    )


def _published_runs():
    selected = {}
    for _, row in published().iterrows():
        run = run_of(row)
        known = selected.get(run.name, run)
        selected[run.name] = dataclasses.replace(run, mirrored_test=run.mirrored_test or known.mirrored_test)
    return list(selected.values())


def _has_fashion_mnist():
    """Whether all of Fashion-MNIST is on this computer, so that nothing has to be downloaded."""
    home = os.environ.get("KERAS_HOME") or Path(os.path.expanduser("~"), ".keras")  # there may be no home at all
    cache = Path(home) / "datasets" / "fashion-mnist"
    return datasets.DEBIAN_FASHION_MNIST.is_dir() or cache.is_dir()


def load_dataset(name, image_size, images=None):
    """Loads the images of a run.

    Args:
        name: str, a data set of the published tables, "Fashion-MNIST" or "Fashion-MNIST sample".
        image_size: int, side of the images in pixels.
        images: path or None; a folder with `train/<class>/` and `test/<class>/`, whose images of 32x32 pixels are taken
            whatever the name is.

    Returns:
        `kgpc.datasets.ImageDataset`.

    Raises:
        OSError: if the data set has to be fetched and cannot be.
        ValueError: if there is no such data set, or nobody can fetch it and `images` is None.
    """
    if name == protocol.COPIES and images is None:
        raise ValueError(
            f"`images` must be a folder with train/CLASS/ and test/CLASS/ for {name}, which cannot be fetched. "
            "Received: images=None."
        )
    if images is not None:
        folder = Path(images)
        return datasets.image_folder(folder / "train", image_size=32, test_path=folder / "test", name=name)
    if name == "Fashion-MNIST":
        return datasets.fashion_mnist()
    if name == "Fashion-MNIST sample":
        return datasets.fashion_mnist_sample()
    return datasets.load(name, image_size=image_size)
