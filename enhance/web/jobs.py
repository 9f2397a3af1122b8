"""Jobs: work in threads of their own, their progress, and whether a client still reads their events."""

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
_POLL_SECONDS = 0.1
UNREAD_SECONDS = 30.0
"""How long a queued job keeps its position while no client reads its events."""


@dataclass(frozen=True)
class RunState:
    """The progress of a run: finished rows, all rows, and the expected seconds left.

    `is_writing` is true when the network has finished. `ahead` is the number of jobs ahead in the queue.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    is_writing: bool = False
    ahead: int = 0

    def send(self, progress: gr.Progress) -> int:
        """Send the progress to a client and return the number of jobs ahead."""
        if self.total:
            left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
            progress((self.done, self.total), desc=f"rows{left}", unit="rows")
        elif self.ahead:
            progress(0, desc=f"waiting, {self.ahead} before it")
        return self.ahead


class Job(Generic[T]):
    """Work in a thread, which starts at once. The job keeps its ticket until its end."""

    def __init__(self, work: Callable[[], T], ticket: Ticket):
        self.ticket = ticket
        self.cancelled_by: Literal["", "person", "absence"] = ""
        """Who cancelled the job first. It is empty if the server was shut down."""
        self._state = RunState()
        self._future: Future[T] = Future()
        # On a ZeroGPU Space, the lender of the GPU reads the visitor of the request from the context.
        run = contextvars.copy_context().run
        self._held = ExitStack()
        self._held.enter_context(SCHEDULER.hold(ticket))
        self._held.callback(JOBS.discard, self)
        JOBS.add(self)
        try:
            threading.Thread(target=run, args=(self._work, work), name="enhance-job", daemon=True).start()
        except BaseException:
            self._held.close()
            raise

    @property
    def stop(self) -> threading.Event:
        """The event that cancels the job."""
        return self.ticket.stop

    @property
    def state(self) -> RunState:
        """The current progress."""
        ahead = SCHEDULER.ahead(self.ticket)
        return RunState(ahead=ahead) if ahead else self._state

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self._future.done()

    def inputs(self) -> Iterable[Path]:
        """Return the input files of the job, which are not deleted before its end."""
        return ()

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Set the progress, as `Enhancer.run` reports it."""
        self._state = RunState(done, total, seconds_left, is_writing=done >= total)

    def close(self) -> None:
        """Cancel the job without a reason."""
        self.stop.set()

    def cancel(self, reason: Literal["person", "absence"]) -> None:
        """Cancel the job. The reason of the first call is kept."""
        self.cancelled_by = self.cancelled_by or reason
        self.close()

    def poll(self, seconds: float) -> Iterator[None]:
        """Yield at this interval until the job ends."""
        while not self.wait(seconds):
            yield

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the job, at most `seconds`, and return whether it has ended."""
        return not wait([self._future], seconds).not_done

    def result(self) -> T:
        """Return the result of a job that has ended. Raises what the work raised."""
        return self._future.result()

    def _work(self, work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:
            self._held.close()
            self._future.set_exception(error)
        else:
            self._held.close()
            self._future.set_result(result)


JOBS: set[Job[Any]] = set()
"""All jobs that have not ended, for the shutdown of the server."""

_streams: Counter[str] = Counter()
"""The number of open event streams by the name of a session or an event. The names are random."""
_streams_lock = threading.Lock()


@contextmanager
def listening(name: str) -> Iterator[None]:
    """Count a client that reads the events of this name until the end of the block."""
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
    """Checks whether the client of a request reads its events. Gradio runs a request even if nobody does."""

    def __init__(self, request: gr.Request):
        self._names = (request.session_hash, current_event())
        self._seen = time.monotonic()

    def check(self) -> None:
        """Raise EnhanceError if the client has not read its events for a while."""
        if any(name in _streams for name in self._names):
            self._seen = time.monotonic()
        if time.monotonic() - self._seen > UNREAD_SECONDS:
            raise EnhanceError("job_unread", seconds=f"{UNREAD_SECONDS:g}")


def progress_text(language: str, state: RunState) -> tuple[str, float | None]:
    """Return the progress of a run as text and as a share of 1, which is None while it is unknown."""
    if state.ahead:
        return translate(language, "waiting_place", ahead=state.ahead), None
    if state.total == 0:
        return translate(language, "starting"), None
    if state.is_writing:
        return translate(language, "writing"), 1.0
    share = state.done / state.total
    texts = [translate(language, "share_done", percent=int(100 * share))]
    if state.seconds_left is not None:
        texts.append(translate(language, "left", time=format_duration(language, state.seconds_left)))
    return " · ".join(texts), share


def send_batch_progress(batch: Batch, progress: gr.Progress) -> int:
    """Send the progress of a batch to a client and return the number of jobs ahead."""
    finished = sum(batch.count(state) for state in ("done", "failed"))
    left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
    left = f", waiting, {batch.ahead} before it" if batch.ahead else left
    progress((finished, len(batch.items)), desc=f"files{left}", unit="files")
    return batch.ahead


def wait_until_done(job: Job[Any], watch: ClientWatch, send: Callable[[], int]) -> Iterator[tuple[Any, Any]]:
    """Yield unchanged outputs until the job ends. `send` sends the progress and returns the number of jobs ahead."""
    for _ in job.poll(_POLL_SECONDS):
        if send():
            watch.check()
        yield gr.skip(), gr.skip()
