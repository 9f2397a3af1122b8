"""HDR gain maps: a JPEG result has the enlarged map of the photo, with the metadata that applies it."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.MpoImagePlugin import MpoImageFile
from skimage import data

from enhance import Settings
from enhance.images import read_image
from enhance.images.gain_map import find_attached
from enhance.output import gain_map as result_maps
from tests.conftest import psnr
from tests.unit.gain_map_files import (
    APPLE,
    CHANNEL_VALUES,
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
    segment,
    show_hdr,
    ultra_hdr,
)
from tests.unit.image_files import encode, exif_block
from tests.unit.photos_with_metadata import read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
ISO_VALUES = struct.pack(">HHB12I", 0, 1, 0x40, 0, 1, 5, 2, 0, 1, 5, 2, 1, 1, 1, 64) + struct.pack(">2I", 1, 64)
"""Version 0 written by 1, one channel: headrooms 0 and 2.5, gain 0 to 2.5, gamma 1, offsets 1/64."""


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
    return Image.open(io.BytesIO(attached_image(path)))


def test_jpeg_has_the_enlarged_map_where_its_index_and_its_xmp_state(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, "anime-fast").save(tmp_path / "out.jpg")

    tags = read_by_exiftool(result.path, "-a")
    length = tags["MPImage2:MPImageLength"]
    assert tags["MPF0:NumberOfImages"] == 2
    assert tags["MPImage1:MPImageLength"] == tags["MPImage2:MPImageStart"] == result.path.stat().st_size - length
    assert tags["XMP-GContainer:DirectoryItemSemantic"] == ["Primary", "GainMap"]
    assert tags["XMP-GContainer:DirectoryItemLength"] == length
    assert str(tags["XMP-hdrgm:Version"]) in ("1", "1.0")
    assert second_image(result.path).size == (320, 320)
    assert second_image(result.path).mode == "L"
    assert result.info["output"]["notes"] == []
    with MpoImageFile(result.path) as both:
        assert getattr(both, "n_frames", 1) == 2
        sizes = []
        for frame in range(2):
            both.seek(frame)
            both.load()
            sizes.append(both.size)
    assert sizes == [(640, 640), (320, 320)]


def test_values_of_the_map_are_unchanged(enhancer, ultra, tmp_path):
    result = enhancer.run(ultra, "anime-fast", output=tmp_path / "out.jpg")
    assert map_values(second_image(result.path).info["xmp"]) == {
        "Version": [1.0],
        **{name: [float(value)] for name, value in VALUES.items()},
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_hdr_rendition_agrees_with_that_of_the_photo(enhancer, span_weights, portrait, tmp_path, channels):
    path, values = tmp_path / "photo.jpg", gain_map_of(portrait)
    rest = {name: value for name, value in VALUES.items() if name not in CHANNEL_VALUES}
    one, several = (values[..., 1], map_packet(VALUES)), (values, map_packet(rest, CHANNEL_VALUES))
    path.write_bytes(with_map(portrait, *(one if channels == 1 else several), exif=exif_block(1)))
    result = enhancer.run(path, "precise", output=tmp_path / "out.jpg")

    wanted, shown = show_hdr(path), show_hdr(result.path)
    shown = cv2.resize(shown, wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    peak = wanted.max()
    assert peak > 4, "the map brightens the photo"
    assert psnr(wanted / peak, shown / peak, 1) > 40
    with Image.open(result.path) as sdr:
        flat = cv2.resize(in_light(np.asarray(sdr)), wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert psnr(wanted / peak, flat / peak, 1) < 25, "without the map, the highlights are missing"


def test_libultrahdr_shows_the_result_like_its_own_photo(enhancer, span_weights, portrait, tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    light = in_light(portrait)
    bright = np.dstack([light * (1 + 4 * light**2), np.ones(light.shape[:2])]).astype(np.float16)
    path = tmp_path / "photo.jpg"
    path.write_bytes(imagecodecs.ultrahdr_encode(bright))
    result = enhancer.run(path, "precise", output=tmp_path / "out.jpg")

    wanted, shown = (
        imagecodecs.ultrahdr_decode(one.read_bytes())[..., :3].astype(np.float32) for one in (path, result.path)
    )
    shown = cv2.resize(shown, wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert wanted.max() > 4
    assert psnr(wanted / wanted.max(), shown / wanted.max(), 1) > 40


@pytest.mark.parametrize("xmp", [b"", map_packet(VALUES)], ids=["iso", "both"])
def test_metadata_of_iso_21496_is_unchanged(enhancer, portrait, tmp_path, xmp):
    grey = Image.fromarray(gain_map_of(portrait)[..., 1])
    gain_map = encode(grey, "JPEG", extra=segment(ISO + ISO_VALUES), **({"xmp": xmp} if xmp else {}))
    (tmp_path / "iso.jpg").write_bytes(ultra_hdr(portrait, gain_map, claims=bool(xmp)))
    result = enhancer.run(tmp_path / "iso.jpg", "anime-fast", output=tmp_path / "out.jpg")

    attached, whole = attached_image(result.path), result.path.read_bytes()
    assert segment(ISO + ISO_VALUES) in attached
    assert segment(ISO + ISO_VALUES[:4]) in whole[: -len(attached)]
    assert (b"hdrgm" in whole) is bool(xmp)


def test_map_is_rotated_with_the_photo(enhancer, portrait, tmp_path):
    values = np.zeros((40, 80), np.uint8)
    values[:, 60:] = 255
    for orientation, bright in ((1, np.s_[:, -20:]), (3, np.s_[:, :20]), (6, np.s_[-20:])):
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(with_map(portrait[:80], values, map_packet(VALUES), exif=exif_block(orientation)))
        result = enhancer.run(path, Settings("anime-fast", scale=1), output=tmp_path / f"out{orientation}.jpg")
        shown = np.asarray(second_image(result.path))
        assert shown.shape == ((80, 40) if orientation == 6 else (40, 80))
        assert shown[bright].mean() > 240
        assert shown.mean() < 80


def test_stored_result_keeps_the_map(enhancer, ultra, tmp_path):
    stored = enhancer.run(ultra, "anime-fast")
    again = enhancer.run(ultra, "anime-fast")
    assert again.info["cached"]
    for number, metadata in enumerate(("keep", "no-location", "none")):
        saved = again.save(tmp_path / f"{number}.jpg", metadata=metadata)
        assert second_image(saved.path).size == (320, 320)
        assert "gain_map_left" not in saved.info["output"]["notes"]
    assert stored.info["output"]["notes"] == ["gain_map_left"], "a PNG shows no HDR"


def test_map_changes_no_pixel_of_the_png(enhancer, ultra):
    with_it = enhancer.run(ultra, "anime-fast")
    without = enhancer.run(ultra, "anime-fast", image=replace(read_image(ultra), gain_map=None))
    assert np.array_equal(with_it.array, without.array)


def test_large_maps_are_limited(enhancer, ultra, tmp_path, monkeypatch):
    monkeypatch.setattr(result_maps, "MAX_PIXELS", 40_000)
    result = enhancer.run(ultra, "anime-fast", output=tmp_path / "out.jpg")
    assert second_image(result.path).size == (200, 200)


@pytest.mark.parametrize("stated", [b' HDRGainMap:HDRGainMapHeadroom="4"', b""], ids=["xmp", "maker-notes"])
@pytest.mark.parametrize("kind", ["jpeg", "heic"])
def test_map_of_apple_is_converted_to_ultra_hdr(enhancer, portrait, tmp_path, kind, stated):
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 2)
    note += struct.pack(">HHIIHHIII", 33, 10, 1, 44, 48, 10, 1, 52, 0) + struct.pack(">4i", 1, 2, -1, 100)
    values = np.tile(np.arange(80, dtype=np.uint8)[:, None] * 3, (1, 80))
    xmp, exif = packet(APPLE + stated), with_note(note)
    (tmp_path / "apple").write_bytes(
        with_map(portrait, values, xmp, claims=False, exif=exif)
        if kind == "jpeg"
        else apple_heic(portrait, values, exif, xmp)
    )
    result = enhancer.run(tmp_path / "apple", Settings("anime-fast", scale=1), output=tmp_path / "out.jpg")

    headroom = 4.0 if stated else 2.0 ** (-20 * -0.01 + 1.8)
    attached = second_image(result.path)
    found, shown = map_values(attached.info["xmp"]), np.asarray(attached).astype(np.float32) / 255
    assert found["GainMapMax"] == found["HDRCapacityMax"] == pytest.approx([np.log2(headroom)], abs=1e-5)
    levels = values / 255
    light = np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))
    gain = 1 + (headroom - 1) * light  # "Applying Apple HDR effect to your photos", developer.apple.com
    assert np.abs(np.log2(headroom) * shown - np.log2(gain)).mean() < 0.02
    assert result.info["output"]["notes"] == []


def test_map_of_heic_is_rotated_with_the_photo(portrait, tmp_path):
    values = np.zeros((40, 80), np.uint8)
    values[:, 60:] = 255
    xmp = packet(APPLE + b' HDRGainMap:HDRGainMapHeadroom="4"')
    (tmp_path / "photo.heic").write_bytes(apple_heic(portrait[:80], values, exif_block(6), xmp))
    image = read_image(tmp_path / "photo.heic")
    assert image.rgb.shape == (160, 80, 3)
    assert image.gain_map is not None
    assert image.gain_map.pixels.shape == (80, 40, 1)
    assert image.gain_map.pixels[-20:].mean() > 240
    assert image.gain_map.pixels.mean() < 80


def with_note(note: bytes) -> bytes:
    """Return an EXIF block with these maker notes."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = note
    return exif.tobytes()[6:]


