# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Your own images
#
# **From a folder of pictures to a network that names them: from a network that has learned already, and from scratch.**
#
# After this page you can
#
# - load a folder of your own images, one sub-folder for each class, and see whether it is fit for training;
# - begin with a network that has learned other classes, its body frozen or not, and compare that fairly with one from
#   scratch;
# - say what more images would bring, and what to do where one class has many and another few;
# - look at mistakes by their file names, and at what the network looked at; save it, and use it on one picture.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or at least an idea of what a training is. No GPU, no download, and
# no pictures: in the quick profile this page makes a small folder from photographs that come with kgpc.
# **Running time:** a minute or two on two CPU cores in the quick profile. To use your own pictures, set `FOLDER` below.
# The paper profile trains at 224×224 pixels and wants a GPU; without `FOLDER` it takes Oxford-IIIT Pet (774 MB).
#
# **Status:** the quick profile runs with every change of kgpc. The paper profile has *never* been run as a whole: it
# downloads ([what was not run](../docs/not-run-here.md)).

# %% tags=["parameters"]
PROFILE = "quick"  # @param ["quick", "paper"]
FOLDER = ""  # @param {type: "string"} path of your own folder of images
PICTURE = ""  # @param {type: "string"} path of a picture that is not in it, for the end
DRIVE_FOLDER = "kgpc"  # @param {type: "string"} folder of your Drive; "" uses none

# %% [markdown]
# On Colab, pictures and results have to lie on Google Drive, or they vanish with the runtime; a folder of yours there
# is `FOLDER = "/content/drive/MyDrive/flowers"`. [Notebook 07](07_train_on_colab_gpu.ipynb), section 1, says what the
# next cell does, and what to do after a lost runtime: run all cells again.

# %%
import importlib.util
import shutil
from pathlib import Path

found = importlib.util.find_spec
in_colab = found("google") and found("google.colab")
drive_folder = None
if in_colab and DRIVE_FOLDER:
    from google.colab import drive

    drive.mount("/content/drive")
    drive_folder = Path("/content/drive/MyDrive") / DRIVE_FOLDER
    drive_folder.mkdir(parents=True, exist_ok=True)
    for wheel in drive_folder.glob("kgpc-*.whl"):
        shutil.copy(wheel, Path.cwd())
    names = sorted(path.name for path in drive_folder.iterdir())
    print("On Drive:", ", ".join(names) or f"nothing in {DRIVE_FOLDER!r} yet")
