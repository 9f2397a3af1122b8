"""Make docs/page.png and docs/page-zh.png, the page after a run, and the cards of its examples.

Run `python -m docs.make_page` in the project folder, or with `--cards` for the cards alone.

It needs the dependencies of the browser tests, and takes the time of two runs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from enhance import Enhancer
from enhance.web.build import build, launch_options
from tests.ui.conftest import CHROMIUM

DOCS = Path(__file__).parent
EXAMPLES = sorted((DOCS.parent / "enhance/web/examples").glob("*.jpg"))
SIZE = {"width": 1280, "height": 900}
LONG = 600_000
"""Milliseconds for a run on a slow machine."""
CROPS = {"astronaut": (80, 22, 260, 127), "cat": (112, 60, 304, 172), "coffee": (90, 8, 290, 125)}
"""The part of each example that its card shows."""
CARD = 458, 268
"""Twice the size of a card on the page, in pixels."""


def make_card(enhancer: Enhancer, example: Path) -> None:
    """Save the card of an example: the left half enlarged by bicubic interpolation, the right half
    by Auto."""
    with Image.open(example) as file:
        photo = file.convert("RGB")
    result = enhancer.run(example).image
    left, top, right, bottom = (4 * side for side in CROPS[example.stem])
    crop = left, top, right, bottom
    before = photo.resize(result.size, Image.Resampling.BICUBIC).crop(crop)
    after = result.convert("RGB").crop(crop)
    after.paste(before.crop((0, 0, before.width // 2, before.height)))
    card = after.resize(CARD, Image.Resampling.LANCZOS)
    middle = CARD[0] // 2
    card.paste("white", (middle - 2, 0, middle + 2, CARD[1]))
    card.save(example.parent / "cards" / f"{example.stem}.webp", quality=80, method=6)


def show(page: Page, url: str, language: str, file: Path) -> None:
    """Enhance an example photo with the default preset and save a screenshot of the page."""
    page.goto(f"{url}?lang={language}")
    example = next(path for path in EXAMPLES if path.stem == "astronaut")
    page.locator("#upload-input").set_input_files(example)
    expect(page.locator("#chip")).to_have_attribute("data-state", "matches", timeout=LONG)
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible(timeout=LONG)
    expect(page.locator("#chip")).to_have_attribute("data-state", "result")
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    page.screenshot(path=file)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        enhancer = Enhancer(data=folder)
        for example in EXAMPLES:
            make_card(enhancer, example)
        if "--cards" in sys.argv:
            return
        demo = build(enhancer)
        _, url, _ = demo.launch(**launch_options(demo), prevent_thread_lock=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for language, name in (("en", "page.png"), ("zh-CN", "page-zh.png")):
            page = browser.new_context(locale=language, viewport=SIZE).new_page()  # type: ignore[arg-type]
            show(page, f"{url.rstrip('/')}/", language, DOCS / name)
            page.close()
        browser.close()
        demo.close()


if __name__ == "__main__":
    main()
