"""Strength and fidelity: the result keeps to the photo but not to its noise and blur."""

import cv2
import numpy as np
import pytest
from skimage import data

from enhance.images import Degradation
from enhance.restore.fidelity import AreaAverage, Fidelity, Photo, fidelity_grade
from enhance.restore.resample import Grid
from enhance.restore.result import ResultRows
from enhance.restore.tuning import Tuning
from enhance.settings import Settings
from tests.conftest import psnr
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


def photo_of(rgb, degradation) -> Photo:
    height, width, _ = rgb.shape
    levels = int(np.iinfo(rgb.dtype).max)
    return Photo(lambda first, last: rgb[first:last], height, width, levels, degradation)


def tune(photo, network, settings, degradation=NOISY):
    grid = Grid.of(settings, *photo.shape[:2])
    seen = photo_of(photo, degradation)
    return Tuning(lambda a, b: network[a:b], seen, settings, grid).rows(0, len(network))


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
@pytest.mark.parametrize(("strength", "fidelity"), [(0.65, 1), (0.9, 0), (0, 1)])
def test_blocks_of_rows_do_not_show(strength, fidelity, degradation):
    photo = add_colour_noise(piece(300, 40))
    network = network_of(photo)
    settings = Settings.from_preset("anime", strength=strength, fidelity=fidelity)

    result = tune(photo, network, settings, degradation)
    # The blocks begin 20 rows further down.
    moved = tune(photo[20:], network[80:], settings, degradation)

    assert np.abs(result[280:].astype(int) - moved[200:]).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 16)])
def test_an_image_smaller_than_the_filters(size):
    photo = np.full((*size, 3), 77, np.uint8)

    assert np.abs(tune(photo, upscaled(photo + 13), FAITHFUL).astype(int) - 77).max() <= 1


def test_16_bits_match_8_bits():
    photo = piece(48, 40)
    network = network_of(photo)

    deep = tune(photo.astype(np.uint16) * 257, network.astype(np.uint16) * 257, FAITHFUL)

    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - tune(photo, network, FAITHFUL)).max() <= 0.51


def test_fidelity_does_not_add_noise():
    clean = np.full((64, 64, 3), 120) + np.arange(64)[None, :, None] / 2
    noisy = degrade(clean, 0, 8)
    network = upscaled(rounded(clean))

    rest = tune(noisy, network, FAITHFUL, source_image(noisy).degradation).astype(float) - network

    assert rest[16:-16, 16:-16].std() < 8 / 4
    assert abs(rest.mean()) < 1


def test_colour_noise_is_removed_and_the_luma_remains():
    clean = piece(120, 120)
    noisy = add_colour_noise(clean)
    colour_noise = source_image(noisy).degradation.colour_noise

    with_noise, result = (
        average(tune(noisy, upscaled(noisy), FAITHFUL, Degradation(noise=1.0, colour_noise=one)))
        for one in (0, colour_noise)
    )

    def chroma_error(pixels):
        error = pixels - clean
        return float((error - error.mean(2, keepdims=True)).std())

    assert chroma_error(result) < 0.7 * chroma_error(with_noise)
    weights = [0.299, 0.587, 0.114]
    assert np.abs(result @ weights - with_noise @ weights).mean() < 0.3


@pytest.mark.parametrize("small", [(75, 64), (97, 61), (1, 1)])
@pytest.mark.parametrize("step", [1, 64, 300])
def test_area_averages_do_not_depend_on_the_strips(small, step):
    photo = piece(300, 256)
    average = AreaAverage((300, 256), small)

    strips = [average.add(photo[first : first + step]) for first in range(0, 300, step)]

    expected = cv2.resize(photo.astype(np.float32), small[::-1], interpolation=cv2.INTER_AREA)
    rows = np.concatenate(strips).reshape(expected.shape)
    np.testing.assert_allclose(rows, expected, atol=0.01)


# --- The measured fidelity


def fidelity_of(photo, network, settings=RAW) -> Fidelity:
    image = source_image(photo)
    seen = photo_of(photo, image.degradation)
    result = ResultRows(image, lambda a, b: network[a:b], settings, seen)
    meter = result.meter()
    meter.add(result.rows(0, result.size[0]))
    return meter.fidelity()