def damaged(photo: np.ndarray) -> dict[str, bytes]:
    """Return photos whose gain map cannot be used."""
    grey = gain_map_of(photo)[..., 1]
    xmp = map_packet(VALUES)
    good = encode(Image.fromarray(grey), "JPEG", xmp=xmp)
    frame = good.index(b"\xff\xc0")
    huge = good[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + good[frame + 9 :]
    scans = good[:-2] + good[good.index(b"\xff\xda") : -2] * 200 + b"\xff\xd9"
    nested, wide = ultra_hdr(photo), encode(Image.fromarray(photo).resize((400, 20)), "JPEG", xmp=xmp)
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
        "values that are no numbers": ultra_hdr(
            photo, encode(Image.fromarray(grey), "JPEG", xmp=map_packet({**VALUES, "GainMapMax": "<x>"}))
        ),
        "apple without headroom": ultra_hdr(photo, encode(Image.fromarray(grey), "JPEG", xmp=packet(APPLE))),
        "heic without headroom": apple_heic(photo, grey, exif_block(1)),
        "heic with a map that is not turned": apple_heic(
            photo[:80], grey[:40], exif_block(6), packet(APPLE + b' HDRGainMap:HDRGainMapHeadroom="4"'), turn_map=False
        ),
    }


def test_attached_images_are_limited_in_bytes():
    for megabytes, count in ((10, 1), (63, 1), (65, 0)):
        xmp = directory((b"GainMap", b"image/jpeg", megabytes << 20))
        assert len([*find_attached({}, xmp, 1 << 30)]) == count


def test_maps_that_cannot_be_used_are_removed_with_a_note(enhancer, photo, tmp_path):
    for name, content in damaged(photo).items():
        (tmp_path / "photo.jpg").write_bytes(content)
        image = read_image(tmp_path / "photo.jpg")
        assert image.gain_map is None, name
        assert image.metadata.notes == ("gain_map_left",), name
        result = enhancer.run(tmp_path / "photo.jpg", Settings("anime-fast", scale=1)).save(tmp_path / "out.jpg")
        assert result.info["output"]["notes"] == ["gain_map_left"], name
        assert b"hdrgm:Version" not in result.path.read_bytes(), name
        assert b"MPF\0" not in result.path.read_bytes(), name
