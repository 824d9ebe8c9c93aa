"""Paths, texts and JSON files that somebody hands over, and files that are written whole or not at all.

Nothing but the standard library is used: `kgpc/__main__.py` reads this file without importing the package around it.
"""

import contextlib
import json
import os
import re
import secrets
import stat
from pathlib import Path

# Of a file that is being written, until it is renamed.
UNFINISHED = ".unfinished-"
# So much of the file's own name it has as well: libraries look at the end of a name, and its length has a limit.
_END_OF_NAME = 30
# The JSON files of kgpc have a few kilobytes. What is larger is another file, or meant to fill the memory.
MAX_JSON_BYTES = 2**20
# What a URL begins with; a drive of Windows has one letter. `pathlib` makes one slash of two.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(::[A-Za-z0-9+.\-]+)*:(/|$)")
_CONFLICT = re.compile(r"^(<{7}|>{7})( |$)", flags=re.MULTILINE)
# Never through a link to a place that somebody else chose, and without waiting for the other end of a pipe.
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileError(ValueError):
    """A file cannot be used; the message names it, says what is wrong and what to do."""


def path_argument(name, value):
    """The path that an argument names.

    Args:
        name: str, the argument, for the message.
        value: str or `os.PathLike`; `~` at its beginning is the home folder.

    Returns:
        `pathlib.Path`.

    Raises:
        TypeError: if `value` is neither.
        ValueError: if it is empty, is a URL, has a null character, or begins with a `~` of which no home is known.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"`{name}` must be a path, a str or Path. Received: {name}={value!r}.")
    if not text.strip():
        raise ValueError(f'`{name}` must be a path; the working directory is ".". Received: {name}={text!r}.')
    if "\0" in text:
        raise ValueError(f"`{name}` must be a path without null characters. Received: {name}={text!r}.")
    if _URL.match(text):
        raise ValueError(
            f"`{name}` must be a path of this computer, not a URL. Received: {name}={text!r}. "
            "(A folder with such a name: put ./ before it.)"
        )
    if not text.startswith("~"):
        return Path(text)
    expanded = os.path.expanduser(text)
    if os.environ.get("HOME") == "" or not os.path.isabs(expanded):
        user = re.split(r"[/\\]", text)[0]
        raise ValueError(
            f"`{name}` must be a path; no home folder is known for {user}. "
            f"Received: {name}={text!r}. (A folder with such a name: put ./ before it.)"
        )
    return Path(expanded)


def is_url(value):
    """Whether a value is a URL such as "s3://bucket/folder"."""
    match = _URL.match(value) if isinstance(value, str) else None
    return match is not None and value[match.end() - 1 :].startswith("//")


def check_target(name, path):
    """Raises before the work if a file cannot be written in the end.

    Args:
        name: str, the argument, for the message.
        path: Path of the file.

    Raises:
        FileError: a ValueError, if there is no such folder, or something else than a file is in its place.
    """
    if not path.parent.is_dir():
        raise FileError(f"`{name}` must be a file in a folder that exists. Received: {name}={str(path)!r}.")
    check_place(path)


def make_folder(name, path):
    """Makes a folder where there is none, and the folders that it lies in.

    Args:
        name: str, the argument, for the message.
        path: Path.

    Raises:
        OSError: if it cannot be made; the message names argument and folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "something else has its name" if isinstance(error, FileExistsError) else error.strerror
        raise OSError(
            error.errno,
            f"`{name}` must be a folder that can be made ({reason}). Received: {name}={str(path)!r}. "
            "Choose another folder.",
        ) from error


def check_place(path):
    """Raises a FileError if something that is neither a file nor a link has the place of a file: a folder, a pipe."""
    kind = _kind(path)
    if kind not in ("nothing", "file", "link"):
        raise FileError(f"{path} must be a file, and is a {kind}. Move it away, or choose another place.")


def check_own(path):
    """Raises a FileError if writing to a file would write elsewhere: to where a link leads, or a second name of it."""
    kind = _kind(path)
    if kind == "file" and os.lstat(path).st_nlink > 1:
        kind = "file with a second name elsewhere"
    if kind not in ("nothing", "file"):
        raise FileError(f"{path} must be a file of its own, and is a {kind}. Move it away.")


