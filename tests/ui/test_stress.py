"""Random presses on the page, while its requests and their answers are delayed by random times."""

import random

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

PRESS = (
    "(one) => { const part = document.querySelector(one); if (part?.checkVisibility()) "
    "part.click(); }"
)
SET_SLIDER = """([name, value]) => {
  const input = document.querySelector(`#${name} input[type=number]`);
  if (!input || input.disabled) return;
  input.value = value;
  for (const event of ["input", "change"]) input.dispatchEvent(new Event(event, { bubbles: true }));
}"""
PRESSED_IN_BATCH = (
    *PRESSED[:7],
    "#list .file:nth-of-type(1) [data-act=select]",
    "#list .file:nth-of-type(2) [data-act=select]",
    "#list .file:last-of-type [data-act=select]",
    "#list .file:nth-of-type(2) [data-act=remove]",
    "#batch-enhance",
    "#batch-cancel",
    "#tab-single",
    "#tab-batch",
    "#tab-batch",
)

LOOK = """
const { state } = enhance, isBatch = state.tab === "batch";
const file = isBatch ? state.batch.files.find(({ id }) => id === state.batch.selected) : state.file;
const plan = state.plans[file?.path], chip = document.querySelector("#chip")?.dataset.state;
"""
SETTLED = f"""() => {{ {LOOK}
  const isCurrent = chip === "matches" || chip === "result";
  const isRunning = state.run || state.batch.isRunning || Object.keys(state.requests).length;
  return !isRunning && plan?.signature && isCurrent;
}}"""
SHOWN = f"""() => {{ {LOOK}
  const value = (selector) => document.querySelector(selector)?.value;
  const image = chip === "result" ? state.results[file.path].info : state.preview;
  const shown = {{
    size: value("#size input:checked"),
    preset: value("#presets input:checked"),
    signature: image.signature,
  }};
  const wanted = {{ size: state.size.kind, preset: state.preset, signature: plan.signature }};
  for (const name of {[*SLIDERS]}) {{
    shown[name] = Number(value(`#${{name}} input[type=number]`));
    wanted[name] = state.changed[name] ?? plan.settings[name];
  }}
  return {{ shown, wanted }};
}}"""


@pytest.fixture
def page(site, browser):
    with browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}) as context:
        context.add_init_script(DELAYS)
        page = context.new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{site.url}?preset=anime-fast")
        yield page
        assert problems == []


def choose(page, photo):
    is_batch = page.evaluate("enhance.state.tab === 'batch'")
    page.locator("#batch-input" if is_batch else "#upload-input").first.set_input_files(photo)


def press(page, chance, photos, pressed):
    """Do one random thing; return what it was."""
    kind = chance.random()
    if kind < 0.08:
        photo = chance.choice(photos)
        choose(page, photo)
        return photo.name
    if kind < 0.4:
        slider, value = chance.choice(SLIDERS), chance.choice([0, 0.25, 0.5, 1])
        page.evaluate(SET_SLIDER, [slider, value])
        return f"{slider} {value}"
    selector = chance.choice(pressed)
    page.evaluate(PRESS, selector)
    return selector


def play(page, chance, photos, pressed):
    """Do random things; return them when the page has settled."""
    done = []
    for _ in range(PRESSES):
        done.append(press(page, chance, photos, pressed))
        page.wait_for_timeout(chance.random() * 300)
    return done


def check(page, done):
    """Check that the page settles, and that what it shows is its state."""
    for _ in range(2):
        try:
            page.wait_for_function(SETTLED, timeout=PATIENCE)
        except Exception as error:
            state = (
                f"() => {{ {LOOK} return JSON.stringify("
                "[chip, plan?.problem, state.requests, state.region]); }"
            )
            raise AssertionError((done, page.evaluate(state))) from error
        page.wait_for_timeout(500)
    found = page.evaluate(SHOWN)
    assert found["shown"] == pytest.approx(found["wanted"]), done


def open_with(page, photo):
    page.locator("gradio-app #chooser").wait_for()
    choose(page, photo)
    page.wait_for_function(SETTLED, timeout=PATIENCE)
    page.locator("#tuning-fold button").first.click()


def photos_of(site):
    return [site.photo(f"stress-{number}.png", 90 + 10 * number, 120) for number in range(3)]


def single(page, site, seeds):
    photos = photos_of(site)
    open_with(page, photos[0])
    for seed in seeds:
        done = play(page, random.Random(seed), photos, PRESSED)
        if page.evaluate("!enhance.state.file"):
            choose(page, photos[0])
        check(page, (seed, done))
        if page.locator("#enhance").is_visible():
            page.locator("#enhance").click(timeout=PATIENCE)
        page.locator("#download").wait_for(timeout=PATIENCE)


def batch(page, site, seeds):
    photos = photos_of(site)
    open_with(page, photos[0])
    for seed in seeds:
        page.locator("#tab-batch").click()
        choose(page, photos[1])
        done = play(page, random.Random(seed), photos, PRESSED_IN_BATCH)
        page.locator("#tab-batch").click()
        if page.evaluate("enhance.state.batch.files.length < 2"):
            choose(page, photos[2])
        check(page, (seed, done))
        page.locator("#batch-enhance, #batch-download").first.click(timeout=PATIENCE)
        page.wait_for_function(
            "!enhance.state.batch.isRunning && enhance.state.batch.archive", timeout=PATIENCE
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [single, batch])
def test_the_page_settles_after_random_presses(page, site, kind):
    kind(page, site, range(2))


@pytest.mark.long
@pytest.mark.parametrize("kind", [single, batch])
def test_the_page_settles_after_many_random_presses(page, site, kind):
    kind(page, site, range(100, 130))
