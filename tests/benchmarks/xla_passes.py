"""Counts how often a compiled step passes over feature maps, without timing it; runs on any machine.

    PYTHONPATH=. python tests/benchmarks/xla_passes.py data/benchmarks/xla-passes-cpu.csv

XLA says of a compiled program how many bytes its operations read and write, each fused group of operations counted as
one. For a layer these bytes are divided by those of its input and its output together: 1 is a pass that reads the one
and writes the other. They are of the compiler, not of a clock: caches do not count, and a GPU's compiler fuses
otherwise.
"""

import argparse
import os
import pathlib

os.environ["KERAS_BACKEND"] = "jax"

import gpu
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pandas as pd
from grouped_products import INTERLEAVED, WAYS

import kgpc
from kgpc import timing

BATCH = 16
LAYERS = gpu.LAYERS[:3]
FAMILIES = ("kMobileNet", "kEffNet-B0")


def layers():
    """A row for each way to compute each layer, forward and with its gradients."""
    random = np.random.default_rng(0)
    for size, channels, filters, per_group in LAYERS:
        groups = kgpc.D6(per_group).plan(channels, filters).groups
        shapes = (BATCH, size, size, channels), (1, 1, channels // groups, filters), (BATCH, size, size, filters)
        x, kernel, upstream = (jnp.asarray(random.normal(size=shape), "float32") for shape in shapes)
        for ways, prefix in ((WAYS, ""), (INTERLEAVED, "interleaved, ")):
            for name, way in ways.items():
                for part, step in gpu.forward_and_backward(way, x, kernel, upstream, groups).items():
                    yield {
                        "kind": "layer",
                        "case": f"{size}x{size}, {channels} to {filters}, {groups} groups",
                        "part": prefix + part,
                        "side": name,
                        **counted(step),
                        "map_bytes": x.nbytes + upstream.nbytes,
                    }


def networks():
    """A row for each network, trained and predicted with."""
    for family in FAMILIES:
        baseline, ours, per_group, size = gpu.FAMILIES[family]
        options = {"classes": 10, "input_shape": (size, size, 3)}
        sides = {
            baseline: getattr(keras.applications, baseline)(weights=None, **options),
            f"{family} {per_group}ch": getattr(kgpc.applications, ours)(scheme=kgpc.D6(per_group), **options),
        }
        for part, make_step in (("train", timing.train_step), ("predict", timing.predict_step)):
            for side, model in sides.items():
                yield {
                    "kind": "network",
                    "case": family,
                    "part": part,
                    "side": side,
                    **counted(make_step(model, BATCH)),
                }


def counted(step):
    """What the compiler counts of a step: dict of `bytes_accessed` and `flops`."""
    costs = step.compile()
    return {"bytes_accessed": int(costs["bytes accessed"]), "flops": int(costs["flops"])}


def main(arguments=None):
    """Writes the rows to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=pathlib.Path, help="the file of rows (CSV)")
    options = parser.parse_args(arguments)
    rows = []
    for row in (*layers(), *networks()):
        print(*row.values(), flush=True)
        rows.append(row)
    table = pd.DataFrame(rows).astype({"map_bytes": "Int64"})
    device = jax.devices()[0]
    versions = {"jax": jax.__version__, "keras": keras.__version__, "kgpc": kgpc.__version__}
    table.assign(batch=BATCH, machine=device.device_kind, precision="float32", **versions).to_csv(
        options.path, index=False
    )


if __name__ == "__main__":
    main()
