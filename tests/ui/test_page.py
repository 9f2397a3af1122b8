"""The whole way through the page, in a real browser with the real engine."""

from __future__ import annotations

import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from enhance import EnhanceError

from ..site import photo
from .journey import (
    PATIENCE,
    choose,
    choose_again,
    click_at,
    download,
    enhance,
    how_it_was_made,
    press,
    preview_pictures,
    view,
    wait_for_chip,
    wait_for_new_preview,
)


def test_the_whole_way_gives_the_very_pixels_of_the_network(site, open_page, tmp_path):
    page = open_page("?preset=original")
    choose(page, site.photo("eye.png", 24, 32))
    expect(page.locator("#facts")).to_contain_text("32 × 24 px")
    expect(page.locator("#facts")).to_contain_text("128 × 96 px")
    expect(page.locator("#estimate")).to_contain_text("about", timeout=PATIENCE)
    wait_for_chip(page, "matches")

    enhance(page)
    expect(page.locator("#compare [data-testid=imageslider-image]")).to_have_count(2)
    expect(how_it_was_made(page)).to_contain_text("realesrgan-x4plus")
    expect(how_it_was_made(page)).to_contain_text("dB")

    path = download(page, tmp_path)
    assert path.name == "eye-4x.png"
    assert np.array_equal(np.asarray(Image.open(path)), site.enhancer.upscale(photo(24, 32)))


def test_a_click_on_the_picture_chooses_the_square_and_a_second_replaces_the_preview_on_its_way(
    site, open_page, monkeypatch
):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("wide.png", 200, 300))
    wait_for_chip(page, "matches")
    expect(page.locator("#preview-where")).to_contain_text("around 150, 100")
    first, square = preview_pictures(page), page.locator("#photo .square").get_attribute("style")

    click_at(page, "#photo", 0.9, 0.1)

    wait_for_new_preview(page, first)
    expect(page.locator("#preview-where")).to_contain_text("around 236, 64")
    expect(page.locator("#photo .square")).not_to_have_attribute("style", square or "")

    whole_preview, begun, last = site.enhancer.preview, threading.Semaphore(0), threading.Event()

    def slow(*given, **named):
        begun.release()
        while not (named["stop"].is_set() or last.is_set()):
            time.sleep(0.02)
        return whole_preview(*given, **named)

    monkeypatch.setattr(site.enhancer, "preview", slow)
    click_at(page, "#photo", 0.1, 0.1)
    assert begun.acquire(timeout=60)
    wait_for_chip(page, "running")
    click_at(page, "#photo", 0.1, 0.9)
    assert begun.acquire(timeout=60), "the first preview was not stopped"
    last.set()

    wait_for_chip(page, "matches")
    expect(page.locator("#preview-where")).to_contain_text("around 64, 136")


