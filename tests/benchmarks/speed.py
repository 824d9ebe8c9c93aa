"""Measures what grouping costs and saves in seconds: whole models, single layers, growth, and memory.

Run on demand, on a machine that does nothing else:

    python tests/benchmarks/speed.py                     everything (two processor cores: about half an hour)
    python tests/benchmarks/speed.py models --only kMobileNet
    python tests/benchmarks/speed.py layers growth memory settings --quick --keep

Both sides of every comparison are timed in turns within one run; medians and ratios are printed, and written to
speed.csv and speed.png in the output folder. What was not measured is left out, never guessed. The same command runs
on a GPU and with --precision mixed_float16. Both sides run with the settings of kgpc.tensorflow_settings, which are
the faster ones for both; the kind `settings` measures what they change.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Before Keras, so that both sides get its settings of TensorFlow.
import kgpc  # isort: split

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from kgpc import applications, deploy, device_steps, merging, sessions, tensorflow_settings, timing

KINDS = ("machine", "models", "layers", "growth", "memory", "settings")
# Seconds of a step on Keras' grouped convolutions, which vary little for their length.
SLOW_ROUNDS = 2
# TensorFlow's settings: whether it keeps memory, whether it uses oneDNN.
SETTINGS = {"neither": ("0", "0"), "memory kept": ("1", "0"), "memory kept, oneDNN": ("1", "1")}


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
        kgpc.layers.DepthwiseConv2D: keras.layers.DepthwiseConv2D,
    }

    def translate(layer):
        config = layer.get_config()
        config.pop("merge", None)
        if isinstance(layer, kgpc.layers.GroupedPointwiseConv2D):
            return keras.layers.Conv2D.from_config({**config, "kernel_size": 1})
        return ours.get(type(layer), type(layer)).from_config(config)

    twin = keras.models.clone_model(model, clone_function=translate)
    twin.set_weights(model.get_weights())
    return twin


def _train_step(model, batch):
    """A training step as `kgpc.training.fit` takes it: of the training twin, where there is one."""
    return timing.train_step(merging.training_twin(model), batch)


def measure_machine(options):
    """The two limits of the machine; `step_profile.py` says what a training step of each model asks for."""
    common = {"kind": "machine", "part": "float32", "side": "limit"}
    yield {"case": "memory bandwidth", "per_second": timing.memory_bandwidth(rounds=options.rounds), **common}
    yield {"case": "matrix product", "per_second": timing.matrix_product_rate(rounds=options.rounds), **common}


def measure_models(options):
    """Training and prediction of whole models, unfolded and folded, both sides in turns."""
    for name, (baseline_name, make_baseline, make_ours, batch, size, with_keras) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        baseline, ours = make_baseline(size), make_ours(size)
        training = {baseline_name: _train_step(baseline, batch), name: _train_step(ours, batch)}
        seconds = timing.seconds_in_turns(training, options.rounds)
        if with_keras and not options.quick:
            slow = {f"{name} on Conv2D(groups)": _train_step(as_keras_layers(ours), batch)}
            seconds |= timing.seconds_in_turns(slow, min(SLOW_ROUNDS, options.rounds), warmup=1)
            del slow
        yield from quartile_rows("models", name, "train", seconds, batch=batch, size=size)
        predicting = {
            baseline_name: timing.predict_step(baseline, batch),
            name: timing.predict_step(ours, batch),
            f"{baseline_name} folded": timing.predict_step(deploy.fold(baseline), batch),
            f"{name} folded": timing.predict_step(deploy.fold(ours), batch),
        }
        yield from quartile_rows(
            "models", name, "predict", timing.seconds_in_turns(predicting, options.rounds), batch=batch, size=size
        )
        del baseline, ours, training, predicting
        sessions.forget_models()


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
        # Keras' own convolutions have no argument `training`.
        steps = {
            side: device_steps.layer_steps(
                layer, images, training=isinstance(layer, kgpc.layers.GroupedPointwiseConv2D)
            )
            for side, layer in sides.items()
        }
        name = f"{family} {size}x{size}, {channels} to {filters}, {groups} groups"
        for part in steps["ours"]:
            seconds = timing.seconds_in_turns(
                {side: functions[part] for side, functions in steps.items()}, options.rounds
            )
            yield from quartile_rows("layers", name, part, seconds, batch=batch, size=size)


def measure_growth(options):
    """How a training step grows with batch, image size and channels per group."""
    cases = [("batch", batch, batch, 224, 16) for batch in ((4, 8) if options.quick else (4, 8, 16, 32))]
    cases += [("image size", size, 8, size, 16) for size in ((96, 160) if options.quick else (96, 160, 224, 320))]
    cases += [
        ("channels per group", size, 8, 160, size) for size in ((8, 32) if options.quick else (4, 8, 16, 32, 64, 128))
    ]
    for axis, value, batch, size, channels_per_group in cases:
        steps = {
            "MobileNet": _train_step(_baseline("MobileNet")(size), batch),
            "kMobileNet": _train_step(_ours("kMobileNet", kgpc.D6(channels_per_group))(size), batch),
        }
        name = f"{axis} {value}"
        yield from quartile_rows(
            "growth", name, "train", timing.seconds_in_turns(steps, options.rounds), batch=batch, size=size
        )
        sessions.forget_models()


def _peak_resident():
    """Bytes of memory that this process has had at most."""
    try:
        # Not `getrusage`, whose maximum a process inherits from the one that started it.
        status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _peak_memory(name, side):
    """Bytes that two training steps of one side of a row of `MODELS` need at most, beyond what importing takes."""
    _, make_baseline, make_ours, batch, size, _ = MODELS[name]
    start = _peak_resident()
    step = _train_step((make_ours if side == "ours" else make_baseline)(size), batch)
    step(), step()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return _peak_resident() - start


def measure_memory(options):
    """Peak memory of a training step, each side in a process of its own."""
    for name, (baseline_name, *_) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        for side, label in (("baseline", baseline_name), ("ours", name)):
            peak = _in_process(["--peak-memory", name, side], options)
            yield {"kind": "memory", "case": name, "part": "train", "side": label, "peak_bytes": peak}


def _settings_step(side):
    """Seconds of three training steps of one side of the first row of `MODELS`, with the settings of this process."""
    _, make_baseline, make_ours, batch, size, _ = next(iter(MODELS.values()))
    step = _train_step((make_ours if side == "ours" else make_baseline)(size), batch)
    return timing.seconds_in_turns({side: step}, rounds=3)[side]


def measure_settings(options):
    """What TensorFlow's settings change, each in a process of its own."""
    name, (baseline_name, *_) = next(iter(MODELS.items()))
    seconds = {}
    for settings, (keep_memory, onednn) in SETTINGS.items():
        for side, label in (("baseline", baseline_name), ("ours", name)):
            environ = {tensorflow_settings.KEEP_MEMORY: keep_memory, tensorflow_settings.ONEDNN: onednn}
            seconds[settings, label] = _in_process(["--settings-step", side], options, environ)
    for settings in SETTINGS:
        sides = {label: seconds[settings, label] for label in (baseline_name, name)}
        yield from quartile_rows("settings", settings, "train", sides, batch=MODELS[name][3], size=MODELS[name][4])


