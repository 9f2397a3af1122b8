"""HDR gain maps and videos of photos: JPEG results keep the enlarged map, others have a note and no
reference to it."""

import io
import re
import struct
from dataclasses import replace
from unittest.mock import Mock

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Settings
from enhance.formats.png_reader import PngReader
from enhance.images import read_image
from enhance.metadata import gain_map
from enhance.metadata.gain_map import find_attached
from enhance.metadata.jpeg_segments import segment
from enhance.metadata.xmp import LOST
from enhance.pipeline import RunOptions
from enhance.restore import result as results
from tests.conftest import psnr
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import (
    APPLE,
    APPLE_VALUES,
    HDRGM,
    ISO,
    MAP_XMP,
    attached_image,
    directory,
    gain_map_of,
    packet,
    ultra_hdr,
)
from tests.unit.image_files import FILES, encode, exif_block
from tests.unit.photos_with_metadata import photo_with_metadata, read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
SAME_SIZE = Settings("anime-fast", scale=1)
ISO_SEGMENT = segment(0xE2, ISO + bytes.fromhex("0000000140") + bytes(range(1, 57)))
"""A segment with parameters of one channel. The first four bytes are the versions."""
CLAIMS = re.compile(
    r"hdrgm|gain ?map|container|motion ?photo|micro ?video|MPF|MPImage|21496", re.IGNORECASE
)
"""The names of exiftool for properties of an attached file."""
TRACES = re.compile(rb"GainMap[:\"]|hdrgm:|MotionPhoto\W|MicroVideo\W|21496|MPF\0|Container:|Item:")
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(64)
MOTION = (
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
    b'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'
)


@pytest.fixture
def portrait():
    return np.ascontiguousarray(data.astronaut()[40:200, 140:300])


@pytest.fixture
def ultra(portrait, tmp_path):
    path = tmp_path / "ultra.jpg"
    path.write_bytes(ultra_hdr(portrait, exif=exif_block(1)))
    return path


@pytest.fixture
def run(enhancer, tmp_path):
    """A function that enhances the content of a photo to a file."""

    def running(content, settings=SAME_SIZE, name="out.jpg"):
        path = tmp_path / "photo"
        path.write_bytes(content)
        return enhancer.run(path, settings, output=tmp_path / name)

    return running


def second_image(result):
    return Image.open(attached_image(result.path))


