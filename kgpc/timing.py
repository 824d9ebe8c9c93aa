"""Timing training and prediction steps so that two sides can be compared on a noisy machine.

All sides are timed in turns within one run, and medians are compared: whatever slows the machine slows every side
alike.
"""

import math
import statistics
import time

import keras
import numpy as np

import kgpc
from kgpc import device_steps
from kgpc.arguments import integer, mapping, number, positive_integer, received, shown

# More than this is no measurement but a machine without memory.
_MOST_BYTES = 2**34
_MOST_PASSES = 1_000_000


def _bytes(name, value, used):
    """Refuses an argument whose arrays would fill the memory of an ordinary machine."""
    if used > _MOST_BYTES:
        raise ValueError(
            f"`{name}` must leave an array below {_MOST_BYTES / 2**30:.0f} GiB. Received: {name}={shown(value)}, "
            f"{used / 2**30:.3g} GiB."
        )


def _checked_shapes(model):
    """Shapes of the input and the output of a model without the batch axis; both must be fixed."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received('model', model)}")
    # Subclassed models have no such attributes, and models that were not built refuse to tell.
    inputs, outputs = (getattr(model, name, None) for name in ("input", "output"))
    if not hasattr(inputs, "shape") or not hasattr(outputs, "shape"):
        raise ValueError(
            "`model` must be a functional or sequential Keras model that was built, with one input and one output. "
            + received("model", model)
        )
    shape = tuple(inputs.shape[1:])
    if None in shape:
        raise ValueError(
            f"`model` must have been built with a fixed image size to be timed. Received: input shape {shape}."
        )
    return shape, tuple(outputs.shape[1:])


def _images(shape, batch_size):
    """A batch of random images."""
    batch_size = positive_integer("batch_size", batch_size)
    _bytes("batch_size", batch_size, 4 * batch_size * math.prod(shape))
    return np.random.default_rng(0).random((batch_size, *shape), dtype="float32")


def train_step(model, batch_size, learning_rate=1e-4):
    """One compiled training step (RMSprop, cross-entropy) on a batch of random images that is ready in memory.

    Args:
        model: a Keras classifier with a softmax, built with a fixed image size. On TensorFlow and PyTorch its weights
            change; on JAX the steps train a copy.
        batch_size: int >= 1, images in the batch.
        learning_rate: float > 0, of RMSprop.

    Returns:
        Function without arguments that runs one step, waits for its end, and returns the loss.

    Raises:
        TypeError: if `model` is not a Keras model, or a number is of another type.
        ValueError: if `model` is not a classifier with an image size, `batch_size` is smaller than 1 or needs 16 GiB,
            or `learning_rate` is not positive and finite.
    """
    shape, output = _checked_shapes(model)
    if len(output) != 1:
        raise ValueError(
            f"`model` must be a classifier: its output must have the shape (classes,). Received: output shape {output}."
        )
    learning_rate = number("learning_rate", learning_rate, above=0)
    images = _images(shape, batch_size)
    labels = keras.utils.to_categorical(np.arange(batch_size) % output[0], output[0])
    # Without XLA, which makes these models several times slower on a processor.
    model.compile(keras.optimizers.RMSprop(learning_rate), "categorical_crossentropy", jit_compile=False)
    return device_steps.train(model, images, labels)


def predict_step(model, batch_size):
    """One compiled prediction on a batch that is ready in memory, without the overhead of `model.predict`.

    Args:
        model: a Keras model built with a fixed image size.
        batch_size: int >= 1, images in the batch.

    Returns:
        Function without arguments that predicts and waits for the end.

    Raises:
        TypeError: if `model` is not a Keras model, or `batch_size` is not an integer.
        ValueError: if the image size of the model is open, or `batch_size` is smaller than 1 or needs 16 GiB.
    """
    return device_steps.predict(model, _images(_checked_shapes(model)[0], batch_size))


def seconds_in_turns(steps, rounds=7, warmup=2):
    """Runs several steps in turns and reports the time of each run.

    Args:
        steps: dict of name -> function without arguments.
        rounds: int >= 1, timed runs of each.
        warmup: int >= 0, runs before the clock starts (compilation, first touch of memory).

    Returns:
        dict of name -> list of seconds, one for each round. Runs of the same round stand at the same place, so that
        their ratios can be taken pair by pair.

    Raises:
        TypeError: if `steps` is not a dict of functions, or a number is not an integer.
        ValueError: if `steps` is empty, `rounds` is smaller than 1, or `warmup` is negative.
    """
    mapping("steps", steps, "functions without arguments")
    for name, step in steps.items():
        if not callable(step):
            raise TypeError(f"`steps` must hold functions. {received(f'steps[{name!r}]', step)}")
    rounds, warmup = positive_integer("rounds", rounds), integer("warmup", warmup, smallest=0)
    seconds = {name: [] for name in steps}
    device_steps.compile_side_by_side(steps.values())
    for step in steps.values():
        for _ in range(warmup):
            step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def in_turns(steps, rounds=7, warmup=2):
    """Runs several steps in turns and reports the median time of each.

    Args:
        steps: as for `seconds_in_turns`.
        rounds: likewise.
        warmup: likewise.

    Returns:
        dict of name -> median seconds.

    Raises:
        TypeError, ValueError: as `seconds_in_turns`.
    """
    return {name: statistics.median(values) for name, values in seconds_in_turns(steps, rounds, warmup).items()}


def machine():
    """What a measured time depends on, for a column beside each.

    Returns:
        dict of str: "machine", the name of the GPU or of the processor with its vector instructions and cores, which
        names no computer; "backend" of Keras; "precision", the name of its dtype policy, such as "float32" or
        "mixed_bfloat16"; "keras" and "kgpc", versions.
    """
    return {
        "machine": device_steps.device(),
        "backend": keras.backend.backend(),
        "precision": keras.config.dtype_policy().name,
        "keras": keras.version(),
        "kgpc": kgpc.__version__,
    }


def _fastest(step, rounds, warmup=2):
    """Seconds of the fastest run: what a limit is measured by, for whatever else the machine does only slows it."""
    return min(in_turns({"step": step}, rounds=1, warmup=0 if number else warmup)["step"] for number in range(rounds))


def _compiled(function):
    """The function as the backend runs it fastest."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def _repeated(function, passes):
    """A compiled function that applies another one `passes` times, each to the result of the one before."""
    return _compiled(lambda x: keras.ops.fori_loop(0, passes, lambda _, values: function(values), x))


