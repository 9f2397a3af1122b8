"""The setting `reduce`: the photo is averaged down before the network, and the result's size counts
from the photo."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import PRESETS, Settings
from tests.conftest import agreement, psnr
from tests.site import photo as piece

from .image_files import source_image

FAST = Settings.from_preset("anime-fast", strength=0.65, fidelity=1, sharpen=0.2, saturation=1.2)

pytestmark = pytest.mark.usefixtures("fresh_store")


def save(path, pixels: np.ndarray):
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("size", [(25, 35), (1, 7)])
def test_a_reduced_image_is_the_mean_of_its_blocks(size):
    rgb = np.random.default_rng(4).integers(0, 65_536, (*size, 3), np.uint16)
    means = [
        [rgb[y : y + 3, x : x + 3].mean((0, 1)) for x in range(0, size[1], 3)]
        for y in range(0, size[0], 3)
    ]

    reduced = source_image(rgb).downscale(3)

    assert reduced.rgb.dtype == np.uint16
    assert np.abs(reduced.rgb - np.array(means)).max() < 0.501


def test_the_result_equals_the_result_of_the_averages(enhancer, tmp_path):
    photo = piece(96, 84)
    small = save(tmp_path / "small.png", source_image(photo).downscale(3).rgb)

    reduced = enhancer.run(save(tmp_path / "photo.png", photo), FAST.changed(reduce=3, scale=4 / 3))
    expected = enhancer.run(small, FAST.changed(scale=4))

    assert np.array_equal(reduced.array, expected.array)
    assert reduced.info["fidelity_db"] == expected.info["fidelity_db"]


def test_the_area_with_the_lowest_fidelity_is_inside_the_image(enhancer, tmp_path):
    path = save(tmp_path / "small.png", piece(1, 1))
    assert enhancer.run(path, FAST.changed(reduce=4)).info["fidelity_worst_place"] == [0, 0]


@pytest.mark.parametrize(("reduce", "scale", "scene"), [(2, 2, "dehaze"), (3, 1, None)])
def test_preview_and_run_agree_in_any_region(enhancer, tmp_path, monkeypatch, reduce, scale, scene):
    monkeypatch.setitem(PRESETS, "anime-fast", replace(PRESETS["anime-fast"], scene=scene))
    height, width = 125 * reduce - 1, 112 * reduce + 1
    rgb = np.tile(data.astronaut()[30:330, 60:390], (2, 2, 1))[:height, :width]
    hazy = rgb * 0.5 + 110 if scene else rgb
    path = save(tmp_path / "photo.png", hazy.astype(np.uint8))
    settings = FAST.changed(reduce=reduce, scale=scale)

    preview = enhancer.preview(path, settings, x=61, y=47, size=50)
    result = enhancer.run(path, settings)

    assert preview.before.shape == preview.after.shape == (50 * scale, 50 * scale, 3)
    assert result.info["signature"] == preview.info["signature"]
    assert agreement(preview, result) > 50
    at_the_border = enhancer.preview(path, settings, x=width, y=height, size=50).after
    with Image.open(result.path) as image:
        corner = np.asarray(image)[-at_the_border.shape[0] :, -at_the_border.shape[1] :]
    assert psnr(at_the_border, corner) > 50
