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
from enhance.output import deblocking
from enhance.output.deblocking import deblocked_rows, has_blocks, without_steps
from enhance.output.result import ResultRows, Scene
from tests.conftest import psnr
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


def saved(path: Path, rgb: np.ndarray, quality: int, **options) -> Path:
    Image.fromarray(rgb).save(path, "JPEG", quality=quality, **options)
    return path


def jpeg(tmp_path: Path, rgb: np.ndarray, quality: int, **options) -> SourceImage:
    return read_image(saved(tmp_path / "photo.jpg", rgb, quality, **options))


def result_of(image: SourceImage, network: np.ndarray, settings: Settings) -> np.ndarray:
    photo = Scene().photo(image, settings, image.degradation)
    rows = ResultRows(image, lambda a, b: network[a:b], settings, photo)
    return rows.rows(0, rows.size[0])


@pytest.mark.parametrize("quality", [40, 60, 75])
def test_the_blocks_disappear_and_the_photo_stays(tmp_path, quality):
    image = jpeg(tmp_path, small(), quality)

    clean = deblocked_rows(image)(0, 128)

    assert steps(image.rgb) > 1.08
    assert 0.95 < steps(clean) < 1.03
    assert psnr(clean, small()) > psnr(image.rgb, small()) + 0.1


@pytest.mark.parametrize(("preset", "quality"), FAST + GENTLE)
def test_the_photo_adds_no_steps_to_those_of_the_network(tmp_path, with_fast_weights, preset, quality):
    image, settings = jpeg(tmp_path, small(), quality), Settings(preset)
    network = Enhancer("cpu").engine.enlarge(image.rgb, settings.weights)
    with_blocks = result_of(replace(image, jpeg_table=()), network, settings)

    clean = result_of(image, network, settings)

    assert steps(clean, 32) < steps(network, 32) < steps(with_blocks, 32) - 0.03


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_steps_that_the_network_keeps_are_removed(tmp_path, factor):
    image = jpeg(tmp_path, small(), 40)
    network = cv2.resize(image.rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    photo = Scene().photo(image, FAITHFUL)

    clean = without_steps(lambda a, b: network[a:b], photo, factor, 1.0)(0, factor * 128)

    assert 0.9 < steps(clean, 8 * factor) < 1 < 1.2 < steps(network, 8 * factor)
    between = np.arange(factor * 128).reshape(16, -1)[:, factor + 1 : -factor - 1].ravel()
    assert np.array_equal(clean[between][:, between], network[between][:, between])


def test_edges_on_the_grid_stay_if_the_photo_has_no_blocks_there(tmp_path):
    image = jpeg(tmp_path, np.full((128, 128, 3), 90, np.uint8), 40)
    network = np.full((512, 512, 3), 90, np.uint8)
    network[:256] += 60

    clean = without_steps(lambda a, b: network[a:b], Scene().photo(image, FAITHFUL), 4, 1.0)(0, 512)

    assert np.array_equal(clean, network)


@pytest.mark.parametrize("names", [("cat", "lion", "camera"), pytest.param((), marks=pytest.mark.long)])
@pytest.mark.parametrize(("preset", "quality"), FAST + GENTLE)
def test_steps_at_the_borders_of_blocks_are_at_most_8_percent_larger(with_fast_weights, preset, quality, names):
    engine, settings = Enhancer("cpu").engine, Settings(preset)
    if preset == "fast":  # As Auto selects it.
        settings = settings.changed(strength=0.5, fidelity=0.0, sharpen=0.0)
    photos = TUNING | REPORTED
    for name in names or {*photos} - {"page", "text"}:
        cases = moved_cases(reference_of(photos[name]), partial(as_jpeg, quality=quality))

        results = [result_of(one.image, engine.enlarge(one.degraded, settings.weights), settings) for one in cases]

        assert grid_steps(results, 32) < 1.08, name


@pytest.mark.parametrize(
    ("box", "width"), [(Box(16, 8, 96, 80), 150), (Box(29, 43, 91, 70), 150), (Box(400, 0, 256, 40), 1152)]
)
def test_a_part_equals_the_whole_away_from_its_border(tmp_path, box, width):
    """The widest image is processed in several tiles."""
    image = jpeg(tmp_path, np.tile(small(200), (1, 9, 1))[:, :width], 50)
    network = np.kron(image.rgb, np.ones((4, 4, 1), np.uint8))
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    whole = deblocked_rows(image)(0, 200)[rows, columns]
    photos = Scene().photo(image, FAITHFUL), Scene().photo(image.crop(box), FAITHFUL, box=box)
    piece = network[4 * box.top : 4 * rows.stop, 4 * box.left : 4 * columns.stop]
    clean = without_steps(lambda a, b: network[a:b], photos[0], 4, 1.0)(4 * rows.start, 4 * rows.stop)

    part = deblocked_rows(image.crop(box))(0, box.height)
    clean_part = without_steps(lambda a, b: piece[a:b], photos[1], 4, 1.0)(0, 4 * box.height)

    assert np.array_equal(part[8:-8, 8:-8], whole[8:-8, 8:-8])
    inside = np.s_[64:-64, 64:-64]
    assert np.array_equal(clean_part[inside], clean[:, 4 * box.left : 4 * columns.stop][inside])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (17, 8)])
