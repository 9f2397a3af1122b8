"""Login and logout in the browser."""

from __future__ import annotations

import httpx

from ..site import LOGIN, guarded_site
from .journey import expect


def test_a_user_logs_in_and_out(site, browser, tmp_path):
    assert '"elem_id":"logout"' not in httpx.get(f"{site.url}config").text
    with guarded_site(tmp_path) as guarded, browser.new_context(locale="en-US") as context:
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(guarded.url)
        for name, value in LOGIN.items():
            page.locator(f"input[type={'password' if name == 'password' else 'text'}]").fill(value)
        page.keyboard.press("Enter")
        expect(page.locator("#logout")).to_be_visible()
        page.locator("#logout").click()
        expect(page.locator("input[type=password]")).to_be_visible()
        expect(page.locator("#logout")).to_have_count(0)
        assert context.request.get(f"{guarded.url}config").status == 401
        assert [text for text in errors if "olicy" in text] == []
