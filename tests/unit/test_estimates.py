"""Estimates of the time of a network before its run."""

from __future__ import annotations

import pytest
import torch

from enhance import models
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.engine.estimates import Estimator, time_strip

MODEL = "realesr-animevideov3"
DTYPE = torch.float32


def test_the_time_of_a_strip_is_measured_without_weights():
    graph = models.graph_of(MODEL)
    assert DEVICE_THREAD.call(lambda: time_strip(graph, torch.device("cpu"), DTYPE)) > 0


def test_a_model_without_runs_is_timed_once(monkeypatch):
    timed = []
    estimator = Estimator(torch.device("cpu"))
    monkeypatch.setattr(
        "enhance.engine.estimates.time_strip", lambda graph, *_: timed.append(graph) or 4e-5
    )
    assert estimator.seconds(MODEL, DTYPE, 1e6) == pytest.approx(40)
    assert estimator.seconds(MODEL, DTYPE, 2e6) == pytest.approx(80)
    assert len(timed) == 1

    estimator.record(MODEL, DTYPE, 1e6, 80.0)
    assert estimator.seconds(MODEL, DTYPE, 2e6) == pytest.approx(160)
    estimator.record(MODEL, DTYPE, 1e6, 40.0)
    assert 100 < estimator.seconds(MODEL, DTYPE, 2e6) < 150, "both runs count"
