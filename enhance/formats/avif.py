"""AVIF as an output format, encoded in one piece: 8 bits by Pillow, 10 bits by OpenCV."""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
from numpy import ndarray
from PIL import features

from .format import FinishedImage, Format

_THOROUGH_PIXELS = 10_000_000
"""Smaller images are encoded at speed 6, larger ones at 8: 2.6 times as fast, 12 % larger."""


def _write(file: BinaryIO, image: FinishedImage) -> None:
    # AVIF has no grey with transparency.
    values, icc = image.whole(as_colour=image.png.channels == 2)
    height, width, channels = values.shape
    speed = 6 if height * width <= _THOROUGH_PIXELS else 8
    if values.dtype == np.uint16:
        data = _encode_10_bits(values, image, icc, speed)
    else:
        subsampling = "4:4:4" if image.is_fine else "4:2:0"
        if channels == 1:
            subsampling = "4:0:0"
        data = image.save_with_pillow(values, icc, subsampling=subsampling, speed=speed)
    file.write(data)
    file.write(image.ending(data))


# libavif allows 32,768 px per side and 16,384 squared in total.
AVIF = Format(
    "avif",
    "AVIF",
    (".avif",),
    _write,
    side=32_768,
    pixels=16_384**2,
    bits=10,
    memory=(0, 62, 40),
    library="Pillow",
    is_available=lambda: bool(features.check("avif")),
)


def _encode_10_bits(
    values: ndarray,
    image: FinishedImage,
    icc: bytes | None,
    speed: int,
) -> memoryview:
    """Return an AVIF of 10 bits, which Pillow cannot write.

    OpenCV halves the colour resolution below quality 100.
    """
    if values.shape[2] > 1:
        values[..., :3] = values[..., 2::-1]
    # Row by row, because the 32-bit numbers of a whole image need twice its memory.
    for row in values:
        row[:] = (row.astype(np.uint32) * 1023 + 32_767) // 65_535
    blocks = {
        cv2.IMAGE_METADATA_EXIF: image.metadata.exif,
        cv2.IMAGE_METADATA_XMP: image.metadata.xmp,
        cv2.IMAGE_METADATA_ICCP: icc,
    }
    present = {kind: np.frombuffer(block, np.uint8) for kind, block in blocks.items() if block}
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_SPEED, speed]
    options += [cv2.IMWRITE_AVIF_QUALITY, image.quality]
    is_done, coded = cv2.imencodeWithMetadata(
        ".avif", values, list(present), list(present.values()), options
    )
    if not is_done:
        raise MemoryError("OpenCV encoded no AVIF")
    return coded.data
