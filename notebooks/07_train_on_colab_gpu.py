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
# - decide what mixed precision and threads are good for;
# - test the network, save it, and load it again in another program.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or at least an idea of what is being trained. No GPU for the quick
# profile. **Running time:** a minute or two on two CPU cores in the quick profile, which runs the same code on images
# that come along. The paper profile downloads CIFAR-10 and trains for 50 epochs at 224×224 pixels. In the published log
# an epoch took 7 minutes, so all of them six hours. In Colab choose *Runtime, Change runtime type, GPU* first. If the
# setup cell says that kgpc is not installed, make a wheel of it in a clone of the repository (`python -m pip wheel
# --no-deps .`) and upload `kgpc-*.whl` to Colab's files.

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

# %%
import shutil

import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, datasets, plots, training
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

# %% [markdown]
# ## 1. A folder that outlives the computer
#
# A Colab runtime is a computer on loan. It is taken back after some hours, or when nobody looks at it, and all its
# files go with it. Google Drive stays. So in Colab the paper profile writes everything that matters there; you are
# asked for permission. Elsewhere a folder beside the notebook will do.

# %% tags=["nbval-ignore-output"]
in_colab = importlib.util.find_spec("google") is not None and importlib.util.find_spec("google.colab") is not None
if PROFILE == "paper" and in_colab:
    from google.colab import drive

    drive.mount("/content/drive")
    results = Path("/content/drive/MyDrive/kgpc")
else:
    results = Path(os.environ.get("KGPC_RESULTS", "results"))
folder = results / f"kmobilenet-16ch-{PROFILE}"

devices = [device for device in keras.distribution.list_devices() if not device.startswith("cpu")]
print("GPU:", ", ".join(devices) or "none, the processor computes")

# %% [markdown]
# ## 2. Data and recipe
#
# `training.recipe("CIFAR-10")` is a published recipe as a value: nothing is hidden in code. Here is the one of
# kMobileNet, and what the quick profile takes in its place.

# %% tags=["nbval-check-output"]
published = training.recipe("CIFAR-10", "JP35B14")
quick = training.QUICK.replace(epochs=3, train_images=1600, augmentation=published.augmentation)

fields = [name for name, value in vars(published).items() if name not in ("name", "learning_rate", "augmentation")]
rows = [("schedule", type(published.learning_rate).__name__, type(quick.learning_rate).__name__)]
rows += [(name, getattr(published, name), getattr(quick, name)) for name in fields]
plots.table(
    pd.DataFrame(rows, columns=["", "published", "quick"]).astype(str).replace("None", ""),
    "Table 1. The published recipe of kMobileNet on CIFAR-10, and the one of the quick profile. Empty: all images, no "
    "class weights, Keras' own momentum (0.99).",
)

# %% [markdown]
# Most lines speak for themselves; a few need a word.
#
# - **validation_split**: for validation the published run set aside the first tenth of each class, in the order of the
#   data set; the quick profile draws a tenth of each class at random.
# - **validation_views**: it even transformed the validation images at random, as it did in training. That makes its
#   validation accuracy lower than the test accuracy.
# - **monitor**: what decides which epoch was the best. The network ends with the weights of that one.
# - **batch_norm_momentum**: over how many steps batch normalization averages; see
#   [notebook 02](02_kmobilenet.ipynb), section 6.
#
# In a training on a GPU we change one thing: the precision (section 4). Now the images.

# %% tags=["nbval-check-output"]
if PROFILE == "paper":
    data = datasets.load("CIFAR-10")
    recipe = published.replace(precision="mixed_float16")
else:
    data = datasets.fashion_mnist_sample()
    recipe = quick
budget = f"{data.name}, {recipe.image_size}×{recipe.image_size} pixels, {recipe.epochs} epochs"

chosen, for_validation = training.split(data.y_train, recipe)
batches = training.Batches(data.x_train, data.y_train, recipe, indices=chosen)
print(f"{len(chosen):,} images to train on, {len(for_validation):,} for validation, {len(data.x_test):,} for the test")
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
print("the same as when it is asked for first:", np.array_equal(straight, again[last][0]))
again.epoch = 1
print("the same as that of the next epoch:    ", np.array_equal(straight, again[last][0]))

