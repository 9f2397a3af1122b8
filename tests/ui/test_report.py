"""The report of a result, in both languages."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import Site
from .journey import download, enhance, load


def test_the_report_is_a_pdf_in_the_language_of_the_page(site: Site, open_page, tmp_path):
    page, reports = open_page("?preset=anime-fast"), []
    load(page, site.photo("paper.png", 60, 60))
    enhance(page)
    for language in ("en", "zh-CN"):
        if language != "en":
            page.locator(f"#head a[lang={language}]").click()
            expect(page.locator("html")).to_have_attribute("lang", language)
            expect(page.locator("#report")).to_be_visible()
        path = download(page, tmp_path, "#report")
        assert path.name == "paper-4x-report.pdf"
        reports.append(path.read_bytes())
        assert reports[-1].startswith(b"%PDF-")
        assert b"%%EOF" in reports[-1][-32:]
    assert reports[0] != reports[1]
