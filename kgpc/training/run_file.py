"""The file `run.json`, in which a folder says which run it belongs to.

It may be damaged, of another version, or of another program; then the message says so, and what to do.
"""

import json

from kgpc.training.files import opened

RUN_FILE = "run.json"
# A file without a format is of a version that did not say which images and weights a run began with.
_FORMAT = 2
_MOST_BYTES = 2**26


class DamagedCheckpoint(ValueError):
    """What a folder says about its run, or all of its states, cannot be used."""


def write_run(path, identity, fingerprints, versions):
    """Writes what a folder says about its run.

    Args:
        path: Path.
        identity: dict, as `kgpc.training.identity.identity` returns it.
        fingerprints: list, of the initial weights.
        versions: dict of str.
    """
    text = json.dumps({"format": _FORMAT, "identity": identity, "versions": versions}, indent=2)
    # Hundreds of numbers, one below the other, would bury what people want to read.
    text = f'{text.removesuffix("}").rstrip()},\n  "initial_weights": {json.dumps(fingerprints)}\n}}\n'
    path.write_text(text, encoding="utf-8")


def read_run(path):
    """Reads what a folder says about its run.

    Args:
        path: Path of a `run.json`.

    Returns:
        dict with `identity`, `initial_weights` and `versions`.

    Raises:
        DamagedCheckpoint: if it cannot be read, or another program wrote it.
        ValueError: if it is of another version of kgpc.
    """
    advice = "Choose another folder, or remove what is in this one."
    try:
        with opened(path) as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        run = json.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {short(error)}. {advice}") from error
    identity = run.get("identity") if isinstance(run, dict) else None
    if isinstance(identity, dict) and "format" not in run and {"recipe", "model", "data"} <= identity.keys():
        raise ValueError(
            f"{path} is of an earlier version of kgpc, which did not note with which images and initial weights a run "
            "began, so this one cannot go on with it. history.csv and best.weights.h5 beside it can be used as before. "
            "Choose another folder."
        )
    if isinstance(run, dict) and isinstance(run.get("format"), int) and run["format"] > _FORMAT:
        raise ValueError(f"{path} is of a later version of kgpc. Update kgpc, or choose another folder.")
    if (
        not isinstance(run, dict)
        or run.get("format") != _FORMAT
        or not isinstance(identity, dict)
        or not isinstance(run.get("versions"), dict)
        or not all(isinstance(version, str) for version in run["versions"].values())
        or not _are_fingerprints(run.get("initial_weights"))
    ):
        raise DamagedCheckpoint(
            f"{path} is damaged: it does not describe a run of kgpc.training.fit, as if another program had written "
            f"it. {advice}"
        )
    return run


def _are_fingerprints(value):
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(number, float) for number in pair)
        for pair in value
    )


def differences_between(old, new, where=""):
    """What differs between two nested values of JSON files, in words.

    Args:
        old: value "there".
        new: value "here".
        where: str, what both are.

    Yields:
        str, one for each difference; of two lists of the same length the first.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences_between(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        # One of them says enough.
        for position, (one, other) in enumerate(zip(old, new, strict=True)):
            if one != other:
                yield f"{where}[{position}] is {_short_repr(one)} there and {_short_repr(other)} here"
                break
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{where} has {len(old)} values there and {len(new)} here"
    elif old != new:
        yield f"{where} is {_short_repr(old)} there and {_short_repr(new)} here"


def short(error):
    """The message of an error, at most 300 letters of it."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + " ..."


def _short_repr(value):
    try:
        text = repr(value)
    except RecursionError:
        text = "something deeply nested"
    return text if len(text) <= 300 else text[:300] + " ..."
