"""HDR gain maps in JPEG and HEIC files: finding and decoding them, and attaching the enlarged one
to a JPEG.

A gain map is a second JPEG behind the photo. An index lists it (CIPA DC-007, "MPF"), and its own
XMP (Ultra HDR 1.1, Adobe Gain Map 1.0) or a segment (ISO 21496-1) states how it is applied. Apple's
older maps, which are auxiliary images in a HEIC, state only how many times brighter than white the
photo can be.
"""

from __future__ import annotations

import io
import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy import ndarray
from PIL import Image, JpegImagePlugin
from pillow_heif import open_heif

from ..size import Size
from .containers import map_file
from .exif import EXIF_IFD, MAKER_NOTE, byte_order, read_values
from .jpeg_segments import START_OF_IMAGE, segment
from .xmp import with_properties

MAX_MAP_PIXELS = 1 << 24
"""The maximum pixels of a gain map that is kept or written. Larger ones are downscaled."""
ISO_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0"
"""The start of the segment with the metadata of ISO 21496-1. In the photo, only the version
follows, 4 bytes."""

AUXILIARY_TYPE = "urn:com:apple:photo:2020:aux:hdrgainmap"
"""The type of a gain map in a HEIC."""

_ISO_VERSION = 4
_MAX_IMAGES = 4
_MAX_BYTES = 64 << 20
_QUALITY = 95

_ENTRIES = 0xB002
_ENTRY_BYTES = 16

_ATTRIBUTE = re.compile(rb"\shdrgm:\w{1,40}\s{0,9}=\s{0,9}(?:\"[^\"<]*\"|'[^'<]*')")
_ELEMENT = re.compile(rb"<(hdrgm:\w{1,40})>.{0,500}?</\1>", re.DOTALL)

_APPLE_VERSION = re.compile(rb"HDRGainMap:HDRGainMapVersion\s{0,9}[=>]")
_APPLE_HEADROOM = re.compile(
    rb"HDRGainMap:HDRGainMapHeadroom\s{0,9}(?:=\s{0,9}[\"']|>)(\d{1,20}\.?\d{0,20})"
)
_APPLE_START = b"MM\0*\0\0\0\x0e"
"""Replaces the start of Apple's maker notes, whose directory is at byte 14."""
_APPLE_CURVES = {
    (True, True): (-20, 1.8),
    (True, False): (-0.101, 1.601),
    (False, True): (-70, 3.0),
    (False, False): (-0.303, 2.303),
}
"""Slope and start of the stops by tag 48, if tag 33 is below 1, and if tag 48 is at most 0.01."""
_APPLE_PROPERTIES = (
    b' hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="%(stops).6f" hdrgm:Gamma="1"'
    b' hdrgm:OffsetSDR="0" hdrgm:OffsetHDR="0" hdrgm:HDRCapacityMin="0"'
    b' hdrgm:HDRCapacityMax="%(stops).6f"'
)

_NAMESPACE = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
_DIRECTORY = (
    b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><%(rdf)sSeq>'
    b'<%(rdf)sli %(rdf)sparseType="Resource">'
    b'<Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>'
    b'</%(rdf)sli><%(rdf)sli %(rdf)sparseType="Resource"><Container:Item Item:Semantic="GainMap" '
    b'Item:Mime="image/jpeg" Item:Length="%(length)d"/></%(rdf)sli></%(rdf)sSeq>'
    b"</Container:Directory>"
)
_INDEX_START = b"MPF\0"
_INDEX_TAGS = bytes.fromhex(
    "4d4d002a 00000008 0003"  # a TIFF header and a directory of three tags
    "b000 0007 00000004 30313030"  # the version
    "b001 0004 00000001 00000002"  # two images
    "b002 0007 00000020 00000032"  # 32 bytes about them, which are at 50
    "00000000"
)
_PRIMARY = 0x030000  # "Baseline MP Primary Image", the type of the photo.
INDEX_HEADER = 4 + len(_INDEX_START)
"""The position of the TIFF header in the index segment."""


_Attached: TypeAlias = tuple[int, int]
"""Start and length of an image behind the photo in a JPEG."""


@dataclass(frozen=True)
class MapHeader:
    """A gain map in a file: its position, its size and its metadata.

    `position` is the start and the length of a JPEG, or the number of an auxiliary image in a HEIC.
    `xmp` is a packet with only the properties of the map, `iso` the segment of ISO 21496-1; both
    can be empty. `headroom` is set for an Apple map, which is converted when it is decoded.
    """

    position: _Attached | int
    size: Size
    xmp: bytes
    iso: bytes = b""
    icc: bytes | None = None
    headroom: float | None = None


