"""PNG as the format of results: the writer accepts any number of rows at a time and needs constant
memory.

Upscaled images are smooth. The difference to the row above and the fast deflate of ISA-L make files
smaller than zlib's level 1 in a fraction of its time.

Each IDAT chunk can be inflated without those before it, so that a region of a large result can be
read at once.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib
from numpy import ndarray

from ..files import AtomicFile
from ..metadata import Metadata
from ..metadata.png_chunks import (
    COLOUR_TYPES,
    END,
    SIGNATURE,
    make_chunk,
    metadata_chunks,
    profile_chunk,
)
from ..metadata.provenance import marked_ending
from ..size import Size
from .format import FinishedImage, Format
from .png_reader import GAIN_MAP_CHUNK, NO_FILTER, UP_FILTER, rows_per_chunk

_LEVEL = 1


@dataclass(frozen=True)
class PngHeader:
    """The header of a PNG: `channels` is 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA, `bits` is 8 or
    16.

    `gain_map` is the gain map for files in other formats, as a JPEG; no PNG shows it.
    """

    size: Size
    channels: int
    bits: int = 8
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    gain_map: bytes | None = None

    def head(self) -> Iterator[bytes]:
        """Yield the signature and the chunks before the pixels."""
        yield SIGNATURE
        colour_type = COLOUR_TYPES[self.channels]
        # The last bytes are the only compression, the only filter method and no interlacing.
        header = struct.pack(">IIBB3x", *self.size, self.bits, colour_type)
        yield make_chunk(b"IHDR", header)
        if self.icc:
            yield profile_chunk(self.icc)
        yield from metadata_chunks(self.metadata)
        if self.gain_map:
            yield make_chunk(GAIN_MAP_CHUNK, self.gain_map)


class PngWriter:
    """Writes rows as a PNG into an open file.

    `mark` and `header` can be set until `finish`; for `mark` see `enhance.metadata.provenance`. The
    chunks of another header need the same length.
    """

    def __init__(self, sink: BinaryIO, header: PngHeader, mark: bytes | None = None) -> None:
        self.header = header
        self.mark = mark
        self._sink = sink
        self._rows_left = header.size.height
        self._dtype = np.dtype(f"u{header.bits // 8}")
        self._row_shape = (header.size.width, header.channels)
        self._rows_of_chunk = rows_per_chunk(header.size.width * header.channels * header.bits // 8)
        self._chunk_rows = 0
        self._row_above: ndarray | int = 0  # above the first row of a chunk
        self._deflate = isal_zlib.compressobj(_LEVEL)
        self._packed: list[bytes] = []
        sink.writelines(header.head())

    def write(self, rows: ndarray) -> None:
        """Add rows from top to bottom: [n, W, C], uint8 or uint16 according to `bits`."""
        has_format = rows.dtype == self._dtype and rows.shape[1:] == self._row_shape
        if not has_format or len(rows) > self._rows_left:
            raise ValueError(f"rows of {rows.dtype} {rows.shape} do not fit into the rest")
        self._rows_left -= len(rows)
        while len(rows):
            if self._chunk_rows == self._rows_of_chunk:
                # The next chunk must not refer to the bytes of this one.
                self._end_chunk(self._deflate.flush(isal_zlib.Z_FULL_FLUSH))
            count = self._rows_of_chunk - self._chunk_rows
            self._write_block(rows[:count])
            rows = rows[count:]

    def finish(self) -> None:
        """Write the rest of the file. Raises ValueError if rows are missing."""
        if self._rows_left:
            raise ValueError(f"the last {self._rows_left} rows were not written")
        self._end_chunk(self._deflate.flush())
        ending = END
        if self.mark:
            ending = marked_ending(SIGNATURE, self.mark)
        self._sink.write(ending)
        self._sink.seek(0)
        self._sink.writelines(self.header.head())

    def _write_block(self, rows: ndarray) -> None:
        """Add rows of one chunk with the filter Up (section 9).

        The first row of a chunk has the filter None, so that the chunk does not depend on the one
        before.
        """
        if self._dtype.itemsize == 2:
            rows = rows.astype(">u2")
        values = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        filtered = np.empty((len(values), 1 + values.shape[1]), np.uint8)
        filtered[:, 0] = UP_FILTER
        if self._chunk_rows == 0:
            filtered[0, 0] = NO_FILTER
        filtered[:, 1:] = values
        filtered[1:, 1:] -= values[:-1]
        filtered[0, 1:] -= self._row_above
        self._packed.append(self._deflate.compress(filtered))
        self._row_above = values[-1].copy()
        self._chunk_rows += len(rows)

    def _end_chunk(self, deflated: bytes) -> None:
        self._sink.write(make_chunk(b"IDAT", b"".join([*self._packed, deflated])))
        self._packed = []
        self._chunk_rows = 0
        self._row_above = 0


@contextmanager
def create_png(path: Path, header: PngHeader) -> Iterator[PngWriter]:
    """Write a PNG atomically: it appears at `path` when the block ends without an error.

    Raises StorageError.
    """
    with AtomicFile(path) as part, part.write_errors():
        with part.open() as file:
            writer = PngWriter(file, header)
            yield writer
            writer.finish()
        part.keep(durable=True)


def encode_png(array: ndarray, *, icc: bytes | None = None, mark: bytes | None = None) -> bytes:
    """Return an image as the bytes of a PNG.

    `array` is uint8 or uint16 [H, W, C] with 1 to 4 channels.
    """
    size = Size.of_shape(array.shape)
    header = PngHeader(size, array.shape[2], bits=array.dtype.itemsize * 8, icc=icc)
    sink = io.BytesIO()
    writer = PngWriter(sink, header, mark)
    writer.write(array)
    writer.finish()
    return sink.getvalue()


def _write(file: BinaryIO, image: FinishedImage) -> None:
    """Write a finished PNG with other metadata. Its compressed pixels are copied."""
    png = image.png
    header = PngHeader(png.size, png.channels, png.bits, png.icc, image.metadata)
    file.writelines(header.head())
    png.copy_pixels(file)
    file.write(image.ending(SIGNATURE) or END)


PNG = Format("png", "PNG", (".png",), _write, bits=16, lossless=1)
