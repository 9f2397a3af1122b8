"""The preset `auto`: what it chooses for an image, and that a run of it equals a run of the chosen
preset."""

from __future__ import annotations

import json
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings
from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import choose
from enhance.cli import main
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images
from tests.conftest import psnr
from tests.quality.cases import Upscaled, case_of_file
from tests.quality.degradation import as_jpeg, as_png, blurred, case_of, noisy, rounded
from tests.quality.kind_images import page
from tests.quality.metrics import haarpsi
from tests.quality.photos import reference_of

from .blocks import block_steps
from .image_files import source_image
from .test_analysis import ALL_PRESETS

SIZE = 96, 64


@pytest.fixture
def photos(tmp_path):
    """A clean photo and the same photo as a compressed JPEG."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = cv2.resize(data.astronaut()[:320, :480], SIZE, interpolation=cv2.INTER_AREA)
    Image.fromarray(pixels).save(folder / "clean.png")
    Image.fromarray(pixels).save(folder / "jpeg.jpg", quality=50)
    return folder


@pytest.fixture(scope="module")
def enhancer(span_weights):
    return Enhancer("cpu")


def test_auto_has_no_values_until_an_image_is_known():
    settings = Settings(strength=0.5)

    assert (settings.preset, settings.strength, settings.fidelity) == ("auto", 0.5, None)
    assert settings.resolved("precise") == Settings("precise", strength=0.5)


def test_a_run_equals_a_run_of_the_chosen_preset(photos, enhancer, tmp_path):
    auto = enhancer.run(photos / "clean.png", output=tmp_path / "auto.png").info
    chosen = enhancer.run(photos / "clean.png", "precise", output=tmp_path / "precise.png").info

    assert auto["preset"] == auto["auto"]["preset"] == "precise"
    assert auto["auto"]["reason"] == "clean_photo"
    assert chosen["auto"] is None
    assert (auto["signature"], auto["settings"]) == (chosen["signature"], chosen["settings"])
    assert auto["output"]["sha256"] == chosen["output"]["sha256"]
    assert enhancer.preview(photos / "clean.png", size=48).info["signature"] == auto["signature"]


def test_auto_keeps_the_blocks_of_a_compressed_photo_out_of_the_result(
    photos, enhancer, with_fast_weights
):
    auto = enhancer.run(photos / "jpeg.jpg")
    plain = enhancer.run(photos / "jpeg.jpg", "fast")
    chosen = enhancer.run(photos / "jpeg.jpg", enhancer.choose(photos / "jpeg.jpg"))

    assert auto.info["preset"] == "fast"
    assert auto.info["signature"] == chosen.info["signature"]
    assert block_steps(auto.array, 32) < block_steps(plain.array, 32) - 0.005


@pytest.mark.parametrize(
    ("facts", "preset"),
    [
        ({}, "precise"),
        ({"jpeg_quality": 75}, "fast"),
        ({"jpeg_quality": 82}, "balanced"),
        ({"jpeg_quality": 95}, "balanced"),
        ({"noise": 3.0}, "balanced"),
        ({"noise": 5.0}, "fast"),
        # In smooth areas, the noise that `balanced` keeps is visible, and there is no detail that
        # `fast` loses.
        ({"noise": 3.0, "smoothness": 0.9}, "fast"),
        # Compression removes much of the noise, which `balanced` would show.
        ({"jpeg_quality": 82, "noise": 1.5}, "fast"),
        ({"jpeg_quality": 82, "blur": 0.7}, "fast"),
        ({"noise": 8.4}, "gentle"),
        ({"noise": 8.4, "jpeg_quality": 60}, "fast"),  # The texture of gravel is measured as noise.
        ({"kind": "text", "noise": 5.0}, "precise"),
    ],
)
def test_the_preset_for_known_properties_and_its_substitute(facts, preset):
    analysis = Analysis(400, 300, **facts)
    assert choose(analysis, {"gentle", "fast", "precise", "balanced"}).preset == preset
    assert choose(analysis, {"gentle"}).preset == "gentle"
    assert choose(analysis, {"gentle", "fast", "precise"}).preset != "balanced"


def test_fine_lines_in_a_compressed_photo_need_the_large_network():
    def chosen(pixels):
        return choose(analyse(case_of(pixels, partial(as_jpeg, quality=60)).image), ALL_PRESETS)

    assert chosen(cv2.cvtColor(data.brick(), cv2.COLOR_GRAY2RGB)).preset == "gentle"
    assert chosen(reference_of("cat")).preset == "fast"


def test_auto_keeps_its_own_values_for_a_compressed_photo(photos, enhancer, with_fast_weights):
    preview = enhancer.preview(photos / "jpeg.jpg", size=48)
    again = enhancer.preview(photos / "jpeg.jpg", Settings(saturation=1.5), size=48)

    retuned = enhancer.retune(preview, Settings(saturation=1.5))

    assert retuned.info["signature"] == again.info["signature"]
    assert np.array_equal(retuned.after, again.after)
    assert retuned.info["settings"]["strength"] < Settings("fast").strength


def test_a_small_result_of_a_clean_photo_needs_no_network_unless_a_preset_is_named(
    photos, enhancer
):
    same = enhancer.run(photos / "clean.png", Settings(scale=1))
    half = enhancer.run(photos / "clean.png", Settings(long_side=48))
    named = enhancer.run(photos / "clean.png", Settings("precise", scale=1))

    assert (same.info["preset"], same.info["auto"]["reason"]) == ("resize", "large_enough")
    assert same.info["model"]["name"] == "none"
    photo = np.asarray(Image.open(photos / "clean.png"), float)
    assert 0 < np.abs(photo - same.array).mean() < 4  # slightly sharpened
    assert half.array.shape == (32, 48, 3)
    assert named.info["model"]["name"] == "span-x4"


def as_phone(pixels):
    return as_jpeg(noisy(blurred(pixels, 0.7), 5), 60)


@pytest.mark.parametrize(
    ("degrade", "preset"),
    [
        (lambda pixels: as_png(noisy(pixels, 3)), "balanced"),
        (lambda pixels: as_png(noisy(pixels, 10)), "fast"),
        (partial(as_jpeg, quality=30), "balanced"),
        (as_phone, "balanced"),
    ],
    ids=["noise 3", "noise 10", "JPEG 30", "phone"],
)
def test_a_result_of_the_size_of_the_photo_is_closer_to_the_scene(
    degrade, preset, enhancer, with_fast_weights
):
    scene = np.ascontiguousarray(reference_of("cat")[64:192, 96:224])
    case = case_of_file(scene, degrade(scene))

    result = enhancer.run(degrade(scene), Settings(scale=1))

    assert result.info["preset"] == preset
    assert psnr(result.array, scene) > psnr(case.degraded, scene) + 0.3
    assert haarpsi(case, Upscaled(result.array)) > haarpsi(case, Upscaled(case.degraded))


@pytest.mark.parametrize(
    "facts",
    [
        {"noise": 3.0},
        {"noise": 8.4},
        {"jpeg_quality": 60},
        {"noise": 1.0, "blur": 0.5},  # grain
        {"kind": "drawing", "jpeg_quality": 60},
        {"kind": "text", "noise": 5.0},
        {"kind": "text", "jpeg_quality": 60},
    ],
)
def test_noise_and_artifacts_of_a_small_result_are_never_sharpened(facts):
    analysis = Analysis(400, 300, **facts)
    for available in ((), {"gentle", "fast", "precise", "balanced"}):
        for share in (1, 1 / 2, 1 / 4):
            choice = choose(analysis, available, analysis.size.scale(share))
            assert Settings().resolved(choice.preset, **choice.tuning).sharpen == 0
            is_text = analysis.kind == "text"
            if not available or is_text or share == 1 / 4:
                assert choice.preset == "resize", "without a network"
            else:
                assert choice.preset in ("fast", "balanced")


def test_the_characters_of_a_noisy_page_stay_as_they_are(enhancer):
    noise = noisy(page()[:128, :256], 10)
    result = enhancer.run(as_png(noise), Settings(scale=1))
    assert result.info["auto"]["reason"] == "noisy_text"
    assert np.array_equal(result.array, noise)


def test_each_file_of_a_batch_has_its_own_choice(photos, enhancer, tmp_path):
    batch = RunningBatch(enhancer, Settings(scale=2), find_images([photos], tmp_path / "out")).run()

    chosen = {item.name: item.info["preset"] for item in batch.files if item.info}
    assert chosen["clean.png"] == "precise"
    assert chosen["jpeg.jpg"] in ("fast", "gentle")


def test_faces_are_counted_and_shown_from_when_the_detector_is_installed(
    detector_file, tmp_path, monkeypatch
):
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(weights))
    enhancer = Enhancer("cpu")
    image = source_image(data.astronaut())
    assert enhancer.analyse(image).faces is None

    shutil.copy(detector_file, weights)

    assert enhancer.analyse(image).faces == 1
    assert enhancer.focus(image) == pytest.approx((224 / 512, 115 / 512), abs=0.03)
    stored = enhancer.plan(image, Settings()).auto or {}
    assert "face" not in stored["analysis"], "stored results have no positions of faces"


def test_the_command_prints_the_analysis(photos, capsys):
    clean, jpeg, bad = (str(photos / name) for name in ("clean.png", "jpeg.jpg", "no.png"))
    assert main(["analyse", clean, "--device", "cpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["auto"]["preset"], facts["auto"]["analysis"]["kind"]) == ("precise", "photo")

    assert main(["analyse", bad, jpeg, "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    assert "Compression artifacts, so " in printed.out
    assert "no.png" in printed.err


def test_a_faster_preset_is_suggested_before_a_long_run(photos, enhancer, capsys, monkeypatch):
    """`gentle` is selected for strong noise, and `fast` has nearly the same quality."""
    noisy = photos / "noisy.png"
    pixels = np.random.default_rng(1).normal(128, 12, (64, 96, 3))
    Image.fromarray(rounded(pixels)).save(noisy)
    seconds = {"gentle": 500.0, "fast": 40.0}
    for module in ("enhance.plan", "enhance.enhancer"):
        estimate = f"{module}.estimate"
        monkeypatch.setattr(estimate, lambda _, settings, *given: seconds[settings.preset])
    monkeypatch.setattr("enhance.presets.available_presets", lambda: ("gentle", "fast"))

    assert main(["analyse", str(noisy), "--json", "--device", "cpu"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["auto"]["preset"], facts["estimated_seconds"]) == ("gentle", 500)
    assert facts["faster"] == {"preset": "fast", "estimated_seconds": 40}

    assert main(["run", str(noisy), "--device", "cpu"]) == 0
    assert "Gentle takes about 8 min. --preset fast takes about 40 s" in capsys.readouterr().err
