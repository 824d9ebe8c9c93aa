"""Checks of the arguments of all architectures, before anything is built.

Each check returns the value in the plain Python type that layers store, so that NumPy's numbers can be passed too. A
bool is no number and a text is no bool: "no" would count as True.
"""

import math
import numbers
import os

import keras

from kgpc import weights as weight_files
from kgpc.arguments import boolean
from kgpc.grouping import check_scheme, positive_integer

# Wider and deeper than any published network; a slip of the finger asks for more memory than there is.
MAX_FACTOR = 100


def check_arguments(*, scheme, include_top, pooling, classes, classifier_activation, name):
    """Checks the arguments that all architectures have.

    Returns:
        `classes` as an int.

    Raises:
        TypeError: if a number is not an integer, a bool not a bool, or `name` no text.
        ValueError: if an argument is out of its range.
    """
    check_scheme(scheme)
    check_flags(include_top=include_top)
    if not (pooling is None or isinstance(pooling, str) and pooling in ("avg", "max")):
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}.')
    check_activations(classifier_activation=classifier_activation)
    if not (name is None or isinstance(name, str)):
        raise TypeError(f"`name` must be a text or None. Received: name={name!r} ({type(name).__name__}).")
    if name is not None and "/" in name:
        raise ValueError(f"`name` must have no slash. Received: name={name!r}.")
    return positive_integer("classes", classes)


def is_name_of_weights(weights):
    """Whether `weights` is a name, rather than None or the path of an existing file.

    Returns:
        bool. A name is a bare word without a suffix, unlike a file of any of the formats.

    Raises:
        TypeError: if it is neither a text nor a path.
        FileNotFoundError: if there is no such file.
    """
    if weights is None:
        return False
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            f"`weights` must be None, the path of a weight file or a name. Received: weights={weights!r} "
            f"({type(weights).__name__})."
        )
    try:
        weight_files.existing_file(weights, "weights")
    except FileNotFoundError:
        if isinstance(weights, str) and weights.strip("."):
            head, tail = os.path.split(weights)
            if not head and tail and not os.path.splitext(tail)[1]:
                return True
        raise
    return False


def check_flags(**flags):
    """Raises TypeError where a value is neither a bool nor a `np.bool_`: "no" and 2 would count as True."""
    for name, value in flags.items():
        boolean(name, value)


def check_activations(**activations):
    """Raises ValueError where a value is neither None, the name of an activation of Keras nor a function."""
    for name, value in activations.items():
        if value is None or callable(value):
            continue
        try:
            known = isinstance(value, str) and callable(keras.activations.get(value))
        except (TypeError, ValueError):
            known = False
        if not known:
            raise ValueError(
                f'`{name}` must be the name of an activation of Keras, such as "relu", a function or None. '
                f"Received: {name}={value!r}."
            )


def check_regularizer(name, value):
    """Raises ValueError where a value is neither None nor what Keras takes for a regularizer."""
    try:
        known = value is None or (not isinstance(value, (bool, numbers.Number)) and keras.regularizers.get(value))
    except (TypeError, ValueError, AttributeError, KeyError):
        known = False
    if not (value is None or known):
        raise ValueError(
            f'`{name}` must be None or a regularizer of Keras, such as keras.regularizers.L2(1e-4) or "l2". '
            f"Received: {name}={value!r}."
        )


def integer(name, value, low, high=None):
    """An integer of at least `low`, and at most `high` where that is given.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is out of its range.
    """
    allowed = f"an integer of at least {low}" if high is None else f"an integer in [{low}, {high}]"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be {allowed}. Received: {name}={value!r} ({type(value).__name__}).")
    if value < low or (high is not None and value > high):
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value}.")
    return int(value)


def skip_count(value):
    """`skip_stride_cnt`: an integer of at least -1.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is smaller.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`skip_stride_cnt` must be an integer of at least -1. Received: skip_stride_cnt={value!r} "
            f"({type(value).__name__})."
        )
    if value < -1:
        raise ValueError(f"`skip_stride_cnt` must be at least -1. Received: skip_stride_cnt={value}.")
    return int(value)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def positive(name, value):
    """A finite number above 0, at most `MAX_FACTOR`.

    Raises:
        ValueError: if it is anything else.
    """
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be a finite number above 0. Received: {name}={value!r}.")
    if value > MAX_FACTOR:
        raise ValueError(f"`{name}` must be at most {MAX_FACTOR}. Received: {name}={value!r}.")
    return float(value)


def fraction(name, value):
    """A fraction in [0, 1].

    Raises:
        ValueError: if it is anything else.
    """
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a fraction in [0, 1]. Received: {name}={value!r}.")
    return float(value)


def dropout_rate(value):
    """`dropout`: a fraction in [0, 1).

    Raises:
        ValueError: if it is anything else.
    """
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"`dropout` must be a fraction in [0, 1). Received: dropout={value!r}.")
    return float(value)
