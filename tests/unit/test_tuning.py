"""The tuning of the network's output, and results as rows on demand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.images import Box, Degradation, SourceImage, read_image
from enhance.restore.fidelity import Photo
from enhance.restore.resample import Cut, Grid
from enhance.restore.result import ResultRows, Scene
from enhance.restore.tuning import Tuning
from enhance.settings import Settings

from .image_files import source_image


@pytest.fixture
def network(photo) -> np.ndarray:
    return cv2.resize(photo, (224, 160), interpolation=cv2.INTER_LANCZOS4)


def tune(photo, network, settings):
    height, width = photo.shape[:2]
    seen = Photo(
        lambda a, b: photo[a:b], height, width, int(np.iinfo(photo.dtype).max), Degradation()
    )
    grid = Grid.of(settings, height, width)
    return Tuning(lambda a, b: network[a:b], seen, settings, grid).rows(0, grid.size[0])


def test_neutral_settings_and_tuning_off_keep_the_networks_output(photo, network):
    off = Settings(
        "gentle", tuning=False, strength=0, fidelity=1, sharpen=1, saturation=2, contrast=1.5
    )
    for settings in (off, Settings.from_preset("original"), Settings.from_preset("anime")):
        assert np.array_equal(tune(photo, network, settings), network)


def test_saturation_0_is_grey_and_keeps_the_luma(photo, network):
    grey = tune(photo, network, Settings.from_preset("anime", saturation=0))

    assert np.abs(grey - (network @ [0.2126, 0.7152, 0.0722])[..., None]).max() <= 1


@pytest.mark.parametrize("strong", [{"contrast": 1.5}, {"saturation": 2.0}])
def test_contrast_and_saturation_keep_middle_grey_and_clip_no_further_values(strong):
    """Test colours of the whole cube in steps of 9 levels, and those next to its faces."""
    levels = np.unique(np.r_[0:256:9, 1, 2, 253, 254]).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    photo = np.zeros((len(levels), cube.shape[1], 3), np.uint8)
    cube = np.repeat(np.repeat(cube, 4, axis=0), 4, axis=1)

    result = tune(photo, cube, Settings.from_preset("anime", **strong))

    assert not np.any((result == 255) & (cube < 255))
    assert not np.any((result == 0) & (cube > 0))
    assert np.ptp(result.astype(int) - cube) > 10
    even = np.ptp(cube, axis=2) == 0
    assert (np.abs(result[even] - 127.5) >= np.abs(cube[even] - 127.5)).all()


def test_sharpen_changes_edges_and_no_flat_areas(photo, network):
    sharp = tune(photo, network, Settings.from_preset("anime", sharpen=0.5))
    even = np.full_like(network, 90)

    assert cv2.Laplacian(sharp, cv2.CV_32F).std() > 1.2 * cv2.Laplacian(network, cv2.CV_32F).std()
    assert np.array_equal(
        tune(np.full_like(photo, 90), even, Settings.from_preset("anime", sharpen=1)), even
    )


def image_of(kind: str, tmp_path) -> SourceImage:
    """Return an image of more than two blocks of rows, uint8 or uint16 [540, 24, 3]."""
    part = data.astronaut()[60:330, 160:184]
    pixels = np.concatenate([part, 255 - part])
    if "JPEG" in kind:
        Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=50)
        return replace(
            read_image(tmp_path / "photo.jpg"),
            first_block=(5, 2) if kind == "shifted JPEG" else (0, 0),
        )
    pixels = pixels.astype(np.uint16) * 257 if kind == "16 bits" else pixels
    alpha = pixels[..., 1] | 1 if kind == "alpha" else None
    return source_image(pixels, alpha)


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "alpha", "JPEG", "shifted JPEG"])
@pytest.mark.parametrize("size", [{}, {"scale": 1.7}, {"reduce": 2}])
def test_rows_and_fidelity_do_not_depend_on_the_strips(tmp_path, kind, size):
    image = image_of(kind, tmp_path)
    settings = Settings(
        "gentle", strength=0.7, fidelity=0.8, sharpen=0.8, saturation=1.3, contrast=1.1, **size
    )
    seen = image.downscale(settings.reduce)
    network = cv2.resize(seen.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4)

    def result() -> ResultRows:
        return ResultRows(
            image,
            lambda a, b: network[a:b],
            settings,
            Scene().photo(seen, settings, seen.degradation),
        )

    whole, meters = result().rows(0, result().size[0]), (result().meter(), result().meter())
    height = len(whole)
    assert whole.shape == (*result().size, 3 if image.alpha is None else 4)
    assert whole.dtype == image.rgb.dtype
    strips, again = result(), result()
    parts = [strips.rows(first, min(first + 61, height)) for first in range(0, height, 61)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(again.rows(0, height), whole)
    end = round(height * 262 / 540)  # Behind a border between blocks.
    for first, last in ((0, 1), (end - 40, end), (height - 1, height)):
        assert np.array_equal(again.rows(first, last), whole[first:last])
    meters[0].add(whole)
    for part in parts:
        meters[1].add(part)
    assert meters[0].fidelity() == meters[1].fidelity()


def network_rows(network):
    return lambda first, last: network[first:last].astype(np.float32)


@pytest.mark.parametrize("side", [14, 97])
def test_downsampling_matches_opencvs_area_average(network, side):
    grid = Grid.of(Settings("gentle", long_side=side), 40, 56)
    expected = cv2.resize(network.astype(np.float32), grid.size[::-1], interpolation=cv2.INTER_AREA)

    np.testing.assert_allclose(
        grid.rows(network_rows(network), 0, grid.size[0]), expected, atol=0.01
    )


@pytest.mark.parametrize("size", [{"scale": 2.3}, {"long_side": 30}, {}])
def test_a_part_has_the_pixels_of_the_whole(network, size):
    whole, box = Grid.of(Settings("gentle", **size), 40, 56), Box(17, 11, 24, 20)
    part = Grid.of(Settings("gentle", **size), 20, 24, Cut(box, 40, 56))
    inner = Box(24, 17, 9, 8)

    of_part = part.rows(network_rows(network[44:124, 68:164]), 0, part.size[0])[part.window(inner)]

    assert np.array_equal(
        of_part, whole.rows(network_rows(network), 0, whole.size[0])[whole.window(inner)]
    )
