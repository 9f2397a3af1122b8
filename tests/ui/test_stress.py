"""Random presses on the page, while its requests and their answers are delayed by random times."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 120_000
PRESSES = 25

DELAYS = """
(() => {
  const send = window.fetch.bind(window), sent = XMLHttpRequest.prototype.send;
  const pause = (longest) => new Promise((done) => setTimeout(done, longest * Math.random()));
  window.fetch = async (...given) => {
    await pause(600);
    given[1]?.signal?.throwIfAborted();
    const response = await send(...given);
    await pause(900);
    return response;
  };
  XMLHttpRequest.prototype.send = function (...given) {
    pause(900).then(() => this.readyState === 1 && sent.apply(this, given));
  };
})();
"""
PRESSED = (
    "#size input[value='2x']",
    "#size input[value='4x']",
    "#size input[value='web']",
    "#presets input[value='auto']",
    "#presets input[value='precise']",
    "#presets input[value='anime-fast']",
    "#reset",
    "#retry",
    "#enhance",
    "#cancel",
    "#again",
    "[data-act=fit]",
    "[data-act=actual]",
    "[data-act=in]",
)
SLIDERS = ("strength", "fidelity", "sharpen", "saturation")

SETTLED = """() => {
  const { state } = enhance, path = state.file?.path, plan = state.photos[path];
  const chip = document.querySelector("#chip")?.dataset.state;
  const isCurrent = chip === "matches" || chip === "result";
  const isQuiet = Object.keys(state.requests).length === 0 && !state.run;
  return isQuiet && plan && isCurrent && plan.signature;
}"""
SHOWN = """() => {
  const { state } = enhance, plan = state.photos[state.file.path];
  const value = (selector) => document.querySelector(selector)?.value;
  const slider = (name) => Number(value(`#${name} input[type=number]`));
  const isResult = document.querySelector("#chip").dataset.state === "result";
  const shown = {
    size: value("#size input:checked"),
    preset: value("#presets input:checked"),
    signature: isResult ? state.results[state.file.path].info.signature : state.preview.signature,
  };
  const wanted = { size: state.size.kind, preset: state.preset, signature: plan.signature };
  for (const name of %s) {
    shown[name] = slider(name);
    wanted[name] = state.changed[name] ?? plan.settings[name];
  }
  return { shown, wanted };
}""" % (list(SLIDERS),)  # noqa: UP031


@pytest.fixture
def page(site, browser) -> Iterator[Any]:
    with browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}) as context:
        context.add_init_script(DELAYS)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{site.url}?preset=anime-fast")
        yield page
        assert problems == []


def choose(page: Any, photo: Path) -> None:
    page.locator("#upload-input").first.set_input_files(photo)


def press(page: Any, chance: random.Random, photos: list[Path]) -> str:
    """Do one random thing; return what it was."""
    kind = chance.random()
    if kind < 0.08:
        photo = chance.choice(photos)
        choose(page, photo)
        return photo.name
    if kind < 0.4:
        slider, value = chance.choice(SLIDERS), chance.choice([0, 0.25, 0.5, 1])
        set_slider = """([name, value]) => {
          const input = document.querySelector(`#${name} input[type=number]`);
          if (!input || input.disabled) return;
          input.value = value;
          input.dispatchEvent(new Event("input", { bubbles: true }));
          input.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
        page.evaluate(set_slider, [slider, value])
        return f"{slider} {value}"
    selector = chance.choice(PRESSED)
    click = "(one) => { const part = document.querySelector(one); if (part?.checkVisibility()) part.click(); }"
    page.evaluate(click, selector)
    return selector


def test_the_page_settles_after_random_presses(page, site):
    play(page, site, range(5))


@pytest.mark.long
def test_the_page_settles_after_many_random_presses(page, site):
    play(page, site, range(100, 130))


def play(page: Any, site: Any, seeds: range) -> None:
    photos = [site.photo(f"stress-{number}.png", 90 + 10 * number, 120) for number in range(3)]
    page.locator("#chooser").first.wait_for()
    choose(page, photos[0])
    page.wait_for_function(SETTLED, timeout=PATIENCE)
    page.locator("#tuning-fold button").first.click()
    for seed in seeds:
        chance = random.Random(seed)
        done = []
        for _ in range(PRESSES):
            done.append(press(page, chance, photos))
            page.wait_for_timeout(chance.random() * 300)
        if page.evaluate("!enhance.state.file && !document.querySelector('.uploading')"):
            choose(page, photos[0])
        page.wait_for_function(SETTLED, timeout=PATIENCE)
        page.wait_for_timeout(500)
        page.wait_for_function(SETTLED, timeout=PATIENCE)
        found = page.evaluate(SHOWN)
        assert found["shown"] == pytest.approx(found["wanted"]), (seed, done)
        check_buttons(page)


def check_buttons(page: Any) -> None:
    """Check that a run can be started, or its result be downloaded."""
    if page.locator("#enhance").is_visible():
        page.locator("#enhance").click(timeout=PATIENCE)
    page.locator("#download").wait_for(timeout=PATIENCE)
