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
# - draw maps of your own images, with CAM and with Grad-CAM;
# - measure whether a map lights the right part, instead of trusting a picture that looks good;
# - name five ways in which such maps mislead.
#
# **You need** [04 kEffNet](04_keffnet.ipynb) for the networks that are trained here. No GPU, no download.
# **Running time:** a minute or two on two CPU cores in the quick profile. The paper profile also downloads the authors'
# weights and the Oxford-IIIT Pet data set (800 MB), and draws the maps of the paper's kEffNet.

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
import textwrap

import cv2
import keras
import numpy as np
import pandas as pd

import kgpc
from kgpc import D6, cam, datasets, plots, seeds, training
from kgpc.applications import kEfficientNetB0, kMobileNetV3Small

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

# %% [markdown]
# ## 1. The idea
#
# MobileNet, EfficientNet, DenseNet and Inception end in the same way. The last convolution gives n feature maps
# $f_1(x, y), \dots, f_n(x, y)$ over positions x, y. *Global average pooling* replaces each map by its mean, and a
# linear classifier weights these means: with the weight $w_{kc}$ of map k for class c, and the bias $b_c$, the score of
# class c before softmax (its *logit*) is
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

# %%
photographs = datasets.photographs()


def test_parts(photograph):
    """The pixels of a photograph, dark but for the parts for testing."""
    return np.where(photograph.test_area[..., None], photograph.pixels, photograph.pixels // 3)


figure = plots.images(
    [test_parts(photograph) for photograph in photographs],
    [photograph.name for photograph in photographs],
    columns=3,
)
plots.show(
    figure,
    "Six photographs: a cat, a cup of coffee, an astronaut, a rocket, the back of an eye, and galaxies. Three of nine "
    "parts of each are bright, the others dark.",
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

figure = plots.images(
    images[:4],
    ["\n".join(" | ".join(row) for row in names[classes[index]]) for index in range(4)],
    columns=4,
)
plots.show(
    figure,
    "Four collages of two by two patches, with the names of the four classes in their places.",
)

# %% [markdown]
# ## 3. Two networks
#
# We train EfficientNet-B0 and kEffNet-B0 16ch, the network whose maps the paper shows, by the same recipe on patches of
# 32×32 pixels. Then the same weights read collages of 128×128 pixels: convolutions do not care how large an image is,
# and the pooling averages over more positions.
#
# Four arguments make this quick: `width=0.25` leaves a quarter of the filters and `depth=0.25` one block in each of the
# seven stages; dropout and drop connect are for longer trainings. A fifth makes the maps fine enough:
# `skip_stride_cnt=2` leaves out two of the five reductions, so that a patch ends in 4×4 positions and a collage in
# 16×16. (With all five, a patch would end in a single position. Then all weights of the last depthwise kernels but the
# middle one only ever see the padding in training, and have learned nothing that helps in a larger image.)

# %% tags=["nbval-ignore-output"]
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

trained, rows = {}, []
for name, scheme in variants.items():
    model = training.build(kEfficientNetB0, recipe, scheme=scheme, **options)
    result = training.fit(model, data, recipe, progress=name)
    test = training.evaluate(model, data, recipe)
    trained[name] = model
    rows.append(
        (
            name,
            kgpc.flops.trainable_parameters(model),
            100 * test.accuracy,
            result.seconds,
        )
    )

plots.table(
    pd.DataFrame(rows, columns=["network", "trainable parameters", "test accuracy, %", "seconds"]),
    f"Table 1. Quick runs: {data.name}, {EPOCHS} epochs at 32×32, accuracy on {len(data.y_test)} test patches. "
    "Chance is 16.7%.",
    formats={"test accuracy, %": ".1f", "seconds": ".0f"},
)


# %%
def for_collages(model, scheme):
    """A network with the same weights for images of 128×128 pixels. It ends before the softmax, in the scores."""
    larger = kEfficientNetB0(input_shape=(128, 128, 3), scheme=scheme, classifier_activation=None, **options)
    larger.set_weights(model.get_weights())
    return larger


networks = {name: for_collages(trained[name], scheme) for name, scheme in variants.items()}
x = images.astype("float32") / 255

# %% [markdown]
# ## 4. The formula, checked
#
# First by hand, from the equation above: the maps before pooling, times the classifier's weights of one class. Then the
# mean of that picture plus the bias must be the logit.

# %%
keffnet = networks["kEffNet-B0 16ch"]
classifier, pooling = keffnet.get_layer("k_probs"), keffnet.get_layer("k_avg_pool")
inside = keras.Model(keffnet.inputs, [pooling.input, classifier.output])

maps, logits = (keras.ops.convert_to_numpy(output) for output in inside(x, training=False))
kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in (classifier.kernel, classifier.bias))
evidence = np.einsum("nyxk,kc->nyxc", maps, kernel)  # image, position, class

# %% tags=["nbval-check-output"]
by_hand = evidence.mean(axis=(1, 2)) + bias
print("feature maps:", maps.shape[1:], "  one map for each class:", evidence.shape[1:])
print(
    "mean + bias = logit:",
    np.allclose(by_hand, logits, rtol=1e-3, atol=1e-3),
)

# %% [markdown]
# `kgpc.cam.class_activation_map` does the same, and then cuts off what is negative and divides by the maximum.

# %% tags=["nbval-check-output"]
first_class = classes[:, 0, 0]  # of the tile at the top left
shown = cam.class_activation_map(keffnet, x, first_class)
mine = np.maximum(evidence[np.arange(len(x)), :, :, first_class], 0)
mine /= np.maximum(mine.max(axis=(1, 2), keepdims=True), 1e-9)
print("the same maps:", np.allclose(shown, mine, atol=1e-3))

# %% [markdown]
# ## 5. Does it light the right part?
#
# One collage, asked for each of its four classes. The image lies half-transparent over the map; yellow is strong
# evidence, and where there is none the image only gets darker and more violet.


# %%
def four_maps(model, index):
    """The maps of the four classes of one collage, in the order of its tiles."""
    return cam.class_activation_map(model, x[[index]], classes[index].reshape(1, 4))[0]


for name, model in networks.items():
    titles = [f"{names[label]}?" for label in classes[0].ravel()]
    figure = cam.gallery(np.repeat(images[:1], 4, axis=0), four_maps(model, 0), titles)
    figure.suptitle(
        f"{name}: top left, top right, bottom left, bottom right",
        x=0.01,
        ha="left",
        fontsize="medium",
    )
    plots.show(figure, f"{name}. {figure.get_label()}")

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


def share_inside(heat, row, column):
    """Share of the heat of a map that lies in a tile of the 2×2 collage; NaN where the map is 0 everywhere."""
    heat, half = enlarged(heat), SIDE // 2
    tile = heat[row * half : (row + 1) * half, column * half : (column + 1) * half]
    return tile.sum() / heat.sum() if heat.any() else np.nan


def measure(model, method=cam.class_activation_map, asked=None, **arguments):
    """For each collage, the mean share in the right tile over its four classes; and the number of empty maps."""
    labels = classes if asked is None else asked
    maps = method(model, x, labels.reshape(len(x), 4), **arguments)  # collage, class, position
    tiles = list(np.ndindex(2, 2))
    shares = np.array([[share_inside(heat, *tile) for heat, tile in zip(four, tiles, strict=True)] for four in maps])
    return np.nanmean(shares, axis=1), int(np.isnan(shares).sum())


def with_interval(shares):
    """Mean in percent with its 95% interval, Student's: for five networks it is wider than 1.96 standard errors."""
    mean, low, high = seeds.mean_interval(100 * shares[np.isfinite(shares)])
    return {"value": mean, "low": low, "high": high}


def untrained(seed):
    """kEffNet-B0 16ch as it is before any training."""
    keras.utils.set_random_seed(seed)
    return kEfficientNetB0(input_shape=(SIDE, SIDE, 3), scheme=D6(16), **options)


# For the tile at the top left, the class of the one at the bottom right, and so on.
wrong = classes[:, ::-1, ::-1]
cases = {name: measure(model) for name, model in networks.items()}
cases["kEffNet-B0 16ch, wrong class"] = measure(keffnet, asked=wrong)
random_shares = [measure(untrained(seed)) for seed in range(5)]
random_means = np.array([np.nanmean(shares) for shares, _ in random_shares])
cases["five with random weights"] = random_means, sum(empty for _, empty in random_shares)

# %% tags=["nbval-ignore-output"]
shares = pd.DataFrame(
    [with_interval(shares) for shares, _ in cases.values()],
    index=pd.Index(cases, name="maps of"),
)
table = shares.rename(columns={"value": "heat inside, %", "low": "95% from", "high": "to"})
table["empty maps"] = [empty for _, empty in cases.values()]
plots.table(
    table,
    f"Table 2. Heat in the right tile, mean over {len(x)} collages with four classes each. Knowing nothing: 25%. "
    "With random weights the interval is over the five networks.",
    formats={"heat inside, %": ".1f", "95% from": ".1f", "to": ".1f"},
)

# %% tags=["nbval-ignore-output"]
figure = plots.interval_chart(
    shares,
    xlabel="share of the heat in the right tile, %, with 95% intervals",
    title="Quick runs: the trained networks light the right tile",
    levels={"knowing nothing": 25},
    formats=".0f",
)
plots.show(
    figure,
    "Share of the heat in the right tile: far above 25% for EfficientNet and kEffNet, far below it for the "
    "wrong class, and between the two for random weights.",
)

# %% [markdown]
# The evidence of the trained networks lies where the class is, and asking for a class that is elsewhere leaves little
# heat in the tile. Not all of it lies inside, for a reason that is no fault of the network: a position of the last maps
# sees a large part of the image, its *receptive field*, so the maps of neighbouring tiles run into each other. And
# squeeze-and-excite multiplies each channel by a number that comes from the whole image, here from four photographs at
# once, which no patch in training was.
#
# What of the difference between the two networks? They learned the same patches once, with one seed each. The figure
# tells how sure the shares of *these two* networks are, not that grouping in general makes maps better or worse.
#
# ## 6. Grad-CAM
#
# Where no linear classifier sits on the pooled maps, Grad-CAM takes a gradient for the weight of a map: the mean, over
# all positions, of how much the logit grows with the map. For a linear classifier that gradient is $w_{kc}$ divided by
# the number of positions, so nothing new comes out:

# %% tags=["nbval-check-output"]
gradient_maps = cam.grad_cam(keffnet, x[:8], first_class[:8])
print("CAM and Grad-CAM agree:", np.allclose(gradient_maps, shown[:8], atol=1e-3))

# %% [markdown]
# It also reads earlier layers, with finer maps. Finer is not truer: there the channels do not stand for classes yet.

# %% tags=["nbval-ignore-output"]
layers = {
    "last maps": "k_top_conv_group_interleaved",
    "stage 5": "k_block5a__0project_conv_inter_group_add",
    "stage 3": "k_block3a__0project_conv_inter_group_add",
}
rows, pictures = [], []
for name, layer in layers.items():
    layer_shares, empty = measure(keffnet, cam.grad_cam, layer=layer)
    picture = cam.grad_cam(keffnet, x[:1], first_class[:1], layer=layer)
    pictures.append(cam.overlay(images[0], picture[0]))
    size = picture.shape[1]
    rows.append(
        {
            "layer": name,
            "positions": f"{size}×{size}",
            **with_interval(layer_shares),
            "empty maps": empty,
        }
    )

plots.table(
    pd.DataFrame(rows).rename(columns={"value": "heat inside, %", "low": "95% from", "high": "to"}),
    "Table 3. Grad-CAM at several layers of kEffNet-B0 16ch; heat in the right tile.",
    formats={"heat inside, %": ".1f", "95% from": ".1f", "to": ".1f"},
)

# %%
figure = plots.images([images[0], *pictures], ["collage", *layers], columns=4)
plots.show(
    figure,
    f"Grad-CAM for the class {names[first_class[0]]} at the top left, from three layers, each finer than the last.",
)

# %% [markdown]
# ## 7. Five ways to be misled
#
# **The map of a class that is not there.** Every map that has any positive value is divided by its maximum, so the
# weakest evidence looks as bright as the strongest. We ask for a class that the collage does not contain, and print
# what the division hides: the largest value before it.

# %% tags=["nbval-ignore-output"]
absent = np.array(
    [next(label for label in range(len(names)) if label not in classes[index]) for index in range(len(x))]
)
peaks = evidence.max(axis=(1, 2))  # image, class
present_peaks = [peaks[index, label] for index in range(len(x)) for label in classes[index].ravel()]
absent_peaks = peaks[np.arange(len(x)), absent]
comparison = pd.DataFrame(
    {
        "median of the largest evidence": [
            np.median(present_peaks),
            np.median(absent_peaks),
        ],
        "maps with no evidence at all": [
            sum(np.array(present_peaks) <= 0),
            sum(absent_peaks <= 0),
        ],
        "maps": [len(present_peaks), len(absent_peaks)],
    },
    index=pd.Index(["classes in the collage", "a class that is not in it"], name="asked for"),
)
plots.table(
    comparison,
    "Table 4. Evidence before the division by its maximum, kEffNet-B0 16ch.",
    formats={"median of the largest evidence": ".1f"},
)

# %%
weak = int(np.argmax(absent_peaks))
asked = [classes[weak, 0, 0], absent[weak]]
maps_of_both = cam.class_activation_map(keffnet, x[[weak]], [asked])[0]
figure = cam.gallery(
    np.repeat(images[weak : weak + 1], 2, axis=0),
    maps_of_both,
    [f"{names[asked[0]]}: in the image", f"{names[asked[1]]}: not in it"],
)
plots.show(figure, figure.get_label())

# %% [markdown]
# Both maps have the same brightest colour. **Look at the score beside the map**, always.
#
# **Nothing at all.** Where the evidence is negative everywhere, the map is 0 everywhere: no division by zero, and no
# error either. `maps.max() == 0` tells such a map from a weak one. (Tables 2 and 3 count such empty maps.)
#
# **Sharp edges out of few positions.** The map below has as many values as its middle picture has squares. The smooth
# blobs between them are made by the interpolation, and so is their exact outline.

# %%
heat = shown[0]
squares = cv2.resize(heat, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
figure = plots.images(
    [images[0], cam.overlay(images[0], squares, alpha=0.0), cam.overlay(images[0], heat, alpha=0.0)],
    ["collage", f"what the network said: {len(heat)}×{len(heat)} values", "what is usually shown"],
    columns=3,
)
plots.show(figure, "A collage; its map as squares; the same map smoothly interpolated.")

# %% [markdown]
# **A classifier that is not linear.** MobileNet V3 has another layer, with an activation, between pooling and
# classifier. Mean and sum may not change places there, and a map from its last weights would be a picture of nothing.
# `class_activation_map` refuses:

# %% tags=["nbval-check-output"]
v3 = kMobileNetV3Small(input_shape=(64, 64, 3), classes=len(names), scheme=D6(16))
try:
    cam.class_activation_map(v3, x[:1, :64, :64])
except ValueError as error:
    print("\n".join(textwrap.wrap(str(error), 100)))

# %% tags=["nbval-check-output"]
print("Grad-CAM of the same network:", cam.grad_cam(v3, x[:1, :64, :64]).shape)

# %% [markdown]
# **A beautiful map of the wrong reason.** A map says where the evidence is, not whether it is a good reason. Our
# networks rely on colour to a good part, and no map would have told us. A test with the colour removed does (exercise
# 3).
#
# ## 8. As in the paper: pets
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
    pets_weights = {"kEffNet-B0 16ch": ("pets", D6(16)), "EfficientNet-B0": (BASELINE, None)}
    try:
        pets = datasets.load("Oxford-IIIT Pet", image_size=224)
        for name, (weights, scheme) in pets_weights.items():
            if weights:
                pets_networks[name] = kEfficientNetB0(
                    weights=weights, input_shape=(224, 224, 3), classes=37, scheme=scheme
                )
    except (OSError, ImportError) as error:
        print(f"Not shown, because a download failed: {str(error).splitlines()[0][:120]}")
else:
    print("The quick profile downloads nothing. The paper profile draws the maps of kEffNet-B0 16ch on pets here.")

# %% tags=["nbval-ignore-output"]
if pets_networks:
    chosen = np.random.default_rng(recipe.seed).choice(len(pets.y_test), size=8, replace=False)
    pictures, breeds = np.asarray(pets.x_test[chosen]), pets.y_test[chosen]
for name, model in pets_networks.items():
    pet_maps = cam.class_activation_map(model, pictures.astype("float32") / 255, breeds)
    figure = cam.gallery(pictures, pet_maps, [pets.class_names[breed] for breed in breeds])
    figure.suptitle(name, x=0.01, ha="left", fontsize="medium")
    plots.show(figure, f"{name}. {figure.get_label()}")

# %% [markdown]
# ## Exercises
#
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** Chance was 25% for a 2×2 collage. What is it for a 3×3 one, and for a tile that covers only the middle ninth of
# an image that otherwise shows something else? What would a map have that is strongest in the middle of every image?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-check-output"]
# @title Solution 1 {display-mode: "form"}
# The share of the area: 1/9 in both cases. But a map that always lights the middle, as many networks do,
# would get more than 1/9 for the middle tile without having seen anything. Our collages have no tile in
# the middle, and the mean over the four tiles cannot be raised by any fixed map:
middle = np.linspace(-2, 2, 7)
fixed = np.exp(-(middle[:, None] ** 2) - middle[None] ** 2).astype("float32")
tiles = [share_inside(fixed, row, column) for row, column in np.ndindex(2, 2)]
print(f"a fixed map, strongest in the middle: {np.mean(tiles):.0%} on average over the four tiles")

# %% [markdown]
# **2.** The *pointing game* counts how often the strongest position of a map lies in the right tile. Compute it for
# both networks. Why can it be higher than the share of the heat?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 2 {display-mode: "form"}
# It ignores all heat but the strongest point, so a map may run over the edges of the tile and still win.
for name, model in networks.items():
    hits = []
    for four in cam.class_activation_map(model, x, classes.reshape(len(x), 4)):
        for heat, tile in zip(four, np.ndindex(2, 2), strict=True):
            place = np.unravel_index(enlarged(heat).argmax(), (SIDE, SIDE))
            hits.append(heat.any() and (place[0] // (SIDE // 2), place[1] // (SIDE // 2)) == tile)
    print(f"{name}: {np.mean(hits):.0%} of {len(hits)} maps are strongest in the right tile")

# %% [markdown]
# **3.** Remove the colour of the collages (repeat their grey value in all three channels) and measure again. What do
# the networks rely on?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 3 {display-mode: "form"}
# The share falls as far as the networks rely on colour. What remains is texture and brightness.
in_colour = x
x = in_colour.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
for name, model in networks.items():
    grey = with_interval(measure(model)[0])
    print(f"{name}: {grey['value']:.0f}% in grey, {shares.loc[name, 'value']:.0f}% in colour")
x = in_colour

# %% [markdown]
# ## Summary
#
# - A class activation map is the logit before averaging: mean of the map + bias = score. It exists where a linear
#   classifier reads globally averaged maps. Grad-CAM is the same there, and also works elsewhere.
# - A map can be measured: the share of the heat in the right place, against the share of the area, with a wrong class
#   and random weights as controls.
# - What is shown is cut at zero, divided by its maximum and interpolated. Keep the score beside it.
#
# ## References
#
# - B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba: *Learning Deep Features for Discriminative Localization*.
#   CVPR 2016, [arXiv:1512.04150](https://arxiv.org/abs/1512.04150). Class activation maps.
# - R. R. Selvaraju et al.: *Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization*. ICCV
#   2017, [arXiv:1610.02391](https://arxiv.org/abs/1610.02391).
# - J. Adebayo et al.: *Sanity Checks for Saliency Maps*. NeurIPS 2018,
#   [arXiv:1810.03292](https://arxiv.org/abs/1810.03292). Random weights as a control.
# - J. Zhang et al.: *Top-down Neural Attention by Excitation Backprop*. ECCV 2016,
#   [arXiv:1608.00507](https://arxiv.org/abs/1608.00507). The pointing game.
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023). Maps of kEffNet.
# - O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: *Cats and Dogs*. CVPR 2012. The Oxford-IIIT Pet data set.
