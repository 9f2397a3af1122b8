"""Parts of a file: chunks, the boxes of ISO media, and blocks of metadata of limited size."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

LARGEST_BLOCK = 16 << 20
"""Maximum bytes of a profile, and of a block of metadata that is read. A result contains only
smaller blocks."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG, or a box: its name of four letters, and the position and length of
    its content."""

    kind: bytes
    start: int
    length: int


def first_chunks(chunks: Sequence[Chunk]) -> dict[bytes, Chunk]:
    """Return the first chunk of each kind."""
    return {chunk.kind: chunk for chunk in reversed(chunks)}


def chunk_content(file: BinaryIO, chunk: Chunk | None) -> bytes:
    """Return the content of a chunk, cut to one byte more than LARGEST_BLOCK.

    The result is empty without a chunk. The extra byte shows `Metadata.without_damage` that a
    block is too large.
    """
    if chunk is None:
        return b""
    file.seek(chunk.start)
    return file.read(min(chunk.length, LARGEST_BLOCK + 1))


def map_file(file: BinaryIO) -> mmap.mmap:
    """Return the content of an open file without copying it."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
