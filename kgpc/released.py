"""The checkpoints that the authors of the papers released: which there are, which one fits a model, and fetching it.

A file is downloaded once, into the cache folder of Keras, and its content is compared with the published one every time
it is asked for. Nothing here builds or fills a model: `kgpc.weights` does that.
"""

import csv
import dataclasses
import functools
import hashlib
import pathlib
import re
import urllib.parse
import warnings

import keras

from kgpc.arguments import received
from kgpc.resources import data_path

FILE_URL = "https://github.com/joaopauloschuler/{repository}/raw/{revision}/{path}"
# The commits in which the files were read. Only these abbreviations are known; GitHub resolves them. What is loaded
# does not rest on that: every file is compared with its git blob id.
COMMITS = {
    "kEffNetV1": "a74ebf0",
    "kEffNetV2": "b8bc1fa",
    "two-branch-plant-disease": "7f3d85f",
    "two-path-noise-lab-plant-disease": "4170d78",
}
# Short names of the datasets, for `weights="cifar10"`.
DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "plantdoc": "Cropped-PlantDoc",
    "pets": "Oxford-IIIT-Pet",
    "colorectal": "Colorectal histology",
    "malaria": "Malaria",
    "plant_village": "Plant Village",
}
# Files of the papers on light and chroma branches: how a file name begins -> the experiment whose recipe describes it.
# The notebook of JP27B14 was not published; the one of JP27B13 trains the same models.
_TWO_BRANCH_RECIPES = {
    "Yosuke-Baseline-V4": "JP24B01",
    "two-path-inception-v6": "two-path-inception-v6",
    "JP27B14": "JP27B13",
}
# Arguments that leave no trace in the shapes of the weights. The older runs came from older code.
_DENSENET_ARGUMENTS = {
    "JP33B15": {"activation": "relu", "interleave_transitions": False, "relu_before_3x3": True},
    "JP33B25": {"activation": "swish", "interleave_transitions": True, "relu_before_3x3": False},
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run whose weights the authors released.

    Attributes:
        label: str, the authors' name of the experiment; files of one experiment differ in scheme or arguments.
        family: str, the model as the published tables call it, for example "kEffNet-B0".
        scheme: str, its scheme, for example "D6(16)", or "None".
        arguments: dict, other arguments of the model that the run was trained with, by the names they have here.
        dataset: str, what it was trained on.
        classes: int, number of classes.
        epochs: int, epochs of training.
        image_size: str, size of the training images in pixels, for example "224x224".
        images: str, the values of the images it was trained on, for example "RGB, [0,1]".
        repository: str, name of the GitHub repository.
        path: str, path of the file in the repository.
        blob_id: str, git's id of the content of the file: 40 hexadecimal digits.
    """

    label: str
    family: str
    scheme: str
    arguments: dict
    dataset: str
    classes: int
    epochs: int
    image_size: str
    images: str
    repository: str
    path: str
    blob_id: str

    def __str__(self):
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return (
            f"{self.label!r} ({self.dataset}, {self.classes} classes, {self.epochs} epochs at {self.image_size}, "
            f"images {self.images.partition(' (')[0]}): {self.family}, scheme={self.scheme}{arguments}"
        )


def _rows(table):
    with open(data_path(f"published/{table}.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def runs():
    """All released checkpoints.

    Returns:
        Tuple of `Run`; a file that lies in two repositories appears once.

    Raises:
        FileNotFoundError: if the published tables are missing.
    """
    recipes = {row["label"]: row for row in _rows("recipes")}
    found = {}
    for row in _rows("released_weights"):
        recipe = recipes[row["label"]]
        if "DenseNet" not in row["model"]:
            arguments = {"skip_stride_cnt": int(recipe["skip_stride_cnt"] or -1)}
        else:
            arguments = {} if row["scheme"] == "none" else _DENSENET_ARGUMENTS[row["label"]]
        run = _run(row, recipe, row["label"], family=row["model"], scheme=_scheme_name(row), arguments=arguments)
        found.setdefault(run.blob_id, run)
    for row in _rows("two_branch_released_weights"):
        file_name = pathlib.PurePosixPath(row["path"]).name
        label = next(label for label in _TWO_BRANCH_RECIPES if file_name.startswith(label))
        recipe = recipes[_TWO_BRANCH_RECIPES[label]]
        arguments = _two_branch_arguments(row)
        run = _run(row, recipe, label, family="kInception V3", scheme="None", arguments=arguments)
        found.setdefault(run.blob_id, run)
    return tuple(found.values())


def _run(row, recipe, label, **distinctions):
    return Run(
        label=label,
        dataset=row["dataset"],
        classes=int(recipe["classes"]),
        epochs=int(recipe["epochs"]),
        image_size=recipe["input_size"],
        images=recipe["colour_space_and_range"],
        repository=row["repo"],
        path=row["path"],
        blob_id=row["git_blob_sha1"],
        **distinctions,
    )


def _scheme_name(row):
    """The text of the scheme that a row of the published table has."""
    name = {"none": "None", "grouped-only": "Grouped"}.get(row["scheme"], row["scheme"])
    return f"{name}({row['channels_per_group']})" if row["channels_per_group"] else name


def _two_branch_arguments(row):
    """Arguments of a model of the papers on light and chroma branches; a single branch has no ratios."""
    arguments = {"max_mix_idx": int(row["max_mix_idx"]), "two_paths_first_block": row["model"].startswith("two-branch")}
    if arguments["two_paths_first_block"]:
        light = float(row["l_ratio"])
        arguments |= {"l_ratio": light, "ab_ratio": round(1 - light, 2)}
    return arguments


def _key(name):
    """Names are compared without regard to case, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _differing(run, arguments):
    """The arguments in which a model differs from a run, as text; only those that both have are compared."""

    def value_of(name, value):
        return keras.activations.get(value) if name == "activation" else value

    return [
        f"{name}={value!r}"
        for name, value in run.arguments.items()
        if name in arguments and value_of(name, arguments[name]) != value_of(name, value)
    ]


def is_name(name):
    """Whether a text is the name of released weights: a dataset or the label of a run."""
    labels = {_key(run.label) for run in runs()}
    return _key(name) in labels | {_key(text) for pair in DATASETS.items() for text in pair}


def find(name, family, *, scheme=None, arguments=None, classes=None):
    """Finds the released checkpoint that a name stands for, given the model that it is for.

    Args:
        name: str, a dataset (one of `DATASETS`, such as "cifar10") or the label of a run (such as "JP30I02j"). A
            dataset stands for the run that has all `arguments` of the model; where several have, for the one with the
            fewest epochs (50 on CIFAR-10).
        family: str, the model as the published tables call it, for example "kEffNet-B0".
        scheme: scheme of the model, or None.
        arguments: dict or None, other arguments of the model that tell runs apart, such as `skip_stride_cnt`.
        classes: int, number of classes of the model; None where it has no classifier.

    Returns:
        A `Run`. Where the run that a label names was trained with other `arguments`, a warning says so.

    Raises:
        TypeError: if `name` is not a str, or `arguments` not a dict.
        ValueError: if there is none; the message lists those there are. Also if `classes` is not that of the run.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str. Received: name={name!r} ({type(name).__name__}).")
    if arguments is not None and not isinstance(arguments, dict):
        raise TypeError(f"`arguments` must be a dict or None. {received('arguments', arguments)}")
    arguments = dict(arguments or {})
    of_family = [run for run in runs() if run.family == family]
    of_scheme = [run for run in of_family if run.scheme == str(scheme)]
    dataset = {_key(short): long for short, long in DATASETS.items()}.get(_key(name), name)
    labelled = [run for run in of_scheme if _key(run.label) == _key(name)]
    named = labelled or [run for run in of_scheme if _key(run.dataset) == _key(dataset)]
    found = [run for run in named if not _differing(run, arguments)]
    if not found and len(labelled) == 1:
        found = labelled
        warnings.warn(
            f"The released weights {name!r} were trained with {', '.join(_differing(labelled[0], arguments))}. "
            "This model differs, so it will not predict as published.",
            stacklevel=2,
        )
    if not found:
        # Only what tells runs apart.
        known = {key for run in of_family for key in run.arguments}
        shown = (f", {key}={value!r}" for key, value in arguments.items() if key in known or not of_family)
        model = "".join([f"{family}, scheme={scheme}", *shown])
        elsewhere = [run for run in of_family if _key(run.label) == _key(name) or _key(run.dataset) == _key(dataset)]
        raise ValueError(_choices(name, model, named or elsewhere or of_scheme or of_family))
    run = min(found, key=lambda run: run.epochs)
    if classes not in (None, run.classes):
        raise ValueError(
            f"`classes` must be {run.classes} for weights={name!r}, trained on {run.dataset}. "
            f"Received: classes={classes}."
        )
    return run


def _choices(name, model, candidates):
    start = f"No released weights of this name fit the model. Received: weights={name!r} for {model}."
    if not candidates:
        return f"{start} None of this family were released."
    datasets = ", ".join(repr(short) for short, long in DATASETS.items() if long in {run.dataset for run in candidates})
    lines = [f"{start} Allowed is the label or the dataset ({datasets}) of a run with the arguments of the model:"]
    return "\n  ".join(lines + [str(run) for run in candidates])


def git_blob_id(path):
    """Git's id of the content of a file.

    Args:
        path: path of the file.

    Returns:
        str, 40 hexadecimal digits: the SHA-1 of "blob <size in bytes>", a zero byte and the content.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    content = pathlib.Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def fetch(run):
    """Downloads a released checkpoint, unless it is in Keras' cache already, and checks its content in either case.

    Args:
        run: a `Run`.

    Returns:
        `pathlib.Path` of the file, in `models/kgpc` of Keras' cache folder.

    Raises:
        OSError: if it cannot be downloaded.
        ValueError: if the content is not the published one; the file is then removed from the cache.
    """
    path = _cached(run)
    blob_id = git_blob_id(path)
    if blob_id != run.blob_id:
        path.unlink()
        raise ValueError(
            f"The file of the released weights {run.label!r} is not the published one: its git blob id is {blob_id}, "
            f"it must be {run.blob_id}. It was removed from the cache ({path}); the next call downloads it anew."
        )
    return path


def _cached(run):
    """Path of the file in the cache, downloaded where it was not there."""
    problems = []
    # The default branch is a second chance: whatever it holds by now, only the published content is accepted.
    for revision in (COMMITS[run.repository], "HEAD"):
        url = FILE_URL.format(repository=run.repository, revision=revision, path=urllib.parse.quote(run.path))
        try:
            file_name = pathlib.PurePosixPath(run.path).name
            return pathlib.Path(keras.utils.get_file(file_name, origin=url, cache_subdir="models/kgpc"))
        except Exception as error:  # Keras has no narrower class for a failed download.
            problems.append(str(error))
    raise OSError(
        f"The released weights {run.label!r} could not be downloaded. Where the file can be had another way, pass its "
        f"path as `weights`. {'; '.join(problems)}."
    )
