"""A device that is lent for one call, in another process: the same pixels, stopped by leaving, failures in words."""

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
# Forked by a server of its own, which has no other threads: what they hold would stay locked in the new process.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["enhance.engine.engine", "enhance.web"])


class ProcessLender:
    """Lends as ZeroGPU does: a forked process for each call; arguments and steps are pickled; leaving it ends it."""

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
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("lent") / "squares.png"
    cv2.imwrite(str(path), np.random.default_rng(7).integers(0, 255, (70, 90, 3), np.uint8))
    return path


def lent(tmp_path, lend) -> Enhancer:
    enhancer = Enhancer("cpu", "fp32", data=tmp_path / "lent")
    enhancer.lend = lend
    return enhancer


def test_a_run_and_a_preview_are_one_call_each_and_give_the_same_pixels(picture, tmp_path):
    own, lender = Enhancer("cpu", "fp32", data=tmp_path / "own"), ProcessLender(lent_steps)
    borrowing, told = lent(tmp_path, lender), list[Any]()

    preview = borrowing.preview(picture, PRESET, size=32)
    result = borrowing.run(picture, PRESET, preview=preview, progress=lambda *now: told.append(now))

    assert lender.calls == 2
    assert np.array_equal(preview.after, own.preview(picture, PRESET, size=32).after)
    assert result.path.read_bytes() == own.run(picture, PRESET).path.read_bytes()
    assert told[-1][0] == told[-1][1] > 0
    assert borrowing.status()["model"] is None, "no network is in this process"
    assert borrowing.retune(preview, PRESET).info["signature"] == result.info["signature"]
    assert lender.calls == 2, "sliders and files need no card"


def test_a_run_that_is_stopped_gives_the_card_back(picture, tmp_path):
    lender, stop = ProcessLender(lent_steps), threading.Event()
    with pytest.raises(Cancelled):
        lent(tmp_path, lender).run(picture, PRESET, stop=stop, progress=lambda *_: stop.set())
    assert [process.is_alive() for process in lender.processes] == [False]


def test_what_goes_wrong_there_is_said_here(picture, tmp_path):
    with pytest.raises(EnhanceError) as failed:
        lent(tmp_path, ProcessLender(_fails)).run(picture, PRESET)
    assert failed.value.key == "memory_short"


def test_a_card_that_is_not_lent_is_said_with_the_lenders_words(picture, tmp_path):
    def lend(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
        raise RuntimeError("No GPU was available after 60s.")
        yield

    with pytest.raises(EnhanceError) as failed:
        lent(tmp_path, lend).run(picture, PRESET)
    assert failed.value.key == "device_not_lent"
    assert "No GPU was available after 60s." in failed.value.message("zh-CN")


def test_the_card_is_asked_for_as_long_as_it_is_expected_to_take(picture, tmp_path):
    loans = list[Loan]()

    def lend(loan: Loan) -> Generator[LentStep | EnhanceError, None, None]:
        loans.append(loan)
        for step in lent_steps(loan):
            assert isinstance(step, LentStep)
            yield LentStep(step.strip, step.progress, 1e-6)  # a card far beyond this processor

    borrowing = lent(tmp_path, lend)
    before = borrowing.estimate(90, 70, PRESET)
    borrowing.preview(picture, PRESET, size=64)
    borrowing.run(picture, PRESET)
    assert borrowing.estimate(90, 70, PRESET) < before
    first, second = loans
    assert second.seconds < first.seconds
    asked = [lent_seconds(replace(first, seconds=seconds)) for seconds in (0.1, 20, 1e6)]
    assert asked == [11, 40, 120]


def test_only_on_a_space_that_lends_a_card_it_is_asked_for_one(monkeypatch):
    lent_by = SimpleNamespace(GPU=lambda duration: lambda steps: (duration, steps))
    monkeypatch.setitem(sys.modules, "spaces", lent_by)
    monkeypatch.setitem(sys.modules, "enhance.web.build", None)  # no page is built: that would come after
    for said, lend in (("true", (lent_seconds, lent_steps)), ("", None)):
        monkeypatch.setenv("SPACES_ZERO_GPU", said)
        enhancer = Enhancer("cpu")
        with pytest.raises(ImportError):
            serve(enhancer)
        assert enhancer.lend == lend


def test_where_nothing_is_lent_the_package_of_spaces_changes_nothing(picture, tmp_path):
    spaces = pytest.importorskip("spaces")
    same = spaces.GPU(duration=lent_seconds)(lent_steps)
    own = Enhancer("cpu", "fp32", data=tmp_path / "own")
    assert lent(tmp_path, same).run(picture, PRESET).path.read_bytes() == own.run(picture, PRESET).path.read_bytes()
