"""Errors about arguments of a function, said as errors about options of the command line (standard library only)."""

from pathlib import Path

from . import files


def as_options(error, names):
    """What an error says, in one line, with the names of arguments as the options that stand for them.

    Args:
        error: exception whose message has names of arguments in backticks.
        names: dict from names of arguments to those of options, such as {"min_channels": "--min-channels"}.

    Returns:
        str.
    """
    text = " ".join(str(error).split())
    for argument, option in names.items():
        text = text.replace(f"`{argument}`", option).replace(f"Received: {argument}=", f"Received: {option} ")
    return text


def check_other_file(option, path, source):
    """Raises `kgpc.files.FileError` where a file to write is the model that is read, which would be lost.

    Args:
        option: str, such as "--output".
        path: `pathlib.Path` or None, the file to write.
        source: `pathlib.Path` of the model.
    """
    if path is not None and Path(path).resolve() == Path(source).resolve():
        raise files.FileError(f"{option} must be another file than the model itself, {str(source)!r}.")
