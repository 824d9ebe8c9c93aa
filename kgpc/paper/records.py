"""What the JSON files of a run must hold: which keys, of which kind, in which range.

A folder with results can come from somebody else, another version, or a disk that damaged it. What is read from these
files is what they are for, and nothing else: other keys are left out, and a value that cannot be is a `FileError`.
"""

import math
import numbers

from kgpc.files import FileError

_LARGEST = 2**63 - 1  # of the tables' integers
# Keras computes the mean of the training losses with rounded logarithms, which can be a little below zero.
_SMALLEST_LOSS = -1e-3


class Text:
    """A text without control characters, which could make a terminal do something."""

    wanted = "a text of printable characters"

    def __init__(self, empty=True):
        self.empty = empty

    def holds(self, value):
        """Whether a value is one."""
        return isinstance(value, str) and value.isprintable() and (self.empty or bool(value.strip()))


class Whole:
    """An integer in a range."""

    def __init__(self, low=0, high=_LARGEST):
        self.low, self.high = low, high
        self.wanted = f"a whole number of at least {low}" if high == _LARGEST else f"a whole number in [{low}, {high}]"

    def holds(self, value):
        """Whether a value is one."""
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high


class Number:
    """A finite number in a range."""

    def __init__(self, low, high=math.inf):
        self.low, self.high = low, high
        self.wanted = f"a number of at least {low}" if high == math.inf else f"a number in [{low}, {high}]"

    def holds(self, value):
        """Whether a value is one."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        return abs(value) <= _LARGEST and self.low <= value <= self.high


class Flag:
    """True or false."""

    wanted = "true or false"

    def holds(self, value):
        """Whether a value is one."""
        return isinstance(value, bool)


class Optional:
    """Another kind, null, or nothing at all."""

    def __init__(self, kind):
        self.kind, self.wanted = kind, f"{kind.wanted}, or null"

    def holds(self, value):
        """Whether a value is one."""
        return value is None or self.kind.holds(value)


class Object:
    """An object with such values, of which only these keys are taken."""

    wanted = "an object"

    def __init__(self, **kinds):
        self.kinds = kinds

    def holds(self, value):
        """Whether a value is an object; its values are checked one by one."""
        return isinstance(value, dict)


METRICS = Object(
    parameters=Whole(1),
    flops=Whole(0),
    data=Text(empty=False),
    train_images=Whole(1),
    test_accuracy=Optional(Number(0, 1)),
    test_loss=Optional(Number(0)),
    test_images=Optional(Whole(1)),
    mirrored_test_accuracy=Optional(Number(0, 1)),
    epochs=Whole(1),
    best_epoch=Whole(1),
    validation_accuracy=Number(0, 1),
    validation_loss=Optional(Number(0)),
    training_loss=Number(_SMALLEST_LOSS),
    training_seconds=Number(0),
)
CONFIG = Object(
    name=Text(empty=False),
    profile=Text(empty=False),
    family=Text(empty=False),
    model=Text(empty=False),
    variant=Text(empty=False),
    label=Text(),
    dataset=Text(empty=False),
    tested=Optional(Flag()),
    arguments=Object(scheme=Optional(Text())),
    recipe=Object(
        seed=Whole(0, 2**32 - 1),
        epochs=Whole(1),
        batch_size=Whole(1),
        batch_norm_momentum=Optional(Number(0, 1)),
        image_size=Whole(1),
        learning_rate=Object(peak=Optional(Number(0)), base=Optional(Number(0))),
    ),
)
_VERSION = Optional(Text())
VERSIONS = Object(
    kgpc=Text(empty=False),
    python=Text(empty=False),
    keras=Text(empty=False),
    backend=_VERSION,
    tensorflow=_VERSION,
    jax=_VERSION,
    torch=_VERSION,
    processor=_VERSION,
)


def checked(values, kinds, name, where=""):
    """The values of an object that its kind has.

    Args:
        values: dict, from JSON.
        kinds: `Object`.
        name: what the message calls the file.
        where: str, keys of the objects around it, each with a dot behind.

    Returns:
        dict with the keys of `kinds`; None for what is optional and missing.

    Raises:
        FileError: a ValueError, if a key is missing or its value is none of this kind.
    """
    result = {}
    for key, kind in kinds.kinds.items():
        if key not in values and not isinstance(kind, Optional):
            raise FileError(f"The file {name} is damaged or another one: `{where}{key}` is missing.")
        value = values.get(key)
        if not kind.holds(value):
            raise FileError(
                f"The file {name} is damaged or another one: `{where}{key}` must be {kind.wanted}. "
                f"Received: {where}{key}={short(value)}."
            )
        result[key] = checked(value, kind, name, f"{where}{key}.") if isinstance(kind, Object) else value
    return result


def checked_run(config, metrics, folder, names):
    """Configuration and metrics of one complete run, checked, also against each other.

    Args:
        config: dict, from JSON.
        metrics: dict, from JSON.
        folder: str, name of the folder that they are in.
        names: what messages call the two files.

    Returns:
        Tuple of two dicts.

    Raises:
        FileError: a ValueError, if something is missing or cannot be.
    """
    config = checked(config, CONFIG, names[0])
    metrics = checked_metrics(metrics, config["tested"] is not False, names[1])
    if config["name"] != folder:
        raise FileError(
            f"The file {names[0]} is that of another run: `name` must be the folder's, {folder!r}. "
            f"Received: name={short(config['name'])}."
        )
    epochs = config["recipe"]["epochs"]
    if metrics["epochs"] != epochs or metrics["best_epoch"] > epochs:
        raise FileError(
            f"The file {names[1]} is that of another run: `epochs` must be the recipe's, {epochs}, and `best_epoch` "
            f"one of them. Received: epochs={metrics['epochs']}, best_epoch={metrics['best_epoch']}."
        )
    return config, metrics


def checked_metrics(metrics, tested, name):
    """The metrics of a run, checked.

    Args:
        metrics: dict.
        tested: bool, whether the run was tested on test images.
        name: what the message calls the file.

    Returns:
        dict.

    Raises:
        FileError: a ValueError, if something is missing or cannot be.
    """
    metrics = checked(metrics, METRICS, name)
    for key in ("test_accuracy", "test_loss", "test_images"):
        if tested and metrics[key] is None:
            raise FileError(f"The file {name} is damaged or another one: `{key}` is missing.")
    return metrics


def short(value):
    """A value in ASCII, not longer than a line."""
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
