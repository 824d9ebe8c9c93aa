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
# # 14 · Group your own model
#
# **From a trained network of Keras to its grouped twin, which begins with much of what the original learned.**
#
# After this page you can
#
# - see, before anything is built, what grouping would do to each layer of a network, and why some layers stay;
# - convert a trained network, count both, and choose layers, schemes or a budget;
# - carry the trained weights over, and tune the twin by what the original says;
# - save the twin, and know what was and was not shown.
#
# **You need** [01 Theory](01_theory.ipynb). No GPU, no download.
# **Running time:** about a minute and a half on two CPU cores.
#
# Words that other pages explain: [pointwise convolution](../docs/glossary.md#pointwise-convolution),
# [batch normalization](../docs/glossary.md#batch-normalization), [ReLU6](../docs/glossary.md#relu6),
# [multiply-adds](../docs/glossary.md#multiply-adds), [warm start](../docs/glossary.md#warm-start),
# [distillation](../docs/glossary.md#distillation).

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
MODEL = ""  # path of a .keras file with a classifier of clothes; empty: trained here

# %%
import keras
import pandas as pd

import kgpc
from kgpc import D6, comparison, conversion, datasets, exercises, plots, training
from kgpc.resources import data_path

if PROFILE not in ("quick", "paper"):
    raise ValueError(f'`PROFILE` must be "quick" or "paper", not {PROFILE!r}.')

results = Path(os.environ.get("KGPC_RESULTS", "results")) / "14_group_your_own_model"
results.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. A trained network
#
# Any functional or Sequential model of Keras will do. Here it is MobileNet of `keras.applications`, a quarter (in the
# paper profile all) of its width, trained for a moment on clothes: the sample of Fashion-MNIST that comes with kgpc. It
# is a demonstration, trained just long enough to have something to lose.

# %%
quick = PROFILE == "quick"
data = datasets.fashion_mnist_sample() if quick else datasets.fashion_mnist()
recipe = training.QUICK.replace(
    epochs=5 if quick else 20,
    train_images=2560 if quick else None,
    batch_size=32,
    validation_fraction=0.1,
    learning_rate=training.OneCycle(peak=0.002, warmup_fraction=0.2),
)

# %% tags=["nbval-ignore-output"]
if MODEL:
    original = keras.saving.load_model(MODEL)  # in its safe mode: no code of it is run
else:
    keras.utils.set_random_seed(recipe.seed)
    original = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25 if quick else 1.0, weights=None, classes=10
    )
    training.fit(original, data, recipe, progress="the original")
before = training.evaluate(original, data, recipe)
print(f"the original: {before.accuracy:.1%} of {before.images:,} test images")

# %% [markdown]
# *What you may see elsewhere:* a training of a minute depends on the order in which a processor adds. On another one,
# or with other versions, this accuracy and all that follow from it are some points higher or lower; counts of
# parameters are the same everywhere.
#
# ## 2. The report first
#
# What would become of each layer? `report_only` answers and builds nothing.

# %% tags=["nbval-check-output"]
report = kgpc.convert(original, D6(16), report_only=True)
print(f"{len(report)} layers with weights; {report['replaced'].sum()} would go")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-check-output"]
# @title Table 1: the sums {display-mode: "form"}
counts = report.groupby("replaced")[["parameters_before", "parameters_after"]].sum()
counts.loc["all"] = counts.sum()
plots.table(
    counts.rename(index={True: "replaced", False: "kept"}, columns=lambda name: name.replace("_", " ")),
    "Table 1. Trainable parameters of the layers that D6(16) replaces, and of those that stay.",
)

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-check-output"]
# @title Table 2: the rows of the convolutions {display-mode: "form"}
convolutions = report[report["type"] == "Conv2D"].copy()
convolutions["what becomes of it"] = [
    f"{row.groups} groups" if row.replaced else row.reason for row in convolutions.itertuples()
]
plots.table(
    convolutions.set_index("layer")[
        ["in_channels", "filters", "what becomes of it", "parameters_before", "parameters_after"]
    ].rename(columns=lambda name: name.replace("_", " ")),
    "Table 2. Every convolution but the depthwise ones.",
)

