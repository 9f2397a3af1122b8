"""HDR gain maps in JPEG and HEIC files: finding them, converting Apple's, and attaching the enlarged one to a JPEG.

A gain map is a second JPEG behind the photo. An index (CIPA DC-007, "MPF") or a directory in XMP lists it, and its own
XMP (Ultra HDR 1.1, Adobe Gain Map 1.0) or a segment (ISO 21496-1) states how it is applied. Apple's older maps, which
are auxiliary images in a HEIC, state only how many times brighter than white the photo can be.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .containers import limit_profile
from .exif import EXIF_IFD, MAKER_NOTE, read_directory
from .source_type import with_properties

MAX_PIXELS = 1 << 24
"""The maximum pixels of a gain map that is kept or written. Larger ones are downscaled."""
ISO_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0"
"""The start of the segment with the metadata of ISO 21496-1. In the photo, only the version follows, 4 bytes."""

_ISO_VERSION, _MAX_ISO_BYTES = 4, 256
_MAX_IMAGES, _MAX_BYTES = 4, 64 << 20
_QUALITY = 95

_ENTRIES = 0xB002
_ITEM = re.compile(rb"<Container:Item\s([^<>]{1,1000})>")
_LENGTH = re.compile(rb"Item:Length\s*=\s*[\"'](\d{1,10})[\"']")
_SEMANTIC = re.compile(rb"Item:Semantic\s*=\s*[\"']GainMap[\"']")

_NUMBER = rb"[-+]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][-+]?\d{1,3})?"
_VALUE = rb"\s{0,99}(?:%s|True|False)\s{0,99}" % _NUMBER
_CHANNEL = rb"<rdf:li>%s</rdf:li>\s{0,99}" % _VALUE
_CHANNELS = rb"\s{0,99}<rdf:Seq>\s{0,99}%s(?:%s%s)?</rdf:Seq>\s{0,99}" % (_CHANNEL, _CHANNEL, _CHANNEL)
_NAME = rb"hdrgm:(?:Version|BaseRenditionIsHDR|GainMapM(?:in|ax)|Gamma|Offset(?:SDR|HDR)|HDRCapacityM(?:in|ax))"
_ATTRIBUTE = re.compile(rb"\s(%s)\s{0,9}=\s{0,9}([\"'])%s\2" % (_NAME, _VALUE))
_ELEMENT = re.compile(rb"<(%s)>(?:%s|%s)</\1>" % (_NAME, _VALUE, _CHANNELS))
_REQUIRED = {b"hdrgm:Version", b"hdrgm:GainMapMax", b"hdrgm:HDRCapacityMax"}
_VERSION = re.compile(rb"hdrgm:Version(?:\s{0,9}=\s{0,9}[\"']|>)\s{0,99}([-+.\w]{1,50})")

_APPLE_VERSION = re.compile(rb"HDRGainMap:HDRGainMapVersion\s{0,9}[=>]")
_APPLE_HEADROOM = re.compile(rb"HDRGainMap:HDRGainMapHeadroom\s{0,9}(?:=\s{0,9}[\"']|>)(%s)" % _NUMBER)
_APPLE_NOTE, _APPLE_TAGS = b"Apple iOS\0", (33, 48)
_APPLE_PROPERTIES = (
    b' hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="%(stops).6f" hdrgm:Gamma="1"'
    b' hdrgm:OffsetSDR="0" hdrgm:OffsetHDR="0" hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="%(stops).6f"'
)

_NAMESPACE = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
_DIRECTORY = (
    b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><%(rdf)sSeq>'
    b'<%(rdf)sli %(rdf)sparseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>'
    b'</%(rdf)sli><%(rdf)sli %(rdf)sparseType="Resource"><Container:Item Item:Semantic="GainMap" '
    b'Item:Mime="image/jpeg" Item:Length="%(length)d"/></%(rdf)sli></%(rdf)sSeq></Container:Directory>'
)
_PRIMARY = 0x030000  # "Baseline MP Primary Image", the type of the photo.
_INDEX_START = b"MPF\0"
INDEX_HEADER = 4 + len(_INDEX_START)
"""The position of the TIFF header in the index segment."""


@dataclass(frozen=True)
class MapHeader:
    """A gain map in a file: its position, its size and its metadata.

    `position` is the start and the length of a JPEG, or the number of an auxiliary image in a HEIC. `xmp` is a packet
    with only the properties of the map, `iso` the segment of ISO 21496-1; both can be empty. `headroom` is set for an
    Apple map, which is converted when it is decoded.
    """

    position: tuple[int, int] | int
    width: int
    height: int
    xmp: bytes
    iso: bytes = b""
    icc: bytes | None = None
    headroom: float | None = None


@dataclass(frozen=True, eq=False)
class GainMap:
    """A gain map in orientation 1: uint8 [h, w] or [h, w, 3], over the whole photo, and its header in the file."""

    pixels: np.ndarray
    header: MapHeader


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
    stated = image.info.get("xmp") or b""
    segments = (content for name, content in image.applist if name == "APP2" and content.startswith(ISO_SEGMENT))
    content = next(segments, b"")
    has_iso = _ISO_VERSION < len(content) - len(ISO_SEGMENT) <= _MAX_ISO_BYTES
    iso = segment(0xE2, content) if has_iso else b""
    xmp = _select_properties(stated)
    if xmp or iso:
        icc = limit_profile(image.info.get("icc_profile"))
        return MapHeader(position, image.width, image.height, xmp, iso, icc)
    return apple_header(position, image.size, stated, exif) if _APPLE_VERSION.search(stated) else None


def apple_header(
    position: tuple[int, int] | int, size: tuple[int, int], text: Any, exif: bytes | None
) -> MapHeader | None:
    """Return the header of an Apple map of `size` (width, height), None if its headroom is unknown.

    `text` is the XMP of the map or contains it, and `exif` that of the photo.
    """
    headroom = _apple_headroom(text, exif)
    if headroom is None:
        return None
    properties = _APPLE_PROPERTIES % {b"stops": math.log2(headroom)}
    return MapHeader(position, *size, with_properties(None, _NAMESPACE + properties), headroom=headroom)


def _select_properties(xmp: bytes) -> bytes:
    """Return a packet with the properties of a gain map as XMP states them; empty if a required one is missing.

    Anything else in the XMP, such as a location, is left out.
    """
    attributes = {found[1]: found[0] for found in _ATTRIBUTE.finditer(xmp)}
    elements = {found[1]: found[0] for found in _ELEMENT.finditer(xmp) if found[1] not in attributes}
    if not attributes.keys() | elements.keys() >= _REQUIRED:
        return b""
    return with_properties(None, _NAMESPACE + b"".join(attributes.values()), b"".join(elements.values()))


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


def encode_map(pixels: np.ndarray, header: MapHeader) -> bytes:
    """Return a gain map as a JPEG with its metadata. `pixels` are enlarged, uint8 [h, w] or [h, w, 3]."""
    coded = io.BytesIO()
    metadata = {"xmp": header.xmp, "icc_profile": header.icc, "extra": header.iso}
    Image.fromarray(pixels).save(coded, "JPEG", quality=_QUALITY, subsampling="4:4:4", **metadata)
    return coded.getvalue()


def with_directory(xmp: bytes | None, gain_map: bytes) -> bytes | None:
    """Return the XMP of a photo with the properties that announce the JPEG `gain_map` behind it.

    A map with only the metadata of ISO 21496-1 needs none.
    """
    version = _VERSION.search(gain_map)
    if version is None:
        return xmp
    attributes = b'%s hdrgm:Version="%s"' % (_NAMESPACE, version[1])
    return with_properties(xmp, attributes, _DIRECTORY.replace(b"%(length)d", b"%d" % len(gain_map)))


def version_segment(gain_map: bytes) -> bytes:
    """Return the segment of a photo that states the version of ISO 21496-1 of its map; empty if the map has none."""
    start, length = gain_map.find(ISO_SEGMENT), len(ISO_SEGMENT) + _ISO_VERSION
    return segment(0xE2, gain_map[start : start + length]) if start >= 0 else b""


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def index_segment(photo: int, start: int, length: int) -> bytes:
    """Return the segment that lists the photo, `photo` bytes, and a map of `length` bytes.

    `start` is the position of the map behind that of the TIFF header of the segment (CIPA DC-007, 5.2).
    """
    entries = struct.pack(">IIIHHIIIHH", _PRIMARY, photo, 0, 0, 0, 0, length, start, 0, 0)
    # The version, the number of images and their list. The list is after the three tags, at 8 + 2 + 3 * 12 + 4 = 50.
    tags = struct.pack(">HHI4sHHIIHHII", 0xB000, 7, 4, b"0100", 0xB001, 4, 1, 2, 0xB002, 7, len(entries), 50)
    return segment(0xE2, _INDEX_START + b"MM\0*" + struct.pack(">IH", 8, 3) + tags + bytes(4) + entries)
