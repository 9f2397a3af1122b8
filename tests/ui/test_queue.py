"""The queue as the page shows it."""

from __future__ import annotations

import re

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import SETTINGS, Site, wait_until
from .journey import card, enhance_all, load, open_batch


def ask(site: Site, name: str) -> None:
    """Start a run of another client; nobody reads its answer."""
    with site.photo(name, 16, 16).open("rb") as file:
        path = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, file)}).json()[0]
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    values = (SETTINGS | {"preset": "anime-fast"}).values()
    httpx.post(f"{site.url}gradio_api/call/enhance", json={"data": [image, *values]}).raise_for_status()


def test_a_waiting_run_and_batch_show_their_positions_and_can_be_cancelled(site: Site, open_page):
    page, other = open_page("?preset=anime-fast"), open_page("?preset=anime-fast", locale="zh-CN")
    load(page, site.photo("waits.png", 24, 24))
    with site.enhancer.paused("run", of="ahead.png"):
        runs = site.enhancer.calls["run"]
        ask(site, "ahead.png")
        wait_until(lambda: site.enhancer.calls["run"] == runs + 1)
        page.locator("#enhance").click()
        expect(page.locator("#progress .run p")).to_contain_text(re.compile(r"\d"))
        expect(page.locator("#progress progress[value]")).to_have_count(0)
        open_batch(other, site.photo("patient.png", 22, 22))
        enhance_all(other)
        expect(card(other, "patient.png").locator(".state")).to_contain_text("3")
        expect(other.locator("#batch-progress .run p")).to_contain_text("3")
        page.locator("#cancel").click()
        expect(page.locator("#progress .cancelled")).to_be_visible()
        expect(card(other, "patient.png").locator(".state")).to_contain_text("2")
        other.reload()
        other.locator("#tab-many-button").click()
        expect(card(other, "patient.png").locator(".state")).to_contain_text("2")
    expect(card(other, "patient.png")).to_have_attribute("data-state", "done")
