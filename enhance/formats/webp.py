"""WebP as an output format, encoded in one piece."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

from ..metadata.exif import EMPTY
from .format import FinishedImage, Format

_LENGTH = 4
"""The position of the number of bytes that follow it."""


def _write(file: BinaryIO, image: FinishedImage) -> None:
    values, icc = image.whole(as_colour=image.png.channels < 3)
    if image.mark and not image.metadata.exif and not image.metadata.xmp:
        # Only the format for metadata can have a chunk with the mark (WebP container
        # specification).
        image = replace(image, metadata=replace(image.metadata, exif=EMPTY))
    if image.is_lossless:
        data = image.save_with_pillow(values, icc, lossless=True, exact=True)
    else:
        data = image.save_with_pillow(values, icc, method=4)
    chunk = image.ending(data)
    file.write(data)
    file.write(chunk)
    file.seek(_LENGTH)
    file.write(struct.pack("<I", len(data) + len(chunk) - _LENGTH - 4))


# Below quality 100, colour has half the resolution.
WEBP = Format(
    "webp",
    "WebP",
    (".webp",),
    _write,
    side=16_383,
    lossless=100,
    memory=(44, 17, 17),
)
