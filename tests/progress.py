"""Progress of measurements that take minutes, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Lines about the parts of a measurement, of which there are `count`."""

    def __init__(self, count: int):
        self._count = count
        self._started = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Print a line now and one after the block, with its seconds and the parts that are
        left."""
        self._started += 1
        label = f"Part {self._started} of {self._count}: {name}"
        sys.stderr.write(f"{label}…\n")
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        sys.stderr.write(f"{label}, {seconds:.0f} s, parts left: {self._count - self._started}\n")
