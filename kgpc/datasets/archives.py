"""Unpacks zip and tar archives from the internet without trusting them."""

import errno
import gzip
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib

from kgpc.arguments import integer, text
from kgpc.datasets.arguments import check_path
from kgpc.datasets.tar_archives import ArchiveError, Budget, tar_entries

# What the largest of the paper's archives needs, with room to spare.
MAX_BYTES = 8 * 2**30
MAX_FILES = 200_000

_BLOCK = 2**20


def sha256_of(path):
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extract_archive(path, folder, sha256=None, max_bytes=MAX_BYTES, max_files=MAX_FILES):
    """Unpacks a zip or tar archive (`.zip`, `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz`) into a new folder.

    The folder appears when everything is unpacked, and not at all when something is wrong. Ownership and permissions in
    the archive are ignored. `Leaf.jpg` and `leaf.jpg` are two files where the file system tells them apart.

    Files in a zip archive have checksums, and so have compressed tar archives as a whole. A tar archive that is not
    compressed has none for what is in the files: of it, only damage to names and lengths and a lost end are noticed.

    Args:
        path: path of the archive.
        folder: path of the folder to make; it must not exist yet, or be empty.
        sha256: str or None, the SHA-256 that the archive must have, as 64 hexadecimal digits; it is compared before
            the archive is opened.
        max_bytes: int >= 0, bytes that all files may have together when unpacked. Counted while unpacking, whatever
            the archive says of itself. What stands before a file, such as its name, may have 1 MiB each and counts.
        max_files: int >= 0, number of entries that the archive may have.

    Returns:
        `pathlib.Path` of the folder.

    Raises:
        FileNotFoundError: if there is no archive at `path`.
        FileExistsError: if `folder` exists and is not an empty folder, or lies in a file.
        TypeError: if `path` or `folder` is no path, `sha256` no str, or a limit no int.
        ValueError: if an argument is out of range.
        ArchiveError: a ValueError, if the checksum differs, the file is no regular file or no archive, damaged, cut off
            or encrypted; or if an entry has an absolute path or one that leads out of the folder, is a link or a
            device, appears twice, has a name that this system cannot write, or exceeds a limit.
    """
    path, folder = check_path("path", path), check_path("folder", folder)
    max_bytes, max_files = integer("max_bytes", max_bytes, 0), integer("max_files", max_files, 0)
    if text("sha256", sha256, optional=True) is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"`sha256` must have 64 hexadecimal digits. Received: sha256={sha256!r}.")
    if not path.exists():
        raise FileNotFoundError(f"There is no archive {path}.")
    # A pipe would let us wait for ever.
    if not path.is_file():
        raise ArchiveError(f"{path} is no regular file, so no archive.")
    empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    if os.path.lexists(folder) and not empty:
        raise FileExistsError(f"`folder` must not exist yet, or be empty. Received: folder={str(folder)!r}.")
    if sha256 is not None:
        actual = sha256_of(path)
        if actual != sha256.lower():
            raise ArchiveError(f"{path} is another archive or damaged: its SHA-256 is {actual}, expected {sha256}.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise FileExistsError(f"`folder` must lie in a folder. Received: folder={str(folder)!r}.") from error
    unpacked = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _unpack(path, unpacked, max_bytes, max_files)
        if folder.exists():
            folder.rmdir()
        os.chmod(unpacked, 0o755)
        os.replace(unpacked, folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def _unpack(path, folder, max_bytes, max_files):
    budget = Budget(path, max_bytes)
    try:
        if zipfile.is_zipfile(path):
            entries = _zip_entries(path, max_files)
        else:
            entries = tar_entries(path, budget)
        seen = set()
        for number, (name, kind, open_entry) in enumerate(entries, start=1):
            if number > max_files:
                raise ArchiveError(f"{path} has more than the {max_files} entries allowed.")
            target = _target(path, folder, name)
            try:
                if kind == "folder":
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                if kind != "file":
                    raise ArchiveError(f"{path} has a {kind}, {name!r}; only files and folders are unpacked.")
                if target in seen:
                    raise ArchiveError(f"{path} has {name!r} twice.")
                seen.add(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                output = target.open("xb")
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArchiveError(
                    f"{path} has two entries that cannot both be made here, the second is {name!r}: one is a folder "
                    "and one a file, or this file system does not tell their names apart."
                ) from error
            except UnicodeError as error:
                raise ArchiveError(f"{path} has a name that cannot be written here: {name!r}.") from error
            except OSError as error:
                if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                    raise
                raise ArchiveError(f"{path} has a name that cannot be written here: {name!r:.300}.") from error
            with output, open_entry() as source:
                while block := source.read(_BLOCK):
                    budget.spend(len(block))
                    output.write(block)
    except ArchiveError:
        raise
    except tarfile.ReadError as error:
        raise ArchiveError(f"{path} is damaged or neither a zip nor a tar archive: {error}.") from error
    except (
        gzip.BadGzipFile,
        lzma.LZMAError,
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        RuntimeError,  # an encrypted entry
        NotImplementedError,
        # What the header of an entry says makes no sense.
        ValueError,
        OverflowError,
        LookupError,
        struct.error,
    ) as error:
        raise ArchiveError(f"{path} is damaged or cannot be unpacked: {error}.") from error
    except OSError as error:
        # Damage in a bz2 stream is an OSError without a number; others come from the disk. A seek to a place that
        # cannot be is damage as well.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ArchiveError(f"{path} is damaged: {error}.") from error


def _zip_entries(path, max_files):
    _check_zip_directory(path, max_files)
    with zipfile.ZipFile(path) as archive:
        _check_zip_count(path, len(archive.infolist()))
        for entry in archive.infolist():
            kind = "folder" if entry.is_dir() else "file"
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "link" if stat.S_ISLNK(mode) else "device"
            yield entry.filename, kind, lambda entry=entry: archive.open(entry)


def _check_zip_count(path, count):
    """Compares the number of entries with the one that the archive's last record has, which `zipfile` does not read."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 2**16 - 22, 0))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or end + 22 > len(tail):
        return
    claimed = int.from_bytes(tail[end + 10 : end + 12], "little")
    # All ones: the number does not fit and is in a larger record. Some programs keep the lowest bits instead.
    if claimed != 0xFFFF and claimed != count % 2**16:
        raise ArchiveError(f"{path} is damaged: it says that it has {claimed} entries, and has {count}.")


def _check_zip_directory(path, max_files):
    """Counts the entries of a zip archive before they are read, which takes half a kilobyte of memory for each."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 2**16 - 22, 0))
        tail = file.read()
        end = tail.rfind(b"PK\5\6")
        if end < 0 or end + 22 > len(tail):
            return
        length = int.from_bytes(tail[end + 12 : end + 16], "little")
        # Large archives have a larger form of this record before it, and between them where that one is.
        large = end - 76
        if large >= 0 and tail[large : large + 4] == b"PK\6\6" and tail[end - 20 : end - 16] == b"PK\6\7":
            length = int.from_bytes(tail[large + 40 : large + 48], "little")
            end = large
        file.seek(max(size - len(tail) + end - length, 0))
        count, before = 0, b""
        while block := file.read(_BLOCK):
            # A signature may lie on the border of two blocks.
            count += (before + block).count(b"PK\1\2")
            before = block[-3:]
            if count > max_files:
                raise ArchiveError(f"{path} has more than the {max_files} entries allowed.")


def _target(path, folder, name):
    """Where an entry goes; refused if that is not below the folder, on any system."""
    # The Windows flavour knows both kinds of separator and drive letters.
    relative = pathlib.PureWindowsPath(name)
    if relative.anchor or ".." in relative.parts or "\0" in name:
        raise ArchiveError(f"{path} has an entry that leads out of its folder: {name!r}.")
    return folder.joinpath(*relative.parts)
