"""Haze: it is found on hazed photos and never on clear images, and its removal makes photos
clear."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import HAZY, find_haze
from enhance.restore.dehaze import remove_haze
from tests.conftest import psnr
from tests.quality.degradation import rounded
from tests.quality.kind_images import DARK, page
from tests.quality.photos import PHOTOS

from .test_analysis import measure, photo

COLOUR = [load() for load in PHOTOS.values()]
HEIGHT = 320
WIDTH = 480
DOWN = np.linspace(0, 1, HEIGHT)[:, None, None]


def clouds(seed, size=6):
    """Return random clouds [H, W, 1], 0 to 1, of so many in height."""
    coarse = np.random.default_rng(seed).random((size, size * 3 // 2))
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1)[..., None]


def mix(first, second, share):
    return np.asarray(first) * (1 - share) + np.asarray(second) * share


CLOUDS = np.clip(4 * (clouds(1) - 0.45), 0, 1)
VIEWS = {
    "blue with clouds": mix(mix((60, 110, 200), (150, 190, 235), DOWN), (245, 245, 248), CLOUDS),
    "milky": mix((150, 180, 215), (215, 225, 238), DOWN + 0 * CLOUDS),
    "snow": mix((170, 178, 195), (250, 250, 252), clouds(3, 20)),
    "sand": mix((170, 140, 100), (235, 210, 170), clouds(9, 160)),
}
AIRLIGHT = (228, 228, 228)


def add_haze(rgb, near, far, airlight=AIRLIGHT):
    """Return a photo with a veil that grows from the bottom (near) to the top (far)."""
    return rounded(mix(rgb, airlight, np.linspace(far, near, len(rgb))[:, None, None]))


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


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("ground", [0, 0.35])
def test_skies_snow_and_sand_have_no_haze(name, ground):
    land = mix((10, 14, 8), (110, 105, 70), clouds(7, 80))
    is_land = np.arange(HEIGHT)[:, None, None] >= (1 - ground) * HEIGHT
    noise = np.random.default_rng(2).normal(0, 0.8, land.shape)

    assert measure(rounded(np.where(is_land, land, VIEWS[name]) + noise)).haze == 0


@pytest.mark.parametrize("rgb", [page(), page((215, 212, 205)), page(DARK), photo("brick")])
def test_pages_and_grey_photos_have_no_haze(rgb):
    assert measure(rgb).haze == measure(add_haze(rgb, 0.3, 0.3)).haze == 0


@pytest.mark.parametrize("airlight", [AIRLIGHT, (200, 212, 228)])
@pytest.mark.parametrize(("near", "far"), [(0.3, 0.3), (0.5, 0.7)])
def test_haze_of_30_percent_is_found(airlight, near, far):
    for rgb in COLOUR[::3]:
        assert measure(add_haze(rgb, near, far, airlight)).haze >= HAZY


def test_the_amount_is_close_to_the_veil_and_grows_with_it():
    errors = [measure(add_haze(rgb, 0.4, 0.4)).haze - 0.4 for rgb in COLOUR]
    amounts = [find_haze(add_haze(data.chelsea(), veil, veil)).amount for veil in (0, 0.3, 0.6)]

    assert np.mean(np.abs(errors)) < 0.1
    assert amounts == sorted(amounts)


# --- The removal


@pytest.fixture
def view():
    """A real photo under medium haze."""
    return add_haze(data.coffee(), 0, 0.6)


@pytest.mark.parametrize("airlight", [(204, 204, 204), (255, 255, 255), (242, 230, 214)])
def test_dehazing_gains_at_least_5_db(airlight):
    for source in (data.coffee, data.astronaut, data.chelsea):
        clear = source()[::3, ::3]
        hazy = add_haze(clear, 0, 0.63, airlight)
        assert psnr(dehaze(hazy), clear) - psnr(hazy, clear) > 5


@pytest.mark.parametrize("radius", [3, 45])
def test_a_lamp_or_a_white_wall_does_not_change_the_airlight(view, radius):
    before = find_haze(view).airlight
    cv2.circle(view, (180, 320), radius, (255, 255, 255), -1)

    assert abs(before.mean() - 228 / 255) < 0.05
    assert np.abs(find_haze(view).airlight - before).max() < 0.01


def test_a_bright_sky_stays_bright(view):
    sky = np.linspace(225, 240, 130)[:, None, None] + np.array([-8, 0, 8])
    view[:130] = rounded(np.broadcast_to(sky, view[:130].shape))

    assert find_haze(view).amount > HAZY
    assert np.abs(dehaze(view)[:110].astype(int) - view[:110]).max() <= 12


@pytest.mark.parametrize("size", [(1, 1), (3, 20_000)])
def test_unusual_sizes_work(size):
    image = np.random.default_rng(0).integers(100, 200, (*size, 3), dtype=np.uint8)

    assert dehaze(image).shape == image.shape


def test_16_bits_match_8_bits(view):
    deep = dehaze(view.astype(np.uint16) * 257)

    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - dehaze(view)).max() < 1
    assert len(np.unique(deep)) > 1000


def test_a_part_has_the_pixels_of_the_whole(view):
    part = remove_haze(view[123:260, 77:310], find_haze(view), 0.7, top=123, left=77)

    assert np.array_equal(part, dehaze(view, 0.7)[123:260, 77:310])
