"""HDR gain maps and videos of photos: JPEG results keep the enlarged map, others have a note and no
reference to it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Result, Settings
from enhance.errors import PictureError
from enhance.formats.encoding import Encoding
from enhance.formats.png import GAIN_MAP_CHUNK
from enhance.formats.png_reader import PngReader
from enhance.images import read_image
from enhance.metadata.gain_map import find_attached
from enhance.metadata.jpeg_segments import segment
from enhance.metadata.png_chunks import make_chunk
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
    VALUES,
    attached_image,
    directory,
    gain_map_of,
    map_packet,
    map_values,
    packet,
    ultra_hdr,
)
from tests.unit.image_files import FILES, encode, exif_block, exported
from tests.unit.photos_with_metadata import photo_with_metadata, read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
ISO_VALUES = struct.pack(">HHB12I", 0, 1, 0x40, 0, 1, 5, 2, 0, 1, 5, 2, 1, 1, 1, 64) + struct.pack(
    ">2I", 1, 64
)
"""Minimum version 0, writer version 1, one channel: headrooms 0 and 2.5, gain 0 to 2.5, gamma 1,
offsets 1/64."""
SAME_SIZE = Settings("anime-fast", scale=1)
HEADROOM = b' HDRGainMap:HDRGainMapHeadroom="4"'
CLAIMS = re.compile(
    r"hdrgm|gain ?map|container|motion ?photo|micro ?video|MPF|MPImage|21496", re.IGNORECASE
)
"""The names of exiftool for properties of an attached file."""
TRACES = re.compile(rb"GainMap[:\"]|hdrgm:|MotionPhoto\W|MicroVideo\W|21496|MPF\0|Container:|Item:")
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(64)
CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:'
MOTION = (
    CAMERA + b'MotionPhoto="1" GCamera:MotionPhotoVersion="1" '
    b'GCamera:MotionPhotoPresentationTimestampUs="968644"'
)
MICRO = CAMERA + b'MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="76"'


@pytest.fixture
def portrait() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[40:200, 140:300])


@pytest.fixture
def ultra(portrait, tmp_path) -> Path:
    path = tmp_path / "ultra.jpg"
    path.write_bytes(ultra_hdr(portrait, exif=exif_block(1), quality=95))
    return path


@pytest.fixture
def run(enhancer, tmp_path) -> Callable[..., Result]:
    """A function that enhances the content of a photo to a file."""

    def running(
        content: bytes, settings: Settings | str = SAME_SIZE, name: str = "out.jpg"
    ) -> Result:
        path = tmp_path / "photo"
        path.write_bytes(content)
        return enhancer.run(path, settings, output=tmp_path / name)

    return running


def with_map(photo: np.ndarray, values: np.ndarray, xmp: bytes, **options) -> bytes:
    return ultra_hdr(
        photo, encode(Image.fromarray(values), "JPEG", xmp=xmp, quality=95), quality=95, **options
    )


def second_image(path: Path) -> Image.Image:
    return Image.open(attached_image(path))


def test_jpeg_has_the_enlarged_map_where_its_index_and_its_xmp_state(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, "anime-fast").save(tmp_path / "out.jpg")

    tags = read_by_exiftool(result.path, "-a")
    length = tags["MPImage2:MPImageLength"]
    assert tags["MPF0:NumberOfImages"] == 2
    assert (
        tags["MPImage1:MPImageLength"]
        == tags["MPImage2:MPImageStart"]
        == result.path.stat().st_size - length
    )
    assert tags["XMP-GContainer:DirectoryItemSemantic"] == ["Primary", "GainMap"]
    assert tags["XMP-GContainer:DirectoryItemLength"] == length
    assert str(tags["XMP-hdrgm:Version"]) in ("1", "1.0")
    assert (second_image(result.path).size, second_image(result.path).mode) == ((320, 320), "L")
    assert result.info["output"]["notes"] == []


def test_libultrahdr_shows_the_result_like_the_photo(run, span_weights, portrait):
    light = (portrait / 255) ** 2.2
    bright = np.dstack([light * (1 + 4 * light**2), np.ones(light.shape[:2])]).astype(np.float16)
    photo = imagecodecs.ultrahdr_encode(bright)
    result = run(photo, "precise").path.read_bytes()

    wanted, shown = (
        imagecodecs.ultrahdr_decode(one)[..., :3].astype(np.float32) for one in (photo, result)
    )
    shown = cv2.resize(shown, wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert wanted.max() > 4, "the map brightens the photo"
    assert psnr(wanted / wanted.max(), shown / wanted.max(), 1) > 37


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_keeps_its_pixels_and_parameters_but_nothing_private(
    run, portrait, tmp_path, channels, metadata
):
    namespace, _, _ = HDRGM.partition(b" ")
    kept = [b"hdrgm:Version='1.0'", b'hdrgm:GainMapMin = "-0.50"', b'hdrgm:HDRCapacityMax="+2.5e0"']
    kept += [
        b"<hdrgm:GainMapMax>\n  <rdf:Seq>\n   <rdf:li>2.0</rdf:li>\n   <rdf:li>2.50</rdf:li>\n   "
        b"<rdf:li>3</rdf:li>"
        b"\n  </rdf:Seq>\n </hdrgm:GainMapMax>",
        b"<hdrgm:BaseRenditionIsHDR>False</hdrgm:BaseRenditionIsHDR>",
    ]
    xmp = packet(b"\n".join([namespace, *kept[:3]]), b"\n".join(kept[3:]))
    values, exif = gain_map_of(portrait)[..., :channels].squeeze(), photos_with_metadata.exif()
    gain_map = encode(Image.fromarray(values), "JPEG", xmp=xmp, exif=exif, quality=95)
    result = run(ultra_hdr(portrait, gain_map, exif=exif_block(1)), name="out.png")
    path = result.save(tmp_path / "out.jpg", metadata=metadata).path

    attached = attached_image(path).read_bytes()
    assert [one for one in kept if one not in attached] == []
    assert map_values(path)["GainMapMax"] == [2, 2.5, 3]
    assert psnr(np.asarray(second_image(path)), values) > 35
    for private in (photos_with_metadata.PLACE, "lantern", "16,22.4E", "Lantern"):
        assert private.encode() not in attached, private


@pytest.mark.parametrize("xmp", [{}, {"xmp": map_packet(VALUES)}], ids=["iso", "both"])
def test_metadata_of_iso_21496_is_unchanged(run, portrait, xmp):
    grey = Image.fromarray(gain_map_of(portrait)[..., 1])
    gain_map = encode(grey, "JPEG", extra=segment(0xE2, ISO + ISO_VALUES), **xmp)
    result = run(ultra_hdr(portrait, gain_map, claims=bool(xmp)))

    attached, whole = attached_image(result.path).read_bytes(), result.path.read_bytes()
    assert segment(0xE2, ISO + ISO_VALUES) in attached
    assert segment(0xE2, ISO + ISO_VALUES[:4]) in whole[: -len(attached)]
    assert (b"hdrgm" in whole) is bool(xmp)


@pytest.mark.parametrize(
    ("orientation", "bright"), [(1, np.s_[:, -20:]), (3, np.s_[:, :20]), (6, np.s_[-20:])]
)
def test_map_is_rotated_with_the_photo(run, portrait, orientation, bright):
    values = np.zeros((40, 80), np.uint8)
    values[:, 60:] = 255
    photo = with_map(portrait[:80], values, map_packet(VALUES), exif=exif_block(orientation))
    shown = np.asarray(second_image(run(photo).path))

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
    assert second_image(task.save(tmp_path / "saved.jpg").path).size == (320, 320)
    for form, notes in (("webp", ["gain_map_left"]), ("jpeg", [])):
        assert enhancer.export(task, Encoding(form)).info["output"]["notes"] == notes


def test_the_chunk_of_an_earlier_version_is_ignored_with_a_note(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, SAME_SIZE, output=tmp_path / "out.png")
    with PngReader(result.path) as png_result:
        chunk = make_chunk(GAIN_MAP_CHUNK, png_result.gain_map or b"")
    earlier = make_chunk(b"enHG", b'{"size": [4, 4], "shape": [4, 4, 1]}')
    result.path.write_bytes(result.path.read_bytes().replace(chunk, earlier))
    again = enhancer.run(ultra, SAME_SIZE, output=tmp_path / "out.png")
    assert again.info["cached"]
    saved = again.save(tmp_path / "out.jpg")
    assert saved.info["output"]["notes"] == ["gain_map_left"]
    assert TRACES.search(saved.path.read_bytes()) is None


def test_damaged_map_in_a_png_is_an_error_with_a_message(run, ultra):
    path = run(ultra.read_bytes(), name="out.png").path
    content = bytearray(path.read_bytes())
    content[content.index(GAIN_MAP_CHUNK) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(PictureError) as error:
        exported(path, "jpg")
    assert error.value.key == "png_damaged"


def test_map_changes_no_pixel_of_the_png(enhancer, ultra):
    with_it = enhancer.run(ultra, "anime-fast")
    image = replace(read_image(ultra), gain_map=None)
    without = enhancer.run(ultra, "anime-fast", options=RunOptions(image=image))
    assert np.array_equal(with_it.array, without.array)


def test_large_maps_are_limited(run, ultra, monkeypatch):
    monkeypatch.setattr(results, "MAX_PIXELS", 40_000)
    assert second_image(run(ultra.read_bytes(), "anime-fast").path).size == (200, 200)


@pytest.mark.parametrize("kind", ["heic", "jpeg", "jpeg with maker notes"])
def test_map_of_apple_is_converted_to_ultra_hdr(run, portrait, kind):
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 2)
    note += struct.pack(">HHIIHHIII", 33, 10, 1, 44, 48, 10, 1, 52, 0) + struct.pack(
        ">4i", 1, 2, -1, 100
    )
    block, headroom = Image.Exif(), 4.0
    block[0x0112], xmp = 6, packet(APPLE + HEADROOM)
    if kind == "jpeg with maker notes":
        block.get_ifd(0x8769)[0x927C] = note
        headroom, xmp = 2.0 ** (-20 * -0.01 + 1.8), packet(APPLE)
    jpeg = with_map(portrait[:80], APPLE_VALUES, xmp, claims=False, exif=block.tobytes()[6:])
    result = run(photo_with_metadata("HEIF") if kind == "heic" else jpeg)

    found, shown = map_values(result.path), np.asarray(second_image(result.path)) / 255
    assert (
        found["GainMapMax"] == found["HDRCapacityMax"] == pytest.approx(np.log2(headroom), abs=1e-5)
    )
    levels = np.rot90(APPLE_VALUES, -1) / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    gain = (
        1 + (headroom - 1) * light
    )  # "Applying Apple HDR effect to your photos", developer.apple.com
    assert np.abs(np.log2(headroom) * shown - np.log2(gain)).mean() < 0.02
    assert "gain_map_left" not in result.info["output"]["notes"]


def damaged(photo: np.ndarray) -> dict[str, bytes]:
    """Return photos whose gain map cannot be used."""
    grey, xmp = Image.fromarray(gain_map_of(photo)[..., 1]), map_packet(VALUES)
    good = encode(grey, "JPEG", xmp=xmp)
    frame, scan = good.index(b"\xff\xc0"), good.index(b"\xff\xda")
    maps = {
        "60,000 px": good[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + good[frame + 9 :],
        "larger than the photo": encode(Image.fromarray(photo).resize((400, 20)), "JPEG", xmp=xmp),
        "cut off": good[: len(good) // 2],
        "without pixels": good[:scan],
        "in many scans": good[:-2] + good[scan:-2] * 200 + b"\xff\xd9",
        "a photo": ultra_hdr(photo),
        "no JPEG": b"\x89PNG\r\n\x1a\n" + bytes(500),
        "no values": encode(grey, "JPEG"),
        "values that are no numbers": encode(
            grey, "JPEG", xmp=map_packet({**VALUES, "GainMapMax": "<x>"})
        ),
        "apple without headroom": encode(grey, "JPEG", xmp=packet(APPLE)),
    }
    return {
        **{name: ultra_hdr(photo, one) for name, one in maps.items()},
        "start beyond the end": ultra_hdr(photo, claims=False, start=1 << 31),
        "start in the photo": ultra_hdr(photo, claims=False, start=10),
        **{f"length {length}": ultra_hdr(photo, length=length) for length in (0, 20, 0xFFFFFFFF)},
        "heic without headroom": photo_with_metadata("HEIF").replace(
            b"GainMapHeadroom", b"GainMapNothing_"
        ),
        "heic that is not turned": (FILES / "unturned.heif").read_bytes(),
    }


def test_maps_that_cannot_be_used_are_left_out_with_a_note(run, photo, tmp_path):
    for name, content in damaged(photo).items():
        (tmp_path / "photo").write_bytes(content)
        image = read_image(tmp_path / "photo")
        assert image.gain_map is None, name
        assert image.metadata.notes == ("gain_map_left",), name
        assert b"hdrgm:Version" not in (image.metadata.xmp or b""), name


def test_attached_images_are_limited_in_bytes():
    for megabytes, count in ((63, 1), (65, 0)):
        xmp = directory(b"GainMap", b"image/jpeg", megabytes << 20)
        assert len([*find_attached({}, xmp, 1 << 30)]) == count


def find_references(path: Path) -> set[str]:
    """Return the tags that refer to an attached file."""
    return {name for name in read_by_exiftool(path, "-a", "-u") if CLAIMS.search(name)}


def photos(photo: np.ndarray) -> dict[str, tuple[bytes, list[str]]]:
    """Return photos with an attached file, and the notes on each."""
    image, video = Image.fromarray(photo), directory(b"MotionPhoto", b"video/mp4", len(VIDEO))
    return {
        "ultra": (ultra_hdr(photo), ["gain_map_left"]),
        "extended": (
            (FILES / "extended.jpeg").read_bytes(),
            ["gain_map_left", "xmp_extension_left"],
        ),
        "iso": (ultra_hdr(photo, claims=False), ["gain_map_left"]),
        "motion": (encode(image, "JPEG", xmp=packet(MOTION, video)) + VIDEO, ["video_left"]),
        "micro": (encode(image, "JPEG", xmp=packet(MICRO)) + VIDEO, ["video_left"]),
        "heic": (encode(image.resize((64, 48)), "HEIF", xmp=packet(APPLE)), ["gain_map_left"]),
    }


@pytest.mark.parametrize("name", ["ultra", "extended", "iso", "motion", "micro", "heic"])
def test_no_result_refers_to_an_attached_file_that_it_lacks(photo, tmp_path, run, name):
    content, notes = photos(photo)[name]
    result = run(content, name="result.png")
    assert find_references(tmp_path / "photo"), "the photo refers to a gain map or a video"

    keeps_map = name in ("ultra", "extended", "iso")
    for ending in {"png", "jpg", "webp", "avif", "tif"} - ({"jpg"} if keeps_map else set()):
        exported = result.save(tmp_path / f"exported.{ending}")
        assert find_references(exported.path) == set(), ending
        content = exported.path.read_bytes()
        if (
            ending == "png" and keeps_map
        ):  # The chunk with the map for later exports is no part of the image.
            with PngReader(exported.path) as png_result:
                content = content.replace(png_result.gain_map or b"", b"")
        assert TRACES.search(content) is None, ending
        assert [note for note in exported.info["output"]["notes"] if note in LOST] == notes
        assert read_image(exported.path).metadata.notes == (), "the result refers to neither"


def test_extended_xmp_is_removed_with_its_reference():
    metadata = read_image(FILES / "extended.jpeg").metadata
    assert b"A &lt;lantern&gt;" in (metadata.xmp or b"")
    assert b'HasExtendedXMP=""' in (metadata.xmp or b"")
