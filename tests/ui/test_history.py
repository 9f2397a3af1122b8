"""What a page keeps: in another language, after a reload or a restart of the server, and only for its user."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Locator, Page

from enhance.store import Entry, TaskStore
from enhance.web.owners import Owner

from ..site import Site, free_port, is_ready, wait_until
from .journey import (
    box,
    choose,
    download,
    enhance,
    enhance_all,
    expect,
    expect_chosen,
    has_focus,
    history,
    images,
    load,
    number,
    open_batch,
    pick,
    press,
    result_facts,
    result_is,
    send_event,
    wait_for_chip,
    wait_for_stage,
)

ROOT = Path(__file__).parents[2]


def remove(item: Locator) -> None:
    """Remove an entry. The button asks for confirmation."""
    button = item.locator("> .acts [data-act=remove]")
    button.click()
    button.click()


def press_entry(url: str, event: str, entry: str, act: str, key: str) -> bool:
    """Select a button of an entry as another client with this key; return whether the server accepted it."""
    headers = {"x-enhance-key": key} if key else {}
    return send_event(url, "history-list", event, {"entry": entry, "act": act}, headers)["success"]


PRESSES = [("select", "open"), ("download", "download"), ("expand", "files"), ("delete", "remove")]


def has_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_a_reload_another_language_and_a_link_keep_settings_and_results_for_one_user(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast", locale="zh-CN")
    choose(page, site.text("letter.png"))
    problem = page.locator("#upload-problem .problem")
    expect(problem).to_contain_text("letter.png")
    assert has_chinese(problem.inner_text())
    load(page, site.photo("reload.png", 60, 80))
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        expect(page.locator("#progress progress[value]")).to_be_visible()
        page.reload()
        expect(page.locator("#progress progress[value]")).to_be_visible()
        expect(page.locator("#facts")).to_contain_text("reload.png")
    expect(page.locator("#download")).to_be_visible()
    report, shown = download(page, tmp_path, "#report").read_bytes(), images(page)

    page.locator("#head a[lang=en]").click()

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#download")).to_be_visible()
    assert not has_chinese(page.locator("#bar").inner_text())
    expect(number(page, "strength")).to_have_value("0.9")
    expect_chosen(page, preset="anime-fast")
    result_is(page, "matches")
    wait_for_stage(page, "view.mode === 'result' && view.result")
    assert images(page) == shown
    path = download(page, tmp_path, "#report")
    assert path.name == "reload-4x-report.pdf"
    assert report[:5] == path.read_bytes()[:5] == b"%PDF-"
    assert report != path.read_bytes()

    expect(history(page)).to_have_count(1)
    entry = history(page).first.get_attribute("data-entry") or ""
    key = page.evaluate("localStorage.getItem('enhance-key')")
    before = results_of(page, site.enhancer.tasks)
    for event, act in PRESSES:
        for other in ("0b" * 16, ""):
            assert not press_entry(site.url, event, entry, act, other), (act, other)
    assert results_of(page, site.enhancer.tasks) == before
    assert press_entry(site.url, "download", entry, "download", key), "the key itself works"

    change_setting(page, lambda: pick(page, "scale", 2))
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator("#link").click()
    parameters = dict(parse_qsl(urlsplit(page.wait_for_function("window.copied").json_value()).query))
    wanted = {"preset": "anime-fast", "scale": "2", "strength": "0.9", "format": "png", "lang": "en"}
    assert {name: parameters.get(name) for name in wanted} == wanted
    assert "long_side" not in parameters
    other = page.context.new_page()
    other.goto(site.url)
    expect(other.locator("html")).to_have_attribute("lang", "en")
    assert dict(parse_qsl(urlsplit(other.url).query)) == {"lang": "en"}
    expect_chosen(other, preset="anime-fast", scale=2)
    expect(number(other, "strength")).to_have_value("0.9")
    other.goto(f"{site.url}?preset=original&scale=3")
    expect_chosen(other, preset="original", scale=3)
    other.close()
    remove(history(page).first)
    expect(page.locator("#history")).to_have_count(0)


def change_setting(page: Page, act: Callable[[], object]) -> None:
    """Change a setting and wait until the browser has stored it."""
    before = page.evaluate("localStorage.getItem('enhance-settings')")
    act()
    page.wait_for_function("(before) => localStorage.getItem('enhance-settings') !== before", arg=before)


def test_a_large_screen_does_not_scroll_and_the_list_opens_over_the_stage(site: Site, open_page):
    page, height = open_page("?preset=anime-fast", height=600), 600
    load(page, site.photo("screen.png", 20, 24))
    enhance(page)
    stage = box(page.locator("#stage"))
    first = history(page).first

    shown = box(page.locator("#history-list"))
    assert shown["y"] + shown["height"] <= height
    assert box(page.locator("#stage")) == stage
    assert page.evaluate("document.documentElement.scrollHeight") == height
    page.keyboard.press("Escape")
    expect(first).to_be_hidden()
    has_focus(page, "#history > button")
    history(page)
    page.mouse.click(stage["x"] + 100, stage["y"] + 200)
    expect(first).to_be_hidden()


@contextmanager
def serve_until_killed(folder: Path, port: int) -> Iterator[str]:
    """Serve the app in its own process, and kill it at the end."""
    own = {"ENHANCE_DATA": str(folder), "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": "", "ENHANCE_DEVICE": "cpu"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=os.environ | own, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: process.poll() is not None or is_ready(url), seconds=120)
        assert process.poll() is None
        yield url
    finally:
        process.kill()
        process.wait()


def results_of(page: Page, store: TaskStore) -> list[Entry]:
    """Return the recent results of a browser."""
    key = page.evaluate("localStorage.getItem('enhance-key')")
    return [entry for run in store.runs(Owner(f"key {key}", "").digest) for entry in run]


SIZES = {"first": (24, 32), "slow": (220, 200), "last": (20, 24)}


@pytest.mark.long
def test_results_survive_a_killed_server_and_removing_them_leaves_no_file(site: Site, open_page, tmp_path):
    port, data = free_port(), tmp_path / "data"
    with serve_until_killed(data, port) as url:
        page = open_page("?preset=anime-fast", url=url)
        load(page, site.photo("kept.png", 48, 64))
        enhance(page)
        open_batch(page, *(site.photo(f"{name}.png", *size) for name, size in SIZES.items()))
        enhance_all(page)
        store = TaskStore(data)  # The page can show it later than the next file.
        wait_until(lambda: [entry.state for entry in results_of(page, store)].count("done") > 1)
        store.close()
    with serve_until_killed(data, port) as url:
        page.goto(url)
        kept = history(page).filter(has_text="kept.png")

        kept.locator("[data-act=open]").click()

        expect(page.locator("#download")).to_be_visible()
        wait_for_chip(page, "matches")
        wait_for_stage(page, "view.mode === 'result' && view.result")
        expect_chosen(page, preset="anime-fast")
        expect(result_facts(page)).to_contain_text("realesr-animevideov3")
        history(page)
        assert download(page, tmp_path, kept.locator("[data-act=download]")).name == "kept-4x.png"
        remove(kept)
        expect(page.locator("#download")).to_have_count(0)

        batch = page.locator("#history-list [data-state]:has([data-act=files])")
        expect(batch).to_have_attribute("data-state", "interrupted")
        expect(batch).to_contain_text("1 of 3 files are done.")
        expect(batch).to_contain_text("slow.png")
        with zipfile.ZipFile(download(page, tmp_path, batch.locator("> .acts [data-act=zip]"))) as archive:
            assert "first-4x.png" in archive.namelist()
        batch.locator("> .acts [data-act=files]").click()
        expect(batch.locator("li")).to_have_count(3)
        first, slow = (batch.locator("li", has_text=name) for name in ("first.png", "slow.png"))
        assert download(page, tmp_path, first.locator("[data-act=download]")).name == "first-4x.png"

        slow.locator("[data-act=open]").click()

        expect(page.locator("#facts")).to_contain_text("slow.png")
        expect(page.locator("#enhance")).to_be_enabled()
        history(page)
        remove(batch)
        expect(page.locator("#history")).to_have_count(0)
        assert [path for path in data.glob("*/*") if path.parent.name in ("processed", "uploads")] == []
        page.close()
