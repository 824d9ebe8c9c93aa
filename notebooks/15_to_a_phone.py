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
# # 15 · To a phone
#
# **From a trained network to a file of 8-bit integers that a phone runs, and how far it is from
# the network.**
#
# After this page you can
#
# - write a network as a LiteRT or ONNX file, in 32, 16 or 8 bits, and know what each of them costs and saves;
# - see that a file was checked: run by its own runtime, on real images, against the network it was made of;
# - compare an ordinary and a grouped network where it counts: bytes, milliseconds, accuracy;
# - read the small JSON file that goes along, without which nobody can use the other one.
#
# **You need** [13 Your own images](13_your_own_images.ipynb), or a trained network of your own. No GPU, no phone.
# **Running time:** about a minute on two CPU cores.
#
# Words that other pages explain: [folding](../docs/glossary.md#folding),
# [quantization](../docs/glossary.md#quantization), [batch normalization](../docs/glossary.md#batch-normalization),
# [swish](../docs/glossary.md#swish), [multiply-adds](../docs/glossary.md#multiply-adds).

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

# %% [markdown]
# The runtimes are packages of their own, the extra `deploy` of kgpc. Where they are missing, as on Colab, the next cell
# installs them.

# %%
needed = {
    "ai_edge_litert": "ai-edge-litert>=2.1,<3",
    "onnx": "onnx>=1.18,<2",
    "onnxruntime": "onnxruntime>=1.22,<2",
    "tf2onnx": "tf2onnx>=1.17,<2",
}
installed = importlib.util.find_spec
missing = [package for module, package in needed.items() if not installed(module)]
if missing:
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *missing], check=True)
    importlib.invalidate_caches()

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from kgpc import D6, comparison, datasets, deploy, exercises, flops, plots, training
from kgpc.applications import kMobileNet
from kgpc.deploy import runtimes, verification
from kgpc.resources import data_path

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper", not {PROFILE!r}.')

results = Path(os.environ.get("KGPC_RESULTS", "results")) / "15_to_a_phone"
results.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. Two small networks
#
# MobileNet was made for phones; kMobileNet is its grouped twin. We train both for a moment on the sample of
# Fashion-MNIST that comes with kgpc, half as wide as usual, with the same recipe and the same seed. They are
# demonstrations: enough training to have an accuracy that can be lost, not enough to say which network is better.
# (That takes many runs: ["Does it hold?"](../docs/does-it-hold.md).)

# %% tags=["nbval-ignore-output"]
data = datasets.fashion_mnist_sample()
recipe = training.QUICK.replace(
    epochs=3 if PROFILE == "quick" else 20,
    train_images=2560 if PROFILE == "quick" else None,
    batch_size=32,
    validation_fraction=0.1,
)
small = {"weights": None, "classes": 10, "alpha": 0.5}
networks = {}
for name, scheme in (("MobileNet", None), ("kMobileNet 16ch", D6(16))):
    networks[name] = training.build(kMobileNet, recipe, scheme=scheme, **small)
    training.fit(networks[name], data, recipe, progress=name)

# %% tags=["nbval-check-output"]
models = networks.values()
sizes = pd.DataFrame(
    {
        "network": list(networks),
        "trainable parameters": [flops.trainable_parameters(model) for model in models],
        "multiply-adds": [flops.macs(model) for model in models],
    }
)
plots.table(sizes, "Table 1. What goes to the phone, for one image of 32×32 pixels.")

# %% [markdown]
# ## 2. The first file
#
# `deploy.export` does five things. It **folds** batch normalization into the convolutions: a phone need not normalize.
# It writes grouped convolutions and the interleaving of channels in the **form that the runtime is fast at**. It
# converts. Then it has the file **run by its own runtime**, here LiteRT, on images that you give, and compares what
# comes out with what Keras says. Only then the file takes its place; one that differs too much is removed, and the
# error says by how much.

# %% tags=["nbval-ignore-output"]
test_images, test_labels = training.prepare(data.x_test, recipe), data.y_test
grouped = networks["kMobileNet 16ch"]
exported = deploy.export(
    grouped,
    results / "clothes.tflite",
    images=test_images,
    labels=test_labels,
    class_names=data.class_names,
)
print("normalizations and interleavings:")
print(f"{exported.folded} folded, {exported.not_folded} left as they are")
print(f"{exported.runtime}, {exported.images} images:")
print(f"same class in {exported.agreement:.1%},")
print(f"largest difference {exported.largest_difference:.1e} of the largest output")

