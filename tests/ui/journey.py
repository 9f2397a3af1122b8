"""Steps of a user on the page, for the browser tests."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from playwright.sync_api import FloatRect, Locator, Page, TimeoutError
from playwright.sync_api import expect as expect_soon

PATIENCE = 90_000
"""Milliseconds to wait for a condition. Longer waits fail."""
SHORT = 2000
"""Milliseconds of a wait in which Playwright checks ten times a second. In longer waits it checks twice a second."""
BATCH_INPUT = "#batch-files .upload-container:not(.icon-mode) input"
"""The input for files of a batch. Gradio has another one while it waits for the response to an upload."""


class _Expectation:
    def __init__(self, part: Any):
        self._assertions = expect_soon(part)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def check(*expected: Any) -> None:
            for _ in range(PATIENCE // SHORT - 1):
                with suppress(AssertionError):
                    return getattr(self._assertions, name)(*expected, timeout=SHORT)
            return getattr(self._assertions, name)(*expected, timeout=SHORT)

        return check


_DROP = """([how, target, ...files]) => {
  const data = new DataTransfer(), way = { bubbles: true, cancelable: true };
  for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
  if (how === "paste") return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...way }));
  const events = ["dragover", "drop"].map((type) => new DragEvent(type, { dataTransfer: data, ...way }));
  return events.map((event) => document.querySelector(target).dispatchEvent(event)).some(Boolean);
}"""


def expect(part: Locator | Page) -> Any:
    """Return Playwright's assertions of a part of the page, which wait for PATIENCE and check ten times a second."""
    return _Expectation(part)


def choose(page: Page, file: Path) -> None:
    """Select a file without waiting for the upload."""
    page.locator("#upload input[type=file]").set_input_files(file)


def drop(page: Page, target: str, *files: Path, how: str = "drop") -> None:
    """Drop files on an element, or paste them, and check that the browser does not open them instead."""
    assert not page.evaluate(_DROP, [how, target, *([file.name, list(file.read_bytes())] for file in files)])


def load(page: Page, file: Path) -> None:
    """Select an image and wait for its preview."""
    choose(page, file)
    expect(page.locator("#facts")).to_contain_text(file.name)
    expect(page.locator("#download")).to_have_count(0)
    expect(page.locator("[data-preview]")).to_have_count(1)
    wait_for_chip(page, "matches")


def wait_for_chip(page: Page, state: str) -> None:
    expect(page.locator("#chip .chip")).to_have_attribute("data-state", state)


def result_is(page: Page, state: str) -> None:
    """Wait until the page shows that the result has the current settings ("matches") or not ("outdated")."""
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", state)


def stage(page: Page) -> dict[str, Any]:
    """Return what the stage shows: `x` and `y` of its centre in the photo, `zoom`, `split`, `mode`, and `layers`."""
    return page.evaluate("window.enhanceView()")


def wait_for_stage(page: Page, condition: str) -> None:
    """Wait for a condition of the stage, a JavaScript expression of `view`."""
    page.wait_for_function(f"() => {{ const view = window.enhanceView(); return {condition}; }}")


def data_of(page: Page, name: str) -> dict[str, Any]:
    """Return what the server sent for the stage: `photo`, `preview` or `result`."""
    element = page.locator(f"[data-{name}]")
    expect(element).to_have_count(1)
    return json.loads(element.get_attribute(f"data-{name}") or "")


def expect_result_size(page: Page, width: int, height: int) -> None:
    """Wait until the stage has a result of this size, in place of that of another photo."""
    expect(page.locator(f"[data-result*='[{width}, {height}]']")).to_have_count(1)


def images(page: Page) -> list[str]:
    """Return the addresses of the preview's images, before and after."""
    preview = data_of(page, "preview")
    return [urljoin(page.url, preview[side]) for side in ("before", "after")]


def wait_for_new_preview(page: Page, old: list[str]) -> list[str]:
    """Wait for the preview that replaces `old`."""
    changed = "(old) => !old.endsWith(JSON.parse(document.querySelector('[data-preview]').dataset.preview).after)"
    page.wait_for_function(changed, arg=old[1])
    wait_for_chip(page, "matches")
    return images(page)


