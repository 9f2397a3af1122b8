"""The report's numbers, against other implementations, and against what they must be for pictures that are known."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhance.output.resample import Part, enlarge_part
from enhance.report.findings import BINS, Histogram, Sharpness, Wanted, choose_places, examine, psnr, ssim
from enhance.settings import Settings

from .report_runs import run_of, whole

WANTED = Wanted((300, 300), (60, 80))


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    """A photo and a worse copy, taller than a band of the SSIM."""
    photo = cv2.resize(data.camera(), (300, 700))
    return photo, cv2.GaussianBlur(photo, (0, 0), 1.2)


def test_ssim_is_that_of_wang_and_others(two):
    theirs = structural_similarity(*two, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)

    assert ssim(*two) == pytest.approx(theirs, abs=2e-5)


def test_psnr_is_that_of_others(two):
    assert psnr(*two) == pytest.approx(peak_signal_noise_ratio(*two), abs=1e-6)


def test_equal_pictures_are_perfectly_alike(two):
    assert psnr(two[0], two[0]) == math.inf
    assert ssim(two[0], two[0]) == pytest.approx(1)


def test_what_the_mask_hides_does_not_count(two):
    photo, worse = two
    seen = np.zeros(photo.shape, np.uint8)
    seen[:, :100] = 255
    spoilt = worse.copy()
    spoilt[:, 120:] = 0

    assert psnr(photo, spoilt, seen) == psnr(photo, worse, seen)
    assert ssim(photo, spoilt, seen) == pytest.approx(ssim(photo, worse, seen))
    assert psnr(photo, worse, np.zeros_like(seen)) is None
    assert ssim(photo, worse, np.zeros_like(seen)) is None


def test_sharpness_falls_with_blur_and_is_none_without_inner_pixels(two):
    values = []
    for picture in two:
        sharpness = Sharpness()
        for first in range(0, len(picture), 64):
            sharpness.add(picture[first : first + 64])
        values.append(sharpness.value)

    assert values[0] > 2 * values[1] > 0
    assert Sharpness().value is None


def test_sharpness_is_the_variance_of_the_laplacian(two):
    sharpness = Sharpness()
    sharpness.add(two[0])

    assert sharpness.value == pytest.approx(cv2.Laplacian(two[0], cv2.CV_64F)[1:-1, 1:-1].var())


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


def test_histograms_count_what_can_be_seen():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (255, 128, 0, 255)
    histogram = Histogram(grey=False)
    histogram.add(pixels)

    light, red, green, blue = histogram.shares
    assert [row.argmax() for row in (red, green, blue)] == [BINS - 1, BINS // 2, 0]
    assert light.sum() == pytest.approx(1)
    assert Histogram(grey=True).shares.shape == (1, BINS)


def test_the_places_are_the_most_detailed_the_most_even_and_the_middle():
    picture = np.full((200, 300), 120, np.uint8)
    picture[:60, 220:] = np.random.default_rng(0).integers(40, 200, (60, 80))  # detail in the upper right
    picture[60:140] = np.random.default_rng(1).integers(115, 125, (80, 300))  # a little noise, but
    picture[150:, :70] = 121  # nothing at all in the lower left

    detailed, even, middle = choose_places(picture, None, (800, 1200), (160, 200))

    assert detailed.left >= 880 - 120
    assert detailed.top <= 100
    assert even.top >= 560 - 60 or even.top + even.height <= 240 + 60
    assert (middle.left, middle.top) == (500, 320)


def test_black_borders_are_not_the_most_even_place():
    picture = np.random.default_rng(0).integers(100, 140, (200, 300)).astype(np.uint8)
    picture[:60] = 0

    _, even, _ = choose_places(picture, None, (200, 300), (40, 50))

    assert even.top >= 52


def test_what_is_transparent_is_no_place():
    picture = np.full((200, 300), 120, np.uint8)
    picture[:, 150:] = np.random.default_rng(0).integers(0, 255, (200, 150))
    alpha = np.full(picture.shape, 255, np.uint8)
    alpha[:, 160:] = 0

    detailed, even, _ = choose_places(picture, alpha, (200, 300), (40, 50))

    assert detailed.left + detailed.width <= 166
    assert even.left + even.width <= 166


def test_small_results_have_smaller_places_that_lie_inside():
    for height, width in ((1, 1), (2, 9), (64, 80), (16, 4000)):
        for place in choose_places(np.full((height, width), 90, np.uint8), None, (height, width), (300, 320)):
            assert 0 <= place.left <= place.left + place.width <= width
            assert 0 <= place.top <= place.top + place.height <= height
            assert place.width >= 1 <= place.height


@pytest.mark.parametrize("scale", [1.5, 4])
def test_the_places_are_the_results_own_pixels(tmp_path, scale):
    picture, result = run_of(tmp_path / "a.png", data.astronaut()[:120, 100:280], Settings(scale=scale))

    findings = examine(result, picture, WANTED)

    pixels = whole(result)
    for place, look in findings.places:
        rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
        assert np.abs(look.after.astype(int) - pixels[rows, columns]).max() <= 1  # strips may round otherwise
        assert look.before.shape == look.after.shape


def test_a_result_that_changed_nothing_is_found_equal_to_the_input(tmp_path):
    picture, result = run_of(tmp_path / "a.png", data.astronaut()[:120, 100:280])
    repeated = np.repeat(np.repeat(picture.rgb, 4, axis=0), 4, axis=1)
    same = replace(result, network=lambda first, last: repeated[first:last], settings=Settings.from_preset("original"))

    likeness = examine(same, picture, WANTED).likeness

    assert likeness.psnr == math.inf
    assert likeness.ssim == pytest.approx(1)
    assert (likeness.width, likeness.height) == (180, 120)


def test_the_sharper_result_is_measured_as_sharper(tmp_path):
    picture, result = run_of(tmp_path / "a.png", data.astronaut()[:120, 100:280])

    before, after = examine(result, picture, WANTED).sharpness

    assert before is not None
    assert after is not None
    assert after > 1.5 * before
