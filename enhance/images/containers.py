"""The parts that picture files are made of, found by hopping over their content, and what can be told from them alone.

What is refused here has cost nothing: no decoder has seen the file yet. The PictureErrors lack the file's name: the
caller adds it to their values as `name`.
"""

from __future__ import annotations

import io
import logging
import mmap
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from isal import isal_zlib
from PIL import TiffImagePlugin

from ..errors import PictureError

logger = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_BLOCK = 16 << 20
"""Bytes of a profile or of metadata; what is larger is left out."""

# What a decoder needs for the pixels. All else (text, times, animation frames) is never unpacked: a bomb in it costs
# nothing.
_PIXEL_KINDS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MOST_CHUNKS = 1_000_000
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Of a PNG's colour types, but for a palette."""
_LONGEST_ROW, _PACKED, _UNPACKED = 1 << 28, 1 << 17, 1 << 20

# What real files keep far below: cameras write 10 scans or fewer, and 200 MB of full segments are 3,100.
_MOST_SCANS = 100
_MOST_SEGMENTS = 10_000
_MOST_PADDING = 1 << 16
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_MARKER_AFTER_PIXELS = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_START_OF_SCAN = re.compile(rb"\xff\xda")

_MOST_FRAMES = 100_000
_MOST_BLOCKS = 2_000_000

# One flat colour of 100 megapixels at the lowest quality has 256 pixels a byte as JPEG, 1,340 as GIF and as LZW 2,700,
# the most that its codes can say; deflate cannot exceed 1,032 and PackBits 64 bytes a byte. Lossless WebP, AVIF, HEIC,
# and TIFF by LZMA or Zstandard have no such bound: there the budget of memory is what holds.
_MOST_PIXELS_PER_BYTE = {"JPEG": 1024, "GIF": 4096}
_MOST_UNPACKED = {1: 3, 5: 4096, 8: 1100, 32946: 1100, 32773: 64}


@dataclass(frozen=True)
class Chunk:
    """One chunk: its four letters, where its content starts in the file, and how long that is."""

    kind: bytes
    start: int
    length: int


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """A complete chunk: length, kind, content and check sum (PNG specification, section 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def scan_chunks(file: BinaryIO) -> list[Chunk]:
    """The chunks up to IEND, by hopping from header to header without reading any content.

    Raises EOFError where the file ends too early and ValueError where it is no chain of chunks.
    """
    size = file.seek(0, 2)
    position = len(SIGNATURE)
    found: list[Chunk] = []
    while len(found) < _MOST_CHUNKS:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            raise EOFError("the file ends before the last chunk")
        length, kind = struct.unpack(">I4s", header)
        if not kind.isalpha():
            raise ValueError(f"{kind!r} is no chunk name")
        if position + 12 + length > size:
            raise EOFError(f"the file ends inside a {kind.decode()} chunk")
        found.append(Chunk(kind, position + 8, length))
        if kind == b"IEND":
            return found
        position += 12 + length
    raise ValueError("more chunks than any picture has")


def chunk_content(file: BinaryIO, chunk: Chunk) -> bytes:
    """The content of one chunk."""
    file.seek(chunk.start)
    return file.read(chunk.length)


def first_of(chunks: Sequence[Chunk]) -> dict[bytes, Chunk]:
    """The first chunk of each kind."""
    return {chunk.kind: chunk for chunk in reversed(chunks)}


def block_in(file: BinaryIO, chunk: Chunk | None) -> bytes | None:
    """The content of a chunk, if there is any and it is within bounds."""
    if chunk is None or chunk.length == 0:
        return None
    if chunk.length > LARGEST_BLOCK:
        logger.info("a %s of %d bytes is too large and was left out", chunk.kind.decode("latin-1"), chunk.length)
        return None
    return chunk_content(file, chunk)


def png_profile(file: BinaryIO, chunks: Sequence[Chunk]) -> bytes | None:
    """The colour profile of a PNG; None if there is none or it is damaged."""
    chunk = first_of(chunks).get(b"iCCP")
    if chunk is None:
        return None
    name, _, rest = (block_in(file, chunk) or b"").partition(b"\0")
    try:
        if not 1 <= len(name) <= 79 or rest[:1] != b"\0":
            raise ValueError("its head is wrong")
        return unpacked(rest[1:], LARGEST_BLOCK)
    except (ValueError, zlib.error) as error:
        logger.info("the colour profile is damaged and was left out: %s", error)
        return None


def unpacked(packed: bytes, most: int) -> bytes:
    """What was deflated; ValueError or zlib.error if it is damaged, cut off, or more than `most` bytes."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, most)
    if not unpacker.eof:
        raise ValueError("it is cut off or too large")
    return content


