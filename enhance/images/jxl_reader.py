"""The structure of JPEG XL files: boxes of the container and header of the codestream (ISO/IEC
18181-1 and -2).

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import struct
from typing import Any

from ..errors import PictureError

_CODESTREAM_START = b"\xff\x0a"
CONTAINER_START = struct.pack(">I4sI", 12, b"JXL ", 0x0D0A870A)
STARTS = (_CODESTREAM_START, CONTAINER_START)
"""The first bytes of a bare codestream and of a container."""
_SIDE_BITS = (9, 13, 18, 30)
"""The bits of a height or width, by the number before it."""
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
        mask = (1 << count) - 1
        number = (self.value >> self.position) & mask
        self.position += count
        return number

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
            self.read(_SIDE_BITS[self.read(2)])


def load_library() -> Any:
    """Return pyjpegxl. Raises PictureError if it is not installed."""
    try:
        return importlib.import_module("pyjpegxl")
    except ImportError as error:
        raise PictureError("image_library_missing", format="JPEG XL", library="pyjpegxl") from error


def codestream_of(data: bytes) -> bytes:
    """Return the codestream of a file, or its first part, up to the end of the file."""
    if not data.startswith(CONTAINER_START):
        return data
    position = 0
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        if kind == b"jxlc":
            return data[start:]
        if kind == b"jxlp":
            return data[start + 4 :]  # The content begins with the number of the part.
        position += length or len(data)  # 0: up to the end of the file
    raise EOFError("no codestream")


def is_animated(data: bytes) -> bool:
    """Return whether the file has several frames, or a preview frame.

    pyjpegxl supports neither.
    """
    bits = BitReader(codestream_of(data))
    bits.read_size()
    has_only_defaults = bits.read(1)
    if has_only_defaults:
        return False
    has_additional_fields = bits.read(1)
    if not has_additional_fields:
        return False
    bits.read(3)  # the orientation
    has_intended_size = bits.read(1)
    if has_intended_size:
        bits.read_size()
    has_preview = bits.read(1)
    is_animation = bits.read(1)
    return bool(has_preview or is_animation)
