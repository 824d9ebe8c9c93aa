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
# **A thirteenth of MobileNet's parameters: how the network is built, and what it still learns.**
#
# After this page you can
#
# - walk through MobileNet and kMobileNet block by block, and say where the parameters of each of them sit;
# - train four networks on the same images under the same conditions, and read the result with its uncertainty;
# - tell what grouping gives beyond "a smaller network", with a control that is just as small.
#
# **You need** [01 Theory](01_theory.ipynb), or at least an idea of what D6 does. No GPU, no download.
# **Running time:** about two minutes on two CPU cores in the quick profile. The paper profile downloads CIFAR-10 and
# trains four networks for 50 epochs at 224×224 pixels: many hours, even with a GPU.

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
import math
import time

import cv2
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

import kgpc
from kgpc import D6, plots
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

# %% [markdown]
# ## 1. From MobileNet to kMobileNet
#
# MobileNet is a stem, which is an ordinary 3×3 convolution, and thirteen blocks of two layers each. The *depthwise*
# convolution looks around in the image, one 3×3 kernel for each channel. The *pointwise* convolution then mixes the
# channels. kMobileNet changes the second layer only: in place of the pointwise convolution comes the sub-network D6,
# made of
#
# 1. **K**, a grouped pointwise convolution;
# 2. **interleaving**, which deals the channels out anew, so that each new group has channels of many old groups;
# 3. **L**, a second grouped convolution, where there are no more filters than input channels, and the sum **K + L**.
#
# Take block 7, with 512 channels in and out. This is what the scheme plans for its pointwise convolution:

# %% tags=["nbval-check-output"]
plan = D6(16).plan(in_channels=512, filters=512)

print(f"pointwise convolution: {plan.ordinary_weights:,} weights")
for name, stage in {"K": plan.first, "L": plan.second}.items():
    width = stage.paths[0].channels_per_group
    print(f"{name}: {stage.groups} groups of {width} channels, {stage.weights:,} weights")
print(f"interleaving: every {plan.interleave_step}th channel")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
DEPTHWISE, POINTWISE = plots.LAYER_COLORS["depthwise"], plots.LAYER_COLORS["pointwise"]
NORMALIZATION, NOTHING = plots.LAYER_COLORS["batch normalization"], "#FFFFFF"


def block_diagram(columns, shortcut):
    """Layers as boxes from top to bottom, one column for each network.

    An arrow leads past some boxes of the last column, from below the first to the second of `shortcut`.
    """
    figure, axes = plt.subplots(figsize=(7.5, 5.4), layout="constrained")
    tallest = max(len(boxes) for boxes in columns.values())
    arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    for column, (title, boxes) in enumerate(columns.items()):
        axes.text(column, 0.75, title, ha="center", va="center", fontweight="bold")
        axes.annotate("", (column, 0.33), (column, 0.6), arrowprops=arrow)
        for row, (text, color) in enumerate(boxes):
            corner = (column - 0.33, -row - 0.33)
            axes.add_patch(plt.Rectangle(corner, 0.66, 0.66, facecolor=color, edgecolor="black"))
            ink = "white" if color == POINTWISE else "black"
            axes.text(column, -row, text, ha="center", va="center", fontsize=9, color=ink)
            length = 0.34 if row + 1 < len(boxes) else 0.42
            axes.annotate("", (column, -row - 0.33 - length), (column, -row - 0.33), arrowprops=arrow)
    first, last = shortcut
    right = len(columns) - 0.55
    axes.plot([right - 0.45, right, right], [-first - 0.5, -first - 0.5, -last], color="black", linewidth=1.2)
    axes.annotate("", (right - 0.12, -last), (right, -last), arrowprops=arrow)
    axes.set(xlim=(-0.45, len(columns) - 0.4), ylim=(-tallest + 0.2, 1.0))
    axes.axis("off")
    return figure


depthwise = 3 * 3 * 512
columns = {
    f"MobileNet: {depthwise + plan.ordinary_weights:,} weights": [
        (f"depthwise 3×3\n{depthwise:,} weights", DEPTHWISE),
        ("batch normalization, ReLU6", NORMALIZATION),
        (f"pointwise, 512 → 512\n{plan.ordinary_weights:,} weights", POINTWISE),
        ("batch normalization, ReLU6", NORMALIZATION),
    ],
    f"kMobileNet 16ch: {depthwise + plan.weights:,} weights": [
        (f"depthwise 3×3\n{depthwise:,} weights", DEPTHWISE),
        ("batch normalization, ReLU6", NORMALIZATION),
        (f"K: {plan.groups} groups of {plan.channels_per_group}\n{plan.first.weights:,} weights", POINTWISE),
        ("batch normalization, swish", NORMALIZATION),
        (f"interleaving, step {plan.interleave_step}", NOTHING),
        (f"L: {plan.groups} groups of {plan.channels_per_group}\n{plan.second.weights:,} weights", POINTWISE),
        ("batch normalization, swish", NORMALIZATION),
        ("K + L", NOTHING),
    ],
}
plots.show(
    block_diagram(columns, shortcut=(3, 7)),
    "Block 7 of both networks as columns of boxes. MobileNet: depthwise convolution with 4,608 weights, "
    "pointwise convolution with 262,144. kMobileNet: the same depthwise convolution, then K in 32 groups "
    "of 16 with 8,192 weights, interleaving, L with 8,192 weights; at the end K is added to L.",
)

