"""Coming back: a run that ended after its tab was closed, and notifications of a hidden tab."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from ..site import Site
from .cable import cable
from .journey import add_files, choose, download, enhance, enhance_all, expect, load, open_batch, wait_for_stage
from .test_upload import UPLOAD

NOTICE = "#notice section"
HIDDEN_TAB = """
window.sent = [];
window.asked = 0;
window.isHidden = false;
Object.defineProperty(document, "hidden", { get: () => window.isHidden });
window.Notification = class {
  static permission = "default";
  static async requestPermission() { window.asked++; return (this.permission = "granted"); }
  constructor(title, options) { window.sent.push(`${title}: ${options.body}`); }
};
"""
"""Notifications that are recorded, and a tab that is hidden when the test sets `isHidden`."""


def new_tab(page: Page, site: Site) -> Page:
    tab = page.context.new_page()
    tab.goto(f"{site.url}?preset=anime-fast")
    tab.locator("body.opened").wait_for()
    return tab


def test_a_run_whose_tab_was_closed_is_shown_in_a_new_tab_until_it_is_downloaded(site: Site, open_page, tmp_path):
    first = open_page("?preset=anime-fast")
    load(first, site.photo("left.png", 300, 240))
    with site.enhancer.paused("progress"):
        first.locator("#enhance").click()
        expect(first.locator("#progress progress[value]")).to_be_visible()
        other = new_tab(first, site)
        other.wait_for_timeout(600)
        expect(other.locator(NOTICE)).to_have_count(0)  # The first tab is still open.
        first.close()
        other.close()
        tab = new_tab(other, site)
        expect(tab.locator(NOTICE)).to_contain_text(re.compile(r"Still running: \d+%"))
        expect(tab.locator(NOTICE)).to_contain_text("left.png")
    expect(tab.locator(NOTICE)).to_contain_text("Finished while you were away")
    expect(tab.locator(f"{NOTICE} img")).to_be_visible()
    path = download(tab, tmp_path, tab.locator(f"{NOTICE} [data-act=download]"))
    assert path.name == "left-4x.png"
    expect(tab.locator(NOTICE)).to_have_count(0)

    load(tab, site.photo("seen.png", 40, 60))
    enhance(tab)
    tab.close()
    tab = new_tab(tab, site)
    expect(tab.locator(NOTICE)).not_to_contain_text("left.png")
    tab.locator(f"{NOTICE} [data-act=open]").click()
    wait_for_stage(tab, "view.mode === 'result' && view.result")
    expect(tab.locator(NOTICE)).to_have_count(0)
    tab.close()
    tab = new_tab(tab, site)
    tab.locator(f"{NOTICE} [data-act=dismiss]").click()
    expect(tab.locator(NOTICE)).to_have_count(0)
    tab.reload()
    tab.locator("body.opened").wait_for()
    tab.wait_for_timeout(600)
    expect(tab.locator(NOTICE)).to_have_count(0)
    tab.close()


def test_a_hidden_tab_notifies_of_the_end_of_a_long_run_and_of_a_batch(site: Site, open_page, monkeypatch):
    page = open_page("?preset=anime-fast", script=HIDDEN_TAB)
    load(page, site.photo("short.png", 40, 60))
    enhance(page)
    assert page.evaluate("[asked, sent]") == [0, []], "a short run does not ask"

    monkeypatch.setattr(type(site.enhancer), "estimate", lambda *_, **__: 31.0)
    load(page, site.photo("long.png", 60, 40))
    assert page.evaluate("asked") == 0
    with site.enhancer.paused("end"):
        page.locator("#enhance").click()
        page.wait_for_function("asked === 1")
        page.evaluate("isHidden = true")
    page.wait_for_function("sent.length === 1")
    assert re.fullmatch(r"Enhance: long\.png: Done in .+ s\.", page.evaluate("sent[0]"))

    open_batch(page)
    add_files(page, site.photo("one.png", 220, 200), site.photo("two.png", 30, 20))
    with site.enhancer.paused("progress"):
        enhance_all(page)
        expect(page).to_have_title(re.compile(r"^\d+% · Enhance$"))
    page.wait_for_function("sent.length === 2")
    assert "2 done" in page.evaluate("sent[1]")
    expect(page).to_have_title("Enhance")


def test_files_that_are_added_without_a_connection_are_sent_when_it_is_back(site: Site, open_page):
    interrupted = "#upload-interrupted"
    with cable(site.url) as line:
        page = open_page("?preset=anime-fast&lang=zh-CN", url=line.url, locale="zh-CN")
        line.cut()
        choose(page, site.photo("lost.png", 60, 40))
        expect(page.locator(interrupted)).to_contain_text("上传中断，连接恢复后将自动重新上传。")
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


def test_a_file_that_is_dropped_before_the_page_reloads_itself_is_sent_again(site: Site, open_page):
    page, interrupted = open_page("?preset=anime-fast"), "#upload-interrupted"
    page.context.set_offline(True)
    page.locator("#examples button").first.click()
    expect(page.locator("[data-testid=toast-text]")).to_contain_text("Cannot connect to the server.")
    with page.expect_navigation():  # Gradio reloads the page, and has dropped all events since.
        page.context.set_offline(False)
        page.evaluate(UPLOAD, ["drop", "", "dropped.png", 64])
    page.locator("body.opened").wait_for()
    expect(page.locator("#facts")).to_contain_text("64 × 40 px")
    expect(page.locator(interrupted)).to_have_count(0)
    page.reload()
    page.locator("body.opened").wait_for()
    expect(page.locator("#facts")).to_contain_text("64 × 40 px")
    expect(page.locator(interrupted)).to_have_count(0)
