"""The threads of jobs, and those that clean up at intervals."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar

from .scheduler import Job, Scheduler

log = logging.getLogger(__name__)
T = TypeVar("T")

CLEAN_SECONDS = 600
"""How often expired files are deleted."""
SWEEP_SECONDS = 5.0
"""How often unused memory is released."""


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
        wait([thread._future for thread in threads], seconds)


class JobThread(Generic[T]):
    """A thread that works on an admitted job. It starts at once, and the work gets this object.

    `inputs` are the files that the work reads.
    """

    unit = "rows"
    """What `rows` counts."""

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
        thread = threading.Thread(target=self._work, args=(work,), name="enhance-job", daemon=True)
        try:
            thread.start()
        except BaseException:  # Without a thread, nothing else would remove the job from the queue.
            self._held.close()
            raise

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Set the progress, as the enhancer reports it."""
        self._rows = (done, total, seconds_left)

    @property
    def rows(self) -> tuple[int, int, float | None]:
        """The finished and all rows, and the seconds left."""
        return self._rows

    @property
    def ahead(self) -> int:
        """The number of jobs ahead in the queue."""
        return self.scheduler.ahead(self.job)

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


def call_regularly(seconds: float, *functions: Callable[[], object]) -> None:
    """Start a thread that calls the functions one after the other at this interval."""

    def run() -> None:
        while True:
            time.sleep(seconds)
            for function in functions:
                try:
                    function()
                except Exception:
                    log.exception("Cleaning failed")

    threading.Thread(target=run, name="enhance-sweeper", daemon=True).start()
