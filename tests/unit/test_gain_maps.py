"""Gain maps and videos attached to a photo: results that lack them claim none, and a note reports the loss."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from enhance.images import read_image
from enhance.images.containers import make_chunk
from enhance.images.metadata import LOST
from enhance.output.formats import Encoding
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import APPLE, HDRGM, directory, packet, ultra_hdr
from tests.unit.image_files import encode, png
from tests.unit.photos_with_metadata import read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
KEPT = ("ultra.jpg", "extended.jpg", "iso.jpg")
ENDINGS = ("png", "jpg", "webp", "avif", "tif")
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(64)
CLAIMS = re.compile(r"hdrgm|gain ?map|container|motion ?photo|micro ?video|MPF|MPImage|21496", re.IGNORECASE)
"""The names of exiftool for properties of an attached file."""
TRACES = re.compile(rb"GainMap[:\"]|hdrgm:|MotionPhoto\W|MicroVideo\W|21496|MPF\0|Container:|Item:")

CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:'
MOTION = CAMERA + b'MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="968644"'
MICRO = CAMERA + b'MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="76"'


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
    """Return photos with an attached file, and the notes on each. A JPEG keeps the gain map of the first three."""
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

    for ending in ENDINGS if name not in KEPT else set(ENDINGS) - {"jpg"}:
        exported = result.save(tmp_path / f"exported.{ending}")
        assert find_claims(exported.path) == set(), ending
        assert TRACES.search(exported.path.read_bytes()) is None, ending
        assert [note for note in exported.info["output"]["notes"] if note in LOST] == notes
        assert read_image(exported.path).metadata.notes == (), "the result refers to neither"


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


def test_cached_result_keeps_the_note(photo, tmp_path, enhancer):
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo))
    for output in (None, tmp_path / "out.png", tmp_path / "out.webp"):
        for cached in (False, True):
            result = enhancer.run(tmp_path / "ultra.jpg", "anime-fast", output=output)
            assert result.info["output"]["notes"] == ["gain_map_left"]
            assert result.info["cached"] is cached or output is not None
    task = enhancer.run(tmp_path / "ultra.jpg", "anime-fast")
    assert enhancer.export(task, Encoding("webp")).info["output"]["notes"] == ["gain_map_left"]
    assert enhancer.export(task, Encoding("jpeg")).info["output"]["notes"] == []
