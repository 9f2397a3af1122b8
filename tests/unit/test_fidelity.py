"""Strength and fidelity: the result keeps to the photo but not to its noise and blur."""

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.images import Degradation
from enhance.restore.fidelity import Photo, fidelity_grade
from enhance.restore.tuning import ResultRows
from enhance.settings import Settings
from enhance.size import Size
from tests.conftest import apart
from tests.quality.degradation import rounded

from .image_files import source_image

FAITHFUL = Settings.from_preset("anime", strength=0.65, fidelity=1)
RAW = Settings.from_preset("original")
NOISY = Degradation(noise=1.0)
RNG = np.random.default_rng(7)


def piece(height, width):
    return np.ascontiguousarray(data.astronaut()[60 : 60 + height, 160 : 160 + width])


def network_of(photo):
    """Return a stand-in for the network's output: sharper than the photo, with an error of tone."""
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4).astype(np.float32)
    large += 0.8 * (large - cv2.GaussianBlur(large, (0, 0), 3))
    large += 12 * np.sin(np.arange(large.shape[1]) / 40)[None, :, None]
    return rounded(large)


def photo_of(rgb, degradation):
    size = Size.of_shape(rgb.shape)
    levels = int(np.iinfo(rgb.dtype).max)
    return Photo(lambda first, last: rgb[first:last], size, levels, degradation)


def tune(photo, network, settings, degradation=NOISY):
    result = ResultRows(
        source_image(photo), lambda a, b: network[a:b], settings, photo_of(photo, degradation)
    )
    return result.rows(0, result.size.height)


def average(large):
    return large.astype(np.float64).reshape(large.shape[0] // 4, 4, -1, 4, 3).mean((1, 3))


def upscaled(photo):
    return cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def degrade(photo, blur, noise):
    soft = cv2.GaussianBlur(photo, (0, 0), blur) if blur else photo
    return rounded(soft + RNG.normal(0, noise, photo.shape))


def add_colour_noise(rgb):
    """Add the noise of a camera, which is correlated and differs between the channels."""
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, rgb.shape), (0, 0), 1)
    return rounded(rgb + 8 / noise.std() * noise)


# --- The result


def test_strength_and_fidelity_keep_the_result_close_to_the_photo():
    photo = piece(120, 100)
    network = network_of(photo)

    def error(degradation=NOISY, **values):
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
@pytest.mark.parametrize(("strength", "fidelity"), [(0.65, 1), (0.9, 0)])
def test_blocks_of_rows_do_not_show(strength, fidelity, degradation):
    photo = add_colour_noise(piece(300, 40))
    network = network_of(photo)
    settings = Settings.from_preset("anime", strength=strength, fidelity=fidelity)

    result = tune(photo, network, settings, degradation)
    # The blocks begin 20 rows further down.
    moved = tune(photo[20:], network[80:], settings, degradation)

    assert apart(result[280:], moved[200:]) <= 1


def test_an_image_smaller_than_the_filters():
    for height, width in ((1, 1), (1, 9), (13, 16)):
        photo = np.full((height, width, 3), 77, np.uint8)
        assert apart(tune(photo, upscaled(photo + 13), FAITHFUL), 77) <= 1


def test_16_bits_match_8_bits():
    photo = piece(48, 40)
    network = network_of(photo)

    deep = tune(photo.astype(np.uint16) * 257, network.astype(np.uint16) * 257, FAITHFUL)

    assert deep.dtype == np.uint16
    assert apart(deep / 257, tune(photo, network, FAITHFUL)) <= 0.51


def test_fidelity_does_not_add_noise():
    clean = np.full((64, 64, 3), 120) + np.arange(64)[None, :, None] / 2
    noisy = degrade(clean, 0, 8)
    network = upscaled(rounded(clean))

    rest = tune(noisy, network, FAITHFUL, source_image(noisy).degradation).astype(float) - network

    assert rest[16:-16, 16:-16].std() < 8 / 4


