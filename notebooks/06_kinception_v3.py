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
# # 06 · kInception V3
#
# **A network whose parameters are mostly out of reach: does interleaving matter where larger kernels mix anyway?**
#
# After this page you can
#
# - read the mixed layers of Inception V3, and tell which of their convolutions are pointwise;
# - predict from that how much a scheme for pointwise convolutions can save at most;
# - name the 1×1 convolutions that the published models left ordinary;
# - say whether interleaving is needed where larger kernels mix the channels anyway, and what is not known about it.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or to know what K, interleaving and L are. No GPU, no download.
# Words that are not explained here are in the [glossary](../docs/glossary.md).
#
# **Running time:** less than a minute on two CPU cores in the quick profile, which trains nothing. The paper profile
# downloads CIFAR-10 and trains three networks for 50 epochs at 224×224 pixels: the authors' GPU took 18 hours.

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

import kgpc
from kgpc import D6, Grouped, datasets, exercises, inspection, plots, training
from kgpc.applications import inception_v3, kInceptionV3
from kgpc.plots import Box

training.check_profile(PROFILE)

# %% [markdown]
# ## 1. From the image to the classes
#
# Inception V3 is older than the networks of the other pages. It knows no depthwise convolutions: its 3×3, 5×5, 1×7 and
# 7×1 convolutions join all channels with all filters. `scheme=None` builds it.