# %% tags=["nbval-ignore-output"]
original = training.prepare(data.x_train[chosen[:1]], recipe)[0]
pictures = [original]
for epoch in range(7):
    generator = training.sample_generator(recipe.seed, epoch, int(chosen[0]))
    pictures.append(recipe.augmentation.sample(original.shape, generator).apply(original))
figure = plots.images(pictures, ["original"] + [f"epoch {epoch}" for epoch in range(1, 8)], columns=8)
plots.show(
    figure, "A training image, and how the network sees it in seven epochs: turned, shifted, stretched, mirrored."
)

# %% [markdown]
# The transformed image is moved by up to 30% of its size, so sometimes little of it is left; what is uncovered repeats
# the pixels of the margin. The learning rate, too, is a function of the epoch:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
epochs = np.linspace(0, published.epochs, 50 * 40 + 1)[:-1]
figure = plots.line_chart(
    epochs,
    {"published": [published.learning_rate.rate(epoch, published.epochs) for epoch in epochs]},
    xlabel="epoch",
    ylabel="learning rate",
    title="The published learning rate: two cycles of 25 epochs",
    markers=False,
)
figure.axes[0].yaxis.set_major_formatter("{x:.4f}")
plots.show(
    figure,
    "Learning rate against the epoch, in steps: in 7 epochs from 0.001 to 0.004, then falling by 15% an epoch to "
    "0.00025; at epoch 25 it starts over.",
)

# %% [markdown]
# ## 3. The network
#
# `build` sets the seed, so that everybody starts with the same random weights, and the image size and precision of the
# recipe.


# %% tags=["nbval-check-output"]
def build():
    """kMobileNet with at least 16 channels per group, with its initial weights."""
    return training.build(kMobileNet, recipe, classes=len(data.class_names), scheme=D6(16))


model = build()
print(f"{kgpc.flops.trainable_parameters(model):,} trainable parameters")
print("images:", model.input_shape[1:], " classes:", model.output_shape[1])

# %% [markdown]
# ## 4. Mixed precision
#
# A GPU computes with numbers of 16 bits several times faster than with 32, and needs half the memory for the feature
# maps. The weights stay in 32 bits, where small updates are not rounded away. One word of the recipe decides:

# %% tags=["nbval-check-output"]
rows = []
for precision in ("float32", "mixed_float16", "mixed_bfloat16"):
    layers = training.build(kMobileNet, recipe.replace(precision=precision), classes=10, scheme=D6(16)).layers
    rows.append((precision, layers[1].compute_dtype, layers[1].variable_dtype, layers[-1].compute_dtype))
plots.table(
    pd.DataFrame(rows, columns=["precision", "computes in", "keeps weights in", "last layer computes in"]),
    "Table 2. What the layers do under each precision.",
)

# %% [markdown]
# - **mixed_float16** works on every GPU since about 2017, Colab's T4 among them. Numbers of this kind end near
#   0.00000006, and many gradients are smaller. So Keras multiplies the loss by a large factor, divides the gradients
#   by it afterwards, and lowers the factor when something overflows.
# - **mixed_bfloat16** has the range of 32 bits with fewer digits and needs no factor, but newer GPUs (A100, L4).
# - The **last layer** always computes in 32 bits, so that a small probability does not become 0.
#
# The quick profile keeps float32: a processor gains nothing. There is one more thing a GPU needs, images in time:
# `workers` threads prepare batches side by side. They change nothing but the time.

# %% tags=["nbval-ignore-output"]
workers = max(1, (os.cpu_count() or 1) - 1)
print("threads that prepare batches:", workers)

# %% [markdown]
# ## 5. Training, and losing the runtime
#
# `fit` with a `folder` writes the state of the training there after each epoch: weights, the averages of batch
# normalization, the optimizer's memory, dropout's random state, the history, and the best weights so far. If the
# runtime is lost, open this notebook again and run all its cells: the same line goes on after the last complete epoch.
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
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier execution of this notebook
    try:
        training.fit(model, data, recipe, folder=folder, progress=PulledPlug("kMobileNet 16ch"))
    except LostRuntime:
        print("The runtime is gone, and the network with it.")

