"""Faults of the page in its current state: accessibility, what is covered or outside, and texts in
another language."""

import re
from pathlib import Path

import axe_playwright_python as axe

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCREENS = ((1280, 800), (1440, 900), (1920, 1080), (390, 844), (844, 390), (320, 640))
TARGET = 44
"""The least height and width of everything that can be pressed, in pixels."""

RUN_AXE = """async (rules) => {
  const runOnly = { type: "tag", values: rules };
  const found = await axe.run(document, { runOnly, resultTypes: ["violations"] });
  const describe = (id, one) => `${id}: ${one.target} ${one.any[0]?.message ?? ""}`;
  return found.violations.flatMap(({ id, nodes }) => nodes.map((one) => describe(id, one)));
}"""

HEADINGS = """() => {
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")];
  const seen = headings.filter((one) => one.checkVisibility());
  const levels = seen.map((one) => Number(one.tagName[1]));
  const jumps = levels.filter((level, at) => at && level > levels[at - 1] + 1);
  const fine = levels[0] === 1 && levels.lastIndexOf(1) === 0 && !jumps.length;
  return fine ? [] : [`headings ${levels}`];
}"""

TEXTS = """() => {
  const texts = [];
  for (const part of document.body.querySelectorAll("*")) {
    if (["SCRIPT", "STYLE"].includes(part.tagName) || !part.checkVisibility()) continue;
    for (const name of ["aria-label", "title", "alt", "placeholder"]) {
      texts.push(part.getAttribute(name) ?? "");
    }
    for (const text of part.childNodes) if (text.nodeType === Node.TEXT_NODE) texts.push(text.data);
  }
  return texts.map((text) => text.trim()).filter(Boolean);
}"""
"""Return all texts that are visible or read by screen readers."""

MISPLACED = """(least) => {
  const found = [];
  const { clientWidth: width, clientHeight: height } = document.documentElement;
  const { scrollWidth, scrollHeight } = document.documentElement;
  if (scrollWidth > width) found.push(`${scrollWidth} px wide`);
  if (scrollHeight > height) found.push(`${scrollHeight} px high`);
  const selector = "button, a[href], input, select, textarea, summary, "
    + "[role=button], [role=slider], [role=tab]";
  const isChoice = (part) => part.matches("[type=radio], [type=checkbox]");
  const areaOf = (part) => isChoice(part) ? part.closest("label") ?? part : part;
  const nameOf = (part) => {
    const text = part.getAttribute("aria-label") ?? part.textContent.trim().slice(0, 30);
    return `${part.tagName.toLowerCase()}#${part.id || part.closest("[id]")?.id} “${text}”`;
  };
  const clipOf = (part) => {
    const clip = { left: 0, top: 0, right: width, bottom: height, scrolls: false };
    for (let parent = part.parentElement; parent; parent = parent.parentElement) {
      if (!/auto|scroll/.test(getComputedStyle(parent).overflow)) continue;
      const rect = parent.getBoundingClientRect();
      clip.scrolls = true;
      clip.left = Math.max(clip.left, rect.left);
      clip.top = Math.max(clip.top, rect.top);
      clip.right = Math.min(clip.right, rect.right);
      clip.bottom = Math.min(clip.bottom, rect.bottom);
    }
    return clip;
  };
  const isSeen = (part) => part.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !part.closest("[inert]");
  const isScrolledAway = (rect, clip) =>
    rect.bottom > clip.bottom + 1 || rect.top < clip.top - 1
    || rect.left < clip.left - 1 || rect.right > clip.right + 1;
  const hits = (part, x, y) => {
    const hit = document.elementFromPoint(x, y);
    return Boolean(hit) && (part.contains(hit)
      || hit.contains(part) && !hit.matches("#app, body, html")
      || hit.closest("label")?.contains(part));
  };
  const isUnderPinned = (part, x, y) => {
    const pinned = document.elementFromPoint(x, y)?.closest("#next-run, #grip, [popover]");
    if (!pinned || pinned.contains(part)) return false;
    return pinned.matches("[popover]") || pinned.parentElement.contains(part);
  };
  const areas = new Set([...document.querySelectorAll(selector)].filter(isSeen).map(areaOf));
  for (const area of areas) {
    const rect = area.getBoundingClientRect(), clip = clipOf(area);
    if (rect.width < 2 || rect.height < 2) continue;
    if (getComputedStyle(area).pointerEvents === "none") continue;
    if (isScrolledAway(rect, clip)) {
      if (!clip.scrolls) found.push(`${nameOf(area)} is outside: ${JSON.stringify(rect)}`);
      continue;
    }
    const x = rect.left + rect.width / 2, y = rect.top + rect.height / 2;
    if (isUnderPinned(area, x, y)) continue;
    if (!hits(area, x, y)) {
      found.push(`${nameOf(area)} is covered by ${nameOf(document.elementFromPoint(x, y))}`);
      continue;
    }
    const far = least / 2 - 1;
    const reach = [[x - far, y], [x + far, y], [x, y - far], [x, y + far]];
    const isInside = (x, y) => x >= 0 && y >= 0 && x < width && y < height;
    const isHit = (x, y) => hits(area, x, y) || isUnderPinned(area, x, y);
    const small = reach.some(([x, y]) => isInside(x, y) && !isHit(x, y));
    if (least && small) found.push(`${nameOf(area)} is small: ${rect.width} × ${rect.height}`);
  }
  for (const part of document.body.querySelectorAll("*")) {
    const isTextNode = (one) => one.nodeType === Node.TEXT_NODE && one.data.trim();
    const isText = [...part.childNodes].some(isTextNode);
    if (!isText || !isSeen(part) || part.closest("svg, script, style")) continue;
    const rect = part.getBoundingClientRect();
    if (rect.width < 2 || rect.height < 2 || isScrolledAway(rect, clipOf(part))) continue;
    const { pointerEvents, clipPath } = getComputedStyle(part);
    if (pointerEvents === "none" || clipPath !== "none") continue;
    const [x, y] = [rect.left + rect.width / 2, rect.top + rect.height / 2];
    const hit = document.elementFromPoint(x, y);
    if (isUnderPinned(part, x, y)) continue;
    if (hit && !part.contains(hit) && !hit.contains(part)) {
      found.push(`${nameOf(part)} lies under ${nameOf(hit)}`);
    }
    const style = getComputedStyle(part);
    const isLong = part.scrollWidth > part.clientWidth + 1;
    const isCut = isLong && style.overflow !== "visible" && style.textOverflow !== "ellipsis";
    if (isCut && part.clientWidth) {
      found.push(`${nameOf(part)} is cut: ${part.scrollWidth} > ${part.clientWidth}`);
    }
  }
  return found;
}"""
"""Return what is covered, cut, outside of the screen, or smaller than `least` pixels around its
centre. What is under a popover, or scrolled under a pinned part of the panel, is not covered."""

