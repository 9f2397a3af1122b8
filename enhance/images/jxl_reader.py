"""The structure of JPEG XL files: boxes of the container and header of the codestream (ISO/IEC
18181-1 and -2).

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import re
import struct
from typing import Any

from ..errors import PictureError

CONTAINER_START = struct.pack(">I4sI", 12, b"JXL ", 0x0D0A870A)
"""The first box of a file that is not a bare codestream."""
_HEADER_BYTES = 256

# Parts of the header of a codestream, as patterns for `header_bits` (ISO/IEC 18181-1, annex D).
_SIDE = "(00.{9}|10.{13}|01.{18}|11.{30})"
"""A height or width, after two bits that state its length."""
_SIZE = f"(1.{{5}}(000.{{5}}|(?!000)...)|0{_SIDE}(000{_SIDE}|(?!000)...))"
"""Whether both sides have only 5 bits, then the height, and 0 and the width or an aspect ratio."""
SIZE_FIELDS = ".{16}" + _SIZE
"""The signature and the size."""
_ANIMATED = re.compile(f"{SIZE_FIELDS}01...(0|1{_SIZE})(1|01)")
"""Not only defaults but additional fields: the orientation, possibly an intended size, and then a
preview frame or an animation."""


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


def header_bits(codestream: bytes) -> str:
    """Return the first bits of a codestream, the lowest bit of a byte first."""
    number = int.from_bytes(codestream[:_HEADER_BYTES], "little")
    return f"{number:0{8 * _HEADER_BYTES}b}"[::-1]


def is_animated(data: bytes) -> bool:
    """Return whether the file has several frames, or a preview frame.

    pyjpegxl supports neither.
    """
    return _ANIMATED.match(header_bits(codestream_of(data))) is not None
