"""Batches: the state of each file, its settings, the progress, the table and the ZIP file."""

import csv
import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings, StorageError
from enhance.images import read_image
from enhance.jobs.archive import lines_of, pack
from enhance.jobs.batch import Batch, BatchFile, RunningBatch, plan, with_nearest_size
from enhance.jobs.inputs import with_targets
from enhance.report.batch_report import table
from enhance.store.names import ResultNames

from ..site import busy_device, wait_until

RAW = Settings.from_preset("anime-fast")


def batch_of(*sources: Path, folder: Path | None = None, **settings: Settings) -> Batch:
    """Return a batch with results in `folder`, or in the store. `settings` are by the stem of a
    file."""
    items = [BatchFile(path, Path(path.name), settings=settings.get(path.stem)) for path in sources]
    return plan(with_targets(items), folder and ResultNames(folder))


@pytest.fixture
def sources(photo, tmp_path) -> list[Path]:
    """a.png with 20 rows, bad.png, b.png with 40 rows and c.png with 60 rows."""
    paths = [tmp_path / f"{name}.png" for name in ("a", "b", "c")]
    for rows, path in enumerate(paths, 1):
        Image.fromarray(np.tile(photo[:20, :28], (rows, 1, 1))).save(path)
    paths.insert(1, tmp_path / "bad.png")
    paths[1].write_bytes(b"no image")
    return paths


def rows_of(batch: Batch) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(lines_of(batch, "en")).lstrip("\ufeff"))))


def states(batch: Batch) -> list[str]:
    return [item.state for item in batch.files]


def test_a_bad_file_fails_with_its_reason_and_the_others_are_done(enhancer, sources, tmp_path):
    seen: list[Batch] = []

    batch = RunningBatch(
        enhancer, RAW, batch_of(*sources, folder=tmp_path / "out"), on_change=seen.append
    ).run()

    shares = [one.share for one in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    rows = rows_of(batch)
    assert [row["state"] for row in rows] == states(batch) == ["done", "failed", "done", "done"]
    assert rows[3]["height"] == "240"
    assert rows[1]["reason"] == str(batch.files[1].error)
    assert "bad.png has an unsupported format" in rows[1]["reason"]


def test_an_impossible_size_is_rejected_before_the_first_run(enhancer, sources, tmp_path):
    seen: list[Batch] = []
    settings = RAW.changed(long_side=920)  # c.png has 60 rows, which become 960 at most

    planned = batch_of(*sources, folder=tmp_path / "out")
    batch = RunningBatch(enhancer, settings, planned, on_change=seen.append).run()

    assert states(batch) == ["failed", "failed", "failed", "done"]
    assert "Use 448 or less" in str(batch.files[0].error)
    assert next(one.count("failed") for one in seen if one.count("running")) == 3


def test_a_file_can_have_its_own_settings(enhancer, sources, tmp_path):
    planned = batch_of(sources[0], sources[2], folder=tmp_path / "out", b=RAW.changed(long_side=90))
    batch = RunningBatch(enhancer, RAW.changed(long_side=60), planned).run()
    assert [Image.open(item.result or item.source).size for item in batch.files] == [
        (60, 43),
        (63, 90),
    ]


def test_the_progress_and_the_time_left_follow_the_expected_work_of_uncached_files(
    enhancer, sources, tmp_path
):
    cached, first, second = sources[0], sources[2], sources[3]
    RunningBatch(enhancer, RAW, batch_of(cached, folder=tmp_path / "out")).run()
    seen: list[Batch] = []

    planned = batch_of(cached, first, second, folder=tmp_path / "out")
    RunningBatch(enhancer, RAW, planned, on_change=seen.append).run()

    after_the_first = [one for one in seen if one.count("done") == 2 and one.count("waiting") == 1][
        -1
    ]
    work = [item.pixels for item in after_the_first.files]
    assert after_the_first.share == pytest.approx(sum(work[:2]) / sum(work))
    assert after_the_first.seconds_left
    assert [
        one.seconds_left for one in seen if one.count("done") == 1 and one.count("waiting") == 2
    ] == [None] * 2


def test_a_cancelled_batch_keeps_finished_results(enhancer, sources, tmp_path):
    stop = threading.Event()

    def after_the_first(batch: Batch) -> None:
        if batch.count("done") == 1:
            stop.set()

    planned = batch_of(*sources, folder=tmp_path / "out")
    batch = RunningBatch(enhancer, RAW, planned, stop=stop, on_change=after_the_first).run()

    assert states(batch) == ["done", "failed", "cancelled", "cancelled"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    copies = [
        path.rename(folder / name)
        for path, name in zip(sources, ("a.jpg", "b.jpg", "A.png", "照片.png"), strict=True)
    ]
    batch = RunningBatch(enhancer, RAW, batch_of(*copies)).run()

    with zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "a-4x.png",
            "A-4x-2.png",
            "照片-4x.png",
            "report.csv",
            "summary.pdf",
        ]
        last = batch.files[3].result
        assert last
        assert archive.read("照片-4x.png") == last.read_bytes()
    assert [row["result"] for row in rows_of(batch)] == [
        "a-4x.png",
        "",
        "A-4x-2.png",
        "照片-4x.png",
    ]


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
    def full(*_, **__):
        raise StorageError("disk_full", name="a.pdf")

    monkeypatch.setattr(enhancer, "write_report", full)

    (item,) = (
        RunningBatch(enhancer, RAW, batch_of(sources[0], folder=tmp_path / "out"), report="en")
        .run()
        .files
    )

    assert (item.state, item.result) == ("done", tmp_path / "out" / "a.png")
    assert "a.pdf" in str(item.error)


def test_a_queued_batch_decodes_nothing_and_reports_its_position(
    enhancer, sources, tmp_path, monkeypatch
):
    decoded, read = [], read_image
    monkeypatch.setattr(
        "enhance.enhancer.read_image", lambda *a, **n: decoded.append(a[0].name) or read(*a, **n)
    )
    planned = batch_of(*sources[2:], folder=tmp_path / "out")
    batch = RunningBatch(enhancer, RAW, planned, caller="c")

    with busy_device(enhancer.scheduler, 2):
        waiting = threading.Thread(target=batch.run)
        waiting.start()
        wait_until(lambda: batch.ahead == 2)
        assert decoded == []
    waiting.join()

    assert (batch.batch.count("done"), batch.ahead) == (2, 0)
    assert decoded == ["b.png", "c.png"]


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
