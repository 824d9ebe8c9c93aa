"""The experiment's trainings on a GPU that is lent for minutes: how long they take, then the longest ones that fit.

    KERAS_BACKEND=jax python -m kgpc rerun --profile experiment --minutes 9 --images FOLDER --output FOLDER

A network of this size leaves a GPU idle, so all networks and seeds train at the same time, each in a process. Each
process is the usual `rerun` of a stage in the same folder: what is interrupted can be resumed.
"""

import os
import subprocess
import sys
import time

from kgpc import training
from kgpc.paper import experiment, protocol
from kgpc.paper.rerun_results import results
from kgpc.paper.run_folder import say
from kgpc.paper.selection import Run, load_dataset

# Steps of an epoch of the timing; an epoch of the experiment has 351.
_TIMED_STEPS, _STEPS = 60, 351
# Starting a process, decoding images, compiling, testing.
_START_SECONDS = 60.0
# What is left to write the results down.
_END_SECONDS = 20.0
_TIME = "from kgpc.paper import gpu_experiment; gpu_experiment.print_seconds({key!r}, {images!r})"


def print_seconds(key, images):
    """Prints how many seconds an epoch of a network of MobileNet takes here, with all that goes on beside it.

    Args:
        key: str, key of the network, see `protocol.arm`.
        images: str, path of the folder with the images.
    """
    network = protocol.arm("MobileNet", key)
    recipe = protocol.recipe_of(network, protocol.COPIES, 3, protocol.SEARCH_SEED, protocol.SEARCH_RATES[0])
    recipe = recipe.replace(train_images=_TIMED_STEPS * recipe.batch_size // 10 * 10)
    run = Run(
        profile=protocol.GPU_PROFILE,
        family=network.family,
        model=network.key,
        variant=network.key,
        label="",
        dataset=protocol.COPIES,
        constructor=network.constructor,
        arguments=network.arguments,
        recipe=recipe,
        images=images,
    )
    data = load_dataset(protocol.COPIES, recipe.image_size, images)
    result = training.fit(run.build(len(data.class_names)), data, recipe, progress=False)
    # The first epoch compiles. Validation, which an epoch has once, is counted with every part: that is the reserve.
    print(result.history["seconds"].iloc[1:].mean() * _STEPS / _TIMED_STEPS, flush=True)


def longest(seconds, left):
    """The stage with the longest trainings that fit.

    Args:
        seconds: float, of an epoch, of the slowest network while all of them train.
        left: float, seconds there are.

    Returns:
        `protocol.Stage`, or None where not even the shortest ones fit.
    """
    for epochs in protocol.GPU_EPOCHS:
        if _START_SECONDS + epochs * seconds + _END_SECONDS <= left:
            return protocol.stage(f"gpu-{epochs}")
    return None


def perform(output, images, minutes):
    """Times, looks for rates where none are known, and trains what fits.

    Args:
        output: path of the folder with the folders of the runs.
        images: path of the folder with the images.
        minutes: float > 0, after which everything stops.

    Returns:
        `pandas.DataFrame`, the results in the folder, as `kgpc.paper.results` returns them.

    Raises:
        RuntimeError: if the timing fails, or there is not enough time for the shortest trainings.
    """
    start, images, output = time.monotonic(), str(images), str(output)
    os.makedirs(output, exist_ok=True)

    def left():
        return 60 * minutes - (time.monotonic() - start)

    keys = protocol.GPU_STAGES[0].keys
    runs = len(keys) * len(protocol.GPU_STAGES[1].seeds)
    timed = [_start(["-c", _TIME.format(key=key, images=images)], pipe=True) for key in keys * (runs // len(keys))]
    printed = [process.communicate(timeout=max(1, left()))[0] for process in timed]
    if any(process.returncode for process in timed):
        raise RuntimeError("The timing failed; what it printed says why.")
    seconds = max(float(text.split()[-1]) for text in printed)
    say(f"an epoch takes {seconds:.1f} s, {runs} networks at a time; {left():.0f} s left")
    known = experiment.joined(experiment.stored(), results(output)).drop_duplicates("name")
    if any(experiment.rate_of(known, protocol.arm("MobileNet", key), protocol.GPU_PROFILE) is None for key in keys):
        _train("gpu-rates", output, images, runs, left)
    stage = longest(seconds, left())
    if stage is None:
        raise RuntimeError(
            f"{left():.0f} s are left, too few for {min(protocol.GPU_EPOCHS)} epochs of {seconds:.1f} s."
        )
    say(f"{stage.name}; {left():.0f} s left")
    _train(stage.name, output, images, runs, left)
    return results(output)


def _start(arguments, pipe=False):
    # Several processes share the GPU: none may take all of its memory.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE if pipe else None, text=True
    )


def _train(stage, output, images, processes, left):
    """Trains a stage in several processes that share its runs; stops them when the time is over."""
    command = ["-m", "kgpc", "rerun", "--profile", "experiment", "--stages", stage]
    command += ["--output", output, "--images", images]
    started = [_start(command) for _ in range(processes)]
    for process in started:
        try:
            process.wait(timeout=max(1, left()))
        except subprocess.TimeoutExpired:
            process.terminate()
    for process in started:
        process.wait()