# %% [markdown]
# What would have happened to a file that computes something else? We ask for more than floats can give, and look at
# what is left.

# %% tags=["nbval-ignore-output"]
strict = {"precision": "float16", "tolerance": 1e-9}
try:
    deploy.export(grouped, results / "too_strict.tflite", images=test_images, **strict)
except deploy.ExportError as error:
    print(str(error).replace(str(results), "..."))
print("left behind:", sorted(path.name for path in results.glob("too_strict*")))

# %% [markdown]
# ## 3. Fewer bits
#
# A weight is a number of 32 bits. **float16** stores it in 16. **dynamic** stores it as one of 255 steps, 8 bits; maps
# stay floats between the layers, and a convolution turns what it reads into 8 bits. In **int8** the feature maps have 8
# bits as well, from the first layer to the last, and only sums are kept in more. For that the converter must know
# between which values each feature map lies, and finds out on a few hundred real images, the *representative* set. They
# must look like those of later use. Ours are training images, so that the test stays a test.

# %%
preprocessing = {"scale": 1 / 255, "offset": 0, "resize": "pad", "channels": "RGB"}
given = {
    "images": test_images,
    "labels": test_labels,
    "representative": training.prepare(data.x_train[:200], recipe),
    "class_names": data.class_names,
    "preprocessing": preprocessing,
    "accuracy_loss": 1,  # any: we want to see it
}
forms = [("litert", bits) for bits in ("float32", "float16", "dynamic", "int8")]
forms += [("onnx", "float32")]

# %% tags=["nbval-ignore-output"]
files = {}
for name, model in networks.items():
    for format, precision in forms:
        suffix = {"litert": ".tflite", "onnx": ".onnx"}[format]
        path = results / f"{name.replace(' ', '_')}-{precision}{suffix}"
        written = deploy.export(model, path, precision=precision, **given)
        files[name, f"{format} {precision}"] = written
print(len(files), "files, each run by its own runtime")

# %% [markdown]
# ## 4. Bytes, milliseconds, accuracy
#
# All files are measured here, on this computer's processor: one thread, one image at a time, in turns. A phone has
# another processor and other numbers, but the same files. The time is the median of what the processor worked; the
# memory is by how much a process grows at the most that loads the file and predicts. "Same class" is how often the file
# names the class that the network names; the last column is the accuracy of the network itself.

# %% tags=["nbval-ignore-output", "measures-time"]
paths = {" | ".join(key): exported.path for key, exported in files.items()}
measured = deploy.measure(paths, rounds=50).set_index("file")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 2: all files {display-mode: "form"}
rows = []
for (name, form), exported in files.items():
    row = measured.loc[f"{name} | {form}"]
    rows.append(
        {
            "network": name,
            "file": form,
            "kB": row["bytes"] / 1000,
            "memory, kB": row["peak_bytes"] / 1000,
            "ms": row["cpu_ms"],
            "same class, %": 100 * exported.agreement,
            "accuracy, %": 100 * exported.accuracy,
            "of the network, %": 100 * exported.keras_accuracy,
        }
    )
table = pd.DataFrame(rows)
plots.table(
    table,
    f"Table 2. Files of two networks, {len(test_labels)} test images, {recipe.epochs} epochs of training, one seed.",
    {column: ".3f" if column == "ms" else ".1f" for column in table.columns[2:]},
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 1: bytes, milliseconds, accuracy {display-mode: "form"}
order = [" ".join(form) for form in forms]
figure, panels = plt.subplots(1, 3, figsize=(8, 3), sharey=True, layout="constrained")
for axes, column, label in zip(
    panels,
    ("kB", "ms", "accuracy, %"),
    ("kilobytes on the disk", "ms for an image", "accuracy, %"),
    strict=True,
):
    for offset, (name, (color, hatch)) in enumerate(
        zip(networks, ((plots.COLORS["blue"], ""), (plots.COLORS["orange"], "///")), strict=True)
    ):
        values = table[table["network"] == name].set_index("file").loc[order, column]
        place = np.arange(len(order)) + 0.4 * offset
        axes.barh(place, values, 0.4, color=color, hatch=hatch, edgecolor="white", label=name)
    axes.set_xlabel(label, fontsize=10)
    axes.tick_params(labelsize=10)
    axes.spines[["top", "right"]].set_visible(False)
panels[0].set_yticks(np.arange(len(order)) + 0.2, order)
panels[0].invert_yaxis()
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10, frameon=False)
plots.show(
    figure,
    "Three panels of bars for five kinds of files: kilobytes, milliseconds and accuracy, MobileNet beside kMobileNet.",
    caption="Figure 1. Table 2 as bars. One thread, one image at a time.",
)

