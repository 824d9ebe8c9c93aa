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
# **From a trained network to a file of 8-bit integers that a phone runs, and the proof that it is still the same
# network.**
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
missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
if missing:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing], check=True)
    importlib.invalidate_caches()

# %%
import json

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from kgpc import D6, comparison, datasets, deploy, flops, plots, training
from kgpc.applications import kMobileNet

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper". Received: PROFILE={PROFILE!r}.')

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
networks = {}
for name, scheme in (("MobileNet", None), ("kMobileNet 16ch", D6(16))):
    networks[name] = training.build(kMobileNet, recipe, weights=None, classes=10, scheme=scheme, alpha=0.5)
    training.fit(networks[name], data, recipe, progress=name)

# %% tags=["nbval-check-output"]
sizes = pd.DataFrame(
    {
        "network": list(networks),
        "trainable parameters": [flops.trainable_parameters(model) for model in networks.values()],
        "multiply-adds": [flops.macs(model) for model in networks.values()],
    }
)
plots.table(sizes, "Table 1. What is to go to the phone, for one image of 32×32 pixels.")

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
    grouped, results / "clothes.tflite", images=test_images, labels=test_labels, class_names=data.class_names
)
print(f"normalizations folded: {exported.folded}; layers left as they are: {exported.not_folded}")
print(f"{exported.runtime}, {exported.images} images: same class in {exported.agreement:.1%},")
print(f"largest difference {exported.largest_difference:.1e} of the largest output")

# %% [markdown]
# What would have happened to a file that computes something else? We ask for more than floats can give, and look at
# what is left.

# %% tags=["nbval-ignore-output"]
try:
    deploy.export(grouped, results / "too_strict.tflite", precision="float16", images=test_images, tolerance=1e-9)
except deploy.ExportError as error:
    print(str(error).replace(str(results), "..."))
print("left behind:", sorted(path.name for path in results.glob("too_strict*")))

# %% [markdown]
# ## 3. Fewer bits
#
# A weight is a number of 32 bits. **float16** stores it in 16. **dynamic** stores it as one of 255 steps, 8 bits, and
# computes in float. **int8** computes in 8 bits as well: weights, feature maps, sums of them. For that the converter
# must know between which values each feature map lies, and finds out on some hundred real images, the *representative*
# set. They must look like those of later use. Ours are training images, so that the test stays a test.

# %% tags=["nbval-ignore-output"]
representative = training.prepare(data.x_train[:200], recipe)
preprocessing = {"scale": 1 / 255, "offset": 0, "resize": "pad", "channels": "RGB"}
forms = [("litert", "float32"), ("litert", "float16"), ("litert", "dynamic"), ("litert", "int8"), ("onnx", "float32")]
files = {}
for name, model in networks.items():
    for format, precision in forms:
        suffix = {"litert": ".tflite", "onnx": ".onnx"}[format]
        files[name, f"{format} {precision}"] = deploy.export(
            model,
            results / f"{name.replace(' ', '_')}-{precision}{suffix}",
            precision=precision,
            images=test_images,
            labels=test_labels,
            representative=representative,
            class_names=data.class_names,
            preprocessing=preprocessing,
            accuracy_loss=1,  # we want to see it
        )

# %% [markdown]
# ## 4. Bytes, milliseconds, accuracy
#
# All files are measured here, on this computer's processor: one thread, one image at a time, in turns. A phone has
# another processor and other numbers, but the same files. The time is the median of what the processor worked.

# %% tags=["nbval-ignore-output", "measures-time"]
paths = {" | ".join(key): exported.path for key, exported in files.items()}
measured = deploy.measure(paths, rounds=50).set_index("file")
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

# %% jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
order = [" ".join(form) for form in forms]
figure, panels = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
for axes, column, label in zip(
    panels,
    ("kB", "ms", "accuracy, %"),
    ("kilobytes on the disk", "ms for an image, one thread", "accuracy, %"),
    strict=True,
):
    for offset, (name, color) in enumerate(zip(networks, ("#999999", "#0072B2"), strict=True)):
        values = table[table["network"] == name].set_index("file").loc[order, column]
        axes.barh(np.arange(len(order)) + 0.4 * offset, values, 0.4, color=color, label=name)
    axes.set(xlabel=label)
