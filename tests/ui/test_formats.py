"""Formats and metadata of the download, chosen before or after the run."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from ..site import Site, photo
from ..unit.report_runs import text_of
from .journey import download, enhance, expect, expect_chosen, load, pick

GPS = 0x8825


def located_photo(site: Site, name: str) -> Path:
    """Write a photo of 20 x 24 pixels with a GPS location."""
    exif, path = Image.Exif(), site.files / name
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
    Image.fromarray(photo(24, 20)).save(path, exif=exif)
    return path


def location(path: Path) -> dict:
    with Image.open(path) as image:
        return dict(image.getexif().get_ifd(GPS))


def test_format_and_metadata_are_chosen_after_the_run(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, located_photo(site, "place.jpg"))
    expect(page.locator("#location .location")).to_be_visible()
    expect(page.locator("#metadata label")).to_have_count(3)
    expect_chosen(page, metadata="keep")
    enhance(page)
    runs = site.enhancer.calls["run"]
    assert location(download(page, tmp_path))

    pick(page, "metadata", "no-location")
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    expect(page.locator("#quality")).to_be_visible()
    path = download(page, tmp_path)
    with Image.open(path) as image:
        assert (path.name, image.format, image.size) == ("place-4x.jpg", "JPEG", (80, 96))
    assert location(path) == {}
    assert b"DigitalSourceType" in path.read_bytes()
    page.get_by_label("Label as machine-enhanced").uncheck()
    assert b"DigitalSourceType" not in download(page, tmp_path).read_bytes()
    page.get_by_label("Label as machine-enhanced").check()
    assert site.enhancer.calls["run"] == runs

    pick(page, "format", "png")
    expect(page.locator("#download")).to_contain_text("PNG")
    report = text_of(download(page, tmp_path, "#report"), tmp_path, page=2)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for fact in ("place-4x.jpg", f"{path.stat().st_size:,} bytes · JPEG, quality 92", sha256[:32], sha256[32:]):
        assert fact in report, "the report is on the file that was downloaded"
    pick(page, "format", "jpeg")

    glass = site.files / "glass.png"
    Image.fromarray(photo(8, 8)).convert("RGBA").save(glass)
    load(page, glass)
    expect(page.locator("#location .location")).to_have_count(0)
    enhance(page)
    expect(page.locator("#download-message .note")).to_be_visible()  # JPEG has no transparency
    pick(page, "format", "webp")
    expect(page.locator("#download-message .note")).to_have_count(0)
