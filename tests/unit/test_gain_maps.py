"""Gain maps and videos attached to a photo: no result contains or claims them, and a note reports the loss."""

from __future__ import annotations

import hashlib
import io
import re
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from enhance.images import Metadata, read_image
from enhance.images.containers import make_chunk
from enhance.images.header import _pillow_metadata
from enhance.images.metadata import LOST
from enhance.images.metadata import find_claims as find_claims_in
from enhance.output.formats import Encoding
from tests.unit import photos_with_metadata
from tests.unit.image_files import encode, png
from tests.unit.photos_with_metadata import read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
ENDINGS = ("png", "jpg", "webp", "avif")
ISO = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(64)
CLAIMS = re.compile(r"hdrgm|gain ?map|container|motion ?photo|micro ?video|MPF|MPImage|21496", re.IGNORECASE)
"""The names of exiftool for properties of an attached file."""
TRACES = re.compile(rb"GainMap[:\"]|hdrgm:|MotionPhoto\W|MicroVideo\W|21496|MPF\0|Container:|Item:")

HDRGM = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:'
MOTION = CAMERA + b'MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="968644"'
MICRO = CAMERA + b'MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="76"'
APPLE = (
    b'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="131072" '
    b'xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" '
    b'apdi:AuxiliaryImageType="urn:com:apple:photo:2020:aux:hdrgainmap"'
)


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


def packet(attributes: bytes, properties: bytes = b"") -> bytes:
    """Return an XMP packet with a title and a description with these attributes and properties."""
    more = b'<rdf:Description rdf:about="" %s>%s</rdf:Description></rdf:RDF>' % (attributes, properties)
    return photos_with_metadata.XMP.replace(b"</rdf:RDF>", more)


def segment(content: bytes, marker: int = 0xE2) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def ultra_hdr(photo: np.ndarray, *, extended: bool = False, iso: bool = True, claims: bool = True) -> bytes:
    """Return an Ultra HDR photo: a JPEG with XMP, an MPF index and the segment of ISO 21496-1, then a gain map."""
    about_map = b'hdrgm:GainMapMax="2.5" hdrgm:HDRCapacityMax="2.5" hdrgm:OffsetSDR="0.015625"'
    grey = Image.fromarray(photo[::2, ::2, 1])
    gain_map = encode(grey, "JPEG", xmp=packet(HDRGM + b" " + about_map), extra=segment(ISO) if iso else b"")
    claim = HDRGM, directory((b"GainMap", b"image/jpeg", len(gain_map)))
    more = segment(ISO) if iso else b""
    xmp = packet(*claim) if claims else photos_with_metadata.XMP
    if extended:
        extension = (
            b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        )
        extension += b'<rdf:Description rdf:about="" %s>%s</rdf:Description></rdf:RDF></x:xmpmeta>' % claim
        name = hashlib.md5(extension).hexdigest().upper().encode()
        xmp = packet(b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"' % name)
        head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", len(extension), 0)
        more += segment(head + extension, 0xE1)
    plain = encode(Image.fromarray(photo), "JPEG", xmp=xmp, exif=b"Exif\0\0" + photos_with_metadata.exif(), extra=more)

    def index(size: int, start: int) -> bytes:
        entries = struct.pack("<IIIHHIIIHH", 0x030000, size, 0, 0, 0, 0, len(gain_map), start, 0, 0)
        tags = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
        tags += struct.pack("<HHII", 0xB002, 7, len(entries), 8 + 2 + 36 + 4)
        return segment(b"MPF\0II*\0" + struct.pack("<IH", 8, 3) + tags + bytes(4) + entries)

    place = plain.index(b"\xff\xdb")
    size = len(plain) + len(index(0, 0))
    return plain[:place] + index(size, size - place - 8) + plain[place:] + gain_map


def motion_photo(photo: np.ndarray, attributes: bytes, properties: bytes = b"") -> bytes:
    return encode(Image.fromarray(photo), "JPEG", xmp=packet(attributes, properties)) + VIDEO


def heic(photo: np.ndarray) -> bytes:
    sink = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo).resize((64, 48))).save(sink, xmp=packet(APPLE))
    return sink.getvalue()


def find_claims(path: Path) -> set[str]:
    """Return the tags that refer to an attached file."""
    found = read_by_exiftool(path, "-a", "-u")
    return {name for name in found if CLAIMS.search(name)}


