"""Jobs: work in threads of their own, how far it is, and whether a client still reads its events."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import gradio as gr

from ..batch import Batch
from ..errors import EnhanceError
from ..i18n import format_duration, translate
from ..scheduler import SCHEDULER, Ticket
from .gradio_changes import current_event

T = TypeVar("T")
LOOK_SECONDS = 0.1
UNHEARD_SECONDS = 30.0
"""How long a queued job keeps its place while no client reads its events."""


@dataclass(frozen=True)
class RunState:
    """How far a run is: rows done and in all, seconds left, whether the network is through.

    `ahead` jobs are ahead of one that waits for the device.
    """

    done: int = 0
    total: int = 0
    left: float | None = None
    writing: bool = False
    ahead: int = 0

    def tell(self, progress: gr.Progress) -> int:
        """Send the progress to a client and return the number of jobs ahead."""
        if self.total:
            left = "" if self.left is None else f", {self.left:.0f} s left"
            progress((self.done, self.total), desc=f"rows{left}", unit="rows")
        elif self.ahead:
            progress(0, desc=f"waiting, {self.ahead} before it")
        return self.ahead


class Job(Generic[T]):
    """Work in a thread, which starts at once and holds the job's ticket until its end."""

    def __init__(self, do: Callable[[], T], ticket: Ticket):
        self.ticket = ticket
        self.stopped_by: Literal["", "person", "absence"] = ""
        """Who stopped it first; empty at the end of the server."""
        self._state = RunState()
        self._future: Future[T] = Future()
        # The lender of a ZeroGPU Space finds the request in the context, and counts it as that visitor's.
        work = contextvars.copy_context().run
        self._held = ExitStack()
        self._held.enter_context(SCHEDULER.hold(ticket))
        self._held.callback(JOBS.discard, self)
        JOBS.add(self)
        try:
            threading.Thread(target=work, args=(self._work, do), name="enhance-job", daemon=True).start()
        except BaseException:
            self._held.close()
            raise

    @property
    def stop(self) -> threading.Event:
        """The event that cancels the job."""
        return self.ticket.stop

    @property
    def state(self) -> RunState:
        """How far the job is."""
        ahead = SCHEDULER.ahead(self.ticket)
        return RunState(ahead=ahead) if ahead else self._state

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self._future.done()

    def inputs(self) -> Iterable[Path]:
        """Return the input files that the job reads, which are not deleted before its end."""
        return ()

    def progress(self, done: int, total: int, left: float | None) -> None:
        self._state = RunState(done, total, left, writing=done >= total)

    def close(self) -> None:
        """Cancel the job."""
        self.stop.set()

    def stop_for(self, whose: Literal["person", "absence"]) -> None:
        """Cancel the job, and remember who did it first."""
        self.stopped_by = self.stopped_by or whose
        self.close()

    def looks(self, seconds: float) -> Iterator[None]:
        """Yield every so many seconds until the end."""
        while not self.wait(seconds):
            yield

    def wait(self, seconds: float) -> bool:
        """Wait for the end for so many seconds at most, and return whether it has come."""
        return not wait([self._future], seconds).not_done

    def result(self) -> T:
        """Return the result after the end. Raises what the work raised."""
        return self._future.result()

    def _work(self, do: Callable[[], T]) -> None:
        try:
            result = do()
        except BaseException as error:
            self._held.close()
            self._future.set_exception(error)
        else:
            self._held.close()
            self._future.set_result(result)


JOBS: set[Job[Any]] = set()
"""All jobs that have not ended, for the end of the server."""

_streams: Counter[str] = Counter()
"""The open streams of events, by the name of a session or an event; the names are random."""
_streams_lock = threading.Lock()


@contextmanager
def listening(name: str) -> Iterator[None]:
    """Count a client that reads the events of this name, until the end of the block."""
    with _streams_lock:
        _streams[name] += 1
    try:
        yield
    finally:
        with _streams_lock:
            _streams[name] -= 1
            if not _streams[name]:
                del _streams[name]


class ClientWatch:
    """Whether the client of a request reads its events: Gradio runs a request even if nobody fetches the result."""

    def __init__(self, request: gr.Request):
        self._names = (request.session_hash, current_event())
        self._seen = time.monotonic()

    def check(self) -> None:
        """Raise EnhanceError if the client has not read its events for a while."""
        if any(name in _streams for name in self._names):
            self._seen = time.monotonic()
        if time.monotonic() - self._seen > UNHEARD_SECONDS:
            raise EnhanceError("nobody_listened", seconds=f"{UNHEARD_SECONDS:g}")


def said(language: str, state: RunState) -> tuple[str, float | None]:
    """Return how far a run is in words, and as a share of 1."""
    if state.ahead:
        return translate(language, "waiting_place", ahead=state.ahead), None
    if state.total == 0:
        return translate(language, "starting"), None
    if state.writing:
        return translate(language, "writing"), 1.0
    share = state.done / state.total
    words = [translate(language, "share_done", percent=int(100 * share))]
    if state.left is not None:
        words.append(translate(language, "left", time=format_duration(language, state.left)))
    return " · ".join(words), share


def tell_files(batch: Batch, progress: gr.Progress) -> int:
    """Send the progress of a batch to a client and return the number of jobs ahead."""
    finished = sum(batch.count(state) for state in ("done", "failed"))
    left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
    left = f", waiting, {batch.ahead} before it" if batch.ahead else left
    progress((finished, len(batch.items)), desc=f"files{left}", unit="files")
    return batch.ahead


def wait_until_done(job: Job[Any], watch: ClientWatch, tell: Callable[[], int]) -> Iterator[tuple[Any, Any]]:
    """Yield nothing new for a client until the job ends; `tell` sends the progress, and returns the jobs ahead."""
    for _ in job.looks(LOOK_SECONDS):
        if tell():
            watch.check()
        yield gr.skip(), gr.skip()
