"""The output size: by scale, long side, megapixels or print size."""

from __future__ import annotations

from PIL import Image

from ..site import Site
from .journey import data_of, download, enhance, expect, expect_chosen, has_focus, load, pick


def test_a_size_is_chosen_in_pixels_or_as_a_print_and_rejected_where_it_is_too_large(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    load(page, site.photo("sized.png", 75, 100))
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    expect(why).to_contain_text("400 × 300 px")
    expect_chosen(page, sizes="4x")
    pick(page, "sizes", "web")
    expect_chosen(page, sizes="web")
    pick(page, "size", "long_side")
    field = page.locator("#long_side input")
    expect(field).to_have_value("2048")
    expect(problem).to_contain_text("1,600 px")
    expect(page.locator("#enhance")).to_be_disabled()
    problem.locator("button").click()
    expect(field).to_have_value("1600")
    has_focus(page, "#long_side input")
    expect(problem).to_have_count(0)
    pick(page, "size", "megapixels")
    expect(page.locator("#long_side")).to_be_hidden()
    expect(page.locator("#megapixels input")).to_be_visible()
    expect(page.locator("#megapixels input")).not_to_have_value("")
    page.locator("#megapixels input").fill("")
    page.locator("#size-problem .tip-action", has_text="4×").click()
    expect(problem).to_have_count(0)
    expect(why).to_contain_text("400 × 300 px")

    pick(page, "sizes", "print")
    expect(page.locator("#print_width")).to_be_hidden()
    pick(page, "paper", "a3")
    problem.locator("button", has_text="Use 102 dpi, same print size").click()
    expect(problem).to_have_count(0)
    expect(page.locator("#dpi input")).to_have_value("102")
    pick(page, "paper", "own")
    width, height = page.locator("#print_width input"), page.locator("#print_height input")
    expect(width).to_have_value("42")
    pick(page, "unit", "in")
    expect(width).to_have_value("16.54")
    width.fill("")
    height.fill("")
    expect(page.locator("#size-problem")).to_contain_text("Width is empty.")
    width.fill("4")
    page.locator("#dpi input").fill("75")
    expect(why).to_contain_text("300 × 225 px, 75 dpi")
    expect(page.locator("#print_fit")).to_be_hidden()
    height.fill("4")
    pick(page, "print_fit", "crop")
    expect(why).to_contain_text("300 × 300 px, 75 dpi")
    enhance(page)
    assert data_of(page, "result")["size"] == [400, 300], "the stage compares the whole photo"
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (300, 300)
        assert round(image.info["dpi"][0]) == 75
    page.locator("#link").click()
    link = page.wait_for_function("window.copied").json_value()
    assert "paper=own&print_width=4&print_height=4&unit=in&dpi=75&print_fit=crop" in link
