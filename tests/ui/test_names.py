"""Names of files that would like to be more than names: as markup, or turning around what stands after them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Dialog, Page, expect

from enhance import PictureError, Settings
from enhance.batch import Item, plan
from enhance.i18n import strip_direction_marks
from enhance.images import Facts
from enhance.web import templates
from enhance.web.batch import cards_of
from enhance.web.storage import BatchUploads

from ..site import Site
from .journey import PATIENCE, choose, download, enhance, how_it_was_made, start_over, together, wait_for_chip

NAMES = (
    "a<img src=x onerror=alert(1)>.png",
    "\"double\" & 'single'.png",
    "&lt;b&gt;cats&amp;dogs.png",
    "😀 smile 家.png",
    "holiday\u202egpj.exe.png",
)
TURNING = "\u202e"


@pytest.fixture
def names_as_they_are(monkeypatch):
    """Gradio takes some signs out of the names of uploads; the page does not rely on that."""
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)


@pytest.fixture
def watched(open_page):
    """Opens the page and afterwards looks for what a name may have done there; `did_nothing` looks in between."""
    pages: list[Page] = []
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    def open_it(query: str) -> Page:
        pages.append(open_page(query))
        pages[-1].on("dialog", note)
        return pages[-1]

    yield open_it
    for page in pages:
        did_nothing(page)
        page.remove_listener("dialog", note)
    assert dialogs == []


def did_nothing(page: Page) -> None:
    """No name that the page shows now is more than text."""
    expect(page.locator('img[src="x"], [onerror]')).to_have_count(0)
    assert TURNING not in page.evaluate("document.body.textContent")


def unreadable(site: Site, name: str) -> Path:
    path = site.files / "bad" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("no picture")
    return path


def test_a_name_is_only_ever_shown_on_the_first_tab(site, watched, tmp_path, names_as_they_are):
    page = watched("?preset=anime-fast")
    with together() as case:
        for name in NAMES:
            with case(name):
                goes_the_whole_way(page, site, tmp_path, name)


def goes_the_whole_way(page: Page, site: Site, folder: Path, name: str) -> None:
    """A file of this name is refused, and a picture of this name becomes a result and a report."""
    shown = as_sent(name)
    if page.locator("#again").is_visible():
        start_over(page)
    choose(page, unreadable(site, name))
    expect(page.locator("#upload-problem .problem")).to_contain_text(
        f"{shown} has an unsupported format", timeout=PATIENCE
    )
    did_nothing(page)
    choose(page, site.photo(name, 40, 48))
    expect(page.locator("#facts")).to_contain_text(shown, timeout=PATIENCE)
    expect(page.locator("#download")).to_have_count(0, timeout=PATIENCE)
    wait_for_chip(page, "matches")
    enhance(page)
    expect(how_it_was_made(page)).to_contain_text(shown)
    did_nothing(page)

    stem = Path(shown).stem
    assert as_on_disk(download(page, folder).name) == as_on_disk(f"{stem}-4x.png")
    with page.expect_download() as coming:
        page.locator("#report").click()
    assert as_on_disk(coming.value.suggested_filename) == as_on_disk(f"{stem}-4x-report.pdf")


def test_names_are_only_ever_shown_on_the_cards(site, watched, tmp_path, names_as_they_are):
    page = watched("?preset=anime-fast")
    page.get_by_role("tab", name="Batch").click()
    files = [site.photo(name, 20, 24) for name in NAMES] + [unreadable(site, f"bad {name}") for name in NAMES]
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#batch-enhance").click()

    expect(page.locator("#batch-progress")).to_contain_text("5 done, 5 failed", timeout=PATIENCE)
    for row, file in zip(page.locator(".file").all(), files, strict=True):
        expect(row).to_contain_text(as_sent(file.name))
    for reason, name in zip(page.locator(".file .reason").all(), NAMES, strict=True):
        expect(reason).to_contain_text(f"bad {as_sent(name)} has an unsupported format")
    with page.expect_download() as coming:
        page.locator("#batch-download").click()
    coming.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert len(archive.namelist()) == len(NAMES) + 2


def test_a_piece_of_the_page_with_any_name_in_it_is_only_text(browser):
    page, dialogs = browser.new_page(), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    with together() as case:
        for name in NAMES:
            with case(name):
                page.set_content("".join(f"<section>{piece}</section>" for piece in pieces_with(name)))

                for section in page.locator("section").all():
                    expect(section).to_contain_text(strip_direction_marks(name))
                assert page.locator("section img, section b, [onerror]").count() == 0
                assert page.locator("a").get_attribute("download") == strip_direction_marks(name)
                assert TURNING not in page.content()
                assert dialogs == []
    page.close()


def pieces_with(name: str) -> list[str]:
    """The pieces of the page that are made around a name."""
    facts = Facts(name, 10, "PNG", "RGB", 8, 6, 8, 1, name, False, 1)
    item = Item(Path("x"), Path(name), state="failed", error=PictureError("picture_empty", name=name))
    done = Item(Path("x"), Path(name), state="done")
    many = BatchUploads((done, item), results={done.key: Path("/folder") / name})
    return [
        templates.problem(name),
        templates.note(name),
        templates.hint(name),
        templates.note(name, "finished"),
        templates.progress(name, 0.5),
        templates.facts_of_upload("en", facts, Settings()),
        cards_of("en", plan((done, item)), many),
    ]


def as_sent(name: str) -> str:
    """The name as it is shown of an upload: the browser itself sends a quotation mark so."""
    return strip_direction_marks(name).replace('"', "%22")


def as_on_disk(name: str) -> str:
    """What is left of a name after the browser has taken out what no file may be called."""
    return "".join(letter for letter in name if letter.isalnum() or letter in " .-()")
