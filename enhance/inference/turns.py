"""Who may use the device next: runs take turns step by step, and an urgent caller gets the next one."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Cancelled


class Gate:
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
    def turn(self, *, urgent: bool = False) -> Iterator[None]:
        """The device for one step; urgent callers first, otherwise in the order of asking."""
        with self._changed:
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
    def run(self, stop: threading.Event | None = None) -> Iterator[None]:
        """The right to a long run; waits for the one before it, and raises Cancelled if `stop` is set meanwhile."""
        self._count(1)
        try:
            while not self._running.acquire(timeout=0.1):
                if stop is not None and stop.is_set():
                    raise Cancelled("Stopped before it began; nothing was written.")
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._changed:
            self._runs += more
