"""The second tab as a workbench: a card for each file, files that join and leave, and a page that is loaded anew."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from ..site import Site, busy_device
from .journey import PATIENCE

LONG = "DSC_20240721_1830123456789012345678901234567890 and more of it.png"


def give(page: Page, *files: Path) -> None:
    """Give the second tab more files, as dropping or picking them does."""
    page.locator("#batch-files input[type=file]").set_input_files(files)


def open_many(page: Page) -> None:
    page.locator("#tab-many-button").click()
    expect(page.locator("#batch-why .note")).to_be_visible(timeout=PATIENCE)


def begin(page: Page) -> None:
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#batch-enhance").click()


def card(page: Page, name: str):
    return page.locator(".file", has_text=name)


def drop(page: Page, *files: Path) -> None:
    """Let files fall on the page's head, far from where they are picked."""
    contents = [[file.name, list(file.read_bytes())] for file in files]
    carrier = page.evaluate_handle(
        """(files) => {
            const carrier = new DataTransfer();
            for (const [name, bytes] of files) carrier.items.add(new File([new Uint8Array(bytes)], name));
            return carrier;
        }""",
        contents,
    )
    page.locator("#head").dispatch_event("drop", {"dataTransfer": carrier})


def reaches_out(page: Page) -> list[str]:
    """What of the tab reaches beyond the screen, or beyond its card."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".file, .file *, #batch-bar button")].filter((one) => {
            const [box, frame] = [one.getBoundingClientRect(), one.closest(".file")?.getBoundingClientRect()];
            const cut = one.matches("button, a, .known span, .reason") && one.scrollWidth > one.clientWidth + 1;
            return box.right > innerWidth || box.left < 0 || (frame && box.right > frame.right + 1)
                || (cut && getComputedStyle(one).display !== "inline");
        }).map((one) => one.className || one.id)"""
    )


@pytest.fixture
def held(site: Site, monkeypatch) -> Iterator[threading.Event]:
    """The file called held.png is begun, and done as soon as the event is set."""
    go_on, run = threading.Event(), site.enhancer.run

    def wait(source: Path, *given, **named):
        while Path(source).name == "held.png" and not (go_on.wait(0.02) or named["stop"].is_set()):
            pass
        return run(source, *given, **named)

    monkeypatch.setattr(site.enhancer, "run", wait)
    yield go_on
    go_on.set()


@pytest.mark.parametrize(("locale", "width"), [("en-US", 1280), ("zh-CN", 390), ("en-US", 320)])
def test_a_card_says_what_there_is_to_know_and_nothing_reaches_out(site, open_page, locale, width):
    look = {} if width > 900 else {"has_touch": True, "is_mobile": True}
    page = open_page("?preset=anime-fast", locale=locale, width=width, **look)
    bad = site.files / "cut off.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    open_many(page)
    give(page, site.photo(LONG, 30, 40), bad)

    expect(page.locator(".file .small img")).to_have_count(1, timeout=PATIENCE)
    expect(card(page, "cut off.png").locator(".reason")).to_be_visible()
    assert reaches_out(page) == []
    begin(page)

    expect(page.locator("#batch-download")).to_be_visible(timeout=PATIENCE)
    expect(card(page, LONG)).to_contain_text("160 × 120")
    expect(card(page, LONG).locator(".state")).to_have_text("完成" if locale == "zh-CN" else "done")
    assert reaches_out(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#batch-metadata input").first.evaluate("(one) => getComputedStyle(one).opacity") == "0"
    bar = page.locator("#batch-bar").bounding_box()
    assert bar is not None
    assert bar["y"] + bar["height"] <= 901
    columns = page.locator("ul.files").evaluate(
        "(list) => getComputedStyle(list).gridTemplateColumns.split(' ').length"
    )
    assert (columns > 1) == (width > 900)


def test_files_join_and_leave_while_a_batch_runs_and_each_result_can_be_had_at_once(site, open_page, held, tmp_path):
    page = open_page("?preset=anime-fast")
    open_many(page)
    give(page, site.photo("quick.png", 20, 24), site.photo("held.png", 20, 24), site.photo("unwanted.png", 20, 24))
    begin(page)
    expect(card(page, "held.png").locator(".state")).to_have_text("running …", timeout=PATIENCE)

    with page.expect_download() as coming:
        card(page, "quick.png").locator("a").click()
    coming.value.save_as(tmp_path / "quick.png")
    drop(page, site.photo("late.png", 24, 20))
    expect(card(page, "late.png").locator(".state")).to_have_text("waiting", timeout=PATIENCE)
    expect(page.locator("#batch-progress")).to_contain_text("1 of 4 files")
    card(page, "unwanted.png").get_by_role("button", name="Remove unwanted.png").click()
    expect(card(page, "unwanted.png")).to_have_count(0)
    held.set()

    expect(page.locator("#batch-progress")).to_contain_text("3 done, 0 failed", timeout=PATIENCE)
    assert Image.open(tmp_path / "quick.png").size == (96, 80)
    assert coming.value.suggested_filename == "quick.png"
    give(page, site.photo("after.png", 20, 20))
    expect(card(page, "after.png").locator(".state")).to_have_text("waiting", timeout=PATIENCE)
    expect(page.locator(".file[data-state=done]")).to_have_count(3)
    runs = site.enhancer.runs
    begin(page)
    expect(page.locator("#batch-progress")).to_contain_text("4 done", timeout=PATIENCE)
    assert site.enhancer.runs == runs + 1, "what was done was done again"


def test_a_waiting_batch_says_its_place_and_is_there_again_in_another_language(site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    open_many(page)
    give(page, site.photo("patient.png", 22, 22))
    with busy_device(2):
        begin(page)
        expect(page.locator("#batch-progress")).to_contain_text(
            re.compile(r"waiting at place 3 in the line, about \d+"), timeout=PATIENCE
        )
        expect(card(page, "patient.png").locator(".state")).to_have_text("waiting, place 3")
        page.locator("#head a[lang='zh-CN']").click()
        expect(page.locator("#tab-many-button")).to_have_text("多张", timeout=PATIENCE)
        open_many_again(page)
        expect(page.locator("#batch-progress")).to_contain_text("排队中，第 3 位", timeout=PATIENCE)
    expect(page.locator("#batch-progress")).to_contain_text("完成 1 个", timeout=PATIENCE)

    page.reload()

    open_many_again(page)
    expect(card(page, "patient.png").locator("a")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".file .small img")).to_have_count(1)
    with page.expect_download() as coming:
        page.locator("#batch-download").click()
    coming.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        head = io.StringIO(archive.read("report.csv").decode("utf-8-sig")).readline()
        assert head.startswith("文件,"), head


def open_many_again(page: Page) -> None:
    page.locator("#tab-many-button").click()
    expect(page.locator(".file")).to_have_count(1, timeout=PATIENCE)
