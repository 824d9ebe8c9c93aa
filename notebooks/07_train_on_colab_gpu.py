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
# # 07 · Train on Colab's GPU
#
# **A training of hours on a computer that may vanish at any minute, and how it ends well anyway.**
#
# After this page you can
#
# - train one of the paper's networks with the paper's data and recipe, from the first image to the saved file;
# - go on after a lost runtime, and know why the result is the same as without the loss;
# - decide what mixed precision and threads are good for, and what a training will cost before it begins;
# - test the network, save it, and load it again in another program.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or at least an idea of what is being trained. No GPU for the quick
# profile. Words that are not explained here are in the [glossary](../docs/glossary.md).
#
# **Running time:** a minute or two on two CPU cores in the quick profile, which runs the same code on small
# pictures that come along. The paper profile downloads CIFAR-10 and trains for 50 epochs at 224×224 pixels; section 2
# works out what that takes.
#
# **Status:** the quick profile runs with every change of kgpc. A test plays Colab: an empty computer, a Drive with a
# wheel, a runtime that is lost in the middle, a new one that goes on. The paper profile has *never* been run, neither
# on Colab nor on any other GPU; [what was not run](../docs/not-run-here.md) says so of everything.

# %% [markdown]
# ## 1. A folder that outlives the computer
#
# A Colab runtime is a computer on loan. It is taken back after some hours, or when nobody looks at it, and all its
# files go with it: kgpc, the data, the network. Google Drive stays. So on Colab everything begins with Drive.
#
# **The first time**
#
# 1. In a clone of the repository, make a wheel: `python -m pip wheel --no-deps .` Put `kgpc-*.whl` into a folder `kgpc`
#    of your Google Drive. (A wheel that you upload to Colab's own files works too, until the runtime is lost.)
# 2. Upload this notebook to Colab. Choose *Runtime, Change runtime type* and a GPU.
# 3. Set `PROFILE` to `"paper"` in the next cell, and save (*File, Save*): Colab keeps the notebook in your Drive.
# 4. *Runtime, Run all*. You are asked whether this notebook may use your Drive.
#
# **After a lost runtime**
#
# 1. Open the notebook again, from the folder *Colab Notebooks* of your Drive. See that `PROFILE` is `"paper"`.
# 2. See that *Runtime, Change runtime type* still says GPU.
# 3. *Runtime, Run all*, and let it use your Drive again.
#
# There is nothing to upload and nothing to decide. The computer is another one, and empty; but the next cells find the
# wheel on Drive, section 3 finds the archive of the images there, and section 6 finds the training and goes on after
# its last complete epoch.

# %% tags=["parameters"]
PROFILE = "quick"  # @param ["quick", "paper"]
DRIVE_FOLDER = "kgpc"  # @param {type: "string"} folder of your Drive; "" uses none

# %% [markdown]
# Drive comes first, because the wheel lies there. The cell after it installs kgpc from the wheel.

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
import concurrent.futures
import math

import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, datasets, exercises, paper, plots, timing, training
from kgpc.applications import kMobileNet

training.check_profile(PROFILE)

# %% tags=["nbval-ignore-output"]
if drive_folder:
    results = drive_folder / "results"
else:
    results = Path(os.environ.get("KGPC_RESULTS", "results"))
folder = results / f"kmobilenet-16ch-{PROFILE}"

devices = keras.distribution.list_devices()
gpus = [device for device in devices if not device.startswith("cpu")]
print("GPU:", ", ".join(gpus) or "none, the processor computes")

# %% [markdown]
# ## 2. What will it cost?
#
# A training of hours is better planned than tried. Most of its price can be computed before it begins: from the
# network, from the recipe, and from the log that the authors published of their run. Their recipe is a value:

# %%
published = training.recipe("CIFAR-10", "JP35B14")
network = training.build(kMobileNet, published, classes=10, scheme=D6(16))

