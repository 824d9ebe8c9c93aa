"""How files of a run come to the disk and from it: as a whole or not at all, and only where they are files.

Whoever writes into a folder that others can write to must not follow what they planted there: an unfinished file has
a name that nobody knows before, and is made only where nothing has that name.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path

_UNFINISHED = ".unfinished-"


@contextlib.contextmanager
def replacing(path):
    """A path to write to, which replaces `path` only when all is written and on the disk.

    A link in the place of `path` is replaced; what it leads to stays as it is.

    Args:
        path: Path.

    Yields:
        Path of an empty file beside it, with the same suffixes and a name that is used once.
    """
    path = Path(path)
    unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}-{path.name}")
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Forces a change of names in a folder to the disk, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_unfinished(folder):
    """Removes what killed processes left unfinished in a folder; only for the one that works there.

    Args:
        folder: Path.
    """
    for path in folder.glob(f"{_UNFINISHED}*"):
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)


def check_file(path, links=True):
    """Refuses what is in the place of a file, such as a folder or a named pipe, from which reading would never return.

    Args:
        path: Path; nothing need be there.
        links: bool, whether it may be a link to a file, or a file with a second name elsewhere.

    Raises:
        ValueError: if it is there and no file.
    """
    try:
        status = path.stat() if links else path.lstat()
        mode = status.st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            return
        kind = "a link that leads nowhere"
    except OSError as error:
        kind = f"not accessible ({error.strerror})"
    else:
        if stat.S_ISREG(mode):
            if links or status.st_nlink <= 1:
                return
            raise ValueError(f"{path} must be a file with one name, but has {status.st_nlink}. Remove it.")
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFLNK: "a link"}
        kind = kinds.get(stat.S_IFMT(mode), "something special")
    raise ValueError(f"{path} must be a file, but is {kind}. Remove it, or choose another folder.")


@contextlib.contextmanager
def opened(path):
    """A file opened for reading bytes, which is a file for sure; opening anything else would not return or surprise.

    Args:
        path: Path.

    Yields:
        binary file.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is no file.
    """
    check_file(path)
    # Should it have become a named pipe in the meantime, this does not wait for somebody who writes into it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} must be a file.")
        yield file
