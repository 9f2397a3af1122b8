"""Two shards process the files of one store, are killed twice and resume, with little overhead."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings
from enhance.batch import BatchRun
from enhance.batch_inputs import Shard, find_images
from enhance.files import file_sha256
from enhance.info import Result
from enhance.output.png import encode_png
from enhance.output.provenance import Origin
from enhance.remote import upload


class Killed(BaseException):
    """Ends a batch as if its process was killed."""


class FakeWriter:
    """A stand-in for `Enhancer` that writes a small result without a network, and is killed after some files."""

    max_pixels, max_bytes = 1_000_000, 1_000_000

    def __init__(self, files: int | None = None):
        self.files = itertools.count(1) if files is None else iter(range(1, files))

    def run(self, source: Path, *_: Any, output: Path, on_compute: Callable[..., object], **__: Any) -> Result:
        on_compute(SimpleNamespace(request=source))
        if next(self.files, None) is None:
            raise Killed
        output.write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8), mark=Origin("0", file_sha256(source)).mark()))
        facts = {"path": str(output), "width": 8, "height": 8, "bytes": 1, "sha256": "0" * 64}
        info: Any = {"output": facts, "seconds": {"total": 1.0}, "signature": "", "cached": False}
        return Result(output, info, output)


@pytest.fixture
def uploaded(monkeypatch) -> Counter[str]:
    """Count the uploads to each address, and accept each result in the store as the requested one."""
    count = Counter[str]()

    def count_upload(file: Path, address: str, *replaced: Any) -> None:
        upload(file, address, *replaced)
        count[address] += 1

    facts = {"path": "", "width": 8, "height": 8, "bytes": 1, "sha256": ""}
    monkeypatch.setattr("enhance.batch.upload", count_upload)
    monkeypatch.setattr("enhance.batch.is_result_of", lambda *_: True)
    monkeypatch.setattr("enhance.batch.earlier_info", lambda *_: {"output": facts, "cached": True})
    return count


@pytest.mark.parametrize("count", [90, pytest.param(10_000, marks=pytest.mark.long)])
def test_each_file_is_processed_once_with_little_overhead(tmp_path, monkeypatch, enhancer, uploaded, count):
    fsspec = pytest.importorskip("fsspec")
    photo, files = io.BytesIO(), fsspec.filesystem("memory")

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
    Image.new("RGB", (256, 256)).save(photo, "JPEG")
    for number in range(count):
        files.pipe_file(f"memory://{tmp_path.name}/in/{number}.jpg", photo.getvalue() + b"%d" % number)

    def work(writer: FakeWriter, shard: Shard) -> None:
        with suppress(Killed):
            batch = find_images([f"memory://{tmp_path.name}/in"], f"memory://{tmp_path.name}/out", shard)
            BatchRun(cast(Enhancer, writer), Settings("gentle"), batch).run()

    def work_twice(writer: FakeWriter) -> None:
        with ThreadPoolExecutor(2) as workers:
            for run in [workers.submit(work, writer, Shard(number, 2)) for number in (1, 2)]:
                run.result()

    began = time.process_time()
    for _ in range(2):
        work_twice(FakeWriter(count // 3))
    work_twice(FakeWriter())
    overhead = (time.process_time() - began) / count

    assert uploaded == {f"memory://{tmp_path.name}/out/{number}.png": 1 for number in range(count)}
    (tmp_path / "0.jpg").write_bytes(photo.getvalue())
    began = time.process_time()
    enhancer.run(tmp_path / "0.jpg", "anime-fast", output=tmp_path / "0.png")
    assert overhead < 0.1 * (time.process_time() - began)
