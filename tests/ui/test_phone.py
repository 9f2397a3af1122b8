"""A phone, and a dark page."""

from __future__ import annotations

from playwright.sync_api import expect

from ..site import Site
from .journey import PREVIEW_WIDTHS, box, enhance, images, load, middle, wait_for_chip

PHONE = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def test_a_dark_phone_shows_all_pixels_and_is_used_by_touch(site: Site, open_page, problems):
    page = open_page("?preset=anime-fast", width=390, color_scheme="dark", reduced_motion="no-preference", **PHONE)
    page.locator("body.dark").wait_for()
    load(page, site.photo("phone.png", 300, 400))
    images(page)
    page.wait_for_function(f"({PREVIEW_WIDTHS})().every(([own, shown]) => own === 512 && shown === 512)")

    area = page.locator("#photo .square")
    x, y = middle(area)
    touch = page.context.new_cdp_session(page)

    def swipe(*points: tuple[float, float]) -> None:
        for count, (at_x, at_y) in enumerate(points):
            kind = "touchMove" if count else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at_x, "y": at_y}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe((x, y), (x + 20, y + 10), (x + 40, y + 20))
    expect(area).not_to_have_attribute("data-at", "200,150")
    moved = area.get_attribute("data-at") or ""
    left = box(page.locator("#photo img"))["x"] + 20
    swipe(*((left, 300 - step) for step in range(0, 120, 10)))
    page.wait_for_function("scrollY > 20")
    expect(area).to_have_attribute("data-at", moved)
    wait_for_chip(page, "matches")

    button, opened = page.locator("#tuning-sheet > button"), page.locator("#tuning-sheet > button.open")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.touchscreen.tap(200, 40), button.click):
        button.click()
        expect(opened).to_have_count(1)
        page.wait_for_function("document.querySelector('#stage').getBoundingClientRect().top < 60")
        stage, sheet = box(page.locator("#preview")), box(page.locator("#tuning-sheet"))
        assert stage["y"] + stage["height"] <= sheet["y"], "the sheet leaves the preview in sight"
        close()
        expect(opened).to_have_count(0)

    enhance(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    assert problems == []
    with page.expect_event("console", lambda message: "olicy" in message.text):
        page.evaluate("new Image().src = 'https://example.org/image.png'")
    assert len(problems) == 1, "a violation of the policy would be noticed"
    problems.clear()
