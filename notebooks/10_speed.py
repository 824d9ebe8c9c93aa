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
# # 10 · Speed
#
# **Why a sixth of the flops does not take a sixth of the seconds on a processor, and what can be done about it.**
#
# After this page you can
#
# - measure the limits of your machine, and say which of them bounds a layer;
# - read a roofline picture;
# - say where the time of a training step goes, what made grouped networks slow, and what `kgpc` does about each cause;
# - measure your own machine.
#
# **You need** [00 Start here](00_start_here.ipynb). No GPU, no download. Runs on TensorFlow, JAX or PyTorch, whichever
# Keras uses here. **Running time:** about a minute on two CPU cores, up to two on JAX, which compiles longer; the paper
# profile measures the full image size and should take ten.

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
import logging

import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import deploy, device_steps, exercises, figures, measurements, plots, timing

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: {PROFILE!r}.')
# Many small functions are compiled below, of which TensorFlow warns.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
ROUNDS = 7 if PROFILE == "quick" else 15
BATCH = 8 if PROFILE == "quick" else 16

# %% [markdown]
# ## The puzzle
#
# kMobileNet 16ch has 16% of MobileNet's flops. Yet a training step took about 600 ms on the authors' GPU, where
# MobileNet took about 350 ms: the median seconds of an epoch in [09](09_reproduce_the_tables.ipynb), over its 704
# steps.
#
# **This page does not solve that puzzle.** It is a GPU's, and nobody has measured this package on a GPU yet. What it
# takes is prepared: [one command](../docs/not-run-here.md) of eight minutes on a machine with CUDA. (One hint needs no
# GPU: compiled by XLA, a step of kMobileNet reads and writes 1.4 times the bytes of MobileNet's, as [the
# log](../docs/speed-log.md#passes-that-a-compiler-counts) has it.) What this page can do is explain a processor, where
# the same question has a surprising answer of its own.
#
# The repository carries measurements of processors, written by `python tests/benchmarks/speed.py`, both sides of a
# comparison in turns. A *ratio* is a time divided by the time of the unmodified network: below 1 is faster.

# %%
speed = measurements.stored("speed")
processors = list(dict.fromkeys(speed["machine"]))
newest = processors[0]  # measured with the newest version of the package
networks = measurements.ratios(speed)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 1, kMobileNet {display-mode: "form"}
order = list(measurements.COMPARISONS)
puzzle = networks.query("case == 'kMobileNet 16ch'").rename(columns={"machine": "processor"})
plots.table(
    puzzle[["processor", "comparison", "ratio", "lowest", "highest", "runs"]]
    .sort_values("comparison", kind="stable", key=lambda names: names.map(order.index))
    .reset_index(drop=True),
    "Table 1. kMobileNet 16ch against MobileNet, 16 images of 224×224 pixels, stored measurements: "
    "median, lowest and highest of the runs.",
    {"ratio": ".2f", "lowest": ".2f", "highest": ".2f"},
)

# %% [markdown]
# On Keras' own `Conv2D(groups=...)` a training step takes many times as long as MobileNet's. On the layers of this
# package it takes less time than MobileNet's, and nowhere near a sixth of it. Whether a prediction takes less at all
# differs between the two measurements, which are of two processors *and* of two versions of the package (AVX2: one run
# of an older one). All three need an explanation. It starts with two numbers.
#
# ## Two limits, and two more
#
# A layer reads its input from memory, computes, and writes its output to memory. Two rates bound it, however well it
# is written:
#
# - $P$, the *peak rate* of arithmetic, in floating point operations per second. A product of large matrices comes
#   close to it.
# - $B$, the *bandwidth* of the memory, in bytes per second. Adding 1 to a long array does next to no arithmetic, so
#   it runs at the speed of the memory.
#
# Two further rates refine them. A feature map of a megabyte or two need not come from memory: it may still lie in the
# processor's *cache*, a small and fast memory between the two, since the layer before wrote it. That is a second,
# higher bandwidth. And narrow matrices are multiplied more slowly than large ones, in the cache or not: rows of 16
# numbers times a matrix of 16×16, which is what a group of 16 channels is, have a peak rate of their own.
#
# All four are measured here, on the machine that executes this page. One multiplication and one addition are *two*
# operations (the paper's flops count them as one).

