"""The setting `reduce`: the photo is averaged down before the network, and the result's size counts from the photo."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import PRESETS, Settings, SettingsError, signature
from enhance.images import Box, SourceImage, read_image
from enhance.output.resample import result_size
from enhance.output.result import ResultRows, Scene
from enhance.preview import surroundings
from enhance.settings import largest_scale, network_key
from tests.conftest import psnr

FAST = Settings.from_preset("anime-fast", strength=0.65, fidelity=1, sharpen=0.2, saturation=1.2)

pytestmark = pytest.mark.usefixtures("fresh_store")


def piece(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[60 : 60 + height, 160 : 160 + width])


def averages(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Return the means of blocks, not rounded."""
    rows, columns = (range(0, side, factor) for side in pixels.shape[:2])
    return np.array([[pixels[y : y + factor, x : x + factor].mean((0, 1)) for x in columns] for y in rows])


def save(path, pixels: np.ndarray, mode: str | None = None):
    Image.fromarray(pixels, mode).save(path) if mode else Image.fromarray(pixels).save(path)
    return path


def pixels(result) -> np.ndarray:
    return np.asarray(Image.open(result.path))


def image_of(rgb: np.ndarray) -> SourceImage:
    return SourceImage("a.png", "0" * 64, 0, "PNG", "RGB", rgb, None, False, None)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(25, 35), (1, 7)])
def test_a_reduced_image_is_the_mean_of_its_blocks(factor, dtype, size):
    rgb = np.random.default_rng(4).integers(0, np.iinfo(dtype).max + 1, (*size, 3), dtype)

    reduced = image_of(rgb).downscale(factor)

    assert reduced.rgb.dtype == dtype
    assert np.abs(reduced.rgb - averages(rgb, factor)).max() < 0.501


@pytest.mark.parametrize(("reduce", "scale"), [(2, 1.5), (3, 4 / 3)])
def test_the_result_equals_that_of_the_averages(enhancer, tmp_path, reduce, scale):
    photo = piece(96, 84)
    small = save(tmp_path / "small.png", image_of(photo).downscale(reduce).rgb)

    reduced = enhancer.run(save(tmp_path / "photo.png", photo), FAST.changed(reduce=reduce, scale=scale))
    expected = enhancer.run(small, FAST.changed(scale=min(4, scale * reduce)))

    assert pixels(reduced).shape[:2] == (round(96 * scale), round(84 * scale))
    assert np.array_equal(pixels(reduced), pixels(expected))
    assert reduced.info["fidelity_db"] == expected.info["fidelity_db"]


@pytest.mark.parametrize(("reduce", "scale"), [(2, 2), (3, 1), (2, 1.3)])
def test_an_odd_size_shifts_no_pixels(enhancer, tmp_path, reduce, scale):
    photo = piece(12 * 8, 12 * 7)
    odd = photo[:-1, :-5]
    settings = FAST.changed(reduce=reduce, scale=scale)

    whole = enhancer.run(save(tmp_path / "whole.png", photo), settings)
    cut = enhancer.run(save(tmp_path / "odd.png", odd), settings)

    height, width = pixels(cut).shape[:2]
    assert (height, width) == (round(95 * scale), round(79 * scale))
    inner = slice(None, round(60 * scale)), slice(None, round(50 * scale))
    assert psnr(pixels(cut)[inner], pixels(whole)[inner]) > (38 if scale == 1.3 else 50)
    assert cut.info["fidelity_db"] == pytest.approx(whole.info["fidelity_db"], abs=1)


def test_strips_of_any_height_are_bit_identical(engine):
    image = image_of(piece(131, 61))
    seen = image.downscale(2)
    network = engine.enlarge(seen.rgb, "realesr-animevideov3")
    other = engine.enlarge(seen.rgb, "realesr-animevideov3", tile=64)
    assert np.abs(network.astype(int) - other).max() <= 1

    settings = FAST.changed(reduce=2)
    rows = ResultRows(image, lambda a, b: network[a:b], settings, Scene().photo(seen, settings, seen.degradation))
    whole = rows.rows(0, 262)
    assert whole.shape == (262, 122, 3)
    for strip in (1, 7, 64):
        parts = [rows.rows(first, min(first + strip, 262)) for first in range(0, 262, strip)]
        assert np.array_equal(np.concatenate(parts), whole)
    meters = rows.meter(), rows.meter()
    meters[0].add(whole)
    for first in range(0, 262, 9):
        meters[1].add(whole[first : first + 9])
    assert meters[0].fidelity() == meters[1].fidelity()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "I;16"])
def test_every_kind_of_image_can_be_reduced(enhancer, tmp_path, mode):
    photo = piece(50, 43)
    image = Image.fromarray(photo[..., 1].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(photo)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(photo[..., 2]))
    elif mode == "LA":
        image = image.convert("LA")
    elif mode == "L":
        image = image.convert("L")
    image.save(tmp_path / "kind.png")

    at_its_size = enhancer.run(tmp_path / "kind.png", FAST.changed(reduce=4))
    plain = enhancer.run(tmp_path / "kind.png", FAST.changed(scale=1))

    actual, expected = Image.open(at_its_size.path), Image.open(plain.path)
    assert actual.size == image.size
    assert actual.mode == expected.mode
    assert at_its_size.info["input"]["width"] == 43
    if mode == "RGBA":  # Alpha comes from the input, not from its averages.
        assert np.array_equal(np.asarray(actual)[..., 3], np.asarray(expected)[..., 3])


