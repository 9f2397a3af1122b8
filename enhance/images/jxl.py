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
"""The first bytes of a bare codestream and of a container."""
_SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))
"""The four ways to store a height or width: a count of bits and an offset."""
_HEADER_BYTES = 256


class BitReader:
    """A reader of the header of a codestream, the lowest bit of a byte first.

    `value` has all bits as one number, and `position` is that of the next bit.
    """

    def __init__(self, codestream: bytes) -> None:
        self.value = int.from_bytes(codestream[:_HEADER_BYTES], "little")
        self.position = 16  # after the signature

    def read(self, count: int) -> int:
        """Return the number in the next `count` bits."""
        number = self.value >> self.position & (1 << count) - 1
        self.position += count
        return number

    def read_u32(self, *choices: tuple[int, int]) -> int:
        """Return a number that is stored in one of four ways, each with a count of bits and an offset."""
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


def load_library() -> Any:
    """Return pyjpegxl. Raises PictureError if it is not installed."""
    try:
        return importlib.import_module("pyjpegxl")
    except ImportError as error:
        raise PictureError("image_library_missing", format="JPEG XL", library="pyjpegxl") from error


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes of a container. A bare codestream has none."""
    found = iso_boxes(io.BytesIO(data)) if data.startswith(STARTS[1]) else ()
    yield from ((box.kind, data[box.start : box.start + box.length]) for box in found)


def codestream_of(data: bytes) -> bytes:
    """Return the codestream of a file. A container can have it in several parts."""
    parts = [content[4 if kind == b"jxlp" else 0 :] for kind, content in boxes(data) if kind in (b"jxlc", b"jxlp")]
    return b"".join(parts) if data.startswith(STARTS[1]) else data


def is_animated(data: bytes) -> bool:
    """Return whether the file has several frames, or a preview frame, which pyjpegxl does not support either."""
    bits = BitReader(codestream_of(data))
    bits.read_size()
    if bits.read(1) or not bits.read(1):  # all fields have their defaults, or there are no additional ones
        return False
    bits.read(3)  # the orientation
    if bits.read(1):
        bits.read_size()  # the intended size on a screen
    has_preview, is_animation = bits.read(1), bits.read(1)
    return bool(has_preview or is_animation)
