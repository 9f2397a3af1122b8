"""Coming back: a run whose tab was closed, and files that were added without a connection."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from ..site import Site
from .cable import cable
from .journey import choose, download, enhance, expect, load, open_batch, wait_for_stage
from .test_upload import UPLOAD

NOTICE = "#notice section"


def new_tab(page: Page, site: Site) -> Page:
    tab = page.context.new_page()
    tab.goto(f"{site.url}?preset=anime-fast")
    tab.locator("body.opened").wait_for()
    return tab


def test_a_run_whose_tab_was_closed_is_shown_in_a_new_tab_until_it_is_downloaded(site: Site, open_page, tmp_path):
    first = open_page("?preset=anime-fast")
    load(first, site.photo("left.png", 300, 48))
    with site.enhancer.paused("progress"):
        first.locator("#enhance").click()
        expect(first.locator("#progress progress[value]")).to_be_visible()
        tab = new_tab(first, site)
        tab.wait_for_timeout(600)
        expect(tab.locator(NOTICE)).to_have_count(0)  # The first tab is still open.
        first.close()
        tab.reload()
        expect(tab.locator(NOTICE)).to_contain_text(re.compile(r"Still running: \d+%"))
        expect(tab.locator(NOTICE)).to_contain_text("left.png")
    expect(tab.locator(NOTICE)).to_contain_text("Finished while you were away")
    expect(tab.locator(f"{NOTICE} img")).to_be_visible()
    tab.locator(f"{NOTICE} [data-act=open]").click()
    wait_for_stage(tab, "view.mode === 'result' && view.result")
    expect(tab.locator(NOTICE)).to_have_count(0)

    tab.close()
    tab = new_tab(tab, site)
    tab.locator(f"{NOTICE} [data-act=dismiss]").click()
    expect(tab.locator(NOTICE)).to_have_count(0)
    load(tab, site.photo("second.png", 40, 60))
    enhance(tab)
    tab.close()
    tab = new_tab(tab, site)
    expect(tab.locator(NOTICE)).to_contain_text("second.png")
    expect(tab.locator(NOTICE)).not_to_contain_text("left.png")
    path = download(tab, tmp_path, tab.locator(f"{NOTICE} [data-act=download]"))
    assert path.name == "second-4x.png"
    expect(tab.locator(NOTICE)).to_have_count(0)
    tab.close()


def test_files_that_are_added_without_a_connection_are_sent_when_it_is_back(site: Site, open_page):
    interrupted = "#upload-interrupted"
    with cable(site.url) as line:
        page = open_page("?preset=anime-fast", url=line.url)
        page.context.set_offline(True)
        page.locator("#examples button").first.click()
        expect(page.locator("[data-testid=toast-text]")).to_contain_text("Cannot connect to the server.")
        with page.expect_navigation():  # Gradio reloads the page, and has dropped all events since.
            page.context.set_offline(False)
            page.evaluate(UPLOAD, ["drop", "", "dropped.png", 64])
        page.locator("body.opened").wait_for()
        expect(page.locator("#facts")).to_contain_text("64 × 40 px")
        expect(page.locator(interrupted)).to_have_count(0)

        line.cut()
        choose(page, site.photo("lost.png", 60, 40))
        expect(page.locator(interrupted)).to_be_visible()
        line.reconnect()
        expect(page.locator("#facts")).to_contain_text("lost.png")
        expect(page.locator(interrupted)).to_have_count(0)

        open_batch(page)
        line.cut()
        page.locator("#batch-files input[type=file]").set_input_files(
            [site.photo(name, 20, 24) for name in ("1.png", "2.png")]
        )
        expect(page.locator(interrupted)).to_be_visible()
        line.reconnect()
        expect(page.locator(".file")).to_have_count(2)
        expect(page.locator(interrupted)).to_have_count(0)

        line.cut()
        page.locator("#batch-files input[type=file]").set_input_files(site.photo("unwanted.png", 20, 24))
        page.locator(f"{interrupted} button").click()
        expect(page.locator(interrupted)).to_have_count(0)
        page.close()