panels[0].set_yticks(np.arange(len(order)) + 0.2, order)
panels[0].invert_yaxis()
panels[0].legend(fontsize=8)
plots.show(
    figure,
    "Three panels of bars for five kinds of files: kilobytes, milliseconds and accuracy, MobileNet beside kMobileNet.",
)

# %% [markdown]
# Look for three things. **Bytes** shrink with the parameters, and with the bits, but not to exactly a quarter in int8:
# names, shapes and scales of each channel need room, and in a small grouped network they count. **Milliseconds** shrink
# less than the multiply-adds, and in some files not at all: what stays are activations, depthwise convolutions and the
# interleaving, and on maps as small as these the fixed cost of each operation, of which a grouped network has more. At
# 224×224 pixels it looks [different](../docs/to-a-phone.md). And the **accuracy** in 8 bits is what the comparison is
# there for. Is the difference between int8 and the network more than
# chance? Both saw the same test images, so the difference has an interval of its own.

# %% tags=["nbval-ignore-output"]
from kgpc.deploy import runtimes, verification

for name, model in networks.items():
    exported = files[name, "litert int8"]
    outputs = verification.file_outputs(runtimes.opened(exported.path), test_images)
    of_file = outputs.argmax(axis=1) == test_labels
    of_network = keras.ops.convert_to_numpy(model.predict(test_images, verbose=0)).argmax(axis=1) == test_labels
    difference = comparison.accuracy_difference(of_file, of_network)
    print(
        f"{name}: int8 minus network {100 * difference.value:+.1f} points "
        f"({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    )

# %% [markdown]
# ## 5. What goes along
#
# A file of numbers is of no use to someone who does not know that pixels are divided by 255 and that output 3 is a
# dress. So a JSON file lies beside it.

# %%
card = json.loads(files["kMobileNet 16ch", "litert int8"].card.read_text(encoding="utf-8"))
print(
    json.dumps({key: card[key] for key in ("format", "precision", "input", "class_names", "preprocessing")}, indent=1)
)

# %% [markdown]
# On the phone it takes a few lines in Kotlin or Swift; in Python they are these, with nothing of kgpc or Keras.

# %% tags=["nbval-ignore-output"]
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(str(files["kMobileNet 16ch", "litert int8"].path), num_threads=1)
interpreter.allocate_tensors()
(given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
answers = []
for image in test_images[:6]:
    interpreter.set_tensor(given["index"], image[None])
    interpreter.invoke()
    answers.append(card["class_names"][interpreter.get_tensor(returned["index"]).argmax()])
figure = plots.images(data.x_test[:6], answers, columns=6, title="What the int8 file says")
plots.show(figure, f"Six test images of clothes with the classes that the file names: {', '.join(answers)}.")

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
# In JupyterLab and on Colab the answers are collapsed: try first, then open the cell below the question.
#
# **1.** A grouped convolution can be written as an ordinary one with zeros between the groups. How large is the file?

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 1 {display-mode: "form"}
# Zeros take as many bytes as other numbers: the file is as large as if nothing had been grouped, or larger, for there
# are two convolutions, K and L, in the place of one.
zeros = deploy.export(grouped, results / "zeros.tflite", images=test_images[:64], grouped="ordinary")
native, ordinary = (files[name, "litert float32"].bytes for name in ("kMobileNet 16ch", "MobileNet"))
print(
    f"{zeros.bytes / 1000:.0f} kB: {zeros.bytes / native:.1f} times the grouped file, "
    f"{zeros.bytes / ordinary:.1f} times MobileNet's"
)

# %% [markdown]
# **2.** What if the representative images are not like those of later use? Take black ones.

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 2 {display-mode: "form"}
# The ranges that the converter finds are those of black images. Real ones lie outside and are cut off. The comparison
# notices, and there is no file.
try:
    deploy.export(
        grouped,
        results / "black.tflite",
        precision="int8",
        images=test_images,
        labels=test_labels,
        representative=np.zeros_like(representative),
    )
except deploy.ExportError as error:
    print(str(error).replace(str(results), "..."))

# %% [markdown]
# ## Summary
#
# - An exported file is another program. Run it in its own runtime, on real images, before you trust it.
# - Bits and groups add up: the one makes each weight smaller, the other leaves most of them out.
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
