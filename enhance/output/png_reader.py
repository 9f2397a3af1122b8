"""Rows of a finished result, from memory or from its PNG file."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from isal import isal_zlib

from ..errors import PictureError
from ..images.containers import CHANNELS, Chunk, PackedRows, chunk_content
from .png import scanned

_NONE, _SUB, _UP = 0, 1, 2
_PIECE = 1 << 20


class FinishedRows(Protocol):
    """What there is to read of a result, whether it is `enhance.output.result.ResultRows` or `PngRows`."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def rows(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last) [n, width, channels] of uint8 or uint16."""
        ...


class PngRows:
    """Rows of a PNG that `enhance.output.png` wrote, in constant memory whatever its size; close it, or use `with`.

    Rows are cheap from top to bottom; going back starts again at the top. Raises PictureError if the file is missing,
    damaged or was written anew by another program. `channels` 1 to 4 and `bits` 8 or 16 are as its header says.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with ExitStack() as unless_sound:
            self._file, chunks = unless_sound.enter_context(scanned(self._path))
            try:
                self._read_header(chunks)
            except (ValueError, KeyError, struct.error) as error:
                raise self._refused("png_foreign") from error
            self._open = unless_sound.pop_all()

    def __enter__(self) -> PngRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    @property
    def size(self) -> tuple[int, int]:
        return self._height, self._width

    @property
    def row_bytes(self) -> int:
        """The bytes of a row's pixels."""
        return self._stride - 1

    def rows(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last) [n, width, channels], uint8 or uint16."""
        if first < self._position:
            self._rewind()
        while self._position < first:
            self._next(min(first - self._position, max(1, _PIECE // self._stride)))
        return self._next(last - first)

    def _read_header(self, chunks: list[Chunk]) -> None:
        width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunk_content(self._file, chunks[0]))
        if bits not in (8, 16) or interlaced or width < 1 or height < 1:
            raise ValueError("another kind of PNG")
        self._width, self._height = width, height
        self.channels, self.bits = CHANNELS[kind], bits
        self._pixel_bytes = self.channels * bits // 8
        self._stride = 1 + width * self._pixel_bytes
        self._dtype = np.dtype(np.uint8 if bits == 8 else ">u2")
        self._data = [chunk for chunk in chunks if chunk.kind == b"IDAT"]
        self._rewind()

    def _rewind(self) -> None:
        self._position = 0
        self._row_above = np.zeros(self._stride - 1, np.uint8)
        file = self._file
        self._packed = PackedRows((chunk_content(file, chunk) for chunk in self._data), self._stride)

    def _next(self, count: int) -> np.ndarray:
        try:
            packed = self._packed.take(count)
        except (EOFError, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
            raise self._refused("png_damaged") from error
        self._position += count
        values = np.frombuffer(packed, np.uint8).reshape(count, self._stride)
        return self._unfiltered(values).view(self._dtype).astype(self._dtype.newbyteorder("="), copy=False)

    def _unfiltered(self, values: np.ndarray) -> np.ndarray:
        """Rows [n, 1 + bytes] without their filter (PNG specification, section 9), [n, width, bytes a pixel]."""
        kinds, values = values[:, 0], values[:, 1:]
        plain = np.empty(values.shape, np.uint8)
        starts = np.flatnonzero(np.diff(kinds, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(kinds)], strict=True):
            block, out = values[start:end], plain[start:end]
            if kinds[start] == _UP:
                np.cumsum(block, axis=0, dtype=np.uint8, out=out)
                out += self._row_above
            elif kinds[start] == _SUB:
                pixels = (end - start, self._width, self._pixel_bytes)
                np.cumsum(block.reshape(pixels), axis=1, dtype=np.uint8, out=out.reshape(pixels))
            elif kinds[start] == _NONE:
                out[:] = block
            else:
                raise self._refused("png_rewritten")
            self._row_above = out[-1]
        return plain.reshape(len(plain), self._width, self._pixel_bytes)

    def _refused(self, key: str) -> PictureError:
        return PictureError(key, name=self._path.name)
