"""JPEG XL: results that other programs read, and input files of other programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Encoding
from enhance.errors import PictureError
from enhance.images import Metadata, inspect, read_image
from enhance.output.formats import export, notes_of
from enhance.output.png import PngFormat, create_png
from enhance.output.provenance import Origin, origin_of
from tests.conftest import psnr
from tests.unit import photos_with_metadata
from tests.unit.image_files import grey_profile, rgb_profile

pytest.importorskip("pyjpegxl")
PHOTO = data.astronaut()[100:180, 180:290]
ORIGIN = Origin("a" * 64, "b" * 64)
WIDE = rgb_profile().replace(b"sRGB", b"wide").replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
"""A profile that does not call itself sRGB."""


def finished(folder: Path, values: np.ndarray, icc: bytes | None = None, metadata: Metadata | None = None) -> Path:
    """Write a finished PNG of these pixels [H, W, C]."""
    height, width, channels = values.shape
    form = PngFormat(width, height, channels, values.dtype.itemsize * 8, icc, metadata or Metadata())
    with create_png(folder / "finished.png", form) as png:
        png.write(values)
        png.mark = ORIGIN.mark()
    return folder / "finished.png"


def export_jxl(png: Path, quality: int) -> Path:
    export(png, png.with_suffix(".jxl"), Encoding("jxl", quality))
    return png.with_suffix(".jxl")


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of libjxl."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    subprocess.run([program, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_at_100_djxl_reads_the_same_pixels_and_profile(tmp_path, channels, dtype):
    values = np.random.default_rng(3).integers(1, np.iinfo(dtype).max, (37, 50, channels), dtype, endpoint=True)
    icc = WIDE if channels > 2 else grey_profile()

    path = export_jxl(finished(tmp_path, values, icc), 100)

    run("djxl", path, tmp_path / "read.png")
    image = read_image(tmp_path / "read.png")
    read = image.rgb if image.alpha is None else np.dstack([image.rgb, image.alpha])
    assert np.array_equal(read if channels > 2 else read[..., [0, 3][:channels]], values)
    assert image.icc == icc
    own = read_image(path)
    assert np.array_equal(own.rgb, image.rgb)
    assert own.icc == icc
    assert own.grey == (channels < 3)
    assert origin_of(path).signature == ORIGIN.signature


def test_a_higher_quality_is_closer_and_larger(tmp_path):
    png = finished(tmp_path, PHOTO)
    results = []
    for quality in (20, 75, 95):
        path = export_jxl(png, quality)
        results.append((psnr(read_image(path).rgb, PHOTO), path.stat().st_size))
    assert results == sorted(results)
    assert results[0][0] + 6 < results[2][0]


def test_a_profile_other_than_srgb_makes_it_lossless_with_a_note(tmp_path):
    for icc, is_lossless in ((None, False), (rgb_profile(), False), (WIDE, True)):
        png = finished(tmp_path, PHOTO, icc)
        assert np.array_equal(read_image(export_jxl(png, 80)).rgb, PHOTO) == is_lossless
        assert notes_of(png, Encoding("jxl", 80)) == (["lossless_profile"] if is_lossless else [])


@pytest.mark.parametrize("quality", [85, 100])
def test_a_file_of_cjxl_is_read_upright_with_its_metadata(tmp_path, quality):
    (tmp_path / "photo.png").write_bytes(photos_with_metadata.photo_with_metadata("PNG"))
    run("cjxl", tmp_path / "photo.png", tmp_path / "photo.jxl", "-q", str(quality))
    image, facts = read_image(tmp_path / "photo.jxl"), inspect(tmp_path / "photo.jxl")
    original = read_image(tmp_path / "photo.png")

    assert np.abs(image.rgb.astype(int) - original.rgb).mean() <= (0 if quality == 100 else 4)
    assert (facts.width, facts.height, facts.format, facts.has_location) == (16, 12, "JXL", True)
    assert image.metadata.dpi == (photos_with_metadata.DPI, photos_with_metadata.DPI)
    assert image.metadata.xmp == original.metadata.xmp


def test_animations_are_rejected(tmp_path):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    run("cjxl", tmp_path / "two.gif", tmp_path / "two.jxl")
    with pytest.raises(PictureError, match="animated"):
        read_image(tmp_path / "two.jxl")


def test_truncated_and_large_files_are_rejected(tmp_path):
    path = export_jxl(finished(tmp_path, PHOTO, WIDE, Metadata(xmp=photos_with_metadata.XMP)), 100)
    with pytest.raises(PictureError, match="110 × 80 px"):
        read_image(path, max_pixels=8_799)
    content = path.read_bytes()
    for length in (len(content) - 1000, len(content) // 2, 1800, 40):
        path.write_bytes(content[:length])
        with pytest.raises(PictureError, match="incomplete"):
            read_image(path)
