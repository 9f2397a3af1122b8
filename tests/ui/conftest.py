"""A real browser in front of the served page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from ..site import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page

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


@pytest.fixture(scope="session")
def free_tabs() -> dict[BrowserContext, list[Page]]:
    """Tabs that tests are done with: the next page is there in half the time in a tab that had one before."""
    return {}


@pytest.fixture
def open_page(
    site: Site,
    profiles: Callable[..., BrowserContext],
    free_tabs: dict[BrowserContext, list[Page]],
    complaints: list[str],
):
    """Opens the page: `open_page("?preset=anime", locale="zh-CN", width=390)`. In the end there is no complaint."""
    pages: list[Page] = []

    def failed(error: Error) -> None:
        complaints.append(str(error))

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and "olicy" in message.text:
            complaints.append(message.text)

    def open_it(
        query: str = "",
        *,
        width: int = 1280,
        color_scheme: Literal["light", "dark"] = "light",
        reduced_motion: Literal["reduce", "no-preference"] = "no-preference",
        **options,
    ) -> Page:
        context = profiles(**{"locale": "en-US", **options})
        free = free_tabs.setdefault(context, [])
        page = free.pop() if free else context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=color_scheme, reduced_motion=reduced_motion)
        pages.append(page)
        page.on("pageerror", failed)
        page.on("console", heard)
        page.goto(site.url + query)
        page.locator("#why .note").wait_for()
        return page

    yield open_it
    for page in pages:
        if not page.is_closed():
            page.evaluate("localStorage.clear(), sessionStorage.clear()")
            page.remove_listener("pageerror", failed)
            page.remove_listener("console", heard)
            page.goto("about:blank")
            free_tabs[page.context].append(page)
    assert complaints == []
