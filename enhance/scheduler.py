"""The scheduler of the device: one thread runs every step, and long jobs get the device one after the other.

PyTorch's CPU work is spread over the cores by OpenMP, which keeps one team of threads for each thread that calls it.
With two teams there are more threads than cores, and everything takes half as long again. So one thread does all of
PyTorch's work, in steps. Steps of previews go before steps of runs, and callers are served in turn.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, cast

from .errors import Cancelled, EnhanceError

Progress = Callable[[int, int, float | None], object]
"""Called between steps with the rows done, the rows in all, and the seconds left (None while unknown)."""

Kind = Literal["run", "batch", "comparison", "preview"]
T = TypeVar("T")

_URGENT_IN_A_ROW = 2
"""After so many urgent steps, one that is not urgent is run."""
_POLL_SECONDS = 0.1
"""How often a waiting thread checks whether its job was cancelled."""
_EXIT_SECONDS = 10.0
_NEAR = 2
"""Jobs of one kind that may hold a decoded image: the one that has the device, and the next one."""
_MOST = {"run": 20, "batch": 20, "comparison": 16, "preview": 16}
"""Jobs that may wait. Runs and batches are counted together."""
_MOST_BATCHES = 8
_TYPICAL_SECONDS = 30.0
"""The duration of a job before any was measured."""


@dataclass(eq=False)
class Ticket:
    """One job's claim on the device.

    Steps of a `preview` are urgent. A `run` and each image of a `batch` get the device one after the other, and so do
    comparisons, whose steps alternate with those of the run. `caller` is whoever is served in turn with other callers.
    It can be a tuple such as an address and a session: addresses are served in turn, then the sessions of an address.

    Setting `stop` cancels the job. `queued(count)` is called now and then with the number of jobs ahead, while the job
    waits for the device. `wait_seconds` is the total time in seconds before its steps began.
    """

    kind: Kind = "run"
    caller: Hashable = None
    stop: threading.Event = field(default_factory=threading.Event)
    queued: Callable[[int], object] | None = None
    wait_seconds: float = 0.0
    began: float | None = field(default=None, init=False)
    """When it got the device, as `time.monotonic`."""

    @property
    def lane(self) -> str:
        """The kind of jobs that it is counted with and queued behind."""
        return "run" if self.kind == "batch" else self.kind

    def check(self) -> None:
        """Raise Cancelled if the job is cancelled."""
        if self.stop.is_set():
            raise Cancelled("stopped")


class Scheduler:
    """Runs steps on the device's thread, which starts with the first one, and queues the jobs that they belong to."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._urgent, self._normal = FairQueue[Step](), FairQueue[Step]()
        self._urgent_in_a_row = 0
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._holders: dict[Ticket, int] = {}
        self._lanes = {name: _Lane() for name in ("run", "comparison", "preview")}

    # Steps

    def call(self, work: Callable[[], T], ticket: Ticket | None = None) -> T:
        """Run `work` on the device's thread and return its result; without a ticket it is urgent.

        Raises what `work` raises, and Cancelled if the job is cancelled before the work begins.
        """
        if threading.current_thread() is self._thread:
            return work()
        return self.wait_for(self.submit(work, ticket))

    def submit(self, work: Callable[[], T], ticket: Ticket | None = None) -> Step[T]:
        """Queue `work` for the device's thread. Use `wait_for` or `withdraw` with the step that is returned."""
        step = Step(work, ticket or Ticket("preview"))
        with self._changed:
            self._queue_of(step).add(step.ticket.caller, step)
            if self._thread is None or not self._thread.is_alive():
                self._is_closing = False
                self._thread = threading.Thread(target=self._run_steps, name="enhance-device", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return step

    def wait_for(self, step: Step[T]) -> T:
        """Return the result of a step, once it is there, as `call`."""
        ticket, asked = step.ticket, time.perf_counter()
        try:
            while not step.ended.wait(_POLL_SECONDS):
                if ticket.stop.is_set() and self.withdraw(step):
                    raise Cancelled("stopped")
        finally:
            self.withdraw(step)
            ticket.wait_seconds += max(0.0, (step.begun or time.perf_counter()) - asked)
        return step.result()

    def withdraw(self, step: Step) -> bool:
        """Remove a step from the queue and return whether it was still there."""
        with self._changed:
            return self._queue_of(step).remove(step)

    def check(self, ticket: Ticket) -> None:
        """Within a long step: raise Cancelled if its job is cancelled, or the thread is to end."""
        ticket.check()
        if self._is_closing:
            raise Cancelled("stopped")

    def count_steps(self) -> int:
        """Return the number of queued steps."""
        with self._changed:
            return len(self._urgent) + len(self._normal)

    def close(self) -> None:
        """End the thread after the current step, which `check` interrupts. The next step starts it again."""
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(_EXIT_SECONDS)

    def _queue_of(self, step: Step) -> FairQueue[Step]:
        return self._urgent if step.ticket.kind == "preview" else self._normal

    def _run_steps(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._urgent or self._normal)
                if self._is_closing:
                    return
                step = self._next_step()
            step.run()
            del step  # or its rows would stay in memory until the next step

    def _next_step(self) -> Step:
        normal = self._normal and (not self._urgent or self._urgent_in_a_row >= _URGENT_IN_A_ROW)
        self._urgent_in_a_row = 0 if normal else self._urgent_in_a_row + 1
        return (self._normal if normal else self._urgent).take()

    # Jobs

    @contextmanager
    def admit(self, caller: Hashable, kind: Kind = "run", most: int | None = None) -> Iterator[Ticket]:
        """Admit a job and yield its ticket; the job ends with the block and the last `hold`.

        `most` jobs may wait. One caller can have a quarter of them, and all callers of one address all but a quarter,
        so that others always find room. Raises EnhanceError if there is no room.
        """
        ticket = Ticket(kind, caller)
        with self._changed:
            self._check_room(ticket, _MOST[kind] if most is None else most)
            self._holders[ticket] = 0
        with self.hold(ticket):
            yield ticket

    @contextmanager
    def hold(self, ticket: Ticket) -> Iterator[None]:
        """Keep a job admitted until the end of the block."""
        with self._changed:
            self._holders[ticket] = self._holders.get(ticket, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._holders[ticket] -= 1
                if not self._holders[ticket]:
                    del self._holders[ticket]
                    self.leave_queue(ticket)

    @contextmanager
    def queue_job(self, ticket: Ticket, ahead: int = 0) -> Iterator[None]:
        """Queue a job and wait until at most `ahead` jobs of its lane are ahead of it; then it may begin.

        With `ahead` 1 the job is next: time to decode its image. A job that is queued already keeps its place. The
        place is given up with the block, or by `leave_queue`. Raises Cancelled if the job is cancelled before.
        """
        with self._changed:
            lane = self._lanes[ticket.lane]
            if ticket not in lane.near and ticket not in lane.waiting:
                lane.waiting.add(ticket.caller, ticket)
                self._advance(lane)
        try:
            self._wait_for_place(ticket, ahead)
            yield
        finally:
            self.leave_queue(ticket)

    def leave_queue(self, ticket: Ticket) -> None:
        """Give up a job's place, if it has one."""
        with self._changed:
            lane = self._lanes[ticket.lane]
            lane.waiting.remove(ticket)
            if ticket in lane.near:
                lane.near.remove(ticket)
            if ticket.began is not None:
                lane.seconds += (time.monotonic() - ticket.began - lane.seconds) / 4
                ticket.began = None
            self._advance(lane)

    def ahead(self, ticket: Ticket) -> int:
        """Return how many jobs are ahead of one that is queued; 0 for any other."""
        with self._changed:
            lane = self._lanes[ticket.lane]
            if ticket not in lane.waiting:  # in_order takes time
                return lane.near.index(ticket) if ticket in lane.near else 0
            return len(lane.near) + list(lane.waiting.in_order()).index(ticket)

    def count(self, lane: str = "run", *, admitted: bool = True) -> int:
        """Return the number of jobs that have or wait for the device, or that are `admitted` if those are more."""
        with self._changed:
            queued = len(self._lanes[lane].near) + len(self._lanes[lane].waiting)
            return max(queued, sum(one.lane == lane for one in self._holders)) if admitted else queued

    def seconds(self, ahead: int) -> float:
        """Return the expected duration of so many runs."""
        return ahead * self._lanes["run"].seconds

    def _check_room(self, ticket: Ticket, most: int) -> None:
        jobs = [one for one in self._holders if one.lane == ticket.lane]
        own = sum(one.caller == ticket.caller for one in jobs)
        near = sum(_parts(one.caller)[0] == _parts(ticket.caller)[0] for one in jobs)
        share = max(2, most // 4)
        full = len(jobs) > most
        if ticket.kind == "batch":
            full = full or sum(one.kind == "batch" for one in jobs) >= _MOST_BATCHES
        if full or own >= share or near >= max(share, most - share):
            minutes = max(1, round(len(jobs) * self._lanes[ticket.lane].seconds / 60))
            key = "queue_full" if full else "queue_share"
            raise EnhanceError(key, own=own if own >= share else near, place=len(jobs) + 1, minutes=minutes)

    def _wait_for_place(self, ticket: Ticket, ahead: int) -> None:
        asked, near = time.perf_counter(), self._lanes[ticket.lane].near
        try:
            while not ticket.stop.is_set():
                with self._changed:
                    if self._changed.wait_for(lambda: ticket in near[: ahead + 1], _POLL_SECONDS):
                        break
                if ticket.queued is not None:
                    ticket.queued(self.ahead(ticket))
        finally:
            ticket.wait_seconds += time.perf_counter() - asked
        if ticket.stop.is_set():
            raise Cancelled("stopped_before")
        if ahead == 0:
            ticket.began = time.monotonic()

    def _advance(self, lane: _Lane) -> None:
        while len(lane.near) < _NEAR and lane.waiting:
            ticket = lane.waiting.take()
            if not ticket.stop.is_set():  # a cancelled one leaves by itself
                lane.near.append(ticket)
        self._changed.notify_all()


class Step(Generic[T]):
    """A piece of work for the device's thread, and its outcome."""

    def __init__(self, work: Callable[[], T], ticket: Ticket):
        self.ticket = ticket
        self.begun: float | None = None
        self.ended = threading.Event()
        self._work: Callable[[], T] | None = work
        self._result: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        work, self._work = self._work, None
        assert work is not None
        self.begun = time.perf_counter()
        try:
            self.ticket.check()
            self._result = work()
        except BaseException as error:  # it belongs to the thread that waits for the step
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        """Return the result after the end, or raise the error."""
        error, self._error = self._error, None
        if error is None:
            return cast(T, self._result)
        try:
            raise error
        finally:
            del error  # its traceback references this frame and would keep the failed step's rows in memory


class FairQueue(Generic[T]):
    """Waiting items of several callers, who are served in turn; items of one caller come in their order."""

    def __init__(self) -> None:
        self._items: list[tuple[Hashable, T]] = []
        self._served: dict[tuple[Hashable, ...], int] = {}
        """When each waiting caller was served last, or came, in counted events; also for each part of its name."""
        self._events = itertools.count()
        self._last: Hashable = ()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return any(item is one for _, one in self._items)

    def add(self, caller: Hashable, item: T) -> None:
        self._items.append((caller, item))
        for part in _prefixes(caller):
            self._served.setdefault(part, next(self._events))

    def take(self) -> T:
        """Remove and return the next item: of the caller that was served the longest time ago."""
        for part in _prefixes(self._last):
            if part in self._served:  # behind all that came in the meantime
                self._served[part] = next(self._events)
        self._last, item = min(self._items, key=lambda one: [self._served[part] for part in _prefixes(one[0])])
        self.remove(item)
        return item

    def remove(self, item: T) -> bool:
        """Remove an item and return whether it was there."""
        before = len(self._items)
        self._items = [one for one in self._items if one[1] is not item]
        waiting = {part for caller, _ in self._items for part in _prefixes(caller)}
        self._served = {part: event for part, event in self._served.items() if part in waiting}
        return len(self._items) < before

    def in_order(self) -> Iterator[T]:
        """Yield the items in the order in which they will be taken."""
        later = FairQueue[T]()
        later._items, later._served, later._last = self._items.copy(), self._served.copy(), self._last
        later._events = itertools.count(max(self._served.values(), default=0) + 1)
        while later:
            yield later.take()


@dataclass
class _Lane:
    """Jobs that get the device one after the other: those near it, the first of which has it, and the others."""

    near: list[Ticket] = field(default_factory=list)
    waiting: FairQueue[Ticket] = field(default_factory=FairQueue)
    seconds: float = _TYPICAL_SECONDS
    """The average duration of the last jobs."""


def _parts(caller: Hashable) -> tuple[Hashable, ...]:
    return caller if isinstance(caller, tuple) else (caller,)


def _prefixes(caller: Hashable) -> list[tuple[Hashable, ...]]:
    parts = _parts(caller)
    return [parts[: count + 1] for count in range(len(parts))]


SCHEDULER = Scheduler()
"""The process's scheduler: OpenMP counts its threads for the whole process, however many engines there are."""
# A thread inside PyTorch while the interpreter exits would crash the process.
atexit.register(SCHEDULER.close)
if hasattr(os, "register_at_fork"):  # a forked process has none of the threads, and their locks stay locked
    os.register_at_fork(after_in_child=SCHEDULER.__init__)
