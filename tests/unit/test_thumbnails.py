"""Thumbnails for the screen and the report."""

import cv2
import numpy as np
import pytest

from enhance.output.thumbnails import Thumbnail, most_detailed_point, resize_for_screen
from tests.conftest import psnr


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("limit", [61, 500])
def test_strips_give_a_thumbnail_of_the_whole(photo, columns, limit):
    large = cv2.resize(photo, (223, 161), interpolation=cv2.INTER_CUBIC)
    thumbnail = Thumbnail(161, 223, columns=columns, limit=limit)

    for first in range(0, 223 if columns else 161, 24):
        thumbnail.add(large[:, first : first + 24] if columns else large[first : first + 24])

    assert max(thumbnail.size) == min(limit, 223)
    assert psnr(thumbnail.pixels, resize_for_screen(large, thumbnail.size)) > 24


def test_the_most_detailed_point_is_in_the_detailed_part(photo):
    image = np.full((300, 400, 3), 128, np.uint8)
    image[180:240, 60:120] = cv2.resize(photo, (60, 60))
    x, y = most_detailed_point(image)
    assert 60 <= 400 * x <= 120
    assert 180 <= 300 * y <= 240
    assert most_detailed_point(image[:1, :1]) == (0.5, 0.5)
