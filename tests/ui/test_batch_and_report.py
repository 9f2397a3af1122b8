"""The second tab and the report, as a person uses them."""

from __future__ import annotations

import csv
import errno
import io
import zipfile

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from enhance.files import explained

from .journey import PATIENCE, choose, enhance, wait_for_chip


def test_a_batch_names_the_bad_file_and_packs_the_others(site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    bad = site.files / "broken.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    files = [site.photo("first.png", 30, 40), bad, site.photo("second.png", 44, 36)]

    page.get_by_role("tab", name="Batch").click()
    expect(page.locator("#batch-settings")).to_contain_text("Anime, fast · 4×")
    expect(page.locator("#batch-enhance")).to_be_disabled()
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator(".file")).to_have_count(3, timeout=PATIENCE)
    page.locator("#batch-enhance").click()

    expect(page.locator("#batch-progress")).to_contain_text("2 done, 1 failed", timeout=PATIENCE)
    expect(page.locator(".file[data-state=failed]")).to_contain_text("broken.png")
    expect(page.locator(".file[data-state=failed] .reason")).to_be_visible()
    with page.expect_download() as coming:
        page.locator("#batch-download").click()
    coming.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["first.png", "report.csv", "second.png", "summary.pdf"]
        assert Image.open(io.BytesIO(archive.read("first.png"))).size == (160, 120)
        rows = list(csv.DictReader(io.StringIO(archive.read("report.csv").decode("utf-8-sig"))))
    assert [row["state"] for row in rows] == ["done", "failed", "done"]


def test_a_batch_whose_zip_has_no_room_is_there_picture_by_picture(site, open_page, tmp_path, monkeypatch):
    def full(batch, path, *_):
        raise explained(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("enhance.web.storage.pack", full)
    page = open_page("?preset=anime-fast")
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-files input[type=file]").set_input_files([site.photo("kept & safe.png", 24, 24)])
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#batch-enhance").click()

    expect(page.locator("#batch-progress .problem")).to_contain_text("Not enough disk space", timeout=PATIENCE)
    expect(page.locator("#batch-download")).to_have_count(0)
    with page.expect_download() as coming:
        page.locator(".file a").click()
    assert coming.value.suggested_filename == "kept & safe.png"
    coming.value.save_as(tmp_path / "kept.png")
    assert Image.open(tmp_path / "kept.png").size == (96, 96)


def test_cancel_of_a_batch_keeps_what_is_done(site, open_page):
    page = open_page("?preset=anime-fast")
    page.get_by_role("tab", name="Batch").click()
    files = [site.photo("quick-one.png", 24, 24), site.photo("slow-one.png", 44, 35)]
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    with site.enhancer.midway("slow-one.png"):
        page.locator("#batch-enhance").click()
        expect(page.locator(".file[data-state=done]")).to_have_count(1, timeout=PATIENCE)
        expect(page.locator(".file[data-state=running]")).to_have_count(1, timeout=PATIENCE)

        page.locator("#batch-cancel").click()

        expect(page.locator("#batch-progress")).to_contain_text("1 done, 0 failed, 1 cancelled", timeout=PATIENCE)
    expect(page.locator("#batch-download")).to_be_enabled()
    assert site.enhancer.status()["running"] == 0


def test_the_report_comes_as_a_pdf_in_either_language(site, open_page):
    page, reports = open_page("?preset=anime-fast"), []
    choose(page, site.photo("paper.png", 60, 60))
    wait_for_chip(page, "matches")
    enhance(page)
    for language in ("en", "zh-CN"):
        if language != "en":
            page.locator(f"#head a[lang={language}]").click()
            expect(page.locator("#download")).to_have_text("下载 PNG", timeout=PATIENCE)

        with page.expect_download() as coming:
            page.locator("#report").click()

        assert coming.value.suggested_filename == "paper-4x-report.pdf"
        reports.append(coming.value.path().read_bytes())
        assert reports[-1].startswith(b"%PDF-")
        assert b"%%EOF" in reports[-1][-32:]
    assert reports[0] != reports[1]