def drag(page: Page, across: float, down: float) -> None:
    """Drag the photo on the stage by this many pixels."""
    rect = box(page.locator("#viewer canvas"))
    x, y = rect["x"] + 0.25 * rect["width"], rect["y"] + 0.5 * rect["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()


def open_tuning(page: Page) -> None:
    if not page.locator("#tuning-sheet > button.open").count():
        page.locator("#tuning-sheet > button").click()


def number(page: Page, slider: str) -> Locator:
    return page.locator(f"#{slider} input[type=number]")


def press(page: Page, slider: str, key: str, times: int = 1) -> None:
    """Move a slider with the keyboard."""
    handle = page.locator(f"#{slider} input[type=range]")
    if not handle.is_visible():
        open_tuning(page)
    expect(handle).to_be_visible()
    before = number(page, slider).input_value()
    handle.focus()
    page.keyboard.press(key)
    expect(number(page, slider)).not_to_have_value(before)
    for _ in range(times - 1):
        page.keyboard.press(key)


def pick(page: Page, control: str, value: object) -> None:
    """Click one of the choices of a control."""
    label = page.locator(f"#{control} label:has(input[value='{value}'])")
    for section in page.locator(".section:not(.open)", has=page.locator(f"#{control}")).all():
        if (fold := section.locator(".fold")).is_visible():
            with suppress(TimeoutError):  # The panel can unfold all sections at this moment.
                fold.click(timeout=3000)
    if control in ("size", "scale") and not label.is_visible():
        page.locator("#sizes label:has(input[value=custom])").click()
    if control == "preset" and not label.is_visible():
        page.locator("#preset .others").click()
    if control in ("format", "metadata"):
        page.locator(f"select[name=menu-{control}]").select_option(str(value))
    else:
        label.click()


def expect_chosen(page: Page, **values: object) -> None:
    for control, value in values.items():
        expect(page.locator(f"#{control} input[value='{value}']")).to_be_checked()


def box(part: Locator) -> FloatRect:
    rect = part.bounding_box()
    assert rect is not None
    return rect


def middle(part: Locator) -> tuple[float, float]:
    rect = box(part)
    return rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2


def has_focus(page: Page, part: str) -> None:
    page.wait_for_function("(part) => document.activeElement?.matches(part)", arg=part)


def enhance(page: Page) -> None:
    """Select Enhance and wait for the result."""
    expect(page.locator("#enhance")).to_be_enabled()
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible()


def result_facts(page: Page) -> Locator:
    """Open the facts of the result."""
    expect(page.locator("#done .done")).to_have_count(1)
    facts = page.locator("#more-facts")
    if not facts.is_visible():
        page.locator("#facts button").click()
    return facts


def download(page: Page, folder: Path, button: str | Locator = "#download") -> Path:
    """Download a file with this button into `folder`, with the name that the page suggests."""
    with page.expect_download() as coming:
        (page.locator(button) if isinstance(button, str) else button).click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def open_batch(page: Page, *files: Path) -> None:
    """Open the tab for batches and add these files."""
    page.locator("#tab-many-button").click()
    expect(page.locator("#list")).to_be_visible()
    if files:
        add_files(page, *files)


def add_files(page: Page, *files: Path) -> None:
    page.locator(BATCH_INPUT).set_input_files(files)
    expect(card(page, files[-1].name)).to_have_count(1)


def card(page: Page, name: str) -> Locator:
    return page.locator(".file", has=page.locator(f".name[title='{name}']"))


def cards(page: Page, state: str) -> Locator:
    return page.locator(f".file[data-state={state}]")


def enhance_all(page: Page) -> None:
    expect(page.locator("#batch-enhance")).to_be_enabled()
    page.locator("#batch-enhance").click()


def history(page: Page) -> Locator:
    """Open the list of recent results."""
    items = page.locator("#history-list li")
    expect(page.locator("#history")).to_be_visible()
    if not items.first.is_visible():
        page.locator("#history > button").click()
    expect(items.first).to_be_visible()
    return items


def send_event(
    url: str, elem_id: str, event: str, event_data: Any = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Send an event of a component to the server as a new page; return the server's last message."""
    config = httpx.get(f"{url}config").json()
    parts = {one["id"]: one["props"] for one in config["components"]}
    (part,) = [name for name, props in parts.items() if props.get("elem_id") == elem_id]
    handler = next(one for one in config["dependencies"] if [part, event] in one["targets"] and one["backend_fn"])
    values, session = [parts[name].get("value") for name in handler["inputs"]], secrets.token_hex(6)
    body = {"data": values, "event_data": event_data, "session_hash": session}
    body |= {"fn_index": handler["id"], "trigger_id": part}
    posted = httpx.post(f"{url}gradio_api/queue/join", json=body, headers=headers)
    posted.raise_for_status()
    with httpx.stream("GET", f"{url}gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ") or "{}")
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("the stream ended early")
