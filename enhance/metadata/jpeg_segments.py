"""The segments of a JPEG (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct

START_OF_IMAGE = b"\xff\xd8\xff"
"""The first marker, and the first byte of the next one."""


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
