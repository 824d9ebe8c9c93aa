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
# **Why nine weights in ten of a network with ten classes can go, and what must be added so that the rest still works.**
#
# After this page you can
#
# - say where a network keeps its parameters, measured on four well-known networks;
# - work out by hand what a grouped convolution costs, and draw its kernel;
# - say what a stack of grouped convolutions alone cannot learn, and how interleaving repairs that;
# - read the paper's sub-network D6 channel by channel;
# - tell when D6 finds too few groups, and what its successor D6v3 does instead;
# - group a network of your own, with activations, count it, train it, look at it and save it.
#
# **You need** [00 Start here](00_start_here.ipynb), and to have trained a small network once. Words that are not
# explained here are in the [glossary](../docs/glossary.md).
#
# **Running time:** about a minute on two CPU cores, in either profile: there is nothing here that takes a GPU.
#
# **What you may see elsewhere:** the counts are the same on any machine. The networks of sections 3 and 7 are trained
# before your eyes, and what they reach differs a little from machine to machine; each section says by how much.

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
from kgpc import cam, exercises, plots, training
from kgpc.layers import CopyChannels, GroupedPointwiseConv2D, InterleaveChannels

training.check_profile(PROFILE)
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
    """Trainable parameters and kind of each layer that has some, in their order."""
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

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1: MobileNet, layer by layer {display-mode: "form"}
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
    caption="Figure 1. Trainable parameters of each layer of MobileNet, for 10 classes.",
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

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2: four networks {display-mode: "form"}
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
    caption="Figure 2. Where four networks have their trainable parameters (Table 1 has the numbers).",
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

stored = keras.ops.convert_to_numpy(grouped.kernel)[0, 0]  # 4 channels, 16 filters
matrix = np.zeros((16, 16), "float32")
for start in range(0, 16, 4):
    group = slice(start, start + 4)
    matrix[group, group] = stored[:, group]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 3: two kernels {display-mode: "form"}
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
    caption="Figure 3. Kernels of two layers with 16 channels and 16 filters, with their random initial weights.",
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
    """Number of paths from each of 16 input channels (rows) to each output channel."""
    x = np.eye(16, dtype="float32").reshape(16, 1, 1, 16)  # image i has channel i only
    for layer in layers:
        x = layer(x)
    return keras.ops.convert_to_numpy(x).reshape(16, -1)


def ones(groups=4):
    """A grouped convolution with 16 filters whose weights are all 1."""
    options = {"use_bias": False, "kernel_initializer": "ones"}
    return GroupedPointwiseConv2D(16, groups=groups, **options)


