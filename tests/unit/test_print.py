"""Print sizes: the resolution in every format, and the size of a photo on paper with another aspect ratio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.cli import main
from enhance.images import inspect
from enhance.output.resample import result_size
from enhance.settings import PRINT_DPI, signature
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

pytestmark = pytest.mark.usefixtures("fresh_store")
PHOTO_DPI = 180
PRINT = Settings.from_preset("anime-fast", long_side=100, dpi=PRINT_DPI)
PIXELS = Settings.from_preset("anime-fast", long_side=100)


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


def test_a_print_fits_inside_the_paper_in_either_orientation():
    paper = Settings("anime-fast", print_width=1.27, print_height=1.016)  # 150 x 120 px at 300 dpi
    sizes = {(40, 56): (107, 150), (56, 40): (150, 107), (40, 40): (120, 120), (300, 1000): (45, 150)}
    for (height, width), size in sizes.items():
        assert result_size(paper, height, width) == size


@pytest.mark.parametrize(("fit", "is_cached"), [("contain", True), ("border", False), ("crop", False)])
def test_a_print_of_an_earlier_version_is_found_unless_it_has_a_border_or_was_cropped(
    enhancer, photo_file, fit, is_cached
):
    settings = Settings("anime-fast", print_width=1.27, print_height=1.016)
    info = enhancer.run(photo_file, settings).info
    path = enhancer.tasks.processed / f"{info['task_id']}.json"
    path.write_text(json.dumps({**info, "settings": {**info["settings"], "print_fit": fit}}))
    assert (enhancer.tasks.info(info["task_id"]) is not None) == is_cached
    assert enhancer.run(photo_file, settings).info["cached"] == is_cached


@pytest.mark.parametrize("command", ["run", "analyse"])
def test_the_withdrawn_option_is_rejected_with_what_to_use_instead(command, photo_file, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, str(photo_file), "--print", "a4", "--print-fit", "border"])
    assert ended.value.code == 2
    assert "Remove --print-fit" in capsys.readouterr().err
