"""Every state of the page in both languages: `make states`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from ..site import Site
from .audit import faults, start_axe
from .journey import (
    add_files,
    choose,
    enhance,
    enhance_all,
    expect,
    history,
    load,
    open_batch,
    pick,
    press,
    result_is,
    wait_for_chip,
    wait_for_stage,
)

pytestmark = pytest.mark.long


def states(page: Page, site: Site) -> Iterator[str]:
    """Set the page to one state after the other; yield their names."""
    yield "empty"
    choose(page, site.text("letter.png"))
    expect(page.locator("#upload-problem .problem")).to_be_in_viewport()
    yield "refused"
    load(page, site.photo("states.png", 900, 720))
    yield "preview"
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for_stage(page, "view.mode === 'live'")
        yield "running"
        page.locator("#cancel").click()
        expect(page.locator("#progress .cancelled")).to_be_visible()
    load(page, site.photo("second.png", 60, 48))
    with site.enhancer.paused("cell"):
        page.locator("#compare-presets").click()
        expect(page.locator("button.cell")).to_have_count(1)
        yield "comparison, incomplete"
    expect(page.locator(".cell.pending")).to_have_count(0)
    yield "comparison"
    page.locator("#compare-presets").click()
    expect(page.locator("#comparison .cell")).to_have_count(0)
    enhance(page)
    yield "result"
    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    wait_for_chip(page, "matches")
    pick(page, "size", "long_side")
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    expect(page.locator("#long_side")).to_be_visible()
    yield "outdated, with open tuning"
    pick(page, "size", "scale")
    expect(page.locator("#long_side")).to_be_hidden()
    page.locator("#tuning-sheet > button").click()
    page.locator("#facts button").click()
    page.evaluate("scrollTo(0, 0), document.querySelector('#panel').scrollTo(0, 0)")
    yield "facts of the result"
    open_batch(page)
    yield "batch"
    add_files(page, *(site.photo(name, 20, 24) for name in ("1.png", "2.png")))
    enhance_all(page)
    expect(page.locator("#batch-download")).to_be_visible()
    history(page)
    expect(page.locator("#history-list [data-act=zip]")).to_have_count(1)
    page.locator("#history-list [data-act=files]").click()
    expect(page.locator("#history-list li li")).to_have_count(2)
    page.evaluate("scrollTo(0, 0)")
    yield "batch, with recent results"
    page.route("**/app_id", lambda route: route.fulfill(json={"app_id": 1}))
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator("#server-changed button")).to_be_visible()
    yield "after a restart of the server"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_state_is_accessible_fits_and_is_in_one_language(site: Site, open_page, language):
    page = open_page(f"?preset=anime-fast&lang={language}")
    start_axe(page)
    report = [f"{state}: {one}" for state in states(page, site) for one in faults(page, language)]
    assert not report, "\n".join(report)
