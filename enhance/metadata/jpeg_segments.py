"""The segments of a JPEG (ITU-T T.81, annex B).

PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import mmap
import re
import struct

from ..errors import PictureError

START_OF_IMAGE = b"\xff\xd8\xff"
"""The first marker, and the first byte of the next one."""

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


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


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
