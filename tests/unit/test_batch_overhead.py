"""The overhead of a batch grows linearly with the number of files."""

from __future__ import annotations

import io
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings
from enhance.batch import Batch, BatchRun, find_images
from enhance.cli import _Reporter
from enhance.files import file_sha256
from enhance.images.decode import read_facts
from enhance.info import Result
from enhance.output.names import ResultNames
from enhance.output.png import encode_png
from enhance.output.provenance import Origin
from enhance.store import TaskStore

GENTLE = Settings.from_preset("gentle")


class FakeEnhancer:
    """A stand-in for `Enhancer` that reports each file as done."""

    max_pixels, max_bytes = 1_000_000, 1_000_000

    def __init__(self, started: Callable[[Path], object] = lambda source: None):
        self._begun = started

    def run(self, source: Path, *_: Any, output: Path, progress: Callable[..., object], **__: Any) -> Result:
        self._begun(source)
        progress(1, 2, 1.0)
        progress(2, 2, 0.0)
        facts = {"path": str(source), "width": 8, "height": 8, "bytes": 1, "sha256": "0" * 64}
        info: Any = {"output": facts, "seconds": {"total": 1.0}, "signature": "", "cached": False}
        return Result(output, info, output)


@contextmanager
def count_calls() -> Iterator[list[int]]:
    """Count the function calls of the block, each step of a generator included."""
    count = [0]

    def step(*_: object) -> None:
        count[0] += 1

    sys.setprofile(step)
    try:
        yield count
    finally:
        sys.setprofile(None)


def assert_linear(work: Callable[[int], Callable[[], object]], files: int = 100) -> None:
    """Check that `work(3 * n)` returns a function with little more than three times the calls of `work(n)`."""
    calls = []
    for number in (files, 3 * files):
        prepared = work(number)
        with count_calls() as count:
            prepared()
        calls.append(count[0])
    assert calls[1] < 3.5 * calls[0]


def photos(folder: Path, count: int) -> Path:
    folder = folder / f"in-{count}"
    folder.mkdir()
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG")
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(data.getvalue() + b"%d" % number)
    return folder


def count_items_as_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `Batch.items` count one call for each file."""
    monkeypatch.setattr(Batch, "items", property(lambda batch: tuple(item for item in batch.files.values())))


def test_a_folder_on_the_command_line(tmp_path, monkeypatch, capsys):
    count_items_as_calls(monkeypatch)

    def work(count: int) -> Callable[[], object]:
        batch = find_images([photos(tmp_path, count)], tmp_path / f"out-{count}")
        reporter = _Reporter(batch, as_json=True, progress="none")
        return BatchRun(cast(Enhancer, FakeEnhancer()), GENTLE, batch, on_change=reporter.update).run

    assert_linear(work)
    assert len(capsys.readouterr().out.splitlines()) == 400


def test_equal_names_next_to_earlier_results(tmp_path):
    def work(count: int) -> Callable[[], object]:
        folder, output = tmp_path / f"in-{count}", tmp_path / f"out-{count}"
        folder.mkdir()
        output.mkdir()
        for number in range(count):
            (folder / f"{number}.jpg").write_bytes(b"%d" % number)
            mark = Origin(f"{number:064}", f"{number:064}").mark()
            (output / f"{number}.png").write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8), mark=mark))
        names = ResultNames(output)

        def assign_names() -> None:
            with names:
                for source in folder.iterdir():
                    assert names.assign(source, Path("alike.jpg"))

        return assign_names

    assert_linear(work, 60)


def test_stored_results_of_other_processes_are_read_once(tmp_path, monkeypatch):
    read: list[Path] = []
    signature_in = TaskStore.find.__globals__["_signature_in"]
    monkeypatch.setattr("enhance.store._signature_in", lambda path: read.append(path) or signature_in(path))
    store, other = (TaskStore(tmp_path / "data") for _ in range(2))
    store.prepare()
    for number in range(50):
        task_id = store.new_id()
        store.result_path(task_id).touch()
        info: Any = {"status": "done", "task_id": task_id, "signature": f"{number:064}", "output": {"bytes": 0}}
        store.finish(task_id, info)
        assert store.find("f" * 64) is None
    assert read == []

    for _ in range(3):
        assert other.find("f" * 64) is None
    assert len(read) == 50


class FakeWriter(FakeEnhancer):
    """A stand-in for `Enhancer` that also writes a small result."""

    def run(self, source: Path, *_: Any, output: Path, **named: Any) -> Result:
        output.write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8), mark=Origin("0", file_sha256(source)).mark()))
        return super().run(source, output=output, **named)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_the_overhead_of_files_in_a_store_is_short(tmp_path, monkeypatch, enhancer, count):
    fsspec = pytest.importorskip("fsspec")
    data, files = io.BytesIO(), fsspec.filesystem("memory")

    def info(self: Any, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)  # The original searches all files for those below this one.
        if name not in self.store:
            raise FileNotFoundError(path)
        return {"name": name, "size": self.store[name].size, "type": "file"}

    monkeypatch.setattr(type(files), "info", info)
    Image.new("RGB", (256, 256)).save(data, "JPEG")
    for number in range(count):
        files.pipe_file(f"memory://{tmp_path.name}/in/{number}.jpg", data.getvalue() + b"%d" % number)

    began = time.perf_counter()
    batch = find_images([f"memory://{tmp_path.name}/in"], f"memory://{tmp_path.name}/out")
    done = BatchRun(cast(Enhancer, FakeWriter()), GENTLE, batch).run()
    overhead = (time.perf_counter() - began) / count

    assert done.count("done") == count
    photo = photos(tmp_path, 1) / "0.jpg"
    photo.write_bytes(data.getvalue())
    seconds = enhancer.run(photo, "anime-fast", output=tmp_path / "0.png").info["seconds"]["total"]
    assert overhead < 0.1 * seconds


def test_the_first_file_starts_before_the_others_are_read(tmp_path, monkeypatch):
    hashed, started = [], []
    monkeypatch.setattr("enhance.output.names._sha256", lambda path: hashed.append(path.name) or path.name)
    enhancer = FakeEnhancer(lambda source: started.append((source.name, list(hashed))))

    BatchRun(cast(Enhancer, enhancer), GENTLE, find_images([photos(tmp_path, 3)], tmp_path / "out")).run()

    assert started == [("0.jpg", ["0.jpg"]), ("1.jpg", ["0.jpg", "1.jpg"]), ("2.jpg", ["0.jpg", "1.jpg", "2.jpg"])]


def test_inspecting_a_jpeg_reads_only_its_header(tmp_path):
    file = tmp_path / "large.jpg"
    Image.new("RGB", (6000, 4000)).save(file, "JPEG")
    head = file.read_bytes()
    file.write_bytes(head[:-2] + os.urandom(64 << 20).replace(b"\xff", b"\0") + b"\xff\xd9")
    read_facts(file, 400_000_000, None)

    before = resource.getrusage(resource.RUSAGE_SELF)
    assert read_facts(file, 400_000_000, None).width == 6000
    after = resource.getrusage(resource.RUSAGE_SELF)

    pages = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt
    assert pages < 100  # The file has 16,384 pages, and the system reads up to 16 at once.