# %% [markdown]
# Read the reasons. The first convolution looks at 3×3 pixels, which grouping pointwise convolutions cannot help. Layers
# of few channels stay: fewer than 32 make no two groups of 16, and from 32 to 32 channels two groups in K and two in L
# would not be smaller. (From 32 to 64 there is no L, and they are.) The last one is the classifier: it stays unless you
# ask for it (`classifier=True`).
#
# ## 3. The twin
#
# The same call without `report_only` builds it. Everything that is not replaced keeps its weights.

# %% tags=["nbval-ignore-output"]
twin = kgpc.convert(original, D6(16))
random_start = training.evaluate(twin, data, recipe).accuracy
for name, model in (("original", original), ("twin", twin)):
    parameters, macs = kgpc.flops.trainable_parameters(model), kgpc.flops.macs(model)
    print(f"{name}: {parameters:,} parameters,")
    print(f"  {macs:,} multiply-adds")
print(f"the twin as it is: {random_start:.1%} (guessing: 10%)")

# %% [markdown]
# Smaller, and it knows nothing: its grouped convolutions have random weights, and what lies between them was trained to
# work with others. You could train it from here, as if from scratch.
#
# ## 4. A warm start
#
# Or carry over what fits. `conversion.warm_start` computes both networks side by side on a few hundred images, without
# labels. Each grouped unit is fitted to return what the original's layer returned, from what the twin has computed so
# far, so later units make good for errors of earlier ones. Where the order of channels can be changed without changing
# what the network computes, channels that belong together are moved into one group.

