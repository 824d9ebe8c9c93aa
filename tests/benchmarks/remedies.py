"""What each remedy gives by itself: a training step with all of them, and with one at a time left out.

    python tests/benchmarks/remedies.py                       five families (two processor cores: ten minutes)
    python tests/benchmarks/remedies.py --only kMobileNet

All sides of a family are timed in turns; remedies.csv has medians, quartiles, and the median of the ratios to the
network with all remedies, round by round: 1.5 says that without it a step takes half as long again. TensorFlow's two
settings, which cannot be changed within a process, are measured by `speed.py settings`.
"""

import argparse
import contextlib
import pathlib
import sys

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import pandas as pd
from speed import MODELS, quartile_rows

from kgpc import merging, timing, wide_groups

# What takes the place of a layer of the package where its remedy is left out.
KERAS_LAYERS = {
    "fused batch normalization": (kgpc.layers.BatchNormalization, keras.layers.BatchNormalization),
    "one loop for the gradient of swish": (kgpc.layers.Activation, keras.layers.Activation),
    "gradient of depthwise kernels": (kgpc.layers.DepthwiseConv2D, keras.layers.DepthwiseConv2D),
}
WIDE, TWIN = "wide groups", "twin for training"
ALL = "all remedies"


def without(model, remedy):
    """A copy of a network with Keras' own layers in place of those of one remedy."""
    ours, theirs = KERAS_LAYERS[remedy]

    def translate(layer):
        config = layer.get_config()
        if type(layer) is ours:
            config.pop("merge", None)
            return theirs.from_config(config)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=translate)


@contextlib.contextmanager
def narrow_groups():
    """Groups as they are, in all three parts of a training step."""
    names = ("forward", "input_gradient", "kernel_gradient")
    before = {name: getattr(wide_groups, name) for name in names}
    for name in names:
        setattr(wide_groups, name, lambda groups, channels, filters: groups)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(wide_groups, name, function)


def steps_of(make, size, batch):
    """Training steps of a family: with all remedies, then without each that changes its graph; traced."""

    def step(model):
        run = timing.train_step(merging.training_twin(model), batch)
        run()  # traced now, while the groups are as they are to be
        return run

    steps = {ALL: step(make(size))}
    for remedy, (ours, _) in KERAS_LAYERS.items():
        model = make(size)
        if any(type(layer) is ours for layer in model.layers):
            steps[remedy] = step(without(model, remedy))
    with narrow_groups():
        steps[WIDE] = step(make(size))
    model = make(size)
    if merging.training_twin(model) is not model:
        steps[TWIN] = timing.train_step(model, batch)
    return steps


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="families whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each side (default 7)")
    parser.add_argument("--small", action="store_true", help="two images of 96 pixels: to see that it works")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("results/benchmarks"), help="folder")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; received {options.rounds}")
    rows, common = [], timing.machine()
    for name, (_, _, make, batch, size, _) in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        batch, size = (2, min(size, 96)) if options.small else (batch, size)
        seconds = timing.seconds_in_turns(steps_of(make, size, batch), options.rounds)
        for row in quartile_rows("remedies", name, "train", seconds, batch=batch, size=size):
            rows.append({**row, **common})
            print(
                f"{name:26s} without {row['side']:36s} {1e3 * row['seconds']:8.1f} ms {row['ratio']:6.2f}", flush=True
            )
        keras.backend.clear_session()
    table = pd.DataFrame(rows)
    for column in ("seconds", "quartile_1", "quartile_3", "ratio"):
        table[column] = table[column].map(lambda value: float(f"{value:.4g}"))
    options.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output / "remedies.csv", index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