# %% tags=["nbval-check-output"]
if PROFILE == "quick":
    print("What is left:", ", ".join(sorted(path.name for path in folder.glob("[!.]*"))))

# %% [markdown]
# `state-000001.npz` is the state after the first epoch, `state-000000.npz` the one before it, in case a disk damages
# the newer one. Each is written beside its place and then renamed, so a state is complete or not there at all, even if
# the runtime ends while it is being written.
#
# Now we begin again, as one would in a new runtime: build the network, and call `fit` with the same arguments.

# %% tags=["nbval-ignore-output"]
model = build()
result = training.fit(
    model, data, recipe, folder=folder, progress=training.Progress("kMobileNet 16ch"), workers=workers
)
result

# %% [markdown]
# Is that the network that would have come out without the loss? In the quick profile we can afford to look: once more
# from the beginning, without a folder and without an accident.

# %% tags=["nbval-ignore-output"]
if PROFILE == "quick":
    uninterrupted = build()
    straight = training.fit(uninterrupted, data, recipe, progress=training.Progress("without a loss"))

# %% tags=["nbval-check-output"]
if PROFILE == "quick":
    pairs = list(zip(model.get_weights(), uninterrupted.get_weights(), strict=True))
    print(f"{len(pairs)} arrays of weights, equal to the last bit: {all(np.array_equal(a, b) for a, b in pairs)}")
    print("losses of all steps equal:", np.array_equal(result.step_losses, straight.step_losses))
    print("the same best epoch:", result.best_epoch == straight.best_epoch)

# %% [markdown]
# Equal to the last bit, and that holds on a processor. A GPU adds numbers in an order that changes from run to run, so
# there even two trainings without any loss differ a little. What an accident costs is the work since the last complete
# epoch, and nothing else.
#
# ## 6. How did it go?

# %% tags=["nbval-ignore-output"]
plots.table(
    result.history,
    f"Table 3. Our training. {budget}. Losses in nats, accuracies as fractions of 1.",
    formats={
        "learning_rate": ".5f",
        "loss": ".3f",
        "accuracy": ".3f",
        "val_loss": ".3f",
        "val_accuracy": ".3f",
        "seconds": ".1f",
    },
)

# %% [markdown]
# In the quick profile that is not far. 75 steps on images that are turned, shifted and stretched are too few to learn
# much from: while the learning rate is high the loss can be worse than that of guessing (the dotted line), and it ends
# a little below. This run shows how to go on after a loss, not what the network can do.

# %% tags=["nbval-ignore-output"]
figure = plots.step_losses(
    {"kMobileNet 16ch": result.step_losses},
    title=f"Training loss. {budget}",
    guessing=len(data.class_names),
)
plots.show(figure, "Training loss against the training step, with the level of guessing.")

# %% [markdown]
# This is what the authors' log says of their run of the same network: CIFAR-10, 224×224 pixels, 50 epochs. The last
# seven epochs are missing in it. After epoch 25 the learning rate starts over: the network forgets for a while, and
# comes out better.

