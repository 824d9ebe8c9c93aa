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
# **From a folder of pictures to a network that names them: trained from scratch, and from weights that you have.**
#
# After this page you can
#
# - load a folder of your own images, one sub-folder for each class, and see whether it is fit for training;
# - train a grouped network on it, and say how far its accuracy can be trusted;
# - start from saved weights of a network with other classes, with the body frozen or not, and compare fairly;
# - look at what the network looked at, save it, and use it on one picture.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or at least an idea of what a training is. No GPU, no download, and
# no pictures: in the quick profile this page makes a small folder from photographs that come with kgpc.
# **Running time:** a minute or two on two CPU cores in the quick profile. To use your own pictures, set `FOLDER` below.
# The paper profile without `FOLDER` takes Oxford-IIIT Pet, downloads released weights, and wants a GPU.

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

# %% tags=["parameters"]
PROFILE = "quick"  # @param ["quick", "paper"]
FOLDER = ""  # path of your own folder of images; empty: made here (quick) or Oxford-IIIT Pet (paper)

# %%
import shutil
import warnings

import cv2
import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, cam, comparison, datasets, plots, training
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

results = Path(os.environ.get("KGPC_RESULTS", "results")) / "13_your_own_images"
results.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. A folder of images
#
# The form is the simplest there is: one sub-folder for each class, named after it, with the pictures of that class as
# JPEG, PNG, WebP, TIFF, GIF or BMP files of any size. If you have none at hand, the next cell makes some: small JPEG
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
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])


folder, test_folder = Path(FOLDER) if FOLDER else results / "images", None
if PROFILE == "quick" and not FOLDER:
    test_folder = results / "test_images"
    pieces = datasets.photo_patches(size=40, train_per_photograph=48, test_per_photograph=60)
    write_images(folder, pieces.x_train, pieces.y_train, pieces.class_names)
    write_images(test_folder, pieces.x_test, pieces.y_test, pieces.class_names)
    (folder / "cat" / "broken.jpg").write_bytes(b"not a picture")  # a file as every real collection has one

# %% [markdown]
# Loading takes one line. It decodes every image once, makes it square (by default with black borders, so that nothing
# is lost and nothing distorted), and resizes it. What cannot be decoded is left out, with a warning that names the
# file. Without a folder of test images, a fifth of each class, drawn at random, is set aside for testing.

# %%
IMAGE_SIZE = 32 if PROFILE == "quick" else 224

if PROFILE == "paper" and not FOLDER:
    data = datasets.load("Oxford-IIIT Pet", image_size=IMAGE_SIZE)
else:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = datasets.image_folder(folder, image_size=IMAGE_SIZE, test_path=test_folder, name="my images")
    print(f"left out: {len(caught)}", *(str(warning.message).split(str(folder))[-1] for warning in caught), sep="\n  ")
print(data)

# %% [markdown]
# ## 2. Look before you train
#
# Ten minutes of looking save hours of training. Do the pictures belong to their classes? Is anything cut off, turned
# or upside down? Could *you* tell the classes apart at this size?

# %%
examples = [
    image for label in range(min(6, len(data.class_names))) for image in data.x_train[data.y_train == label][:6]
]
titles = [data.class_names[label] for label in range(min(6, len(data.class_names))) for _ in range(6)]
plots.show(
    plots.images(examples, titles, columns=6, title="Six training images of each class"),
    f"A grid of small training images, one row for each of the classes {', '.join(dict.fromkeys(titles))}.",
)

# %% [markdown]
# And how many are there of each class? A class with ten times the images of another is learned better, and a network
# that always guesses the largest class looks better than it is. `class_weight="balanced"` in the recipe helps with the
# first; for the second, look at each class by itself (section 5).

# %% tags=["nbval-check-output"]
counts = pd.DataFrame(
    {
        "class": data.class_names,
        "training images": np.bincount(data.y_train, minlength=len(data.class_names)),
        "test images": np.bincount(data.y_test, minlength=len(data.class_names)),
    }
)
plots.table(counts, "Table 1. Images of each class.")

# %% [markdown]
# ## 3. A recipe, and a network from scratch
#
# A recipe holds everything that decides a training, apart from the network and the images. `training.QUICK` is one for
# small images on a processor. We change three of its fields. A small data set needs more epochs and smaller batches, so
# that there are enough steps. And it gains from **augmentation**: each time an image is used it is mirrored, shifted
# and zoomed a little at random, so the network never sees exactly the same picture twice. A tenth of the training
# images is set aside for **validation**: after each epoch they tell how the network does on images it does not learn
# from, and the weights of the best epoch are kept. The test images stay out of sight until the end.

