"""The tuning of the network's output."""

import cv2
import numpy as np
import pytest

from enhance.images import Box, Degradation
from enhance.output.fidelity import Photo
from enhance.output.resample import Cut, Grid, enlarge_rows
from enhance.output.tuning import Tuning
from enhance.settings import Settings


@pytest.fixture
def network(photo) -> np.ndarray:
    return cv2.resize(photo, (224, 160), interpolation=cv2.INTER_LANCZOS4)


def tune(photo, network, settings, first=0, last=None, noise=0.0):
    height, width = photo.shape[:2]
    seen = Photo(lambda a, b: photo[a:b], height, width, int(np.iinfo(photo.dtype).max), Degradation(noise))
    tuning = Tuning(lambda a, b: network[a:b], seen, settings, Grid.of(settings, height, width))
    return tuning.rows(first, tuning.grid.size[0] if last is None else last)


@pytest.mark.parametrize("preset", ["original", "anime"])
def test_neutral_settings_keep_the_networks_output(photo, network, preset):
    assert np.array_equal(tune(photo, network, Settings.from_preset(preset)), network)


def test_tuning_off_ignores_all_sliders(photo, network):
    loud = Settings("gentle", tuning=False, strength=0, fidelity=1, sharpen=1, saturation=2, contrast=1.5)

    assert np.array_equal(tune(photo, network, loud), network)


def test_saturation_0_is_grey_and_keeps_the_luma(photo, network):
    grey = tune(photo, network, Settings.from_preset("anime", saturation=0))

    assert np.ptp(grey, axis=2).max() <= 1
    luma = network @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(grey[..., 0] - luma).max() <= 1


def test_contrast_keeps_middle_grey(photo, network):
    weak = tune(photo, network, Settings.from_preset("anime", contrast=0.5))
    strong = tune(photo, network, Settings.from_preset("anime", contrast=1.5)).astype(int)
    middle = np.abs(network - 127.5) < 20

    assert np.abs(weak - (0.5 * (network - 127.5) + 127.5)).max() <= 0.51
    assert np.abs(strong - (1.5 * (network - 127.5) + 127.5))[middle].max() <= 1
    assert (strong >= network)[network > 127].all()
    assert (strong <= network)[network < 128].all()


@pytest.mark.parametrize("loud", [{"contrast": 1.5}, {"saturation": 2.0}, {"contrast": 1.2, "saturation": 1.3}])
def test_contrast_and_saturation_clip_no_further_values(network, loud):
    """Test colours of the whole cube in steps of 9 levels, and those next to its faces."""
    levels = np.unique(np.r_[0:256:9, 1, 2, 253, 254]).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    photo = np.zeros((len(levels), cube.shape[1], 3), np.uint8)
    cube = np.repeat(np.repeat(cube, 4, axis=0), 4, axis=1)

    result = tune(photo, cube, Settings.from_preset("anime", **loud))

    assert not np.any((result == 255) & (cube < 255))
    assert not np.any((result == 0) & (cube > 0))
    assert np.ptp(result.astype(int) - cube) > 10


def test_sharpen_changes_edges_and_no_flat_areas(photo, network):
    sharp = tune(photo, network, Settings.from_preset("anime", sharpen=0.5))
    even = np.full_like(network, 90)

    assert cv2.Laplacian(sharp, cv2.CV_32F).std() > 1.2 * cv2.Laplacian(network, cv2.CV_32F).std()
    assert np.array_equal(tune(np.full_like(photo, 90), even, Settings.from_preset("anime", sharpen=1)), even)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [4, 3, 2.3, 1])
def test_strips_give_the_pixels_of_the_whole(photo, network, dtype, scale):
    factor = np.iinfo(dtype).max // 255
    photo, network = (image.astype(dtype) * factor for image in (photo, network))
    settings = Settings("gentle", scale=scale, strength=0.7, fidelity=0.8, sharpen=0.8, saturation=1.3, contrast=1.1)

    whole = tune(photo, network, settings)
    height = whole.shape[0]
    strips = [tune(photo, network, settings, first, min(first + 7, height)) for first in range(0, height, 7)]

    assert whole.dtype == dtype
    assert whole.shape[:2] == (round(40 * scale), round(56 * scale))
    assert np.array_equal(np.concatenate(strips), whole)


def network_rows(network):
    return lambda first, last: network[first:last].astype(np.float32)


@pytest.mark.parametrize("side", [14, 97, 100, 223])
def test_downsampling_matches_opencvs_area_average(network, side):
    grid = Grid.of(Settings("gentle", long_side=side), 40, 56)
    expected = cv2.resize(network.astype(np.float32), grid.size[::-1], interpolation=cv2.INTER_AREA)

    np.testing.assert_allclose(grid.rows(network_rows(network), 0, grid.size[0]), expected, atol=0.01)


@pytest.mark.parametrize("size", [{"scale": 2.3}, {"long_side": 171}, {"megapixels": 0.01}, {"long_side": 30}, {}])
def test_a_part_has_the_pixels_of_the_whole(photo, network, size):
    whole, box = Grid.of(Settings("gentle", **size), 40, 56), Box(17, 11, 24, 20)
    part = Grid.of(Settings("gentle", **size), 20, 24, Cut(box, 40, 56))
    inner = Box(24, 17, 9, 8)

    of_part = part.rows(network_rows(network[44:124, 68:164]), 0, part.size[0])[part.window(inner)]

    assert np.array_equal(of_part, whole.rows(network_rows(network), 0, whole.size[0])[whole.window(inner)])


def test_upscaled_rows_match_opencvs_bicubic(photo):
    whole = cv2.resize(photo.astype(np.float32), (224, 160), interpolation=cv2.INTER_CUBIC)

    rows = enlarge_rows(lambda a, b: photo[a:b], 40, 4, 53, 91)

    np.testing.assert_allclose(rows, whole[53:91], atol=1e-3)
