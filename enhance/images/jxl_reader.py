"""The structure of JPEG XL files: boxes of the container and header of the codestream (ISO/IEC
18181-1 and -2).

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import brotli

from ..errors import PictureError
from ..metadata.containers import LARGEST_BLOCK

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
    """Return the codestream of a file.

    The decoder gets only this, so that a decompression bomb in another box has no effect. Raises
    EOFError if the file has no whole part of it.
    """
    parts = []
    for kind, content in _boxes(data):
        if kind == b"jxlc":
            parts.append(content)
        elif kind == b"jxlp":
            parts.append(content[4:])  # The content begins with the number of the part.
    if not parts:
        raise EOFError("no codestream")
    return b"".join(parts)


def read_block(data: bytes, name: bytes) -> bytes:
    """Return the content of the first box with this name, cut to one byte more than LARGEST_BLOCK.

    The box can be compressed. The result is empty without such a box, and if it is damaged.
    """
    for kind, content in _boxes(data):
        if kind == name:
            return bytes(content[: LARGEST_BLOCK + 1])
        if kind == b"brob" and content[:4] == name:
            return _unpacked(content[4:])
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the name and the content of each box, except of a truncated one.

    A bare codestream is yielded as one box.
    """
    view = memoryview(data)
    if not data.startswith(CONTAINER_START):
        yield b"jxlc", view
        return
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            length = int.from_bytes(view[start : start + 8], "big")
            start += 8
        end = position + length
        if length == 0:
            end = len(data)
        if end > len(data):
            return
        yield kind, view[start:end]
        position = max(start, end)


def _unpacked(packed: memoryview) -> bytes:
    """Return the content of a compressed box, cut to one byte more than LARGEST_BLOCK."""
    limit = LARGEST_BLOCK + 1
    with suppress(brotli.error):
        return brotli.Decompressor().process(packed, output_buffer_limit=limit)[:limit]
    return b""


def header_bits(codestream: bytes) -> str:
    """Return the first bits of a codestream, the lowest bit of a byte first."""
    number = int.from_bytes(codestream[:_HEADER_BYTES], "little")
    return f"{number:0{8 * _HEADER_BYTES}b}"[::-1]


def is_animated(codestream: bytes) -> bool:
    """Return whether the image has several frames, or a preview frame.

    pyjpegxl supports neither.
    """
    return _ANIMATED.match(header_bits(codestream)) is not None
