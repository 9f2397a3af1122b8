"""The small picture that a browser is given."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.output.resample import Part, enlarge_part
from enhance.output.thumbnails import Thumbnail, reduce, save_for_screen, to_screen
from tests.conftest import psnr


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("limit", [30, 61, 100, 500])
def test_strips_become_the_whole_picture_in_small(photo, columns, limit):
    large = cv2.resize(photo, (223, 161), interpolation=cv2.INTER_CUBIC)
    rendition = Thumbnail(161, 223, columns=columns, limit=limit)

    for first in range(0, 223 if columns else 161, 24):
        rendition.add(large[:, first : first + 24] if columns else large[first : first + 24])

    assert max(rendition.size) == min(limit, 223)
    assert psnr(rendition.pixels, reduce(large, rendition.size)) > 24


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("small", [(75, 64), (100, 100), (97, 61), (300, 256), (1, 1)])
@pytest.mark.parametrize("step", [1, 7, 64, 300])
def test_an_exact_rendition_averages_strips_like_the_whole(small, step, dtype, columns):
    photo = np.ascontiguousarray(data.astronaut()[:300, :256])
    large = photo.astype(dtype) * (np.iinfo(dtype).max // 255)
    rendition = Thumbnail(300, 256, columns=columns, size=small, exact=True)
    for first in range(0, 256 if columns else 300, step):
        last = first + step
        rendition.add(large[:, first:last] if columns else large[first:last])

    expected = cv2.resize(photo.astype(np.float32), (small[1], small[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(rendition.pixels - expected.reshape(rendition.pixels.shape)).max() <= 0.51


def test_any_kind_of_pixels_comes_to_the_screen():
    grey = np.full((4, 5), 300, np.uint16)

    assert to_screen(grey).shape == (4, 5, 3)
    assert to_screen(np.dstack([grey, grey])).shape == (4, 5, 4)
    assert to_screen(np.full((4, 5, 3), 65535, np.uint16)).max() == 255


def test_what_has_alpha_is_saved_as_png_and_the_rest_as_jpeg(photo, tmp_path):
    opaque = save_for_screen(photo, tmp_path / "a")
    soft = save_for_screen(np.dstack([photo, photo[..., 0]]), tmp_path / "a")

    assert (Image.open(opaque).format, Image.open(soft).format) == ("JPEG", "PNG")
    assert psnr(np.asarray(Image.open(opaque)), photo) > 35


def cut_from(picture: np.ndarray) -> Part:
    return lambda rows, columns: picture[slice(*rows), slice(*columns)]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_part_of_the_enlargement_is_that_part_of_the_whole(scale):
    photo = np.ascontiguousarray(data.astronaut()[100:140, 200:260])
    size = 40 * scale, 60 * scale
    expected = cv2.resize(photo, size[::-1], interpolation=cv2.INTER_CUBIC)

    part = enlarge_part(cut_from(photo), (40, 60), size, (11, 31), (5, 35))

    # the affine map places pixels to 1/32 of one
    assert np.abs(part.astype(int) - expected[11:31, 5:35]).mean() < 0.6


@pytest.mark.parametrize("width", [36000, 36001], ids=["four-times", "any-ratio"])
def test_an_enlargement_wider_than_sixteen_bits_count_has_no_seam(width):
    ramp = np.tile(np.linspace(0, 255, 9000).astype(np.uint8), (3, 1))

    wide = enlarge_part(cut_from(ramp), (3, 9000), (12, width), (0, 12), (0, width))

    assert np.abs(np.diff(wide.astype(int), axis=1)).max() <= 1
    assert wide[0, -1] == 255
