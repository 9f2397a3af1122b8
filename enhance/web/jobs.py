"""Work on its way: done in the background, and in its turn."""

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
from gradio.context import LocalContext

from ..batch import Batch
from ..errors import Cancelled, EnhanceError
from ..i18n import format_duration, translate
from ..scheduler import FairQueue
from .storage import Asker

T = TypeVar("T")
LOOK_SECONDS = 0.1
UNHEARD_SECONDS = 30.0
"""How long what waits for its turn keeps its place while nobody listens to what will come of it."""
GOING: set[Background[Any]] = set()
"""All that goes on in the background, for the end of the server."""


class Background(Generic[T]):
    """Runs `do(stop)` in a thread, at once. `close` tells it to stop, for when nobody waits for it any more."""

    def __init__(self, do: Callable[[threading.Event], T], name: str):
        self.stop = threading.Event()
        self.stopped_by: Literal["", "person", "absence"] = ""
        """Whose doing it was that it was stopped; nobody's where the server ends."""
        self._future: Future[T] = Future()
        # a Space's lender finds in the context whose request it is, and counts it as that visitor's
        work = contextvars.copy_context().run
        self._thread = threading.Thread(target=work, args=(self._work, do), name=name, daemon=True)
        with ExitStack() as stack:
            GOING.add(self)
            stack.callback(GOING.discard, self)
            self._thread.start()
            stack.pop_all()  # the thread discards it at its end

    def inputs(self) -> Iterable[Path]:
        """Return the input files that it reads, which are not deleted before its end."""
        return ()

    def close(self) -> None:
        self.stop.set()

    def stop_for(self, whose: Literal["person", "absence"]) -> None:
        """Stop it, and remember the first whose doing that was."""
        self.stopped_by = self.stopped_by or whose
        self.close()

    def looks(self, seconds: float) -> Iterator[None]:
        """A moment to look after it, every so many seconds until its end."""
        while not self.wait(seconds):
            yield

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; True when it is there."""
        return not wait([self._future], seconds).not_done

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def result(self) -> T:
        """What came of it, after its end. Raises what went wrong there."""
        return self._future.result()

    def _work(self, do: Callable[[threading.Event], T]) -> None:
        try:
            self._future.set_result(do(self.stop))
        except BaseException as error:
            self._future.set_exception(error)
        finally:
            GOING.discard(self)


class Listeners:
    """Who listens: open streams of events, of answers and of signs of life, by the name of a session or of an event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def __contains__(self, name: object) -> bool:
        return name in self._open

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def listening(self, name: str) -> Iterator[None]:
        """While the block goes on, somebody listens to what comes under this name."""
        with self._lock:
            self._open[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[name] -= 1
                self._open += Counter()  # without the names that nobody listens to any more


LISTENERS = Listeners()
"""The process's own: the names are random."""


@dataclass(frozen=True)
class RunState:
    """How far a run is: rows done and in all, seconds left, whether the network is through.

    `ahead` runs come before one that waits for its turn.
    """

    done: int = 0
    total: int = 0
    left: float | None = None
    writing: bool = False
    ahead: int = 0

    def tell(self, progress: gr.Progress) -> int:
        """Tell a client; gives how many runs come before."""
        if self.total:
            left = "" if self.left is None else f", {self.left:.0f} s left"
            progress((self.done, self.total), desc=f"rows{left}", unit="rows")
        elif self.ahead:
            progress(0, desc=f"waiting, {self.ahead} before it")
        return self.ahead


class QueuedRun(Background[T]):
    """Work that tells how far it is."""

    def __init__(self, do: Callable[[threading.Event], T]):
        self.state = RunState()
        super().__init__(do, "enhance-run")

    def queued(self, ahead: int) -> None:
        self.state = RunState(ahead=ahead)

    def progress(self, done: int, total: int, left: float | None) -> None:
        self.state = RunState(done, total, left, writing=done >= total)

    def wait_for(self, turn: QueuePlace) -> None:
        """Wait until it has its turn. Raises Cancelled when it is stopped before."""
        for ahead in turn.looks(LOOK_SECONDS):
            self.queued(ahead)
            if self.stop.is_set():
                break
        if self.stop.is_set():
            raise Cancelled("stopped")


class QueuePlace:
    """A place in the line, from `with` to its end."""

    def __init__(self, line: RunQueue, asker: Asker, kind: str):
        self._line, self.asker, self.kind = line, asker, kind
        self.began: float | None = None

    def __enter__(self) -> QueuePlace:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.leave(self)

    def looks(self, seconds: float) -> Iterator[int]:
        """How many are before it, every so many seconds until its turn."""
        while ahead := self._line.ahead(self):
            yield ahead
            self._line.wait(seconds)


class ClientWatch:
    """Whether anybody waits for what a request asked for: Gradio does it whether or not the answer is fetched."""

    def __init__(self, request: gr.Request):
        self._names = (request.session_hash, LocalContext.event_id.get(None))
        self._seen = time.monotonic()

    @property
    def lost(self) -> bool:
        """Whether nobody has listened for a while."""
        if any(name in LISTENERS for name in self._names):
            self._seen = time.monotonic()
        return time.monotonic() - self._seen > UNHEARD_SECONDS

    def check(self) -> None:
        """Raises EnhanceError when it is lost."""
        if self.lost:
            raise EnhanceError("nobody_listened", seconds=f"{UNHEARD_SECONDS:g}")


class RunQueue:
    """Counts the runs and batches of everyone: `most` may wait, and one visitor may have a share of them on the way.

    All of one address without a login may have all but such a share, so that there is always room for others. One run
    has its turn at a time: addresses take turns, then the sessions of one address. Batches have theirs at once and take
    turns with the runs file by file.
    """

    def __init__(self, most: int = 20, batches: int = 8):
        self._most = {"run": most + 1, "batch": batches}
        self._share = max(2, most // 4)
        self._of_address = max(self._share, most - self._share)
        self._turns: list[QueuePlace] = []
        self._current: QueuePlace | None = None  # the run that has its turn
        self._runs = FairQueue[QueuePlace]()  # those that wait for theirs
        self._changed = threading.Condition()
        self._seconds = 30.0

    def __len__(self) -> int:
        return len(self._turns)

    def enter(self, asker: Asker, kind: str = "run") -> QueuePlace:
        """A place for a visitor. Raises EnhanceError, with the place that it would have had."""
        with self._changed:
            own = sum(turn.asker.name == asker.name for turn in self._turns)
            near = sum(turn.asker.caller[0] == asker.caller[0] for turn in self._turns)
            of_kind = sum(turn.kind == kind for turn in self._turns)
            full = of_kind >= self._most[kind] or len(self._turns) >= self._most["run"]
            if full or own >= self._share or near >= self._of_address:
                ahead = len(self._turns)
                minutes = max(1, round(ahead * self._seconds / 60))
                key = "queue_full" if full else "queue_share"
                raise EnhanceError(key, own=own if own >= self._share else near, place=ahead + 1, minutes=minutes)
            self._turns.append(turn := QueuePlace(self, asker, kind))
            if kind == "run":
                self._runs.add(asker.caller, turn)
                self._advance()
        return turn

    def ahead(self, turn: QueuePlace) -> int:
        """How many runs come before it; none: it has its turn."""
        with self._changed:
            if turn.kind == "batch" or turn not in self._turns:
                return 0
            return [self._current, *self._runs.in_order()].index(turn)

    def _advance(self) -> None:
        if self._current is None and self._runs:
            self._current = self._runs.take()
            self._current.began = time.monotonic()

    def seconds(self, ahead: int) -> float:
        """About how long so many runs take."""
        return ahead * self._seconds

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(seconds)

    def leave(self, turn: QueuePlace) -> None:
        """Give a place back; one that was given back already stays so."""
        with self._changed:
            if turn not in self._turns:
                return
            self._turns.remove(turn)
            self._runs.remove(turn.asker.caller, turn)
            if turn is self._current:
                self._current = None
            if turn.began is not None:
                self._seconds += (time.monotonic() - turn.began - self._seconds) / 4
            self._advance()
            self._changed.notify_all()


def said(language: str, state: RunState) -> tuple[str, float | None]:
    """How far a run is in words, and as a share of 1."""
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
    """Tell a client how far a batch is; gives how many runs come before it."""
    finished = sum(batch.count(state) for state in ("done", "failed"))
    left = "" if batch.seconds_left is None else f", {batch.seconds_left:.0f} s left"
    left = f", waiting, {batch.ahead} before it" if batch.ahead else left
    progress((finished, len(batch.items)), desc=f"files{left}", unit="files")
    return batch.ahead


def wait_until_done(
    work: Background[Any], attention: ClientWatch, tell: Callable[[], int]
) -> Iterator[tuple[Any, Any]]:
    """Nothing new for a client until the work ends; `tell` tells how far it is, and gives how many come before it."""
    for _ in work.looks(LOOK_SECONDS):
        if tell():
            attention.check()
        yield gr.skip(), gr.skip()
