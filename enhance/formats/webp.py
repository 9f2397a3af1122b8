"""WebP as an output format, encoded in one piece."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
from PIL import features

from .format import FinishedImage, Format


def _write(file: BinaryIO, image: FinishedImage) -> None:
    values, icc = image.whole(as_colour=image.png.channels < 3)
    if image.is_lossless:
        data = image.save_with_pillow(values, icc, lossless=True, exact=True)
    else:
        data = image.save_with_pillow(values, icc, method=4)
    chunk = image.ending(data)
    if chunk:
        _write_with_chunk(file, data, chunk, values)
    else:
        file.write(data)


# Below quality 100, colour has half the resolution.
WEBP = Format(
    "webp",
    "WebP",
    (".webp",),
    _write,
    side=16_383,
    lossless=100,
    memory=(44, 17, 17),
    library="Pillow",
    is_available=lambda: bool(features.check("webp")),
)


def _write_with_chunk(file: BinaryIO, data: memoryview, chunk: bytes, values: np.ndarray) -> None:
    """Write a WebP of these pixels with another chunk at its end.

    Only the extended format, which begins with a VP8X chunk, may have unknown chunks (WebP
    container specification).
    """
    extended = b""
    chunks = data[12:]
    if chunks[:4] != b"VP8X":
        height, width, channels = values.shape
        flags = 0x10 if channels == 4 else 0
        extended = struct.pack("<4sIB3x", b"VP8X", 10, flags)
        extended += (width - 1).to_bytes(3, "little")
        extended += (height - 1).to_bytes(3, "little")
    length = 4 + len(extended) + len(chunks) + len(chunk)
    head = struct.pack("<4sI4s", b"RIFF", length, b"WEBP")
    file.writelines([head, extended, chunks, chunk])
