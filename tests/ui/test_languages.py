"""Languages, links that set the page, and what the browser remembers."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance.output.formats import FORMATS

from ..site import Site
from .journey import (
    choose,
    enhance,
    expect_chosen,
    history,
    images,
    load,
    number,
    pick,
    press,
    result_is,
    wait_for_chip,
)


def has_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def in_chinese(page: Page) -> None:
    """Every text of the page's own is translated."""
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    texts = page.locator(
        ".card .step, .card .hint, .card button, .card dt, .card label, .card .note, .card figcaption, #bar button"
    ).all_inner_texts()
    names = {"px", "1:1", *(form.name for form in FORMATS.values())}
    neutral = [text for text in texts if text.strip() in names or not any(letter.isalpha() for letter in text)]
    assert [text for text in texts if text.strip() and not has_chinese(text) and text not in neutral] == []


def test_the_language_follows_the_browser_and_a_change_keeps_everything(site: Site, open_page):
    page = open_page("?preset=anime-fast", locale="zh-CN")
    choose(page, site.text("letter.png"))
    problem = page.locator("#upload-problem .problem")
    expect(problem).to_contain_text("letter.png")
    assert has_chinese(problem.inner_text())
    load(page, site.photo("language.png", 60, 80))
    press(page, "strength", "ArrowLeft", 2)
    wait_for_chip(page, "matches")
    enhance(page)
    in_chinese(page)
    shown = images(page)

    page.locator("#head a[lang=en]").click()

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#download")).to_be_visible()
    assert not has_chinese(page.locator("#bar").inner_text())
    expect(page.locator("#facts")).to_contain_text("language.png")
    expect(number(page, "strength")).to_have_value("0.9")
    result_is(page, "matches")
    assert len(images(page, "compare")) == 2
    assert images(page) == shown
    expect(history(page)).to_have_count(1)

    again = page.context.new_page()
    again.goto(site.url)
    expect(again.locator("html")).to_have_attribute("lang", "en")
    assert dict(parse_qsl(urlsplit(again.url).query)) == {"lang": "en"}
    again.close()


def kept(page: Page, act) -> None:
    """Do something and wait until the browser has stored it."""
    before = page.evaluate("localStorage.getItem('enhance-settings')")
    act()
    page.wait_for_function("(before) => localStorage.getItem('enhance-settings') !== before", arg=before)


def test_a_link_sets_the_page_before_what_the_browser_remembers(site: Site, open_page):
    page = open_page("?preset=gentle&lang=zh-CN", permissions=["clipboard-read", "clipboard-write"])
    kept(page, lambda: press(page, "strength", "ArrowRight"))
    kept(page, lambda: pick(page, "scale", 2))
    page.locator("#link").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('preset='))")
    asked = dict(parse_qsl(urlsplit(page.evaluate("navigator.clipboard.readText()")).query))
    wanted = {"preset": "gentle", "scale": "2", "strength": "0.65", "format": "png", "lang": "zh-CN"}
    assert {name: asked.get(name) for name in wanted} == wanted
    assert "long_side" not in asked

    again = page.context.new_page()
    again.goto(site.url)
    expect_chosen(again, preset="gentle", scale=2)
    expect(number(again, "strength")).to_have_value("0.65")
    again.goto(f"{site.url}?preset=original&scale=3")
    expect_chosen(again, preset="original", scale=3)
    for query, control, value in (
        ("?preset=sharper", "preset", "gentle"),
        ("?preset=gentle&strength=7", "preset", "gentle"),
        ("?preset=gentle&paper=a9", "preset", "gentle"),
    ):
        again.goto(site.url + query)
        expect(again.locator("#preset-problem .problem")).to_be_visible()
        expect_chosen(again, **{control: value})
    again.close()
