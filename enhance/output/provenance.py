"""Provenance: the signature and input that a result file records, and how PNG, JPEG, WebP and AVIF hold them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError
from ..images.containers import SIGNATURE, chunk_content, riff_chunks, scan_chunks
from .png import MARK

_PIECE = 1 << 20
_MARK = "Enhance "
_LONGEST_MARK, _MOST_PARTS = 999, 10_000
"""The bytes of an origin and the parts of a JPEG or an AVIF that are read in search of it: a result has far fewer."""
ORIGIN_TEXTS = ("Enhance signature", "Enhance input", "Enhance encoding", "Enhance fidelity", "Enhance dpi")
"""The keywords under which a PNG tells its origin."""
MARK_SEGMENT, MARK_CHUNK, MARK_BOX = 0xE9, b"ENHA", b"uuid" + bytes.fromhex("5d0c1a3be07f4f6b9a0e4a1c6f2d8b97")
"""Where a JPEG, a WebP and an AVIF tell it."""


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
