"""Prints whose shape differs from that of the photo: the whole photo, a white border, or a cropped photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.batch import BatchRun, Item, plan
from enhance.cli import main
from enhance.errors import SettingsError
from enhance.images import Box
from enhance.info import open_photo
from enhance.output.names import ResultNames
from enhance.output.png_reader import PngReader
from enhance.output.resample import differs_from_paper, paper_of, result_size, with_possible_size
from enhance.settings import signature
from tests.unit.gain_map_files import VALUES, map_packet, ultra_hdr
from tests.unit.image_files import encode, exif_block
from tests.unit.test_gain_map_results import second_image

pytestmark = pytest.mark.usefixtures("fresh_store")
CONTAIN, BORDER, CROP = (
    Settings("anime-fast", print_width=1.27, print_height=1.016, print_fit=fit) for fit in ("contain", "border", "crop")
)
"""150 x 120 px at 300 dpi. The photo of the tests has 56 x 40 px."""


def test_border_and_crop_have_exactly_the_size_of_the_paper():
    for height, width in ((40, 56), (56, 40), (40, 40), (400, 561), (300, 1000)):
        paper = {120, 150}
        assert {*result_size(BORDER, height, width)} == {*result_size(CROP, height, width)} == paper
        turned = result_size(BORDER, height, width)
        assert (turned[0] > turned[1]) == (height > width) or height == width
        fitted = result_size(CONTAIN, height, width)
        assert fitted[0] <= turned[0]
        assert fitted[1] <= turned[1]
        assert 0 in (turned[0] - fitted[0], turned[1] - fitted[1])


def test_result_is_the_whole_photo_on_white(enhancer, photo_file):
    contained, bordered = (enhancer.run(photo_file, one) for one in (CONTAIN, BORDER))
    assert contained.array.shape == (107, 150, 3)
    assert bordered.array.shape == (120, 150, 3)
    assert np.array_equal(bordered.array[6:113], contained.array)
    assert (bordered.array[:6] == 255).all()
    assert (bordered.array[113:] == 255).all()
    assert (bordered.info["output"]["width"], bordered.info["output"]["height"]) == (150, 120)


def test_result_is_the_middle_of_the_photo(enhancer, photo_file):
    cropped = enhancer.run(photo_file, CROP)
    whole = enhancer.run(photo_file, Settings("anime-fast", print_height=1.016)).array
    assert whole.shape == (120, 168, 3)
    assert np.array_equal(cropped.array, whole[:, 9:159])


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_border_is_white_and_opaque(enhancer, photo, tmp_path, mode):
    grey = Image.fromarray(photo[..., 0])
    image = Image.fromarray(photo[..., 0].astype(np.uint16) * 200) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / "photo.png")
    result = enhancer.run(tmp_path / "photo.png", BORDER).array
    assert result.shape[:2] == (120, 150)
    assert (result[:6] == np.iinfo(result.dtype).max).all()
    assert result[60, :, 0].mean() < 0.9 * np.iinfo(result.dtype).max


@pytest.mark.parametrize("settings", [BORDER, CROP], ids=["border", "crop"])
@pytest.mark.parametrize("strip", [1, 7, 64, 1000])
def test_strips_of_the_photo_give_the_paper(settings, strip):
    for height, width in ((40, 56), (56, 40), (31, 97)):
        paper = paper_of(settings, height, width)
        assert paper is not None
        tall, wide = paper.photo
        values = np.arange(tall * wide, dtype=np.uint16).reshape(tall, wide, 1) % 50_000
        parts = [part for first in range(0, tall, strip) for part in paper.place(values[first : first + strip], first)]
        placed = np.concatenate(parts)[..., 0]
        expected = np.full(paper.size, 65_535)
        for row, column in np.ndindex(paper.size):
            y, x = row - paper.offset[0], column - paper.offset[1]
            if 0 <= y < tall and 0 <= x < wide:
                expected[row, column] = values[y, x, 0]
        assert np.array_equal(placed, expected)
        assert max(len(part) for part in parts) <= max(strip, 64)


def test_signature_changes_only_with_a_border_or_a_crop():
    first, *others = (signature("a", one, "m", "fp32") for one in (CONTAIN, BORDER, CROP))
    assert len({first, *others}) == 3
    assert first == signature("a", Settings("anime-fast", print_width=1.27, print_height=1.016), "m", "fp32")
    plain = Settings("anime-fast", scale=2, print_fit="crop")
    assert signature("a", plain, "m", "fp32") == signature("a", Settings("anime-fast", scale=2), "m", "fp32")


def test_values_that_are_not_possible_are_rejected():
    with pytest.raises(SettingsError, match="print_fit"):
        Settings(print_fit="fill")
    assert BORDER.changed(scale=2).print_fit is None
    narrow = Settings("anime-fast", print_width=100, print_height=1, print_fit="border")
    with pytest.raises(SettingsError, match="print_width"):
        result_size(narrow, 40, 56)
    assert with_possible_size(narrow, 40, 56).print_fit == "contain"


def test_choice_is_offered_for_other_shapes_only():
    assert differs_from_paper(CONTAIN, 40, 56)
    assert not differs_from_paper(CONTAIN, 4000, 5030)
    assert not differs_from_paper(CONTAIN, 5030, 4000), "the paper is turned"
    assert not differs_from_paper(Settings(print_width=10), 40, 56)


def test_gain_map_follows_the_photo(enhancer, tmp_path):
    photo = np.full((80, 112, 3), 128, np.uint8)
    values = np.zeros((40, 56), np.uint8)
    values[15:25, 20:36] = 250
    xmp = map_packet({**VALUES, "GainMapMin": "-2.5"})
    gain_map = encode(Image.fromarray(values), "JPEG", xmp=xmp, quality=95)
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo, gain_map, exif=exif_block(1)))
    bordered = enhancer.run(tmp_path / "ultra.jpg", BORDER, output=tmp_path / "border.jpg")
    shown = np.asarray(second_image(bordered.path))
    assert shown.shape == (61, 75)
    assert np.abs(shown[:2].astype(int) - 128).max() < 12, "the border is as bright as without a map"
    rows, columns = np.nonzero(shown > 200)
    assert abs(rows.mean() - 30) < 1
    assert abs(columns.mean() - 37) < 1

    cropped = enhancer.run(tmp_path / "ultra.jpg", CROP, output=tmp_path / "crop.jpg")
    assert second_image(cropped.path).size == (75, 60)


def test_page_and_report_see_the_photo_without_its_border(enhancer, photo_file, tmp_path):
    contained, bordered, cropped = (enhancer.run(photo_file, one) for one in (CONTAIN, BORDER, CROP))
    with open_photo(bordered.path, bordered.info) as view:
        assert view.size == (107, 150)
        assert np.array_equal(view.rows(0, 107), contained.array)
    with open_photo(cropped.path, cropped.info) as view, PngReader(cropped.path) as png:
        assert view.size == (120, 168)
        rows = view.rows(0, 120)
        assert np.array_equal(rows[:, 9:159], png.rows(0, 120))
        assert (rows[:, :9] == 127).all()
        assert (rows[:, 159:] == 127).all()
    path = enhancer.write_report(bordered, photo_file, tmp_path / "report.pdf")
    assert path.read_bytes().startswith(b"%PDF")


def test_command_line_and_batch_use_the_fit(enhancer, photo_file, tmp_path, capsys):
    options = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32", "--json"]
    size = ["--print", "1.27x1.016cm", "--print-fit", "crop"]
    assert main(["run", str(photo_file), "-o", str(tmp_path / "out.png"), *size, *options]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["print_fit"] == "crop"
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (150, 120)
    batch = plan([Item(photo_file, Path(photo_file.name))], ResultNames(tmp_path / "many", ".png"))
    (item,) = BatchRun(enhancer, BORDER, batch).run().items
    assert item.result is not None
    with Image.open(item.result) as image:
        assert image.size == (150, 120)


def test_blocks_of_a_region_lie_on_the_photo(enhancer, photo_file):
    cropped = enhancer.run(photo_file, CROP)
    with open_photo(cropped.path, cropped.info) as view:
        whole = view.rows(0, 120)
        region = view.region(Box(2, 5, 160, 100), 4)
    assert region.shape == (25, 40, 3)
    means = whole[5:105, 2:162].reshape(25, 4, 40, 4, 3).mean((1, 3))
    assert np.abs(region[:, 2:38] - means[:, 2:38]).max() <= 1
