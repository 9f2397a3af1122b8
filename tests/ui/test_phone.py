"""A phone, and a dark page."""

from __future__ import annotations

from ..site import Site
from .journey import box, enhance, expect, has_focus, load, middle, press, stage, wait_for_chip, wait_for_stage

PHONE = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}

ENDS_AT_BAR = """() => {
  const [panel, bar] = ["#panel", "#bar"].map((part) => document.querySelector(part).getBoundingClientRect());
  return panel.bottom <= bar.top + 1;
}"""


def test_a_dark_phone_shows_all_pixels_and_is_used_by_touch(site: Site, open_page, problems):
    page = open_page("?preset=anime-fast", width=390, color_scheme="dark", reduced_motion="no-preference", **PHONE)
    page.locator("body.dark").wait_for()
    load(page, site.photo("phone.png", 440, 400))
    canvas, first = page.locator("#viewer canvas"), stage(page)
    expect(page.locator("#viewer output")).to_be_hidden()
    assert page.evaluate("document.querySelector('#viewer canvas').width") == 2 * box(canvas)["width"]
    x, y = (part + 60 for part in middle(canvas))
    touch = page.context.new_cdp_session(page)

    def swipe(*moves: list[tuple[float, float]]) -> None:
        for count, points in enumerate(moves):
            kind = "touchMove" if count else "touchStart"
            given = [{"x": at[0], "y": at[1], "id": number} for number, at in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe([(x, y)], [(x + 20, y + 10)], [(x + 40, y + 20)])
    wait_for_stage(page, f"view.x < {first['x']} && view.y < {first['y']}")
    swipe([(x, y), (x + 40, y)], [(x - 10, y), (x + 50, y)], [(x - 20, y), (x + 60, y)])
    wait_for_stage(page, "view.zoom > 1.5")
    wait_for_chip(page, "matches")
    assert page.evaluate("scrollY") == 0, "the photo moves, not the page"

    button, sheet = page.locator("#settings button"), page.locator("#panel.sheet")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.touchscreen.tap(200, 80), button.click):
        button.click()
        has_focus(page, "#panel.sheet")
        page.wait_for_function(ENDS_AT_BAR)
        assert box(sheet)["y"] >= box(page.locator("#stage"))["y"] + 139, "the photo stays visible above the sheet"
        press(page, "contrast", "ArrowRight")
        close()
        expect(sheet).to_have_count(0)
        has_focus(page, "#settings button")
    button.click()
    page.wait_for_function(ENDS_AT_BAR)
    x, y = middle(page.locator("#grip"))
    swipe([(x, y)], [(x, y + 60)], [(x, y + 120)])
    expect(sheet).to_have_count(0)
    wait_for_chip(page, "matches")

    enhance(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    assert problems == []
    with page.expect_event("console", lambda message: "olicy" in message.text):
        page.evaluate("new Image().src = 'https://example.org/image.png'")
    assert len(problems) == 1, "a violation of the policy would be noticed"
    problems.clear()
