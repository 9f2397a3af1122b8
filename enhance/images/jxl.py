"""JPEG XL files: boxes of the container, header of the codestream and pixels (ISO/IEC 18181).

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from typing import Any

from ..errors import PictureError
from .containers import iso_boxes

STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))
_HEADER_BYTES = 256


class Bits:
    """Reads the header of a codestream bit by bit, the lowest bit of a byte first.

    `value` are all its bits as one number, and `position` is the next one.
    """

    def __init__(self, codestream: bytes) -> None:
        self.value = int.from_bytes(codestream[:_HEADER_BYTES], "little")
        self.position = 16

    def read(self, count: int) -> int:
        number = self.value >> self.position & (1 << count) - 1
        self.position += count
        return number

    def read_u32(self, *choices: tuple[int, int]) -> int:
        """Read a number that is stored in one of four ways, each with a count of bits and an offset."""
        count, offset = choices[self.read(2)]
        return self.read(count) + offset

    def read_size(self) -> None:
        """Skip height and width."""
        is_small = self.read(1)
        self._read_side(is_small)
        if self.read(3) == 0:  # no fixed aspect ratio
            self._read_side(is_small)

    def _read_side(self, is_small: int) -> None:
        if is_small:
            self.read(5)
        else:
            self.read_u32(*_SIDE)


def library() -> Any:
    """Return pyjpegxl. Raises PictureError if it is not installed."""
    try:
        return importlib.import_module("pyjpegxl")
    except ImportError as error:
        raise PictureError("image_library_missing", format="JPEG XL", library="pyjpegxl") from error


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes of a container; nothing for a bare codestream."""
    found = iso_boxes(io.BytesIO(data)) if data.startswith(STARTS[1]) else ()
    yield from ((box.kind, data[box.start : box.start + box.length]) for box in found)


def codestream_of(data: bytes) -> bytes:
    """Return the codestream of a file, which a container can have in several parts."""
    parts = [content[4 if kind == b"jxlp" else 0 :] for kind, content in boxes(data) if kind in (b"jxlc", b"jxlp")]
    return b"".join(parts) if data.startswith(STARTS[1]) else data


def is_animated(data: bytes) -> bool:
    """Return whether the file has several frames."""
    bits = Bits(codestream_of(data))
    bits.read_size()
    if bits.read(1) or not bits.read(1):
        return False
    bits.read(3)  # the orientation
    if bits.read(1):
        bits.read_size()  # the intended size on a screen
    return bool(bits.read(1)) or bool(bits.read(1))  # The reader supports no preview frame, either.
