"""The progress of runs: how much is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Progress = Callable[[int, int, float | None], object]
"""Called during a run with the finished rows, all rows and the seconds left (None if unknown)."""

_PLAN_WEIGHT = 3.0
"""The plan counts like so many seconds of work, so that the first steps have little influence."""


class Clock:
    """Corrects the planned seconds of work by the time that its finished part took.

    The first step does not count, because models are loaded before it.
    """

    def __init__(self) -> None:
        self._first_step: tuple[float, float] | None = None
        """Its planned seconds, and the time of its end."""

    def seconds_left(self, planned: float, done: float, now: float) -> float:
        """Return the seconds left of `planned` seconds of work, of which `done` are done by the
        time `now`."""
        if not done:
            return planned
        if self._first_step is None:
            self._first_step = done, now
        first, started = self._first_step
        pace = (now - started + _PLAN_WEIGHT) / (done - first + _PLAN_WEIGHT)
        return pace * max(planned - done, 0.0)


class RunProgress:
    """Reports how many rows of its image a run has finished.

    `planned` has the expected seconds of each phase. `now` returns the current time, less the time
    in the queue.
    """

    def __init__(
        self,
        report: Progress,
        rows: int,
        planned: Mapping[str, float],
        now: Callable[[], float],
    ):
        self._report = report
        self._rows = rows
        self._planned = planned
        self._now = now
        self._shares = dict.fromkeys(planned, 0.0)
        self._clock = Clock()
        report(0, rows, sum(planned.values()))

    def advance(self, phase: str, share: float) -> None:
        """Report the finished share of a phase, 0 to 1. The last row is finished at the end of the
        run."""
        self._shares[phase] = share
        planned = sum(self._planned.values())
        done = sum(seconds * self._shares[name] for name, seconds in self._planned.items())
        rows = min(int(self._rows * done / planned + 1e-6), self._rows - 1)
        self._report(rows, self._rows, self._clock.seconds_left(planned, done, self._now()))
