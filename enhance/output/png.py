"""Writes a PNG row by row: light compression, any number of rows at a time, nothing left behind if it does not finish.

Enlarged pictures are smooth, so one filter for a block of rows (the difference to the left or to the row above) and
the fast deflate of ISA-L make files smaller than zlib's level 1 in a fraction of its time.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from ..errors import PictureError, StorageError
from ..files import AtomicFile
from ..images import Metadata
from ..images.containers import SIGNATURE, Chunk, make_chunk, png_profile, profile_text, scan_chunks
from ..images.header import png_metadata
from ..images.metadata import resource_of

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SUB, _UP = 1, 2
_BLOCK_BYTES = 1 << 20
_IDAT_BYTES = 1 << 19
_SAMPLED_ROWS = 8
_LEVEL = 1
_INCH = 0.0254
_OF_METADATA = (b"pHYs", b"eXIf", b"iTXt", b"zTXt", b"tEXt", b"tIME")
_COPIED = 1 << 20
MARK = b"enHa"
"""The chunk by which the program knows a result again that has no texts; private, and safe to copy."""


@dataclass(frozen=True)
class PngFormat:
    """What a PNG is and carries beside its pixels. Raises ValueError for what no PNG can be.

    `channels`: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. `bits`: 8 or 16. `icc` is a profile that fits the channels; the
    keywords of `metadata.texts` have 1 to 79 Latin-1 letters.
    """

    width: int
    height: int
    channels: int
    bits: int = 8
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        known = self.channels in _COLOUR_TYPES and self.bits in (8, 16)
        if not known or not (0 < self.width < 1 << 31 and 0 < self.height < 1 << 31):
            raise ValueError(
                f"no PNG is {self.width} x {self.height} with {self.channels} channels of {self.bits} bits"
            )

    def head(self) -> Iterator[bytes]:
        """The signature and the chunks that come before the pixels."""
        yield SIGNATURE
        colour = _COLOUR_TYPES[self.channels]
        yield make_chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, self.bits, colour, 0, 0, 0))
        if self.icc:
            yield make_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(self.icc))
        yield from metadata_chunks(self.metadata)


class PngEncoder:
    """The format: turns rows into a PNG that it pushes into an open file, with its SHA-256 and length on the way."""

    def __init__(self, sink: BinaryIO, form: PngFormat) -> None:
        self.height = form.height
        self.rows = 0
        self.length = 0
        self.sha256 = hashlib.sha256()
        self._sink = sink
        self._dtype = np.dtype(np.uint8 if form.bits == 8 else np.uint16)
        self._row_shape = (form.width, form.channels)
        self._pixel_bytes = form.channels * form.bits // 8
        self._row_above = np.zeros(form.width * self._pixel_bytes, np.uint8)
        self._deflate = isal_zlib.compressobj(_LEVEL)
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        for part in form.head():
            self._push(part)

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

    def finish(self, texts: Sequence[tuple[str, str]] = ()) -> None:
        """Write what is left, and texts behind the pixels; ValueError if rows are missing."""
        if self.rows < self.height:
            raise ValueError(f"only {self.rows} of {self.height} rows were written")
        self._pack(self._deflate.flush())
        self._push_packed()
        for key, value in texts:
            self._push(_text_chunk(key, value))
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

    Any exception, or a missing row, leaves what was under `path` before untouched, and nothing else. Raises
    StorageError with one sentence for a person if the file cannot be written.
    """

    def __init__(self, path: str | Path, form: PngFormat) -> None:
        self.path, self._form = Path(path), form
        self.sha256 = ""
        self.bytes_written = 0
        self.texts_behind: list[tuple[str, str]] = []
        """Keywords and values that are known only when the rows are written."""
        self._part = AtomicFile(self.path)

    def __enter__(self) -> PngWriter:
        with ExitStack() as stack:
            stack.enter_context(self._part)
            self._file = self._part.open()
            stack.callback(self._close)
            with self._part.explained():
                self._encoder = PngEncoder(self._file, self._form)
            self._stack = stack.pop_all()
        return self

    def write(self, rows: np.ndarray) -> None:
        """Add rows from top to bottom: uint8 or uint16, as `bits` says, [n, W] or [n, W, C], any n."""
        with self._part.explained():
            self._encoder.write(rows)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        with self._stack:
            if kind is not None:
                return
            rows, height = self._encoder.rows, self._encoder.height
            if rows < height:
                raise StorageError("rows_missing", name=self.path.name, rows=rows, height=height)
            with self._part.explained():
                self._encoder.finish(self.texts_behind)
                self._file.close()
            self._part.keep(durable=True)
        self.sha256 = self._encoder.sha256.hexdigest()
        self.bytes_written = self._encoder.length

    def _close(self) -> None:
        with suppress(OSError):  # what could not be flushed was told already
            self._file.close()


