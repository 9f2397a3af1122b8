"""HDR gain maps in JPEG and HEIC files: finding and decoding them, and attaching the enlarged one
to a JPEG.

A gain map is a second JPEG behind the photo. An index (CIPA DC-007, "MPF") or a directory in XMP
lists it, and its own XMP (Ultra HDR 1.1, Adobe Gain Map 1.0) or a segment (ISO 21496-1) states how
it is applied. Apple's older maps, which are auxiliary images in a HEIC, state only how many times
brighter than white the photo can be.
"""

from __future__ import annotations

import importlib
import io
import logging
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image, JpegImagePlugin

from .containers import map_file
from .exif import EXIF_IFD, MAKER_NOTE, read_directory
from .jpeg_segments import START_OF_IMAGE, segment
from .metadata import Metadata
from .profiles import limit_profile
from .xmp import with_properties

logger = logging.getLogger(__name__)

MAX_MAP_PIXELS = 1 << 24
"""The maximum pixels of a gain map that is kept or written. Larger ones are downscaled."""
ISO_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0"
"""The start of the segment with the metadata of ISO 21496-1. In the photo, only the version
follows, 4 bytes."""

AUXILIARY_TYPE = "urn:com:apple:photo:2020:aux:hdrgainmap"
"""The type of a gain map in a HEIC."""

_ISO_VERSION = 4
_MAX_ISO_BYTES = 256
_MAX_IMAGES = 4
_MAX_BYTES = 64 << 20
_QUALITY = 95

_ENTRIES = 0xB002
_ITEM = re.compile(rb"<Container:Item\s([^<>]{1,1000})>")
_LENGTH = re.compile(rb"Item:Length\s*=\s*[\"'](\d{1,10})[\"']")
_SEMANTIC = re.compile(rb"Item:Semantic\s*=\s*[\"']GainMap[\"']")

_NUMBER = rb"[-+]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][-+]?\d{1,3})?"
_VALUE = rb"\s{0,99}(?:%s|True|False)\s{0,99}" % _NUMBER
_CHANNEL = rb"<rdf:li>%s</rdf:li>\s{0,99}" % _VALUE
_ONE_OR_THREE = rb"%s(?:%s%s)?" % (_CHANNEL, _CHANNEL, _CHANNEL)
_CHANNELS = rb"\s{0,99}<rdf:Seq>\s{0,99}%s</rdf:Seq>\s{0,99}" % _ONE_OR_THREE
_NAME = (
    rb"hdrgm:(?:Version|BaseRenditionIsHDR|GainMapM(?:in|ax)|Gamma"
    rb"|Offset(?:SDR|HDR)|HDRCapacityM(?:in|ax))"
)
_ATTRIBUTE = re.compile(rb"\s(%s)\s{0,9}=\s{0,9}([\"'])%s\2" % (_NAME, _VALUE))
_ELEMENT = re.compile(rb"<(%s)>(?:%s|%s)</\1>" % (_NAME, _VALUE, _CHANNELS))
_REQUIRED = {b"hdrgm:Version", b"hdrgm:GainMapMax", b"hdrgm:HDRCapacityMax"}
_VERSION = re.compile(rb"hdrgm:Version(?:\s{0,9}=\s{0,9}[\"']|>)\s{0,99}([-+.\w]{1,50})")

_APPLE_VERSION = re.compile(rb"HDRGainMap:HDRGainMapVersion\s{0,9}[=>]")
_APPLE_HEADROOM = re.compile(
    rb"HDRGainMap:HDRGainMapHeadroom\s{0,9}(?:=\s{0,9}[\"']|>)(%s)" % _NUMBER
)
_APPLE_NOTE = b"Apple iOS\0"
_APPLE_TAGS = (33, 48)
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
_LONG = 4
_UNDEFINED = 7
_PRIMARY = 0x030000  # "Baseline MP Primary Image", the type of the photo.
_INDEX_START = b"MPF\0"
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
    width: int
    height: int
    xmp: bytes
    iso: bytes = b""
    icc: bytes | None = None
    headroom: float | None = None

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, eq=False)
class GainMap:
    """A gain map in orientation 1, over the whole photo, and its header in the file.

    `pixels` are uint8 [h, w] or [h, w, 3].
    """

    pixels: np.ndarray
    header: MapHeader


def find_jpeg_map(image: Any, file: BinaryIO, metadata: Metadata) -> MapHeader | None:
    """Return the gain map of an opened JPEG, None if there is none that can be used."""
    with map_file(file) as data:
        for position in find_attached(image.info, metadata.xmp, len(data)):
            start, length = position
            try:
                found = _read_attached(data[start : start + length], position, metadata.exif)
                if found and _fits(found, image):
                    return found
            except Exception as error:  # A decoder raises any type. The photo can be read.
                logger.info("An attached image cannot be used: %s", error)
    return None


