"""Measures on a GPU, in minutes: ways to compute a grouped convolution, then training and prediction of whole models.

    KERAS_BACKEND=jax PYTHONPATH=. python tests/benchmarks/gpu.py --output results/gpu
    KERAS_BACKEND=jax PYTHONPATH=. python tests/benchmarks/gpu.py --small --seconds 300     to try it on a processor

It needs JAX with CUDA, and what `import kgpc` needs besides TensorFlow: keras, h5py, numpy, opencv, pandas, pillow,
matplotlib, filelock. All steps are compiled first, side by side in processes and threads, and then timed one at a time,
both sides in turns. Each row is written to gpu.csv at once; when the seconds are over it stops with what there is.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import threading
import time

# Several processes share the GPU: none may take all of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COLUMNS = ["kind", "case", "part", "side", "seconds", "quartile_1", "quartile_3", "ratio", "rounds", "batch", "size"]
COLUMNS += ["flops", "bytes_accessed", "machine", "backend", "precision", "keras", "kgpc", "jax"]
PRECISIONS = ("mixed_bfloat16", "float32")

# Family: (baseline of keras.applications or ours without groups, ours, channels per group, image size).
FAMILIES = {
    "kMobileNet": ("MobileNet", "kMobileNet", 16, 224),
    "kEffNet-B0": ("EfficientNetB0", "kEfficientNetB0", 16, 224),
    "kMobileNetV3Large": ("MobileNetV3Large", "kMobileNetV3Large", 16, 224),
    "kInceptionV3": ("InceptionV3", "kInceptionV3", 16, 224),
    "kDenseNet-BC L100": (None, "kDenseNetBC", 12, 32),
}

# (height = width, input channels, filters, channels per group): pointwise layers of the five families.
LAYERS = (
    (56, 128, 128, 16),
    (14, 512, 512, 16),
    (7, 1024, 1024, 16),
    (28, 240, 40, 16),
    (14, 112, 672, 16),
    (7, 160, 960, 16),
    (32, 216, 48, 12),
    (12, 768, 192, 16),
)
SMALL_LAYERS = ((4, 32, 32, 16), (2, 24, 48, 12))
# Runs whose calls are sent to the device one after another, for layers that take less time than sending them.
CALLS = 20


def _quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def rows_of(kind, case, part, seconds, calls=1, costs=None, **columns):
    """A row for each side; its ratio is the median of those taken round by round against the first side."""
    reference = next(iter(seconds.values()))
    for side, values in seconds.items():
        low, middle, high = _quartiles([value / calls for value in values])
        ratio = statistics.median(own / other for own, other in zip(values, reference, strict=True))
        measured = {"seconds": middle, "quartile_1": low, "quartile_3": high, "ratio": ratio}
        counted = (costs or {}).get(side, {})
        yield {
            "kind": kind,
            "case": case,
            "part": part,
            "side": side,
            **{name: float(f"{value:.4g}") for name, value in measured.items()},
            "rounds": len(values),
            "flops": int(counted.get("flops", 0)) or "",
            "bytes_accessed": int(counted.get("bytes accessed", 0)) or "",
            **columns,
        }


class Table:
    """The rows that were measured, in a file from the first one on."""

    def __init__(self, folder, common):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "gpu.csv").open("w", newline="", encoding="utf-8")
        self.common, self.writer = common, csv.DictWriter(self.file, COLUMNS)
        self.writer.writeheader()
        self.add([])

    def add(self, rows):
        for row in rows:
            row = {**self.common, **row}
            self.writer.writerow(row)
            print(
                f"{row['kind']:9s} {row['case']:34s} {row['part']:18s} {row['side']:30s} {row['precision']:14s} "
                f"batch {row['batch']:>4}  {1e3 * row['seconds']:9.3f} ms  {row['ratio']:.3f}",
                flush=True,
            )
        self.file.flush()


def forward_and_backward(way, x, kernel, upstream, groups):
    """The two steps of one way, traced: dict of part -> step."""
    import jax

    from kgpc.device_steps import JaxStep

    def forward(x, kernel):
        return way(x, kernel, groups)

    def both(x, kernel, upstream):
        outputs, pull = jax.vjp(forward, x, kernel)
        return outputs, *pull(upstream)

    return {"forward": JaxStep(forward, (x, kernel)), "forward + backward": JaxStep(both, (x, kernel, upstream))}


def layer_steps(options):
    """All ways of all layers, traced: dict of (case, part, precision, batch, size) -> dict of name -> step."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from grouped_products import INTERLEAVED, WAYS

    from kgpc import D6

    rng = np.random.default_rng(0)
    found = {}
    for size, channels, filters, per_group in SMALL_LAYERS if options.small else LAYERS:
        groups, batch = D6(per_group).plan(channels, filters).groups, 2 if options.small else 128
        shapes = (batch, size, size, channels), (1, 1, channels // groups, filters), (batch, size, size, filters)
        arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
        case = f"{size}x{size}, {channels} to {filters}, {groups} groups"
        for precision in PRECISIONS:
            values = [jax.device_put(jnp.asarray(array, precision.removeprefix("mixed_"))) for array in arrays]
            for ways, prefix in ((WAYS, ""), (INTERLEAVED, "interleaved, ")):
                for name, way in ways.items():
                    for part, step in forward_and_backward(way, *values, groups).items():
                        found.setdefault((case, prefix + part, precision, batch, size), {})[name] = step
    return found


def compiled(steps, seconds, stop=None):
    """Compiles steps in threads for at most some seconds: dict of step -> its costs, of those that were compiled."""
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(2, (os.cpu_count() or 2) // 2))
    jobs = {pool.submit(step.compile): step for step in steps}
    end = time.monotonic() + seconds
    waiting = set(jobs)
    while waiting and time.monotonic() < end and not (stop and stop.is_set()):
        _, waiting = concurrent.futures.wait(waiting, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
    pool.shutdown(wait=True, cancel_futures=True)
    done = {}
    for job, step in jobs.items():
        if job.cancelled():
            continue
        if job.exception() is not None:
            print(f"not compiled: {str(job.exception()).splitlines()[0][:200]}", file=sys.stderr, flush=True)
        else:
            done[id(step)] = job.result()
    return done


def measure_layers(cases, costs, options, table, end):
    """Times all ways of each layer in turns, several calls at a time."""
    from kgpc.timing import seconds_in_turns

    calls = 2 if options.small else CALLS

    def repeated(step):
        def run():
            for _ in range(calls):
                returned = step.start()
            return _waited(returned)

        return run

    for (case, part, precision, batch, size), steps in cases.items():
        if time.monotonic() > end:
            return
        ready = {name: repeated(step) for name, step in steps.items() if id(step) in costs}
        if len(ready) < 2:
            continue
        seconds = seconds_in_turns(ready, rounds=options.rounds, warmup=1)
        counted = {name: costs[id(steps[name])] for name in ready}
        rows = rows_of("layer", case, part, seconds, calls, counted, batch=batch, size=size, precision=precision)
        table.add(rows)


def _waited(values):
    import jax

    return jax.block_until_ready(values)


def family_steps(name, options):
    """The steps of both sides of a family, traced, most telling first; a generator of (key, side, step)."""
    import keras

    import kgpc
    from kgpc import timing

    baseline, ours, per_group, size = FAMILIES[name]
    size = (48 if name != "kInceptionV3" else 96) if options.small and size == 224 else size
    shape = (size, size, 3)
    for precision in PRECISIONS:
        keras.config.set_dtype_policy(precision)
        make = getattr(kgpc.applications, ours)
        if baseline:
            other = getattr(keras.applications, baseline)(weights=None, classes=10, input_shape=shape)
        else:
            other = make(input_shape=shape, classes=10, scheme=None)
        sides = {
            baseline or "DenseNet-BC L100": other,
            f"{name} {per_group}ch": make(input_shape=shape, classes=10, scheme=kgpc.D6(per_group)),
        }
        for batch in options.batch:
            for part, make_step in (("train", timing.train_step), ("predict", timing.predict_step)):
                for side, model in sides.items():
                    yield (part, precision, batch, size), side, make_step(model, batch)


def work(name, options):
    """A process for one family: compiles until told to stop, times when told to go. It speaks in lines of JSON."""
    from kgpc.timing import seconds_in_turns

    told, stop = queue.Queue(), threading.Event()

    def listen():
        for line in sys.stdin:
            stop.set()
            told.put(float(line))

    threading.Thread(target=listen, daemon=True).start()
    cases, costs = {}, {}
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=3)
    jobs = {}
    for key, side, step in family_steps(name, options):
        cases.setdefault(key, {})[side] = step
        jobs[pool.submit(step.compile)] = step
        if stop.is_set():
            break
    while not stop.is_set() and not all(job.done() for job in jobs):
        time.sleep(0.2)
    pool.shutdown(wait=True, cancel_futures=True)
    for job, step in jobs.items():
        if not job.cancelled() and job.exception() is None:
            costs[id(step)] = job.result()
    print(json.dumps({"compiled": len(costs), "of": len(jobs)}), flush=True)
    told.get()  # all have stopped
    end = time.monotonic() + told.get()
    for (part, precision, batch, size), steps in cases.items():
        ready = {side: step for side, step in steps.items() if id(step) in costs}
        if len(ready) == 2 and time.monotonic() < end:
            try:
                seconds = seconds_in_turns(ready, rounds=options.rounds, warmup=2)
            except Exception as error:  # out of memory, say: the others are still worth measuring
                print(f"{name}, {part}, batch {batch}: {str(error).splitlines()[0][:200]}", file=sys.stderr, flush=True)
                continue
            counted = {side: costs[id(step)] for side, step in ready.items()}
            columns = {"batch": batch, "size": size, "precision": precision}
            for row in rows_of("model", name, part, seconds, 1, counted, **columns):
                print(json.dumps(row), flush=True)
    return 0


class Worker:
    """One family's process, seen from the outside."""

    def __init__(self, name, arguments):
        command = [sys.executable, __file__, *arguments, "--family", name]
        self.name, self.lines = name, queue.Queue()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def say(self, seconds):
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended: reading its lines will tell

    def read(self, seconds):
        """The next line, or None where there is none in time or none to come."""
        try:
            return self.lines.get(timeout=max(0.1, seconds))
        except queue.Empty:
            return None


def main(arguments=None):
    """Command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=460, help="when to stop, at the latest (default 460)")
    parser.add_argument("--rounds", type=int, default=11, help="timed runs of each side (default 11)")
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 64], help="batch sizes of models (256 64)")
    parser.add_argument("--only", nargs="+", choices=[*FAMILIES, "layers"], help="what to measure (default: all)")
    parser.add_argument("--small", action="store_true", help="small layers and images: to see that it works")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("results/gpu"), help="folder for gpu.csv")
    parser.add_argument("--family", choices=FAMILIES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.seconds < 1 or options.rounds < 1 or min(options.batch) < 1:
        parser.error("--seconds, --rounds and --batch must be at least 1")
    if options.family:
        return work(options.family, options)
    start = time.monotonic()
    wanted = options.only or [*FAMILIES, "layers"]
    workers = [Worker(name, arguments) for name in wanted if name != "layers"]

    import jax

    from kgpc import timing

    table = Table(options.output, {**timing.machine(), "jax": jax.__version__})
    table.add(_limits(options))
    cases = layer_steps(options) if "layers" in wanted else {}
    print(f"{time.monotonic() - start:.0f} s: layers are traced", flush=True)
    half = start + 0.5 * options.seconds
    costs = compiled([step for steps in cases.values() for step in steps.values()], half - time.monotonic())
    print(f"{time.monotonic() - start:.0f} s: {len(costs)} steps of layers are compiled", flush=True)
    told = {worker: worker.read(half - time.monotonic()) for worker in workers}
    for worker in workers:
        worker.say(0)  # stop compiling
    for worker in workers:
        told[worker] = told[worker] or worker.read(90)
        print(f"{time.monotonic() - start:.0f} s: {worker.name} {told[worker]}", flush=True)
    left = start + options.seconds - time.monotonic()
    measure_layers(cases, costs, options, table, time.monotonic() + left * (0.4 if workers else 1))
    for number, worker in enumerate(workers):
        share = (start + options.seconds - time.monotonic()) / (len(workers) - number)
        worker.say(max(1, share))
        end = time.monotonic() + share + 30
        while (row := worker.read(end - time.monotonic())) is not None:
            table.add([row])
        worker.process.kill()
    print(f"{time.monotonic() - start:.0f} s: written {options.output / 'gpu.csv'}", flush=True)
    return 0


def _limits(options):
    """What the machine can do at most: bytes copied and multiplications in a second."""
    from kgpc import timing

    size, megabytes = (512, 8) if options.small else (8192, 2048)
    common = {"kind": "machine", "part": "limit", "batch": "", "ratio": 1.0}
    seconds = 2 * 2**20 * megabytes / timing.memory_bandwidth(megabytes, rounds=5)
    yield {**common, "case": f"{megabytes} MB read and written", "side": "copy", "seconds": float(f"{seconds:.4g}")}
    seconds = 2 * size**3 / timing.matrix_product_rate(size, rounds=5)
    yield {**common, "case": f"{size} x {size} product", "side": "product", "seconds": float(f"{seconds:.4g}")}


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.exit(main())
