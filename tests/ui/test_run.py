"""A run: progress, cancel, the result that is shown and downloaded."""

from __future__ import annotations

import io
import re

import httpx
import numpy as np
import pytest
from PIL import Image

from ..site import Site, photo, wait_until
from .journey import (
    box,
    choose,
    download,
    drag,
    enhance,
    expect,
    images,
    load,
    pick,
    press,
    result_facts,
    result_is,
    stage,
    wait_for_chip,
    wait_for_stage,
)

COVERED = """() => {
  window.covered = new Set();
  const look = () => {
    for (const cover of document.querySelectorAll("[data-testid=status-tracker], .html-container.pending")) {
      const seen = cover.getBoundingClientRect().height > 0 && getComputedStyle(cover).opacity !== "0";
      if (seen && !cover.classList.contains("hide")) window.covered.add(cover.closest("[id]").id);
    }
    requestAnimationFrame(look);
  };
  look();
}"""
"""Record which parts of the page are dimmed or covered from now on."""


def test_a_result_is_shown_and_downloaded_and_is_outdated_while_the_settings_differ(site: Site, open_page, tmp_path):
    page = open_page("?preset=original")
    load(page, site.photo("eye.png", 12, 16))
    expect(page.locator("#why")).to_contain_text("64 × 48 px")
    expect(page.locator("#estimate .note")).to_be_visible()
    shown = Image.open(io.BytesIO(httpx.get(images(page)[1]).content))
    enhance(page)
    expect(result_facts(page)).to_contain_text("realesrgan-x4plus")
    path = download(page, tmp_path)
    assert path.name == "eye-4x.png"
    result = np.asarray(Image.open(path))
    assert np.array_equal(result, site.enhancer.upscale(photo(12, 16)))
    assert np.abs(result - np.asarray(shown, float)).mean() < 2, "the preview is a JPEG"

    pick(page, "preset", "anime-fast")
    load(page, site.photo("close.png", 300, 680))
    enhance(page)
    wait_for_stage(page, "view.mode === 'result' && view.zoom < 1")
    assert stage(page)["layers"]["result"] == 0
    for fact in ("close-4x.png", "2,720 × 1,200 px", "PNG, "):
        expect(page.locator("#facts dl").first).to_contain_text(fact)
    place = page.locator("#done [data-place]")
    left, top = map(int, (place.get_attribute("data-place") or "").split(","))
    place.press("Enter")
    page.wait_for_function(
        """([left, top]) => {
          const view = window.enhanceView(), stage = document.querySelector("#viewer canvas");
          const offsets = [4 * Math.abs(view.x - left), 4 * Math.abs(view.y - top)];
          const isDivided = Math.abs(Math.abs(view.split - 0.5) * stage.clientWidth - offsets[0]) < 2;
          const isVisible = offsets[0] < stage.clientWidth / 2 && offsets[1] < stage.clientHeight / 2;
          return view.zoom === 1 && isDivided && isVisible;
        }""",
        arg=[left, top],
    )
    page.locator("#viewer [data-act=fit]").click()
    page.locator("#viewer [data-act=actual]").click()
    drag(page, 300, 200)
    wait_for_stage(page, "view.layers.result >= 1")
    page.locator("#viewer .knob").focus()
    page.keyboard.press("Home")
    page.wait_for_function("window.enhanceView().split === 0")
    result = np.asarray(Image.open(download(page, tmp_path)), float)
    rect, view = box(page.locator("#viewer canvas")), stage(page)
    left, top = (round(4 * view[axis] - rect[side] / 2) for axis, side in (("x", "width"), ("y", "height")))
    inside = {"x": rect["x"] + 200, "y": rect["y"] + 200, "width": 300, "height": 200}
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=inside))).convert("RGB"), float)
    expected = result[top + 200 : top + 400, left + 200 : left + 500]
    assert np.abs(shown - expected).mean() < 2

    runs = site.enhancer.calls["run"]
    result_is(page, "matches")
    expect(page.locator("#enhance")).to_have_count(0)
    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    press(page, "contrast", "ArrowLeft")
    expect(page.locator("#enhance")).to_have_count(0)
    assert site.enhancer.calls["run"] == runs

    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    wait_for_chip(page, "matches")
    page.evaluate(COVERED)
    with site.enhancer.paused("run"):
        page.locator("#enhance").click()
        expect(page.locator("#cancel")).to_be_enabled()
        assert (stage(page)["photo"], stage(page)["result"]) == (True, True)
        expect(page.locator("#facts")).to_contain_text("close.png")
    result_is(page, "matches")
    assert page.evaluate("[...window.covered]") == []

    page.locator("#again").click()
    wait_for_chip(page, "none")
    expect(page.locator("[data-result]")).to_have_count(0)
    expect(page.locator("[data-photo]")).to_have_count(0)


def test_a_run_ends_when_it_is_cancelled_its_photo_is_replaced_or_the_page_is_closed(
    site: Site, open_page, monkeypatch: pytest.MonkeyPatch
):
    page, folder = open_page("?preset=anime-fast"), site.enhancer.tasks.processed
    load(page, site.photo("long.png", 450, 360))
    before = set(folder.glob("*"))
    expect(page.locator("#cancel")).to_have_count(0)
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        expect(page.locator("#progress progress[value]")).to_be_visible()
        expect(page).to_have_title(re.compile(r"^\d+% · Enhance$"))
        wait_for_stage(page, "view.mode === 'live'")
        expect(page.locator("#enhance")).to_have_count(0)
        page.locator("#cancel").click()
        expect(page.locator("#progress .cancelled")).to_be_visible()
    assert site.enhancer.status()["running"] == 0
    assert set(folder.glob("*")) == before

    load(page, site.photo("first.png", 48, 48))
    runs = site.enhancer.calls["run"]
    with site.enhancer.paused("end", of="first.png"):
        page.locator("#enhance").click()
        wait_until(lambda: site.enhancer.calls["run"] == runs + 1)
        choose(page, site.photo("second.png", 60, 40))
        expect(page.locator("#facts")).to_contain_text("second.png")
    expect(page.locator("#enhance")).to_be_enabled()
    expect(page.locator("[data-result]")).to_have_count(0)
    expect(page.locator("#progress .run")).to_have_count(0)
    wait_for_chip(page, "matches")
    enhance(page)
    expect(result_facts(page)).to_contain_text("second.png")

    monkeypatch.setattr("enhance.web.sessions.GRACE_SECONDS", 0)
    load(page, site.photo("closed.png", 300, 48))
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        expect(page.locator("#progress progress[value]")).to_be_visible()
        page.close()
        wait_until(lambda: site.enhancer.status()["running"] == 0)
