"""The overhead of a batch grows linearly with the number of files."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from enhance import Enhancer, Settings
from enhance.cli.reporter import Reporter
from enhance.info import Result
from enhance.jobs.batch import Batch, RunningBatch
from enhance.jobs.inputs import find_images
from enhance.store.names import plan_names

from .runs import image


def report_done(_, source, *__, output, progress, **___):
    """Report a file as done without a network, in place of `Enhancer.run`."""
    progress(1, 2, 1.0)
    info: Any = {
        "input": {"name": source.name},
        "output": {"path": str(source), "width": 8, "height": 8},
        "seconds": {"total": 1.0},
        "cached": False,
    }
    return Result(output, info, output)


@pytest.fixture
def calls():
    """A list that grows with each call and return of a function, including the steps of
    generators."""
    found = []

    def step(*_):
        found.append(None)

    threading.setprofile(step)
    sys.setprofile(step)
    yield found
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]


def test_three_times_the_files_need_three_times_the_work(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(Enhancer, "run", report_done)
    # A generator, so that each read of all files adds calls for each file.
    files = property(lambda batch: tuple(file for file in batch.by_key.values()))
    monkeypatch.setattr(Batch, "files", files)
    needed = []

    for count in (40, 120):
        folder = tmp_path / str(count)
        for number in range(count):
            image(folder / f"{number}.png", number)
        calls.clear()
        batch = find_images([folder], tmp_path / "out")
        reporter = Reporter(Namespace(json=True, progress="none", failures=None))
        RunningBatch(Enhancer("cpu"), Settings("gentle"), batch, on_change=reporter.report).run()
        plan_names([(Path("same.jpg"), ".jpg")] * count, ".png")
        needed.append(len(calls))

    assert needed[1] < 3.5 * needed[0]
