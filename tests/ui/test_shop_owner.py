"""A shop owner enhances the photos of several products in one batch."""

from __future__ import annotations

import csv
import io
import re
import zipfile

from PIL import Image

from ..site import Site, photo
from .journey import (
    add_files,
    card,
    cards,
    download,
    drop,
    enhance_all,
    expect,
    expect_result_size,
    history,
    pick,
    stage,
    wait_for_chip,
    wait_for_stage,
)

GPS = 0x8825
LONG = "DSC_20240721_1830123456789012345678901234567890 and more of it.png"


def test_a_shop_owner_enhances_a_batch_with_a_small_a_damaged_and_a_transparent_file(site: Site, open_page, tmp_path):
    page, logo = open_page("?preset=anime-fast&long_side=96&format=jpeg"), site.files / "logo.png"
    Image.new("RGBA", (24, 20), (255, 255, 255, 0)).save(logo)
    bad = site.files / "damaged.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    located, exif = site.files / "place.jpg", Image.Exif()
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
    Image.fromarray(photo(24, 20)).save(located, exif=exif)

    # Several files open Batch. One is damaged, and one is too small for the size.
    files = (site.photo(LONG, 30, 40), site.photo("tiny.png", 5, 4), bad, located)
    drop(page, "#upload button", *files)
    attention, tiny, damaged = page.locator(".attention .file"), card(page, "tiny.png"), card(page, "damaged.png")
    expect(page.locator(".file")).to_have_count(4)
    expect(attention).to_have_count(1)
    expect(tiny).to_contain_text("64 × 80 px")
    expect(page.locator("#batch-why")).to_contain_text("3 photos")
    expect(page.locator("#background")).to_be_hidden()

    # JPEG has no transparency. The shop owner selects the background, the metadata and no other size.
    add_files(page, logo)
    expect(card(page, "logo.png")).to_contain_text("JPEG on white")
    pick(page, "background", "black")
    expect(card(page, "logo.png")).to_contain_text("JPEG on black")
    pick(page, "metadata", "no-location")
    page.locator("#largest input").uncheck()
    expect(attention).to_have_count(2)
    expect(page.locator("#batch-enhance")).to_have_text("Enhance 3")
    expect(page.locator("#batch-why")).to_contain_text(re.compile(r"3 photos.*About .+, ZIP of", re.DOTALL))
    wait_for_chip(page, "matches")

    # The run, and the repair of one of the failed files.
    enhance_all(page)
    expect(cards(page, "done")).to_have_count(3)
    expect(cards(page, "failed")).to_have_count(2)
    expect(damaged.locator(".reason")).to_be_visible()
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})
    tiny.locator(".repair").click()
    expect(cards(page, "done")).to_have_count(4)

    # Before and after of one result.
    tiny.locator(".pick").click()
    expect(page.locator("#facts")).to_contain_text("tiny.png")
    wait_for_stage(page, "view.mode === 'result' && view.result")
    expect_result_size(page, 64, 80)
    assert stage(page)["split"] == 0.5

    # The files.
    with zipfile.ZipFile(download(page, tmp_path, "#batch-download")) as archive:
        assert archive.testzip() is None
        photos = {LONG.replace(".png", "-96px.jpg"), "tiny-80px.jpg", "place-96px.jpg", "logo-96px.jpg"}
        assert set(archive.namelist()) == photos | {"report.csv", "summary.pdf"}
        archive.extractall(tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text("utf-8-sig"))))
    assert sorted(row["state"] for row in rows) == ["done"] * 4 + ["failed"]
    with Image.open(tmp_path / "place-96px.jpg") as image, Image.open(tmp_path / "logo-96px.jpg") as black:
        assert (image.format, image.size) == ("JPEG", (80, 96))
        assert image.getexif().get_ifd(GPS) == {}
        assert max(black.convert("L").tobytes()) < 10
    expect(card(page, LONG)).to_contain_text(f"Fidelity: {rows[0]['fidelity']}")
    history(page)
    with zipfile.ZipFile(download(page, tmp_path, "#history-list [data-act=zip]")) as archive:
        assert {"tiny-80px.png", "place-96px.png", "logo-96px.png"} < set(archive.namelist())
    with zipfile.ZipFile(download(page, tmp_path, "#batch-reports")) as archive:
        assert len(archive.namelist()) == 4
        assert all(archive.read(name).startswith(b"%PDF-") for name in archive.namelist())

    # An intact copy replaces the damaged file.
    with page.expect_file_chooser() as chooser:
        damaged.locator(".repair").click()
    chooser.value.set_files(site.photo("intact.png", 20, 24))
    expect(card(page, "intact.png")).to_have_attribute("data-state", "waiting")
    expect(damaged).to_have_count(0)
    card(page, "intact.png").locator(".remove").click()
    expect(card(page, "intact.png")).to_have_count(0)
