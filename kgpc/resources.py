"""Finds the files of the data folder, in a checkout as well as in an installed package.

The repository keeps its data in the top-level folder `data/`, beside the package. A wheel carries the same folder
inside the package, as `kgpc/_data`. Every module that reads a shipped file asks `data_path` for it.
"""

import importlib.resources
import os
from pathlib import Path, PureWindowsPath

from kgpc.arguments import received, shown


def _package_folder():
    """The folder that holds the modules of kgpc."""
    return Path(str(importlib.resources.files(__package__)))


def data_path(name):
    """Returns where a shipped data file lies on this computer.

    Args:
        name: str, path relative to the data folder with forward slashes, for example `"published/errata.csv"`.

    Returns:
        `pathlib.Path` of an existing file.

    Raises:
        TypeError: if `name` is not a str.
        ValueError: if `name` is empty, absolute, or leads out of the data folder.
        FileNotFoundError: if there is no such file; the message says where it was looked for.

    Example:
    >>> data_path("published/errata.csv").name
    'errata.csv'
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str. {received('name', name)}")
    # The Windows flavour knows both kinds of separator and drive letters, so the rule is the same on every system.
    relative = PureWindowsPath(name)
    if not relative.parts or relative.anchor or ".." in relative.parts:
        raise ValueError(f"`name` must be a relative path inside the data folder. Received: name={shown(name)}.")

    package = _package_folder()
    installed, checkout = package / "_data", package.parent / "data"
    # An installed package must not pick up an unrelated folder called `data` that happens to lie beside it.
    folder = installed if installed.is_dir() else checkout
    path = folder.joinpath(*relative.parts)
    # Not Path.is_file(), which reports some names that no file can have, such as one too long, as errors of the system.
    if not os.path.isfile(path):
        looked = str(path)
        if folder == checkout:
            looked += f" (a checkout) and {installed.joinpath(*relative.parts)} (a wheel)"
        raise FileNotFoundError(f"The data file {shown(name)} of kgpc is missing. Looked for: {looked}.")
    return path
