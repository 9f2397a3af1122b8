"""Batches: the state of each file, the summary table, the ZIP file, and folders that are processed again."""

import csv
import io
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Encoding, Settings, StorageError
from enhance.batch import BatchRun, Item, plan
from enhance.batch_archive import lines_of, pack
from enhance.batch_inputs import find_images
from enhance.images import read_image
from enhance.output.names import ResultNames
from enhance.output.result import write_png
from enhance.report import table

from ..api.test_endpoints import wait_until
from ..site import busy_device

RAW = Settings.from_preset("anime-fast")


def batch_for(sources, folder=None, names=None):
    """Return a batch of files, with other names if given."""
    named = zip(sources, names or [path.name for path in sources], strict=True)
    return plan((Item(path, Path(name)) for path, name in named), folder and ResultNames(folder))


@pytest.fixture
def sources(photo, tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.tile(photo[:20, :28], (1 + number, 1, 1))).save(paths[-1])
    paths.insert(1, tmp_path / "bad.png")
    paths[1].write_bytes(b"no image")
    return paths


def rows_of(batch) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(lines_of(batch, "en")).lstrip("\ufeff"))))


def test_a_bad_file_fails_with_its_reason_and_the_others_are_done(enhancer, sources, tmp_path):
    seen = []

    batch = BatchRun(enhancer, RAW, batch_for(sources, tmp_path / "out"), on_change=seen.append).run()

    assert [item.state for item in batch.items] == ["done", "failed", "done", "done"]
    assert "bad.png has an unsupported format" in str(batch.items[1].error)
    assert seen[-1].share == pytest.approx(1)
    assert [one.share for one in seen] == sorted(one.share for one in seen)
    rows = rows_of(batch)
    assert [row["state"] for row in rows] == ["done", "failed", "done", "done"]
    assert rows[3]["height"] == "240"
    assert rows[1]["reason"] == str(batch.items[1].error)


def test_an_impossible_size_is_rejected_by_the_header_of_the_file(enhancer, sources, tmp_path):
    seen = []
    settings = RAW.changed(long_side=920)  # 2.png has 60 rows, which become 960 at most

    batch = BatchRun(enhancer, settings, batch_for(sources, tmp_path / "out"), on_change=seen.append).run()

    assert [item.state for item in batch.items] == ["failed", "failed", "failed", "done"]
    assert "Use 448 or less" in str(batch.items[0].error)
    begun = next(one for one in seen if one.count("running"))
    assert begun.count("failed") == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2.png"]


def test_a_file_can_have_its_own_settings(enhancer, sources, tmp_path):
    items = [Item(path, Path(path.name)) for path in (sources[0], sources[2])]
    items[1] = replace(items[1], settings=RAW.changed(long_side=90))

    batch = BatchRun(enhancer, RAW.changed(long_side=60), plan(items, ResultNames(tmp_path / "out"))).run()

    assert [Image.open(item.result or item.source).size for item in batch.items] == [(60, 43), (63, 90)]


def test_the_progress_follows_the_expected_work_of_the_files(enhancer, sources, tmp_path):
    shares, items = [], [Item(path, Path(path.name)) for path in (sources[0], sources[3])]

    def note(batch):
        if batch.count("done") == 1 and batch.count("waiting") == 1:
            shares.append((batch.share, batch.seconds_left))

    def work(item):
        return 9 if item.source == sources[0] else 1

    BatchRun(enhancer, RAW, plan(items, ResultNames(tmp_path / "out")), on_change=note, work=work).run()

    share, seconds_left = shares[-1]
    assert share == pytest.approx(0.9)
    assert seconds_left > 0


def test_an_unexpected_error_fails_only_its_file(enhancer, sources, tmp_path, monkeypatch, caplog):
    write = write_png

    def broken_once(rows, path, **options):
        if path.name == "0.png":
            raise RuntimeError("a broken filter")
        return write(rows, path, **options)

    monkeypatch.setattr("enhance.pipeline.write_png", broken_once)

    batch = BatchRun(enhancer, RAW, batch_for(sources, tmp_path / "out")).run()

    assert [item.state for item in batch.items] == ["failed", "failed", "done", "done"]
    assert "unexpected error" in str(batch.items[0].error)
    assert "a broken filter" in caplog.text


def test_a_cancelled_batch_keeps_finished_results(enhancer, sources, tmp_path):
    stop = threading.Event()

    def after_the_first(batch):
        if batch.count("done") == 1:
            stop.set()

    batch = BatchRun(enhancer, RAW, batch_for(sources, tmp_path / "out"), stop=stop, on_change=after_the_first).run()

    assert [item.state for item in batch.items] == ["done", "failed", "cancelled", "cancelled"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]


