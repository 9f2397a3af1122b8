"""The mark at the end of a result file, by which a later run recognises it and its settings."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError
from .jpeg_segments import segment
from .png_chunks import END, SIGNATURE, make_chunk

_MARK = re.compile(rb"Enhance(?: \w+=[\w.+-]+)+\n")
_LONGEST_ENDING = 1000  # bytes of a mark and of what its format has around it
_AVIF_BOX = b"uuid" + bytes.fromhex("5d0c1a3be07f4f6b9a0e4a1c6f2d8b97")


@dataclass(frozen=True)
class Origin:
    """The origin of a file.

    Values are ASCII without spaces, or None if the file does not state them.

    `signature` identifies the settings and the input, `input_sha256` the input's bytes. `encoding`
    is the text of an `Encoding`; the lossless PNG has none. `fidelity_db` and `fidelity_worst_db`
    are the values of `info`. `dpi` is the resolution that the settings set. `source_type` is the
    digital source type of the photo that a label replaced, or "none" if the photo had none; a
    result without a label does not state it.
    """

    signature: str | None = None
    input_sha256: str | None = None
    encoding: str | None = None
    fidelity_db: str | None = None
    fidelity_worst_db: str | None = None
    dpi: str | None = None
    source_type: str | None = None

    def mark(self) -> bytes:
        """Return the mark, at most 500 bytes."""
        stated = [f"{name}={value}" for name, value in asdict(self).items() if value is not None]
        line = " ".join(["Enhance", *stated])
        return f"{line}\n".encode("ascii")


def marked_ending(start: bytes, mark: bytes) -> bytes:
    """Return the last bytes of a file with this mark.

    `start` is its first 16 bytes, which show the format. Other programs ignore the mark and remove
    it when they save a changed image.
    """
    if start.startswith(SIGNATURE):
        return make_chunk(b"enHA", mark) + END
    if start.startswith(b"\xff\xd8"):
        return segment(0xE9, mark) + b"\xff\xd9"
    if start.startswith((b"II", b"MM")):  # TIFF, which is read from its beginning by offsets
        return mark
    if start[8:12] == b"WEBP":
        padding = bytes(len(mark) % 2)
        return struct.pack("<4sI", b"ENHA", len(mark)) + mark + padding
    length = 4 + len(_AVIF_BOX) + len(mark)
    return struct.pack(">I", length) + _AVIF_BOX + mark


def origin_of(path: Path) -> Origin:
    """Return the origin that a result file states.

    It is empty for any other, truncated or missing file.
    """
    with suppress(OSError):
        if path.is_file():  # Opening a pipe would block.
            with path.open("rb") as file:
                return origin_in(file)
    return Origin()


def origin_in(file: BinaryIO) -> Origin:
    """Return the origin that an open file states. Raises OSError."""
    start = file.read(16)
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_ENDING))
    end = file.read(_LONGEST_ENDING)
    with suppress(TypeError):  # The file has a field that `Origin` does not have.
        for found in _MARK.finditer(end):
            if end.endswith(marked_ending(start, found[0])):
                _, *stated = found[0].decode("ascii").split()
                return Origin(**dict(word.split("=", 1) for word in stated))
    return Origin()


def check_replaceable(path: Path) -> None:
    """Raise StorageError if a file is at `path` that is neither empty nor a result."""
    with suppress(OSError):  # Errors of this path are reported when the file is written.
        if path.is_file() and path.stat().st_size and origin_of(path).signature is None:
            raise StorageError("name_taken", output=path)
