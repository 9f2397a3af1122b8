"""Make docs/page.png and docs/page-zh.png, the page after a run: `python -m docs.make_page` in the project folder.

It needs the dependencies of the browser tests, and takes the time of two runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from enhance import Enhancer
from enhance.web.build import build
from enhance.web.launch import launch_options
from enhance.web.layout import EXAMPLES
from tests.ui.conftest import CHROMIUM

DOCS = Path(__file__).parent
SIZE = {"width": 1280, "height": 900}
LONG = 600_000
"""Milliseconds for a run on a slow machine."""


def show(page: Page, url: str, language: str, file: Path) -> None:
    """Enhance an example photo with the default preset and save a screenshot of the page."""
    page.goto(f"{url}?lang={language}")
    page.locator("body.opened").wait_for()
    example = next(path for path in EXAMPLES if path.stem == "astronaut")
    page.locator("#upload input[type=file]").set_input_files(example)
    expect(page.locator("#chip .chip")).to_have_attribute("data-state", "matches", timeout=LONG)
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible(timeout=LONG)
    page.wait_for_function("window.enhanceView().mode === 'result' && window.enhanceView().result")
    page.screenshot(path=file)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        enhancer = Enhancer(data=folder)
        demo = build(enhancer)
        _, url, _ = demo.launch(**launch_options(enhancer.config), prevent_thread_lock=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for language, name in (("en", "page.png"), ("zh-CN", "page-zh.png")):
            page = browser.new_context(locale=language, viewport=SIZE).new_page()  # type: ignore[arg-type]
            show(page, f"{url.rstrip('/')}/", language, DOCS / name)
            page.close()
        browser.close()
        demo.close()


if __name__ == "__main__":
    main()
