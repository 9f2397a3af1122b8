"""Thumbnails and bicubic parts for the screen and the report."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.output.resample import Part, enlarge_part
from enhance.output.thumbnails import Thumbnail, resize_for_screen, save_for_screen, to_screen
from tests.conftest import psnr


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("limit", [30, 61, 100, 500])
def test_strips_give_a_thumbnail_of_the_whole(photo, columns, limit):
    large = cv2.resize(photo, (223, 161), interpolation=cv2.INTER_CUBIC)
    thumbnail = Thumbnail(161, 223, columns=columns, limit=limit)

    for first in range(0, 223 if columns else 161, 24):
        thumbnail.add(large[:, first : first + 24] if columns else large[first : first + 24])

    assert max(thumbnail.size) == min(limit, 223)
    assert psnr(thumbnail.pixels, resize_for_screen(large, thumbnail.size)) > 24


def test_all_channels_and_bit_depths_become_rgb_or_rgba():
    grey = np.full((4, 5), 300, np.uint16)

    assert to_screen(grey).shape == (4, 5, 3)
    assert to_screen(np.dstack([grey, grey])).shape == (4, 5, 4)
    assert to_screen(np.full((4, 5, 3), 65535, np.uint16)).max() == 255


def test_images_with_alpha_are_saved_as_png_others_as_jpeg(photo, tmp_path):
    opaque = save_for_screen(photo, tmp_path / "a")
    soft = save_for_screen(np.dstack([photo, photo[..., 0]]), tmp_path / "a")

    assert (Image.open(opaque).format, Image.open(soft).format) == ("JPEG", "PNG")
    assert psnr(np.asarray(Image.open(opaque)), photo) > 35


def cut_from(picture: np.ndarray) -> Part:
    return lambda rows, columns: picture[slice(*rows), slice(*columns)]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_upscaled_part_matches_the_upscaled_whole(scale):
    photo = np.ascontiguousarray(data.astronaut()[100:140, 200:260])
    size = 40 * scale, 60 * scale
    expected = cv2.resize(photo, size[::-1], interpolation=cv2.INTER_CUBIC)

    part = enlarge_part(cut_from(photo), (40, 60), size, (11, 31), (5, 35))

    # the affine map places pixels to 1/32 of one
    assert np.abs(part.astype(int) - expected[11:31, 5:35]).mean() < 0.6


@pytest.mark.parametrize("width", [36000, 36001], ids=["four-times", "any-ratio"])
def test_an_image_wider_than_16_bits_has_no_seam(width):
    ramp = np.tile(np.linspace(0, 255, 9000).astype(np.uint8), (3, 1))

    wide = enlarge_part(cut_from(ramp), (3, 9000), (12, width), (0, 12), (0, width))

    assert np.abs(np.diff(wide.astype(int), axis=1)).max() <= 1
    assert wide[0, -1] == 255
