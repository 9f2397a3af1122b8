"""Limits of the images that are accepted, checked in their headers, because crafted files can keep
a decoder busy.

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import mmap
import re

from ..errors import PictureError
from ..i18n import PixelCount

MAX_SIDE = 500_000
"""The longest side of an input in pixels. OpenCV crashes on much wider rows: cv2.blur on float32
[1, 100_000_000]."""

JPEG_PIXELS_PER_BYTE = 1024
"""The most pixels in a byte of a JPEG. Measured with a flat image: 256."""

# Cameras write up to 10 scans, and 200 MB in full segments are 3,100 segments.
_MAX_SCANS = 100
_MAX_SEGMENTS = 10_000
_MAX_PADDING = 1 << 16

# Markers of a JPEG (ITU-T T.81, B.1.1.3).
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_MARKER_AFTER_PIXELS = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""Without the restart markers D0 to D7, which are among pixels."""
_WITHOUT_CONTENT = {0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise PictureError unless both sides and the number of pixels are within the limits."""
    if width < 1 or height < 1:
        raise PictureError("image_no_pixels")
    if max(width, height) > MAX_SIDE:
        sides = {"width": f"{width:,}", "height": f"{height:,}"}
        raise PictureError("image_side_too_long", **sides, limit=f"{MAX_SIDE:,}")
    if width * height > max_pixels:
        size = {"width": width, "height": height, "megapixels": PixelCount(width * height)}
        raise PictureError("image_too_many_pixels", **size, limit=PixelCount(max_pixels))


def check_compression(size: int, width: int, height: int, ratio: float) -> None:
    """Raise PictureError if a file has too few bytes for its pixels.

    `size` is in bytes, and `ratio` the most pixels in a byte.
    """
    if width * height > size * ratio:
        kilobytes = f"{size / 1e3:,.1f}"
        raise PictureError("image_too_few_bytes", kilobytes=kilobytes, width=width, height=height)


def check_jpeg_markers(data: mmap.mmap | bytes, *, count_scans: bool) -> None:
    """Follow the markers of a JPEG to the first scan, or to the end to count scans.

    Raises PictureError if its scans, segments or padding would keep a decoder busy for minutes.
    """
    marker = _MARKER
    position = 2
    segments = scans = padding = 0
    while found := marker.search(data, position):
        code = found[1][0]
        segments += 1
        if scans == 0:
            padding += found.start() - position
        if code == _START_OF_SCAN:
            scans += 1
            marker = _MARKER_AFTER_PIXELS
        if scans > _MAX_SCANS:
            raise PictureError("image_many_scans", limit=_MAX_SCANS)
        if segments > _MAX_SEGMENTS or padding > _MAX_PADDING:
            raise PictureError("image_padding")
        if code == _END_OF_IMAGE or (scans and not count_scans):
            return
        position = found.end()
        if code not in _WITHOUT_CONTENT:
            position += int.from_bytes(data[position : position + 2], "big")
