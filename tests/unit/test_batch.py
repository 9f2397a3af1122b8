"""Batches: the state of each file, the table, the ZIP file and its names, and folders that are processed again."""

import csv
import io
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from enhance import Encoding, Settings, StorageError
from enhance.batch import BatchRun, Item, plan, with_own_size
from enhance.batch_archive import archive_names, lines_of, pack
from enhance.batch_inputs import find_images, with_targets
from enhance.images import read_image
from enhance.output.names import ResultNames
from enhance.report import table

from ..site import busy_device, wait_until

RAW = Settings.from_preset("anime-fast")


def batch_for(sources, folder=None, names=None):
    """Return a batch of files, with other names if given."""
    named = zip(sources, names or [path.name for path in sources], strict=True)
    return plan(with_targets([Item(path, Path(name)) for path, name in named]), folder and ResultNames(folder))


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

    batch = BatchRun(
        enhancer, RAW.changed(long_side=60), plan(with_targets(items), ResultNames(tmp_path / "out"))
    ).run()

    assert [Image.open(item.result or item.source).size for item in batch.items] == [(60, 43), (63, 90)]


def test_the_progress_follows_the_expected_work_of_the_files(enhancer, sources, tmp_path):
    shares, items = [], [Item(path, Path(path.name)) for path in (sources[0], sources[3])]

    def note(batch):
        if batch.count("done") == 1 and batch.count("waiting") == 1:
            shares.append((batch.share, batch.seconds_left))

    def work(item):
        return 9 if item.source == sources[0] else 1

    BatchRun(enhancer, RAW, plan(with_targets(items), ResultNames(tmp_path / "out")), on_change=note, work=work).run()

    share, seconds_left = shares[-1]
    assert share == pytest.approx(0.9)
    assert seconds_left > 0


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
    late, unwanted = (Item(path, Path(path.name), target=Path(path.name)) for path in sources[2:])

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


def test_the_zip_holds_the_results_and_the_table(enhancer, sources, tmp_path):
    twins = [*sources, sources[0]]
    batch = BatchRun(enhancer, RAW, batch_for(twins, names=["a.jpg", "b.jpg", "a.png", "照片.png", "a.gif"])).run()

    archive = zipfile.ZipFile(pack(batch, tmp_path / "all.zip", RAW))

    assert archive.testzip() is None
    assert archive.namelist() == ["a-4x.png", "a-4x-2.png", "照片-4x.png", "a-4x-3.png", "report.csv", "summary.pdf"]
    fourth = batch.items[3].result
    assert fourth
    assert archive.read("照片-4x.png") == fourth.read_bytes()
    assert [row["result"] for row in rows_of(batch)] == ["a-4x.png", "", "a-4x-2.png", "照片-4x.png", "a-4x-3.png"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_name_and_no_error_becomes_a_formula_in_a_spreadsheet_or_is_written_backwards(enhancer, tmp_path, first):
    bad = tmp_path / f"{first}1+\u202e1.png"
    bad.write_bytes(b"no image")

    (row,) = rows_of(BatchRun(enhancer, RAW, batch_for([bad])).run())

    assert row["file"] == f"'{first}1+1.png"
    assert row["reason"].startswith(f"'{first}1+1.png has an unsupported format")


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


def test_files_that_differ_in_their_extension_keep_it_in_the_names_of_their_results(tree):
    for left, name in enumerate(("a.png", "a.webp", "sub/a.png")):
        tree.add(name, 8 * left)
    before = tree.run()
    tree.source = tree.source.rename(tree.source.with_name("moved"))
    tree.add("c.png", 24)

    assert before == {"a-png.png": False, "a-webp.png": False, "sub/a.png": False}
    assert tree.run() == {**dict.fromkeys(before, True), "c.png": False}
    assert np.array_equal(tree.result("a-webp.png"), tree.expected("a.webp"))


def test_another_photo_with_the_same_name_keeps_the_earlier_result(tree):
    tree.add("a.png", 8)
    tree.run()
    before = tree.result("a.png")
    tree.add("a.png", 24)  # A camera can use the same file name again.

    assert tree.run() == {"a-2.png": False}
    assert np.array_equal(tree.result("a.png"), before)
    assert np.array_equal(tree.result("a-2.png"), tree.expected("a.png"))


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_results_among_the_originals_are_reused_unless_the_quality_changes(tree, format):
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


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_foreign_files_are_not_replaced(tree, photo, format):
    tree.add("a.png", 0)
    tree.results.mkdir()
    encoding = Encoding(format)
    path = tree.results / f"a{encoding.file_format.ending}"
    Image.fromarray(photo).save(path, comment="Enhance your life")
    foreign = path.read_bytes()

    assert set(tree.run(encoding=encoding)) == set(tree.run(encoding=encoding)) == {f"a-2{path.suffix}"}
    assert path.read_bytes() == foreign


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


def test_a_queued_batch_decodes_nothing_and_reports_its_position(enhancer, sources, tmp_path, monkeypatch):
    decoded, seen, read = [], [], read_image
    monkeypatch.setattr("enhance.enhancer.read_image", lambda *a, **n: decoded.append(a[0].name) or read(*a, **n))
    batch = BatchRun(enhancer, RAW, batch_for(sources[2:], tmp_path / "out"), on_change=seen.append, caller="c")

    with busy_device(enhancer.scheduler, 2):
        waiting = threading.Thread(target=batch.run)
        waiting.start()
        wait_until(lambda: seen and seen[-1].ahead == 2)
        assert decoded == []
    waiting.join()

    assert (seen[-1].count("done"), seen[-1].ahead) == (2, 0)
    assert decoded == ["1.png", "2.png"]


def test_names_in_an_archive_state_the_size_and_are_unique_in_each_folder():
    names = ("mug.jpg", "b.jpg", "sub/mug.png", "MUG.jpg")
    output = {"path": "/data/result.jpg", "width": 2048, "height": 1365}
    info: Any = {"preset": "precise", "tile": 192, "settings": {"scale": 4, "reduce": 1}, "output": output}
    info["input"] = {"width": 512}
    items = [Item(Path(), Path(name), state="done", info=info) for name in names]
    items[1] = replace(items[1], state="failed")
    assert [*archive_names(plan(items)).values()] == ["mug-4x.jpg", "sub/mug-4x.jpg", "MUG-4x-2.jpg"]


@pytest.mark.parametrize(
    ("settings", "size"),
    [(Settings("fast", long_side=2048), {"long_side": 1920}), (Settings("fast", scale=4), None)],
)
def test_a_photo_that_is_too_small_gets_the_largest_size_if_that_is_chosen(settings, size):
    item = Item(Path("crew.png"), Path("crew.png"), size=(80, 120))
    for chosen in (
        with_own_size(item, settings, is_flexible=True),
        with_own_size(replace(item, is_flexible=True), settings),
    ):
        assert chosen.settings == (settings.changed(**size) if size else None)
        assert chosen.is_limited == bool(size)
    assert with_own_size(item, settings).settings is None