def memory_bandwidth(megabytes=256, rounds=7):
    """How fast a feature map that fits no cache is read and written: what an activation or an addition can reach.

    Args:
        megabytes: int >= 1, size of the array in units of 2**20 bytes; more than the caches hold.
        rounds: int >= 1, timed runs, of which the fastest counts.

    Returns:
        Bytes per second, read and written bytes together.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is smaller than 1, or `megabytes` above 16384.
    """
    positive_integer("rounds", rounds)
    megabytes = positive_integer("megabytes", megabytes)
    _bytes("megabytes", megabytes, megabytes * 2**20)
    elements = megabytes * 2**20 // 4
    values = keras.ops.ones((elements // 1024, 1024), "float32")
    step = _compiled(lambda x: x + 1.0)
    return 2 * 4 * elements / _fastest(lambda: keras.ops.convert_to_numpy(step(values)[:1]), rounds)


def matrix_product_rate(size=2048, rounds=7):
    """How fast float32 matrices are multiplied: the most arithmetic that a convolution can hope for.

    Args:
        size: int >= 1, rows and columns of the square matrices.
        rounds: int >= 1, timed runs, of which the fastest counts.

    Returns:
        Floating point operations per second; a multiplication and the addition after it are two.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is smaller than 1, or `size` above 65536.
    """
    positive_integer("rounds", rounds)
    size = positive_integer("size", size)
    _bytes("size", size, 4 * size**2)
    matrix = keras.ops.ones((size, size), "float32")
    step = _compiled(lambda x: keras.ops.matmul(x, x))
    return 2 * size**3 / _fastest(lambda: keras.ops.convert_to_numpy(step(matrix)[:1]), rounds)


def cache_bandwidth(kilobytes=1024, rounds=7, passes=100):
    """How fast a feature map is read and written that the processor's caches, or those of a GPU, hold.

    Args:
        kilobytes: int >= 1, size of the array in units of 2**10 bytes; less than half of what the caches hold.
        rounds: int >= 1, timed runs, of which the fastest counts.
        passes: int in [1, 1000000], how often the array is read and written in a run; many, so that starting it hardly
            counts.

    Returns:
        Bytes per second, read and written bytes together.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range, or `kilobytes` above 16777216.
    """
    positive_integer("rounds", rounds)
    kilobytes, passes = positive_integer("kilobytes", kilobytes), integer("passes", passes, 1, _MOST_PASSES)
    _bytes("kilobytes", kilobytes, kilobytes * 2**10)
    values = keras.ops.ones((kilobytes, 256), "float32")
    step = _repeated(lambda x: x + 1.0, passes)
    seconds = _fastest(lambda: keras.ops.convert_to_numpy(step(values)[:1]), rounds)
    return 2 * kilobytes * 2**10 * passes / seconds


def narrow_product_rate(channels=16, rows=8192, rounds=7, passes=100):
    """How fast rows of few channels are multiplied by a small matrix: what the arithmetic of narrow groups can reach.

    Each group of a grouped pointwise convolution is such a product. The rows stay in the cache.

    Args:
        channels: int >= 1, columns of the rows, and rows and columns of the matrix.
        rows: int >= 1.
        rounds: int >= 1, timed runs, of which the fastest counts.
        passes: int in [1, 1000000], products in a run, each of the result of the one before.

    Returns:
        Floating point operations per second; a multiplication and the addition after it are two.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range, or the rows take more than 16 GiB.
    """
    positive_integer("rounds", rounds)
    channels, rows = positive_integer("channels", channels), positive_integer("rows", rows)
    passes = integer("passes", passes, 1, _MOST_PASSES)
    _bytes("channels", channels, 4 * channels**2)
    _bytes("rows", rows, 4 * rows * channels)
    # Its products stay as large as what is multiplied.
    matrix = keras.ops.full((channels, channels), 1 / channels, "float32")
    step = _repeated(lambda x: keras.ops.matmul(x, matrix), passes)
    values = keras.ops.ones((rows, channels), "float32")
    return 2 * rows * channels**2 * passes / _fastest(lambda: keras.ops.convert_to_numpy(step(values)[:1]), rounds)
