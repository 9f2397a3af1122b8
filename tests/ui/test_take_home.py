"""What a person takes home: in which format and size, and whether it tells where the photo was taken."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance import Settings
from enhance.batch import Item, plan
from enhance.errors import SettingsError
from enhance.output.formats import FORMATS, Encoding
from enhance.output.resample import long_side_on, result_size
from enhance.web.batch import cards_of
from enhance.web.controls import ControlHandlers
from enhance.web.layout import Page as Parts
from enhance.web.params import (
    CONTROLS,
    encoding_of_link,
    encoding_remembered,
    on_page,
    settings_from,
    settings_of_link,
    settings_remembered,
)
from enhance.web.run import ResultHandlers, RunHandlers
from enhance.web.storage import BatchUploads
from enhance.web.views import Services

from ..site import Site, photo
from ..unit.test_attached_files import ultra_hdr
from ..unit.test_print_resolution import stated
from .journey import PATIENCE, choose, choose_again, download, enhance, wait_for_chip
from .test_handlers import REQUEST, SHOWN, page, run, services, take, visitor

__all__ = ["page", "services", "visitor"]

PLACE = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
_GPS = 0x8825


def photo_of_a_place(site: Site, name: str) -> Path:
    """A photo of 20 x 24 pixels that tells where it was taken."""
    exif, path = Image.Exif(), site.files / name
    exif[_GPS] = PLACE
    Image.fromarray(photo(24, 20)).save(path, exif=exif)
    return path


def pick(page: Page, control: str, value: str) -> None:
    page.locator(f"#{control} label:has(input[value={value}])").click()


def kept_location(path: Path) -> dict:
    with Image.open(path) as image:
        return dict(image.getexif().get_ifd(_GPS))


def test_format_and_location_are_chosen_after_the_run_and_make_no_new_one(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    choose(page, photo_of_a_place(site, "place.jpg"))
    wait_for_chip(page, "matches")
    enhance(page)
    runs, button = site.enhancer.runs, page.locator("#download")
    expect(button).to_have_text("Download PNG")
    assert kept_location(download(page, tmp_path))

    pick(page, "metadata", "no-location")
    pick(page, "format", "jpeg")
    expect(button).to_have_text("Download JPEG", timeout=PATIENCE)
    expect(page.locator("#quality")).to_be_visible()
    taken = download(page, tmp_path)

    with Image.open(taken) as image:
        assert (taken.name, image.format, image.size) == ("place-4x.jpg", "JPEG", (80, 96))
    assert kept_location(taken) == {}
    assert site.enhancer.runs == runs

    again = page.context.new_page()
    again.goto(site.url)
    expect(again.locator("#format input[value=jpeg]")).to_be_checked(timeout=PATIENCE)
    again.close()


@pytest.mark.parametrize("width", [1280, 1000, 390])
@pytest.mark.parametrize(
    ("language", "sentence", "labels"),
    [
        ("en", "This photo contains a GPS location.", ["Keep all", "Remove location", "Remove all"]),
        ("zh-CN", "此照片包含 GPS 位置。", ["全部保留", "移除位置", "全部移除"]),
    ],
)
def test_the_metadata_switch_is_next_to_the_sentence(site: Site, open_page, language, sentence, labels, width):
    page = open_page(f"?preset=anime-fast&lang={language}", width=width)
    choose(page, photo_of_a_place(site, "place.jpg"))
    said, switch = page.locator("#location"), page.locator("#metadata")
    expect(said).to_have_text(sentence, timeout=PATIENCE)
    expect(switch.locator("label")).to_have_text(labels)
    expect(switch.locator("input[value=keep]")).to_be_checked()
    expect(switch).to_be_in_viewport(ratio=1)
    one, other, card = said.bounding_box(), switch.bounding_box(), page.locator("#strip").bounding_box()
    assert one
    assert other
    assert card
    assert abs(one["y"] - other["y"]) < 60
    assert other["y"] + other["height"] <= card["y"] + card["height"]

    choose_again(page, site.photo("nowhere.png", 24, 20))
    expect(page.locator("#facts")).to_contain_text("nowhere.png", timeout=PATIENCE)
    expect(said).to_have_text("")
    expect(switch).to_be_visible()


def test_a_longer_side_gives_the_size_and_one_that_is_too_long_is_named_where_it_is_chosen(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    choose(page, site.photo("sized.png", 24, 20))
    expect(page.locator("#why")).to_contain_text("80 × 96 px", timeout=PATIENCE)

    pick(page, "size", "long_side")
    field = page.locator("#long_side input")
    expect(field).to_have_value("96", timeout=PATIENCE)
    expect(page.locator("#scale")).to_be_hidden()
    field.fill("48")
    expect(page.locator("#why")).to_contain_text("40 × 48 px", timeout=PATIENCE)
    field.fill("4800")
    expect(page.locator("#size-problem .problem")).to_contain_text(
        "Use 96 px on the long side or less.", timeout=PATIENCE
    )
    expect(page.locator("#enhance")).to_be_disabled(timeout=PATIENCE)

    pick(page, "size", "scale")
    expect(page.locator("#why")).to_contain_text("80 × 96 px", timeout=PATIENCE)
    expect(page.locator("#size-problem .problem")).to_have_count(0)
    expect(page.locator("#enhance")).to_be_enabled()


def test_the_zip_of_many_pictures_holds_the_chosen_format_without_the_locations(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast&format=webp&quality=80")
    page.locator("#tab-many-button").click()
    expect(page.locator("#batch-settings")).to_contain_text("WebP · Quality 80", timeout=PATIENCE)
    pick(page, "batch-metadata", "no-location")
    page.locator("#batch-files input[type=file]").set_input_files(photo_of_a_place(site, "one of many.jpg"))
    expect(page.locator("#batch-enhance")).to_be_enabled(timeout=PATIENCE)
    page.locator("#batch-enhance").click()
    expect(page.locator("#batch-download")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".file .does a")).to_have_text("WebP")
    with page.expect_download() as coming:
        page.locator("#batch-download").click()

    with zipfile.ZipFile(coming.value.path()) as archive:
        archive.extract("one of many.webp", tmp_path)
    with Image.open(tmp_path / "one of many.webp") as image:
        assert (image.format, image.size) == ("WEBP", (80, 96))
    assert kept_location(tmp_path / "one of many.webp") == {}


def told_of(page: Parts, services: Services, **chosen: object) -> dict:
    """What the page is told when one of the controls of what is taken home is touched."""
    return ControlHandlers(page, services).taking(REQUEST, *[(SHOWN | chosen)[name] for name in CONTROLS])


def test_what_a_format_loses_or_cannot_hold_is_said_beside_its_button(page, services, tmp_path):
    path = tmp_path / "glass.png"
    Image.fromarray(photo(8, 8)).convert("RGBA").save(path)
    visitor, card = services.visitors.of(REQUEST), page.result
    take(services, visitor, path)
    run(page, services)

    assert "Transparent areas are now white" in told_of(page, services, format="jpeg")[card.taken]
    assert told_of(page, services, format="webp")[card.taken] == ""
    assert visitor.finished is not None
    visitor.finished.info["output"]["width"] = 16_384
    told = told_of(page, services, format="webp")
    assert "The limit is 16,383 px for each side" in told[card.taken]
    assert not told[card.download].interactive
    assert told_of(page, services)[card.taken] == ""


def test_the_page_says_in_every_format_that_the_gain_map_was_not_kept(page, services, tmp_path):
    path = tmp_path / "ultra.jpg"
    path.write_bytes(ultra_hdr(photo(24, 20)))
    visitor, said = services.visitors.of(REQUEST), "The HDR gain map of this photo was removed."
    take(services, visitor, path)
    assert said in run(page, services)[-1][page.result.taken]
    for form in FORMATS:
        assert told_of(page, services, format=form)[page.result.taken].count(said) == 1
    assert visitor.finished is not None
    item = Item(path, Path(path.name), state="done", info=visitor.finished.info)
    assert said in cards_of("en", plan([item]), BatchUploads((item,)))


def test_a_result_that_is_gone_is_said_when_its_file_is_asked_for(page, services, visitor):
    run(page, services)
    services.enhancer.tasks.result_path(visitor.finished.info["task_id"]).unlink()
    values = [(SHOWN | {"format": "jpeg"})[name] for name in CONTROLS]

    told = ResultHandlers(page, services).export(REQUEST, *values)

    assert 'class="problem"' in told[page.result.taken]
    assert told[page.result.report_file].value is None


def test_the_same_files_are_handed_out_in_another_format_without_a_second_entry(photo_file):
    info = {"preset": "anime-fast", "settings": {}, "tile": 192, "output": {"path": str(photo_file)}}
    settings, done = Settings.from_preset("anime-fast"), Item(photo_file, Path("a.png"), state="done", info=info)
    many = BatchUploads((done,))
    many.begin(settings, Encoding())
    assert many.items == (done,)
    many.begin(settings, Encoding("jpeg"))
    assert [(item.state, item.key) for item in many.items] == [("waiting", done.key)]


def test_a_print_is_as_long_as_the_paper_of_the_pictures_own_shape():
    shown = SHOWN | {"size": "paper", "paper": "10x15"}
    values = [shown[name] for name in CONTROLS]
    assert settings_from(values, (400, 600)).long_side == long_side_on("10x15", (400, 600)) == 1795
    assert settings_from(values, (500, 500)).long_side == 1205
    assert settings_from(values).long_side == 1795


def test_a_print_of_the_page_states_its_resolution_in_every_format(page, services, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo(320, 320)).save(path, dpi=(72, 72))
    visitor = services.visitors.of(REQUEST)
    take(services, visitor, path)
    shown = SHOWN | {"size": "paper", "paper": "10x15", "scale": None}
    handlers = RunHandlers(page, services)
    for size, dpi in ((shown, 300), (shown | {"size": "long_side", "long_side": 1205}, 72)):  # the same pixels
        values = [size[name] for name in CONTROLS]
        handlers.ask(REQUEST, *values)
        *_, _ = handlers.follow(REQUEST)
        assert visitor.finished is not None
        assert stated(visitor.finished.download) == {dpi}
        for form in ("jpeg", "webp", "avif"):
            told = ResultHandlers(page, services).export(
                REQUEST, *[(size | {"format": form})[name] for name in CONTROLS]
            )
            assert stated(Path(told[page.result.report_file].value["path"])) == {dpi}


def test_a_link_and_a_browser_that_remembers_a_print_ask_for_its_resolution():
    assert settings_of_link({"paper": "a4"}, Settings()).dpi == 300
    kept = SHOWN | {"size": "paper", "paper": "a4", "scale": None}
    assert settings_remembered(kept, {"anime-fast"}).dpi == 300
    assert settings_remembered(SHOWN, {"anime-fast"}).dpi is None


def test_only_the_field_of_the_chosen_way_counts():
    shown = SHOWN | {"size": "megapixels", "megapixels": 2, "long_side": None, "scale": None}
    settings = settings_from([shown[name] for name in CONTROLS])
    assert (settings.scale, settings.long_side, settings.megapixels) == (None, None, 2)
    with pytest.raises(SettingsError, match="long_side is empty"):
        settings_from([(shown | {"size": "long_side"})[name] for name in CONTROLS])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"format": "gif"}, "Unknown format “gif”"),
        ({"quality": "0"}, "from 1 to 100"),
        ({"quality": "fine"}, "from 1 to 100"),
        ({"metadata": "some"}, "Unknown value “some”"),
        ({"paper": "a9"}, "Unknown paper size “a9”"),
        ({"long_side": "long"}, "long_side"),
        ({"long_side": "300", "scale": "2"}, "only one of"),
    ],
)
def test_a_link_with_a_value_that_cannot_be_is_answered_by_a_sentence(query, named):
    of_what = encoding_of_link if query.keys() & {"format", "quality", "metadata"} else settings_of_link
    start = Encoding() if of_what is encoding_of_link else Settings()
    with pytest.raises(SettingsError, match=named):
        of_what(query, start)  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["keep", "no-location", "none"])
def test_a_link_may_ask_for_each_choice_of_what_a_photo_tells_and_a_browser_remembers_it(choice):
    assert encoding_of_link({"metadata": choice}, Encoding()).metadata == choice
    assert encoding_remembered({"format": "jpeg", "quality": 90, "metadata": choice}).metadata == choice


def test_who_had_switched_the_location_off_before_there_were_three_choices_keeps_it_off():
    assert encoding_remembered({"format": "png", "quality": 92, "metadata": False}).metadata == "no-location"
    assert encoding_remembered({"format": "png", "quality": 92, "metadata": True}).metadata == "keep"


def test_a_size_that_cannot_be_is_said_in_the_words_of_the_page():
    settings = Settings.from_preset("anime-fast")
    for changes, paper, english, chinese in (
        ({"long_side": 1506}, "", "1506 px on the long side is too large", "长边 1506 像素过大"),
        (
            {"long_side": 4961},
            "a3",
            "Print A3 (4961 px on the long side) is too large",
            "打印 A3（长边 4961 像素）过大",
        ),
        ({"long_side": 2}, "", "Use 24 px on the long side or more.", "下限：长边 24 像素"),
        ({"megapixels": 40}, "", "40 MP is too large", "百万像素"),
    ):
        with pytest.raises(SettingsError) as caught:
            result_size(settings.changed(**dict[str, Any](changes)), 282, 376)
        said = on_page("en", caught.value, paper)
        assert english in said
        assert chinese in on_page("zh-CN", caught.value, paper)
        assert "long_side" not in said
        assert "_side" in str(caught.value) or "megapixels 40" in str(caught.value)
    assert on_page("en", SettingsError("control_empty", name="long_side")).startswith("Long side is empty")


def test_a_link_says_what_is_taken_home():
    link = {"preset": "anime", "paper": "a4", "format": "avif", "quality": "50", "metadata": "no-location"}
    assert settings_of_link(link, Settings()) == Settings.from_preset("anime", long_side=3508, dpi=300)
    assert encoding_of_link(link, Encoding()) == Encoding("avif", 50, "no-location")