# %% [markdown]
# - **On Drive**, `fit` keeps two states and the best weights; section 9 saves the network once more. A state has all
#   weights, the optimizer's memory (RMSprop has one number for each trainable weight), and the best weights so far.
# - **In the GPU's memory**, a training step keeps what each layer puts out, for all images of the batch, until the
#   gradients have been computed. With mixed precision (section 5) such a number takes two bytes.
# - **In the main memory** are all images, once more while they are loaded, and batches that wait for the GPU.
# - **Time** is an estimate from the published log. It does not name the GPU, and it is of a training in 32 bits.

# %%
weights = sum(math.prod(weight.shape) for weight in network.weights)
trainable = kgpc.flops.trainable_parameters(network)
on_drive = 4 * (2 * (2 * weights + trainable) + 2 * weights)  # states; best, saved

outputs = sum(math.prod(layer.output.shape[1:]) for layer in network.layers)
on_gpu = 2 * outputs * published.batch_size

images = 60_000 * 32 * 32 * 3
batch = 4 * published.batch_size * published.image_size**2 * 3

curves = paper.published("training_curves")
log = curves.query("label == 'JP35B14' and channels_per_group == 16")
epoch_seconds = log["seconds_per_epoch"].astype(float).mean()
hours = published.epochs * epoch_seconds / 3600

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-check-output"]
# @title Table 1 {display-mode: "form"}
ARCHIVE_BYTES = 170_498_071  # of cifar-10-python.tar.gz, as its publisher has it
rows = [
    ("download", ARCHIVE_BYTES, "known: the archive of CIFAR-10; once, then it comes from Drive"),
    ("Drive, the archive", ARCHIVE_BYTES, "known"),
    (
        "Drive, the training",
        on_drive,
        "computed, at least: the numbers of states and weights; the structure of the files comes on top",
    ),
    ("disk of the runtime", ARCHIVE_BYTES + 60_000 * (32 * 32 * 3 + 1), "computed: the archive, and what is in it"),
    (
        "main memory",
        2 * images + 10 * batch,
        "computed: images twice, up to ten waiting batches; Python and TensorFlow come on top",
    ),
    (
        "GPU memory",
        on_gpu,
        "computed: outputs of all layers for a batch in 16 bits; gradients and TensorFlow's own buffers come on top",
    ),
]
costs = pd.DataFrame(rows, columns=["", "MB", "basis"]).assign(MB=lambda frame: frame["MB"] / 1e6)
costs["MB"] = costs["MB"].map("{:,.0f}".format)
costs = costs.rename(columns={"MB": "how much"})
costs["how much"] += " MB"
costs.loc[len(costs)] = (
    "time",
    f"{hours:.1f} hours",
    f"estimate: {published.epochs} epochs of {epoch_seconds / 60:.0f} minutes, the mean of {len(log)} epochs in the "
    "authors' log; another GPU takes another time",
)
plots.table(costs, "Table 1. What the paper profile takes.")

# %% [markdown]
# So none of it is large, but for the time, which may well be longer than a runtime lasts. Nothing in the table was
# measured on Colab; the line of progress says after a few steps how long yours will take.
#
# ## 3. Data and recipe
#
# Here is the published recipe, and what the quick profile takes in its place.

# %% tags=["nbval-check-output"]
transformed = published.augmentation
quick = training.QUICK.replace(epochs=3, train_images=1536, augmentation=transformed)
left_out = ("name", "learning_rate", "augmentation")
fields = [name for name in vars(published) if name not in left_out]
rows = [(name, getattr(published, name), getattr(quick, name)) for name in fields]
schedules = [type(each.learning_rate).__name__ for each in (published, quick)]
rows.insert(0, ("schedule", *schedules))
frame = pd.DataFrame(rows, columns=["", "published", "quick"])
plots.table(
    frame.astype(str).replace("None", ""),
    "Table 2. The published recipe of kMobileNet on CIFAR-10, and the quick one. "
    "Empty: all images, no class weights, Keras' own momentum (0.99).",
)

