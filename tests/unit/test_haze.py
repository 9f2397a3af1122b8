"""Haze: it is found on hazed photos and never on clear images, and its removal makes photos
clear."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import HAZY, find_haze
from enhance.restore.dehaze import remove_haze
from tests.conftest import apart, psnr
from tests.quality.degradation import rounded
from tests.quality.kind_images import DARK, page
from tests.quality.photos import PHOTOS

from .test_analysis import measure, photo

COLOUR = [load() for load in PHOTOS.values()]
AIRLIGHT = (228, 228, 228)


def add_haze(rgb, near, far, airlight=AIRLIGHT):
    """Return a photo with a veil that grows from the bottom (near) to the top (far)."""
    veil = np.linspace(far, near, len(rgb))[:, None, None]
    return rounded(rgb * (1 - veil) + np.array(airlight) * veil)


def dehaze(rgb, strength=1.0):
    return remove_haze(rgb, find_haze(rgb), strength)


# --- The analysis


@pytest.mark.parametrize(
    "rgb", [*COLOUR, data.rocket(), data.retina(), data.hubble_deep_field(), photo("camera")]
)
def test_a_clear_photo_has_no_haze_and_hardly_changes(rgb):
    assert measure(rgb).haze == 0
    assert find_haze(rgb).amount < HAZY
    assert psnr(dehaze(rgb), rgb) > 30


@pytest.mark.parametrize("rgb", [page(), page((215, 212, 205)), page(DARK), photo("brick")])
def test_pages_and_grey_photos_have_no_haze(rgb):
    assert measure(rgb).haze == measure(add_haze(rgb, 0.3, 0.3)).haze == 0


@pytest.mark.parametrize(("near", "far"), [(0.3, 0.3), (0.5, 0.7)])
def test_haze_of_30_percent_is_found(near, far):
    for rgb in COLOUR[::3]:
        assert measure(add_haze(rgb, near, far)).haze >= HAZY


# --- The removal


@pytest.fixture
def view():
    """A real photo under medium haze."""
    return add_haze(data.coffee(), 0, 0.6)


@pytest.mark.parametrize("airlight", [(204, 204, 204), (242, 230, 214)])
def test_dehazing_gains_at_least_5_db(airlight):
    for source in (data.coffee, data.astronaut, data.chelsea):
        clear = source()[::3, ::3]
        hazy = add_haze(clear, 0, 0.63, airlight)
        assert psnr(dehaze(hazy), clear) - psnr(hazy, clear) > 5


def test_a_bright_sky_stays_bright(view):
    sky = np.linspace(225, 240, 130)[:, None, None] + np.array([-8, 0, 8])
    view[:130] = rounded(np.broadcast_to(sky, view[:130].shape))

    assert find_haze(view).amount > HAZY
    assert apart(dehaze(view)[:110], view[:110]) <= 12


def test_unusual_sizes_work():
    for size in ((1, 1), (3, 20_000)):
        assert dehaze(np.full((*size, 3), 150, np.uint8)).shape == (*size, 3)


def test_16_bits_match_8_bits(view):
    deep = dehaze(view.astype(np.uint16) * 257)

    assert deep.dtype == np.uint16
    assert apart(deep / 257, dehaze(view)) < 1


def test_a_part_has_the_pixels_of_the_whole(view):
    part = remove_haze(view[123:260, 77:310], find_haze(view), 0.7, top=123, left=77)

    assert np.array_equal(part, dehaze(view, 0.7)[123:260, 77:310])
