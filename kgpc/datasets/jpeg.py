"""What a JPEG file is made of, and whether its image data are whole.

The library that decodes goes on after damage and says nothing: the rest of the image comes out shifted, grey or in
wrong colours. This module looks at the file before, and at how much of it was read in the end.

Some damage cannot be seen by anyone who does not know the image. The codes of the image data carry no checksum, and a
decoder that lost its place falls into step again after a few of them. What is noticed: data that end too early by more
than a few bytes, or go on too long (in images stored in one pass, as cameras and most programs do), markers where none
may be, parts that are lost or in another order where the file counts its parts, and stretches of zeros or of 255, which
are what a lost block of a disk or an unfinished download leaves behind (zeros in progressive files not always). A few
bytes of other values may pass.
"""

import dataclasses
import io
import itertools
import re

_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_HUFFMAN_TABLES, _RESTART_INTERVAL = 0xC4, 0xDD
# Frames: baseline and extended with Huffman codes, and progressive. All others are none that can be decoded, or rare.
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Comments and what programs add; of these only two say anything about the colours.
_NOTES = frozenset((*range(0xE0, 0xF0), 0xFE))
_NOTES_ON_COLOUR = (0xE0, 0xEE)
# Markers that nothing belongs to.
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))

_MARKER_AFTER_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
# Several may stand before a marker, but no program writes that many.
_STRETCH_OF_ONES = re.compile(rb"\xff{2,}\x00|\xff{8}")
# So many zero bytes in a row would be a whole block of 63 equal coefficients, which no image has.
_STRETCH_OF_ZEROS = bytes(16)

# A decoder reads up to this many bytes ahead. They are ones, which are no valid code.
_AHEAD = b"\xff\x00" * 8
# What is added to data that are in several pieces: codes of nothing in particular, and no marker. Where there are more
# pieces than this, it would take too much memory.
_FILLING = bytes(range(7, 247, 5))
_MAX_LENGTHENED = 10**6

# So many bytes may be left over when an image is complete: some cameras write one or two too many.
_SPARE = 4

# Each pass over the image takes time and may have next to no data. Programs write about ten.
MAX_SCANS = 100
# Tables, notes and the like; programs write some dozens.
MAX_SEGMENTS = 20_000


class JpegError(ValueError):
    """A JPEG file is damaged; the message says where."""


