"""The page works under its own policy: the browser has nothing to complain of, which every test here looks at."""

from __future__ import annotations

from .journey import choose, enhance, wait_for_chip


def test_a_dark_page_goes_the_whole_way_under_its_policy_whose_breach_would_be_noticed(site, open_page, complaints):
    page = open_page("?preset=anime-fast", color_scheme="dark")
    page.locator("body.dark").wait_for()
    choose(page, site.photo("policy.png", 40, 48))
    wait_for_chip(page, "matches")
    enhance(page)
    assert complaints == []

    with page.expect_event("console", lambda message: "olicy" in message.text):
        page.evaluate("new Image().src = 'https://example.org/picture.png'")
    assert len(complaints) == 1
    complaints.clear()
