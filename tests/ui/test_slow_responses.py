"""Slow responses: the settings that a user chose last stay, and runs use them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page

from enhance.web import history as history_list
from enhance.web.views import Call, Updates

from ..site import Site, wait_until
from .journey import (
    BATCH_INPUT,
    add_files,
    choose,
    data_of,
    drag,
    drop,
    enhance,
    expect,
    expect_chosen,
    history,
    images,
    load,
    number,
    open_batch,
    open_tuning,
    pick,
    press,
    result_facts,
    result_is,
    send_event,
    wait_for_chip,
    wait_for_new_preview,
    wait_for_stage,
)

HOLD = """(() => {
  const send = window.fetch;
  let [gate, open] = [Promise.resolve(), () => {}];
  window.hold = () => { window.answers = 0; gate = new Promise((done) => { open = done; }); };
  window.letGo = () => open();
  window.fetch = async (...given) => {
    const response = await send(...given);
    if (!String(given[0].url ?? given[0]).includes("/queue/data")) return response;
    const [reader, text] = [response.body.getReader(), new TextDecoder()];
    const copy = async (output) => {
      const sent = [];
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        window.answers += text.decode(part.value, { stream: true }).split("process_completed").length - 1;
        sent.push(gate.then(() => output.enqueue(part.value)));
      }
      await Promise.all(sent);
      output.close();
    };
    const held = new ReadableStream({ start(output) { copy(output).catch((error) => output.error(error)); } });
    return new Response(held, response);
  };
})();"""
"""Let the browser delay the responses that it receives: `hold()`, then `letGo()`."""

LATE_NUMBERS = """(() => {
  const send = window.fetch;
  window.fetch = async (...given) => {
    const response = await send(...given);
    const isNumber = window.delay && String(given[0].url ?? given[0]).includes("/queue/join");
    if (isNumber) await new Promise((done) => setTimeout(done, window.delay));
    return response;
  };
})();"""
"""Let the browser receive the number of each event `delay` ms late, after its updates."""

LATE_VIEW = """(() => {
  const send = window.fetch;
  window.fetch = async (...given) => {
    const isView = window.gate && JSON.parse(given[1]?.body ?? "{}").event_data?.index?.length === 4;
    const gate = isView ? window.gate : null;
    if (isView) [window.gate, window.isHeld] = [null, true];
    await gate;
    return send(...given);
  };
  window.hold = () => { window.gate = new Promise((done) => { window.letGo = done; }); };
})();"""
"""Let the browser send the next request for a region late: `hold()`, then `letGo()`."""

REACHED = """(id) => {
  const part = document.getElementById(id), box = part.getBoundingClientRect();
  return part.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
}"""
"""Return whether a click on the element with this id reaches it."""

MOVED_AT_ONCE = """() => new Promise((done) => {
  const look = () => {
    const slider = document.querySelector("#contrast input[type=range]");
    if (!slider?.checkVisibility()) return requestAnimationFrame(look);
    slider.value = 1.2;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    let left = 60;
    const next = () => (left-- ? requestAnimationFrame(next) : done());
    next();
  };
  look();
})"""
"""Move a slider in the frame in which it first appears, and wait for a second."""


CLICK = "(parts) => { for (const part of parts) document.querySelector(part).click(); }"
"""Click parts of the page at once, before a response to the first click."""


@contextmanager
def delayed_answer(page: Page, first: Callable[[], object]) -> Iterator[None]:
    """Call `first`. Its response arrives after the block."""
    page.evaluate("hold()")
    first()
    page.wait_for_function("answers > 0")
    yield
    page.evaluate("letGo()")


def test_settings_chosen_before_a_response_arrives_stay(site: Site, open_page):
    page = open_page("?preset=original", script=f"{HOLD} hold();", wait=False)
    page.wait_for_function("window.answers > 0")
    page.locator("#upload").wait_for()
    assert not page.evaluate(REACHED, "upload"), "the page accepts no input before it has its settings"
    page.evaluate("letGo()")
    page.locator("body.opened").wait_for()
    assert page.evaluate(REACHED, "upload")

    load(page, site.photo("first.png", 8, 8))
    open_tuning(page)
    page.evaluate(MOVED_AT_ONCE)
    expect(number(page, "contrast")).to_have_value("1.2")

    with delayed_answer(page, lambda: pick(page, "preset", "gentle")):
        pick(page, "format", "webp")
        pick(page, "scale", 2)
        press(page, "strength", "ArrowLeft")
        moved = number(page, "strength").input_value()
    expect(number(page, "fidelity")).to_have_value("1")  # the preset's own
    expect_chosen(page, preset="gentle", format="webp", scale=2)
    expect(number(page, "strength")).to_have_value(moved)

    with delayed_answer(page, lambda: pick(page, "size", "long_side")):
        pick(page, "size", "megapixels")
    expect(number(page, "megapixels")).to_be_visible()
    expect(page.locator("#long_side")).to_be_hidden()
    pick(page, "size", "scale")
    pick(page, "preset", "anime-fast")
    expect(page.locator("#scale")).to_be_visible()

    with delayed_answer(page, lambda: choose(page, site.photo("late.png", 16, 20))):
        pick(page, "scale", 3)
    wait_for_chip(page, "matches")
    expect_chosen(page, scale=3)
    expect(page.locator("#why")).to_contain_text("60 × 48 px")

    runs = site.enhancer.calls["run"]
    with delayed_answer(page, lambda: (pick(page, "preset", "original"), pick(page, "preset", "gentle"))):
        press(page, "strength", "ArrowLeft")
        moved = number(page, "strength").input_value()
        page.locator("#enhance").click()
        assert site.enhancer.calls["run"] == runs
    expect(page.locator("#download")).to_be_visible()
    result_is(page, "matches")
    expect_chosen(page, preset="gentle")
    expect(number(page, "strength")).to_have_value(moved)
    expect(number(page, "fidelity")).to_have_value("1")
    for fact in ("realesrgan-x4plus", moved):
        expect(result_facts(page)).to_contain_text(fact)

    open_batch(page, site.photo("one-of-many.png", 20, 24))
    page.locator("#tab-one-button").click()
    expect(page.locator("#facts")).to_contain_text("late.png")
    with delayed_answer(page, lambda: page.locator("#tab-many-button").click()):
        pick(page, "metadata", "none")
    expect(page.locator("#facts")).to_contain_text("one-of-many.png")
    expect_chosen(page, metadata="none")

    with delayed_answer(page, lambda: page.locator("#tab-one-button").click()):
        page.locator("#tab-many-button").click()
    expect(page.locator("#facts")).to_contain_text("one-of-many.png")


def test_a_size_chosen_just_before_another_setting_stays(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("sized.png", 24, 30))
    for clicks, size, chosen in (
        (["#sizes [value='2x']", "#preset [value=precise]"], "60 × 48 px", {"sizes": "2x", "scale": 2}),
        (["#sizes [value=custom]", "#size [value=long_side]", "#preset [value=gentle]"], "60 × 48 px", {}),
        (["#size [value=scale]", "#scale [value='3']", "#preset [value=original]"], "90 × 72 px", {"scale": 3}),
    ):
        page.evaluate(CLICK, clicks)
        expect(page.locator("#why")).to_contain_text(size)
        wait_for_chip(page, "matches")
        expect_chosen(page, **chosen)
    page.evaluate(CLICK, ["#sizes [value=print]", "#paper [value=own]"])
    resolution = page.locator("#size-problem .tip-action", has_text="95 dpi")
    expect(resolution).to_be_visible()
    page.evaluate(CLICK, ["#size-problem .tip-action", "#preset [value=anime-fast]"])
    expect(resolution).to_have_count(0)
    wait_for_chip(page, "matches")
    expect_chosen(page, sizes="print", paper="own", preset="anime-fast")
    expect(number(page, "print_width")).to_have_value("15.2")
    expect(number(page, "dpi")).to_have_value("95")


def test_files_that_arrive_before_an_earlier_one_is_shown_are_kept(site: Site, open_page):
    page = open_page("?preset=anime-fast", script=HOLD)
    with delayed_answer(page, lambda: choose(page, site.photo("first.png", 48, 40))):
        drop(page, "#upload", site.photo("second.png", 48, 40))
    expect(page.locator("#facts")).to_contain_text("second.png")
    expect(page.locator("#upload input")).to_have_count(1)
    with delayed_answer(page, lambda: choose(page, site.photo("third.png", 48, 40))):
        with page.expect_file_chooser() as chooser:
            page.locator("#replace").click()
        chooser.value.set_files(site.photo("fourth.png", 51, 40))
    expect(page.locator("#facts")).to_contain_text("fourth.png")

    open_batch(page, site.photo("one.png", 20, 24))
    second = site.photo("two.png", 20, 24)
    with delayed_answer(page, lambda: page.locator(BATCH_INPUT).set_input_files(second)):
        with page.expect_file_chooser() as chooser:
            page.locator("#batch-add").click()
        chooser.value.set_files([site.photo("three.png", 20, 24), site.photo("four.png", 20, 24)])
    expect(page.locator(".file")).to_have_count(4)
    add_files(page, site.photo("five.png", 20, 24))


def test_buttons_of_a_second_result_work_before_the_response_to_the_first_arrives(
    site: Site, open_page, monkeypatch: pytest.MonkeyPatch
):
    page = open_page("?preset=anime-fast", script=HOLD)
    for name in ("older.png", "newer.png"):
        load(page, site.photo(name, 20, 24))
        enhance(page)

    def press_button(name: str, act: str, times: int) -> None:
        for _ in range(times):
            history(page).filter(has_text=name).locator(f"[data-act={act}]").click()

    with delayed_answer(page, lambda: press_button("newer.png", "open", 1)):
        press_button("older.png", "open", 1)
    expect(page.locator("#facts")).to_contain_text("older-4x.png")
    show, shown = history_list.show_history, list[float]()

    def show_slowly(call: Call) -> Updates:
        updates = show(call)
        shown.append(time.monotonic())
        if len(shown) == 1:  # If the removals overlapped, the second response would arrive first.
            wait_until(lambda: len(shown) > 1 or time.monotonic() > shown[0] + 2)
        return updates

    monkeypatch.setattr(history_list, "show_history", show_slowly)
    page.evaluate("hold()")
    for name in ("newer.png", "older.png"):
        press_button(name, "remove", 2)
    page.wait_for_function("answers > 1")
    page.evaluate("letGo()")
    expect(page.locator("#history")).to_have_count(0)


def test_all_updates_of_an_event_are_shown_if_they_arrive_before_its_number(site: Site, open_page):
    page = open_page("?preset=anime-fast", script=LATE_NUMBERS)
    load(page, site.photo("numbered.png", 16, 20))
    page.evaluate("window.delay = 1000")
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible()
    expect(page.locator("#cancel")).to_have_count(0)


def test_a_late_request_for_a_region_does_not_replace_a_later_one(site: Site, open_page):
    page = open_page("?preset=anime-fast", script=LATE_VIEW)
    page.route("**/preview-0-*", lambda route: route.abort(), times=1)
    load(page, site.photo("wide.png", 600, 900))
    wait_for_stage(page, "view.layers.after === 1")  # at the second attempt
    shown = images(page)
    page.evaluate("hold()")
    drag(page, -80, 0)
    page.wait_for_function("window.isHeld")
    drag(page, -80, 0)
    shown = wait_for_new_preview(page, shown)
    region = data_of(page, "preview")["window"]
    with page.expect_response("**/queue/join*"):
        page.evaluate("letGo()")
    wait_for_chip(page, "matches")
    page.locator("#retry").click()
    wait_for_new_preview(page, shown)
    assert data_of(page, "preview")["window"] == region


def test_the_end_of_an_event_repeats_no_update(site: Site):
    end = send_event(site.url, "strength", "input")["output"]["data"]
    assert not any("value" in update for update in end), "later responses can have been shown already"