EIGHT_MOVES = """(slider) => {
  for (let move = 1; move <= 8; move++) {
    slider.value = String(1.05 + 0.05 * move);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def test_eight_quick_moves_of_a_slider_run_no_network_and_retune_at_most_twice(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("moves.png", 128, 128))
    wait_for_chip(page, "matches")
    before = preview_pictures(page)
    press(page, "saturation", "ArrowRight")
    old = wait_for_new_preview(page, before)
    previews, retunes = site.enhancer.previews, site.enhancer.retunes

    page.locator("#saturation input[type=range]").evaluate(EIGHT_MOVES)

    wait_for_new_preview(page, old)
    expect(page.locator("#saturation input[type=number]")).to_have_value("1.45")
    assert site.enhancer.previews == previews
    assert 1 <= site.enhancer.retunes - retunes <= 2


def test_retry_runs_the_network_again_and_keeps_the_old_picture_also_when_it_fails_and_says_why(
    site, open_page, monkeypatch
):
    def fail(*_, **__):
        raise EnhanceError("memory_short")

    page = open_page("?preset=anime-fast")
    choose(page, site.photo("again.png", 64, 64))
    wait_for_chip(page, "matches")
    old, previews = preview_pictures(page), site.enhancer.previews

    page.locator("#retry").click()

    old = wait_for_new_preview(page, old)
    assert site.enhancer.previews == previews + 1

    monkeypatch.setattr(site.enhancer, "preview", fail)
    page.locator("#retry").click()

    wait_for_chip(page, "failed")
    expect(page.locator("#preview-problem .problem")).to_contain_text("Not enough memory")
    assert preview_pictures(page) == old

    monkeypatch.undo()
    page.locator("#retry").click()
    wait_for_new_preview(page, old)
    expect(page.locator("#preview-problem .problem")).to_have_count(0)


def test_tuning_off_greys_the_sliders_out_and_shows_the_plain_network(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("switch.png", 64, 64))
    wait_for_chip(page, "matches")
    old = preview_pictures(page)
    expect(page.locator("#denoise")).to_have_count(0)

    page.locator("#tuning-sheet > button").click()
    page.locator("#tuning input").uncheck()

    wait_for_new_preview(page, old)
    for slider in ("strength", "fidelity", "sharpen", "saturation", "contrast"):
        expect(page.locator(f"#{slider} input[type=range]")).to_be_disabled()


def test_cancel_stops_the_engine_and_the_next_run_works(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("long.png", 450, 360))
    wait_for_chip(page, "matches")
    before = set(site.enhancer.tasks.processed.glob("*"))
    expect(page.locator("#cancel")).to_have_count(0)
    with site.enhancer.midway():
        page.locator("#enhance").click()
        expect(page.locator("#progress")).to_contain_text("% done", timeout=PATIENCE)
        expect(page.locator("#enhance")).to_have_count(0)
        expect(page.locator("#live img")).to_be_visible(timeout=PATIENCE)

        page.locator("#cancel").click()

        expect(page.locator("#progress")).to_contain_text("Cancelled. No file was saved.", timeout=PATIENCE)
    assert site.enhancer.status()["running"] == 0
    assert set(site.enhancer.tasks.processed.glob("*")) == before
    expect(page.locator("#enhance")).to_be_enabled()
    choose_again(page, site.photo("short.png", 48, 48))
    enhance(page)


def test_an_unchanged_request_is_not_computed_again(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("same.png", 48, 48))
    wait_for_chip(page, "matches")
    enhance(page)
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "matches")
    runs = site.enhancer.runs

    expect(page.locator("#enhance")).to_have_count(0)
    press(page, "contrast", "ArrowRight")
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "outdated", timeout=PATIENCE)
    expect(page.locator("#compare [data-testid=imageslider-image]")).to_have_count(2)
    expect(page.locator("#enhance")).to_be_enabled()
    press(page, "contrast", "ArrowLeft")
    expect(page.locator("#enhance")).to_have_count(0, timeout=PATIENCE)
    assert site.enhancer.runs == runs


def test_a_place_of_the_result_is_shown_one_to_one(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("closely.png", 220, 300))
    wait_for_chip(page, "matches")
    enhance(page)
    images = page.locator("#closely [data-testid=imageslider-image]")
    expect(images).to_have_count(2, timeout=PATIENCE)
    old = images.nth(1).get_attribute("src") or ""

    view(page, "close")
    click_at(page, "#photo", 0.05, 0.05)

    expect(images.nth(1)).not_to_have_attribute("src", old, timeout=PATIENCE)
    page.wait_for_function("document.querySelector('#closely img').naturalWidth === 512")
    page.wait_for_function("document.querySelector('#closely img').getBoundingClientRect().width === 512")
    expect(page.locator("#zoom output")).to_have_text("100%")


def test_start_over_puts_everything_away(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("over.png", 48, 48))
    wait_for_chip(page, "matches")
    enhance(page)

    page.locator("#again").click()

    wait_for_chip(page, "none")
    expect(page.locator("#made")).to_have_count(0)
    expect(page.locator("#photo .photo")).to_have_count(0)
    expect(page.locator("#choose")).to_be_in_viewport()
    expect(page.locator("#enhance")).to_be_disabled()
    expect(page.locator("#why")).to_contain_text("Choose a photo first.")


def test_a_refused_file_says_why_where_one_looks(site, open_page):
    page = open_page("?preset=anime-fast")
    bad = site.files / "letter.png"
    bad.write_text("This is not a picture.")

    choose(page, bad)

    expect(page.locator("#upload-problem .problem")).to_contain_text("letter.png")
    expect(page.locator("#enhance")).to_be_disabled()
    choose(page, site.photo("good.png", 40, 40))
    expect(page.locator("#upload-problem .problem")).to_have_count(0)
    expect(page.locator("#facts")).to_contain_text("good.png")


def test_an_example_is_one_click(open_page):
    page = open_page("?preset=anime-fast")
    page.locator("#examples button").first.click()
    expect(page.locator("#facts")).to_contain_text("astronaut.jpg", timeout=PATIENCE)
    wait_for_chip(page, "matches")


def test_closing_the_page_stops_its_run_after_a_while(site, open_page, monkeypatch):
    monkeypatch.setattr("enhance.web.session.GRACE_SECONDS", 0)
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("closed.png", 290, 240))
    wait_for_chip(page, "matches")
    with site.enhancer.midway():
        page.locator("#enhance").click()
        expect(page.locator("#progress")).to_contain_text("% done", timeout=PATIENCE)

        page.close()

        end = time.monotonic() + 20
        while site.enhancer.status()["running"]:
            assert time.monotonic() < end, "the engine still works for a page that is gone"
            time.sleep(0.05)


def test_a_picture_changed_at_the_last_moment_of_a_run_gets_no_result_of_the_old_one(site, open_page, monkeypatch):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("first.png", 48, 48))
    wait_for_chip(page, "matches")
    made, go_on, whole_run = threading.Event(), threading.Event(), site.enhancer.run

    def run_and_wait(*given, **named):
        result = whole_run(*given, **named)
        made.set()
        go_on.wait(60)
        return result

    monkeypatch.setattr(site.enhancer, "run", run_and_wait)
    page.locator("#enhance").click()
    assert made.wait(60)
    choose_again(page, site.photo("second.png", 60, 40))
    go_on.set()
    monkeypatch.undo()

    expect(page.locator("#enhance")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("second.png")
    expect(page.locator("#made")).to_have_count(0)
    expect(page.locator("#download")).to_have_count(0)
    expect(page.locator("#progress .run")).to_have_count(0)
    enhance(page)
    expect(how_it_was_made(page)).to_contain_text("second.png")


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
"""Notes from now on which parts of the page are dimmed or covered because something is under way."""


def test_a_run_covers_and_empties_nothing_that_it_does_not_change(site, open_page, monkeypatch):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("calm.png", 160, 200))
    wait_for_chip(page, "matches")
    enhance(page)
    expect(page.locator("#closely [data-testid=imageslider-image]")).to_have_count(2, timeout=PATIENCE)
    page.evaluate(COVERED)

    press(page, "contrast", "ArrowRight")
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "outdated", timeout=PATIENCE)
    looked, whole_run = threading.Event(), site.enhancer.run
    monkeypatch.setattr(site.enhancer, "run", lambda *given, **named: (looked.wait(60), whole_run(*given, **named))[1])
    page.locator("#enhance").click()
    expect(page.locator("#cancel")).to_be_enabled(timeout=PATIENCE)
    for part in ("#compare", "#closely", "#preview"):
        expect(page.locator(f"{part} [data-testid=imageslider-image]")).to_have_count(2)
    for part, words in (("#facts", "calm.png"), ("#preview-where", "Preview area")):
        expect(page.locator(part)).to_contain_text(words)
    looked.set()
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "matches", timeout=PATIENCE)

    assert page.evaluate("[...window.covered]") == []


def test_hidden_progress_is_told_to_one_part_of_the_page_and_not_to_all_that_an_answer_may_change(site):
    """Each part that is told is drawn anew, three times an answer: 1 s instead of 0.4 for a preview, at a desk."""
    events = httpx.get(f"{site.url}config").json()["dependencies"]
    hidden = [event for event in events if event["show_progress"] == "hidden"]
    assert len(hidden) > 50
    assert {len(event["show_progress_on"] or event["outputs"]) for event in hidden} == {1}