# %% [markdown]
# *What you may see elsewhere:* bytes are the same to a few; milliseconds depend on the processor, several times faster
# or slower, and their ratios as well, since each has other instructions for 8 bits. The accuracies follow from a
# training of a minute and are some points higher or lower elsewhere; how far a file is from its network changes less.
#
# Look for three things. **Bytes** shrink with the parameters, and with the bits, but not to exactly a quarter in int8:
# names, shapes and scales of each channel need room. In a grouped network they count so much that the int8 file is
# larger than the one with float16. **Milliseconds** shrink less than the multiply-adds, and in some files not at all,
# as in those for ONNX Runtime, where starting an operation costs more; the next table says what stays. And the
# **accuracy** in 8 bits is what the comparison is there for. Is the difference between int8 and the network more than
# chance? Both saw the same test images, so the difference has an interval of its own.

# %% tags=["nbval-ignore-output"]
for name, model in networks.items():
    runtime = runtimes.opened(files[name, "litert int8"].path)
    of_file = verification.file_outputs(runtime, test_images).argmax(axis=1)
    of_network = model.predict(test_images, verbose=0).argmax(axis=1)
    right = of_file == test_labels, of_network == test_labels
    found = comparison.accuracy_difference(*right)
    low, high = 100 * found.low, 100 * found.high
    print(f"{name}: int8 minus network")
    other = (of_file != of_network).mean()
    print(f"  {100 * found.value:+.1f} points ({low:+.1f} to {high:+.1f})")
    print(f"  another answer to {other:.1%} of the images")

# %% [markdown]
# An interval that includes 0 does not say that the file gives the same answers. The last number says how many images it
# takes for something else than the network does; in the accuracy, gains and losses among them cancel.
#
# ## 5. Where the milliseconds go
#
# On images of 32×32 pixels a layer takes a few millionths of a second, and starting it is a good part of that. The next
# table is for 224×224 pixels. Each layer of both networks was made a file of its own, and all of these were timed in
# turns, once, by `python tests/benchmarks/export.py parts`; the results are in `data/benchmarks/export-parts.csv`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Table 3: milliseconds of the parts of a network {display-mode: "form"}
parts = pd.read_csv(data_path("benchmarks/export-parts.csv"))
parts = parts[parts["network"].isin(networks)]
parts["file"] = parts["network"] + ", " + parts["precision"]
shown = parts.set_index("file").drop(columns=["network", "precision", "runtime", "rounds"]).T
shown.loc["sum of the layers"] = shown.drop(index="whole").sum()
shown = shown.rename(index={"whole": "the whole network as one file"})
shown.loc["sum without pointwise"] = shown.loc["sum of the layers"] - shown.loc["pointwise convolutions"]
shown = shown[shown.any(axis=1)].rename_axis("part").astype(float)
plots.table(
    shown,
    "Table 3. Milliseconds of the processor for one image of 224×224 pixels in LiteRT, by the kind of layer.",
    dict.fromkeys(shown.columns, ".2f"),
)

# %% [markdown]
# In float, ordinary pointwise convolutions are most of the time, and grouping takes most of that away. Swish, which
# runtimes do not merge into the convolution before it, the interleaving and an addition come on top. In 8 bits the
# ordinary network has less to lose: this processor has instructions for sums of 8-bit products, and the depthwise
# convolutions, which cannot use them, take nearly as long as before. There the interleaving, which moves single bytes,
# takes back a good part of what the groups save. "Sum without pointwise" is what would be left if grouped convolutions
# cost nothing: no faster product can go below that. The page [To a phone](../docs/to-a-phone.md) has the same for
# EfficientNet-B0 and for ONNX Runtime. On another processor the shares are others.
#
# ## 6. What goes along
#
# A file of numbers is of no use to someone who does not know that pixels are divided by 255 and that output 3 is a
# dress. So a JSON file lies beside it.

# %%
beside = files["kMobileNet 16ch", "litert int8"].card
card = json.loads(beside.read_text(encoding="utf-8"))
keys = ("format", "precision", "input", "class_names", "preprocessing")
for key in keys:
    print(f"{key}: {json.dumps(card[key])}")

