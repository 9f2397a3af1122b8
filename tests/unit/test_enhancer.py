"""From a picture file to a PNG, a task, a preview."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from enhance import Cancelled, EnhanceError, Enhancer, MemoryShortError, PictureError, Settings, SettingsError
from enhance.info import RunRecord
from enhance.output.rendition import reduce
from enhance.picture import read_picture
from enhance.preview import agreement_db, look
from enhance.scenes.dehaze import dehaze
from tests.conftest import psnr

RAW = Settings.from_preset("anime-fast")


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer("cpu", "fp32")


@pytest.fixture(autouse=True)
def fresh_store(enhancer, tmp_path):
    enhancer.tasks = type(enhancer.tasks)(tmp_path / "data")


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_run_without_output_becomes_a_task(enhancer, photo_file):
    result = enhancer.run(photo_file, RAW)

    info = result.info
    stored = enhancer.tasks.processed / f"{info['task_id']}.png"
    assert result.path == stored
    assert json.loads(stored.with_suffix(".json").read_text()) == info
    assert (enhancer.tasks.uploads / info["input"]["sha256"] / "photo.png").read_bytes() == photo_file.read_bytes()
    assert info["output"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert (info["output"]["width"], info["output"]["height"]) == (224, 160)


def test_info_has_every_promised_key(enhancer, photo_file):
    info = enhancer.run(photo_file, RAW).info

    assert set(info) >= {
        *("task_id", "status", "signature", "preset", "settings", "input", "output", "model", "device", "precision"),
        *("tile", "seconds", "megapixels_per_second", "peak_memory_mb", "agreement_db", "cached"),
    }
    assert set(info["input"]) == {"name", "sha256", "width", "height", "mode", "bytes"}
    assert set(info["output"]) == {"path", "sha256", "width", "height", "bytes"}
    assert set(info["model"]) == {"name", "sha256", "source"}
    assert set(info["seconds"]) == {"wait", "decode", "network", "tuning", "encode", "total"}
    assert (info["status"], info["cached"], info["tile"], info["device"]) == ("done", False, 192, "cpu")


def test_the_untuned_picture_is_bit_for_bit_the_networks_output(enhancer, photo, photo_file):
    result = enhancer.run(photo_file, RAW)

    assert np.array_equal(pixels(result.path), enhancer.upscale(photo, "realesr-animevideov3"))


def test_the_input_is_never_touched_not_even_when_it_is_named_as_output(enhancer, photo_file):
    before = photo_file.read_bytes()

    with pytest.raises(EnhanceError, match="never overwritten"):
        enhancer.run(photo_file, RAW, output=photo_file)
    enhancer.run(photo_file, RAW)

    assert photo_file.read_bytes() == before


def test_the_same_request_is_not_computed_again(enhancer, photo_file, monkeypatch):
    first = enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    again = enhancer.run(photo_file, RAW)

    assert again.info["cached"]
    for made in ("seconds", "megapixels_per_second", "peak_memory_mb"):
        assert again.info[made] == first.info[made], "these are the run's that made it"
    assert again.info["task_id"] != first.info["task_id"]
    assert again.info["signature"] == first.info["signature"]
    assert again.path.read_bytes() == first.path.read_bytes()


def test_a_finished_picture_is_tuned_again_without_the_network(enhancer, photo_file, monkeypatch):
    enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    grey = enhancer.run(photo_file, RAW.changed(saturation=0))

    assert np.ptp(pixels(grey.path), axis=2).max() <= 1
    assert not grey.info["cached"]
    assert grey.info["megapixels_per_second"] is None, "a kept output has no speed"


def test_an_output_that_is_there_already_is_recognised_by_its_signature(enhancer, photo_file, tmp_path, monkeypatch):
    output = tmp_path / "out.png"
    first = enhancer.run(photo_file, RAW, output=output)
    written = output.stat().st_mtime_ns
    again = enhancer.run(photo_file, RAW, output=output)

    assert (first.info["cached"], again.info["cached"]) == (False, True)
    assert output.stat().st_mtime_ns == written
    assert again.info["output"] == first.info["output"]
    assert not enhancer.run(photo_file, RAW.changed(contrast=1.2), output=output).info["cached"]


def test_a_large_output_lies_beside_the_result_while_it_is_tuned(enhancer, photo_file, tmp_path, monkeypatch):
    folders = []
    temporary = tempfile.TemporaryFile

    def recorded(**options):
        folders.append(options["dir"])
        return temporary(**options)

    monkeypatch.setattr("enhance.inference.network_output._IN_MEMORY", 0)
    monkeypatch.setattr("enhance.inference.network_output.tempfile.TemporaryFile", recorded)
    enhancer.run(photo_file, RAW, output=tmp_path / "out" / "large.png")

    assert folders == [tmp_path / "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["large.png"]


def test_stop_leaves_nothing_behind(enhancer, photo_file):
    stop = threading.Event()

    with pytest.raises(Cancelled):
        enhancer.run(photo_file, RAW, progress=lambda *_: stop.set(), stop=stop)
    assert list(enhancer.tasks.processed.glob("*")) == list(enhancer.tasks.folder.rglob("*.part")) == []


def test_a_run_that_is_stopped_in_the_middle_leaves_no_half_of_a_file(enhancer, photo, tmp_path):
    Image.fromarray(np.tile(photo, (40, 1, 1))).save(tmp_path / "tall.png")
    stop, halves, steps = threading.Event(), [], []

    def progress(done, total, left):
        steps.append(done / total)
        halves.extend(path.stat().st_size for path in enhancer.tasks.folder.rglob("*.part"))
        if halves and halves[-1] > 0:
            stop.set()

    with pytest.raises(Cancelled):
        enhancer.run(tmp_path / "tall.png", RAW, progress=progress, stop=stop)

    assert 0 < steps[-1] < 1
    assert halves[-1] > 0, "nothing was half-written when it was stopped"
    assert list(enhancer.tasks.folder.rglob("*.part")) == []
    assert list(enhancer.tasks.network.glob("*")) == list(enhancer.tasks.processed.glob("*")) == []


def test_a_run_keeps_its_files_while_others_clean_up(enhancer, photo_file):
    enhancer.tasks = type(enhancer.tasks)(enhancer.tasks.folder, hours=1e-9, max_disk=1)

    result = enhancer.run(photo_file, RAW.changed(sharpen=0.5), progress=lambda *_: enhancer.tasks.clean())

    upload = enhancer.tasks.uploads / result.info["input"]["sha256"] / "photo.png"
    assert (upload.exists(), result.path.exists()) == (True, True)
    enhancer.tasks.clean()
    assert (upload.exists(), result.path.exists()) == (False, False)


def test_a_result_that_is_held_is_not_cleaned_away(enhancer, photo_file):
    enhancer.tasks = type(enhancer.tasks)(enhancer.tasks.folder, max_disk=1)

    with ExitStack() as hold:
        result = enhancer.run(photo_file, RAW, hold=hold)
        enhancer.tasks.clean()
        assert result.path.exists()
    enhancer.tasks.clean()
    assert not result.path.exists()


def test_the_seconds_of_the_network_are_without_those_of_waiting(enhancer, photo, photo_file, tmp_path):
    first = enhancer.engine.stream(np.tile(photo, (30, 1, 1)), RAW.model)
    next(first)
    results = []
    waiting = threading.Thread(target=lambda: results.append(enhancer.run(photo_file, RAW).info["seconds"]))
    waiting.start()
    for _ in range(400):
        if enhancer.engine.runs == 2:
            break
        threading.Event().wait(0.05)
    threading.Event().wait(1)
    first.close()
    waiting.join()

    (seconds,) = results
    assert seconds["wait"] >= 0.9
    stages = sum(seconds[name] for name in ("wait", "decode", "network", "tuning", "encode"))
    assert stages <= seconds["total"] + 0.01
    assert seconds["network"] < seconds["total"] - seconds["wait"] + 0.01


def test_a_preview_does_not_reset_the_memory_peak_of_a_run(enhancer, photo_file, monkeypatch):
    resets = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: resets.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5_000_000)
    record = RunRecord(cast(Any, None), RAW, cast(Any, None), "fp16", "cuda:0", 0)

    record.watch_memory(reset=False)
    assert resets == []
    assert record.memory
    assert record.memory.look() == 5.0
    record.watch_memory(reset=True)
    assert resets == ["reset"]

    asked = []
    monkeypatch.setattr(RunRecord, "watch_memory", lambda record, *, reset: asked.append(reset))
    enhancer.preview(photo_file, RAW, size=16)
    enhancer.run(photo_file, RAW)
    assert asked == [False, True]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not told here")
def test_looking_at_a_result_leaves_no_file_open(enhancer, photo_file):
    task_id = enhancer.run(photo_file, RAW).info["task_id"]

    def open_files() -> int:
        return sum(os.path.realpath(fd).endswith(".raw") for fd in Path("/proc/self/fd").iterdir())

    with enhancer.result_rows(task_id) as rows:
        rows.rows(0, 4)
        assert open_files() == 1
    assert open_files() == 0


def test_a_picture_is_decoded_once_for_a_run_and_not_again_for_what_follows(enhancer, photo_file, monkeypatch):
    decoded = []

    def counting(path, **limits):
        decoded.append(path)
        return read_picture(path, **limits)

    for module in ("enhance.pipeline", "enhance.enhancer"):
        monkeypatch.setattr(f"{module}.read_picture", counting)
    picture = read_picture(photo_file)

    preview = enhancer.preview(picture, RAW, size=20)
    assert decoded == []
    task_id = enhancer.run(photo_file, RAW, preview=preview).info["task_id"]
    assert len(decoded) == 1
    with enhancer.result_rows(task_id, picture) as rows:
        look(rows, preview.piece.box)
    enhancer.report(task_id, picture=picture)
    assert len(decoded) == 1


def test_preview_and_run_agree_and_carry_the_same_signature(enhancer, photo, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.tile(photo, (6, 5, 1))).save(path)
    settings = RAW.changed(sharpen=0.3)

    preview = enhancer.preview(path, settings, x=140, y=120, size=64)
    result = enhancer.run(path, settings, preview=preview)

    box = preview.info["preview"]
    assert box == {"left": 108, "top": 88, "width": 64, "height": 64}
    final = pixels(result.path)[352:608, 432:688]
    assert preview.after.shape == preview.before.shape == final.shape
    assert psnr(preview.after, final) >= 55
    assert result.info["agreement_db"] == pytest.approx(min(99, psnr(preview.after, final)), abs=0.1)
    assert result.info["signature"] == preview.info["signature"]


@pytest.mark.parametrize("place", [(0, 0), (1e9, 1e9), (-5, 20)])
def test_a_preview_near_the_edge_stays_in_the_picture(enhancer, photo_file, place):
    preview = enhancer.preview(photo_file, RAW, x=place[0], y=place[1], size=32)

    assert preview.after.shape == (128, 128, 3)


def test_a_preview_larger_than_the_picture_is_the_picture(enhancer, photo, photo_file):
    preview = enhancer.preview(photo_file, RAW, size=512)

    assert np.array_equal(preview.after, enhancer.upscale(photo, "realesr-animevideov3"))
    with pytest.raises(SettingsError, match="size takes"):
        enhancer.preview(photo_file, RAW, size=0)


def test_sliders_retune_a_preview_without_the_network(enhancer, photo_file, monkeypatch):
    preview = enhancer.preview(photo_file, RAW, size=24)
    monkeypatch.setattr(enhancer.engine, "stream", None)
    settings = RAW.changed(saturation=0, sharpen=1)

    tuned = enhancer.retune(preview, settings)

    assert np.ptp(tuned.after, axis=2).max() <= 1
    assert tuned.info["settings"]["saturation"] == 0
    assert tuned.info["signature"] != preview.info["signature"]
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, Settings.from_preset("gentle"))


def test_a_finished_tasks_pixels_can_be_looked_at(enhancer, photo_file):
    preview = enhancer.preview(photo_file, RAW, size=20)
    result = enhancer.run(photo_file, RAW)

    with enhancer.result_rows(result.info["task_id"]) as rows:
        before, after = look(rows, preview.piece.box)
        agreement = agreement_db(preview, rows)

    box = preview.piece.box
    assert np.array_equal(after, pixels(result.path)[4 * box.top : 4 * box.top + 80, 4 * box.left : 4 * box.left + 80])
    assert before.shape == after.shape
    assert agreement > 40
    with pytest.raises(EnhanceError, match="no such result"), enhancer.result_rows("0" * 32):
        pass


def test_alpha_is_enlarged_beside_the_colour(enhancer, photo, tmp_path):
    path = tmp_path / "soft.png"
    alpha = np.tile(np.linspace(0, 255, 56).round().astype(np.uint8), (40, 1))
    Image.fromarray(np.dstack([photo, alpha])).save(path)

    result = pixels(enhancer.run(path, RAW).path)

    assert result.shape == (160, 224, 4)
    smooth = np.asarray(Image.fromarray(alpha).resize((224, 160), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(result[..., 3] - smooth).max() <= 3


def test_grey_stays_grey_and_16_bits_stay_16(enhancer, photo, tmp_path):
    grey = Image.fromarray(photo).convert("L")
    grey.save(tmp_path / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")

    shallow, deep = (enhancer.run(tmp_path / name, RAW).path for name in ("grey.png", "deep.png"))

    assert Image.open(shallow).mode == "L"
    assert pixels(deep).dtype == np.uint16
    assert np.abs(pixels(deep) / 257 - pixels(shallow)).max() <= 1


def test_scale_resizes_from_the_networks_output(enhancer, photo_file):
    result = enhancer.run(photo_file, RAW.changed(scale=2))

    assert pixels(result.path).shape == (80, 112, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2)])
def test_the_smallest_pictures_work(enhancer, tmp_path, size):
    path = tmp_path / "tiny.png"
    Image.new("RGB", size, (200, 30, 90)).save(path)

    assert pixels(enhancer.run(path, Settings.from_preset("anime-fast", sharpen=1)).path).shape[:2] == (
        4 * size[1],
        4 * size[0],
    )


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_upscale_takes_only_rgb_arrays(enhancer, array):
    with pytest.raises(PictureError, match="upscale takes an array"):
        enhancer.upscale(array)


def test_two_callers_at_once_get_their_own_pictures(enhancer, photo, tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    pictures = [np.tile(photo, (3, 1, 1)), np.ascontiguousarray(np.tile(photo, (1, 3, 1))[:, ::-1])]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    results = {}

    def run(path):
        results[path] = enhancer.run(path, RAW).path

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for path, picture in zip(paths, pictures, strict=True):
        assert np.array_equal(pixels(results[path]), enhancer.upscale(picture, "realesr-animevideov3"))


def test_importing_the_library_imports_no_torch():
    code = "import enhance, sys; enhance.Enhancer, enhance.Settings(), enhance.PRESETS; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "False"


def test_dehaze_takes_haze_off_before_the_network_and_the_preview_shows_it(enhancer, photo, tmp_path):
    hazy = np.tile(photo, (6, 4, 1))
    veil = np.linspace(0.3, 0.7, hazy.shape[0])[:, None, None]
    hazy = np.rint(hazy * (1 - veil) + 235 * veil).astype(np.uint8)
    Image.fromarray(hazy).save(tmp_path / "hazy.png")
    settings = Settings.from_preset("dehaze", sharpen=0, saturation=1, contrast=1)

    preview = enhancer.preview(tmp_path / "hazy.png", settings, size=24)

    cleared = dehaze(hazy, 1.0)
    box = preview.piece.box
    seen = cleared[box.top : box.top + 24, box.left : box.left + 24]
    assert seen.std() > 1.3 * hazy[box.top : box.top + 24, box.left : box.left + 24].std()
    assert psnr(reduce(preview.after, (24, 24)), seen) > 22
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, settings.changed(strength=0.5))


def test_a_finished_task_has_a_report_in_both_languages(enhancer, photo_file):
    task_id = enhancer.run(photo_file, RAW).info["task_id"]

    english, chinese = enhancer.report(task_id), enhancer.report(task_id, "zh-CN")

    assert english != chinese
    assert english == enhancer.report(task_id)
    assert all(path.read_bytes().startswith(b"%PDF") for path in (english, chinese))
    with pytest.raises(EnhanceError, match="no such result"):
        enhancer.report("0" * 32)


def test_a_presets_name_stands_for_its_settings(enhancer, photo_file, tmp_path):
    named, meant = tmp_path / "named.png", tmp_path / "meant.png"

    assert (
        enhancer.run(photo_file, "anime-fast", output=named).info["signature"]
        == enhancer.run(photo_file, RAW, output=meant).info["signature"]
    )
    preview = enhancer.preview(photo_file, "anime-fast", size=16)
    assert np.array_equal(enhancer.retune(preview, "anime-fast").after, preview.after)
    with pytest.raises(SettingsError, match="Unknown preset “vivid”"):
        enhancer.run(photo_file, "vivid")


def test_a_png_is_not_called_by_another_formats_name(enhancer, photo_file, tmp_path):
    with pytest.raises(SettingsError, match=r"The result is a PNG: .* end in \.png, not out\.jpg"):
        enhancer.run(photo_file, RAW, output=tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize(
    "take_far_too_much",
    [
        lambda: np.empty(1 << 50, np.uint8),
        lambda: cv2.resize(np.zeros((9, 9), np.uint8), (1 << 25, 1 << 25)),
        lambda: torch.empty(1 << 50, dtype=torch.uint8),
    ],
    ids=["numpy", "OpenCV", "PyTorch"],
)
def test_memory_that_is_short_after_the_network_is_said(enhancer, photo_file, monkeypatch, take_far_too_much):
    monkeypatch.setattr("enhance.output.tuning.Tuning.rows", lambda *_: take_far_too_much())

    with pytest.raises(MemoryShortError, match="too little free memory for this picture"):
        enhancer.run(photo_file, RAW)
    assert [*enhancer.tasks.folder.rglob("*.part")] == []


def test_weights_that_are_removed_between_runs_are_repaired(photo, photo_file, tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    enhancer = Enhancer("cpu", "fp32", data=tmp_path / "data")
    model = tmp_path / "weights" / "realesr-animevideov3.safetensors"

    def forget(*_: object) -> None:
        model.unlink(missing_ok=True)

    enhancer.run(photo_file, RAW, progress=forget)
    assert not model.exists()
    Image.fromarray(photo[::-1]).save(photo_file)
    assert not enhancer.run(photo_file, RAW).info["cached"]
    assert model.exists()
