"""Runs of the enhancer: tasks, output files, cached results, cancelling and lack of memory."""

import hashlib
import json
import threading
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from PIL import Image

from enhance import (
    Cancelled,
    Encoding,
    MemoryShortError,
    Settings,
    StorageError,
)
from enhance.pipeline import RunOptions

from .stored_results import files_of

RAW = Settings.from_preset("anime-fast")
DOCUMENTED = {
    *("task_id", "status", "signature", "preset", "settings", "input", "output", "model"),
    *("device", "precision", "tile", "seconds", "megapixels_per_second", "peak_memory_mb"),
    *("agreement_db", "fidelity_db", "cached"),
}

pytestmark = pytest.mark.usefixtures("fresh_store")


def partial_files(enhancer):
    return list(enhancer.tasks.folder.rglob("*.part"))


def test_a_run_without_output_becomes_a_task_with_all_documented_keys(enhancer, photo_file):
    result = enhancer.run(photo_file, RAW)

    info = result.info
    assert result.path == enhancer.tasks.processed / f"{info['task_id']}.png"
    assert json.loads(result.path.with_suffix(".json").read_text()) == info
    assert info["output"]["sha256"] == hashlib.sha256(result.path.read_bytes()).hexdigest()
    assert info.keys() >= DOCUMENTED
    assert info["input"].keys() == {"name", "sha256", "width", "height", "mode", "bytes"}
    assert info["output"].keys() == {"path", "sha256", "width", "height", "bytes"}
    assert info["model"].keys() == {"name", "sha256", "source", "licence"}
    assert info["peak_memory_mb"] > 0


def test_neither_a_repeated_request_nor_other_sliders_run_the_network(
    enhancer, photo_file, monkeypatch
):
    first = enhancer.run(photo_file, RAW)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    again = enhancer.run(photo_file, RAW)
    grey = enhancer.run(photo_file, RAW.changed(saturation=0))

    assert again.info["cached"]
    for name in ("signature", "seconds", "megapixels_per_second", "peak_memory_mb"):
        assert again.info[name] == first.info[name]
    assert again.info["task_id"] != first.info["task_id"]
    assert again.path.read_bytes() == first.path.read_bytes()
    assert not grey.info["cached"]
    assert np.ptp(grey.array, axis=2).max() <= 1
    assert grey.info["megapixels_per_second"] is None, "a stored output of the network has no speed"


@pytest.mark.parametrize(("ending", "metadata"), [("png", "none"), ("jpg", "keep")])
def test_an_existing_output_file_is_recognised_and_has_its_fidelity(
    enhancer, photo_file, tmp_path, ending, metadata
):
    output = tmp_path / f"out.{ending}"
    options = {"output": output, "encoding": Encoding.of_file(output, metadata=metadata)}

    first = enhancer.run(photo_file, RAW, **options).info
    written = output.stat().st_mtime_ns
    again = enhancer.run(photo_file, RAW, **options).info

    assert (first["cached"], again["cached"]) == (False, True)
    assert output.stat().st_mtime_ns == written
    assert again["output"] == first["output"]
    assert again["fidelity_db"] == first["fidelity_db"] > 20
    assert not enhancer.run(photo_file, RAW.changed(contrast=1.2), **options).info["cached"]


@pytest.mark.usefixtures("fresh_store")
def test_progress_counts_the_rows_of_the_photo_until_the_result_is_written(enhancer, photo_file):
    reports = []
    result = enhancer.run(photo_file, RAW, progress=lambda *report: reports.append(report))

    done, total, left = zip(*reports, strict=True)
    assert {*total} == {result.info["input"]["height"]} == {40}
    assert list(done) == sorted(done)
    assert (done[0], done[-1]) == (0, 39)
    assert left[0] > 0
    assert left[-1] == pytest.approx(0)


def test_a_run_that_is_cancelled_while_it_writes_leaves_no_file(enhancer, photo, tmp_path):
    Image.fromarray(np.tile(photo, (40, 1, 1))).save(tmp_path / "tall.png")
    stop = threading.Event()

    def stop_while_it_writes(done, total, left):
        if any(path.stat().st_size for path in partial_files(enhancer)):
            assert 0 < done < total
            stop.set()

    with pytest.raises(Cancelled):
        enhancer.run(tmp_path / "tall.png", RAW, progress=stop_while_it_writes, stop=stop)

    assert {name.split("/")[0] for name in files_of(enhancer.tasks.folder)} == {"uploads"}


def test_a_full_disk_is_an_error_and_keeps_the_earlier_result(
    enhancer, photo_file, tmp_path, request
):
    output = tmp_path / "out" / "out.png"
    before = enhancer.run(photo_file, RAW, output=output).path.read_bytes()
    request.getfixturevalue("full_disk")

    with pytest.raises(StorageError, match=r"Not enough disk space to save out\.png"):
        enhancer.run(photo_file, RAW.changed(sharpen=0.5), output=output)

    assert [path.read_bytes() for path in output.parent.iterdir()] == [before]


def test_cleaning_deletes_no_files_of_a_run_and_no_held_result(enhancer, photo_file):
    enhancer.tasks = tasks = type(enhancer.tasks)(enhancer.tasks.folder, hours=1e-9, max_disk=1)

    with ExitStack() as hold:
        options = RunOptions(hold=hold)
        result = enhancer.run(photo_file, RAW, progress=lambda *_: tasks.clean(), options=options)
        assert list(tasks.uploads.iterdir())
        tasks.clean()
        assert not list(tasks.uploads.iterdir())
        assert result.path.exists()
    tasks.clean()
    assert not result.path.exists()


@pytest.mark.parametrize(
    "allocate_too_much",
    [
        lambda *_: np.empty(1 << 50, np.uint8),
        lambda *_: cv2.resize(np.zeros((9, 9), np.uint8), (1 << 25, 1 << 25)),
    ],
)
def test_a_lack_of_memory_after_the_network_is_an_error(
    enhancer, photo_file, monkeypatch, allocate_too_much
):
    monkeypatch.setattr("enhance.restore.tuning.ResultRows.rows", allocate_too_much)
    with pytest.raises(MemoryShortError, match="Not enough memory"):
        enhancer.run(photo_file, RAW)
    assert partial_files(enhancer) == []
