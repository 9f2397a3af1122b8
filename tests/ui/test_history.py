"""Nothing is lost: a page that is loaded anew, one in another language, and a server that is started again."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, expect

from enhance import Enhancer
from enhance.web import stop_all

from .journey import PATIENCE, choose, enhance, how_it_was_made, press, preview_pictures, view, wait_for_chip

ROOT = Path(__file__).parents[2]
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


@contextmanager
def killed_at_the_end(folder: Path, port: int) -> Iterator[str]:
    """The address of a server of its own process, which is killed without a word."""
    own = {"ENHANCE_DATA": str(folder), "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": "", "ENHANCE_DEVICE": "cpu"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=os.environ | own, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(1200):
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}healthz").json()["ready"]:
                    break
            assert process.poll() is None
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """One that no other test's server takes in between."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


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
    port = free_port()
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
        expect(items.locator("[data-act=remove]")).to_have_text("Delete permanently?")
        items.locator("[data-act=remove]").click()

        expect(page.locator("#history")).to_have_count(0)
        expect(page.locator("#download")).to_have_count(0)
        assert list(enhancer.tasks.processed.iterdir()) == list(enhancer.tasks.uploads.iterdir()) == []
        context.close()


def test_a_batch_is_found_and_goes_on_after_the_server_was_killed(site, browser, tmp_path):
    page, port = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}).new_page(), free_port()
    batch = page.locator("#history-list [data-state]:has([data-act=files])")
    with killed_at_the_end(tmp_path, port) as url:
        page.goto(f"{url}?preset=anime-fast")
        page.locator("#why .note").wait_for(timeout=PATIENCE)  # the server knows by then whose list it is
        page.locator("#tab-many-button").click(timeout=PATIENCE)
        files = [site.photo("first.png", 24, 32), site.photo("slow.png", 300, 240), site.photo("last.png", 20, 24)]
        page.locator("#batch-files input[type=file]").set_input_files(files)
        expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
        page.locator("#batch-enhance").click()
        end = time.monotonic() + PATIENCE / 1000
        while not any('"state": "done"' in entry.read_text() for entry in tmp_path.glob("lists/*.json")):
            assert time.monotonic() < end  # the disk tells it, as the page may be slower than the next file
            time.sleep(0.01)
    with killed_at_the_end(tmp_path, port) as url:
        page.goto(url)
        expect(batch).to_be_visible(timeout=PATIENCE)  # unfolded by itself: something was cut off
        expect(batch).to_contain_text(re.compile("Interrupted.*1 of 3 .*Not finished: slow.png, last.png"))
        page.locator("#history-list [data-act=files]").click()
        expect(batch.locator("li")).to_have_count(3, timeout=PATIENCE)
        with page.expect_download() as coming:
            batch.locator("li", has_text="first.png").locator("[data-act=download]").click()
        assert coming.value.suggested_filename == "first-4x.png"

        page.locator("#history-list [data-act=rest]").click()

        expect(page.locator("#batch-progress")).to_contain_text("3 done, 0 failed", timeout=PATIENCE)
        expect(page.locator(".file[data-state=done]")).to_have_count(3)
        expect(batch.locator("[data-act=zip]")).to_be_visible(timeout=PATIENCE)
        batch.locator("li", has_text="slow.png").locator("[data-act=open]").click()
        expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)
        batch.locator("> .acts [data-act=remove]").click()
        batch.locator("> .acts [data-act=remove]").click()
        expect(page.locator("#history")).to_have_count(0, timeout=PATIENCE)
        assert [path for path in tmp_path.glob("*/*") if path.parent.name in ("processed", "uploads", "lists")] == []
    page.context.close()