# %% [markdown]
# K and L have batch normalization and an activation of their own. That activation is *swish*, $x/(1 + e^{-x})$,
# while stem and depthwise convolutions keep MobileNet's ReLU6.
#
# ## 2. Block by block
#
# Where a block doubles the channels, D6 leaves L out: the K of the next block reads the interleaved channels, so it
# does the mixing. Here is the plan for all thirteen blocks.

# %% tags=["nbval-check-output"]
channels, rows = 32, []
for block, (filters, stride) in enumerate(kgpc.applications.mobilenet.BLOCKS, start=1):
    plan = D6(16).plan(channels, filters)
    rows.append(
        {
            "block": block,
            "stride": stride,
            "channels": channels,
            "filters": filters,
            "groups": plan.groups,
            "pointwise": plan.ordinary_weights,
            "K": plan.first.weights,
            "L": plan.second.weights if plan.second else 0,
        }
    )
    channels = filters
blocks = pd.DataFrame(rows)
blocks["left"] = (blocks["K"] + blocks["L"]) / blocks["pointwise"]

plots.table(
    blocks,
    "Table 1. Weights of MobileNet's pointwise convolutions, and of the K and L that replace them.",
    formats={"left": ".1%"},
)

# %% [markdown]
# The first block saves half: 32 channels make only two groups. The last one keeps 3%. That is how the method works:
# an ordinary pointwise convolution grows with the square of the channels, K and L grow with the channels, so **the
# wider a layer is, the more it saves**.
#
# ## 3. Where the parameters are
#
# Weights of pointwise convolutions are not all. `kgpc.flops.layer_table` counts the layers of a network that has been
# built; we sort them by their names into parts, and by the number in their names into blocks.


# %%
PARTS = ["stem", "depthwise", "pointwise or K", "L", "batch normalization", "classifier"]


def part_of(layer):
    """Part of the network that a row of `layer_table` belongs to."""
    if layer.kind == "BatchNormalization":
        return "batch normalization"
    if layer.layer.startswith("conv_pw"):
        return "L" if "interconn" in layer.layer else "pointwise or K"
    if layer.layer.startswith("conv_dw"):
        return "depthwise"
    return "classifier" if layer.layer.startswith("conv_preds") else "stem"


def block_of(layer):
    """Name of the block that a row of `layer_table` belongs to."""
    pieces = layer.layer.split("_")
    if pieces[0] == "conv" and pieces[1] in ("dw", "pw"):
        return f"block {pieces[2]}"
    return "classifier" if layer.layer.startswith("conv_preds") else "stem"


def parameters_of(model):
    """Trainable parameters of a network, one row for each block and one column for each part."""
    layers = kgpc.flops.layer_table(model)
    layers = layers[layers["trainable_parameters"] > 0]
    keys = [[function(layer) for layer in layers.itertuples()] for function in (block_of, part_of)]
    table = layers.groupby(keys, sort=False)["trainable_parameters"].sum().unstack(fill_value=0)
    return table.reindex(columns=PARTS, fill_value=0).rename_axis(index=None, columns=None)


published_size = {"input_shape": (224, 224, 3), "classes": 10}
by_block = {
    "MobileNet": parameters_of(kMobileNet(scheme=None, **published_size)),
    "kMobileNet 32ch": parameters_of(kMobileNet(scheme=D6(32), **published_size)),
    "kMobileNet 16ch": parameters_of(kMobileNet(scheme=D6(16), **published_size)),
}

# %% tags=["nbval-check-output"]
parts = pd.DataFrame({name: table.sum() for name, table in by_block.items()})
parts.loc["all"] = parts.sum()
parts["16ch / MobileNet"] = parts["kMobileNet 16ch"] / parts["MobileNet"].where(parts["MobileNet"] > 0)
plots.table(
    parts.rename_axis("part"),
    "Table 2. Trainable parameters of each part of the networks, 10 classes.",
    formats={"16ch / MobileNet": ".1%"},
)

# %% [markdown]
# In MobileNet, everything but the pointwise convolutions is small change. In kMobileNet 16ch the rest is a third: the
# depthwise kernels are as many as before, and batch normalization has grown, because L brings its own. Here are its
# thirteen blocks one by one.

