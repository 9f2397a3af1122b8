"""Strength and fidelity: the result keeps to the photo but not to its noise and blur."""

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.images import Degradation
from enhance.restore.fidelity import AreaAverage, Fidelity, FidelityMeter, Photo, fidelity_grade
from enhance.restore.resample import Grid
from enhance.restore.result import ResultRows
from enhance.restore.tuning import Tuning
from enhance.settings import Settings
from tests.conftest import psnr

from .image_files import source_image

FAITHFUL = Settings.from_preset("anime", strength=0.65, fidelity=1)
RAW = Settings.from_preset("original")
NOISY = Degradation(noise=1.0)
RNG = np.random.default_rng(7)


def piece(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[60 : 60 + height, 160 : 160 + width])


def network_of(photo: np.ndarray) -> np.ndarray:
    """Return a stand-in for the network's output: sharper than the photo, with an error of tone."""
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4).astype(np.float32)
    large += 0.8 * (large - cv2.GaussianBlur(large, (0, 0), 3))
    large += 12 * np.sin(np.arange(large.shape[1]) / 40)[None, :, None]
    return np.clip(large, 0, levels_of(photo)).astype(photo.dtype)


def levels_of(photo: np.ndarray) -> int:
    return int(np.iinfo(photo.dtype).max)


def tuning_of(
    photo: np.ndarray, network: np.ndarray, settings: Settings, degradation: Degradation = NOISY
) -> Tuning:
    height, width = photo.shape[:2]
    seen = Photo(lambda a, b: photo[a:b], height, width, levels_of(photo), degradation)
    return Tuning(lambda a, b: network[a:b], seen, settings, Grid.of(settings, height, width))


def tune(
    photo: np.ndarray, network: np.ndarray, settings: Settings, degradation: Degradation = NOISY
) -> np.ndarray:
    return tuning_of(photo, network, settings, degradation).rows(0, len(network))


def average(large: np.ndarray) -> np.ndarray:
    return large.astype(np.float64).reshape(large.shape[0] // 4, 4, -1, 4, 3).mean((1, 3))


def test_strength_and_fidelity_keep_the_result_close_to_the_photo():
    photo = piece(120, 100)
    network = network_of(photo)

    def error(degradation: Degradation = NOISY, **values: float) -> float:
        settings = Settings.from_preset("anime", **values)
        return float(np.abs(average(tune(photo, network, settings, degradation)) - photo).mean())

    alone = error()
    assert error(strength=0.5) < 0.7 * alone
    assert error(fidelity=0.5) < 0.7 * alone
    assert error(fidelity=1) < 0.4 * alone
    assert error(strength=0) < 2
    # Detail that could be noise is not kept, and a soft photo is sharpened.
    assert error(Degradation(noise=8), strength=0) > 1.5 * error(strength=0)
    assert error(Degradation(softness=1), strength=0) > 1.5 * error(strength=0)


@pytest.mark.parametrize(
    "degradation", [Degradation(noise=6, colour_noise=4), Degradation(softness=0.7)]
)
@pytest.mark.parametrize(("strength", "fidelity"), [(0.65, 1), (0.9, 0), (0, 1)])
def test_blocks_of_rows_do_not_show(strength, fidelity, degradation):
    photo = add_colour_noise(piece(300, 40))
    network = network_of(photo)
    settings = Settings.from_preset("anime", strength=strength, fidelity=fidelity)

    whole = tuning_of(photo, network, settings, degradation)
    result = whole.rows(0, 1200)
    moved = tune(
        photo[20:], network[80:], settings, degradation
    )  # The blocks begin 20 rows further down.

    assert np.array_equal(whole.rows(1003, 1050), result[1003:1050])
    assert np.abs(result[280:].astype(int) - moved[200:]).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (13, 16)])
def test_an_image_smaller_than_the_filters(size):
    photo = np.full((*size, 3), 77, np.uint8)
    network = np.full((4 * size[0], 4 * size[1], 3), 90, np.uint8)

    assert np.abs(tune(photo, network, FAITHFUL).astype(int) - 77).max() <= 1


def test_16_bits_match_8_bits():
    photo = piece(48, 40)
    network = network_of(photo)
    fine = [pixels.astype(np.uint16) * 257 for pixels in (photo, network)]

    result = tune(fine[0], fine[1], FAITHFUL)

    assert result.dtype == np.uint16
    assert np.abs(result / 257 - tune(photo, network, FAITHFUL)).max() <= 0.51


def test_strength_1_and_fidelity_0_do_not_read_the_photo():
    photo = piece(20, 20)
    network = network_of(photo)
    settings = Settings.from_preset("anime")
    seen = Photo(None, 20, 20, 255)  # type: ignore[arg-type]
    untouched = Tuning(lambda a, b: network[a:b], seen, settings, Grid.of(settings, 20, 20))

    assert np.array_equal(untouched.rows(0, 80), network)