def test_colour_noise_is_removed_and_the_luma_remains():
    clean = piece(120, 120)
    noisy = add_colour_noise(clean)

    def result(colour_noise):
        degradation = Degradation(noise=1.0, colour_noise=colour_noise)
        return average(tune(noisy, upscaled(noisy), FAITHFUL, degradation))

    def chroma_error(pixels):
        error = pixels - clean
        return float((error - error.mean(2, keepdims=True)).std())

    cleaned = result(source_image(noisy).degradation.colour_noise)
    assert chroma_error(cleaned) < 0.7 * chroma_error(result(0))
    assert np.abs((cleaned - result(0)) @ [0.299, 0.587, 0.114]).mean() < 0.3


# --- The measured fidelity


def fidelity_of(photo, network, settings=RAW):
    image = source_image(photo)
    seen = photo_of(photo, image.degradation)
    result = ResultRows(image, lambda a, b: network[a:b], settings, seen)
    meter = result.meter()
    assert meter
    meter.add(result.rows(0, result.size.height))
    return meter.fidelity()


def grade_of(photo, network, settings=RAW):
    return fidelity_grade(fidelity_of(photo, network, settings).worst_db)


def write(pixels, text, x, y):
    cv2.putText(pixels, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 2, [0, 0, 0], 6, cv2.LINE_AA)


def page(text):
    """Return lines of digits that are small after averaging, uint8 [H, W, 3]."""
    pixels = np.full((640, 1280, 3), 255, np.uint8)
    for line in range(8):
        write(pixels, text if line == 4 else "4711 0815 2290", 48, 80 * line + 64)
    return pixels


def test_one_changed_digit_or_invented_detail_on_a_page_lowers_the_grade():
    right = page("1357 5555 0246")
    wrong = page("1357 5655 0246")
    invented = right.copy()
    write(invented, "6", 1150, 300)
    photo = average(right).astype(np.uint8)

    assert [grade_of(photo, one) for one in (right, wrong, invented)] == ["very", "free", "free"]
    column, row = fidelity_of(photo, wrong).worst_place or (0, 0)
    assert np.abs(average(right) - average(wrong))[row - 9 : row + 9, column - 9 : column + 9].any()


def test_a_lower_contrast_is_hardly_an_error():
    photo = piece(120, 120)

    assert grade_of(photo, rounded(110 + 0.8 * (upscaled(photo) - 110.0))) == "good"


def test_noise_lowers_the_grade_but_not_to_low():
    """Noise that was removed is no error, but it can hide one."""
    clean = piece(120, 120)

    assert grade_of(degrade(clean, 0, 6), upscaled(clean)) == "good"
    assert grade_of(degrade(clean, 0, 12), upscaled(clean)) == "fair"


@pytest.mark.parametrize("scale", [1, 1.7, 4])
def test_a_matching_result_has_high_fidelity_at_every_size(scale):
    photo = piece(120, 90)
    network = upscaled(photo)
    settings = RAW.changed(scale=scale)

    assert grade_of(photo, network, settings) != "free"
    assert grade_of(photo, np.roll(network, 40, axis=0), settings) == "free"


# --- The degradation of a photo


@pytest.fixture
def small():
    return cv2.resize(data.astronaut(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


def test_only_noise_that_differs_between_the_channels_is_colour_noise(small):
    grainy = rounded(small + RNG.normal(0, 8, small.shape[:2])[..., None])

    assert source_image(small).degradation.colour_noise < 0.3
    assert source_image(grainy).degradation.colour_noise < 0.3
    assert source_image(add_colour_noise(small)).degradation.colour_noise > 3


@pytest.mark.parametrize("sigma", [0, 2, 12])
def test_noise_is_measured(sigma):
    smooth = cv2.GaussianBlur(data.astronaut(), (0, 0), 3)
    grainy = rounded(smooth + RNG.normal(0, sigma, smooth.shape[:2])[..., None])

    noise = source_image(grainy).degradation.noise
    assert noise == pytest.approx(sigma, rel=0.1, abs=0.4)
    deep = source_image(grainy.astype(np.uint16) * 257)
    assert deep.degradation.noise == pytest.approx(noise, abs=0.05)


@pytest.mark.parametrize("noise", [0, 6])
def test_soft_and_sharp_images_are_distinguished(small, noise):
    assert source_image(degrade(small, 0, noise)).degradation.softness < 0.2
    assert source_image(degrade(small, 1.2, noise)).degradation.softness > 0.5
