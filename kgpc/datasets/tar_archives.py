"""Reads tar archives with limits and with a look at their end, neither of which `tarfile` has."""

import bz2
import gzip
import lzma
import re
import tarfile

# A name, and what programs note of a file, is read into the memory before the file itself.
_MAX_HEADER = 2**20
# All of these together, more for each entry than programs write: reading a megabyte of notes takes a tenth of a second.
_MAX_HEADERS, _MAX_HEADERS_EACH = 2**24, 2**13
# Notes on all entries are looked at again for each of them. `git archive` writes one.
_MAX_GLOBAL_NOTES = 100
# Files with holes are read piece by piece; an image has a few at most.
_MAX_PIECES = 2**16

_TAR_BLOCK = 512
# Programs fill archives up to a whole number of blocks, of a megabyte at most.
_MAX_FILLING = 2**20
_READ_AT_ONCE = 2**20
# Kinds of entries that are notes on the next one, or on all; and these with the long names of older archives.
_TAR_NOTES = (b"x", b"g", b"X")
_TAR_LONG = (*_TAR_NOTES, b"L", b"K")

_COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open), (b"\x5d\0\0", lzma.open))


class ArchiveError(ValueError):
    """An archive is refused; the message names it, the entry and the reason."""


class Budget:
    """Counts what an archive unpacks to."""

    def __init__(self, path, max_bytes):
        self._path, self._max_bytes, self._spent = path, max_bytes, 0

    def spend(self, count):
        self._spent += count
        if self._spent > self._max_bytes:
            raise ArchiveError(f"{self._path} has more than the {self._max_bytes} bytes allowed when unpacked.")


def tar_entries(path, budget):
    """Yields the entries of a tar archive, compressed or not.

    Args:
        path: path of the archive.
        budget: `Budget`, from which long names and notes are spent, and what follows after the end.

    Yields:
        Tuple of the name; "file", "folder", "link" or "device"; and a function that opens the contents, to be called
        before the next entry is asked for.

    Raises:
        ArchiveError: a ValueError, if the archive is cut off or damaged, or a limit is exceeded.
        Exception: what `tarfile` and the decompression raise for a damaged file.
    """
    with path.open("rb") as file:
        magic = file.read(6)
    opener = next((opener for start, opener in _COMPRESSIONS if magic.startswith(start)), open)
    with opener(path, "rb") as unpacked:
        stream = _TarStream(path, unpacked, budget)
        pieces = 0
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            stream.begin_header()
            for entry in archive:
                stream.end_header()
                pieces += len(entry.sparse or ())
                if pieces > _MAX_PIECES:
                    raise ArchiveError(f"{path} is refused: its files with holes have more than {_MAX_PIECES} pieces.")
                kind = "folder" if entry.isdir() else "file" if entry.isreg() else "device"
                if entry.issym() or entry.islnk():
                    kind = "link"
                yield entry.name, kind, lambda entry=entry: archive.extractfile(entry)
                # Otherwise the list of all entries would grow.
                archive.members = []
                stream.begin_header()
        stream.check_end()


class _TarStream:
    """An unpacked tar archive for `tarfile`, which would read names of any length and take a lost end for the end."""

    def __init__(self, path, file, budget):
        self._path, self._file, self._budget = path, file, budget
        self._last_header, self._kind, self._left = b"", b"", _MAX_HEADER
        self._headers_left, self._global_notes = _MAX_HEADERS, 0

    def begin_header(self):
        """From here on, what is read stands before a file."""
        self._left = _MAX_HEADER
        self._headers_left += _MAX_HEADERS_EACH

    def end_header(self):
        """From here on, what is read are the contents of a file; the caller counts them."""
        self._left = None

    def read(self, size):
        if size < 0:
            raise ArchiveError(f"{self._path} is damaged: an entry has a negative length.")
        if self._left is not None and size > self._left:
            raise ArchiveError(f"{self._path} has an entry whose name or notes have more than {_MAX_HEADER} bytes.")
        block = self._file.read(size)
        if self._left is None:
            return block
        self._left -= len(block)
        self._headers_left -= len(block)
        if self._headers_left < 0:
            raise ArchiveError(
                f"{self._path} is refused: the names and notes of its entries have more than {_MAX_HEADERS_EACH} bytes "
                "for each of them."
            )
        if self._kind in _TAR_LONG:
            self._budget.spend(len(block))
            if self._kind in _TAR_NOTES:
                self._check_notes(block)
            self._kind = b""
        elif size == _TAR_BLOCK:
            self._last_header, self._kind = block, block[156:157]
        return block

    def _check_notes(self, block):
        """Raises an ArchiveError if notes on a file are none: `tarfile` would take a time that grows with the square.

        They are lines of the form `length key=value`, and each begins with its own length.
        """
        position = 0
        while block[position : position + 1].strip(b"\0"):
            length = re.match(rb"([0-9]{1,7}) [^\n=]*=", block[position : position + 1000])
            end = position + int(length[1]) if length else 0
            if end <= position or block[end - 1 : end] != b"\n":
                raise ArchiveError(f"{self._path} is damaged: the notes on an entry are not readable.")
            position = end
            self._global_notes += self._kind == b"g"
        if self._global_notes > _MAX_GLOBAL_NOTES:
            raise ArchiveError(f"{self._path} is refused: it has more than {_MAX_GLOBAL_NOTES} notes on all entries.")
        if re.search(rb"[0-9]{256}", block):
            raise ArchiveError(f"{self._path} is refused: the notes on an entry have a number of 256 digits.")

    def seek(self, position):
        return self._file.seek(position)

    def tell(self):
        return self._file.tell()

    def check_end(self):
        """Raises an ArchiveError if the archive does not end as it must: with zeros, and nothing behind them."""
        if self._last_header != bytes(_TAR_BLOCK):
            raise ArchiveError(f"{self._path} is cut off or damaged: an entry is not readable, or the end is missing.")
        filling = 0
        # The checksum of a compressed archive is at its very end, behind the last entry.
        while block := self._file.read(_READ_AT_ONCE):
            self._budget.spend(len(block))
            filling += len(block)
            if filling > _MAX_FILLING:
                raise ArchiveError(
                    f"{self._path} is not complete: more than {_MAX_FILLING} bytes follow after its last entry, as in "
                    "a download that has only its beginning."
                )
            if block.strip(b"\0"):
                raise ArchiveError(f"{self._path} is damaged, or two archives in one: something follows after its end.")