def _kind(path):
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    return _kind_of(mode)


def _kind_of(mode):
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFLNK: "link",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "device")


@contextlib.contextmanager
def replacing(path):
    """A path to write to, which takes the place of `path` when all is written and on the disk.

    Its name is new each time, and it is made where nothing is, so that neither another process nor a link that somebody
    left there gets what is written. A link in the place of `path` is replaced; what it leads to stays as it is. If an
    exception is raised, `path` stays as it was.

    Args:
        path: path of the file.

    Yields:
        Path of an empty file beside it, whose name ends as that of `path` does.

    Raises:
        FileError: if a folder or a pipe is in the file's place.
    """
    path = Path(path)
    check_place(path)
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}-{path.name[-_END_OF_NAME:]}")
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o666))
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Forces a change of names in a folder to the disk, where the system can do that."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # a folder that may not be read, or a file system without this
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
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)


def write(path, content):
    """Writes a file whole or not at all.

    Args:
        path: path.
        content: bytes, or a str for UTF-8; in a str, what UTF-8 cannot have (names that are none) is escaped.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))


def write_json(path, values):
    """Writes plain values as a JSON file, whole or not at all; NaN and infinity are a ValueError, JSON has neither."""
    write(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def append(path, text):
    """Adds text to the end of a file, which is made where there is none; never through a link.

    Raises:
        FileError: see `check_own`.
    """
    check_own(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o666)
    with open(descriptor, "ab") as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def read_text(path, max_bytes=None):
    """The text of a file in UTF-8.

    Args:
        path: path.
        max_bytes: int, what a longer file is refused for; None for any length.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read.
        FileError: if it is no file (which is noticed before anything waits for it), too long, or not UTF-8.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise FileError(f"{path} must be a file, and is a {_kind_of(mode)}. Move it away.")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(-1 if max_bytes is None else max_bytes + 1)
    finally:
        os.close(descriptor)
    return decode(content, path, max_bytes)


def decode(content, name, max_bytes=None):
    """The text that bytes are in UTF-8; `name` is what a `FileError` calls them."""
    if max_bytes is not None and len(content) > max_bytes:
        raise FileError(f"The file {name} is damaged or another one: it has more than {max_bytes:,} bytes.")
    try:
        return content.decode("utf-8-sig")  # editors of Windows put a mark before the text
    except UnicodeDecodeError as error:
        raise FileError(f"The file {name} is damaged or another one: it is not UTF-8 ({error}).") from error


def read_json(path):
    """The JSON object in a file.

    Returns:
        dict.

    Raises:
        FileNotFoundError, OSError: see `read_text`.
        FileError: if the file has something else; see `parse_json`.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES), path)


def parse_json(text, name):
    """The JSON object in a text.

    Args:
        text: str.
        name: what the message calls it.

    Returns:
        dict.

    Raises:
        FileError: if it is no JSON, no object, has a key twice, a number that is none (NaN, Infinity), or nests as deep
            as nothing that kgpc writes.
    """
    if has_conflict(text):
        raise FileError(
            f"The file {name} has conflict markers of a merge (<<<<<<<): take one of the two sides, for instance with "
            "git checkout --ours or --theirs."
        )

    def refuse(constant):
        raise ValueError(f"it has the number {constant}")

    def pairs(items):
        values = dict(items)
        if len(values) < len(items):
            raise ValueError("it has a key twice")
        return values

    try:
        values = json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)
    except RecursionError as error:
        raise FileError(f"The file {name} is damaged or another one: it nests too deep.") from error
    except ValueError as error:
        raise FileError(f"The file {name} is damaged or another one, not JSON as kgpc writes it: {error}.") from error
    if not isinstance(values, dict):
        raise FileError(f"The file {name} is damaged or another one: it has a {type(values).__name__}, no object.")
    return values


def has_conflict(text):
    """Whether a text has the lines that git leaves where two versions could not be merged."""
    return _CONFLICT.search(text) is not None
