"""The chunks that a PNG file is made of: cut a file into them, and make one."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# What a decoder needs for the pixels. All else (text, times, animation frames) is never unpacked: a bomb in it costs
# nothing.
_PIXEL_KINDS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MOST_CHUNKS = 1_000_000


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


def pixel_chunks(data: bytes, chunks: list[Chunk]) -> bytes:
    """The same picture as a PNG with nothing but its pixels; ValueError if a check sum does not match."""
    parts: list[bytes | memoryview] = [SIGNATURE]
    view = memoryview(data)
    for chunk in chunks:
        if chunk.kind not in _PIXEL_KINDS:
            continue
        end = chunk.start + chunk.length
        if zlib.crc32(view[chunk.start - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"the check sum of a {chunk.kind.decode()} chunk does not match")
        parts.append(view[chunk.start - 8 : end + 4])
    return b"".join(parts)
