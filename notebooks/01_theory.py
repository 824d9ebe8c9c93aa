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
# # 01 · Theory
#
# **Why nine weights in ten can go, and what must be added so that the rest still works.**
#
# After this page you can
#
# - say where a network keeps its parameters, measured on four well-known networks;
# - work out by hand what a grouped convolution costs, and draw its kernel;
# - say what a stack of grouped convolutions alone cannot learn, and how interleaving repairs that;
# - read the paper's sub-network D6 channel by channel;
# - tell when D6 finds too few groups, and what its successor D6v3 does instead.
#
# **You need** [00 Start here](00_start_here.ipynb), and to have trained a small network once. **Running time:** about
# 80 seconds on two CPU cores, in either profile: there is nothing here that takes a GPU.

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
import numpy as np
import pandas as pd

import kgpc
from kgpc import plots
from kgpc.layers import CopyChannels, GroupedPointwiseConv2D, InterleaveChannels

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')
SEEDS = [1, 2, 3, 4, 5]

# %% [markdown]
# ## 1. Where the parameters are
#
# Four letters for what we count:
#
# | letter | meaning |
# |---|---|
# | C | channels that go into a convolution |
# | F | filters, which are the channels that come out |
# | G | groups that the channels are divided into |
# | M | the smallest number of input channels we allow in a group |
#
# An ordinary convolution with a kernel of k×k pixels has k·k·C·F weights: one for each pixel of the kernel, input
# channel and filter (so k is the width of the kernel). MobileNet splits that work in two. A *depthwise* convolution
# looks around in the image, each channel for itself, with 3·3·C weights. Then a *pointwise* one (k = 1) combines the
# channels, with C·F weights. With 512 channels:

# %% tags=["nbval-check-output"]
channels = filters = 512
print(f"depthwise 3×3:  {3 * 3 * channels:9,} weights")
print(f"pointwise:      {channels * filters:9,} weights")
print(f"ordinary 3×3:   {3 * 3 * channels * filters:9,} weights")

# %% [markdown]
# Splitting saves a lot, and what remains is nearly all pointwise. Is it like that in whole networks? We sort the
# layers of a network into five kinds and add up their trainable parameters.


# %%
def kind_of(layer):
    """Kind of a Keras layer; None where it has no parameters."""
    if isinstance(layer, keras.layers.Dense) or layer.name == "conv_preds":
        return "classifier"  # MobileNet writes its classifier as a convolution
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise"
    if isinstance(layer, keras.layers.Conv2D):
        return "pointwise" if layer.kernel_size == (1, 1) else "other convolutions"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "batch normalization"
    return None


def parameters_by_layer(model):
    """Trainable parameters and kind of each layer that has some, in the order of the layers."""
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in model.layers],
            "kind": [kind_of(layer) for layer in model.layers],
            "value": [kgpc.flops.trainable_parameters(layer) for layer in model.layers],
        }
    )
    return table[table["value"] > 0]


# %% [markdown]
# First MobileNet, layer by layer, for 10 classes as in most of the paper's tables.

# %%
applications = keras.applications
common = {"input_shape": (224, 224, 3), "classes": 10, "weights": None}
mobilenet = applications.MobileNet(**common)

figure = plots.layer_bars(
    parameters_by_layer(mobilenet),
    ylabel="trainable parameters",
    title="MobileNet: the pointwise convolutions grow with the square of the channels",
    colors=plots.LAYER_COLORS,
)
plots.show(
    figure,
    "Bar chart of the trainable parameters of each layer of MobileNet. Only the bars of pointwise "
    "convolutions are visible; the last one, 1024 to 1024 channels, has a million.",
)

# %% [markdown]
# Every other kind of layer is there too, too small to be seen. Now four networks of different design.

# %%
networks = {
    "MobileNet": mobilenet,
    "EfficientNet-B0": applications.EfficientNetB0(**common),
    "DenseNet-121": applications.DenseNet121(**common),
    "Inception V3": applications.InceptionV3(**common),
}

layers = {name: parameters_by_layer(model) for name, model in networks.items()}
sums = {name: table.groupby("kind")["value"].sum() for name, table in layers.items()}
by_kind = pd.DataFrame(sums).T[list(plots.LAYER_COLORS)]
by_kind = by_kind.fillna(0).astype(int).rename_axis("network")

