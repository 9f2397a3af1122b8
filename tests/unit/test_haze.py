"""Haze in the analysis: it is found on hazed photos, and never on clear photos, skies, pages and
grey images."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import HAZY
from tests.quality.photos import REPORTED, TUNING

from .test_analysis import measure, page, photo

COLOUR = {
    name: source
    for name, source in (TUNING | REPORTED).items()
    if np.ptp(source(), axis=2).max() > 60
}
CLEAR = {
    **COLOUR,
    **{name: lambda name=name: photo(name, 1) for name in ("coffee", "rocket", "retina")},
    "hubble": data.hubble_deep_field,
}
FEW = ("astronaut", "lion", "coffee", "rocket", "hubble")
"""Photos of the usual tests. `make long` tests all of them."""
LONG = pytest.mark.long
HEIGHT, WIDTH = 320, 480
DOWN = np.linspace(0, 1, HEIGHT)[:, None, None]


def fractal(seed: int, slope: float = 1.8) -> np.ndarray:
    """Return random clouds [H, W, 1], 0 to 1; the spectrum falls with `slope`."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH))
    frequency[0, 0] = np.inf
    clouds = np.fft.irfft2(
        np.exp(2j * np.pi * random.random(frequency.shape)) / frequency**slope, (HEIGHT, WIDTH)
    )
    return ((clouds - clouds.min()) / np.ptp(clouds))[..., None]


def mix(first: object, second: object, share: np.ndarray) -> np.ndarray:
    return np.asarray(first) * (1 - share) + np.asarray(second) * share


CLOUDS = np.clip(4 * (fractal(1) - 0.45), 0, 1)
SKIES = {
    "white": mix((244, 244, 244), (246, 246, 246), fractal(1)),
    "blue with clouds": mix(mix((60, 110, 200), (150, 190, 235), DOWN), (245, 245, 248), CLOUDS),
    "sunset with clouds": mix(mix((60, 60, 120), (255, 160, 70), DOWN), (255, 190, 140), CLOUDS),
    "milky": mix((150, 180, 215), (215, 225, 238), DOWN + 0 * CLOUDS),
    "snow": mix((170, 178, 195), (250, 250, 252), fractal(3, 1.4)),
    "sand": mix((170, 140, 100), (235, 210, 170), fractal(9, 1.0)),
    "sea": mix((30, 90, 120), (120, 170, 190), fractal(5, 1.2)),
}


def add_haze(
    rgb: np.ndarray, near: float, far: float, airlight: tuple[int, int, int] = (228, 228, 228)
) -> np.ndarray:
    veil = np.linspace(far, near, len(rgb))[:, None, None]
    return np.rint(mix(rgb, airlight, veil)).astype(np.uint8)


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=LONG) for name in CLEAR]
)
def test_clear_photos_have_no_haze(name):
    assert measure(CLEAR[name]()).haze == 0


@pytest.mark.parametrize("name", SKIES)
@pytest.mark.parametrize("ground", [0, 0.15, 0.35])
def test_skies_snow_sand_and_sea_have_no_haze(name, ground):
    land = mix((10, 14, 8), (110, 105, 70), fractal(7, 1.2))
    is_land = np.arange(HEIGHT)[:, None, None] >= (1 - ground) * HEIGHT
    image = np.where(is_land, land, SKIES[name]) + np.random.default_rng(2).normal(
        0, 0.8, land.shape
    )
    assert measure(np.clip(np.rint(image), 0, 255).astype(np.uint8)).haze == 0


@pytest.mark.parametrize("rgb", [page(), page((215, 212, 205)), page((25, 25, 30))])
def test_pages_have_no_haze(rgb):
    assert measure(rgb).haze == 0
    assert measure(add_haze(rgb, 0.3, 0.3)).haze == 0


@pytest.mark.parametrize("name", ["camera", "brick", "moon"])
def test_grey_photos_have_no_haze(name):
    assert measure(photo(name)).haze == 0
    assert measure(add_haze(photo(name), 0.3, 0.5)).haze == 0


@pytest.mark.parametrize("airlight", [(228, 228, 228), (200, 212, 228)])
def test_haze_of_30_percent_is_found(airlight):
    found = [
        measure(add_haze(source(), near, far, airlight)).haze
        for source in [*COLOUR.values()][::3]
        for near, far in ((0.3, 0.3), (0.5, 0.7))
    ]

    assert min(found) >= HAZY


def test_the_amount_is_close_to_the_veil():
    errors = [measure(add_haze(source(), 0.4, 0.4)).haze - 0.4 for source in COLOUR.values()]

    assert np.mean(np.abs(errors)) < 0.1
