"""Writes a PNG row by row: light compression, any number of rows at a time, nothing left behind if it does not finish.

Enlarged pictures are smooth, so one filter for a block of rows (the difference to the left or to the row above) and
the fast deflate of ISA-L make files smaller than zlib's level 1 in a fraction of its time.
"""

from __future__ import annotations

import errno
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from ..errors import StorageError
from ..files import explained, part_of
from ..picture.png_chunks import SIGNATURE, make_chunk

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SUB, _UP = 1, 2
_BLOCK_BYTES = 1 << 20
_IDAT_BYTES = 1 << 19
_SAMPLED_ROWS = 8
_LEVEL = 1


class PngEncoder:
    """The format: turns rows into a PNG that it pushes into an open file, with its SHA-256 and length on the way."""

    def __init__(
        self,
        sink: BinaryIO,
        width: int,
        height: int,
        *,
        channels: int,
        bits: int = 8,
        icc: bytes | None = None,
        exif: bytes | None = None,
        text: Mapping[str, str] | None = None,
    ) -> None:
        if channels not in _COLOUR_TYPES or bits not in (8, 16) or not (0 < width < 1 << 31 and 0 < height < 1 << 31):
            raise ValueError(f"no PNG is {width} x {height} with {channels} channels of {bits} bits")
        self.height = height
        self.rows = 0
        self.length = 0
        self.sha256 = hashlib.sha256()
        self._sink = sink
        self._dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
        self._row_shape = (width, channels)
        self._pixel_bytes = channels * bits // 8
        self._row_above = np.zeros(width * self._pixel_bytes, np.uint8)
        self._deflate = isal_zlib.compressobj(_LEVEL)
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._push(SIGNATURE)
        self._push(make_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPES[channels], 0, 0, 0)))
        if icc:
            self._push(make_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
        if exif:
            self._push(make_chunk(b"eXIf", exif))
        for key, value in (text or {}).items():
            self._push(_text_chunk(key, value))

    def write(self, rows: np.ndarray) -> None:
        """Add rows from top to bottom: [n, W] or [n, W, C] of the dtype that `bits` says."""
        if rows.ndim == 2:
            rows = rows[..., None]
        if rows.dtype != self._dtype or rows.shape[1:] != self._row_shape:
            raise ValueError(f"rows of {rows.dtype} {rows.shape[1:]} given, {self._dtype} {self._row_shape} expected")
        if self.rows + len(rows) > self.height:
            raise ValueError(f"more than the {self.height} rows that were announced")
        step = max(1, _BLOCK_BYTES // self._row_above.size)
        for first in range(0, len(rows), step):
            self._write_block(rows[first : first + step])
        self.rows += len(rows)

    def finish(self) -> None:
        """Write what is left; ValueError if rows are missing."""
        if self.rows < self.height:
            raise ValueError(f"only {self.rows} of {self.height} rows were written")
        self._pack(self._deflate.flush())
        self._push_packed()
        self._push(make_chunk(b"IEND", b""))

    def _write_block(self, rows: np.ndarray) -> None:
        if self._dtype.itemsize == 2:
            rows = rows.astype(">u2")
        values = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        self._pack(self._deflate.compress(self._filtered(values)))
        self._row_above = values[-1].copy()
        if self._packed_bytes >= _IDAT_BYTES:
            self._push_packed()

    def _filtered(self, values: np.ndarray) -> np.ndarray:
        """Rows of bytes [n, B] with their filter (PNG specification, section 9) as uint8 [n, 1 + B]."""
        step = self._pixel_bytes
        sampled = np.arange(0, len(values), max(1, len(values) // _SAMPLED_ROWS))
        sample, above = values[sampled], values[sampled - 1]
        above[0] = self._row_above
        beside = sample[:, step:] - sample[:, :-step]
        out = np.empty((len(values), 1 + values.shape[1]), np.uint8)
        if _cost(beside) < _cost(sample - above):
            out[:, 0] = _SUB
            out[:, 1 : 1 + step] = values[:, :step]
            np.subtract(values[:, step:], values[:, :-step], out=out[:, 1 + step :])
        else:
            out[:, 0] = _UP
            np.subtract(values[0], self._row_above, out=out[0, 1:])
            np.subtract(values[1:], values[:-1], out=out[1:, 1:])
        return out

    def _pack(self, deflated: bytes) -> None:
        self._packed.append(deflated)
        self._packed_bytes += len(deflated)

    def _push_packed(self) -> None:
        self._push(make_chunk(b"IDAT", b"".join(self._packed)))
        self._packed, self._packed_bytes = [], 0

    def _push(self, data: bytes) -> None:
        self._sink.write(data)
        self.sha256.update(data)
        self.length += len(data)


class PngWriter:
    """A PNG file in the making: a context manager that lets `path` appear only once all rows are in it.

    The rows go to a temporary file beside it. Any exception, or a missing row, removes that and leaves what was under
    `path` before untouched. `channels`: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. `bits`: 8 or 16. `icc` is a profile
    that fits the channels, `exif` a block without the "Exif" prefix, `text` keywords (1 to 79 Latin-1 letters) and
    values. Raises StorageError with one sentence for a person if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        *,
        channels: int,
        bits: int = 8,
        icc: bytes | None = None,
        exif: bytes | None = None,
        text: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.sha256 = ""
        self.bytes_written = 0
        self._start = partial(
            PngEncoder, width=width, height=height, channels=channels, bits=bits, icc=icc, exif=exif, text=text
        )
        self._temporary = part_of(self.path)
        self._file: BinaryIO | None = None

    def __enter__(self) -> PngWriter:
        with self._all_or_nothing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            self._file = self._temporary.open("xb")
            self._encoder = self._start(self._file)
        return self

    def write(self, rows: np.ndarray) -> None:
        """Add rows from top to bottom: uint8 or uint16, as `bits` says, [n, W] or [n, W, C], any n."""
        with self._all_or_nothing():
            self._encoder.write(rows)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            self._discard()
            return
        with self._all_or_nothing():
            rows, height = self._encoder.rows, self._encoder.height
            if rows < height:
                raise StorageError(f"{self.path.name} was not written: only {rows} of its {height} rows came.")
            self._encoder.finish()
            assert self._file is not None
            self._file.close()
            self._temporary.replace(self.path)
        self.sha256 = self._encoder.sha256.hexdigest()
        self.bytes_written = self._encoder.length

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._discard()
            raise explained(self.path, error) from error
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink()


def encode_png(
    array: np.ndarray,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    text: Mapping[str, str] | None = None,
) -> bytes:
    """A whole picture as the bytes of a PNG: uint8 or uint16, [H, W] or [H, W, C] with 1 to 4 channels."""
    height, width = array.shape[:2]
    sink = io.BytesIO()
    encoder = PngEncoder(
        sink,
        width,
        height,
        channels=1 if array.ndim == 2 else array.shape[2],
        bits=array.dtype.itemsize * 8,
        icc=icc,
        exif=exif,
        text=text,
    )
    encoder.write(array)
    encoder.finish()
    return sink.getvalue()


def _cost(differences: np.ndarray) -> int:
    """How much is left to pack after a filter: the sum of the differences' sizes, taken as signed bytes."""
    return int(np.abs(differences.view(np.int8).astype(np.int16)).sum())


def _text_chunk(key: str, value: str) -> bytes:
    """tEXt where Latin-1 can hold the value, else iTXt in UTF-8 (PNG specification, section 11.3.3)."""
    keyword = key.encode("latin-1")
    if not 1 <= len(keyword) <= 79 or "\0" in key + value:
        raise ValueError(f"a PNG cannot hold a text named {key!r}: 1 to 79 letters, and no zero bytes")
    try:
        return make_chunk(b"tEXt", keyword + b"\0" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return make_chunk(b"iTXt", keyword + b"\0\0\0\0\0" + value.encode("utf-8"))
