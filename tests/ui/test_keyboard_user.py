"""A user without a mouse enhances an example: the focus is never lost, and progress is
announced."""

from PIL import Image
from playwright.sync_api import expect

from .audit import faults, start_axe
from .journey import (
    has_focus,
    number,
    see,
    wait_for,
    wait_for_new_preview,
)

LISTEN = """() => {
  window.announced = [];
  const listen = () => {
    const text = document.querySelector("#bar [role=status]")?.textContent.trim();
    if (text && text !== window.announced.at(-1)) window.announced.push(text);
    requestAnimationFrame(listen);
  };
  listen();
}"""


def tab_to(page, part, key="Tab"):
    """Press Tab until this part, which can still be hidden, has the focus."""
    has_it = "(part) => Boolean(document.activeElement?.matches(part))"
    for _ in range(1000):
        if page.evaluate(has_it, part):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the Tab key does not reach {part}: {see(page, 'state.size')}")


def parts_in_order(page, parts):
    """Press Tab until each of these parts of the page had the focus, and return them in that
    order."""
    inside, passed = (
        "(parts) => parts.find((part) => document.activeElement.closest(part)) ?? ''",
        list[str](),
    )
    while not set(parts) <= set(passed):
        assert len(passed) < 80, set(parts) - set(passed)
        page.keyboard.press("Tab")
        passed.append(page.evaluate(inside, parts))
    return [part for part in dict.fromkeys(passed) if part]


def test_a_keyboard_user_enhances_an_example(site, visit):
    page = visit("?preset=anime-fast")
    press_key = page.keyboard.press
    page.locator("#chooser [data-act=example]").first.wait_for()
    tab_to(page, "#chooser [data-act=example]")
    press_key("Tab")
    press_key("Enter")
    has_focus(page, "#stage canvas")
    wait_for(page, "chip === 'matches' && file.name === 'cat.jpg'")

    # Keys pan and zoom the photo and move the divider.
    preview = see(page, "preview.after")
    press_key("Shift+ArrowLeft")
    press_key("Shift+ArrowDown")
    preview = wait_for_new_preview(page, preview)
    at = see(page, "stage.x")
    press_key("ArrowRight")
    wait_for(page, "stage.x > at", at=at)
    press_key("+")
    wait_for(page, "stage.zoom > 1")
    press_key("0")
    expect(page.locator("#stage [data-act=fit]")).to_have_attribute("aria-pressed", "true")
    press_key("1")
    wait_for(page, "stage.zoom === 1 && chip === 'matches'")
    tab_to(page, "#handle")
    press_key("Home")
    wait_for(page, "stage.split === 0")
    press_key("ArrowRight")
    expect(page.locator("#handle")).to_have_attribute("aria-valuenow", "2")
    page.keyboard.down("b")
    expect(page.locator("#stage .tag.before")).to_be_visible()
    page.keyboard.up("b")
    has_focus(page, "#handle")
    wait_for(page, "stage.split === 0.02")

    # The comparison is closed by Escape, and the focus returns. A tile chooses its preset.
    tiles = page.locator("#comparison .tile")
    tab_to(page, "#compare-presets")
    press_key("Enter")
    expect(tiles.first).to_be_visible()
    press_key("Escape")
    expect(tiles).to_have_count(0)
    has_focus(page, "#compare-presets")
    press_key("Enter")
    tab_to(page, "#comparison .tile[data-preset=anime-fast]")
    press_key("Enter")
    expect(tiles).to_have_count(0)
    wait_for(page, "state.preset === 'anime-fast' && chip === 'matches'")

    # A size that is not possible has a button that selects a possible one.
    problem = page.locator("#size-notice [role=alert]")
    tab_to(page, "#size input:checked")
    press_key("ArrowRight")
    press_key("ArrowRight")
    press_key("ArrowRight")
    tab_to(page, "#by input:checked")
    press_key("ArrowRight")
    wait_for(page, "state.size.by === 'long_side'")
    tab_to(page, "#long_side input")
    press_key("Control+a")
    page.keyboard.type("9000")
    expect(problem).to_contain_text("6,144 px")
    expect(page.locator("#enhance")).to_be_disabled()
    tab_to(page, "#size-notice button")
    press_key("Enter")
    expect(number(page, "long_side")).to_have_value("6144")
    has_focus(page, "#long_side input")
    expect(problem).to_have_count(0)
    press_key("Control+a")
    press_key("Delete")
    tab_to(page, "#size-notice button")
    press_key("Enter")
    expect(problem).to_have_count(0)
    tab_to(page, "#size input:checked", "Shift+Tab")
    press_key("ArrowLeft")
    wait_for(page, "plan.result.width === 768 && chip === 'matches'")

    # Enter chooses from a menu, which keeps the focus. Escape closes its list.
    menu = page.locator("#metadata input")
    tab_to(page, "#metadata input")
    press_key("End")
    press_key("Enter")
    wait_for(page, "state.encoding.metadata === 'none'")
    has_focus(page, "#metadata input")
    press_key("ArrowDown")
    expect(menu).to_have_attribute("aria-expanded", "true")
    press_key("Escape")
    expect(menu).to_have_attribute("aria-expanded", "false")

    # The run is cancelled and started again. Its progress is announced, and the result is
    # downloaded.
    page.evaluate(LISTEN)
    tab_to(page, "#enhance")
    with site.enhancer.paused("progress"):
        press_key("Enter")
        has_focus(page, "#cancel")
        press_key("Enter")
        has_focus(page, "#enhance")
        expect(page.locator("#enhance")).to_be_enabled()
        press_key("Enter")
        has_focus(page, "#cancel")
        page.wait_for_function("window.announced.some((one) => one.includes('%'))")
    has_focus(page, "#download")
    with page.expect_download() as coming:
        press_key("Enter")
    assert Image.open(coming.value.path()).size == (768, 510)
    assert 2 < len(page.evaluate("window.announced")) < 22
    start_axe(page)
    assert list(faults(page, "en")) == []

    # The focus passes through the page from top to bottom.
    parts = ["#head", "#stage", "#panel", "#bar"]
    found = parts_in_order(page, parts)
    at = found.index("#head")
    assert found[at:] + found[:at] == parts
    # The divider moves to the place with the lowest fidelity.
    tab_to(page, "#summary [data-act=place]")
    press_key("Enter")
    wait_for(page, "stage.split > 0.02 && stage.zoom >= 1")
    tab_to(page, "#again")
    press_key("Enter")
    wait_for(page, "!state.file")
    tab_to(page, "#head .page-buttons [data-act=language]")
    press_key("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("#early")).to_have_count(0)
    tab_to(page, "#tab-single")