# %% tags=["nbval-check-output"]
curves = kgpc.paper.published("training_curves")
log = curves[(curves["label"] == "JP35B14") & (curves["channels_per_group"] == 16)]
print(f"{len(log)} epochs in the log, the best validation accuracy is {log['val_accuracy'].max():.2%}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
figure = plots.line_chart(
    log["epoch"].to_numpy(int),
    {"training images": log["accuracy"].to_numpy(float), "validation images": log["val_accuracy"].to_numpy(float)},
    xlabel="epoch",
    ylabel="accuracy",
    title="Published, not ours: kMobileNet 16ch on CIFAR-10",
    percent=True,
    markers=False,
)
plots.show(
    figure,
    "Published accuracy on training and validation images against the epoch. Both rise to about 85% in 25 epochs, fall "
    "when the learning rate starts over, and rise again, higher.",
)

# %% [markdown]
# ## 7. The test
#
# The test images have not been looked at so far: neither the training nor the choice of the epoch has seen them. The
# interval says where the accuracy on all images of this kind lies, in 95% of all samples of this size.

# %% tags=["nbval-ignore-output"]
evaluation = training.evaluate(model, data, recipe)
share, low, high = kgpc.comparison.accuracy(evaluation.correct)
print(f"{share:.1%} of {evaluation.images:,} test images, 95% interval {low:.1%} to {high:.1%}. {budget}.")

# %% tags=["nbval-check-output"]
rows = kgpc.paper.published().query("dataset == 'CIFAR-10' and model == 'kMobileNet' and channels_per_group == 16")
accuracy = rows["test_accuracy_percent"].iloc[0]
print(f"published, another experiment unless the profile is paper: {accuracy:.2f}% of 10,000 images of CIFAR-10")

# %% tags=["nbval-ignore-output"]
shown = np.r_[np.flatnonzero(evaluation.correct)[:4], np.flatnonzero(~evaluation.correct)[:4]]
titles = [
    f"{data.class_names[data.y_test[index]]}\n→ {data.class_names[evaluation.predictions[index]]}" for index in shown
]
figure = plots.images([data.x_test[np.array([index])][0] for index in shown], titles, columns=8)
plots.show(
    figure, "Eight test images with their class and the predicted one: four that are right, four that are wrong."
)

# %% [markdown]
# ## 8. Saving, and loading in another program
#
# The folder has the best weights as `best.weights.h5`; to load them one has to build the network first. A `.keras` file
# holds both. It needs nothing of the training, only that kgpc is imported, so that Keras knows its layers.

# %% tags=["nbval-check-output"]
path = folder / "model.keras"
model.save(path)

loaded = keras.saving.load_model(path)
images = training.prepare(data.x_test[np.arange(100)], recipe)
difference = np.abs(keras.ops.convert_to_numpy(loaded(images) - model(images))).max()
print(f"largest difference of 100 x {len(data.class_names)} probabilities: {difference:.0e}")
print("files:", ", ".join(sorted(path.name for path in folder.glob("[!.]*"))))

# %% [markdown]
# `history.csv` has Table 3, `run.json` says which recipe, network and data the folder belongs to. For predictions alone
# there is a faster copy: `kgpc.deploy.fold(model)` works batch normalization into the convolutions.
#
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** How many steps does the published training take, and how many images pass through the network? (The last,
# incomplete batch of an epoch is left out.)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
steps = published.epochs * (45_000 // published.batch_size)
print(f"{steps:,} steps, {steps * published.batch_size:,} images")

# %% [markdown]
# **2.** You want to train for one more epoch, change the recipe, and run `fit` with the same folder. What happens, and
# why is that good?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# It is refused: with one epoch more the schedule of the whole training would be another one (in the quick profile), so
# neither the old nor the new recipe would describe what the network has been through.
try:
    training.fit(model, data, recipe.replace(epochs=recipe.epochs + 1), folder=folder)
except ValueError as error:
    print(str(error).partition(" Received")[0])

# %% [markdown]
# **3.** A runtime is lost at a moment that has nothing to do with the epochs. An epoch takes 6 minutes. How much work
# is lost on average, and what share of the time is it if a runtime is lost every two hours?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# All moments of an epoch are equally likely, so half an epoch is lost on average.
epoch_minutes = 6
print(f"{epoch_minutes / 2:.0f} minutes, {epoch_minutes / 2 / 120:.1%} of the time")

# %% [markdown]
# ## Summary
#
# - A recipe is a value: one can read it, compare it, and change one thing of it.
# - Order and transformations of the images are functions of seed and epoch. Together with a complete state on disk
#   after each epoch, this is all it takes to go on after a loss as if there had been none.
# - In Colab the folder has to be on Drive. After a loss, run all cells again.
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
# - H. Xiao, K. Rasul, R. Vollgraf: *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms*.
#   2017, [arXiv:1708.07747](https://arxiv.org/abs/1708.07747).
