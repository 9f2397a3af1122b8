"""The overhead of a batch grows linearly with the number of files."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from enhance import Settings
from enhance.batch import Batch, BatchRun
from enhance.batch_inputs import find_images
from enhance.cli import _Reporter
from enhance.info import Result
from enhance.output.names import plan_names


def report_done(source: Path, *_: Any, output: Path, progress: Callable[..., object], **__: Any) -> Result:
    """Report a file as done without a network, in place of `Enhancer.run`."""
    progress(1, 2, 1.0)
    progress(2, 2, 0.0)
    facts = {"path": str(source), "width": 8, "height": 8, "bytes": 1, "sha256": "0" * 64}
    info: Any = {
        "input": {"name": source.name},
        "output": facts,
        "seconds": {"total": 1.0},
        "signature": "",
        "cached": False,
    }
    return Result(output, info, output)


def count_calls(work: Callable[[], object]) -> int:
    """Return the number of calls and returns of functions, including the steps of generators."""
    count = 0

    def step(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(step)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def assert_linear(prepare: Callable[[int], Callable[[], object]]) -> None:
    """Check that the work for three times the files has little more than three times the calls."""
    assert count_calls(prepare(120)) < 3.5 * count_calls(prepare(40))


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG")
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(data.getvalue() + b"%d" % number)
    return folder


def test_a_folder_on_the_command_line_needs_linear_work(tmp_path, monkeypatch, capsys):
    # A generator, so that each read of all files adds calls for each file.
    monkeypatch.setattr(Batch, "items", property(lambda batch: tuple(item for item in batch.files.values())))

    def prepare(count: int) -> Callable[[], object]:
        batch = find_images([write_photos(tmp_path / f"in-{count}", count)], tmp_path / f"out-{count}")
        enhancer: Any = SimpleNamespace(run=report_done, max_pixels=1_000_000, max_bytes=1_000_000)
        reporter = _Reporter(batch, as_json=True, progress="none")
        return BatchRun(enhancer, Settings("gentle"), batch, on_change=reporter.report).run

    assert_linear(prepare)
    assert len(capsys.readouterr().out.splitlines()) == 160


def test_equal_names_need_linear_work():
    def prepare(count: int) -> Callable[[], object]:
        return lambda: plan_names([(Path("same.jpg"), ".jpg")] * count, ".png")

    assert_linear(prepare)
