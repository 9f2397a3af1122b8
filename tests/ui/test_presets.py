"""Presets: examples, resetting of changes, hints, and choices in quick succession."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image
from skimage import data

from ..site import Site, photo
from .journey import (
    expect,
    expect_chosen,
    load,
    number,
    open_tuning,
    pick,
    press,
)


def hazy_photo(site: Site):
    clear, veil = photo(64, 80), np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_presets_show_examples_can_be_reset_and_auto_follows_the_photo(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("first.png", 8, 8))
    about = page.locator("#preset .about:visible")
    expect(about).to_have_text(re.compile("^For drawings and anime"))
    page.locator("#preset .others").click()
    pick(page, "preset", "dehaze")
    expect(about).to_have_text(re.compile("^For hazy photos"))

    page.locator("#preset label:has(input[value=face])").click(force=True)
    expect_chosen(page, preset="dehaze")
    face = page.locator("#preset input[value=face]")
    expect(face).to_be_focused()
    expect(face).to_have_attribute("aria-disabled", "true")
    reason = page.locator("#preset label:has(input[value=face]) .about")
    expect(reason).to_contain_text("Not installed on this server.")
    assert reason.evaluate("text => text.scrollWidth <= text.clientWidth")
    assert str(site.enhancer.tasks.folder.parent) not in reason.inner_text()
    presets = page.locator("#preset input").evaluate_all("all => all.map(one => one.value)")
    away = page.locator("#preset input[aria-disabled=true]").evaluate_all("all => all.map(one => one.value)")
    passed, selected = [], []
    for _ in presets:
        page.keyboard.press("ArrowRight")
        passed.append(page.evaluate("document.activeElement.value"))
        selected.append(page.locator("#preset input:checked").get_attribute("value"))
    assert sorted(passed) == sorted(presets), "the arrow keys reach every preset"
    assert set(selected) == set(presets) - set(away), "they select those that are installed"

    pick(page, "preset", "anime-fast")
    load(page, site.photo("reset.png", 40, 40))
    expect(page.locator("#reset")).to_have_count(0)
    tuning = page.locator("#tuning-sheet > button")
    expect(tuning).to_contain_text("Set by the preset")
    press(page, "sharpen", "ArrowRight", times=3)
    expect(tuning).to_contain_text("Changed: Sharpen")
    tuning.click()  # The row shows its state and Reset while it is folded, too.
    page.locator("#reset").click()
    expect(page.locator("#reset")).to_have_count(0)
    expect(tuning).to_contain_text("Set by the preset")
    open_tuning(page)
    expect(number(page, "sharpen")).to_have_value("0")

    pick(page, "preset", "auto")
    note, tip = page.locator("#preset label.selected:has([value=auto]) .about"), page.locator("#tips .tip")
    expect_chosen(page, preset="auto")
    clear = site.files / "clear.png"
    Image.fromarray(data.astronaut()).resize((70, 60), Image.Resampling.LANCZOS).save(clear)
    load(page, clear)
    expect(note).to_contain_text("Sharp and clean, so Precise")
    expect(tip).to_have_count(0)
    expect(number(page, "strength")).to_have_value("0.8")

    Image.fromarray(photo(60, 70)).save(site.files / "compressed.jpg", quality=40)
    load(page, site.files / "compressed.jpg")
    expect(note).to_contain_text("Compression artifacts")
    expect(tuning).to_contain_text("Set by Auto")
    load(page, hazy_photo(site))
    expect(tip).to_have_count(1)
    expect_chosen(page, preset="auto")
    tip.locator("button").click()
    expect_chosen(page, preset="dehaze")
    expect(tip).to_have_count(0)
    expect(note).to_have_count(0)


def test_the_list_shows_three_presets_with_their_times_and_the_selected_one(site: Site, open_page):
    page = open_page()
    load(page, site.photo("listed.png", 24, 300))
    presets = page.locator("#preset label:visible")
    names = presets.locator(":scope > span")
    expect(names).to_have_text(["Auto", "Precise", "Gentle", "Original"])
    expect(presets.locator(".time:visible")).to_have_text([re.compile(r"^\d+ (s|min)$")] * 3)
    assert "so Precise, about" in presets.locator(".about:visible").inner_text()

    more = page.locator("#preset .others")
    expect(more).to_have_text("7 more presets")
    more.click()
    expect(presets).to_have_count(11)
    expect(page.locator("#preset label:has([value=face]) .time")).to_have_text("Not installed")
    pick(page, "preset", "anime-fast")
    more.click()
    expect(names).to_have_text(["Auto", "Precise", "Gentle", "Original", "Anime (fast)"])
    expect(more).to_have_text("6 more presets")
    expect(page.locator("#preset label:has([value=auto]) .time")).to_have_text(re.compile("^Precise, about"))
    expect(page.locator("#preset .about:visible")).to_have_text(re.compile("^For drawings and anime"))
