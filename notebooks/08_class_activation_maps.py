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
# # 08 · Class activation maps
#
# **Where in an image does a network find its evidence, and does it look at the right part?**
#
# After this page you can
#
# - derive the class activation map from the classifier of a network, and say what its numbers mean;
# - draw maps of your own images with CAM, Grad-CAM, HiResCAM and LayerCAM, and save them as pictures;
# - measure whether a map lights the right part, whether the network needs what it lights, and whether it tells of the
#   network at all, instead of trusting a picture that looks good;
# - name five ways in which such maps mislead.
#
# **You need** [04 kEffNet](04_keffnet.ipynb) for the networks that are trained here. No GPU, no download.
# **Running time:** a minute or two on two CPU cores in the quick profile. The paper profile also downloads the authors'
# weights and the Oxford-IIIT Pet data set (774 MB), and draws the maps of the paper's kEffNet.

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
import functools
import itertools
import os
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, cam, datasets, exercises, plots, seeds, training
from kgpc.applications import kEfficientNetB0, kMobileNet, kMobileNetV3Small

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: {PROFILE!r}.')

# %% [markdown]
# ## 1. The idea
#
# MobileNet, EfficientNet, DenseNet and Inception end in the same way. The last convolution gives n feature maps
# $f_1(x, y), \dots, f_n(x, y)$ over positions x, y. *Global average pooling* replaces each map by its mean, and a
# linear classifier weights these means: with the weight $w_{kc}$ of map k for class c, and the bias $b_c$, the score of
# class c before softmax (its [logit](../docs/glossary.md#logit)) is
#
# $$s_c = b_c + \sum_k w_{kc}\, \underset{x, y}{\operatorname{mean}}\, f_k(x, y)
# = b_c + \underset{x, y}{\operatorname{mean}} \Big( \sum_k w_{kc} f_k(x, y) \Big).$$
#
# Mean and sum may change places, and that is all. What stands in the large brackets is a picture: how much each
# position adds to the score of class c. It is the **class activation map**. For display, negative values become 0, and
# the map is divided by its maximum and enlarged to the size of the image. This is how the paper shows what kEffNet
# looks at.
#
# So a map needs no training of its own and costs one look into the network. But it has the resolution of the last
# feature maps, and it exists only where the classifier is linear on the pooled maps.
#
# ## 2. Data with known places
#
# To measure whether a map is right, we must know where the class is. Six photographs come with kgpc. From each we cut
# small patches and ask a network: *from which photograph is this patch?* Training and test patches come from different
# parts of each photograph (the bright parts below are for testing only).

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 1, the photographs {display-mode: "form"}
photographs = datasets.photographs()


