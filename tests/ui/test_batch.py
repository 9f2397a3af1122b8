"""Batches: failed files, files that are added and removed, the ZIP, and cancelling."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

from PIL import Image

from enhance.errors import WeightsError

from ..site import Site
from .journey import (
    add_files,
    card,
    cards,
    data_of,
    download,
    enhance,
    enhance_all,
    expect,
    expect_chosen,
    has_focus,
    history,
    load,
    open_batch,
    pick,
    wait_for_chip,
    wait_for_stage,
)
from .test_formats import located_photo, location

LONG = "DSC_20240721_1830123456789012345678901234567890 and more of it.png"
DROP = """([target, ...files]) => {
  const data = new DataTransfer();
  for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
  document.querySelector(target).dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


def dropped(file: Path) -> list[object]:
    return [file.name, list(file.read_bytes())]


def test_files_are_added_and_removed_during_a_batch_and_cancel_keeps_finished_ones(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    names = ("quick.png", "held.png", "unwanted.png")
    page.evaluate(DROP, ["#upload button", *(dropped(site.photo(name, 20, 24)) for name in names)])
    expect(page.locator("#list .file")).to_have_count(3)
    late = site.photo("late.png", 24, 20)
    with site.enhancer.paused("run", of="held.png"):
        enhance_all(page)
        expect(card(page, "quick.png")).to_have_attribute("data-state", "done")
        expect(card(page, "held.png")).to_have_attribute("data-state", "running")
        path = download(page, tmp_path, card(page, "quick.png").locator("a"))
        assert (path.name, Image.open(path).size) == ("quick.png", (96, 80))
        page.evaluate(DROP, ["#head", dropped(late)])
        expect(card(page, "late.png")).to_have_attribute("data-state", "waiting")
        card(page, "unwanted.png").locator(".remove").click()
        expect(card(page, "unwanted.png")).to_have_count(0)
    expect(cards(page, "done")).to_have_count(3)
    expect(page.locator("#batch-download")).to_be_visible()

    runs = site.enhancer.calls["run"]
    add_files(page, site.photo("after.png", 20, 20), site.photo("stopped.png", 44, 35))
    with site.enhancer.paused("progress", of="stopped.png"):
        enhance_all(page)
        expect(cards(page, "done")).to_have_count(4)
        expect(card(page, "stopped.png")).to_have_attribute("data-state", "running")
        page.locator("#batch-cancel").click()
        expect(card(page, "stopped.png")).to_have_attribute("data-state", "cancelled")
    assert site.enhancer.calls["run"] == runs + 2, "finished files are not run again"
    assert site.enhancer.status()["running"] == 0
    expect(page.locator("#batch-download")).to_be_enabled()

    add_files(page, site.photo("missing.png", 20, 28))
    with site.enhancer.failing("run", WeightsError("weights_folder_full", folder="weights")):
        enhance_all(page)
        expect(card(page, "missing.png")).to_have_attribute("data-state", "failed")
    repair = card(page, "missing.png").locator(".repair")
    expect(repair).to_contain_text("Use Auto")
    repair.click()
    expect(card(page, "missing.png")).to_have_attribute("data-state", "done")
    expect_chosen(page, preset="auto")


def test_both_tabs_share_the_panel_and_the_stage_and_each_has_its_photo_with_its_result(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("single.png", 60, 48))
    enhance(page)
    pick(page, "scale", 3)
    open_batch(page, site.photo("first.png", 40, 32), site.photo("second.png", 80, 80))
    facts = page.locator("#facts")
    expect(facts).to_contain_text("first.png")
    expect_chosen(page, scale=3)
    wait_for_chip(page, "matches")

    page.locator(".file .pick").first.focus()
    page.keyboard.press("ArrowDown")
    expect(facts).to_contain_text("second.png")
    has_focus(page, "[data-state] .pick[aria-current]")
    expect(card(page, "second.png").locator(".pick")).to_have_attribute("aria-current", "true")
    enhance_all(page)
    expect(cards(page, "done")).to_have_count(2)
    wait_for_stage(page, "view.mode === 'result' && view.result")
    assert data_of(page, "result")["size"] == [240, 240]
    pick(page, "scale", 2)
    wait_for_stage(page, "view.mode === 'preview'")
    wait_for_chip(page, "matches")

    pick(page, "preset", "auto")
    note = page.locator("#preset label:has(input[value=auto]) small")
    expect(note).to_contain_text(re.compile(r"^1\s\w+, 1\s\w+, about"))
    enhance_all(page)
    expect(page.locator("#batch-cancel")).to_be_visible()
    expect(page.locator("#batch-cancel")).to_have_count(0)
    expect(page.locator("#batch-enhance")).to_have_count(0)
    page.locator("#tab-one-button").click()
    expect(facts).to_contain_text("single.png")
    expect_chosen(page, scale=2)
    assert data_of(page, "result")["size"] == [192, 240]


def test_a_batch_with_a_small_a_damaged_and_a_transparent_file_is_completed(site: Site, open_page, tmp_path):
    page, logo = open_page("?preset=anime-fast&long_side=96&format=jpeg"), site.files / "logo.png"
    Image.new("RGBA", (24, 20), (255, 255, 255, 0)).save(logo)
    bad = site.files / "damaged.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    open_batch(page, site.photo(LONG, 30, 40), site.photo("tiny.png", 5, 4), bad, located_photo(site, "place.jpg"))
    attention, tiny, damaged = page.locator(".attention .file"), card(page, "tiny.png"), card(page, "damaged.png")
    expect(attention).to_have_count(1)
    expect(tiny).to_contain_text("64 × 80 px")
    expect(page.locator("#batch-why")).to_contain_text("3 photos")
    expect(page.locator("#background")).to_be_hidden()
    add_files(page, logo)
    expect(card(page, "logo.png")).to_contain_text("JPEG on white")
    pick(page, "background", "black")
    expect(card(page, "logo.png")).to_contain_text("JPEG on black")
    pick(page, "metadata", "no-location")
    page.locator("#largest input").uncheck()
    expect(attention).to_have_count(2)
    expect(page.locator("#batch-why")).to_contain_text("3 photos")
    expect(page.locator("#batch-enhance")).to_have_text("Enhance 3")
    pattern = page.locator("#name_pattern").locator("input, textarea")
    pattern.fill("a/{name}")
    expect(page.locator("#pattern .problem")).to_contain_text("/")
    pattern.fill("{name}-{n}")
    expect(page.locator("#pattern")).to_contain_text("-01.jpg")

    enhance_all(page)
    expect(cards(page, "done")).to_have_count(3)
    expect(cards(page, "failed")).to_have_count(2)
    expect(damaged.locator(".reason")).to_be_visible()
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})
    tiny.locator(".repair").click()
    expect(cards(page, "done")).to_have_count(4)
    tiny.locator(".pick").click()
    expect(page.locator("#facts")).to_contain_text("tiny.png")
    wait_for_stage(page, "view.mode === 'result' && view.result")

    with zipfile.ZipFile(download(page, tmp_path, "#batch-download")) as archive:
        assert archive.testzip() is None
        photos = {LONG.replace(".png", "-01.jpg"), "tiny-02.jpg", "place-04.jpg", "logo-05.jpg"}
        assert set(archive.namelist()) == photos | {"report.csv", "summary.pdf"}
        archive.extractall(tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text("utf-8-sig"))))
    assert sorted(row["state"] for row in rows) == ["done"] * 4 + ["failed"]
    with Image.open(tmp_path / "place-04.jpg") as image, Image.open(tmp_path / "logo-05.jpg") as black:
        assert (image.format, image.size) == ("JPEG", (80, 96))
        assert max(black.convert("L").tobytes()) < 10
    assert location(tmp_path / "place-04.jpg") == {}
    expect(card(page, LONG)).to_contain_text(f"Fidelity: {rows[0]['fidelity']}")
    history(page)
    with zipfile.ZipFile(download(page, tmp_path, "#history-list [data-act=zip]")) as archive:
        assert {"tiny-02.png", "place-04.png", "logo-05.png"} < set(archive.namelist())
    with zipfile.ZipFile(download(page, tmp_path, "#batch-reports")) as archive:
        assert len(archive.namelist()) == 4
        assert all(archive.read(name).startswith(b"%PDF-") for name in archive.namelist())
    with page.expect_file_chooser() as chooser:
        damaged.locator(".repair").click()
    chooser.value.set_files(site.photo("intact.png", 20, 24))
    expect(card(page, "intact.png")).to_have_attribute("data-state", "waiting")
    expect(damaged).to_have_count(0)
    card(page, "intact.png").locator(".remove").click()
    expect(card(page, "intact.png")).to_have_count(0)
