"""HDR gain maps and videos of photos: JPEG results keep the enlarged map, others have a note and no reference to it."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Settings
from enhance.errors import PictureError
from enhance.images import read_image
from enhance.images.containers import make_chunk
from enhance.images.gain_map import find_attached, segment
from enhance.images.metadata import LOST
from enhance.output import result as results
from enhance.output.formats import Encoding, notes_of
from enhance.output.png import GAIN_MAP_CHUNK
from enhance.output.png_reader import PngReader
from tests.conftest import psnr
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import (
    APPLE,
    CHANNEL_VALUES,
    EARLIER_PNG,
    HDRGM,
    ISO,
    VALUES,
    apple_heic,
    attached_image,
    directory,
    gain_map_of,
    in_light,
    map_packet,
    map_values,
    packet,
    ultra_hdr,
)
from tests.unit.image_files import encode, exif_block, exported, png
from tests.unit.photos_with_metadata import read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
ISO_VALUES = struct.pack(">HHB12I", 0, 1, 0x40, 0, 1, 5, 2, 0, 1, 5, 2, 1, 1, 1, 64) + struct.pack(">2I", 1, 64)
"""Minimum version 0, writer version 1, one channel: headrooms 0 and 2.5, gain 0 to 2.5, gamma 1, offsets 1/64."""
SAME_SIZE = Settings("anime-fast", scale=1)
HEADROOM = b' HDRGainMap:HDRGainMapHeadroom="4"'
ENDINGS = ("png", "jpg", "webp", "avif", "tif")
CLAIMS = re.compile(r"hdrgm|gain ?map|container|motion ?photo|micro ?video|MPF|MPImage|21496", re.IGNORECASE)
"""The names of exiftool for properties of an attached file."""
TRACES = re.compile(rb"GainMap[:\"]|hdrgm:|MotionPhoto\W|MicroVideo\W|21496|MPF\0|Container:|Item:")
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(64)
CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:'
MOTION = CAMERA + b'MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="968644"'
MICRO = CAMERA + b'MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="76"'


@pytest.fixture
def portrait() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[40:200, 140:300])


@pytest.fixture
def ultra(portrait, tmp_path) -> Path:
    path = tmp_path / "ultra.jpg"
    path.write_bytes(ultra_hdr(portrait, exif=exif_block(1), quality=95))
    return path


def with_map(photo: np.ndarray, values: np.ndarray, xmp: bytes, **options) -> bytes:
    return ultra_hdr(photo, encode(Image.fromarray(values), "JPEG", xmp=xmp, quality=95), quality=95, **options)


def second_image(path: Path) -> Image.Image:
    return Image.open(attached_image(path))


def test_jpeg_has_the_enlarged_map_where_its_index_and_its_xmp_state(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, "anime-fast").save(tmp_path / "out.jpg")

    tags = read_by_exiftool(result.path, "-a")
    length = tags["MPImage2:MPImageLength"]
    assert tags["MPF0:NumberOfImages"] == 2
    assert tags["MPImage1:MPImageLength"] == tags["MPImage2:MPImageStart"] == result.path.stat().st_size - length
    assert tags["XMP-GContainer:DirectoryItemSemantic"] == ["Primary", "GainMap"]
    assert tags["XMP-GContainer:DirectoryItemLength"] == length
    assert str(tags["XMP-hdrgm:Version"]) in ("1", "1.0")
    assert (second_image(result.path).size, second_image(result.path).mode) == ((320, 320), "L")
    assert result.info["output"]["notes"] == []


@pytest.mark.parametrize("by_libultrahdr", [False, True])
def test_libultrahdr_shows_the_result_like_the_photo(enhancer, span_weights, portrait, tmp_path, by_libultrahdr):
    light, path = in_light(portrait), tmp_path / "photo.jpg"
    bright = np.dstack([light * (1 + 4 * light**2), np.ones(light.shape[:2])]).astype(np.float16)
    own = with_map(portrait, gain_map_of(portrait)[..., 1], map_packet(VALUES), exif=exif_block(1))
    path.write_bytes(imagecodecs.ultrahdr_encode(bright) if by_libultrahdr else own)
    result = enhancer.run(path, "precise", output=tmp_path / "out.jpg")

    wanted, shown = (
        imagecodecs.ultrahdr_decode(one.read_bytes())[..., :3].astype(np.float32) for one in (path, result.path)
    )
    shown = cv2.resize(shown, wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert wanted.max() > 4, "the map brightens the photo"
    assert psnr(wanted / wanted.max(), shown / wanted.max(), 1) > 37


@pytest.mark.parametrize("channels", [1, 3])
def test_values_and_pixels_of_the_map_are_kept(enhancer, portrait, tmp_path, channels):
    several = CHANNEL_VALUES if channels == 3 else {}
    one = {name: value for name, value in VALUES.items() if name not in several}
    values = gain_map_of(portrait)[..., :channels].squeeze()
    (tmp_path / "photo.jpg").write_bytes(with_map(portrait, values, map_packet(one, several), exif=exif_block(1)))
    result = enhancer.run(tmp_path / "photo.jpg", "anime-fast", output=tmp_path / "out.jpg")

    expected = {name: float(value) for name, value in one.items()}
    expected |= {name: [float(value) for value in channel] for name, channel in several.items()}
    assert map_values(result.path) == {"Version": 1, **expected}
    assert psnr(np.asarray(second_image(result.path).reduce(4)), values) > 35


@pytest.mark.parametrize("xmp", [b"", map_packet(VALUES)], ids=["iso", "both"])
def test_metadata_of_iso_21496_is_unchanged(enhancer, portrait, tmp_path, xmp):
    grey = Image.fromarray(gain_map_of(portrait)[..., 1])
    gain_map = encode(grey, "JPEG", extra=segment(0xE2, ISO + ISO_VALUES), **({"xmp": xmp} if xmp else {}))
    (tmp_path / "iso.jpg").write_bytes(ultra_hdr(portrait, gain_map, claims=bool(xmp)))
    result = enhancer.run(tmp_path / "iso.jpg", "anime-fast", output=tmp_path / "out.jpg")

    attached, whole = attached_image(result.path).read_bytes(), result.path.read_bytes()
    assert segment(0xE2, ISO + ISO_VALUES) in attached
    assert segment(0xE2, ISO + ISO_VALUES[:4]) in whole[: -len(attached)]
    assert (b"hdrgm" in whole) is bool(xmp)


@pytest.mark.parametrize("kind", ["jpeg", "heic"])
@pytest.mark.parametrize(("orientation", "bright"), [(1, np.s_[:, -20:]), (3, np.s_[:, :20]), (6, np.s_[-20:])])
def test_map_is_rotated_with_the_photo(enhancer, portrait, tmp_path, kind, orientation, bright):
    values, exif = np.zeros((40, 80), np.uint8), exif_block(orientation)
    values[:, 60:] = 255
    heic = apple_heic(portrait[:80], values, exif, packet(APPLE + HEADROOM))
    jpeg = with_map(portrait[:80], values, map_packet(VALUES), exif=exif)
    (tmp_path / "photo").write_bytes(heic if kind == "heic" else jpeg)
    result = enhancer.run(tmp_path / "photo", SAME_SIZE, output=tmp_path / "out.jpg")

    shown = np.asarray(second_image(result.path))
    assert shown.shape == ((80, 40) if orientation == 6 else (40, 80))
    assert shown[bright].mean() > 240
    assert shown.mean() < 80


def test_stored_and_cached_results_keep_the_map_and_the_note(enhancer, ultra, tmp_path):
    for output in (None, tmp_path / "out.png", tmp_path / "out.webp"):
        for cached in (False, True):
            result = enhancer.run(ultra, "anime-fast", output=output)
            assert result.info["output"]["notes"] == ["gain_map_left"], "it shows no HDR"
            assert result.info["cached"] is cached or output is not None
    task = enhancer.run(ultra, "anime-fast")
    for metadata in ("keep", "no-location", "none"):
        saved = task.save(tmp_path / f"{metadata}.jpg", metadata=metadata)
        assert second_image(saved.path).size == (320, 320)
        assert "gain_map_left" not in saved.info["output"]["notes"]
    assert enhancer.export(task, Encoding("webp")).info["output"]["notes"] == ["gain_map_left"]
    assert enhancer.export(task, Encoding("jpeg")).info["output"]["notes"] == []


def test_parameters_are_kept_as_the_map_states_them(enhancer, portrait, tmp_path):
    attributes = (b"hdrgm:Version='1.0'", b'hdrgm:GainMapMin = "-0.50"', b'hdrgm:HDRCapacityMax="+2.5e0"')
    elements = (
        b"<hdrgm:GainMapMax>\n  <rdf:Seq>\n   <rdf:li>2.0</rdf:li>\n   <rdf:li>2.50</rdf:li>\n   <rdf:li>3</rdf:li>"
        b"\n  </rdf:Seq>\n </hdrgm:GainMapMax>",
        b"<hdrgm:BaseRenditionIsHDR>False</hdrgm:BaseRenditionIsHDR>",
    )
    namespace, _, _ = HDRGM.partition(b" ")
    xmp = packet(b"\n".join([namespace, *attributes]), b"\n".join(elements))
    (tmp_path / "photo.jpg").write_bytes(with_map(portrait, gain_map_of(portrait), xmp, exif=exif_block(1)))
    result = enhancer.run(tmp_path / "photo.jpg", SAME_SIZE, output=tmp_path / "out.jpg")

    attached = attached_image(result.path).read_bytes()
    assert [one for one in (*attributes, *elements) if one not in attached] == []
    assert map_values(result.path)["GainMapMax"] == [2, 2.5, 3]


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
def test_title_and_location_of_the_map_are_left_out(enhancer, portrait, tmp_path, metadata):
    xmp = map_packet({name: VALUES[name] for name in ("GainMapMax", "HDRCapacityMax")}, {"Gamma": ("1", "1", "1")})
    assert photos_with_metadata.PLACE.encode() in xmp
    gain_map = encode(Image.fromarray(gain_map_of(portrait)), "JPEG", xmp=xmp, exif=photos_with_metadata.exif())
    (tmp_path / "photo.jpg").write_bytes(ultra_hdr(portrait, gain_map))
    result = enhancer.run(tmp_path / "photo.jpg", SAME_SIZE).save(tmp_path / "out.jpg", metadata=metadata)

    assert map_values(result.path) == {"Version": 1, "GainMapMax": 2.5, "HDRCapacityMax": 2.5, "Gamma": [1, 1, 1]}
    attached = attached_image(result.path)
    groups = {name.partition(":")[0] for name in read_by_exiftool(attached, "-a", "-u") if ":" in name}
    assert {name for name in groups if name.startswith(("XMP", "IFD", "ExifIFD", "GPS"))} == {"XMP-hdrgm"}
    for private in (photos_with_metadata.PLACE, "lantern", "16,22.4E", "Lantern"):
        assert private.encode() not in attached.read_bytes(), private


def test_stored_png_of_an_earlier_version_has_no_map_and_its_jpeg_a_note(enhancer, ultra, tmp_path):
    stored = tmp_path / "stored.png"
    stored.write_bytes(EARLIER_PNG)
    path = exported(stored, "jpg")
    assert notes_of(stored, Encoding("jpeg"), ["gain_map_left"]) == ["gain_map_left"]
    assert TRACES.search(path.read_bytes()) is None
    assert np.asarray(Image.open(path)).shape == (8, 8, 3)

    start = EARLIER_PNG.index(b"enHG") - 4
    end = start + 12 + int.from_bytes(EARLIER_PNG[start : start + 4], "big")
    result = enhancer.run(ultra, SAME_SIZE, output=tmp_path / "out.png")
    with PngReader(result.path) as png_result:
        chunk = make_chunk(GAIN_MAP_CHUNK, png_result.gain_map or b"")
    result.path.write_bytes(result.path.read_bytes().replace(chunk, EARLIER_PNG[start:end]))
    again = enhancer.run(ultra, SAME_SIZE, output=tmp_path / "out.png")
    assert again.info["cached"]
    saved = again.save(tmp_path / "out.jpg")
    assert saved.info["output"]["notes"] == ["gain_map_left"]
    assert TRACES.search(saved.path.read_bytes()) is None


def test_damaged_map_in_a_png_is_an_error_with_a_message(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, SAME_SIZE, output=tmp_path / "out.png")
    content = bytearray(result.path.read_bytes())
    content[content.index(GAIN_MAP_CHUNK) + 100] ^= 1
    result.path.write_bytes(content)
    with pytest.raises(PictureError) as error:
        exported(result.path, "jpg")
    assert error.value.key == "png_damaged"


def test_map_changes_no_pixel_of_the_png(enhancer, ultra):
    with_it = enhancer.run(ultra, "anime-fast")
    without = enhancer.run(ultra, "anime-fast", image=replace(read_image(ultra), gain_map=None))
    assert np.array_equal(with_it.array, without.array)


def test_large_maps_are_limited(enhancer, ultra, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "MAX_PIXELS", 40_000)
    result = enhancer.run(ultra, "anime-fast", output=tmp_path / "out.jpg")
    assert second_image(result.path).size == (200, 200)


@pytest.mark.parametrize("stated", [HEADROOM, b""], ids=["xmp", "maker-notes"])
@pytest.mark.parametrize("kind", ["jpeg", "heic"])
def test_map_of_apple_is_converted_to_ultra_hdr(enhancer, portrait, tmp_path, kind, stated):
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 2)
    note += struct.pack(">HHIIHHIII", 33, 10, 1, 44, 48, 10, 1, 52, 0) + struct.pack(">4i", 1, 2, -1, 100)
    block = Image.Exif()
    block.get_ifd(0x8769)[0x927C] = note
    values = np.tile(np.arange(80, dtype=np.uint8)[:, None] * 3, (1, 80))
    xmp, exif = packet(APPLE + stated), block.tobytes()[6:]
    jpeg, heic = with_map(portrait, values, xmp, claims=False, exif=exif), apple_heic(portrait, values, exif, xmp)
    (tmp_path / "apple").write_bytes(jpeg if kind == "jpeg" else heic)
    result = enhancer.run(tmp_path / "apple", SAME_SIZE, output=tmp_path / "out.jpg")

    headroom = 4.0 if stated else 2.0 ** (-20 * -0.01 + 1.8)
    found, shown = map_values(result.path), np.asarray(second_image(result.path)).astype(np.float32) / 255
    assert found["GainMapMax"] == found["HDRCapacityMax"] == pytest.approx(np.log2(headroom), abs=1e-5)
    levels = values / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    gain = 1 + (headroom - 1) * light  # "Applying Apple HDR effect to your photos", developer.apple.com
    assert np.abs(np.log2(headroom) * shown - np.log2(gain)).mean() < 0.02
    assert result.info["output"]["notes"] == []


def damaged(photo: np.ndarray) -> dict[str, bytes]:
    """Return photos whose gain map cannot be used."""
    grey = gain_map_of(photo)[..., 1]
    xmp = map_packet(VALUES)
    good = encode(Image.fromarray(grey), "JPEG", xmp=xmp)
    frame = good.index(b"\xff\xc0")
    huge = good[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + good[frame + 9 :]
    scans = good[:-2] + good[good.index(b"\xff\xda") : -2] * 200 + b"\xff\xd9"
    nested, wide = ultra_hdr(photo), encode(Image.fromarray(photo).resize((400, 20)), "JPEG", xmp=xmp)
    no_number = map_packet({**VALUES, "GainMapMax": "<x>"})
    return {
        "start beyond the end": ultra_hdr(photo, claims=False, start=1 << 31),
        "start in the photo": ultra_hdr(photo, claims=False, start=10),
        "length beyond the end": ultra_hdr(photo, length=0xFFFFFFFF),
        "length 0": ultra_hdr(photo, length=0),
        "length of a few bytes": ultra_hdr(photo, length=20),
        "map of 60,000 px": ultra_hdr(photo, huge),
        "map larger than the photo": ultra_hdr(photo, wide),
        "map cut off": ultra_hdr(photo, good[: len(good) // 2]),
        "map without pixels": ultra_hdr(photo, good[: good.index(b"\xff\xda")]),
        "map in many scans": ultra_hdr(photo, scans),
        "photo in the photo": ultra_hdr(photo, nested),
        "no JPEG": ultra_hdr(photo, b"\x89PNG\r\n\x1a\n" + bytes(500)),
        "no values": ultra_hdr(photo, encode(Image.fromarray(grey), "JPEG")),
        "values that are no numbers": ultra_hdr(photo, encode(Image.fromarray(grey), "JPEG", xmp=no_number)),
        "apple without headroom": ultra_hdr(photo, encode(Image.fromarray(grey), "JPEG", xmp=packet(APPLE))),
        "heic without headroom": apple_heic(photo, grey, exif_block(1)),
        "heic with a map that is not turned": apple_heic(
            photo[:80], grey[:40], exif_block(6), packet(APPLE + HEADROOM), turn_map=False
        ),
    }


def test_maps_that_cannot_be_used_are_left_out_with_a_note(enhancer, photo, tmp_path):
    for name, content in damaged(photo).items():
        (tmp_path / "photo.jpg").write_bytes(content)
        image = read_image(tmp_path / "photo.jpg")
        assert image.gain_map is None, name
        assert image.metadata.notes == ("gain_map_left",), name
        assert b"hdrgm:Version" not in (image.metadata.xmp or b""), name
    result = enhancer.run(tmp_path / "photo.jpg", SAME_SIZE).save(tmp_path / "out.jpg")
    assert result.info["output"]["notes"] == ["gain_map_left"]
    assert TRACES.search(result.path.read_bytes()) is None


def test_attached_images_are_limited_in_bytes():
    for megabytes, count in ((10, 1), (63, 1), (65, 0)):
        xmp = directory((b"GainMap", b"image/jpeg", megabytes << 20))
        assert len([*find_attached({}, xmp, 1 << 30)]) == count


def find_references(path: Path) -> set[str]:
    """Return the tags that refer to an attached file."""
    return {name for name in read_by_exiftool(path, "-a", "-u") if CLAIMS.search(name)}


def photos(photo: np.ndarray) -> dict[str, tuple[bytes, list[str]]]:
    """Return photos with an attached file, and the notes on each."""
    image, video = Image.fromarray(photo), directory((b"MotionPhoto", b"video/mp4", len(VIDEO)))
    return {
        "ultra.jpg": (ultra_hdr(photo), ["gain_map_left"]),
        "extended.jpg": (ultra_hdr(photo, extended=True, iso=False), ["gain_map_left", "xmp_extension_left"]),
        "iso.jpg": (ultra_hdr(photo, claims=False), ["gain_map_left"]),
        "motion.jpg": (encode(image, "JPEG", xmp=packet(MOTION, video)) + VIDEO, ["video_left"]),
        "micro.jpg": (encode(image, "JPEG", xmp=packet(MICRO)) + VIDEO, ["video_left"]),
        "apple.heic": (encode(image.resize((64, 48)), "HEIF", xmp=packet(APPLE)), ["gain_map_left"]),
    }


@pytest.mark.parametrize("name", ["ultra.jpg", "extended.jpg", "iso.jpg", "motion.jpg", "micro.jpg", "apple.heic"])
def test_no_result_refers_to_an_attached_file_that_it_lacks(photo, tmp_path, enhancer, name):
    source = tmp_path / name
    content, notes = photos(photo)[name]
    source.write_bytes(content)
    assert find_references(source), "the photo refers to a gain map or a video"

    result = enhancer.run(source, "anime-fast")

    keeps_map = name in ("ultra.jpg", "extended.jpg", "iso.jpg")
    for ending in set(ENDINGS) - ({"jpg"} if keeps_map else set()):
        exported = result.save(tmp_path / f"exported.{ending}")
        assert find_references(exported.path) == set(), ending
        content = exported.path.read_bytes()
        if ending == "png" and keeps_map:  # The chunk with the map for later exports is no part of the image.
            with PngReader(exported.path) as png_result:
                content = content.replace(png_result.gain_map or b"", b"")
        assert TRACES.search(content) is None, ending
        assert [note for note in exported.info["output"]["notes"] if note in LOST] == notes
        assert read_image(exported.path).metadata.notes == (), "the result refers to neither"


def test_extended_xmp_is_removed_with_its_reference_and_noted(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photos_with_metadata.extended_jpeg())
    metadata = read_image(tmp_path / "photo.jpg").metadata
    assert metadata.notes == ("xmp_extension_left",)
    assert b"A &lt;lantern&gt;" in (metadata.xmp or b"")
    assert b'HasExtendedXMP=""' in (metadata.xmp or b"")


def test_references_in_a_png_are_removed(photo, tmp_path):
    chunk = make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(HDRGM))
    (tmp_path / "claims.png").write_bytes(png(photo, 2, before_pixels=chunk))
    metadata = read_image(tmp_path / "claims.png").metadata
    assert metadata.notes == ("gain_map_left",)
    assert b"hdrgm:" not in (metadata.xmp or b"")