def read_carried(path: Path, choice: str = "keep") -> tuple[bytes | None, Metadata]:
    """The colour profile of a finished PNG, and of its metadata what `choice` keeps. Raises PictureError."""
    with scanned(path) as (file, chunks):
        return png_profile(file, chunks), png_metadata(file, chunks).kept(choice)


def take_png(
    source: Path, place: Path, choice: str, texts: tuple[tuple[str, str], ...] = (), mark: bytes | None = None
) -> None:
    """Write a finished PNG to `place` with what `choice` keeps of its metadata, and `texts`, whole or not at all.

    A `mark` goes into a chunk of this program's own, which tells other readers nothing. The pixels are copied as they
    are packed, in constant memory. Raises PictureError for a PNG that is damaged or gone, StorageError.
    """
    _, told = read_carried(source, choice)
    told = replace(told, texts=(*(text for text in told.texts if text[0] not in dict(texts)), *texts))
    with scanned(source) as (file, chunks), AtomicFile(place) as part, part.explained():
        with closing(part.open()) as sink:
            sink.write(SIGNATURE)
            for chunk in chunks:
                if chunk.kind == b"IDAT" and told:
                    for one in (*metadata_chunks(told), make_chunk(MARK, mark) if mark else b""):
                        sink.write(one)
                    told = None
                if chunk.kind not in _OF_METADATA:
                    _copy_chunk(file, chunk, sink)
        part.keep(durable=True)


@contextmanager
def scanned(path: Path) -> Iterator[tuple[BinaryIO, list[Chunk]]]:
    """A finished PNG, open, and its chunks."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise PictureError("png_unreadable", name=path.name, reason=error.strerror or str(error)) from error
    with file:
        try:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise ValueError("no PNG signature")
            chunks = scan_chunks(file)
        except (EOFError, ValueError) as error:
            raise PictureError("png_foreign", name=path.name) from error
        yield file, chunks


def is_intact(path: Path) -> bool:
    """Return whether all chunks of a PNG have their check sums; reads all of it, in constant memory."""
    try:
        with scanned(path) as (file, chunks):
            return all(_check_sum(file, chunk) == int.from_bytes(file.read(4), "big") for chunk in chunks)
    except (OSError, PictureError):
        return False


def _check_sum(file: BinaryIO, chunk: Chunk) -> int:
    """The check sum of a chunk's kind and content, after which the file stands."""
    file.seek(chunk.start)
    check_sum, left = isal_zlib.crc32(chunk.kind), chunk.length
    while left:
        piece = file.read(min(left, _COPIED))
        if not piece:
            return -1
        check_sum = isal_zlib.crc32(piece, check_sum)
        left -= len(piece)
    return check_sum


def _copy_chunk(file: BinaryIO, chunk: Chunk, sink: BinaryIO) -> None:
    file.seek(chunk.start - 8)
    left = chunk.length + 12
    while left:
        piece = file.read(min(left, _COPIED))
        if not piece:
            raise PictureError("png_damaged", name=str(getattr(file, "name", "")))
        sink.write(piece)
        left -= len(piece)


def encode_png(array: np.ndarray, *, icc: bytes | None = None, texts: Sequence[tuple[str, str]] = ()) -> bytes:
    """A whole picture as the bytes of a PNG: uint8 or uint16, [H, W] or [H, W, C] with 1 to 4 channels."""
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    sink = io.BytesIO()
    encoder = PngEncoder(sink, PngFormat(width, height, channels, array.dtype.itemsize * 8, icc))
    encoder.write(array)
    encoder.finish(texts)
    return sink.getvalue()


def _cost(differences: np.ndarray) -> int:
    """How much is left to pack after a filter: the sum of the differences' sizes, taken as signed bytes."""
    return int(np.abs(differences.view(np.int8).astype(np.int16)).sum())


def metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    """The chunks that carry metadata: pHYs, eXIf, XMP as iTXt, IPTC as ImageMagick writes it, and texts."""
    if metadata.dpi:
        yield make_chunk(b"pHYs", struct.pack(">IIB", *(max(1, round(dots / _INCH)) for dots in metadata.dpi), 1))
    if metadata.exif:
        yield make_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.iptc:
        text = profile_text("iptc", resource_of(metadata.iptc)).encode("ascii")
        yield make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text))
    for key, value in metadata.texts:
        yield _text_chunk(key, value)


def _text_chunk(key: str, value: str) -> bytes:
    """tEXt where Latin-1 can hold the value, else iTXt in UTF-8 (PNG specification, section 11.3.3)."""
    keyword = key.encode("latin-1")
    if not 1 <= len(keyword) <= 79 or "\0" in key + value:
        raise ValueError(f"a PNG cannot hold a text named {key!r}: 1 to 79 letters, and no zero bytes")
    try:
        return make_chunk(b"tEXt", keyword + b"\0" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return make_chunk(b"iTXt", keyword + b"\0\0\0\0\0" + value.encode("utf-8"))