# %%
thirteen = by_block["kMobileNet 16ch"].filter(like="block", axis=0)
figure = plots.stacked_bars(
    thirteen[["depthwise", "pointwise or K", "L", "batch normalization"]].rename(columns={"pointwise or K": "K"}),
    xlabel="trainable parameters",
    title="kMobileNet 16ch: the parameters of its thirteen blocks",
    colors=plots.LAYER_COLORS | {"K": plots.LAYER_COLORS["pointwise"], "L": plots.COLORS["green"]},
)
plots.show(
    figure,
    "Thirteen horizontal bars, one for each block. They grow with the channels, from 1,504 parameters in "
    "block 1 to 48,128 in block 13. K and L have a third each in most of them.",
)

# %% tags=["nbval-check-output"]
block_13 = {name: table.loc["block 13"].sum() for name, table in by_block.items()}
for name, count in block_13.items():
    print(f"block 13 of {name:15}: {count:9,} parameters")
ratio = block_13["MobileNet"] / block_13["kMobileNet 16ch"]
print(f"In MobileNet the last bar would be {ratio:.0f} times as long.")

# %% [markdown]
# ## 4. The question, and a control
#
# A network with 7.6% of the parameters: does it still learn? And if it does, is that the merit of the groups? There
# is a simpler way to a small network: `alpha` makes every layer of MobileNet narrower. If a narrow MobileNet with as
# many parameters learned just as well, grouping would be no more than a detour. So we train four networks:
#
# | network | what it is for |
# |---|---|
# | MobileNet | the original; `scheme=None` builds it with ordinary pointwise convolutions |
# | kMobileNet 32ch | D6 with at least 32 channels in each group |
# | kMobileNet 16ch | D6 with at least 16 channels in each group |
# | narrow MobileNet | the control: as many parameters as kMobileNet 16ch, by width alone |
#
# How narrow must it be? A layer with n filters gets ⌊n · `alpha`⌋ of them, so the number of parameters rises in small
# steps. We count with the channel numbers alone, for every `alpha` in steps of a thousandth.


# %%
def narrow_parameters(alpha, classes=10):
    """Trainable parameters of a MobileNet of width `alpha`, from its table of blocks."""
    channels = int(32 * alpha)
    count = 3 * 3 * 3 * channels + 2 * channels  # stem, with its batch normalization
    for filters, _ in kgpc.applications.mobilenet.BLOCKS:
        filters = int(filters * alpha)
        count += 3 * 3 * channels + 2 * channels  # depthwise, with its batch normalization
        count += channels * filters + 2 * filters  # pointwise, with its batch normalization
        channels = filters
    return count + (channels + 1) * classes


target = int(parts.loc["all", "kMobileNet 16ch"])
alphas = np.arange(200, 351) / 1000
counts = np.array([narrow_parameters(alpha) for alpha in alphas])
narrow = float(alphas[np.abs(counts - target).argmin()])

# %%
figure = plots.line_chart(
    alphas,
    {"narrow MobileNet": counts},
    xlabel="alpha (width of all layers, relative to MobileNet)",
    ylabel="trainable parameters",
    title="How wide is a MobileNet with as many parameters as kMobileNet 16ch?",
    levels={"kMobileNet 16ch": target},
    marks={f"alpha = {narrow}": narrow},
    markers=False,
)
plots.show(
    figure,
    "Trainable parameters of MobileNet against its width, rising from 140 thousand at 0.2 to 410 thousand "
    "at 0.35. The curve crosses the level of kMobileNet 16ch between 0.26 and 0.27.",
)

# %% tags=["nbval-check-output"]
control = kMobileNet(scheme=None, alpha=narrow, **published_size)
built = kgpc.flops.trainable_parameters(control)

print(f"kMobileNet 16ch:    {target:,} trainable parameters")
print(f"narrow MobileNet:   {built:,}, {built / target - 1:+.2%}, with alpha = {narrow}")
print(f"counted by formula: {narrow_parameters(narrow):,}")

# %% [markdown]
# ## 5. Data and budget
#
# Everything that the two profiles do differently stands in one value. The paper profile follows the published recipe;
# the quick one takes from it what makes sense in a minute: optimizer, batch size and the highest learning rate.


# %%
@dataclasses.dataclass(frozen=True)
class Settings:
    """Data and budget of a training run."""

    dataset: str
    train_images: int | None  # drawn from the training part, equally many of each class; None: all
    image_size: int  # pixels; images of 32×32 are enlarged to this multiple of 32
    epochs: int
    schedule: str  # of the learning rate; see `learning_rate`
    batch_norm_momentum: float
    augment: bool  # whether to train on randomly transformed images
    batch_size: int = 64
    skip_stride_cnt: int = -1  # -1: all networks reduce their maps five times, as published


PROFILES = {
    "quick": Settings("Fashion-MNIST sample", 3200, 32, 4, "one cycle", 0.8, augment=False),
    "paper": Settings("CIFAR-10", None, 224, 50, "published", 0.99, augment=True),
}
settings = PROFILES[PROFILE]
SEED = 7

# %% [markdown]
# The sample of Fashion-MNIST that comes along has 6,000 training and 1,000 test images: grey, 28×28 pixels, ten kinds
# of clothing, equally many of each. Every tenth training image is set aside for *validation*: it is never learned from,
# and shows during training how things go. In a run, the test images stay untouched until the end.


