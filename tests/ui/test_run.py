"""A run: progress, cancel, the result that is shown and downloaded."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from enhance.web import run

from ..site import Site, wait_until
from .journey import (
    choose,
    enhance,
    expect,
    load,
    result_facts,
    wait_for_chip,
    wait_for_stage,
)


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
    is_late, is_shown, text = threading.Event(), threading.Event(), run.progress_text

    def late_progress(*given: Any) -> Any:
        is_late.set()
        is_shown.wait(60)
        return text(*given)

    monkeypatch.setattr(run, "progress_text", late_progress)
    page.evaluate("() => { window.enhanceFocusStep = (step) => { window.step = step; }; }")
    with site.enhancer.paused("end", of="first.png"):
        page.locator("#enhance").click()
        wait_until(is_late.is_set)
        choose(page, site.photo("second.png", 60, 40))
        expect(page.locator("#facts")).to_contain_text("second.png")
    is_shown.set()  # Only now does the page get the progress of the first photo.
    page.wait_for_function("window.step === 'end'")
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