NAMES = re.compile(
    r"[\w.-]*\.(png|jpg|jpeg)|`[^`]*`|SHA-256 \w+|\b[0-9a-f]{16,}\b|realesr\S*|Stefan van der "
    r"Walt|Rachel Michetti"
    r"|PyPI [\w.-]+ [\d.]+|fp16-rounded|report\.csv"
    r"|JPEG XL|Apache-2.0|BSD-3-Clause|MIT"
    r"|\b(RAW|PNG|ZIP|PDF|JPEG|WebP|TIFF|HEIC|BMP|GIF|AVIF|EXIF|sRGB|API|MCP|NASA|CC0|EN|ID|Enhance|English)\b"
    r"|\b(px|GB|MB|kB|B|dB|dpi|cpu|bf16|fp32|fp16)\b"
)
"""Words that are the same in every language: names of files, formats, units, models and people."""


def start_axe(page):
    page.evaluate(AXE + ";0")


def faults(page, language, screens=SCREENS):
    """Yield the faults of the page in its current state, on these screens and in both themes."""
    size = page.viewport_size
    assert size is not None
    for width, height in screens:
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
            yield from (
                f"{width} × {height}, {theme}: {one}" for one in page.evaluate(RUN_AXE, RULES)
            )
        yield from (f"{width} × {height}: {one}" for one in misplaced(page))
    page.set_viewport_size(size)
    page.evaluate("document.body.classList.remove('dark')")
    yield from page.evaluate(HEADINGS)
    if page.locator("html").get_attribute("lang") != language:
        yield "the language of the document"
    yield from (text for text in page.evaluate(TEXTS) if "__i18n__" in text or "common." in text)
    if language == "zh-CN":
        yield from english(page)


def english(page):
    """Return the texts with English words, apart from names."""
    texts = page.evaluate(TEXTS)
    return [f"English: {text}" for text in texts if re.search("[A-Za-z]{2,}", NAMES.sub("", text))]


def misplaced(page, least=TARGET):
    """Return what is covered, cut, outside or too small to be pressed."""
    return page.evaluate(MISPLACED, least)