# %%
def load(settings):
    """The data set, and (x_train, y_train, x_validation, y_validation) from its training part."""
    if settings.dataset == "CIFAR-10":
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
        names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        data = kgpc.datasets.ImageDataset("CIFAR-10", x_train, y_train.ravel(), x_test, y_test.ravel(), names)
    else:
        data = {
            "Fashion-MNIST sample": kgpc.datasets.fashion_mnist_sample,
            "Fashion-MNIST": kgpc.datasets.fashion_mnist,
        }[settings.dataset]()
    split = kgpc.datasets.train_validation_split
    x, y, x_validation, y_validation = split(data.x_train, data.y_train, 0.1, seed=SEED)
    if settings.train_images is not None:
        per_class = settings.train_images // len(data.class_names)
        chosen = kgpc.datasets.stratified_indices(y, per_class, seed=SEED)
        x, y = x[chosen], y[chosen]
    return data, (x, y, x_validation, y_validation)


data, (x_train, y_train, x_validation, y_validation) = load(settings)
budget = (
    f"{data.name}, {len(x_train):,} training images, {settings.image_size}×{settings.image_size} pixels, "
    f"{settings.epochs} epochs"
)
print(f'Profile "{PROFILE}": {budget}.')
print(f"{len(x_validation):,} images for validation, {len(data.x_test):,} for the test.")

# %% [markdown]
# Look at the data before you train on it. Some classes are easy, like trousers; shirt, pullover and coat are not.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
figure, axes = plt.subplots(4, len(data.class_names), figsize=(7.5, 3.2), layout="constrained")
for label, column in enumerate(axes.T):
    for axis, image in zip(column, x_train[y_train == label], strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.axis("off")
    column[0].set_title(data.class_names[label], fontsize=8)
plots.show(figure, "Four training images of each of the ten classes, one column for each class.")

# %% [markdown]
# The networks take square images with three channels and values in [0, 1]. `as_model_input` pads 28×28 to 32×32 with
# black and repeats grey three times. Larger sizes are reached by repeating pixels, which is how the paper made 224×224
# out of 32×32. The paper trains on images that are turned, shifted, stretched and mirrored at random; in a run as short
# as the quick one this costs more than it gives, so there it is off. This is what it does:


# %%
def model_input(images, size):
    """Float images in [0, 1], three channels, `size` pixels (a multiple of 32)."""
    images = kgpc.datasets.as_model_input(images)
    factor = size // images.shape[1]
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def transformed(image, generator):
    """An image turned, sheared, scaled, shifted and mirrored at random, as in the paper's recipe."""
    turn, shear = np.deg2rad(generator.uniform([-20, -0.2], [20, 0.2]))
    zoom = generator.uniform(0.7, 1.3, size=2)
    shift = generator.uniform(-0.3, 0.3, size=2) * image.shape[1::-1]
    mirror = np.diag([generator.choice([-1, 1]), 1])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[1, -np.sin(shear)], [0, np.cos(shear)]]) @ np.diag(zoom) @ mirror
    center = (np.array(image.shape[1::-1]) - 1) / 2
    affine = np.column_stack([matrix, center - matrix @ center + shift])
    # What is uncovered at the margin is filled with the nearest pixel.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, affine, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
generator = np.random.default_rng(SEED)
example = model_input(x_train[:1], settings.image_size)[0]
figure, axes = plt.subplots(1, 8, figsize=(7.5, 1.3), layout="constrained")
for axis, image in zip(axes, [example, *(transformed(example, generator) for _ in range(7))], strict=True):
    axis.imshow(image, vmin=0, vmax=1)
    axis.axis("off")
axes[0].set_title("original", fontsize=9)
axes[1].set_title("transformed", fontsize=9)
plots.show(figure, "A training image, and seven random transformations of it.")

# %% [markdown]
# ### Strides
#
# MobileNet halves its maps five times: 224 pixels become 7, but 32 become 1. `skip_stride_cnt` leaves the first
# reductions out, for small images. What does that cost?

# %% tags=["nbval-check-output"]
rows = []
for skipped in (-1, 0, 1, 2):
    model = kMobileNet(input_shape=(32, 32, 3), classes=10, scheme=D6(16), skip_stride_cnt=skipped)
    maps = model.get_layer("conv_dw_13_relu").output.shape
    count = kgpc.flops.trainable_parameters(model), kgpc.flops.paper_flops(model)
    rows.append((skipped, f"{maps[1]}×{maps[2]}", *count))
strides = pd.DataFrame(rows, columns=["skip_stride_cnt", "last maps", "trainable parameters", "paper flops"])
plots.table(strides, "Table 3. kMobileNet 16ch for images of 32×32 pixels.")

# %% [markdown]
# The parameters stay, the arithmetic multiplies. Both profiles use -1, so they have the published strides; in the
# quick profile this makes it possible to train on a CPU while you wait. What counts is that it is the same for all four
# networks.

