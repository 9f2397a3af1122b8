"""Estimates of the time and memory of a run, before it and while it is running."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from enhance.engine.estimates import Estimator, run_clock
from enhance.engine.steps import Threads, strip_rows
from enhance.engine.stream import Stream
from enhance.models import graph_of
from enhance.models.graphs import Conv, Graph
from enhance.models.memory import stream_bytes

MODEL, DTYPE = "realesrgan-x4plus", torch.float32
CPU = torch.device("cpu")


@pytest.fixture
def estimator() -> Estimator:
    return Estimator(CPU)


def test_a_model_without_runs_is_timed_once(estimator, monkeypatch):
    timed = []
    monkeypatch.setattr("enhance.engine.estimates.time_strip", lambda graph, *_: timed.append(graph) or 4e-5)
    assert estimator.seconds(MODEL, DTYPE, 1e6) == pytest.approx(40)
    assert estimator.seconds(MODEL, DTYPE, 2e6) == pytest.approx(80)
    assert timed == [graph_of(MODEL)]


@pytest.mark.parametrize(
    ("model", "width", "dtype"),
    [("realesrgan-x4plus-anime", 256, torch.bfloat16), ("realesr-animevideov3", 700, torch.float32)],
)
def test_the_memory_of_a_stream_matches_the_estimate(model, width, dtype):
    graph = graph_of(model)
    for strips in (1, 2):
        rows = strip_rows(width, 192, torch.device("cpu"), Threads(strips))
        held = _peak_bytes(graph, width, rows, dtype, strips)
        assert stream_bytes(graph, width, rows, dtype.itemsize, strips) == pytest.approx(held, rel=0.25)


@dataclass(frozen=True)
class ShapeKernel:
    """A kernel that returns rows of the right shape without computing them."""

    node: Conv
    dtype: torch.dtype
    bytes: int = 0

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        height = (rows.shape[0] - self.node.size // 2 * 2) * self.node.enlarge
        width = rows.shape[1] * self.node.enlarge
        return torch.empty(height, width, self.node.channels, dtype=self.dtype, device="meta")


class MeasuredStream(Stream):
    """A stream that measures the peak memory of its feature maps and buffers."""

    most = 0

    def _advance(self, layer, strip, step, scratch) -> None:
        super()._advance(layer, strip, step, scratch)
        with self._lock:
            self._buffers = {**getattr(self, "_buffers", {}), threading.get_ident(): [*scratch.values()]}
            held = [chunk for window in self._windows for chunk in window.chunks]
            held += [buffer for buffers in self._buffers.values() for buffer in buffers]
            storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in held}
            self.most = max(self.most, sum(storages.values()))


def _peak_bytes(graph: Graph, width: int, rows: int, dtype: torch.dtype, strips: int) -> int:
    stream = MeasuredStream(graph, 4000, width, lambda first, last: torch.empty(last - first, width, 3, device="meta"))
    kernels = {
        place: ShapeKernel(node, torch.float32 if node.precise else dtype)
        for place, node in enumerate(graph.nodes)
        if isinstance(node, Conv)
    }
    for _ in range(10):  # its windows are full after five
        stream.step(kernels, rows, strips=strips)
    return stream.most


def test_the_first_run_replaces_the_timed_strip(estimator):
    estimator.seconds(MODEL, DTYPE, 1e6)
    estimator.record(MODEL, DTYPE, 1e6, 40.0)
    assert estimator.seconds(MODEL, DTYPE, 2e6) == pytest.approx(80.0)


@pytest.mark.parametrize("pace", [0.25, 1, 4], ids=["slow at first", "as expected", "quick at first"])
def test_the_time_left_does_not_jump_with_the_first_steps(monkeypatch, pace):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock, remaining = run_clock(1000, expected=40.0), []
    share = 0.0
    for step in range(40):
        now[0] += 1.0
        share += (pace if step < 2 else (40 - 2 * pace) / 38) / 40
        remaining.append(clock(min(share, 1.0))[2])
    assert all(12 <= left <= 60 for left in remaining[:4])
    assert max(abs(after - before) for before, after in pairwise(remaining)) < 8
    assert remaining[-1] == pytest.approx(0, abs=0.2)