def test_files_are_added_and_removed_until_the_batch_ends(enhancer, sources, tmp_path):
    first_batch = batch_for(sources[:1], tmp_path / "out")
    late, unwanted = (Item(path, Path(path.name)) for path in sources[2:])

    def while_the_first_runs(batch):
        if batch.items[0].state == "running" and len(batch.items) == 1:
            assert running.add([late, unwanted])
            running.remove(unwanted.key)
            running.remove(batch.items[0].key)

    running = BatchRun(enhancer, RAW, first_batch, on_change=while_the_first_runs)
    batch = running.run()

    assert [(item.name, item.state) for item in batch.items] == [("0.png", "done"), ("1.png", "done")]
    assert (batch.items[1].output, batch.share) == (tmp_path / "out" / "1.png", pytest.approx(1))
    assert not running.add([unwanted])


def test_files_done_earlier_are_skipped_by_their_signature(enhancer, sources, tmp_path, monkeypatch):
    BatchRun(enhancer, RAW, batch_for(sources, tmp_path / "out")).run()
    monkeypatch.setattr(enhancer.engine, "stream", None)

    batch = BatchRun(enhancer, RAW, batch_for(sources, tmp_path / "out")).run()

    assert batch.count("done") == 3
    assert all(item.info["cached"] for item in batch.items if item.info)


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    twins = [*sources, sources[0]]
    batch = BatchRun(enhancer, RAW, batch_for(twins, names=["a.jpg", "b.jpg", "a.png", "照片.png", "a.gif"])).run()

    archive = zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW))

    assert archive.testzip() is None
    assert archive.namelist() == ["a.png", "a-2.png", "照片.png", "a-3.png", "report.csv", "summary.pdf"]
    fourth = batch.items[3].result
    assert fourth
    assert archive.read("照片.png") == fourth.read_bytes()
    assert [row["result"] for row in rows_of(batch)] == ["a.png", "", "a-2.png", "照片.png", "a-3.png"]


def test_no_name_becomes_a_formula_in_a_spreadsheet(enhancer, sources):
    batch = batch_for(sources[:1], names=["=cmd()|calc.png"])

    assert rows_of(batch)[0]["file"] == "'=cmd()|calc.png"


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_error_message_becomes_a_formula_in_a_spreadsheet(enhancer, tmp_path, first):
    bad = tmp_path / f"{first}1+1.png"
    bad.write_bytes(b"no image")

    batch = BatchRun(enhancer, RAW, batch_for([bad])).run()

    assert rows_of(batch)[0]["reason"].startswith(f"'{first}1+1.png has an unsupported format")


class Tree:
    """A folder of images and a folder of their results, processed like the command line does."""

    def __init__(self, enhancer, photo, root):
        self.enhancer, self.photo, self.source, self.results = enhancer, photo, root / "tree", root / "out"

    def add(self, name: str, left: int) -> None:
        """Add an image whose content depends on `left`."""
        (self.source / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.photo[:8, left : left + 8]).save(self.source / name, format="PNG")

    def run(self, settings=RAW, encoding=Encoding()) -> dict[str, bool]:  # noqa: B008 - it never changes
        """Process the folder. Return for each result whether it was cached."""
        batch = find_images([self.source], self.results, ending=encoding.file_format.ending)
        done = BatchRun(self.enhancer, settings, batch, encoding=encoding).run()
        assert done.count("done") == len(done.items)
        return {
            item.output.relative_to(self.results).as_posix(): item.info["cached"]
            for item in done.items
            if item.info and item.output
        }

    def expected(self, name: str) -> np.ndarray:
        return self.enhancer.upscale(np.asarray(Image.open(self.source / name)), RAW.model)

    def result(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(self.results / name))


@pytest.fixture
def tree(enhancer, photo, tmp_path) -> Tree:
    return Tree(enhancer, photo, tmp_path)


def test_an_added_file_changes_no_other_result(tree):
    tree.add("b.png", 0)
    tree.add("b.webp", 8)
    before = tree.run()
    tree.add("b.jpg", 16)  # sorted between the two

    after = tree.run()

    assert before == {"b.png": False, "b-2.png": False}
    assert after == {"b.png": True, "b-2.png": True, "b-3.png": False}
    for result, source in (("b.png", "b.png"), ("b-2.png", "b.webp"), ("b-3.png", "b.jpg")):
        assert np.array_equal(tree.result(result), tree.expected(source))


def test_another_photo_with_the_same_name_keeps_the_earlier_result(tree):
    tree.add("a.png", 8)
    tree.run()
    before = tree.result("a.png")
    tree.add("a.png", 24)  # A camera can use the same file name again.

    assert tree.run() == {"a-2.png": False}
    assert np.array_equal(tree.result("a.png"), before)
    assert np.array_equal(tree.result("a-2.png"), tree.expected("a.png"))


