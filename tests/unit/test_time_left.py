"""The progress of runs: the finished share and the seconds left."""

from __future__ import annotations

import numpy as np
import pytest

from enhance.jobs.progress import RunProgress

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