# %% tags=["measures-time", "nbval-ignore-output"]
bandwidth = timing.memory_bandwidth(megabytes=128, rounds=ROUNDS)
cache = max(bandwidth, timing.cache_bandwidth(kilobytes=512, rounds=ROUNDS))
peak = timing.matrix_product_rate(size=1536, rounds=4 * ROUNDS)
narrow = timing.narrow_product_rate(channels=16, rounds=ROUNDS)

print(timing.machine()["machine"], "with", keras.backend.backend())
print(f"B = {bandwidth / 1e9:6.1f} GB/s from memory, {cache / 1e9:.1f} from the cache")
print(f"P = {peak / 1e9:6.1f} Gflop/s, {narrow / 1e9:.1f} in products 16 wide")
print(f"P / B = {peak / bandwidth:.0f} operations for each byte moved")

# %% [markdown]
# *What you may see elsewhere:* laptops and servers have 10 to 50 GB/s and 50 to 500 Gflop/s for each two cores, a GPU
# a hundred times as much of both; the quotient $P / B$ is between 4 and 100 nearly everywhere. The four numbers change
# by a tenth from one execution to the next, more where the machine does something else.
#
# $P / B$ tells how much arithmetic a layer must do for every byte it moves before arithmetic is what it waits for. The
# *arithmetic intensity* $I$ of a layer is its operations divided by its bytes. So its rate is at most
#
# $$\min(P,\; I \cdot B).$$
#
# Drawn over $I$ this is a roof: a slope, where memory is the limit, and a flat part, where arithmetic is. That is the
# *roofline* picture.
#
# ## What grouping does to the intensity
#
# An ordinary pointwise convolution from $C$ channels to $C$ channels, on $n$ pixels (of all images of the batch
# together), does $2nC^2$ operations. It reads $nC$ values, writes as many, and reads $C^2$ weights, of four bytes each:
#
# $$I = \frac{2nC^2}{4\,(2nC + C^2)}.$$
#
# As long as the weights are few, that is $C / 4$. On the small maps at the end of a network they are not. With groups
# of 16 channels the operations are $2 \cdot 16\,nC$ and the weights $16\,C$, so $I$ is 4 wherever there are many
# pixels, whatever $C$ is. The flops are gone, the bytes are all still there.

# %% tags=["nbval-check-output"]
# (height = width, C), pointwise layers of MobileNet
LAYERS = ((56, 64), (28, 128), (28, 256), (14, 512), (7, 1024))


def traffic(size, channels, width, batch=8):
    """Operations, bytes, and the weights' share; `width` channels per group."""
    pixels = batch * size * size
    maps, weights = 2 * pixels * channels, width * channels
    moved = maps + weights
    return 2 * pixels * channels * width, 4 * moved, weights / moved


rows = []
for size, channels in LAYERS:
    operations, moved, share = traffic(size, channels, width=channels)
    narrow_operations, narrow_moved, _ = traffic(size, channels, width=16)
    intensity = operations / moved, channels / 4, narrow_operations / narrow_moved
    rows.append((f"{size}×{size}, {channels}", *intensity, share))
columns = ["map, channels", "I", "C / 4", "I, 16ch", "weights' share"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    "Table 2. Arithmetic intensity of ordinary and of grouped layers, batch 8.",
    dict.fromkeys(columns[1:4], ".1f") | {columns[4]: ".0%"},
)

# %% [markdown]
# At 7×7 pixels and a batch of 8, more than half of what the ordinary layer moves are its weights, and its intensity is
# 111, not 256. (The weights also explain why a larger batch makes such a layer faster for each image: the weights are
# read once for all.)
#
# Let us measure. Each point below is one layer, forward only; the height is the rate that it reached. The time of a
# call that does nothing is taken off.


# %% tags=["nbval-ignore-output"]
def forward(layer, *shape):
    """A function that runs a layer on random numbers, compiled."""
    images = np.random.default_rng(0).random(shape, dtype="float32")
    return device_steps.layer_steps(layer, images)["forward"]


