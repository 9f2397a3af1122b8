"""Photos with an HDR gain map, in the structures of Ultra HDR, ISO 21496-1 and Apple, and what they show."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from enhance.output.gain_map import INDEX_HEADER, index_segment
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


def segment(content: bytes, marker: int = 0xE2) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


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
    index: bool = True,
    length: int | None = None,
    start: int | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    quality: int = 75,
) -> bytes:
    """Return an Ultra HDR photo: a JPEG with XMP, an MPF index and the segment of ISO 21496-1, then a gain map.

    `length` and `start` replace what its index and its XMP state.
    """
    if gain_map is None:
        grey = Image.fromarray(gain_map_of(photo)[..., 1])
        gain_map = encode(grey, "JPEG", xmp=map_packet(VALUES), extra=segment(ISO + bytes(4)) if iso else b"")
    stated = len(gain_map) if length is None else length
    claim = HDRGM, directory((b"GainMap", b"image/jpeg", stated))
    more = segment(ISO + bytes(4)) if iso else b""
    xmp = xmp or (packet(*claim) if claims else photos_with_metadata.XMP)
    if extended:
        extension = (
            b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        )
        extension += b'<rdf:Description rdf:about="" %s>%s</rdf:Description></rdf:RDF></x:xmpmeta>' % claim
        name = hashlib.md5(extension).hexdigest().upper().encode()
        xmp = packet(b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"' % name)
        head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", len(extension), 0)
        more += segment(head + extension, 0xE1)
    block = b"Exif\0\0" + (photos_with_metadata.exif() if exif is None else exif)
    plain = encode(Image.fromarray(photo), "JPEG", xmp=xmp, exif=block, extra=more, quality=quality)

    def index_segment(size: int, first: int) -> bytes:
        entries = struct.pack("<IIIHHIIIHH", 0x030000, size, 0, 0, 0, 0, stated, first, 0, 0)
        tags = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
        tags += struct.pack("<HHII", 0xB002, 7, len(entries), 8 + 2 + 36 + 4)
        return segment(b"MPF\0II*\0" + struct.pack("<IH", 8, 3) + tags + bytes(4) + entries)

    if not index:
        return plain + gain_map
    place = plain.index(b"\xff\xdb")
    size = len(plain) + len(index_segment(0, 0))
    return plain[:place] + index_segment(size, size - place - 8 if start is None else start) + plain[place:] + gain_map


def with_gain_map(jpeg: bytes, gain_map: bytes) -> bytes:
    """Return a JPEG with an index and a gain map behind it."""
    size = len(jpeg) + len(index_segment(0, 0, 0))
    return jpeg[:2] + index_segment(size, size - 2 - INDEX_HEADER, len(gain_map)) + jpeg[2:] + gain_map


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


def attached_image(path: Path) -> bytes:
    """Return the second image of a file, as exiftool finds it by the index."""
    return subprocess.run(["exiftool", "-b", "-MPImage2", str(path)], capture_output=True, check=True).stdout


def map_values(xmp: bytes) -> dict[str, list[float]]:
    """Return the numbers in the XMP of a map."""
    found = {name: [float(value)] for name, value in re.findall(rb'hdrgm:(\w+)="([\d.-]+)"', xmp)}
    for name, values in re.findall(rb"<hdrgm:(\w+)>(.*?)</hdrgm", xmp):
        found[name] = [float(value) for value in re.findall(rb"<rdf:li>([\d.-]+)<", values)]
    return {name.decode(): values for name, values in found.items()}


def in_light(photo: np.ndarray) -> np.ndarray:
    """Return sRGB, uint8, as light, 1 for white (IEC 61966-2-1)."""
    levels = photo.astype(np.float32) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def show_hdr(path: Path) -> np.ndarray:
    """Return the light of an Ultra HDR photo on a display that shows all of it, float32 [H, W, 3]; 1 is SDR white.

    HDR = (SDR + OffsetSDR) * 2 ** boost - OffsetHDR, with boost = min + (max - min) * map ** (1 / gamma)
    (Ultra HDR 1.1, "Decode").
    """
    with Image.open(path) as photo, Image.open(io.BytesIO(attached_image(path))) as attached:
        sdr, share = in_light(np.asarray(photo)), np.asarray(attached).astype(np.float32) / 255
        values = map_values(attached.info["xmp"])
    share = cv2.resize(share, sdr.shape[1::-1])
    share = share[..., None] if share.ndim == 2 else share
    usual = {"GainMapMin": 0.0, "Gamma": 1.0, "OffsetSDR": 1 / 64, "OffsetHDR": 1 / 64}
    numbers = {name: np.array([value], np.float32) for name, value in usual.items()}
    numbers |= {name: np.array(several, np.float32) for name, several in values.items()}
    low, high = numbers["GainMapMin"], numbers["GainMapMax"]
    boost = low + (high - low) * share ** (1 / numbers["Gamma"])
    return (sdr + numbers["OffsetSDR"]) * 2**boost - numbers["OffsetHDR"]