def test_the_smallest_images(tmp_path, size):
    image = jpeg(tmp_path, np.full((*size, 3), (200, 90, 30), np.uint8), 50)

    clean = deblocked_rows(image)(0, size[0])

    assert np.abs(clean.astype(int) - image.rgb).max() <= 8


def test_a_grey_photo_stays_grey(tmp_path):
    image = jpeg(tmp_path, small()[..., 1], 50)
    assert (len(image.jpeg_table), image.jpeg_chroma_table) == (64, ())

    clean = deblocked_rows(image)(0, 128)

    assert steps(clean) < 1.03 < steps(image.rgb)
    assert np.ptp(clean, axis=2).max() <= 1


def test_the_tables_of_a_crafted_file_can_have_zeros(tmp_path):
    image = replace(jpeg(tmp_path, small(), 50), jpeg_table=(0,) * 64)

    assert np.abs(deblocked_rows(image)(0, 128).astype(int) - image.rgb)[..., 1].mean() < 4


def test_only_jpegs_with_visible_blocks_change(tmp_path):
    files = {"photo.png": {}, "clear.jpg": {"quality": 95}, "cmyk.jpg": {"quality": 50}}
    for name, options in files.items():
        Image.fromarray(small()).convert("CMYK" if name == "cmyk.jpg" else "RGB").save(tmp_path / name, **options)
        assert not has_blocks(read_image(tmp_path / name))
    assert not has_blocks(jpeg(tmp_path, small(), 50).downscale(2))
    assert has_blocks(jpeg(tmp_path, small(), 50).crop(Box(3, 3, 20, 20)))


@pytest.mark.parametrize("changes", [{"tuning": False}, {"strength": 1, "fidelity": 0}])
def test_the_output_of_the_network_alone_stays(tmp_path, changes):
    image = jpeg(tmp_path, small(), 40)
    network = np.kron(image.rgb, np.ones((4, 4, 1), np.uint8))

    assert np.array_equal(result_of(image, network, FAITHFUL.changed(**changes)), network)


def test_tuning_and_meter_remove_the_blocks_of_each_row_once(tmp_path, monkeypatch):
    image = jpeg(tmp_path, np.tile(small(), (9, 1, 1)), 75)
    network = np.kron(image.rgb, np.ones((4, 4, 1), np.uint8))
    computed, compute = [], deblocking._strip
    monkeypatch.setattr(deblocking, "_strip", lambda *given: computed.append(given[2]) or compute(*given))

    result = ResultRows(image, lambda a, b: network[a:b], FAITHFUL, Scene().photo(image, FAITHFUL, image.degradation))
    meter = result.meter()
    for first in range(0, result.size[0], 64):
        meter.add(result.rows(first, first + 64))

    assert computed == [*range(0, 1152, 64)]


def test_the_tables_follow_the_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright, turned = jpeg(tmp_path, small(), 50), jpeg(tmp_path, small(), 50, exif=exif)

    for one, other in (
        (upright.jpeg_table, turned.jpeg_table),
        (upright.jpeg_chroma_table, turned.jpeg_chroma_table),
    ):
        assert np.array_equal(np.reshape(one, (8, 8)), np.reshape(other, (8, 8)).T)
    assert upright.jpeg_table != turned.jpeg_table
    assert steps(deblocked_rows(turned)(0, 128)) < 1.03


@pytest.mark.parametrize("orientation", range(1, 9))
def test_blocks_and_steps_disappear_in_any_orientation(tmp_path, orientation):
    """A stored side of 203 or 149 px ends inside a block, where the upright photo can begin."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = cv2.resize(data.astronaut()[:298, :406], (203, 149), interpolation=cv2.INTER_AREA)
    image = jpeg(tmp_path, pixels, 40, exif=exif)
    top, left = image.first_block
    network = cv2.resize(image.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    photo = Scene().photo(image, FAITHFUL)

    clean = without_steps(lambda a, b: network[a:b], photo, 4, 1.0)(0, 4 * image.height)

    assert steps(image.rgb[top:, left:]) > 1.15
    assert 0.95 < steps(deblocked_rows(image)(0, image.height)[top:, left:]) < 1.03
    assert 0.9 < steps(clean[4 * top :, 4 * left :], 32) < 1 < 1.2 < steps(network[4 * top :, 4 * left :], 32)
    box = Box(29, 43, 91, 70)
    place = np.s_[4 * box.top : 4 * (box.top + box.height), 4 * box.left : 4 * (box.left + box.width)]
    part = without_steps(lambda a, b: network[place][a:b], Scene().photo(image.crop(box), FAITHFUL, box=box), 4, 1.0)
    # A coefficient midway between two quantisation steps can be rounded to either.
    assert np.abs(part(0, 280) - clean[place])[64:-64, 64:-64].max() <= 1


def test_a_preview_agrees_with_the_run(tmp_path):
    path = saved(tmp_path / "photo.jpg", small(256, 240), 40)
    enhancer = Enhancer("cpu", "fp32")

    preview = enhancer.preview(path, FAITHFUL, x=117, y=123, size=48)
    result = enhancer.run(path, FAITHFUL, preview=preview)

    assert (preview.region.cut.box.top, preview.region.cut.box.left) == (51, 45)
    assert (result.info["agreement_db"] or 0) > 80
