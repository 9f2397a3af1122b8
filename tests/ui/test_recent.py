"""Recent results, a reload in the middle of a run, another language, and a link with settings."""

from urllib.parse import parse_qsl, urlsplit

import httpx
from playwright.sync_api import expect

from .journey import (
    box,
    download,
    enhance,
    load,
    open_batch,
    open_section,
    pick,
    press,
    recent,
    remove,
    rows,
    see,
    wait_for,
    wait_for_chip,
)


def test_a_user_comes_back_for_results_and_removes_them(site, visit, tmp_path):
    page, enhancer = visit("?preset=anime-fast", height=600), site.enhancer
    load(page, site.photo("plate.png", 40, 48))
    enhance(page)
    open_batch(page, site.photo("one.png", 20, 24), site.photo("two.png", 20, 30))
    page.locator("#batch-enhance").click()
    expect(rows(page, "done")).to_have_count(2)

    # The tab is closed during a run, which goes on.
    page.locator("#tab-single").click()
    load(page, site.photo("second.png", 300, 48))
    with enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for(page, "stage.mode === 'live'")
        tab = visit("?preset=precise", height=600)
        expect(recent(tab, "second.png")).to_have_attribute("data-state", "running")
        page.close()
    expect(recent(tab, "second.png")).to_have_attribute("data-state", "done")

    # The list lies over the page, which does not scroll. Escape and a click elsewhere close it.
    shown = box(tab.locator("#recent"))
    assert shown["y"] + shown["height"] <= 600
    assert tab.evaluate("document.documentElement.scrollHeight") == 600
    tab.keyboard.press("Escape")
    expect(tab.locator("#recent")).to_be_hidden()
    expect(tab.locator("#recent-button")).to_be_focused()

    # Download, open, and the batch in one entry.
    assert (
        download(tab, tmp_path, recent(tab, "second.png").locator("[data-act=download]")).name
        == "second-4x.png"
    )
    assert (
        download(tab, tmp_path, recent(tab, "one.png").locator("[data-act=download]")).suffix
        == ".zip"
    )
    recent(tab, "plate.png").locator("[data-act=open]").click()
    wait_for(
        tab,
        "file?.name === 'plate.png' && stage.mode === 'result' && state.preset === 'anime-fast'",
    )
    assert download(tab, tmp_path).name == "plate-4x.png"
    recent(tab, "one.png").locator("[data-act=open]").click()
    wait_for(tab, "state.tab === 'batch'")
    expect(rows(tab, "done")).to_have_count(2)

    # Two are removed at once, and stay removed.
    for name in ("plate.png", "second.png", "one.png"):
        remove(recent(tab, name))
    expect(recent(tab)).to_have_count(0)
    tab.reload()
    expect(recent(tab)).to_have_count(0)


def test_a_reload_another_language_and_a_link_keep_everything(site, visit, tmp_path):
    page = visit("?preset=anime-fast", locale="zh-CN")
    load(page, site.photo("reload.png", 300, 80))
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for(page, "stage.mode === 'live'")
        job = see(page, "state.run.name")
        page.reload()
        wait_for(page, "file?.name === 'reload.png' && stage.mode === 'live'")
        assert see(page, "state.run.name") == job
    expect(page.locator("#download")).to_be_visible()
    report = download(page, tmp_path, "#report").read_bytes()
    view = see(page, "[stage.x, stage.y, stage.zoom]")
    page.reload()
    wait_for(page, "stage.mode === 'result' && state.changed.strength === 0.9")
    assert see(page, "[stage.x, stage.y, stage.zoom]") == view

    page.locator("#head [data-act=language]:visible").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    wait_for(
        page,
        "stage.mode === 'result' && state.changed.strength === 0.9 && state.preset === "
        "'anime-fast'",
    )
    path = download(page, tmp_path, "#report")
    assert path.name == "reload-4x-report.pdf"
    assert report != path.read_bytes()

    # A link has the settings, and another visit starts with those of the last one.
    pick(page, "size", "2x")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    open_section(page, "advanced")
    page.locator("#link button").click()
    parameters = dict(
        parse_qsl(urlsplit(page.wait_for_function("window.copied").json_value()).query)
    )
    wanted = {"preset": "anime-fast", "scale": "2", "strength": "0.9"}
    assert {name: parameters.get(name) for name in wanted} == wanted
    other = visit("?preset=original&scale=3&format=webp", locale="zh-CN")
    wait_for(
        other,
        "state.preset === 'original' && state.size.scale === 3 && state.encoding.format === 'webp'",
    )


def test_two_visitors_never_see_each_others_files(site, visit, browser):
    page = visit("?preset=anime-fast")
    load(page, site.photo("private.png", 40, 48))
    enhance(page)
    recent(page, "private.png").wait_for()
    with browser.new_context(locale="en-US") as context:
        stranger = context.new_page()
        stranger.goto(site.url)
        expect(recent(stranger)).to_have_count(0)
        stranger.close()
    id = recent(page).first.get_attribute("data-id") or ""
    key = page.evaluate("localStorage.getItem('enhance-key')")
    for other in ("0b" * 16, ""):
        assert "private.png" not in ask(site.url, "runs", other)
        assert "error" in ask(site.url, "forget", other, id=id)
    assert "private.png" in ask(site.url, "runs", key)


def ask(url, endpoint, key, **given):
    """Call an endpoint with a visitor's key; return what the server sends."""
    route, headers = f"{url}gradio_api/call/v2/{endpoint}", {"x-enhance-key": key} if key else {}
    event = httpx.post(route, json=given, headers=headers).json()["event_id"]
    return httpx.get(f"{route}/{event}", headers=headers).text
