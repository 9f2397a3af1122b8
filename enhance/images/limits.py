"""Limits of the images that are accepted, checked in their headers, because crafted files can keep
a decoder busy.

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

from ..errors import PictureError
from ..i18n import PixelCount

MAX_SIDE = 500_000
"""The longest side of an input in pixels. OpenCV crashes on much wider rows: cv2.blur on float32
[1, 100_000_000]."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise PictureError unless both sides and the number of pixels are within the limits."""
    if width < 1 or height < 1:
        raise PictureError("image_no_pixels")
    size = {"width": width, "height": height}
    if max(width, height) > MAX_SIDE:
        raise PictureError("image_side_too_long", limit=MAX_SIDE, **size)
    if width * height > max_pixels:
        megapixels = PixelCount(width * height)
        limit = PixelCount(max_pixels)
        raise PictureError("image_too_many_pixels", megapixels=megapixels, limit=limit, **size)
