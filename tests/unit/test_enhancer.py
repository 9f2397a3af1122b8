"""Runs of the enhancer: tasks, output files, cached results, cancelling and reports."""

import hashlib
import json
import threading
import time
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from enhance import Cancelled, Encoding, EnhanceError, Enhancer, MemoryShortError, Settings
from enhance.scheduler import Ticket

from ..site import wait_until
from .pdf_text import text_of

RAW = Settings.from_preset("anime-fast")

pytestmark = pytest.mark.usefixtures("fresh_store")


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_run_without_output_becomes_a_task_with_all_documented_keys(enhancer, photo_file):
    result = enhancer.run(photo_file, RAW)

    info = result.info
    stored = enhancer.tasks.processed / f"{info['task_id']}.png"
    assert result.path == stored
    assert json.loads(stored.with_suffix(".json").read_text()) == info
    assert (enhancer.tasks.uploads / info["input"]["sha256"] / "photo.png").read_bytes() == photo_file.read_bytes()
    assert info["output"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert set(info) >= {
        *("task_id", "status", "signature", "preset", "settings", "input", "output", "model", "device", "precision"),
        *("tile", "seconds", "megapixels_per_second", "peak_memory_mb", "agreement_db", "fidelity_db", "cached"),
    }
    assert set(info["input"]) == {"name", "sha256", "width", "height", "mode", "bytes"}
    assert set(info["output"]) == {"path", "sha256", "width", "height", "bytes"}
    assert set(info["model"]) == {"name", "sha256", "source", "licence"}
    assert info["model"]["licence"] == "BSD-3-Clause"
    assert (info["status"], info["cached"], info["tile"], info["device"]) == ("done", False, 192, "cpu")
    assert (info["output"]["width"], info["output"]["height"]) == (224, 160)


def test_a_repeated_request_uses_the_cached_result(enhancer, photo_file, monkeypatch):
    first = enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    again = enhancer.run(photo_file, RAW)

    assert again.info["cached"]
    for name in ("seconds", "megapixels_per_second", "peak_memory_mb"):
        assert again.info[name] == first.info[name], "a cached result has the measurements of its run"
    assert again.info["task_id"] != first.info["task_id"]
    assert again.info["signature"] == first.info["signature"]
    assert again.path.read_bytes() == first.path.read_bytes()


def test_other_sliders_use_the_stored_output_of_the_network(enhancer, photo_file, monkeypatch):
    enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    grey = enhancer.run(photo_file, RAW.changed(saturation=0))

    assert np.ptp(pixels(grey.path), axis=2).max() <= 1
    assert not grey.info["cached"]
    assert grey.info["megapixels_per_second"] is None, "a stored output has no speed"


@pytest.mark.parametrize(("ending", "metadata"), [("png", "none"), ("jpg", "keep"), ("webp", "none")])
def test_an_existing_output_file_is_recognised_and_has_its_fidelity(enhancer, photo_file, tmp_path, ending, metadata):
    output = tmp_path / f"out.{ending}"
    encoding = Encoding.of_file(output, metadata=metadata)
    first = enhancer.run(photo_file, RAW, output=output, encoding=encoding).info
    written = output.stat().st_mtime_ns
    again = enhancer.run(photo_file, RAW, output=output, encoding=encoding).info

    assert (first["cached"], again["cached"]) == (False, True)
    assert output.stat().st_mtime_ns == written
    assert again["output"] == first["output"]
    assert again["fidelity_db"] == first["fidelity_db"] > 20
    assert not enhancer.run(photo_file, RAW.changed(contrast=1.2), output=output, encoding=encoding).info["cached"]


def test_a_cancelled_run_leaves_no_file(enhancer, photo_file):
    stop = threading.Event()

    with pytest.raises(Cancelled):
        enhancer.run(photo_file, RAW, progress=lambda *_: stop.set(), stop=stop)
    assert list(enhancer.tasks.processed.glob("*")) == list(enhancer.tasks.folder.rglob("*.part")) == []


def test_a_run_that_is_cancelled_while_it_writes_leaves_no_partial_file(enhancer, photo, tmp_path):
    Image.fromarray(np.tile(photo, (40, 1, 1))).save(tmp_path / "tall.png")
    stop, sizes, steps = threading.Event(), [], []

    def progress(done, total, left):
        steps.append(done / total)
        sizes.extend(path.stat().st_size for path in enhancer.tasks.folder.rglob("*.part"))
        if any(sizes):
            stop.set()

    with pytest.raises(Cancelled):
        enhancer.run(tmp_path / "tall.png", RAW, progress=progress, stop=stop)

    assert 0 < steps[-1] < 1
    assert any(sizes), "no partial file had content when the run was cancelled"
    assert list(enhancer.tasks.folder.rglob("*.part")) == []
    assert list(enhancer.tasks.network.glob("*")) == list(enhancer.tasks.processed.glob("*")) == []


def test_cleaning_deletes_no_files_of_a_run(enhancer, photo_file):
    enhancer.tasks = type(enhancer.tasks)(enhancer.tasks.folder, hours=1e-9, max_disk=1)

    result = enhancer.run(photo_file, RAW.changed(sharpen=0.5), progress=lambda *_: enhancer.tasks.clean())

    upload = enhancer.tasks.uploads / result.info["input"]["sha256"] / "photo.png"
    assert (upload.exists(), result.path.exists()) == (True, True)
    enhancer.tasks.clean()
    assert (upload.exists(), result.path.exists()) == (False, False)


def test_a_held_result_is_not_deleted(enhancer, photo_file):
    enhancer.tasks = type(enhancer.tasks)(enhancer.tasks.folder, max_disk=1)

    with ExitStack() as hold:
        result = enhancer.run(photo_file, RAW, hold=hold)
        enhancer.tasks.clean()
        assert result.path.exists()
    enhancer.tasks.clean()
    assert not result.path.exists()


def test_the_time_of_the_network_excludes_the_queue(enhancer, photo, photo_file, tmp_path):
    results = []
    waiting = threading.Thread(target=lambda: results.append(enhancer.run(photo_file, RAW).info["seconds"]))
    with enhancer.scheduler.queue_job(Ticket()):
        waiting.start()
        wait_until(lambda: enhancer.scheduler.count() == 2)
        time.sleep(0.3)
    waiting.join()

    (seconds,) = results
    assert seconds["wait"] >= 0.25
    stages = sum(seconds[name] for name in ("wait", "decode", "network", "tuning", "encode"))
    assert stages <= seconds["total"] + 0.01
    assert seconds["network"] < seconds["total"] - seconds["wait"] + 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2)])
