"""What exported files cost: bytes on the disk, memory, and time for one image on one thread."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kgpc.arguments import mapping, positive_integer, received
from kgpc.deploy import runtimes
from kgpc.files import path_argument

_WARMUP = 3

# Runs in a process of its own that imports a runtime and nothing else; prints by how many bytes its memory grew, at the
# most, between the import of the runtime and the end of the second prediction. Linux says what a process had at the
# most since it began; what `resource` says would be that of the process which started it.
_PEAK = """
import json, re, sys
import numpy as np
def kilobytes(key):
    with open("/proc/self/status") as status:
        return int(re.search(key + r":\\s+(\\d+) kB", status.read())[1])
path, kind, shape = json.loads(sys.argv[1])
images = np.random.default_rng(0).random(shape, dtype="float32")
if kind == "litert":
    from ai_edge_litert.interpreter import Interpreter
else:
    import onnxruntime
before = kilobytes("VmRSS")
if kind == "litert":
    interpreter = Interpreter(model_path=path, num_threads=1)
    (given,) = interpreter.get_input_details()
    if tuple(given["shape"]) != tuple(shape):
        interpreter.resize_tensor_input(given["index"], shape)
    interpreter.allocate_tensors()
    images = images.astype(given["dtype"])
    for _ in range(2):
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
else:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(2):
        session.run(None, {session.get_inputs()[0].name: images})
print(1024 * (kilobytes("VmHWM") - before))
"""


def measure(paths, rounds=25, memory=True):
    """Measures exported files on this computer's processor, one thread, one image at a time, all of them in turns.

    Args:
        paths: dict from names (str) to paths of `.tflite` and `.onnx` files, as `export` writes them.
        rounds: int >= 1, timed predictions of each file.
        memory: bool, whether to measure memory too, in a process of its own for each file.

    Returns:
        `pandas.DataFrame` with a row for each file, in their order. Columns:
        - `file`: str, its name; `runtime`: str, what ran it, with the version.
        - `bytes`: int, on the disk.
        - `peak_bytes`: int, by how much the memory of a process grows at the most that loads the file and predicts;
          NaN where that was not asked for, and on systems other than Linux.
        - `median_ms`, `lower_quartile_ms`, `upper_quartile_ms`: float, milliseconds of one prediction by the clock.
        - `cpu_ms`: float, median milliseconds that the processor worked for it. As long as the clock's on a computer
          that does nothing else, and hardly longer on one that does, where the clock's mean little.

    Raises:
        TypeError, ValueError: if an argument is wrong, or a file is neither LiteRT nor ONNX.
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if a package of the extra `deploy` is missing.
    """
    mapping("paths", paths, "paths")
    rounds = positive_integer("rounds", rounds)
    if not isinstance(memory, bool | np.bool_):
        raise TypeError(f"`memory` must be True or False. {received('memory', memory)}")
    found = {name: _checked(f"paths[{name!r}]", path) for name, path in paths.items()}
    opened = {name: runtimes.opened(path) for name, path in found.items()}
    shapes = {name: _one_image(runtime) for name, runtime in opened.items()}
    generator = np.random.default_rng(0)
    for name, runtime in opened.items():
        runtime.set(generator.random(shapes[name], dtype="float32"))
        for _ in range(_WARMUP):
            runtime.run()
    clock, worked = ({name: [] for name in opened} for _ in range(2))
    for _ in range(rounds):
        for name, runtime in opened.items():
            start, start_worked = time.perf_counter(), time.thread_time()
            runtime.run()
            worked[name].append(1e3 * (time.thread_time() - start_worked))
            clock[name].append(1e3 * (time.perf_counter() - start))
    rows = []
    for name, runtime in opened.items():
        lower, median, upper = np.percentile(clock[name], (25, 50, 75))
        row = {"file": name, "runtime": runtime.name, "bytes": found[name].stat().st_size}
        row["peak_bytes"] = _peak_bytes(found[name], shapes[name]) if memory else np.nan
        row |= {"median_ms": median, "lower_quartile_ms": lower, "upper_quartile_ms": upper}
        rows.append({**row, "cpu_ms": np.median(worked[name])})
    return pd.DataFrame(rows)


def _checked(argument, path):
    path = path_argument(argument, path)
    format = runtimes.format_of(path)
    if format is None:
        raise ValueError(f"`{argument}` must end in .tflite or .onnx. Received: {str(path)!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"`{argument}` must be a file. There is none at {path}.")
    if runtimes.missing(format):
        raise ModuleNotFoundError(
            f'{path.name} needs {", ".join(runtimes.missing(format))}: pip install "kgpc[deploy]"'
        )
    return path


def _one_image(runtime):
    """The shape of the smallest batch that a file takes, with 224 pixels where any size is taken."""
    batch, *sizes = runtime.shape
    return (batch or 1, *(size or 224 for size in sizes))


def _peak_bytes(path, shape):
    arguments = json.dumps([str(Path(path).absolute()), runtimes.format_of(path), list(shape)])
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run([sys.executable, "-c", _PEAK, arguments], capture_output=True, text=True, env=quiet)
    return json.loads(process.stdout.splitlines()[-1]) if process.returncode == 0 else np.nan
