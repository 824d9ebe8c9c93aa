"""Measures what grouping costs and saves in seconds: whole models, single layers, growth, and memory.

Run on demand, on a machine that does nothing else:

    python tests/benchmarks/speed.py                     everything (a processor: about half an hour)
    python tests/benchmarks/speed.py models --only kMobileNet
    python tests/benchmarks/speed.py layers growth memory --quick

Both sides of every comparison are timed in turns within one run; medians and ratios are printed, and written to
speed.csv and speed.png in the output folder. What was not measured is left out, never guessed. The same command runs
on a GPU and with --precision mixed_float16.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import kgpc
from kgpc import applications, deploy, timing

KINDS = ("models", "layers", "growth", "memory")


def _baseline(name):
    return lambda size: getattr(keras.applications, name)(weights=None, classes=10, input_shape=(size, size, 3))


def _ours(name, scheme):
    return lambda size: getattr(applications, name)(classes=10, input_shape=(size, size, 3), scheme=scheme)


# Name: (baseline's name, baseline, ours, batch size, image size, whether Conv2D(groups=...) is timed too: it takes
# long)
MODELS = {
    "kMobileNet 16ch": ("MobileNet", _baseline("MobileNet"), _ours("kMobileNet", kgpc.D6(16)), 16, 224, True),
    "kEffNet-B0 16ch": (
        "EfficientNetB0",
        _baseline("EfficientNetB0"),
        _ours("kEfficientNetB0", kgpc.D6(16)),
        16,
        224,
        True,
    ),
    "kMobileNetV3Large 16ch": (
        "MobileNetV3Large",
        _baseline("MobileNetV3Large"),
        _ours("kMobileNetV3Large", kgpc.D6(16)),
        16,
        224,
        False,
    ),
    "kDenseNet-BC L100 12ch": (
        "DenseNet-BC L100",
        lambda size: applications.DenseNetBC(input_shape=(size, size, 3)),
        _ours("kDenseNetBC", kgpc.D6(12)),
        64,
        32,
        False,
    ),
    "kInceptionV3 16ch": ("InceptionV3", _baseline("InceptionV3"), _ours("kInceptionV3", kgpc.D6(16)), 16, 224, False),
}

# (height = width, input channels, filters, channels per group): pointwise layers of the five families at 224 (DenseNet
# at 32).
LAYERS = (
    ("MobileNet", 112, 32, 64, 16),
    ("MobileNet", 56, 128, 128, 16),
    ("MobileNet", 14, 512, 512, 16),
    ("MobileNet", 7, 1024, 1024, 16),
    ("EfficientNet-B0", 28, 240, 40, 16),
    ("EfficientNet-B0", 14, 112, 672, 16),
    ("MobileNet V3", 14, 480, 112, 16),
    ("MobileNet V3", 7, 160, 960, 16),
    ("DenseNet-BC L100", 32, 216, 48, 12),
    ("Inception V3", 25, 192, 64, 16),
    ("Inception V3", 12, 768, 192, 16),
)


def as_keras_layers(model):
    """The same stack on Keras' own layers: what the speed of the package's layers is measured against."""
    ours = {
        kgpc.layers.BatchNormalization: keras.layers.BatchNormalization,
        kgpc.layers.Activation: keras.layers.Activation,
    }

    def translate(layer):
        config = layer.get_config()
        if isinstance(layer, kgpc.layers.GroupedPointwiseConv2D):
            return keras.layers.Conv2D.from_config({**config, "kernel_size": 1})
        return ours.get(type(layer), type(layer)).from_config(config)

    twin = keras.models.clone_model(model, clone_function=translate)
    twin.set_weights(model.get_weights())
    return twin


def measure_models(options):
    """Training and prediction of whole models, unfolded and folded, both sides in turns."""
    for name, (baseline_name, make_baseline, make_ours, batch, size, with_keras) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        baseline, ours = make_baseline(size), make_ours(size)
        training = {baseline_name: timing.train_step(baseline, batch), name: timing.train_step(ours, batch)}
        if with_keras and not options.quick:
            training[f"{name} on Conv2D(groups)"] = timing.train_step(as_keras_layers(ours), batch)
        yield from _rows("models", name, "train", timing.in_turns(training, options.rounds), batch=batch, size=size)
        predicting = {
            baseline_name: timing.predict_step(baseline, batch),
            name: timing.predict_step(ours, batch),
            f"{baseline_name} folded": timing.predict_step(deploy.fold(baseline), batch),
            f"{name} folded": timing.predict_step(deploy.fold(ours), batch),
        }
        yield from _rows("models", name, "predict", timing.in_turns(predicting, options.rounds), batch=batch, size=size)
        del baseline, ours, training, predicting
        keras.backend.clear_session()


def _layer_steps(layer, images):
    """Forward, and forward with backward, of one layer."""
    layer.build(images.shape)
    if keras.backend.backend() != "tensorflow":
        forward = keras.Sequential([keras.Input(images.shape[1:]), layer])
        return {"forward": lambda: np.asarray(forward.predict_on_batch(images))}
    import tensorflow as tf

    batch = tf.cast(images, layer.compute_dtype)

    def with_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(layer(x), "float32"))
        return tape.gradient(loss, [x, layer.kernel.value])

    forward = tf.function(lambda x: layer(x), autograph=False)
    both = tf.function(with_gradient, autograph=False)
    return {
        "forward": lambda: forward(batch)[0, 0, 0].numpy(),
        "forward + backward": lambda: [gradient[0, 0].numpy() for gradient in both(batch)],
    }


def measure_layers(options):
    """One pointwise layer: ordinary, grouped in Keras, grouped here; the grouped two have the same weights."""
    batch = 16
    for family, size, channels, filters, channels_per_group in LAYERS:
        groups = kgpc.D6(channels_per_group).plan(channels, filters).groups
        images = np.random.default_rng(0).random((batch, size, size, channels), dtype="float32")
        sides = {
            "ordinary": keras.layers.Conv2D(filters, 1, use_bias=False),
            "ours": kgpc.layers.GroupedPointwiseConv2D(filters, groups, use_bias=False),
            "Conv2D(groups)": keras.layers.Conv2D(filters, 1, groups=groups, use_bias=False),
        }
        steps = {side: _layer_steps(layer, images) for side, layer in sides.items()}
        name = f"{family} {size}x{size}, {channels} to {filters}, {groups} groups"
        for part in steps["ours"]:
            seconds = timing.in_turns({side: functions[part] for side, functions in steps.items()}, options.rounds)
            yield from _rows("layers", name, part, seconds, batch=batch, size=size)


def measure_growth(options):
    """How a training step grows with batch, image size and channels per group."""
    cases = [("batch", batch, batch, 224, 16) for batch in ((4, 8) if options.quick else (4, 8, 16, 32))]
    cases += [("image size", size, 8, size, 16) for size in ((96, 160) if options.quick else (96, 160, 224, 320))]
    cases += [
        ("channels per group", size, 8, 160, size) for size in ((8, 32) if options.quick else (4, 8, 16, 32, 64, 128))
    ]
    for axis, value, batch, size, channels_per_group in cases:
        steps = {
            "MobileNet": timing.train_step(_baseline("MobileNet")(size), batch),
            "kMobileNet": timing.train_step(_ours("kMobileNet", kgpc.D6(channels_per_group))(size), batch),
        }
        name = f"{axis} {value}"
        yield from _rows("growth", name, "train", timing.in_turns(steps, options.rounds), batch=batch, size=size)
        keras.backend.clear_session()


def _peak_memory(name, side):
    """Bytes that two training steps of one side of a row of `MODELS` need at most, beyond what importing takes."""
    _, make_baseline, make_ours, batch, size, _ = MODELS[name]
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = timing.train_step((make_ours if side == "ours" else make_baseline)(size), batch)
    step(), step()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    unit = 1 if sys.platform == "darwin" else 1024
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * unit


def measure_memory(options):
    """Peak memory of a training step, each side in a process of its own."""
    for name, (baseline_name, *_) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        for side, label in (("baseline", baseline_name), ("ours", name)):
            command = [sys.executable, __file__, "--peak-memory", name, side, "--precision", options.precision]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peak = json.loads(printed.splitlines()[-1])
            yield {"kind": "memory", "case": name, "part": "train", "side": label, "peak_bytes": peak}


def _rows(kind, case, part, seconds, **columns):
    reference = next(iter(seconds.values()))
    for side, value in seconds.items():
        ratio = value / reference
        yield {"kind": kind, "case": case, "part": part, "side": side, "seconds": value, "ratio": ratio, **columns}


def _describe(row):
    amount = (
        f"{row['peak_bytes'] / 1e6:9.0f} MB"
        if "peak_bytes" in row
        else f"{row['seconds'] * 1e3:9.1f} ms  {row['ratio']:6.2f}"
    )
    return f"{row['kind']:8s} {row['case']:44s} {row['part']:20s} {row['side']:42s} {amount}"


def draw(table, path):
    """Bars of all ratios to the first side of each comparison of whole models and layers."""
    table = table[table["kind"].isin(["models", "layers"]) & (table["ratio"] != 1)]
    if table.empty:
        return
    labels = table["side"].where(table["kind"] == "models", table["case"] + ": " + table["side"]) + ", " + table["part"]
    figure, axes = plt.subplots(figsize=(9, 0.28 * len(table) + 1), layout="constrained")
    axes.barh(labels, table["ratio"], color="#0072B2")
    axes.axvline(1, color="#D55E00")
    axes.set(xscale="log", xlabel="time / time of the unmodified baseline (log scale; left of the line is faster)")
    axes.invert_yaxis()
    figure.savefig(path, dpi=110)


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"what to measure, of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--only", nargs="+", help="models whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each side (default 7)")
    parser.add_argument("--quick", action="store_true", help="fewer sizes; leaves out Conv2D(groups) in whole models")
    parser.add_argument("--precision", default="float32", help="Keras dtype policy, for example mixed_float16")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("results/benchmarks"), help="folder for CSV and figure"
    )
    parser.add_argument("--peak-memory", nargs=2, metavar=("MODEL", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown or options.rounds < 1:
        parser.error(
            f"kinds must be of {', '.join(KINDS)}, and rounds at least 1; received {unknown or options.rounds}"
        )
    keras.config.set_dtype_policy(options.precision)
    if options.peak_memory:
        print(json.dumps(_peak_memory(*options.peak_memory)))
        return 0
    measures = {"models": measure_models, "layers": measure_layers, "growth": measure_growth, "memory": measure_memory}
    rows = []
    for kind in options.kinds or KINDS:
        for row in measures[kind](options):
            rows.append({**row, "precision": options.precision, "backend": keras.backend.backend()})
            print(_describe(row), flush=True)
    table = pd.DataFrame(rows)
    options.output.mkdir(parents=True, exist_ok=True)
    partial = options.output / "speed.csv.part"
    table.to_csv(partial, index=False)
    partial.replace(options.output / "speed.csv")
    draw(table, options.output / "speed.png")
    print(f"written: {options.output / 'speed.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
