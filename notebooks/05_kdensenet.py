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
# # 05 · kDenseNet-BC
#
# **Half the parameters of a network that has few to begin with, and a stage that is stuck at six groups.**
#
# After this page you can
#
# - draw a stage of DenseNet-BC, and say why its 1×1 convolutions grow from unit to unit;
# - tell why the last stage is stuck at six groups, what would set it free, and how little that would save;
# - say what kDenseNet-BC does differently besides: activations in another place, channels interleaved between the
#   stages;
# - read the authors' results, those without interleaving among them, and watch a small one learn.
#
# **You need** [02 kMobileNet](02_kmobilenet.ipynb), or to know what K, interleaving and L are. No GPU, no download.
# Words that are not explained here are in the [glossary](../docs/glossary.md).
#
# **Running time:** a minute or two on two CPU cores in the quick profile. The paper profile downloads CIFAR-10 and
# trains for 50 epochs: hours with a GPU.

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
from kgpc import D6, D6v3, exercises, inspection, plots, training
from kgpc.applications import kDenseNetBC
from kgpc.plots import Box, normalization_box, pointwise_boxes

training.check_profile(PROFILE)

# %% [markdown]
# ## 1. Everything is kept
#
# DenseNet throws nothing away. A *unit* reads all channels there are, computes 12 new ones and appends them. After 16
# units, a *transition* halves channels and pixels, and the next stage begins. 12 is called the *growth rate*. With
# three stages of 16 units, a hundred layers have weights: that is the "L100" of the name. The network was made for
# images of 32×32 pixels. `scheme=None` builds DenseNet-BC itself.

