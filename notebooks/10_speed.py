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
# **Why a sixth of the flops did not take a sixth of the seconds, and what can be done about it.**
#
# After this page you can
#
# - measure the two limits of your machine, and say which of them bounds a layer;
# - read a roofline picture;
# - say what made grouped networks slow, and what `kgpc` does about each cause;
# - measure your own machine.
#
# **You need** [00 Start here](00_start_here.ipynb). No GPU, no download.
# **Running time:** about a minute on two CPU cores; the paper profile measures the full image size and takes ten.

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
import tensorflow as tf

import kgpc
from kgpc import deploy, plots, timing
from kgpc.resources import data_path

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')
tf.get_logger().setLevel("ERROR")  # many small functions are compiled below, of which TensorFlow warns
ROUNDS = 5 if PROFILE == "quick" else 9

# %% [markdown]
# ## The puzzle
#
# kMobileNet 16ch has 16% of MobileNet's flops. Yet the authors report a training step of 594 ms on their GPU, where
# MobileNet takes 341 ms. On a processor, the same stack of layers on Keras' own `Conv2D(groups=...)` is slower still.
# The repository carries a table of measurements; each of its rows was measured by `tests/benchmarks/speed.py`, both
# sides of a comparison in turns. A *ratio* is a time divided by the time of the unmodified network: below 1 is faster.

# %%
measured = pd.read_csv(data_path("benchmarks/speed-2core-cpu.csv"))
print(f"The machine of the stored measurements: {measured['machine'].iloc[0]}")

puzzle = measured.query("kind == 'models' and case == 'kMobileNet 16ch' and part == 'train'")
plots.table(
    puzzle[["side", "seconds", "ratio"]].rename(columns={"side": "network"}).reset_index(drop=True),
    "Training step, 16 images of 224×224 pixels, stored measurements.",
    {"seconds": ".2f", "ratio": ".2f"},
)

# %% [markdown]
# ## Two limits
#
# A layer reads its input from memory, computes, and writes its output to memory. Two rates bound it, however well it
# is written:
#
# - $P$, the *peak rate* of arithmetic, in floating point operations per second. A product of large matrices comes
#   close to it.
# - $B$, the *bandwidth* of the memory, in bytes per second. Adding 1 to a long array does next to no arithmetic, so
#   it runs at the speed of the memory.
#
# Both are measured here, on the machine that executes this page. Here one multiplication and one addition are *two*
# operations (the paper's flops count them as one).

# %% tags=["measures-time", "nbval-ignore-output"]
bandwidth = timing.memory_bandwidth(megabytes=128, rounds=ROUNDS)
peak = timing.matrix_product_rate(size=1536, rounds=ROUNDS)

print(f"B = {bandwidth / 1e9:6.1f} GB/s")
print(f"P = {peak / 1e9:6.1f} Gflop/s")
print(f"P / B = {peak / bandwidth:.0f} operations for each byte moved")

# %% [markdown]
# The quotient $P / B$ tells how much arithmetic a layer must do for every byte it moves before arithmetic is what it
# waits for. The *arithmetic intensity* $I$ of a layer is its operations divided by its bytes. So its rate is at most
#
# $$\min(P,\; I \cdot B).$$
#
# Drawn over $I$ this is a roof: a slope, where memory is the limit, and a flat part, where arithmetic is. That is the
# *roofline* picture.
#
# ## What grouping does to the intensity
#
# A pointwise convolution from $C$ channels to $C$ channels does $2C$ operations for each value that it writes, and
# moves two values of four bytes (one in, one out; the weights are few beside them): $I = 2C / 8$. With groups of 16
# channels it does $32$ operations for the same traffic: $I = 4$, whatever $C$ is. The flops are gone, the bytes are
# all still there.
#
# Let us measure. Each point below is one layer, forward only; the height is the rate that it reached. (Each is called
# on four batches at once, so that the cost of a call from Python hardly counts.)

# %% tags=["nbval-ignore-output"]
LAYERS = ((56, 64), (28, 128), (28, 256), (14, 512), (7, 1024))  # (height = width, channels) of MobileNet
BATCH = 8 if PROFILE == "quick" else 16


CALLS = 4


def compiled(layer, batches):
    """A function that runs the layer on several batches, compiled."""
    step = tf.function(lambda batches: [layer(x) for x in batches], autograph=False)
    return lambda: step(batches)[-1][0, 0, 0].numpy()


