"""What a person does on the page, as steps that the browser tests share."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Locator, Page, expect

PATIENCE = 60_000
"""Milliseconds that a condition is waited for; nothing waits as long as that unless it is broken."""


@contextmanager
def together() -> Iterator[Callable[[object], AbstractContextManager[None]]]:
    """Cases that share a page: `with together() as case: ... with case("its name"): ...`; one hides no other."""
    failed: list[str] = []

    @contextmanager
    def case(name: object) -> Iterator[None]:
        try:
            yield
        except (AssertionError, BrowserError):
            failed.append(f"{name}: {traceback.format_exc()}")

    yield case
    assert not failed, "\n".join(failed)


def choose(page: Page, file: Path) -> None:
    """Give the page a file, as dropping or picking it does."""
    page.locator("#upload input[type=file]").set_input_files(file)


def choose_again(page: Page, file: Path) -> None:
    """Give another picture in place of the chosen one, if there is one."""
    choose(page, file)
    expect(page.locator("#facts")).to_contain_text(file.name, timeout=PATIENCE)
    expect(page.locator("#download")).to_have_count(0, timeout=PATIENCE)
    wait_for_chip(page, "matches")


def wait_for_chip(page: Page, state: str) -> None:
    expect(page.locator("#chip .chip")).to_have_attribute("data-state", state, timeout=PATIENCE)


def preview_pictures(page: Page) -> list[str]:
    """The addresses of before and after in the preview."""
    images = page.locator("#preview [data-testid=imageslider-image]")
    expect(images).to_have_count(2, timeout=PATIENCE)
    return [image.get_attribute("src") or "" for image in images.all()]


def wait_for_new_preview(page: Page, old: list[str]) -> list[str]:
    """The preview that replaces `old`, once the page says that it matches the controls."""
    after = page.locator("#preview [data-testid=imageslider-image]").nth(1)
    expect(after).not_to_have_attribute("src", old[1], timeout=PATIENCE)
    wait_for_chip(page, "matches")
    return preview_pictures(page)


def drawn(page: Page) -> None:
    """What has come so far is on the screen."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def press(page: Page, slider: str, key: str, times: int = 1) -> None:
    """Move a slider by the keyboard."""
    handle = page.locator(f"#{slider} input[type=range]")
    if not handle.is_visible():
        page.locator("#tuning-sheet > button").click()
    expect(handle).to_be_visible(timeout=PATIENCE)
    number = page.locator(f"#{slider} input[type=number]")
    before = number.input_value()
    handle.focus()
    page.keyboard.press(key)
    expect(number).not_to_have_value(before, timeout=PATIENCE)
    for _ in range(times - 1):
        page.keyboard.press(key)


def click_at(page: Page, image: str, across: float, down: float) -> None:
    """Click a place of a picture, given as shares of its width and height."""
    picture = page.locator(f"{image} img")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": box["width"] * across, "y": box["height"] * down})


def enhance(page: Page) -> None:
    """Press Enhance and wait for the result."""
    expect(page.locator("#enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#enhance").click()
    expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)


def start_over(page: Page) -> None:
    """Put away the picture and what was made of it."""
    page.locator("#again").click()
    wait_for_chip(page, "none")


def view(page: Page, name: str) -> None:
    """Have the stage show preview, whole or close."""
    page.locator(f"#view label:has(input[value={name}])").click()


def how_it_was_made(page: Page) -> Locator:
    """The facts of the result, unfolded."""
    facts = page.locator("#result-facts")
    expect(page.locator("#made")).to_be_visible(timeout=PATIENCE)
    if not facts.is_visible():
        page.locator("#made > button").click()
    return facts


def download(page: Page, folder: Path) -> Path:
    """The downloaded PNG under the name that the page gives it."""
    with page.expect_download() as coming:
        page.locator("#download").click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path