def _in_process(arguments, options, environ=None):
    """What this script prints in a process of its own, read as JSON."""
    command = [sys.executable, __file__, *arguments, "--precision", options.precision]
    environ = {**os.environ, **(environ or {})}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout
    return json.loads(printed.splitlines()[-1])


def quartile_rows(kind, case, part, seconds, **columns):
    """A row for each side: median and quartiles of its seconds, and of the ratios to the first side of each round."""
    reference = next(iter(seconds.values()))
    for side, values in seconds.items():
        if len(values) == len(reference):
            ratio = statistics.median(own / other for own, other in zip(values, reference, strict=True))
        else:  # a side that takes long has fewer rounds
            ratio = statistics.median(values) / statistics.median(reference)
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        measured = {"seconds": middle, "quartile_1": low, "quartile_3": high, "ratio": ratio, "rounds": len(values)}
        yield {"kind": kind, "case": case, "part": part, "side": side, **measured, **columns}


def _describe(row):
    if "peak_bytes" in row:
        amount = f"{row['peak_bytes'] / 1e6:9.0f} MB"
    elif "per_second" in row:
        unit = "GB/s" if row["case"] == "memory bandwidth" else "Gflop/s"
        amount = f"{row['per_second'] / 1e9:9.1f} {unit}"
    else:
        amount = f"{row['seconds'] * 1e3:9.1f} ms" + (f"  {row['ratio']:6.2f}" if "ratio" in row else "")
    return f"{row['kind']:8s} {row['case']:44s} {row['part']:20s} {row['side']:42s} {amount}"


COLORS = {"train": "#0072B2", "predict": "#E69F00", "forward": "#E69F00", "forward + backward": "#0072B2"}


def _draw_ratios(axes, table, labels, title):
    """Bars of ratios to the first side of each comparison."""
    others = table[table["side"] != table.groupby(["case", "part"])["side"].transform("first")]
    texts = labels(others)
    bars = axes.barh(range(len(others)), others["ratio"], color=[COLORS[part] for part in others["part"]])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(others)), texts, fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="time / time of the ordinary one (below 1: faster)", title=title)
    axes.margins(x=0.15, y=0.01)
    axes.invert_yaxis()


