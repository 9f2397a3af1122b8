"""Nothing is lost: a page that is loaded anew, one in another language, and a server that is started again."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, expect

from enhance import Enhancer
from enhance.web.line import stop_all

from .journey import PATIENCE, choose, enhance, how_it_was_made, press, preview_pictures, view, wait_for_chip

STRENGTH = "#strength input[type=number]"


@contextmanager
def server(folder: Path, port: int | None = None) -> Iterator[tuple[str, Enhancer]]:
    """An app with its data in `folder`, at an address of its own, and its end as a signal brings it."""
    from app import build_demo
    from enhance.config import Config
    from enhance.web.serving import launch_options

    enhancer = Enhancer(device="cpu", data=folder)
    demo = build_demo(enhancer)
    options = launch_options(Config()) | {"server_port": port, "quiet": True, "prevent_thread_lock": True}
    _, url, _ = demo.launch(**options)
    yield url, enhancer
    stop_all(10)
    demo.close(verbose=False)


def unfolded(page: Page):
    """The list of results, for whoever has one."""
    items = page.locator("#history-list li")
    expect(page.locator("#history")).to_be_visible(timeout=PATIENCE)
    if not items.first.is_visible():
        page.locator("#history > button").click()
    expect(items.first).to_be_visible()
    return items


def test_a_page_loaded_anew_within_a_run_goes_on_with_it(site, open_page, monkeypatch):
    whole_run, go_on = site.enhancer.run, threading.Event()

    def held(*given, progress, **named):
        def tell_and_wait(*told):
            progress(*told)
            go_on.wait(60)

        return whole_run(*given, progress=tell_and_wait, **named)

    monkeypatch.setattr(site.enhancer, "run", held)
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("anew.png", 60, 80))
    wait_for_chip(page, "matches")
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    page.locator("#enhance").click()
    expect(page.locator("#progress")).to_contain_text(re.compile("done|Writing"), timeout=PATIENCE)
    how_far = page.locator("#progress .run p").inner_text()

    page.reload()

    expect(page.locator("#progress .run p")).to_have_text(how_far, timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("anew.png")
    expect(page.locator(STRENGTH)).to_have_value("0.9")
    expect(page.locator("#preset input[value=anime-fast]")).to_be_checked()
    go_on.set()
    expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#compare [data-testid=imageslider-image]")).to_have_count(2)
    expect(unfolded(page)).to_have_count(1)


def test_another_language_keeps_all_that_is_on_the_page(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("tongues.png", 60, 80))
    wait_for_chip(page, "matches")
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    enhance(page)
    before = preview_pictures(page)

    page.locator("#head a[lang=zh-CN]").click()

    expect(page.locator("#download")).to_have_text("下载 PNG", timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("tongues.png")
    expect(page.locator(STRENGTH)).to_have_value("0.9")
    expect(page.locator("#compare [data-testid=imageslider-image]")).to_have_count(2)
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "matches")
    assert preview_pictures(page) == before
    expect(unfolded(page).locator("[data-act=open]")).to_have_text("打开")


def test_what_was_made_is_there_after_the_server_was_started_again(site, browser, tmp_path, complaints):
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    with socket.socket() as free:  # not one that another test's server may take in between
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with server(tmp_path, port) as (url, _):
        page.goto(f"{url}?preset=anime-fast")
        choose(page, site.photo("kept.png", 48, 64))
        wait_for_chip(page, "matches")
        enhance(page)
    with server(tmp_path, port) as (url, enhancer):
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        told, anew = page.locator("#server-changed"), page.locator("#progress .note")
        expect(told.or_(anew).filter(has_text="server was restarted").first).to_be_visible(timeout=PATIENCE)
        with suppress(BrowserError):  # the page may have been loaded anew before it could be said
            told.locator("button").click(timeout=5000)
        expect(anew).to_contain_text("server was restarted", timeout=PATIENCE)
        items = unfolded(page)
        expect(items).to_contain_text(["kept.png"])

        items.locator("[data-act=open]").click()

        expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)
        wait_for_chip(page, "matches")
        expect(page.locator("#compare [data-testid=imageslider-image]")).to_have_count(2)
        expect(page.locator("#preset input[value=anime-fast]")).to_be_checked()
        view(page, "close")
        expect(page.locator("#closely [data-testid=imageslider-image]")).to_have_count(2, timeout=PATIENCE)
        expect(how_it_was_made(page)).to_contain_text("realesr-animevideov3")
        with page.expect_download() as coming:
            items.locator("[data-act=download]").click()
        assert coming.value.suggested_filename == "kept-4x.png"
        stranger = browser.new_context(locale="en-US").new_page()
        stranger.goto(url)
        stranger.locator("#why .note").wait_for()
        assert stranger.locator("#history").count() == 0
        stranger.context.close()

        items.locator("[data-act=remove]").click()
        expect(items.locator("[data-act=remove]")).to_have_text("Remove for good?")
        items.locator("[data-act=remove]").click()

        expect(page.locator("#history")).to_have_count(0)
        expect(page.locator("#download")).to_have_count(0)
        assert list(enhancer.tasks.processed.iterdir()) == list(enhancer.tasks.uploads.iterdir()) == []
        context.close()
