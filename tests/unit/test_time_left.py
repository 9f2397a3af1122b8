"""The progress of runs and batches: the finished share and the seconds left."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from enhance.files import file_sha256
from enhance.jobs.batch import BatchFile, RunningBatch, plan
from enhance.jobs.progress import BatchProgress, RunProgress

from ..site import photo

PHASES = {"network": 30.0, "second": 5.0, "write": 5.0}
LOADING = 20.0
"""The seconds before the first step, in which a model is loaded."""


class FakeRun:
    """A run with these phases, whose time a test controls."""

    def __init__(self, phases):
        self.now = 0.0
        self.reports = []
        """The finished share and the seconds left."""
        self._progress = RunProgress(self._note, 1000, phases, lambda: self.now)

    def _note(self, done, total, left):
        self.reports.append((done / total, left))

    def step(self, phase, share, seconds):
        self.now += seconds
        self._progress.advance(phase, share)


def is_between(left, planned, slowness):
    """Return whether the time left is between the plan and the time of this machine."""
    low, high = sorted((planned, slowness * planned))
    return low - 0.1 <= left <= high + 0.1


@pytest.mark.parametrize("slowness", [0.25, 1, 4])
def test_a_run_counts_all_its_phases_and_corrects_its_plan(slowness):
    run = FakeRun(PHASES)
    run.now = LOADING
    for phase, seconds in PHASES.items():
        for share in np.linspace(0.05, 1, 20):
            run.step(phase, share, slowness * seconds / 20)

    shares = [share for share, _ in run.reports]
    assert run.reports[0] == (0, 40)
    assert shares == sorted(shares)
    assert shares[20] == pytest.approx(0.75), "the network is done, but not its result"
    assert shares[-1] < 1, "the last row is finished at the end of the run"
    assert all(is_between(left, 40 * (1 - share), slowness) for share, left in run.reports)


@pytest.mark.parametrize("pace", [0.25, 4])
def test_the_time_left_does_not_jump_with_the_first_steps(pace):
    """The first 2 of 40 seconds are faster or slower than the others."""
    run = FakeRun({"network": 40.0})
    for share in (pace / 40, *np.linspace(pace / 20, 1, 39)):
        run.step("network", share, 1)

    left = [left for _, left in run.reports]
    assert max(left) < 50
    assert np.abs(np.diff(left[2:])).max() < 8
    assert left[-1] == pytest.approx(0)


@pytest.mark.parametrize("slowness", [0.25, 1, 4])
def test_a_batch_of_small_photos_corrects_its_plan(slowness):
    names = "abcdefgh"
    batch = BatchProgress()
    shares = []
    for name in names:
        batch.add(name, 1000)
        batch.plan(name, 1.4)
    now = LOADING
    assert batch.seconds_left(0.0) == pytest.approx(11.2)
    for name in names:
        for share in (0.3, 0.6, 0.9):
            now += 0.3 * slowness * 1.4
            batch.advance(name, share)
            shares.append(batch.share)
            assert is_between(batch.seconds_left(now), 11.2 * (1 - batch.share), slowness)
        now += 0.1 * slowness * 1.4
        batch.end(name, slowness * 1.4)

    assert shares == sorted(shares)
    assert shares[-1] < batch.share == 1
    assert batch.seconds_left(now) == 0


def test_files_that_are_not_planned_count_like_the_others_and_not_once_they_are_omitted():
    batch = BatchProgress()
    assert batch.share == 1
    for name in ("first", "second", "failed", "cached"):
        batch.add(name, 1000)
    assert batch.seconds_left(0) is None
    batch.plan("first", 5.0)
    assert batch.seconds_left(0) == 20
    batch.plan("second", 15.0)
    assert batch.seconds_left(0) == 40
    batch.end("cached", None)
    assert batch.seconds_left(0) == 30
    batch.advance("failed", 0.5)
    batch.end("failed", None)
    assert batch.share == pytest.approx(0.2)
    batch.end("first", 5.0)
    assert batch.share == pytest.approx(0.6)


@pytest.mark.parametrize("preset", ["precise", "auto"])
@pytest.mark.usefixtures("span_weights")
def test_the_time_left_of_a_batch_begins_with_the_plans_of_its_photos(enhancer, tmp_path, preset):
    """Auto selects a slow preset for the first photo, which is noisy, and a fast one for others."""
    settings = Settings(preset)
    noise = np.random.default_rng(0).normal(0, 20, (48, 48, 3))
    files = []
    planned = 0.0
    for number in range(8):
        path = tmp_path / f"{number}.png"
        pixels = photo(48, 48 + number)[:, number:] + (noise if number == 0 else 0)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        files.append(BatchFile(path, Path(path.name), sha256=file_sha256(path)))
        chosen = enhancer.plan(enhancer.read(path), settings).settings
        planned += enhancer.estimate(48, 48, chosen)
    reports = []
    started = time.perf_counter()

    def note(batch):
        done, total = batch.rows_of_file
        elapsed = time.perf_counter() - started
        reports.append((batch.share, batch.seconds_left, elapsed))
        assert done < max(total, 1)

    RunningBatch(enhancer, settings, plan(files), on_change=note).run()

    shares = [share for share, *_ in reports]
    known = [(left, elapsed) for _, left, elapsed in reports if left is not None]
    assert shares == sorted(shares)
    assert shares[-2] < shares[-1] == 1
    assert known[0][0] == pytest.approx(planned, rel=0.05)
    assert all(left <= 1.05 * planned * (1 + elapsed / 3) for left, elapsed in known)
    assert known[-1][0] == 0
