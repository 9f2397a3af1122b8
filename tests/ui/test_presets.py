"""Presets on the page: an example each, the time beside Gentle's, and a tip where another would suit."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from enhance.web.controls import faster_than

from ..site import Site, photo
from .journey import PATIENCE, choose, press, wait_for_chip


def hazy_photo(site: Site):
    clear = photo(64, 80)
    veil = np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_a_preset_shows_an_example_and_its_time_or_what_would_bring_its_weights(site, open_page):
    page = open_page()
    about = page.locator("#about figure:visible")
    expect(about.locator("img")).to_have_attribute("src", "presets/gentle.jpg", timeout=PATIENCE)

    page.locator("#preset label", has_text="Dehaze").click()

    expect(about.locator("img")).to_have_attribute("src", "presets/dehaze.jpg")
    page.wait_for_function("document.querySelector('#about figure:not([hidden]) img').naturalWidth > 0")
    page.locator("#preset label", has_text="Anime (fast)").hover()
    expect(about).to_contain_text("% as long as Gentle")

    expect(page.locator("#preset input[value=face]")).to_be_disabled(timeout=PATIENCE)

    page.locator("#preset label", has_text="Face").hover()

    expect(about).to_contain_text("Not available")
    expect(about).to_contain_text("enhance weights fetch")
    expect(about).to_contain_text(
        "GFPGANv1.4.pth (https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGAN"
    )
    expect(about).to_contain_text(f"or put these files into {os.environ['ENHANCE_WEIGHTS']}: ")
    assert about.evaluate("figure => figure.scrollWidth <= figure.clientWidth"), "a long address stays within the card"
    assert str(site.files.parent) not in about.inner_text()


def test_a_preset_whose_sliders_were_moved_says_so_and_has_a_way_back(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("reset.png", 40, 40))
    wait_for_chip(page, "matches")
    expect(page.locator("#reset")).to_have_count(0)

    press(page, "sharpen", "ArrowRight", times=3)

    expect(page.locator("#changed")).to_have_text("Modified", timeout=PATIENCE)
    page.locator("#reset").click()
    expect(page.locator("#sharpen input[type=number]")).to_have_value("0")
    expect(page.locator("#reset")).to_have_count(0)
    wait_for_chip(page, "matches")


def test_a_clear_picture_gets_no_tip_a_hazy_one_gets_one_and_the_preset_stays(site: Site, open_page):
    page = open_page()
    choose(page, site.photo("clear.png", 60, 70))
    wait_for_chip(page, "matches")
    expect(page.locator("#tips .tip")).to_have_count(0)

    choose(page, hazy_photo(site))

    expect(page.locator("#tips .tip")).to_contain_text("is hazy", timeout=PATIENCE)
    assert page.locator("#preset input:checked").get_attribute("value") == "gentle"
    wait_for_chip(page, "matches")

    page.locator("#preset label", has_text="Dehaze").click()
    expect(page.locator("#tips .tip")).to_have_count(0, timeout=PATIENCE)


def test_a_soft_photo_is_offered_its_reduction_and_it_is_taken_back_as_easily(site: Site, open_page):
    path = site.files / "soft.png"
    Image.fromarray(photo(150, 160)).resize((320, 300), Image.Resampling.BICUBIC).save(path)
    page = open_page("?preset=anime-fast")
    choose(page, path)

    tip, sizes = page.locator("#tips .tip"), page.locator("#scale label")
    expect(tip).to_contain_text("Downscaling it to 160 × 150 px", timeout=PATIENCE)
    expect(page.locator("#why")).to_contain_text("1,280 × 1,200 px")
    expect(sizes).to_have_count(4)

    tip.locator("button").click()
    expect(tip).to_contain_text("downscaled to 160 × 150 px first", timeout=PATIENCE)
    expect(page.locator("#why")).to_contain_text("640 × 600 px", timeout=PATIENCE)
    expect(sizes).to_have_text(["1×", "2×"])
    wait_for_chip(page, "matches")
    page.locator("#enhance").click()
    expect(page.locator("#progress .finished")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "matches")

    tip.locator("button").click()
    expect(tip).to_contain_text("This photo is soft", timeout=PATIENCE)
    expect(page.locator("#why")).to_contain_text("1,280 × 1,200 px", timeout=PATIENCE)
    expect(sizes).to_have_count(4)

    tip.locator("button").click()
    expect(tip).to_contain_text("is downscaled to", timeout=PATIENCE)
    choose(page, site.photo("another.png", 60, 70))  # a reduction is for one picture
    expect(page.locator("#facts")).to_contain_text("another.png", timeout=PATIENCE)
    expect(sizes).to_have_count(4)


@pytest.mark.parametrize(
    ("preset", "faster"),
    [("gentle", "fast"), ("face", "fast"), ("anime", "anime-fast"), ("fast", "fast"), ("anime-fast", "anime-fast")],
)
def test_what_is_offered_as_faster_is_for_the_same_kind_of_picture(preset, faster):
    assert faster_than(preset) == faster
