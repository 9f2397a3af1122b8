"""Presets: examples, resetting of changes, hints, and choices in quick succession."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image
from skimage import data

from enhance.web import cards as web_cards

from ..site import Site, photo
from .journey import (
    choose,
    drag,
    expect,
    expect_chosen,
    load,
    number,
    open_tuning,
    pick,
    press,
    wait_for_chip,
)


def hazy_photo(site: Site):
    clear, veil = photo(64, 80), np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_presets_show_examples_can_be_reset_and_auto_follows_the_photo(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("first.png", 8, 8))
    about = page.locator("#about figure:visible")
    expect(about).to_have_attribute("data-preset", "anime-fast")
    page.locator("#preset .others").click()
    pick(page, "preset", "dehaze")
    expect(about).to_have_attribute("data-preset", "dehaze")

    page.locator("#preset label:has(input[value=face])").click(force=True)
    expect_chosen(page, preset="dehaze")
    face = page.locator("#preset input[value=face]")
    expect(face).to_be_focused()
    expect(face).to_have_attribute("aria-disabled", "true")
    expect(about).to_have_attribute("data-preset", "face")
    assert about.evaluate("figure => figure.scrollWidth <= figure.clientWidth")
    assert str(site.enhancer.tasks.folder.parent) not in about.inner_text()
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
    note, tip = page.locator("#preset label.selected:has([value=auto]) small"), page.locator("#tips .tip")
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


def test_cards_show_the_photo_before_and_after_each_preset_without_delaying_a_preview(
    site: Site, open_page, monkeypatch
):
    monkeypatch.setattr(web_cards, "MAX_SECONDS", 600)
    monkeypatch.setattr(web_cards, "CARD_SIDE", 12)
    page = open_page()
    made, file = site.enhancer.calls["card"], site.photo("cards.png", 24, 300)
    with site.enhancer.paused("card"):
        with site.enhancer.paused("preview"):
            choose(page, file)
            wait_for_chip(page, "running")
            expect(page.locator("#cards [data-cards]")).to_have_count(1)
            assert site.enhancer.calls["card"] == made, "the preview comes first"
        load(page, file)
        cards = page.locator("#preset label:not(:first-child):visible")
        expect(cards).to_have_count(3)
        expect(cards.locator(".picture.both")).to_have_count(0)
        expect(cards.locator(".picture > img[src]")).to_have_count(3)
        for _ in range(3):  # The stage does not wait for cards.
            drag(page, -40, 0)
            wait_for_chip(page, "matches")
    expect(cards.locator(".picture.both")).to_have_count(3)
    drawn = "(images) => images.every((image) => image.complete && image.naturalWidth)"
    assert cards.locator(".picture img").evaluate_all(drawn)
    expect(cards.locator("small")).to_have_text([re.compile(r"\d+ (s|min)")] * 3)
    chosen = page.locator("#preset label:has(.picture b:not(:empty))")
    expect(chosen).to_have_count(1)
    reason = page.locator("#preset label.selected small").inner_text()
    assert chosen.locator(":scope > span:not(.picture)").inner_text() in reason

    pictures = cards.locator(".picture > img").evaluate_all("all => all.map((one) => one.src)")
    assert len(set(pictures)) == 1, "all cards show the same place"
    page.locator("#viewer canvas").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(cards.first.locator(".picture > img")).not_to_have_attribute("src", re.compile(re.escape(pictures[0][-40:])))
    expect(cards.locator(".picture.both")).to_have_count(3)
