"""The events of calls: the progress of a job, and whether the client still reads it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr
from anyio import CapacityLimiter, to_thread

from ..errors import EnhanceError
from ..jobs.threads import JobThread, T
from .gradio_changes import current_event

POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 0.5
"""Every poll is an event for the client, so long jobs are polled less often."""
_LONGEST_PAUSE_SECONDS = 0.5
"""The time between two checks for a reader counts at most as this long."""
UNREAD_SECONDS = 2.0
"""How long a call continues while no client reads its events."""
_streams = list[str]()
"""The names of the sessions and events of all open event streams. Only the event loop's thread
changes them."""


def send_progress(progress: gr.Progress, job: JobThread[Any]) -> None:
    """Send the progress of a job to a client of the API, or the number of jobs ahead of it."""
    done, total, left = job.rows
    if job.ahead:
        progress(0, desc=f"waiting, {job.ahead} before it")
    elif total:
        description = job.unit
        if left is not None:
            description = f"{job.unit}, {left:.0f} s left"
        progress((done, total), desc=description, unit=job.unit)


@contextmanager
def listening(name: str) -> Iterator[None]:
    """Count a client that reads the events of this name until the end of the block."""
    _streams.append(name)
    try:
        yield
    finally:
        _streams.remove(name)


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
        for UNREAD_SECONDS."""
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
    outputs: Callable[[], Any] = gr.skip,
    longest: float = LONGEST_POLL_SECONDS,
) -> Generator[Any, None, T]:
    """Send the progress of a job to its client until it ends, and return its result.

    Yields `outputs()`, by default unchanged outputs, at least every `longest` seconds, so that
    Gradio can end the call. The job is cancelled if its client leaves. Raises EnhanceError if the
    client does not read the events.
    """
    reader = EventReader(request)
    with closing(thread):
        for _ in thread.poll(POLL_SECONDS, longest):
            reader.is_reading()
            if progress is not None:
                send_progress(progress, thread)
            yield outputs()
        return thread.result()


async def last_outputs(
    steps: Generator[Any, None, None],
    limiter: CapacityLimiter,
    after_step: Callable[[], Awaitable[object]],
) -> Any:
    """Return the last outputs of a call outside Gradio, whose steps run in threads.

    The job is cancelled if its client leaves, which `after_step` can raise an error for.
    """
    outputs = None
    try:
        # With a default for the end, because a thread's future cannot raise StopIteration.
        while (step := await to_thread.run_sync(next, steps, None, limiter=limiter)) is not None:
            outputs = step
            await after_step()
    finally:
        steps.close()
    return outputs
