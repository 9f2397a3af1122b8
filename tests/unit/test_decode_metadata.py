"""Colour profiles and EXIF blocks of decoded images."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from enhance.images import inspect, read_image
from enhance.images.containers import make_chunk
from enhance.images.metadata import Metadata
from tests.unit.image_files import cmyk_profile, encode, exif_block, png, rgb_profile

RGB = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)


def upright_block(block: bytes | None) -> bytes | None:
    return Metadata(block).upright().exif


def write_file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_profile_is_kept_byte_for_byte(tmp_path: Path, kind: str):
    path = write_file(tmp_path, encode(Image.fromarray(RGB), kind, icc_profile=rgb_profile()))
    assert read_image(path).icc == rgb_profile()
    assert inspect(path).profile == "sRGB built-in"


@pytest.mark.parametrize("profile", [b"", b"nonsense", b"nonsense" * 100, rgb_profile()[:300], cmyk_profile()])
def test_unusable_profile_is_left_out(tmp_path: Path, profile: bytes):
    chunk = make_chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    image = read_image(write_file(tmp_path, png(RGB, 2, before_pixels=chunk)))
    assert image.icc is None
    assert np.array_equal(image.rgb, RGB)


@pytest.mark.parametrize("content", [b"", b"name", b"name\0\1" + zlib.compress(b"x"), b"name\0\0not deflate"])
def test_damaged_profile_chunk_is_left_out_and_logged(tmp_path: Path, caplog, content: bytes):
    path = write_file(tmp_path, png(RGB, 2, before_pixels=make_chunk(b"iCCP", content)))
    with caplog.at_level(logging.INFO, "enhance"):
        assert read_image(path).icc is None
    assert "profile is damaged" in caplog.text
    assert inspect(path).profile is None


def test_a_profile_bomb_is_left_out(tmp_path: Path):
    bomb = zlib.compress(bytes(100_000_000))
    path = write_file(tmp_path, png(RGB, 2, before_pixels=make_chunk(b"iCCP", b"x\0\0" + bomb)))
    assert read_image(path).icc is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_orientation_and_thumbnail_change_in_the_block(order: str):
    with_thumbnail = exif_block(8, thumbnail=b"\xff\xd8 a small image \xff\xd9", order=order)
    upright = upright_block(with_thumbnail)
    assert upright is not None
    assert b"small image" not in upright
    exif = Image.Exif()
    exif.load(upright)
    assert (exif[0x0112], exif[0x010F]) == (1, "Lantern")
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {}
    assert upright_block(exif_block(3, order=order)) == exif_block(1, order=order)


def test_tiff_tags_become_exif(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "A. Painter"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    image = read_image(write_file(tmp_path, encode(Image.fromarray(RGB), "TIFF", exif=exif.tobytes())))
    kept = Image.Exif()
    kept.load(image.metadata.exif or b"")
    assert (kept[0x013B], kept[0x0112]) == ("A. Painter", 1)
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
    assert 0x0111 not in kept  # where the strips of the TIFF were
    assert image.rgb.shape == (6, 5, 3)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_a_file_with_several_images_says_that_the_first_is_used(tmp_path: Path, kind: str):
    first, second = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    for frames in ([], [second]):
        path = tmp_path / f"frames-{len(frames)}"
        path.write_bytes(encode(first, kind, save_all=True, append_images=frames))
        image = read_image(path)
        assert image.metadata.notes == (("first_frame",) if frames else ())
        assert inspect(path).frames == 1 + len(frames)
        assert image.rgb[0, 0].argmax() == 0
