"""IPTC data sets (IIM 4.2), alone or among the image resources of Photoshop."""

from __future__ import annotations

import struct


def extract_iptc(resources: bytes) -> bytes | None:
    """Return the IPTC data sets among Photoshop's image resources, or without resources around
    them."""
    _, found, rest = resources.partition(b"8BIM\4\4")
    if not found and resources.startswith(b"\x1c"):
        return resources
    if not rest:
        return None
    name = (2 + rest[0]) & ~1  # a length and as many letters, padded to an even size
    start = name + 4
    length = int.from_bytes(rest[name:start], "big")
    return rest[start : start + length] or None


def photoshop_resource(iptc: bytes) -> bytes:
    """Return the data sets as an image resource of Photoshop, the form that JPEG and PNG use."""
    return b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
