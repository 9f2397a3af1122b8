"""English and Chinese, links that open the page as asked, and a phone."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance.output.formats import FORMATS
from enhance.web.params import CONTROLS

from .journey import (
    PATIENCE,
    choose,
    choose_again,
    enhance,
    how_it_was_made,
    preview_pictures,
    start_over,
    together,
    wait_for_chip,
)


def has_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_a_chinese_browser_is_refused_and_goes_the_whole_way_in_chinese(site, open_page):
    page = open_page("?preset=anime-fast", locale="zh-CN")
    expect(page.locator("#enhance")).to_have_text("增强")
    bad = site.files / "empty.jpg"
    bad.write_bytes(b"")
    choose(page, bad)
    problem = page.locator("#upload-problem .problem")
    expect(problem).to_contain_text("empty.jpg", timeout=PATIENCE)
    assert has_chinese(problem.inner_text())
    choose(page, site.photo("zh.png", 48, 48))
    wait_for_chip(page, "matches")
    expect(page.locator("#chip")).to_contain_text("已是最新")
    enhance(page)
    expect(page.locator("#download")).to_have_text("下载 PNG")
    expect(page.locator("#progress")).to_contain_text("完成")
    expect(how_it_was_made(page)).to_contain_text("网络")
    assert not _english_left(page)


def test_the_link_decides_the_language_and_the_preset(open_page):
    page = open_page("?preset=anime&lang=zh-CN", locale="en-US")
    expect(page.locator("#enhance")).to_have_text("增强")
    expect(page.locator("#why")).to_have_text("请先选择照片。")
    expect(page.locator("#preset input[value=anime]")).to_be_checked()

    page.locator("#head a[lang=en]").click()
    expect(page.locator("#enhance")).to_have_text("Enhance")
    expect(page.locator("#why")).to_have_text("Choose a photo first.")


def test_an_unknown_preset_in_the_link_is_named(open_page):
    page = open_page("?preset=sharper")
    expect(page.locator("#preset-problem .problem")).to_contain_text("sharper")
    expect(page.locator("#preset input[value=gentle]")).to_be_checked()


def test_a_button_copies_the_link(site, open_page):
    page = open_page("?preset=anime-fast&lang=zh-CN", permissions=["clipboard-read", "clipboard-write"])
    page.locator("#preset input[value=original]").check()
    expect(page.locator("#strength input[type=range]")).to_be_disabled(timeout=PATIENCE)
    page.locator("#link").click()
    expect(page.get_by_text("链接已复制到剪贴板。")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    asked = dict(parse_qsl(urlsplit(link).query))
    one_size = [name for name in CONTROLS if name not in ("size", "long_side", "megapixels", "paper")]
    assert list(asked) == [*one_size, "lang"]
    assert (asked["format"], asked["metadata"]) == ("png", "keep")
    assert (asked["preset"], asked["tuning"], asked["tile"], asked["lang"]) == ("original", "false", "192", "zh-CN")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_phone_shows_everything_without_scrolling_sideways(site, open_page, locale):
    page = open_page("?preset=anime-fast", locale=locale, width=390, has_touch=True, is_mobile=True)
    choose(page, site.photo(f"phone-{locale}.png", 90, 160))
    wait_for_chip(page, "matches")
    enhance(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in ("#photo", "#stage", "#preset", "#compare", "#download"):
        box = page.locator(part).bounding_box()
        assert box is not None, part
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= 390, part


def test_on_a_phone_the_preview_finds_its_room_kept_and_its_tools_on_one_line(site, open_page):
    page = open_page("?preset=anime-fast", width=390, has_touch=True, is_mobile=True)
    page.evaluate(
        """() => {
          window.heights = new Set();
          const look = () => {
            const room = Math.round(document.querySelector("#pane-preview").getBoundingClientRect().height);
            if (room) heights.add(room);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    with together() as case:
        for width in (390, 360):
            with case(f"{width} px"):
                if page.locator("#again").is_visible():
                    start_over(page)
                page.set_viewport_size({"width": width, "height": 900})
                page.evaluate("heights.clear()")
                choose_again(page, site.photo(f"room-{width}.png", 160, 160))
                preview_pictures(page)
                heights = page.evaluate("[...heights]")
                assert max(heights) - min(heights) <= 2, heights
                tools = [page.locator(one).bounding_box() for one in ("#chip", "#zoom", "#retry", "#compare-presets")]
                assert all(box["y"] < min(one["y"] + one["height"] for one in tools if one) for box in tools if box), (
                    tools
                )


def _english_left(page: Page) -> list[str]:
    """Texts of the page's own that have not been translated."""
    texts = page.locator(
        ".card .step, .card .hint, .card button, .card dt, .card label, .card .note, .card figcaption, #bar button"
    ).all_inner_texts()
    return [text for text in texts if text.strip() and not has_chinese(text) and not _is_neutral(text)]


def _is_neutral(text: str) -> bool:
    names = {"px", *(form.name for form in FORMATS.values())}
    return text.strip() in names or not any(letter.isalpha() for letter in text.replace("px", ""))