def test_libultrahdr_shows_the_result_like_the_photo(run, span_weights, portrait):
    light = (portrait / 255) ** 2.2
    bright = np.dstack([light * (1 + 4 * light**2), np.ones(light.shape[:2])]).astype(np.float16)
    photo = imagecodecs.ultrahdr_encode(bright)
    result = run(photo, "precise")

    wanted = imagecodecs.ultrahdr_decode(photo).astype(np.float32)
    shown = imagecodecs.ultrahdr_decode(result.path.read_bytes()).astype(np.float32)
    shown = cv2.resize(shown, wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert wanted.max() > 4, "the map brightens the photo"
    assert psnr(wanted / wanted.max(), shown / wanted.max(), 1) > 37


def test_jpeg_has_the_enlarged_map_where_its_index_and_its_xmp_state(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, "anime-fast").save(tmp_path / "out.jpg")
    assert second_image(result).size == (320, 320)
    assert result.info["output"]["notes"] == []
    tags = read_by_exiftool(result.path, "-a")
    assert tags["XMP-GContainer:DirectoryItemSemantic"] == ["Primary", "GainMap"]
    assert tags["XMP-GContainer:DirectoryItemLength"] == tags["MPImage2:MPImageLength"]


def test_a_map_keeps_its_pixels_and_parameters_but_nothing_private(run, portrait):
    namespace, _, _ = HDRGM.partition(b" ")
    kept = [
        b"hdrgm:Version='1.0'",
        b'hdrgm:HDRCapacityMax="+2.5e0"',
        b"<hdrgm:GainMapMax>\n  <rdf:Seq>\n   <rdf:li>2.0</rdf:li>\n   <rdf:li>2.50</rdf:li>\n   "
        b"<rdf:li>3</rdf:li>\n  </rdf:Seq>\n </hdrgm:GainMapMax>",
        b"<hdrgm:BaseRenditionIsHDR>False</hdrgm:BaseRenditionIsHDR>",
    ]
    xmp = packet(b"\n".join([namespace, *kept[:2]]), b"\n".join(kept[2:]))
    values = gain_map_of(portrait)
    exif = photos_with_metadata.exif()
    gain_map = encode(Image.fromarray(values), "JPEG", xmp=xmp, exif=exif, quality=95)

    result = run(ultra_hdr(portrait, gain_map, exif=exif_block(1)))

    attached = attached_image(result.path).read_bytes()
    assert all(one in attached for one in kept)
    assert psnr(np.asarray(second_image(result)), values) > 35
    for private in (b"Hinterbruehl", b"lantern", b"16,22.4E", b"Lantern"):
        assert private not in attached, private


def test_metadata_of_iso_21496_is_unchanged(run, portrait):
    grey = Image.fromarray(gain_map_of(portrait)[..., 1])
    gain_map = encode(grey, "JPEG", extra=ISO_SEGMENT)
    path = run(ultra_hdr(portrait, gain_map, claims=False)).path

    photo, start, attached = path.read_bytes().rpartition(b"\xff\xd8")
    assert ISO_SEGMENT in start + attached
    assert segment(0xE2, ISO + b"\0\0\0\1") in photo, "the version"
    assert b"hdrgm" not in photo


def test_map_changes_no_pixel_of_the_png(enhancer, ultra):
    image = replace(read_image(ultra), gain_map=None)
    without = enhancer.run(ultra, SAME_SIZE, options=RunOptions(image=image))
    assert np.array_equal(enhancer.run(ultra, SAME_SIZE).array, without.array)


def test_large_maps_are_limited(run, ultra, monkeypatch):
    monkeypatch.setattr(results, "MAX_MAP_PIXELS", 40_000)
    assert second_image(run(ultra.read_bytes(), "anime-fast")).size == (200, 200)


def test_map_of_apple_is_rotated_and_converted_to_ultra_hdr(run, portrait):
    """Tag 33 of the maker notes is 1/2 and tag 48 -1/100: "Applying Apple HDR effect to your
    photos", developer.apple.com."""
    notes = b"Apple iOS\0\0\1MM" + struct.pack(
        ">HHHIIHHIII4i", 2, 33, 10, 1, 44, 48, 10, 1, 52, 0, 1, 2, -1, 100
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x927C] = notes
    gain_map = encode(Image.fromarray(APPLE_VALUES), "JPEG", xmp=packet(APPLE), quality=95)
    jpeg = ultra_hdr(portrait[:80], gain_map, claims=False, exif=exif.tobytes()[6:])
    for content in (photo_with_metadata("HEIF"), jpeg):
        result = run(content)
        found = read_by_exiftool(attached_image(result.path))
        assert found["XMP-hdrgm:GainMapMax"] == found["XMP-hdrgm:HDRCapacityMax"] == 2
        shown = np.asarray(second_image(result)) / 255
        assert shown.shape == (80, 40)
        # Apple multiplies light by 1 + 3 * 0.254 where its map is 126, which is 0.409 * 2 stops.
        assert shown[[30, 30, 70], [39, 18, 18]] == pytest.approx([0, 0.409, 1], abs=0.02)
        assert "gain_map_left" not in result.info["output"]["notes"]


def test_maps_that_cannot_be_used_are_left_out_with_a_note(photo, tmp_path):
    grey = Image.fromarray(gain_map_of(photo)[..., 1])
    good = encode(grey, "JPEG", xmp=MAP_XMP)
    frame = good.index(b"\xff\xc0")
    maps = {
        "60,000 px": good[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + good[frame + 9 :],
        "larger than the photo": encode(grey.resize((400, 20)), "JPEG", xmp=MAP_XMP),
        "cut off": good[: len(good) // 2],
        "apple without headroom": encode(grey, "JPEG", xmp=packet(APPLE)),
    }
    photos = {
        **{name: ultra_hdr(photo, one) for name, one in maps.items()},
        "start beyond the end": ultra_hdr(photo, claims=False, start=1 << 31),
        "length beyond the end": ultra_hdr(photo, length=0xFFFFFFFF),
        "heic that is not turned": (FILES / "unturned.heif").read_bytes(),
    }
    path = tmp_path / "photo"
    for name, content in photos.items():
        path.write_bytes(content)
        image = read_image(path)
        assert image.gain_map is None, name
        assert image.metadata.notes == ("gain_map_left",), name
        assert b"hdrgm:Version" not in (image.metadata.xmp or b""), name


@pytest.mark.parametrize(("megabytes", "count"), [(63, 1), (65, 0)])
def test_attached_images_are_limited_in_bytes(photo, megabytes, count):
    image = Image.open(io.BytesIO(ultra_hdr(photo, length=megabytes << 20)))
    assert len([*find_attached(image.info)]) == count


def test_a_limited_number_of_auxiliary_images_is_read(monkeypatch):
    read = Mock(return_value=Image.new("L", (8, 8)))
    monkeypatch.setattr(gain_map, "_open_auxiliary", read)
    photo = Mock(info={"aux": {gain_map.AUXILIARY_TYPE: list(range(1000))}})
    with (FILES / "photo.bmp").open("rb") as file:
        assert gain_map.find_map(photo, file, None) is None
    assert read.call_count == 4


def find_references(path):
    """Return the tags that refer to an attached file."""
    return [name for name in read_by_exiftool(path, "-a", "-u") if CLAIMS.search(name)]


PHOTO = data.astronaut()[:60, :80]
IMAGE = Image.fromarray(PHOTO)
MOTION_PHOTO = packet(MOTION, directory(b"MotionPhoto", b"video/mp4", len(VIDEO)))


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (ultra_hdr(PHOTO), ["gain_map_left"]),
        ((FILES / "extended.jpeg").read_bytes(), ["gain_map_left", "xmp_extension_left"]),
        (encode(IMAGE, "JPEG", xmp=MOTION_PHOTO) + VIDEO, ["video_left"]),
        (encode(IMAGE, "HEIF", xmp=packet(APPLE)), ["gain_map_left"]),
    ],
    ids=["ultra", "extended", "motion", "heic"],
)
def test_no_result_refers_to_an_attached_file_that_it_lacks(tmp_path, run, content, notes):
    result = run(content, name="result.png")
    assert find_references(tmp_path / "photo"), "the photo refers to a gain map or a video"
    with PngReader(result.path) as png:
        stored_map = png.gain_map or b"no map"

    for ending in ("png", "webp", "avif", "tif"):
        path = result.save(tmp_path / f"exported.{ending}").path
        assert find_references(path) == [], ending
        # The chunk with the map for later exports is no part of the image.
        assert TRACES.search(path.read_bytes().replace(stored_map, b"")) is None, ending
        assert read_image(path).metadata.notes == (), "the result refers to neither"
    assert [note for note in result.info["output"]["notes"] if note in LOST] == notes