rows = []
for size, channels in LAYERS:
    batches = [tf.random.uniform((BATCH, size, size, channels)) for _ in range(CALLS)]
    sides = {
        "ordinary": keras.layers.Conv2D(channels, 1, use_bias=False),
        "16 channels per group": kgpc.layers.GroupedPointwiseConv2D(channels, channels // 16, use_bias=False),
    }
    seconds = timing.in_turns({name: compiled(layer, batches) for name, layer in sides.items()}, ROUNDS)
    for name, layer in sides.items():
        reads = channels if name == "ordinary" else 16
        pixels = BATCH * size * size
        operations, traffic = 2 * pixels * channels * reads, 4 * (2 * pixels * channels + layer.count_params())
        rows.append((f"{channels} channels, {size}×{size}", name, operations, traffic, seconds[name] / CALLS))

points = pd.DataFrame(rows, columns=["layer", "kind", "operations", "bytes", "seconds"])
points["intensity"] = points["operations"] / points["bytes"]
points["Gflop/s"] = points["operations"] / points["seconds"] / 1e9

# %% tags=["nbval-ignore-output"]
intensities = np.sort(np.append(np.geomspace(1, 512, 60), peak / bandwidth))  # with the corner of the roof
figure = plots.line_chart(
    intensities,
    {"the roof: min(P, I·B)": np.minimum(peak, intensities * bandwidth) / 1e9},
    "arithmetic intensity I (operations per byte moved)",
    "rate (Gflop/s)",
    title="Pointwise convolutions under the roof of this machine",
    log=True,
    markers=False,
)
axes = figure.axes[0]
for (name, group), marker, color in zip(points.groupby("kind"), "os", ("orange", "green"), strict=True):
    axes.scatter(group["intensity"], group["Gflop/s"], marker=marker, color=plots.COLORS[color], label=name, zorder=3)
rates = [rate for rate in (5, 10, 20, 50, 100, 200, 500) if rate < 1.2 * peak / 1e9]
axes.set_yticks(rates, rates)
axes.minorticks_off()
axes.legend()
plots.show(
    figure,
    "Roofline: rate over arithmetic intensity on logarithmic axes. The ordinary convolutions lie to the right, towards "
    "the flat roof; those with 16 channels per group all lie at an intensity of about 4, far lower, under the slope.",
)

# %% [markdown]
# The grouped layers all stand at the same intensity, under the slope: there the memory allows a fraction of the rate
# that arithmetic could have. And they stay below even that. A product of 16 by 16 numbers keeps the processor's vectors
# and its registers less busy than a large one does, which is a loss of its own. (A point may stand a little above the
# roof: $P$ and $B$ are the fastest of a few rounds, but the machine may have been slower in all of them.) So there are
# two ways to make a grouped network faster, and to compute still less is neither of them: **move fewer bytes**, and
# **keep the vectors full**.
#
# ## What else moves bytes
#
# A pointwise unit is more than its convolution. After it come batch normalization and an activation, and D6 adds an
# interleave, a second convolution and an addition. None of them computes much, each passes over the whole feature map.
# The next table has how often each must pass over the feature maps at the least when it runs by itself, how long that
# takes at the bandwidth $B$, and how long it took.

# %% tags=["nbval-ignore-output"]
size, channels = 56, 128
images = tf.random.uniform((BATCH, size, size, channels))
megabytes = 4 * BATCH * size * size * channels / 1e6
parts = {  # layer, passes over the feature map
    "depthwise 3×3": (keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False), 2),
    "grouped pointwise, 16ch": (kgpc.layers.GroupedPointwiseConv2D(channels, channels // 16, use_bias=False), 2),
    "ordinary pointwise": (keras.layers.Conv2D(channels, 1, use_bias=False), 2),
    "batch normalization, Keras": (keras.layers.BatchNormalization(), 3),
    "batch normalization, kgpc": (kgpc.layers.BatchNormalization(), 3),
    "swish": (kgpc.layers.Activation("swish"), 2),
    "interleave": (kgpc.layers.InterleaveChannels(16), 2),
}


def training_step(layer):
    """A function that runs the layer once as training does, compiled."""
    layer.build(images.shape)
    takes_training = isinstance(layer, keras.layers.BatchNormalization)
    step = tf.function(lambda x: layer(x, training=True) if takes_training else layer(x), autograph=False)
    return lambda: step(images)[0, 0, 0].numpy()


seconds = timing.in_turns({name: training_step(layer) for name, (layer, _) in parts.items()}, ROUNDS)
costs = pd.DataFrame(
    {
        "passes": {name: passes for name, (_, passes) in parts.items()},
        "at bandwidth B (ms)": {name: passes * megabytes / bandwidth * 1e9 for name, (_, passes) in parts.items()},
        "measured (ms)": {name: 1e3 * value for name, value in seconds.items()},
    }
)
costs["times its traffic"] = costs["measured (ms)"] / costs["at bandwidth B (ms)"]
plots.table(
    costs.rename_axis("layer"),
    f"Forward pass of single layers over {BATCH} feature maps of {size}×{size} pixels and {channels} channels "
    f"({megabytes:.1f} MB), measured while this page was executed.",
    {"at bandwidth B (ms)": ".1f", "measured (ms)": ".1f", "times its traffic": ".1f"},
)

# %% [markdown]
# The statistics of a batch must be known before the first value can be normalized, so batch normalization reads its
# input twice and writes it once: three passes.
#
# ## What was done about it
#
# In bold what was in the way; after it, what `kgpc` does about it.
#
# - **Keras sends grouped convolutions on TensorFlow through a nested compiled function.** Calls TensorFlow's own
#   grouped convolution, or one batched matrix product where that has no gradient.
# - **Keras writes batch normalization out, operation by operation.** Calls TensorFlow's fused kernel, one routine that
#   does all of it, with Keras' moving statistics. The gain is in the gradient.
# - **The gradient of swish is a dozen passes.** Compiles it into one loop.
# - **Every feature map is fetched from the operating system and given back, which clears its pages each time.** Asks
#   TensorFlow to keep its memory (`kgpc.tensorflow_settings`).
# - **TensorFlow leaves oneDNN, its library of fast routines, off on processors without AVX-512 (vectors of 16 numbers),
#   and with it the gradients of grouped convolutions.** Switches it on; that works only before TensorFlow is loaded,
#   which is why the setup cell of every notebook does it too.
# - **Narrow groups, or groups of an odd width, leave the processor's vectors half empty.** Computes several groups as
#   one wider group with zeros between them, the gradients in widths of their own (`kgpc.wide_groups`). More arithmetic,
#   less time.
# - **oneDNN's gradient of a depthwise kernel is slow for 5×5 kernels, strides and very small maps.** Asks for that one
#   gradient in a form that TensorFlow computes itself; `python tests/benchmarks/depthwise.py` measures both. The stored
#   measurements on this page are older than this change.
# - **DenseNet normalizes all features so far before every bottleneck, and interleaving of few channels is a copy.** In
#   long trainings, `training.fit` trains a twin of the network (`kgpc.merging.training_twin`) that has the same
#   variables: it takes the statistics of each piece once, scales and shifts by the weights of the grouped convolution
#   that follows, and reads channels in another order by a kernel with zeros between the groups. The stored measurements
#   were made when the layers did this by themselves.
# - **Batch normalization in inference.** `kgpc.deploy.fold` puts it into the convolutions.
#
# All of these give the same numbers up to rounding. All but the last, which makes another model, keep the weights and
# the saved file as they are.
#
# ## The two settings
#
# The memory and oneDNN settings help both sides. All other stored measurements were made with both on, for the
# baseline too: it is compared at its fastest.

# %%
settings = measured.query("kind == 'settings'")
plots.table(
    settings.pivot(index="case", columns="side", values="seconds")
    .loc[settings["case"].unique()]
    .rename_axis("settings"),
    "Seconds of a training step, 16 images of 224×224 pixels, by TensorFlow's settings; stored measurements.",
    {name: ".2f" for name in settings["side"].unique()},
)

# %% [markdown]
# ## Whole networks
#
# The stored measurements of the five families. "Predict" is one compiled call on a batch that is ready in memory.
# "Folded" networks have their batch normalization folded into the convolutions; the baseline is folded the same way.
# All ratios are to the unfolded baseline.


# %%
def ratio(part, name):
    """The ratio column of one kind of step; `name` picks the row of each family."""
    rows = measured.query("kind == 'models' and part == @part")
    return {
        case: group.set_index("side")["ratio"].get(name(case, group))
        for case, group in rows.groupby("case", sort=False)
    }


def baseline(case, group):
    """What the family is compared with."""
    return group["side"].iloc[0]


networks = pd.DataFrame(
    {
        "train": ratio("train", lambda case, group: case),
        "train on Conv2D(groups)": ratio("train", lambda case, group: f"{case} on Conv2D(groups)"),
        "predict": ratio("predict", lambda case, group: case),
        "predict, folded": ratio("predict", lambda case, group: f"{case} folded"),
        "baseline, folded": ratio("predict", lambda case, group: f"{baseline(case, group)} folded"),
    },
    dtype=float,
)
plots.table(
    networks.rename_axis("network"),
    "Time divided by the time of the unmodified network (batch 16 at 224×224; DenseNet: batch 64 at 32×32); stored "
    "measurements. Empty: not measured.",
    {name: ".2f" for name in networks},
)

# %% [markdown]
# How close is that to the limits? Suppose a network ran layer by layer, each layer moving only what it must. Forward
# it reads its input and writes its output; backward it reads the gradient of the output and its own input, and writes
# the gradient of its input. That is three times its input and twice its output, for a training step. Dividing the sum
# by $B$ gives the time that *memory traffic allows*; dividing the operations (three times those of a prediction) by
# $P$ gives what *arithmetic allows*. Both rates are those of the machine of the stored measurements. The last column
# has the measured time as a multiple of the two together, as if no layer did both at once.

# %%
machine = measured.query("kind == 'machine'")
limits = machine.dropna(subset="per_second").set_index("case")["per_second"]
print(f"stored: B = {limits['memory bandwidth'] / 1e9:.1f} GB/s, P = {limits['matrix product'] / 1e9:.1f} Gflop/s")

bounds = machine.dropna(subset="seconds").pivot(index=["case", "side"], columns="part", values="seconds")
trained = measured.query("kind == 'models' and part == 'train'").set_index(["case", "side"])["seconds"]
bounds = bounds.loc[[row for row in trained.index if row in bounds.index]]
bounds["measured"] = trained
bounds["measured / sum of both"] = bounds["measured"] / bounds[["memory traffic allows", "arithmetic allows"]].sum(
    axis=1
)
plots.table(
    bounds.droplevel("case").rename_axis("network"),
    "Seconds of a training step (batch 16 at 224×224; DenseNet: batch 64 at 32×32): what each limit allows, and the "
    "stored measurement.",
    {name: ".2f" for name in bounds},
)

# %% [markdown]
# Grouping takes most of the arithmetic away and adds to the traffic. That is the answer to the puzzle: the saved flops
# were real, but the networks were not waiting for them alone. What is left of the time goes into memory traffic, and
# into layers that move more than they must, batch normalization first of all.
#
# Inception V3 is the exception. Its 3×3 and longer convolutions stay ordinary, and with them four fifths of the
# arithmetic, which is what both networks wait for. So no way of computing groups could make kInception V3 take much
# less than four fifths of the time.
#
# ## Single layers, and how time grows
#
# A layer is named by its feature map, its channels and filters, and its groups. What makes `Conv2D(groups)` so slow are
# its gradients.

# %%
layers = measured.query("kind == 'layers'").pivot(index=["case", "part"], columns="side", values="seconds") * 1e3
plots.table(
    layers[["ordinary", "Conv2D(groups)", "ours"]].reset_index().rename(columns={"case": "layer", "part": "direction"}),
    "Milliseconds of one pointwise layer, batch 16; stored measurements.",
    {"ordinary": ".1f", "Conv2D(groups)": ".1f", "ours": ".1f"},
)

# %% [markdown]
# In the next table MobileNet has no groups that could grow: its times beside "channels per group" are one and the same
# step, measured several times, and show how little the second digit means.

# %%
growth = measured.query("kind == 'growth'").assign(
    axis=lambda rows: rows["case"].str.rsplit(n=1).str[0],
    value=lambda rows: rows["case"].str.rsplit(n=1).str[1].astype(int),
)
grown = growth.pivot(index=["axis", "value"], columns="side", values="seconds")
grown["ratio"] = grown["kMobileNet"] / grown["MobileNet"]
plots.table(
    grown.reset_index().rename(columns={"axis": "what grows", "value": "to"}),
    "Seconds of a training step as batch (at 224×224), image size (batch 8) and channels per group (batch 8, 160×160) "
    "grow; stored measurements.",
    {"MobileNet": ".2f", "kMobileNet": ".2f", "ratio": ".2f"},
)

# %%
peaks = measured.query("kind == 'memory'")
plots.table(
    pd.DataFrame(
        {
            "baseline (GB)": peaks.groupby("case", sort=False)["peak_bytes"].first() / 1e9,
            "grouped (GB)": peaks.groupby("case", sort=False)["peak_bytes"].last() / 1e9,
        }
    ).rename_axis("network"),
    "Peak memory of a training step beyond what Python and TensorFlow take; stored measurements.",
    {"baseline (GB)": ".2f", "grouped (GB)": ".2f"},
)

# %% [markdown]
# Fewer parameters do not mean less memory in training: feature maps fill it, and grouping keeps all of them. Most
# grouped networks need a little more than the original, for the feature maps of K and L.
#
# ## Your machine
#
# The quick profile measures small images, the paper profile the full size. For all families and a CSV file:
# `python tests/benchmarks/speed.py` in a clone of the repository; it runs unchanged on a GPU.

# %% tags=["nbval-ignore-output"]
SIZE = 96 if PROFILE == "quick" else 224
pair = {
    "MobileNet": keras.applications.MobileNet(weights=None, classes=10, input_shape=(SIZE, SIZE, 3)),
    "kMobileNet 16ch": kgpc.applications.kMobileNet(classes=10, scheme=kgpc.D6(16), input_shape=(SIZE, SIZE, 3)),
}
steps = {
    "train": {name: timing.train_step(model, BATCH) for name, model in pair.items()},
    "predict": {name: timing.predict_step(model, BATCH) for name, model in pair.items()},
    "predict, folded": {name: timing.predict_step(deploy.fold(model), BATCH) for name, model in pair.items()},
}
here = pd.DataFrame({part: timing.in_turns(functions, ROUNDS) for part, functions in steps.items()}).T * 1e3
here["ratio"] = here["kMobileNet 16ch"] / here["MobileNet"]
plots.table(
    here.rename_axis("step"),
    f"Milliseconds of a step on this machine, {BATCH} images of {SIZE}×{SIZE} pixels.",
    {"MobileNet": ".1f", "kMobileNet 16ch": ".1f", "ratio": ".2f"},
)

# %% [markdown]
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** From how many channels on is an ordinary pointwise convolution (as many filters as channels) bound by
# arithmetic on this machine?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 1 {display-mode: "form"}
# Its intensity is 2C / 8 = C / 4 operations per byte, and that must reach P / B.
print(f"from about {4 * peak / bandwidth:.0f} channels on")

# %% [markdown]
# **2.** Numbers of 16 bits halve the bytes. By how much does that change the intensity of a grouped convolution with 16
# channels per group?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
for bits in (32, 16):
    print(f"{bits} bits: {2 * 16 / (2 * bits / 8):.0f} operations per byte")

# %% [markdown]
# **3.** Is folding exact? Compare the predictions of a network and its folded copy.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell"]
# @title Solution 3 {display-mode: "form"}
small = kgpc.applications.kMobileNet(classes=10, input_shape=(32, 32, 3), alpha=0.25)
batch = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
difference = np.abs(small(batch) - deploy.fold(small)(batch)).max()
print("up to rounding" if difference < 1e-5 else f"no: the predictions differ by {difference:.1e}")

# %% [markdown]
# ## Summary
#
# - A layer is bound by arithmetic or by memory. Grouping removes arithmetic and leaves the traffic, so a grouped
#   network waits for memory, in the layers around the convolutions as much as in these.
# - Seconds are saved by passing over memory less often: fused batch normalization and activation gradients, statistics
#   shared between layers, normalization folded away for inference, memory that is kept from step to step. And by
#   products wide enough for the processor.
# - Compare both sides with the same settings, in turns, and at their fastest.
#
# ## References
#
# - S. Williams, A. Waterman, D. Patterson: *Roofline: An Insightful Visual Performance Model for Multicore
#   Architectures*. Communications of the ACM 52(4), 2009.
#   [doi:10.1145/1498765.1498785](https://doi.org/10.1145/1498765.1498785)
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)
