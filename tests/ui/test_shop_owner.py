"""A shop owner enhances the photos of several products in one batch."""

import csv
import io
import zipfile

from PIL import Image
from playwright.sync_api import expect

from ..site import photo, wait_until
from .audit import misplaced
from .journey import (
    add_files,
    download,
    drop,
    has_focus,
    open_batch,
    pick,
    pick_preset,
    row,
    rows,
    select,
    wait_for,
    wait_for_chip,
)

GPS = 0x8825
LONG = "DSC_20240721_1830123456789012345678901234567890 and more of it.png"


def test_a_shop_owner_enhances_good_small_damaged_and_transparent_files(site, visit, tmp_path):
    page, files = visit("?preset=anime-fast&long_side=96&format=jpeg"), site.files
    bad = files / "damaged.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    located, exif = files / "place.jpg", Image.Exif()
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
    Image.fromarray(photo(24, 20)).save(located, exif=exif)
    logo = files / "logo.png"
    Image.new("RGBA", (24, 20), (255, 255, 255, 0)).save(logo)

    # Several files open Batch. One is damaged, and one is too small for the size.
    drop(page, "#chooser", site.photo(LONG, 30, 40), site.photo("tiny.png", 5, 4), bad, located)
    wait_for(page, "state.tab === 'batch'")
    expect(page.locator("#list .file")).to_have_count(4)
    expect(row(page, "damaged.png").get_by_role("button", name="Replace")).to_be_visible()
    expect(row(page, "tiny.png")).to_contain_text("64 × 80 px")
    wait_for_chip(page, "matches")

    # JPEG has no transparency, so the background matters.
    expect(page.locator("#background")).to_be_hidden()
    add_files(page, logo)
    expect(page.locator("#background")).to_be_visible()
    pick(page, "background", "black")
    select(page, "metadata", "Remove location")
    page.locator("#largest input").uncheck()
    expect(row(page, "tiny.png")).to_contain_text("too large for a photo of 4 × 5 px")
    expect(page.locator("#batch-enhance")).to_have_text("Enhance 3")

    # The run, then the small file alone.
    page.locator("#batch-enhance").click()
    expect(rows(page, "done")).to_have_count(3)
    expect(page.locator("#batch-download")).to_contain_text("(3)")
    has_focus(page, "#batch-download")
    row(page, "tiny.png").locator("[data-act=enlarge]").click()
    wait_for(page, "state.largest")
    page.locator("#batch-enhance").click()
    expect(rows(page, "done")).to_have_count(4)

    # A finished file shows its result on the stage.
    row(page, "tiny.png").locator("[data-act=select]").click()
    wait_for(page, "file.name === 'tiny.png' && stage.mode === 'result'")

    # The files of the ZIP.
    with zipfile.ZipFile(download(page, tmp_path, "#batch-download")) as archive:
        assert archive.testzip() is None
        photos = {
            LONG.replace(".png", "-96px.jpg"),
            "tiny-80px.jpg",
            "place-96px.jpg",
            "logo-96px.jpg",
        }
        assert photos < set(archive.namelist())
        assert {"report.csv", "summary.pdf"} < set(archive.namelist())
        archive.extractall(tmp_path)
    states = [
        one["state"]
        for one in csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text("utf-8-sig")))
    ]
    assert states.count("done") == 4
    with (
        Image.open(tmp_path / "place-96px.jpg") as image,
        Image.open(tmp_path / "logo-96px.jpg") as black,
    ):
        assert (image.format, image.size) == ("JPEG", (80, 96))
        assert image.getexif().get_ifd(GPS) == {}
        assert max(black.convert("L").tobytes()) < 10

    # An intact copy replaces the damaged file.
    with page.expect_file_chooser() as chooser:
        row(page, "damaged.png").get_by_role("button", name="Replace").click()
    chooser.value.set_files(site.photo("intact.png", 20, 24))
    expect(row(page, "intact.png")).to_be_visible()
    expect(row(page, "damaged.png")).to_have_count(0)
    row(page, "intact.png").locator("[data-act=remove]").click()
    expect(row(page, "intact.png")).to_have_count(0)


def test_the_size_of_a_limited_result_is_not_cut(site, visit):
    page = visit("?preset=anime-fast&long_side=1500")
    open_batch(page, site.photo("limited.png", 40, 48))
    expect(row(page, "limited.png")).to_contain_text("768 × 640 px")
    assert not (found := misplaced(page)), "\n".join(found)


def test_files_are_added_removed_and_cancelled_during_a_batch(site, visit, tmp_path):
    page, enhancer = visit("?preset=anime-fast"), site.enhancer
    drop(
        page,
        "#chooser",
        *(site.photo(name, 20, 24) for name in ("quick.png", "held.png", "unwanted.png")),
    )
    expect(page.locator("#list .file")).to_have_count(3)
    with enhancer.paused("run", of="held.png"):
        page.locator("#batch-enhance").click()
        has_focus(page, "#batch-cancel")
        expect(row(page, "quick.png")).to_have_attribute("data-state", "done")
        expect(row(page, "held.png")).to_have_attribute("data-state", "running")
        wait_for(page, "/^[1-9]\\d% Enhance$/.test(document.title)")
        row(page, "quick.png").locator("[data-act=select]").click()
        wait_for(page, "file.name === 'quick.png' && stage.mode === 'result'")
        path = download(page, tmp_path, page.locator(".batch-result [data-act=download]"))
        assert (path.name, Image.open(path).size) == ("quick-4x.png", (96, 80))
        drop(page, "#head", site.photo("late.png", 24, 20))
        row(page, "unwanted.png").locator("[data-act=remove]").click()
        expect(row(page, "unwanted.png")).to_have_count(0)
        row(page, "held.png").locator("[data-act=remove]").click()  # Cancels this file alone.
        expect(row(page, "held.png")).to_have_count(0)
        expect(row(page, "late.png")).to_be_visible()
    expect(page.locator("#batch-enhance")).to_be_enabled()

    # Arrow keys select files.
    row(page, "quick.png").locator("[data-act=select]").focus()
    page.keyboard.press("ArrowDown")
    wait_for(page, "file.name === 'late.png'")
    page.keyboard.press("ArrowUp")
    wait_for(page, "file.name === 'quick.png'")

    # Cancelling keeps what is finished, and only new files are enhanced.
    results = {path: path.stat().st_ino for path in enhancer.tasks.processed.rglob("*.png")}
    assert results
    add_files(page, site.photo("stopped.png", 300, 35))
    with enhancer.paused("progress", of="stopped.png"):
        page.locator("#batch-enhance").click()
        expect(row(page, "late.png")).to_have_attribute("data-state", "done")
        expect(row(page, "stopped.png")).to_have_attribute("data-state", "running")
        page.locator("#batch-cancel").click()
        has_focus(page, "#batch-enhance")
        wait_until(lambda: enhancer.status()["running"] == 0)
        expect(row(page, "stopped.png")).to_have_attribute("data-state", "ready")
    expect(rows(page, "done")).to_have_count(2)
    assert all(path.stat().st_ino == number for path, number in results.items())
    expect(page.locator("#batch-download")).to_be_enabled()

    # Auto selects a preset for each photo.
    pick_preset(page, "auto")
    expect(page.locator("#about-auto")).to_contain_text("2 Gentle, 1 Precise")
