"""Unpacks zip and tar archives from the internet without trusting them."""

import gzip
import hashlib
import lzma
import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib

# What the largest of the paper's archives needs, with room to spare.
MAX_BYTES = 8 * 2**30
MAX_FILES = 200_000

_BLOCK = 2**20


class ArchiveError(ValueError):
    """An archive is refused; the message names it, the entry and the reason."""


def sha256_of(path):
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extract_archive(path, folder, sha256=None, max_bytes=MAX_BYTES, max_files=MAX_FILES):
    """Unpacks a zip or tar archive (`.zip`, `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz`) into a new folder.

    The folder appears when everything is unpacked, and not at all when something is wrong. Ownership and permissions in
    the archive are ignored.

    Args:
        path: path of the archive.
        folder: path of the folder to make; it must not exist yet, or be empty.
        sha256: str or None, the SHA-256 that the archive must have; it is compared before the archive is opened.
        max_bytes: int, bytes that all files may have together when unpacked. Counted while unpacking, whatever the
            archive says of itself.
        max_files: int, number of entries that the archive may have.

    Returns:
        `pathlib.Path` of the folder.

    Raises:
        FileNotFoundError: if there is no archive at `path`.
        FileExistsError: if `folder` exists and is not an empty folder.
        ArchiveError: a ValueError, if the checksum differs, the file is no archive or damaged or encrypted; or if an
            entry has an absolute path or one that leads out of the folder, is a link or a device, appears twice, or
            exceeds a limit.
    """
    path, folder = pathlib.Path(path), pathlib.Path(folder)
    if not path.is_file():
        raise FileNotFoundError(f"There is no archive {path}.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"`folder` must not exist yet, or be empty. Received: folder={str(folder)!r}.")
    if sha256 is not None:
        actual = sha256_of(path)
        if actual != sha256.lower():
            raise ArchiveError(f"{path} is another archive or damaged: its SHA-256 is {actual}, expected {sha256}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
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
    is_zip = zipfile.is_zipfile(path)
    try:
        with zipfile.ZipFile(path) if is_zip else tarfile.open(path) as archive:
            entries = _zip_entries(archive) if is_zip else _tar_entries(archive)
            total, seen = 0, set()
            for number, (name, kind, open_entry) in enumerate(entries, start=1):
                if number > max_files:
                    raise ArchiveError(f"{path} has more than the {max_files} entries allowed.")
                target = _target(path, folder, name)
                if kind == "folder":
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                if kind != "file":
                    raise ArchiveError(f"{path} has a {kind}, {name!r}; only files and folders are unpacked.")
                # Some file systems do not tell capital letters from small ones.
                if str(target).casefold() in seen:
                    raise ArchiveError(f"{path} has {name!r} twice.")
                seen.add(str(target).casefold())
                target.parent.mkdir(parents=True, exist_ok=True)
                with open_entry() as source, target.open("xb") as output:
                    while block := source.read(_BLOCK):
                        total += len(block)
                        if total > max_bytes:
                            raise ArchiveError(f"{path} has more than the {max_bytes} bytes allowed when unpacked.")
                        output.write(block)
            if not is_zip:
                # The checksum of a compressed archive is at its very end, behind the last entry.
                while block := archive.fileobj.read(_BLOCK):
                    total += len(block)
                    if total > max_bytes:
                        raise ArchiveError(f"{path} has more than the {max_bytes} bytes allowed when unpacked.")
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
        FileExistsError,
        NotADirectoryError,
    ) as error:
        raise ArchiveError(f"{path} is damaged or cannot be unpacked: {error}.") from error
    except OSError as error:
        # Damage in a bz2 stream is an OSError without a number; others come from the disk.
        if error.errno is not None:
            raise
        raise ArchiveError(f"{path} is damaged: {error}.") from error


def _zip_entries(archive):
    for entry in archive.infolist():
        kind = "folder" if entry.is_dir() else "file"
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "link" if stat.S_ISLNK(mode) else "device"
        yield entry.filename, kind, lambda entry=entry: archive.open(entry)


def _tar_entries(archive):
    for entry in archive:
        kind = "folder" if entry.isdir() else "file" if entry.isreg() else "device"
        if entry.issym() or entry.islnk():
            kind = "link"
        yield entry.name, kind, lambda entry=entry: archive.extractfile(entry)


def _target(path, folder, name):
    """Where an entry goes; refused if that is not below the folder, on any system."""
    # The Windows flavour knows both kinds of separator and drive letters.
    relative = pathlib.PureWindowsPath(name)
    if relative.anchor or ".." in relative.parts or "\0" in name:
        raise ArchiveError(f"{path} has an entry that leads out of its folder: {name!r}.")
    return folder.joinpath(*relative.parts)
