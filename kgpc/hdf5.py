"""Reads arrays of numbers from HDF5 files without trusting the files.

Shapes and types can be compared before the first number is read. Nothing in a file is executed or unpickled, links that
lead elsewhere are not followed, and a size is believed only if the bytes for it can be there. What this cannot guard
against is a file made to confuse the HDF5 library itself, which has to parse it.
"""

import contextlib
import contextvars
import dataclasses
import io
import math
import mmap
import pathlib
import zlib

import h5py
import numpy as np

# 2 GiB in float32, several times the largest model of this package.
MAX_NUMBERS = 2**29
MAX_NAMES = 100_000
# All the texts in one attribute, and the name of a layer, in bytes.
MAX_TEXT = 2**24
MAX_NAME = 10_000
# Deflate, the only compression that is read, cannot pack more than this into a byte.
_MAX_COMPRESSION = 1032
# Every chunk costs time, however small it is.
_MIN_CHUNK = 1024
# The bytes of the file that is open, for what h5py does not tell.
_content = contextvars.ContextVar("content")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAST_FREE_BLOCK = 1
# Kinds of messages in the header of an object.
_ATTRIBUTE, _CONTINUATION = 0x000C, 0x0010
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
# What h5py raises where a file is damaged.
DAMAGE = (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError, MemoryError)


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file, whose numbers have not been read yet.

    Attributes:
        shape: tuple of int.
        dtype: str, "float32", "bfloat16", "int64", ...
        read: function without arguments that returns the numbers as a `numpy.ndarray` of this shape; bfloat16 is
            returned as float32, which has all its values.
    """

    shape: tuple
    dtype: str
    read: object


@contextlib.contextmanager
def opened(source):
    """Opens an HDF5 file for reading, after what could keep the HDF5 library busy for ever was looked for.

    Args:
        source: `pathlib.Path`, or bytes.

    Returns:
        Context manager; gives a `h5py.File`.

    Raises:
        ValueError: if its beginning is not that of a file of Keras, or the names in it are damaged.
        OSError: if it cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        content = source
        if isinstance(source, pathlib.Path):
            file = stack.enter_context(open(source, "rb"))
            content = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        _check_heaps(content)
        token = _content.set(content)
        stack.callback(_content.reset, token)
        yield stack.enter_context(h5py.File(source if content is not source else io.BytesIO(source), "r"))


def _check_heaps(content):
    """Refuses a file where a heap would keep the HDF5 library busy for ever, or is unpacked whatever its size."""
    _check_superblock(content)
    # As heaps do not overlap, no more of their pieces need to be looked at than fit in the file.
    pieces_left = min(len(content) // 8, 10 * MAX_NAMES)
    for check, signature in (
        (_global_heap_pieces, b"GCOL\1\0\0\0"),
        (_local_heap_pieces, b"HEAP\0"),
        (_fractal_heap_pieces, b"FRHP\0"),
    ):
        start = content.find(signature)
        while start >= 0:
            for _ in check(content, start):
                pieces_left -= 1
                if pieces_left < 0:
                    raise ValueError("the names in it are damaged")
            start = content.find(signature, start + 1)


def _number(content, position):
    return int.from_bytes(content[position : position + 8], "little")


def _check_superblock(content):
    """Refuses a file whose addresses are not 8 bytes, counted from its beginning, as all files of Keras have them."""
    version = content[8] if len(content) > 48 and content[:8] == _SIGNATURE else None
    sizes, base = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}.get(version, (0, 0))
    if not sizes or content[sizes : sizes + 2] != b"\x08\x08" or _number(content, base):
        raise ValueError("its beginning is not that of a HDF5 file of Keras")