def test_parts(photograph):
    """The pixels of a photograph, dark but for the parts for testing."""
    bright = photograph.test_area[..., None]
    return np.where(bright, photograph.pixels, photograph.pixels // 3)


figure = plots.images(
    [test_parts(photograph) for photograph in photographs],
    [photograph.name for photograph in photographs],
    columns=3,
    width=5.5,
)
plots.show(
    figure,
    "Six photographs: a cat, a cup of coffee, an astronaut, a rocket, the back of an eye, "
    "and galaxies. Three of nine parts of each are bright, the others dark.",
    caption="Figure 1. The six photographs; the bright parts are for testing only.",
)

# %%
data = datasets.photo_patches(size=32, train_per_photograph=200)
print(data)

# %% [markdown]
# This is a toy task: colours and textures suffice, so it says little about recognizing objects. For maps it has what
# matters. A *collage* of four patches from unseen parts shows four classes at once, each at a known place.

# %%
images, classes = datasets.photo_collages(count=12, grid=2, size=64, part="test")
names = np.array(data.class_names)
asked = classes.reshape(len(images), 4)  # the four classes of each collage
x = images.astype("float32") / 255

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 2, collages {display-mode: "form"}
figure = plots.images(
    images[:4],
    ["\n".join(" | ".join(row) for row in names[classes[index]]) for index in range(4)],
    columns=4,
    width=6.5,
)
plots.show(
    figure,
    "Four collages of two by two patches, with the names of the four classes in place.",
    caption="Figure 2. Four of the collages, with the classes of their tiles.",
)

# %% [markdown]
# ## 3. Two networks for demonstration
#
# We train EfficientNet-B0 and kEffNet-B0 16ch, the network whose maps the paper shows, by the same recipe on patches of
# 32×32 pixels. Then the same weights read collages of 128×128 pixels: convolutions do not care how large an image is,
# and the pooling averages over more positions.
#
# **These are small networks that show the methods, not what a trained network of the paper sees.** They learn from
# 1,200 patches of six photographs, in a few epochs. Four arguments make them quick: `width=0.25` leaves a quarter of
# the filters and `depth=0.25` one block in each of the seven stages; dropout and drop connect are for longer trainings.
# A fifth makes the maps fine enough: `skip_stride_cnt=2` leaves out two of the five reductions, so that a patch ends in
# 4×4 positions and a collage in 16×16. (With all five, a patch would end in a single position. Then all weights of the
# last depthwise kernels but the middle one only ever see the padding in training, and have learned nothing that helps
# in a larger image.)

# %%
EPOCHS = 4
recipe = training.QUICK.replace(epochs=EPOCHS)
variants = {"EfficientNet-B0": None, "kEffNet-B0 16ch": D6(16)}
options = {
    "classes": len(names),
    "skip_stride_cnt": 2,
    "width": 0.25,
    "depth": 0.25,
    "dropout": 0.0,
    "drop_connect_rate": 0.0,
}


def for_size(size, scheme, weights):
    """A network with given weights for larger images; it ends in the logits."""
    model = kEfficientNetB0(
        input_shape=(size, size, 3),
        scheme=scheme,
        classifier_activation=None,
        **options,
    )
    model.set_weights(weights)
    return model


# %% tags=["nbval-ignore-output"]
networks, rows = {}, {}
for name, scheme in variants.items():
    model = training.build(kEfficientNetB0, recipe, scheme=scheme, **options)
    result = training.fit(model, data, recipe, progress=name)
    networks[name] = for_size(128, scheme, model.get_weights())
    rows[name] = {
        "trainable parameters": kgpc.flops.trainable_parameters(model),
        "patches, %": 100 * training.evaluate(model, data, recipe).accuracy,
        "seconds": result.seconds,
    }
keffnet = networks["kEffNet-B0 16ch"]

# %% [markdown]
# **Do they recognize what is in a collage?** No map is better than the network that it is of, so this comes first. A
# collage shows four of six classes, and four times as many pixels of each as a patch has. We ask how often the class
# with the highest logit is one of the four, and how many of the four highest logits are. Guessing finds two thirds of
# both.


# %%
def recognized(model):
    """Shares of collages whose best class is there, and of the best four that are."""
    every = np.tile(np.arange(len(names)), (len(x), 1))
    order = np.argsort(-cam.class_scores(model, x, every).logits, axis=1)
    there = np.stack([np.isin(order[i, :4], asked[i]) for i in range(len(x))])
    return 100 * there[:, 0].mean(), 100 * there.mean()


for name, model in networks.items():
    best, four = recognized(model)
    rows[name] |= {"best class is there, %": best, "best four are there, %": four}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 1 {display-mode: "form"}
frame = pd.DataFrame(rows).T.reset_index(names="network")
plots.table(
    frame.astype({"trainable parameters": int}),
    f"Table 1. Quick runs: {data.name}, {EPOCHS} epochs at 32×32; accuracy on "
    f"{len(data.y_test)} test patches (chance: 16.7%), and classes found in {len(x)} "
    "collages (chance: 66.7%).",
    formats=dict.fromkeys(frame.columns[2:], ".1f") | {"seconds": ".0f"},
)

# %% [markdown]
# Read the last two columns against 66.7%. Guessing alone would scatter the last one by about four points, with twelve
# collages. So if of the best four little more are there than guessing finds, expect maps that light the wrong tile:
# Figures 3 and 4 have some.
#
# **What you may see elsewhere.** Another processor rounds otherwise, and a training carries that on: networks, maps and
# all numbers from Table 1 to section 9 are then a little different, as with another seed. Between networks so small,
# five points of accuracy and of heat in a tile are such a difference. What the text concludes does not rest on less;
# what is the same everywhere (shapes, formulas, counts) is printed as a check.
#
# ## 4. The formula, checked
#
# First by hand, from the equation above: the maps before pooling, times the classifier's weights of one class. Then the
# mean of that picture plus the bias must be the logit.

# %%
classifier, pooling = keffnet.get_layer("k_probs"), keffnet.get_layer("k_avg_pool")
inside = keras.Model(keffnet.input, [pooling.input, classifier.output])

maps, logits = map(keras.ops.convert_to_numpy, inside(x, training=False))
kernel, bias = map(keras.ops.convert_to_numpy, (classifier.kernel, classifier.bias))
evidence = np.einsum("nyxk,kc->nyxc", maps, kernel)  # image, position, class

# %% tags=["nbval-check-output"]
by_hand = evidence.mean(axis=(1, 2)) + bias
print("feature maps:", maps.shape[1:])
print("one map for each class:", evidence.shape[1:])
print("mean + bias = logit:", np.allclose(by_hand, logits, rtol=1e-3, atol=1e-3))

# %% [markdown]
# `kgpc.cam.class_activation_map` does the same, and then cuts off what is negative and divides by the maximum.

# %% tags=["nbval-check-output"]
shown = cam.class_activation_map(keffnet, x, asked)  # collage, class, position
mine = np.stack([evidence[i][..., asked[i]] for i in range(len(x))])
mine = np.maximum(mine.transpose(0, 3, 1, 2), 0)
mine /= np.maximum(mine.max(axis=(2, 3), keepdims=True), 1e-9)
print("the same maps:", np.allclose(shown, mine, atol=1e-3))

# %% [markdown]
# ## 5. Does it light the right part?
#
# One collage, asked for each of its four classes: the image, and beside it the map with its 16×16 cells; yellow is
# strong evidence. Every title has the logit and the probability of the class, because a map alone does not say how
# strong its evidence is. (Softmax makes the four classes share: four equal ones would have 25% each.)


# %%
def four_maps(model, index):
    """Figure of the maps of the four classes of one collage, in the order of tiles."""
    one, labels = x[[index]], asked[[index]]
    titles = cam.class_scores(model, one, labels).titles(names)[0]
    heats = cam.class_activation_map(model, one, labels)[0]
    four = np.repeat(images[[index]], 4, axis=0)
    return cam.beside(four, heats, titles, columns=2, width=6.5)


# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figures 3 and 4, maps of one collage {display-mode: "form"}
for number, (name, model) in enumerate(networks.items(), start=3):
    figure = four_maps(model, 0)
    figure.suptitle(
        f"{name}: classes top left, top right, bottom left, bottom right",
        x=0.01,
        ha="left",
        fontsize=10,
        fontweight="bold",
    )
    caption = f"Figure {number}. {name}: maps of the four classes of one collage."
    plots.show(figure, f"{name}. {figure.get_label()}", caption=caption)

# %% [markdown]
# A picture or two prove nothing. So we measure all collages. The sum of a map over all positions is its *heat*. What
# share of it lies inside the tile of the class? Four tiles of equal size: a map that knows nothing has **25%** there.
#
# Two controls come along. Networks with **random weights** tell what the method does without any learning; five of
# them, because one may by chance prefer some textures for some classes. And the same maps, but asked for a **wrong
# class** of the same collage: if a network lit whatever is conspicuous, right and wrong class would get the same.


# %%
SIDE = images.shape[1]


def enlarged(heat):
    """A map in the size of the collage."""
    return cv2.resize(heat, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def share_inside(heat, row, column, seam=0):
    """Share of the heat in a tile, without `seam` pixels on each side of the seams."""
    heat, half = enlarged(heat), SIDE // 2
    heat[half - seam : half + seam] = heat[:, half - seam : half + seam] = 0
    tile = heat[row * half : (row + 1) * half, column * half : (column + 1) * half]
    return tile.sum() / heat.sum() if heat.any() else np.nan


def shares_of(maps, seam=0):
    """For each collage the mean share in the right tile over its four classes."""
    shares = np.empty(maps.shape[:2])
    for collage, number in np.ndindex(shares.shape):
        tile = divmod(number, 2)
        shares[collage, number] = share_inside(maps[collage, number], *tile, seam)
    return np.nanmean(shares, axis=1)


# %% [markdown]
# Twelve collages are few, and five networks are fewer. So a 95% interval is not the mean ± 1.96 standard errors, which
# holds for many: the number is that of *Student's t distribution*, which `kgpc.seeds.student_quantile` computes (from
# Abramowitz and Stegun, *Handbook of Mathematical Functions*, equations 26.7.3 and 26.7.4).

# %% tags=["nbval-check-output"]
for count in (5, 12):
    print(f"n = {count:2}: t = {seeds.student_quantile(count - 1):.3f}")


# %%
def with_interval(values):
    """Mean and Student's 95% interval of numbers."""
    values = np.asarray(values, float)
    mean, low, high = seeds.mean_interval(values[np.isfinite(values)])
    return {"value": mean, "low": low, "high": high}


def untrained(seed):
    """kEffNet-B0 16ch as it is before any training."""
    keras.utils.set_random_seed(seed)
    return kEfficientNetB0(input_shape=(SIDE, SIDE, 3), scheme=D6(16), **options)


# For the tile at the top left, the class of the one at the bottom right, and so on.
wrong = asked[:, ::-1]
cases = {}
for name, model in networks.items():
    cases[name] = cam.class_activation_map(model, x, asked)
cases["kEffNet-B0 16ch, wrong class"] = cam.class_activation_map(keffnet, x, wrong)
inside_share = {name: 100 * shares_of(maps) for name, maps in cases.items()}
random_maps = [cam.class_activation_map(untrained(seed), x, asked) for seed in range(5)]
random_shares = [100 * np.nanmean(shares_of(maps)) for maps in random_maps]
inside_share["five with random weights"] = random_shares

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 2 {display-mode: "form"}
shares = pd.DataFrame(
    [with_interval(values) for values in inside_share.values()],
    index=pd.Index(inside_share, name="maps of"),
)
columns = {"value": "heat inside, %", "low": "95% from", "high": "to"}
table = shares.rename(columns=columns)
table["empty maps"] = [int((~maps.any(axis=(2, 3))).sum()) for maps in [*cases.values(), np.concatenate(random_maps)]]
plots.table(
    table,
    f"Table 2. Heat in the right tile, mean over {len(x)} collages with four classes "
    "each, with Student's intervals. Knowing nothing: 25%. With random weights the "
    "interval is over the five networks.",
    formats=dict.fromkeys(columns.values(), ".1f"),
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 5, heat in the right tile {display-mode: "form"}
figure = plots.interval_chart(
    shares,
    xlabel="share of the heat in the right tile, %, with Student's 95% intervals",
    title="Quick runs: how much of the heat is in the right tile",
    levels={"knowing nothing": 25},
    formats=".0f",
)
plots.show(
    figure,
    "Share of the heat in the right tile for EfficientNet and kEffNet, for the wrong class, "
    "and for random weights, beside the 25% of a map that knows nothing. Table 2 has the "
    "numbers.",
    caption="Figure 5. Heat in the right tile, of both networks and of the controls.",
)

# %% [markdown]
# Far more heat than by chance lies where the class is, and asking for a class that is elsewhere leaves little heat in
# the tile. But a large part lies outside. It would be easy to excuse that: a position of the last maps sees a large
# part of the image, its [receptive field](../docs/glossary.md#receptive-field), so the maps of neighbouring tiles run
# into each other at the seams. An excuse can be tested. We leave out a strip on both sides of the seams and count
# again.

# %% tags=["nbval-ignore-output"]
for name in networks:
    whole = shares.loc[name, "value"]
    without = 100 * np.nanmean(shares_of(cases[name], seam=16))
    print(f"{name}: {100 - whole:.0f} points of the heat lie outside;")
    print(f"  without 16 pixels on both sides of the seams {100 - without:.0f} of 100.")
    print(f"  So the seams explain {without - whole:.0f} points.")

# %% [markdown]
# If what lies within 16 pixels of a seam were the only reason, nothing would be left. (It is no proof for the rest: a
# position sees 63 pixels, 31 to each side, and squeeze-and-excite the whole collage.) What is left lies deeper in other
# tiles. A little of it may still come from the right tile, which positions up to 31 pixels from a seam can see; the
# rest is evidence for a class that is not there. A small network that learned from colours and textures is often wrong
# about single places (Table 1 shows how often it is wrong about whole patches), and a map shows that too.
#
# What of the difference between the two networks? They learned the same patches once, with one seed each. The figure
# tells how sure the shares of *these two* networks are, not that grouping in general makes maps better or worse.
#
# ## 6. The relatives: Grad-CAM, HiResCAM, LayerCAM
#
# Where no linear classifier sits on the pooled maps, or for an earlier layer, a *gradient* takes the place of the
# weight: how much does the logit grow with $f_k(x, y)$?
#
# | | weight of map k at a position | |
# |---|---|---|
# | **Grad-CAM** | the mean of the gradient over all positions | one number for each map, as in CAM |
# | **HiResCAM** | the gradient at that position | what the position adds to the logit, to first order |
# | **LayerCAM** | the gradient there, 0 where it is negative | only what speaks for the class |
#
# Before average pooling and a linear classifier the gradient is $w_{kc}$ divided by the number of positions, at every
# position. So Grad-CAM and HiResCAM are nothing new there, and LayerCAM is the map of the positive weights alone:

# %% tags=["nbval-check-output"]
eight, labels = x[:8], asked[:8]
cam_of = cam.class_activation_map(keffnet, eight, labels)
for method in (cam.grad_cam, cam.hires_cam, cam.layer_cam):
    same = np.allclose(method(keffnet, eight, labels), cam_of, atol=1e-3)
    print(f"{method.__name__}: the same as the class activation map: {same}")

# %% [markdown]
# At an earlier layer the three differ, and the maps are finer. We take the end of stage 5, with 32×32 positions. Finer
# is not truer: there the channels do not stand for classes yet. For each collage we ask for the class, of the four that
# are there, that has the highest logit.

# %%
STAGE_5 = "k_block5a__0project_conv_inter_group_add"
methods = {
    "CAM": cam.class_activation_map,
    "Grad-CAM, stage 5": functools.partial(cam.grad_cam, layer=STAGE_5),
    "HiResCAM, stage 5": functools.partial(cam.hires_cam, layer=STAGE_5),
    "LayerCAM, stage 5": functools.partial(cam.layer_cam, layer=STAGE_5),
}
scores = cam.class_scores(keffnet, x, asked)
place = scores.logits.argmax(axis=1)  # number of the tile
best = asked[np.arange(len(x)), place]
by_method = {name: method(keffnet, x, best) for name, method in methods.items()}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 6, four methods {display-mode: "form"}
chosen = [0, 1]
figure = cam.beside(
    images[chosen],
    {name: maps[chosen] for name, maps in by_method.items()},
    cam.class_scores(keffnet, x[chosen], best[chosen]).titles(names),
)
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 6. Two collages, and the maps of four methods for one class of each.",
)

# %% [markdown]
# ## 7. Does the network need what the map lights?
#
# The right tile is our idea of where to look. Whether the *network* looks there can be asked as well: take away the
# pixels that a map calls important, the most important first, and see how soon the probability of the class falls
# (**deletion**: a small area under the curve is good). Or begin with a blurred image and bring pixels back
# (**insertion**: a large area is good). The class is the one of section 6.
#
# What stands where a pixel is missing? It must not speak for the class itself, and for a network that knows photographs
# by their colours, every colour may. So we ask first what is left of the probability when *all* pixels are replaced: by
# the mean colour of the image, by the image under a strong blur, by one fixed colour.

# %% tags=["nbval-ignore-output"]
WHITE = (1.0, 1.0, 1.0)
for baseline in ("mean", "blur", WHITE):
    setting = {"baseline": baseline, "steps": 1}
    ends = cam.deletion_curve(keffnet, x, by_method["CAM"], best, **setting)
    before, left = ends.probabilities.mean(axis=0)
    print(f"{str(baseline):15} {left:.0%}, before: {before:.0%}")

# %% [markdown]
# None of them is neutral. Mean colour and blur keep the colours that this network goes by. White leaves little, perhaps
# because it is evidence for *another* class: then holes of any shape may decide, and not the map. So we ask twice, with
# colours kept and with white, and trust what holds both times. A map of random numbers is the control: where it does as
# well as the others, the test tells nothing.

# %%
STEPS = 6
random = np.random.default_rng(recipe.seed)
control = random.random(by_method["CAM"].shape, dtype="float32")
compared = np.stack([cv2.resize(heat, (32, 32)) for heat in by_method["CAM"]])
every = {**by_method, "CAM": compared}
every["random numbers"] = np.stack([cv2.resize(heat, (32, 32)) for heat in control])
stacked = np.stack(list(every.values()), axis=1)  # collage, method, position
curves = {
    f"{kind}, {title}": curve(keffnet, x, stacked, best, baseline=baseline, steps=STEPS)
    for kind, curve, title, baseline in (
        ("deletion", cam.deletion_curve, "mean", "mean"),
        ("insertion", cam.insertion_curve, "blur", "blur"),
        ("deletion", cam.deletion_curve, "white", WHITE),
        ("insertion", cam.insertion_curve, "white", WHITE),
    )
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 7, deletion and insertion {display-mode: "form"}
panels = {
    title: {
        name: (100 * curve.fractions, curve.probabilities[:, index].mean(axis=0)) for index, name in enumerate(every)
    }
    for title, curve in curves.items()
}
figure = plots.curve_panels(
    panels,
    "pixels, %",
    "probability of the class",
    title=f"Quick run: mean of {len(x)} collages, kEffNet-B0 16ch",
    percent=True,
    markers=True,
)
plots.show(
    figure,
    "The probability of a class while pixels are deleted, and while they are inserted, in the "
    "order of four kinds of maps and of random numbers, with two baselines each. "
    "Table 3 has the areas under the curves.",
    caption="Figure 7. Deletion and insertion; what stands in the holes is named above.",
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 3 {display-mode: "form"}
tiles = [divmod(int(number), 2) for number in place]
rows = []
for index, (name, heats) in enumerate(every.items()):
    local = [100 * share_inside(heat, *tile) for heat, tile in zip(heats, tiles, strict=True)]
    row = {"maps": name}
    areas = {title: 100 * curve.areas[:, index] for title, curve in curves.items()}
    for what, values in {"heat inside": local, **areas}.items():
        interval = with_interval(values)
        half = interval["high"] - interval["value"]
        row[f"{what}, %"] = f"{interval['value']:.0f} ± {half:.0f}"
    rows.append(row)
plots.table(
    pd.DataFrame(rows).set_index("maps"),
    f"Table 3. Localization beside faithfulness, means of {len(x)} collages with Student's "
    "95% intervals. Deletion and insertion: area under the curve, in percent of the whole; "
    "small is good for deletion, large for insertion.",
)

# %% [markdown]
# Read the table row against row. All maps are of the same collages, so two of them are compared by the interval of
# their *difference*, which can be far narrower than those of the table: overlapping intervals decide nothing by
# themselves. Where random numbers do as well as a map, the column does not speak for the map, and where two baselines
# disagree, the answer hangs on what stood in the holes. Localization and faithfulness are different questions: a
# network that finds its evidence outside of the tile has a faithful map with little heat inside. And both curves ask
# the network about images with holes, which are unlike all that it was trained with.
#
# ## 8. Does the map tell of the network at all?
#
# A picture of the edges of an image looks convincing too, and would be the same for every network. The
# **randomization test** finds such pictures out: the weights of a copy are shuffled, layer by layer from the classifier
# down, and after each layer the maps are compared with those of the trained network. A map that tells of what was
# learned must change. *Cascading*, all layers above stay shuffled; *one at a time*, all others stay as they were
# trained.

# %%
down_to = {
    "k_probs": "classifier",
    "k_top_conv_conv": "last convolution",
    "k_block7a__0expand_conv": "stage 7",
    "k_block5a__0expand_conv": "stage 5",
    "k_block3a__0expand_conv": "stage 3",
    "k_stem_conv": "stem",
}
tests = {
    name: cam.randomization_test(
        keffnet,
        x,
        best,
        cam.class_activation_map,
        layers=list(down_to),
        cascading=cascading,
        seed=recipe.seed,
    )
    for name, cascading in {"cascading": True, "one at a time": False}.items()
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 8, shuffled weights {display-mode: "form"}
cascade = tests["cascading"]
steps = [0, 2, 4, 5]
figure = cam.beside(
    images[:2],
    {"trained": cascade.original[:2]}
    | {f"… {down_to[cascade.layers[step]]}": cascade.maps[step][:2] for step in steps},
    cam.class_scores(keffnet, x[:2], best[:2]).titles(names),
    width=6.5,
)
plots.show(
    figure,
    "Two collages and their maps: of the trained network, and with the weights shuffled from "
    f"the classifier down to each layer. {figure.get_label()}",
    caption="Figure 8. Class activation maps while weights are shuffled from the classifier down to a layer.",
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 9, rank correlations {display-mode: "form"}
rows = []
for name, test in tests.items():
    for layer, correlations in zip(test.layers, test.rank_correlations, strict=True):
        label = f"down to {down_to[layer]}" if name == "cascading" else f"only {down_to[layer]}"
        rows.append({"layer": label, "group": name, **with_interval(correlations)})
figure = plots.interval_chart(
    pd.DataFrame(rows).set_index("layer"),
    xlabel="rank correlation with the map of the trained network, with Student's 95% intervals",
    title="Quick run: what is left of the maps when weights are shuffled",
    levels={"no order in common": 0},
    formats=".2f",
)
plots.show(
    figure,
    "Spearman's rank correlation of the maps of kEffNet with shuffled weights and of the "
    "trained network, for six layers: shuffled one after another from the classifier down, "
    "and one at a time. Table 4 has the numbers.",
    caption="Figure 9. Likeness of the maps to those of the trained network.",
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 4 {display-mode: "form"}
frame = pd.DataFrame(
    {
        f"{name}, {what}": np.nanmean(values, axis=1)
        for name, test in tests.items()
        for what, values in {
            "rank correlation": test.rank_correlations,
            "SSIM": test.similarities,
        }.items()
    },
    index=pd.Index(down_to.values(), name="layer"),
)
plots.table(
    frame,
    f"Table 4. Likeness of maps to those of the trained kEffNet-B0 16ch, means of {len(x)} "
    "collages; 1: the same map. Only one network, shuffled once.",
    formats=dict.fromkeys(frame.columns, ".2f"),
)

# %% [markdown]
# The *rank correlation* (Spearman) asks whether two maps order the positions alike; *SSIM* compares places, brightness
# and contrast of small windows. A method whose maps stay near 1 all the way down would show the image, not the network.
# Class activation maps begin with the weights of the classifier, so they cannot outlive its shuffling. One at a time is
# the harder question: does the map notice that a single early layer has forgotten what it learned?
#
# ## 9. Five ways to be misled
#
# **The map of a class that is not there.** Every map that has any positive value is divided by its maximum, so the
# weakest evidence looks as bright as the strongest. We ask for the two classes that each collage does *not* contain,
# and print what the division hides: the largest value before it.

# %% tags=["nbval-ignore-output"]
absent = np.stack([np.setdiff1d(np.arange(len(names)), four) for four in asked])
peaks = evidence.max(axis=(1, 2))  # collage, class
rows = {}
for title, labels in {
    "classes in the collage": asked,
    "classes that are not in it": absent,
}.items():
    largest = np.take_along_axis(peaks, labels, axis=1)
    rows[title] = {
        "median logit": np.median(np.take_along_axis(logits, labels, axis=1)),
        "median of the largest evidence": np.median(largest),
        "maps with no evidence at all": int((largest <= 0).sum()),
        "maps": largest.size,
    }
plots.table(
    pd.DataFrame(rows).T.rename_axis("asked for"),
    "Table 5. Logits and evidence before the division by its maximum; kEffNet-B0 16ch.",
    formats={"maps": ".0f", "maps with no evidence at all": ".0f"}
    | dict.fromkeys(["median logit", "median of the largest evidence"], ".1f"),
)

# %% [markdown]
# Of all classes that are absent, here is the one with the **weakest** evidence that is not none, beside the class of
# that collage with the highest logit.

# %%
absent_peaks = np.take_along_axis(peaks, absent, axis=1)
weakest = np.where(absent_peaks > 0, absent_peaks, np.inf).argmin()
collage, which = divmod(int(weakest), absent.shape[1])
pair = np.array([[best[collage], absent[collage, which]]])
titles = cam.class_scores(keffnet, x[[collage]], pair).titles(names)[0]
where = ["in the image", "not in it"]
figure = cam.beside(
    np.repeat(images[[collage]], 2, axis=0),
    cam.class_activation_map(keffnet, x[[collage]], pair)[0],
    [f"{title} ({text})" for title, text in zip(titles, where, strict=True)],
    columns=2,
    width=6.5,
)
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 10. A class that is there, and one that is not: the same colours.",
)

# %% tags=["nbval-ignore-output"]
for label, text in zip(pair[0], where, strict=True):
    print(f"largest evidence for {names[label]} ({text}): {peaks[collage, label]:.2f}")

# %% [markdown]
# Both maps have the same brightest colour. **Look at the logit beside the map**, always.
#
# **Nothing at all.** Where the evidence is negative everywhere, the map is 0 everywhere: no division by zero, and no
# error either. `maps.max() == 0` tells such a map from a weak one. (Table 2 counts such empty maps.)
#
# **Sharp edges out of few positions.** A map has as many values as the middle picture has squares. The smooth blobs at
# the right are made by the interpolation, and so is their exact outline.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 11, cells and blobs {display-mode: "form"}
heat = by_method["CAM"][0]
(title,) = cam.class_scores(keffnet, x[:1], best[:1]).titles(names)
figure = plots.images(
    [
        images[0],
        cam.overlay(images[0], heat, alpha=0.0, smooth=False),
        cam.overlay(images[0], heat, alpha=0.0),
    ],
    [title, f"the network: {len(heat)}×{len(heat)} values", "what is usually shown"],
    columns=3,
    width=6,
)
plots.show(
    figure,
    "A collage; its map as squares; the same map smoothly interpolated.",
    caption="Figure 11. What a network gives, and what is usually shown of it.",
)

# %% [markdown]
# **A classifier that is not linear.** MobileNet V3 has another layer, with an activation, between pooling and
# classifier. Mean and sum may not change places there, and a map from its last weights would be a picture of nothing.
# `class_activation_map` refuses:

# %% tags=["nbval-check-output"]
v3 = kMobileNetV3Small(input_shape=(64, 64, 3), classes=len(names), scheme=D6(16))
try:
    cam.class_activation_map(v3, x[:1, :64, :64])
except ValueError as error:
    print(error)

# %% tags=["nbval-check-output"]
print("Grad-CAM of the same network:", cam.grad_cam(v3, x[:1, :64, :64]).shape)

# %% [markdown]
# **A beautiful map of the wrong reason.** A map says where the evidence is, not whether it is a good reason. Our
# networks rely on colour to a good part, and no map would have told us. A test with the colour removed does (exercise
# 3).
#
# ## 10. Whole photographs, and a network that learned
#
# The networks so far know six photographs by patches. One that has learned more comes along with kgpc: kMobileNet 16ch,
# trained on JPEG copies of CIFAR-10's small photographs (32×32 pixels, and one more row and column), and then for a few
# epochs on the same images enlarged three times. At 33×33 pixels its last maps have 2×2 cells, too few to see in them
# where anything is; at 97×97 they have 6×6. (The row and the column that are added repeat the last ones. The first
# convolution takes one away, and what is left, 32 or 96, can be halved four times.)

# %% tags=["nbval-check-output"]
begun = kgpc.included.find("kmobilenet_16ch_cifar10_copies")
card = kgpc.included.find("kmobilenet_16ch_cifar10_copies_97px")
WHOLE = int(card.image_size.partition("x")[0])
kinds = "airplane automobile bird cat deer dog frog horse ship truck".split()
learned = kMobileNet(
    weights=card.name,
    input_shape=(WHOLE, WHOLE, 3),
    classes=card.classes,
    scheme=D6(16),
    **card.arguments,
)
for one in (begun, card):
    share = f"{one.test_accuracy:.2%} of {one.test_images:,} test images"
    print(f"{one.dataset}, {one.epochs} epochs at {one.image_size}: {share}")

# %% [markdown]
# It recognizes 2 points fewer than the one it began with. Enlarged images show nothing new, and three epochs at one
# rate are all that was tried; whether more would win the loss back is not known. What we gain is maps of 6×6 cells.
#
# **A photograph of your own:** write its path between the quotation marks (on Colab, upload it with the folder symbol
# at the left first) and run the next two cells. Without one, the six photographs are shown, cropped to squares. The
# network saw images of 32×32 pixels enlarged, and so it is shown these: sharper ones would be something that it never
# saw. For another method put `cam.grad_cam`, `cam.hires_cam` or `cam.layer_cam` in the place of
# `cam.class_activation_map`, with `layer=` as before Figure 13.
#
# With a network that has learned your classes (notebook [13](13_your_own_images.ipynb)), put that network, its image
# size and its class names in the place of `learned`, `WHOLE` and `kinds`, let `prepared` return `resized(pixels,
# WHOLE)`, and stop after Figure 12: what follows is about CIFAR-10's classes and maps of 6×6 cells.

# %%
PICTURE = ""  # @param {type:"string"}


def resized(pixels, side):
    """A photograph, no higher than wide, cropped to a square and resized."""
    left = (pixels.shape[1] - len(pixels)) // 2
    square = pixels[:, left : left + len(pixels)]
    smaller = side < len(pixels)
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=way)


def prepared(pixels):
    """As in the training: 32×32 pixels, enlarged, one more row and column."""
    enlarged = resized(resized(pixels, 32), WHOLE - 1)
    return np.pad(enlarged, ((0, 1), (0, 1), (0, 0)), mode="edge")


if PICTURE:
    own = datasets.read_image(PICTURE, image_size=WHOLE, shape="crop")
    whole = {Path(PICTURE).name: own}
else:
    whole = {photograph.name: photograph.pixels for photograph in photographs}
pictures = np.stack([prepared(pixels) for pixels in whole.values()])

# %% tags=["nbval-ignore-output"]
inputs = pictures.astype("float32") / 255
scores = cam.class_scores(learned, inputs)  # of the class that the network predicts
found = zip(whole, scores.titles(kinds), strict=True)
texts = [f"{name} is taken for\n{answer}" for name, answer in found]
maps = cam.class_activation_map(learned, inputs, scores.classes)
columns = 2 if len(maps) > 1 else 1
figure = cam.beside(pictures, maps, texts, columns=columns, width=6.5)

folder = Path(os.environ.get("KGPC_RESULTS", "results"))
folder.mkdir(parents=True, exist_ok=True)
saved = cam.save_picture(figure, folder / "08_maps.png")
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 12. Whole photographs, and maps of the predicted class.",
)
print(f"Saved in the folder of results: {saved.name}")

# %% [markdown]
# Of the six photographs (shown where `PICTURE` is empty) only the cat is of a kind that the network knows, and it is
# taken for a dog, with little more probability than for a cat (Figure 13). The network that it began with, at 33×33
# pixels, took the same photograph for a cat, with 52% ([02](02_kmobilenet.ipynb), Figure 9). For the other five no
# answer can be right: a classifier answers with one of its classes, whatever it is shown. The maps show where the
# evidence lies: for *ship* at the lit tower and the lights beside it; for *truck* most of all in one cell, a dark box
# beside the astronaut. (Whether the answer depends on these places is the question of section 7, and was not asked
# here.) And the eye and the galaxies, with logits of little more than 1, are lit as brightly as all others.
#
# All that follows is about the six photographs, also where you show a picture of your own. First the cat alone: asked
# for *cat*, for *dog*, and for *ship*, with CAM and with two methods at an earlier layer, whose 12×12 positions are
# four times as many.

# %%
block_11 = "conv_pw_11_bn_inter_group_add"  # 12×12 positions
ways = {
    "CAM": cam.class_activation_map,
    "Grad-CAM, 12×12": functools.partial(cam.grad_cam, layer=block_11),
    "LayerCAM, 12×12": functools.partial(cam.layer_cam, layer=block_11),
}
cat = prepared(photographs[0].pixels)
three_kinds = np.array([kinds.index(kind) for kind in ("cat", "dog", "ship")])
thrice = np.repeat(cat[None].astype("float32") / 255, 3, axis=0)
by_way = {name: way(learned, thrice, three_kinds) for name, way in ways.items()}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input"]
# @title Figure 13, three methods and three classes {display-mode: "form"}
figure = cam.beside(
    np.repeat(cat[None], 3, axis=0),
    by_way,
    cam.class_scores(learned, thrice, three_kinds).titles(kinds),
)
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 13. One photograph, asked for three classes, with three methods.",
)

# %% [markdown]
# Cat and dog have nearly the same logit here, from different places: what is around nose and cheeks speaks for a cat,
# an eye and the bridge of the nose speak for a dog. For *ship*, with a logit below zero, a corner and a piece of the
# upper edge are nearly all that CAM finds, and the corner is as bright as the strongest place for *cat*. LayerCAM
# leaves out all that speaks against a class, and so finds a ship all over the face. The regular pattern in its maps
# does not come from the cat but from the network: the next convolution has stride 2, so every second position lies in
# two of its windows in each direction, and a gradient taken position by position shows that. Grad-CAM averages it away.
#
# **Does the map of "cat" find the cat?** One photograph of an animal that the network knows is little, but its place
# can change: collages again, with the whole photographs as tiles, the cat's once at each of the four places, with every
# choice of three of the others.

# %%
# Tiles of 16×16 pixels, enlarged three times as whole images were: 32 to 96.
small = {one.name: resized(resized(one.pixels, 16), 48) for one in photographs}
others = [name for name in small if name != "cat"]
scenes, cat_at = [], []
for tile, three in itertools.product(range(4), itertools.combinations(others, 3)):
    parts = [small[name] for name in three]
    parts.insert(tile, small["cat"])
    scene = np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])])
    scenes.append(np.pad(scene, ((0, 1), (0, 1), (0, 0)), mode="edge"))
    cat_at.append(tile)
