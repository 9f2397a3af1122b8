"""Prints whose shape differs from that of the photo: the whole photo, a white border, or a cropped photo."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.info import open_photo
from enhance.output.png_reader import PngReader
from enhance.output.resample import paper_of, result_size
from enhance.settings import signature
from tests.unit.gain_map_files import VALUES, map_packet, ultra_hdr
from tests.unit.image_files import encode, exif_block

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


def test_result_is_the_whole_photo_on_white_or_its_middle(enhancer, photo_file):
    contained, bordered = (enhancer.run(photo_file, one) for one in (CONTAIN, BORDER))
    assert contained.array.shape == (107, 150, 3)
    assert bordered.array.shape == (120, 150, 3)
    assert np.array_equal(bordered.array[6:113], contained.array)
    assert (bordered.array[:6] == 255).all()
    assert (bordered.array[113:] == 255).all()
    assert (bordered.info["output"]["width"], bordered.info["output"]["height"]) == (150, 120)
    whole = enhancer.run(photo_file, Settings("anime-fast", print_height=1.016)).array
    assert whole.shape == (120, 168, 3)
    assert np.array_equal(enhancer.run(photo_file, CROP).array, whole[:, 9:159])


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
@pytest.mark.parametrize("strip", [1, 7, 1000])
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


def test_border_and_cropped_photo_have_no_gain_map(enhancer, tmp_path):
    photo, values = np.full((80, 112, 3), 128, np.uint8), Image.new("L", (56, 40), 250)
    gain_map = encode(values, "JPEG", xmp=map_packet(VALUES))
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo, gain_map, exif=exif_block(1)))
    for settings in (BORDER, CROP, BORDER):
        result = enhancer.run(tmp_path / "ultra.jpg", settings, output=tmp_path / f"{settings.print_fit}.jpg")
        assert b"GainMap" not in result.path.read_bytes()
        assert result.info["output"]["notes"] == ["gain_map_left"]
    assert result.info["cached"]


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
