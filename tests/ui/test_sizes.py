"""The output size: by scale, long side, megapixels or print size."""

from __future__ import annotations

from PIL import Image

from ..site import Site
from .journey import data_of, download, enhance, expect, expect_chosen, has_focus, load, pick


def test_a_size_is_chosen_in_pixels_or_as_a_print_and_rejected_where_it_is_too_large(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("sized.png", 100, 130))
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    expect(why).to_contain_text("520 × 400 px")
    expect_chosen(page, sizes="4x")
    for size, pixels in (("2x", "260 × 200 px"), ("web", "2,048 × 1,575 px")):
        pick(page, "sizes", size)
        expect(why).to_contain_text(pixels)
        expect_chosen(page, sizes=size)
    pick(page, "size", "long_side")
    field = page.locator("#long_side input")
    expect(field).to_have_value("2048")
    expect(page.locator("#scale")).to_be_hidden()
    field.fill("9600")
    expect(problem).to_contain_text("2080 px")
    expect(page.locator("#enhance")).to_be_disabled()
    problem.locator("button").click()
    expect(field).to_have_value("2080")
    has_focus(page, "#long_side input")
    expect(problem).to_have_count(0)
    field.fill("64")
    expect(why).to_contain_text("64 × 49 px")
    pick(page, "size", "megapixels")
    expect(page.locator("#long_side")).to_be_hidden()
    page.locator("#megapixels input").fill("")
    page.locator("#size-problem .tip-action", has_text="4×").click()
    expect(problem).to_have_count(0)
    expect(why).to_contain_text("520 × 400 px")

    pick(page, "sizes", "print")
    expect(page.locator("#print_width")).to_be_hidden()
    pick(page, "paper", "a3")
    expect(problem).to_contain_text("A3 at 300 dpi is too large for a photo of 130 × 100 px.")
    problem.locator("button", has_text="Use 136 dpi, same print size").click()
    expect(problem).to_have_count(0)
    expect(page.locator("#dpi input")).to_have_value("136")
    pick(page, "paper", "own")
    width, height = page.locator("#print_width input"), page.locator("#print_height input")
    expect(width).to_have_value("42")
    expect(height).to_have_value("29.7")
    pick(page, "unit", "in")
    expect(width).to_have_value("16.54")
    width.fill("")
    height.fill("")
    expect(page.locator("#size-problem")).to_contain_text("Width is empty.")
    width.fill("4")
    page.locator("#dpi input").fill("100")
    expect(why).to_contain_text("400 × 308 px, 100 dpi")
    enhance(page)
    pick(page, "format", "jpeg")
    expect(page.locator("#download")).to_contain_text("JPEG")
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (400, 308)
        assert round(image.info["dpi"][0]) == 100

    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator("#link").click()
    link = page.wait_for_function("window.copied").json_value()
    assert "paper=own&print_width=4&unit=in&dpi=100" in link


def test_a_photo_of_another_shape_is_cropped_to_its_paper(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("cropped.png", 75, 100))
    pick(page, "sizes", "print")
    pick(page, "paper", "own")
    fit, height = page.locator("#print_fit"), page.locator("#print_height input")
    page.locator("#print_width input").fill("8")
    height.fill("6")
    expect(fit).to_be_hidden()
    height.fill("8")
    expect(fit).to_be_visible()
    page.locator("#dpi input").fill("100")
    expect(page.locator("#why")).to_contain_text("315 × 236 px, 100 dpi")
    pick(page, "print_fit", "crop")
    expect(page.locator("#why")).to_contain_text("315 × 315 px, 100 dpi")
    enhance(page)
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (315, 315)
    assert data_of(page, "result")["size"] == [420, 315], "the stage compares the whole photo"
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator("#link").click()
    assert "print_fit=crop" in page.wait_for_function("window.copied").json_value()