# %%
options = {
    "input_shape": (settings.image_size, settings.image_size, 3),
    "classes": len(data.class_names),
    "skip_stride_cnt": settings.skip_stride_cnt,
}
variants = {
    "MobileNet": {"scheme": None},
    "kMobileNet 32ch": {"scheme": D6(32)},
    "kMobileNet 16ch": {"scheme": D6(16)},
    "narrow MobileNet": {"scheme": None, "alpha": narrow},
}

# %% [markdown]
# ## 6. The same conditions for all
#
# Four things have to be equal: the order of the images, the optimizer with its learning rate, the treatment of batch
# normalization, and the choice of the final weights.
#
# **The order of the images.** It is drawn from the seed and the number of the epoch: every network sees the same
# batches, and each epoch has another order. (Just passing arrays to `fit` after setting a seed would repeat one and
# the same order in all epochs, with TensorFlow.)


# %%
class Batches(keras.utils.PyDataset):
    """Batches of images and labels; for training in an order that depends on seed and epoch only."""

    def __init__(self, images, labels, settings, training):
        super().__init__()
        self.images, self.labels, self.settings, self.training = images, labels, settings, training
        self.epoch = 0

    def __len__(self):
        whole, rest = divmod(len(self.images), self.settings.batch_size)
        # An incomplete batch would count more than others in training; a test must not lose an image.
        return whole if self.training else whole + (rest > 0)

    def __getitem__(self, index):
        chosen = np.arange(len(self.images))
        if self.training:
            chosen = np.random.default_rng((SEED, self.epoch)).permutation(chosen)
        chosen = chosen[index * self.settings.batch_size : (index + 1) * self.settings.batch_size]
        images = model_input(self.images[chosen], self.settings.image_size)
        if self.training and self.settings.augment:
            # Each image has a generator of its own, so its transformation depends on nothing else.
            for position, image in zip(chosen, images, strict=True):
                image[:] = transformed(image, np.random.default_rng((SEED, self.epoch, position)))
        return images, self.labels[chosen]


# %% [markdown]
# **Optimizer and learning rate.** RMSprop, with Keras' defaults, as in the paper. There the rate rises for seven epochs
# from 0.001 to 0.004 and then falls by 15% an epoch; after 25 epochs it starts over. The quick profile has one cycle
# with the same peak: up during the first fifth of the training, then down along a cosine.


# %%
def learning_rate(epochs, settings):
    """Learning rate after a number of epochs, which may be a fraction."""
    if settings.schedule == "published":
        epoch = int(epochs) % 25
        return 0.001 * (1 + 0.5 * epoch) if epoch < 7 else 0.004 * 0.85 ** (epoch - 7)
    share = epochs / settings.epochs
    return 0.004 * (share / 0.2 if share < 0.2 else (1 + math.cos(math.pi * (share - 0.2) / 0.8)) / 2)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
times = np.linspace(0, settings.epochs, 801)[:-1]
figure = plots.line_chart(
    times,
    {"learning rate": np.array([learning_rate(epochs, settings) for epochs in times])},
    xlabel="epochs",
    ylabel="learning rate",
    title=f'Learning rate in the profile "{PROFILE}"',
    markers=False,
)
figure.axes[0].yaxis.set_major_formatter("{x:.4f}")
plots.show(figure, "Learning rate against epochs: it rises to 0.004 and falls again.")

# %% [markdown]
# **Batch normalization.** In training it uses the mean and variance of the batch; for prediction it keeps moving
# averages of them. Its *momentum* says over how many steps these reach back, about 1/(1 − momentum). The published 0.99
# makes that a hundred steps: nothing beside the tens of thousands of steps of the paper's training, but half of the
# training in the quick profile, where the averages would lag far behind the weights. So that profile has 0.8, or five
# steps of 64 images, in all four networks. No weight learns differently for it, because training never looks at the
# averages.


# %%
def build(name):
    """A network of `variants`, ready for training."""
    keras.utils.set_random_seed(SEED)
    model = kMobileNet(**options, **variants[name])
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = settings.batch_norm_momentum
    model.compile(keras.optimizers.RMSprop(), "sparse_categorical_crossentropy")
    # A first training step that has to make variables is traced twice by TensorFlow, which takes
    # seconds. So we make those of the optimizer here, and have no metrics.
    model.optimizer.build(model.trainable_variables)
    return model


# %% [markdown]
# **The choice of the final weights.** After each epoch the network is tested on the validation images, and in the end
# the weights of the best epoch count. A callback does this, and all that has to happen at each step.


# %%
def predicted_classes(model, batches):
    """Class with the highest probability for each image."""
    return model.predict(batches, verbose=0).argmax(axis=1)


