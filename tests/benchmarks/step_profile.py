"""Where a training step on a processor goes: seconds by kind of layer, forward and backward, and what it asks for.

    python tests/benchmarks/step_profile.py                          all five families, both sides (some minutes)
    python tests/benchmarks/step_profile.py --only kMobileNet --output results/benchmarks

TensorFlow's own profiler notes when each operation of a compiled step begins and ends; the names of operations say to
which layer they belong. One operation runs at a time (each with all cores), so that times can be added. Written are
step_profile.csv, a row for each family, side, kind of layer and direction, and step_profile.png. Beside the seconds
stands what these layers must do at least: the bytes that they move (a layer reads and writes its feature maps once
forward, and reads two and writes one backward, and its weights), and their multiplications and additions.
`kgpc.measurements` computes what a machine allows for that, from the rates that `speed.py machine` measures.
"""

import argparse
import glob
import math
import pathlib
import sys
import tempfile

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import matplotlib.pyplot as plt
import pandas as pd
import tensorflow as tf
from speed import MODELS
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from kgpc import merging, timing

POINTWISE, DEPTHWISE, CONVOLUTION = "pointwise convolution", "depthwise convolution", "other convolution"
NORMALIZATION, ACTIVATION, CHANNELS = "batch normalization", "activation", "adding, joining, moving channels"
OPTIMIZER, OTHER = "optimizer", "pooling, classifier, loss, other"
KINDS = (POINTWISE, DEPTHWISE, CONVOLUTION, NORMALIZATION, ACTIVATION, CHANNELS, OPTIMIZER, OTHER)
# Letters and hatching besides colours: legible in grey.
COLORS = dict(
    zip(KINDS, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#F0E442", "#CC79A7", "#999999", "#DDDDDD"), strict=True)
)
HATCHES = dict(zip(KINDS, ("", "//", "..", "\\\\", "xx", "--", "", ""), strict=True))
# An operation without the scope of a layer: gradients that are functions of our own, and the optimizer.
BY_OPERATION = (
    ("DepthwiseConv2d", DEPTHWISE),
    ("Conv2DBackprop", POINTWISE),
    ("FusedBatchNorm", NORMALIZATION),
    ("Assign", OPTIMIZER),
    ("Sqrt", OPTIMIZER),
    ("Square", OPTIMIZER),
    ("Sigmoid", ACTIVATION),
)


def kind_of(layer):
    """What a layer is counted as."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return DEPTHWISE
    merged = (merging.NormalizedPointwiseConv2D, merging.InterleavedPointwiseConv2D)
    if isinstance(layer, (kgpc.layers.GroupedPointwiseConv2D, *merged)):
        return POINTWISE
    if isinstance(layer, merging.ChannelMoments):
        return NORMALIZATION
    if isinstance(layer, keras.layers.Conv2D):
        return POINTWISE if layer.kernel_size == (1, 1) else CONVOLUTION
    if isinstance(layer, keras.layers.BatchNormalization):
        return NORMALIZATION
    if isinstance(layer, (keras.layers.Activation, keras.layers.ReLU)):
        return ACTIVATION
    moving = (keras.layers.Add, keras.layers.Concatenate, keras.layers.Multiply, keras.layers.ZeroPadding2D)
    if isinstance(layer, (*moving, kgpc.layers.InterleaveChannels, kgpc.layers.CopyChannels)):
        return CHANNELS
    return OTHER


def operations(model, batch, steps):
    """Seconds of each operation of a training step, and of the whole step: (dict of name -> seconds, seconds)."""
    step = timing.train_step(model, batch)
    whole = timing.in_turns({"step": step}, rounds=steps)["step"]
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            step()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        space.ParseFromString(pathlib.Path(path).read_bytes())
    (plane,) = [plane for plane in space.planes if plane.name == "/host:CPU"]
    seconds = {}
    for line in plane.lines:
        for event in line.events:
            name, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
            # Only operations are called "scope/name:Type"; functions of C++ have two colons.
            if name and not name.endswith(":") and operation[:1] in "_ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                seconds[name, operation] = seconds.get((name, operation), 0) + event.duration_ps * 1e-12 / steps
    return seconds, whole


def place_of(name, operation, kinds):
    """Kind of layer and direction of an operation, by the scope in its name or else by its type."""
    parts = name.split("/")
    backward = parts[0] == "gradient_tape" or "Backprop" in operation or "Grad" in operation
    for part in parts:
        for layer in (part, part.rpartition("_")[0]):
            if layer in kinds:
                return kinds[layer], "backward" if backward else "forward"
    if parts[0].startswith("rm_sprop"):  # the second network's has a number
        return OPTIMIZER, ""
    # Sums of gradients, where something is read by two.
    if operation == "AddN":
        return CHANNELS, "backward"
    for text, kind in BY_OPERATION:
        if text in operation:
            return kind, "" if kind == OPTIMIZER else "backward" if backward else "forward"
    return OTHER, "backward" if backward else "forward"


def work(model, batch):
    """What each kind of layer must do: dict of (kind, direction) -> (bytes to move in float32, operations), in turn."""
    macs = {count.layer: count.macs for count in kgpc.flops.layer_counts(model)}
    found = {}
    for layer in model.layers:
        if isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Reshape)):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        read, written = sum(math.prod(tensor.shape[1:]) for tensor in inputs), math.prod(layer.output.shape[1:])
        weights = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        products = macs.get(layer.name, 0)
        for direction, maps, passes in (("forward", read + written, 1), ("backward", 2 * read + written, 2)):
            moved, computed = found.get((kind_of(layer), direction), (0, 0))
            moved += 4 * (batch * maps + passes * weights)
            found[kind_of(layer), direction] = moved, computed + 2 * passes * batch * products
    return found


def measure(options):
    """Rows of the table."""
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name, (baseline_name, make_baseline, make_ours, batch, size, _) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        batch, size = (2, 96 if size > 96 else size) if options.small else (batch, size)
        for side, make in ((baseline_name, make_baseline), (name, make_ours)):
            model = make(size)
            kinds = {layer.name: kind_of(layer) for layer in model.layers}
            trained = merging.training_twin(model)
            kinds |= {layer.name: kind_of(layer) for layer in trained.layers if layer.name not in kinds}
            seconds, whole = operations(trained, batch, options.rounds)
            sums = {}
            for (operation, kind), value in seconds.items():
                place = place_of(operation, kind, kinds)
                sums[place] = sums.get(place, 0) + value
            asked = work(model, batch)
            for kind in KINDS:
                for direction in ("forward", "backward", ""):
                    # Work that no operation is named after is done within another's: a ReLU within a convolution.
                    if (kind, direction) in sums or (kind, direction) in asked:
                        moved, computed = asked.get((kind, direction), (0, 0))
                        yield {
                            "case": name,
                            "side": side,
                            "kind": kind,
                            "direction": direction,
                            "seconds": sums.get((kind, direction), 0.0),
                            "bytes": moved,
                            "operations": computed,
                            "step_seconds": whole,
                            "batch": batch,
                            "size": size,
                        }
            keras.backend.clear_session()


def draw(table, path):
    """A bar for each side of each family, in pieces by kind of layer."""
    bars = list(table.groupby(["case", "side"], sort=False))
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(bars) + 1.6), layout="constrained")
    for number, (_, rows) in enumerate(bars):
        left = 0
        for kind in KINDS:
            width = 1e3 * rows.loc[rows["kind"] == kind, "seconds"].sum()
            label = kind if number == 0 else None
            axes.barh(number, width, left=left, color=COLORS[kind], hatch=HATCHES[kind], edgecolor="white", label=label)
            left += width
    axes.set_yticks(range(len(bars)), [side for (_, side), _ in bars])
    axes.set(xlabel="milliseconds of a training step, one operation at a time")
    axes.invert_yaxis()
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="families whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=7, help="profiled steps (default 7)")
    parser.add_argument("--small", action="store_true", help="two images of 96 pixels: to see that it works")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("results/benchmarks"), help="folder")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; received {options.rounds}")
    table = pd.DataFrame([{**row, **timing.machine()} for row in measure(options)])
    for column in ("seconds", "step_seconds"):
        table[column] = table[column].map(lambda value: float(f"{value:.4g}"))
    options.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output / "step_profile.csv", index=False)
    draw(table, options.output / "step_profile.png")
    for (_, side), rows in table.groupby(["case", "side"], sort=False):
        total = rows["seconds"].sum()
        print(f"{side}: {1e3 * total:.0f} ms in operations, {1e3 * rows['step_seconds'].iloc[0]:.0f} ms a step")
        by_kind = rows.groupby("kind", sort=False)["seconds"].sum()
        print((1e3 * by_kind).round(1).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
