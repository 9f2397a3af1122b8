"""Runs of the enhancer: tasks, output files, cached results, cancelling and reports."""

import hashlib
import json
import threading
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from enhance import (
    Cancelled,
    Encoding,
    EnhanceError,
    Enhancer,
    MemoryShortError,
    Settings,
    StorageError,
)
from enhance.pipeline import RunOptions

from .pdf_text import text_of

RAW = Settings.from_preset("anime-fast")

pytestmark = pytest.mark.usefixtures("fresh_store")


def partial_files(enhancer: Enhancer) -> list[Path]:
    return list(enhancer.tasks.folder.rglob("*.part"))


def test_a_run_without_output_becomes_a_task_with_all_documented_keys(enhancer, photo_file):
    result = enhancer.run(photo_file, RAW)

    info = result.info
    stored = enhancer.tasks.processed / f"{info['task_id']}.png"
    assert result.path == stored
    assert json.loads(stored.with_suffix(".json").read_text()) == info
    assert (
        enhancer.tasks.uploads / info["input"]["sha256"] / "photo.png"
    ).read_bytes() == photo_file.read_bytes()
    assert info["output"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert set(info) >= {
        *(
            "task_id",
            "status",
            "signature",
            "preset",
            "settings",
            "input",
            "output",
            "model",
            "device",
            "precision",
        ),
        *(
            "tile",
            "seconds",
            "megapixels_per_second",
            "peak_memory_mb",
            "agreement_db",
            "fidelity_db",
            "cached",
        ),
    }
    assert set(info["input"]) == {"name", "sha256", "width", "height", "mode", "bytes"}
    assert set(info["output"]) == {"path", "sha256", "width", "height", "bytes"}
    assert set(info["model"]) == {"name", "sha256", "source", "licence"}
    assert info["model"]["licence"] == "BSD-3-Clause"
    assert (info["status"], info["cached"], info["tile"], info["device"]) == (
        "done",
        False,
        192,
        "cpu",
    )
    assert (info["output"]["width"], info["output"]["height"]) == (224, 160)


def test_a_repeated_request_and_other_sliders_do_not_run_the_network(
    enhancer, photo_file, monkeypatch
):
    first = enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    again, grey = enhancer.run(photo_file, RAW), enhancer.run(photo_file, RAW.changed(saturation=0))

    assert again.info["cached"]
    for name in ("signature", "seconds", "megapixels_per_second", "peak_memory_mb"):
        assert again.info[name] == first.info[name], (
            "a cached result has the measurements of its run"
        )
    assert again.info["task_id"] != first.info["task_id"]
    assert again.path.read_bytes() == first.path.read_bytes()
    assert np.ptp(grey.array, axis=2).max() <= 1
    assert not grey.info["cached"]
    assert grey.info["megapixels_per_second"] is None, "a stored output of the network has no speed"


@pytest.mark.parametrize(
    ("ending", "metadata"), [("png", "none"), ("jpg", "keep"), ("webp", "none")]
)
def test_an_existing_output_file_is_recognised_and_has_its_fidelity(
    enhancer, photo_file, tmp_path, ending, metadata
):
    output = tmp_path / f"out.{ending}"
    encoding = Encoding.of_file(output, metadata=metadata)

    def run(settings: Settings = RAW) -> dict:
        return enhancer.run(photo_file, settings, output=output, encoding=encoding).info

    first = run()
    written = output.stat().st_mtime_ns
    again = run()

    assert (first["cached"], again["cached"]) == (False, True)
    assert output.stat().st_mtime_ns == written
    assert again["output"] == first["output"]
    assert again["fidelity_db"] == first["fidelity_db"] > 20
    assert not run(RAW.changed(contrast=1.2))["cached"]


def test_a_run_that_is_cancelled_while_it_writes_leaves_no_file(enhancer, photo, tmp_path):
    Image.fromarray(np.tile(photo, (40, 1, 1))).save(tmp_path / "tall.png")
    stop, sizes, steps = threading.Event(), [], []

    def progress(done, total, left):
        steps.append(done / total)
        sizes.extend(path.stat().st_size for path in partial_files(enhancer))
        if any(sizes):
            stop.set()

    with pytest.raises(Cancelled):
        enhancer.run(tmp_path / "tall.png", RAW, progress=progress, stop=stop)

    assert 0 < steps[-1] < 1
    assert any(sizes), "no partial file had content when the run was cancelled"
    tasks = enhancer.tasks
    assert (
        partial_files(enhancer)
        == list(tasks.network.glob("*"))
        == list(tasks.processed.glob("*"))
        == []
    )


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_a_full_disk_is_an_error_and_keeps_the_earlier_result(
    enhancer, photo_file, tmp_path, request, name
):
    output = tmp_path / "out" / name
    before = enhancer.run(photo_file, RAW, output=output).path.read_bytes()
    request.getfixturevalue("full_disk")

    with pytest.raises(StorageError, match=f"Not enough disk space to save {name}"):
        enhancer.run(photo_file, RAW.changed(sharpen=0.5), output=output)

    assert [path.read_bytes() for path in output.parent.iterdir()] == [before]


def test_cleaning_deletes_no_files_of_a_run_and_no_held_result(enhancer, photo_file):
    enhancer.tasks = tasks = type(enhancer.tasks)(enhancer.tasks.folder, hours=1e-9, max_disk=1)

    with ExitStack() as hold:
        result = enhancer.run(
            photo_file, RAW, progress=lambda *_: tasks.clean(), options=RunOptions(hold=hold)
        )
        upload = tasks.uploads / result.info["input"]["sha256"] / "photo.png"
        assert upload.exists()
        tasks.clean()
        assert (upload.exists(), result.path.exists()) == (False, True)
    tasks.clean()
    assert not result.path.exists()


def test_grey_stays_grey_and_16_bits_stay_16(enhancer, photo):
    grey = np.asarray(Image.fromarray(photo).convert("L"))

    shallow, deep = (enhancer.run(one, RAW).array for one in (grey, grey.astype(np.uint16) * 257))

    assert shallow.shape == (160, 224, 1)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - shallow).max() <= 1


def test_a_finished_task_has_a_report_in_both_languages_on_any_of_its_files(
    enhancer, photo_file, tmp_path
):
    task_id = enhancer.run(photo_file, RAW).info["task_id"]

    english, chinese = enhancer.report(task_id), enhancer.report(task_id, "zh-CN")

    assert english == enhancer.report(task_id)
    assert english != chinese
    assert all(path.read_bytes().startswith(b"%PDF") for path in (english, chinese))
    webp = text_of(enhancer.report(task_id, encoding=Encoding("webp", 70)), tmp_path, page=2)
    assert "WebP, quality 70" in webp
    assert "photo-4x.webp" in webp
    with pytest.raises(EnhanceError, match="does not exist"):
        enhancer.report("0" * 32)


@pytest.mark.parametrize(
    "allocate_too_much",
    [
        lambda *_: np.empty(1 << 50, np.uint8),
        lambda *_: cv2.resize(np.zeros((9, 9), np.uint8), (1 << 25, 1 << 25)),
        lambda *_: torch.empty(1 << 50, dtype=torch.uint8),
    ],
)
def test_a_lack_of_memory_after_the_network_is_an_error(
    enhancer, photo_file, monkeypatch, allocate_too_much
):
    monkeypatch.setattr("enhance.restore.tuning.Tuning.rows", allocate_too_much)
    with pytest.raises(MemoryShortError, match="Not enough memory"):
        enhancer.run(photo_file, RAW)
    assert partial_files(enhancer) == []
