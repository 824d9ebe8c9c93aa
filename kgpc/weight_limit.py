"""A limit on the weights that layers get while a model is built from a description that nobody vouches for.

Keras takes memory for a weight as soon as it knows its shape. A file of a few lines can describe a layer of many GB,
and that the file has no such weight is noticed only when all layers are there.
"""

import contextlib
import math
import numbers
import threading

import keras

# `keras.layers.Layer` is everybody's: one thread at a time takes it, and counts what it builds itself.
_lock = threading.RLock()


@contextlib.contextmanager
def limited(most):
    """Lets the layers that are built have weights of so many numbers together, and no more.

    What other threads build meanwhile is not counted.

    Args:
        most: int, the numbers in all weights together. States of random generators, two numbers each, do not count.

    Returns:
        Context manager.

    Raises:
        ValueError: at its end, if a layer asked for a weight beyond the limit. That was not made, whatever Keras made
            of the refusal. The message names the layer.
    """
    refused, left, ours = [], most, threading.get_ident()

    def add_weight(layer, *args, **kwargs):
        nonlocal left
        if threading.get_ident() == ours:
            shape = args[0] if args else kwargs.get("shape")
            left -= _count(shape)
            if left < 0:
                named = str(getattr(layer, "name", ""))[:80]
                refused.append(
                    ValueError(
                        f"with a weight of {named!r} of shape {_text(shape)} it needs more than {most:,} numbers"
                    )
                )
                raise refused[-1]
        return made(layer, *args, **kwargs)

    # There is no way to build a model without its weights: in a `keras.StatelessScope` memory is taken later, but then
    # for all that was asked for, even if the scope was left by an error.
    with _lock:
        made = keras.layers.Layer.add_weight
        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = made
            if refused:
                raise refused[0]


def _count(shape):
    """The numbers in an array; sides that are none are left to Keras to refuse."""
    sides = shape if isinstance(shape, (tuple, list)) else [shape]
    return math.prod(abs(int(side)) for side in sides if isinstance(side, numbers.Real))


def _text(shape):
    text = str(tuple(shape) if isinstance(shape, (tuple, list)) else shape)
    return text if len(text) <= 80 else f"{text[:77]}..."
