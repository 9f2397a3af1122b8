"""Uploads to the page, and files that it rejects."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page

from ..site import Site, photo
from .cable import cable
from .journey import (
    cards,
    choose,
    download,
    drop,
    enhance,
    enhance_all,
    expect,
    images,
    load,
    open_batch,
    result_facts,
    wait_for_chip,
    wait_for_stage,
)

LATE_CLOSE = """(() => {
  const send = window.fetch;
  window.fetch = async (...given) => {
    const response = await send(...given);
    if (!String(given[0].url ?? given[0]).includes("/queue/data")) return response;
    const [text, bytes] = [new TextDecoder(), new TextEncoder()];
    const late = new TransformStream({
      async transform(part, output) {
        const words = text.decode(part, { stream: true }), at = words.search(/data: [^\\n]*"close_stream"/);
        if (at < 0) return output.enqueue(part);
        output.enqueue(bytes.encode(words.slice(0, at)));
        await new Promise((done) => setTimeout(done, 500));
        output.enqueue(bytes.encode(words.slice(at)));
      },
    });
    return new Response(response.body.pipeThrough(late), response);
  };
})()"""
"""Let the browser read late that the server has closed the stream."""


def test_a_photo_is_pasted_dropped_picked_or_an_example_and_other_files_are_rejected(site: Site, open_page, tmp_path):
    page, phone = open_page("?preset=anime-fast", script=LATE_CLOSE), site.files / "phone.heic"
    page.evaluate("window.same = true")
    facts, toast = page.locator("#facts"), page.locator("[data-testid=toast-text]")
    choose(page, site.text("letter.png"))
    expect(page.locator("#upload-problem .problem")).to_contain_text("letter.png")
    expect(page.locator("#enhance")).to_be_disabled()
    drop(page, "", site.photo("pasted.png", 40, 48), how="paste")
    expect(facts).to_contain_text("48 × 40 px")
    expect(page.locator("#upload-problem .problem")).to_have_count(0)
    for number, target in enumerate(["#stage", "html"]):
        drop(page, target, site.photo(f"dropped-{number}.png", 40, 50 + number))
        expect(facts).to_contain_text(f"{50 + number} × 40 px")
    pillow_heif.from_pillow(Image.fromarray(photo(64, 80))).save(phone)
    with page.expect_file_chooser() as chooser:
        page.locator("#replace").click()
    chooser.value.set_files(phone)
    expect(facts).to_contain_text("phone.heic")
    wait_for_chip(page, "matches")
    assert page.url == f"{site.url}?preset=anime-fast"

    enhance(page)
    wait_for_stage(page, "view.mode === 'result' && view.result")
    with Image.open(download(page, tmp_path)) as result:
        assert result.size == (320, 256)
    shown = images(page)
    choose(page, site.text("letter.png"))
    expect(page.locator("#preview-problem .problem")).to_contain_text("letter.png")
    large = site.files / "large.png"
    with large.open("wb") as file:
        file.truncate(200_000_001)
    choose(page, large)
    expect(toast).to_contain_text("200 MB")
    page.locator(".toast-close").click()
    expect(facts).to_contain_text("phone.heic")
    assert images(page) == shown

    many = [site.files / f"many-{number}.png" for number in range(201)]
    for file in many:
        file.write_bytes(b"")
    page.locator("#tab-many-button").click()
    page.locator("#batch-files input[type=file]").set_input_files(many)
    expect(toast).to_contain_text("200")
    assert not {"HTTP", "{"} & set(toast.inner_text().replace("{", " { ").split())
    assert page.evaluate("window.same"), "the page was reloaded"


def test_a_file_that_is_added_without_a_connection_can_be_added_again(site: Site, open_page):
    file = site.photo("again.png", 40, 64)
    with cable(site.url) as line:
        page = open_page("?preset=anime-fast", url=line.url)
        line.cut()
        choose(page, file)
        expect(page.locator("[data-testid=toast-text]").first).to_contain_text("Cannot connect to the server.")
        line.reconnect()
        page.reload()  # Gradio does it only if an event stream was open when the connection was lost.
        page.locator("body.opened").wait_for()
        load(page, file)
        page.close()


NAMES = (
    "a<img src=x onerror=alert(1)>.png",
    "\"double\" & 'single'.png",
    "&lt;b&gt;cats&amp;dogs.png",
    "😀 smile 家.png",
    "holiday\u202egpj.exe.png",
)


def as_shown(name: str) -> str:
    """Return a name as the page shows it: browsers send a quotation mark as %22, direction marks are removed."""
    return name.replace("\u202e", "").replace('"', "%22")


def expect_plain_text(page: Page) -> None:
    """Check that no file name became an element or changed the direction of text."""
    expect(page.locator('img[src="x"], #facts b, [onerror]')).to_have_count(0)
    assert "\u202e" not in page.evaluate("document.body.textContent")


def unreadable(site: Site, name: str) -> Path:
    (site.files / "bad").mkdir(exist_ok=True)
    return site.text(f"bad/{name}")


def test_a_file_name_is_shown_as_text_only(
    site: Site, open_page, tmp_path, monkeypatch: pytest.MonkeyPatch, problems: list[str]
):
    # Gradio removes some characters from the names of uploads. The page does not rely on that.
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)
    page, dialogs = open_page("?preset=anime-fast"), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    name, shown = NAMES[0], as_shown(NAMES[0])
    choose(page, unreadable(site, name))
    expect(page.locator(".problem").first).to_contain_text(shown)
    expect_plain_text(page)
    load(page, site.photo(name, 40, 48))
    enhance(page)
    expect(result_facts(page)).to_contain_text(shown)
    expect_plain_text(page)
    saved = download(page, tmp_path).name
    assert letters(saved) == letters(f"{Path(shown).stem}-4x.png")

    open_batch(page)
    failing = [unreadable(site, f"bad {name}") for name in NAMES]
    files = [site.photo(name, 20, 24) for name in NAMES] + failing
    page.locator("#batch-files input[type=file]").set_input_files(files)
    enhance_all(page)
    expect(cards(page, "done")).to_have_count(5)
    expect(cards(page, "failed")).to_have_count(5)
    shown_first = [*failing, *files[: len(NAMES)]]
    for row, file in zip(page.locator(".file").all(), shown_first, strict=True):
        expect(row).to_contain_text(as_shown(file.name))
    expect_plain_text(page)
    assert dialogs == problems == []
    with page.expect_event("console", lambda message: "olicy" in message.text):
        page.evaluate("new Image().src = 'https://example.org/image.png'")
    assert len(problems) == 1, "a violation of the policy would be noticed"
    problems.clear()


def letters(name: str) -> str:
    """Return the characters of a name that a browser leaves in the name of a download."""
    return "".join(letter for letter in name if letter.isalnum() or letter in " .-()")