def grade_of(photo, network, settings=RAW):
    return fidelity_grade(fidelity_of(photo, network, settings).worst_db)


def write(pixels, text, x, y, ink):
    cv2.putText(pixels, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 2, [ink] * 3, 6, cv2.LINE_AA)


def page(text, paper=255, ink=0):
    """Return lines of digits that are small after averaging, uint8 [H, W, 3]."""
    pixels = np.full((640, 1280, 3), paper, np.uint8)
    for line in range(8):
        write(pixels, text if line == 4 else "4711 0815 2290", 48, 80 * line + 64, ink)
    return pixels


def test_one_changed_digit_or_invented_detail_on_a_page_lowers_the_grade():
    right = page("1357 5555 0246")
    wrong = page("1357 5655 0246")
    invented = right.copy()
    write(invented, "6", 1150, 300, 0)
    photo = average(right).astype(np.uint8)

    assert psnr(photo, average(wrong)) > 30
    assert [grade_of(photo, one) for one in (right, wrong, invented)] == ["very", "free", "free"]
    place = np.array(fidelity_of(photo, wrong).worst_place)[::-1]
    changed = np.argwhere((average(right) != average(wrong)).any(axis=2))
    assert (changed.min(0) - 5 <= place).all()
    assert (place <= changed.max(0) + 5).all()


def test_a_digit_in_faint_print_counts_like_one_in_black():
    worst = []
    for ground in ((255, 0), (200, 160)):
        right = page("1357 5555 0246", *ground)
        wrong = page("1357 5655 0246", *ground)
        worst.append(fidelity_of(average(right).astype(np.uint8), wrong).worst_db)

    assert abs(worst[0] - worst[1]) < 2


def test_a_lower_contrast_is_hardly_an_error():
    photo = piece(120, 120)

    assert grade_of(photo, rounded(110 + 0.8 * (upscaled(photo) - 110.0))) == "good"


@pytest.mark.parametrize(("noise", "grade"), [(6, "good"), (12, "fair")])
def test_noise_lowers_the_grade_but_not_to_low(noise, grade):
    """Noise that was removed is no error, but it can hide one."""
    clean = piece(120, 120)

    assert grade_of(degrade(clean, 0, noise), upscaled(clean)) == grade


@pytest.mark.parametrize("scale", [1, 1.7, 2, 4])
def test_a_matching_result_has_high_fidelity_at_every_size(scale):
    photo = piece(120, 90)
    network = upscaled(photo)
    settings = RAW.changed(scale=scale)

    assert grade_of(photo, network, settings) != "free"
    assert grade_of(photo, np.roll(network, 40, axis=0), settings) == "free"


# --- The degradation of a photo


@pytest.fixture(params=[data.astronaut, data.coffee])
def small(request):
    return cv2.resize(request.param(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


def test_only_noise_that_differs_between_the_channels_is_colour_noise(small):
    grainy = rounded(small + RNG.normal(0, 8, small.shape[:2])[..., None])

    assert source_image(small).degradation.colour_noise < 0.3
    assert source_image(grainy).degradation.colour_noise < 0.3
    assert source_image(add_colour_noise(small)).degradation.colour_noise > 3


@pytest.mark.parametrize("sigma", [0, 2, 12])
def test_noise_is_measured(sigma):
    smooth = cv2.GaussianBlur(data.astronaut(), (0, 0), 3)
    grainy = rounded(smooth + RNG.normal(0, sigma, smooth.shape[:2])[..., None])

    for pixels in (grainy, grainy.astype(np.uint16) * 257):
        noise = source_image(pixels).degradation.noise
        assert noise == pytest.approx(sigma, rel=0.1, abs=0.4)


@pytest.mark.parametrize("noise", [0, 6])
def test_soft_and_sharp_images_are_distinguished(small, noise):
    assert source_image(degrade(small, 0, noise)).degradation.softness < 0.2
    assert source_image(degrade(small, 1.2, noise)).degradation.softness > 0.5


def test_a_sharp_subject_on_a_blurred_background_is_sharp(small):
    blurred = cv2.GaussianBlur(small, (0, 0), 3)
    blurred[20:70, 30:80] = small[20:70, 30:80]

    assert source_image(blurred).degradation.softness < 0.2
