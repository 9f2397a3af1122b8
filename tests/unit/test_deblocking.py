"""JPEG blocks do not reach the result through the share of the photo."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Settings
from enhance.images import Box
from enhance.images.worker import read_image
from enhance.restore.deblocking import deblocked_rows, has_blocks, without_steps
from enhance.restore.result import Scene
from tests.conftest import agreement, psnr

from .blocks import block_steps as steps
from .image_files import FILES

FAITHFUL = Settings.from_preset("anime-fast", strength=0.6, fidelity=1)


def small(height=128, width=128):
    """Return a photo that was never compressed, uint8 [height, width, 3]."""
    photo = cv2.resize(data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    return np.tile(photo, (2, 2, 1))[:height, :width]


def jpeg(folder, rgb, quality, **options):
    Image.fromarray(rgb).save(folder / "photo.jpg", quality=quality, **options)
    return read_image(folder / "photo.jpg")


def enlarged(rgb):
    """Return the output of a network that keeps the blocks."""
    return cv2.resize(rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def deblocked(image):
    return deblocked_rows(image)(0, image.height)


def without_its_steps(image, network, box=None):
    photo = Scene().photo(image, FAITHFUL, box=box)
    return without_steps(lambda a, b: network[a:b], photo, 4, 1.0)(0, 4 * image.height)


# --- The blocks disappear


@pytest.mark.parametrize("quality", [40, 75])
def test_the_blocks_disappear_and_the_photo_stays(tmp_path, quality):
    image = jpeg(tmp_path, small(), quality)

    clean = deblocked(image)

    assert steps(image.rgb) > 1.08
    assert 0.95 < steps(clean) < 1.03
    assert psnr(clean, small()) > psnr(image.rgb, small()) + 0.1


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
    assert 0.95 < steps(deblocked(image)[top:, left:]) < 1.03
    assert 0.9 < steps(clean[4 * top :, 4 * left :], 32) < 1


# --- Everything else stays


def test_edges_on_the_grid_stay_if_the_photo_has_no_blocks_there(tmp_path):
    network = np.full((512, 512, 3), 90, np.uint8)
    network[:256] += 60
    flat = jpeg(tmp_path, np.full((128, 128, 3), 90, np.uint8), 40)

    assert np.array_equal(without_its_steps(flat, network), network)


def test_a_part_of_a_jpeg_has_blocks_but_no_downscaled_cmyk_or_png_image(tmp_path):
    image = jpeg(tmp_path, small(), 50)
    assert has_blocks(image.crop(Box(3, 3, 20, 20)))
    assert not has_blocks(image.downscale(2))

    Image.fromarray(small()).save(tmp_path / "a.png")
    Image.fromarray(small()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=50)
    for file in ("a.png", "cmyk.jpg"):
        assert not has_blocks(read_image(tmp_path / file)), file


def test_of_tables_between_the_scans_only_the_first_is_used():
    """The file has `small` at quality 50, with each component in a scan after its table."""
    image = read_image(FILES / "scans.jpg")

    assert len(image.jpeg_tables) == 1
    assert psnr(deblocked(image), small()) > psnr(image.rgb, small())


@pytest.mark.parametrize("size", [(1, 1), (128, 128)])
def test_the_tables_of_a_crafted_file_of_any_size_can_have_zeros(tmp_path, size):
    image = replace(jpeg(tmp_path, small(*size), 50), jpeg_tables=((0,) * 64, (0,) * 64))

    assert np.abs(deblocked(image).astype(int) - image.rgb).mean() < 6


# --- A part equals the whole


def test_a_part_equals_the_whole_away_from_its_border(tmp_path):
    """The image is processed in several tiles."""
    image = jpeg(tmp_path, np.tile(small(200), (1, 9, 1)), 50)
    network = enlarged(image.rgb)
    box = Box(429, 43, 256, 70)
    crop = image.crop(box)
    photo = np.s_[43:113, 429:685]
    result = np.s_[172:452, 1716:2740]  # 4x

    clean = without_its_steps(crop, network[result], box)

    assert np.array_equal(deblocked(crop)[8:-8, 8:-8], deblocked(image)[photo][8:-8, 8:-8])
    whole = without_its_steps(image, network)[result]
    assert np.array_equal(clean[64:-64, 64:-64], whole[64:-64, 64:-64])


def test_a_preview_agrees_with_the_run(enhancer, tmp_path):
    jpeg(tmp_path, small(256, 240), 40)

    preview = enhancer.preview(tmp_path / "photo.jpg", FAITHFUL, x=117, y=123, size=48)
    result = enhancer.run(tmp_path / "photo.jpg", FAITHFUL)

    box = preview.region.rows.grid.cut.box
    assert (box.top, box.left) == (51, 45)
    assert agreement(preview, result) > 80
