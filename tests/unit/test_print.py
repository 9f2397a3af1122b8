"""Print sizes: the resolution in every format, and paper with another aspect ratio than the photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.cli import main
from enhance.images import inspect
from enhance.info import open_photo
from enhance.output.resample import paper_of, result_size
from enhance.settings import PRINT_DPI, signature
from tests.unit.gain_map_files import VALUES, map_packet, ultra_hdr
from tests.unit.image_files import encode, exif_block
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
PHOTO_DPI = 180
PRINT = Settings.from_preset("anime-fast", long_side=100, dpi=PRINT_DPI)
PIXELS = Settings.from_preset("anime-fast", long_side=100)
CONTAIN, BORDER, CROP = (
    Settings("anime-fast", print_width=1.27, print_height=1.016, print_fit=fit) for fit in ("contain", "border", "crop")
)
"""150 x 120 px at 300 dpi. The photo of the tests has 56 x 40 px."""


@pytest.fixture
def source(photo: np.ndarray, tmp_path: Path) -> Path:
    """A photo whose JFIF, EXIF and XMP state 180 dpi."""
    exif = Image.Exif()
    exif[0x011A] = exif[0x011B] = float(PHOTO_DPI)
    exif[0x0128], exif[0x010F] = 2, "Lantern"
    more = b'tiff:XResolution="180/1" tiff:YResolution="180/1" tiff:ResolutionUnit="2" tiff:Orientation'
    xmp = XMP.replace(b"tiff:Orientation", more)
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, exif=exif, xmp=xmp, dpi=(PHOTO_DPI, PHOTO_DPI), quality=95)
    return path


def resolutions(path: Path) -> set[float]:
    """Return every resolution that exiftool finds in a file, in dots per inch."""
    found = read_by_exiftool(path, "-a", "-XResolution", "-YResolution", "-PixelsPerUnitX", "-PixelsPerUnitY")
    found.pop("SourceFile")
    return {round(value * (0.0254 if "PixelsPer" in name else 1)) for name, value in found.items()}


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
@pytest.mark.parametrize(("settings", "dpi"), [(PRINT, PRINT_DPI), (PIXELS, PHOTO_DPI)])
def test_a_print_has_its_resolution_in_every_format_and_other_results_that_of_the_photo(
    enhancer, source, tmp_path, metadata, settings, dpi
):
    result = enhancer.run(source, settings)
    for ending in ("png", "jpg", "webp", "avif"):
        assert resolutions(result.save(tmp_path / f"out.{ending}", metadata=metadata).path) == {dpi}, ending
    if metadata == "keep":
        assert read_by_exiftool(tmp_path / "out.jpg")["IFD0:Make"] == "Lantern"


@pytest.mark.parametrize("output", [None, "a.png", "a.jpg"])
def test_a_cached_result_gets_the_requested_resolution(enhancer, source, tmp_path, output):
    place = None if output is None else tmp_path / output
    for settings, dpi in ((PIXELS, PHOTO_DPI), (PRINT, PRINT_DPI), (PRINT, PRINT_DPI), (PIXELS, PHOTO_DPI)):
        assert resolutions(enhancer.run(source, settings, output=place).path) == {dpi}
    assert enhancer.run(source, PIXELS, output=place).info["cached"]
    assert signature("a", PRINT, "m", "fp32") == signature("a", PIXELS, "m", "fp32")


def test_the_command_line_sets_the_resolution(source, tmp_path, capsys):
    call = ["run", str(source), "-o", str(tmp_path / "a3.webp"), "--preset", "anime-fast", "--device", "cpu"]
    assert main([*call, "--long-side", "100", "--dpi", "300", "--json"]) == 0
    assert resolutions(tmp_path / "a3.webp") == {PRINT_DPI}
    assert json.loads(capsys.readouterr().out)["settings"]["dpi"] == PRINT_DPI
    assert main([*call, "--dpi", "0"]) == 2
    assert "dpi" in capsys.readouterr().err


@pytest.mark.parametrize(("stated", "shown"), [(600, 600), (72, PRINT_DPI), (0, PRINT_DPI)])
def test_the_print_size_of_a_scan_is_shown_at_its_resolution(tmp_path, stated, shown):
    Image.new("RGB", (8, 8)).save(tmp_path / "scan.jpg", dpi=(stated, stated))
    facts = inspect(tmp_path / "scan.jpg")
    assert PIXELS.resolution(facts.dpi) == shown
    assert PRINT.resolution(facts.dpi) == PRINT_DPI


def test_border_and_crop_have_exactly_the_size_of_the_paper():
    for height, width in ((40, 56), (56, 40), (40, 40), (400, 561), (300, 1000)):
        turned, fitted = result_size(BORDER, height, width), result_size(CONTAIN, height, width)
        assert turned == result_size(CROP, height, width)
        assert {*turned} == {120, 150}
        assert (turned[0] > turned[1]) == (height > width) or height == width
        assert min(turned[0] - fitted[0], turned[1] - fitted[1]) == 0


def test_border_has_the_whole_photo_on_white_and_crop_the_middle(enhancer, photo_file):
    contained, bordered, cropped = (enhancer.run(photo_file, one) for one in (CONTAIN, BORDER, CROP))
    whole = enhancer.run(photo_file, Settings("anime-fast", print_height=1.016)).array
    assert contained.array.shape == (107, 150, 3)
    assert bordered.array.shape == (120, 150, 3)
    assert np.array_equal(bordered.array[6:113], contained.array)
    assert (np.delete(bordered.array, slice(6, 113), axis=0) == 255).all()
    assert (bordered.info["output"]["width"], bordered.info["output"]["height"]) == (150, 120)
    assert whole.shape == (120, 168, 3)
    assert np.array_equal(cropped.array, whole[:, 9:159])


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_border_is_white_and_opaque(enhancer, photo, tmp_path, mode):
    grey = Image.fromarray(photo[..., 0])
    image = Image.fromarray(photo[..., 0].astype(np.uint16) * 200) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / "photo.png")
    result = enhancer.run(tmp_path / "photo.png", BORDER).array
    assert result.shape[:2] == (120, 150)
    assert (result[:6] == np.iinfo(result.dtype).max).all()
    assert result[60, :, 0].mean() < 0.9 * np.iinfo(result.dtype).max


@pytest.mark.parametrize("settings", [BORDER, CROP], ids=["border", "crop"])
@pytest.mark.parametrize("strip", [1, 7, 64, 1000])
def test_strips_of_any_height_join_to_the_same_paper(settings, strip):
    for height, width in ((40, 56), (56, 40), (31, 97)):
        paper = paper_of(settings, height, width)
        assert paper is not None
        (tall, wide), (top, left) = paper.photo, paper.offset
        values = np.arange(tall * wide, dtype=np.uint16).reshape(tall, wide, 1) % 50_000
        parts = [part for first in range(0, tall, strip) for part in paper.place(values[first : first + strip], first)]
        wide_border = [(200, 200), (200, 200), (0, 0)]
        padded = np.pad(values, wide_border, constant_values=65_535)[200 - top :, 200 - left :]
        assert np.array_equal(np.concatenate(parts), padded[: paper.size[0], : paper.size[1]])
        assert max(len(part) for part in parts) <= max(strip, 64)


def test_signature_changes_only_with_a_border_or_a_crop():
    def signature_of(settings: Settings) -> str:
        return signature("a", settings, "m", "fp32")

    assert len({*map(signature_of, (CONTAIN, BORDER, CROP))}) == 3
    assert signature_of(CONTAIN) == signature_of(Settings("anime-fast", print_width=1.27, print_height=1.016))
    plain = Settings("anime-fast", scale=2, print_fit="crop")
    assert signature_of(plain) == signature_of(Settings("anime-fast", scale=2))


def test_border_and_cropped_photo_have_no_gain_map(enhancer, tmp_path):
    photo, values = np.full((80, 112, 3), 128, np.uint8), Image.new("L", (56, 40), 250)
    gain_map = encode(values, "JPEG", xmp=map_packet(VALUES))
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo, gain_map, exif=exif_block(1)))
    for settings in (BORDER, CROP, BORDER):
        result = enhancer.run(tmp_path / "ultra.jpg", settings, output=tmp_path / f"{settings.print_fit}.jpg")
        assert b"GainMap" not in result.path.read_bytes()
        assert result.info["output"]["notes"] == ["gain_map_left"]
    assert result.info["cached"]


def test_page_and_report_show_the_photo_without_its_border(enhancer, photo_file, tmp_path):
    contained, bordered, cropped = (enhancer.run(photo_file, one) for one in (CONTAIN, BORDER, CROP))
    with open_photo(bordered.path, bordered.info) as view:
        assert view.size == (107, 150)
        assert np.array_equal(view.rows(0, 107), contained.array)
    with open_photo(cropped.path, cropped.info) as view:
        assert view.size == (120, 168)
        rows = view.rows(0, 120)
    assert np.array_equal(rows[:, 9:159], cropped.array)
    assert (np.delete(rows, slice(9, 159), axis=1) == 127).all()
    path = enhancer.write_report(bordered, photo_file, tmp_path / "report.pdf")
    assert path.read_bytes().startswith(b"%PDF")
