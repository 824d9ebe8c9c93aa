"""Whether `training.fit` keeps a device busy: images prepared and trained on a second, by the number of threads.

    python tests/benchmarks/fit.py                          both kinds (two processor cores: five minutes)
    KERAS_BACKEND=jax python tests/benchmarks/fit.py fit --sizes 32
    python tests/benchmarks/fit.py preparation --workers 1 2 4 8

`preparation` times batches alone, the published augmentation of CIFAR-10; `fit` trains kMobileNet 16ch by `fit` and
takes the time of an epoch. Beside each stands the same `fit` on batches that are ready: what its steps take longer than
those, the device waits. On a processor the device is what prepares, too, so there the share is what preparing costs.
All sides are timed in turns; fit-<backend>.csv has medians and quartiles.
"""

import argparse
import concurrent.futures
import contextlib
import pathlib
import sys
import tempfile

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import numpy as np
import pandas as pd
from speed import quartile_rows

from kgpc import datasets, timing, training
from kgpc.training import batches as batches_module

KINDS = ("preparation", "fit")
# Image size -> batch, batches of a timed preparation, steps of a timed epoch.
SIZES = {32: (64, 40, 30), 224: (16, 16, 8)}
READY = "ready batches"


def data_of(count):
    """Random images of 32x32 pixels, as many as are asked for, in ten classes."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype="uint8")
    labels = np.arange(count) % 10
    names = [str(number) for number in range(10)]
    return datasets.ImageDataset("random", images, labels, images[:10], labels[:10], names)


def recipe_of(size, batch, **changes):
    """The published augmentation of CIFAR-10 at an image size."""
    return training.recipe("CIFAR-10").replace(
        image_size=size, batch_size=batch, precision="float32", seed=1, **changes
    )


def preparation(size, workers, rounds):
    """Rows of preparing batches alone, by the number of threads."""
    batch, count, _ = SIZES[size]
    data = data_of(batch * count)
    batches = training.Batches(data.x_train, data.y_train, recipe_of(size, batch))

    def run(threads):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(batches.__getitem__, range(count)):
                pass

    steps = {f"{threads} threads": lambda threads=threads: run(threads) for threads in workers}
    seconds = timing.seconds_in_turns(steps, rounds, warmup=1)
    for row in quartile_rows("preparation", f"{size} pixels", "prepare", seconds, batch=batch, size=size):
        yield {**row, "images_per_second": batch * count / row["seconds"]}


@contextlib.contextmanager
def ready_batches():
    """Batches are prepared once; after that the same one comes again and again."""
    prepared, original = {}, batches_module.Batches.__getitem__

    def get(self, number):
        if id(self) not in prepared:
            prepared[id(self)] = original(self, number)
        return prepared[id(self)]

    batches_module.Batches.__getitem__ = get
    try:
        yield
    finally:
        batches_module.Batches.__getitem__ = original


def epochs(size, workers, epochs):
    """Seconds of the epochs of one training, but for the first, which compiles."""
    batch, _, steps = SIZES[size]
    validation = batch  # one batch, the same for all
    data = data_of(batch * steps + validation)
    recipe = recipe_of(
        size,
        batch,
        epochs=epochs + 1,
        validation_split="first",
        validation_views="plain",
        validation_fraction=validation / len(data.y_train),
    )
    model = training.build(kgpc.applications.kMobileNet, recipe, classes=10, scheme=kgpc.D6(16))
    result = training.fit(model, data, recipe, progress=False, workers=workers)
    keras.backend.clear_session()
    return result.history["seconds"].iloc[1:].tolist(), batch * steps


def fit(size, workers, rounds):
    """Rows of `fit`, by the number of threads, and on batches that are ready; two trainings of each, in turns."""
    sides = {READY: None, **{f"{threads} threads": threads for threads in workers}}
    seconds, images = {side: [] for side in sides}, 0
    for _ in range(2):
        for side, threads in sides.items():
            with ready_batches() if threads is None else contextlib.nullcontext():
                found, images = epochs(size, threads or 1, max(1, rounds // 2))
            seconds[side] += found
    for row in quartile_rows("fit", f"{size} pixels", "train", seconds, batch=SIZES[size][0], size=size):
        yield {
            **row,
            "images_per_second": images / row["seconds"],
            "waiting": max(0.0, 1 - 1 / row["ratio"]),
        }


def write(rows, path):
    """Writes what there is so far, so that nothing is lost when the time ends; rows of other sizes and kinds stay."""
    table = pd.DataFrame(rows)
    for column in {"seconds", "quartile_1", "quartile_3", "ratio", "images_per_second", "waiting"} & set(table):
        table[column] = table[column].map(lambda value: float(f"{value:.4g}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        before = pd.read_csv(path)
        again = before.set_index(["kind", "size"]).index.isin(table.set_index(["kind", "size"]).index)
        table = pd.concat([before[~again], table], ignore_index=True)
    table.to_csv(path, index=False)


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"what to measure, of {', '.join(KINDS)} (default: both)")
    parser.add_argument("--sizes", nargs="+", type=int, default=sorted(SIZES), help="image sizes (default 32 224)")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4], help="preparing threads (default 1 2 4)")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each side (default 7)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("results/benchmarks"), help="folder")
    options = parser.parse_args(arguments)
    if (
        set(options.kinds) - set(KINDS)
        or set(options.sizes) - set(SIZES)
        or min(options.workers + [options.rounds]) < 1
    ):
        parser.error(f"kinds must be of {', '.join(KINDS)}, sizes of {sorted(SIZES)}, the other numbers at least 1")
    rows, common = [], timing.machine()
    with tempfile.TemporaryDirectory() as folder:
        if common["backend"] == "jax":  # the same training is compiled once for all sides
            import jax

            jax.config.update("jax_compilation_cache_dir", folder)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        for kind in options.kinds or KINDS:
            for size in options.sizes:
                for row in {"preparation": preparation, "fit": fit}[kind](size, options.workers, options.rounds):
                    rows.append({**row, **common})
                    write(rows, options.output / f"fit-{common['backend']}.csv")
                    waiting = f"  waits {row['waiting']:.0%}" if "waiting" in row else ""
                    print(
                        f"{kind:12s} {row['case']:11s} {row['side']:14s} "
                        f"{row['images_per_second']:9.0f} images a second{waiting}",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
