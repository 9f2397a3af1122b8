"""The reader of finished PNG results: rows, colour profile and metadata, in constant memory."""

from __future__ import annotations

import struct
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from ..errors import PictureError
from ..images import Box, Metadata
from ..images.containers import CHANNELS, SIGNATURE, Chunk, PackedRows, chunk_content, png_profile, scan_chunks
from ..images.header import png_metadata
from ..images.image import block_means
from .gain_map import CHUNK, ResultMap
from .png import rows_per_chunk
from .resample import Paper

_NONE, _SUB, _UP = 0, 1, 2
_PIECE = 1 << 20
_REGION_ROWS = 256
_ZLIB_HEADER = 2


class PngReader:
    """A PNG that `enhance.output.png` wrote; those of earlier versions have rows with the filter Sub, too.

    Close it, or use it as a context manager.

    `size` is (height, width), `channels` 1 to 4, `bits` 8 or 16. Raises PictureError if the file is missing, damaged
    or was saved again by another program.
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

    def __enter__(self) -> PngReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def row_bytes(self) -> int:
        """The number of bytes of a row's pixels."""
        return self._stride - 1

    @property
    def icc(self) -> bytes | None:
        """The colour profile."""
        return png_profile(self._file, self.chunks)

    @cached_property
    def metadata(self) -> Metadata:
        return png_metadata(self._file, self.chunks)

    @property
    def has_gain_map(self) -> bool:
        return any(chunk.kind == CHUNK for chunk in self.chunks)

    @property
    def gain_map(self) -> ResultMap | None:
        """The gain map for files in other formats."""
        found = next((chunk for chunk in self.chunks if chunk.kind == CHUNK), None)
        try:
            return ResultMap.unpack(chunk_content(self._file, found)) if found else None
        except (ValueError, KeyError, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
            raise self._error("png_damaged") from error

    def rows(self, first: int, last: int) -> np.ndarray:
        """Return the rows [first, last) [n, width, channels], uint8 or uint16.

        Reading is fast from top to bottom; going back starts again at the top.
        """
        if first < self._position:
            self._rewind()
        while self._position < first:
            self._next(min(first - self._position, max(1, _PIECE // self._stride)))
        return self._next(last - first)

    def region(self, box: Box, step: int = 1) -> np.ndarray:
        """Return a region, averaged over blocks of `step` x `step` px, [h, w, channels].

        Only the chunks that contain its rows are inflated, if the file has them.
        """
        averages, bottom = [], box.top + box.height
        rows_at_once = max(step, _REGION_ROWS // step * step)
        for first in range(box.top, bottom, rows_at_once):
            rows = self._columns(first, min(first + rows_at_once, bottom), box.left, box.left + box.width)
            averages.append(block_means(rows, step) if step > 1 else rows)
        return np.concatenate(averages)

    def _columns(self, first: int, last: int, left: int, right: int) -> np.ndarray:
        """Return the pixels of these rows and columns."""
        count = rows_per_chunk(self.row_bytes)
        if len(self._idat) != -(-self.size[0] // count):  # The file is from an earlier version.
            return self.rows(first, last)[:, left:right]
        parts = []
        for index in range(first // count, -(-last // count)):
            packed = self._inflate_chunk(index, min(count, self.size[0] - index * count))
            if packed is None:
                return self.rows(first, last)[:, left:right]
            low, high = max(first - index * count, 0), min(last - index * count, count)
            values = packed[:high, 1 + left * self._pixel_bytes : 1 + right * self._pixel_bytes]
            parts.append(
                np.cumsum(values, axis=0, dtype=np.uint8)[low:]
            )  # The first row has no filter, others have Up.
        pixels = np.ascontiguousarray(np.concatenate(parts))
        return pixels.reshape(last - first, right - left, -1).view(self._dtype).astype(self._dtype.newbyteorder("="))

    def _inflate_chunk(self, index: int, rows: int) -> np.ndarray | None:
        """Return the rows of an IDAT chunk with their filter bytes; None if it depends on those before it."""
        content = chunk_content(self._file, self._idat[index])[0 if index else _ZLIB_HEADER :]
        try:
            inflated = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS).decompress(content, rows * self._stride)
        except isal_zlib.error:  # pyright: ignore[reportGeneralTypeIssues]
            return None
        if len(inflated) != rows * self._stride:
            return None
        values = np.frombuffer(inflated, np.uint8).reshape(rows, self._stride)
        return values if values[0, 0] == _NONE and np.all(values[1:, 0] == _UP) else None

    def copy_pixels(self, sink: BinaryIO) -> None:
        """Copy the compressed pixels, one IDAT chunk at a time."""
        for chunk in self._idat:
            self._file.seek(chunk.start - 8)
            content = self._file.read(chunk.length + 12)
            if len(content) < chunk.length + 12:
                raise self._error("png_damaged")
            sink.write(content)

    def has_checksum(self, chunk: Chunk) -> bool:
        """Return whether the bytes of a chunk match its checksum. Reads it in pieces."""
        self._file.seek(chunk.start)
        checksum = isal_zlib.crc32(chunk.kind)
        for start in range(0, chunk.length, _PIECE):
            checksum = isal_zlib.crc32(self._file.read(min(_PIECE, chunk.length - start)), checksum)
        return checksum == int.from_bytes(self._file.read(4), "big")

    def _read_header(self) -> None:
        if self._file.read(len(SIGNATURE)) != SIGNATURE:
            raise ValueError("no PNG signature")
        self.chunks = scan_chunks(self._file)
        header = struct.unpack(">IIBBBBB", chunk_content(self._file, self.chunks[0]))
        width, height, bits, kind, _, _, interlaced = header
        if bits not in (8, 16) or interlaced or width < 1 or height < 1:
            raise ValueError("a PNG that this program does not write")
        self.size = height, width
        self.channels, self.bits = CHANNELS[kind], bits
        self._pixel_bytes = self.channels * bits // 8
        self._stride = 1 + width * self._pixel_bytes
        self._dtype = np.dtype(np.uint8 if bits == 8 else ">u2")
        self._idat = [chunk for chunk in self.chunks if chunk.kind == b"IDAT"]
        self._rewind()

    def _rewind(self) -> None:
        self._position = 0
        self._row_above = np.zeros(self.row_bytes, np.uint8)
        file = self._file
        self._packed = PackedRows((chunk_content(file, chunk) for chunk in self._idat), self._stride)

    def _next(self, count: int) -> np.ndarray:
        try:
            packed = self._packed.take(count)
        except (EOFError, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
            raise self._error("png_damaged") from error
        self._position += count
        values = np.frombuffer(packed, np.uint8).reshape(count, self._stride)
        return self._unfilter(values).view(self._dtype).astype(self._dtype.newbyteorder("="), copy=False)

    def _unfilter(self, values: np.ndarray) -> np.ndarray:
        """Undo the filters of rows [n, 1 + bytes] (PNG specification, section 9); return [n, width, pixel bytes]."""
        kinds, values = values[:, 0], values[:, 1:]
        plain = np.empty(values.shape, np.uint8)
        starts = np.flatnonzero(np.diff(kinds, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(kinds)], strict=True):
            block, out = values[start:end], plain[start:end]
            if kinds[start] == _UP:
                np.cumsum(block, axis=0, dtype=np.uint8, out=out)
                out += self._row_above
            elif kinds[start] == _SUB:
                pixels = (end - start, self.size[1], self._pixel_bytes)
                np.cumsum(block.reshape(pixels), axis=1, dtype=np.uint8, out=out.reshape(pixels))
            elif kinds[start] == _NONE:
                out[:] = block
            else:
                raise self._error("png_rewritten")
            self._row_above = out[-1]
        return plain.reshape(len(plain), self.size[1], self._pixel_bytes)

    def _error(self, key: str) -> PictureError:
        return PictureError(key, name=self._path.name)


class PhotoOnPaper:
    """The photo of a PNG that is a print with a border or cropped: without the border, and grey where it was cropped.

    `size` is height and width of the whole photo; the rest is that of `PngReader`.
    """

    def __init__(self, png: PngReader, paper: Paper) -> None:
        self._png, self._axes, self.size = png, [*zip(paper.offset, paper.size, strict=True)], paper.photo
        self.channels, self.bits, self.icc = png.channels, png.bits, png.icc

    def rows(self, first: int, last: int) -> np.ndarray:
        """Return the rows [first, last) of the photo, as `PngReader.rows` does."""
        return self.region(Box(0, first, self.size[1], last - first))

    def region(self, box: Box, step: int = 1) -> np.ndarray:
        """Return a region of the photo, as `PngReader.region` does."""
        highest = 255 if self.bits == 8 else 65_535
        shape = -(-box.height // step), -(-box.width // step), self.channels
        averages = np.full(shape, highest // 2, np.uint8 if self.bits == 8 else np.uint16)
        if self.channels in (2, 4):
            averages[..., -1] = highest
        (top, down, rows), (left, across, columns) = (
            _on_paper(start, length, step, *self._axes[axis])
            for axis, (start, length) in enumerate(((box.top, box.height), (box.left, box.width)))
        )
        if down > 0 and across > 0:
            averages[rows, columns] = self._png.region(Box(left, top, across, down), step)
        return averages


def _on_paper(start: int, length: int, step: int, offset: int, paper: int) -> tuple[int, int, slice]:
    """Return start and length on the paper of the part of a span of the photo that is there, and its blocks."""
    skipped = -(-max(0, -offset - start) // step)
    low, high = start + skipped * step, min(start + length, paper - offset)
    return low + offset, high - low, slice(skipped, skipped - (low - high) // step)


def is_intact(path: Path) -> bool:
    """Return whether all chunks of a PNG match their checksums. Reads the whole file in constant memory."""
    try:
        with closing(PngReader(path)) as png:
            return all(png.has_checksum(chunk) for chunk in png.chunks)
    except (OSError, PictureError):
        return False