# %%
original = kDenseNetBC(classes=10, scheme=None)
networks = {
    "DenseNet-BC L100": original,
    "kDenseNet-BC 24ch": kDenseNetBC(classes=10, scheme=D6(24)),
    "kDenseNet-BC 12ch": kDenseNetBC(classes=10, scheme=D6(12)),
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1 {display-mode: "form"}
places = {
    "image": ("stem_conv", ""),
    "stem": ("stem_conv", "other convolutions"),
    "stage 1\nunit 8": ("dn1_b8_concat", "other convolutions"),
    "stage 1\nunit 16": ("dn1_b16_concat", "other convolutions"),
    "transi-\ntion 1": ("dntransition1_pool", "pointwise"),
    "stage 2\nunit 8": ("dn2_b8_concat", "other convolutions"),
    "stage 2\nunit 16": ("dn2_b16_concat", "other convolutions"),
    "transi-\ntion 2": ("dntransition2_pool", "pointwise"),
    "stage 3\nunit 8": ("dn3_b8_concat", "other convolutions"),
    "stage 3\nunit 16": ("dn3_b16_concat", "other convolutions"),
    "pooling": ("last_avg_pool", ""),
    "classes": ("softmax", "classifier"),
}
plots.show(
    plots.feature_maps(inspection.plates(original, places)),
    "The feature maps of DenseNet-BC L100 as plates: 24 channels after the stem grow to 216 within the first stage at "
    "32×32 pixels, a transition leaves 108 at 16×16, they grow to 300, a transition leaves 150 at 8×8, they grow to "
    "342, then pooling and 10 classes.",
    caption="Figure 1. The feature maps of DenseNet-BC L100.",
)

# %% [markdown]
# The plates are read off the network: the higher the larger the maps, the thicker the more channels (not to scale; the
# numbers are exact). Green ones end in a 3×3 convolution, blue ones in a
# [pointwise](../docs/glossary.md#pointwise-convolution) (1×1) one.
#
# ## 2. One unit
#
# If a 3×3 convolution read all of up to 330 channels, it would be expensive. So a 1×1 convolution, the
# [bottleneck](../docs/glossary.md#bottleneck), first makes 48 of them. Here is the third unit, with 48 channels before
# it (24 of the stem, 12 each of two units).

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2 {display-mode: "form"}
ordinary = pointwise_boxes(kgpc.grouping.ordinary_plan(48, 48), "bottleneck", batch_norm=False)
growth = f"3×3, 48 → 12\n{9 * 48 * 12:,} weights"
figure = plots.block_diagram(
    {
        "DenseNet-BC": [
            (
                [
                    normalization_box("ReLU"),
                    *ordinary,
                    normalization_box("ReLU"),
                    Box(growth, "other convolutions"),
                ],
                [],
            ),
            Box("append: 48 + 12 = 60"),
        ],
        "kDenseNet-BC 12ch": [
            (
                [
                    normalization_box(changed=True),
                    *pointwise_boxes(D6(12).plan(48, 48), "bottleneck", "swish", batch_norm=False),
                    normalization_box(changed=True),
                    Box(f"{growth}, ReLU", "other convolutions", changed=True),
                ],
                [],
            ),
            Box("append: 48 + 12 = 60"),
        ],
    }
)
plots.show(
    figure,
    "The third unit of both networks as boxes. DenseNet-BC: batch normalization and ReLU, 1×1 convolution from 48 to "
    "48 channels, batch normalization and ReLU, 3×3 convolution to 12 channels, appended to the unit's input. "
    "kDenseNet-BC: batch normalization, K with swish, L with swish added to K, batch normalization, 3×3 convolution "
    "with ReLU, appended.",
    caption="Figure 2. The third unit of both networks. What differs has a reddish, thicker edge.",
)

# %% [markdown]
# Besides the groups, the place of the **activation** differs. DenseNet normalizes, cuts off what is negative (ReLU),
# and convolves. kDenseNet normalizes, convolves, and then has the activation: swish, x / (1 + e⁻ˣ), after K and L,
# ReLU after the 3×3 convolution. So what a unit appends, and all later units read, is never negative there. A small
# network of each kind, fresh from its initial weights, shows it:

# %% tags=["nbval-check-output"]
noise = np.random.default_rng(7).random((4, 8, 8, 3), "float32")
for name, scheme in {"DenseNet-BC": None, "kDenseNet-BC": D6(12)}.items():
    keras.utils.set_random_seed(7)
    small = kDenseNetBC(input_shape=(8, 8, 3), depth=10, scheme=scheme)
    last = small.get_layer("dn1_b1_growth_conv").output
    appended = np.asarray(keras.Model(small.inputs, last)([noise]))
    share = (appended < 0).mean()
    print(f"{name:13} negative among what the first unit appends: {share:.0%}")

# %% [markdown]
# ## 3. Stuck at six
#
# D6 wants a number of groups that divides both sides of a bottleneck. One side is always 48. The other grows in steps
# of 12, from 24 in stage 1, from 108 in stage 2, and from 150 in stage 3. What does that make of the bottlenecks?

# %%
first_channels = {"stage 1": 24, "stage 2": 108, "stage 3": 150}
panels = {}
for stage, first in first_channels.items():
    counts = list(range(first, first + 16 * 12, 12))
    curves = {"ordinary": (counts, [48 * count for count in counts])}
    for size in (24, 12):
        plans = [D6(size).plan(count, 48) for count in counts]
        curves[f"D6({size})"] = (counts, [plan.weights for plan in plans])
    panels[stage] = curves

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 3 {display-mode: "form"}
figure = plots.curve_panels(
    panels,
    xlabel="channels read",
    ylabel="weights of the bottleneck",
    title="The bottlenecks grow with what they read; K and L do so only in stage 3",
    columns=3,
    markers=True,
    height=2.6,
)
figure.axes[0].set_xticks([100, 200, 300])
plots.show(
    figure,
    "Weights of the bottlenecks against the channels they read, one panel for each stage. Ordinary ones rise in a "
    "straight line, up to nearly 16,000. With D6 they stay below 2,700 in stages 1 and 2, in a zigzag; in stage 3 both "
    "D6(24) and D6(12) rise together in a straight line, from 1,600 to 3,000.",
    caption="Figure 3. Weights of the bottlenecks, unit by unit.",
)

# %% [markdown]
# Step through the units of a stage: channels pile up, and the number of groups jumps.

# %%
stepper = kgpc.figures.dense_units(first_channels, channels_per_group=(12, 24))
stepper.show(caption="Figure 4. The channels that a unit reads, and the groups of K.")

# %% tags=["nbval-check-output"]
some = {
    f"{stage}, {count} channels": D6(12).plan(count, 48)
    for stage, counts in {
        "stage 1": (48, 132, 144),
        "stage 2": (288,),
        "stage 3": (150, 330),
    }.items()
    for count in counts
}
table = inspection.plan_table(some).drop(columns=["filters", "ordinary"])
table["channels per group"] = table["channels"] // table["groups"]
plots.table(
    table,
    "Table 1. Some bottlenecks to 48 filters with D6(12).",
    formats={"left": ".0%"},
)

# %% [markdown]
# 12 divides both 132 and 48, but 12 groups would have only 11 channels each; so there are 6 groups of 22. 288 = 6 · 48
# gets 24 groups of 12. Hence the zigzag. Stage 3 is worse off: half of 300 is 150, and 150, 162, 174, ... share no
# divisor larger than 6 with 48. So **no unit of stage 3 has more than 6 groups**, whether 12 or 24 channels were asked
# for, and the last one has 55 channels per group.
#
# ### Why six?
#
# The widths before stage 3 have been halved twice. Each unit there reads an odd multiple of half the growth
# rate: 150 is 25 times 6, 162 is 27 times 6. The bottleneck's 48 filters are eight times 6. An odd number and 8 share
# nothing, so half the growth rate is all that both sides have in common, and no smaller groups can be had (exercise 3).
#
# ### What would set it free?
#
# Three ideas, none of which was published for this network:
#
# - transition 2 leaves 144 channels instead of 150, so that all widths are multiples of 12;
# - it leaves 160, and the growth rate is 16 from there on: multiples of 16, with 64 filters in the bottlenecks;
# - D6v3, the scheme without divisibility constraints ([01 Theory](01_theory.ipynb)), leaves the widths alone.

# %%
ideas = {
    "as published": (D6(12), 150, 12),
    "from 144 channels": (D6(12), 144, 12),
    "from 160, growth rate 16": (D6(12), 160, 16),
    "D6v3(12)": (D6v3(12), 150, 12),
}
stage_3 = {}
for name, (scheme, first, growth) in ideas.items():
    counts = range(first, first + 16 * growth, growth)
    stage_3[name] = [scheme.plan(count, 4 * growth) for count in counts]

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 5 {display-mode: "form"}
figure = plots.line_chart(
    np.arange(1, 17),
    {name: [plan.groups for plan in plans] for name, plans in stage_3.items()},
    xlabel="unit of stage 3",
    ylabel="groups of K",
    title="Six groups, whatever the unit reads; other widths or D6v3 would have more",
)
plots.show(
    figure,
    "Groups of K in the sixteen bottlenecks of stage 3. As published it is 6 in all of them. From 144 channels the "
    "number jumps between 12 and 24, with growth rate 16 between 8 and 32; with D6v3 it rises steadily from 13 to 28.",
    caption="Figure 5. Groups of K in the bottlenecks of stage 3, asked for groups of 12 channels.",
)

# %% tags=["nbval-check-output"]
rows = []
for name, plans in stage_3.items():
    weights = sum(plan.weights for plan in plans)
    left = weights / sum(plan.ordinary_weights for plan in plans)
    sizes = plans[0].channels_per_group, plans[-1].channels_per_group
    rows.append((name, *sizes, weights, left))
columns = ["stage 3", "channels per group, unit 1", "unit 16", "weights", "left"]
plots.table(
    pd.DataFrame(rows, columns=columns),
    "Table 2. The 16 bottlenecks of stage 3, asked for groups of 12 channels.",
    formats={"left": ".0%"},
)

# %% [markdown]
# ### How much would be gained?
#
# Asked for groups of 12, stage 3 gets groups of 25 to 55. Set free, it would keep 8 to 10% of the ordinary weights
# instead of 20%. But of the whole network?

# %% tags=["nbval-check-output"]
published_12 = networks["kDenseNet-BC 12ch"]
with keras.StatelessScope():  # counting needs no values of weights
    freed = kDenseNetBC(classes=10, scheme=D6v3(12))
for name, model in {"D6(12)": published_12, "D6v3(12)": freed}.items():
    parameters = kgpc.flops.trainable_parameters(model)
    operations = kgpc.flops.paper_flops(model)
    print(f"{name:9} {parameters:,} parameters, {operations:,} paper flops")
for count in (kgpc.flops.trainable_parameters, kgpc.flops.paper_flops):
    print(f"D6v3 / D6, {count.__name__}: {count(freed) / count(published_12):.3f}")

# %% [markdown]
# **So being stuck costs little**: freed everywhere by D6v3, the network is 4% smaller and computes 2% more. In the
# other stages and the transitions D6v3 gives back a third of the weights that it saves in stage 3, mostly for its
# larger L, and more than all of the arithmetic; and no scheme for 1×1 convolutions can touch the 3×3 convolutions
# (section 5). What six groups cost in accuracy is not known. They may even help, because a filter that reads 55
# channels mixes more than one that reads 12; no published run tells the two apart.
#
# ## 4. Transitions
#
# The channels of a stage lie one unit after the other: 24 of the stem, 12 of the first unit, 12 of the second, and so
# on. A grouped convolution over that order, with groups of 12, would give each group the output of one unit. So the
# published network **interleaves first**, with step 12: the first channels of all units, then the second ones, and so
# on.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 6 {display-mode: "form"}
figure = plots.block_diagram(
    {
        "DenseNet-BC": [
            normalization_box("ReLU"),
            *pointwise_boxes(kgpc.grouping.ordinary_plan(216, 108), batch_norm=False),
            Box("average over 2×2"),
        ],
        "kDenseNet-BC 12ch": [
            Box("interleave, step 12", changed=True),
            normalization_box(changed=True),
            *pointwise_boxes(D6(12).plan(216, 108), "", "swish", batch_norm=False),
            Box("average over 2×2"),
        ],
    },
    gap=1.0,
)
plots.show(
    figure,
    "The first transition of both networks. DenseNet-BC: batch normalization and ReLU, 1×1 convolution from 216 to 108 "
    "channels, average over 2×2 pixels. kDenseNet-BC: interleaving with step 12, batch normalization, K with swish, L "
    "with swish added to K, average.",
    caption="Figure 6. The first transition of both networks.",
)

# %% [markdown]
# What do the 18 groups of K read then? Rows are where the 216 channels come from, columns are the groups.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 7 {display-mode: "form"}
makers = ["stem"] * 24 + [f"unit {index}" for index in range(1, 17) for _ in range(12)]
names = list(dict.fromkeys(makers))


def sources(order):
    """How many channels each group of 12 has of the stem and of each unit."""
    counts = np.zeros((len(names), len(order) // 12), int)
    for position, channel in enumerate(order):
        counts[names.index(makers[channel]), position // 12] += 1
    return counts


figure = plots.matrices(
    {
        "as the units left them": sources(range(216)),
        "interleaved with step 12": sources(kgpc.grouping.interleaved_order(216, 12)),
    },
    xlabel="group of K in transition 1",
    ylabel="stem (0) and units (1 to 16)",
    colorbar="channels",
    title="Without interleaving, every group would know one unit only",
)
plots.show(
    figure,
    "Two matrices of 17 sources by 18 groups. As the units left them, each group has all of its 12 channels from one "
    "source. Interleaved, each group has one channel of most units.",
    caption="Figure 7. Whose channels the groups of K read in transition 1.",
)

# %% [markdown]
# Bottlenecks and transitions have **separate schemes** in `kDenseNetBC`: `scheme` for the bottlenecks,
# `transition_scheme` for the transitions (by default the same, as published). Exercise 2 uses it.
#
# ## 5. Where the parameters are, before and after


# %% tags=["nbval-check-output"]
FAMILY = "DenseNet-BC L100"
parameters = inspection.sums_by_place(networks, FAMILY, share="12ch / original")
plots.table(
    parameters,
    "Table 3. Trainable parameters by place, 10 classes.",
    formats={"12ch / original": ".1%"},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 8 {display-mode: "form"}
figure = plots.stacked_bars(
    parameters.drop("all")[list(networks)].T,
    xlabel="trainable parameters",
    title="The green part is out of the scheme's reach",
    **inspection.place_looks(FAMILY),
)
plots.show(
    figure,
    "Three horizontal bars. DenseNet-BC L100 has 769 thousand parameters, half of them in bottlenecks and a third in "
    "the 3×3 convolutions of the units. kDenseNet-BC has 384 thousand with 24 and 350 thousand with 12 channels per "
    "group, two thirds of them in the 3×3 convolutions, which are as large as before.",
    caption="Figure 8. Trainable parameters by place.",
)

# %% tags=["nbval-check-output"]
macs = inspection.sums_by_place(networks, FAMILY, "macs", share="12ch / original")
plots.table(
    macs,
    "Table 4. Multiply-accumulates by place, for one image of 32×32 pixels.",
    formats={"12ch / original": ".1%"},
)

# %% [markdown]
# The bottlenecks lose five sixths of their weights, the transitions more than nine tenths. But each unit has its 3×3
# convolution with 5,184 weights, and 48 of those remain, 71% of the grouped network. A scheme for 1×1 convolutions
# can't go below that; and that is also why 24 channels per group cost only a tenth more than 12.
#
# ## 6. Watch both learn
#
# Activations before the convolution or behind it: does that change how the network begins to learn? The paper profile
# has the published recipe and L100. The quick profile cannot wait for a hundred layers on a CPU: what it trains is a
# [demonstration](../docs/demonstrations.md) **with smaller networks**, L16, with 2 units in each stage instead of 16.

# %%
data, recipe, budget = training.lesson(
    PROFILE,
    "CIFAR-10",
    published=training.recipe("CIFAR-10", "JP33B25"),
)
depth = 16 if PROFILE == "quick" else 100
print(f"L{depth}")

# %% tags=["nbval-ignore-output"]
variants = {f"DenseNet-BC L{depth}": None, f"kDenseNet-BC L{depth} 12ch": D6(12)}
results, accuracies = {}, {}
for name, scheme in variants.items():
    options = {"scheme": scheme, "depth": depth}
    model = training.build(kDenseNetBC, recipe, classes=10, **options)
    results[name] = training.fit(model, data, recipe, progress=name)
    accuracies[name] = training.evaluate(model, data, recipe).accuracy

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 9 {display-mode: "form"}
figure = plots.step_losses(
    {name: result.step_losses for name, result in results.items()},
    guessing=len(data.class_names),
)
plots.show(
    figure,
    "Training loss of both networks against the training step, with the level of guessing.",
    caption=f"Figure 9. Training loss. {budget}.",
)

# %% [markdown]
# Both learn from the first steps on, with the activation before the convolution or behind it. Test images recognized:

# %% tags=["nbval-ignore-output"]
for name, accuracy in accuracies.items():
    print(f"{name:22} {accuracy:.0%} of {len(data.x_test):,} test images")

# %% [markdown]
# That is all there is to see, and the two numbers differ
# [from machine to machine](../docs/demonstrations.md#what-you-may-see-elsewhere) by several points: they do not say
# which of them is the better network, and neither says anything about a hundred layers.
#
# ## 7. The results
#
# What the authors published:

# %% tags=["nbval-check-output"]
rows, notes, conditions = kgpc.paper.family_rows(FAMILY)
plots.table(
    rows,
    f"Table 5. The paper's results, not ours: {conditions}.",
    formats={"test accuracy, %": ".2f"},
    notes=notes,
)

# %% [markdown]
# The last two rows stand in the authors' notebooks and in no table: K alone, without L and without interleaving (not
# even before transitions), and with larger groups. Their activations are all ReLU, and that of the 3×3 convolution
# stands before it. With 64 channels per group that network comes closest to the original, with 100,000 parameters more
# than with 32. The networks with D6 lose one and a half to two points. Each row is a single run, without an interval.
#
# **Groups alone, and the best grouped row?** [01 Theory](01_theory.ipynb) shows in its section 3 that a stack of
# grouped layers alone never joins what two groups know. A unit of DenseNet is no such stack: behind the bottleneck
# comes a 3×3 convolution that reads all 48 channels, whatever group they come from. So groups meet in every unit, with
# interleaving or without, and K alone is no handicap of that kind here. What interleaving and L are worth in this
# network these rows do not say: they differ in activations and in the size of the groups as well.
#
# **What was not tested.** kDenseNet-BC keeps 45% of the parameters, and so it cannot test what becomes of a network
# with a tenth; [our experiment](../docs/does-it-hold.md) leaves it out. (The flops of the last row were printed as
# those of kMobileNet 128ch, a misprint that [02](02_kmobilenet.ipynb) notes.)

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether you are right. The solutions are
# collapsed.
#
# **1.** The 16 units of the first stage read 24, 36, 48, ... channels. How many weights do their ordinary bottlenecks
# have together? Find the sum without a network, then compare.

# %%
answer = None  # your answer: a number of weights
exercises.check("05.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# 48 filters for each of 24 + 36 + ... + 204 channels: 16 terms with the mean 114.
by_hand = 48 * 16 * 114
table = kgpc.flops.layer_table(original)
counted = table[table["layer"].str.fullmatch(r"dn1_b\d+_bottleneck_conv")]["trainable_parameters"].sum()
print(f"by hand {by_hand:,}, counted {counted:,}")

# %% [markdown]
# **2.** Suppose that only the bottlenecks were grouped and the transitions stayed ordinary. How many parameters more
# than kDenseNet-BC 12ch would that network have?

# %%
answer = None  # your answer: a number of parameters
exercises.check("05.2", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 2 {display-mode: "form"}
# Two convolutions come back: 216 · 108 and 300 · 150 weights, instead of K and L.
both = kgpc.flops.trainable_parameters(networks["kDenseNet-BC 12ch"])
mixed = kgpc.flops.trainable_parameters(kDenseNetBC(classes=10, scheme=D6(12), transition_scheme=None))
by_hand = sum(plan.ordinary_weights - plan.weights for plan in (D6(12).plan(216, 108), D6(12).plan(300, 150)))
print(f"{mixed:,} instead of {both:,}: {mixed - both:,} more; by hand {by_hand:,}")

# %% [markdown]
# **3.** Which growth rates from 8 to 16 leave stage 3 stuck like that? The stem has twice the growth rate of channels,
# a stage adds 16 times the growth rate, a transition leaves half, a bottleneck has 4 times the growth rate of filters.
# Give for each the most groups that D6(12) finds in a unit of stage 3.

# %%
answer = None  # your answer: nine numbers, for the growth rates 8, 9, ..., 16
exercises.check("05.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 3 {display-mode: "form"}
# Every even one: half the growth rate is the most. With an odd one halving rounds down, and less is in common.
most = []
for growth in range(8, 17):
    first = ((2 * growth + 16 * growth) // 2 + 16 * growth) // 2
    groups = [D6(12).plan(count, 4 * growth).groups for count in range(first, first + 16 * growth, growth)]
    most.append(max(groups))
    print(f"growth rate {growth:2}: from {first} channels, at most {max(groups):2} groups, at least {min(groups)}")

# %% [markdown]
# ## Summary
#
# - A unit of DenseNet-BC reads everything before it through a 1×1 bottleneck and appends 12 channels.
# - kDenseNet-BC computes bottlenecks and transitions with D6, moves the activation behind the convolutions, and
#   interleaves the channels before each transition.
# - 45% of the parameters are left with 12 channels per group, because the 3×3 convolutions stay.
# - In stage 3 no more than six groups divide both sides: half the growth rate is all that they have in common. Other
#   widths, or D6v3, would have more; with D6v3 the network would be 4% smaller.
# - Published, one run each: with D6 one and a half to two points below the original; K alone 0.4 points
#   below with 64 channels per group, and two with 32. The 3×3 convolution of each unit joins the groups in any case.
#
# ## References
#
# - G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger: *Densely Connected Convolutional Networks*. CVPR 2017,
#   [arXiv:1608.06993](https://arxiv.org/abs/1608.06993).
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). kDenseNet-BC and the published rows.
# - K. He, X. Zhang, S. Ren, J. Sun: *Identity Mappings in Deep Residual Networks*. ECCV 2016,
#   [arXiv:1603.05027](https://arxiv.org/abs/1603.05027). Activations before or after the convolution.