@pytest.mark.parametrize(("reduce", "scene"), [(2, None), (2, "dehaze"), (3, None)])
def test_preview_and_run_agree_in_any_region(enhancer, tmp_path, monkeypatch, reduce, scene):
    monkeypatch.setitem(PRESETS, "anime-fast", replace(PRESETS["anime-fast"], scene=scene))
    height, width = 125 * reduce - 1, 112 * reduce + 1
    rgb = np.tile(data.astronaut()[30:330, 60:390], (2, 2, 1))[:height, :width]
    hazy = rgb * 0.5 + 110 if scene else rgb
    path = save(tmp_path / "photo.png", hazy.astype(np.uint8))
    settings = FAST.changed(reduce=reduce)

    preview = enhancer.preview(path, settings, x=61, y=47, size=50)
    result = enhancer.run(path, settings, preview=preview)

    assert preview.before.shape == preview.after.shape == (*(round(50 * 4 / reduce),) * 2, 3)
    assert result.info["signature"] == preview.info["signature"]
    assert result.info["agreement_db"] > 50
    at_the_border = enhancer.preview(path, settings, x=width, y=height, size=50).after
    with Image.open(result.path) as image:
        corner = np.asarray(image)[-at_the_border.shape[0] :, -at_the_border.shape[1] :]
    assert psnr(at_the_border, corner) > 50


@pytest.mark.parametrize("reduce", [1, 2, 3, 4])
def test_the_margin_is_aligned_to_the_averages(reduce):
    settings = Settings("gentle", reduce=reduce)
    outer = surroundings(Box(301, 202, 128, 128), 1001, 333, settings)

    assert outer.left % reduce == outer.top % reduce == 0
    assert outer.left <= 301 - 48 * reduce
    assert (outer.left + outer.width) % reduce == 0
    assert outer.top + outer.height in (333, -(-(330 + 48 * reduce) // reduce) * reduce)


def test_another_reduction_needs_a_new_preview(enhancer, tmp_path):
    path = save(tmp_path / "photo.png", piece(90, 80))
    preview = enhancer.preview(path, FAST.changed(reduce=2), size=32)

    again = enhancer.preview(path, FAST.changed(reduce=2, sharpen=0.9), size=32)
    assert np.array_equal(enhancer.retune(preview, FAST.changed(reduce=2, sharpen=0.9)).after, again.after)
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, FAST)


def test_the_largest_scale_depends_on_reduce():
    assert [largest_scale(Settings("gentle", reduce=reduce)) for reduce in (1, 2, 3, 4)] == [16, 2, 4 / 3, 1]
    assert result_size(Settings("gentle", reduce=4), 30, 41) == (30, 41)
    assert Settings("gentle").changed(reduce=4).changed(reduce=1) == Settings("gentle")
    assert Settings("gentle", scale=1.5).changed(reduce=2).scale == 1.5


@pytest.mark.parametrize(("reduce", "scale", "largest"), [(4, 2, "1"), (3, 1.4, "1.33"), (2, 4, "2")])
def test_a_larger_scale_is_rejected_with_the_limit(reduce, scale, largest):
    with pytest.raises(SettingsError, match=f"reduce {reduce}, scale is limited to {largest}"):
        Settings("gentle", reduce=reduce, scale=scale)
    with pytest.raises(SettingsError, match="limited to"):
        Settings.from_preset("gentle", reduce=reduce, scale=scale)


def test_reduce_is_a_whole_number():
    with pytest.raises(SettingsError, match="Use a whole number from 1 to 4"):
        Settings("gentle", reduce=1.5)  # type: ignore[arg-type]


def test_reduce_is_part_of_the_signature_and_the_network_key():
    one, other = Settings("gentle", scale=1), Settings("gentle", scale=1, reduce=2)

    assert signature("a" * 64, one, "b" * 64, "fp32") != signature("a" * 64, other, "b" * 64, "fp32")
    assert network_key("a" * 64, one, "b" * 64, "fp32") != network_key("a" * 64, other, "b" * 64, "fp32")


def test_noise_is_measured_on_the_averages(enhancer, tmp_path):
    rgb = piece(200, 180).astype(float) + np.random.default_rng(1).normal(0, 9, (200, 180, 3))
    path = save(tmp_path / "noisy.png", np.clip(rgb, 0, 255).astype(np.uint8))

    preview = enhancer.preview(path, FAST.changed(reduce=2), size=40)

    image = read_image(path)
    assert preview.region.photo.degradation.noise == image.downscale(2).noise < 0.8 * image.noise
    assert replace(image).downscale(1).noise == image.noise