# %%
if PROFILE == "quick":
    recipe = training.QUICK.replace(
        epochs=6,
        batch_size=16,
        augmentation=training.Augmentation(
            rotation=0, width_shift=0.1, height_shift=0.1, shear=0, zoom=0.1, horizontal_flip=True
        ),
    )
    # A quarter of the width, and strides left out, so that the last maps have 3x3 positions.
    network = {"scheme": D6(16), "alpha": 0.25, "skip_stride_cnt": 1}
else:
    recipe = training.recipe("Oxford-IIIT Pet")
    network = {"scheme": D6(16)}

shown = ["epochs", "image_size", "batch_size", "optimizer", "learning_rate", "validation_fraction", "monitor", "seed"]
fields = pd.DataFrame({"field": shown, "value": [str(getattr(recipe, field)) for field in shown]})
plots.table(fields, "Table 2. The recipe, in part.")

# %% [markdown]
# Is the augmentation what we want? It must not change what the picture is. This is one training image as it is, and as
# the network sees it in the first seven epochs.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
seen = [training.prepare(data.x_train[:1], recipe)[0]]
for epoch in range(7):
    transformation = recipe.augmentation.sample(seen[0].shape, training.sample_generator(recipe.seed, epoch, 0))
    seen.append(transformation.apply(seen[0]))
plots.show(
    plots.images(seen, ["as it is"] + [f"epoch {epoch + 1}" for epoch in range(7)], columns=8),
    "One training image as it is, and seven versions of it that are mirrored, shifted and zoomed at random.",
)

# %% [markdown]
# Now the network: kMobileNet with 16 channels per group. `training.build` gives it the image size and the seed of the
# recipe, so it starts from the same random weights each time. `training.fit` trains it. With `folder=` it would also
# write checkpoints, and go on from there after an interruption.


# %% tags=["nbval-ignore-output"]
def new_network(classes):
    """An untrained network for this number of classes."""
    return training.build(kMobileNet, recipe, weights=None, classes=classes, **network)


scratch = new_network(len(data.class_names))
trained = {"from scratch": training.fit(scratch, data, recipe, progress="from scratch")}
networks = {"from scratch": scratch}
print(f"{kgpc.flops.trainable_parameters(scratch):,} parameters; best epoch: {trained['from scratch'].best_epoch}")

# %% [markdown]
# ## 4. Start from saved weights instead
#
# A few hundred images are little to learn edges, textures and shapes from. Another network may know them already, even
# if its classes are others. **Fine-tuning** takes over the weights of its body and trains on. Any weights will do that
# fit the architecture: your own from last month, or the released ones of the authors
# (`kMobileNet(weights="cifar10", classes=10)`, which the paper profile uses). For the quick profile we first make some:
# the same network, trained for a moment on Fashion-MNIST, 28×28 grey pictures of clothes. That is far from our
# pictures, and not much of a training: do not expect wonders.

# %% tags=["nbval-ignore-output"]
if PROFILE == "quick":
    clothes = datasets.fashion_mnist_sample()
    first_recipe = training.QUICK.replace(epochs=2, train_images=1280, validation_fraction=0.05)
    first = new_network(classes=10)
    result = training.fit(first, clothes, first_recipe, progress="clothes")
    print(f"clothes: {result.history['val_accuracy'].max():.0%} of the validation images recognized")
else:
    first = training.build(kMobileNet, recipe, weights="cifar10", classes=10, **network)
first.save_weights(results / "first.weights.h5")

# %% [markdown]
# The saved network has ten classes, ours another number. So its last layer, the classifier, cannot be used.
# `skip_mismatch=True` loads all layers that fit and leaves the others as they are, with a warning. We look whether just
# the classifier is new.


