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
# # 00 · Start here
#
# **A network for ten classes with 92% fewer parameters, and what that costs, in five minutes.**
#
# After this page you can
#
# - build MobileNet and its grouped twin kMobileNet, each in one line;
# - count what they hold and what they compute, and say which unit a count is in;
# - choose the notebook to read next, and the profile to run it in.
#
# **You need** a little Python, and to have met a convolution before. No GPU, no download. Words that are not explained
# here are in the [glossary](../docs/glossary.md). You can read the page as it is, or run it: in a clone of the
# repository, `python3 start.py lab` opens all notebooks.
#
# **Running time:** about 20 seconds on two CPU cores; the same in both profiles.
#
# All numbers of this page are counts, published results, or stored results of our own experiment: you see the same ones
# on any machine.

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
import keras
import pandas as pd

import kgpc
from kgpc import exercises, plots, training
from kgpc.applications import kMobileNet

training.check_profile(PROFILE)

# %% [markdown]
# ## The idea
#
# A *pointwise* convolution is a convolution with a 1×1 kernel. At each pixel it combines all input channels into
# new ones, so it has one weight for every pair of an input channel and an output channel (a *filter*):
# 1024 channels in and 1024 filters out make 1024 × 1024 weights, more than a million. Efficient networks keep
# nearly all of their parameters there.
#
# The paper replaces each of these layers by a small sub-network that it calls **D6**:
#
# 1. Split the channels into groups of, say, 16, and let every filter read one group only.
# 2. *Interleave* the result: reorder the channels so that each new group holds channels of many old groups.
# 3. Run a second grouped convolution over that, and add its output to the first one's.
#
# Two grouped convolutions with 16 weights per filter, instead of one with 1024. `kgpc` does this arithmetic for us:

# %% tags=["nbval-check-output"]
plan = kgpc.D6(channels_per_group=16).plan(in_channels=1024, filters=1024)

print(f"{plan.groups} groups of {plan.channels_per_group} channels")
print(f"{plan.weights:,} weights instead of {plan.ordinary_weights:,}")

# %% [markdown]
# ## Build both networks
#
# `MobileNet` comes with Keras. `kMobileNet` takes the usual arguments and, besides, the *scheme* that replaces the
# pointwise convolutions. `D6(16)` is the paper's scheme with at least 16 channels in each group, "16ch" for short.
# (One thing else differs, as in the paper: the activation after these convolutions is
# [swish](../docs/glossary.md#swish) instead of [ReLU6](../docs/glossary.md#relu6).)

# %%
images = {"input_shape": (224, 224, 3), "classes": 10}

mobilenet = keras.applications.MobileNet(weights=None, **images)
kmobilenet = kMobileNet(scheme=kgpc.D6(16), **images)

# %% [markdown]
# ## Count
#
# Three counts, three units:
#
# - **Trainable parameters**: the numbers that training adjusts.
# - **Multiply-accumulates** (MACs, also called [multiply-adds](../docs/glossary.md#multiply-adds)): multiplications in
#   convolutions and dense layers, each with the addition that follows it, for one image.
# - **Paper flops**: what the paper's tables call flops. The MACs, and half of every other operation that it counts:
#   biases (of ten classes: 5), pooling, the activations softmax, swish, hard swish and hard sigmoid (ReLU and sigmoid
#   count nothing), and the products of squeeze-and-excite. Other authors count two operations for each MAC, so compare
#   flops only within one convention.

# %% tags=["nbval-check-output"]
count = {
    "trainable parameters": kgpc.flops.trainable_parameters,
    "multiply-accumulates for one image": kgpc.flops.macs,
    "paper flops for one image": kgpc.flops.paper_flops,
}
counts = pd.DataFrame(
    {
        "MobileNet": [function(mobilenet) for function in count.values()],
        "kMobileNet 16ch": [function(kmobilenet) for function in count.values()],
    },
    index=pd.Index(count, name=""),
)
counts["left"] = counts["kMobileNet 16ch"] / counts["MobileNet"]

