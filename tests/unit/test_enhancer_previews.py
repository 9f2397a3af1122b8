"""Previews of a region, and the same region of a finished result."""

from dataclasses import replace

import numpy as np
import pytest

from enhance import PRESETS, Settings, SettingsError
from enhance.analysis.haze import find_haze
from enhance.images import Box
from enhance.jobs.scheduler import Job
from enhance.restore.dehaze import remove_haze
from enhance.restore.resample import result_size
from enhance.settings import NEUTRAL, RANGES
from enhance.size import Size
from tests.conftest import agreement

from .test_tuning import SLIDERS

RAW = Settings.from_preset("anime-fast")

pytestmark = pytest.mark.usefixtures("fresh_store")


def test_a_preview_uses_the_noise_of_the_whole_image(enhancer, photo):
    large = np.tile(photo, (6, 5, 1)).astype(np.int16)
    # The region of the preview is clean.
    large[:, 140:] += np.random.default_rng(3).integers(-20, 21, large[:, 140:].shape, np.int16)
    large = np.clip(large, 0, 255).astype(np.uint8)
    settings = RAW.changed(strength=0.65, fidelity=1)

    preview = enhancer.preview(large, settings, x=64, y=120, size=64)
    result = enhancer.run(large, settings)

    assert preview.region.rows.photo.degradation.noise > 2
    assert agreement(preview, result) > 50


def test_a_preview_has_the_fidelity_of_its_region(enhancer, photo_file):
    run = enhancer.run(photo_file, RAW).info["fidelity_db"]

    whole = enhancer.preview(photo_file, RAW)
    smaller = enhancer.retune(whole, RAW.changed(long_side=30))

    assert whole.info["fidelity_db"] == pytest.approx(run, abs=0.01)
    assert smaller.before.shape == smaller.after.shape != whole.before.shape
    assert smaller.info["fidelity_db"] is None


@pytest.mark.parametrize("scale", [4, 8])
def test_the_fidelity_of_a_dehazed_photo_is_that_without_haze(enhancer, photo, scale, monkeypatch):
    monkeypatch.setitem(PRESETS, "dehaze", replace(PRESETS["dehaze"], model=RAW.model))
    hazy = (photo * 0.4 + 125).astype(np.uint8)
    settings = Settings("dehaze", scale=scale)

    run = enhancer.run(hazy, settings).info["fidelity_db"]
    preview = enhancer.preview(hazy, settings, size=512).info["fidelity_db"]

    assert run == pytest.approx(preview, abs=0.5)


def test_a_preview_stays_inside_the_image(enhancer, photo, photo_file):
    for x, y in ((0, 0), (1e9, 1e9), (-5, 20)):
        assert enhancer.preview(photo_file, RAW, x=x, y=y, size=32).after.shape == (128, 128, 3)
    whole = enhancer.preview(photo_file, RAW, size=512)
    assert np.array_equal(whole.after, enhancer.upscale(photo, RAW.model))


def test_sliders_adjust_a_preview_without_the_network(enhancer, photo_file, monkeypatch):
    preview = enhancer.preview(photo_file, RAW, size=24)
    settings = RAW.changed(saturation=0, sharpen=1)
    expected = enhancer.preview(photo_file, settings, size=24)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    tuned = enhancer.retune(preview, settings)

    assert np.array_equal(tuned.after, expected.after)
    for name in ("settings", "signature", "fidelity_db"):
        assert tuned.info[name] == expected.info[name] != preview.info[name]
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, Settings.from_preset("gentle"))


def test_each_slider_changes_the_result(enhancer, photo_file):
    preview = enhancer.preview(photo_file, RAW, size=24)
    for name, usual in NEUTRAL.items():
        value = next(one for one in RANGES[name] if one != usual)
        changed = enhancer.retune(preview, RAW.changed(**{name: value}))
        assert not np.array_equal(changed.after, preview.after), name


def test_dehaze_removes_haze_before_the_network(enhancer, photo, monkeypatch):
    monkeypatch.setitem(PRESETS, "dehaze", replace(PRESETS["dehaze"], model=RAW.model))
    veil = np.linspace(0.3, 0.7, 240)[:, None, None]
    hazy = np.rint(np.tile(photo, (6, 4, 1)) * (1 - veil) + 235 * veil).astype(np.uint8)
    settings = Settings("dehaze", tuning=False)

    preview = enhancer.preview(hazy, settings, size=24)

    cleared = remove_haze(hazy, find_haze(hazy))
    expected = enhancer.preview(cleared, RAW.changed(tuning=False), size=24)
    assert np.array_equal(preview.after, expected.after)
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, settings.changed(strength=0.5))


@pytest.mark.parametrize(
    "size", [{"scale": 4}, {"scale": 2.3}, {"long_side": 455}, {"long_side": 150}]
)
def test_preview_and_run_agree_and_have_the_same_signature(enhancer, photo, size):
    large = np.tile(photo, (5, 3, 1))  # 168 x 200
    settings = RAW.changed(**SLIDERS, **size)

    image = enhancer.read(large)
    plan = enhancer.plan(image, settings)
    preview = enhancer.preview_region(image, plan, Box(51, 77, 40, 36), Job("preview"))
    result = enhancer.run(large, settings)

    height, width, _ = result.array.shape
    assert (width, height) == result_size(settings, Size(168, 200))
    expected = (round(36 * height / 200), round(40 * width / 168), 3)
    assert preview.before.shape == preview.after.shape == expected
    assert agreement(preview, result) > 50
    assert result.info["signature"] == preview.info["signature"]
