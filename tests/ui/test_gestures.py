"""What hands do on the page: drop, paste, drag, touch, and the keys that do the same."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from .journey import PATIENCE, choose, choose_again, wait_for_chip

GIVE = """async ([how, place, name, width]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height: 40 });
  canvas.getContext("2d").fillRect(5, 5, 20, 10);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const data = new DataTransfer();
  data.items.add(new File([blob], name, { type: "image/png" }));
  const target = place ? document.querySelector(place) : document.documentElement;
  const way = { bubbles: true, cancelable: true };
  const over = (type) => target.dispatchEvent(new DragEvent(type, { dataTransfer: data, ...way }));
  if (how === "paste") return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...way }));
  return !over("dragover") && !over("drop");
}"""
"""A file is dropped at a place or pasted; true where the browser is kept from opening it instead of the page."""

LISTEN = """() => {
  const voice = document.querySelector("#voice");
  window.told = [];
  new MutationObserver(() => window.told.push(voice.textContent)).observe(voice, { childList: true });
}"""

WIDTHS = """() => {
  const images = [...document.querySelectorAll("#preview img")];
  return images.map((one) => [one.naturalWidth, one.getBoundingClientRect().width * devicePixelRatio]);
}"""
"""What the two pictures of the preview have, and what they take on the screen, in pixels."""


def placed(page: Page) -> tuple[float, float]:
    """The place of the square, as its label says it."""
    label = page.locator("#photo .square").get_attribute("aria-label") or ""
    x, y = label.split("around ")[1].split(".")[0].split(", ")
    return float(x), float(y)


def middle(page: Page, part: str) -> tuple[float, float]:
    box = page.locator(part).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def has_focus(page: Page, part: str) -> None:
    page.wait_for_function("(part) => document.activeElement?.matches(part)", arg=part, timeout=PATIENCE)


def test_a_pasted_picture_is_taken_and_gives_way_to_one_that_is_dropped_anywhere_pasted_or_chosen(site, open_page):
    page = open_page("?preset=anime-fast")
    page.evaluate(GIVE, ["paste", "", "earlier.png", 48])
    expect(page.locator("#facts")).to_contain_text("48 × 40 px", timeout=PATIENCE)
    wait_for_chip(page, "matches")
    for number, place in enumerate(["#bar", "#panes", "footer", ""]):
        assert page.evaluate(GIVE, ["drop", place, f"dropped-{number}.png", 50 + number])
        expect(page.locator("#facts")).to_contain_text(f"{50 + number} × 40 px", timeout=PATIENCE)
    page.evaluate(GIVE, ["paste", "", "pasted.png", 70])
    expect(page.locator("#facts")).to_contain_text("70 × 40 px", timeout=PATIENCE)
    with page.expect_file_chooser() as asked:
        page.locator("#replace").click()
    asked.value.set_files(site.photo("replaced.png", 40, 80))
    expect(page.locator("#facts")).to_contain_text("80 × 40 px", timeout=PATIENCE)
    assert page.url == f"{site.url}?preset=anime-fast"


def test_the_square_follows_the_pointer_and_the_arrow_keys_and_says_where_it_is(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("square.png", 300, 400))
    wait_for_chip(page, "matches")
    assert placed(page) == (200, 150)

    x, y = middle(page, "#photo .square")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y + 10, steps=4)
    page.mouse.up()
    expect(page.locator("#photo .square")).not_to_have_attribute("data-at", "200,150", timeout=PATIENCE)
    page.wait_for_function("!document.querySelector('.square').ariaLabel.includes('200, 150')", timeout=PATIENCE)
    across, down = placed(page)
    assert across > 230
    assert down > 160
    has_focus(page, ".square")

    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_function(
        f"document.querySelector('.square').ariaLabel.includes('{across - 1:.0f}, ')", timeout=PATIENCE
    )
    assert placed(page) == (across - 1, down)
    has_focus(page, ".square")
    wait_for_chip(page, "matches")


def test_three_places_are_pinned_and_one_click_goes_back_to_each(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("places.png", 300, 400))
    wait_for_chip(page, "matches")
    photo, pin, square = page.locator("#photo img"), page.locator("#photo .pin"), page.locator("#photo .square")
    box = photo.bounding_box()
    assert box is not None
    for number, share in enumerate((0.2, 0.5, 0.8), 1):
        photo.click(position={"x": box["width"] * share, "y": box["height"] * 0.9}, force=True)
        expect(page.locator("#photo .place[aria-pressed=true]")).to_have_count(0, timeout=PATIENCE)
        pin.click()
        expect(page.locator("#photo .place")).to_have_count(number, timeout=PATIENCE)
    expect(pin).to_have_text("Unpin area")

    photo.click(position={"x": box["width"] * 0.35, "y": box["height"] * 0.1}, force=True)
    expect(page.locator("#photo .place[aria-pressed=true]")).to_have_count(0, timeout=PATIENCE)
    expect(pin).to_have_count(0)

    for place in page.locator("#photo .place").all():
        at = place.get_attribute("data-at")
        place.click()
        expect(square).to_have_attribute("data-at", at or "", timeout=PATIENCE)
    has_focus(page, ".pin, .place")
    pin.click()
    expect(page.locator("#photo .place")).to_have_count(2, timeout=PATIENCE)


def test_a_finger_drags_the_square_but_scrolls_the_page_beside_it(site, open_page):
    page = open_page("?preset=anime-fast", width=390, has_touch=True, is_mobile=True)
    choose(page, site.photo("finger.png", 300, 400))
    wait_for_chip(page, "matches")
    x, y = middle(page, "#photo .square")
    touch = page.context.new_cdp_session(page)

    def swipe(*points: tuple[float, float]) -> None:
        for number, (at_x, at_y) in enumerate(points):
            kind = "touchMove" if number else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at_x, "y": at_y}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe((x, y), (x + 20, y + 10), (x + 40, y + 20))
    page.wait_for_function("!document.querySelector('.square').ariaLabel.includes('200, 150')", timeout=PATIENCE)
    across, down = placed(page)
    assert across > 230
    assert down > 160

    left = page.locator("#photo img").bounding_box()
    assert left is not None
    at = left["x"] + 20
    swipe(*((at, 300 - step) for step in range(0, 120, 10)))
    page.wait_for_function("scrollY > 20", timeout=PATIENCE)
    assert placed(page) == (across, down)
    wait_for_chip(page, "matches")


def test_the_tuning_of_a_phone_is_a_sheet_that_leaves_what_it_tunes_in_sight(site, open_page):
    page = open_page("?preset=anime-fast", width=390, has_touch=True, is_mobile=True)
    choose(page, site.photo("sheet.png", 128, 128))
    wait_for_chip(page, "matches")
    button, opened = page.locator("#tuning-sheet > button"), page.locator("#tuning-sheet > button.open")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.touchscreen.tap(200, 40), button.click):
        button.click()
        expect(opened).to_have_count(1)
        page.wait_for_function("document.querySelector('#stage').getBoundingClientRect().top < 60", timeout=PATIENCE)
        sheet, stage = page.locator("#tuning-sheet").bounding_box(), page.locator("#preview").bounding_box()
        assert sheet is not None
        assert stage is not None
        assert stage["y"] + stage["height"] <= sheet["y"]
        page.locator("#tile").scroll_into_view_if_needed()
        expect(page.locator("#tile input[type=range]")).to_be_in_viewport()
        close()
        expect(opened).to_have_count(0)


def test_a_comparison_is_zoomed_by_its_buttons_moved_by_dragging_and_its_handle_moves_by_the_keyboard(site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("zoom.png", 128, 128))
    wait_for_chip(page, "matches")
    said, pane = page.locator("#zoom output"), "document.querySelector('#pane-preview')"
    expect(said).to_have_text("100%")
    page.locator("#zoom [data-zoom=in]").click()
    expect(said).to_have_text("200%")
    x, y = middle(page, "#pane-preview")
    before = page.evaluate(f"{pane}.scrollTop")
    page.mouse.move(x - 100, y)
    page.mouse.down()
    page.mouse.move(x - 160, y - 90, steps=3)
    page.mouse.up()
    assert page.evaluate(f"{pane}.scrollTop") == before + 90
    page.locator("#zoom [data-zoom=out]").click()
    page.locator("#zoom [data-zoom=out]").click()
    expect(said).to_have_text("50%")
    page.locator("#zoom [data-zoom=fit]").click()
    expect(said).to_have_text("100%")

    handle = page.locator("#preview [data-testid=slider]")
    expect(handle).to_have_attribute("role", "slider")
    handle.focus()
    page.keyboard.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "0")


def test_the_presets_are_one_group_in_which_the_arrow_keys_pass_over_what_is_not_here(open_page):
    page = open_page("?preset=anime-fast")
    expect(page.locator("#preset input[value=fast]")).to_be_disabled(timeout=PATIENCE)
    here = [one.get_attribute("value") for one in page.locator("#preset input:enabled").all()]
    assert "fast" not in here
    page.locator("#preset input:checked").focus()
    passed = []
    for _ in here:
        page.keyboard.press("ArrowRight")
        passed.append(page.evaluate("document.activeElement.value"))
    assert sorted(passed) == sorted(here)
    assert page.evaluate("new Set([...document.querySelectorAll('#preset input')].map((one) => one.name)).size") == 1


def test_the_focus_never_falls_out_of_the_page_and_progress_is_told_now_and_then(site, open_page):
    page = open_page("?preset=anime-fast")
    page.locator("#upload button").focus()
    choose(page, site.photo("focus.png", 310, 240))
    has_focus(page, ".square")
    wait_for_chip(page, "matches")
    page.evaluate(LISTEN)
    with site.enhancer.midway():
        page.locator("#enhance").focus()
        page.keyboard.press("Enter")
        has_focus(page, "#cancel")
        page.keyboard.press("Enter")
        has_focus(page, "#enhance")
        page.keyboard.press("Enter")
        page.wait_for_function("window.told.some((one) => one.includes('% done'))")
    expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)
    has_focus(page, "#download")
    told = page.evaluate("window.told")
    assert "Done in" in told[-1]
    assert len(told) < 22, told

    page.locator("#again").focus()
    page.keyboard.press("Enter")
    has_focus(page, "#upload button")
    page.locator("#head a[lang='zh-CN']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#enhance")).to_have_text("增强", timeout=PATIENCE)
    has_focus(page, "#head a[lang='zh-CN']")


def test_what_the_server_or_gradio_refuses_is_said_in_words(site, open_page):
    page = open_page("?preset=anime-fast&lang=zh-CN")
    choose(page, site.photo("kept.png", 48, 48))
    wait_for_chip(page, "matches")
    large = site.files / "large.png"
    with large.open("wb") as file:
        file.truncate(200_000_001)
    choose(page, large)
    said, title = page.locator("[data-testid=toast-text]"), page.locator(".toast-title")
    expect(said).to_have_text("文件过大，上限为 200 MB。请选择较小的文件。", timeout=PATIENCE)
    expect(title).to_have_text("错误")
    expect(page.locator("#facts")).to_contain_text("kept.png")
    page.locator(".toast-close").click()

    page.locator("#tab-many-button").click()
    many = [site.files / f"many-{number}.png" for number in range(201)]
    for file in many:
        file.write_bytes(b"")
    page.locator("#batch-files input[type=file]").set_input_files(many)
    expect(said).to_contain_text("200", timeout=PATIENCE)
    words = said.inner_text()
    assert "HTTP" not in words
    assert "{" not in words
    assert "文件" in words


@pytest.mark.parametrize("scale", [1, 2])
def test_a_pixel_of_the_result_is_one_of_the_screen(site, open_page, scale):
    page = open_page("?preset=anime-fast", **({"device_scale_factor": scale} if scale > 1 else {}))
    choose(page, site.photo(f"pixels-{scale}.png", 90, 110))
    wait_for_chip(page, "matches")
    page.wait_for_function(f"({WIDTHS})().every(([has, takes]) => has === 440 && takes === 440)")
    expect(page.locator("#zoom output")).to_have_text("100%")

    choose_again(page, site.photo(f"tiny-{scale}.png", 8, 8))
    page.wait_for_function(f"({WIDTHS})().every(([has, takes]) => has === 32 && takes === 32)")
    for theme in ("", "dark"):
        page.evaluate("(theme) => document.body.className = theme", theme)
        ground = page.locator("#preview img").first.evaluate("(one) => getComputedStyle(one).backgroundImage")
        assert "conic-gradient" in ground