# %%
published_size = {"input_shape": (224, 224, 3), "classes": 10}
original = kInceptionV3(scheme=None, **published_size)
networks = {
    "Inception V3": original,
    "kInception V3 32ch": kInceptionV3(scheme=D6(32), **published_size),
    "kInception V3 16ch": kInceptionV3(scheme=D6(16), **published_size),
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1 {display-mode: "form"}
places = {
    "image": ("stem_1_conv", ""),
    "stem\n3×3,\n3×3": ("stem_2", "other convolutions"),
    "stem\n3×3,\npool": ("stem_pool", "other convolutions"),
    "stem\n1×1": ("single_path", "pointwise"),
    "stem \n3×3,\npool": ("stem_pool_2", "other convolutions"),
    "mixed\n0-2": ("mixed2", "other convolutions"),
    "3-7": ("mixed7", "other convolutions"),
    "8": ("mixed8", "other convolutions"),
    "9-10": ("mixed10", "other convolutions"),
    "pooling": ("avg_pool", ""),
    "classes": ("predictions", "classifier"),
}
plots.show(
    plots.feature_maps(inspection.plates(original, places)),
    "The feature maps of Inception V3 as plates, from the image with 224×224 pixels and 3 channels by way of the stem "
    "and eleven mixed layers, which end at 5×5 pixels and 2,048 channels, to pooling and 10 classes.",
    caption="Figure 1. The feature maps of Inception V3 for 224×224 pixels.",
)

# %% [markdown]
# The higher a plate the larger its maps, the thicker the more channels (not to scale; the numbers are exact). Blue
# comes out of a [pointwise](../docs/glossary.md#pointwise-convolution) (1×1) convolution; this is the only one in the
# stem, and the paper groups it too.
#
# ## 2. A mixed layer
#
# A *mixed layer* looks at its input in several ways at once: paths with kernels of different size lie side by side, and
# their outputs are concatenated. Most paths begin with a 1×1 convolution that narrows the channels, so that the larger
# kernels get cheaper. Here is the first one, `mixed0`. The numbers are filters; *gr.* are groups.


# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2 {display-mode: "form"}
def boxes_of(index, scheme):
    """The paths of a mixed layer as lists of boxes: from the table that the network is built from."""
    start = original.get_layer(f"mixed{index - 1}" if index else "stem_pool_2").output.shape[-1]
    paths = []
    for path in inception_v3.MIXED_LAYERS[index]:
        channels, boxes = start, []
        for step in path:
            if isinstance(step, inception_v3.Pool):
                boxes.append(Box("average 3×3" if step == inception_v3.AVERAGE else "maximum 3×3"))
                continue
            units = step.units if isinstance(step, inception_v3.Split) else (step,)
            drawn = [unit_boxes(unit, channels, scheme) for unit in units]
            if len(units) > 1:
                boxes += [tuple(drawn), Box("concatenate")]
            else:
                boxes += drawn[0]
            channels = sum(unit.filters for unit in units)
        paths.append(boxes)
    return tuple(paths)


def unit_boxes(unit, channels, scheme):
    """A convolution as a box, or K, interleaving and L as several."""
    height, width = unit.kernel_size
    stride = "/2" if unit.stride == 2 else ""
    if unit.kernel_size != (1, 1):
        return [Box(f"{height}×{width}{stride}\n{unit.filters}", "other convolutions")]
    if scheme is None or unit.always_ordinary:
        return [Box(f"1×1\n{unit.filters}", "pointwise")]
    plan = scheme.plan(channels, unit.filters)
    k = Box(f"K: {plan.groups} gr.\n{plan.filters}", "pointwise", changed=True)
    mix = Box("interleave", changed=True)
    if plan.second is None:
        return [k, mix]
    return [k, ([mix, Box(f"L: {plan.groups} gr.\n{plan.filters}", "pointwise", changed=True)], []), Box("+")]


figure = plots.block_diagram(
    {
        "mixed0 of Inception V3": [Box("192 channels"), boxes_of(0, None), Box("concatenate: 256")],
        "mixed0 of kInception V3 16ch": [Box("192 channels"), boxes_of(0, D6(16)), Box("concatenate: 256")],
    },
    gap=0.3,
)
plots.show(
    figure,
    "mixed0 of both networks: four paths side by side. 1×1 with 64 filters; 1×1 with 48, then 5×5 with 64; 1×1 with "
    "64, then 3×3 and 3×3 with 96 each; average pooling, then 1×1 with 32. In kInception V3 the 1×1 convolutions are "
    "K and L, except the one before the two 3×3.",
    caption="Figure 2. mixed0 of both networks. What differs has a reddish, thicker edge.",
)

# %% [markdown]
# The third path has no reddish edge: its 1×1 convolution stayed ordinary. Further down, the
# kernels become 1×7 and 7×1, and in the last two layers paths fork once more. These are the ordinary `mixed4` and
# `mixed9`:

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 3 {display-mode: "form"}
figure = plots.block_diagram(
    {
        "mixed4": [Box("768 channels"), boxes_of(4, None), Box("concatenate: 768")],
        "mixed9": [Box("1,280 channels"), boxes_of(9, None), Box("concatenate: 2,048")],
    },
    gap=0.3,
)
plots.show(
    figure,
    "mixed4 and mixed9 of Inception V3. mixed4 has four paths: 1×1; 1×1, 1×7, 7×1; 1×1 and four convolutions of 7×1 "
    "and 1×7; average pooling and 1×1. In mixed9 two of the four paths end in a 1×3 and a 3×1 side by side.",
    caption="Figure 3. mixed4 and mixed9 of Inception V3.",
)

# %% [markdown]
# ## 3. Where the parameters are, before and after
#
# `inspection.sums_by_place` counts every layer, and sorts convolutions by the size of their kernel.

# %% tags=["nbval-check-output"]
FAMILY = "Inception V3"
parameters = inspection.sums_by_place(networks, FAMILY, share="16ch / original")
plots.table(
    parameters,
    "Table 1. Trainable parameters by kind, 10 classes.",
    formats={"16ch / original": ".1%"},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 4 {display-mode: "form"}
figure = plots.stacked_bars(
    parameters.drop("all")[list(networks)].T,
    xlabel="trainable parameters",
    title="The blue part nearly disappears, and two thirds remain",
    **inspection.place_looks(FAMILY),
)
plots.show(
    figure,
    "Three horizontal bars. Inception V3 has 21.8 million parameters, a third of them in 1×1 convolutions. kInception "
    "V3 has 15.0 million with 32 and 14.9 million with 16 channels per group; all but 1×1 are as large as before.",
    caption="Figure 4. Trainable parameters by kind of convolution. Blue is pointwise, green has a larger kernel.",
)

# %% tags=["nbval-check-output"]
macs = inspection.sums_by_place(networks, FAMILY, "macs", share="16ch / original")
plots.table(
    macs,
    "Table 2. Multiply-accumulates by kind, for one image of 224×224 pixels.",
    formats={"16ch / original": ".1%"},
)

# %% [markdown]
# D6(16) leaves 3% of the weights in 1×1 convolutions. No other number of channels per group can save much more: **what
# remains is 14.6 million in larger kernels**, and they also hold nearly all of the arithmetic. That is why 16 and 32
# channels per group differ so little in this family, by less than a hundredth of the network; in kDenseNet-BC 12 and 24
# differ by a tenth ([05](05_kdensenet.ipynb)), elsewhere the choice changes far more.
#
# ## 4. What the published models left ordinary
#
# Three 1×1 convolutions are not grouped. `kInceptionV3` leaves them as they are, so that the counts agree. In their
# names `11c` is the 1×1 convolution before the double 3×3, and `avg11` the one after the average pool.

# %% tags=["nbval-check-output"]
plans = {}
for index, paths in enumerate(inception_v3.MIXED_LAYERS):
    before = original.get_layer(f"mixed{index - 1}" if index else "stem_pool_2")
    for path in paths:
        for step in path:
            if getattr(step, "always_ordinary", False):
                sizes = before.output.shape[-1], step.filters
                plans[f"mixed{index}_{step.suffix}"] = D6(16).plan(*sizes)
ordinary = inspection.plan_table(plans)
ordinary["with D6(16)"] = ordinary["K"] + ordinary["L"]
plots.table(
    ordinary.drop(columns=["groups", "K", "L", "left"]),
    "Table 3. The 1×1 convolutions of kInception V3 that are not grouped.",
)

# %% tags=["nbval-check-output"]
all_parameters = parameters.loc["all", "kInception V3 16ch"]
extra = (ordinary["ordinary"] - ordinary["with D6(16)"]).sum()
share = extra / all_parameters
print(f"Grouping them too would save {extra:,} weights, {share:.2%} of the network.")

# %% [markdown]
# It matters little here. It is worth knowing when you count: a model rebuilt from the idea alone has other numbers than
# the published one. Everything else is as in Inception V3: ReLU after each convolution, batch normalization without a
# scale (K and L have their own), the same paths.
#
# ## 5. Does interleaving matter here?
#
# [01 Theory](01_theory.ipynb) says what a stack of grouped layers cannot do: its groups never meet, and interleaving
# makes them. In MobileNet nothing else joins channels, because depthwise kernels keep each channel for itself. Here
# 3×3, 5×5 and 1×7 kernels read *all* channels. So is interleaving needed at all?
#
# That is really two questions. **Do the groups meet without it?** That is one of connections, and has an exact answer
# without a training. **Is the network as accurate without it?** That takes trained networks.
#
# ### Do the groups meet?
#
# For each pair of a channel that enters a stage and one that leaves it we ask whether there is a path between them.
# `inspection.connections` says which channels each filter of a plan reads.

# %% [markdown]
# Is this what the real layers do? Two blocks with all weights 1 are asked, one input channel at a time:

# %% tags=["nbval-check-output"]
one_by_one = np.eye(192, dtype="float32").reshape(192, 1, 1, 192)
for scheme in (Grouped(16), D6(16)):
    inputs = keras.Input((1, 1, 192))
    options = {"activation": None, "batch_norm": False, "kernel_initializer": "ones"}
    outputs = kgpc.blocks.pointwise(inputs, 64, scheme, name="block", **options)
    paths = np.asarray(keras.Model(inputs, outputs)(one_by_one)).reshape(192, 64)
    planned = inspection.connections(scheme.plan(192, 64))
    print(f"{scheme!s:12} the same: {np.array_equal(paths > 0, planned)}")

# %% [markdown]
# Now whole mixed layers, path by path, and for comparison the pointwise convolutions of MobileNet's blocks 7 to 10 (512
# channels each), whose depthwise kernels change nothing about who meets whom.


# %%
def through_mixed(index, scheme, known):
    """What channels behind a mixed layer know, from what those before it know."""
    paths = []
    for path in inception_v3.MIXED_LAYERS[index]:
        x = known
        for step in path:
            if isinstance(step, inception_v3.Pool):
                continue  # channel by channel
            units = getattr(step, "units", (step,))
            x = np.hstack([through_unit(unit, scheme, x) for unit in units])
        paths.append(x)
    return np.hstack(paths)


def through_unit(unit, scheme, known):
    """The same for one convolution: a larger kernel reads all channels."""
    if unit.kernel_size != (1, 1) or unit.always_ordinary:
        return np.repeat(known.any(axis=1, keepdims=True), unit.filters, axis=1)
    return through_plan(scheme.plan(known.shape[1], unit.filters), known)


def through_plan(plan, known):
    """The same for a grouped 1×1 convolution."""
    return known.astype("float32") @ inspection.connections(plan) > 0


# %%
kinds = {"K alone": Grouped(16), "D6: K, interleaving, L": D6(16)}
mixed, blocks = {}, {}
for name, scheme in kinds.items():
    known, shares = np.eye(192, dtype=bool), []
    for index in range(4):
        known = through_mixed(index, scheme, known)
        shares.append(known.mean())
    mixed[name] = (list(range(1, 5)), shares)
    known, shares = np.eye(512, dtype=bool), []
    for _ in range(4):
        known = through_plan(scheme.plan(512, 512), known)
        shares.append(known.mean())
    blocks[name] = (list(range(1, 5)), shares)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 5 {display-mode: "form"}
figure = plots.curve_panels(
    {"Inception V3: mixed0 to mixed3": mixed, "MobileNet: blocks 7 to 10": blocks},
    xlabel="layers or blocks passed",
    ylabel="pairs of channels that are connected",
    title="Larger kernels join the groups; depthwise ones do not",
    percent=True,
    markers=True,
    height=2.8,
)
for axes in figure.axes:
    axes.set_xticks(range(1, 5))
plots.show(
    figure,
    "Share of the pairs of channels that are connected, after one to four layers, with 16 channels per group. In "
    "Inception V3 K alone connects all pairs after three mixed layers. In MobileNet K alone stays at 3% forever, "
    "and D6 connects all pairs after two blocks.",
    caption="Figure 5. Which share of all pairs of channels is connected, with 16 channels per group.",
)

# %% tags=["nbval-check-output"]
for title, curves in (("mixed layers", mixed), ("blocks of MobileNet", blocks)):
    for name, (_, shares) in curves.items():
        print(f"{title:20} {name:24}", "  ".join(f"{share:6.1%}" for share in shares))

# %% [markdown]
# In Inception V3 K alone needs one mixed layer more than D6 and then everything is connected. In MobileNet it never
# gets beyond its groups: there interleaving decides whether these four blocks are one network or 32 side by side. So
# the first answer is: **the groups of Inception meet without interleaving.**
#
# ### Is it as accurate without it?
#
# The authors trained one network with K alone; it stands in their notebook and in no table.

# %% tags=["nbval-check-output"]
rows, notes, conditions = kgpc.paper.family_rows(FAMILY)
plots.table(
    rows,
    f"Table 4. The paper's results, not ours: {conditions}.",
    formats={"test accuracy, %": ".2f"},
    notes=notes,
)

# %% [markdown]
# K alone, with neither interleaving nor L, is the best row. That does not contradict [01](01_theory.ipynb), whose stack
# has no larger kernels; it fits Figure 5, and so does one of the two such rows of [kDenseNet](05_kdensenet.ipynb). But
# each row is a single run without an interval, and the three grouped rows lie within 0.7 points, so their *order* means
# little. The second answer is: **one run without interleaving is as good as those with it, and that is all that is
# known.** To know more one would train each several times, with nothing else changed: D6 against
# `kgpc.D6WithoutInterleaving(16)`, which has the same weights and the same L, and differs in the order of channels
# alone.
#
# ## 6. What was published, and what was not tested
#
# In this family all grouped networks are *more* accurate than the original, by about three points. That the original
# lost to all of them may be the recipe's doing: its learning rates were the same for all.
#
# kInception V3 keeps 68% of the parameters, and so it cannot test what becomes of a network with a tenth;
# [our experiment](../docs/does-it-hold.md) leaves it out.
#
# In the paper profile the next cell trains three whole networks by the published recipe: the original, D6, and K alone.
# The quick profile trains nothing: a front of Inception V3, trained for a minute, is not Inception V3, and would decide
# nothing.

# %% tags=["nbval-ignore-output"]
variants = {
    "Inception V3": None,
    "kInception V3 16ch": D6(16),
    "K alone 16ch": Grouped(16),
}
if PROFILE == "paper":
    data = datasets.load("CIFAR-10")
    recipe = training.recipe("CIFAR-10", "JP34B08")
    for name, scheme in variants.items():
        model = training.build(kInceptionV3, recipe, classes=10, scheme=scheme)
        training.fit(model, data, recipe, progress=name)
        accuracy = training.evaluate(model, data, recipe).accuracy
        print(f"{name}: {accuracy:.2%} of the test images, one seed")
else:
    print("Nothing is trained in the quick profile.")

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether you are right. The solutions are
# collapsed.
#
# **1.** Suppose that all 1×1 convolutions could be had for nothing. How many parameters would be left of Inception V3,
# and how close does D6(16) come? Table 1 is enough.

# %%
answer = None  # your answer: the parameters that would be left
exercises.check("06.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
whole, free = parameters.loc["all", "Inception V3"], int(parameters["Inception V3"].drop(["1×1", "all"]).sum())
print(f"{free:,.0f} parameters, {free / whole:.1%}; D6(16): {all_parameters:,.0f}, {all_parameters / whole:.1%}")

# %% [markdown]
# **2.** Which single mixed layer saves most with D6(16), in parameters? Guess from the diagrams first.

# %%
answer = None  # your answer: "mixed0", "mixed1", ... or "mixed10"
exercises.check("06.2", answer)


# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# mixed10: its 1×1 convolutions read 2,048 channels.
def by_mixed_layer(name):
    """Trainable parameters of each mixed layer."""
    table = kgpc.flops.layer_table(networks[name])
    return table.groupby(table["layer"].str.extract(r"^(mixed\d+)")[0])["trainable_parameters"].sum()


saved = by_mixed_layer("Inception V3") - by_mixed_layer("kInception V3 16ch")
print(saved.sort_values(ascending=False).head(3).map("{:,}".format).to_string(header=False))

# %% [markdown]
# **3.** `max_mix_idx` ends the network after an earlier mixed layer. Does a short network keep a larger or a smaller
# share of its parameters with D6(16)? Try 2, 5 and 10 (the whole network).

# %%
answer = None  # your answer: three percentages, to a tenth
exercises.check("06.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# A larger one: the early layers have few channels, and the stem has but one 1×1 convolution. (Up to mixed10 is the
# whole network.)
shares = []
for last in (2, 5, 10):
    counts = [
        parameters.loc["all", name]
        if last == 10
        else kgpc.flops.trainable_parameters(kInceptionV3(scheme=scheme, max_mix_idx=last, **published_size))
        for name, scheme in {"Inception V3": None, "kInception V3 16ch": D6(16)}.items()
    ]
    shares.append(100 * counts[1] / counts[0])
    print(f"up to mixed{last}: {counts[1]:,} of {counts[0]:,} parameters, {shares[-1]:.1f}%")

# %% [markdown]
# ## Summary
#
# - Inception V3 keeps a third of its parameters in 1×1 convolutions. D6(16) leaves 3% of those; all in all 68% of the
#   parameters and 81% of the flops remain.
# - The number of channels per group hardly matters: what remains is in larger kernels.
# - The published models group the 1×1 convolution of the stem, and leave three in mixed0 and mixed2 ordinary.
# - Larger kernels join the groups: after three mixed layers K alone has connected all channels, D6 after two. In
#   MobileNet K alone never would. Whether interleaving is worth something for accuracy, one run does not say.
# - Published, one run each: the grouped networks, K alone among them, are about three points more accurate than the
#   original.
#
# ## References
#
# - C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna: *Rethinking the Inception Architecture for Computer
#   Vision*. CVPR 2016, [arXiv:1512.00567](https://arxiv.org/abs/1512.00567).
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). kInception V3 and the published rows.