# %% [markdown]
# On the phone it takes a few lines in Kotlin or Swift; in Python they are these, with nothing of kgpc or Keras.

# %% tags=["nbval-ignore-output"]
from ai_edge_litert.interpreter import Interpreter

path = str(files["kMobileNet 16ch", "litert int8"].path)
interpreter = Interpreter(path, num_threads=1)
interpreter.allocate_tensors()
(given_to,) = interpreter.get_input_details()
(returned,) = interpreter.get_output_details()
answers = []
for image in test_images[:6]:
    interpreter.set_tensor(given_to["index"], image[None])
    interpreter.invoke()
    best = interpreter.get_tensor(returned["index"]).argmax()
    answers.append(card["class_names"][best])

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 2: what the file says {display-mode: "form"}
figure = plots.images(data.x_test[:6], answers, columns=6, title="What the int8 file says")
plots.show(
    figure,
    f"Six test images of clothes with the classes that the file names: {', '.join(answers)}.",
    caption="Figure 2. Six test images, and what the 8-bit file takes them for.",
)

# %% [markdown]
# The same from the command line, for a model that was saved with `model.save("clothes.keras")`:
#
#     python -m kgpc export clothes.keras --to litert --int8 --images photographs/
#
# Which form is fast in which runtime, and what files of the full-size networks cost, is on the page
# [To a phone](../docs/to-a-phone.md).
#
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** A grouped convolution can be written as an ordinary one with zeros between the groups (`grouped="ordinary"`). A
# pointwise convolution of 128 channels and 128 filters became K and L of D6(16), without bias. How many numbers has the
# file for these two, zeros included?

# %% tags=["nbval-ignore-output"]
answer = None  # your answer
exercises.check("15.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 1 {display-mode: "form"}
# Zeros take as many bytes as other numbers: the file is as large as if nothing had been grouped, or larger, for there
# are two convolutions, K and L, in the place of one.
numbers = 2 * 128 * 128
exercises.check("15.1", numbers)
zeros = deploy.export(grouped, results / "zeros.tflite", images=test_images[:64], grouped="ordinary")
native, ordinary = (files[name, "litert float32"].bytes for name in ("kMobileNet 16ch", "MobileNet"))
print(
    f"{numbers:,} numbers. {zeros.bytes / 1000:.0f} kB: {zeros.bytes / native:.1f} times the grouped file, "
    f"{zeros.bytes / ordinary:.1f} times MobileNet's"
)

# %% [markdown]
# **2.** The values of a feature map behind [ReLU6](../docs/glossary.md#relu6) lie between 0 and 6. In 8 bits, how far
# is one of them from the next?

# %% tags=["nbval-ignore-output"]
answer = None  # your answer
exercises.check("15.2", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 2 {display-mode: "form"}
# 8 bits have 256 values, and between these are 255 steps.
exercises.check("15.2", 6 / 255)
print(f"{6 / 255:.4f}")

# %% [markdown]
# **3.** What if the representative images are not like those of later use? Export `grouped` in int8 with black ones,
# compared on `test_images`, and hand in what you get: what `deploy.export` returns, or the error that it raises.

# %% tags=["nbval-ignore-output"]
answer = None  # what you got
exercises.check("15.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 3 {display-mode: "form"}
# The ranges that the converter finds are those of black images. Real ones lie outside and are cut off. The comparison
# notices, and there is no file.
black = {**given, "representative": np.zeros_like(given["representative"]), "accuracy_loss": None}
try:
    deploy.export(grouped, results / "black.tflite", precision="int8", **black)
except deploy.ExportError as error:
    print(str(error).replace(str(results), "..."))
    exercises.check("15.3", error)

# %% [markdown]
# ## Summary
#
# - An exported file is another program. Run it in its own runtime, on real images, before you trust it.
# - Bits and groups both shrink a file, but not independently: in a grouped one names, shapes and scales weigh more, and
#   here int8 is larger than float16.
# - Full int8 needs images that look like those of later use, and a test of the accuracy.
# - A file without its labels and its preprocessing is half a file.
#
# ## References
#
# - B. Jacob et al.: *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*.
#   CVPR 2018, [arXiv:1712.05877](https://arxiv.org/abs/1712.05877). What LiteRT's int8 computes.
# - A. G. Howard et al.: *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. 2017,
#   [arXiv:1704.04861](https://arxiv.org/abs/1704.04861).
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023).
