"""Every state of the page in both languages and themes, on every screen: `make states`."""

import pytest
from playwright.sync_api import expect

from .audit import faults, start_axe
from .journey import (
    add_files,
    choose,
    load,
    number,
    open_batch,
    pick,
    pick_preset,
    press,
    recent,
    rows,
    wait_for,
    wait_for_chip,
)

pytestmark = pytest.mark.long


def new_photo(site, name, height, width):
    """Write a photo that no run of this site had yet, because the network output of those is kept
    and their next run cannot be paused."""
    return site.photo(name, height, width + len(site.enhancer.names))


def start(page, site):
    page.locator("#chooser [data-act=example]").first.wait_for()
    yield "empty"
    recent(page)
    yield "recent results, empty"
    page.keyboard.press("Escape")
    choose(page, site.text("letter.png"))
    expect(page.locator("#problem")).to_be_visible()
    yield "refused file"
    held = []
    page.route("**/gradio_api/upload", lambda route: held.append(route))
    choose(page, site.photo("uploaded.png", 60, 48))
    wait_for(page, "state.file?.upload")
    yield "upload of one"
    for route in held:
        route.continue_()
    page.unroute("**/gradio_api/upload")
    wait_for_chip(page, "matches")
    yield "photo that is smaller than the stage"


def photos(page, site):
    load(page, new_photo(site, "states.png", 900, 700))
    yield "photo"
    pick(page, "size", "custom")
    pick(page, "by", "long_side")
    number(page, "long_side").fill("90000")
    expect(page.locator("#size-notice [role=alert]")).to_be_visible()
    yield "refused size"
    pick(page, "size", "print")
    pick_preset(page, "gentle")
    wait_for(page, "plan.settings.preset === 'gentle'")
    yield "print, with a preset chosen by hand"
    press(page, "sharpen", "ArrowRight")
    if (more := page.locator("#presets [data-act=more]")).get_attribute("aria-expanded") == "false":
        more.click()
    yield "everything in the panel open"
    with site.enhancer.paused("preview"):
        page.locator("#compare-presets").click()
        expect(page.locator("#comparison .tile").nth(1)).to_be_visible()
        yield "comparison, incomplete"


def runs(page, site):
    load(page, new_photo(site, "run.png", 300, 240))
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for(page, "stage.mode === 'live'")
        yield "running"
        pick(page, "size", "2x")
        expect(page.locator("#next-run button")).to_be_visible()
        yield "running, with other settings"
        pick(page, "size", "4x")
    expect(page.locator("#download")).to_be_visible()
    wait_for(page, "stage.mode === 'result'")
    yield "done"
    recent(page).first.wait_for()
    yield "recent results"
    page.keyboard.press("Escape")
    page.locator("#facts ~ button").click()
    yield "all facts"
    page.keyboard.press("Escape")


def batches(page, site):
    open_batch(page)
    yield "batch, empty"
    add_files(
        page,
        *(new_photo(site, f"{n}.png", 40, 48 + 8 * n) for n in (1, 2, 3)),
        site.text("letter.png"),
    )
    wait_for(page, "file && chip === 'matches'")
    yield "batch"
    with site.enhancer.paused("run", of="2.png"):
        page.locator("#batch-enhance").click()
        expect(rows(page, "done")).to_have_count(1)
        yield "batch, running"
    expect(rows(page, "done")).to_have_count(3)
    yield "batch, done"
    recent(page).first.wait_for()
    yield "recent results with a batch"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("states", [start, photos, runs, batches])
def test_every_state_is_accessible_fits_and_is_in_one_language(site, visit, states, language):
    """Each of `states` sets the page to one state after the other, and yields their names."""
    page = visit(f"?preset=anime-fast&lang={language}")
    start_axe(page)
    report = [f"{state}: {one}" for state in states(page, site) for one in faults(page, language)]
    assert not report, "\n".join(report)
