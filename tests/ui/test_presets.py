"""Presets: examples, resetting of changes, and what Auto selects."""

from __future__ import annotations

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from ..site import Site, photo
from .journey import download, enhance, expect_chosen, load, number, pick, press, result_is, wait_for_chip


def hazy_photo(site: Site):
    clear, veil = photo(64, 80), np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_presets_show_examples_can_be_reset_and_auto_follows_the_photo(site: Site, open_page, tmp_path):
    page = open_page()
    about = page.locator("#about figure:visible")
    expect(about).to_have_attribute("data-preset", "auto")
    pick(page, "preset", "gentle")
    expect(about.locator("img")).to_have_attribute("src", "presets/gentle.jpg")
    pick(page, "preset", "dehaze")
    expect(about.locator("img")).to_have_attribute("src", "presets/dehaze.jpg")
    page.wait_for_function("document.querySelector('#about figure:not([hidden]) img').naturalWidth > 0")
    expect(page.locator("#preset input[value=face]")).to_be_disabled()
    page.locator("#preset label:has(input[value=face])").hover()
    expect(about).to_have_attribute("data-preset", "face")
    assert about.evaluate("figure => figure.scrollWidth <= figure.clientWidth")
    assert str(site.enhancer.tasks.folder.parent) not in about.inner_text()

    here = [one.get_attribute("value") for one in page.locator("#preset input:enabled").all()]
    page.locator("#preset input:checked").focus()
    passed = []
    for _ in here:
        page.keyboard.press("ArrowRight")
        passed.append(page.evaluate("document.activeElement.value"))
    assert sorted(passed) == sorted(here), "the arrow keys skip what is unavailable"

    pick(page, "preset", "anime-fast")
    load(page, site.photo("reset.png", 40, 40))
    expect(page.locator("#reset")).to_have_count(0)
    press(page, "sharpen", "ArrowRight", times=3)
    expect(page.locator("#changed .chip")).to_be_visible()
    page.locator("#reset").click()
    expect(number(page, "sharpen")).to_have_value("0")
    expect(page.locator("#reset")).to_have_count(0)

    pick(page, "preset", "auto")
    note, tip, why = page.locator("#tips .note"), page.locator("#tips .tip"), page.locator("#why")
    expect_chosen(page, preset="auto")
    clear = site.files / "clear.png"
    Image.fromarray(data.astronaut()).resize((70, 60), Image.Resampling.LANCZOS).save(clear)
    load(page, clear)
    expect(note).to_contain_text("Sharp and clean. Auto selects Precise")
    expect(tip).to_have_count(0)
    expect(number(page, "strength")).to_have_value("0.8")

    pick(page, "scale", 1)
    expect(note).to_contain_text("Resize")
    expect(number(page, "sharpen")).to_have_value("0.1")
    wait_for_chip(page, "matches")
    pick(page, "scale", 8)
    expect(note).to_contain_text("Precise")
    expect(why).to_contain_text("560 × 480 px")
    wait_for_chip(page, "matches")
    pick(page, "scale", 2)
    enhance(page)
    result_is(page, "matches")
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (140, 120)

    Image.fromarray(photo(60, 70)).save(site.files / "compressed.jpg", quality=40)
    load(page, site.files / "compressed.jpg")
    expect(note).to_contain_text("Compression artifacts")
    load(page, hazy_photo(site))
    expect(tip).to_have_count(1)
    expect_chosen(page, preset="auto")
    tip.locator("button").click()
    expect_chosen(page, preset="dehaze")
    expect(tip).to_have_count(0)
    expect(note).to_have_count(0)
