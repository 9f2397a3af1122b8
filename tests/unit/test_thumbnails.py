"""Thumbnails for the screen and the report."""

import cv2
import numpy as np
import pytest

from enhance import Settings
from enhance.formats.thumbnails import Thumbnail, resize_for_screen
from enhance.restore.live_view import LiveView
from enhance.size import Size
from tests.conftest import psnr

from .image_files import source_image


def test_strips_give_a_thumbnail_of_the_whole(photo):
    large = cv2.resize(photo, (223, 161), interpolation=cv2.INTER_CUBIC)
    thumbnail = Thumbnail(Size(223, 161), 61)
    for first in range(0, 161, 24):
        thumbnail.add(large[first : first + 24])
    assert max(thumbnail.size) == 61
    assert psnr(thumbnail.pixels, resize_for_screen(large, thumbnail.size)) > 24


@pytest.mark.parametrize(
    ("height", "width", "half"), [(80, 60, (160, 240)), (60, 80, (240, 160))], ids=["high", "wide"]
)
def test_the_view_of_a_run_shows_the_result_and_the_photo_where_it_is_not_computed(
    height, width, half
):
    """The strips of a wide image arrive from left to right."""
    image = source_image(np.full((height, width, 3), 200, np.uint8))
    view = LiveView(image, Settings("gentle"))
    view.strip(np.full((*half, 3), 30, np.uint8))
    assert (view.pixels[0, 0] == 30).all()
    assert (view.pixels[-1, -1] == 100).all()
    assert view.share == 0.5
