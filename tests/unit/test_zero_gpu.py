"""A GPU that is lent for one call in another process: results, cancelling and errors."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from enhance import EnhanceError, Enhancer
from enhance.engine.engine import LentStep, Loan
from enhance.errors import Cancelled
from enhance.web import lent_seconds, lent_steps, serve

PRESET = "anime-fast"
Task = Callable[[Loan], Generator[LentStep | EnhanceError, None, None]]
# A fork server has no other threads, whose locks would stay locked in the new process.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["enhance.engine.engine", "enhance.web"])


class ProcessLender:
    """Lend a device like ZeroGPU: each call forks a process, which ends when the generator is closed."""

    def __init__(self, task: Task):
        self._task, self.calls, self.processes = task, 0, list[Any]()

    def __call__(self, loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
        self.calls += 1
        arguments, steps = FORKS.SimpleQueue(), FORKS.SimpleQueue()
        process = FORKS.Process(target=_do, args=(self._task, arguments, steps), daemon=True)
        process.start()
        self.processes.append(process)
        arguments.put(loan)
        try:
            while (step := steps.get()) is not None:
                yield step
        finally:
            process.terminate()
            process.join()


def _do(task: Task, arguments: Any, steps: Any) -> None:
    for step in task(arguments.get()):
        steps.put(step)
    steps.put(None)


def _fails(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
    yield EnhanceError("memory_short")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("lent") / "squares.png"
    cv2.imwrite(str(path), np.random.default_rng(7).integers(0, 255, (70, 90, 3), np.uint8))
    return path


def lent(tmp_path, lend) -> Enhancer:
    enhancer = Enhancer("cpu", "fp32", data=tmp_path / "lent")
    enhancer.lend = lend
    return enhancer


def test_a_run_and_a_preview_are_one_call_each_with_the_same_pixels(image, tmp_path):
    own, lender = Enhancer("cpu", "fp32", data=tmp_path / "own"), ProcessLender(lent_steps)
    borrowing, reports = lent(tmp_path, lender), list[Any]()

    preview = borrowing.preview(image, PRESET, size=32)
    result = borrowing.run(image, PRESET, preview=preview, progress=lambda *report: reports.append(report))

    assert lender.calls == 2
    assert np.array_equal(preview.after, own.preview(image, PRESET, size=32).after)
    assert result.path.read_bytes() == own.run(image, PRESET).path.read_bytes()
    assert reports[-1][0] == reports[-1][1] > 0
    assert borrowing.status()["model"] is None, "this process has no model in memory"
    assert borrowing.retune(preview, PRESET).info["signature"] == result.info["signature"]
    assert lender.calls == 2, "sliders and output files need no GPU"


def test_a_cancelled_run_returns_the_gpu(image, tmp_path):
    lender, stop = ProcessLender(lent_steps), threading.Event()
    with pytest.raises(Cancelled):
        lent(tmp_path, lender).run(image, PRESET, stop=stop, progress=lambda *_: stop.set())
    assert [process.is_alive() for process in lender.processes] == [False]


def test_an_error_of_the_other_process_is_raised(image, tmp_path):
    with pytest.raises(EnhanceError) as failed:
        lent(tmp_path, ProcessLender(_fails)).run(image, PRESET)
    assert failed.value.key == "memory_short"


def test_the_gpu_is_requested_for_the_expected_time(image, tmp_path):
    loans = list[Loan]()

    def lend(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
        loans.append(loan)
        for step in lent_steps(loan):
            assert isinstance(step, LentStep)
            yield LentStep(step.strip, step.progress, 1e-6)  # a GPU that is much faster than this CPU

    borrowing = lent(tmp_path, lend)
    before = borrowing.estimate(90, 70, PRESET)
    borrowing.preview(image, PRESET, size=64)
    borrowing.run(image, PRESET)
    assert borrowing.estimate(90, 70, PRESET) < before
    first, second = loans
    assert second.seconds < first.seconds
    requested = [lent_seconds(replace(first, seconds=seconds)) for seconds in (0.1, 20, 1e6)]
    assert requested == [11, 40, 120]


def test_a_gpu_is_requested_only_on_a_zero_gpu_space(monkeypatch):
    package = SimpleNamespace(GPU=lambda duration: lambda steps: (duration, steps))
    monkeypatch.setitem(sys.modules, "spaces", package)
    monkeypatch.setitem(sys.modules, "enhance.web.build", None)  # The test ends before the page is built.
    for value, lend in (("true", (lent_seconds, lent_steps)), ("", None)):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        enhancer = Enhancer("cpu")
        with pytest.raises(ImportError):
            serve(enhancer)
        assert enhancer.lend == lend
