"""Who logged in finds the way out on the page."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect

from ..site import guarded_site


@pytest.fixture(scope="module")
def guarded(site, tmp_path_factory):
    """Beside `site`, and never around it: whichever starts last has the environment's folder until it ends."""
    with guarded_site(tmp_path_factory.mktemp("guarded")) as url:
        yield url


@pytest.mark.parametrize(("locale", "words"), [("en-US", "Log out"), ("zh-CN", "退出登录")])
def test_log_out_leads_back_to_the_login(guarded, browser, locale, words):
    with browser.new_context(locale=locale) as context:
        assert context.request.post(f"{guarded}login", form={"username": "ada", "password": "secret"}).ok
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(guarded)
        expect(page.locator("#logout")).to_have_text(words)

        page.locator("#logout").click()

        expect(page.locator("input[type=password]")).to_be_visible()
        expect(page.locator("#logout")).to_have_count(0)
        assert context.request.get(f"{guarded}config").status == 401
        assert [text for text in said if "olicy" in text] == []


def test_where_nobody_logs_in_nobody_logs_out(site, guarded):
    cookies = httpx.post(f"{guarded}login", data={"username": "ada", "password": "secret"}).cookies
    assert '"elem_id":"logout"' in httpx.get(f"{guarded}config", cookies=cookies).text
    assert '"elem_id":"logout"' not in httpx.get(f"{site.url}config").text
