"""A print size writes its resolution to every format; any other size keeps the photo's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.cli import main
from enhance.settings import PRINT_DPI, signature
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

ENDINGS = ("png", "jpg", "webp", "avif")
OF_THE_PHOTO = 180
PRINT = Settings.from_preset("anime-fast", long_side=100, dpi=PRINT_DPI)
PIXELS = Settings.from_preset("anime-fast", long_side=100)
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    """A photo whose JFIF, EXIF and XMP state 180 dpi."""
    exif = Image.Exif()
    exif[0x011A] = exif[0x011B] = float(OF_THE_PHOTO)
    exif[0x0128], exif[0x010F] = 2, "Lantern"
    more = b'tiff:XResolution="180/1" tiff:YResolution="180/1" tiff:ResolutionUnit="2" tiff:Orientation'
    xmp = XMP.replace(b"tiff:Orientation", more)
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, exif=exif, xmp=xmp, dpi=(OF_THE_PHOTO, OF_THE_PHOTO), quality=95)
    return path


def resolutions(path: Path) -> dict[str, float]:
    """Return every resolution that exiftool finds in a file, in dots per inch."""
    found = read_by_exiftool(path, "-a", "-XResolution", "-YResolution", "-PixelsPerUnitX", "-PixelsPerUnitY")
    found.pop("SourceFile")
    return {name: round(value * (0.0254 if "PixelsPer" in name else 1)) for name, value in found.items()}


def resolution_in_png(path: Path) -> set[float]:
    return set(resolutions(path).values())


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
def test_a_print_has_its_resolution_in_every_format(enhancer, source, tmp_path, metadata):
    result = enhancer.run(source, PRINT)
    for ending in ENDINGS:
        path = result.save(tmp_path / f"{metadata}.{ending}", metadata=metadata).path
        assert resolution_in_png(path) == {PRINT_DPI}, ending
    expected = {"png": "PNG-pHYs:PixelsPerUnitX", "jpg": "JFIF:XResolution", "webp": "IFD0:XResolution"}
    for ending, name in (expected | {"avif": "IFD0:XResolution"}).items():
        assert name in resolutions(tmp_path / f"{metadata}.{ending}")
    if metadata == "keep":
        assert "IFD0:XResolution" in resolutions(tmp_path / "keep.jpg")
        assert read_by_exiftool(tmp_path / "keep.jpg")["IFD0:Make"] == "Lantern"


def test_other_sizes_keep_the_photos_resolution(enhancer, source, tmp_path):
    for number, settings in enumerate((PIXELS, Settings.from_preset("anime-fast"))):
        result = enhancer.run(source, settings)
        for ending in ENDINGS:
            assert resolution_in_png(result.save(tmp_path / f"{number}.{ending}").path) == {OF_THE_PHOTO}


@pytest.mark.parametrize("output", [None, "a.png", "a.jpg"])
def test_a_cached_result_gets_the_requested_resolution(enhancer, source, tmp_path, output):
    place = None if output is None else tmp_path / output
    for settings, dpi in ((PIXELS, OF_THE_PHOTO), (PRINT, PRINT_DPI), (PRINT, PRINT_DPI), (PIXELS, OF_THE_PHOTO)):
        result = enhancer.run(source, settings, output=place)
        assert resolution_in_png(result.path) == {dpi}
    assert enhancer.run(source, PIXELS, output=place).info["cached"]


def test_the_resolution_changes_no_pixel_and_no_signature():
    assert signature("a", PRINT, "m", "fp32") == signature("a", PIXELS, "m", "fp32")


def test_the_command_line_sets_the_resolution(source, tmp_path, capsys):
    output = tmp_path / "a3.webp"
    wanted = ["--long-side", "100", "--dpi", "300", "--json"]
    assert main(["run", str(source), "-o", str(output), *wanted, *FAST]) == 0
    assert resolution_in_png(output) == {PRINT_DPI}
    assert json.loads(capsys.readouterr().out)["settings"]["dpi"] == PRINT_DPI
    assert main(["run", str(source), "-o", str(output), "--dpi", "0", *FAST]) == 2
    assert "dpi" in capsys.readouterr().err