@dataclass(frozen=True, eq=False)
class GainMap:
    """A gain map in orientation 1, over the whole photo, and its header in the file.

    `pixels` are uint8 [h, w] or [h, w, 3].
    """

    pixels: ndarray
    header: MapHeader


def find_map(image: Any, file: BinaryIO, exif: bytes | None) -> MapHeader | None:
    """Return the gain map of an opened JPEG or HEIC, None if there is none that can be used."""
    # A decoder raises any type. The photo itself can be read.
    with suppress(Exception), map_file(file) as data:
        for found in _maps_in(image, file, data, exif):
            if found and _fits(found, image):
                return found
    return None


def _maps_in(
    image: Any, file: BinaryIO, data: mmap.mmap, exif: bytes | None
) -> Iterator[MapHeader | None]:
    """Yield the header of each further image in a file, None for those that are no gain maps.

    pillow-heif does not return the XMP of an auxiliary image, so the whole file is searched for it.
    """
    for start, length in find_attached(image.info):
        yield _read_attached(data[start : start + length], (start, length), exif)
    numbers = image.info.get("aux", {}).get(AUXILIARY_TYPE, ())
    for number in numbers[:_MAX_IMAGES]:  # The file is read again for each of them.
        yield _apple_header(number, Size(*_open_auxiliary(file, number).size), data, exif)


def find_attached(segments: Mapping[Any, Any]) -> Iterator[_Attached]:
    """Yield start and length of the images that a JPEG lists behind the first one.

    These are at most 3 images of at most 64 MiB, so that a crafted file does not keep the reader
    busy. `segments` has the content of the MPF segment as "mp", and its position as "mpoffset".
    """
    block = bytes(segments.get("mp", b""))
    (entries,) = read_values(block, _ENTRIES)
    # Each entry has attributes, a size, an offset from the start of the index and two dependent
    # images.
    listed = struct.iter_unpack(byte_order(block) + "III4x", entries[: _ENTRY_BYTES * _MAX_IMAGES])
    for _, length, offset in listed:
        if offset and length <= _MAX_BYTES:
            yield segments["mpoffset"] + offset, length


def _read_attached(attached: bytes, position: _Attached, exif: bytes | None) -> MapHeader | None:
    """Return the header of an image in a JPEG if it is a gain map, otherwise None.

    `exif` is that of the photo.

    Raises any exception if the image is damaged or unusual.
    """
    if not attached.startswith(START_OF_IMAGE):
        return None
    opened: Any = JpegImagePlugin.JpegImageFile(io.BytesIO(attached))
    with opened as image:
        stated = image.info.get("xmp") or b""
        xmp = _select_properties(stated)
        iso = _iso_segment(image)
        if xmp or iso:
            icc = image.info.get("icc_profile")
            return MapHeader(position, Size(*image.size), xmp, iso, icc)
        if _APPLE_VERSION.search(stated):
            return _apple_header(position, Size(*image.size), stated, exif)
    return None


def _iso_segment(image: Any) -> bytes:
    """Return the segment of an opened JPEG with the metadata of ISO 21496-1.

    The result is empty if there is none.
    """
    for name, content in image.applist:
        has_parameters = len(content) > len(ISO_SEGMENT) + _ISO_VERSION
        if name == "APP2" and content.startswith(ISO_SEGMENT) and has_parameters:
            return segment(0xE2, content)
    return b""


def _fits(found: MapHeader, image: Any) -> bool:
    """Return whether a map has the aspect ratio of the photo, and no more rows and columns.

    A larger one could keep a decoder busy, and one of another ratio was not rotated with the photo.
    """
    width, height = found.size
    skew = abs(width * image.height - height * image.width)
    return 0 < width <= image.width and skew <= image.width + image.height


def _apple_header(
    position: _Attached | int, size: Size, text: Any, exif: bytes | None
) -> MapHeader | None:
    """Return the header of an Apple map of `size`, None if its headroom is unknown.

    `text` is the XMP of the map or contains it, and `exif` that of the photo.
    """
    stated = _APPLE_HEADROOM.search(text)
    if stated:
        headroom = float(stated[1])
    else:
        headroom = _camera_headroom(exif)
    if headroom is None or not 1 < headroom <= 64:
        return None
    properties = _APPLE_PROPERTIES % {b"stops": math.log2(headroom)}
    xmp = with_properties(None, _NAMESPACE + properties)
    return MapHeader(position, size, xmp, headroom=headroom)


def _select_properties(xmp: bytes) -> bytes:
    """Return a packet with the properties of a gain map as XMP states them.

    The result is empty if there are none. Anything else in the XMP, such as a location, is left
    out.
    """
    attributes = _ATTRIBUTE.findall(xmp)
    elements = [found[0] for found in _ELEMENT.finditer(xmp)]
    properties = b"".join([_NAMESPACE, *attributes])
    packet = with_properties(None, properties, b"".join(elements))
    if b"hdrgm:GainMapMax" in packet:
        return packet
    return b""


