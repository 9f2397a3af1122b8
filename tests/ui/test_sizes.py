"""The output size: by scale, long side, megapixels or print size."""

from __future__ import annotations

from PIL import Image
from playwright.sync_api import expect

from ..site import Site
from .journey import download, enhance, expect_chosen, load, pick, result_is


def test_a_size_is_a_long_side_or_print_size_and_rejected_where_it_is_too_large(site: Site, open_page, tmp_path):
    path = site.photo("sized.png", 310, 320)
    Image.open(path).save(path, dpi=(72, 72))
    page = open_page("?preset=anime-fast")
    load(page, path)
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    expect(why).to_contain_text("1,280 × 1,240 px")
    expect_chosen(page, sizes="4x")
    for size, pixels in (("2x", "640 × 620 px"), ("web", "2,048 × 1,984 px"), ("print", "1,244 × 1,205 px, 300 dpi")):
        pick(page, "sizes", size)
        expect(why).to_contain_text(pixels)
        expect_chosen(page, sizes=size)
    pick(page, "sizes", "4x")
    expect(why).to_contain_text("1,280 × 1,240 px")
    pick(page, "size", "long_side")
    field = page.locator("#long_side input")
    expect(field).to_have_value("1280")
    expect(page.locator("#scale")).to_be_hidden()
    field.fill("9600")
    expect(problem).to_contain_text("5120 px")
    expect(page.locator("#enhance")).to_be_disabled()
    problem.locator("button").click()
    expect(field).to_have_value("5120")
    expect(problem).to_have_count(0)
    expect(page.locator("#enhance")).to_be_enabled()
    field.fill("64")
    expect(why).to_contain_text("64 × 62 px")
    expect(problem).to_have_count(0)
    enhance(page)
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (64, 62)

    pick(page, "size", "megapixels")
    expect(page.locator("#megapixels input")).to_be_visible()
    expect(page.locator("#long_side")).to_be_hidden()
    page.locator("#megapixels input").fill("")
    page.locator("#size-problem .tip-action", has_text="4×").click()
    expect(page.locator("#size-problem .problem")).to_have_count(0)
    pick(page, "size", "scale")
    expect(why).to_contain_text("1,280 × 1,240 px")
    expect(page.locator("#enhance")).to_be_enabled()

    pick(page, "size", "paper")
    expect(why).to_contain_text("1,244 × 1,205 px, 300 dpi")
    page.locator("#enhance").click()
    result_is(page, "matches")
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (1244, 1205)
        assert round(image.info["dpi"][0]) == 300
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    with Image.open(download(page, tmp_path)) as image:
        assert round(image.info["dpi"][0]) == 300


def test_a_print_has_a_size_of_its_own_and_another_resolution_where_it_is_too_large(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("printed.png", 75, 100))
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    pick(page, "sizes", "print")
    expect(page.locator("#print_width")).to_be_hidden()
    pick(page, "paper", "a3")
    expect(problem).to_contain_text("A3 at 300 dpi is too large for a photo of 100 × 75 px.")
    problem.locator("button", has_text="Use 102 dpi, same print size").click()
    expect(problem).to_have_count(0)
    expect(page.locator("#dpi input")).to_have_value("102")
    expect(why).to_contain_text("1,590 × 1,193 px, 102 dpi")

    pick(page, "paper", "own")
    width, height = page.locator("#print_width input"), page.locator("#print_height input")
    expect(width).to_have_value("42")
    expect(height).to_have_value("29.7")
    pick(page, "unit", "in")
    expect(width).to_have_value("16.54")
    width.fill("4")
    height.fill("4")
    page.locator("#dpi input").fill("100")
    expect(why).to_contain_text("400 × 300 px, 100 dpi")
    height.fill("")
    width.fill("")
    expect(page.locator("#size-problem")).to_contain_text("Width is empty.")
    width.fill("5")
    expect(why).to_contain_text("500 × 375 px, 100 dpi")

    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator("#link").click()
    link = page.wait_for_function("window.copied").json_value()
    assert "paper=own&print_width=5&unit=in&dpi=100" in link
    again = open_page(link.removeprefix(site.url))
    expect_chosen(again, sizes="print", paper="own", unit="in")
    expect(again.locator("#print_width input")).to_have_value("5")
    expect(again.locator("#print_height input")).to_have_value("")


def test_a_link_of_an_earlier_version_selects_a_named_print_size(site: Site, open_page):
    page = open_page("?preset=anime-fast&paper=10x15")
    load(page, site.photo("linked.png", 310, 320))
    expect_chosen(page, sizes="print", paper="10x15")
    expect(page.locator("#why")).to_contain_text("1,244 × 1,205 px, 300 dpi")