# %%
figure = plots.stacked_bars(
    by_kind.div(by_kind.sum(axis=1), axis=0),
    xlabel="share of the trainable parameters",
    title="With depthwise convolutions, nearly all the rest is pointwise",
    colors=plots.LAYER_COLORS,
    totals=False,
    percent=True,
)
plots.show(
    figure,
    "Stacked bars of parameter shares. Pointwise convolutions hold 98% in MobileNet, 94% in "
    "EfficientNet-B0, 68% in DenseNet-121 and 33% in Inception V3.",
)

# %% tags=["nbval-check-output"]
plots.table(by_kind, "Table 1. Trainable parameters by kind of layer, 10 classes.")

# %% [markdown]
# MobileNet and EfficientNet, which pair depthwise with pointwise convolutions, keep 98% and 94% of their parameters in
# the latter. DenseNet and Inception also use ordinary 3×3 and larger kernels, and those hold a third or two thirds. **A
# scheme for pointwise convolutions can save the dark blue part of a bar and nothing else**, so this picture predicts
# which networks gain most.

# %% [markdown]
# ## 2. What groups save
#
# Divide the C input channels into G groups of C/G channels, and the F filters into G groups of F/G filters. Filters
# of the first group read channels of the first group only, and so on. Each filter now has C/G weights instead of C,
# so the layer has **C·F/G weights and takes G times fewer multiplications**. Real layers agree:

