"""The progress of runs and batches: how much is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


class BatchProgress:
    """The finished share of a batch and its time left, from the progress of its files.

    A change of one file takes the same time for any number of files.
    """

    def __init__(self) -> None:
        self._files = dict[str, _File]()
        """The files that have not ended, by key."""
        self._pixels = self._done_pixels = 0.0
        self._seconds = self._done_seconds = 0.0
        """The planned seconds of the files whose plan is known."""
        self._planned_pixels = 0.0
        """Their pixels."""
        self._clock = Clock()

    def add(self, key: str, pixels: int) -> None:
        """Add a file, or change its pixels before it is planned."""
        file = self._files.setdefault(key, _File())
        self._pixels += pixels - file.pixels
        file.pixels = pixels

    def plan(self, key: str, seconds: float) -> None:
        """Set the planned seconds of a file, unless it is planned already."""
        file = self._files[key]
        if file.seconds is None:
            file.seconds = seconds
            self._seconds += seconds
            self._done_seconds += file.share * seconds
            self._planned_pixels += file.pixels

    def advance(self, key: str, share: float) -> None:
        """Set the finished share of a file, 0 to 1."""
        file = self._files[key]
        change = share - file.share
        self._done_pixels += change * file.pixels
        self._done_seconds += change * (file.seconds or 0.0)
        file.share = share

    def end(self, key: str, seconds: float | None) -> None:
        """End a file that was computed in so many seconds. With None it was not, so the rest of its
        work is omitted."""
        file = self._files[key]
        if seconds is None:
            rest = 1 - file.share
            self._pixels -= rest * file.pixels
            if file.seconds is not None:
                self._planned_pixels -= rest * file.pixels
                self._seconds -= rest * file.seconds
        else:
            self.plan(key, seconds)
            self.advance(key, 1.0)
        del self._files[key]

    @property
    def share(self) -> float:
        """The finished share of the pixels, 0 to 1."""
        if not self._files:
            return 1.0
        return self._done_pixels / max(self._pixels, 1)

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds left at the time `now`, None before any file is planned.

        Files without a plan count like the average of the others.
        """
        if not self._files:
            return 0.0
        if not self._planned_pixels:
            return None
        planned = self._seconds * self._pixels / self._planned_pixels
        return self._clock.seconds_left(planned, self._done_seconds, now)


@dataclass
class _File:
    pixels: int = 0
    seconds: float | None = None
    share: float = 0.0
