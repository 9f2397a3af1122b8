"""How long a run will take, said before it and while it goes on: steady, and believing what is seen."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import torch

from enhance.inference.device import Speedometer
from enhance.inference.engine import _Clock
from enhance.inference.models import known_graph

MODEL, DTYPE = "realesrgan-x4plus", torch.float32


@pytest.fixture
def speed() -> Speedometer:
    return Speedometer(torch.device("cpu"))


def test_a_model_that_never_ran_takes_as_long_as_its_work_says(speed):
    small, large = (speed.seconds(name, DTYPE, 1e6) for name in ("realesr-animevideov3", MODEL))
    assert large / small == pytest.approx(known_graph(MODEL).work / known_graph("realesr-animevideov3").work)
    speed.record(MODEL, DTYPE, 1e6, 50.0)
    assert speed.seconds("realesr-animevideov3", DTYPE, 1e6) < 50.0


def test_the_first_run_replaces_the_guess(speed):
    speed.seconds(MODEL, DTYPE, 1e6)
    speed.record(MODEL, DTYPE, 1e6, 40.0)
    assert speed.seconds(MODEL, DTYPE, 2e6) == pytest.approx(80.0)


def test_a_short_preview_hardly_changes_what_a_long_run_taught(speed):
    speed.record(MODEL, DTYPE, 1e6, 40.0)
    speed.record(MODEL, DTYPE, 0.05e6, 6.0)  # three times as slow, for a moment
    assert speed.seconds(MODEL, DTYPE, 1e6) == pytest.approx(40.0, rel=0.12)


def test_a_machine_that_gets_busy_is_believed_within_two_long_runs(speed):
    for _ in range(10):
        speed.record(MODEL, DTYPE, 1e6, 40.0)
    for _ in range(2):
        speed.record(MODEL, DTYPE, 1e6, 120.0)
    assert speed.seconds(MODEL, DTYPE, 1e6) > 85.0


@pytest.mark.parametrize("pace", [0.25, 1, 4], ids=["slow at first", "as expected", "quick at first"])
def test_the_time_left_does_not_jump_with_the_first_steps(monkeypatch, pace):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock, said = _Clock(1000, expected=40.0), []
    share = 0.0
    for step in range(40):
        now[0] += 1.0
        share += (pace if step < 2 else (40 - 2 * pace) / 38) / 40
        said.append(clock.read(min(share, 1.0))[2])
    assert all(12 <= left <= 60 for left in said[:4])
    assert max(abs(after - before) for before, after in pairwise(said)) < 8
    assert said[-1] == pytest.approx(0, abs=0.2)
