"""Downloaded data sets that outlive a computer on loan: archives are kept elsewhere, such as on Google Drive.

`keras.datasets` leaves the archive that it downloaded in its own folder and unpacks it beside it each time. Only the
archives are kept: one large file is what a network drive reads fast, and Keras compares its checksum before use.
"""

import os
import pathlib
import shutil

from kgpc.datasets.arguments import check_path
from kgpc.files import make_folder, replacing


def downloads_folder():
    """`pathlib.Path` of the folder in which Keras leaves what it downloads; it may not exist yet."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return pathlib.Path(home).expanduser() / "datasets"


def keep_downloads(folder):
    """Copies archives that `keras.datasets` downloaded to a folder that outlives this computer.

    A file that is there with the same size is not copied again. Each is written beside its place and then renamed.

    Args:
        folder: path, for instance on Google Drive; it is made where it does not exist.

    Returns:
        List of str, names of the files that were copied.

    Raises:
        TypeError, ValueError: if `folder` is no path.
        OSError: if it cannot be written to.
    """
    folder = check_path("folder", folder)
    make_folder("folder", folder)
    return _copy(downloads_folder(), folder)


def restore_downloads(folder):
    """Copies what `keep_downloads` kept to where `keras.datasets` looks before it downloads.

    A file that is there with the same size is left alone. Keras compares the checksum of what it finds, and downloads
    it again if that is another.

    Args:
        folder: path; one that does not exist has nothing.

    Returns:
        List of str, names of the files that were copied.

    Raises:
        TypeError, ValueError: if `folder` is no path.
        OSError: if Keras' folder cannot be written to.
    """
    folder = check_path("folder", folder)
    return _copy(folder, downloads_folder())


def _copy(source, target):
    copied = []
    for path in sorted(source.iterdir()) if source.is_dir() else ():
        # What has a dot in front is unfinished or somebody else's; folders are what Keras unpacked.
        if path.name.startswith(".") or path.is_symlink() or not path.is_file():
            continue
        there = target / path.name
        if there.is_file() and there.stat().st_size == path.stat().st_size:
            continue
        target.mkdir(parents=True, exist_ok=True)
        with replacing(there) as unfinished:
            shutil.copyfile(path, unfinished)
        copied.append(path.name)
    return copied