paths = {
    "one layer": count_paths(ones()),
    "two layers": count_paths(ones(), ones()),
    "two, interleaved": count_paths(ones(), InterleaveChannels(step=4), ones()),
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 4: what is joined to what {display-mode: "form"}
figure = plots.matrices(
    {name: (count > 0).astype(float) for name, count in paths.items()},
    xlabel="output channel",
    ylabel="input channel",
    colorbar="joined by a path",
    title="Stacking grouped layers joins nothing; interleaving joins everything",
    blocks=(4, 4),
)
figure.axes[-1].set_yticks([0, 1], ["no", "yes"])
plots.show(
    figure,
    "Three 16 by 16 matrices that say which channels are joined by a path. One and two grouped layers fill only the "
    "four blocks on the diagonal. With interleaving in between, the whole matrix is filled.",
    caption="Figure 4. Which input channels an output channel can see, for grouped layers with 4 groups of 4 channels.",
)

# %% tags=["nbval-check-output"]
for name, count in paths.items():
    seen = int((count > 0).sum(axis=0).min())
    every = int(count.sum(axis=0).min())
    print(f"{name}: an output channel sees {seen} channels, by {every} paths in all")

# %% [markdown]
# Two grouped layers have four times as many paths as one, and see no more than one: a stack of them is G small networks
# side by side that never meet. With interleaving there are as many paths, and they lead from everywhere.
#
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
    """Pixels (count, 1, 1, 16) and labels: 1 where channels 0 and 8 agree in sign."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(size=(count, 1, 1, 16)).astype("float32")
    labels = (pixels[:, 0, 0, 0] * pixels[:, 0, 0, 8] > 0).astype("float32")
    return pixels, labels


train, test = samples(8192, seed=1), samples(4096, seed=2)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 5: the task {display-mode: "form"}
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
    caption="Figure 5. 600 of the samples: the two channels that decide the label.",
)

# %% [markdown]
# Cover one axis of the figure and look at the other: both labels are equally frequent everywhere. A network that sees
# one group must stay at 50%, however long it trains.
#
# The networks below have two hidden layers of 64 channels. They answer from the first 16 of these, which is the first
# group of four. Three versions: grouped, grouped with interleaving in between, and an ordinary one for comparison.


# %%
def small_network(groups, interleaved):
    """Two hidden pointwise layers of 64 channels; the first 16 give the answer."""
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
EPOCHS = 6


def trained(network):
    """Trains a network; returns its accuracies on training and test samples."""
    network.compile(
        optimizer=keras.optimizers.Adam(0.005),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # compiling takes longer than this training
    )
    options = {"batch_size": 128, "epochs": EPOCHS, "verbose": 0}
    history = network.fit(*train, validation_data=test, **options).history
    return history["accuracy"], history["val_accuracy"]


# %%
curves, rows = {}, []
for name, version in versions.items():
    runs = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        runs.append(trained(small_network(**version)))
    on_training, curves[name] = np.array(runs).transpose(1, 0, 2)
    last = curves[name][:, -1]
    rows.append((name, on_training[:, -1].mean(), last.min(), last.max()))

# %% tags=["nbval-ignore-output"]
columns = ["network", "training, mean", "test, lowest", "test, highest"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    f"Table 3. Accuracy in the last of {EPOCHS} epochs, over {len(SEEDS)} seeds.",
    formats={column: ".1%" for column in columns[1:]},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 6: learning curves {display-mode: "form"}
figure = plots.line_chart(
    range(1, EPOCHS + 1),
    curves,
    xlabel="epoch",
    ylabel="accuracy on test samples",
    title="Groups alone stay at chance, interleaved groups learn",
    levels={"chance": 0.5},
    percent=True,
)
figure.axes[0].set_ylim(0.4, 1.02)
figure.axes[0].set_xticks(range(1, EPOCHS + 1))
plots.show(
    figure,
    f"Test accuracy over {EPOCHS} epochs, each line a mean within a band over five seeds. The grouped network "
    "stays at 50%. The interleaved one and the ordinary one rise above 95%.",
    caption=f"Figure 6. Accuracy on 4,096 test samples: mean of {len(SEEDS)} seeds, within a band from the lowest to "
    "the highest.",
)

# %% [markdown]
# **What you may see elsewhere:** other last digits. The grouped network stays between 48% and 52%, the two others end
# above 95%.
#
# The grouped network learned nothing, with any seed. Its answer comes from the first group, which never hears of
# channel 8. The interleaved network has **not one parameter more**, and solves the task.
#
# It is even more accurate on test samples than the ordinary network, whose seeds all stay below its own. That is no
# merit of interleaving as such: from training to test samples the ordinary network loses more than a point, the
# interleaved one next to nothing. Probably it learns some of the noise of the fourteen other channels by heart, with
# almost four times as many weights. This one task suits a network with few connections.

# %% tags=["nbval-check-output"]
count = kgpc.flops.trainable_parameters
rows = [(name, count(small_network(**version))) for name, version in versions.items()]
table = pd.DataFrame(rows, columns=["network", "trainable parameters"])
plots.table(table, "Table 4. Trainable parameters of the three small networks.")

# %% [markdown]
# **How far this goes.** What is shown here holds for a *stack of grouped layers and nothing else*, on a task made so
# that two groups must meet. In a real network the groups can meet elsewhere: a 3×3 convolution, an ordinary layer or a
# concatenation mixes them as well. The published runs with groups alone, one each, are not below those with D6
# everywhere: in kInception V3 groups alone reach 91.71%, D6 91.10% and 91.22%; in kDenseNet the run that has as many
# parameters as D6 with 24 channels per group is 0.2 points below it (90.41% and 90.63%), and one with a quarter more is
# above (91.97%): [06](06_kinception_v3.ipynb) and [05](05_kdensenet.ipynb) show them. In MobileNet, where nothing but
# pointwise convolutions joins channels, interleaving keeps the groups from being networks side by side.

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
# Here is every channel of D6 with M = 4, from 16 channels to 16 filters. The colours and letters of a box are the input
# groups that it depends on.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 7: the sub-network D6 {display-mode: "form"}
plan = kgpc.D6(4).plan(in_channels=16, filters=16)

plots.show(
    plots.subnetwork(plan, title="D6 with at least 4 channels per group: 16 channels, 16 filters"),
    "Diagram of D6. 16 input channels in four coloured groups pass through K in four groups and "
    "keep one colour. Interleaving gives every group one channel of each colour, so every channel "
    "of L has all four colours. K, in its own order, is added to L.",
    caption="Figure 7. D6(4) from 16 channels to 16 filters. Each box is a channel; a grey field joins all channels of "
    "a group.",
)

# %% [markdown]
# Follow the colours. K cannot mix them. Interleaving hands each group of L one channel of every colour. After L each
# channel depends on the whole input here, as after an ordinary pointwise convolution. (That needs as many channels in a
# group as there are groups; in wider layers one L joins a part of the groups, and the next layer joins more.)
#
# Why add K again? Each filter of L reads only 4 of the 16 channels of K. The sum keeps all of K in the result, and L
# contributes what the other groups know. As in a residual network, this also gives gradients a short way back.
#
# In a network, [batch normalization](../docs/glossary.md#batch-normalization) and the activation follow K and L each,
# wherever they followed the convolution that is replaced.
# Where C < F, L is left out: such a layer *expands* the channels and passes the interleaved K on, so the next layer
# mixes the groups.
#
# Is L worth its weights? Where C = F it has as many as K, and without it groups twice as wide would cost the same. [Our
# experiment](../docs/does-it-hold.md) has a kMobileNet of K and interleaving alone, with 32 channels per group and 1.10
# times the parameters and 1.26 times the flops of 16ch. After 24 epochs it is 1.7 points (1.3 to 2.0) more accurate
# than 16ch (three seeds; not asked beforehand, so without a verdict). A possible reason: the next layer mixes the
# groups as well.

# %% [markdown]
# **The arithmetic.** K has C·F/G weights, L has F·F/G, together F·(C + F)/G. `plan` knows these numbers without
# building a layer. Does a block that is built have them? `kgpc.blocks.pointwise` is what all networks of this
# collection use. It wants to be told the **activation**, which follows K and L each; here it is the paper's swish.

# %% tags=["nbval-check-output"]
inputs = keras.Input((14, 14, 512))
outputs = kgpc.blocks.pointwise(
    inputs,
    256,
    kgpc.D6(16),
    name="block",
    activation="swish",
)
block = keras.Model(inputs, outputs)

for layer in kgpc.flops.layer_table(block).itertuples():
    print(f"{layer.layer:28} {layer.kind:24} {layer.trainable_parameters:6,}")

# %% tags=["nbval-check-output"]
plan = kgpc.D6(16).plan(512, 256)
print(f"G = {plan.groups}")
print(f"planned: {plan.weights:,} = 256 · (512 + 256) / {plan.groups}")
print(f"instead of {plan.ordinary_weights:,}")

# %% [markdown]
# The two convolutions together have the planned weights. (In the layers' names, which are the authors', L is the
# *interconnection*. Each batch normalization adds a scale and an offset for each of its 256 channels.)

# %% [markdown]
# **Why it pays most in wide layers.** With C = F and G = C/M the sum F·(C + F)/G becomes 2·M·F. The square is gone:
# the weights grow in proportion to the channels.

# %%
widths = [32, 64, 128, 256, 512, 1024, 2048]
weights = {"ordinary": [width**2 for width in widths]}
for size in (64, 32, 16):
    plans = [kgpc.D6(size).plan(width, width) for width in widths]
    weights[f"D6({size})"] = [plan.weights for plan in plans]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 8: weights against width {display-mode: "form"}
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
    caption="Figure 8. Weights of a pointwise convolution with as many filters as channels, ordinary and under D6.",
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
kgpc.figures.d6(in_channels=16, filters=16, channels_per_group=4).show(
    caption="Figure 9. D6 and D6v3, to be moved: which inputs a channel depends on."
)

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

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 10: weights against the size of groups {display-mode: "form"}
sizes = range(4, 513)
curves = {
    "D6": [kgpc.D6(size).plan(512, 256).weights for size in sizes],
    "D6v3": [kgpc.D6v3(size).plan(512, 256).weights for size in sizes],
}
figure = plots.line_chart(
    sizes,
    curves,
    xlabel="channels per group (logarithmic)",
    ylabel="weights (logarithmic)",
    title="A pointwise convolution, 512 channels to 256 filters",
    levels={"ordinary": 512 * 256},
    marks={"16 per group": 16},
    log=True,
    markers=False,
)
figure.axes[0].set_ylim(top=3e5)
for line in figure.axes[0].lines[: len(curves)]:
    line.set_drawstyle("steps-mid")  # sizes are whole numbers: nothing lies between two of them
plots.show(
    figure,
    "Weights against channels per group for 512 channels and 256 filters, both logarithmic. D6 rises "
    "in steps where the number of groups halves, D6v3 in many small ones, up to the ordinary convolution.",
    caption="Figure 10. Weights that D6 and D6v3 leave, for every whole number of channels per group.",
)

# %% [markdown]
# The line of D6 has steps, because the number of groups must divide both 512 and 256. With 511 channels it would be
# flat: 511 and 256 have no common divisor but 1, so D6 saves nothing, whatever the size of the groups.

# %% [markdown]
# ## 6. What divisibility costs, and how D6v3 removes it
#
# D6 needs a number of groups that divides C *and* F. 97 channels are a prime number: unless the filters are a multiple
# of 97, nothing but 1 divides both, so the layer stays an ordinary convolution and nothing is saved. **D6v3**, from the
# second paper, makes groups of M channels (of more only where there are fewer filters than groups):
#
# - If the last group is not full, **copies of the first channels** fill it.
# - If the filters cannot be divided evenly among the groups, the remaining filters form a **second path**: one group
#   each, over the first channels again.
#
# The rest follows D6: K, interleaving, L, and their sum; [11](11_enhanced_scheme.ipynb) has the details. Layers with
# few channels are left alone.

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

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 11: copies and a second path {display-mode: "form"}
plan = kgpc.GroupedV3(4).plan(in_channels=10, filters=7)  # the convolution K of D6v3 alone

plots.show(
    plots.subnetwork(plan, title="K of D6v3 with 4 channels per group"),
    "Diagram of a convolution from 10 channels to 7 filters. Channels 0 and 1 are copied to fill the "
    "third group. Six filters are computed in three groups, the seventh from the first group by a "
    "second path.",
    caption="Figure 11. The convolution K of D6v3(4) from 10 channels to 7 filters; copies have dotted edges.",
)

# %% [markdown]
# How often does divisibility bite? We try all widths from 33 to 160 channels, each to 128 filters. One dot is one
# width.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 12: all widths {display-mode: "form"}
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
    caption="Figure 12. Weights left in a pointwise convolution to 128 filters, with groups of 16 channels.",
)

# %% [markdown]
# (The step at 128 is L: from there on C ≥ F, and the second convolution is added.)
#
# The designers of networks like multiples of 8 or 16, so real networks are kinder to D6 than this figure. Back to the
# four from section 1, with all of their pointwise convolutions:


# %%
def pointwise_sizes(model):
    """Pairs (channels, filters) of the pointwise convolutions of a network."""
    layers = [layer for layer in model.layers if kind_of(layer) == "pointwise"]
    return [(layer.input.shape[-1], layer.filters) for layer in layers]


def share_left(model, scheme):
    """Weights of all pointwise convolutions, as a fraction of the ordinary ones."""
    plans = [scheme.plan(*size) for size in pointwise_sizes(model)]
    ordinary = sum(plan.ordinary_weights for plan in plans)
    return sum(plan.weights for plan in plans) / ordinary


# %% tags=["nbval-check-output"]
left = pd.DataFrame(index=pd.Index(networks, name="network"))
for scheme in (kgpc.D6(16), kgpc.D6v3(16), kgpc.D6(32), kgpc.D6v3(32)):
    left[str(scheme)] = [share_left(model, scheme) for model in networks.values()]
plots.table(
    left,
    "Table 6. Weights left in the pointwise convolutions, if all were replaced.",
    formats=dict.fromkeys(left, ".1%"),
)

# %% [markdown]
# EfficientNet has narrow convolutions in squeeze-and-excite and *expand*, of 20 to 112 channels, which D6 cannot split
# into groups as small as asked for, and some not at all (28 channels with 16 per group, 48 with 32): there D6v3 saves
# more, above all with 32 channels per group. DenseNet and Inception have rounder widths, and there **D6v3 costs more
# than D6**. The reason is L. D6 gives L as many groups as K, so when F is smaller than C the groups of L have fewer
# than M channels; D6v3 gives each group of L its full M channels.

# %% [markdown]
# ## 7. A network of your own
#
# All networks of this collection are built of one function, and it fits into yours. Wherever a 1×1 convolution stands
# with its normalization and its activation,
#
# ```python
# x = keras.layers.Conv2D(128, 1, use_bias=False)(x)
# x = keras.layers.BatchNormalization()(x)
# x = keras.layers.Activation("relu")(x)
# ```
#
# one call takes the place of all three:
#
# ```python
# x = kgpc.blocks.pointwise(x, 128, kgpc.D6(16), name="mix_2", activation="relu")
# ```
#
# Five things go wrong without any message, so know them:
#
# - **The activation belongs in the call.** There it follows K and L each, as in the paper. An activation that you add
#   behind the block comes after the sum K + L, and leaves K and L without one in between: two linear layers, worth one.
#   So the argument has no default. `activation=None` asks for a linear block, which is right for the projection of an
#   [inverted residual](../docs/glossary.md#inverted-residual), and hardly anywhere else.
# - **Batch normalization comes along.** Add none of your own. If you switch it off with `batch_norm=False`, switch the
#   bias on with `use_bias=True`, for then nothing else shifts the values.
# - **A layer may stay ordinary.** With fewer than 2·M channels, or without a common divisor of channels and filters, D6
#   finds one group only. Look at the plan before you train.
# - **Only 1×1 convolutions are grouped.** A network of ordinary 3×3 convolutions keeps its weights there. Make pairs of
#   a depthwise and a pointwise convolution of them first.
# - **Channels come last**, (height, width, channels), whatever Keras is set to.
#
# Now a small network for 28×28 grey images. Its pair of depthwise and pointwise convolution is a function of its own:


# %%
def pair(x, filters, strides, scheme, name):
    """A depthwise convolution, then a pointwise one under a scheme; None: ordinary."""
    options = {"strides": strides, "padding": "same", "use_bias": False}
    x = keras.layers.DepthwiseConv2D(3, name=f"look_{name}", **options)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"look_{name}_bn")(x)
    x = keras.layers.Activation("relu", name=f"look_{name}_relu")(x)
    return kgpc.blocks.pointwise(
        x,
        filters,
        scheme,
        name=f"mix_{name}",
        activation="relu",
        momentum=0.9,
    )


# %%
PAIRS = [(64, 1), (128, 2), (256, 1), (256, 1)]  # filters and strides


def own_network(scheme):
    """A network for 28×28 grey images and ten classes."""
    x = inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", name="stem")(x)
    x = keras.layers.Activation("relu", name="stem_relu")(x)
    for number, (filters, strides) in enumerate(PAIRS, start=1):
        x = pair(x, filters, strides, scheme, name=number)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    outputs = keras.layers.Dense(10, activation="softmax", name="classifier")(x)
    return keras.Model(inputs, outputs)


# %% [markdown]
# (The [momentum](../docs/glossary.md#momentum-of-batch-normalization) of batch normalization says over how many steps
# its averages for prediction reach back, about 1/(1 − momentum). The usual 0.99 is too long for a training as short as
# the one below; [02](02_kmobilenet.ipynb) shows what happens then.)
#
# **Look at the plan**, layer by layer:

# %% tags=["nbval-check-output"]
channels, rows = 32, []
for number, (filters, _) in enumerate(PAIRS, start=1):
    plan = kgpc.D6(16).plan(channels, filters)
    second = "yes" if plan.second else "no"
    weights = plan.ordinary_weights, plan.weights
    rows.append((f"mix_{number}", channels, filters, plan.groups, second, *weights))
    channels = filters

columns = ["layer", "channels", "filters", "groups", "L", "ordinary weights", "weights"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    "Table 7. What D6(16) makes of the four pointwise convolutions.",
)

# %% [markdown]
# Every layer has more than one group; a row with 1 would be an ordinary convolution. Layers that only widen, with
# fewer channels than filters, have no L: the K of the next layer reads their interleaved channels. **Count** the
# network, and its ordinary twin beside it:

# %% tags=["nbval-check-output"]
keras.utils.set_random_seed(1)
rows = []
for name, scheme in {"ordinary": None, "D6(16)": kgpc.D6(16)}.items():
    network = own_network(scheme)
    count = kgpc.flops.trainable_parameters(network), kgpc.flops.macs(network)
    rows.append((name, *count))

columns = ["network", "trainable parameters", "multiply-accumulates"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    "Table 8. The network with ordinary and with grouped pointwise convolutions.",
)

# %% [markdown]
# `network` is now the grouped one. **Are the activations where they belong?** After the stem, after each depthwise
# convolution, after each K, and after the L of the only layer that has one. (Of swish, Keras would say `silu` here.)

# %% tags=["nbval-check-output"]
for layer in network.layers:
    if isinstance(layer, keras.layers.Activation):
        print(layer.name, layer.activation.__name__)

# %% [markdown]
# **Train.** It is a Keras model like any other, and `compile` and `fit` are all it needs. We train it on the 6,000
# images of the Fashion-MNIST sample that comes along, for some seconds: a **demonstration** of how it is done. How well
# a grouped network does is another question, and this training does not answer it.

# %% tags=["nbval-ignore-output"]
data = kgpc.datasets.fashion_mnist_sample()
x_train, x_test = (
    (images[..., None] / 255).astype("float32")  # (count, 28, 28, 1), in [0, 1]
    for images in (data.x_train, data.x_test)
)
network.compile(
    optimizer=keras.optimizers.Adam(0.003),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
    jit_compile=False,
)
history = network.fit(x_train, data.y_train, batch_size=64, epochs=3, verbose=0)
_, accuracy = network.evaluate(x_test, data.y_test, verbose=0)

for epoch, share in enumerate(history.history["accuracy"], start=1):
    print(f"epoch {epoch}: {share:.1%} of the training images right")
print(f"{accuracy:.1%} of the 1,000 test images right")

# %% [markdown]
# **What you may see elsewhere:** other last digits. With five seeds this training ended between 77% and 82% of the test
# images; another machine may leave that range by a few points.
#
# **Look at it.** A *class activation map* says where in an image the network finds its evidence for a class
# ([08](08_class_activation_maps.ipynb) explains it). The last maps of this network have 7×7 cells, so a map has, too.
# We take the first test image of each of four classes, and save the picture.

# %% tags=["nbval-ignore-output"]
chosen = [int(np.flatnonzero(data.y_test == label)[0]) for label in (1, 5, 8, 9)]
maps = cam.class_activation_map(network, x_test[chosen])
titles = cam.class_scores(network, x_test[chosen]).titles(data.class_names)
figure = cam.beside(x_test[chosen], maps, titles, columns=2)

folder = Path(os.environ.get("KGPC_RESULTS", "results"))
folder.mkdir(parents=True, exist_ok=True)
picture = cam.save_picture(figure, folder / "own_network.png")
print(picture.name, "saved")
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 13. Four test images, and where the network finds its evidence.",
)

# %% [markdown]
# The titles are what the network answers, with the value before softmax (the [logit](../docs/glossary.md#logit)) and
# the probability. Is one of them wrong? That is worth a look, too: the map says where the evidence for the wrong class
# lies.
#
# **Save it, and load it again.** One file has the network and its weights. A program that loads it must
# `import kgpc` first, for that makes the grouped layers known to Keras.

# %% tags=["nbval-check-output"]
network.save(folder / "own_network.keras")
again = keras.models.load_model(folder / "own_network.keras")

same = np.allclose(network.predict(x_test, verbose=0), again.predict(x_test, verbose=0))
print("the same predictions:", same)
print(f"{kgpc.flops.trainable_parameters(again):,} parameters")

# %% [markdown]
# From here: [14](14_group_your_own_model.ipynb) groups a model that exists already, with its weights;
# [13](13_your_own_images.ipynb) trains on a folder of your own images; [10](10_speed.ipynb) says when fewer
# multiply-accumulates are fewer seconds; [15](15_to_a_phone.ipynb) brings the saved network to a phone.

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** By hand: how many groups does D6(16) take from 96 channels to 24 filters? How many weights do K and L have?

# %%
answer_1 = None  # three numbers: groups, weights of K, weights of L
exercises.check("01.1", answer_1)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# G may be at most 96/16 = 6, and 6 divides both 96 and 24.
# K: 24 filters that read 96/6 = 16 channels. L: 24 filters that read 24/6 = 4 channels.
plan = kgpc.D6(16).plan(96, 24)
print(f"G = {plan.groups}, K: {plan.first.weights}, L: {plan.second.weights}, sum: {plan.weights}")
assert (plan.groups, plan.first.weights, plan.second.weights) == (6, 24 * 16, 24 * 4)

# %% [markdown]
# **2.** In the experiment of section 3 the answer was read from the first group. Let a dense layer read all 64
# channels instead, still without interleaving. Now the network sees both channels 0 and 8. Does it learn? Predict how
# accurate it becomes, then train.

# %%
answer_2 = None  # "near 50%", "near 75%" or "above 95%"
exercises.check("01.2", answer_2)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 2 {display-mode: "form"}
# It stays near chance. The last layer adds up what each group says, and no sum of a function of
# channel 0 and a function of channel 8 has the sign of their product. (The best such sum is right
# in three of the four quadrants; in this training it stayed below even that.)
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

# %%
answer_3 = None  # your answer
exercises.check("01.3", answer_3)

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
# **4.** The two pointwise convolutions of an *inverted residual*: for maps of 7×7 pixels with 96 channels, one that
# expands them to 192 with swish, and a second one, the projection, back to 96 **without** an activation, both under
# D6(16) and with batch normalization. How many activations must the model have? (There would be a depthwise convolution
# in between; leave it out.)

# %%
inputs = keras.Input((7, 7, 96))
answer_4 = None  # your answer: keras.Model(inputs, ...)
exercises.check("01.4", answer_4)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 4 {display-mode: "form"}
# One. The expansion has no L, because C < F, so swish stands once; the projection has K and L, and none.
inputs = keras.Input((7, 7, 96))
x = kgpc.blocks.pointwise(inputs, 192, kgpc.D6(16), name="expand", activation="swish")
x = kgpc.blocks.pointwise(x, 96, kgpc.D6(16), name="project", activation=None)
both = keras.Model(inputs, x)
print("\n".join(layer.name for layer in both.layers[1:]))
print(f"{kgpc.flops.trainable_parameters(both):,} parameters")

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
# - `kgpc.blocks.pointwise` puts all this into a network of your own. Its activation follows K and L each and must be
#   named; `None` makes a linear block.
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
