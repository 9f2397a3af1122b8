"""A real browser in front of the served page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from ..site import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

__all__ = ["site"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; no browser is downloaded."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    sync_playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").sync_playwright
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def profiles(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A browser profile for each way to look at the page: what it has loaded once it need not load again.

    All that the page keeps of a visit is in its local storage, which goes with it: a profile is as good as new.
    """
    made: dict[str, BrowserContext] = {}

    def profile(**options) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = browser.new_context(**options)
        return made[key]

    yield profile
    for context in made.values():
        assert context.cookies() == [], "the page does keep something in the browser"
        context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser has to complain of: errors of scripts, and breaches of the page's policy."""
    return []


@pytest.fixture
def open_page(site: Site, profiles: Callable[..., BrowserContext], complaints: list[str]):
    """Opens the page: `open_page("?preset=anime", locale="zh-CN", width=390)`. In the end there is no complaint."""
    pages: list[Page] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and "olicy" in message.text:
            complaints.append(message.text)

    def open_it(query: str = "", *, locale: str = "en-US", width: int = 1280, **options) -> Page:
        page = profiles(locale=locale, viewport={"width": width, "height": 900}, **options).new_page()
        pages.append(page)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.goto(site.url + query)
        page.locator("#why .note").wait_for()
        return page

    yield open_it
    for page in pages:
        if not page.is_closed():
            page.evaluate("localStorage.clear()")
            page.close()
    assert complaints == []
