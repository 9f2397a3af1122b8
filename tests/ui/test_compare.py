"""The presets side by side on the stage: they come one by one, one is taken, and what is outdated goes."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from .journey import PATIENCE, choose, preview_pictures, wait_for_chip, wait_for_new_preview
from .test_every_state import AXE, faults


@pytest.fixture(autouse=True)
def three_presets(site, monkeypatch):
    """Of the presets that are here the quick one, one that has a scene, and one without its weights."""
    presets, names = site.enhancer.presets, ("anime-fast", "dehaze", "fast")
    monkeypatch.setattr(
        site.enhancer, "presets", lambda *language: [one for one in presets(*language) if one["name"] in names]
    )


@pytest.fixture
def held(site, monkeypatch):
    """Every comparison stops after its first preset until the event is set."""
    go_on, compare = threading.Event(), site.enhancer.compare

    def slow(*given, arrived, ticket, **named):
        def arriving(cell):
            arrived(cell)
            while not (go_on.is_set() or ticket.stop.is_set()):
                go_on.wait(0.05)

        return compare(*given, arrived=arriving, ticket=ticket, **named)

    monkeypatch.setattr(site.enhancer, "compare", slow)
    yield go_on
    go_on.set()


def test_a_preset_that_is_taken_is_there_at_once_without_its_network(site, open_page, held):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("compared.png", 24, 24))
    wait_for_chip(page, "matches")
    shown, button = preview_pictures(page), page.locator("#compare-presets")

    button.click()

    cells = page.locator("#comparison .cell")
    expect(page.locator("button.cell")).to_have_count(1, timeout=PATIENCE)
    expect(cells).to_have_count(3)
    expect(page.locator(".cell.pending")).to_contain_text("to come")
    expect(page.locator("#preview")).not_to_be_visible()
    expect(button).to_have_text("Cancel")
    held.set()
    expect(page.locator("button.cell")).to_have_count(2, timeout=PATIENCE)
    expect(button).to_have_text("Close", timeout=PATIENCE)
    expect(page.locator("#voice")).to_contain_text("Every preset is there", timeout=PATIENCE)
    expect(page.locator("button.cell[data-preset=dehaze]")).to_contain_text(" dB, ")

    previews = site.enhancer.previews
    page.locator("button.cell").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")

    wait_for_new_preview(page, shown)
    expect(cells).to_have_count(0)
    expect(page.locator("#preset input[value=dehaze]")).to_be_checked()
    expect(page.locator("#preset input[value=dehaze]")).to_be_focused()
    expect(page.locator("#fidelity input[type=number]")).to_have_value("1")
    expect(button).to_have_text("Compare presets")
    assert site.enhancer.previews == previews


def test_cancel_and_a_moved_square_put_it_away(site, open_page, held):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("put-away.png", 200, 240))
    wait_for_chip(page, "matches")
    for put_away in (
        lambda: page.locator("#compare-presets").click(),
        lambda: (page.locator("button.cell").focus(), page.keyboard.press("Escape")),
        lambda: (page.locator("#photo .square").focus(), page.keyboard.press("ArrowLeft")),
    ):
        page.locator("#compare-presets").click()
        expect(page.locator("button.cell")).to_have_count(1, timeout=PATIENCE)

        put_away()

        expect(page.locator("#comparison .cell")).to_have_count(0, timeout=PATIENCE)
        expect(page.locator("#compare-presets")).to_have_text("Compare presets", timeout=PATIENCE)
        wait_for_chip(page, "matches")
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#preview-problem")).to_be_empty()


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_it_is_accessible_and_in_one_language_and_a_phone_has_two_columns_of_it(site, open_page, held, language):
    page = open_page(f"?preset=anime-fast&lang={language}", reduced_motion="reduce")
    choose(page, site.photo("phone.png", 24, 24))
    wait_for_chip(page, "matches")
    page.evaluate(AXE + ";0")
    page.locator("#compare-presets").click()
    expect(page.locator("button.cell")).to_have_count(1, timeout=PATIENCE)
    assert list(faults(page, language)) == []
    held.set()
    expect(page.locator("button.cell")).to_have_count(2, timeout=PATIENCE)
    assert list(faults(page, language)) == []

    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        places = page.locator("#comparison .cell").evaluate_all(
            "cells => cells.map((one) => one.getBoundingClientRect())"
        )
        assert places[0]["y"] == places[1]["y"] < places[2]["y"]
        assert all(place["left"] >= 0 and place["right"] <= width for place in places)
    page.locator("button.cell[data-preset=dehaze]").click()
    expect(page.locator("#preset input[value=dehaze]")).to_be_checked(timeout=PATIENCE)
    wait_for_chip(page, "matches")
