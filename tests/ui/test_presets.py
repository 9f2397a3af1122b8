"""Presets on the page: an example each, the time beside Gentle's, and a tip where another would suit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import Site, photo
from .journey import PATIENCE, choose, wait_for_chip


def hazy_photo(site: Site):
    clear = photo(64, 80)
    veil = np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_a_preset_shows_an_example_and_its_time(open_page):
    page = open_page()
    example = page.locator("#preset-example img")
    expect(example).to_be_visible(timeout=PATIENCE)
    gentle = example.get_attribute("src")
    assert gentle

    page.locator("#preset label", has_text="Dehaze").click()

    expect(example).not_to_have_attribute("src", gentle, timeout=PATIENCE)
    expect(page.locator("#preset label", has_text="Anime, fast")).to_contain_text("% of Gentle's time")
    expect(page.locator("#preset label", has_text="Face")).to_contain_text("Its weights are not here")


def test_a_hazy_picture_gets_a_tip_and_the_preset_stays(site: Site, open_page):
    page = open_page()
    choose(page, hazy_photo(site))

    expect(page.locator("#estimate .tip")).to_contain_text("looks hazy", timeout=PATIENCE)
    assert page.locator("#preset input:checked").get_attribute("value") == "gentle"
    wait_for_chip(page, "matches")

    page.locator("#preset label", has_text="Dehaze").click()
    expect(page.locator("#estimate .tip")).to_have_count(0, timeout=PATIENCE)


def test_a_clear_picture_gets_no_tip(site: Site, open_page):
    page = open_page()
    choose(page, site.photo("clear.png", 60, 70))

    wait_for_chip(page, "matches")
    expect(page.locator("#estimate .tip")).to_have_count(0)
