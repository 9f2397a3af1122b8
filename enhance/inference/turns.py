"""Who may use the device next: runs take turns step by step, and an urgent caller gets the next one."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import Cancelled

Progress = Callable[[int, int, float | None], object]
"""Called between steps with: rows done, rows in all, seconds left (None while unknown)."""


@dataclass
class Waiting:
    """The seconds that one caller has waited for its turns."""

    seconds: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the block's time as waiting."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


class Turns:
    """Turns on one device.

    A long run holds `run()` from its first step to its last, so that only one has its rows in memory; inside it asks
    for a `turn()` for every step. A preview asks for `turn(urgent=True)` alone and waits for at most one step.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._tickets = 0
        self._taken = False
        self._running = threading.Lock()
        self._runs = 0

    @property
    def runs(self) -> int:
        """How many long runs go on (one at most) or wait for it."""
        return self._runs

    @contextmanager
    def turn(self, waiting: Waiting | None = None, *, urgent: bool = False) -> Iterator[None]:
        """The device for one step; urgent callers first, otherwise in the order of asking."""
        with self._changed, (waiting or Waiting()).counted():
            ticket = (0 if urgent else 1, self._tickets)
            self._tickets += 1
            heapq.heappush(self._waiting, ticket)
            self._changed.wait_for(lambda: not self._taken and self._waiting[0] == ticket)
            heapq.heappop(self._waiting)
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()

    @contextmanager
    def run(self, waiting: Waiting | None = None, stop: threading.Event | None = None) -> Iterator[None]:
        """The right to a long run; waits for the one before it, and raises Cancelled if `stop` is set meanwhile."""
        self._count(1)
        try:
            with (waiting or Waiting()).counted():
                while not self._running.acquire(timeout=0.1):
                    if stop is not None and stop.is_set():
                        raise Cancelled("stopped_before")
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._changed:
            self._runs += more