class Watch(keras.callbacks.Callback):
    """Sets order and learning rate, records losses and accuracies, and keeps the best weights."""

    def __init__(self, batches, validation, bar):
        super().__init__()
        self.batches, self.validation, self.bar = batches, validation, bar
        self.losses, self.accuracies, self.best_weights = [], [], None

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        epochs = self.batches.epoch + (batch + 0.5) / len(self.batches)
        self.model.optimizer.learning_rate = learning_rate(epochs, settings)

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean of the epoch so far; we want the loss of this step.
        before = self.losses[len(self.losses) - batch :]
        self.losses.append(logs["loss"] * (batch + 1) - sum(before))
        self.bar.advance()

    def on_epoch_end(self, epoch, logs=None):
        right = predicted_classes(self.model, self.validation) == self.validation.labels
        self.accuracies.append(right.mean())
        if self.accuracies[-1] == max(self.accuracies):
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs=None):
        self.model.set_weights(self.best_weights)


def train(model, bar):
    """Trains a network; returns losses of the steps, validation accuracies, and seconds."""
    batches = Batches(x_train, y_train, settings, training=True)
    watch = Watch(batches, Batches(x_validation, y_validation, settings, training=False), bar)
    start = time.perf_counter()
    model.fit(batches, epochs=settings.epochs, shuffle=False, verbose=0, callbacks=[watch])
    return watch.losses, watch.accuracies, time.perf_counter() - start


# %% jupyter={"source_hidden": true} tags=["hide-input"]
class Bar:
    """A progress bar for the page: what is running, how far it is, and for how long."""

    def __init__(self, total):
        self.total, self.done, self.name, self.started = total, 0, "", time.perf_counter()
        self.shown, self.handle = 0.0, display(self, display_id=True)

    def start(self, name):
        self.name = name
        self.draw()

    def advance(self):
        self.done += 1
        if self.done == self.total or time.perf_counter() - self.shown > 0.5:
            self.draw()

    def draw(self):
        self.shown = time.perf_counter()
        if self.handle is not None:  # there is none outside a notebook
            self.handle.update(self)

    def __repr__(self):
        seconds = time.perf_counter() - self.started
        return f"{self.name}: step {self.done:,} of {self.total:,}, {seconds:.0f} s"

    def _repr_html_(self):
        return f'<progress value="{self.done}" max="{self.total}" style="width: 24em"></progress> {self!r}'


# %% [markdown]
# ## 7. Training

# %% tags=["nbval-ignore-output"]
models = {name: build(name) for name in variants}
steps_per_epoch = len(Batches(x_train, y_train, settings, training=True))
losses, validation_accuracies, seconds = {}, {}, {}

print(f"{steps_per_epoch:,} steps in an epoch, {settings.epochs} epochs, {len(models)} networks")
bar = Bar(len(models) * settings.epochs * steps_per_epoch)
for name, model in models.items():
    bar.start(name)
    losses[name], validation_accuracies[name], seconds[name] = train(model, bar)
bar.start("all four networks")

# %% [markdown]
# ## 8. Learning curves
#
# First the loss of the training batches. A single batch is a noisy measurement, so each point is the mean of a
# fifteenth of the training.

# %% tags=["nbval-ignore-output"]
points = 15
centers = [piece.mean() for piece in np.array_split(np.arange(1, len(losses["MobileNet"]) + 1), points)]
figure = plots.line_chart(
    centers,
    {name: [piece.mean() for piece in np.array_split(values, points)] for name, values in losses.items()},
    xlabel="training step",
    ylabel="training loss (cross-entropy, nats)",
    title=f"Training loss. {budget}",
    levels={"guessing": math.log(len(data.class_names))},
)
figure.axes[0].yaxis.set_major_formatter("{x:.1f}")
plots.show(
    figure,
    "Training loss of the four networks against the training step. All fall from about the level of "
    "guessing, which is the logarithm of 10.",
)

# %% [markdown]
# Then the accuracy on the validation images after each epoch. In the quick profile the first epoch ends with the
# highest learning rate, when the weights move so fast that even short averages in batch normalization are behind: these
# first points are lower than the training loss lets one expect.

# %% tags=["nbval-ignore-output"]
figure = plots.line_chart(
    np.arange(1, settings.epochs + 1),
    validation_accuracies,
    xlabel="epoch",
    ylabel=f"accuracy on {len(x_validation):,} validation images",
    title=f"Validation accuracy. {budget}",
    levels={"guessing": 1 / len(data.class_names)},
    percent=True,
)
figure.axes[0].set_xticks(np.unique(np.linspace(1, settings.epochs, 10).round()))
plots.show(
    figure,
    "Validation accuracy of the four networks after each epoch, with the level of guessing at 10%.",
)

# %% [markdown]
# ## 9. The result
#
# Now the test images, which the training and the choice of the weights have not seen. *Flops* are for one image of this
# run's size, in the paper's convention; accuracies are percentages; the seconds are those of the training, with its
# validation.

# %%
test_batches = Batches(data.x_test, data.y_test, settings, training=False)
predictions = {name: predicted_classes(model, test_batches) for name, model in models.items()}
correct = {name: prediction == data.y_test for name, prediction in predictions.items()}