def test_tiny_images_work(enhancer, tmp_path, size):
    Image.new("RGB", size, (200, 30, 90)).save(tmp_path / "tiny.png")

    result = enhancer.run(tmp_path / "tiny.png", RAW.changed(sharpen=1))

    assert pixels(result.path).shape == (4 * size[1], 4 * size[0], 3)


def test_grey_stays_grey_and_16_bits_stay_16(enhancer, photo, tmp_path):
    grey = Image.fromarray(photo).convert("L")
    grey.save(tmp_path / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")

    shallow, deep = (enhancer.run(tmp_path / name, RAW).path for name in ("grey.png", "deep.png"))

    assert Image.open(shallow).mode == "L"
    assert pixels(deep).dtype == np.uint16
    assert np.abs(pixels(deep) / 257 - pixels(shallow)).max() <= 1


def test_a_finished_task_has_a_report_in_both_languages_on_any_of_its_files(enhancer, photo_file, tmp_path):
    task_id = enhancer.run(photo_file, RAW).info["task_id"]

    english, chinese = enhancer.report(task_id), enhancer.report(task_id, "zh-CN")

    assert english != chinese
    assert english == enhancer.report(task_id)
    assert all(path.read_bytes().startswith(b"%PDF") for path in (english, chinese))
    webp = text_of(enhancer.report(task_id, encoding=Encoding("webp", 70)), tmp_path, page=2)
    assert "WebP, quality 70" in webp
    assert f"{photo_file.stem}-4x.webp" in webp
    with pytest.raises(EnhanceError, match="does not exist"):
        enhancer.report("0" * 32)


def test_a_lack_of_memory_after_the_network_is_an_error(enhancer, photo_file, monkeypatch):
    for allocate_too_much in (
        lambda *_: np.empty(1 << 50, np.uint8),
        lambda *_: cv2.resize(np.zeros((9, 9), np.uint8), (1 << 25, 1 << 25)),
        lambda *_: torch.empty(1 << 50, dtype=torch.uint8),
    ):
        monkeypatch.setattr("enhance.output.tuning.Tuning.rows", allocate_too_much)
        with pytest.raises(MemoryShortError, match="Not enough memory"):
            enhancer.run(photo_file, RAW)
    assert [*enhancer.tasks.folder.rglob("*.part")] == []


def test_weights_that_are_removed_between_runs_are_restored(photo, photo_file, tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    enhancer = Enhancer("cpu", "fp32", data=tmp_path / "data")
    model = tmp_path / "weights" / "realesr-animevideov3.bin"

    def forget(*_: object) -> None:
        model.unlink(missing_ok=True)

    enhancer.run(photo_file, RAW, progress=forget)
    assert not model.exists()
    Image.fromarray(photo[::-1]).save(photo_file)
    assert not enhancer.run(photo_file, RAW).info["cached"]
    assert model.exists()
