"""HDR gain maps in JPEG and HEIC files: their position and their parameters.

A gain map is a second JPEG behind the photo. An index (CIPA DC-007, "MPF") or a directory in XMP lists it, and its own
XMP (Ultra HDR 1.1, Adobe Gain Map 1.0) or a segment (ISO 21496-1) states how it is applied. Apple's older maps, which
are auxiliary images in a HEIC, state only how many times brighter than white the photo can be.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .exif import EXIF_IFD, MAKER_NOTE, read_directory

MAX_PIXELS = 1 << 24
"""The maximum pixels of a gain map that is kept or written. Larger ones are downscaled."""
ISO_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0"
"""The start of the segment with the metadata of ISO 21496-1. In the photo, only the version follows, 4 bytes."""
ISO_VERSION = 4
Values = tuple[tuple[str, tuple[str, ...]], ...]
"""The properties of a map in XMP: the name without prefix, and one value, or one for each channel."""

_MAX_IMAGES, _MAX_BYTES, _MAX_ISO_BYTES = 4, 64 << 20, 256
_ENTRIES = 0xB002
_ITEM = re.compile(rb"<Container:Item\s([^<>]{1,1000})>")
_LENGTH = re.compile(rb"Item:Length\s*=\s*[\"'](\d{1,10})[\"']")
_SEMANTIC = re.compile(rb"Item:Semantic\s*=\s*[\"']GainMap[\"']")
_NUMBER = rb"[-+]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][-+]?\d{1,3})?"
_NAME = rb"(Version|BaseRenditionIsHDR|GainMapM(?:in|ax)|Gamma|Offset(?:SDR|HDR)|HDRCapacityM(?:in|ax))"
_VALUE = re.compile(rb">\s*(%s|True|False)\s*<" % _NUMBER)
_ATTRIBUTE = re.compile(rb"\shdrgm:%s\s{0,9}=\s{0,9}[\"'](%s|True|False)[\"']" % (_NAME, _NUMBER))
_ELEMENT = re.compile(rb"<hdrgm:%s(>[^\0]{1,500}?<)/hdrgm:\1>" % _NAME)
_REQUIRED = {"Version", "GainMapMax", "HDRCapacityMax"}
_APPLE_VERSION = re.compile(rb"HDRGainMap:HDRGainMapVersion\s{0,9}[=>]")
_APPLE_HEADROOM = re.compile(rb"HDRGainMap:HDRGainMapHeadroom\s{0,9}(?:=\s{0,9}[\"']|>)(%s)" % _NUMBER)
_APPLE_NOTE, _APPLE_TAGS = b"Apple iOS\0", (33, 48)


@dataclass(frozen=True)
class MapHeader:
    """A gain map in a file: its position, its size and the fields of `GainMap`.

    `position` is the start and the length of a JPEG, or the number of an auxiliary image in a HEIC. `headroom` is set
    for an Apple map, which is converted when it is decoded.
    """

    position: tuple[int, int] | int
    width: int
    height: int
    values: Values
    iso: bytes | None
    icc: bytes | None
    headroom: float | None = None


@dataclass(frozen=True, eq=False)
class GainMap:
    """A gain map in orientation 1: uint8 [h, w, 1 or 3], over the whole photo.

    `values` are empty for a map that has only `iso`, the metadata of ISO 21496-1. `icc` is its colour profile.
    """

    pixels: np.ndarray
    values: Values = ()
    iso: bytes | None = None
    icc: bytes | None = None


def find_attached(segments: Mapping[str, Any], xmp: bytes | None, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of the images behind the first one of a JPEG of `size` bytes, as the file states them.

    These are at most 4 images of at most 64 MiB, so that a crafted file does not keep the reader busy.
    `segments` has the content of the MPF segment as "mp", and its position as "mpoffset".
    """
    block = bytes(segments.get("mp", b""))
    _, entries = read_directory(block).get(_ENTRIES, (0, b""))
    order = "<" if block.startswith(b"II") else ">"
    # Each entry has attributes, a size, an offset from the start of the index and two dependent images.
    positions = [
        (segments["mpoffset"] + offset, length)
        for _, length, offset, _, _ in struct.iter_unpack(order + "IIIHH", entries[: len(entries) // 16 * 16])
    ]
    end = size
    # XMP states lengths only: the images follow each other, and the last one ends with the file.
    for item in reversed(_ITEM.findall(xmp or b"")):
        length = _LENGTH.search(item)
        end -= int(length[1]) if length else 0
        if length and _SEMANTIC.search(item):
            positions.append((end, int(length[1])))
    found = (place for place in positions if 0 < place[0] < sum(place) <= size and place[1] <= _MAX_BYTES)
    yield from list(dict.fromkeys(found))[:_MAX_IMAGES]


def read_map_header(image: Any, position: tuple[int, int], exif: bytes | None) -> MapHeader | None:
    """Return the header of an opened JPEG if it is a gain map, otherwise None. `exif` is that of the photo."""
    xmp = image.info.get("xmp") or b""
    segments = (content for name, content in image.applist if name == "APP2" and content.startswith(ISO_SEGMENT))
    iso = next(segments, b"")[len(ISO_SEGMENT) :]
    values, iso = _read_values(xmp), iso if ISO_VERSION < len(iso) <= _MAX_ISO_BYTES else None
    if values or iso:
        return MapHeader(position, image.width, image.height, values, iso, image.info.get("icc_profile"))
    return apple_header(position, image.size, xmp, exif) if _APPLE_VERSION.search(xmp) else None


def apple_header(
    position: tuple[int, int] | int, size: tuple[int, int], text: Any, exif: bytes | None
) -> MapHeader | None:
    """Return the header of an Apple map of `size` (width, height), None if its headroom is unknown.

    `text` is the XMP of the map or contains it, and `exif` that of the photo.
    """
    headroom = _apple_headroom(text, exif)
    if headroom is None:
        return None
    stops = f"{math.log2(headroom):.6f}"
    values = {"Version": "1.0", "GainMapMin": "0", "GainMapMax": stops, "Gamma": "1", "OffsetSDR": "0"}
    values |= {"OffsetHDR": "0", "HDRCapacityMin": "0", "HDRCapacityMax": stops}
    single = tuple((name, (value,)) for name, value in sorted(values.items()))
    return MapHeader(position, *size, single, None, None, headroom)


def _read_values(xmp: bytes) -> Values:
    """Return the properties of a gain map; an empty tuple if a required one is missing."""
    found = {name: _VALUE.findall(content) for name, content in _ELEMENT.findall(xmp)}
    found |= {name: [value] for name, value in _ATTRIBUTE.findall(xmp)}
    values = {name.decode(): tuple(one.decode() for one in several) for name, several in found.items()}
    values = {name: several for name, several in values.items() if len(several) in (1, 3)}
    return tuple(sorted(values.items())) if values.keys() >= _REQUIRED else ()


def _apple_headroom(text: Any, exif: bytes | None) -> float | None:
    """Return how many times brighter than white an Apple photo can be; None if that is unknown.

    "Applying Apple HDR effect to your photos", developer.apple.com.
    """
    if stated := _APPLE_HEADROOM.search(text):
        headroom = float(stated[1])
    else:
        _, note = read_directory(exif or b"", EXIF_IFD).get(MAKER_NOTE, (0, b""))
        if not note.startswith(_APPLE_NOTE):
            return None
        tags = read_directory(b"MM\0*" + struct.pack(">I", len(_APPLE_NOTE) + 4) + note[8:])
        try:
            first, second = (struct.unpack(">ii", tags[tag][1]) for tag in _APPLE_TAGS)
            tag_33, tag_48 = first[0] / first[1], second[0] / second[1]
        except (KeyError, struct.error, ZeroDivisionError):
            return None
        if tag_33 < 1:
            stops = -20 * tag_48 + 1.8 if tag_48 <= 0.01 else -0.101 * tag_48 + 1.601
        else:
            stops = -70 * tag_48 + 3.0 if tag_48 <= 0.01 else -0.303 * tag_48 + 2.303
        headroom = 2**stops
    return headroom if 1 < headroom <= 64 else None


def from_apple(pixels: np.ndarray, headroom: float) -> np.ndarray:
    """Convert the pixels of an Apple map to Ultra HDR.

    Apple multiplies light by 1 + (headroom - 1) times the map's value, which is encoded as in Rec. 709. Ultra HDR
    multiplies it by the headroom to the power of the map's value.
    """
    levels = np.arange(256) / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    stops = np.log2(1 + (headroom - 1) * light) / math.log2(headroom)
    return np.rint(255 * stops).astype(np.uint8)[pixels]
