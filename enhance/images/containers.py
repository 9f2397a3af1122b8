"""Chunks of PNG and WebP files and boxes of ISO media: reading them without pixels, and writing PNG chunks."""

from __future__ import annotations

import logging
import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

logger = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Channels by colour type of a PNG, except a palette."""
LARGEST_BLOCK = 16 << 20
"""Maximum bytes of a profile, and of a block of metadata that is read. A result contains only smaller blocks."""
_MAX_TEXT_LENGTH, MAX_TEXTS_LENGTH, MAX_TEXTS = 1 << 20, 8 << 20, 10_000
"""Maximum characters of one text and of all texts of an image, and maximum number of texts. The rest is ignored."""
_RAW_PROFILE, _XMP_KEYWORD = "Raw profile type ", "XML:com.adobe.xmp"

# The decoder gets only these chunks, so that a decompression bomb in another chunk has no effect.
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MAX_CHUNKS = 1_000_000


class _TooLargeError(ValueError):
    """A text is longer than its limit."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG or WebP, or a box: its name of four letters, and the position and length of its content."""

    kind: bytes
    start: int
    length: int


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk: length, kind, content and checksum (PNG specification, section 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def scan_chunks(file: BinaryIO) -> list[Chunk]:
    """Return the chunks of a PNG up to IEND, without reading their content.

    Raises EOFError if the file ends too early, and ValueError if it is no sequence of chunks.
    """
    size = file.seek(0, 2)
    position = len(SIGNATURE)
    found: list[Chunk] = []
    while len(found) < _MAX_CHUNKS:
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
    raise ValueError("too many chunks")


def riff_chunks(file: BinaryIO) -> list[Chunk]:
    """Return the chunks of a WebP (RIFF container). Raises EOFError if the file ends too early."""
    size = file.seek(0, 2)
    file.seek(4)
    end = min(size, 8 + int.from_bytes(file.read(4), "little"))
    position = 12
    found: list[Chunk] = []
    while position + 8 <= end and len(found) < _MAX_CHUNKS:
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if position + 8 + length > size:
            raise EOFError("the file ends inside a chunk")
        found.append(Chunk(kind, position + 8, length))
        position += 8 + length + length % 2
    return found


def iso_boxes(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the outer boxes of ISO media (ISO 14496-12, 4.2). The content of the last one can be cut off."""
    size, position = file.seek(0, 2), 0
    for _ in range(_MAX_CHUNKS):
        if position + 8 > size:
            return
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack_from(">I4s", header)
        start = 16 if length == 1 else 8
        length = int.from_bytes(header[8:16], "big") if length == 1 else length or size
        yield Chunk(kind, position + start, max(length - start, 0))
        position += max(length, start)


def chunk_content(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.start)
    return file.read(chunk.length)


def first_chunks(chunks: Sequence[Chunk]) -> dict[bytes, Chunk]:
    """Return the first chunk of each kind."""
    return {chunk.kind: chunk for chunk in reversed(chunks)}


def cut_block(block: object) -> bytes | None:
    """Return a block, cut to one byte more than LARGEST_BLOCK; None if it is empty.

    The extra byte shows `limit_profile` and `Metadata.without_large_blocks` that a block is too large.
    """
    return block[: LARGEST_BLOCK + 1] if isinstance(block, bytes) and block else None


def limit_profile(profile: object) -> bytes | None:
    """Return a colour profile unless it is empty or too large."""
    found = cut_block(profile)
    if found and len(found) > LARGEST_BLOCK:
        logger.info("The colour profile is too large and was left out")
        return None
    return found


def read_block(file: BinaryIO, chunk: Chunk | None) -> bytes | None:
    """Return the content of a chunk as `cut_block` does; None if it is missing or empty."""
    if chunk is None:
        return None
    return chunk_content(file, Chunk(chunk.kind, chunk.start, min(chunk.length, LARGEST_BLOCK + 1))) or None


def png_profile(file: BinaryIO, chunks: Sequence[Chunk]) -> bytes | None:
    """Return the colour profile of a PNG; None if there is none or it is damaged."""
    chunk = first_chunks(chunks).get(b"iCCP")
    if chunk is None:
        return None
    name, _, rest = (read_block(file, chunk) or b"").partition(b"\0")
    try:
        if not 1 <= len(name) <= 79 or rest[:1] != b"\0":
            raise ValueError("its header is wrong")
        return _inflate(rest[1:], LARGEST_BLOCK)
    except (ValueError, zlib.error) as error:
        logger.info("The colour profile is damaged and was left out: %s", error)
        return None


def _inflate(packed: bytes, limit: int) -> bytes:
    """Return inflated data. Raises ValueError or zlib.error if it is damaged, truncated, or over `limit` bytes."""
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, limit + 1)
    if len(content) > limit:
        raise _TooLargeError("it is too large")
    if not inflater.eof:
        raise ValueError("it is truncated")
    return content


def png_texts(file: BinaryIO, chunks: Sequence[Chunk]) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """Return the texts of a PNG (keyword, value), and the blocks stored as texts: "xmp", "exif", "iptc" and so on.

    A block that is too large is replaced by spaces.
    """
    texts: list[tuple[str, str]] = []
    blocks: dict[str, bytes] = {}
    remaining = MAX_TEXTS_LENGTH
    for chunk in chunks:
        if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        content = read_block(file, chunk) or b""
        key = content.partition(b"\0")[0].decode("latin-1")
        block = _block_of(key)
        # A block of a profile has two digits for each byte.
        limit = min(_MAX_TEXT_LENGTH, remaining) if block is None else 2 * LARGEST_BLOCK
        try:
            value = _text_in(chunk.kind, content, limit)
            if key == _XMP_KEYWORD:
                blocks["xmp"] = value.encode("utf-8")
            elif block is not None:
                blocks.setdefault(block, _profile_in(value))
            elif len(texts) < MAX_TEXTS:
                texts.append((key, value))
                remaining -= len(value)
        except _TooLargeError:
            if block is not None:
                blocks.setdefault(block, b" " * (LARGEST_BLOCK + 1))
            logger.info("A text is too large and was left out")
        except (ValueError, zlib.error) as error:
            logger.info("A text is damaged and was left out: %s", error)
    return texts, blocks


def _block_of(keyword: str) -> str | None:
    """Return the name of the block that a text with this keyword contains; None for any other text."""
    if keyword == _XMP_KEYWORD:
        return "xmp"
    return keyword.removeprefix(_RAW_PROFILE) if keyword.startswith(_RAW_PROFILE) else None


def _text_in(kind: bytes, content: bytes, limit: int) -> str:
    """Return the value of a text chunk (PNG specification, 11.3.3). Raises ValueError or zlib.error."""
    keyword, _, value = content.partition(b"\0")
    packed = kind == b"zTXt" or (kind == b"iTXt" and value[:1] == b"\1")
    if kind == b"zTXt":
        value = value[1:]
    elif kind == b"iTXt":
        value = value[2:].split(b"\0", 2)[-1]
    if not 1 <= len(keyword) <= 79:
        raise ValueError("the length of its keyword is out of bounds")
    if len(content) > LARGEST_BLOCK:
        raise _TooLargeError("its chunk is too large")
    value = _inflate(value, limit) if packed else value
    if len(value) > limit:
        raise _TooLargeError("it is too large")
    return value.decode("utf-8" if kind == b"iTXt" else "latin-1").replace("\0", "")


def _profile_in(text: str) -> bytes:
    """Return the block in a "Raw profile type" text of ImageMagick: a name, a length and hexadecimal digits."""
    _, length, *digits = text.split(maxsplit=2)
    content = bytes.fromhex("".join(digits))
    if len(content) != int(length):
        raise ValueError("it is truncated")
    return content


def profile_text(name: str, content: bytes) -> str:
    """Return a block as a "Raw profile type" text of ImageMagick."""
    digits = content.hex()
    lines = [digits[first : first + 72] for first in range(0, len(digits), 72)]
    return f"\n{name}\n{len(content):8d}\n" + "\n".join(lines) + "\n"


def pixel_chunks(file: BinaryIO, chunks: Iterable[Chunk]) -> bytes:
    """Return the PNG with only the chunks a decoder needs. Raises ValueError if a checksum does not match."""
    return b"".join([SIGNATURE, *(read_chunk(file, chunk) for chunk in chunks if chunk.kind in _PIXEL_CHUNKS)])


def read_chunk(file: BinaryIO, chunk: Chunk) -> bytes:
    """Return all bytes of a PNG chunk. Raises ValueError if its checksum does not match."""
    file.seek(chunk.start - 8)
    content = file.read(chunk.length + 12)
    if zlib.crc32(memoryview(content)[4:-4]) != int.from_bytes(content[-4:], "big"):
        raise ValueError(f"the checksum of a {chunk.kind.decode()} chunk does not match")
    return content


def map_file(file: BinaryIO) -> mmap.mmap:
    """Return the content of an open file without copying it."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
