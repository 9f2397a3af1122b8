"""Limits of the images that are accepted, checked in their headers, because crafted files can keep
a decoder busy.

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

from ..errors import PictureError
from ..i18n import PixelCount
from ..size import Size

MAX_SIDE = 500_000
"""The longest side of an input in pixels. OpenCV crashes on much wider rows: cv2.blur on float32
[1, 100_000_000]."""


def check_size(size: Size, max_pixels: int) -> None:
    """Raise PictureError unless both sides and the number of pixels are within the limits."""
    if min(size) < 1:
        raise PictureError("image_no_pixels")
    sides = size._asdict()
    if size.long_side > MAX_SIDE:
        raise PictureError("image_side_too_long", limit=MAX_SIDE, **sides)
    if size.pixels > max_pixels:
        megapixels = PixelCount(size.pixels)
        limit = PixelCount(max_pixels)
        raise PictureError("image_too_many_pixels", megapixels=megapixels, limit=limit, **sides)