def photos(photo: np.ndarray) -> dict[str, tuple[bytes, list[str]]]:
    """Return photos with an attached file, and the notes on each."""
    video = directory((b"MotionPhoto", b"video/mp4", len(VIDEO)))
    return {
        "ultra.jpg": (ultra_hdr(photo), ["gain_map_left"]),
        "extended.jpg": (ultra_hdr(photo, extended=True, iso=False), ["gain_map_left", "xmp_extension_left"]),
        "iso.jpg": (ultra_hdr(photo, claims=False), ["gain_map_left"]),
        "motion.jpg": (motion_photo(photo, MOTION, video), ["video_left"]),
        "micro.jpg": (motion_photo(photo, MICRO), ["video_left"]),
        "apple.heic": (heic(photo), ["gain_map_left"]),
    }


@pytest.mark.parametrize("name", ["ultra.jpg", "extended.jpg", "iso.jpg", "motion.jpg", "micro.jpg", "apple.heic"])
def test_no_result_claims_an_attached_file(photo, tmp_path, enhancer, name):
    source = tmp_path / name
    content, notes = photos(photo)[name]
    source.write_bytes(content)
    assert find_claims(source), "the photo refers to a gain map or a video"

    result = enhancer.run(source, "anime-fast")

    for ending in ENDINGS:
        exported = result.save(tmp_path / f"exported.{ending}")
        assert find_claims(exported.path) == set(), ending
        assert TRACES.search(exported.path.read_bytes()) is None, ending
        assert [note for note in exported.info["output"]["notes"] if note in LOST] == notes
    assert read_image(tmp_path / "exported.jpg").metadata.notes == (), "the result refers to neither"


def test_auxiliary_gain_map_of_heic_is_noted():
    image = Image.new("RGB", (8, 8))
    image.info["aux"] = {"urn:com:apple:photo:2020:aux:hdrgainmap": [2]}
    assert _pillow_metadata(image).notes == ("gain_map_left",)  # type: ignore[arg-type]


def test_motion_photo_zero_is_not_noted():
    packet_without = packet(CAMERA + b'MotionPhoto="0" GCamera:MotionPhotoVersion="1"')
    metadata = Metadata(xmp=packet_without).upright()
    assert metadata.notes == ()
    assert metadata.xmp == packet_without.replace(b"= '6'", b"= '1'")


def test_extended_xmp_is_removed_with_its_reference_and_noted(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photos_with_metadata.extended_jpeg())
    metadata = read_image(tmp_path / "photo.jpg").metadata
    assert metadata.notes == ("xmp_extension_left",)
    assert b"A &lt;lantern&gt;" in (metadata.xmp or b"")
    assert b'HasExtendedXMP=""' in (metadata.xmp or b"")


def test_png_loses_the_claim_too(photo, tmp_path):
    chunk = make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(HDRGM))
    (tmp_path / "claims.png").write_bytes(png(photo, 2, before_pixels=chunk))
    metadata = read_image(tmp_path / "claims.png").metadata
    assert metadata.notes == ("gain_map_left",)
    assert b"hdrgm:" not in (metadata.xmp or b"")


def test_other_properties_of_the_photo_are_kept(photo, tmp_path):
    for name in ("ultra.jpg", "motion.jpg", "micro.jpg", "apple.heic"):
        (tmp_path / name).write_bytes(photos(photo)[name][0])
        metadata = read_image(tmp_path / name).metadata
        assert b"A &lt;lantern&gt;" in (metadata.xmp or b"")
        assert b"Rating" in (metadata.xmp or b"")
        assert find_claims_in(metadata.xmp or b"") == []


def test_packet_with_an_unusual_claim_is_removed():
    claim = b'<g:Version xmlns:g="http://ns.adobe.com/hdr-gain-map/1.0/">1</g:Version><Item x:Semantic="GainMap"/>'
    metadata = Metadata(xmp=packet(b"", claim)).upright()
    assert (metadata.xmp, metadata.notes) == (None, ("gain_map_left",))


def test_cached_result_keeps_the_note(photo, tmp_path, enhancer):
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo))
    for output in (None, tmp_path / "out.png", tmp_path / "out.webp"):
        for cached in (False, True):
            result = enhancer.run(tmp_path / "ultra.jpg", "anime-fast", output=output)
            assert result.info["output"]["notes"] == ["gain_map_left"]
            assert result.info["cached"] is cached or output is not None
    task = enhancer.run(tmp_path / "ultra.jpg", "anime-fast")
    assert enhancer.export(task, Encoding("jpeg")).info["output"]["notes"] == ["gain_map_left"]
