"""The threads of jobs, their progress, and whether a client still reads their events."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import gradio as gr

from ..errors import EnhanceError
from ..jobs.scheduler import Job, Scheduler
from .gradio_changes import current_event

T = TypeVar("T")
_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0
"""Every poll is an event for the client, so long jobs are polled less often."""
_LONGEST_PAUSE_SECONDS = 0.5
"""The time between two checks for a reader counts at most as this long."""
JOB_EVENTS: dict[str, Any] = {"concurrency_limit": None}
"""Jobs wait in the app's own queue."""
UNREAD_SECONDS = 2.0
"""How long a call continues while no client reads its events."""


class JobThreads:
    """The threads of an app's jobs that have not ended, and those with names by owner and name.

    `starting` is held while a job with a name is started, found or released, so that two calls do
    not start it twice.
    """

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.running = set[JobThread[Any]]()
        self.starting = threading.RLock()
        self.named = dict[tuple[str, str], Any]()

    def inputs(self) -> set[Path]:
        """Return the files that the jobs read, which are not deleted before their end."""
        return {path for thread in list(self.running) for path in thread.inputs}

    def stop(self, seconds: float) -> None:
        """Cancel all jobs, and wait at most `seconds` until they have ended."""
        threads = list(self.running)
        for thread in threads:
            thread.close()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.wait(max(0.0, end - time.monotonic()))


class JobThread(Generic[T]):
    """A thread that works on an admitted job. It starts at once, and the work gets this object.

    `inputs` are the files that the work reads.
    """

    def __init__(
        self, threads: JobThreads, job: Job, work: Callable[[Any], T], inputs: tuple[Path, ...] = ()
    ):
        self.job = job
        self.inputs = inputs
        self.scheduler = threads.scheduler
        self._rows: tuple[int, int, float | None] = (0, 0, None)
        self._future: Future[T] = Future()
        self._held = ExitStack()
        self._held.enter_context(threads.scheduler.hold(job))
        self._held.callback(threads.running.discard, self)
        threads.running.add(self)
        try:
            threading.Thread(
                target=self._work, args=(work,), name="enhance-job", daemon=True
            ).start()
        except BaseException:  # Without a thread, nothing else would remove the job from the queue.
            self._held.close()
            raise

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Set the progress, as the enhancer reports it."""
        self._rows = (done, total, seconds_left)

    def send(self, progress: gr.Progress) -> None:
        """Send the progress to a client of the API."""
        send_progress(progress, "rows", *self._rows, ahead=self.scheduler.ahead(self.job))

    def close(self) -> None:
        """Cancel the job."""
        self.job.stop.set()

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


def send_progress(
    progress: gr.Progress, unit: str, done: int, total: int, left: float | None, *, ahead: int
) -> None:
    """Send progress to a client of the API: the seconds `left`, or the number of jobs `ahead`."""
    if ahead:
        progress(0, desc=f"waiting, {ahead} before it")
    elif total:
        description = unit
        if left is not None:
            description = f"{unit}, {left:.0f} s left"
        progress((done, total), desc=description, unit=unit)


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
        self._last_check = time.monotonic()
        self._unread_seconds = 0.0

    def is_reading(self) -> bool:
        """Return whether the client reads the events. Raises EnhanceError if it has not read them
        for a while."""
        now = time.monotonic()
        # In a longer pause, the server was blocked and could not accept the client's request
        # either, for example while it imported PyTorch.
        self._unread_seconds += min(now - self._last_check, _LONGEST_PAUSE_SECONDS)
        self._last_check = now
        if any(name in _streams for name in self._names):
            self._unread_seconds = 0.0
            return True
        if self._unread_seconds > UNREAD_SECONDS:
            raise EnhanceError("job_unread", seconds=f"{UNREAD_SECONDS:g}")
        return False


def follow(
    thread: JobThread[T],
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
    with closing(thread):
        for _ in thread.poll(_POLL_SECONDS, longest):
            reader.is_reading()
            if progress is not None:
                thread.send(progress)
            yield gr.skip()
        return thread.result()
