"""A slow server: what a person chooses while an answer is on its way stays, whatever that answer was asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import gradio as gr
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance.web.controls import ControlHandlers
from enhance.web.templates import EXAMPLES

from ..site import Site
from .journey import PATIENCE, choose, drawn, enhance, how_it_was_made, press, wait_for_chip

Hold = Callable[[str], "Held"]
REACHED = """(id) => {
    const part = document.getElementById(id), box = part.getBoundingClientRect();
    return part.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
}"""
"""Whether a click on the part with this id reaches it."""


class Held:
    """Answers of one handler that stay with the server, ready to be sent, until they are let go."""

    def __init__(self) -> None:
        self.ready, self.free = threading.Event(), threading.Event()

    @contextmanager
    def on_its_way(self) -> Iterator[None]:
        """What is done within is done after the answer was made, and before it comes."""
        assert self.ready.wait(PATIENCE / 1000), "the handler was not asked"
        yield
        self.free.set()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Holds back the answers of a handler: `hold("ControlHandlers.size")`."""
    held: dict[str, Held] = {}
    send = gr.Blocks.postprocess_data

    async def held_back(self, block_fn, *given):
        answer = await send(self, block_fn, *given)
        one = held.get(getattr(block_fn.fn, "__qualname__", ""))
        if one is not None:
            one.ready.set()
            await anyio.to_thread.run_sync(one.free.wait)
        return answer

    monkeypatch.setattr(gr.Blocks, "postprocess_data", held_back)
    yield lambda handler: held.setdefault(handler, Held())
    for one in held.values():
        one.free.set()


def pick(page: Page, control: str, value: object) -> None:
    """One of the choices of a control, as a click on it gives."""
    page.locator(f"#{control} label:has(input[value='{value}'])").click()


def pick_two(page: Page, control: str, first: str, second: str, held: Held) -> None:
    """The second choice while the answer to the first is on its way."""
    pick(page, control, first)
    with held.on_its_way():
        pick(page, control, second)


def chosen(page: Page, control: str) -> str | None:
    return page.locator(f"#{control} input:checked").get_attribute("value")


def number(page: Page, slider: str):
    return page.locator(f"#{slider} input[type=number]")


def with_picture(page: Page, site: Site) -> Page:
    choose(page, site.photo("slow.png", 40, 48))
    wait_for_chip(page, "matches")
    return page


def test_the_format_chosen_right_after_a_size_is_what_is_handed_out(site, open_page, hold: Hold):
    page = with_picture(open_page("?preset=anime-fast"), site)
    enhance(page)
    held = hold("UploadHandlers.estimate")
    pick(page, "size", "long_side")

    with held.on_its_way():
        pick(page, "format", "jpeg")
        expect(page.locator("#download")).to_contain_text("JPEG", timeout=PATIENCE)
    wait_for_chip(page, "matches")
    drawn(page)

    expect(page.locator("#download")).to_contain_text("JPEG")
    assert chosen(page, "format") == "jpeg"


def test_what_is_chosen_while_a_preset_comes_stays(site, open_page, hold: Hold):
    page = open_page("?preset=original")
    held = hold("ControlHandlers.preset")
    pick(page, "preset", "gentle")

    with held.on_its_way():
        pick(page, "format", "webp")
        pick(page, "scale", 2)
        press(page, "strength", "ArrowLeft")
        moved = number(page, "strength").input_value()
    expect(number(page, "fidelity")).to_have_value("1", timeout=PATIENCE)  # the preset's own

    assert [chosen(page, name) for name in ("preset", "format", "scale")] == ["gentle", "webp", "2"]
    assert number(page, "strength").input_value() == moved