def test_fidelity_does_not_add_noise():
    clean = (
        np.full((64, 64, 3), 120, np.float32) + np.arange(64, dtype=np.float32)[None, :, None] / 2
    )
    noisy = np.clip(clean + RNG.normal(0, 8, clean.shape), 0, 255).astype(np.uint8)
    network = cv2.resize(clean, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    degradation = source_image(noisy).degradation

    result = tune(noisy, network, FAITHFUL, degradation)

    rest = result.astype(float) - network
    assert rest[16:-16, 16:-16].std() < 8 / 4
    assert abs(rest.mean()) < 1


def add_colour_noise(rgb: np.ndarray) -> np.ndarray:
    """Add the noise of a camera, which is correlated and differs between the channels."""
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, rgb.shape), (0, 0), 1)
    return np.clip(np.rint(rgb + 8 / noise.std() * noise), 0, 255).astype(np.uint8)


def test_colour_noise_is_removed_and_the_luma_remains():
    clean = piece(120, 120)
    noisy = add_colour_noise(clean)
    colour_noise = source_image(noisy).degradation.colour_noise

    with_noise, result = (
        average(tune(noisy, upscaled(noisy), FAITHFUL, Degradation(noise=1.0, colour_noise=one)))
        for one in (0, colour_noise)
    )

    def chroma_error(pixels: np.ndarray) -> float:
        error = pixels - clean
        return float((error - error.mean(2, keepdims=True)).std())

    assert chroma_error(result) < 0.7 * chroma_error(with_noise)
    weights = [0.299, 0.587, 0.114]
    assert np.abs(result @ weights - with_noise @ weights).mean() < 0.3


