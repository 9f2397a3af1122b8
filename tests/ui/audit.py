"""Faults of the page in its current state: accessibility, overflow, and texts in another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python as axe
from playwright.sync_api import Page

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCREENS = {"en": {"light": (1280, 900), "dark": (390, 844)}, "zh-CN": {"dark": (1280, 900), "light": (390, 844)}}

RUN_AXE = """async (rules) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: rules }, resultTypes: ["violations"] });
  const describe = (id, one) => `${id}: ${one.target} ${one.any[0]?.message ?? ""}`;
  return found.violations.flatMap(({ id, nodes }) => nodes.map((one) => describe(id, one)));
}"""

HEADINGS = """() => {
  const seen = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility());
  const levels = seen.map((one) => Number(one.tagName[1]));
  const jumps = levels.filter((level, at) => at && level > levels[at - 1] + 1);
  const fine = levels[0] === 1 && levels.lastIndexOf(1) === 0 && !jumps.length;
  return fine ? [] : [`headings ${levels}`];
}"""

TEXTS = """() => {
  const texts = [];
  for (const part of document.body.querySelectorAll("*")) {
    if (["SCRIPT", "STYLE"].includes(part.tagName) || !part.checkVisibility()) continue;
    for (const name of ["aria-label", "title", "alt", "placeholder"]) texts.push(part.getAttribute(name) ?? "");
    for (const text of part.childNodes) if (text.nodeType === Node.TEXT_NODE) texts.push(text.data);
  }
  return texts.map((text) => text.trim()).filter(Boolean);
}"""
"""Return all texts that are visible or read by screen readers."""

NAMES = re.compile(
    r"[\w.-]*\.(png|jpg|jpeg)|`[^`]*`|SHA-256 \w+|\b[0-9a-f]{16,}\b|realesr\S*|Stefan van der Walt|Rachel Michetti"
    r"|PyPI [\w.-]+ [\d.]+|report\.csv"
    r"|JPEG XL|Apache-2.0|BSD-3-Clause|MIT"
    r"|\b(RAW|PNG|ZIP|PDF|JPEG|WebP|TIFF|HEIC|BMP|GIF|AVIF|EXIF|sRGB|API|MCP|NASA|CC0|EN|ID|Enhance)\b"
    r"|\b(px|GB|MB|kB|B|dB|dpi|cpu|bf16|fp32|fp16)\b"
)
"""Words that are the same in every language: names of files, formats, units, models and people."""


def start_axe(page: Page) -> None:
    page.evaluate(AXE + ";0")


def faults(page: Page, language: str) -> Iterator[str]:
    """Yield the faults of the page in its current state, on a large screen and on phones."""
    for theme, (width, height) in SCREENS[language].items():
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
        yield from page.evaluate(RUN_AXE, RULES)
        yield from overflow(page, width, height)
    page.set_viewport_size({"width": 320, "height": 700})
    yield from overflow(page, 320, 700)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("document.body.classList.remove('dark')")
    yield from page.evaluate(HEADINGS)
    if page.locator("html").get_attribute("lang") != language:
        yield "the language of the document"
    texts = page.evaluate(TEXTS)
    yield from (text for text in texts if "__i18n__" in text or "common." in text)
    if language == "zh-CN":
        yield from english(page)


def english(page: Page) -> Iterator[str]:
    """Yield the texts with English words, apart from names."""
    yield from (f"English: {text}" for text in page.evaluate(TEXTS) if re.search("[A-Za-z]{2,}", NAMES.sub("", text)))


def overflow(page: Page, width: int, height: int) -> Iterator[str]:
    """Yield what does not fit: horizontally, on a large screen any panel, on a phone the bar."""
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
        yield f"{wide} px wide on {width}"
    parts = ["#bar"] if page.locator("#bar").is_visible() else []
    if width > 900 and page.locator("#stage").is_visible():
        parts += ["#stage", "#panel"]
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
