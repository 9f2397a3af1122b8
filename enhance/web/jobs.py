"""Jobs: work in threads of their own, their progress, and whether a client still reads their
events."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import gradio as gr

from ..errors import EnhanceError
from ..jobs.scheduler import Job, Scheduler
from .gradio_changes import current_event

T = TypeVar("T")
_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0
"""Every poll is an event for the client, so long jobs are polled less often."""
JOB_EVENTS: dict[str, Any] = {"concurrency_limit": None}
"""Jobs wait in the app's own queue."""
UNREAD_SECONDS = 2.0
"""How long a call continues while no client reads its events."""


@dataclass(frozen=True)
class RunState:
    """The progress of a run: finished rows, all rows, the expected seconds left, and the jobs ahead
    in the queue."""

    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    ahead: int = 0


class JobThread(Generic[T]):
    """A thread that works on an `admitted` job. It starts at once, and the work gets this object.

    `sources` are the files that the work reads.
    """

    def __init__(self, scheduler: Scheduler, work: Callable[[Any], T], job: Job, *sources: Path):
        self.scheduler = scheduler
        self.admitted = job
        self._sources = sources
        self.cancelled_by: Literal["", "user", "absence"] = ""
        """Who cancelled the job first. It is empty if the server was shut down."""
        self._state = RunState()
        self._future: Future[T] = Future()
        self._held = ExitStack()
        self._held.enter_context(scheduler.hold(job))
        self._held.callback(JOBS.discard, self)
        JOBS.add(self)
        try:
            threading.Thread(
                target=self._work, args=(work,), name="enhance-job", daemon=True
            ).start()
        except BaseException:  # Without a thread, nothing else would remove the job from the queue.
            self._held.close()
            raise

    @property
    def stop(self) -> threading.Event:
        """The event that cancels the job."""
        return self.admitted.stop

    @property
    def state(self) -> RunState:
        """The current progress."""
        ahead = self.scheduler.ahead(self.admitted)
        return RunState(ahead=ahead) if ahead else self._state

    def inputs(self) -> Iterable[Path]:
        """Return the input files of the job, which are not deleted before its end."""
        return self._sources

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Set the progress, as `Enhancer.run` reports it."""
        self._state = RunState(done, total, seconds_left)

    def send(self, progress: gr.Progress) -> None:
        """Send the progress to a client of the API."""
        state = self.state
        if state.total:
            left = "" if state.seconds_left is None else f", {state.seconds_left:.0f} s left"
            progress((state.done, state.total), desc=f"rows{left}", unit="rows")
        elif state.ahead:
            progress(0, desc=f"waiting, {state.ahead} before it")

    def close(self) -> None:
        """Cancel the job without a reason."""
        self.stop.set()

    def cancel(self, reason: Literal["user", "absence"]) -> None:
        """Cancel the job. The reason of the first call is kept."""
        self.cancelled_by = self.cancelled_by or reason
        self.close()

    def poll(self, seconds: float, longest: float = 0.0) -> Iterator[None]:
        """Yield at this interval until the job ends. The interval grows to `longest`, if that is
        longer."""
        while not self.wait(seconds):
            yield
            seconds = max(seconds, min(1.2 * seconds, longest))

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the job, at most `seconds`, and return whether it has ended."""
        return not wait([self._future], seconds).not_done

    def result(self) -> T:
        """Return the result of a job that has ended. Raises what the work raised."""
        return self._future.result()

    def _work(self, work: Callable[[Any], T]) -> None:
        try:
            with self._held:
                result = work(self)
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(result)


JOBS: set[JobThread[Any]] = set()
"""All jobs of this process that have not ended."""

_streams: Counter[str] = Counter()
"""The number of open event streams by the name of a session or an event. Only the event loop's
thread changes it."""


@contextmanager
def listening(name: str) -> Iterator[None]:
    """Count a client that reads the events of this name until the end of the block."""
    _streams[name] += 1
    try:
        yield
    finally:
        _streams[name] -= 1
        if not _streams[name]:
            del _streams[name]


class EventReader:
    """The client of the current call, which can have closed its event stream or never have opened
    it.

    Gradio runs a call even if nobody reads its events.
    """

    def __init__(self, request: gr.Request):
        self._names = (request.session_hash, current_event())
        self._last_read = time.monotonic()

    def is_reading(self) -> bool:
        """Return whether the client reads the events. Raises EnhanceError if it has not read them
        for a while."""
        now = time.monotonic()
        if any(name in _streams for name in self._names):
            self._last_read = now
            return True
        if now - self._last_read > UNREAD_SECONDS:
            raise EnhanceError("job_unread", seconds=f"{UNREAD_SECONDS:g}")
        return False


def follow(
    job: JobThread[T],
    request: gr.Request,
    progress: gr.Progress | None = None,
    *,
    longest: float = _LONGEST_POLL_SECONDS,
) -> Generator[Any, None, T]:
    """Send the progress of a job to its client until it ends, and return its result.

    Yields unchanged outputs, at the latest after `longest` seconds. The job is cancelled if its
    client leaves. Raises EnhanceError if the client does not read the events.
    """
    reader = EventReader(request)
    with closing(job):
        for _ in job.poll(_POLL_SECONDS, longest):
            reader.is_reading()
            if progress is not None:
                job.send(progress)
            yield gr.skip()
        return job.result()