def _camera_headroom(exif: bytes | None) -> float | None:
    """Return the headroom from the maker notes of an Apple photo, None if they do not state it.

    "Applying Apple HDR effect to your photos", developer.apple.com.
    """
    (note,) = read_values(exif, MAKER_NOTE, directory=EXIF_IFD)
    block = _APPLE_START + note[len(_APPLE_START) :]
    try:
        numbers = struct.unpack(">4i", b"".join(read_values(block, 33, 48)))
        tag_33 = numbers[0] / numbers[1]
        tag_48 = numbers[2] / numbers[3]
    except (struct.error, ZeroDivisionError):
        return None
    slope, stops = _APPLE_CURVES[tag_33 < 1, tag_48 <= 0.01]
    return 2 ** (slope * tag_48 + stops)


def decode_map(file: BinaryIO, header: MapHeader) -> ndarray | None:
    """Return the pixels of a gain map as stored, uint8 [h, w] or [h, w, 3], for Ultra HDR.

    These are at most MAX_MAP_PIXELS. The result is None if the map is damaged.
    """
    try:
        with _open_map(file, header.position) as image:
            factor = math.ceil(math.sqrt(header.size.pixels / MAX_MAP_PIXELS))
            mode = "L" if image.mode == "L" else "RGB"
            pixels = np.asarray(image.convert(mode).reduce(factor))
    except Exception:  # The photo itself can be read.
        return None
    if header.headroom:
        pixels = _from_apple(pixels, header.headroom)
    return pixels


def _open_map(file: BinaryIO, position: _Attached | int) -> Image.Image:
    if isinstance(position, int):
        return _open_auxiliary(file, position).to_pillow()
    start, length = position
    file.seek(start)
    return JpegImagePlugin.JpegImageFile(io.BytesIO(file.read(length)))


def _open_auxiliary(file: BinaryIO, number: int) -> Any:
    """Return an auxiliary image of a HEIC, not decoded.

    Raises an error of pillow-heif if it is of another kind.
    """
    file.seek(0)
    return open_heif(file).get_aux_image(number)


def _from_apple(pixels: ndarray, headroom: float) -> ndarray:
    """Convert the pixels of an Apple map to Ultra HDR.

    Apple multiplies light by 1 + (headroom - 1) times the map's value, which is encoded as in Rec.
    709. Ultra HDR multiplies it by the headroom to the power of the map's value.
    """
    levels = np.arange(256) / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    stops = np.log2(1 + (headroom - 1) * light) / math.log2(headroom)
    table = np.rint(255 * stops).astype(np.uint8)
    return table[pixels]


def encode_map(pixels: ndarray, header: MapHeader) -> bytes:
    """Return a gain map as a JPEG with its metadata.

    `pixels` are enlarged, uint8 [h, w] or [h, w, 3].
    """
    coded = io.BytesIO()
    metadata = {"xmp": header.xmp, "icc_profile": header.icc, "extra": header.iso}
    Image.fromarray(pixels).save(coded, "JPEG", quality=_QUALITY, subsampling="4:4:4", **metadata)
    return coded.getvalue()


def with_directory(xmp: bytes | None, gain_map: bytes) -> bytes | None:
    """Return the XMP of a photo with the properties that announce the JPEG `gain_map` behind it.

    A map with only the metadata of ISO 21496-1 needs none.
    """
    if _NAMESPACE not in gain_map:
        return xmp
    directory = _DIRECTORY.replace(b"%(length)d", b"%d" % len(gain_map))
    return with_properties(xmp, _NAMESPACE + b' hdrgm:Version="1.0"', directory)


def version_segment(gain_map: bytes) -> bytes:
    """Return the segment of a photo that states the version of ISO 21496-1 of its map.

    The result is empty if the map has none.
    """
    _, found, rest = gain_map.partition(ISO_SEGMENT)
    if not found:
        return b""
    return segment(0xE2, found + rest[:_ISO_VERSION])


def index_segment(photo: int, start: int, length: int) -> bytes:
    """Return the segment that lists the photo, `photo` bytes, and a map of `length` bytes.

    `start` is the position of the map behind that of the TIFF header of the segment (CIPA DC-007,
    5.2).
    """
    primary = struct.pack(">IIIHH", _PRIMARY, photo, 0, 0, 0)
    attached = struct.pack(">IIIHH", 0, length, start, 0, 0)
    return segment(0xE2, _INDEX_START + _INDEX_TAGS + primary + attached)
