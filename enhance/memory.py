"""How much memory a run takes at its highest."""

from __future__ import annotations

import sys

import psutil


class PeakMemory:
    """The highest memory in use, in MB, since it was made: on the device for CUDA, else of this process.

    A process's memory is looked at whenever `look` is called, between steps.
    """

    def __init__(self, device_type: str = "cpu"):
        self._cuda = device_type == "cuda"
        self._process = psutil.Process()
        self._highest = 0.0
        if self._cuda:
            sys.modules["torch"].cuda.reset_peak_memory_stats()
        self.look()

    def look(self) -> float:
        """The peak so far, in MB."""
        if self._cuda:
            return sys.modules["torch"].cuda.max_memory_allocated() / 1e6
        self._highest = max(self._highest, self._process.memory_info().rss / 1e6)
        return self._highest
