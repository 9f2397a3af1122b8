"""Parts of a file: chunks, the boxes of ISO media, and blocks of metadata of limited size."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

LARGEST_BLOCK = 16 << 20
"""Maximum bytes of a profile, and of a block of metadata that is read. A result contains only
smaller blocks."""
MAX_CHUNKS = 1_000_000
"""Maximum number of chunks or boxes of a file that are read."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG, or a box: its name of four letters, and the position and length of
    its content."""

    kind: bytes
    start: int
    length: int


def iso_boxes(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the outer boxes of ISO media (ISO 14496-12, 4.2).

    The content of the last one can be cut off.
    """
    size = file.seek(0, 2)
    position = 0
    for _ in range(MAX_CHUNKS):
        if position + 8 > size:
            return
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack_from(">I4s", header)
        start = 8
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
            start = 16
        elif length == 0:  # up to the end of the file
            length = size
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

    The extra byte shows `limit_profile` and `Metadata.without_large_blocks` that a block is too
    large.
    """
    if isinstance(block, bytes) and block:
        return block[: LARGEST_BLOCK + 1]
    return None


def read_block(file: BinaryIO, chunk: Chunk | None) -> bytes | None:
    """Return the content of a chunk as `cut_block` does; None if it is missing or empty."""
    if chunk is None:
        return None
    file.seek(chunk.start)
    return file.read(min(chunk.length, LARGEST_BLOCK + 1)) or None


def map_file(file: BinaryIO) -> mmap.mmap:
    """Return the content of an open file without copying it."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
