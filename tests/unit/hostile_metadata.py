"""Blocks of EXIF and XMP that keep a reader busy: bombs that expand, and random ones of up to 1
MB."""

from __future__ import annotations

import math
import re
import struct
import zlib

import numpy as np
from numpy.random import Generator

from enhance.metadata.exif import EXIF_IFD, GPS_IFD, MAKER_NOTE
from enhance.metadata.metadata import MAX_BLOCK
from enhance.metadata.png_chunks import make_chunk, profile_text
from enhance.metadata.source_type import ENHANCED, with_source_type
from tests.unit.gain_map_files import VALUES, directory, map_packet
from tests.unit.image_files import png

_LONG, _UNDEFINED = 4, 7
_TAGS = (*range(1, 5), 0x0100, 0x0101, 0x0112, 0x011A, 0x8298, 0x9286, MAKER_NOTE, 0xA002, 0xA003)
_PACKET = (with_source_type(map_packet(VALUES), ENHANCED) or b"") + directory(
    b"GainMap", b"image/jpeg", 1000
)
_XMP_PARTS = re.findall(rb"</?|[\w:.-]+|\W", _PACKET)


def flat_photo(chunks: bytes) -> bytes:
    """Return a small PNG with these chunks."""
    return png(np.full((12, 16, 3), 90, np.uint8), before_pixels=chunks)


def packed_exif(block: bytes) -> bytes:
    """Return EXIF as compressed text in a PNG, as ImageMagick writes it."""
    text = profile_text("exif", block).encode()
    return make_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text, 9))


def packed_xmp(packet: bytes) -> bytes:
    """Return XMP as compressed text in a PNG."""
    return make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet, 9))


def overlapping_exif(length: int, count: int) -> bytes:
    """Return EXIF of this length with `count` entries in its GPS directory, all over the same
    bytes."""
    start = 8 + 2 + 12 + 4
    main = struct.pack("<H", 1) + struct.pack("<HHII", GPS_IFD, _LONG, 1, start) + bytes(4)
    entries = b"".join(struct.pack("<HHII", tag, _UNDEFINED, length - 8, 8) for tag in range(count))
    block = b"II*\0" + struct.pack("<I", 8) + main + struct.pack("<H", count) + entries + bytes(4)
    return block.ljust(length, b"\0")


def located_xmp(length: int) -> bytes:
    """Return XMP of this length in which the search for a location finds many beginnings and no
    end."""
    part = b" a" + b"x" * 60 + b":" + b"gps" * 20
    return (part * (length // len(part) + 1))[:length]


def random_exif(random: Generator) -> bytes:
    """Return EXIF of 1 KB to 1 MB whose directories have many entries, or share their bytes."""
    length = int(10 ** random.uniform(3, math.log10(MAX_BLOCK)))
    count = int(random.integers(2, min(65_535, (length - 100) // 12) + 1))
    entries = np.zeros(count, "<u2, <u2, <u4, <u4")
    entries["f0"] = (
        random.choice(_TAGS, count) if random.random() < 0.5 else random.permutation(65_536)[:count]
    )
    entries["f1"] = random.integers(0, 14, count)
    entries["f2"] = random.integers(0, int(random.choice([2, 20, length])), count)
    entries["f3"] = random.integers(0, length, count)
    place = int(random.integers(8, length - 12 * count - 6))
    entries[:2] = [(tag, _LONG, 1, int(random.choice([place, 8]))) for tag in (EXIF_IFD, GPS_IFD)]
    directory = struct.pack("<H", count) + entries.tobytes() + bytes(4)
    return (
        b"II*\0"
        + struct.pack("<I", place)
        + bytes(place - 8)
        + directory.ljust(length - place, b"\0")
    )


def random_xmp(random: Generator) -> bytes:
    """Return XMP of up to 1 MB in which a few parts are repeated."""
    chosen = [
        _XMP_PARTS[number]
        for number in random.integers(0, len(_XMP_PARTS), int(random.integers(1, 5)))
    ]
    parts = b"".join(
        chosen[number] for number in random.integers(0, len(chosen), int(random.integers(1, 30)))
    )
    length = int(10 ** random.uniform(1, math.log10(MAX_BLOCK)))
    return (parts * (length // len(parts) + 1))[:length]