else:
    print("No Drive: all files stay beside this notebook.")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Setup (the same in every notebook: installs kgpc where it is missing) {display-mode: "form"}
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # fewer start-up messages from TensorFlow
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # its faster routines, which some processors must be asked for
REPOSITORY = ""  # where kgpc can be cloned from; empty while it has no public address
if importlib.util.find_spec("kgpc") is None:
    from packaging.version import VERSION_PATTERN, Version

    wheel = re.compile(rf"kgpc-({VERSION_PATTERN})-py3-none-any\.whl", re.VERBOSE | re.IGNORECASE)
    names = sorted(path.name for path in Path().glob("kgpc-*.whl"))
    versions = {name: Version(match[1]) for name in names if (match := wheel.fullmatch(name))}
    renamed = [name for name in names if name not in versions]
    advice = f"Passed over: {', '.join(renamed)}. pip takes a wheel only by its own name, without ' (1)' and the like."
    if renamed:
        print(advice)
    source = max(versions, key=versions.get) if versions else REPOSITORY and f"git+{REPOSITORY}"
    if not source:
        raise ModuleNotFoundError(
            "kgpc is not installed, and no kgpc-*.whl lies beside this notebook. In a clone of the "
            "repository, `python3 start.py lab` opens the notebooks with all that they need."
            + (f" {advice}" if renamed else "")
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
    importlib.invalidate_caches()

# %%
import dataclasses
import warnings

import cv2
import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, cam, comparison, datasets, exercises, plots, training
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper", not {PROFILE!r}.')
if drive_folder:
    results = drive_folder / "results" / "13_your_own_images"
else:
    results = Path(os.environ.get("KGPC_RESULTS", "results")) / "13_your_own_images"
results.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. A network that has learned already
#
# A few hundred images are little to learn edges, textures and shapes from. Another network may know them already, even
# if its classes are others. **Fine-tuning** takes over the weights of its body and trains on. So the first question is:
# which network do we begin with?
#
# - The quick profile begins with a kMobileNet that **comes along** with kgpc. It has learned ten classes, vehicles and
#   animals, from JPEG copies of the small photographs of CIFAR-10, in the run of
#   [our experiment](../docs/does-it-hold.md) that is on its *card*. `kgpc.included.cards()` lists all that come along.
#   One of them went on for 3 epochs at 97×97 pixels, on the same images enlarged: with
#   `kmobilenet_16ch_cifar10_copies_97px` as `START` this page begins with that one, and shows it your images at that
#   size. They are sharper than what it learned from, which fine-tuning has to bridge; whether that is better was not
#   measured. Nine times as many pixels take about nine times as long.
# - The paper profile begins with the **authors' released weights** for CIFAR-10.
#
# **We know of no ImageNet weights of the papers' grouped networks.** (Other grouped architectures, such as ResNeXt and
# ShuffleNet, have some.) For ordinary networks there are such weights, and they are the usual starting point. Section 4
# therefore sets an ordinary MobileNet with ImageNet weights beside ours where it can be downloaded. [Notebook
# 14](14_group_your_own_model.ipynb) goes the other way: from an ordinary trained network to its grouped twin.

# %% tags=["nbval-ignore-output"]
START = "kmobilenet_16ch_cifar10_copies"  # @param {type:"string"}
card = kgpc.included.find(START)
network = {"scheme": D6(16)}
if PROFILE == "paper":
    IMAGE_SIZE = 224
    print("It begins with the authors' released weights for CIFAR-10.")
else:
    IMAGE_SIZE = int(card.image_size.partition("x")[0])
    network |= card.arguments
    print(f"{card.family} {card.scheme}, {card.dataset}, {card.epochs} epochs:")
    print(f"{card.test_accuracy:.1%} of {card.test_images:,} test images recognized")

# %% [markdown]
# A **recipe** holds everything that decides a training, apart from the network and the images. `training.QUICK` is one
# for small images on a processor. We change some of its fields. A small data set needs more epochs and smaller batches,
# so that there are enough steps. It gains from **augmentation**: each time an image is used it is mirrored, shifted and
# zoomed a little at random, so the network never sees exactly the same picture twice. And `class_weight="balanced"`
# lets each class count as much as any other, however many images it has (section 7).

# %%
if PROFILE == "quick":
    shifts = {"width_shift": 0.1, "height_shift": 0.1, "zoom": 0.1}
    a_little = training.Augmentation(rotation=0, shear=0, **shifts)
    recipe = training.QUICK.replace(epochs=6, batch_size=16, augmentation=a_little)
    recipe = recipe.replace(image_size=IMAGE_SIZE)
else:
    recipe = training.recipe("Oxford-IIIT Pet")
recipe = recipe.replace(class_weight="balanced")
SEEDS = (7, 8) if PROFILE == "quick" else (7,)


def new_network(classes, own=recipe, weights=None):
    """A kMobileNet for this number of classes."""
    return training.build(kMobileNet, own, weights=weights, classes=classes, **network)


# %% tags=["nbval-ignore-output"]
if PROFILE == "paper":
    first = new_network(10, weights="cifar10")
else:
    first = new_network(card.classes, weights=card.name)
first.save_weights(results / "first.weights.h5")

# %% [markdown]
# ## 2. A folder of images
#
# The form is the simplest there is: one sub-folder for each class, named after it, with the pictures of that class as
# JPEG, PNG, WebP, TIFF, GIF or BMP files of any size. If you have none at hand, the next cells make some: small JPEG
# files cut from six photographs, the class being the photograph. So the question of this page is "from which picture is
# this piece?", which is easier than most real ones. There are only 48 pieces of each, as in a first collection of one's
# own. Another 60 of each, cut from other parts of the same photographs, are for the final test.


# %%
def write_images(folder, images, labels, class_names):
    """Writes images as JPEG files, in one sub-folder for each class."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / class_names[label] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        blue_first = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path), blue_first, [cv2.IMWRITE_JPEG_QUALITY, 95])


folder, test_folder = Path(FOLDER) if FOLDER else results / "images", None
if PROFILE == "quick" and not FOLDER:
    test_folder = results / "test_images"
    each = {"train_per_photograph": 48, "test_per_photograph": 60}
    pieces = datasets.photo_patches(size=40, **each)
    write_images(folder, pieces.x_train, pieces.y_train, pieces.class_names)
    write_images(test_folder, pieces.x_test, pieces.y_test, pieces.class_names)

# %% [markdown]
# Real collections are not as tidy. So we add what they all have: a file that is damaged, a picture straight from a
# telephone in a format that is not read, and one that was copied to where it must not be.

# %%
if test_folder:
    (folder / "cat" / "broken.jpg").write_bytes(b"not a picture")
    heic = b"\0\0\0\x18ftypheic" + bytes(100)  # how such a file begins
    (folder / "cat" / "IMG_0815.HEIC").write_bytes(heic)
    copied = test_folder / "coffee" / "copied.jpg"
    shutil.copy(sorted((folder / "coffee").iterdir())[0], copied)

# %% [markdown]
# Loading takes one line. It decodes every image once, makes it square (by default with black borders, so that nothing
# is lost and nothing distorted), and resizes it. Without a folder of test images, a fifth of each class, drawn at
# random, is set aside for testing. What is odd comes as a warning, which this function collects:


# %%
def load():
    """The images of the folder, and what was odd about them as a list of sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if PROFILE == "paper" and not FOLDER:
            kept = drive_folder and drive_folder / "tensorflow_datasets"
            loaded = datasets.load("Oxford-IIIT Pet", IMAGE_SIZE, data_dir=kept)
        else:
            options = {"test_path": test_folder, "name": "my images"}
            loaded = datasets.image_folder(folder, IMAGE_SIZE, **options)
    here = str(results) + os.sep
    return loaded, [str(warning.message).replace(here, "") for warning in caught]


data, odd = load()
print(data)
for sentence in odd:
    print("-", sentence)

# %% [markdown]
# Three sentences, and each wants something of you.
#
# - *Passed over*: a format that is not read. Pictures of telephones are often HEIC: save them as JPEG or PNG, or set
#   the telephone to do so. AVIF, JPEG XL, raw camera files and others are named in the same way.
# - *Left out*: a damaged file. Copy it again, or do without.
# - *In the training part as well*: the serious one. **An image that is in both parts is a question whose answer has
#   been learned by heart**, and counts as right in the test. Remove it from one of them. Only copies that are equal in
#   every pixel are noticed. The same picture in another size, or the next one of a series, is not: keep such pictures
#   together yourself.

# %%
if test_folder:
    copied.unlink()
    (folder / "cat" / "broken.jpg").unlink()
    (folder / "cat" / "IMG_0815.HEIC").unlink()
    data, odd = load()
print(data, f"odd: {len(odd)}", sep="\n")

# %% [markdown]
# ## 3. Look before you train
#
# Ten minutes of looking save hours of training. Do the pictures belong to their classes? Is anything cut off, turned
# or upside down? Could *you* tell the classes apart at this size?

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1, six images of each class {display-mode: "form"}
first_classes = range(min(6, len(data.class_names)))
examples = [image for label in first_classes for image in data.x_train[np.flatnonzero(data.y_train == label)[:6]]]
titles = [data.class_names[label] for label in first_classes for _ in range(min(6, np.sum(data.y_train == label)))]
plots.show(
    plots.images(examples, titles, columns=6),
    f"A grid of small training images, one row for each of the classes {', '.join(dict.fromkeys(titles))}.",
    caption="Figure 1. Six training images of each class.",
)

# %% [markdown]
# And how many are there of each class? A class with ten times the images of another is learned better, and a network
# that always guesses the largest class looks better than it is.

# %% tags=["nbval-check-output"]
classes = len(data.class_names)
counts = pd.DataFrame(
    {
        "class": data.class_names,
        "training images": np.bincount(data.y_train, minlength=classes),
        "test images": np.bincount(data.y_test, minlength=classes),
    }
)
plots.table(counts, "Table 1. Images of each class.")

# %% [markdown]
# Is the augmentation what we want? It must not change what the picture is. This is one training image as it is, and as
# the network sees it in the first seven epochs.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2, augmentation {display-mode: "form"}
seen = [training.prepare(data.x_train[:1], recipe)[0]]
for epoch in range(7):
    transformation = recipe.augmentation.sample(seen[0].shape, training.sample_generator(recipe.seed, epoch, 0))
    seen.append(transformation.apply(seen[0]))
plots.show(
    plots.images(
        [picture / recipe.pixel_maximum for picture in seen],
        ["as it is"] + [f"epoch {epoch + 1}" for epoch in range(7)],
        columns=8,
    ),
    "One training image as it is, and seven versions of it that are mirrored, shifted and zoomed at random.",
    caption="Figure 2. A training image, and how the network sees it.",
)

# %% [markdown]
# ## 4. Frozen, everything, or from scratch
#
# The saved network has other classes than ours. So its last layer, the classifier, cannot be used. `skip_mismatch=True`
# loads all layers that fit and leaves the others as they are, with a warning. We look whether just the classifier is
# new.


# %% tags=["nbval-check-output"]
def from_saved(own=recipe):
    """A network for our classes: its body has the saved weights."""
    model = new_network(classes, own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classifier does not fit is expected
        model.load_weights(results / "first.weights.h5", skip_mismatch=True)
    return model


def same(one, other):
    """Whether two layers have the same weights."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in pairs)


layers = [layer for layer in from_saved().layers if layer.weights]
new = [layer.name for layer in layers if not same(layer, first.get_layer(layer.name))]
print(f"{len(layers) - len(new)} of {len(layers)} layers are taken over")
print("new:", ", ".join(new))

# %% [markdown]
# Three ways to go on from here.
#
# - **Body frozen.** Only the classifier learns; `layer.trainable = False` keeps everything else as it is, the moving
#   averages of [batch normalization](../docs/glossary.md#batch-normalization) included. Fast, and with few weights that
#   could learn the images by heart. But the body sees the new pictures with the eyes of the old task.
# - **All trained.** All weights go on learning, from a better starting point than chance. The body can adapt, and can
#   also forget.
# - **From scratch**, to compare with: the same network with random weights.
#
# A fourth and a fifth are MobileNet with ImageNet weights, frozen or not. They are no contest between equals: it has
# more parameters, and has seen a million photographs.


# %%
def frozen(model):
    """The network with a body that no longer learns."""
    for layer in model.layers:
        layer.trainable = layer.name == "conv_preds"
    return model


def imagenet(own=recipe):
    """An ordinary MobileNet with ImageNet weights and a new classifier."""
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    body = keras.applications.MobileNet(shape, include_top=False, weights="imagenet")
    keras.utils.set_random_seed(own.seed)
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(2 / own.pixel_maximum, offset=-1.0)(inputs)  # to [-1, 1]
    x = keras.layers.GlobalAveragePooling2D()(body(x))
    x = keras.layers.Dense(classes, activation="softmax", name="conv_preds")(x)
    return keras.Model(inputs, x)


ways = {
    "from scratch": lambda own: new_network(classes, own),
    "saved, body frozen": lambda own: frozen(from_saved(own)),
    "saved, all trained": from_saved,
}

# %% tags=["nbval-check-output"]
left_out = "the quick profile downloads nothing" if PROFILE == "quick" else None
try:
    bodies = {"saved body": first} | ({} if left_out else {"ImageNet body": imagenet()})
except Exception as error:  # Keras raises a plain one where it cannot download
    left_out, bodies = f"it cannot be downloaded here ({error})", {"saved body": first}
if left_out:
    print("MobileNet with ImageNet weights is left out:", left_out)
else:
    ways["ImageNet, body frozen"] = lambda own: frozen(imagenet(own))
    ways["ImageNet, all trained"] = imagenet

# %% [markdown]
# All of them get the same recipe, so the same images, batches, augmentation and number of steps. A tenth of the
# training images is set aside for **validation**: after each epoch they tell how the network does on images it does not
# learn from, and the weights of the best epoch are kept. The test images stay out of sight until the end.
#
# In the paper profile a training takes long, so each has a folder: after an interruption, run all cells again, and
# each goes on after its last complete epoch; one that is complete is not repeated.


# %%
def train(name, seed, make, images=None, **changes):
    """A trained network, and how its training went."""
    own = recipe.replace(seed=seed, **changes)
    model, title = make(own), f"{name}, seed {seed}"
    place = results / "runs" / (images or data).name / title
    kept = place if PROFILE == "paper" else None
    return model, training.fit(model, images or data, own, folder=kept, progress=title)


# %% tags=["nbval-ignore-output"]
models, runs = {}, {}
for name, make in ways.items():
    for seed in SEEDS:
        models[name, seed], runs[name, seed] = train(name, seed, make)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 3, validation accuracy {display-mode: "form"}
_, for_validation = training.split(data.y_train, recipe)
curves = {name: np.array([runs[name, seed].history["val_accuracy"] for seed in SEEDS]) for name in ways}
plots.show(
    plots.line_chart(
        list(range(1, recipe.epochs + 1)),
        curves,
        xlabel="epoch",
        ylabel=f"accuracy, {len(for_validation)} validation images",
        percent=True,
    ),
    "Validation accuracy after each epoch, one curve each for the network from scratch and those from saved weights.",
    caption=f"Figure 3. Validation accuracy. Lines: mean of {len(SEEDS)} seeds; bands: from the lowest to the highest. "
    f"{data.name}, {PROFILE} profile.",
)

# %% [markdown]
# Few validation images make rough curves. In the quick profile they also flatter: they are pieces of the same parts of
# the photographs as those that are learned from, and overlap them. The test pieces come from other parts, so expect
# less in the test.
#
# ## 5. The test
#
# Now, once, the test images. Two things make an accuracy uncertain. **Which images** were in the test: that is what the
# 95% intervals cover. (They take the images for independent. The patches of the quick profile overlap each other, so
# there they are too narrow.) All networks are tested on the same images, so the *difference* to the network from
# scratch has an interval of its own, narrower than those of two accuracies suggest. And **which seed** decided the
# first weights and the order: that is what the columns of the second seed are for, where there is one.

# %% tags=["nbval-ignore-output"]
tests = {key: training.evaluate(model, data, recipe) for key, model in models.items()}


def percent(interval, sign=""):
    """An interval in percent, as text."""
    value, low, high = (format(100 * number, sign + ".1f") for number in interval)
    return f"{value} ({low} to {high})"


rows = []
for name in ways:
    learning = models[name, SEEDS[0]].trainable_weights
    row = {"network": name, "weights that learn": sum(map(np.size, learning))}
    row["seconds"] = sum(runs[name, seed].seconds for seed in SEEDS) / len(SEEDS)
    for seed in SEEDS:
        own, scratch = tests[name, seed].correct, tests["from scratch", seed].correct
        row[f"accuracy, %, seed {seed}"] = percent(comparison.accuracy(own))
        difference = comparison.accuracy_difference(own, scratch)
        if name != "from scratch":
            row[f"minus scratch, points, seed {seed}"] = percent(difference, "+")
    rows.append(row)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 2, the test {display-mode: "form"}
plots.table(
    pd.DataFrame(rows).fillna(""),
    f"Table 2. {data.name}: {len(data.y_train)} training images, {len(for_validation)} of them for validation, and "
    f"{len(data.y_test)} test images; {recipe.epochs} epochs, {PROFILE} profile. In brackets 95% intervals.",
    formats={"seconds": ".1f"},
)

# %% [markdown]
# *What you may see elsewhere:* another kind of processor rounds differently, which changes as much as another seed
# does: compare the columns of the two seeds. Seconds differ by several times.
#
# One or two seeds are no verdict on the three ways. A frozen body can be no better than what it learned before, in the
# quick profile to tell ten kinds of vehicles and animals apart, and these are five other things and a cat. But here its
# new classifier has not even got that far in so few steps: section 6 fits one to the end on the same body, and gets
# further with fewer images. So the table compares three ways at one budget, and not what each of them can reach. Where
# all weights go on learning, they begin with edges and textures that are known already. And a fair comparison counts
# the whole bill: the time of the first training belongs to it if you had to do it yourself.
#
# ## 6. What would more images bring?
#
# Before you take another hundred photographs: a **learning curve** shows what the last hundred brought. Train with 50,
# 100 and 200 of the images that you have, and look whether the curve still rises. A single training at each size would
# mislead, because which images were drawn matters more than fifty images more or less. Ten draws at each size are dear,
# unless only the classifier learns: then the body's answers to each image are computed once, and what is left to train
# is one layer.


# %%
def features(network, images, at_once=128):
    """What the body of a network says of images: a row of numbers for each."""
    body = keras.Model(network.input, network.get_layer("conv_preds").input)
    rows = []
    for start in range(0, len(images), at_once):
        prepared = training.prepare(images[start : start + at_once], recipe)
        rows.append(body.predict(prepared, verbose=0))
    rows = np.concatenate(rows)
    return rows.reshape(len(rows), -1)


def fit_classifier(rows, labels, image_weights=None, steps=400):
    """A linear classifier, fitted by gradient descent; returns a function of rows."""
    mean, scale = rows.mean(axis=0), (rows.std(axis=0) + 1e-6) * rows.shape[1] ** 0.5
    x, targets = ((rows - mean) / scale).astype("float64"), np.eye(classes)[labels]
    shares = np.ones(len(x)) if image_weights is None else image_weights
    shares = shares[:, None] / shares.sum()
    weights, bias, momentum = np.zeros((x.shape[1], classes)), np.zeros(classes), 0
    for _ in range(steps):
        scores = np.exp(x @ weights + bias)
        error = shares * (scores / scores.sum(axis=1, keepdims=True) - targets)
        momentum = 0.9 * momentum + x.T @ error + 1e-4 * weights
        weights = weights - 4.0 * momentum
        bias = bias - 0.5 * error.sum(axis=0)
    return lambda others: (((others - mean) / scale) @ weights + bias).argmax(axis=1)


# %% tags=["nbval-ignore-output"]
fewest = np.bincount(data.y_train).min()
wanted = [round(size / classes) for size in (50, 100, 200)]
per_class = sorted({max(2, min(count, fewest)) for count in wanted})
told = {}
for name, body in bodies.items():
    told[name] = features(body, data.x_train), features(body, data.x_test)
draws = {name: np.zeros((10, len(per_class))) for name in told}
for name, (known, asked) in told.items():
    for draw, index in np.ndindex(draws[name].shape):
        chosen = datasets.stratified_indices(data.y_train, int(per_class[index]), draw)
        answer_for = fit_classifier(known[chosen], data.y_train[chosen])
        draws[name][draw, index] = np.mean(answer_for(asked) == data.y_test)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 4 and Table 3, the learning curve {display-mode: "form"}
sizes = [classes * count for count in per_class]
figure = plots.line_chart(
    sizes,
    {f"{name}, classifier only": values for name, values in draws.items()},
    xlabel=f"training images ({classes} classes, equally many of each)",
    ylabel=f"accuracy, {len(data.y_test)} test images",
    percent=True,
)
figure.axes[0].set_xticks(sizes)
plots.show(
    figure,
    f"Test accuracy of a classifier over a frozen body, against the number of training images: {sizes}.",
    caption="Figure 4. A learning curve. Line: mean of ten draws; band: from the worst to the best draw.",
)
plots.table(
    pd.DataFrame(
        [
            {
                "body": name,
                "training images": size,
                "mean, %": values.mean(),
                "worst, %": values.min(),
                "best, %": values.max(),
            }
            for name, table in draws.items()
            for size, values in zip(sizes, 100 * table.T, strict=True)
        ]
    ),
    "Table 3. The learning curve as numbers: test accuracy over ten draws of the training images.",
    formats=dict.fromkeys(["mean, %", "worst, %", "best, %"], ".1f"),
)

# %% [markdown]
# A curve that still rises from 100 to 200 images says: take more pictures. One that lies flat says: more of the same
# will not help, a better body or clearer pictures might. That is true of *this* body with a classifier on top; a
# network of which all weights learn needs more images to begin with, and goes on gaining for longer. Here the classes
# are equally large and the test images fixed, so the band is what the draw changes. (At the largest size any two draws
# share two thirds of their images: there it is too narrow.) (Training such a curve with all weights and several seeds
# would make this page longer by minutes; `train` with `train_images=` does it.)
#
# ## 7. When one class has many images and another few
#
# In collections that nobody planned, some classes are ten times as large as others. We look at what this does: where
# your classes are about equally large, the next cell leaves only an eighth of every second one.

# %%
counted = np.bincount(data.y_train, minlength=classes)
few = counted < counted.max() / 2
kept = np.arange(len(data.y_train))
if not few.any():
    few = np.arange(classes) % 2 == 1
    limits = np.where(few, np.maximum(6, counted // 8), counted)
    members = [np.flatnonzero(data.y_train == label) for label in range(classes)]
    kept = np.concatenate([members[k][: limits[k]] for k in range(classes)])
lopsided = dataclasses.replace(
    data,
    name=f"{data.name}, lopsided",
    x_train=data.x_train[kept],
    y_train=data.y_train[kept],
    files_train=None,
)
print(np.bincount(lopsided.y_train, minlength=classes), "training images of each class")

# %% [markdown]
# `class_weight="balanced"` lets an image weigh inversely to the number of images of its class: of a class with an
# eighth of the images, each counts eight times. **Recall** shows the effect: of the test images of a class, the share
# that is recognized. First the network of which all weights learn, one training with and one without.

# %% tags=["nbval-ignore-output"]
recalls, seed = {}, SEEDS[0]
for class_weight in (None, "balanced"):
    title = f"class_weight={class_weight}"
    model, _ = train(title, seed, from_saved, lopsided, class_weight=class_weight)
    correct = training.evaluate(model, data, recipe).correct
    recalls[title] = [correct[data.y_test == label].mean() for label in range(classes)]

# %% [markdown]
# One training each may show the opposite of what is usual. So also the classifier over the saved body, as in section
# 6, with and without weights, over ten draws of the images of the small classes.

# %% tags=["nbval-ignore-output"]
known, asked = told["saved body"]
hits = {None: [], "balanced": []}
limits = np.bincount(lopsided.y_train, minlength=classes)
if len(kept) == len(data.y_train):  # lopsided by itself: four fifths are drawn
    limits = np.maximum(1, limits * 4 // 5)
for draw in range(10):
    shuffled = np.random.default_rng(draw).permutation(len(data.y_train))
    groups = [shuffled[data.y_train[shuffled] == label] for label in range(classes)]
    chosen = np.concatenate([groups[k][: limits[k]] for k in range(classes)])
    labels = data.y_train[chosen]
    for class_weight in hits:
        image_weights = (1 / limits)[labels] if class_weight else None
        answer_for = fit_classifier(known[chosen], labels, image_weights)
        correct = answer_for(asked) == data.y_test
        recall = [correct[data.y_test == label].mean() for label in range(classes)]
        hits[class_weight].append(recall)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 4, recall {display-mode: "form"}
frame = pd.DataFrame({"class": data.class_names, "training images": limits})
for title, values in recalls.items():
    frame[f"all trained, {'weighted' if 'balanced' in title else 'plain'}"] = 100 * np.array(values)
for class_weight, values in hits.items():
    frame[f"classifier, ten draws, {'weighted' if class_weight else 'plain'}"] = 100 * np.mean(values, axis=0)
columns = list(frame.columns[2:])
for name, part in (("small classes together", few), ("large classes together", ~few)):
    frame.loc[len(frame)] = [
        name,
        int(limits[part].sum()),
        *(frame[column][: len(part)][part].mean() for column in columns),
    ]
plots.table(
    frame,
    f"Table 4. Recall of each class in percent, {len(data.y_test)} test images. Plain: class_weight=None, weighted: "
    '"balanced". All trained: one training each; classifier: mean of ten draws. Together: mean of the recalls.',
    formats=dict.fromkeys(columns, ".1f"),
)

# %% [markdown]
# Weights turn the network's attention from the large classes to the small ones; the last columns show, over ten draws,
# what each group gains and loses. They add no knowledge: six pictures stay six pictures. Whether a mistake in a small
# class is worse than one in a large class is for you to say; where it is, or where the classes will be equally frequent
# later, use them.
#
# *What you may see elsewhere:* in the columns of single trainings, changes of ten points and more in a class; in those
# of ten draws, of a few points.
#
# ## 8. Which classes, which mistakes?
#
# We take the network that was best in validation, because a choice by the test images would flatter it. Recall says how
# many of a class are recognized, **precision** how often the network is right when it names the class.

# %% tags=["nbval-ignore-output"]
best = max(models, key=lambda key: runs[key].history["val_accuracy"].max())
model, test = models[best], tests[best]
names = data.class_names
rows = []
for label, name in enumerate(names):
    own, said = data.y_test == label, test.predictions == label
    wrong = np.bincount(test.predictions[own & ~test.correct], minlength=classes)
    row = {"class": name, "test images": own.sum()}
    row["recall, % (95% interval)"] = percent(comparison.accuracy(test.correct[own]))
    row["precision, %"] = 100 * (own & said).sum() / max(1, said.sum())
    often = f"{names[wrong.argmax()]} ({wrong.max()})" if wrong.any() else ""
    row["most often taken for"] = often
    rows.append(row)
plots.table(
    pd.DataFrame(rows),
    f"Table 5. Each class by itself. The network “{best[0]}”, seed {best[1]}.",
    formats={"precision, %": ".1f"},
)

# %% [markdown]
# Then the mistakes themselves, those first of which the network was surest. Open these files: a surprising number of
# "mistakes" are pictures in the wrong folder.

# %% tags=["nbval-ignore-output"]
mistakes = np.flatnonzero(~test.correct)[:200]
if len(mistakes):
    asked = training.prepare(data.x_test[mistakes], recipe)
    sure = model.predict(asked, verbose=0).max(axis=1)
    order = np.argsort(-sure)[:10]
    mistakes, sure = mistakes[order], sure[order]
else:
    sure = np.zeros(0)
files = data.files_test or [f"test image {i}" for i in range(len(data.y_test))]
plots.table(
    pd.DataFrame(
        {
            "file": ["/".join(Path(files[index]).parts[-2:]) for index in mistakes],
            "class": [names[data.y_test[index]] for index in mistakes],
            "taken for": [names[test.predictions[index]] for index in mistakes],
            "probability": sure,
        }
    ),
    f"Table 6. The surest mistakes, of {np.sum(~test.correct)} among all test images.",
    formats={"probability": ".2f"},
)

# %% [markdown]
# **What did it look at?** A class activation map shows where in a picture the evidence for a class was found
# ([08](08_class_activation_maps.ipynb) explains how). Look at right answers *and* at wrong ones. Right for the wrong
# reason, such as a border or a watermark, is the most common surprise with one's own images. Right answers come first,
# wrong ones after them, with the true class in brackets.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 5, class activation maps {display-mode: "form"}
right = np.flatnonzero(test.correct)
right = right[np.linspace(0, len(right) - 1, min(4, len(right))).astype(int)]
chosen = np.concatenate([right, mistakes[:4]])
images = training.prepare(data.x_test[chosen], recipe)
maps = cam.class_activation_map(model, images)
titles = [
    names[test.predictions[index]] + ("" if test.correct[index] else f"\n(is {names[data.y_test[index]]})")
    for index in chosen
]
figure = cam.gallery(images / recipe.pixel_maximum, maps, titles, columns=4)
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 5. Where the evidence for the class that the network names was found; wrong answers come last.",
)

# %% [markdown]
# ## 9. Save it, and use it on one picture
#
# A `.keras` file holds the architecture and the weights. kgpc's layers load without further ado, as long as kgpc is
# imported. Save the class names with it: the network knows only numbers.

# %%
(results / "my_network.txt").write_text("\n".join(names), encoding="utf-8")
model.save(results / "my_network.keras")

# %% [markdown]
# Later, elsewhere: load both, read a picture the same way as in training, and ask. Three things must match the
# training: the size, the way to make it square, and the range of values. `read_image` and `prepare` are the functions
# that `image_folder` and `fit` used.
#
# The picture must be **one that the network has not seen**: set `PICTURE` to one of yours that is in no folder. Without
# it, one of the test images is drawn, which took part in no training and no choice. A picture of the training part
# would show only what the network knows by heart.

# %% tags=["nbval-ignore-output"]
loaded = keras.models.load_model(results / "my_network.keras")
class_names = (results / "my_network.txt").read_text(encoding="utf-8").split("\n")

drawn = int(np.random.default_rng(recipe.seed).integers(len(data.y_test)))
held_out = PICTURE or (data.files_test and data.files_test[drawn])
if held_out:
    picture = datasets.read_image(held_out, image_size=IMAGE_SIZE)
else:
    picture = data.x_test[[drawn]][0]
title = Path(PICTURE).name if PICTURE else f"held out: {names[data.y_test[drawn]]}"

answer = loaded.predict(training.prepare(picture[None], recipe), verbose=0)[0]
answers = pd.DataFrame({"class": class_names, "probability": answer})
answers = answers.sort_values("probability", ascending=False)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 6 and Table 7, one picture {display-mode: "form"}
plots.show(
    plots.images([picture], [title], columns=1, width=1.8),
    f"The picture that is asked for; {title}.",
    caption="Figure 6. A picture that took part in no training.",
)
plots.table(
    answers.head(3).reset_index(drop=True),
    "Table 7. The three most probable classes for it.",
    {"probability": ".3f"},
)

# %% [markdown]
# Where the first line is wrong, Table 2 says how often to expect that. And a network answers with one of its classes
# whatever it is shown. Is the loaded network the one we saved? To the last bit.

# %% tags=["nbval-check-output"]
sample = training.prepare(data.x_test[:32], recipe)
print(np.array_equal(loaded(sample), model(sample)))

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** kMobileNet with `alpha=0.25` has 256 channels in its last maps. With the body frozen, how many weights learn
# for six classes? Find the formula.

# %% tags=["nbval-check-output"]
answer = None  # your answer: a number
exercises.check("13.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# The classifier has a weight for each channel of the last maps and each class, and a bias for each class.
print(f"(256 + 1) · 6 = {(256 + 1) * 6:,}")
exercises.check("13.1", (256 + 1) * 6)

# %% [markdown]
# **2.** Photographs are rarely square. `read_image` makes them so in three ways: "pad", "crop" and "stretch". You want
# to tell street signs apart by the text on them, which may reach to the edges. Which way loses nothing and distorts
# nothing? Try all three on a picture that is not square.

# %% tags=["nbval-check-output"]
answer = None  # your answer: "pad", "crop" or "stretch"
exercises.check("13.2", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 2 {display-mode: "form"}
# Padding loses nothing, which text needs; cropping keeps what is in the middle, good for centred faces; stretching
# changes proportions, which a network can get used to if it sees no others.
wide = results / "wide.png"
cv2.imwrite(str(wide), cv2.cvtColor(datasets.photographs()[1].pixels, cv2.COLOR_RGB2BGR))
three = ("pad", "crop", "stretch")
plots.show(
    plots.images([datasets.read_image(wide, 128, shape=way) for way in three], three, columns=3, width=5),
    "The photograph of a coffee cup, made square in three ways: with black bars above and below, cut at the sides, and "
    "squeezed.",
    caption="Figure 7. A photograph that is not square, made square in three ways.",
)
exercises.check("13.2", "pad")

# %% [markdown]
# **3.** Of 200 test images 150 are cats and 50 are dogs. A network recognizes 140 of the cats and 20 of the dogs. What
# is the accuracy of the network, that of always saying "cat", and the mean of the network's two recalls? Three numbers
# from 0 to 1. Which of them would you report?

# %% tags=["nbval-check-output"]
answer = None  # your answer: (accuracy, always cat, mean recall)
exercises.check("13.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# 80% sounds well beside two classes, and is five points above a network that has learned nothing. The mean recall shows
# that dogs are mostly missed. Report it with the recalls of both classes.
cats, dogs = 140 / 150, 20 / 50
print(f"accuracy {(140 + 20) / 200:.1%}, always cat {150 / 200:.1%}, mean recall {(cats + dogs) / 2:.1%}")
exercises.check("13.3", ((140 + 20) / 200, 150 / 200, (cats + dogs) / 2))

# %% [markdown]
# **4.** 90 training images are cats and 10 are dogs. With `class_weight="balanced"`, how many times as much as an image
# of a cat does one of a dog weigh? And what would an image of either weigh if there were 50 of each?

# %% tags=["nbval-check-output"]
answer = None  # your answer: (times as much, weight where they are equally many)
exercises.check("13.4", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 4 {display-mode: "form"}
# An image weighs the number of all images, divided by that of the classes and that of its own class.
weight = {name: 100 / (2 * count) for name, count in (("cat", 90), ("dog", 10), ("equal", 50))}
print({name: round(value, 3) for name, value in weight.items()})
exercises.check("13.4", (weight["dog"] / weight["cat"], weight["equal"]))

# %% [markdown]
# ## Summary
#
# - A folder with one sub-folder for each class is all that is needed; `datasets.image_folder` loads it and names what
#   it had to leave out, what it cannot read, and what is in both parts.
# - Look at the images and count them before training, and look at mistakes, by file name, and maps after it.
# - A network that has learned other classes is a starting point: body kept, classifier new. Whether it helps depends on
#   what it learned. Compare at the same budget, with intervals, with more than one seed, and with a network from
#   scratch.
# - A learning curve says whether more images would help; `class_weight` says whose mistakes count.
# - To use a network on a picture, prepare the picture exactly as in training, and take one that it has not seen.
#
# ## Where it goes from here
#
# `my_network.keras` can leave this computer. [15 To a phone](15_to_a_phone.ipynb) makes a small file of such a network,
# in 8-bit integers if you like, and says how often it gives the same answer. From the command line, with your folder
# of pictures to compare on:
#
#     python -m kgpc export my_network.keras --to litert --int8 --images flowers/
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). kMobileNet and the recipes.
# - J. Yosinski, J. Clune, Y. Bengio, H. Lipson: *How transferable are features in deep neural networks?* NeurIPS 2014,
#   [arXiv:1411.1792](https://arxiv.org/abs/1411.1792). What a frozen body can and cannot do.
# - S. Kornblith, J. Shlens, Q. V. Le: *Do Better ImageNet Models Transfer Better?* CVPR 2019,
#   [arXiv:1805.08974](https://arxiv.org/abs/1805.08974). Frozen, fine-tuned and from scratch, on many data sets.
# - B. Zhou et al.: *Learning Deep Features for Discriminative Localization*. CVPR 2016,
#   [arXiv:1512.04150](https://arxiv.org/abs/1512.04150). Class activation maps.
# - The photographs: [where each comes from](../data/README.md).
