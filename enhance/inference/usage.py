"""What a run takes of this machine: its memory at the highest, and its time, measured and foretold."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

from .networks import known_graph

if TYPE_CHECKING:
    import torch

_PROBE_SHARE = 0.85
"""What a whole network reaches of a single convolution's speed; the first real run replaces the guess."""


class PeakMemory:
    """The highest memory in use, in MB, since it was made: on the device for CUDA, else of this process.

    A process's memory is looked at whenever `look` is called, between steps. CUDA counts for the whole process: only
    the one long run that goes on may `reset` that count, not a preview that comes in between.
    """

    def __init__(self, device_type: str = "cpu", *, reset: bool = True):
        self._cuda = device_type == "cuda"
        self._process = psutil.Process()
        self._highest = 0.0
        if self._cuda and reset:
            sys.modules["torch"].cuda.reset_peak_memory_stats()
        self.look()

    def look(self) -> float:
        """The peak so far, in MB."""
        if self._cuda:
            return sys.modules["torch"].cuda.max_memory_allocated() / 1e6
        self._highest = max(self._highest, self._process.memory_info().rss / 1e6)
        return self._highest


class Speedometer:
    """Multiply-adds a second on one device, by model and precision."""

    def __init__(self, device: torch.device):
        self._device = device
        self._measured: dict[tuple[str, torch.dtype], float] = {}
        self._lock = threading.Lock()

    def record(self, model: str, dtype: torch.dtype, pixels: float, seconds: float) -> None:
        """Remember that `pixels` pixels of a picture took `seconds`; longer runs weigh more than short ones."""
        if seconds <= 0 or pixels <= 0:
            return
        rate = known_graph(model).work * pixels / seconds
        weight = min(0.9, max(0.3, seconds / 10))
        with self._lock:
            before = self._measured.get((model, dtype), rate)
            self._measured[model, dtype] = before + weight * (rate - before)

    def seconds(self, model: str, dtype: torch.dtype, pixels: float) -> float:
        """How long a picture of `pixels` pixels takes the network called `model`."""
        return known_graph(model).work * pixels / self._rate(model, dtype)

    def _rate(self, model: str, dtype: torch.dtype) -> float:
        with self._lock:
            rate = self._measured.get((model, dtype))
            others = [value for (_, kind), value in self._measured.items() if kind == dtype]
        if rate is not None:
            return rate
        if not others:
            others = [self._probe(dtype)]
            with self._lock:
                self._measured.setdefault(("", dtype), others[0])
        return min(others)

    def _probe(self, dtype: torch.dtype) -> float:
        import torch

        from .kernels import Kernel

        channels, height, width = 64, 34, 384
        rows = torch.zeros(height, width, channels, dtype=dtype, device=self._device)
        weight = torch.zeros(channels, channels, 3, 3, dtype=dtype, device=self._device)
        weight = weight.contiguous(memory_format=torch.channels_last)
        kernel = Kernel(weight, torch.zeros(channels, dtype=dtype, device=self._device), 0.2, None, 1)
        best = float("inf")
        with torch.inference_mode():
            for _ in range(4):
                started = time.perf_counter()
                kernel(rows).sum().item()
                best = min(best, time.perf_counter() - started)
        return _PROBE_SHARE * 9 * channels**2 * (height - 2) * width / best
