"""Steps of a user on the page, for the browser tests."""

from playwright.sync_api import TimeoutError, expect

PATIENCE = 60_000
"""Milliseconds to wait for a condition. Longer waits fail."""
expect.set_options(timeout=PATIENCE)

_LOOK = """
const state = window.enhance?.state;
if (!state) return false;
const stage = window.enhance.stage?.() ?? {};
const chip = document.querySelector("#chip")?.dataset.state;
const isBatch = state.tab === "batch";
const file = isBatch ? state.batch.files.find(({ id }) => id === state.batch.selected) : state.file;
const plan = state.plans[file?.path], result = state.results[file?.path], preview = state.preview;
"""
"""What the page shows, for the conditions of the tests. `file` is the one on the stage."""

_DROP = """([how, target, ...files]) => {
  const data = new DataTransfer();
  const way = { bubbles: true, cancelable: true };
  for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
  const kinds = how === "paste" ? ["paste"] : ["dragover", "drop"];
  const event = (kind) => how === "paste"
    ? new ClipboardEvent(kind, { clipboardData: data, ...way })
    : new DragEvent(kind, { dataTransfer: data, ...way });
  const send = (kind) => document.querySelector(target).dispatchEvent(event(kind));
  return kinds.map(send).some(Boolean);
}"""


def see(page, expression, **values):
    """Return the value of a JavaScript expression of `state`, `stage`, `chip`, `file`, `plan`,
    `result`, `preview`."""
    return page.evaluate(_script(expression, values), values)


def wait_for(page, condition, **values):
    """Wait for a condition, an expression like that of `see`."""
    try:
        page.wait_for_function(_script(condition, values), arg=values, timeout=PATIENCE)
    except TimeoutError:
        parts = "chip, stage.mode, file?.name, state.problem, state.isOffline, state.progress"
        shown = f"[{parts}, state.size, state.preset, state.changed]"
        raise AssertionError(
            f"not true in time: {condition}; the page shows {see(page, shown)}"
        ) from None


def _script(expression, values):
    return f"({{ {', '.join(values)} }}) => {{ {_LOOK} return {expression}; }}"


def choose(page, file):
    """Select a file without waiting for its upload."""
    page.locator("#upload-input").set_input_files(file)


def drop(page, target, *files, how="drop"):
    """Drop files on an element, or paste them, and check that the browser does not open them
    instead."""
    contents = ([file.name, list(file.read_bytes())] for file in files)
    assert not page.evaluate(_DROP, [how, target, *contents])


def load(page, file):
    """Select a photo and wait for its preview."""
    choose(page, file)
    wait_for(page, "file?.name === name && chip === 'matches'", name=file.name)


def wait_for_chip(page, state):
    wait_for(page, "chip === wanted", wanted=state)


def wait_for_new_preview(page, old):
    """Wait for the preview that replaces that with the address `old`; return its address."""
    wait_for(page, "chip === 'matches' && preview.after !== old", old=old)
    return see(page, "preview.after")


def enhance(page):
    """Select Enhance and wait for the result."""
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible()
    wait_for(page, "stage.mode === 'result'")


def download(page, folder, button="#download"):
    """Download a file with this button into `folder`, with the name that the page suggests."""
    with page.expect_download(timeout=PATIENCE) as coming:
        (page.locator(button) if isinstance(button, str) else button).click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def pick(page, control, value):
    """Select one of the choices of a control."""
    open_section(page, "format" if control == "background" else "size")
    page.locator(f"#{control} label:has(input[value='{value}'])").click()


def pick_preset(page, name):
    open_section(page, "preset")
    choice = page.locator(f"#presets [data-preset='{name}']")
    if not choice.is_visible():
        page.locator("#presets [data-act=more]").click()
    choice.click()


def select(page, control, choice):
    """Select a choice of a menu by its text."""
    open_section(page, "format")
    page.locator(f"#{control} input").click()
    page.get_by_role("option", name=choice, exact=True).click()


def number(page, slider):
    return page.locator(f"#{slider} input[type=number]")


def press(page, slider, key, times=1):
    """Move a slider with the keyboard."""
    handle = page.locator(f"#{slider} input[type=range]")
    if not handle.is_visible():
        open_section(page, "tuning")
    handle.focus()
    for _ in range(times):
        page.keyboard.press(key)


def open_section(page, name):
    """Open a section of the panel, which can be folded."""
    fold = page.locator(f"#section-{name} :is(.fold[aria-expanded=false], .label-wrap:not(.open))")
    if fold.count():
        fold.first.click()


def drag(page, across, down):
    """Drag the photo on the stage by this many pixels."""
    rect = box(page.locator("#stage canvas"))
    x, y = rect["x"] + 0.25 * rect["width"], rect["y"] + 0.5 * rect["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()


def box(part):
    rect = part.bounding_box()
    assert rect is not None
    return rect


def middle(part):
    rect = box(part)
    return rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2


def has_focus(page, part):
    page.wait_for_function("(part) => document.activeElement?.matches(part)", arg=part)


def open_batch(page, *files):
    """Open the tab Batch and add these files."""
    page.locator("#tab-batch").click()
    if files:
        add_files(page, *files)


def add_files(page, *files):
    page.locator("#batch-input").set_input_files(files)
    expect(row(page, files[-1].name)).to_be_visible()


def row(page, name):
    """Return the row of a file in the list of the batch."""
    return page.locator("#list .file", has_text=name)


def rows(page, state):
    return page.locator(f"#list .file[data-state={state}]")


def recent(page, name=""):
    """Open the recent results; return those with this name."""
    if not page.locator("#recent .popover").is_visible():
        page.locator("#recent-button").click()
    return page.locator("#recent .entry", has_text=name)


def remove(entry):
    """Remove one of the recent results. The button asks for a second press."""
    button = entry.locator("[data-act=remove]")
    button.click()
    button.click()
