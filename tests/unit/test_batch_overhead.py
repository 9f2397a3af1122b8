"""The overhead of a batch grows linearly with the number of files."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings
from enhance.batch import Batch, BatchRun
from enhance.batch_inputs import find_images
from enhance.cli import _Reporter
from enhance.files import file_sha256
from enhance.info import Result
from enhance.output.names import ResultNames
from enhance.output.png import encode_png
from enhance.output.provenance import Origin
from enhance.processes import this_process
from enhance.remote import RemoteClaims, upload

HOST = this_process().split("-")[0]
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


def assert_linear(work: Callable[[int], Callable[[], object]], files: int = 40) -> None:
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
        return BatchRun(cast(Enhancer, FakeEnhancer()), GENTLE, batch, on_change=reporter.report).run

    assert_linear(work)
    assert len(capsys.readouterr().out.splitlines()) == 160


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

    assert_linear(work)


class Killed(BaseException):
    """Ends a batch as the end of its process would."""


class FakeWriter(FakeEnhancer):
    """A stand-in for `Enhancer` that writes a small result, and is killed after some files."""

    def __init__(self, files: int | None = None):
        super().__init__()
        self.files = itertools.count(1) if files is None else iter(range(1, files))

    def run(self, source: Path, *_: Any, output: Path, on_compute: Callable[..., object], **named: Any) -> Result:
        on_compute(SimpleNamespace(request=source))
        if next(self.files, None) is None:
            raise Killed
        output.write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8), mark=Origin("0", file_sha256(source)).mark()))
        return super().run(source, output=output, **named)


@pytest.fixture
def uploaded(monkeypatch) -> Counter[str]:
    """Count the uploads to each address, and let each result in the store count as the requested one."""
    count = Counter[str]()

    def counted(file: Path, address: str, *replaced: Any) -> None:
        upload(file, address, *replaced)
        count[address] += 1

    facts = {"path": "", "width": 8, "height": 8, "bytes": 1, "sha256": ""}
    monkeypatch.setattr("enhance.batch.upload", counted)
    monkeypatch.setattr("enhance.batch.is_result_of", lambda *_: True)
    monkeypatch.setattr("enhance.batch.earlier_info", lambda *_: {"output": facts, "cached": True})
    return count


@pytest.mark.parametrize("count", [90, pytest.param(10_000, marks=pytest.mark.long)])
def test_two_workers_on_a_store_are_killed_and_resumed_with_little_overhead(
    tmp_path, monkeypatch, enhancer, uploaded, count
):
    fsspec = pytest.importorskip("fsspec")
    data, files = io.BytesIO(), fsspec.filesystem("memory")

    def info(self: Any, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)  # The original searches all files for those below this one.
        if name not in self.store:
            raise FileNotFoundError(path)
        return {"name": name, "size": self.store[name].size, "type": "file"}

    def open_alone(self: Any, path: str, mode: str = "rb", **named: Any) -> Any:
        with lock:  # The original lets two threads create the same file, and share the position of a file.
            return io.BytesIO(self.cat_file(path)) if mode == "rb" else open_file(self, path, mode, **named)

    open_file, lock = type(files)._open, threading.Lock()
    monkeypatch.setattr(type(files), "_open", open_alone)
    monkeypatch.setattr(type(files), "info", info)
    Image.new("RGB", (256, 256)).save(data, "JPEG")
    for number in range(count):
        files.pipe_file(f"memory://{tmp_path.name}/in/{number}.jpg", data.getvalue() + b"%d" % number)

    def work(writer: FakeWriter) -> None:
        with suppress(Killed):
            batch = find_images([f"memory://{tmp_path.name}/in"], f"memory://{tmp_path.name}/out")
            BatchRun(cast(Enhancer, writer), GENTLE, batch).run()

    def work_twice(writer: FakeWriter) -> None:
        with ThreadPoolExecutor(2) as workers:
            for run in [workers.submit(work, writer) for _ in range(2)]:
                run.result()

    began = time.process_time()
    for process in (999_999_998, 999_999_999):
        with monkeypatch.context() as killed:
            killed.setattr("enhance.remote.this_process", lambda process=process: f"{HOST}-{process}-1")
            killed.setattr("enhance.output.claims.is_process_alive", lambda one, alive=process: f"-{alive}-" in one)
            killed.setattr(RemoteClaims, "close", lambda self: self._closed.set())
            killed.setattr(ResultNames, "release", lambda self, source, **_: None)
            work_twice(FakeWriter(count // 3))
    work_twice(FakeWriter())
    overhead = (time.process_time() - began) / count

    assert uploaded == {f"memory://{tmp_path.name}/out/{number}.png": 1 for number in range(count)}
    photo = photos(tmp_path, 1) / "0.jpg"
    photo.write_bytes(data.getvalue())
    began = time.process_time()
    enhancer.run(photo, "anime-fast", output=tmp_path / "0.png")
    assert overhead < 0.1 * (time.process_time() - began)
