"""Batches: failed files, files that are added and removed, the ZIP, and cancelling."""

from __future__ import annotations

import re

from PIL import Image

from enhance.errors import WeightsError

from ..site import Site
from .journey import (
    add_files,
    card,
    cards,
    download,
    drop,
    enhance,
    enhance_all,
    expect,
    expect_chosen,
    expect_result_size,
    has_focus,
    load,
    open_batch,
    pick,
    wait_for_chip,
    wait_for_stage,
)


def test_files_are_added_and_removed_during_a_batch_and_cancel_keeps_finished_ones(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    names = ("quick.png", "held.png", "unwanted.png")
    drop(page, "#upload button", *(site.photo(name, 20, 24) for name in names))
    expect(page.locator("#list .file")).to_have_count(3)
    late = site.photo("late.png", 24, 20)
    with site.enhancer.paused("run", of="held.png"):
        enhance_all(page)
        expect(card(page, "quick.png")).to_have_attribute("data-state", "done")
        expect(card(page, "held.png")).to_have_attribute("data-state", "running")
        path = download(page, tmp_path, card(page, "quick.png").locator("a"))
        assert (path.name, Image.open(path).size) == ("quick-4x.png", (96, 80))
        drop(page, "#head", late)
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
    expect_result_size(page, 240, 240)
    pick(page, "scale", 2)
    wait_for_stage(page, "view.mode === 'preview'")
    wait_for_chip(page, "matches")

    pick(page, "preset", "auto")
    note = page.locator("#preset label:has(input[value=auto]) .about")
    expect(note).to_contain_text(re.compile(r"^1\s\w+, 1\s\w+, about"))
    enhance_all(page)
    expect(page.locator("#batch-cancel")).to_be_visible()
    expect(page.locator("#batch-cancel")).to_have_count(0)
    expect(page.locator("#batch-enhance")).to_have_count(0)
    page.locator("#tab-one-button").click()
    expect(facts).to_contain_text("single.png")
    expect_chosen(page, scale=2)
    expect_result_size(page, 192, 240)