# %% [markdown]
# Most lines speak for themselves; a few need a word.
#
# - **schedule**: `Cyclical` is the published one (Figure 2), `OneCycle` a [one-cycle
#   rate](../docs/glossary.md#one-cycle-rate) for short trainings.
# - **validation_split**: for validation the published run set aside the first tenth of each class, in the order of the
#   file names that it had given its images; "first of each class" takes the order of the data set. The quick profile
#   draws a tenth of each class at random.
# - **validation_views**: it even transformed the validation images at random, as it did in training. That makes its
#   validation accuracy lower than the test accuracy.
# - **margin**: what small images are padded with where that makes them fit. CIFAR-10's 32 pixels, repeated seven times,
#   fit into 224 without.
# - **monitor**: what decides which epoch was the best. The network ends with the weights of that one.
# - **batch_norm_momentum**: over how many steps [batch normalization](../docs/glossary.md#batch-normalization)
#   averages; see [notebook 02](02_kmobilenet.ipynb), section 6.
#
# In a training on a GPU we change one thing: the precision (section 5). Now the images. On Colab the archive of
# CIFAR-10 is kept on Drive, so that only the first runtime downloads it. Keras compares its checksum each time, so a
# copy that Drive did not get whole is noticed and fetched again. The quick profile has patches of six photographs
# instead, as small as CIFAR-10's images and far easier: from which photograph is a patch?

# %% tags=["nbval-check-output"]
if PROFILE == "paper":
    if drive_folder:
        datasets.restore_downloads(drive_folder / "downloads")
    data = datasets.load("CIFAR-10")
    if drive_folder:
        datasets.keep_downloads(drive_folder / "downloads")
    recipe = published.replace(precision="mixed_float16")
else:
    data = datasets.photo_patches()
    recipe = quick
pixels = f"{recipe.image_size}×{recipe.image_size} pixels"
budget = f"{data.name}, {pixels}, {recipe.epochs} epochs"

# %% tags=["nbval-check-output"]
chosen, for_validation = training.split(data.y_train, recipe)
batches = training.Batches(data.x_train, data.y_train, recipe, indices=chosen)
print(f"{len(chosen):,} images to train on, {len(for_validation):,} for validation")
print(f"{len(data.x_test):,} images for the test")
print(f"{len(batches):,} steps in an epoch, {recipe.epochs * len(batches):,} in all")

# %% [markdown]
# `Batches` is what the network sees. The order of the images is a function of the seed and the number of the epoch;
# the random transformation of an image is a function of seed, epoch and the position of the image. Nothing depends on
# what was drawn before. This is what makes a training repeatable, and what lets it go on in the middle.

# %% tags=["nbval-check-output"]
again = training.Batches(data.x_train, data.y_train, recipe, indices=chosen)
last = len(batches) - 1
straight = [batches[number][0] for number in (0, 1, last)][-1]
print("the last batch, asked for after others:", straight.shape)
print("the same when it is asked for first:", np.array_equal(straight, again[last][0]))
again.epoch = 1
print("the same as in the next epoch:", np.array_equal(straight, again[last][0]))