plots.table(
    counts,
    "Table 1. Both networks for 224×224 images and 10 classes.",
    formats={"left": ".1%"},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-check-output"]
# @title What paper flops have beyond the MACs {display-mode: "form"}
for name, model in {"MobileNet": mobilenet, "kMobileNet 16ch": kmobilenet}.items():
    beyond = kgpc.flops.beyond_macs(model)
    share = sum(beyond.values()) / kgpc.flops.paper_flops(model)
    print(f"{name}: {share:.2%} of the paper flops are not MACs:")
    for what, number in beyond.items():
        if number:
            print(f"    {number:,.0f} for {what}")

# %% [markdown]
# 7.6% of the parameters are left, and 16% of the arithmetic. The flops beyond the MACs weigh more in kMobileNet,
# because swish counts and ReLU6 does not. ([09](09_reproduce_the_tables.ipynb) has them for all families.) Where did
# the rest go? Each layer of a network belongs to one of five parts, and `kgpc.flops.layer_table` counts layer by layer.


# %%
def part_of(layer):
    """Part of the network that a row of `layer_table` belongs to."""
    if layer.kind == "BatchNormalization":
        return "batch normalization"
    if layer.layer.startswith("conv_dw"):
        return "depthwise"
    if layer.layer.startswith("conv_pw"):
        return "pointwise"
    return "classifier" if layer.layer == "conv_preds" else "other convolutions"


def parameters_by_part(model):
    """Trainable parameters of each part of a network."""
    layers = kgpc.flops.layer_table(model)
    parts = [part_of(layer) for layer in layers.itertuples()]
    return layers.groupby(parts)["trainable_parameters"].sum()


by_part = {
    "MobileNet": parameters_by_part(mobilenet),
    "kMobileNet 16ch": parameters_by_part(kmobilenet),
}
parts = pd.DataFrame(by_part).T[list(plots.LAYER_COLORS)]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1: the parameters of both networks {display-mode: "form"}
figure = plots.stacked_bars(
    parts,
    xlabel="trainable parameters",
    title="Only the pointwise convolutions shrink",
    colors=plots.LAYER_COLORS,
)
plots.show(
    figure,
    "Two horizontal bars of trainable parameters. MobileNet has 3.2 million, nearly all in "
    "pointwise convolutions. kMobileNet with 16 channels per group has 0.24 million.",
    caption="Figure 1. Trainable parameters by part of the network, for 10 classes.",
)

# %% [markdown]
# The longer bar is dark blue almost from end to end. In the shorter one the pointwise convolutions are still the
# largest part, but no longer everything.
#
# ## Does it still learn?
#
# We have trained nothing on this page, so we let the authors speak. The figure shows **their published results**:
# test accuracy on CIFAR-10, images enlarged to 224×224, 50 epochs. Each line is a family of networks, from 16 channels
# per group at the left to the original at the right.

# %%
published = kgpc.paper.published().query(
    "paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10' and image_size == 224"
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-check-output"]
# @title Figure 2: accuracy and parameters as published {display-mode: "form"}
# An accuracy that the paper's table prints otherwise is marked, and said below the figure.
found, notes = kgpc.paper.footnotes(published)
notes = [note for note in notes if "test accuracy" in note]
signs = {note.partition(" ")[0] for note in notes}
found = ["".join(sign for sign in mark.split(",") if sign in signs) for mark in found]
marks = dict(zip(published.index, found, strict=True))


def published_family(name):
    """Published results of an original network and its k versions, from small to large."""
    rows = published[published["model"].isin([name, f"k{name}", name.replace("Efficient", "kEff")])]
    rows = rows.sort_values("parameters")
    sizes = [f"{size}ch" if pd.notna(size) else "original" for size in rows["channels_per_group"]]
    labels = [size + marks[index] for index, size in zip(rows.index, sizes, strict=True)]
    return pd.DataFrame({"x": rows["parameters"], "y": rows["test_accuracy_percent"], "label": labels})


names = ["MobileNet", "EfficientNet-B0", "MobileNet V3 Large"]
families = {name: published_family(name) for name in names}
figure = plots.scatter(
    families,
    xlabel="trainable parameters (logarithmic)",
    ylabel="test accuracy, %",
    title="Published on CIFAR-10: up to 3.3 points lost, one run each",
    log_x=True,
)
plots.show(
    figure,
    "Published test accuracy against trainable parameters for three families. MobileNet falls from "
    "93.2% to 89.8% as its parameters shrink from 3.2 million to 0.24 million; with 32 channels per "
    "group EfficientNet-B0 and MobileNet V3 Large are slightly above their originals.",
    caption="Figure 2. Test accuracy on CIFAR-10 against trainable parameters, as the authors published them.",
)
print("\n".join(notes))

# %% [markdown]
# In MobileNet, the plainest of the three, groups are a dial: more channels per group cost more parameters and win back
# accuracy, from 3.3 points lost with 16 channels to 0.1 with 128. In the other two the points go up and down, by half a
# point to one and a half, and each is a single run, so what a step there is worth the figure does not tell.
#
# All of this is with 10 classes. With 1000, the classifier, which is not grouped, holds most of what stays (exercise 2
# counts it): then 30% of MobileNet's parameters are left, not 8%.
#
# Does it hold when somebody else trains, against an ordinary network made equally small? That is the question of [an
# experiment](../docs/does-it-hold.md) whose rules were written before the first run that counts. On JPEG copies of
# CIFAR-10 (33×33 pixels, 24 epochs, three seeds) kMobileNet 16ch is 5.2 points below its ordinary twin, 0.7 above an
# ordinary network made as small by width, and 1.5 below one with as few multiply-adds (95% intervals: 4.5 to 5.8, 0.07
# to 1.4, 0.9 to 2.2; two more seeds are planned). So far, and there, D6 with 16 channels per group does a little more
# than width with as many parameters, and less with as much arithmetic. Three times as many epochs leave the first of
# these differences where it was (one seed: 4.8 points after 72 epochs, 4.7 after 24). MobileNet V3 and EfficientNet-B0
# are to come.
#
# ## The map
#
# | notebook | the question it answers |
# |---|---|
# | 00 Start here | What is the idea, and what does it save? |
# | [01 Theory](01_theory.ipynb) | Why can so many weights go, and what can groups not do? A network of your own |
# | [02 kMobileNet](02_kmobilenet.ipynb) | How is the plainest of the networks built, and what does it learn? |
# | [03 kMobileNet V3](03_kmobilenet_v3.ipynb) | What do groups do to inverted residuals and squeeze-and-excite? |
# | [04 kEffNet](04_keffnet.ipynb) | EfficientNet with a sixth of the parameters: where did they go? |
# | [05 kDenseNet](05_kdensenet.ipynb) | Can a network be grouped that is small already? |
# | [06 kInception V3](06_kinception_v3.ipynb) | And one in which only a part of the layers is pointwise? |
# | [07 Train on a Colab GPU](07_train_on_colab_gpu.ipynb) | How does a long training survive a lost computer? |
# | [08 Class activation maps](08_class_activation_maps.ipynb) | Where does a network look: at the right part? |
# | [09 Reproduce the tables](09_reproduce_the_tables.ipynb) | Do the published numbers hold, row by row? |
# | [10 Speed](10_speed.ipynb) | Why are fewer flops not fewer seconds, and what makes them so? |
# | [11 The enhanced scheme](11_enhanced_scheme.ipynb) | What does divisibility cost, and how can one do without it? |
# | [12 Light and chroma](12_light_chroma_branches.ipynb) | Should brightness and colour go separate ways? |
# | [13 Your own images](13_your_own_images.ipynb) | How do I get from a folder of pictures to a trained network? |
# | [14 Group your own model](14_group_your_own_model.ipynb) | How does a trained network become a grouped one? |
# | [15 To a phone](15_to_a_phone.ipynb) | How does a grouped network get onto a phone, and how fast is it there? |
#
# You need not read them in this order.
#
# - **I want to understand it:** 01, then 02, then one of 03 to 06, the family you know best; 11 for the sequel.
# - **I want to train on my own data:** 13, which begins with a folder of images; 07 for a GPU; 08 to see what the
#   network looks at.
# - **I want to rerun the paper:** 09 for the numbers, 07 for a training by the paper's recipe.
# - **I want to use it in a network of my own:** section 4 of [01](01_theory.ipynb) for what a block is, then its
#   section 7, where a small network is grouped by hand, with activations, counted, trained, looked at and saved. 14
#   groups a whole model that exists already; 10 says what it costs in seconds.
#
# ## Profiles and results
#
# A cell near the top of every notebook sets `PROFILE`.
#
# - `"quick"` uses data that comes with `kgpc` and takes a minute or so on two CPU cores.
# - `"paper"` uses the real data and the real recipe where there is one. You want a GPU for it.
#
# A number from one profile is never shown as if it came from the other. A notebook that writes files, such as tables
# of results, puts them into the folder `results`, or into the folder that the environment variable `KGPC_RESULTS`
# names. In a clone of the repository, `python3 start.py` runs all notebooks and prints their table of results.

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** How many parameters does kMobileNet have with 32 channels per group? Does your count agree with the published
# one?

# %%
answer_1 = None  # your answer
exercises.check("00.1", answer_1)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
kmobilenet_32 = kMobileNet(scheme=kgpc.D6(32), **images)
published_32 = published.query("model == 'kMobileNet' and channels_per_group == 32")

print(f"counted:   {kgpc.flops.trainable_parameters(kmobilenet_32):,}")
print(f"published: {published_32['parameters'].item():,}")

# %% [markdown]
# **2.** Build kMobileNet 16ch for 1000 classes. Which part holds most parameters now, and why? (The parts are those of
# Figure 1; answer with one of its five names.)

# %%
answer_2 = None  # for example "depthwise"
exercises.check("00.2", answer_2)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# The classifier: it joins each of the last 1024 channels to each of the 1000 classes, and the
# paper does not group it.
thousand = kMobileNet(scheme=kgpc.D6(16), input_shape=(224, 224, 3), classes=1000)
shares = parameters_by_part(thousand) / kgpc.flops.trainable_parameters(thousand)
print(shares.map("{:.1%}".format).to_string())

# %% [markdown]
# **3.** Which of the three counts of Table 1 change when the images have 160×160 pixels? Guess for each of them what
# share of kMobileNet's count is left, 1 for all of it; then count. A guess within 2% is right.

# %%
answer_3 = None  # three shares, in the order of Table 1, for example [1, 1, 0.5]
exercises.check("00.3", answer_3)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# The weights do not know how large the image is. The arithmetic is repeated at each pixel, so it
# shrinks with the area.
smaller = kMobileNet(scheme=kgpc.D6(16), input_shape=(160, 160, 3), classes=10)
for name, function in count.items():
    print(f"{name:35} {function(smaller) / function(kmobilenet):.3f} of that at 224×224")
print(f"{'(area)':35} {160**2 / 224**2:.3f}")

# %% [markdown]
# ## Summary
#
# - Pointwise convolutions hold nearly all parameters of MobileNet. With 10 classes, grouping them with D6(16)
#   leaves 7.6% of the parameters and 16% of the multiply-accumulates; with 1000 classes 30% of the parameters, most of
#   them the classifier's.
# - `kgpc.applications` builds the networks, `kgpc.flops` counts them, `kgpc.paper.published()` has the published
#   numbers.
# - In the published results on CIFAR-10, one run each, accuracy falls by up to 3.3 points with 16 channels per group;
#   in MobileNet it comes back step by step with larger groups.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)
# - A. G. Howard et al.: *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. 2017.
#   [arXiv:1704.04861](https://arxiv.org/abs/1704.04861)
