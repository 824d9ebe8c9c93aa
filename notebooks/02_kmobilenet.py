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
# # 02 · kMobileNet
#
# **MobileNet with a tenth of its parameters: how it is built, and what it learns on real images.**
#
# After this page you can
#
# - read kMobileNet block by block, and say where its parameters went;
# - train four networks under the same conditions, and compare them in one table;
# - say what grouping gives beyond "a smaller network": the control is a MobileNet made equally small by width.
#
# **You need** [01 Theory](01_theory.ipynb) or an idea of what D6 does. No GPU, no download.
# **Running time:** two to three minutes on two CPU cores in the quick profile. The paper profile downloads
# CIFAR-10 and wants a GPU for some hours.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Setup (the same in every notebook: installs kgpc where it is missing) {display-mode: "form"}
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # fewer start-up messages from TensorFlow
REPOSITORY = ""  # where kgpc can be cloned from; empty while it has no public address
if importlib.util.find_spec("kgpc") is None:
    wheels = sorted(str(path) for path in Path().glob("kgpc-*.whl"))
    source = wheels[-1] if wheels else REPOSITORY and f"git+{REPOSITORY}"
    if not source:
        raise ModuleNotFoundError(
            "kgpc is not installed, and no kgpc-*.whl lies beside this notebook. In a clone of the "
            "repository, `python3 start.py lab` opens the notebooks with all that they need."
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters"]
PROFILE = "quick"  # @param ["quick", "paper"]

# %%
import dataclasses
import time

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

import kgpc
from kgpc import D6, plots
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

# %% [markdown]
# ## One block
#
# MobileNet is a stem (an ordinary 3×3 convolution) and thirteen blocks. Each block is a *depthwise* convolution, one
# 3×3 kernel per channel, and a *pointwise* one, which mixes the channels. kMobileNet keeps the stem and the depthwise
# convolutions, and puts the sub-network D6 in place of each pointwise convolution:
#
# 1. **K**, a grouped convolution, with batch normalization and swish;
# 2. the channels *interleaved*, so that the next groups hold channels of many old groups;
# 3. where there are no more filters than input channels: **L**, a second grouped convolution like K, added to K.
#
# Here is the channel traffic in a block with few channels, 12 in and 12 out, at least 3 in each group. Colours say
# which groups of the input a channel depends on.

# %%
plots.show(
    plots.subnetwork(D6(3).plan(12, 12), title="One D6 sub-network: K, interleaving, L, and the sum"),
    "Diagram of twelve channels in four groups. After K each channel has one colour; after interleaving and L "
    "each channel has the colours of several groups; K is added at the end.",
)

# %% [markdown]
# ## Block by block
#
# The whole network follows from a plan per block. In the table, *ordinary* are the weights of the pointwise
# convolution that MobileNet has there, *K* and *L* those of the grouped convolutions in its place.

# %% tags=["nbval-check-output"]
channels, rows = 32, []
for block, (filters, stride) in enumerate(kgpc.applications.mobilenet.BLOCKS, start=1):
    plan = D6(16).plan(channels, filters)
    rows.append(
        {
            "block": block,
            "stride": stride,
            "channels in": channels,
            "filters": filters,
            "groups": plan.groups,
            "ordinary": plan.ordinary_weights,
            "K": plan.first.weights,
            "L": plan.second.weights if plan.second else 0,
        }
    )
    channels = filters
blocks = pd.DataFrame(rows)
blocks["left"] = (blocks["K"] + blocks["L"]) / blocks["ordinary"]

plots.table(blocks, "Table 1. Weights of the pointwise convolutions, with D6(16).", formats={"left": ".1%"})

# %% [markdown]
# The first block gains little: 32 channels make two groups. The last one keeps 3% of its weights. Where channels
# double (filters = 2 × channels), there is no L: the next block's K does the mixing.
#
# ## Where the parameters are
#
# The built network has more than pointwise weights. `kgpc.flops.layer_table` counts every layer; we sort the layers
# by their names into parts.


# %%
def part_of(layer):
    """Part of the network that a row of `layer_table` belongs to."""
    if layer.kind == "BatchNormalization":
        return "batch normalization"
    if layer.layer.startswith("conv_pw"):
        return "pointwise L" if "interconn" in layer.layer else "pointwise (K)"
    if layer.layer.startswith("conv_dw"):
        return "depthwise"
    return "classifier" if layer.layer.startswith("conv_preds") else "stem"


PARTS = ["pointwise (K)", "pointwise L", "depthwise", "batch normalization", "stem", "classifier"]


def parameters_by_part(model):
    """Trainable parameters of each part of a network."""
    layers = kgpc.flops.layer_table(model)
    parts = [part_of(layer) for layer in layers.itertuples()]
    return layers.groupby(parts)["trainable_parameters"].sum().reindex(PARTS, fill_value=0)


large = {"input_shape": (224, 224, 3), "classes": 10}
parts = pd.DataFrame(
    {
        "MobileNet": parameters_by_part(kMobileNet(scheme=None, **large)),
        "kMobileNet 32ch": parameters_by_part(kMobileNet(scheme=D6(32), **large)),
        "kMobileNet 16ch": parameters_by_part(kMobileNet(scheme=D6(16), **large)),
    }
)

# %% tags=["nbval-check-output"]
plots.table(parts, "Table 2. Trainable parameters of each part, for 10 classes.")

# %% [markdown]
# In MobileNet everything but the pointwise convolutions is small change. In kMobileNet 16ch it is nearly half:
# depthwise kernels and batch normalization are as they were, and L brings a normalization of its own.
#
# ## The experiment
#
# Four networks, the same images, the same number of epochs, the same order of the images, the same optimizer:
#
# - **MobileNet**: `scheme=None` builds it with ordinary pointwise convolutions;
# - **kMobileNet 32ch** and **kMobileNet 16ch**;
# - **narrow MobileNet**: the control. `alpha` multiplies the width of all layers; we look for the value that leaves
#   as many parameters as kMobileNet 16ch has. If the control is as good, grouping is no better than a narrow
#   network.


# %%
@dataclasses.dataclass(frozen=True)
class Budget:
    """What one profile trains with."""

    image_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    description: str


BUDGETS = {
    "quick": Budget(32, 2, 64, 1e-2, "6,000 images of Fashion-MNIST at 32×32 pixels, 2 epochs"),
    "paper": Budget(224, 50, 64, 1e-3, "CIFAR-10 at 224×224 pixels, 50 epochs"),
}
budget = BUDGETS[PROFILE]
print(f"Profile {PROFILE}: {budget.description}, batches of {budget.batch_size}.")


# %%
def build(scheme=None, alpha=1.0):
    """A network for the images of this profile; the same strides for all."""
    return kMobileNet(input_shape=(budget.image_size, budget.image_size, 3), classes=10, scheme=scheme, alpha=alpha)


target = kgpc.flops.trainable_parameters(build(D6(16)))
candidates = {
    alpha: kgpc.flops.trainable_parameters(build(alpha=alpha))
    for alpha in np.arange(0.24, 0.30, 0.01).round(2).tolist()
}
narrow = min(candidates, key=lambda alpha: abs(candidates[alpha] - target))
networks = {
    "MobileNet": build(),
    "kMobileNet 32ch": build(D6(32)),
    "kMobileNet 16ch": build(D6(16)),
    "narrow MobileNet": build(alpha=narrow),
}

# %% tags=["nbval-check-output"]
search = pd.DataFrame({"alpha": candidates.keys(), "trainable parameters": candidates.values()})
search["over kMobileNet 16ch"] = search["trainable parameters"] / target - 1
plots.table(search, "Table 3. How wide the control may be.", formats={"alpha": ".2f", "over kMobileNet 16ch": "+.1%"})

# %% [markdown]
# ## The images
#
# The sample that comes with kgpc holds 6,000 training and 1,000 test images of Fashion-MNIST: grey, 28×28 pixels, ten
# kinds of clothing, equally many of each. We pad them to 32×32 and repeat grey in three channels.


# %%
def load():
    """Training and test images as floats in [0, 1], with labels and class names."""
    if PROFILE == "quick":
        data = kgpc.datasets.fashion_mnist_sample()
        as_input = kgpc.datasets.as_model_input
        return as_input(data.x_train), data.y_train, as_input(data.x_test), data.y_test, data.class_names
    (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return x_train, y_train[:, 0], x_test, y_test[:, 0], names


x_train, y_train, x_test, y_test, class_names = load()
print(f"{len(x_train):,} training images, {len(x_test):,} test images, shape {x_train.shape[1:]}")

# %%
import matplotlib.pyplot as plt

figure, rows_of_axes = plt.subplots(2, 5, figsize=(7.5, 3.5), layout="constrained")
for label, axes in enumerate(rows_of_axes.flat):
    axes.imshow(x_train[np.flatnonzero(y_train == label)[0]])
    axes.set_title(class_names[label], fontsize=9)
    axes.axis("off")
plots.show(figure, "One training image of each of the ten classes, with its name.")

# %% [markdown]
# ## Training
#
# Two details decide whether such a comparison is fair.
#
# *The order of the images* is drawn from the seed and the number of the epoch, so all networks see the same
# batches, and another order in each epoch.
#
# *Batch normalization* averages its statistics over many steps. A run this short ends before the averages have caught
# up with the weights. So before each test we estimate the statistics anew, from 1,000 training images, for every
# network alike. This changes no weight.
#
# The optimizer is Adam, with a rate that rises for a quarter of the steps and then falls. It is the same for all
# four, and it is ours: the published runs had RMSprop, a cyclical rate and augmented images. So the paper profile
# has the paper's images, size and number of epochs, but not its recipe, and its accuracies will differ from the
# published ones.


# %%
SEED = 7


class Batches(keras.utils.PyDataset):
    """Training batches in an order drawn from seed and epoch; images are resized batch by batch where needed."""

    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels, self.epoch = images, labels, 0

    def __len__(self):
        return len(self.images) // budget.batch_size

    def __getitem__(self, index):
        order = np.random.default_rng((SEED, self.epoch)).permutation(len(self.images))
        chosen = order[index * budget.batch_size : (index + 1) * budget.batch_size]
        return prepare(self.images[chosen]), self.labels[chosen]


def prepare(images):
    """Floats in [0, 1] at the size of this profile; enlarged by repeating pixels, as the paper did."""
    if images.dtype == np.uint8:
        images = images.astype("float32") / 255
    factor = budget.image_size // images.shape[1]
    return images.repeat(factor, axis=1).repeat(factor, axis=2) if factor > 1 else images


def renew_statistics(model, images):
    """Sets the moving statistics of batch normalization to the averages over some images."""
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for step, start in enumerate(range(0, len(images), 250)):
        for layer in normalizations:
            layer.momentum = step / (step + 1)  # the running mean of all batches so far
        model(prepare(images[start : start + 250]), training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def accuracy(model):
    """Share of test images that are classified correctly."""
    right = 0
    for start in range(0, len(x_test), 250):
        probabilities = model.predict_on_batch(prepare(x_test[start : start + 250]))
        right += (probabilities.argmax(axis=1) == y_test[start : start + 250]).sum()
    return right / len(x_test)


# %%
class Watch(keras.callbacks.Callback):
    """Moves the progress bar, sets the epoch of the batches, and tests after each epoch."""

    def __init__(self, batches, bar):
        super().__init__()
        self.batches, self.bar, self.losses, self.accuracies, self.testing = batches, bar, [], [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        start = time.perf_counter()
        renew_statistics(self.model, x_train[:1000])
        self.accuracies.append(accuracy(self.model))
        self.testing += time.perf_counter() - start


def train(model, bar):
    """Trains a network and returns what was seen on the way, and the seconds without the tests."""
    keras.utils.set_random_seed(SEED)
    batches = Batches(x_train, y_train)
    steps = len(batches) * budget.epochs
    rate = keras.optimizers.schedules.CosineDecay(
        budget.learning_rate / 10, steps * 3 // 4, warmup_target=budget.learning_rate, warmup_steps=steps // 4
    )
    # Without XLA, which is slow for depthwise convolutions on a CPU.
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    watch = Watch(batches, bar)
    start = time.perf_counter()
    model.fit(batches, epochs=budget.epochs, shuffle=False, verbose=0, callbacks=[watch])
    return watch, time.perf_counter() - start - watch.testing


# %% tags=["nbval-ignore-output"]
watches, seconds = {}, {}
total_steps = len(networks) * budget.epochs * (len(x_train) // budget.batch_size)
with tqdm(total=total_steps, unit="step", mininterval=1) as bar:
    for name, model in networks.items():
        bar.set_description(name)
        watches[name], seconds[name] = train(model, bar)

# %% [markdown]
# ## Learning curves
#
# First the loss of the training batches. It is averaged over the steps so far in the epoch, which is why it starts
# anew with each epoch. Then the accuracy on the test images after each epoch.

# %%
losses = {name: np.array(watch.losses) for name, watch in watches.items()}
steps = np.arange(1, len(losses["MobileNet"]) + 1)
figure = plots.line_chart(
    steps,
    losses,
    xlabel="training step",
    ylabel="training loss (cross-entropy)",
    title=f"Loss, {PROFILE} profile",
    markers=False,
)
plots.show(figure, "Training loss of the four networks against the training step; all fall from about 2.3.")

# %%
figure = plots.line_chart(
    np.arange(1, budget.epochs + 1),
    {name: np.array(watch.accuracies) for name, watch in watches.items()},
    xlabel="epoch",
    ylabel="test accuracy",
    title=f"Test accuracy, {PROFILE} profile: {budget.description}",
    levels={"chance": 0.1},
    percent=True,
)
plots.show(figure, "Test accuracy of the four networks after each epoch, with the level of chance at 10%.")

# %% [markdown]
# ## The table

# %% tags=["nbval-ignore-output"]
comparison = pd.DataFrame(
    {
        "model": list(networks),
        "trainable parameters": [kgpc.flops.trainable_parameters(model) for model in networks.values()],
        "paper flops": [kgpc.flops.paper_flops(model) for model in networks.values()],
        "test accuracy": [watches[name].accuracies[-1] for name in networks],
        "training seconds": [seconds[name] for name in networks],
    }
)
plots.table(
    comparison,
    f"Table 4. {PROFILE.capitalize()} profile: {budget.description}; flops for one image of that size.",
    formats={"test accuracy": ".1%", "training seconds": ".0f"},
)

# %% [markdown]
# Beside it, what the authors published. Their runs are another experiment: CIFAR-10 at 224×224 pixels, 50 epochs.

# %% tags=["nbval-check-output"]
published = kgpc.paper.published().query("dataset == 'CIFAR-10' and model in ['MobileNet', 'kMobileNet']")
paper_rows = pd.DataFrame(
    {
        "model": [
            name if pd.isna(size) else f"{name} {size}ch"
            for name, size in zip(published["model"], published["channels_per_group"], strict=True)
        ],
        "trainable parameters": published["parameters"].to_list(),
        "paper flops": published["flops"].to_list(),
        "test accuracy": (published["test_accuracy_percent"] / 100).to_list(),
    }
)
plots.table(
    paper_rows,
    "Table 5. As published for CIFAR-10 (the paper's runs, not ours).",
    formats={"test accuracy": ".2%"},
)

# %% [markdown]
# What do our numbers say? A test on 1,000 images is itself uncertain: if the true accuracy is $p$, the measured one
# scatters around it with a standard error of $\sqrt{p(1-p)/n}$, where $n$ is the number of test images. Differences
# of less than about two of these should not be called differences. And one run per network says nothing about
# another seed.

# %% tags=["nbval-ignore-output"]
by_name = comparison.set_index("model")["test accuracy"]
ours = by_name["kMobileNet 16ch"]
error = np.sqrt(ours * (1 - ours) / len(x_test))
print(f"Standard error of an accuracy near {ours:.0%} on {len(x_test):,} images: {error:.1%}\n")
for other in ("MobileNet", "kMobileNet 32ch", "narrow MobileNet"):
    difference = ours - by_name[other]
    if abs(difference) < 2 * np.sqrt(2) * error:
        verdict = "too close to call"
    else:
        verdict = "better" if difference > 0 else "worse"
    print(f"kMobileNet 16ch against {other:17}: {100 * difference:+5.1f} points, {verdict}")

# %% [markdown]
# The table goes to a file too, written whole or not at all.

# %%
folder = Path(os.environ.get("KGPC_RESULTS", "results"))
folder.mkdir(parents=True, exist_ok=True)
comparison.to_csv(folder / "comparison.csv.part", index=False)
os.replace(folder / "comparison.csv.part", folder / "comparison.csv")

# %% [markdown]
# ## Exercises
#
# **1.** Which layers of kMobileNet 16ch have exactly the groups of 16 channels that were asked for, and which have
# more channels in a group? Why?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# All channel counts are powers of two here, so 16 always divides both sides. L reads the filters of
# K, and its groups are filters / groups channels wide: 16 where channels and filters are equal.
channels = 32
for filters, _ in kgpc.applications.mobilenet.BLOCKS:
    plan = D6(16).plan(channels, filters)
    widths = [stage.paths[0].channels_per_group for stage in plan.stages]
    print(f"{channels:5} to {filters:5}: channels per group {widths}")
    channels = filters

# %% [markdown]
# **2.** How many parameters would kMobileNet have if only the last six blocks were grouped? Use Table 1.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# Nearly all weights sit in the late, wide blocks, so grouping those alone saves nearly as much. (Pointwise
# weights only; batch normalization of L comes on top.)
late = blocks["block"] >= 8
grouped = blocks["K"] + blocks["L"]
print(f"all ordinary:          {blocks['ordinary'].sum():>9,}")
print(f"last six grouped:      {(grouped.where(late, blocks['ordinary'])).sum():>9,}")
print(f"all thirteen grouped:  {grouped.sum():>9,}")

# %% [markdown]
# **3.** Take L and the interleaving away: `kgpc.Grouped(16)`. How many parameters does that save, and what does it
# cost in depth of mixing? Train it with `train` if you have a minute.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# Without interleaving channels of different groups never meet before the classifier: sixteen channels
# and their descendants stay among themselves.
only_groups = kMobileNet(scheme=kgpc.Grouped(16), **large)
print(f"with interleaving and L: {parts['kMobileNet 16ch'].sum():,}")
print(f"groups alone:            {kgpc.flops.trainable_parameters(only_groups):,}")

# %% [markdown]
# ## Summary
#
# - kMobileNet is MobileNet with D6 in place of each pointwise convolution; stem, depthwise convolutions and
#   classifier stay.
# - The savings sit in the wide, late blocks. What is left is spread over all parts of the network.
# - A fair comparison holds images, order, epochs and optimizer fixed, has a control of equal size, and reads
#   differences against their standard error.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)
# - A. G. Howard et al.: *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. 2017.
#   [arXiv:1704.04861](https://arxiv.org/abs/1704.04861)
# - H. Xiao, K. Rasul, R. Vollgraf: *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
#   Algorithms*. 2017. [arXiv:1708.07747](https://arxiv.org/abs/1708.07747)
