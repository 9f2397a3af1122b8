"""The tuning of the network's output, and results as rows on demand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.images import Box, read_image
from enhance.restore.resample import Cut, Grid
from enhance.restore.result import Scene
from enhance.restore.tuning import ResultRows
from enhance.settings import NEUTRAL, RANGES, Settings
from enhance.size import Size

from .image_files import source_image
from .test_fidelity import tune

SLIDERS = {name: 0.75 * RANGES[name][1] for name in NEUTRAL}
"""Each slider of the tuning at a value that changes the result."""


@pytest.fixture
def network(photo):
    return cv2.resize(photo, (224, 160), interpolation=cv2.INTER_LANCZOS4)


def test_neutral_settings_and_tuning_off_keep_the_networks_output(photo, network):
    for settings in (
        Settings("gentle", tuning=False).changed(**SLIDERS),
        Settings.from_preset("original"),
        Settings.from_preset("anime"),
    ):
        assert np.array_equal(tune(photo, network, settings), network)


@pytest.mark.parametrize("strong", [{"contrast": 1.5}, {"saturation": 2.0}])
def test_contrast_and_saturation_clip_no_further_values(strong):
    """Test colours of the whole cube in steps of 15 levels."""
    cube = 15 * np.indices((18, 18, 18), np.uint8).reshape(3, 18, -1).transpose(1, 2, 0)
    network = np.kron(cube, np.ones((4, 4, 1), np.uint8))

    result = tune(cube, network, Settings.from_preset("anime", **strong))

    assert not np.any((result == 255) & (network < 255))
    assert not np.any((result == 0) & (network > 0))
    assert np.ptp(result.astype(int) - network) > 10


def image_of(kind, tmp_path):
    """Return an image of more than two blocks of rows, uint8 or uint16 [540, 24, 3]."""
    part = data.astronaut()[60:330, 160:184]
    pixels = np.concatenate([part, 255 - part])
    if kind == "JPEG":
        Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=50)
        return replace(read_image(tmp_path / "photo.jpg"), first_block=(5, 2))
    if kind == "16 bits":
        pixels = pixels.astype(np.uint16) * 257
    return source_image(pixels, pixels[..., 1] | 1)


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "JPEG"])
@pytest.mark.parametrize("size", [{}, {"scale": 1.7}, {"reduce": 2}])
def test_rows_and_fidelity_do_not_depend_on_the_strips(tmp_path, kind, size):
    image = image_of(kind, tmp_path)
    settings = Settings("gentle", **SLIDERS, **size)
    seen = image.downscale(settings.reduce)
    network = cv2.resize(seen.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4)

    def result():
        photo = Scene().photo(seen, settings, seen.degradation)
        return ResultRows(image, lambda a, b: network[a:b], settings, photo)

    def fidelity(parts):
        meter = result().meter()
        assert meter
        for part in parts:
            meter.add(part)
        return meter.fidelity()

    height = result().size.height
    whole = result().rows(0, height)
    in_turn = result()
    parts = [in_turn.rows(first, min(first + 61, height)) for first in range(0, height, 61)]

    assert whole.dtype == image.rgb.dtype
    assert np.array_equal(np.concatenate(parts), whole)
    assert fidelity(parts) == fidelity([whole])
    assert np.array_equal(in_turn.rows(height // 2, height - 9), whole[height // 2 : height - 9])


# --- Sizes


def resized(grid, network):
    height = grid.size.height
    return grid.rows(lambda first, last: network[first:last].astype(np.float32), 0, height)


def test_downsampling_matches_opencvs_area_average(network):
    grid = Grid.of(Settings("gentle", long_side=97), Cut.whole(Size(56, 40)))
    expected = cv2.resize(network.astype(np.float32), grid.size, interpolation=cv2.INTER_AREA)

    np.testing.assert_allclose(resized(grid, network), expected, atol=0.01)


@pytest.mark.parametrize("size", [{"scale": 2.3}, {"long_side": 30}, {}])
def test_a_part_has_the_pixels_of_the_whole(network, size):
    settings = Settings("gentle", **size)
    whole = Grid.of(settings, Cut.whole(Size(56, 40)))
    part = Grid.of(settings, Cut(Box(17, 11, 24, 20), Size(56, 40)))
    inner = Box(24, 17, 9, 8)

    of_part = resized(part, network[44:124, 68:164])[part.window(inner)]

    assert np.array_equal(of_part, resized(whole, network)[whole.window(inner)])