calls = {"nothing": forward(keras.layers.Activation("linear"), 1, 1, 1, 16)}
for size, C in LAYERS:
    shape = (BATCH, size, size, C)
    ordinary = keras.layers.Conv2D(C, 1, use_bias=False)
    grouped = kgpc.layers.GroupedPointwiseConv2D(C, groups=C // 16, use_bias=False)
    calls[f"{size}×{size}, {C}: ordinary"] = forward(ordinary, *shape)
    calls[f"{size}×{size}, {C}: 16 channels per group"] = forward(grouped, *shape)
seconds = timing.in_turns(calls, 3 * ROUNDS)
nothing = seconds.pop("nothing")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title The measured layers {display-mode: "form"}
points = []
for size, channels in LAYERS:
    for kind, width in (("ordinary", channels), ("16 channels per group", 16)):
        name = f"{size}×{size}, {channels}"
        taken = max(seconds[f"{name}: {kind}"] - nothing, 1e-6)
        operations, moved, _ = traffic(size, channels, width, BATCH)
        megabytes = 8 * BATCH * size * size * channels / 1e6
        points.append((name, kind, operations, moved, taken, megabytes))
points = pd.DataFrame(points, columns=["name", "kind", "operations", "bytes", "seconds", "megabytes"])
points["intensity"] = points["operations"] / points["bytes"]
points["rate"] = points["operations"] / points["seconds"]

# %% tags=["nbval-ignore-output"]
figures.roofline(
    points,
    peak,
    bandwidth,
    cache_bandwidth=cache,
    ceilings={"products 16 wide": narrow},
)

# %% [markdown]
# *Figure 1. Pointwise convolutions under the roofs of this machine. Solid: memory and arithmetic; dashed: where the
# cache holds the feature maps; dotted: what products 16 wide reach. Point at a layer, or move the slider.*
#
# The grouped layers all stand at about the same intensity, and there the memory allows a fraction of the rate that
# arithmetic could have. So a grouped layer can save nearly all of the arithmetic and only a part of the time. (A point
# may stand above the roof of memory: its maps came from the cache. And it may stand a little above all of them, for $P$
# and $B$ are the fastest of a few rounds, but the machine may have been slower in all of them. It may also stand above
# the dotted line: the layer computes several groups as one wider group where that is faster.)
#
# Table 3 says which limit bounds each layer: the traffic at bandwidth $B$, or the arithmetic at rate $P$. The
# larger of the two is the least time that the layer can take.

# %% tags=["nbval-ignore-output"]
bounds = pd.DataFrame(
    {
        "layer": points["name"],
        "kind": points["kind"],
        "maps (MB)": points["megabytes"],
        "traffic allows": 1e3 * points["bytes"] / bandwidth,
        "arithmetic allows": 1e3 * points["operations"] / peak,
    }
)
bounds["the larger"] = bounds[["traffic allows", "arithmetic allows"]].max(axis=1)
bounds["measured"] = 1e3 * points["seconds"]
bounds["times the larger"] = bounds["measured"] / bounds["the larger"]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 3, limits of single layers {display-mode: "form"}
plots.table(
    bounds.sort_values("kind", ascending=False, kind="stable").reset_index(drop=True),
    f"Table 3. Milliseconds of pointwise convolutions, {BATCH} images, measured while this page was executed.",
    {"maps (MB)": ".1f", **dict.fromkeys(bounds.columns[3:7], ".2f"), "times the larger": ".1f"},
)

# %% [markdown]
# So there are two ways to make a grouped network faster, and to compute still less is neither of them: **move fewer
# bytes**, and **keep the vectors full** (a processor multiplies 8 or 16 numbers at once, a *vector*, and a group of 16
# channels leaves little to do for each).
#
# *What you may see elsewhere:* the last column is between 1 and 3 for ordinary layers and between 1 and 6 for grouped
# ones; below 1 where the cache holds the maps.
#
# ## What else moves bytes
#
# A pointwise unit is more than its convolution. After it come [batch
# normalization](../docs/glossary.md#batch-normalization) and an activation, such as
# [swish](../docs/glossary.md#swish), and D6 adds an interleave, a second convolution and an addition. None of them
# computes much, each passes over the whole feature map. Table 4 has how often each must pass over the feature
# maps at the least in training when it runs by itself. Forward it reads and writes; backward it reads the gradient of
# its output and its own input and writes the gradient of its input. (An interleave needs no input for that. Batch
# normalization must know the statistics of the batch before it can normalize the first value, so it reads twice, and
# so does its gradient.)

# %% tags=["nbval-ignore-output"]
size, channels = 56, 128
images = np.random.default_rng(0).random((BATCH, size, size, channels), dtype="float32")
megabytes = images.nbytes / 1e6
ours = kgpc.layers
grouped = ours.GroupedPointwiseConv2D(channels, groups=channels // 16, use_bias=False)
parts = {  # layer, passes over the feature map
    "depthwise 3×3": (ours.DepthwiseConv2D(3, padding="same", use_bias=False), 5),
    "grouped pointwise, 16ch": (grouped, 5),
    "ordinary pointwise": (keras.layers.Conv2D(channels, 1, use_bias=False), 5),
    "batch normalization, Keras": (keras.layers.BatchNormalization(), 8),
    "batch normalization, kgpc": (ours.BatchNormalization(), 8),
    "swish": (ours.Activation("swish"), 5),
    "interleave": (ours.InterleaveChannels(16), 4),
}
steps = {}
for name, (layer, _) in parts.items():
    takes_training = "batch normalization" in name or layer is grouped
    both = device_steps.layer_steps(layer, images, takes_training)
    steps[name] = both["forward + backward"]
seconds = timing.in_turns(steps, ROUNDS)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 4, passes over the feature maps {display-mode: "form"}
costs = pd.DataFrame({"passes": {name: passes for name, (_, passes) in parts.items()}})
costs["at bandwidth B (ms)"] = costs["passes"] * megabytes / bandwidth * 1e9
costs["measured (ms)"] = 1e3 * pd.Series(seconds)
costs["times its traffic"] = costs["measured (ms)"] / costs["at bandwidth B (ms)"]
plots.table(
    costs.rename_axis("layer"),
    f"Table 4. Forward and backward pass of single layers over {BATCH} feature maps of {size}×{size} pixels and "
    f"{channels} channels ({megabytes:.1f} MB), measured while this page was executed.",
    {"at bandwidth B (ms)": ".1f", "measured (ms)": ".1f", "times its traffic": ".1f"},
)

# %% [markdown]
# *What you may see elsewhere:* on a processor the last column is between 1 and 8; highest is the ordinary pointwise
# layer, which waits for arithmetic. Keras' own batch normalization takes one to four times as long as the one of `kgpc`
# on TensorFlow, and as long on JAX and PyTorch, where the two are one.
#
# ## Where a training step goes
#
# Now whole networks. TensorFlow's profiler noted when each operation of a training step begins and ends
# (`python tests/benchmarks/step_profile.py`). Summed up by kind of layer, for each network beside its original:

# %%
steps = measurements.stored("step-profile")
profile = measurements.profile(steps, speed)
kinds = list(dict.fromkeys(steps["kind"]))
profiled = profile.index.get_level_values("machine")[0]
bars = 1e3 * profile.loc[profiled, "seconds"].unstack("kind")[kinds].fillna(0)
bars = bars.droplevel("case").loc[list(dict.fromkeys(steps["side"]))]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2: the bars {display-mode: "form"}
COLORS = {
    "pointwise convolution": plots.LAYER_COLORS["pointwise"],
    "depthwise convolution": plots.LAYER_COLORS["depthwise"],
    "other convolution": plots.LAYER_COLORS["other convolutions"],
    "batch normalization": plots.LAYER_COLORS["batch normalization"],
    "activation": plots.COLORS["yellow"],
    "adding, moving": plots.COLORS["vermillion"],
    "optimizer": "#767676",
    "the rest": "#DDDDDD",
}
names = dict(zip(kinds, COLORS, strict=True))
allowed = 1e3 * profile.loc[profiled, "allowed"].groupby("side", sort=False).sum()
figure = plots.stacked_bars(bars.rename(columns=names), "milliseconds of a training step", colors=COLORS)
for row, side in enumerate(bars.index):
    for outside in (-1, 1):  # not across the bar, where it would hide a number
        ends = [row + outside * 0.32, row + outside * 0.5]
        figure.axes[0].plot([allowed[side]] * 2, ends, color="black", linewidth=2.5)
plots.show(
    figure,
    "Stacked bars of milliseconds by kind of layer, an original and a grouped network in turn. Grouping shortens the "
    "part of pointwise convolutions in four families and lengthens it in DenseNet; these layers shorten that of batch "
    "normalization; depthwise convolutions stay.",
    caption="Figure 2. Where a training step goes, by kind of layer; batch 16 at 224×224, DenseNet batch 64 at 32×32. "
    f"Stored measurements, {profiled}.",
)
# %% [markdown]
# The marks above and below each bar are at what the limits allow, the larger of the two for each kind of layer. In four
# families grouping shortens the part of the pointwise convolutions; in DenseNet, with its narrow groups, that part is
# longer than before. One operation runs at a time here, so that times can be added; trained as usual, operations that
# do not wait for each other run side by side, and a step is shorter. Here are MobileNet and kMobileNet: the sum, what
# the limits allow, and the three kinds of layers that take most beyond their limits. (The limits count batch
# normalization as if one pass over its input were enough forward and backward, 5 passes instead of the 8 of Table 4.)

# %%
for side in ("MobileNet", "kMobileNet 16ch"):
    rows = 1e3 * profile.loc[profiled].droplevel("case").loc[side]
    total, least = rows["seconds"].sum(), rows["allowed"].sum()
    print(f"{side}: {total:.0f} ms, allowed: {least:.0f}")
    for kind, beyond in rows["beyond"].sort_values(ascending=False).head(3).items():
        print(f" +{beyond:.0f} ms ({beyond / total:.0%}) {kind}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 5, both networks by kind of layer {display-mode: "form"}
pair = profile.loc[profiled].loc["kMobileNet 16ch"].unstack("side") * 1e3
pair = pair.loc[[kind for kind in kinds if kind in pair.index]]
plots.table(
    pd.DataFrame(
        {
            "MobileNet": pair["seconds", "MobileNet"],
            "limits allow": pair["allowed", "MobileNet"],
            "kMobileNet 16ch": pair["seconds", "kMobileNet 16ch"],
            "they allow": pair["allowed", "kMobileNet 16ch"],
        }
    ).rename_axis("kind of layer"),
    "Table 5. Milliseconds of a training step, 16 images of 224×224 pixels, and what memory traffic and arithmetic "
    "allow; stored measurements.",
    dict.fromkeys(("MobileNet", "limits allow", "kMobileNet 16ch", "they allow"), ".0f"),
)

# %% [markdown]
# (A kind of layer can take less than its limit, as activations do here: the limit counts every map as read from memory,
# and some still lie in the cache.)
#
# That is the answer for the processor of these measurements. The saved flops were real, and pointwise convolutions did
# get faster, by little more than the interleaves and additions cost that grouping adds. They were not what the network
# waited for most. Nearly all that kMobileNet saves against MobileNet here it saves in batch normalization, **which has
# nothing to do with grouping**: `keras.applications` is built of Keras' own, kMobileNet of this package's. What is left
# to gain is in the grouped convolutions, which take several times what the limits allow them. Narrow products are one
# cause, but not the only one: in Figure 1 the layers stay at a quarter to half of the dotted line as well.
#
# ## What was done about it
#
# In bold the remedy, as Figure 3 names it (the first is in Table 6 instead); after it, what was in the way.
#
# - **TensorFlow's own grouped convolution.** Keras sends it through a nested compiled function, whose gradients are
#   slow; that is the column "training on Conv2D(groups)" below.
# - **Fused batch normalization.** Keras writes it out, operation by operation; TensorFlow has one routine for all of
#   it.
# - **One loop for the gradient of swish.** It is a dozen passes; XLA, a compiler, makes one of them.
# - **Gradient of depthwise kernels.** OneDNN, TensorFlow's library of fast routines, is slow for 5×5 kernels, strides
#   and very small maps; `python tests/benchmarks/depthwise.py` measures both ways.
# - **Wide groups.** Narrow groups leave the processor's vectors half empty; several are computed as one wider group
#   with zeros between them (`kgpc.wide_groups`): more arithmetic. The widths were chosen on a processor with AVX2; on
#   the one with AVX-512 they give nothing (Figure 3).
# - **Twin for training.** DenseNet normalizes all features so far before every bottleneck; in long runs `training.fit`
#   trains a twin of the network that takes the statistics of each piece once (`kgpc.merging.training_twin`).
# - **Memory that is kept.** Every feature map is fetched from the operating system and given back, which clears its
#   pages each time (`kgpc.tensorflow_settings`).
# - **OneDNN.** TensorFlow leaves it off on processors without AVX-512 (vectors of 16 numbers); elsewhere it is on
#   anyway.
# - **Folding, for prediction.** Batch normalization is put into the convolutions (`kgpc.deploy.fold`).
#
# All of these give the same numbers up to rounding. All but the last, which makes another model, keep the weights and
# the saved file as they are. How much does each give? The figure has the time of a step *without* one remedy, and with
# all the others, divided by the time with all (`python tests/benchmarks/remedies.py`). (Two rows are not quite that.
# Memory was measured with oneDNN switched off on both sides; and oneDNN was switched off for its own row, while on this
# processor it is on without us.)

# %%
gains = measurements.remedies(measurements.stored("remedies"), speed)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 3: what each remedy gave {display-mode: "form"}
rows = gains.assign(group=gains["remedy"]).set_index("case")
spans = gains.groupby("remedy", sort=False)["value"].agg(["min", "max"])
names = ("sky blue", "black", "orange", "blue", "green", "yellow", "vermillion", "purple")
REMEDY_COLORS = [plots.COLORS[name] for name in names]
REMEDY_COLORS[5] = plots.GREY  # yellow cannot be seen as a thin line
figure = plots.interval_chart(
    rows[["value", "low", "high", "group"]],
    "time without the remedy / time with it (bar: quartiles); right of 1 the remedy helps",
    levels={"no difference": 1.0},
    formats=".2f",
    colors=dict(zip(spans.index, REMEDY_COLORS, strict=True)),
)
plots.show(
    figure,
    "Points with quartile bars, a row for each remedy and network; the further right of 1, the more the remedy gives. "
    + "; ".join(f"{remedy}: {low:.2f} to {high:.2f}" for remedy, low, high in spans.itertuples(name=None))
    + ".",
    caption="Figure 3. What each remedy gave by itself, a training step (folding: a prediction). Stored measurements, "
    f"{profiled}.",
)

# %% [markdown]
# A remedy that gives nothing here is not useless: what each of them gives depends on the network and the processor. The
# whole story, with what was tried in vain, is on the page [What was tried for speed](../docs/speed-log.md).
#
# ## Whole networks
#
# The stored measurements of the five families. "Predict" is one compiled call on a batch that is ready in memory. "Both
# folded" compares the folded grouped network with the folded original. In brackets are the quartiles (half of the steps
# lie between them) of the grouped network's steps over the median of the original's.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 6, the five families {display-mode: "form"}
plots.table(
    measurements.as_text(networks, speed),
    "Table 6. Time divided by the time of the unmodified network (batch 16 at 224×224; DenseNet: batch 64 at 32×32); "
    "stored measurements. Empty: Conv2D(groups) is timed for two families only, since one step takes up to a quarter "
    "of a minute. Without brackets: from before the quartiles were kept.",
)

# %% [markdown]
# How close is that to the limits? Suppose a network ran layer by layer, each layer moving only what it must, and each
# layer took the time of its traffic at $B$ and of its arithmetic at $P$, of the machine of the stored measurements. The
# larger of the two sums is the least time of a step. (The marks at the bars of Figure 2 are further right, by two
# thirds for MobileNet, where one kind of layer waits for memory and another for arithmetic.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 7, limits of whole networks {display-mode: "form"}
limits = measurements.limits(speed, steps)
plots.table(
    limits.loc[newest].droplevel("case").rename_axis("network"),
    f"Table 7. Seconds of a training step: what each limit allows, and the stored measurement; {newest}.",
    {name: ".2f" for name in limits},
)

# %% [markdown]
# Over a whole network memory is the larger limit, for the originals as for the grouped networks. Grouping takes
# arithmetic away, about half of it in DenseNet and more in most others, and adds to the traffic, so the two limits move
# further apart. Inception V3 is the exception. Its 3×3 and longer convolutions stay ordinary, and with them four fifths
# of the arithmetic, which is what both networks wait for. So no way of computing groups could make kInception V3 take
# much less than four fifths of the time.
#
# ## Single layers, how time grows, and memory
#
# A layer is named by its feature map, its channels and filters, and its groups. What makes `Conv2D(groups)` so slow are
# its gradients.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 8, single layers {display-mode: "form"}
layers = speed.query("kind == 'layers' and machine == @newest")
layers = 1e3 * measurements.seconds(layers, ["case", "part", "side"])["seconds"].unstack("side")
layers = layers[["ordinary", "Conv2D(groups)", "ours"]].reset_index()
plots.table(
    layers.rename(columns={"case": "layer", "part": "pass"}),
    f"Table 8. Milliseconds of one pointwise layer, batch 16; stored measurements, {newest}. "
    '"Gradients" leaves out the forward pass, whose result they do not need.',
    {"ordinary": ".1f", "Conv2D(groups)": ".1f", "ours": ".1f"},
)

# %% [markdown]
# In Table 9 MobileNet has no groups that could grow: its times beside "channels per group" are one and the same
# step, measured more than once, and show how little the second digit means.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 9, growth {display-mode: "form"}
growth = speed.query("kind == 'growth' and machine == @newest")
growth = growth.assign(
    axis=growth["case"].str.rsplit(n=1).str[0],
    value=growth["case"].str.rsplit(n=1).str[1].astype(int),
)
grown = measurements.seconds(growth, ["axis", "value", "side"])["seconds"].unstack("side", sort=False)
grown["ratio"] = grown["kMobileNet"] / grown["MobileNet"]
plots.table(
    grown.reset_index().rename(columns={"axis": "what grows", "value": "to"}),
    "Table 9. Seconds of a training step as batch (at 224×224), image size (batch 8) and channels per group (batch 8, "
    f"160×160) grow; stored measurements, {newest}.",
    {"MobileNet": ".3f", "kMobileNet": ".3f", "ratio": ".2f"},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Table 10, memory {display-mode: "form"}
peaks = speed.query("kind == 'memory' and machine == @newest")
peaks = peaks.groupby(["case", "side"], sort=False)["peak_bytes"].median() / 1e9
peaks = peaks.groupby("case", sort=False)
plots.table(
    pd.DataFrame({"original (GB)": peaks.first(), "grouped (GB)": peaks.last()}).rename_axis("network"),
    f"Table 10. Peak memory of a training step beyond what Python and TensorFlow take; stored measurements, {newest}.",
    {"original (GB)": ".2f", "grouped (GB)": ".2f"},
)

# %% [markdown]
# Fewer parameters do not mean less memory in training: feature maps fill it, and grouping keeps all of them. Most
# grouped networks need about as much as the original; kMobileNet needs two fifths more, for the feature maps of K and
# L.
#
# ## Your machine
#
# One measurement, everything in turns, with its spread: the middle half of the rounds lies between the quartiles. Two
# measurements of the same step differ by as much. On TensorFlow there is a third network between the two: MobileNet on
# the layers of this package, without groups. So the gain of the layers and that of grouping can be told apart.
#
# The quick profile measures small images, the paper profile the full size. For all families and a CSV file:
# `python tests/benchmarks/speed.py` in a clone of the repository; it runs unchanged on a GPU, and with
# `KERAS_BACKEND=jax` or `torch`.

# %%
SIZE = 96 if PROFILE == "quick" else 224
options = {"classes": 10, "input_shape": (SIZE, SIZE, 3)}
models = {"MobileNet": keras.applications.MobileNet(weights=None, **options)}
if keras.backend.backend() == "tensorflow":  # on the others the layers are Keras' own
    plain = kgpc.applications.kMobileNet(scheme=None, **options)
    models["MobileNet, our layers"] = plain
models["kMobileNet 16ch"] = kgpc.applications.kMobileNet(**options)
steps = {}
for name, model in models.items():
    steps[f"train: {name}"] = timing.train_step(model, BATCH)
    steps[f"predict: {name}"] = timing.predict_step(model, BATCH)
    folded = deploy.fold(model)
    steps[f"predict, folded: {name}"] = timing.predict_step(folded, BATCH)

# %% tags=["nbval-ignore-output"]
rounds = pd.DataFrame(timing.seconds_in_turns(steps, 2 * ROUNDS)) * 1e3
ratios = []
for step in rounds:
    part, _, name = step.partition(": ")
    ratio = rounds[step] / rounds[f"{part}: MobileNet"]  # round by round
    low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
    ratios.append((part, name, rounds[step].median(), middle, low, high))

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 11, this machine {display-mode: "form"}
columns = ["step", "network", "ms", "ratio", "lower quartile", "upper quartile"]
here = pd.DataFrame(ratios, columns=columns).sort_values("step", kind="stable", ascending=False)
plots.table(
    here.reset_index(drop=True),
    f"Table 11. Milliseconds of a step on this machine, {BATCH} images of {SIZE}×{SIZE} pixels; medians, and the ratio "
    "round by round with its quartiles. All ratios are to the MobileNet of keras.applications, folded where it says "
    "folded.",
    {"ms": ".1f", **dict.fromkeys(columns[3:], ".2f")},
)

# %% [markdown]
# *What you may see elsewhere:* on processors the ratios of training were between 0.5 and 0.9; on a GPU nobody knows
# yet. At small sizes the ratio is nearer to 1 than in the tables above, for part of each step does not depend on the
# size.
#
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** A machine has $P$ = 200 Gflop/s and $B$ = 25 GB/s. From how many channels on is an ordinary pointwise
# convolution of 7×7 pixels (one image; as many filters as channels) bound by arithmetic there? Count the weights.

# %%
answer = None  # your answer: a number of channels
exercises.check("10.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# 2nC^2 / P >= 4 (2nC + C^2) / B. With r = P / B: nC >= 2r (2n + C), so C >= 4rn / (n - 2r), where n is above 2r.
n, r = 7 * 7, 200 / 25
answer = int(np.ceil(4 * r * n / (n - 2 * r)))
print(f"from {answer} channels on; without the weights it would be {4 * r:.0f}")

# %% [markdown]
# **2.** Numbers of 16 bits halve the bytes. What is the intensity of a grouped convolution with 16 channels per group
# then, where the weights are few?

# %%
answer_2 = None  # your answer: operations per byte
exercises.check("10.2", answer_2)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
for bits in (32, 16):
    answer_2 = 2 * 16 / (2 * bits / 8)
    print(f"{bits} bits: {answer_2:.0f} operations per byte")

# %% [markdown]
# **3.** Does folding reach every batch normalization, and is it exact? Fold `small`, count its batch normalizations
# before and after, and compare the predictions of both networks.

# %%
small = kgpc.applications.kMobileNet(classes=10, input_shape=(32, 32, 3), alpha=0.25)
answer_3 = None  # your answer: [number before, number after]
exercises.check("10.3", answer_3)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 3 {display-mode: "form"}
folded = deploy.fold(small)
answer_3 = [
    sum(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers) for network in (small, folded)
]
batch = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
predictions = [keras.ops.convert_to_numpy(network(batch)) for network in (small, folded)]
difference = np.abs(predictions[0] - predictions[1]).max()
print(f"{answer_3[0]} before, {answer_3[1]} after")
print("equal up to rounding" if difference < 1e-5 else f"no: the predictions differ by {difference:.1e}")

# %% [markdown]
# ## Summary
#
# - A layer is bound by arithmetic or by memory. Grouping removes arithmetic and leaves the traffic, so memory is the
#   limit of most grouped networks. The layers around the convolutions come near it; the grouped convolutions still take
#   several times what it allows.
# - Seconds are saved by passing over memory less often: fused batch normalization and activation gradients, statistics
#   shared between layers, normalization folded away for inference, memory that is kept from step to step. Fast routines
#   for the products count as much (oneDNN); wider groups gave nothing on the processor of Figure 3.
# - Say where a gain comes from: in training most of kMobileNet's is that of a faster batch normalization, which its
#   original could have, too.
# - Compare both sides in turns, each with its fastest settings, and say how much two measurements of the same thing
#   differ.
# - What a GPU does is open until it is measured on one.
#
# ## References
#
# - S. Williams, A. Waterman, D. Patterson: *Roofline: An Insightful Visual Performance Model for Multicore
#   Architectures*. Communications of the ACM 52(4), 2009.
#   [doi:10.1145/1498765.1498785](https://doi.org/10.1145/1498765.1498785)
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)
