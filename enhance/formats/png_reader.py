"""The reader of finished PNG results: rows, colour profile and metadata, in constant memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib
from numpy import ndarray

from ..errors import PictureError
from ..images import Box, ceil_div, spans
from ..images.downscaling import block_means
from ..images.worker import WORKERS
from ..metadata import Metadata
from ..metadata.containers import Chunk, chunk_content, first_chunks
from ..metadata.png_chunks import COLOUR_TYPES, read_chunk, read_profile, scan_chunks
from ..size import Size

GAIN_MAP_CHUNK = b"enGM"
"""The name of the chunk that stores the gain map. Other programs ignore it."""
NO_FILTER = 0
UP_FILTER = 2
_CHUNK_BYTES = 4 << 20
_CHANNELS = {colour_type: channels for channels, colour_type in COLOUR_TYPES.items()}
_REGION_ROWS = 256
_ZLIB_HEADER_BYTES = 2


def rows_per_chunk(row_bytes: int) -> int:
    """Return how many rows of this many bytes an IDAT chunk has. The last chunk can have fewer."""
    return max(1, _CHUNK_BYTES // row_bytes)


class PngReader:
    """A PNG that `enhance.formats.png` wrote. Close it, or use it as a context manager.

    Each IDAT chunk contains whole rows, which do not depend on the chunks before.

    `channels` is 1 to 4, `bits` 8 or 16. Raises PictureError if the file is missing, damaged or was
    saved again by another program.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise PictureError("png_unreadable", name=path.name, reason=error) from error
        try:
            self._read_header()
        except (EOFError, ValueError, KeyError, struct.error) as error:
            self.close()
            raise self._error("png_foreign") from error

    def _read_header(self) -> None:
        self.chunks = scan_chunks(self._file)
        header = chunk_content(self._file, self.chunks[0])
        width, height, bits, kind, interlaced = struct.unpack(">IIBB2xB", header)
        if bits not in (8, 16) or interlaced or min(width, height) < 1:
            raise ValueError("a PNG that this program does not write")
        self.size = Size(width, height)
        self.channels = _CHANNELS[kind]
        self.bits = bits
        self.row_bytes = width * self.channels * bits // 8
        """The number of bytes of a row's pixels."""
        self._dtype = np.dtype(f">u{bits // 8}")
        self._idat = [chunk for chunk in self.chunks if chunk.kind == b"IDAT"]
        rows = rows_per_chunk(self.row_bytes)
        # A damaged file can state billions of rows.
        if len(self._idat) != ceil_div(height, rows):
            raise ValueError("the chunks have other rows")
        self._spans = [*spans(height, rows)]
        """The rows of each IDAT chunk."""
        self._cached: tuple[int, ndarray] | None = None

    def __enter__(self) -> PngReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def icc(self) -> bytes | None:
        """The colour profile."""
        return read_profile(self._file, self.chunks)

    @cached_property
    def variants(self) -> Mapping[str, Metadata]:
        """The metadata that each of `metadata.CHOICES` keeps, from a decoding worker."""
        return WORKERS.request("variants", self._path, None, None)

    @property
    def gain_map(self) -> bytes | None:
        """The gain map for files in other formats, as a JPEG."""
        found = first_chunks(self.chunks).get(GAIN_MAP_CHUNK)
        if found is None:
            return None
        return self._read(found)[8:-4]

    def rows(self, first: int, last: int, columns: slice = slice(None)) -> ndarray:
        """Return the rows [first, last) [n, width, channels], uint8 or uint16, or some columns of
        them.

        Only the chunks that contain the rows are inflated.
        """
        parts = []
        for index, (top, bottom) in enumerate(self._spans):
            if top < last and bottom > first:
                chunk = self._chunk(index)
                parts.append(chunk[max(first - top, 0) : last - top, columns])
        return np.concatenate(parts)

    def _chunk(self, index: int) -> ndarray:
        """Return the rows of an IDAT chunk. The chunk that was read last is cached."""
        if self._cached and self._cached[0] == index:
            return self._cached[1]
        values = self._inflate(index)
        if values[0, 0] != NO_FILTER or np.any(values[1:, 0] != UP_FILTER):
            raise self._error("png_foreign")
        # The filter Up works on bytes, so 16-bit values are put together after the sums.
        content = np.cumsum(values[:, 1:], axis=0, dtype=np.uint8)
        pixels = content.view(self._dtype).astype(self._dtype.newbyteorder("="), copy=False)
        pixels = pixels.reshape(-1, self.size.width, self.channels)
        self._cached = (index, pixels)
        return pixels

    def _inflate(self, index: int) -> ndarray:
        """Return the rows of an IDAT chunk as stored, uint8 [n, 1 + B]: the filter and the filtered
        bytes."""
        top, bottom = self._spans[index]
        stride = 1 + self.row_bytes
        content = self._read(self._idat[index])[8:-4]
        if index == 0:
            content = content[_ZLIB_HEADER_BYTES:]
        inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
        try:
            inflated = inflater.decompress(content, (bottom - top) * stride)
            return np.frombuffer(inflated, np.uint8).reshape(bottom - top, stride)
        except (ValueError, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
            raise self._error("png_damaged") from error

    def copy_pixels(self, sink: BinaryIO) -> None:
        """Copy the compressed pixels, one IDAT chunk at a time."""
        for chunk in self._idat:
            sink.write(self._read(chunk))

    def _read(self, chunk: Chunk) -> bytes:
        """Return all bytes of a chunk: length, kind, content and checksum."""
        try:
            return read_chunk(self._file, chunk)
        except ValueError as error:
            raise self._error("png_damaged") from error

    def _error(self, key: str) -> PictureError:
        return PictureError(key, name=self._path.name)


def read_region(rows: Callable[[int, int, slice], ndarray], box: Box, step: int = 1) -> ndarray:
    """Return a region of an image by its `rows`, averaged over blocks of `step` x `step` px.

    The result is [h, w, channels].
    """
    columns = slice(box.left, box.right)
    rows_at_once = max(step, _REGION_ROWS // step * step)
    strips = spans(box.bottom, rows_at_once, start=box.top)
    return np.concatenate([block_means(rows(*strip, columns), step) for strip in strips])


def is_intact(path: Path) -> bool:
    """Return whether all chunks of a PNG match their checksums."""
    try:
        with path.open("rb") as file:
            for chunk in scan_chunks(file):
                read_chunk(file, chunk)
    except (OSError, EOFError, ValueError):
        return False
    return True
