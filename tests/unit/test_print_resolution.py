"""A print size writes its resolution to every format; any other size keeps the photo's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.settings import PRINT_DPI
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


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
def test_a_print_has_its_resolution_in_every_format_and_other_results_that_of_the_photo(
    enhancer, source, tmp_path, metadata
):
    result, other = enhancer.run(source, PRINT), enhancer.run(source, PIXELS)
    assert result.info["signature"] == other.info["signature"]
    for ending in ENDINGS:
        path = result.save(tmp_path / f"{metadata}.{ending}", metadata=metadata).path
        assert {*resolutions(path).values()} == {PRINT_DPI}, ending
        assert {*resolutions(other.save(tmp_path / f"other.{ending}").path).values()} == {OF_THE_PHOTO}, ending
    expected = {"png": "PNG-pHYs:PixelsPerUnitX", "jpg": "JFIF:XResolution", "webp": "IFD0:XResolution"}
    for ending, name in (expected | {"avif": "IFD0:XResolution"}).items():
        assert name in resolutions(tmp_path / f"{metadata}.{ending}")
    if metadata == "keep":
        assert "IFD0:XResolution" in resolutions(tmp_path / "keep.jpg")
        assert read_by_exiftool(tmp_path / "keep.jpg")["IFD0:Make"] == "Lantern"


@pytest.mark.parametrize("output", [None, "a.png", "a.jpg"])
def test_a_cached_result_gets_the_requested_resolution(enhancer, source, tmp_path, output):
    place = None if output is None else tmp_path / output
    for settings, dpi in ((PIXELS, OF_THE_PHOTO), (PRINT, PRINT_DPI), (PRINT, PRINT_DPI), (PIXELS, OF_THE_PHOTO)):
        result = enhancer.run(source, settings, output=place)
        assert {*resolutions(result.path).values()} == {dpi}
    assert enhancer.run(source, PIXELS, output=place).info["cached"]
