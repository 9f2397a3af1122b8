"""Uploads to the page, and files that it rejects."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page

from ..site import Site, photo
from .journey import (
    cards,
    choose,
    download,
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

UPLOAD = """async ([how, target_name, name, width]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height: 40 });
  canvas.getContext("2d").fillRect(5, 5, 20, 10);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const data = new DataTransfer();
  data.items.add(new File([blob], name, { type: "image/png" }));
  const target = target_name ? document.querySelector(target_name) : document.documentElement;
  const way = { bubbles: true, cancelable: true };
  const over = (type) => target.dispatchEvent(new DragEvent(type, { dataTransfer: data, ...way }));
  if (how === "paste") return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...way }));
  return !over("dragover") && !over("drop");
}"""
"""Drop a file on an element or paste it; return whether the browser is prevented from opening the file."""


def test_a_photo_is_pasted_dropped_picked_replaced_or_an_example(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    facts = page.locator("#facts")
    page.evaluate(UPLOAD, ["paste", "", "pasted.png", 48])
    expect(facts).to_contain_text("48 × 40 px")
    wait_for_chip(page, "matches")
    for number, target in enumerate(["#stage", ""]):
        assert page.evaluate(UPLOAD, ["drop", target, f"dropped-{number}.png", 50 + number])
        expect(facts).to_contain_text(f"{50 + number} × 40 px")
    with page.expect_file_chooser() as chooser:
        page.locator("#replace").click()
    chooser.value.set_files(site.photo("replaced.png", 40, 80))
    expect(facts).to_contain_text("80 × 40 px")
    assert page.url == f"{site.url}?preset=anime-fast"

    enhance(page)
    page.locator("#again").click()
    wait_for_chip(page, "none")
    expect(page.locator("#choose")).to_be_in_viewport()
    expect(page.locator("#enhance")).to_be_disabled()
    page.locator("#examples button").first.click()
    expect(facts).to_contain_text("astronaut.jpg")
    wait_for_chip(page, "matches")


def test_a_photo_of_a_phone_is_enhanced_and_other_files_are_rejected(site: Site, open_page, tmp_path):
    page, phone = open_page("?preset=anime-fast"), site.files / "phone.heic"
    choose(page, site.text("letter.png"))
    expect(page.locator("#upload-problem .problem")).to_contain_text("letter.png")
    expect(page.locator("#enhance")).to_be_disabled()
    pillow_heif.from_pillow(Image.fromarray(photo(64, 80))).save(phone)
    load(page, phone)
    wait_for_stage(page, "view.photo && view.layers.after && !view.result")
    enhance(page)
    wait_for_stage(page, "view.mode === 'result' && view.result")
    with Image.open(download(page, tmp_path)) as result:
        assert result.size == (320, 256)

    load(page, site.photo("good.png", 40, 40))
    expect(page.locator("#upload-problem .problem")).to_have_count(0)
    shown = images(page)
    choose(page, site.text("letter.png"))
    expect(page.locator("#preview-problem .problem")).to_contain_text("letter.png")
    large = site.files / "large.png"
    with large.open("wb") as file:
        file.truncate(200_000_001)
    choose(page, large)
    toast = page.locator("[data-testid=toast-text]")
    expect(toast).to_contain_text("200 MB")
    page.locator(".toast-close").click()
    expect(page.locator("#facts")).to_contain_text("good.png")
    assert images(page) == shown

    many = [site.files / f"many-{number}.png" for number in range(201)]
    for file in many:
        file.write_bytes(b"")
    page.locator("#tab-many-button").click()
    page.locator("#batch-files input[type=file]").set_input_files(many)
    expect(toast).to_contain_text("200")
    assert not {"HTTP", "{"} & set(toast.inner_text().replace("{", " { ").split())


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


def test_a_file_name_is_shown_as_text_only(site: Site, open_page, tmp_path, monkeypatch: pytest.MonkeyPatch):
    # Gradio removes some characters from the names of uploads. The page does not rely on that.
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)
    page, dialogs = open_page("?preset=anime-fast"), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for name in NAMES[:1]:
        shown = as_shown(name)
        choose(page, unreadable(site, name))
        expect(page.locator(".problem").first).to_contain_text(shown)
        expect_plain_text(page)
        choose(page, site.photo(name, 40, 48))
        expect(page.locator("#facts")).to_contain_text(shown)
        wait_for_chip(page, "matches")
        enhance(page)
        expect(result_facts(page)).to_contain_text(shown)
        expect_plain_text(page)
        saved = download(page, tmp_path).name
        assert letters(saved) == letters(f"{Path(shown).stem}-4x.png")
        page.locator("#again").click()
        wait_for_chip(page, "none")

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
    for reason, name in zip(page.locator(".file .reason").all(), NAMES, strict=True):
        expect(reason).to_contain_text(as_shown(name))
    expect_plain_text(page)
    assert dialogs == []


def letters(name: str) -> str:
    """Return the characters of a name that a browser leaves in the name of a download."""
    return "".join(letter for letter in name if letter.isalnum() or letter in " .-()")
