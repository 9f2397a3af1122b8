"""A Chinese-speaking user enhances an example by touch on a phone, upright and on its side."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from enhance import EnhanceError

from .audit import english, misplaced
from .journey import (
    box,
    choose,
    download,
    has_focus,
    load,
    middle,
    pick,
    pick_preset,
    press,
    see,
    wait_for,
    wait_for_chip,
)

WIDTH, HEIGHT = 390, 844
PHONE = {"locale": "zh-CN", "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def test_a_phone_user_enhances_an_example_in_chinese_by_touch(site, visit, tmp_path):
    page = visit("?preset=precise", width=WIDTH, height=HEIGHT, color_scheme="dark", **PHONE)

    def has_no_faults():
        found = [*english(page), *misplaced(page)]
        assert not found, "\n".join(found)

    page.locator("body.dark").wait_for()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.locator("#chooser [data-act=example]").first.wait_for()
    has_no_faults()
    page.locator("#chooser [data-act=example]").first.tap()
    wait_for_chip(page, "matches")
    has_no_faults()

    # One finger pans and two fingers zoom. The stage shows every pixel of the screen.
    canvas, first = page.locator("#stage canvas"), see(page, "stage")
    assert (
        page.evaluate("document.querySelector('#stage canvas').width") == 2 * box(canvas)["width"]
    )
    x, y = (part + 60 for part in middle(canvas))
    touch = page.context.new_cdp_session(page)

    def swipe(*moves):
        for count, points in enumerate([*moves, moves[-1]]):
            if count == len(moves):
                # Held at its end, because the browser drops a tap during a fling.
                page.wait_for_timeout(200)
            kind = "touchMove" if count else "touchStart"
            given = [{"x": at[0], "y": at[1], "id": number} for number, at in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe([(x, y)], [(x + 20, y + 10)], [(x + 40, y + 20)])
    wait_for(page, f"stage.x < {first['x']} && stage.y < {first['y']}")
    swipe([(x, y), (x + 40, y)], [(x - 10, y), (x + 50, y)], [(x - 20, y), (x + 60, y)])
    wait_for(page, f"stage.zoom > 1.5 * {first['zoom']}")
    wait_for_chip(page, "matches")
    assert page.evaluate("scrollY") == 0, "the photo moves, not the page"

    # The settings are a sheet. Escape, a tap on the photo or a swipe closes it.
    sheet, panel = page.locator("#settings"), page.locator("#panel")

    def swipe_down():
        x, y = middle(panel.locator(".grip"))
        swipe([(x, y)], [(x, y + 60)], [(x, y + 120)])

    def open_sheet():
        # The browser takes a tap within 0.3 s of a swipe for a part of that.
        page.wait_for_timeout(600)
        sheet.tap()
        page.locator("body[data-panel=open]").wait_for()

    for close in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.touchscreen.tap(90, 160),
        swipe_down,
    ):
        open_sheet()
        assert box(panel)["y"] >= box(page.locator("#stage"))["y"] + 139, (
            "the photo stays visible above the sheet"
        )
        close()
        wait_for(page, "!state.isPanelOpen")
        has_focus(page, "#settings")
    open_sheet()
    pick(page, "size", "2x")
    pick_preset(page, "anime-fast")
    press(page, "contrast", "ArrowRight")
    has_no_faults()
    page.keyboard.press("Escape")
    wait_for_chip(page, "matches")

    with site.enhancer.paused("progress"):
        page.locator("#enhance").tap()
        wait_for(page, "stage.mode === 'live'")
        has_no_faults()
    expect(page.locator("#download")).to_be_visible()
    wait_for(page, "stage.mode === 'result'")
    has_no_faults()
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (768, 768)

    # On its side, and replaced by another photo.
    page.set_viewport_size({"width": HEIGHT, "height": WIDTH})
    has_no_faults()
    with page.expect_file_chooser() as chooser:
        page.locator("#replace").tap()
    chooser.value.set_files(site.photo("other.png", 120, 160))
    wait_for(page, "file.name === 'other.png' && chip === 'matches'")
    has_no_faults()


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (HEIGHT, WIDTH)])
def test_the_presets_are_compared_on_a_phone(site, visit, width, height):
    page = visit("?preset=anime-fast", width=width, height=height, has_touch=True, is_mobile=True)
    load(page, site.photo("compared.png", 120, 160))
    button = page.locator("button", has_text="Compare")
    expect(button).to_have_count(1)
    tiles = page.locator("#comparison .tile")

    page.locator("#settings").tap()
    button.tap()
    expect(tiles.first).to_be_visible()
    page.keyboard.press("Escape")
    expect(tiles).to_have_count(0)
    has_focus(page, "#settings")

    page.locator("#settings").tap()
    button.tap()
    page.locator("#comparison .tile[data-preset=precise]").tap()
    wait_for(page, "plan.settings.preset === 'precise' && chip === 'matches'")


def test_the_reason_of_a_failed_preview_has_the_room_beside_retry(site, visit):
    page = visit("?preset=anime-fast", width=WIDTH, height=HEIGHT)
    with site.enhancer.failing("preview", EnhanceError("memory_short")):
        choose(page, site.photo("failed.png", 120, 160))
        wait_for_chip(page, "failed")
        chip, retry = box(page.locator("#chip")), box(page.locator("#retry"))
        assert 0.7 * retry["x"] < chip["x"] + chip["width"] < retry["x"]


@pytest.mark.parametrize("width", [320, 390, 844])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nothing_overlaps_on_small_screens(site, visit, width, language):
    height = 390 if width == 844 else 640
    page = visit(
        f"?preset=anime-fast&lang={language}",
        width=width,
        height=height,
        has_touch=True,
        is_mobile=True,
    )
    page.locator("#chooser [data-act=example]").first.wait_for()
    assert not (found := misplaced(page)), "\n".join(found)
    load(page, site.photo("header.png", 20, 24))
    assert not (found := misplaced(page)), "\n".join(found)