@pytest.mark.parametrize("photo", [data.astronaut, data.coffee, data.chelsea, data.rocket])
def test_only_noise_that_differs_between_the_channels_is_colour_noise(photo):
    small = cv2.resize(photo(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    grain = RNG.normal(0, 8, small.shape[:2])[..., None]
    grainy = np.clip(small + grain, 0, 255).astype(np.uint8)

    assert source_image(small).degradation.colour_noise < 0.3
    assert source_image(grainy).degradation.colour_noise < 0.3
    assert source_image(add_colour_noise(small)).degradation.colour_noise > 3


@pytest.mark.parametrize("small", [(75, 64), (97, 61), (300, 256), (1, 1)])
@pytest.mark.parametrize("step", [1, 64, 300])
def test_area_averages_do_not_depend_on_the_strips(small, step):
    photo = np.ascontiguousarray(data.astronaut()[:300, :256])
    average = AreaAverage((300, 256), small)

    rows = np.concatenate(
        [average.add(photo[first : first + step]) for first in range(0, 300, step)]
    )

    expected = cv2.resize(photo.astype(np.float32), small[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(rows, expected.reshape(rows.shape), atol=0.01)


def fidelity_of(photo: np.ndarray, network: np.ndarray, settings: Settings = RAW) -> Fidelity:
    image = source_image(photo)
    seen = tuning_of(photo, network, settings, image.degradation).photo
    result = ResultRows(image, lambda a, b: network[a:b], settings, seen)
    meter = result.meter()
    meter.add(result.rows(0, result.size[0]))
    return meter.fidelity()


def upscaled(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def test_the_fidelity_does_not_depend_on_the_strips():
    photo = piece(250, 40)
    network = network_of(photo)
    seen = tuning_of(photo, network, RAW).photo

    def measured(step: int) -> Fidelity:
        meter = FidelityMeter(seen, network.shape[:2], network.shape[:2])
        for first in range(0, 1000, step):
            meter.add(network[first : first + step])
        return meter.fidelity()

    whole = measured(1000)
    for step in (7, 64, 300):
        strips = measured(step)
        assert strips.worst_place == whole.worst_place
        assert strips.average_db == pytest.approx(whole.average_db, abs=0.02)
        assert strips.worst_db == pytest.approx(whole.worst_db, abs=0.02)


def page(text: str, paper: int = 255, ink: int = 0) -> np.ndarray:
    """Return lines of digits that are small after averaging, uint8 [H, W, 3]."""
    pixels = np.full((640, 1280, 3), paper, np.uint8)
    for line in range(8):
        shown = text if line == 4 else "4711 0815 2290"
        cv2.putText(
            pixels,
            shown,
            (48, 80 * line + 64),
            cv2.FONT_HERSHEY_SIMPLEX,
            2,
            [ink] * 3,
            6,
            cv2.LINE_AA,
        )
    return pixels


def test_one_changed_digit_or_invented_detail_on_a_page_lowers_the_grade():
    right, wrong = page("1357 5555 0246"), page("1357 5655 0246")
    invented = cv2.putText(
        right.copy(), "6", (1150, 300), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 6, cv2.LINE_AA
    )
    photo = average(right).astype(np.uint8)

    assert psnr(photo, average(wrong)) > 30
    grades = [fidelity_grade(fidelity_of(photo, one).worst_db) for one in (right, wrong, invented)]
    assert grades == ["very", "free", "free"]
    x, y = fidelity_of(photo, wrong).worst_place or (0, 0)
    changed = np.argwhere((average(right) != average(wrong)).any(axis=2))
    assert (changed.min(0) - 5 <= (y, x)).all()
    assert ((y, x) <= changed.max(0) + 5).all()


def test_the_worst_place_is_not_on_the_border_more_often_than_elsewhere():
    clean = cv2.resize(data.astronaut(), (240, 240), interpolation=cv2.INTER_AREA)
    noise = RNG.normal(0, 12, clean.shape)
    wrong = np.clip(clean + cv2.GaussianBlur(noise, (0, 0), 1) * 3, 0, 255).astype(np.uint8)

    distances = []
    for top in range(0, 240, 40):
        for left in range(0, 240, 40):
            part = np.s_[top : top + 40, left : left + 40]
            x, y = fidelity_of(
                np.ascontiguousarray(clean[part]), upscaled(wrong[part])
            ).worst_place or (0, 0)
            distances.append(min(x, y, 39 - x, 39 - y))

    # Nearly half of the pixels are that close to the border.
    assert np.mean(np.array(distances) < 5) < 0.5


def test_a_lower_contrast_is_hardly_an_error():
    photo = piece(120, 120)
    lower = np.rint(110 + 0.8 * (upscaled(photo).astype(float) - 110)).astype(np.uint8)

    assert fidelity_grade(fidelity_of(photo, lower).worst_db) == "good"


def test_a_digit_in_faint_print_counts_like_one_in_black():
    worst = []
    for ground in ((255, 0), (200, 160)):
        right, wrong = page("1357 5555 0246", *ground), page("1357 5655 0246", *ground)
        worst.append(fidelity_of(average(right).astype(np.uint8), wrong).worst_db)

    assert abs(worst[0] - worst[1]) < 2


@pytest.mark.parametrize(("noise", "grade"), [(6, "good"), (12, "fair")])
def test_noise_lowers_the_grade_but_not_to_low(noise, grade):
    """Noise that was removed is no error, but it can hide one."""
    clean = piece(120, 120)
    noisy = degrade(clean, 0, noise)

    assert fidelity_grade(fidelity_of(noisy, upscaled(clean)).worst_db) == grade


def test_a_matching_result_has_high_fidelity_at_every_size():
    photo = piece(120, 90)
    network = upscaled(photo)

    for scale in (1, 1.7, 2, 3, 4):
        assert (
            fidelity_grade(fidelity_of(photo, network, RAW.changed(scale=scale)).worst_db) != "free"
        )
    assert fidelity_grade(fidelity_of(photo, np.roll(network, 40, axis=0)).worst_db) == "free"
    assert fidelity_of(photo[:1, :1], network[:4, :4]).average_db > 30


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_is_measured(dtype):
    smooth, highest = (
        cv2.GaussianBlur(data.astronaut(), (0, 0), 3).astype(np.float32),
        np.iinfo(dtype).max,
    )
    for sigma in (0, 2, 12):
        grain = RNG.normal(0, sigma, smooth.shape[:2])[..., None]
        rgb = np.clip((smooth + grain) * (highest / 255), 0, highest).astype(dtype)
        assert source_image(rgb).degradation.noise == pytest.approx(sigma, rel=0.1, abs=0.4)


def degrade(photo: np.ndarray, blur: float, noise: float) -> np.ndarray:
    soft = cv2.GaussianBlur(photo, (0, 0), blur) if blur else photo
    return np.clip(soft + RNG.normal(0, noise, photo.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 6])
@pytest.mark.parametrize("photo", [data.astronaut, data.coffee, data.chelsea, data.rocket])
def test_soft_and_sharp_images_are_distinguished(photo, noise):
    small = cv2.resize(photo(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)

    assert source_image(degrade(small, 0, noise)).degradation.softness < 0.2
    assert source_image(degrade(small, 1.2, noise)).degradation.softness > 0.5
    blurred = cv2.GaussianBlur(small, (0, 0), 3)
    blurred[20:70, 30:80] = small[20:70, 30:80]
    assert source_image(blurred).degradation.softness < 0.2, (
        "a sharp subject on a blurred background is sharp"
    )