measured = pd.DataFrame(
    {
        "model": list(models),
        "origin": "this run",
        "dataset": data.name,
        "train_images": len(x_train),
        "image_px": settings.image_size,
        "epochs": settings.epochs,
        "trainable_params": [kgpc.flops.trainable_parameters(model) for model in models.values()],
        "paper_flops": [kgpc.flops.paper_flops(model) for model in models.values()],
        "test_acc_pct": [round(100 * correct[name].mean(), 2) for name in models],
        "train_seconds": [round(seconds[name], 1) for name in models],
    }
)

# %% tags=["nbval-ignore-output"]
plots.table(
    measured[["model", "trainable_params", "paper_flops", "test_acc_pct", "train_seconds"]],
    f"Table 4. Our run. {budget}.",
    formats={"test_acc_pct": ".1f", "train_seconds": ".0f"},
)

# %% [markdown]
# Beside it, the numbers **that the authors published**. They are the result of another experiment, much longer and on
# other images: CIFAR-10 at 224×224 pixels, 50 epochs. Compare the order of the networks, not the percentages.

# %% tags=["nbval-check-output"]
rows = kgpc.paper.published().query("dataset == 'CIFAR-10' and model in ['MobileNet', 'kMobileNet']")
recipes = kgpc.paper.published("recipes").set_index("notebook")
groups = rows["channels_per_group"].map(" {}ch".format, na_action="ignore").fillna("")
published = pd.DataFrame(
    {
        "model": rows["model"] + groups,
        "origin": "published",
        "dataset": rows["dataset"],
        "train_images": rows["raw_notebook"].map(recipes["train_images"]),
        "image_px": rows["image_size"],
        "epochs": rows["epochs"],
        "trainable_params": rows["parameters"],
        "paper_flops": rows["flops"],
        "test_acc_pct": rows["test_accuracy_percent"],
    }
)
plots.table(
    published.drop(columns="origin"),
    "Table 5. The paper's results, not ours: MobileNet and kMobileNet as published.",
    formats={"test_acc_pct": ".2f"},
)

# %% [markdown]
# ### What may be concluded?
#
# With 1,000 test images, chance alone moves an accuracy by a percentage point or two. All networks were tested on the
# same images, though, so we can compare them image by image. Let $d$ be +1 on an image that only the first network gets
# right, -1 where only the second does, and 0 elsewhere. The mean of $d$ is the difference of the accuracies, its
# standard error is the standard deviation of $d$ divided by $\sqrt{n}$, and mean ± 1.96 standard errors holds the true
# difference of these two trained networks in 95% of all samples of n test images.


# %%
def difference(first, second):
    """Difference of two test accuracies in percentage points, with the ends of its 95% interval."""
    d = 100.0 * (correct[first].astype(int) - correct[second].astype(int))
    error = d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - 1.96 * error, d.mean() + 1.96 * error


# %% tags=["nbval-ignore-output"]
by_name = measured.set_index("model")
ours = "kMobileNet 16ch"
for other in ("MobileNet", "kMobileNet 32ch", "narrow MobileNet"):
    mean, low, high = difference(ours, other)
    if low <= 0 <= high:
        verdict = "these test images cannot tell them apart"
    else:
        verdict = f"{ours} is {'more' if mean > 0 else 'less'} accurate"
    columns = {"parameters": "trainable_params", "flops": "paper_flops", "time": "train_seconds"}
    ratios = {what: by_name.loc[ours, column] / by_name.loc[other, column] for what, column in columns.items()}
    print(f"{ours} against {other}: {verdict}.")
    print(f"    accuracy {mean:+.1f} points, 95% interval {low:+.1f} to {high:+.1f}")
    print("    " + ", ".join(f"{value:.0%} of its {what}" for what, value in ratios.items()))

# %% jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
figure, axes = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
for position, (row, color, marker) in enumerate(zip(by_name.itertuples(), plots.COLORS.values(), "os^D", strict=False)):
    share = row.test_acc_pct / 100
    error = 196 * math.sqrt(share * (1 - share) / len(data.y_test))
    axes.errorbar(row.test_acc_pct, position, xerr=error, color=color, marker=marker, markersize=8, capsize=4)
    axes.annotate(
        f"{row.test_acc_pct:.1f}%", (row.test_acc_pct, position), (0, 7), textcoords="offset points", ha="center"
    )
labels = [f"{row.Index}\n{row.trainable_params:,} parameters" for row in by_name.itertuples()]
axes.set_yticks(range(len(by_name)), labels)
axes.set_ylim(len(by_name) - 0.5, -0.7)
axes.set_xlabel(f"accuracy on {len(data.y_test):,} test images, %")
axes.set_title(f"Accuracy and size. {budget}", fontsize="medium", fontweight="bold", loc="left")
axes.grid(axis="x", color="#E3E3E3")
axes.spines[["top", "right"]].set_visible(False)
plots.show(
    figure,
    "Test accuracies of the four networks as points with their 95% intervals, beside the numbers of parameters.",
)

