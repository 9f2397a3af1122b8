"""Blocks of EXIF and XMP that keep a reader busy."""

import struct
import zlib

import numpy as np

from enhance.metadata.exif import GPS_IFD
from enhance.metadata.png_chunks import make_chunk, profile_text
from tests.unit.image_files import png

_LONG, _UNDEFINED = 4, 7


def flat_photo(chunks):
    """Return a small PNG with these chunks."""
    return png(np.full((12, 16, 3), 90, np.uint8), before_pixels=chunks)


def packed_profile(kind, block):
    """Return EXIF or IPTC as compressed text in a PNG, as ImageMagick writes it."""
    text = zlib.compress(profile_text(kind, block).encode(), 1)
    return make_chunk(b"zTXt", f"Raw profile type {kind}\0\0".encode() + text)


def packed_xmp(packet):
    """Return XMP as compressed text in a PNG."""
    return make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet, 1))


def overlapping_exif():
    """Return 900 kB of EXIF with 60,000 entries in its GPS directory, all over the same bytes."""
    count = 60_000
    length = 900_000
    start = 26 + 2 + 12 * count
    main = struct.pack("<HHHIII", 1, GPS_IFD, _LONG, 1, 26, 0)
    value = struct.pack("<HII", _UNDEFINED, length - start, start)
    entries = b"".join(struct.pack("<H", tag) + value for tag in range(count))
    block = b"II*\0" + struct.pack("<I", 8) + main + struct.pack("<H", count) + entries
    return block.ljust(length, b"\0")


def located_xmp(length):
    """Return XMP of this length in which the search for a location finds many beginnings and no
    end."""
    part = b" a" + b"x" * 60 + b":" + b"gps" * 20
    return (part * (length // len(part) + 1))[:length]
