"""Haze removal: hazy photos become clear, and clear ones do not change."""

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import HAZY, find_haze
from enhance.restore.dehaze import remove_haze
from tests.conftest import psnr

AIRLIGHTS = {
    "grey": (0.8, 0.8, 0.8),
    "light": (0.9, 0.9, 0.9),
    "white": (1.0, 1.0, 1.0),
    "warm": (0.95, 0.9, 0.84),
}


def depth_map(kind: str, height: int, width: int) -> np.ndarray:
    """Return a smooth depth map, most of it from 0 (near) to about 1."""
    y, _ = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    if kind == "far above":
        return 1 - y
    noise = np.random.default_rng(7).standard_normal((height, width))
    hills = cv2.GaussianBlur(noise, (0, 0), min(height, width) / 6)
    return 0.2 + (hills - hills.min()) / (hills.max() - hills.min())


def add_haze(rgb: np.ndarray, depth: np.ndarray, airlight, density: float = 1.0) -> np.ndarray:
    """Return the photo with haze, by the model that dehazing inverts."""
    transmission = np.exp(-density * depth)[..., None]
    levels = np.iinfo(rgb.dtype).max
    light = rgb / levels * transmission + np.array(airlight) * (1 - transmission)
    return np.rint(np.clip(light, 0, 1) * levels).astype(rgb.dtype)


def dehaze(rgb: np.ndarray, strength: float = 1.0) -> np.ndarray:
    return remove_haze(rgb, find_haze(rgb), strength)


@pytest.fixture
def view() -> np.ndarray:
    """A real photo under medium haze."""
    photo = data.coffee()
    return add_haze(photo, depth_map("far above", *photo.shape[:2]), AIRLIGHTS["light"])


@pytest.mark.parametrize("photo", [data.astronaut(), data.rocket(), np.dstack([data.page()] * 3)])
def test_a_clear_image_does_not_change(photo):
    assert psnr(dehaze(photo), photo) > 40
    assert find_haze(photo).amount < HAZY


@pytest.mark.parametrize("kind", ["far above", "hills"])
@pytest.mark.parametrize("airlight", ["grey", "white", "warm"])
def test_dehazing_gains_10_db_on_average(kind, airlight):
    gains = []
    for source in (data.coffee, data.astronaut, data.chelsea):
        photo = source()[::3, ::3]
        view = add_haze(photo, depth_map(kind, *photo.shape[:2]), AIRLIGHTS[airlight])
        gains.append(psnr(dehaze(view), photo) - psnr(view, photo))

    assert np.mean(gains) > 8
    assert min(gains) > 5


def test_the_amount_grows_with_the_haze():
    photo = data.chelsea()
    depth = depth_map("hills", *photo.shape[:2])

    amounts = [
        find_haze(add_haze(photo, depth, AIRLIGHTS["light"], density)).amount
        for density in (0, 0.4, 0.8, 1.6, 3.2)
    ]

    assert amounts == sorted(amounts)
    assert amounts[0] < HAZY < amounts[1]
    assert amounts[-1] < 1


@pytest.mark.parametrize("radius", [3, 45])
def test_a_lamp_or_a_white_wall_does_not_change_the_airlight(radius):
    photo = data.coffee()
    view = add_haze(photo, depth_map("far above", *photo.shape[:2]), AIRLIGHTS["grey"])
    before = find_haze(view).airlight
    cv2.circle(view, (180, 320), radius, (255, 255, 255), -1)

    assert abs(before.mean() - 0.8) < 0.05
    assert np.abs(find_haze(view).airlight - before).max() < 0.01


def test_a_bright_sky_stays_bright():
    photo = data.coffee()
    depth = depth_map("far above", *photo.shape[:2])
    depth[:130] = 4
    sky = np.linspace(225, 240, 130)[:, None, None] + np.array([-8, 0, 8])
    view = add_haze(photo, depth, (0.92, 0.93, 0.95))
    view[:130] = np.rint(sky + np.zeros((130, photo.shape[1], 3)))

    result = dehaze(view)

    assert find_haze(view).amount > HAZY
    assert np.abs(result[:110].astype(int) - view[:110]).max() <= 12


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
