"""Models of one's own in a browser: a group of their own, the size that follows, and one that is removed meanwhile."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from enhance import models
from enhance.models.user_models import remove

from ..own_models import added
from .journey import PATIENCE, choose, enhance, wait_for_chip
from .test_every_state import AXE, faults


@pytest.fixture
def own(site):
    with added("compact-2x", "esrgan-1x"):
        yield


def test_ones_own_models_stand_below_the_presets_and_the_size_follows_them(site, open_page, own):
    page = open_page("?preset=anime-fast", reduced_motion="reduce")
    mine = page.locator("#preset label.own")
    expect(mine).to_have_text(["compact-2x · 2× Compact", "esrgan-1x · 1× ESRGAN"], timeout=PATIENCE)
    heading = page.locator("#preset .wrap:has(label)").evaluate("one => getComputedStyle(one, '::after').content")
    assert heading == '"Your models"'
    places = page.locator("#preset label").evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")
    assert min(places[-2:]) > max(places[:-2])
    page.evaluate(AXE + ";0")
    assert list(faults(page, "en")) == []
    choose(page, site.photo("own.png", 40, 48))
    wait_for_chip(page, "matches")
    expect(page.locator("#scale input[value='4']")).to_be_checked(timeout=PATIENCE)

    mine.first.click()

    expect(page.locator("#scale label")).to_have_text(["1×", "2×"], timeout=PATIENCE)
    expect(page.locator("#scale input[value='2']")).to_be_checked()
    expect(page.locator("#preset-problem")).to_contain_text("supports up to 2×")
    expect(page.locator("#why")).to_contain_text("96 × 80 px", timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("0.8 × 0.7 cm")
    wait_for_chip(page, "matches")
    enhance(page)
    page.wait_for_function("document.querySelector('#compare img').naturalWidth > 0", timeout=PATIENCE)
    assert page.locator("#compare img").first.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [96, 80]

    remove("compact-2x", models.folder())
    page.locator("#scale label", has_text="1×").click()
    expect(page.locator("#size-problem")).to_contain_text("“compact-2x”", timeout=PATIENCE)
    page.reload()
    expect(mine).to_have_text(["esrgan-1x · 1× ESRGAN"], timeout=PATIENCE)
    expect(page.locator("#preset-problem")).to_contain_text("“compact-2x”")
