"""What the browser keeps for the next visit, and what a link says before that."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance import PRESETS, Settings
from enhance.web.params import settings_of_link, settings_remembered

from .journey import PATIENCE, press


def value_of(page: Page, slider: str) -> str:
    return page.locator(f"#{slider} input[type=range]").input_value()


def wait_until_kept(page: Page) -> None:
    """Until the browser has put away what was chosen last."""
    page.wait_for_function("localStorage.getItem('enhance-settings') !== window.keptBefore", timeout=PATIENCE)


def test_the_next_visit_begins_with_the_settings_of_the_last(open_page, site):
    page = open_page("?preset=gentle")
    page.evaluate("window.keptBefore = localStorage.getItem('enhance-settings')")
    press(page, "strength", "ArrowRight")
    wait_until_kept(page)
    page.evaluate("window.keptBefore = localStorage.getItem('enhance-settings')")
    page.locator("#scale input[value='2']").check()
    wait_until_kept(page)

    again = page.context.new_page()
    again.goto(site.url)

    expect(again.locator("#scale input[value='2']")).to_be_checked(timeout=PATIENCE)
    expect(again.locator("#changed")).to_contain_text("Modified", timeout=PATIENCE)
    assert value_of(again, "strength") == "0.65"
    again.locator("#reset").click()
    expect(again.locator("#strength input[type=range]")).to_have_value("0.6", timeout=PATIENCE)
    again.close()


def test_a_link_goes_before_what_the_browser_remembers(open_page, site):
    page = open_page()
    page.evaluate("window.keptBefore = localStorage.getItem('enhance-settings')")
    page.locator("#preset label", has_text="Original").click()
    wait_until_kept(page)

    again = page.context.new_page()
    again.goto(f"{site.url}?preset=gentle&strength=0.3&scale=3")

    expect(again.locator("#preset input[value=gentle]")).to_be_checked(timeout=PATIENCE)
    expect(again.locator("#scale input[value='3']")).to_be_checked()
    assert value_of(again, "strength") == "0.3"
    again.close()


def test_the_language_that_was_chosen_stays(open_page, site):
    page = open_page(locale="en-US")
    page.locator("#head a[lang=zh-CN]").click()
    expect(page.locator("#enhance")).to_have_text("增强", timeout=PATIENCE)

    again = page.context.new_page()
    again.goto(site.url)

    expect(again.locator("#enhance")).to_have_text("增强", timeout=PATIENCE)
    assert dict(parse_qsl(urlsplit(again.url).query)) == {"lang": "zh-CN"}
    again.close()


def test_a_value_that_cannot_be_set_is_named(open_page):
    page = open_page("?preset=gentle&strength=7")
    expect(page.locator("#preset-problem .problem")).to_contain_text("Use a number from 0 to 1")
    assert value_of(page, "strength") == "0.6"


@pytest.mark.parametrize("kept", [None, {}, [], "gentle", {**Settings(scale=4).as_dict(), "preset": "gone"}])
def test_what_another_version_kept_is_passed_over(kept):
    assert settings_remembered(kept, PRESETS) == Settings()


def test_a_preset_whose_weights_are_gone_is_not_begun_with():
    kept = Settings.from_preset("anime", scale=4).as_dict()
    assert settings_remembered(kept, ["gentle", "anime"]) == Settings.from_preset("anime")
    assert settings_remembered(kept, ["gentle"]) == Settings()


def test_a_link_without_a_preset_changes_what_is_remembered():
    remembered = Settings.from_preset("original", scale=2)
    assert settings_of_link({"lang": "en", "tuning": "true", "sharpen": "0.2"}, remembered) == remembered.changed(
        tuning=True, sharpen=0.2
    )