def test_other_settings_replace_the_results(tree):
    tree.add("a.jpg", 0)
    tree.add("a.png", 8)
    tree.run()

    assert tree.run(RAW.changed(contrast=1.2)) == {"a.png": False, "a-2.png": False}
    assert tree.run(RAW.changed(contrast=1.2)) == {"a.png": True, "a-2.png": True}


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_results_in_another_format_are_reused_unless_the_quality_changes(tree, format):
    tree.add("a.jpg", 0)
    tree.add("a.png", 8)
    tree.results = tree.source  # in the folder of the originals
    before = {path: path.read_bytes() for path in tree.source.iterdir()}
    fine, coarse = Encoding(format), Encoding(format, 60)

    first, again, other = (tree.run(encoding=one) for one in (fine, fine, coarse))

    assert set(first.values()) == set(other.values()) == {False}
    assert again == dict.fromkeys(first, True)
    assert set(first) == set(other)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {path.name for path in tree.source.iterdir()} == {path.name for path in before} | set(first)


def test_a_jpeg_replaces_no_foreign_photo(tree, photo):
    tree.add("a.png", 0)
    tree.results.mkdir()
    Image.fromarray(photo).save(tree.results / "a.jpg", comment="Enhance your life")
    foreign = (tree.results / "a.jpg").read_bytes()

    assert set(tree.run(encoding=Encoding("jpeg"))) == {"a-2.jpg"}
    assert (tree.results / "a.jpg").read_bytes() == foreign


def test_a_file_that_is_given_twice_is_processed_once(tree):
    tree.add("a.png", 0)
    again = tree.source.parent / "tree" / ".." / "tree" / "a.png"

    assert len(find_images([tree.source, tree.source / "a.png", again]).items) == 1


def test_a_report_that_cannot_be_written_does_not_affect_the_result(enhancer, sources, tmp_path, monkeypatch):
    def full(*_, **__):
        raise StorageError("disk_full", name="0.pdf")

    monkeypatch.setattr(enhancer, "write_report", full)

    batch = BatchRun(enhancer, RAW, batch_for(sources[:1], tmp_path / "out"), report="en").run()

    assert batch.items[0].state == "done"
    assert "0.pdf" in str(batch.items[0].error)
    assert batch.items[0].result == tmp_path / "out" / "0.png"


def test_foreign_files_are_not_replaced(tree):
    tree.add("a.png", 0)
    tree.results.mkdir()
    (tree.results / "a.png").write_bytes(b"somebody's")

    assert set(tree.run()) == set(tree.run()) == {"a-2.png"}
    assert (tree.results / "a.png").read_bytes() == b"somebody's"


def test_results_of_a_moved_folder_are_reused(tree):
    tree.add("a/x.png", 0)
    tree.run()
    moved = tree.source.with_name("elsewhere") / "deeper"
    moved.parent.mkdir()
    tree.source.rename(moved)
    tree.source = moved

    assert tree.run() == {"a/x.png": True}


def test_a_removed_file_does_not_rename_other_results(tree):
    for left, name in enumerate(("a.gif", "a.jpg", "a.png")):
        tree.add(name, 8 * left)
    tree.run()
    (tree.source / "a.gif").unlink()
    (tree.results / "a.png").unlink()

    assert tree.run() == {"a-2.png": True, "a-3.png": True}


def test_direction_marks_are_removed_from_names(enhancer, sources, tmp_path):
    batch = BatchRun(enhancer, RAW, batch_for(sources[:2], names=["trip\u202egpj.exe.png", "bad\u202egnp.png"])).run()

    with zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW)) as archive:
        assert archive.namelist()[0] == "tripgpj.exe.png"
        assert "\u202e" not in archive.read("report.csv").decode()


def test_a_queued_batch_decodes_nothing_and_reports_its_position(enhancer, sources, tmp_path, monkeypatch):
    decoded, seen, read = [], [], read_image
    monkeypatch.setattr("enhance.enhancer.read_image", lambda *a, **n: decoded.append(a[0].name) or read(*a, **n))
    batch = BatchRun(enhancer, RAW, batch_for(sources[2:], tmp_path / "out"), on_change=seen.append, caller="c")

    with busy_device(2):
        waiting = threading.Thread(target=batch.run)
        waiting.start()
        wait_until(lambda: seen and seen[-1].ahead == 2)
        assert decoded == []
    waiting.join()

    assert (seen[-1].count("done"), seen[-1].ahead) == (2, 0)
    assert decoded == ["1.png", "2.png"]
