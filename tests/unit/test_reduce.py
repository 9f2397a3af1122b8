"""The setting `reduce`: the photo is averaged down before the network, and the result's size counts
from the photo."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from enhance import PRESETS, Settings
from tests.conftest import agreement, psnr
from tests.site import photo as piece

from .image_files import source_image

FAST = Settings.from_preset("anime-fast", strength=0.65, fidelity=1, sharpen=0.2, saturation=1.2)

pytestmark = pytest.mark.usefixtures("fresh_store")


def test_a_reduced_image_is_the_mean_of_its_blocks():
    rgb = np.random.default_rng(4).integers(0, 65_536, (25, 35, 3), np.uint16)
    reduced = source_image(rgb).downscale(3).rgb
    assert reduced.dtype == np.uint16
    mean = rgb[:24, :33].reshape(8, 3, 11, 3, 3).mean((1, 3))
    assert np.abs(reduced[:8, :11] - mean).max() < 0.501
    assert np.abs(reduced[8, 11] - rgb[24:, 33:].mean((0, 1))).max() < 0.501


def test_the_result_equals_the_result_of_the_averages(enhancer):
    photo = piece(96, 84)
    reduced = enhancer.run(photo, FAST.changed(reduce=3, scale=4 / 3))
    expected = enhancer.run(source_image(photo).downscale(3).rgb, FAST.changed(scale=4))
    assert np.array_equal(reduced.array, expected.array)
    assert reduced.info["fidelity_db"] == expected.info["fidelity_db"]


@pytest.mark.parametrize(("reduce", "scale", "scene"), [(2, 2, "dehaze"), (3, 1, None)])
def test_preview_and_run_agree_in_any_region(enhancer, monkeypatch, reduce, scale, scene):
    monkeypatch.setitem(PRESETS, "anime-fast", replace(PRESETS["anime-fast"], scene=scene))
    height, width = 125 * reduce - 1, 112 * reduce + 1
    photo = np.tile(data.astronaut()[30:330, 60:390] // 2 + 110, (2, 2, 1))[:height, :width]
    settings = FAST.changed(reduce=reduce, scale=scale)

    preview = enhancer.preview(photo, settings, x=61, y=47, size=50)
    result = enhancer.run(photo, settings)

    side = 50 * scale
    assert preview.after.shape == (side, side, 3)
    assert agreement(preview, result) > 50
    at_the_border = enhancer.preview(photo, settings, x=width, y=height, size=50)
    assert psnr(at_the_border.after, result.array[-side:, -side:]) > 50
