"""Photos with an HDR gain map, in the structures of Ultra HDR, ISO 21496-1 and Apple."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from enhance.images.gain_map import segment
from tests.unit import photos_with_metadata
from tests.unit.image_files import encode

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
HDRGM = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
VALUES = {"GainMapMax": "2.5", "HDRCapacityMax": "2.5", "OffsetSDR": "0.015625", "OffsetHDR": "0.015625"}
CHANNEL_VALUES = {"GainMapMin": ("-0.5", "0", "0.25"), "GainMapMax": ("2", "2.5", "3"), "Gamma": ("1", "0.8", "1.25")}
APPLE = (
    b'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="131072" '
    b'xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" '
    b'apdi:AuxiliaryImageType="urn:com:apple:photo:2020:aux:hdrgainmap"'
)

EARLIER_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAABrmlUWHRYTUw6Y29tLmFkb2JlLnhtcAAAAAAAPD94cGFja2"
    "V0IGJlZ2luPSLvu78iIGlkPSJXNU0wTXBDZWhpSHpyZVN6TlRjemtjOWQiPz4KPHg6eG1wbWV0YSB4bWxuczp4PSJhZG9i"
    "ZTpuczptZXRhLyI+PHJkZjpSREYgeG1sbnM6cmRmPSJodHRwOi8vd3d3LnczLm9yZy8xOTk5LzAyLzIyLXJkZi1zeW50YX"
    "gtbnMjIj48cmRmOkRlc2NyaXB0aW9uIHJkZjphYm91dD0iIiB4bWxuczpJcHRjNHhtcEV4dD0iaHR0cDovL2lwdGMub3Jn"
    "L3N0ZC9JcHRjNHhtcEV4dC8yMDA4LTAyLTI5LyIgSXB0YzR4bXBFeHQ6RGlnaXRhbFNvdXJjZVR5cGU9Imh0dHA6Ly9jdi"
    "5pcHRjLm9yZy9uZXdzY29kZXMvZGlnaXRhbHNvdXJjZXR5cGUvYWxnb3JpdGhtaWNhbGx5RW5oYW5jZWQiICAgICAgICAg"
    "ICAgIC8+PC9yZGY6UkRGPjwveDp4bXBtZXRhPgo8P3hwYWNrZXQgZW5kPSJ3Ij8+dvsKCgAAANdlbkhHeyJzaXplIjogWz"
    "QsIDRdLCAic2hhcGUiOiBbNCwgNCwgMV0sICJ2YWx1ZXMiOiBbWyJHYWluTWFwTWF4IiwgWyIyLjUiXV0sIFsiSERSQ2Fw"
    "YWNpdHlNYXgiLCBbIjIuNSJdXSwgWyJPZmZzZXRIRFIiLCBbIjAuMDE1NjI1Il1dLCBbIk9mZnNldFNEUiIsIFsiMC4wMT"
    "U2MjUiXV0sIFsiVmVyc2lvbiIsIFsiMS4wIl1dXSwgImlzbyI6ICIiLCAiaWNjIjogIiJ9AHheO4EGAGpQDIFRuzekAAAA"
    "UklEQVR4Xi3BgQ3CAAwDMKef0/5N0NBsu5/dvd273d3bu7u9G0G92hTSSRGBCG3ra0hCaSRpkGSEeqRaJKqjHgmqgqhBgk"
    "bG+JtkRAttG4+2+gMQ5S9N4P/gjQAAANxlbkhBRW5oYW5jZSBzaWduYXR1cmU9N2U1Mzk3NjcyNzNkNWM1MjY4MjMwOGM0"
    "N2RlNTIwNTE0ZDdhNTUzYzU4YmJkYjE2NmM3MzQ1MmE4NmI4OGZkNSBpbnB1dF9zaGEyNTY9NGMzNDgyMmNjZmIwNjhjYm"
    "E2MTBmYTUxY2QwMWVjMGI1ODdmYjAwY2U4NzFhMTJkODA5MGNjZDRlZjFkMDZmNiBmaWRlbGl0eV9kYj00MC4wOSBmaWRl"
    "bGl0eV93b3JzdF9kYj0yMi4xOCBzb3VyY2VfdHlwZT1ub25lCuvNx0UAAAAASUVORK5CYII="
)
"""A result of 8 x 8 px of an earlier version, which stored the gain map of the photo in a chunk "enHG"."""


def packet(attributes: bytes, properties: bytes = b"") -> bytes:
    """Return an XMP packet with a title and a description with these attributes and properties."""
    more = b'<rdf:Description rdf:about="" %s>%s</rdf:Description></rdf:RDF>' % (attributes, properties)
    return photos_with_metadata.XMP.replace(b"</rdf:RDF>", more)


def directory(*items: tuple[bytes, bytes, int]) -> bytes:
    """Return a container directory of the primary image and `items`, each with semantic, type and length."""
    listed = b"".join(
        b'<rdf:li rdf:parseType="Resource">'
        b'<Container:Item Item:Semantic="%s" Item:Mime="%s" Item:Length="%d"/></rdf:li>' % item
        for item in ((b"Primary", b"image/jpeg", 0), *items)
    )
    return (
        b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq>%s</rdf:Seq></Container:Directory>'
    ) % listed


def map_packet(values: dict[str, str], channels: dict[str, tuple[str, ...]] | None = None) -> bytes:
    """Return the XMP of a map, with one value of a property or one for each channel."""
    attributes = b"".join(b' hdrgm:%s="%s"' % (name.encode(), value.encode()) for name, value in values.items())
    elements = b"".join(
        b"<hdrgm:%s><rdf:Seq>%s</rdf:Seq></hdrgm:%s>"
        % (name.encode(), b"".join(b"<rdf:li>%s</rdf:li>" % one.encode() for one in several), name.encode())
        for name, several in (channels or {}).items()
    )
    return packet(HDRGM + attributes, elements)


def gain_map_of(photo: np.ndarray) -> np.ndarray:
    """Return a map that brightens the bright areas of a photo, at half its size, uint8 [H / 2, W / 2, 3]."""
    return cv2.resize((photo.astype(np.float32) ** 2 / 255).astype(np.uint8), None, fx=0.5, fy=0.5)


def ultra_hdr(
    photo: np.ndarray,
    gain_map: bytes | None = None,
    *,
    extended: bool = False,
    iso: bool = True,
    claims: bool = True,
    length: int | None = None,
    start: int | None = None,
    exif: bytes | None = None,
    quality: int = 75,
) -> bytes:
    """Return an Ultra HDR photo: a JPEG with XMP, an MPF index and the segment of ISO 21496-1, then a gain map.

    `length` and `start` replace what its index and its XMP state.
    """
    more = segment(0xE2, ISO + bytes(4)) if iso else b""
    if gain_map is None:
        gain_map = encode(Image.fromarray(gain_map_of(photo)[..., 1]), "JPEG", xmp=map_packet(VALUES), extra=more)
    listed = directory((b"GainMap", b"image/jpeg", len(gain_map) if length is None else length))
    xmp = packet(HDRGM, listed) if claims else photos_with_metadata.XMP
    if extended:
        xmp, segments = photos_with_metadata.extend_xmp(HDRGM, listed)
        more += segments
    block = b"Exif\0\0" + (photos_with_metadata.exif() if exif is None else exif)
    jpeg = encode(Image.fromarray(photo), "JPEG", xmp=xmp, exif=block, extra=more, quality=quality)
    return with_gain_map(jpeg, gain_map, length, start)


def with_gain_map(jpeg: bytes, gain_map: bytes, length: int | None = None, start: int | None = None) -> bytes:
    """Return a JPEG with a gain map behind it and an index (CIPA DC-007, 5.2), which can state another position."""
    place, stated = jpeg.index(b"\xff\xdb\0\x43"), len(gain_map) if length is None else length
    size = len(jpeg) + 90
    first = size - place - 8 if start is None else start
    entries = struct.pack("<IIIHHIIIHH", 0x030000, size, 0, 0, 0, 0, stated, first, 0, 0)
    tags = struct.pack("<HHI4sHHIIHHII", 0xB000, 7, 4, b"0100", 0xB001, 4, 1, 2, 0xB002, 7, len(entries), 50)
    index = segment(0xE2, b"MPF\0II*\0" + struct.pack("<IH", 8, 3) + tags + bytes(4) + entries)
    return jpeg[:place] + index + jpeg[place:] + gain_map


def apple_heic(
    photo: np.ndarray,
    values: np.ndarray,
    exif: bytes,
    map_xmp: bytes = b"",
    *,
    xmp: bytes | None = None,
    turn_map: bool = True,
) -> bytes:
    """Return a HEIC with the gain map `values` as an auxiliary image (ISO 23008-12, 6.5.8).

    pillow-heif writes no auxiliary images. It writes both as photos. The box with their properties is then moved behind
    the pixels, so that nothing else moves, and declares the second one as auxiliary.
    """
    both, sink = pillow_heif.from_pillow(Image.fromarray(photo)), io.BytesIO()
    both.add_from_pillow(Image.fromarray(values))
    both[1].info |= {"exif": b"Exif\0\0" + exif if turn_map else None, "xmp": map_xmp}
    both.save(sink, exif=b"Exif\0\0" + exif, xmp=xmp, quality=90)
    content = sink.getvalue()
    start, end = content.index(b"meta") - 4, content.index(b"mdat") - 4
    meta = bytearray(content[start:end])
    declared = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
    _append(meta, (b"meta", b"iprp", b"ipco"), struct.pack(">I4s4x", 12 + len(declared), b"auxC") + declared)
    place = meta.index(b"ipco") - 4
    properties, last = 0, place + int.from_bytes(meta[place : place + 4], "big")
    place += 8
    while place < last:
        properties, place = properties + 1, place + int.from_bytes(meta[place : place + 4], "big")
    _append(meta, (b"meta", b"iprp", b"ipma"), bytes([properties]))
    second = meta.index(b"ipma") + 15  # 12 bytes before the first item, then its number, its count and its properties
    second += meta[second - 1]
    meta[second + 2] += 1
    reference = struct.pack(">I4s", 14, b"auxl") + meta[second : second + 2] + struct.pack(">HH", 1, 1)
    _append(meta, (b"meta", b"iref"), reference)
    return content[:start] + struct.pack(">I4s", end - start, b"free") + content[start + 8 :] + bytes(meta)


def _append(box: bytearray, kinds: tuple[bytes, ...], content: bytes) -> None:
    """Append `content` to the last of these nested boxes (ISO 14496-12, 4.2)."""
    place = length = 0
    for kind in kinds:
        place = box.index(kind) - 4
        length = int.from_bytes(box[place : place + 4], "big")
        box[place : place + 4] = struct.pack(">I", length + len(content))
    box[place + length : place + length] = content


def attached_image(path: Path) -> Path:
    """Save the second image of a file, as exiftool finds it by the index, next to it."""
    attached = path.with_suffix(".map.jpg")
    done = subprocess.run(["exiftool", "-b", "-MPImage2", str(path)], capture_output=True, check=True)
    attached.write_bytes(done.stdout)
    return attached


def map_values(path: Path) -> dict[str, Any]:
    """Return the values in the XMP of a map that is attached to a file, as exiftool reads them."""
    found = photos_with_metadata.read_by_exiftool(attached_image(path), "-XMP-hdrgm:all")
    return {name.partition(":")[2]: value for name, value in found.items() if ":" in name}


def in_light(photo: np.ndarray) -> np.ndarray:
    """Return sRGB, uint8, as light, 1 for white (IEC 61966-2-1)."""
    levels = photo.astype(np.float32) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
