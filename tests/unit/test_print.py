"""Print sizes: the resolution in every format, and the size of a photo on paper with another aspect
ratio."""

import pytest
from PIL import Image

from enhance import Settings
from enhance.settings import PRINT_DPI
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
PHOTO_DPI = 180
PRINT = Settings.from_preset("anime-fast", long_side=100, dpi=PRINT_DPI)
PIXELS = Settings.from_preset("anime-fast", long_side=100)


@pytest.fixture
def source(photo, tmp_path):
    """A photo whose JFIF, EXIF and XMP state 180 dpi."""
    exif = Image.Exif()
    exif[0x011A] = exif[0x011B] = float(PHOTO_DPI)
    exif[0x0128] = 2
    resolution = b'tiff:XResolution="180/1" tiff:YResolution="180/1" tiff:ResolutionUnit="2" '
    xmp = XMP.replace(b"tiff:Orientation", resolution + b"tiff:Orientation")
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, exif=exif, xmp=xmp, dpi=(PHOTO_DPI, PHOTO_DPI))
    return path


def resolutions(path):
    """Return every resolution that exiftool finds in a file, in dots per inch."""
    found = read_by_exiftool(path, "-a", "-XResolution", "-YResolution", "-PixelsPerUnit*")
    del found["SourceFile"]
    return {
        round(value * 0.0254 if "PixelsPerUnit" in name else value) for name, value in found.items()
    }


@pytest.mark.parametrize("metadata", ["keep", "none"])
@pytest.mark.parametrize(("settings", "dpi"), [(PRINT, PRINT_DPI), (PIXELS, PHOTO_DPI)])
def test_a_print_has_its_resolution_in_every_format_and_other_results_that_of_the_photo(
    enhancer, source, tmp_path, metadata, settings, dpi
):
    result = enhancer.run(source, settings)
    for ending in ("png", "jpg", "webp", "avif"):
        saved = result.save(tmp_path / f"out.{ending}", metadata=metadata)
        assert resolutions(saved.path) == {dpi}, ending


@pytest.mark.parametrize("output", [None, "a.jpg"])
def test_a_cached_result_gets_the_requested_resolution(enhancer, source, tmp_path, output):
    place = output and tmp_path / output
    for settings, dpi in ((PIXELS, PHOTO_DPI), (PRINT, PRINT_DPI), (PIXELS, PHOTO_DPI)):
        assert resolutions(enhancer.run(source, settings, output=place).path) == {dpi}
    assert enhancer.run(source, PIXELS, output=place).info["cached"]
