"""Languages, reports in them, links that set the page, and settings that the browser stores."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Page

from ..site import Site
from .journey import (
    choose,
    download,
    enhance,
    expect,
    expect_chosen,
    history,
    images,
    load,
    number,
    pick,
    press,
    result_is,
    wait_for_chip,
    wait_for_stage,
)


def has_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_the_language_follows_the_browser_and_a_change_keeps_everything(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast", locale="zh-CN")
    choose(page, site.text("letter.png"))
    problem = page.locator("#upload-problem .problem")
    expect(problem).to_contain_text("letter.png")
    assert has_chinese(problem.inner_text())
    load(page, site.photo("language.png", 60, 80))
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    enhance(page)
    reports = [download(page, tmp_path, "#report").read_bytes()]
    shown = images(page)

    page.locator("#head a[lang=en]").click()

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#download")).to_be_visible()
    assert not has_chinese(page.locator("#bar").inner_text())
    expect(page.locator("#facts")).to_contain_text("language.png")
    expect(number(page, "strength")).to_have_value("0.9")
    result_is(page, "matches")
    wait_for_stage(page, "view.mode === 'result' && view.result")
    assert images(page) == shown
    expect(history(page)).to_have_count(1)
    path = download(page, tmp_path, "#report")
    reports.append(path.read_bytes())
    assert path.name == "language-4x-report.pdf"
    assert all(report.startswith(b"%PDF-") and b"%%EOF" in report[-32:] for report in reports)
    assert reports[0] != reports[1]

    page.goto(site.url)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert dict(parse_qsl(urlsplit(page.url).query)) == {"lang": "en"}


def change_setting(page: Page, act) -> None:
    """Change a setting and wait until the browser has stored it."""
    before = page.evaluate("localStorage.getItem('enhance-settings')")
    act()
    page.wait_for_function("(before) => localStorage.getItem('enhance-settings') !== before", arg=before)


def test_a_link_overrides_the_settings_that_the_browser_stores(site: Site, open_page):
    page = open_page("?preset=gentle&lang=zh-CN", permissions=["clipboard-read", "clipboard-write"])
    load(page, site.photo("link.png", 8, 8))
    change_setting(page, lambda: press(page, "strength", "ArrowRight"))
    change_setting(page, lambda: pick(page, "scale", 2))
    page.locator("#link").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('preset='))")
    parameters = dict(parse_qsl(urlsplit(page.evaluate("navigator.clipboard.readText()")).query))
    wanted = {"preset": "gentle", "scale": "2", "strength": "0.65", "format": "png", "lang": "zh-CN"}
    assert {name: parameters.get(name) for name in wanted} == wanted
    assert "long_side" not in parameters

    again = page.context.new_page()
    again.goto(site.url)
    expect_chosen(again, preset="gentle", scale=2)
    expect(number(again, "strength")).to_have_value("0.65")
    again.goto(f"{site.url}?preset=original&scale=3")
    expect_chosen(again, preset="original", scale=3)
    again.close()