# %% tags=["nbval-check-output"]
def from_saved():
    """A network for our classes, its body with the saved weights, its classifier new."""
    model = new_network(len(data.class_names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classifier does not fit is what we expect
        model.load_weights(results / "first.weights.h5", skip_mismatch=True)
    return model


def same(one, other):
    """Whether two layers have the same weights."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in pairs)


model = from_saved()
with_weights = [layer for layer in model.layers if layer.weights]
taken = [layer.name for layer in with_weights if same(layer, first.get_layer(layer.name))]
print(f"{len(taken)} of {len(with_weights)} layers are taken over")
print("new:", ", ".join(layer.name for layer in with_weights if layer.name not in taken))

# %% [markdown]
# Two ways to go on from here.
#
# - **Frozen body.** Only the classifier learns; `layer.trainable = False` keeps everything else as it is, the moving
#   averages of batch normalization included. Fast, and safe with few images. But the body sees the new pictures with
#   the eyes of the old task.
# - **Everything.** All weights go on learning, from a better starting point than chance. The body can adapt, and can
#   also forget.
#
# Both get the same recipe as the network from scratch, so the same images, batches, augmentation and number of steps.

# %% tags=["nbval-ignore-output"]
networks["saved, body frozen"] = from_saved()
for layer in networks["saved, body frozen"].layers:
    layer.trainable = layer.name == "conv_preds"
networks["saved, all trained"] = from_saved()

for name in ("saved, body frozen", "saved, all trained"):
    trained[name] = training.fit(networks[name], data, recipe, progress=name)

# %% jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
curves = {name: result.history["val_accuracy"].tolist() for name, result in trained.items()}
_, for_validation = training.split(data.y_train, recipe)
plots.show(
    plots.line_chart(
        list(range(1, recipe.epochs + 1)),
        curves,
        xlabel="epoch",
        ylabel=f"accuracy on {len(for_validation)} validation images",
        title=f"Validation. {data.name}, {PROFILE} profile",
        percent=True,
    ),
    "Validation accuracy after each epoch, one curve each for the network from scratch and the two from saved weights.",
)

# %% [markdown]
# Few validation images make rough curves. In the quick profile they also flatter: they are pieces of the same parts of
# the photographs as those that are learned from, and overlap them. The test pieces come from other parts, so expect
# less in the test.
#
# ## 5. The test
#
# Now, once, the test images. An accuracy on a few hundred images is uncertain, so each has its 95% interval. The three
# networks are tested on the same images; so the *difference* to the network from scratch has an interval of its own,
# which is narrower than the two others suggest.

# %% tags=["nbval-ignore-output"]
tests = {name: training.evaluate(model, data, recipe) for name, model in networks.items()}
rows = []
for name, test in tests.items():
    accuracy = comparison.accuracy(test.correct)
    row = {
        "network": name,
        "weights that learn": sum(int(np.prod(weight.shape)) for weight in networks[name].trainable_weights),
        "seconds": trained[name].seconds,
        "accuracy, %": 100 * accuracy.value,
        "95% interval": f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}",
    }
    if name != "from scratch":
        difference = comparison.accuracy_difference(test.correct, tests["from scratch"].correct)
        row["minus scratch, points"] = (
            f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
        )
    rows.append(row)
plots.table(
    pd.DataFrame(rows).fillna(""),
    f"Table 3. {data.name}: {len(data.y_train)} training images, {len(for_validation)} of them for validation, and "
    f"{len(data.y_test)} test images; {recipe.epochs} epochs, one seed, {PROFILE} profile.",
    formats={"accuracy, %": ".1f", "seconds": ".1f"},
)

# %% jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
for name in ("saved, body frozen", "saved, all trained"):
    difference = comparison.accuracy_difference(tests[name].correct, tests["from scratch"].correct)
    verdict = "no clear difference" if difference.includes_zero else "better" if difference.value > 0 else "worse"
    print(f"{name}, against from scratch: {verdict} on these test images")

# %% [markdown]
# These verdicts are for *this* run. It has one seed, a small task, and weights from a task that has little in common
# with ours. What can be said in general: a frozen body is as good as what it learned before, so weights from a similar
# task, trained for long, make it strong, and a moment's training on grey clothes does not. And a fair comparison counts
# the whole bill: the time of the first training belongs to it if you had to do it yourself.
#
# Which classes are confused? Each row of the table is a class, each column what one of the three networks said. We take
# the one that was best in validation, because a choice by the test images would flatter it.

# %% tags=["nbval-ignore-output"]
best = max(trained, key=lambda name: trained[name].history["val_accuracy"].max())
confusion = pd.crosstab(
    pd.Categorical.from_codes(data.y_test, data.class_names),
    pd.Categorical.from_codes(tests[best].predictions, data.class_names),
    dropna=False,
)
plots.table(
    confusion.rename_axis(index="class", columns=None),
    f"Table 4. What the network “{best}” said of the test images of each class. Right answers are on the diagonal.",
)

# %% [markdown]
# ## 6. What did it look at?
#
# A class activation map shows where in a picture the evidence for a class was found
# ([08](08_class_activation_maps.ipynb) explains how). Look at right answers *and* at wrong ones. Right for the wrong
# reason, such as a border or a watermark, is the most common surprise with one's own images. Right answers come first,
# wrong ones after them, with the true class in brackets.

# %% tags=["nbval-ignore-output"]
model, test = networks[best], tests[best]
right, wrong = np.flatnonzero(test.correct), np.flatnonzero(~test.correct)
spread = np.linspace(0, max(len(right) - 1, 0), 4).astype(int)
chosen = np.concatenate([right[spread], wrong[np.linspace(0, len(wrong) - 1, min(4, len(wrong))).astype(int)]])
images = training.prepare(data.x_test[chosen], recipe)
maps = cam.class_activation_map(model, images)
titles = [
    f"{data.class_names[test.predictions[index]]}"
    + ("" if test.correct[index] else f"\n(is {data.class_names[data.y_test[index]]})")
    for index in chosen
]
figure = cam.gallery(images / recipe.pixel_maximum, maps, titles, columns=4)
plots.show(figure, figure.get_label())

# %% [markdown]
# ## 7. Save it, and use it on one picture
#
# A `.keras` file holds the architecture and the weights. kgpc's layers load without further ado, as long as kgpc is
# imported. Save the class names with it: the network knows only numbers.

# %%
(results / "my_network.txt").write_text("\n".join(data.class_names), encoding="utf-8")
model.save(results / "my_network.keras")

# %% [markdown]
# Later, elsewhere: load both, read a picture the same way as in training, and ask. Three things must match the
# training: the size, the way to make it square, and the range of values. `read_image` and `prepare` are the functions
# that `image_folder` and `fit` used.

# %% tags=["nbval-ignore-output"]
loaded = keras.models.load_model(results / "my_network.keras")
class_names = (results / "my_network.txt").read_text(encoding="utf-8").split("\n")

if test_folder or FOLDER:
    path = sorted((test_folder or folder).glob("*/*.*"))[1]
    picture, truth = datasets.read_image(path, image_size=IMAGE_SIZE), path.parent.name
else:
    picture, truth = data.x_test[0], data.class_names[data.y_test[0]]
probabilities = keras.ops.convert_to_numpy(loaded(training.prepare(picture[None], recipe)))[0]
answer = pd.DataFrame({"class": class_names, "probability": probabilities}).sort_values("probability", ascending=False)
plots.show(
    plots.images([picture], [truth], columns=1, width=1.5), f"The picture that is asked for, of the class {truth}."
)
plots.table(
    answer.head(3).reset_index(drop=True),
    f"Table 5. The three most probable classes for a picture of the class “{truth}”.",
    {"probability": ".3f"},
)

# %% [markdown]
# Where the first line is wrong, Table 3 says how often to expect that. Is the loaded network the one we saved? To the
# last bit.

# %% tags=["nbval-check-output"]
sample = training.prepare(data.x_test[:32], recipe)
print(np.array_equal(loaded(sample), model(sample)))

# %% [markdown]
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** How many weights does the frozen network learn, and why so few? Find the formula.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# The classifier has a weight for each channel of the last maps and each class, and a bias for each class.
learning = sum(int(np.prod(weight.shape)) for weight in networks["saved, body frozen"].trainable_weights)
channels, classes = networks["saved, body frozen"].get_layer("conv_preds").input.shape[-1], len(data.class_names)
print(f"{learning:,} = ({channels} + 1) · {classes}: {learning == (channels + 1) * classes}")

# %% [markdown]
# **2.** Photographs are rarely square. Compare the three ways in which `read_image` makes them so, on a picture that is
# not. Which of them would you take for faces, which for text?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 2 {display-mode: "form"}
# Cropping keeps what is in the middle, good for centred faces; padding loses nothing, which text needs; stretching
# changes proportions, which a network can get used to if it sees no others.
wide = results / "wide.png"
cv2.imwrite(str(wide), cv2.cvtColor(datasets.photographs()[1].pixels, cv2.COLOR_RGB2BGR))
ways = ("pad", "crop", "stretch")
plots.show(
    plots.images([datasets.read_image(wide, 128, shape=way) for way in ways], ways, columns=3, width=5),
    "The photograph of a coffee cup, made square in three ways: with black bars above and below, cut at the sides, and "
    "squeezed.",
)

# %% [markdown]
# **3.** A network that always says the largest class: how accurate would it be here? And what does that say about an
# accuracy of 90% when nine tenths of the images are of one class?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# As accurate as that class is frequent. 90% would then be worth nothing: compare with this number, and look at each
# class as in Table 4.
largest = np.bincount(data.y_train).argmax()
print(f"always {data.class_names[largest]!r}: {np.mean(data.y_test == largest):.1%}")

# %% [markdown]
# ## Summary
#
# - A folder with one sub-folder for each class is all that is needed; `datasets.image_folder` loads it and names what
#   it had to leave out.
# - Look at the images and count them before training, and look at mistakes and maps after it.
# - Saved weights of a network with other classes are a starting point: body kept, classifier new. Whether they help
#   depends on what they learned. Compare at the same budget, with an interval, and with a network from scratch.
# - To use a network on a picture, prepare the picture exactly as in training.
#
# A network that is to leave this computer becomes a file for a phone in [15 To a phone](15_to_a_phone.ipynb).
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