# %% tags=["nbval-check-output"]
rows = []
for groups in (1, 2, 4, 8, 16, 32):
    layer = GroupedPointwiseConv2D(512, groups=groups, use_bias=False)
    layer.build((None, 14, 14, 512))
    rows.append((groups, 512 // groups, layer.count_params()))

table = pd.DataFrame(rows, columns=["groups", "channels per group", "weights"])
plots.table(table, "Table 2. A pointwise convolution from 512 channels to 512 filters.")

# %% [markdown]
# At a single pixel a pointwise convolution is a product of a vector (the C channels of that pixel) with a C×F matrix.
# What does that matrix look like with groups? We take the kernel of a real layer, 16 channels to 16 filters in 4
# groups. Keras stores it without the zeros, as 4 weights for each of 16 filters; we put every weight where it
# belongs.

# %%
keras.utils.set_random_seed(1)
grouped = GroupedPointwiseConv2D(16, groups=4, use_bias=False)
ordinary = keras.layers.Conv2D(16, kernel_size=1, use_bias=False)
for layer in (grouped, ordinary):
    layer.build((None, 1, 1, 16))

stored = keras.ops.convert_to_numpy(grouped.kernel)[0, 0]  # 4 channels per group, 16 filters
matrix = np.zeros((16, 16), "float32")
for start in range(0, 16, 4):
    group = slice(start, start + 4)
    matrix[group, group] = stored[:, group]

# %%
figure = plots.matrices(
    {
        "ordinary: 256 weights": keras.ops.convert_to_numpy(ordinary.kernel)[0, 0],
        "4 groups: 64 weights": matrix,
    },
    xlabel="filter",
    ylabel="input channel",
    colorbar="weight",
    title="The kernel of a grouped pointwise convolution is block-diagonal",
    signed=True,
    blocks=(4, 4),
)
plots.show(
    figure,
    "Two 16 by 16 matrices of random weights. The ordinary one is full. The grouped one has four "
    "4 by 4 blocks on the diagonal and zeros elsewhere.",
)

# %% [markdown]
# The picture is exact: an ordinary convolution that is given the block-diagonal matrix computes the same.

# %% tags=["nbval-check-output"]
ordinary.set_weights([matrix[None, None]])
images = keras.random.normal((8, 14, 14, 16), seed=1)

same = np.allclose(grouped(images), ordinary(images), atol=1e-5)
print("the same output:", same)

# %% [markdown]
# ## 3. What groups alone cannot do
#
# The zeros in that matrix are more than saved weights. They are connections that do not exist. We ask real layers
# which input channels an output channel can see: set all weights to 1 and send in one channel at a time. What comes
# out counts the paths from that input channel to each output channel.


# %%
def count_paths(*layers):
    """Number of paths from each of 16 input channels (rows) to each output channel (columns)."""
    x = np.eye(16, dtype="float32").reshape(16, 1, 1, 16)  # image i has channel i only
    for layer in layers:
        x = layer(x)
    return keras.ops.convert_to_numpy(x).reshape(16, -1)


def ones(groups=4):
    """A grouped convolution with 16 filters whose weights are all 1."""
    return GroupedPointwiseConv2D(16, groups=groups, use_bias=False, kernel_initializer="ones")


figure = plots.matrices(
    {
        "one layer": count_paths(ones()),
        "two layers": count_paths(ones(), ones()),
        "two, interleaved between": count_paths(ones(), InterleaveChannels(step=4), ones()),
    },
    xlabel="output channel",
    ylabel="input channel",
    colorbar="paths",
    title="Stacking grouped layers joins nothing; interleaving joins everything",
    blocks=(4, 4),
)
plots.show(
    figure,
    "Three 16 by 16 matrices that count paths between channels. One and two grouped layers fill only "
    "the four blocks on the diagonal. With interleaving in between, every entry is one.",
)

# %% [markdown]
# Two grouped layers see no more than one: a stack of them is G small networks side by side that never meet.
# *Interleaving* sits between the layers and only changes the order of channels: every 4th channel starting at the
# first, then every 4th starting at the second, and so on. Then each group of the next layer holds one channel of each
# group before.

# %% tags=["nbval-check-output"]
print(kgpc.grouping.interleaved_order(channels=16, step=4))

# %% [markdown]
# ### An experiment
#
# Does it matter in training? We make a task that needs two groups. A sample is one pixel with 16 channels of random
# numbers, because pointwise convolutions treat each pixel alone. **Its label is 1 if channels 0 and 8 have the same
# sign.** With four groups, channel 0 is in the first group and channel 8 in the third.


# %%
def samples(count, seed):
    """Pixels (count, 1, 1, 16) and labels: 1 where channels 0 and 8 have the same sign."""
    pixels = np.random.default_rng(seed).normal(size=(count, 1, 1, 16)).astype("float32")
    labels = (pixels[:, 0, 0, 0] * pixels[:, 0, 0, 8] > 0).astype("float32")
    return pixels, labels


train, test = samples(8192, seed=1), samples(4096, seed=2)

# %%
some = pd.DataFrame({"x": train[0][:600, 0, 0, 0], "y": train[0][:600, 0, 0, 8]})
figure = plots.scatter(
    {"label 0": some[train[1][:600] == 0], "label 1": some[train[1][:600] == 1]},
    xlabel="channel 0 (first group)",
    ylabel="channel 8 (third group)",
    title="Neither channel alone says anything about the label",
    size=(4.6, 4.4),
)
plots.show(
    figure,
    "Scatter plot of channel 8 against channel 0. Label 1 fills the two quadrants where both have the "
    "same sign, label 0 the other two.",
)

# %% [markdown]
# Cover one axis of the figure and look at the other: both labels are equally frequent everywhere. A network that sees
# one group must stay at 50%, however long it trains.
#
# The networks below have two hidden layers of 64 channels. They answer from the first 16 of these, which is the first
# group of four. Three versions: grouped, grouped with interleaving in between, and an ordinary one for comparison.


# %%
def small_network(groups, interleaved):
    """Two hidden pointwise layers of 64 channels, of which the first 16 give the answer."""
    network = keras.Sequential([keras.Input((1, 1, 16))])
    network.add(GroupedPointwiseConv2D(64, groups=groups))
    network.add(keras.layers.ReLU())
    if interleaved:
        network.add(InterleaveChannels(step=64 // groups))
    network.add(GroupedPointwiseConv2D(64, groups=groups))
    network.add(keras.layers.ReLU())
    network.add(CopyChannels(16))  # keeps the first 16 channels
    network.add(keras.layers.Flatten())
    network.add(keras.layers.Dense(1, activation="sigmoid"))
    return network


versions = {
    "4 groups": {"groups": 4, "interleaved": False},
    "4 groups, interleaved": {"groups": 4, "interleaved": True},
    "ordinary (1 group)": {"groups": 1, "interleaved": False},
}

# %% [markdown]
# All three train in the same way, on the same 8,192 samples, with five seeds each, which decide the initial weights
# and the order; the accuracy is measured on 4,096 other samples.

# %%
EPOCHS = 8


def trained(network):
    """Trains a network; returns its accuracies on training and test samples after each epoch."""
    network.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    history = network.fit(*train, batch_size=128, epochs=EPOCHS, validation_data=test, verbose=0)
    return history.history["accuracy"], history.history["val_accuracy"]


curves, rows = {}, []
for name, version in versions.items():
    runs = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        runs.append(trained(small_network(**version)))
    on_training, on_test = np.array(runs).transpose(1, 0, 2)
    curves[name] = on_test
    rows.append((name, on_training[:, -1].mean(), on_test[:, -1].min(), on_test[:, -1].max()))

columns = ["network", "training samples, mean", "test samples, lowest", "test samples, highest"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    f"Table 3. Accuracy in the last of {EPOCHS} epochs, over {len(SEEDS)} seeds.",
    formats={column: ".1%" for column in columns[1:]},
)

# %%
figure = plots.line_chart(
    range(1, EPOCHS + 1),
    curves,
    xlabel="epoch",
    ylabel="accuracy on test samples",
    title="Five seeds: groups alone stay at chance, interleaved groups learn",
    levels={"chance": 0.5},
    percent=True,
)
plots.show(
    figure,
    f"Test accuracy over {EPOCHS} epochs, each line a mean within a band over five seeds. The grouped network "
    "stays at 50%. The interleaved one and the ordinary one rise above 95%.",
)

# %% [markdown]
# The grouped network learned nothing, with any seed. Its answer comes from the first group, which never hears of
# channel 8. The interleaved network has **not one parameter more**, and solves the task.
#
# It is even more accurate on test samples than the ordinary network, whose seeds all stay below its own. That is no
# merit of interleaving as such: from training to test samples the ordinary network loses more than a point, the
# interleaved one next to nothing. With almost four times as many weights it learns some of the noise of the fourteen
# other channels by heart. This task suits a network with few connections.

# %% tags=["nbval-check-output"]
count = kgpc.flops.trainable_parameters
rows = [(name, count(small_network(**version))) for name, version in versions.items()]
table = pd.DataFrame(rows, columns=["network", "trainable parameters"])
plots.table(table, "Table 4. Trainable parameters of the three small networks.")

# %% [markdown]
# **How far this goes.** What is shown here holds for a *stack of grouped layers and nothing else*, on a task made so
# that two groups must meet. In a real network the groups can meet elsewhere: a 3×3 convolution, an ordinary layer or a
# concatenation mixes them as well. The published runs with groups alone, one each, reached 91.71% in kInception V3 and
# 91.97% in kDenseNet, more than those with D6 there ([06](06_kinception_v3.ipynb) and [05](05_kdensenet.ipynb) show
# them). In MobileNet, where nothing but pointwise convolutions joins channels, interleaving keeps the groups from
# being networks side by side.

# %% [markdown]
# ## 4. The sub-network D6
#
# The paper's answer puts groups, interleaving and mixing into one block that takes the place of a single pointwise
# convolution. Its only setting is M, the smallest number of input channels in a group.
#
# 1. **How many groups?** G is the largest number that divides both C and F and leaves at least M input channels in
#    each group: G ≤ C/M. If that is 1, the layer stays as it was.
# 2. **K** is a grouped pointwise convolution from C channels to F filters, with G groups.
# 3. **Interleave** the F channels of K with step F/G.
# 4. **L** is a second one, from F to F channels with the same G groups. The result is **K + L**.
#
# Here is every channel of D6 with M = 4, from 16 channels to 16 filters. The colours of a box are the input groups
# that it depends on.

# %%
plan = kgpc.D6(4).plan(in_channels=16, filters=16)

plots.show(
    plots.subnetwork(plan, title="D6 with at least 4 channels per group: 16 channels, 16 filters"),
    "Diagram of D6. 16 input channels in four coloured groups pass through K in four groups and "
    "keep one colour. Interleaving gives every group one channel of each colour, so every channel "
    "of L has all four colours. K, in its own order, is added to L.",
)

# %% [markdown]
# Follow the colours. K cannot mix them. Interleaving hands each group of L one channel of every colour. After L each
# channel depends on the whole input, as after an ordinary pointwise convolution.
#
# Why add K again? Each filter of L reads only 4 of the 16 channels of K. The sum keeps all of K in the result, and L
# contributes what the other groups know. As in a residual network, this also gives gradients a short way back.
#
# In a network, batch normalization and the activation follow K and L each. Where C < F, L is left out: such a layer
# *expands* the channels and passes the interleaved K on, so the next layer mixes the groups.

# %% [markdown]
# **The arithmetic.** K has C·F/G weights, L has F·F/G, together F·(C + F)/G. `plan` knows these numbers without
# building a layer. Does a block that is built have them? `kgpc.blocks.pointwise` is what all networks of this
# collection use.

# %% tags=["nbval-check-output"]
inputs = keras.Input((14, 14, 512))
outputs = kgpc.blocks.pointwise(inputs, 256, kgpc.D6(16), name="block", batch_norm=False)
block = keras.Model(inputs, outputs)

plan = kgpc.D6(16).plan(512, 256)
print(f"G = {plan.groups}")
print(f"planned: {plan.weights:,} = 256 · (512 + 256) / {plan.groups}")
print(f"built:   {kgpc.flops.trainable_parameters(block):,}")
print(f"instead of {plan.ordinary_weights:,}")

# %% [markdown]
# **Why it pays most in wide layers.** With C = F and G = C/M the sum F·(C + F)/G becomes 2·M·F. The square is gone:
# the weights grow in proportion to the channels.

# %%
widths = [32, 64, 128, 256, 512, 1024, 2048]
weights = {"ordinary": [width**2 for width in widths]}
for size in (64, 32, 16):
    weights[f"D6({size})"] = [kgpc.D6(size).plan(width, width).weights for width in widths]

figure = plots.line_chart(
    widths,
    weights,
    xlabel="input channels = filters (logarithmic)",
    ylabel="weights (logarithmic)",
    title="Ordinary: the square of the width. D6: proportional to it",
    log=True,
)
plots.show(
    figure,
    "Weights against channels, both logarithmic. The line of the ordinary convolution is twice as "
    "steep as those of D6 with 16, 32 and 64 channels per group, which leave it as the width grows.",
)

# %% [markdown]
# At the left the lines meet. At C = 2·M, K and L together have as many weights as the ordinary convolution, and with
# fewer channels there are no two groups of M, so D6 leaves the layer as it is.

# %% [markdown]
# ## 5. Try it
#
# How do channels, filters and channels per group play together? The figure below computes in your browser, on a web
# page as well. **Move the sliders, and follow a channel**: point at it, tap it, or use the last slider and the arrow
# keys. What it reaches stays bright. The multiply-adds are for a feature map of 14×14 pixels, where each weight is used
# 196 times. D6v3 is the successor of D6 and the subject of section 6.

# %%
kgpc.figures.d6(in_channels=16, filters=16, channels_per_group=4)

# %% [markdown]
# Three things to try:
#
# - Follow channel 0 with 16 channels, 16 filters and M = 4: it reaches everything. Then choose *512 to 256, M = 16* and
#   follow one: with 32 groups of L that have 8 channels each, one D6 joins only some of the groups. The next layers of
#   the network do the rest.
# - Push the filters beyond the channels: L disappears.
# - Choose *97 channels*. That is where D6 fails, and the switch shows what D6v3 does.
#
# And all sizes of groups at once, for 512 channels and 256 filters:


# %%
def weights_by_size(in_channels, filters, marked):
    """A figure of the weights that D6 and D6v3 leave, against the channels per group."""
    sizes = range(4, in_channels + 1)
    schemes = {"D6": kgpc.D6, "D6v3": kgpc.D6v3}
    curves = {
        name: [scheme(size).plan(in_channels, filters).weights for size in sizes] for name, scheme in schemes.items()
    }
    return plots.line_chart(
        sizes,
        curves,
        xlabel="channels per group (logarithmic)",
        ylabel="weights (logarithmic)",
        title=f"A pointwise convolution, {in_channels} channels to {filters} filters",
        levels={"ordinary": in_channels * filters},
        marks={f"{marked} per group": marked},
        log=True,
        markers=False,
    )


plots.show(
    weights_by_size(in_channels=512, filters=256, marked=16),
    "Weights against channels per group for 512 channels and 256 filters, both logarithmic. D6 rises "
    "in steps where the number of groups halves, D6v3 more smoothly, up to the ordinary convolution.",
)

# %% [markdown]
# The line of D6 has steps, because the number of groups must divide both 512 and 256. With 511 channels it would be
# flat: 511 and 256 have no common divisor but 1, so D6 saves nothing, whatever the size of the groups.

# %% [markdown]
# ## 6. What divisibility costs, and how D6v3 removes it
#
# D6 needs a number of groups that divides C *and* F. With 97 channels, a prime, there is none but 1: the layer stays
# an ordinary convolution and nothing is saved. **D6v3**, from the second paper, always makes groups of M channels:
#
# - If the last group is not full, **copies of the first channels** fill it.
# - If the filters cannot be divided evenly among the groups, the remaining filters form a **second path**: one group
#   each, over the first channels again.
#
# The rest is as in D6: K, interleave, L, and their sum. Layers with few channels are left alone.

# %% tags=["nbval-check-output"]
rows = []
for in_channels in (96, 97, 98, 100, 112):
    for scheme in (kgpc.D6(16), kgpc.D6v3(16)):
        plan = scheme.plan(in_channels, 64)
        rows.append(
            {
                "channels": in_channels,
                "scheme": str(scheme),
                "groups of K": plan.groups,
                "copied channels": plan.first.copied_channels,
                "weights": plan.weights,
                "of the ordinary weights": plan.weights / plan.ordinary_weights,
            }
        )

plots.table(
    pd.DataFrame(rows),
    "Table 5. Pointwise convolutions to 64 filters, with 16 channels per group.",
    formats={"of the ordinary weights": ".0%"},
)

# %% [markdown]
# Drawn for a layer small enough to see all of it: 10 channels to 7 filters with M = 4. Three groups need 12 channels,
# so channels 0 and 1 appear twice. 7 filters are two for each group, and one more, which has the second path for
# itself.

# %%
plan = kgpc.GroupedV3(4).plan(in_channels=10, filters=7)  # the convolution K of D6v3 alone

plots.show(
    plots.subnetwork(plan, title="K of D6v3 with 4 channels per group"),
    "Diagram of a convolution from 10 channels to 7 filters. Channels 0 and 1 are copied to fill the "
    "third group. Six filters are computed in three groups, the seventh from the first group by a "
    "second path.",
)

# %% [markdown]
# How often does divisibility bite? We try all widths from 33 to 160 channels, each to 128 filters. One dot is one
# width.

# %%
widths = range(33, 161)
share = {}
for scheme in (kgpc.D6(16), kgpc.D6v3(16)):
    plans = [scheme.plan(width, 128) for width in widths]
    left = [100 * plan.weights / plan.ordinary_weights for plan in plans]
    share[str(scheme)] = pd.DataFrame({"x": widths, "y": left})

figure = plots.scatter(
    share,
    xlabel="input channels",
    ylabel="weights left, % of the ordinary ones",
    title="To 128 filters: D6 saves nothing at any odd width",
)
plots.show(
    figure,
    "Percentage of weights left against input channels. The dots of D6 lie near 100%, 50% and 25%, "
    "at 100% for all odd widths. Those of D6v3 fall smoothly from 48% to 13%, rise to 25% at 128 "
    "channels, and fall again.",
)

# %% [markdown]
# (The step at 128 is L: from there on C ≥ F, and the second convolution is added.)
#
# The designers of networks like multiples of 8 or 16, so real networks are kinder to D6 than this figure. Back to the
# four from section 1, with all of their pointwise convolutions:


# %% tags=["nbval-check-output"]
def pointwise_sizes(model):
    """Pairs (channels, filters) of the pointwise convolutions of a network."""
    layers = [layer for layer in model.layers if kind_of(layer) == "pointwise"]
    return [(layer.input.shape[-1], layer.filters) for layer in layers]


def share_left(model, scheme):
    """Weights of all pointwise convolutions under a scheme, as a fraction of the ordinary ones."""
    plans = [scheme.plan(*size) for size in pointwise_sizes(model)]
    return sum(plan.weights for plan in plans) / sum(plan.ordinary_weights for plan in plans)


schemes = [kgpc.D6(16), kgpc.D6v3(16), kgpc.D6(32), kgpc.D6v3(32)]
left = pd.DataFrame(
    {str(scheme): [share_left(model, scheme) for model in networks.values()] for scheme in schemes},
    index=pd.Index(networks, name="network"),
)
plots.table(
    left,
    "Table 6. Weights left in the pointwise convolutions, if all of them were replaced.",
    formats={str(scheme): ".1%" for scheme in schemes},
)

# %% [markdown]
# EfficientNet has widths such as 24, 40, 80 and 112, where D6 must take larger groups than asked for: D6v3 saves
# more, above all with 32 channels per group. DenseNet and Inception have rounder widths, and there **D6v3 costs more
# than D6**. The reason is L. D6 gives L as many groups as K, so when F is smaller than C the groups of L have fewer
# than M channels; D6v3 gives each group of L its full M channels.

# %% [markdown]
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** By hand: how many groups does D6(16) take from 96 channels to 24 filters? How many weights do K and L have?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# G may be at most 96/16 = 6, and 6 divides both 96 and 24.
# K: 24 filters that read 96/6 = 16 channels. L: 24 filters that read 24/6 = 4 channels.
plan = kgpc.D6(16).plan(96, 24)
print(f"G = {plan.groups}, K: {plan.first.weights}, L: {plan.second.weights}, sum: {plan.weights}")
assert (plan.groups, plan.first.weights, plan.second.weights) == (6, 24 * 16, 24 * 4)

# %% [markdown]
# **2.** In the experiment of section 3 the answer was read from the first group. Let a dense layer read all 64
# channels instead, still without interleaving. Now the network sees both channels 0 and 8. Does it learn? Predict,
# then train.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 2 {display-mode: "form"}
# It stays near chance. The last layer adds up what each group says, and no sum of a function of
# channel 0 and a function of channel 8 has the sign of their product. (The best such sum is right
# in three of the four quadrants; training does not find even that.)
keras.utils.set_random_seed(1)
all_groups = keras.Sequential(
    [
        keras.Input((1, 1, 16)),
        GroupedPointwiseConv2D(64, groups=4),
        keras.layers.ReLU(),
        GroupedPointwiseConv2D(64, groups=4),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
_, on_test = trained(all_groups)
print(f"{on_test[-1]:.1%} after {EPOCHS} epochs")

# %% [markdown]
# **3.** With 16 channels in 8 groups of 2, one interleaving is not enough to join all groups. How many grouped
# layers, with interleaving (step 2) between them, does it take until each output channel sees all 16 input channels?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# Each layer doubles what a channel sees: 2, 4, 8, 16. So it takes four layers. In general the
# groups' size to the power of the number of layers must reach the number of channels.
stack = [ones(groups=8)]
for count in range(1, 6):
    paths = count_paths(*stack)
    seen = (paths > 0).sum(axis=0).min()
    print(f"{count} layer(s): each output channel sees {seen} input channels")
    stack += [InterleaveChannels(step=2), ones(groups=8)]

# %% [markdown]
# ## Summary
#
# - Networks of depthwise and pointwise convolutions keep nearly all parameters in the pointwise ones; others do not,
#   and gain less.
# - G groups divide the weights of a pointwise convolution by G: its matrix is block-diagonal.
# - A stack of grouped layers alone never joins what two groups know. Interleaving does, and costs no weights.
# - D6 = K, interleave, L, and the sum K + L. For C = F and G = C/M it has 2·M·F weights: proportional to the width
#   instead of its square.
# - D6 needs common divisors of C and F. D6v3 does without, with copied channels and a second path.
#
# Next: [02 kMobileNet](02_kmobilenet.ipynb) builds a whole network of these blocks and trains it.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). D6.
# - J. P. Schwarz Schuler, S. Romani, D. Puig, H. Rashwan, M. Abdel-Nasser: *An Enhanced Scheme for Reducing the
#   Complexity of Pointwise Convolutions in CNNs for Image Classification Based on Interleaved Grouped Filters without
#   Divisibility Constraints*. Entropy 24(9), 1264, 2022. [doi:10.3390/e24091264](https://doi.org/10.3390/e24091264).
#   D6v3.
# - X. Zhang, X. Zhou, M. Lin, J. Sun: *ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
#   Devices*. CVPR 2018, [arXiv:1707.01083](https://arxiv.org/abs/1707.01083). Interleaving, there called channel
#   shuffle.
# - A. G. Howard et al.: *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. 2017,
#   [arXiv:1704.04861](https://arxiv.org/abs/1704.04861). Depthwise and pointwise convolutions.
# - S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He: *Aggregated Residual Transformations for Deep Neural Networks*. CVPR
#   2017, [arXiv:1611.05431](https://arxiv.org/abs/1611.05431). ResNeXt: groups as a design choice.
# - A. Krizhevsky, I. Sutskever, G. E. Hinton: *ImageNet Classification with Deep Convolutional Neural Networks*. NIPS
#   2012. AlexNet: groups, to fit a network on two GPUs.
