"""The sliders on the network's output."""

import cv2
import numpy as np
import pytest
from PIL import Image

from enhance.output.resample import Resampler, enlarge_rows
from enhance.output.tuning import Tuning
from enhance.settings import Settings
from tests.conftest import psnr


@pytest.fixture
def network(photo) -> np.ndarray:
    return cv2.resize(photo, (224, 160), interpolation=cv2.INTER_LANCZOS4)


def tuned(photo, network, settings, first=0, last=None):
    levels = np.iinfo(photo.dtype).max
    tuning = Tuning(
        lambda a, b: network[a:b], lambda a, b: photo[a:b], photo.shape[0], photo.shape[1], levels, settings
    )
    return tuning.rows(first, tuning.size[0] if last is None else last)


@pytest.mark.parametrize("preset", ["original", "anime"])
def test_without_tuning_or_with_neutral_sliders_the_networks_output_is_untouched(photo, network, preset):
    assert np.array_equal(tuned(photo, network, Settings.from_preset(preset)), network)


def test_tuning_off_bypasses_every_slider(photo, network):
    loud = Settings(tuning=False, strength=0, sharpen=1, saturation=2, contrast=1.5)

    assert np.array_equal(tuned(photo, network, loud), network)


def test_strength_0_is_the_bicubic_enlargement(photo, network):
    plain = tuned(photo, network, Settings.from_preset("anime", strength=0))

    assert np.array_equal(plain, cv2.resize(photo, (224, 160), interpolation=cv2.INTER_CUBIC))


def test_strength_is_a_blend(photo, network):
    half = tuned(photo, network, Settings.from_preset("anime", strength=0.5))

    plain = cv2.resize(photo.astype(np.float32), (224, 160), interpolation=cv2.INTER_CUBIC)
    expected = (network.astype(np.float32) + plain) / 2
    assert np.abs(half - np.clip(expected, 0, 255)).max() <= 0.51


def test_saturation_0_is_grey_and_keeps_the_luma(photo, network):
    grey = tuned(photo, network, Settings.from_preset("anime", saturation=0))

    assert np.ptp(grey, axis=2).max() <= 1
    luma = network @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(grey[..., 0] - luma).max() <= 1


def test_contrast_turns_about_middle_grey(photo, network):
    strong = tuned(photo, network, Settings.from_preset("anime", contrast=1.5))

    assert np.abs(strong - np.clip(1.5 * (network - 127.5) + 127.5, 0, 255)).max() <= 0.51


def test_sharpen_strengthens_edges_and_leaves_even_areas(photo, network):
    sharp = tuned(photo, network, Settings.from_preset("anime", sharpen=0.5))
    even = np.full_like(network, 90)

    assert cv2.Laplacian(sharp, cv2.CV_32F).std() > 1.2 * cv2.Laplacian(network, cv2.CV_32F).std()
    assert np.array_equal(tuned(np.full_like(photo, 90), even, Settings.from_preset("anime", sharpen=1)), even)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [4, 3, 2.3, 1])
def test_strips_join_to_the_whole(photo, network, dtype, scale):
    factor = np.iinfo(dtype).max // 255
    photo, network = (picture.astype(dtype) * factor for picture in (photo, network))
    settings = Settings(scale=scale, strength=0.7, sharpen=0.8, saturation=1.3, contrast=1.1)

    whole = tuned(photo, network, settings)
    height = whole.shape[0]
    strips = [tuned(photo, network, settings, first, min(first + 7, height)) for first in range(0, height, 7)]

    assert whole.dtype == dtype
    assert whole.shape[:2] == (round(40 * scale), round(56 * scale))
    float_rounding = 1 if dtype == np.uint8 else 8
    assert np.abs(np.concatenate(strips).astype(int) - whole).max() <= float_rounding


def test_values_beyond_the_ends_are_cut_and_never_wrap(photo, network):
    loud = Settings(sharpen=1, saturation=2, contrast=1.5)
    network = np.where(network > 128, 255, 0).astype(np.uint8)

    result = tuned(photo, network, loud).astype(int)

    assert np.abs(result - network)[network == 255].max() < 255
    assert psnr(result, network) > 10


def test_the_way_down_matches_pillows_bicubic(network):
    expected = np.asarray(Image.fromarray(network).resize((97, 71), Image.Resampling.BICUBIC))

    rows = Resampler(160, 224, 71, 97).rows(lambda a, b: network[a:b].astype(np.float32), 0, 71)

    assert psnr(np.clip(rows, 0, 255), expected) > 50


def test_enlarged_rows_are_opencvs_bicubic(photo):
    whole = cv2.resize(photo.astype(np.float32), (224, 160), interpolation=cv2.INTER_CUBIC)

    rows = enlarge_rows(lambda a, b: photo[a:b], 40, 53, 91)

    np.testing.assert_allclose(rows, whole[53:91], atol=1e-3)


@pytest.mark.parametrize("scale", [1, 1.5, 4])
def test_one_pixel_is_enough(scale):
    pixel = np.full((1, 1, 3), 77, np.uint8)

    result = tuned(pixel, np.full((4, 4, 3), 77, np.uint8), Settings(scale=scale, saturation=1, contrast=1))

    assert (result == 77).all()
