"""Whether what a run finds in its folder are files; how they are written, `kgpc.files` says."""

import contextlib
import os
import stat


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