def pixel_chunks(file: BinaryIO, chunks: Iterable[Chunk]) -> bytes:
    """The same picture as a PNG with nothing but its pixels; ValueError if a check sum does not match."""
    view = memoryview(content_of(file))
    return b"".join([SIGNATURE, *(_checked(view, chunk) for chunk in chunks if chunk.kind in _PIXEL_KINDS)])


def _checked(view: memoryview, chunk: Chunk) -> memoryview:
    """All bytes of a chunk; ValueError if its check sum does not match."""
    end = chunk.start + chunk.length
    if zlib.crc32(view[chunk.start - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
        raise ValueError(f"the check sum of a {chunk.kind.decode()} chunk does not match")
    return view[chunk.start - 8 : end + 4]


class PackedRows:
    """The rows of a PNG from top to bottom, each with its filter before it, from the `parts` that IDAT chunks hold.

    Raises EOFError where the pixels end too early, and what inflating raises where they are damaged.
    """

    def __init__(self, parts: Iterable[bytes | memoryview], stride: int):
        self._inflated, self._left, self._stride = _inflated(parts), b"", stride

    def take(self, count: int) -> bytes:
        """The next `count` rows."""
        wanted = count * self._stride
        pieces, length = [self._left], len(self._left)
        while length < wanted:
            piece = next(self._inflated, None)
            if piece is None:
                raise EOFError("the pixels end too early")
            pieces.append(piece)
            length += len(piece)
        joined = b"".join(pieces)
        self._left = joined[wanted:]
        return joined[:wanted]


def _inflated(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj()
    for part in parts:
        for start in range(0, len(part), _PACKED):
            packed = bytes(part[start : start + _PACKED])
            while packed and not inflater.eof:
                # bounded, because a flat picture unpacks to a thousand times its size
                yield inflater.decompress(packed, _UNPACKED)
                packed = inflater.unconsumed_tail
    yield inflater.flush()


class FewRows:
    """The pixels of a PNG, from top to bottom, as small PNGs of a few rows each, which any decoder reads.

    Rows stay filtered, and a filter may look at the row above: so all but the first small PNG begin with the row that
    `go_on` was told of. `possible` says whether the file is of a kind that can be read so. Raises what `pixel_chunks`
    and `PackedRows` do.
    """

    def __init__(self, file: BinaryIO, chunks: Sequence[Chunk]):
        self._view = view = memoryview(content_of(file))
        header = chunk_content(file, chunks[0])
        self._width, _, bits, kind, *_, interlaced = struct.unpack(">IIBBBBB", header)
        self._rest, channels = header[8:], CHANNELS.get(kind, 0)
        self._stride = 1 + self._width * channels * bits // 8
        self.possible = bits >= 8 and channels > 0 and not interlaced and self._stride < _LONGEST_ROW
        self._chunks = [chunk for chunk in chunks[1:] if chunk.kind in _PIXEL_KINDS]
        self._first = next(chunk for chunk in self._chunks if chunk.kind == b"IDAT")
        # of the view, not of what holds it: a circle would keep the file's memory until it is looked for
        pixels = (_checked(view, chunk)[8:-4] for chunk in self._chunks if chunk.kind == b"IDAT")
        self._rows, self._above = PackedRows(pixels, self._stride), b""

    def take(self, count: int) -> bytes:
        """The next `count` rows."""
        return self._png(self._above + self._rows.take(count))

    def go_on(self, row: bytes) -> None:
        """What the last row is, without a filter and as a PNG stores it."""
        self._above = b"\0" + row

    def blank(self) -> bytes:
        """One row of nothing in its place, to see what kind of picture it is."""
        return self._png(bytes(self._stride))

    def _png(self, rows: bytes) -> bytes:
        header = struct.pack(">II", self._width, len(rows) // self._stride) + self._rest
        parts: list[bytes | memoryview] = [SIGNATURE, make_chunk(b"IHDR", header)]
        for chunk in self._chunks:
            if chunk.kind != b"IDAT":
                parts.append(_checked(self._view, chunk))
            elif chunk is self._first:
                parts.append(make_chunk(b"IDAT", zlib.compress(rows, 0)))
        return b"".join(parts)


def check_jpeg(file: BinaryIO, *, only_head: bool = False) -> None:
    """PictureError for a JPEG that costs a decoder far more than its picture: by scans, segments, or padding.

    With `only_head` nothing behind the first scan's header is read; the scans are not counted.
    """
    with content_of(file) as data:
        _check_markers(data, only_head)


def _check_markers(data: mmap.mmap | memoryview, only_head: bool) -> None:
    # A thumbnail or a film behind the picture may hold the two bytes too; so only many of them are worth the long way.
    to_the_end = (
        not only_head
        and sum(1 for _ in zip(_START_OF_SCAN.finditer(data), range(_MOST_SCANS + 1), strict=False)) > _MOST_SCANS
    )
    position, segments, scans, padding = 2, 0, 0, 0
    marker = _MARKER
    while (found := marker.search(data, position)) is not None:
        code = found[1][0]
        padding += found.start() - position if marker is _MARKER else 0
        segments += 1
        scans += code == 0xDA
        if scans > _MOST_SCANS:
            raise PictureError("picture_many_scans", limit=_MOST_SCANS)
        if segments > _MOST_SEGMENTS or padding > _MOST_PADDING:
            raise PictureError("picture_padding")
        if code == 0xD9 or (scans and not to_the_end):
            return
        alone = code == 0x01 or 0xD0 <= code <= 0xD8
        position = found.end() + (0 if alone else int.from_bytes(data[found.end() : found.end() + 2], "big"))
        marker = _MARKER_AFTER_PIXELS if code == 0xDA else _MARKER


def check_bytes(kind: str, size: int, width: int, height: int) -> None:
    """PictureError if `size` bytes are fewer than the pixels take in a file of this kind even if all are alike."""
    if width * height > size * _MOST_PIXELS_PER_BYTE.get(kind, width * height):
        raise _too_few_bytes(size, width, height)


def check_packed(size: int, compression: int, bits: int, width: int, height: int) -> None:
    """The same for a TIFF, from its compression (tag 259) and the bits of all samples of a pixel."""
    most = _MOST_UNPACKED.get(compression)
    if most is not None and width * height * bits // 8 > size * most:
        raise _too_few_bytes(size, width, height)


def check_deflated(chunks: list[Chunk], width: int, height: int) -> None:
    """The same for a PNG: deflate never shrinks by more than 1032 to 1."""
    packed = sum(chunk.length for chunk in chunks if chunk.kind == b"IDAT")
    if width * height // 8 > 1032 * (packed + 64):
        raise _too_few_bytes(packed, width, height)


def _too_few_bytes(size: int, width: int, height: int) -> PictureError:
    return PictureError("picture_too_few_bytes", kilobytes=f"{size / 1e3:,.1f}", width=width, height=height)


def riff_chunks(file: BinaryIO) -> list[Chunk]:
    """The chunks of a WebP file (RIFF container); EOFError where it ends too early."""
    size = file.seek(0, 2)
    file.seek(4)
    end = min(size, 8 + int.from_bytes(file.read(4), "little"))
    position = 12
    found: list[Chunk] = []
    while position + 8 <= end and len(found) < _MOST_FRAMES:
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if position + 8 + length > size:
            raise EOFError("the file ends inside a chunk")
        found.append(Chunk(kind, position + 8, length))
        position += 8 + length + length % 2
    return found


def webp_size(start: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (WebP container specification)."""
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        packed = int.from_bytes(start[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", start, 26)
    return width & 0x3FFF, height & 0x3FFF


def count_gif_frames(file: BinaryIO) -> int:
    """The pictures of a GIF, counted over its blocks; as many as there are up to where it is damaged, at least 1."""
    with content_of(file) as data:
        try:
            return max(1, _gif_frames(data))
        except IndexError:
            return 1


def _gif_frames(data: mmap.mmap | memoryview) -> int:
    frames, blocks = 0, 0
    position = 13 + _palette_size(data[10])
    while position < len(data) and blocks < _MOST_BLOCKS and frames < _MOST_FRAMES:
        if data[position] == 0x2C:
            frames += 1
            position += 11 + _palette_size(data[position + 9])
        elif data[position] == 0x21:
            position += 2
        else:
            break
        while position < len(data) and data[position] and blocks < _MOST_BLOCKS:
            position += 1 + data[position]
            blocks += 1
        position += 1
        blocks += 1
    return frames


def _palette_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def tiff_tags(file: BinaryIO) -> dict[int, Any]:
    """The first directory of a TIFF file: tag number to value, or to a tuple where the tag may hold several."""
    file.seek(0)
    head = file.read(8)
    if head[2:3] == b"+" or head[3:4] == b"+":
        head += file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(directory.next)
    directory.load(file)
    return dict(directory)


def content_of(file: BinaryIO) -> mmap.mmap | memoryview:
    """The content of an open file, without a copy of it."""
    return file.getbuffer() if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