def test_of_two_presets_and_of_two_ways_to_say_the_size_the_later_one_counts(open_page, hold: Hold):
    page = open_page("?preset=gentle")
    pick_two(page, "preset", "original", "dehaze", hold("ControlHandlers.preset"))

    expect(number(page, "strength")).to_have_value("1", timeout=PATIENCE)  # both have that
    expect(number(page, "fidelity")).to_have_value("1", timeout=PATIENCE)
    expect(number(page, "fidelity")).to_be_enabled()
    assert chosen(page, "preset") == "dehaze"

    pick_two(page, "size", "long_side", "megapixels", hold("ControlHandlers.size"))

    expect(number(page, "megapixels")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#long_side")).to_be_hidden()
    assert chosen(page, "size") == "megapixels"


def test_sliders_rest_and_wake_without_the_server(open_page, hold: Hold):
    page = open_page("?preset=anime-fast")
    for handler in ("ControlHandlers.rest", "ControlHandlers.tune"):
        hold(handler)
    switch, slider = page.locator("#tuning input"), page.locator("#strength input[type=range]")
    page.locator("#tuning-sheet > button").click()
    switch.uncheck()
    expect(slider).to_be_disabled()

    switch.check()

    expect(slider).to_be_enabled()


def test_a_size_chosen_while_a_picture_comes_stays(site, open_page, hold: Hold):
    page = open_page("?preset=anime-fast")
    held = hold("UploadHandlers.upload")
    choose(page, site.photo("comes.png", 40, 48))

    with held.on_its_way():
        pick(page, "scale", 2)
    wait_for_chip(page, "matches")

    assert chosen(page, "scale") == "2"
    expect(page.locator("#why")).to_contain_text("96 × 80 px")


def test_of_two_examples_the_later_one_is_shown(open_page, hold: Hold):
    page = open_page("?preset=anime-fast")
    held = hold("UploadHandlers.example")
    examples = page.locator("#examples .gallery-item")
    examples.nth(0).click()

    with held.on_its_way():
        examples.nth(1).click()

    expect(page.locator("#facts")).to_contain_text(EXAMPLES[1].name, timeout=PATIENCE)


def test_what_is_chosen_while_a_cell_is_taken_stays(site, open_page, hold: Hold, monkeypatch):
    presets, names = site.enhancer.presets, ("anime-fast", "original")
    monkeypatch.setattr(
        site.enhancer, "presets", lambda *language: [one for one in presets(*language) if one["name"] in names]
    )
    page = with_picture(open_page("?preset=anime-fast"), site)
    page.locator("#compare-presets").click()
    cell = page.locator(".cell[data-preset=original]")
    expect(cell).to_be_visible(timeout=PATIENCE)
    held = hold("CompareHandlers.take")
    cell.click()

    with held.on_its_way():
        pick(page, "format", "webp")
        pick(page, "scale", 2)
    expect(page.locator("#preset input[value=original]")).to_be_checked(timeout=PATIENCE)
    wait_for_chip(page, "matches")

    assert [chosen(page, name) for name in ("format", "scale")] == ["webp", "2"]


def test_what_is_kept_of_many_pictures_stays_while_their_settings_come(open_page, hold: Hold):
    page = open_page("?preset=anime-fast")
    held = hold("BatchHandlers.settings")
    page.locator("#tab-many-button").click()

    with held.on_its_way():
        pick(page, "batch-metadata", "none")
    expect(page.locator("#batch-settings")).not_to_be_empty(timeout=PATIENCE)
    drawn(page)

    assert chosen(page, "batch-metadata") == "none"


def test_nothing_can_be_chosen_before_the_page_has_what_it_had(site, profiles, hold: Hold):
    page = profiles(locale="en-US").new_page()
    held = hold("ControlHandlers.open")
    page.goto(site.url)

    with held.on_its_way():
        page.locator("#preset").wait_for()
        assert not any(page.evaluate(REACHED, name) for name in ("preset", "upload"))

    expect(page.locator("#preset input[value=gentle]")).to_be_checked(timeout=PATIENCE)
    page.locator("body.opened").wait_for()
    assert all(page.evaluate(REACHED, name) for name in ("preset", "upload"))
    page.close()


def test_a_picture_chosen_while_its_sizes_are_taken_off_the_list_is_taken(site, open_page, hold: Hold):
    page = with_picture(open_page("?preset=anime-fast"), site)
    held = hold("ControlHandlers.reduce")
    page.locator("#tuning-sheet > button").click()
    pick(page, "reduce", "2")

    with held.on_its_way():
        choose(page, site.photo("next.png", 44, 52))
        expect(page.locator("#facts")).to_contain_text("next.png", timeout=PATIENCE)

    wait_for_chip(page, "matches")
    enhance(page)


def test_enhance_pressed_while_a_preset_comes_runs_what_the_page_then_shows(site, open_page, hold: Hold):
    page = with_picture(open_page("?preset=anime-fast"), site)
    held, before = hold("ControlHandlers.preset"), site.enhancer.runs
    pick(page, "preset", "gentle")
    pick(page, "preset", "original")

    with held.on_its_way():
        page.locator("#enhance").click()
        drawn(page)
        assert site.enhancer.runs == before
    expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)

    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "matches", timeout=PATIENCE)
    assert chosen(page, "preset") == "original"
    assert (number(page, "strength").input_value(), number(page, "fidelity").input_value()) == ("1", "0")
    expect(how_it_was_made(page)).to_contain_text("Original")
    expect(how_it_was_made(page)).not_to_contain_text("Fidelity 1")


def test_enhance_works_after_a_preset_failed(site, open_page, monkeypatch):
    page = with_picture(open_page("?preset=anime-fast"), site)
    entered, fail = threading.Event(), threading.Event()

    def wrap(*_):
        entered.set()
        fail.wait(PATIENCE / 1000)
        raise OSError("This preset cannot be chosen.")

    monkeypatch.setattr(ControlHandlers, "_preset", wrap)
    pick(page, "preset", "gentle")
    assert entered.wait(PATIENCE / 1000)
    pick(page, "preset", "anime-fast")
    fail.set()

    enhance(page)
