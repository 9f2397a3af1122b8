"""Batches: the state of each file, its settings, the progress, the table and the ZIP file."""

import csv
import io
import threading
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from enhance import Settings, StorageError
from enhance.images import read_image
from enhance.jobs.archive import lines_of, pack
from enhance.jobs.batch import BatchFile, RunningBatch, plan, with_nearest_size
from enhance.jobs.inputs import with_targets
from enhance.report.batch_report import table
from enhance.store.names import ResultNames

from ..site import busy_device, wait_until
from .runs import names

RAW = Settings.from_preset("anime-fast")


def batch_of(*sources, folder=None, **settings):
    """Return a batch with results in `folder`, or in the store. `settings` are by the stem of a
    file."""
    items = [BatchFile(path, Path(path.name), settings=settings.get(path.stem)) for path in sources]
    return plan(with_targets(items), folder and ResultNames(folder))


@pytest.fixture
def sources(photo, tmp_path):
    """a.png with 20 rows, bad.png, b.png with 40 rows and c.png with 60 rows."""
    for rows, name in enumerate(("a", "b", "c"), 1):
        Image.fromarray(np.tile(photo[:20, :28], (rows, 1, 1))).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    return [tmp_path / f"{name}.png" for name in ("a", "bad", "b", "c")]


def rows_of(batch):
    return list(csv.DictReader(io.StringIO(table(lines_of(batch, "en")).lstrip("\ufeff"))))


def states(batch):
    return [item.state for item in batch.files]


def test_a_bad_file_fails_with_its_reason_and_the_others_are_done(enhancer, sources, tmp_path):
    shares = []
    planned = batch_of(*sources, folder=tmp_path / "out")

    def note(batch):
        shares.append(batch.share)

    batch = RunningBatch(enhancer, RAW, planned, on_change=note).run()

    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    rows = rows_of(batch)
    assert [row["state"] for row in rows] == states(batch) == ["done", "failed", "done", "done"]
    assert rows[3]["height"] == "240"
    assert rows[1]["reason"] == str(batch.files[1].error)
    assert "bad.png has an unsupported format" in rows[1]["reason"]


def test_an_impossible_size_is_rejected_before_the_first_run(enhancer, sources, tmp_path):
    settings = RAW.changed(long_side=920)  # c.png has 60 rows, which become 960 at most
    failed = []

    def note(batch):
        if batch.count("running"):
            failed.append(batch.count("failed"))

    planned = batch_of(*sources, folder=tmp_path / "out")
    batch = RunningBatch(enhancer, settings, planned, on_change=note).run()

    assert states(batch) == ["failed", "failed", "failed", "done"]
    assert "Use 448 or less" in str(batch.files[0].error)
    assert failed[0] == 3


def test_a_file_can_have_its_own_settings(enhancer, sources, tmp_path):
    out = tmp_path / "out"
    planned = batch_of(sources[0], sources[2], folder=out, b=RAW.changed(long_side=90))
    RunningBatch(enhancer, RAW.changed(long_side=60), planned).run()
    assert Image.open(out / "a.png").size == (60, 43)
    assert Image.open(out / "b.png").size == (63, 90)


def test_the_progress_and_the_time_left_follow_the_expected_work_of_uncached_files(
    enhancer, sources, tmp_path
):
    out = tmp_path / "out"
    cached, _, first, second = sources
    RunningBatch(enhancer, RAW, batch_of(cached, folder=out)).run()
    seen = {}

    def note(batch):
        seen[batch.count("done"), batch.count("waiting")] = batch

    planned = batch_of(cached, first, second, folder=out)
    RunningBatch(enhancer, RAW, planned, on_change=note).run()

    assert seen[1, 2].seconds_left is None
    after_the_first = seen[2, 1]
    work = [item.pixels for item in after_the_first.files]
    assert after_the_first.share == pytest.approx(sum(work[:2]) / sum(work))
    assert after_the_first.seconds_left


def test_a_cancelled_batch_keeps_finished_results(enhancer, sources, tmp_path):
    stop = threading.Event()

    def stop_after_the_first(batch):
        if batch.count("done") == 1:
            stop.set()

    planned = batch_of(*sources, folder=tmp_path / "out")
    batch = RunningBatch(enhancer, RAW, planned, stop=stop, on_change=stop_after_the_first).run()

    assert states(batch) == ["done", "failed", "cancelled", "cancelled"]
    assert names(tmp_path / "out") == ["a.png"]


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    copies = [folder / name for name in ("a.jpg", "b.jpg", "A.png", "照片.png")]
    for path, copy in zip(sources, copies, strict=True):
        path.rename(copy)
    batch = RunningBatch(enhancer, RAW, batch_of(*copies)).run()
    results = ["a-4x.png", "A-4x-2.png", "照片-4x.png"]

    with zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*results, "report.csv", "summary.pdf"]
        assert archive.read("照片-4x.png") == Path(batch.files[3].result or "").read_bytes()
    assert [row["result"] for row in rows_of(batch) if row["result"]] == results


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_name_and_no_error_becomes_a_formula_in_a_spreadsheet_or_is_written_backwards(
    enhancer, tmp_path, first
):
    bad = tmp_path / f"{first}1+\u202e1.png"
    bad.write_bytes(b"no image")

    (row,) = rows_of(RunningBatch(enhancer, RAW, batch_of(bad)).run())

    assert row["file"] == f"'{first}1+1.png"
    assert row["reason"].startswith(f"'{first}1+1.png has an unsupported format")


def test_a_report_that_cannot_be_written_does_not_affect_the_result(
    enhancer, sources, tmp_path, monkeypatch
):
    full = Mock(side_effect=StorageError("disk_full", name="a.pdf"))
    monkeypatch.setattr(enhancer, "write_report", full)
    planned = batch_of(sources[0], folder=tmp_path / "out")

    (item,) = RunningBatch(enhancer, RAW, planned, report="en").run().files

    assert (item.state, item.result) == ("done", tmp_path / "out" / "a.png")
    assert "a.pdf" in str(item.error)


def test_a_queued_batch_decodes_nothing_and_reports_its_position(
    enhancer, sources, tmp_path, monkeypatch
):
    decode = Mock(side_effect=read_image)
    monkeypatch.setattr("enhance.enhancer.read_image", decode)
    batch = RunningBatch(enhancer, RAW, batch_of(*sources[2:], folder=tmp_path / "out"), caller="c")

    with busy_device(enhancer.scheduler, 2):
        waiting = threading.Thread(target=batch.run)
        waiting.start()
        wait_until(lambda: batch.ahead == 2)
        assert not decode.called
    waiting.join()

    assert (batch.batch.count("done"), batch.ahead) == (2, 0)
    assert [call.args[0].name for call in decode.mock_calls] == ["b.png", "c.png"]


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        (Settings("gentle", long_side=2048), Settings("gentle", long_side=1920)),
        (Settings("gentle", long_side=4), Settings("gentle", long_side=8)),
        (Settings("gentle", scale=4), None),
    ],
)
def test_a_photo_that_cannot_have_the_size_gets_the_nearest_one(settings, own):
    item = BatchFile(Path("crew.png"), Path("crew.png"), size=(30, 120))
    assert with_nearest_size(item, settings).settings == own