def _draw_growth(axes, table):
    for kind, axis in zip(("batch", "image size", "channels per group"), axes, strict=True):
        part = table[table["case"].str.rsplit(n=1).str[0] == kind]
        for side, marker in (("MobileNet", "o"), ("kMobileNet", "s")):
            rows = part[part["side"] == side]
            values = rows["case"].str.rsplit(n=1).str[1].astype(int)
            axis.plot(
                values, rows["seconds"], marker=marker, label=side, color=plt.cm.cividis(0.2 + 0.6 * (marker == "s"))
            )
        axis.set(xscale="log", yscale="log", xlabel=kind + (" (pixels)" if kind == "image size" else ""))
        axis.set_xticks(sorted(set(values)), sorted(set(values)), minor=False)
        axis.minorticks_off()
    axes[0].set_ylabel("seconds of a training step")
    axes[0].legend()


def _draw_memory(axes, table):
    for offset, (start, color, label) in enumerate(((0, "#999999", "ordinary"), (1, "#0072B2", "grouped"))):
        rows = table.iloc[start::2]
        axes.barh(
            [index + 0.4 * offset for index in range(len(rows))],
            rows["peak_bytes"] / 1e9,
            0.4,
            color=color,
            label=label,
        )
    axes.set_yticks([index + 0.2 for index in range(len(table) // 2)], table["case"].iloc[::2], fontsize=8)
    axes.set(xlabel="peak memory of a training step (GB)")
    axes.invert_yaxis()
    axes.legend()


def draw(table, path):
    """One panel for each kind that was measured."""
    kinds = [kind for kind in KINDS if kind != "machine" and kind in set(table["kind"])]
    if not kinds:
        return
    counts = {kind: int((table["kind"] == kind).sum()) for kind in kinds}
    heights = [{"growth": 3.2, "memory": 2.5}.get(kind, 0.19 * counts[kind] + 0.9) for kind in kinds]
    figure = plt.figure(figsize=(10, sum(heights)), layout="constrained")
    panels = figure.subfigures(len(kinds), 1, height_ratios=heights, squeeze=False)[:, 0]
    for kind, panel in zip(kinds, panels, strict=True):
        rows = table[table["kind"] == kind]
        if kind == "growth":
            _draw_growth(panel.subplots(1, 3, sharey=True), rows)
        elif kind == "memory":
            _draw_memory(panel.subplots(), rows)
        elif kind == "models":
            _draw_ratios(panel.subplots(), rows, lambda found: found["side"] + ": " + found["part"], "Whole models")
        elif kind == "layers":
            _draw_ratios(
                panel.subplots(), rows, lambda found: found["case"] + ", " + found["side"], "One pointwise layer"
            )
        else:
            _draw_ratios(
                panel.subplots(), rows, lambda found: found["case"] + ": " + found["side"], "Settings of TensorFlow"
            )
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows of other kinds that the CSV in the output folder has"
    )
    parser.add_argument("--peak-memory", nargs=2, metavar=("MODEL", "SIDE"), help=argparse.SUPPRESS)
    parser.add_argument("--settings-step", metavar="SIDE", help=argparse.SUPPRESS)
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
    if options.settings_step:
        print(json.dumps(_settings_step(options.settings_step)))
        return 0
    measures = {
        "machine": measure_machine,
        "models": measure_models,
        "layers": measure_layers,
        "growth": measure_growth,
        "memory": measure_memory,
        "settings": measure_settings,
    }
    rows, common = [], timing.machine()
    for kind in options.kinds or KINDS:
        for row in measures[kind](options):
            rows.append({**row, **common})
            print(_describe(row), flush=True)
    table = pd.DataFrame(rows)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.keep and (options.output / "speed.csv").exists():
        before = pd.read_csv(options.output / "speed.csv")
        table = pd.concat([before[~before["kind"].isin(table["kind"])], table])
        table = table.sort_values("kind", key=lambda kinds: kinds.map(KINDS.index), kind="stable")
    # Four significant digits: more is noise.
    for column in {"seconds", "quartile_1", "quartile_3", "ratio", "per_second"} & set(table):
        table[column] = table[column].map(lambda value: float(f"{value:.4g}"))
    partial = options.output / "speed.csv.part"
    table.to_csv(partial, index=False)
    partial.replace(options.output / "speed.csv")
    draw(table, options.output / "speed.png")
    print(f"written: {options.output / 'speed.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
