"""A finished picture: its rows on demand, from a run in memory or from its PNG, and what a file says of its origin."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from isal import isal_zlib

from ..errors import PictureError, StorageError
from ..picture.chunks import CHANNELS, SIGNATURE, Chunk, PackedRows, chunk_content, riff_chunks, scan_chunks
from .png import MARK, scanned

_NONE, _SUB, _UP = 0, 1, 2
_PIECE = 1 << 20
_MARK = "Enhance "
_LONGEST_MARK, _MOST_PARTS = 999, 10_000
"""The bytes of an origin and the parts of a JPEG or an AVIF that are read in search of it: a result has far fewer."""
ORIGIN_TEXTS = ("Enhance signature", "Enhance input", "Enhance encoding", "Enhance fidelity", "Enhance dpi")
"""The keywords under which a PNG tells its origin."""
MARK_SEGMENT, MARK_CHUNK, MARK_BOX = 0xE9, b"ENHA", b"uuid" + bytes.fromhex("5d0c1a3be07f4f6b9a0e4a1c6f2d8b97")
"""Where a JPEG, a WebP and an AVIF tell it."""


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


@dataclass(frozen=True)
class Origin:
    """What a finished file tells of where it comes from; None where it does not tell.

    `signature` is that of its settings and input, `input_sha256` that of the input's bytes, `encoding` how it was
    handed out, which a PNG does not tell, `fidelity_db` how well the result explains its photo, `dpi` the resolution
    that the settings gave it.
    """

    signature: str | None = None
    input_sha256: str | None = None
    encoding: str | None = None
    fidelity_db: str | None = None
    dpi: str | None = None

    def texts(self) -> tuple[tuple[str, str], ...]:
        """As a PNG carries it: keywords and values."""
        values = (self.signature, self.input_sha256, self.encoding, self.fidelity_db, self.dpi)
        return tuple((name, value) for name, value in zip(ORIGIN_TEXTS, values, strict=True) if value is not None)

    def mark(self) -> bytes | None:
        """As the other formats carry it."""
        words = (f"{name.removeprefix(_MARK)}={value}" for name, value in self.texts())
        return (_MARK + " ".join(words)).encode("latin-1") if self.signature else None


def origin_of(path: Path) -> Origin:
    """Return the origin that a finished file states; an empty one for any other, damaged or missing file."""
    try:
        if not path.is_file():  # Opening a pipe would block.
            return Origin()
        with path.open("rb") as file:
            told = _told_by(file)
    except Exception:  # Anyone can put any bytes here, so no list of the errors is complete.
        return Origin()
    return Origin(*map(told.get, ORIGIN_TEXTS))


def check_replaceable(path: Path) -> None:
    """Raises StorageError where a file lies that is neither empty nor tells that this program made it."""
    with suppress(OSError):  # what cannot be looked at is said when it is written
        if path.is_file() and path.stat().st_size and origin_of(path).signature is None:
            raise StorageError("name_taken", output=path)


def _told_by(file: BinaryIO) -> dict[str, str]:
    head = file.read(16)
    if head.startswith(SIGNATURE):
        chunks = [one for one in scan_chunks(file) if one.length <= _LONGEST_MARK]
        marks = [chunk_content(file, one) for one in chunks if one.kind == MARK]
        texts = (chunk_content(file, one) for one in chunks if one.kind == b"tEXt")
        pairs = (text.decode("latin-1").split("\0", 1) for text in texts)
        return _words(marks[0]) if marks else {key: value for key, value in pairs if key in ORIGIN_TEXTS}
    return _words(next(_marks_in(file, head), b""))


def _words(mark: bytes) -> dict[str, str]:
    """What a mark says, under the names of ORIGIN_TEXTS."""
    words = (word.partition("=") for word in mark.decode("latin-1").removeprefix(_MARK).split())
    return {_MARK + name: value for name, _, value in words}


def _marks_in(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    """What this program said of itself in a JPEG, a WebP or an AVIF."""
    if head[:2] == b"\xff\xd8":
        found = _segments_of_marks(file)
    elif head[8:12] == b"WEBP" and 8 + int.from_bytes(head[4:8], "little") <= file.seek(0, 2):
        marks = (one for one in riff_chunks(file) if one.kind == MARK_CHUNK and one.length <= _LONGEST_MARK)
        found = (chunk_content(file, one) for one in marks)
    elif head[4:8] == b"ftyp":
        found = _boxes(file)
    else:
        return
    yield from (mark for mark in found if mark.startswith(_MARK.encode()))


def marked(data: memoryview, mark: bytes, size: tuple[int, int], *, alpha: bool) -> Iterator[bytes | memoryview]:
    """The parts of a WebP or an AVIF of `size` (width, height) with a mark in it, which other readers pass over.

    In a WebP it is one more chunk (WebP container specification, unknown chunks), in an AVIF a box at the end.
    """
    if data[8:12] != b"WEBP":
        yield from (data, struct.pack(">I", 4 + len(MARK_BOX) + len(mark)), MARK_BOX, mark)
        return
    extended = b""
    if data[12:16] != b"VP8X":
        width, height = ((side - 1).to_bytes(3, "little") for side in size)
        extended = struct.pack("<4sIB3x", b"VP8X", 10, 0x10 if alpha else 0) + width + height
    more = struct.pack("<4sI", MARK_CHUNK, len(mark)) + mark + bytes(len(mark) % 2)
    length = 4 + len(extended) + len(data) - 12 + len(more)
    yield from (b"RIFF", struct.pack("<I", length), b"WEBP", extended, data[12:], more)


def _segments_of_marks(file: BinaryIO) -> Iterator[bytes]:
    """The content of the segments before a JPEG's pixels that may be of this program's own."""
    file.seek(-2, 2)
    if file.read(2) != b"\xff\xd9":  # The end is missing.
        return
    file.seek(2)
    for _ in range(_MOST_PARTS):
        head = file.read(4)
        length = int.from_bytes(head[2:], "big") - 2
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA or length < 0:
            return
        if head[1] == MARK_SEGMENT:
            yield file.read(length)
        else:
            file.seek(length, 1)


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """The content of boxes of this program's own at the top of an AVIF."""
    place, end = 0, file.seek(0, 2)
    for _ in range(_MOST_PARTS):
        file.seek(place)
        head = file.read(8 + 16)
        length = int.from_bytes(head[:4], "big")
        if head[4:] == MARK_BOX and len(head) <= length <= min(_LONGEST_MARK, end - place):
            yield file.read(length - len(head))
        if length < 8:  # up to the end, or longer than any picture here
            return
        place += length
