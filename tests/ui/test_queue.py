"""Positions in the queue on the page."""

from __future__ import annotations

import re
from contextlib import ExitStack

from ..site import Site, busy_device
from .journey import card, enhance, enhance_all, expect, load, open_batch


def test_a_full_queue_rejects_a_run_and_runs_and_batches_wait_with_their_positions(site: Site, open_page):
    page, other = open_page("?preset=anime-fast"), open_page("?preset=anime-fast", locale="zh-CN")
    load(page, site.photo("rejected.png", 24, 24))
    with ExitStack() as stack:
        for number in range(22):
            stack.enter_context(site.enhancer.scheduler.admit(f"other {number}", "run", 100))
        page.locator("#enhance").click()
        expect(page.locator("#progress .problem")).to_contain_text("The queue is full.")
    enhance(page)

    load(page, site.photo("waits.png", 26, 24))
    with busy_device(site.enhancer.scheduler):
        page.locator("#enhance").click()
        expect(page.locator("#progress .run p")).to_contain_text(re.compile(r"\d"))
        expect(page.locator("#progress progress[value]")).to_have_count(0)
        open_batch(other, site.photo("patient.png", 22, 22))
        enhance_all(other)
        state = card(other, "patient.png").locator(".state")
        expect(state).to_contain_text("3")
        expect(other.locator("#batch-progress .run p")).to_contain_text("3")
        page.locator("#cancel").click()
        expect(page.locator("#progress .cancelled")).to_be_visible()
        expect(state).to_contain_text("2")
        other.reload()
        other.locator("#tab-many-button").click()
        expect(state).to_contain_text("2")
    expect(card(other, "patient.png")).to_have_attribute("data-state", "done")
