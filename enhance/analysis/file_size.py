"""The compression of a WebP, AVIF or HEIC file, measured by its size, as the quality of a JPEG with
the same error.

Compression removes detail for good, so the pixels of a strongly compressed file need few bytes in
any format. Saved as JPEG with the error that the file already has, they need a fixed multiple of
its bytes.
"""

from __future__ import annotations

from bisect import bisect_left

import cv2
import numpy as np
from numpy import ndarray

JPEG_BYTES = {"WEBP": 1.5, "AVIF": 1.6, "HEIF": 1.55}
"""How many times as many bytes a JPEG of the same error needs, measured on 19 photos."""
_QUALITIES = range(20, 96)
_TABLES_BYTES = 620
"""Bytes of a JPEG without its pixels."""


def quality_of_size(samples: ndarray, file_format: str, bytes_per_pixel: float) -> int | None:
    """Return the JPEG quality, 20 to 95, with the same error as a file.

    The result is None for other formats and without loss.

    `samples` are squares [n, side, side, 3] of a photo in 8-bit levels.
    """
    if file_format not in JPEG_BYTES:
        return None
    column = np.rint(samples).astype(np.uint8).reshape(-1, samples.shape[2], 3)
    pixels = cv2.cvtColor(column, cv2.COLOR_RGB2BGR)
    height, width, _ = pixels.shape
    needed = JPEG_BYTES[file_format] * bytes_per_pixel * height * width + _TABLES_BYTES

    def size_at(quality: int) -> int:
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return len(encoded)

    index = bisect_left(_QUALITIES, needed, key=size_at)
    if index == len(_QUALITIES):
        return None
    return _QUALITIES[index]
