"""The preset `auto`: what it chooses for an image, and that a run of it equals a run of the chosen
preset."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings, SettingsError
from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import choose, faster_preset
from enhance.cli import main
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images
from tests.conftest import psnr
from tests.quality.degradation import as_jpeg, case_of
from tests.quality.photos import REPORTED, TUNING, reference_of

from .blocks import block_steps as steps
from .pdf_text import text_of

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
    assert (settings.preset, settings.strength, settings.fidelity, settings.tile) == (
        "auto",
        0.5,
        None,
        192,
    )
    assert settings.resolved("precise") == Settings("precise", strength=0.5)
    with pytest.raises(SettingsError):
        Settings(fidelity=2)


def test_a_run_equals_a_run_of_the_chosen_preset(photos, enhancer, tmp_path):
    auto = enhancer.run(photos / "clean.png", output=tmp_path / "auto.png").info
    chosen = enhancer.run(photos / "clean.png", "precise", output=tmp_path / "precise.png").info

    assert (auto["preset"], auto["auto"]["preset"], auto["auto"]["reason"]) == (
        "precise",
        "precise",
        "clean_photo",
    )
    assert auto["auto"]["analysis"]["kind"] == "photo"
    assert chosen["auto"] is None
    for name in ("signature", "settings"):
        assert auto[name] == chosen[name]
    assert auto["output"]["sha256"] == chosen["output"]["sha256"]
    assert enhancer.preview(photos / "clean.png", size=48).info["signature"] == auto["signature"]


def test_auto_lowers_strength_and_fidelity_for_a_compressed_photo(
    photos, enhancer, with_fast_weights, tmp_path
):
    """The network of `fast` keeps the blocks of a JPEG, and Fidelity adds its other artifacts."""
    original = data.astronaut()[:320, :480]
    original = cv2.resize(original, (4 * SIZE[0], 4 * SIZE[1]), interpolation=cv2.INTER_AREA)
    auto = enhancer.run(photos / "jpeg.jpg", output=tmp_path / "auto.png")
    chosen = enhancer.choose(photos / "jpeg.jpg")
    plain = enhancer.run(photos / "jpeg.jpg", "fast", output=tmp_path / "fast.png")

    assert auto.info["signature"] == enhancer.run(photos / "jpeg.jpg", chosen).info["signature"]
    assert auto.info["preset"] == "fast"
    results = (np.asarray(Image.open(one.path)) for one in (auto, plain))
    (near, smooth), (far, blocky) = (
        (psnr(result, original), steps(result, 32)) for result in results
    )
    assert near > far
    assert smooth < blocky - 0.005
    assert enhancer.choose(photos / "clean.png") == Settings("precise")


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
        ({"jpeg_quality": 95, "noise": 3.0}, "fast"),
        ({"jpeg_quality": 82, "blur": 0.7}, "fast"),
        ({"jpeg_quality": 95, "blur": 0.7}, "fast"),
        ({"jpeg_quality": 95, "kind": "drawing"}, "precise"),
        ({"noise": 8.4}, "gentle"),
        ({"noise": 8.4, "jpeg_quality": 60}, "fast"),  # The texture of gravel is measured as noise.
        ({"kind": "text", "noise": 5.0}, "precise"),
        ({"kind": "text", "jpeg_quality": 40}, "precise"),
    ],
)
def test_the_preset_for_known_properties_and_its_substitute(facts, preset):
    analysis = Analysis(400, 300, **facts)
    assert choose(analysis, {"gentle", "fast", "precise", "balanced"}).preset == preset
    assert choose(analysis, {"gentle"}).preset == "gentle"
    assert choose(analysis, {"gentle", "fast", "precise"}, (300, 400)).reason == "large_enough"


def test_a_better_jpeg_keeps_more_of_its_detail():
    choices = (
        choose(Analysis(400, 300, jpeg_quality=one), {"balanced", "fast", "precise"})
        for one in (82, 95)
    )
    settings = [Settings().resolved(one.preset, **one.tuning) for one in choices]

    assert [one.preset for one in settings] == ["balanced", "balanced"]
    assert settings[0].strength < settings[1].strength
    assert settings[0].fidelity < settings[1].fidelity


def test_without_balanced_the_other_rules_apply():
    others = {"gentle", "fast", "precise"}
    compressed = choose(Analysis(400, 300, jpeg_quality=82), others)

    assert (compressed.preset, compressed.tuning["strength"]) == ("fast", 0.5)
    assert choose(Analysis(400, 300, noise=3.0), others).preset == "fast"
    assert choose(Analysis(400, 300, jpeg_quality=95), others).preset == "precise"
    assert choose(Analysis(400, 300, noise=3.0), {"gentle"}).preset == "gentle"
    assert faster_preset("gentle", Analysis(400, 300, noise=3.0), others) == "fast"
    assert (
        faster_preset("gentle", Analysis(400, 300, noise=3.0), {*others, "balanced"}) == "balanced"
    )


def test_fine_lines_in_a_compressed_photo_need_the_large_network():
    presets = {"gentle", "fast", "precise"}
    found = {
        name: analyse(case_of(pixels, partial(as_jpeg, quality=60)).image)
        for name, pixels in {
            "bricks": cv2.cvtColor(data.brick(), cv2.COLOR_GRAY2RGB),
            **{
                name: reference_of((TUNING | REPORTED)[name])
                for name in ("cat", "coffee", "grass", "tower")
            },
        }.items()
    }
    bricks = found["bricks"]

    chosen = {name: choose(analysis, presets) for name, analysis in found.items()}

    assert [choice.preset for choice in chosen.values()] == [
        "gentle",
        "fast",
        "fast",
        "fast",
        "fast",
    ]
    assert chosen["bricks"].tuning["strength"] > chosen["cat"].tuning["strength"]
    assert choose(replace(bricks, width=4000, height=3000), presets).preset == "fast"
    assert choose(replace(bricks, jpeg_quality=None), presets).preset == "precise"


def test_the_faster_preset_is_nearly_as_good():
    bricks = Analysis(400, 300, jpeg_quality=60, coherence=0.9)
    presets = {"gentle", "fast", "precise"}
    assert faster_preset("gentle", bricks, presets) is None
    assert faster_preset("gentle", Analysis(400, 300, kind="text", noise=5.0), presets) == "fast"
    assert (
        faster_preset("gentle", Analysis(400, 300, kind="text", jpeg_quality=40), presets)
        == "precise"
    )
    assert faster_preset("fast", Analysis(400, 300), presets) is None


def test_auto_keeps_its_own_values_for_a_compressed_photo(photos, enhancer, with_fast_weights):
    preview = enhancer.preview(photos / "jpeg.jpg", size=48)

    retuned = enhancer.retune(preview, Settings(saturation=1.5))

    again = enhancer.preview(photos / "jpeg.jpg", Settings(saturation=1.5), size=48)
    assert retuned.info["signature"] == again.info["signature"]
    assert np.array_equal(retuned.after, again.after)
    assert retuned.info["settings"]["saturation"] == 1.5
    assert retuned.info["settings"]["strength"] < Settings("fast").strength
    assert (
        enhancer.resolve_for(Settings(strength=0.7), enhancer.analyse(photos / "jpeg.jpg"))[
            0
        ].strength
        == 0.7
    )


def test_a_result_no_larger_than_the_photo_needs_no_network(photos, enhancer, tmp_path):
    before = enhancer.status()["model"]
    same = enhancer.run(photos / "jpeg.jpg", Settings(scale=1), output=tmp_path / "same.png")
    half = enhancer.run(photos / "jpeg.jpg", Settings(long_side=48))

    assert (same.info["preset"], same.info["auto"]["reason"]) == ("resize", "large_enough")
    assert same.info["model"]["name"] == "none"
    assert same.info["megapixels_per_second"] is None
    assert enhancer.status()["model"] == before
    with (
        Image.open(photos / "jpeg.jpg") as photo,
        Image.open(same.path) as result,
        Image.open(half.path) as small,
    ):
        assert (result.size, small.size) == (SIZE, (48, 32))
        assert (
            np.abs(np.asarray(photo, float) - np.asarray(result)).mean() < 4
        )  # slightly sharpened
    again = enhancer.run(photos / "jpeg.jpg", Settings(long_side=48))
    assert again.info["cached"]
    assert enhancer.report(again.info["task_id"]).read_bytes().startswith(b"%PDF")


def test_each_file_of_a_batch_has_its_own_choice(photos, enhancer, tmp_path):
    batch = RunningBatch(enhancer, Settings(scale=2), find_images([photos], tmp_path / "out")).run()

    chosen = {item.name: item.info["preset"] for item in batch.files if item.info}
    assert chosen["clean.png"] == "precise"
    assert chosen["jpeg.jpg"] in ("fast", "gentle")


def test_a_comparison_shows_the_presets_but_not_auto(photos, enhancer):
    comparison = enhancer.compare(
        photos / "clean.png", size=16, settings=[Settings(), Settings("anime-fast")]
    )
    assert [cell.settings.preset for cell in comparison.cells] == ["precise", "anime-fast"]


def test_choose_and_analyse(photos, enhancer):
    assert enhancer.choose(photos / "clean.png", scale=3) == Settings("precise", scale=3)
    assert enhancer.choose(photos / "clean.png", long_side=50) == Settings("resize", long_side=50)
    assert enhancer.choose(photos / "clean.png", print_width=10) == Settings(
        "precise", print_width=10
    )
    analysis = enhancer.analyse(photos / "jpeg.jpg")
    assert (analysis.width, analysis.height, analysis.jpeg_quality) == (*SIZE, 50)
    named = enhancer.run(photos / "clean.png", Settings("precise", scale=1))
    assert named.info["model"]["name"] == "span-x4", (
        "a preset that is named runs its network at any size"
    )


def test_faces_are_counted_and_shown_from_when_the_detector_is_installed(
    detector_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    Image.fromarray(data.astronaut()).save(tmp_path / "portrait.png")
    enhancer = Enhancer("cpu", data=tmp_path / "data")
    image = enhancer.read(tmp_path / "portrait.png")
    assert enhancer.analyse(image).faces is None
    most_detailed = enhancer.focus(image)

    (tmp_path / "weights").mkdir(exist_ok=True)
    shutil.copy(detector_file, tmp_path / "weights")

    assert enhancer.analyse(image).faces == 1
    x, y = enhancer.focus(image)
    assert (512 * x, 512 * y) == pytest.approx((224, 115), abs=15)
    assert (x, y) != most_detailed
    _, auto = enhancer.resolve(image, Settings())
    assert auto is not None
    assert "face" not in auto["analysis"], "stored results have no positions of faces"


def test_the_command_prints_the_analysis(photos, capsys, tmp_path):
    assert main(["analyse", str(photos / "clean.png"), "--device", "cpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["auto"]["preset"], facts["auto"]["analysis"]["kind"]) == ("precise", "photo")
    assert facts["estimated_seconds"] > 0

    (tmp_path / "no.png").write_bytes(b"no image")
    assert (
        main(["analyse", str(tmp_path / "no.png"), str(photos / "jpeg.jpg"), "--device", "cpu"])
        == 1
    )
    printed = capsys.readouterr()
    assert "Compression artifacts, so " in printed.out
    assert "(--preset " in printed.out
    assert "no.png" in printed.err


def test_a_faster_preset_is_suggested_before_a_long_run(
    photos, enhancer, capsys, tmp_path, monkeypatch
):
    """`gentle` is selected for strong noise, and `fast` has nearly the same quality."""
    pixels = np.random.default_rng(1).normal(128, 12, (64, 96, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(photos / "noisy.png")
    seconds = {"gentle": 500.0, "fast": 40.0}
    monkeypatch.setattr(
        Enhancer, "estimate", lambda self, width, height, settings, bits=8: seconds[settings.preset]
    )
    monkeypatch.setattr("enhance.presets.available_presets", lambda: ("gentle", "fast"))
    facts = enhancer.recommend(enhancer.read(photos / "noisy.png"), Settings())
    assert (facts["auto"]["preset"], facts["estimated_seconds"]) == ("gentle", 500)
    assert facts["faster"] == {"preset": "fast", "estimated_seconds": 40}

    def run_command():
        output = str(tmp_path / "out.png")
        assert (
            main(["run", str(photos / "noisy.png"), "-o", output, "--device", "cpu", "--json"]) == 0
        )
        printed = capsys.readouterr()
        assert json.loads(printed.out)["preset"] == "gentle"
        return printed.err

    assert "Gentle takes about 8 min. --preset fast takes about 40 s" in run_command()
    assert "--preset fast" not in run_command()  # the result exists already

    seconds["gentle"] = 60.0
    assert enhancer.recommend(enhancer.read(photos / "noisy.png"), Settings())["faster"] is None


def test_the_report_shows_that_auto_selected_the_preset(photos, enhancer, tmp_path):
    result = enhancer.run(photos / "clean.png")
    text = text_of(enhancer.report(result.info["task_id"], "en"), tmp_path, page=1)

    assert "selected by Auto. Sharp and clean." in " ".join(text.split())
