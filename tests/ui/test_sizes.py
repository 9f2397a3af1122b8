"""The output size: by scale, long side, megapixels or print size."""

from __future__ import annotations

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import Site
from .journey import download, enhance, load, pick


def test_a_size_is_shown_refused_where_it_is_chosen_or_made(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("sized.png", 24, 20))
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    expect(why).to_contain_text("80 × 96 px")
    pick(page, "size", "long_side")
    field = page.locator("#long_side input")
    expect(field).to_have_value("96")
    expect(page.locator("#scale")).to_be_hidden()
    field.fill("4800")
    expect(problem).to_contain_text("96")
    expect(page.locator("#enhance")).to_be_disabled()
    field.fill("48")
    expect(why).to_contain_text("40 × 48 px")
    expect(problem).to_have_count(0)
    enhance(page)
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (40, 48)

    pick(page, "size", "megapixels")
    expect(page.locator("#megapixels input")).to_be_visible()
    expect(page.locator("#long_side")).to_be_hidden()
    pick(page, "size", "scale")
    expect(why).to_contain_text("80 × 96 px")
    expect(page.locator("#enhance")).to_be_enabled()


def test_a_print_fits_the_paper_and_states_its_resolution_in_every_format(site: Site, open_page, tmp_path):
    path = site.photo("print.png", 310, 320)
    Image.open(path).save(path, dpi=(72, 72))
    page = open_page("?preset=anime-fast")
    load(page, path)
    pick(page, "size", "paper")
    expect(page.locator("#why")).to_contain_text("1,205")
    enhance(page)
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (1244, 1205)
        assert round(image.info["dpi"][0]) == 300
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    with Image.open(download(page, tmp_path)) as image:
        assert round(image.info["dpi"][0]) == 300