# %% [markdown]
# This is one training image as it is, and as the network sees it in its first seven epochs: turned, shifted,
# stretched, mirrored. It is moved by up to 30% of its size, so sometimes little of it is left; what is uncovered
# repeats the pixels of the margin.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 1 {display-mode: "form"}
some = chosen[:: max(1, len(chosen) // 200)]
shown = max(some, key=lambda index: data.x_train[[index]].std())  # one with something to see
original = training.prepare(data.x_train[[shown]], recipe)[0]
pictures = [original]
for epoch in range(7):
    generator = training.sample_generator(recipe.seed, epoch, int(shown))
    pictures.append(recipe.augmentation.sample(original.shape, generator).apply(original))
figure = plots.images(pictures, ["original"] + [f"epoch {epoch}" for epoch in range(1, 8)], columns=8)
plots.show(
    figure,
    "A training image, and how the network sees it in seven epochs: turned, shifted, stretched, mirrored.",
    caption="Figure 1. A training image, and what the published transformations make of it.",
)

# %% [markdown]
# The learning rate, too, is a function of the epoch:

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2 {display-mode: "form"}
epochs = np.linspace(0, published.epochs, 50 * 40 + 1)[:-1]
figure = plots.line_chart(
    epochs,
    {"published": [published.learning_rate.rate(epoch, published.epochs) for epoch in epochs]},
    xlabel="epoch",
    ylabel="learning rate",
    markers=False,
)
figure.axes[0].yaxis.set_major_formatter("{x:.4f}")
plots.show(
    figure,
    "Learning rate against the epoch, in steps: in 7 epochs from 0.001 to 0.004, then falling by 15% an epoch to "
    "0.00025; at epoch 25 it starts over.",
    caption="Figure 2. The published learning rate: two cycles of 25 epochs.",
)

# %% [markdown]
# ## 4. The network
#
# `build` sets the seed, so that everybody starts with the same random weights, and the image size and precision of the
# recipe.


# %% tags=["nbval-check-output"]
def build():
    """kMobileNet with at least 16 channels per group, with its initial weights."""
    classes = len(data.class_names)
    return training.build(kMobileNet, recipe, classes=classes, scheme=D6(16))


model = build()
print(f"{kgpc.flops.trainable_parameters(model):,} trainable parameters")
print("images:", model.input_shape[1:], " classes:", model.output_shape[1])

# %% [markdown]
# ## 5. Mixed precision, and images in time
#
# A GPU computes with numbers of 16 bits several times faster than with 32, and needs half the memory for the feature
# maps. The weights stay in 32 bits, where small updates are not rounded away. One word of the recipe decides:

# %% tags=["nbval-check-output"]
rows = []
for precision in ("float32", "mixed_float16", "mixed_bfloat16"):
    mixed = recipe.replace(precision=precision)
    first, *_, last = training.build(kMobileNet, mixed, scheme=D6(16)).layers[1:]
    kinds = (first.compute_dtype, first.variable_dtype, last.compute_dtype)
    rows.append((precision, *kinds))
titles = ["precision", "computes in", "keeps weights in", "last layer computes in"]
plots.table(
    pd.DataFrame(rows, columns=titles),
    "Table 3. What the layers do under each precision.",
)

# %% [markdown]
# - **mixed_float16** works on every GPU since about 2017, Colab's T4 among them. Numbers of this kind end near
#   0.00000006, and many gradients are smaller. So Keras multiplies the loss by a large factor, divides the gradients
#   by it afterwards, and lowers the factor when something overflows.
# - **mixed_bfloat16** has the range of 32 bits with fewer digits and needs no such factor. It does need a newer GPU
#   (A100, L4).
# - The **last layer** always computes in 32 bits, so that a small probability does not become 0.
#
# The quick profile keeps float32: on processors, trainings of most networks take longer in 16 bits
# ([measured](../docs/speed-log.md#bfloat16)).
#
# There is one more thing a GPU needs: images in time. While it computes, threads of the processor enlarge and transform
# the next batches; `workers` says how many threads. They change no result. How many are enough? Let them prepare
# batches of the published recipe, in turns, and hold that against what the published training used.


# %%
def preparing(threads, batches=4):
    """A function that lets threads prepare batches of the published recipe."""
    indices = np.arange(batches * published.batch_size)
    source = training.Batches(data.x_train, data.y_train, published, indices=indices)
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    return lambda: list(pool.map(source.__getitem__, range(batches)))


# %% tags=["nbval-ignore-output"]
cores = os.cpu_count() or 1
counts = sorted({1, 2, min(cores, 8)})
tried = {str(threads): preparing(threads) for threads in counts}
seconds = timing.in_turns(tried, rounds=5, warmup=1)
used = 45_000 / epoch_seconds
print(f"the published training used {used:.0f} images a second")
for threads, duration in seconds.items():
    rate = 4 * published.batch_size / duration
    print(f"prepared with threads = {threads}: {rate:,.0f}")
workers = min(cores, 8)
print(f"{cores} cores, so workers = {workers}")

# %% [markdown]
# All rates are images a second. *What you may see elsewhere:* rates several times as high, or lower where other
# programs keep the cores busy. A second thread brings less than a second core could, because parts of the work take
# turns.
#
# Colab's free runtimes have two cores. As long as the threads prepare several times the images that the published
# training used in a second, two cores are no obstacle, unless the GPU is as many times faster. `workers` is the number
# of cores, at most eight: the thread that drives the GPU mostly waits, and needs no core of its own. More threads than
# cores only take turns.
#
# ## 6. Training, and losing the runtime
#
# `fit` with a `folder` writes the state of the training there after each epoch: weights, the averages of batch
# normalization, the optimizer's memory, dropout's random state, the history, and the best weights so far. While it
# runs, a line says which step of which epoch it is, the loss, the **validation accuracy** after the newest epoch, and
# how long it will take; `history.csv` in the folder has a row for each epoch.
#
# Let us not wait for an accident. In the quick profile we pull the plug in the middle of the second epoch. (A progress
# line is told of each step, so it is a good place to do so.)


# %% tags=["nbval-ignore-output"]
class LostRuntime(Exception):
    """Stands for a runtime that Colab takes back."""


class PulledPlug(training.Progress):
    """A progress line that ends everything in the middle of the second epoch."""

    def advance(self, note=""):
        super().advance(note)
        if self.done == 3 * len(batches) // 2:
            raise LostRuntime


if PROFILE == "quick":
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier execution
    try:
        plug = PulledPlug("kMobileNet 16ch")
        training.fit(model, data, recipe, folder=folder, progress=plug)
    except LostRuntime:
        print("The runtime is gone, and the network with it.")

# %% tags=["nbval-check-output"]
if PROFILE == "quick":
    left = sorted(path.name for path in folder.glob("[!.]*"))
    print("What is left:", ", ".join(left))

# %% [markdown]
# `state-000001.npz` is the state after the first epoch, `state-000000.npz` the one before it. Each is written beside
# its place, forced to the disk, and then renamed. So on a disk of your own a state is **complete or not there at all**,
# even if the computer stops while it is being written.
#
# **On Drive this promise is weaker.** What looks like a folder of Drive is a cache on the runtime's own disk; [Colab's
# developers say](https://github.com/googlecolab/colabtools/issues/659) that data are written there first and uploaded
# later. A runtime that is lost between the two takes with it what was not uploaded: the newest state may be missing on
# Drive, or be empty. That is what the state before it is for. `fit` looks at each state before it believes it (lengths,
# names, shapes and checksums of all arrays) and, where the newest one is damaged, says so and goes on from the one
# before. A loss then costs one epoch more, and never the training. The last cell of this page waits until Drive has
# everything.
#
# Now we begin again, as one would in a new runtime: build the network, and call `fit` with the same arguments.

# %% tags=["nbval-ignore-output"]
model = build()
options = {"folder": folder, "progress": "kMobileNet 16ch", "workers": workers}
result = training.fit(model, data, recipe, **options)
result

# %% [markdown]
# Is that the network that would have come out without the loss? In the quick profile we can afford to look: once more
# from the beginning, without a folder and without an accident.

# %% tags=["nbval-ignore-output"]
if PROFILE == "quick":
    uninterrupted = build()
    straight = training.fit(uninterrupted, data, recipe, progress="without a loss")

# %% tags=["nbval-check-output"]
if PROFILE == "quick":
    pairs = zip(model.get_weights(), uninterrupted.get_weights(), strict=True)
    equal = [np.array_equal(one, other) for one, other in pairs]
    print(f"{len(equal)} arrays of weights, equal to the last bit: {all(equal)}")
    same_losses = np.array_equal(result.step_losses, straight.step_losses)
    print("losses of all steps equal:", same_losses)
    print("the same best epoch:", result.best_epoch == straight.best_epoch)

# %% [markdown]
# Equal to the last bit, and that holds on a processor. A GPU adds numbers in an order that changes from run to run, so
# there even two trainings without any loss differ a little. What an accident costs is the work since the last complete
# epoch, and nothing else.
#
# ## 7. How did it go?
#
# In the quick profile this is a **demonstration**: a few dozen steps on an easy task, to show how to go on after a
# loss. How fast its curve falls says nothing about CIFAR-10.

# %% tags=["nbval-ignore-output"]
plots.table(
    result.history,
    f"Table 4. Our training, a demonstration in the quick profile: {budget}. "
    "Losses in nats, accuracies as fractions of 1, the learning rate at the end.",
    formats={
        "learning_rate": ".5f",
        "loss": ".3f",
        "accuracy": ".3f",
        "val_loss": ".3f",
        "val_accuracy": ".3f",
        "seconds": ".1f",
    },
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 3 {display-mode: "form"}
figure = plots.step_losses({"kMobileNet 16ch": result.step_losses}, guessing=len(data.class_names))
plots.show(
    figure,
    "Training loss against the training step, with the level of guessing.",
    caption=f"Figure 3. Training loss of the demonstration: {budget}.",
)

# %% [markdown]
# *What you may see elsewhere:* on the same kind of processor the same digits. Another kind rounds differently; after a
# few dozen steps the losses differ in their first digits, and the accuracy by as much as another seed changes it, which
# may be more than ten points in so short a training.
#
# A network **that learned** has seen far more images than that. Two such trainings of kMobileNet 16ch are stored with
# kgpc. The first is ours: of the runs of [an experiment](../docs/does-it-hold.md) on small copies of CIFAR-10, the one
# that was trained longest, and of those with equally many epochs the one with the lowest validation loss (`python -m
# kgpc rerun --profile experiment`). It was computed on a processor, in a folder as above, so that it could be
# interrupted and go on. It is a single run, and an answer to no question.

# %% tags=["nbval-ignore-output", "experiment"]
sentence, history = paper.family_results.longest_run("MobileNet", "16ch")
print(sentence)
shown = ["epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]
every = max(1, len(history) // 8)
plots.table(
    history.loc[(len(history) - 1 - history.index) % every == 0, shown],
    "Table 5. A stored training of kMobileNet 16ch on JPEG copies of CIFAR-10.",
    formats=dict.fromkeys(shown[2:], ".3f") | {"learning_rate": ".5f", "epoch": ".0f"},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output", "experiment"]
# @title Figure 4 {display-mode: "form"}
_, history = paper.family_results.longest_run("MobileNet", "16ch")
if len(history):
    figure = plots.line_chart(
        history["epoch"].to_list(),
        {"training images": history["accuracy"].to_list(), "validation images": history["val_accuracy"].to_list()},
        xlabel="epoch",
        ylabel="accuracy",
        percent=True,
    )
    plots.show(
        figure,
        "Accuracy of our stored training on training and validation images against the epoch; it rises from guessing.",
        caption="Figure 4. Our stored training of kMobileNet 16ch: CIFAR-10 as JPEG copies, 33×33 pixels.",
    )

# %% [markdown]
# The second is the authors': the log of their run with CIFAR-10 itself at 224×224 pixels, 50 epochs. The last seven
# epochs are missing in it. After epoch 25 the learning rate starts over: the network forgets for a while, and comes
# out better.

# %% tags=["nbval-check-output"]
best = log["val_accuracy"].max()
print(f"{len(log)} epochs in the log, the best validation accuracy is {best:.2%}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 5 {display-mode: "form"}
figure = plots.line_chart(
    log["epoch"].to_numpy(int),
    {"training images": log["accuracy"].to_numpy(float), "validation images": log["val_accuracy"].to_numpy(float)},
    xlabel="epoch",
    ylabel="accuracy",
    percent=True,
    markers=False,
)
plots.show(
    figure,
    "Published accuracy on training and validation images against the epoch. Both rise to about 85% in 25 epochs, fall "
    "when the learning rate starts over, and rise again, higher.",
    caption="Figure 5. Published, not ours: kMobileNet 16ch on CIFAR-10, 224×224 pixels.",
)

# %% [markdown]
# The two differ in images, size, recipe and length, so neither is better or worse than the other. In both, one
# run each, validation lags behind while the rate is high, and catches up when it has come down.
#
# ## 8. The test
#
# The test images have not been looked at so far: neither the training nor the choice of the epoch has seen them. Of 100
# samples of independent images, 95 give an interval that contains the accuracy on all images of this kind. In the quick
# profile the patches overlap each other, so they are not independent, and the interval is too narrow. It covers the
# choice of the images, not what another seed would change.

# %% tags=["nbval-ignore-output"]
evaluation = training.evaluate(model, data, recipe)
share, low, high = kgpc.comparison.accuracy(evaluation.correct)
print(f"{share:.1%} of {evaluation.images:,} test images, 95% {low:.1%} to {high:.1%}")
print(budget)

# %% [markdown]
# For the network that learned, the published accuracy, and what we measured of the authors' released weights on the
# JPEG copies (`python -m kgpc measure-released`), whose colours are damaged and which that network never saw:

# %% tags=["nbval-check-output"]
which = "label == 'JP35B14' and model == 'kMobileNet'"
row = paper.published().query(which + " and channels_per_group == 16").iloc[0]
print(f"published: {row['test_accuracy_percent']:.2f}% of 10,000 images of CIFAR-10")
measured = paper.released_accuracy.stored().query(which + " and scheme == 'D6(16)'")
for row in measured.query("activations == 'published'").itertuples():
    count = f"{row.test_images:,} images of {row.data}"
    print(f"measured: {row.accuracy_pct:.2f}% of {count}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 6 {display-mode: "form"}
names = data.class_names
shown = np.r_[np.flatnonzero(evaluation.correct)[::97][:4], np.flatnonzero(~evaluation.correct)[::17][:4]]
titles = [f"{names[data.y_test[index]]}\n→ {names[evaluation.predictions[index]]}" for index in shown]
figure = plots.images([data.x_test[np.array([index])][0] for index in shown], titles, columns=8)
plots.show(
    figure,
    "Eight test images with their class and the predicted one: four that are right, four that are wrong.",
    caption="Figure 6. Test images, their class, and what the network of this page says: four right, four wrong.",
)

# %% [markdown]
# ## 9. Saving, and loading in another program
#
# The folder has the best weights as `best.weights.h5`; to load them one has to build the network first. A `.keras` file
# holds both. It needs nothing of the training, only that kgpc is imported, so that Keras knows its layers.

# %% tags=["nbval-check-output"]
path = folder / "model.keras"
model.save(path)

loaded = keras.saving.load_model(path)
images = training.prepare(data.x_test[np.arange(100)], recipe)
difference = np.abs(keras.ops.convert_to_numpy(loaded(images) - model(images)))
print(f"largest difference of 100 x {len(names)} probabilities: {difference.max():.0e}")

# %% tags=["nbval-ignore-output"]
sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("[!.]*"))}
for name, size in sizes.items():
    print(f"{size / 1e6:6.2f} MB  {name}")
whole = sum(sizes.values())
print(f"{whole / 1e6:6.2f} MB  together; Table 1: {on_drive / 1e6:.2f} MB")

# %% [markdown]
# `history.csv` has Table 4, `run.json` says which recipe, network and data the folder belongs to. Table 1 had counted
# the numbers alone; the files with weights have a folder inside for each of many small layers, which takes the rest.
# For predictions there is a faster copy: `kgpc.deploy.fold(model)` works batch normalization into the convolutions;
# [15 To a phone](15_to_a_phone.ipynb) makes a small file of it.
#
# ## Exercises
#
# Write your answer in place of `None` and run the cell: it says whether it is right. Solutions are folded below.
#
# **1.** How many steps does a training by the published recipe take here, and how many images pass through the network?
# (kgpc leaves out the last, incomplete batch of an epoch; the authors' log counts it, and has 704 steps.) Give both
# numbers.

# %% tags=["nbval-check-output"]
answer = None  # your answer: (steps, images)
exercises.check("07.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
steps = published.epochs * (45_000 // published.batch_size)
print(f"{steps:,} steps, {steps * published.batch_size:,} images")
exercises.check("07.1", (steps, steps * published.batch_size))

# %% [markdown]
# **2.** You want to train for one more epoch, change the recipe, and run `fit` with the same folder. Does it go on
# ("goes on"), begin again ("begins again"), or is it refused ("refused")? And why is that good?

# %% tags=["nbval-check-output"]
answer = None  # your answer: "goes on", "begins again" or "refused"
exercises.check("07.2", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# With one epoch more the schedule of the whole training would be another one (in the quick profile), so neither the old
# nor the new recipe would describe what the network has been through.
try:
    training.fit(model, data, recipe.replace(epochs=recipe.epochs + 1), folder=folder)
except ValueError as error:
    print(str(error).partition(" Received")[0])
exercises.check("07.2", "refused")

# %% [markdown]
# **3.** A runtime is lost at a moment that has nothing to do with the epochs. An epoch takes 6 minutes. How many
# minutes of work are lost on average, and what share of the time is that (a number from 0 to 1) if a runtime is lost
# every two hours?

# %% tags=["nbval-check-output"]
answer = None  # your answer: (minutes, share)
exercises.check("07.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# All moments of an epoch are equally likely, so half an epoch is lost on average.
epoch_minutes = 6
print(f"{epoch_minutes / 2:.0f} minutes, {epoch_minutes / 2 / 120:.1%} of the time")
exercises.check("07.3", (epoch_minutes / 2, epoch_minutes / 2 / 120))

# %% [markdown]
# **4.** A runtime is lost in the middle of epoch 12. On Drive the newest state is empty, because it had not been
# uploaded yet; the one before it is whole. Which epoch does `fit` train first?

# %% tags=["nbval-check-output"]
answer = None  # your answer: a number
exercises.check("07.4", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 4 {display-mode: "form"}
# In epoch 12 the newest state is the one after epoch 11. It is damaged, so the one after epoch 10 counts.
newest = 12 - 1
whole = newest - 1
print(f"epoch {whole + 1}: two epochs are trained again, and not more")
exercises.check("07.4", whole + 1)

# %% [markdown]
# ## Before you close Colab
#
# What was written to Drive may still be on its way. This waits for it, and takes the folder away; so it comes last.

# %% tags=["nbval-check-output"]
if drive_folder:
    drive.flush_and_unmount()
    print("Drive has everything.")
else:
    print("No Drive, nothing to wait for.")

# %% [markdown]
# ## Summary
#
# - A recipe is a value: one can read it, compare it, change one thing of it, and work out what it will cost.
# - Order and transformations of the images are functions of seed and epoch. Together with a complete state on disk
#   after each epoch, this is all it takes to go on after a loss as if there had been none.
# - On Colab, wheel, archive and states lie on Drive. After a loss, run all cells again.
# - Drive uploads late. A loss may cost the newest state; the one before it is kept for that.
# - Mixed precision and threads are for GPUs; the recipe and one argument switch them on.
# - The test images come last, with an interval.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). Network, recipe and published numbers.
# - P. Micikevicius et al.: *Mixed Precision Training*. ICLR 2018, [arXiv:1710.03740](https://arxiv.org/abs/1710.03740).
# - L. N. Smith: *Cyclical Learning Rates for Training Neural Networks*. WACV 2017,
#   [arXiv:1506.01186](https://arxiv.org/abs/1506.01186).
# - A. Krizhevsky: *Learning Multiple Layers of Features from Tiny Images*. University of Toronto, 2009. CIFAR-10.
# - The photographs of the quick profile: [where each comes from](../data/README.md).
