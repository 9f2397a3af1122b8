"""The page works under its own content policy: the browser's console has nothing to say."""

from __future__ import annotations

from playwright.sync_api import expect


def test_nothing_on_the_page_offends_its_policy(site, open_page):
    page = open_page("?preset=anime-fast")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.reload()
    page.locator("#why .note").wait_for()
    page.locator("#upload input[type=file]").set_input_files(site.photo("policy.png", 60, 80))
    page.locator("#preview-chip .matches, #preview [data-testid=imageslider-image]").first.wait_for(timeout=60_000)
    page.locator("#enhance").click()
    expect(page.locator("#progress .finished")).to_be_visible(timeout=60_000)
    assert [text for text in said if "olicy" in text or "refused" in text.lower()] == []
