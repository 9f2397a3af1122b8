"""An impatient visitor with two tabs presses without waiting."""

from playwright.sync_api import expect

from ..site import wait_until
from .journey import (
    choose,
    drag,
    drop,
    enhance,
    load,
    pick,
    pick_preset,
    see,
    wait_for,
    wait_for_chip,
)

CLICK = "(parts) => { for (const part of parts) document.querySelector(part).click(); }"
"""Click parts of the page at once, before a response to the first click."""


def test_a_visitor_with_two_tabs_changes_photos_and_settings_during_runs(site, visit, tmp_path):
    page, other = visit("?preset=anime-fast"), visit("?preset=original")
    enhancer = site.enhancer

    # Another photo during the upload and the analysis of the first. A slider moved meanwhile
    # belongs to the new photo.
    choose(page, site.photo("first.png", 200, 160))
    wait_for(page, "file?.name === 'first.png'")
    drop(page, "body", site.photo("second.png", 300, 40))
    wait_for(page, "file?.name === 'second.png' && chip === 'matches'")
    wait_for(page, "plan.settings.reduce === 1 && state.changed.reduce === undefined")

    # The tabs are independent.
    load(other, site.photo("third.png", 30, 40))
    assert see(page, "[file.name, state.preset]") == ["second.png", "anime-fast"]
    assert see(other, "[file.name, state.preset]") == ["third.png", "original"]

    # Enhance, pressed twice, starts one run. Other settings are for the next run.
    runs = enhancer.calls["run"]
    with enhancer.paused("progress"):
        page.evaluate(CLICK, ["#enhance", "#enhance"])
        expect(page.locator("#cancel")).to_be_visible()
        wait_for(page, "stage.mode === 'live'")
        pick_preset(page, "gentle")
        expect(page.locator("#next-run")).to_contain_text("Start with the new settings")
        expect(page.locator("#progress")).to_contain_text("Anime (fast)")
        pick_preset(page, "anime-fast")
        expect(page.locator("#next-run button")).to_have_count(0)
        pick(page, "size", "2x")
        page.locator("#next-run button").click()
        wait_for(page, "state.run?.settings.scale === 2")
    expect(page.locator("#download")).to_be_visible()
    assert enhancer.calls["run"] == runs + 2
    assert see(page, "[result.info.output.width, result.info.output.height]") == [80, 600]

    # Cancel, pressed twice, leaves nothing. Another photo during a run detaches from the run, which
    # goes on.
    load(page, site.photo("long.png", 300, 60))
    files = set(enhancer.tasks.processed.glob("*"))
    with enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for(page, "stage.mode === 'live'")
        page.evaluate(CLICK, ["#cancel", "#cancel"])
        expect(page.locator("#enhance")).to_be_enabled()
        wait_until(lambda: enhancer.status()["running"] == 0)
    assert set(enhancer.tasks.processed.glob("*")) == files
    with enhancer.paused("progress"):
        page.locator("#enhance").click()
        wait_for(page, "stage.mode === 'live'")
        choose(page, site.photo("fourth.png", 60, 40))
        wait_for(page, "file?.name === 'fourth.png' && plan && !state.run")
        expect(page.locator("#enhance")).to_be_enabled()
    wait_for_chip(page, "matches")
    enhance(page)
    assert see(page, "file.name") == "fourth.png"
    wait_until(lambda: enhancer.status()["running"] == 0)

    # A size and a preset, chosen at once.
    for clicks, size in (
        (["#size [value='2x']", "#presets [data-preset=precise]"], [80, 120]),
        (
            ["#size [value=custom]", "#by [value=scale]", "#presets [data-preset=gentle]"],
            [160, 240],
        ),
    ):
        page.evaluate(CLICK, clicks)
        wait_for(
            page,
            "chip === 'matches' && String([plan.result.width, plan.result.height]) === "
            "String(size)",
            size=size,
        )
    assert see(page, "state.preset") == "gentle"
    assert see(other, "[file.name, state.preset]") == ["third.png", "original"]


def test_a_run_that_fails_says_so_and_a_failed_preview_is_retried(site, visit):
    from enhance import EnhanceError

    page, enhancer = visit("?preset=anime-fast"), site.enhancer
    load(page, site.photo("short.png", 600, 800))
    shown = see(page, "preview.after")
    with enhancer.failing("preview", EnhanceError("memory_short")):
        drag(page, -200, 0)
        wait_for_chip(page, "failed")
        expect(page.locator("#chip")).to_contain_text("memory")
        assert see(page, "preview.after") == shown, "the earlier preview stays"
    previews = enhancer.calls["preview"]
    page.locator("#retry").click()
    wait_for_chip(page, "matches")
    assert enhancer.calls["preview"] > previews
    with enhancer.failing("run", EnhanceError("memory_short")):
        page.locator("#enhance").click()
        expect(page.locator("#problem")).to_contain_text("memory")
    page.locator("#bar").get_by_role("button", name="Use 2×").click()
    wait_for(page, "state.size.kind === '2x' && document.activeElement.id === 'enhance'")
    expect(page.locator("#problem")).to_have_count(0)
    enhance(page)
    expect(page.locator("#problem")).to_have_count(0)