scenes, cat_at = np.stack(scenes), np.array(cat_at)
scene_inputs = scenes.astype("float32") / 255


# %%
def in_the_tile(maps):
    """Of each map, the heat of the cat's tile in %, and whether it has most."""
    # 6×6 cells are 2×2 tiles of 3×3 cells: add the cells of each tile.
    tiles = maps.reshape(-1, 2, 3, 2, 3).sum(axis=(2, 4)).reshape(-1, 4)
    own = tiles[np.arange(len(tiles)), cat_at]
    most = (tiles.argmax(axis=1) == cat_at) & (own > 0)
    with np.errstate(invalid="ignore"):  # an empty map has no shares
        return 100 * own / tiles.sum(axis=1), most


def before_training(seed):
    """The same network with random weights."""
    keras.utils.set_random_seed(seed)
    options = {**card.arguments, "input_shape": (WHOLE, WHOLE, 3)}
    return kMobileNet(classes=card.classes, scheme=D6(16), **options)


every_kind = np.tile(np.arange(len(kinds)), (len(scenes), 1))
found = cam.class_activation_map(learned, scene_inputs, every_kind)  # scene, kind, cell
of_kind = dict(zip(kinds, found.swapaxes(0, 1), strict=True))
only_cat = np.full(len(scenes), kinds.index("cat"))
random_ones = []
for seed in range(3):
    network = before_training(seed)
    random_ones.append(cam.class_activation_map(network, scene_inputs, only_cat))

