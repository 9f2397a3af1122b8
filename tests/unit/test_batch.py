"""Many files: a table of what happened, a ZIP to take home."""

import csv
import io
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings
from enhance.batch import Running, apart, plan, write_csv, write_zip

RAW = Settings.preset("anime-fast")


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer("cpu", "fp32")


@pytest.fixture
def sources(photo, tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.tile(photo, (1 + number, 1, 1))).save(paths[-1])
    paths.insert(1, tmp_path / "bad.png")
    paths[1].write_bytes(b"no picture")
    return paths


def rows_of(batch) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write_csv(batch).lstrip("\ufeff"))))


def test_a_bad_file_is_named_with_its_reason_and_the_others_are_done(enhancer, sources, tmp_path):
    seen = []

    batch = Running(enhancer, RAW, plan(sources, tmp_path / "out"), changed=seen.append).run()

    assert [item.state for item in batch.items] == ["done", "failed", "done", "done"]
    assert "bad.png is not a picture" in str(batch.items[1].error)
    assert seen[-1].share == pytest.approx(1)
    assert [one.share for one in seen] == sorted(one.share for one in seen)
    rows = rows_of(batch)
    assert [row["state"] for row in rows] == ["done", "failed", "done", "done"]
    assert rows[3]["height"] == "480"
    assert rows[1]["reason"] == batch.items[1].error


def test_stop_keeps_what_is_done(enhancer, sources, tmp_path):
    stop = threading.Event()

    def after_the_first(batch):
        if batch.count("done") == 1:
            stop.set()

    batch = Running(enhancer, RAW, plan(sources, tmp_path / "out"), stop=stop, changed=after_the_first).run()

    assert [item.state for item in batch.items] == ["done", "failed", "cancelled", "cancelled"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]


def test_files_done_earlier_are_skipped_by_their_signature(enhancer, sources, tmp_path, monkeypatch):
    Running(enhancer, RAW, plan(sources, tmp_path / "out")).run()
    monkeypatch.setattr(enhancer.engine, "stream", None)

    batch = Running(enhancer, RAW, plan(sources, tmp_path / "out")).run()

    assert batch.count("done") == 3
    assert all(item.info["cached"] for item in batch.items if item.info)


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    twins = [*sources, sources[0]]
    batch = Running(enhancer, RAW, plan(twins, names=["a.jpg", "b.jpg", "a.png", "照片.png", "a.gif"])).run()
    (tmp_path / "summary.pdf").write_bytes(b"%PDF")

    archive = zipfile.ZipFile(write_zip(batch, tmp_path / "all.zip", summary=tmp_path / "summary.pdf"))

    assert archive.testzip() is None
    assert archive.namelist() == ["a.png", "a-2.png", "照片.png", "a-3.png", "report.csv", "summary.pdf"]
    fourth = batch.items[3].result
    assert fourth
    assert archive.read("照片.png") == fourth.read_bytes()
    assert [row["result"] for row in rows_of(batch)] == ["a.png", "", "a-2.png", "照片.png", "a-3.png"]


def test_no_name_becomes_a_formula_in_a_spreadsheet(enhancer, sources):
    batch = plan(sources[:1], names=["=cmd()|calc.png"])

    assert rows_of(batch)[0]["file"] == "'=cmd()|calc.png"


def test_equal_names_are_kept_apart_also_by_their_case():
    assert apart(["a.png", "A.png", "a.png"], ["b.png"]) == ["a.png", "A-2.png", "a-3.png"]
    assert apart(["b.png"], ["B.png"]) == ["b-2.png"]