@dataclasses.dataclass
class _Frame:
    progressive: bool
    height: int
    width: int
    sampling: dict  # component: (horizontal, vertical)

    def unit_count(self, components):
        """How many units of coding an image has in a scan of these components."""
        widest = max(horizontal for horizontal, _ in self.sampling.values())
        highest = max(vertical for _, vertical in self.sampling.values())
        if len(components) == 1:
            # Blocks of this component only, without those that fill up the last units of several components.
            own_horizontal, own_vertical = self.sampling[components[0]]
            columns = -(-self.width * own_horizontal // (8 * widest))
            return columns * -(-self.height * own_vertical // (8 * highest))
        return -(-self.width // (8 * widest)) * -(-self.height // (8 * highest))


@dataclasses.dataclass
class _Structure:
    """What the walk through a file found.

    `kept` are the bytes of all segments that a decoder needs up to the first image data; `spans` are the first and the
    last position of the data of each pass; `note` is the first Exif note.
    """

    kept: bytes = b"\xff\xd8"
    note: bytes = b""
    spans: list = dataclasses.field(default_factory=list)
    frame: _Frame | None = None
    in_one_piece: bool = False
    restarts: int = 0


class JpegStream(io.BytesIO):
    """A JPEG file for a decoder, without the notes of cameras and programs.

    Attributes:
        orientation_note: bytes, the first Exif note, empty if there is none.
    """

    def __init__(self, content):
        """Looks at the structure of the file.

        Args:
            content: bytes of the file.

        Raises:
            JpegError: if it is damaged.
        """
        self._content, self._structure = content, _read_structure(content)
        self.orientation_note, kept = self._structure.note, self._structure.kept
        start, end = self._structure.spans[0]
        # Where the image data are in one piece, it is seen in the end whether all of it was needed.
        self._needed = None
        if self._structure.in_one_piece:
            data = content[start:end]
            self._needed = len(kept) + max(len(data.rstrip(b"\0")) - _SPARE, 0)
            super().__init__(kept + data + _AHEAD)
        else:
            super().__init__(kept + content[start:])

    def read(self, size=-1):
        """Reads as a file does, but stops once before the last bytes, so that it is seen whether they are asked for."""
        position = self.tell()
        if self._needed is not None and position < self._needed:
            left = self._needed - position
            size = left if size is None or size < 0 else min(size, left)
        return super().read(size)

    def check_end(self):
        """Raises a JpegError if the image was complete long before the end of its data."""
        if self._needed is not None and self.tell() <= self._needed:
            raise JpegError("its image data go on after the last pixel")

    def lengthened(self):
        """The same file with something added to each piece of its data, which decoders of a sound file leave out.

        If a piece ends too early, it is taken for what is missing, and other pixels come out.

        Returns:
            File in memory; None where the data are in one piece, which `check_end` looks at.
        """
        structure = self._structure
        one_piece = structure.in_one_piece and not structure.restarts
        if structure.frame is None or one_piece or structure.restarts > _MAX_LENGTHENED:
            return None
        parts, last = [structure.kept], structure.spans[0][0]
        for start, end in structure.spans:
            parts += [self._content[last:start], _RESTART.sub(_FILLING + rb"\g<0>", self._content[start:end]), _FILLING]
            last = end
        return io.BytesIO(b"".join([*parts, self._content[last:]]))


def _read_structure(content):
    """Walks through the markers; returns a `_Structure` with at least one span of data."""
    found, kept, notes = _Structure(), [_Structure.kept], set()
    tables, interval, position = {}, 0, 2
    for number in itertools.count():
        if number > MAX_SEGMENTS:
            raise JpegError(f"it has more than {MAX_SEGMENTS} segments")
        marker, body, position = _segment(content, position, incomplete_allowed=bool(found.spans))
        if marker in (None, _END_OF_IMAGE):
            break
        if marker in _ALONE:
            continue
        if marker in _NOTES:
            if marker == 0xE1 and body.startswith(b"Exif\0\0") and not found.note:
                found.note = body
            if marker not in _NOTES_ON_COLOUR or marker in notes:
                continue
            notes.add(marker)
        if not found.spans:
            kept.append(b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body)
        if marker in _FRAMES:
            found.frame = _frame(marker, body)
        elif marker == _HUFFMAN_TABLES:
            _note_symbols(body, tables)
        elif marker == _RESTART_INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif marker == _START_OF_SCAN:
            if len(found.spans) == MAX_SCANS:
                raise JpegError(f"it has more than {MAX_SCANS} passes over the image")
            start, position = position, _end_of_data(content, position)
            components, restarts = _check_scan(content, start, position, body, found.frame, tables, interval)
            found.spans.append((start, position))
            found.restarts += restarts
            all_of_it = found.frame is not None and len(components) == len(found.frame.sampling)
            if len(found.spans) == 1 and all_of_it and not found.frame.progressive:
                found.in_one_piece = True
                break
    if not found.spans:
        raise JpegError("it has no image data")
    found.kept = b"".join(kept)
    return found


def _segment(content, position, incomplete_allowed):
    """The marker at a position, what belongs to it, and the position after it; None instead of a marker at the end."""
    start = content.find(b"\xff", position)
    while start >= 0 and content[start + 1 : start + 2] == b"\xff":
        start += 1
    if start < 0 or start + 2 > len(content):
        if incomplete_allowed:
            return None, b"", len(content)
        raise JpegError("it ends before the image data")
    marker = content[start + 1]
    if marker in _ALONE:
        return marker, b"", start + 2
    length = int.from_bytes(content[start + 2 : start + 4], "big")
    end = start + 2 + length
    if length < 2 or end > len(content):
        if incomplete_allowed:
            return None, b"", len(content)
        raise JpegError("it ends before the image data")
    return marker, content[start + 4 : end], end


def _end_of_data(content, start):
    """Where image data end: at the next marker, without the bytes of 255 that may fill up before it."""
    found = _MARKER_AFTER_DATA.search(content, start)
    end = found.start() if found else len(content)
    while end > start and content[end - 1] == 0xFF:
        end -= 1
    return end


def _frame(marker, body):
    """Size and components of the image; None for kinds of coding that are not looked at."""
    if marker not in (*_SEQUENTIAL, _PROGRESSIVE):
        return None
    count = body[5] if len(body) > 5 else 0
    if not 1 <= count <= 4 or len(body) < 6 + 3 * count:
        raise JpegError("its size and components are not readable")
    sampling = {body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, 6 + 3 * count, 3)}
    if any(0 in factors for factors in sampling.values()):
        raise JpegError("its size and components are not readable")
    return _Frame(marker == _PROGRESSIVE, *(int.from_bytes(body[at : at + 2], "big") for at in (1, 3)), sampling)


def _note_symbols(body, tables):
    """Notes the symbols of every table; a code of zeros stands for the first of them."""
    position = 0
    while position + 17 <= len(body):
        count = sum(body[position + 1 : position + 17])
        symbols = body[position + 17 : position + 17 + count]
        tables[body[position]] = symbols
        position += 17 + count


def _zeros_are_odd(tables, progressive, first, refinement):
    """Whether no image gives a long row of zeros, with these tables of symbols for coefficients.

    The lower four bits of a symbol say that a value follows; the upper ones of the others, how many plain blocks.
    """
    values = any(symbols and symbols[0] & 15 for symbols in tables)
    if not progressive:
        # Otherwise a code of zeros ends a block, and plain areas are long rows of zeros.
        return values
    if first == 0 or refinement:
        return False
    # Programs that count plain blocks never write them one by one.
    counts = any(symbol & 15 == 0 and 0 < symbol < 0xF0 for symbols in tables for symbol in symbols)
    return values or counts


def _check_scan(content, start, end, body, frame, tables, interval):
    """Looks at the data of one pass; returns the components in it, and the number of restart markers."""
    count = body[0] if body else 0
    if len(body) < 1 + 2 * count + 3:
        raise JpegError("a pass over the image has no description")
    components = [body[1 + 2 * which] for which in range(count)]
    if frame is None:
        return components, 0
    if any(component not in frame.sampling for component in components) or not components:
        raise JpegError("a pass over the image has components that the image lacks")
    if _STRETCH_OF_ONES.search(content, start, end):
        raise JpegError("its image data have a stretch of bytes of 255")
    used = [tables.get(0x10 | body[2 + 2 * which] & 15, b"") for which in range(count)]
    first, refinement = body[1 + 2 * count], body[3 + 2 * count] >> 4
    if _zeros_are_odd(used, frame.progressive, first, refinement):
        last = start + len(content[start:end].rstrip(b"\0"))
        if content.find(_STRETCH_OF_ZEROS, start, last) >= 0:
            raise JpegError("its image data have a stretch of zeros")
    if not frame.height:
        return components, 0
    expected = -(-frame.unit_count(components) // interval) - 1 if interval else 0
    _check_restarts(content, start, end, expected)
    return components, expected


def _check_restarts(content, start, end, expected):
    """Raises a JpegError if the data do not have as many parts as they must, in their order."""
    count = 0
    for found in _RESTART.finditer(content, start, end):
        if count >= expected or found[1][0] & 7 != count % 8:
            raise JpegError(f"its image data have other restart markers than the {expected} expected in their order")
        count += 1
    if count < expected:
        raise JpegError(f"its image data have {count} restart markers, expected {expected}")