# %% tags=["nbval-ignore-output"]
sample = training.prepare(data.x_train[:300], recipe)
errors = conversion.warm_start(twin, original, sample, steps=60)
warm_start = training.evaluate(twin, data, recipe).accuracy
print(f"before any training: {warm_start:.1%} instead of {random_start:.1%}")
print(f"the original: {before.accuracy:.1%}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 1: the errors of the units {display-mode: "form"}
curves = {
    "least squares": (list(range(1, len(errors) + 1)), (100 * errors["error_least_squares"]).tolist()),
    "and 60 steps": (list(range(1, len(errors) + 1)), (100 * errors["error"]).tolist()),
}
figure = plots.curve_panels(
    {"Relative square error of each unit's output": curves},
    xlabel="unit, in the order of computation",
    ylabel="%, 100: a constant",
    title="How much of the original each grouped unit still says",
    markers=True,
)
plots.show(
    figure,
    "Two curves of errors over the units in the order of computation: after least squares, and lower after some steps "
    "of training each unit by itself.",
    caption="Figure 1. What grouped units cannot return of what the original's layers returned, on images set aside.",
)

# %% [markdown]
# These are errors, so lower is better; a unit that always returned the same would have 100%. They are on images that
# were not fitted. They include what earlier units did wrong, so a unit in the middle can
# be as good as it can be and still far from the original. A grouped unit has fewer weights than the one it replaces: no
# fit can make it equal.
#
# ## 5. Fine-tuning by distillation
#
# `conversion.distill` compiles the twin to learn from the labels *and* from what the original says of each image: not
# only "a coat", but "a coat, though it might be a pullover". Its `fit` is Keras' own.

# %% tags=["nbval-ignore-output"]
epochs = 2 if quick else 10
chosen, _ = training.split(data.y_train, recipe)
images, labels = training.prepare(data.x_train[chosen], recipe), data.y_train[chosen]
steps = epochs * len(images) // recipe.batch_size
rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
optimizer = keras.optimizers.AdamW(rate, weight_decay=0.05)
trainer = conversion.distill(twin, original, optimizer=optimizer)
trainer.fit(images, labels, batch_size=recipe.batch_size, epochs=epochs, verbose=0)
after = training.evaluate(twin, data, recipe)
print(f"after {epochs} epochs: {after.accuracy:.1%}")

# %% tags=["nbval-ignore-output"]
of_twin, of_original = (each.predictions == data.y_test for each in (after, before))
difference = comparison.accuracy_difference(of_twin, of_original)
low, high = 100 * difference.low, 100 * difference.high
print(f"the twin minus the original: {100 * difference.value:+.1f} points")
print(f"for other test images {low:+.1f} to {high:+.1f}")

# %% [markdown]
# That interval is one for these two networks and other test images. It knows nothing of other seeds, and two epochs on
# a small sample are a demonstration. Figure 2 has trainings with three seeds each, 6 epochs on the clothes and 2 short
# ones on small photographs. They were made once, by `python tests/benchmarks/warm_starts.py`; what came out lies in
# `data/benchmarks/warm-starts.csv`, and [the page about it](../docs/warm-starts.md) has the intervals and says how far
# it goes.

# %% cellView="form" jupyter={"source_hidden": true} tags=["hide-input", "nbval-ignore-output"]
# @title Figure 2: three starts, stored trainings {display-mode: "form"}
stored = pd.read_csv(data_path("benchmarks/warm-starts.csv"))
panels = {
    f"{network}: {rows['seed'].nunique()} seed{'s' if rows['seed'].nunique() > 1 else ''}": {
        start: (means.index.tolist(), (100 * means).tolist())
        for start, means in (
            (start, of_start.groupby("epoch")["accuracy"].mean())
            for start, of_start in rows.groupby("start", sort=False)
        )
    }
    for network, rows in stored.groupby("data", sort=False)
}
figure = plots.curve_panels(
    panels,
    xlabel="epochs of fine-tuning",
    ylabel="test accuracy, %",
    title="Three starts, mean over the seeds",
    columns=2,
    markers=True,
)
plots.show(
    figure,
    "Two panels of test accuracy against epochs of fine-tuning, for a random start, a warm start, and a warm start "
    "with distillation.",
    caption="Figure 2. Accuracy against epochs of fine-tuning, from data/benchmarks/warm-starts.csv.",
)
last = stored[stored["epoch"] == stored.groupby("data")["epoch"].transform("max")]
spread = last.groupby(["data", "start"])["accuracy"].agg(lambda values: values.max() - values.min()).max()
print(f"Seeds of one start are up to {100 * spread:.1f} points apart after the last epoch.")

# %% [markdown]
# A warm start is far ahead of a random one in these short trainings. Distillation is not ahead of the labels alone:
# after the last epoch the two cannot be told apart in either experiment. And *random* is no training from scratch: it
# is the twin as `convert` returns it, at a rate for fine-tuning, held down in part by the moving averages of its batch
# normalization.
#
# ## 6. Choose
#
# One scheme for all layers is the simplest choice, not the only one. Layers can be named, by a regular expression or by
# a function; a dict gives each its scheme; and with `"auto"` and a budget the channels per group are chosen for each
# layer.

# %% tags=["nbval-check-output"]
choices = {
    "D6(16), all": {"scheme": D6(16)},
    "D6(32), all": {"scheme": D6(32)},
    "the last three units": {"scheme": {re.compile(r"conv_pw_1[123]$"): D6(16)}},
    "from 128 channels on": {"scheme": D6(16), "min_channels": 128},
    "half of the parameters": {"scheme": "auto", "budget": 0.5},
    "a third of the parameters": {"scheme": "auto", "budget": 1 / 3},
}
rows = []
for name, options in choices.items():
    table = kgpc.convert(original, **options, report_only=True)
    replaced = int((table["replaced"] & (table["type"] == "Conv2D")).sum())
    counted = table["parameters_after"].sum(), table["parameters_before"].sum()
    rows.append((name, replaced, counted[0], counted[0] / counted[1]))
plots.table(
    pd.DataFrame(rows, columns=["choice", "layers replaced", "parameters", "left"]),
    "Table 3. What some choices leave.",
    formats={"left": ".0%"},
)

# %% [markdown]
# ## 7. Keep it
#
# The twin is a Keras model like any other. The command line does the same for files:
# `python -m kgpc convert clothes.keras --scheme "D6(16)" --output grouped.keras`.

# %% tags=["nbval-ignore-output"]
twin.save(results / "grouped.keras")
again = keras.saving.load_model(results / "grouped.keras")
equal = again.predict(sample, verbose=0) == twin.predict(sample, verbose=0)
print("equal after loading:", bool(equal.all()))

# %% [markdown]
# How small it becomes on a phone, and whether it is faster there, is the subject of
# [15 To a phone](15_to_a_phone.ipynb). What becomes of each network of `keras.applications` is on the page
# [Group any network](../docs/group-any-network.md).
#
# ## Exercises
#
# Write your answer into the cell below a question and run it: it says whether the answer is right. The solution is
# folded away in the cell after that.
#
# **1.** The classifier of the MobileNet of the quick profile reads 256 channels and has 10 filters, with a bias. How
# many parameters does D6(16) save there, if you ask for it (`classifier=True`)?

# %% tags=["nbval-ignore-output"]
answer = None  # your answer
exercises.check("14.1", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 1 {display-mode: "form"}
# Groups must divide the filters, and ten filters leave few groups to make. The second convolution has weights, too.
classifier = keras.Sequential([keras.Input((1, 1, 256)), keras.layers.Conv2D(10, 1)])
row = kgpc.convert(classifier, D6(16), classifier=True, report_only=True).iloc[0]
saved = row.parameters_before - row.parameters_after
print(f"{row.groups} groups; {row.parameters_before:,} parameters become {row.parameters_after:,}: {saved:,} saved")
exercises.check("14.1", saved)

# %% [markdown]
# **2.** Build a network with a pointwise convolution of at least 64 channels and 64 filters, which is no classifier,
# and of which `kgpc.convert` says all the same that nothing would change. The page [Group any
# network](../docs/group-any-network.md) has a list of what stays, and why.

# %% tags=["nbval-ignore-output"]
answer = None  # your network
exercises.check("14.2", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 2 {display-mode: "form"}
# A frozen layer stays: what takes its place would have to learn. The error says so, and there is no model that is
# secretly the same.
frozen = keras.Sequential(
    [
        keras.Input((8, 8, 64)),
        keras.layers.Conv2D(64, 1, activation="relu", trainable=False),
        keras.layers.Conv2D(10, 3),
        keras.layers.GlobalAveragePooling2D(),
    ]
)
try:
    kgpc.convert(frozen, D6(16))
except ValueError as error:
    print(error)
exercises.check("14.2", frozen)

# %% [markdown]
# **3.** You have a trained network, a few hundred images without labels, and no time to train. After which call does
# the twin say more than a guess: `"convert"`, `"warm_start"` or `"distill"`?

# %% tags=["nbval-ignore-output"]
answer = None  # your answer
exercises.check("14.3", answer)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["hide-cell", "nbval-ignore-output"]
# @title Solution 3 {display-mode: "form"}
# What `convert` makes has random weights in its groups, and `distill` only says what a training is to learn.
# `warm_start` carries weights over, with images and without labels: section 4 has the accuracies before any training.
print(f"random {random_start:.1%}, warm {warm_start:.1%}")
exercises.check("14.3", "warm_start")

# %% [markdown]
# ## Summary
#
# - `kgpc.convert` groups the pointwise convolutions of any functional or Sequential network; ask for the report first.
# - What takes the place of a layer is untrained. A warm start carries over what fits, and fine-tuning goes on from
#   there.
# - How accurate the twin ends is a question for your data: compare at the same budget, with several seeds.
#
# ## References
#
# - J. P. Schwarz Schuler, S. Romani, M. Abdel-Nasser, H. Rashwan, D. Puig: *Grouped Pointwise Convolutions Reduce
#   Parameters in Convolutional Neural Networks*. MENDEL 28(1), 2022.
#   [doi:10.13164/mendel.2022.1.023](https://doi.org/10.13164/mendel.2022.1.023)
# - G. Hinton, O. Vinyals, J. Dean: *Distilling the Knowledge in a Neural Network*. 2015,
#   [arXiv:1503.02531](https://arxiv.org/abs/1503.02531)