# %% [markdown]
# The bars show the 95% interval of each accuracy by itself. They may overlap although a difference is clear, because
# the networks share the easy and the difficult images.
#
# Read this figure and the sentences above it with five reservations.
#
# - **One seed.** The intervals cover the choice of the test images. Another order of the images or another
#   initialization moves the accuracy as well, and only repeated training shows how much.
# - **The quick budget was tuned.** Its number of images and epochs, batch size, optimizer and learning rate were chosen
#   among some twenty settings, for time and accuracy, by looking at these same test images, and mostly at kMobileNet
#   16ch. That can favour this network over the others, and makes the accuracies a little too good; the intervals know
#   nothing of it. Neither the size of the differences nor every verdict survives a change of budget: set
#   `train_images` to 3600 and see.
# - **A short training** measures how fast a network learns at first, not where it ends. The published runs are longer
#   by a factor of hundreds.
# - **Equal parameters are not equal arithmetic.** The control has fewer channels, and needs fewer flops and less time
#   than the grouped network of the same size (Table 4). A control with equal flops would be wider.
# - **Seconds are not flops.** A processor computes one large matrix product much faster, flop for flop, than many small
#   ones, and spends time on batch normalization and activations, which count little or nothing in flops. The seconds
#   also hold what TensorFlow needs to prepare the computation before the first step, and they were measured once, on a
#   machine that may have had other things to do.
#
# The table goes into a file, too, our run and the published rows. It is written beside its place and then renamed, so
# nobody ever reads half a table.

# %%
comparison = pd.concat([measured, published[published["model"].isin(list(models))]], ignore_index=True)
folder = Path(os.environ.get("KGPC_RESULTS", "results"))
folder.mkdir(parents=True, exist_ok=True)
comparison.to_csv(folder / "comparison.csv.part", index=False)
os.replace(folder / "comparison.csv.part", folder / "comparison.csv")

# %% [markdown]
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** Block 13 has 1024 channels in and out. How many weights do K and L have together with 8, 16, 32, 64 and 128
# channels per group? Find the formula before you ask `plan`.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# Each of the 1024 filters of K reads M channels, and so does each of L: 2 · M · 1024.
for size in (8, 16, 32, 64, 128):
    plan = D6(size).plan(1024, 1024)
    formula = 2 * size * 1024
    print(f"{size:3}ch: {plan.weights:7,} weights ({plan.weights / plan.ordinary_weights:4.1%}), formula {formula:7,}")

# %% [markdown]
# **2.** Suppose that only the last six blocks of MobileNet were grouped. How many of the savings in Table 1 would
# remain?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# Nearly all: the weights sit in the late, wide blocks.
saved = blocks["pointwise"] - blocks["K"] - blocks["L"]
late = saved[blocks["block"] >= 8].sum()
print(f"all thirteen blocks save {saved.sum():,} weights, the last six {late:,}: {late / saved.sum():.0%}")

# %% [markdown]
# **3.** On which classes do MobileNet and kMobileNet 16ch differ most? All that is needed is in `predictions` and
# `data.y_test`.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 3 {display-mode: "form"}
# The share of the images of a class that a network recognizes is called its recall.
recall = pd.DataFrame(
    {
        name: [100 * correct[name][data.y_test == label].mean() for label in range(len(data.class_names))]
        for name in ("MobileNet", "kMobileNet 16ch")
    },
    index=pd.Index(data.class_names, name="class"),
)
recall["difference"] = recall["kMobileNet 16ch"] - recall["MobileNet"]
recall = recall.sort_values("difference")
plots.table(
    recall,
    f"Recall of each class, in percent of its {(data.y_test == 0).sum()} test images.",
    formats={"MobileNet": ".1f", "kMobileNet 16ch": ".1f", "difference": "+.1f"},
)

# %% [markdown]
# ## Summary
#
# - kMobileNet is MobileNet with D6 in place of each pointwise convolution. Stem, depthwise convolutions and classifier
#   stay as they are.
# - The wider a layer, the more it saves: K and L grow with the channels, the ordinary convolution with their square.
# - A fair comparison has the same images in the same order, the same epochs, optimizer and schedule, a control of
#   the same size, and an interval for each difference. What ours found, and what limits it, stands in section 9.
# - The paper's own result on CIFAR-10: accuracy falls a little with 16 channels per group, and larger groups win most
#   of it back.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). D6, kMobileNet and the published rows.
# - A. G. Howard et al.: *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. 2017,
#   [arXiv:1704.04861](https://arxiv.org/abs/1704.04861). MobileNet, and its width multiplier `alpha`.
# - H. Xiao, K. Rasul, R. Vollgraf: *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms*.
#   2017, [arXiv:1708.07747](https://arxiv.org/abs/1708.07747).
# - S. Ioffe, C. Szegedy: *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
#   Shift*. ICML 2015, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167).
# - T. G. Dietterich: *Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms*.
#   Neural Computation 10(7), 1998, [doi:10.1162/089976698300017197](https://doi.org/10.1162/089976698300017197).
#   Comparing two classifiers on the same test images.
