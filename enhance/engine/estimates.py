"""Estimates of how long networks take: from the last runs, else from one strip that is timed on
this machine."""

from __future__ import annotations

from dataclasses import replace
from timeit import repeat

import torch

from enhance.models.graphs import Graph

from .. import models
from ..jobs.scheduler import Job
from ..settings import WeightInterpolation
from ..size import Size
from .device_thread import DEVICE_THREAD
from .kernels import ImageRows
from .phased_stream import PhasedStream
from .steps import SMALLEST_STRIP, RowNetwork, Steps, Threads, strip_rows
from .stream import run_in_threads

_TILE = 192
_WIDTH = 128
"""The tile size and the width of the timed strip, in pixels."""
_TRIAL_WORK = 30e9
"""The approximate multiply-adds of a trial on a CPU, half a second on two slow cores."""
_TRIAL_TIMES = 2
"""Other work can disturb the first trial."""
_REMEMBERED_SECONDS = 60.0
"""The weight of earlier work: a busy machine changes the estimates within a minute of work."""


class Estimator:
    """How long networks take on one device, in seconds per pixel of the image."""

    def __init__(self, device: torch.device):
        self._device = device
        self._paces: dict[tuple[str, torch.dtype], tuple[float, float]] = {}
        """The seconds per pixel, and the seconds of work in which they were measured, 0 if only a
        strip was timed."""

    def record(self, model: str, dtype: torch.dtype, pixels: float, seconds: float) -> None:
        """Record a run of `pixels` pixels. Earlier work has the weight of a minute at most.

        A run that ends at the same time in another thread may not count.
        """
        known_pace, known_seconds = self._paces.get((model, dtype), (seconds / pixels, 0.0))
        known_pixels = known_seconds / known_pace
        total = known_seconds + seconds
        pace = total / (known_pixels + pixels)
        self._paces[model, dtype] = pace, min(total, _REMEMBERED_SECONDS)

    def seconds(self, model: str, dtype: torch.dtype, pixels: float) -> float:
        """Return the expected seconds of a run. A model that has not run is timed once."""
        key = model, dtype
        if key not in self._paces:
            graph = models.graph_of(model)
            pace = DEVICE_THREAD.call(lambda: time_strip(graph, self._device, dtype))
            self._paces.setdefault(key, (pace, 0.0))  # A run can have ended in the meantime.
        pace, _ = self._paces[key]
        return pace * pixels


def time_strip(graph: Graph, device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest time for one strip on each thread, in seconds per pixel of the image.

    Call it on the device's thread. The weights are zeros, so the network need not be installed.
    """
    weights = {name: torch.zeros(shape) for name, shape in graph.shapes().items()}
    network = RowNetwork(WeightInterpolation("trial"), graph, weights)
    # Before the threads start, because each would prepare its own.
    network.kernels_for(device, dtype)
    threads = Threads.for_device(device, dtype)
    rows = strip_rows(_WIDTH, _TILE, device, threads)
    if device.type == "cpu":
        trial_rows = round(_TRIAL_WORK / (graph.work * _WIDTH * threads.strips))
        rows = min(rows, max(SMALLEST_STRIP, trial_rows))
    image = torch.zeros(rows, _WIDTH, 3, device=device)
    job = Job("preview")

    def run() -> None:
        image_rows = ImageRows(graph, Size(_WIDTH, rows), lambda first, last: image[first:last])
        stream = PhasedStream(image_rows, dtype)
        steps = Steps(stream, _TILE, dtype, replace(threads, strips=1))
        while not stream.finished:
            steps.step(network, lambda: DEVICE_THREAD.check(job))

    trials = repeat(lambda: run_in_threads(threads.strips, run), repeat=_TRIAL_TIMES, number=1)
    return min(trials) / (threads.strips * rows * _WIDTH)
