"""A real browser for the served page."""

import importlib.util
import shutil
import warnings

import pytest

from ..site import site

__all__ = ["site"]

MISSING = [
    name
    for name in ("playwright", "axe_playwright_python")
    if importlib.util.find_spec(name) is None
]
collect_ignore_glob = ["test_*.py"] if MISSING else []
if MISSING:
    warnings.warn(
        f"The tests of the page are skipped: {', '.join(MISSING)} not installed", stacklevel=1
    )

BROWSERS = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"
"""The tests take a sixth less time with Chromium's headless shell."""
PATIENCE = 60_000
"""How long a test waits for the page, in milliseconds."""
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        arguments = [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--in-process-gpu",
            "--process-per-site",
            "--host-resolver-rules=MAP 192.0.2.7 127.0.0.1",
        ]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def problems():
    """Script errors and violations of the content security policy on the pages of a test."""
    return []


@pytest.fixture(scope="session")
def contexts(site, browser):
    """Return a function that returns a browser context. A page in it stays open, so that its cache
    is kept."""

    contexts = {}

    def context(**options):
        key = repr(sorted(options.items()))
        if key not in contexts:
            contexts[key] = browser.new_context(**options)
            contexts[key].set_default_timeout(PATIENCE)
            contexts[key].new_page().goto(f"{site.url}healthz")
        return contexts[key]

    yield context
    for one in contexts.values():
        assert one.cookies() == [], "the page sets cookies"
        one.close()


IS_READY = (
    "() => !document.querySelector('#early') && document.elementFromPoint(40, 20)?.closest('#app')"
)
"""Return whether Gradio has shown the page."""


@pytest.fixture
def visit(site, contexts, problems):
    """Open the page: `visit("?preset=anime", locale="zh-CN", width=390)`. After the test, there are
    no problems."""
    pages = []

    def on_error(error):
        problems.append(str(error))

    def on_message(message):
        if message.type == "error" and "olicy" in message.text:
            problems.append(message.text)

    def visit(
        query="",
        *,
        url="",
        width=1280,
        height=800,
        color_scheme="light",
        reduced_motion="reduce",
        **options,
    ):
        page = contexts(**{"locale": "en-US", **options}).new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=color_scheme, reduced_motion=reduced_motion)
        page.on("pageerror", on_error)
        page.on("console", on_message)
        page.goto((url or site.url) + query)
        page.wait_for_function(IS_READY)
        return page

    yield visit
    for page in pages:
        if page.is_closed():
            page = page.context.new_page()
        page.goto(f"{site.url}healthz")  # A page saves its state when it is left.
        page.evaluate("localStorage.clear(), sessionStorage.clear()")
        page.close()
    assert problems == []