# %%
others = [of_kind[kind] for kind in kinds if kind not in ("cat", "dog")]
groups = {
    "asked for cat": [of_kind["cat"]],
    "asked for dog": [of_kind["dog"]],
    "asked for the eight others": others,
    "random weights, asked for cat": random_ones,
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 14, two of the collages {display-mode: "form"}
pairs = [(index, kind) for kind in ("cat", "dog", "ship") for index in (0, len(scenes) - 1)]
chosen, labels = [index for index, _ in pairs], np.array([kinds.index(kind) for _, kind in pairs])
figure = cam.beside(
    scenes[chosen],
    np.stack([of_kind[kind][index] for index, kind in pairs]),
    cam.class_scores(learned, scene_inputs[chosen], labels).titles(kinds),
    columns=2,
    width=6.5,
)
plots.show(
    figure,
    figure.get_label(),
    caption="Figure 14. Two of the collages, one at the left and one at the right, asked for three classes.",
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 6, where the heat is {display-mode: "form"}
rows = {}
for name, group in groups.items():
    heats, most = map(np.concatenate, zip(*(in_the_tile(maps) for maps in group), strict=True))
    rows[name] = {
        "heat in the cat's tile, %": np.nanmean(heats),
        "collages in which it is the first of four, %": 100 * most.mean(),
    }
frame = pd.DataFrame(rows).T.rename_axis("maps")
plots.table(
    frame,
    f"Table 6. Heat in the tile of the cat: mean of {len(scenes)} collages, with each of the eight others and each of "
    "three networks with random weights. A map that knows nothing: 25% in both columns.",
    formats=dict.fromkeys(frame.columns, ".0f"),
)

# %% [markdown]
# Asked for *cat*, more than half of the heat lies in the cat's tile, on average of its four places, and in nearly nine
# of ten collages more than in any other. Asked for *dog*, which this network does not tell from a cat with certainty,
# it is a third; asked for the eight others, a fifth on average; and without learning about the quarter of a map that
# knows nothing. In both collages of Figure 14 the evidence for *ship* lies in the rocket's tile, as in Figure 12, but
# here it is not the answer: *ship* has 0.38% and 3%. All forty collages show the same cat, so the table has no
# intervals: they would say nothing of another cat.
#
# **Does that depend on what was learned?** The randomization test of section 8, with the network that learned more:

# %%
below = {
    "conv_preds": "classifier",
    "conv_pw_13_bn_conv": "last block",
    "conv_pw_11_bn_conv": "block 11",
    "conv_pw_8_bn_conv": "block 8",
    "conv_pw_4_bn_conv": "block 4",
    "conv1": "stem",
}
forgetting = {
    name: cam.randomization_test(
        learned,
        scene_inputs,
        only_cat,
        cam.class_activation_map,
        layers=list(below),
        cascading=cascading,
        seed=recipe.seed,
    )
    for name, cascading in {"cascading": True, "one at a time": False}.items()
}

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 7, a network that forgets {display-mode: "form"}
trained_heat = np.nanmean(in_the_tile(of_kind["cat"])[0])
rows = {"nothing": dict.fromkeys(["cascading: heat, %", "one at a time: heat, %"], trained_heat)}
rows["nothing"] |= dict.fromkeys(["cascading: likeness", "one at a time: likeness"], 1.0)
for name, test in forgetting.items():
    for layer, maps, likeness in zip(test.layers, test.maps, test.rank_correlations, strict=True):
        row = rows.setdefault(below[layer], {})
        row[f"{name}: heat, %"] = np.nanmean(in_the_tile(maps)[0])
        row[f"{name}: likeness"] = np.nanmean(likeness)
frame = pd.DataFrame(rows).T.rename_axis("shuffled")
plots.table(
    frame,
    f'Table 7. Maps of "cat" while weights are shuffled: heat in the cat\'s tile, and rank correlation with the map '
    f"before; means of {len(scenes)} collages. Cascading: all layers down to the one named; one at a time: that one.",
    formats={name: ".0f" if "heat" in name else ".2f" for name in frame.columns},
)

# %% [markdown]
# Shuffle any of these six layers, and most of what the map knew of the cat's place is gone: the heat falls from 58% to
# between 19% and 29%, even where only the stem has forgotten what it learned. Block 8 alone leaves more, 35%, and a
# likeness of 0.46. So these maps tell of the network, of its early layers too. (Each layer was shuffled once; another
# order of the weights gives other numbers, and how far they vary was not measured.)
#
# ## 11. As in the paper: pets
#
# The paper shows maps of kEffNet-B0 on Oxford-IIIT Pet. In the paper profile the next cells fetch the released weights
# of that network and the test images, and draw them. In the quick profile nothing is downloaded, and they say so.
#
# To be compared, the maps need those of EfficientNet-B0, and its weights for pets were not released. Train them, on a
# GPU: `python -m kgpc rerun --profile paper --rows JP30D09 --schemes none --output reruns`. Then name the file
# `best.weights.h5` in the folder of that run as `BASELINE` below, and both networks show the same images.

# %% tags=["nbval-ignore-output"]
BASELINE = ""  # @param {type:"string"}

pets, pets_networks = None, {}
if PROFILE == "paper":
    pets_weights = {
        "kEffNet-B0 16ch": ("pets", D6(16)),
        "EfficientNet-B0": (BASELINE, None),
    }
    try:
        pets = datasets.load("Oxford-IIIT Pet", image_size=224)
        for name, (weights, scheme) in pets_weights.items():
            if weights:
                pets_networks[name] = kEfficientNetB0(
                    weights=weights,
                    input_shape=(224, 224, 3),
                    classes=37,
                    scheme=scheme,
                )
    except (OSError, ImportError) as error:
        reason = str(error).splitlines()[0][:120]
        print(f"Not shown, because a download failed: {reason}")
else:
    print("The quick profile downloads nothing. The paper profile draws the maps of")
    print("kEffNet-B0 16ch on pets here.")

# %% tags=["nbval-ignore-output"]
if pets_networks:
    random = np.random.default_rng(recipe.seed)
    chosen = random.choice(len(pets.y_test), size=8, replace=False)
    pictures, breeds = np.asarray(pets.x_test[chosen]), pets.y_test[chosen]
for number, (name, model) in enumerate(pets_networks.items(), start=15):
    pet_inputs = pictures.astype("float32") / 255
    pet_maps = cam.class_activation_map(model, pet_inputs, breeds)
    titles = cam.class_scores(model, pet_inputs, breeds).titles(pets.class_names)
    figure = cam.beside(pictures, pet_maps, titles, columns=2)
    figure.suptitle(name, x=0.01, ha="left", fontsize=10, fontweight="bold")
    caption = f"Figure {number}. {name}: maps of eight pets, for their own breeds."
    plots.show(figure, f"{name}. {figure.get_label()}", caption=caption)

# %% [markdown]
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** Chance was 25% for a tile of a 2×2 collage. What is it for a tile of a 3×3 one? For an object that covers the
# middle ninth of an image that otherwise shows something else? And a map that is always strongest in the middle,
# whatever the image: what has it in the right tile of our 2×2 collages, on average of the four tiles?

# %%
answer_1 = None  # three shares between 0 and 1
exercises.check("08.1", answer_1)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# The share of the area: 1/9 in both cases. But a map that always lights the middle, as many networks do,
# would get more than 1/9 for the middle tile without having seen anything. Our collages have no tile in
# the middle, and the mean over the four tiles cannot be raised by any fixed map:
middle = np.linspace(-2, 2, 7)
fixed = np.exp(-(middle[:, None] ** 2) - middle[None] ** 2).astype("float32")
tiles = [share_inside(fixed, row, column) for row, column in np.ndindex(2, 2)]
print(f"a fixed map, strongest in the middle: {np.mean(tiles):.0%} on average of the tiles")

# %% [markdown]
# **2.** The *pointing game* counts how often the strongest position of a map lies in the right tile. Write a function
# of a map (an array of numbers, with an even number of rows and of columns), and of the row and the column of a tile of
# a 2×2 collage, each 0 or 1. It returns whether the strongest position is in that tile; a map without any evidence
# points nowhere. Then count for both networks. Why can this be higher than the share of the heat?

# %%
answer_2 = None  # a function of heat, row and column
exercises.check("08.2", answer_2)


# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 2 {display-mode: "form"}
# It ignores all heat but the strongest point, so a map may run over the edges of the tile and still win.
def points_at(heat, row, column):
    """Whether the strongest position of a map lies in a tile of a 2×2 collage."""
    strongest = np.unravel_index(np.argmax(heat), heat.shape)
    found = tuple(int(place) // (size // 2) for place, size in zip(strongest, heat.shape, strict=True))
    return bool(np.any(heat > 0)) and found == (row, column)


for name, maps in list(cases.items())[:2]:
    hits = [points_at(maps[i, j], *divmod(j, 2)) for i, j in np.ndindex(maps.shape[:2])]
    print(f"{name}: {np.mean(hits):.0%} of {len(hits)} maps are strongest in the right tile")

# %% [markdown]
# **3.** What do the networks rely on? Write a function that takes a batch of images, (n, height, width, 3) and in
# [0, 1], and takes their colour away: the same shape, and one grey value in all three channels of a pixel. Then measure
# the heat in the right tile again.

# %%
answer_3 = None  # a function of images
exercises.check("08.3", answer_3)


# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 3 {display-mode: "form"}
# The share falls as far as the networks rely on colour. What remains is texture and brightness.
def without_colour(images):
    """Images with the mean of red, green and blue in all three channels."""
    return images.mean(axis=-1, keepdims=True).repeat(3, axis=-1)


for name, model in networks.items():
    in_grey = 100 * np.nanmean(shares_of(cam.class_activation_map(model, without_colour(x), asked)))
    print(f"{name}: {in_grey:.0f}% in grey, {shares.loc[name, 'value']:.0f}% in colour")

# %% [markdown]
# ## Summary
#
# - A class activation map is the logit before averaging: mean of the map + bias = score. It exists where a linear
#   classifier reads globally averaged maps. Grad-CAM and HiResCAM are the same there, and also work elsewhere; LayerCAM
#   shows only what speaks for the class.
# - A map can be measured: the share of the heat in the right place, against the share of the area, with a wrong class
#   and random weights as controls; the probability while pixels are deleted and inserted; its likeness to the maps of a
#   network that has forgotten what it learned. These are different questions.
# - Maps of a network that learned can light the right thing where probabilities are small: asked for *cat*, they find
#   the one cat that we have, on average of four places, and with single layers shuffled they lose most of that.
# - What is shown is cut at zero, divided by its maximum and interpolated. Keep the image, the logit and the probability
#   beside it.
#
# ## References
#
# - B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba: *Learning Deep Features for Discriminative Localization*.
#   CVPR 2016, [arXiv:1512.04150](https://arxiv.org/abs/1512.04150). Class activation maps.
# - R. R. Selvaraju et al.: *Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization*. ICCV
#   2017, [arXiv:1610.02391](https://arxiv.org/abs/1610.02391).
# - R. L. Draelos, L. Carin: *Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
#   networks*. 2020, [arXiv:2011.08891](https://arxiv.org/abs/2011.08891).
# - P.-T. Jiang, C.-B. Zhang, Q. Hou, M.-M. Cheng, Y. Wei: *LayerCAM: Exploring Hierarchical Class Activation Maps for
#   Localization*. IEEE Transactions on Image Processing 30, 2021,
#   [doi:10.1109/TIP.2021.3089943](https://doi.org/10.1109/TIP.2021.3089943).
# - V. Petsiuk, A. Das, K. Saenko: *RISE: Randomized Input Sampling for Explanation of Black-box Models*. BMVC 2018,
#   [arXiv:1806.07421](https://arxiv.org/abs/1806.07421). Deletion and insertion.
# - J. Adebayo et al.: *Sanity Checks for Saliency Maps*. NeurIPS 2018,
#   [arXiv:1810.03292](https://arxiv.org/abs/1810.03292). The randomization test; there weights are drawn anew, here the
#   learned values are shuffled.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: *Image Quality Assessment: From Error Visibility to Structural
#   Similarity*. IEEE Transactions on Image Processing 13, 2004,
#   [doi:10.1109/TIP.2003.819861](https://doi.org/10.1109/TIP.2003.819861). SSIM.
# - M. Abramowitz, I. A. Stegun: *Handbook of Mathematical Functions*. National Bureau of Standards, 1964. Student's
#   distribution, section 26.7.
# - J. Zhang et al.: *Top-down Neural Attention by Excitation Backprop*. ECCV 2016,
#   [arXiv:1608.00507](https://arxiv.org/abs/1608.00507). The pointing game.
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). Maps of kEffNet.
# - O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: *Cats and Dogs*. CVPR 2012. The Oxford-IIIT Pet data set.
