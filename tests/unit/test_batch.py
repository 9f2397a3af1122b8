"""Batches: the state of each file, its settings, the progress, the table and the ZIP file."""

import csv
import io
import time
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest

from enhance import Settings, StorageError
from enhance.jobs.archive import archive_names, pack
from enhance.jobs.batch import BatchFile, RunningBatch, plan
from enhance.jobs.inputs import with_targets
from enhance.report.batch_report import table
from enhance.store.names import ResultNames

from .runs import image

RAW = Settings.from_preset("anime-fast")


def run(enhancer, sources, folder=None, settings=RAW, **options):
    """Run a batch with results in `folder`, or in the store."""
    items = [BatchFile(path, Path(path.name)) for path in sources]
    planned = plan(with_targets(items), folder and ResultNames(folder))
    return RunningBatch(enhancer, settings, planned, **options).run()


@pytest.fixture
def sources(tmp_path):
    """a.png with 20 rows, bad.png, b.png with 40 rows and c.png with 60 rows."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    return [
        image(tmp_path / "a.png", side=20),
        bad,
        image(tmp_path / "b.png", side=40),
        image(tmp_path / "c.png", side=60),
    ]


def rows_of(batch):
    return list(csv.DictReader(io.StringIO(table(archive_names(batch), "en").lstrip("\ufeff"))))


def states(batch):
    return [item.state for item in batch.files]


def test_a_bad_file_fails_with_its_reason_and_the_others_are_done(enhancer, sources, tmp_path):
    shares = []

    def note(batch):
        shares.append(batch.share)

    batch = run(enhancer, sources, tmp_path / "out", on_change=note)

    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    rows = rows_of(batch)
    assert [row["state"] for row in rows] == states(batch) == ["done", "failed", "done", "done"]
    assert rows[3]["height"] == "240"
    assert "bad.png has an unsupported format" in rows[1]["reason"]


def test_an_impossible_size_is_rejected_before_the_first_run(enhancer, sources, tmp_path):
    settings = RAW.changed(long_side=920)  # c.png has 60 rows, which become 960 at most
    failed = []

    def note(batch):
        if batch.count("running"):
            failed.append(batch.count("failed"))

    batch = run(enhancer, sources, tmp_path / "out", settings, on_change=note)

    assert states(batch) == ["failed", "failed", "failed", "done"]
    assert failed[0] == 3


def test_a_failed_file_leaves_the_planned_time_of_the_others(enhancer, sources, monkeypatch):
    left = []

    def fail(*given, progress, **named):
        progress(0, 2, 30.0)
        raise MemoryError

    def note(batch):
        left.append(batch.seconds_left)

    monkeypatch.setattr(enhancer, "estimate", lambda *given: 50.0)
    monkeypatch.setattr(enhancer, "run", fail)
    run(enhancer, [sources[0], sources[3]], on_change=note)

    # Both files are checked. Then each starts, begins to be computed and fails.
    assert left == [None, None, None, 80, 50, 50, 50, 0]


def test_the_time_in_the_queue_does_not_change_the_time_left(enhancer, sources, monkeypatch):
    now = [0.0]
    left = []

    def work(*given, progress, options, **named):
        progress(0, 10, 10.0)
        for done in (4, 8):  # Each step takes as long as planned, and first waits.
            now[0] += 604
            options.job.wait_seconds += 600
            progress(done, 10, 10.0 - done)
        raise MemoryError

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(enhancer, "estimate", lambda *given: 10.0)
    monkeypatch.setattr(enhancer, "run", work)
    run(enhancer, [sources[0], sources[3]], on_change=lambda batch: left.append(batch.seconds_left))

    assert left[3:] == pytest.approx([20, 16, 12, 10, 10, 10, 6, 2, 0])


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    (tmp_path / "sub").mkdir()
    second = sources[2].rename(tmp_path / "sub/A.png")
    last = sources[3].rename(tmp_path / "照片.png")
    batch = run(enhancer, [*sources[:2], second, last])

    with zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW)) as archive:
        names = archive.namelist()
        assert archive.read("照片-4x.png") == Path(batch.files[3].result or "").read_bytes()
    results = ["a-4x.png", "A-4x-2.png", "照片-4x.png"]
    assert names == [*results, "report.csv", "summary.pdf"]
    assert [row["result"] for row in rows_of(batch) if row["result"]] == results


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_name_and_no_error_becomes_a_formula_in_a_spreadsheet_or_is_written_backwards(
    enhancer, tmp_path, first
):
    bad = tmp_path / f"{first}1+\u202e1.png"
    bad.write_bytes(b"no image")

    (row,) = rows_of(run(enhancer, [bad]))

    assert row["file"] == f"'{first}1+1.png"
    assert row["reason"].startswith(row["file"])


def test_a_report_that_cannot_be_written_does_not_affect_the_result(
    enhancer, sources, tmp_path, monkeypatch
):
    full = Mock(side_effect=StorageError("disk_full", name="a.pdf"))
    monkeypatch.setattr(enhancer, "write_report", full)

    (item,) = run(enhancer, sources[:1], tmp_path / "out", report="en").files

    assert (item.state, item.result) == ("done", tmp_path / "out" / "a.png")
    assert "a.pdf" in str(item.error)