def find_attached(segments: Mapping[str, Any], xmp: bytes | None, size: int) -> list[_Attached]:
    """Return start and length of the images that a JPEG states to have behind the first one.

    `size` is that of the file. These are at most 4 images of at most 64 MiB, so that a crafted file
    does not keep the reader busy. `segments` has the content of the MPF segment as "mp", and its
    position as "mpoffset".
    """
    found: list[_Attached] = []
    for start, length in chain(_indexed_images(segments), _announced_images(xmp or b"", size)):
        is_inside = 0 < start < start + length <= size
        if is_inside and length <= _MAX_BYTES and (start, length) not in found:
            found.append((start, length))
        if len(found) == _MAX_IMAGES:
            break
    return found


def _indexed_images(segments: Mapping[str, Any]) -> Iterator[_Attached]:
    """Yield start and length of the images that the MPF segment lists."""
    block = bytes(segments.get("mp", b""))
    _, entries = read_directory(block).get(_ENTRIES, (0, b""))
    order = "<" if block.startswith(b"II") else ">"
    whole_entries = entries[: len(entries) // 16 * 16]
    # Each entry has attributes, a size, an offset from the start of the index and two dependent
    # images.
    for _, length, offset, _, _ in struct.iter_unpack(order + "IIIHH", whole_entries):
        yield segments["mpoffset"] + offset, length


def _announced_images(xmp: bytes, size: int) -> Iterator[_Attached]:
    """Yield start and length of the gain maps that XMP announces.

    XMP states lengths only: the images follow each other, and the last one ends with the file.
    """
    end = size
    for item in reversed(_ITEM.findall(xmp)):
        stated = _LENGTH.search(item)
        if stated is None:
            continue
        length = int(stated[1])
        end -= length
        if _SEMANTIC.search(item):
            yield end, length


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
            icc = limit_profile(image.info.get("icc_profile"))
            return MapHeader(position, image.width, image.height, xmp, iso, icc)
        if _APPLE_VERSION.search(stated):
            return _apple_header(position, image.size, stated, exif)
    return None


def _iso_segment(image: Any) -> bytes:
    """Return the segment of an opened JPEG with the metadata of ISO 21496-1.

    The result is empty if there is none.
    """
    for name, content in image.applist:
        if name == "APP2" and content.startswith(ISO_SEGMENT):
            size = len(content) - len(ISO_SEGMENT)
            if _ISO_VERSION < size <= _MAX_ISO_BYTES:
                return segment(0xE2, content)
            return b""
    return b""


def find_heic_map(image: Any, file: BinaryIO, exif: bytes | None) -> MapHeader | None:
    """Return the gain map of an opened HEIC, None if there is none that can be used.

    pillow-heif does not return the XMP of an auxiliary image, so the whole file is searched for it.
    """
    numbers = image.info.get("aux", {}).get(AUXILIARY_TYPE)
    if not numbers:
        return None
    try:
        width, height = _open_auxiliary(file, numbers[0]).size
        with map_file(file) as data:
            found = _apple_header(numbers[0], (width, height), data, exif)
    except Exception as error:  # The photo itself can be read.
        logger.info("An auxiliary image cannot be used: %s", error)
        return None
    # A map of another aspect ratio was not rotated with the photo.
    is_skewed = abs(width * image.height - height * image.width) > image.width + image.height
    if found is None or is_skewed or not _fits(found, image):
        return None
    return found


def _fits(found: MapHeader, image: Any) -> bool:
    """Return whether a map has no more rows and columns than the photo.

    A larger one could keep a decoder busy.
    """
    return 0 < found.width <= image.width and 0 < found.height <= image.height


def _apple_header(
    position: _Attached | int, size: tuple[int, int], text: Any, exif: bytes | None
) -> MapHeader | None:
    """Return the header of an Apple map of `size` (width, height), None if its headroom is unknown.

    `text` is the XMP of the map or contains it, and `exif` that of the photo.
    """
    headroom = _stated_headroom(text)
    if headroom is None:
        headroom = _camera_headroom(exif or b"")
    if headroom is None or not 1 < headroom <= 64:
        return None
    properties = _APPLE_PROPERTIES % {b"stops": math.log2(headroom)}
    xmp = with_properties(None, _NAMESPACE + properties)
    return MapHeader(position, *size, xmp, headroom=headroom)


def _select_properties(xmp: bytes) -> bytes:
    """Return a packet with the properties of a gain map as XMP states them.

    The result is empty if a required one is missing. Anything else in the XMP, such as a location,
    is left out.
    """
    attributes = {found[1]: found[0] for found in _ATTRIBUTE.finditer(xmp)}
    elements = {found[1]: found[0] for found in _ELEMENT.finditer(xmp)}
    elements = {name: element for name, element in elements.items() if name not in attributes}
    if not attributes.keys() | elements.keys() >= _REQUIRED:
        return b""
    all_attributes = b"".join([_NAMESPACE, *attributes.values()])
    return with_properties(None, all_attributes, b"".join(elements.values()))


def _stated_headroom(text: Any) -> float | None:
    """Return how many times brighter than white an Apple photo can be, as XMP states it."""
    stated = _APPLE_HEADROOM.search(text)
    return float(stated[1]) if stated else None


def _camera_headroom(exif: bytes) -> float | None:
    """Return the headroom from the maker notes of an Apple photo, None if they do not state it.

    "Applying Apple HDR effect to your photos", developer.apple.com.
    """
    _, note = read_directory(exif, EXIF_IFD).get(MAKER_NOTE, (0, b""))
    if not note.startswith(_APPLE_NOTE):
        return None
    start = struct.pack(">I", len(_APPLE_NOTE) + 4)
    tags = read_directory(b"MM\0*" + start + note[8:])
    try:
        tag_33, tag_48 = (_signed_ratio(tags[tag][1]) for tag in _APPLE_TAGS)
    except (KeyError, struct.error, ZeroDivisionError):
        return None
    if tag_33 < 1 and tag_48 <= 0.01:
        stops = -20 * tag_48 + 1.8
    elif tag_33 < 1:
        stops = -0.101 * tag_48 + 1.601
    elif tag_48 <= 0.01:
        stops = -70 * tag_48 + 3.0
    else:
        stops = -0.303 * tag_48 + 2.303
    return 2**stops


def _signed_ratio(value: bytes) -> float:
    numerator, denominator = struct.unpack(">ii", value)
    return numerator / denominator


def decode_map(file: BinaryIO, header: MapHeader) -> np.ndarray | None:
    """Return the pixels of a gain map as stored, uint8 [h, w] or [h, w, 3], for Ultra HDR.

    These are at most MAX_MAP_PIXELS. The result is None if the map is damaged.
    """
    try:
        with _open_map(file, header.position) as image:
            factor = math.ceil(math.sqrt(header.pixels / MAX_MAP_PIXELS))
            mode = "L" if image.mode == "L" else "RGB"
            pixels = np.asarray(image.convert(mode).reduce(factor))
    except Exception as error:  # The photo itself can be read.
        logger.info("The gain map cannot be decoded: %s", error)
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
    return importlib.import_module("pillow_heif").open_heif(file).get_aux_image(number)


def _from_apple(pixels: np.ndarray, headroom: float) -> np.ndarray:
    """Convert the pixels of an Apple map to Ultra HDR.

    Apple multiplies light by 1 + (headroom - 1) times the map's value, which is encoded as in Rec.
    709. Ultra HDR multiplies it by the headroom to the power of the map's value.
    """
    levels = np.arange(256) / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    stops = np.log2(1 + (headroom - 1) * light) / math.log2(headroom)
    table = np.rint(255 * stops).astype(np.uint8)
    return table[pixels]


def encode_map(pixels: np.ndarray, header: MapHeader) -> bytes:
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
    version = _VERSION.search(gain_map)
    if version is None:
        return xmp
    attributes = b'%s hdrgm:Version="%s"' % (_NAMESPACE, version[1])
    directory = _DIRECTORY.replace(b"%(length)d", b"%d" % len(gain_map))
    return with_properties(xmp, attributes, directory)


def version_segment(gain_map: bytes) -> bytes:
    """Return the segment of a photo that states the version of ISO 21496-1 of its map.

    The result is empty if the map has none.
    """
    start = gain_map.find(ISO_SEGMENT)
    if start < 0:
        return b""
    end = start + len(ISO_SEGMENT) + _ISO_VERSION
    return segment(0xE2, gain_map[start:end])


def index_segment(photo: int, start: int, length: int) -> bytes:
    """Return the segment that lists the photo, `photo` bytes, and a map of `length` bytes.

    `start` is the position of the map behind that of the TIFF header of the segment (CIPA DC-007,
    5.2).
    """
    header = b"MM\0*" + struct.pack(">I", 8)
    # The version, the number of images and their list. The list is after the three tags, at 8 + 2 +
    # 3 * 12 + 4 = 50.
    tags = struct.pack(">H", 3)
    tags += struct.pack(">HHI4s", 0xB000, _UNDEFINED, 4, b"0100")
    tags += struct.pack(">HHII", 0xB001, _LONG, 1, 2)
    tags += struct.pack(">HHII", _ENTRIES, _UNDEFINED, 32, 50)
    tags += bytes(4)
    primary = struct.pack(">IIIHH", _PRIMARY, photo, 0, 0, 0)
    attached = struct.pack(">IIIHH", 0, length, start, 0, 0)
    return segment(0xE2, _INDEX_START + header + tags + primary + attached)
