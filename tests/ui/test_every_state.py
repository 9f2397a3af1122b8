"""Every state of the page in both languages: accessible, within the screen, and without a word of another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")

import axe_playwright_python as axe
from playwright.sync_api import Page, expect

from ..site import Site
from .journey import PATIENCE, choose, enhance, press, view, wait_for_chip

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCREENS = {"en": {"light": (1280, 900), "dark": (390, 844)}, "zh-CN": {"dark": (1280, 900), "light": (390, 844)}}

RUN_AXE = """async (rules) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: rules }, resultTypes: ["violations"] });
  const said = (id, one) => `${id}: ${one.target} ${one.any[0]?.message ?? ""}`;
  return found.violations.flatMap(({ id, nodes }) => nodes.map((one) => said(id, one)));
}"""

HEADINGS = """() => {
  const seen = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility());
  const levels = seen.map((one) => Number(one.tagName[1]));
  const jumps = levels.filter((level, at) => at && level > levels[at - 1] + 1);
  const fine = levels[0] === 1 && levels.lastIndexOf(1) === 0 && !jumps.length;
  return fine ? [] : [`headings ${levels}`];
}"""

SAID = """() => {
  const said = [];
  for (const part of document.body.querySelectorAll("*")) {
    if (["SCRIPT", "STYLE"].includes(part.tagName) || !part.checkVisibility()) continue;
    for (const name of ["aria-label", "title", "alt", "placeholder"]) said.push(part.getAttribute(name) ?? "");
    for (const text of part.childNodes) if (text.nodeType === Node.TEXT_NODE) said.push(text.data);
  }
  return said.map((text) => text.trim()).filter(Boolean);
}"""
"""All texts that are seen or read aloud now."""

NAMES = re.compile(
    r"[\w.-]*\.(png|jpg|jpeg)|`[^`]*`|SHA-256 \w+|\b[0-9a-f]{16,}\b|realesr\S*|Stefan van der Walt|Rachel Michetti"
    r"|PyPI [\w.-]+ [\d.]+|report\.csv"
    r"|\b(PNG|ZIP|PDF|JPEG|WebP|TIFF|HEIC|BMP|GIF|AVIF|EXIF|sRGB|API|NASA|CC0|EN|Enhance)\b"
    r"|\b(px|GB|MB|kB|B|dB|dpi|cpu|bf16|fp32|fp16)\b"
)
"""What is called the same in every language: files, formats, units, models, people."""


def faults(page: Page, language: str) -> Iterator[str]:
    """What is wrong with the page as it is now, at a desk and on phones."""
    for theme, (width, height) in SCREENS[language].items():
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
        yield from page.evaluate(RUN_AXE, RULES)
        yield from beyond(page, width, height)
    page.set_viewport_size({"width": 320, "height": 700})
    yield from beyond(page, 320, 700)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("document.body.classList.remove('dark')")
    yield from page.evaluate(HEADINGS)
    if page.locator("html").get_attribute("lang") != language:
        yield "the language of the document"
    said = page.evaluate(SAID)
    yield from (text for text in said if "__i18n__" in text or "common." in text)
    if language == "zh-CN":
        yield from (f"English: {text}" for text in said if re.search("[A-Za-z]{2,}", NAMES.sub("", text)))


def beyond(page: Page, width: int, height: int) -> Iterator[str]:
    """What does not fit: sideways anywhere; at a desk anything that one works with; on a phone the bar."""
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
        yield f"{wide} px wide on {width}"
    desk = width > 900 and page.locator("#tab-one").is_visible()
    parts = ["#bar"] if page.locator("#bar").is_visible() else []
    if desk:
        tuning = page.locator("#tuning-sheet > .open").count()  # the rail scrolls by itself then
        parts += ["#rail", *([] if tuning else ["#preset"])]
        parts += ["#stage", "#panes", "#strip"] if page.locator("#stage").is_visible() else []
    for part in parts:
        box = page.locator(part).bounding_box()
        assert box is not None, part
        if (
            box["x"] < -1
            or box["y"] < -1
            or box["x"] + box["width"] > width + 1
            or box["y"] + box["height"] > height + 1
        ):
            yield f"{part} is outside of {width} × {height}: {box}"


def states(page: Page, site: Site) -> Iterator[str]:
    """The page goes through its states, one after the other."""
    yield "empty"
    bad = site.files / "letter.png"
    bad.write_text("This is not a picture.")
    choose(page, bad)
    expect(page.locator("#upload-problem .problem")).to_be_in_viewport(timeout=PATIENCE)
    yield "refused"
    choose(page, site.photo("states.png", 450, 360))
    wait_for_chip(page, "matches")
    yield "preview"
    with site.enhancer.midway():
        page.locator("#enhance").click()
        expect(page.locator("#live img")).to_be_visible(timeout=PATIENCE)
        yield "running"
        page.locator("#cancel").click()
        expect(page.locator("#progress .cancelled")).to_be_visible(timeout=PATIENCE)
    choose(page, site.photo("second.png", 60, 48))
    expect(page.locator("#facts")).to_contain_text("second.png", timeout=PATIENCE)
    wait_for_chip(page, "matches")
    enhance(page)
    expect(page.locator("#closely [data-testid=imageslider-image]")).to_have_count(2, timeout=PATIENCE)
    for name in ("whole", "preview"):
        view(page, name)
        yield f"result, {name}"
    press(page, "contrast", "ArrowRight")
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "outdated", timeout=PATIENCE)
    wait_for_chip(page, "matches")
    for control, value in (("size", "long_side"), ("format", "jpeg")):
        page.locator(f"#{control} label:has(input[value={value}])").click()
    expect(page.locator("#download")).to_have_text(re.compile("JPEG"), timeout=PATIENCE)
    expect(page.locator("#long_side")).to_be_visible(timeout=PATIENCE)
    yield "changed since, with the tuning open"
    page.locator("#size label:has(input[value=scale])").click()
    expect(page.locator("#long_side")).to_be_hidden(timeout=PATIENCE)
    page.locator("#tuning-sheet > button").click()
    page.locator("#made > button").click()
    page.evaluate("scrollTo(0, 0), document.querySelector('#rail').scrollTo(0, 0)")  # it alone may lie below the screen
    yield "how it was made"
    page.locator("#tab-many-button").click()
    expect(page.locator("#batch-settings")).not_to_be_empty()
    yield "many"
    page.locator("#batch-files input[type=file]").set_input_files(
        [site.photo(name, 20, 24) for name in ("1.png", "2.png")]
    )
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#batch-enhance").click()
    expect(page.locator("#batch-download")).to_be_visible(timeout=PATIENCE)
    page.locator("#history > button").click()
    expect(page.locator("#history-list [data-act=zip]")).to_have_count(1, timeout=PATIENCE)
    page.locator("#history-list [data-act=files]").click()
    expect(page.locator("#history-list li li")).to_have_count(2, timeout=PATIENCE)
    yield "many, with the list of results"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_state_is_accessible_fits_and_is_in_one_language(site, open_page, language):
    page = open_page(f"?preset=anime-fast&lang={language}", reduced_motion="reduce")  # no colour on its way to another
    page.evaluate(AXE + ";0")
    found = {state: wrong for state in states(page, site) if (wrong := list(faults(page, language)))}
    report = [f"{state}: {one}" for state, wrong in found.items() for one in wrong]
    assert not report, "\n".join(report)