def _global_heap_pieces(content, start):
    """A heap of texts: a header with its length in bytes, then records of 16 bytes and their content.

    The content is padded to a multiple of 8. Record number 0 is the free space at the end; its length includes its own
    16 bytes. Over a record of length 0, HDF5 loops for ever.
    """
    yield start
    end = start + _number(content, start + 8)
    position = start + 16
    while position + 16 <= end:
        number = int.from_bytes(content[position : position + 2], "little")
        length = _number(content, position + 8)
        position += 16 + -(-length // 8) * 8 if number else length
        if position > end or (length < 16 and not number):
            raise ValueError("the names in it are damaged")
        yield position


def _local_heap_pieces(content, start):
    """A heap of the names in a group: its size, its first free block, and where it lies; a free block names the next.

    Where the blocks come back to an earlier one, HDF5 loops for ever.
    """
    yield start
    free, address = _number(content, start + 16), _number(content, start + 24)
    while free != _LAST_FREE_BLOCK and address + free + 16 <= len(content):
        free = _number(content, address + free)
        yield free


def _fractal_heap_pieces(content, start):
    """The heap of a large group may be compressed.

    After the signature and the version stand 2 bytes for the length of names and 2 for that of the filters.
    """
    yield start
    if content[start + 7 : start + 9] != b"\0\0":
        raise ValueError("an index in it is compressed, as in no file of Keras")


def member(group, name):
    """The object of this name, which must be inside the file and inside the group.

    Step by step, because HDF5 would follow a soft or external link on the way without saying so.

    Raises:
        ValueError: if there is none, or it is a link.
    """
    found = group
    for part in name.split("/"):
        link = found.get(part, getlink=True) if part and isinstance(found, h5py.Group) else None
        if link is None:
            raise ValueError(f"{group.name!r} has no {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name!r} in {group.name!r} is a link; links are not followed")
        found = found[part]
    return found


def texts(group, attribute, scalar=False, max_bytes=MAX_TEXT):
    """The texts in an attribute.

    Args:
        group: object of a `h5py.File`.
        attribute: str, name of the attribute, which must exist.
        scalar: bool, whether it holds one text instead of a list.
        max_bytes: int, the most that all texts together may have.

    Returns:
        List of str; one str where `scalar`.

    Raises:
        ValueError: if it holds something else, or more than `MAX_NAMES` texts.
    """
    header = group.attrs.get_id(attribute)
    if not scalar and header.shape == (0,):
        # An empty list is stored as numbers.
        return []
    rank = None if header.shape is None else len(header.shape)
    if rank != (0 if scalar else 1) or h5py.check_string_dtype(header.dtype) is None:
        kind = "a text" if scalar else "a list of names"
        raise ValueError(f"attribute {attribute!r} of {group.name!r} is not {kind}")
    if not scalar and header.shape[0] > MAX_NAMES:
        raise ValueError(f"attribute {attribute!r} of {group.name!r} has more than {MAX_NAMES} names")
    _check_text_size(group, attribute, max_bytes)
    value = group.attrs[attribute]
    return _text(value) if scalar else [_text(name) for name in value]


def _check_text_size(group, attribute, max_bytes):
    """Refuses texts of an attribute that claim to be longer than they may be: HDF5 takes memory for what they claim.

    Args:
        group: object of a file that `opened` gave.
        attribute: str, name of an attribute that holds texts.
        max_bytes: int, the most that all of them may have.

    Raises:
        ValueError: if they are longer, or stored in a way that Keras does not use.
    """
    header = group.attrs.get_id(attribute)
    size = header.get_storage_size()
    if h5py.check_string_dtype(header.dtype).length is None:
        # Each text has 16 bytes here: 4 for its length, and where it lies.
        claims = _attribute_data(group, attribute)[:size]
        if len(claims) != size:
            raise ValueError(f"attribute {attribute!r} of {group.name!r} is stored in a way that Keras does not use")
        size = sum(int.from_bytes(claims[at : at + 4], "little") for at in range(0, size, 16))
    if size > max_bytes:
        raise ValueError(f"attribute {attribute!r} of {group.name!r} claims more than {max_bytes} bytes")


def _attribute_data(group, attribute):
    """The bytes of an attribute as they are in the file; none where they are not found.

    The header of an object is a list of messages of 8 bytes and their content. It may go on in another block.
    """
    content, address = _content.get(), h5py.h5o.get_info(group.id).addr
    name = attribute.encode("utf-8") + b"\0"

    def number(position, size):
        return int.from_bytes(content[position : position + size], "little")

    if content[address : address + 1] != b"\x01":
        return b""
    blocks, messages_left = [(address + 16, number(address + 8, 4))], 10_000
    while blocks:
        position, length = blocks.pop()
        end = position + length
        while position + 8 <= end and messages_left:
            kind, size, start = number(position, 2), number(position + 2, 2), position + 8
            position, messages_left = start + size, messages_left - 1
            if kind == _CONTINUATION:
                blocks.append((number(start, 8), number(start + 8, 8)))
            elif kind == _ATTRIBUTE:
                version = number(start, 1)
                sizes = [number(start + at, 2) for at in (2, 4, 6)]
                at = start + (9 if version == 3 else 8)
                if content[at : at + sizes[0]].startswith(name):
                    # The first version pads name, type and shape to a multiple of 8.
                    skipped = sum(-(-part // 8) * 8 if version == 1 else part for part in sizes)
                    return content[at + skipped : start + size]
    return b""


def _text(name):
    """A name as str; h5py gives bytes or, where they are not UTF-8, a str with placeholders."""
    try:
        return (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the name {name!r} is not UTF-8") from error


def stored_array(dataset, name, kinds="f"):
    """Describes an array of plain numbers that are inside the file, as many as it says.

    Args:
        dataset: object of a `h5py.File`.
        name: str, what messages call it.
        kinds: str, NumPy's letters for the kinds of numbers that are allowed: "f", "fiu".

    Returns:
        A `StoredArray`.

    Raises:
        ValueError: if it is no such array.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name!r} is not an array")
    brain_float = dataset.dtype == np.dtype("V2") and "dtype" in dataset.attrs
    brain_float = brain_float and texts(dataset, "dtype", scalar=True, max_bytes=MAX_NAME) == "bfloat16"
    if not brain_float and (dataset.dtype.kind not in kinds or dataset.dtype.itemsize > 8):
        raise ValueError(f"{name!r} has elements of type {dataset.dtype}, not floating-point numbers of up to 64 bits")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} has its numbers in other files")
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
        raise ValueError(f"{name!r} is compressed in another way than once by gzip: filters {sorted(filters)}")
    if dataset.size > MAX_NUMBERS or math.prod(dataset.chunks or ()) > MAX_NUMBERS:
        raise ValueError(f"{name!r} of shape {dataset.shape} has more than {MAX_NUMBERS} numbers")
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    if dataset.size * dataset.dtype.itemsize > stored * (_MAX_COMPRESSION if filters else 1):
        raise ValueError(f"{name!r} of shape {dataset.shape} does not fit in the {stored} bytes that are stored for it")

    def read():
        if dataset.chunks is not None:
            _check_chunks(dataset, name, filters)
        numbers = dataset[()]
        if brain_float:
            # The upper half of a float32.
            bits = np.frombuffer(np.asarray(numbers).tobytes(), "<u2").astype("uint32") << 16
            return bits.view("float32").reshape(dataset.shape)
        return np.asarray(numbers)

    return StoredArray(dataset.shape, "bfloat16" if brain_float else dataset.dtype.name, read)


def _check_chunks(dataset, name, filters):
    """Unpacks the chunks of an array one by one, as far as they may be long, before HDF5 does it without a limit."""
    in_all = math.prod(-(-size // chunk) * chunk for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    chunk_size = math.prod(dataset.chunks)
    if chunk_size < min(dataset.size, _MIN_CHUNK) or in_all > max(16 * dataset.size, _MIN_CHUNK):
        raise ValueError(f"{name!r} of shape {dataset.shape} has chunks of an odd shape: {dataset.chunks}")
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return
    expected = chunk_size * dataset.dtype.itemsize
    outer = filters[filters.index(h5py.h5z.FILTER_DEFLATE) + 1 :]
    # A checksum of 4 bytes stands after what it is for, inside or outside.
    checksum = 4 * (h5py.h5z.FILTER_FLETCHER32 in filters)
    for chunk in dataset.iter_chunks():
        mask, packed = dataset.id.read_direct_chunk(tuple(part.start for part in chunk))
        if mask:
            raise ValueError(f"{name!r} has chunks that are compressed in different ways")
        if checksum and h5py.h5z.FILTER_FLETCHER32 in outer:
            packed = packed[:-4]
            inside = expected
        else:
            inside = expected + checksum
        unpacking = zlib.decompressobj()
        if len(unpacking.decompress(packed, inside + 1)) != inside or not unpacking.eof:
            raise ValueError(f"{name!r} has a damaged chunk")
