"""The data sets of the papers, by name: where they come from, how they are divided and resized."""

import dataclasses
import importlib
import re
from collections.abc import Callable

import numpy as np

from kgpc.arguments import integer, text
from kgpc.datasets import plantdoc
from kgpc.datasets.arguments import MAX_SIDE, check_choice, check_path
from kgpc.datasets.decoding import DecodedOnDemand
from kgpc.datasets.images import ImageDataset
from kgpc.datasets.splits import stratified_indices

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR100_CLASSES = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm""".split()
)


@dataclasses.dataclass(frozen=True)
class _Source:
    """How one data set is fetched and made ready.

    `fetch(source, size, folder, archive, data_dir, division)` returns images and labels of the training and the test
    part, and the class names; `shape` and `interpolation` are those of `fit`.
    """

    name: str
    fetch: Callable
    size: int = 224
    shape: str = "pad"
    interpolation: str = "nearest"
    tfds_name: str | None = None
    file_name: str | None = None
    divide: Callable | None = None


DIVISIONS = ("published", "photograph")


def load(name, image_size=None, *, folder=None, archive=None, data_dir=None, division="published"):
    """Loads a data set of the papers, divided and resized as in the published runs.

    What is not on this computer yet is downloaded: CIFAR through `keras.datasets`; Oxford-IIIT Pet, malaria, colorectal
    histology and PlantVillage through `tensorflow_datasets` (`python -m pip install "kgpc[datasets]"`);
    Cropped-PlantDoc from its repository on GitHub.

    Training + test images of each, the test part, and how images are resized:

    - "CIFAR-10" and "CIFAR-100": 50,000 + 10,000; official; nearest pixel.
    - "Oxford-IIIT Pet" (37 classes): 3,680 + 3,669; official; padded with black, nearest pixel.
    - "Cropped-PlantDoc" (29): 8,883 in all; a random fifth of each class; padded with black, nearest pixel.
    - "Malaria" (2): 24,802 + 2,756; every tenth of each class; padded with black, nearest pixel.
    - "Colorectal histology" (8): 4,496 + 504; every tenth of each class; padded with black, nearest pixel.
    - "Plant Village" (38): 54,303 in all; a random fifth of each class; nearest pixel at the centre.

    The training part includes what the published runs set aside for validation; `kgpc.training.split` divides it by the
    recipe. Two published divisions cannot be had again, because they shuffled the files in the order in which the file
    system happened to list them (Cropped-PlantDoc, PlantVillage): here the files are sorted before they are drawn with
    the published seed, 7, so every computer gets the same images, though not the published ones. The two published
    Oxford-IIIT Pet lists each lost their first image, which is not repeated here. Malaria images come without file
    names, so "every tenth" counts in the order of `tensorflow_datasets` instead of that of the names.

    The published division of Cropped-PlantDoc draws crops, not photographs: leaves of one photograph, under the same
    light and often of the same plant, are in the training part and in the test part, so accuracy there is higher than
    on new photographs. `division="photograph"` keeps all crops of a photograph on one side: of each class, photographs
    are drawn at random until at least a fifth of its crops are for testing, and one photograph or more is left for
    training. Accuracies on the two divisions cannot be compared with each other.

    Args:
        name: str, see the table. Case, spaces and punctuation do not matter.
        image_size: int in [8, 10000] or None, side of the square images in pixels. None: 32 for CIFAR, else 224.
        folder: path, for Cropped-PlantDoc only: a copy of its repository, with the folders TRAIN and TEST.
        archive: path, for Cropped-PlantDoc only: an archive (zip, tar) of its repository.
        data_dir: path, where `tensorflow_datasets` keeps its files; None for its default.
        division: "published", or for Cropped-PlantDoc "photograph": see above.

    Returns:
        `ImageDataset`. CIFAR in its own size and Cropped-PlantDoc are arrays; the others are kept as encoded files in
        memory and decoded when they are asked for (`DecodedOnDemand`).

    Raises:
        TypeError: if `name` is not a str, `image_size` not an int, or a path is none.
        ValueError: if there is no such data set, an argument does not fit it, or what was fetched is something else.
        FileNotFoundError: if `folder` or `archive` does not exist.
        ImportError: if `tensorflow_datasets` is needed and missing, or does not fit what else is installed.
        OSError: if a download fails.

    Reference: `docs/data-sets.md` of the repository has licences and citations; `published/recipes.csv` of the data
    folder says how each published run divided and resized its images.
    """
    source = _find(name)
    if image_size is None:
        image_size = source.size
    else:
        image_size = integer("image_size", image_size, 8, MAX_SIDE)
    check_choice("division", division, DIVISIONS)
    paths = {"folder": folder, "archive": archive, "data_dir": data_dir}
    for argument, value, fits in (
        ("folder", folder, source.fetch is _fetch_plantdoc),
        ("archive", archive, source.fetch is _fetch_plantdoc),
        ("data_dir", data_dir, source.tfds_name is not None),
    ):
        if value is None:
            continue
        paths[argument] = check_path(argument, value)
        if not fits:
            raise ValueError(f"{source.name} has no `{argument}`. Received: {argument}={str(value)!r}.")
    if folder is not None and archive is not None:
        raise ValueError(f"Only one of `folder` and `archive` can be given. Received: {folder!r} and {archive!r}.")
    title = source.name
    if division == "photograph":
        if source.fetch is not _fetch_plantdoc:
            raise ValueError(f"{source.name} has only the published division. Received: division={division!r}.")
        title = f"{source.name} by photograph"
    (x_train, y_train), (x_test, y_test), class_names = source.fetch(source, image_size, division=division, **paths)
    return ImageDataset(title, x_train, y_train, x_test, y_test, tuple(class_names))


def names():
    """The names that `load` knows, as a tuple of str."""
    return tuple(source.name for source in _SOURCES)


def _plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


def _find(name):
    text("name", name)
    for source in _SOURCES:
        if _plain(source.name) == _plain(name):
            return source
    raise ValueError(f"`name` must be one of {', '.join(map(repr, names()))}. Received: name={name!r}.")


def _fetch_cifar(source, image_size, **_):
    # Imported here, because importing Keras takes seconds and the shipped data do not need it.
    import keras

    module, class_names = {
        "CIFAR-10": (keras.datasets.cifar10, CIFAR10_CLASSES),
        "CIFAR-100": (keras.datasets.cifar100, CIFAR100_CLASSES),
    }[source.name]
    try:
        parts = module.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise OSError(
            f"{source.name} could not be loaded with keras.datasets: {error}. It needs a network the first time; if "
            "its file in the folder datasets of Keras' cache is damaged, delete it."
        ) from error
    images = [images for images, _ in parts]
    labels = [labels.ravel().astype(np.int64) for _, labels in parts]
    for part, count in zip(images, (50_000, 10_000), strict=True):
        if part.shape != (count, 32, 32, 3) or part.dtype != np.uint8:
            raise ValueError(
                f"keras.datasets gave something else than {source.name}: {part.dtype} of shape {part.shape}, expected "
                f"uint8 of ({count}, 32, 32, 3)."
            )
    if image_size != 32:
        images = [DecodedOnDemand(part, image_size, source.shape, source.interpolation) for part in images]
    return (images[0], labels[0]), (images[1], labels[1]), class_names


def _fetch_plantdoc(source, image_size, *, folder, archive, division, **_):
    crops, labels, photographs, class_names = plantdoc.load_crops(
        image_size, source.shape, source.interpolation, folder=folder, archive=archive
    )
    train, test = _fifth_of_photographs(labels, photographs) if division == "photograph" else source.divide(labels)
    return (crops[train], labels[train]), (crops[test], labels[test]), class_names


def _import_tfds(name):
    """`tensorflow_datasets`, or an ImportError that says what to install."""
    try:
        # tensorflow_datasets imports the former when it loads something, without naming it among what it needs.
        import importlib_resources  # noqa: F401
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f'{name} needs tensorflow_datasets: python -m pip install "kgpc[datasets]" ({error}).'
        ) from error
    if not hasattr(tensorflow_datasets, "load"):
        # It logs what stops its import and goes on without its functions.
        reason = "it has no function load"
        try:
            importlib.import_module("tensorflow_datasets.public_api")
        except Exception as error:  # of whatever it imports
            reason = f"{type(error).__name__}: {error}"
        raise ImportError(
            f"{name} needs tensorflow_datasets, whose installation is not usable ({reason}). With TensorFlow 2.18 and "
            '2.19, whose protobuf is older than 6: python -m pip install "tensorflow-metadata<1.21"'
        )
    return tensorflow_datasets


def _fetch_tfds(source, image_size, *, data_dir, **_):
    tensorflow_datasets = _import_tfds(source.name)
    wanted = {key: True for key in ("image", "label", source.file_name) if key is not None}
    # Encoded images take a tenth of the memory.
    decoders = tensorflow_datasets.decode.PartialDecoding(
        wanted, decoders={"image": tensorflow_datasets.decode.SkipDecoding()}
    )
    parts = []
    for split in ("train", "test") if source.divide is None else ("train",):
        try:
            data, info = tensorflow_datasets.load(
                source.tfds_name,
                split=split,
                data_dir=None if data_dir is None else str(data_dir),
                decoders=decoders,
                shuffle_files=False,
                # One file after the other: the order is that of the files on every computer.
                read_config=tensorflow_datasets.ReadConfig(interleave_cycle_length=1),
                with_info=True,
            )
            examples = list(tensorflow_datasets.as_numpy(data))
        except Exception as error:  # Downloading and preparing fail in many ways.
            raise OSError(f"{source.name} could not be loaded with tensorflow_datasets: {error}.") from error
        if source.file_name is not None:
            examples.sort(key=lambda example: example[source.file_name])
        labels = np.array([example["label"] for example in examples], np.int64)
        encoded = [example["image"] for example in examples]
        titles = [f"image {number} of {source.name} ({split})" for number in range(len(encoded))]
        parts.append((DecodedOnDemand(encoded, image_size, source.shape, source.interpolation, titles), labels))
    class_names = info.features["label"].names
    if source.divide is not None:
        images, labels = parts[0]
        parts = [(images.take(part), labels[part]) for part in source.divide(labels)]
    return *parts, class_names


def _every_tenth(labels):
    """The published division of malaria and colorectal histology.

    Of each class every tenth image, from the first, is for validation, and every ninth of the rest for testing: those
    are the second, twelfth and so on. Every ninth of what is left, from the first, are the validation images again.
    """
    test = np.sort(np.concatenate([np.flatnonzero(labels == label)[1::10] for label in np.unique(labels)]))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _random_fifth(labels):
    """A fifth of each class at random, rounded up, with the seed of the published runs."""
    per_class = {
        label: count - int(0.8 * count) for label, count in enumerate(np.bincount(labels).tolist()) if count > 0
    }
    test = stratified_indices(labels, per_class, seed=7)
    return np.setdiff1d(np.arange(len(labels)), test), test


def _fifth_of_photographs(labels, photographs):
    """About a fifth of each class at random, all crops of a photograph on the same side.

    A photograph counts for the class of most of its crops, the first of them where several are equal.
    """
    generator = np.random.RandomState(7)  # its stream is frozen, that of `default_rng` may change
    members = {}
    for number in np.unique(photographs):
        members.setdefault(np.bincount(labels[photographs == number]).argmax(), []).append(number)
    chosen = []
    for label in sorted(members):
        order = generator.permutation(members[label])
        counts = np.array([np.count_nonzero(labels[photographs == number] == label) for number in order])
        # As many as reach a fifth, but not all.
        enough = np.searchsorted(np.cumsum(counts), 0.2 * counts.sum()) + 1
        chosen += order[: min(enough, len(order) - 1)].tolist()
    test = np.flatnonzero(np.isin(photographs, chosen))
    return np.setdiff1d(np.arange(len(labels)), test), test


_SOURCES = (
    _Source("CIFAR-10", _fetch_cifar, size=32),
    _Source("CIFAR-100", _fetch_cifar, size=32),
    _Source("Oxford-IIIT Pet", _fetch_tfds, tfds_name="oxford_iiit_pet", file_name="file_name"),
    _Source("Cropped-PlantDoc", _fetch_plantdoc, divide=_random_fifth),
    _Source("Malaria", _fetch_tfds, tfds_name="malaria", divide=_every_tenth),
    _Source(
        "Colorectal histology",
        _fetch_tfds,
        tfds_name="colorectal_histology",
        file_name="filename",
        divide=_every_tenth,
    ),
    _Source(
        "Plant Village",
        _fetch_tfds,
        shape="stretch",
        interpolation="nearest_center",
        tfds_name="plant_village",
        file_name="image/filename",
        divide=_random_fifth,
    ),
)
