"""JPEG blocks do not reach the result through the share of the photo."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings
from enhance.images import Box, SourceImage
from enhance.images.worker import read_image
from enhance.restore.deblocking import deblocked_rows, has_blocks, without_steps
from enhance.restore.result import ResultRows, Scene
from tests.conftest import agreement, psnr
from tests.quality.degradation import as_jpeg
from tests.quality.photos import REPORTED, TUNING, reference_of

from .blocks import block_steps as steps
from .blocks import grid_steps, moved_cases

FAITHFUL = Settings.from_preset("anime-fast", strength=0.6, fidelity=1)
FAST = [("fast", 40), pytest.param("fast", 75, marks=pytest.mark.long)]
GENTLE = [pytest.param("gentle", quality, marks=pytest.mark.long) for quality in (40, 75)]


def small(height: int = 128, width: int = 128) -> np.ndarray:
    """Return a photo that was never compressed, uint8 [height, width, 3]."""
    averages = data.astronaut().reshape(128, 4, 128, 4, 3).mean((1, 3))
    return np.tile(np.rint(averages).astype(np.uint8), (2, 2, 1))[:height, :width]


def jpeg(tmp_path: Path, rgb: np.ndarray, quality: int, **options) -> SourceImage:
    Image.fromarray(rgb).save(tmp_path / "photo.jpg", quality=quality, **options)
    return read_image(tmp_path / "photo.jpg")


def enlarged(rgb: np.ndarray, factor: int = 4) -> np.ndarray:
    """Return the output of a network that keeps the blocks."""
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def without_its_steps(
    image: SourceImage, network: np.ndarray, factor: int = 4, box: Box | None = None
) -> np.ndarray:
    photo = Scene().photo(image, FAITHFUL, box=box)
    return without_steps(lambda a, b: network[a:b], photo, factor, 1.0)(0, factor * image.height)


def result_of(image: SourceImage, network: np.ndarray, settings: Settings) -> np.ndarray:
    photo = Scene().photo(image, settings, image.degradation)
    rows = ResultRows(image, lambda a, b: network[a:b], settings, photo)
    return rows.rows(0, rows.size[0])


@pytest.mark.parametrize("quality", [40, 75])
def test_the_blocks_disappear_and_the_photo_stays(tmp_path, quality):
    image = jpeg(tmp_path, small(), quality)

    clean = deblocked_rows(image)(0, 128)

    assert steps(image.rgb) > 1.08
    assert 0.95 < steps(clean) < 1.03
    assert psnr(clean, small()) > psnr(image.rgb, small()) + 0.1


@pytest.mark.parametrize("factor", [1, 4])
def test_steps_that_the_network_keeps_are_removed(tmp_path, factor):
    image = jpeg(tmp_path, small(), 40)
    network = enlarged(image.rgb, factor)

    clean = without_its_steps(image, network, factor)

    assert 0.9 < steps(clean, 8 * factor) < 1 < 1.2 < steps(network, 8 * factor)
    between = np.arange(factor * 128).reshape(16, -1)[:, factor + 1 : -factor - 1].ravel()
    assert np.array_equal(clean[between][:, between], network[between][:, between])


def test_edges_on_the_grid_stay_if_the_photo_has_no_blocks_there(tmp_path):
    network = np.full((512, 512, 3), 90, np.uint8)
    network[:256] += 60

    clean = without_its_steps(jpeg(tmp_path, np.full((128, 128, 3), 90, np.uint8), 40), network)

    assert np.array_equal(clean, network)


@pytest.mark.parametrize(
    "names", [("cat", "lion", "camera"), pytest.param((), marks=pytest.mark.long)]
)
@pytest.mark.parametrize(("preset", "quality"), FAST + GENTLE)
def test_steps_at_the_borders_of_blocks_are_at_most_8_percent_larger(
    with_fast_weights, preset, quality, names
):
    engine, settings = Enhancer("cpu").engine, Settings(preset)
    if preset == "fast":  # As Auto selects it.
        settings = settings.changed(strength=0.5, fidelity=0.0, sharpen=0.0)
    photos = TUNING | REPORTED
    for name in names or {*photos} - {"page", "text"}:
        cases = moved_cases(reference_of(photos[name]), partial(as_jpeg, quality=quality))

        results = [
            result_of(one.image, engine.enlarge(one.degraded, settings.weights), settings)
            for one in cases
        ]

        assert grid_steps(results, 32) < 1.08, name


@pytest.mark.parametrize("box", [Box(16, 8, 96, 80), Box(429, 43, 256, 70)])
def test_a_part_equals_the_whole_away_from_its_border(tmp_path, box):
    """The image is processed in several tiles."""
    image = jpeg(tmp_path, np.tile(small(200), (1, 9, 1)), 50)
    network = enlarged(image.rgb)
    place = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    large = np.s_[
        4 * box.top : 4 * (box.top + box.height), 4 * box.left : 4 * (box.left + box.width)
    ]

    part = deblocked_rows(image.crop(box))(0, box.height)
    clean = without_its_steps(image.crop(box), network[large], box=box)

    assert np.array_equal(part[8:-8, 8:-8], deblocked_rows(image)(0, 200)[place][8:-8, 8:-8])
    assert np.array_equal(
        clean[64:-64, 64:-64], without_its_steps(image, network)[large][64:-64, 64:-64]
    )


def test_a_grey_photo_stays_grey(tmp_path):
    clean = deblocked_rows(jpeg(tmp_path, small()[..., 1], 50))(0, 128)

    assert steps(clean) < 1.03
    assert np.ptp(clean, axis=2).max() <= 1


def test_only_jpegs_with_visible_blocks_change(tmp_path):
    files = {"photo.png": {}, "clear.jpg": {"quality": 95}, "cmyk.jpg": {"quality": 50}}
    for name, options in files.items():
        Image.fromarray(small()).convert("CMYK" if name == "cmyk.jpg" else "RGB").save(
            tmp_path / name, **options
        )
        assert not has_blocks(read_image(tmp_path / name))
    assert not has_blocks(jpeg(tmp_path, small(), 50).downscale(2))
    assert has_blocks(jpeg(tmp_path, small(), 50).crop(Box(3, 3, 20, 20)))


def test_the_output_of_the_network_alone_stays(tmp_path):
    image = jpeg(tmp_path, small(), 40)
    network = enlarged(image.rgb)

    assert np.array_equal(
        result_of(image, network, FAITHFUL.changed(strength=1, fidelity=0)), network
    )


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_blocks_and_steps_disappear_in_any_orientation(tmp_path, orientation):
    """A stored side of 203 or 149 px ends inside a block, where the upright photo can begin."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = cv2.resize(data.astronaut()[:298, :406], (203, 149), interpolation=cv2.INTER_AREA)
    image = jpeg(tmp_path, pixels, 40, exif=exif)
    top, left = image.first_block

    clean = without_its_steps(image, enlarged(image.rgb))

    assert steps(image.rgb[top:, left:]) > 1.15
    assert 0.95 < steps(deblocked_rows(image)(0, image.height)[top:, left:]) < 1.03
    assert 0.9 < steps(clean[4 * top :, 4 * left :], 32) < 1


def test_a_preview_agrees_with_the_run(enhancer, tmp_path):
    jpeg(tmp_path, small(256, 240), 40)

    preview = enhancer.preview(tmp_path / "photo.jpg", FAITHFUL, x=117, y=123, size=48)
    result = enhancer.run(tmp_path / "photo.jpg", FAITHFUL)

    assert (preview.region.cut.box.top, preview.region.cut.box.left) == (51, 45)
    assert agreement(preview, result) > 80


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (128, 128)])
def test_the_tables_of_a_crafted_file_of_any_size_can_have_zeros(tmp_path, size):
    image = replace(jpeg(tmp_path, small(*size), 50), jpeg_table=(0,) * 64)

    assert np.abs(deblocked_rows(image)(0, size[0]).astype(int) - image.rgb).mean() < 6
