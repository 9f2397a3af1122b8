"""One thread owns the device: every step of every caller is done there, and callers take turns step by step.

PyTorch's work is spread over the cores by OpenMP, which keeps a team of threads for each thread that asks it. With two
teams there are more threads than cores, they wait for each other asleep, and everything takes half as long again.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from .errors import Cancelled

Progress = Callable[[int, int, float | None], object]
"""Called between steps with: rows done, rows in all, seconds left (None while unknown)."""

T = TypeVar("T")

_URGENT_IN_A_ROW = 2
_LOOK_SECONDS = 0.1
"""How soon one who waits finds out that it is to stop."""
_LEAVE_SECONDS = 10.0
_NEAR = 2
"""The run that has the device, and the one whose picture is decoded meanwhile."""


@dataclass
class Waiting:
    """The seconds that one caller has waited for its turns."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Ticket:
    """How one run or preview takes its turns.

    Callers take turns with each other, so all that comes from one person has one `caller`. It can be a tuple of names,
    such as an address and a session: addresses take turns, then the sessions of one address. An `urgent` step goes
    before those that are not; what waits when `stop` is set is not begun. `waiting` counts the time until each step
    begins; `queued` is told now and then how many long runs are before this one, while it waits for them.
    """

    caller: Hashable = None
    urgent: bool = False
    stop: threading.Event | None = None
    waiting: Waiting = field(default_factory=Waiting)
    queued: Callable[[int], object] | None = None

    @property
    def stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()


class DeviceThread:
    """The one thread on which PyTorch works; it starts at the first step and does not keep the process alive."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent, self._usual = FairQueue[_Step](), FairQueue[_Step]()
        self._urgent_in_a_row = 0
        self._thread: threading.Thread | None = None
        self._leaving = False

    def do(self, work: Callable[[], T], turn: Ticket | None = None) -> T:
        """What `work` gives, done on the device's thread when its turn comes; raises what it raises.

        Urgent work goes first, but after two pieces of it one that is not gets its turn. Raises Cancelled when the
        turn's `stop` is set before the work begins; work that has begun is waited for.
        """
        if threading.current_thread() is self._thread:
            return work()
        asked = self.ask(work, turn)
        try:
            return asked.wait()
        finally:
            asked.take_back()

    def ask(self, work: Callable[[], T], turn: Ticket | None = None) -> PendingStep[T]:
        """`work` in its queue, not waited for; whoever asks takes it back in the end. Not on the device's thread."""
        turn = turn or Ticket()
        step, queue = _Step(work, turn), self._urgent if turn.urgent else self._usual
        self._put(queue, step)
        return PendingStep(step, lambda: self._take_back(queue, step))

    def hand_over(self, work: Callable[[], object]) -> None:
        """Have `work` done when its turn comes, without waiting for it; what comes of it is its own matter."""
        self._put(self._usual, _Step(work, Ticket()))

    def look(self, turn: Ticket) -> None:
        """Within a long step: raises Cancelled when the turn's `stop` is set, or when the thread is to end."""
        if turn.stopped or self._leaving:
            raise Cancelled("stopped")

    def waiting(self) -> int:
        """How many steps wait for their turn."""
        with self._changed:
            return len(self._urgent) + len(self._usual)

    def leave(self) -> None:
        """End the thread, which a step that looks finds out by itself; the next step starts it anew."""
        with self._changed:
            thread, self._leaving = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(_LEAVE_SECONDS)

    def _put(self, queue: FairQueue[_Step], step: _Step) -> None:
        with self._changed:
            queue.add(step.turn.caller, step)
            self._start()
            self._changed.notify_all()

    def _take_back(self, queue: FairQueue[_Step], step: _Step) -> bool:
        with self._changed:
            return queue.remove(step.turn.caller, step)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._leaving = False
            self._thread = threading.Thread(target=self._serve, name="enhance-device", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or self._urgent or self._usual)
                if self._leaving:
                    return
                begin = self._next().run
            begin()
            del begin  # or the last step's rows would stay in memory until the next one

    def _next(self) -> _Step:
        usual = self._usual and (not self._urgent or self._urgent_in_a_row >= _URGENT_IN_A_ROW)
        self._urgent_in_a_row = 0 if usual else self._urgent_in_a_row + 1
        return (self._usual if usual else self._urgent).take()


@dataclass(frozen=True, eq=False)
class PendingStep(Generic[T]):
    """Work that the device's thread was asked for; `take_back` says whether it had not begun."""

    _step: _Step
    take_back: Callable[[], bool]

    def wait(self) -> T:
        """What the work gives, as `DeviceThread.do`."""
        step, waited = self._step, time.perf_counter()
        try:
            while not step.ended.wait(_LOOK_SECONDS):
                if step.turn.stopped and self.take_back():
                    raise Cancelled("stopped")
        finally:
            self.take_back()
            step.turn.waiting.seconds += max(0.0, (step.begun or time.perf_counter()) - waited)
        return cast(T, step.outcome())


class Runs:
    """Long runs: one has the device, one more is near it, the others hold no picture; callers take turns."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._queue = FairQueue[DevicePlace]()
        self._near: list[DevicePlace] = []

    def __len__(self) -> int:
        """How many long runs go on (one at most) or wait for it."""
        with self._changed:
            return len(self._queue) + len(self._near)

    @contextmanager
    def near(self, turn: Ticket) -> Iterator[DevicePlace]:
        """A place near the device, once one run at most is before it: now it is worth decoding the picture.

        Raises Cancelled if the turn's `stop` is set before.
        """
        place = self._enter(turn)
        try:
            self._wait(place, 1)
            yield place
        finally:
            self.leave(place)

    @contextmanager
    def run(self, turn: Ticket, near: DevicePlace | None = None) -> Iterator[None]:
        """The right to a long run; waits for those before it, and raises Cancelled if the turn's `stop` is set.

        `near` is the place that it has already; it is given up at the end.
        """
        place = near or self._enter(turn)
        try:
            self._wait(place, 0)
            yield
        finally:
            self.leave(place)

    def leave(self, place: DevicePlace) -> None:
        """Give up a place, if it is not given up yet."""
        with self._changed:
            self._queue.remove(place.turn.caller, place)
            if place in self._near:
                self._near.remove(place)
            self._let_in()

    def _enter(self, turn: Ticket) -> DevicePlace:
        place = DevicePlace(turn)
        with self._changed:
            self._queue.add(turn.caller, place)
            self._let_in()
        return place

    def _wait(self, place: DevicePlace, most: int) -> None:
        """Until `most` runs are before it."""
        asked, turn = time.perf_counter(), place.turn
        try:
            while not self._is_near(place, most) and not turn.stopped:
                if turn.queued is not None:
                    turn.queued(self._ahead(place))
        finally:
            turn.waiting.seconds += time.perf_counter() - asked
        if turn.stopped:
            raise Cancelled("stopped_before")

    def _is_near(self, place: DevicePlace, most: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: place in self._near[: most + 1], _LOOK_SECONDS)

    def _ahead(self, place: DevicePlace) -> int:
        with self._changed:
            waiting = [*self._near, *self._queue.in_order()]
            return waiting.index(place) if place in waiting else 0

    def _let_in(self) -> None:
        while len(self._near) < _NEAR and self._queue:
            place = self._queue.take()
            if not place.turn.stopped:  # one that is sees it by itself
                self._near.append(place)
        self._changed.notify_all()


@dataclass(frozen=True, eq=False)
class DevicePlace:
    """A long run's place among the others."""

    turn: Ticket


class _Step:
    """One piece of work, and what comes of it."""

    def __init__(self, work: Callable[[], object], turn: Ticket):
        self.turn = turn
        self.asked = time.perf_counter()
        self.begun: float | None = None
        self.ended = threading.Event()
        self._work: Callable[[], object] | None = work
        self._result: object = None
        self._error: BaseException | None = None

    def run(self) -> None:
        work, self._work = self._work, None
        assert work is not None
        self.begun = time.perf_counter()
        try:
            if self.turn.stopped:
                raise Cancelled("stopped")
            self._result = work()
        except BaseException as error:  # it belongs to the one who asked, whatever it is
            self._error = error
        finally:
            self.ended.set()

    def outcome(self) -> object:
        """The result, after the end. Raises what went wrong."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, and with it the rows of the failed step


class FairQueue(Generic[T]):
    """What waits, by caller. Callers take turns, and each caller is served in the order of asking.

    A caller can be a tuple of names: the first names take turns, then the second names within each of them, and so on.
    """

    def __init__(self) -> None:
        self._callers: dict[Hashable, FairQueue[T]] = {}
        self._own: deque[T] = deque()  # of the caller whose names all lead to this queue
        self._last: Hashable = None

    def __len__(self) -> int:
        return len(self._own) + sum(map(len, self._callers.values()))

    def add(self, caller: Hashable, one: T) -> None:
        """Let one wait, after all that this caller has waiting."""
        if caller == ():
            self._own.append(one)
        else:
            first, rest = _split(caller)
            self._callers.setdefault(first, FairQueue()).add(rest, one)

    def take(self) -> T:
        """Remove and return the next one: of the caller that has waited longest since its last turn."""
        if self._own:
            return self._own.popleft()
        if self._last in self._callers:  # goes behind those who came during its turn
            self._callers[self._last] = self._callers.pop(self._last)
        self._last = next(iter(self._callers))
        one = self._callers[self._last].take()
        if not self._callers[self._last]:
            del self._callers[self._last]
        return one

    def in_order(self) -> Iterator[T]:
        """Return what waits, in the order in which it will be taken."""
        later = self._copy()
        while later:
            yield later.take()

    def remove(self, caller: Hashable, one: T) -> bool:
        """Remove one and return whether it was waiting."""
        if caller == ():
            if one not in self._own:
                return False
            self._own.remove(one)
            return True
        first, rest = _split(caller)
        if first not in self._callers or not self._callers[first].remove(rest, one):
            return False
        if not self._callers[first]:
            del self._callers[first]
        return True

    def _copy(self) -> FairQueue[T]:
        copied = FairQueue[T]()
        copied._callers = {name: queue._copy() for name, queue in self._callers.items()}
        copied._own, copied._last = self._own.copy(), self._last
        return copied


def _split(caller: Hashable) -> tuple[Hashable, tuple[Hashable, ...]]:
    """Return the first name of a caller and the others."""
    return (caller[0], caller[1:]) if isinstance(caller, tuple) else (caller, ())


def together(count: int, work: Callable[[], object]) -> None:
    """Have `work` done by so many threads at once, each with its share of PyTorch's cores; raises what one raised."""
    import torch  # here, as whoever only asks for turns need not wait until it is loaded

    if count == 1:
        work()
        return
    cores, errors = torch.get_num_threads(), list[BaseException]()

    def alone() -> None:
        torch.set_num_threads(max(1, cores // count))
        try:
            work()
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=alone, name="enhance-core", daemon=True) for _ in range(count - 1)]
    begun = 0
    try:
        with suppress(RuntimeError):  # the system has no thread left: there are fewer then
            for one in others:
                one.start()
                begun += 1
        alone()
    finally:
        for one in others[:begun]:
            one.join()
        torch.set_num_threads(cores)
    if errors:
        raise errors[0]


DEVICE_THREAD = DeviceThread()
"""The process's own: OpenMP's threads are counted for all of it, whatever number of engines there are."""
# A thread inside PyTorch while the interpreter goes away would take the process down with it.
atexit.register(DEVICE_THREAD.leave)
if hasattr(os, "register_at_fork"):  # a forked process has none of the threads, and whatever they held stays locked
    os.register_at_fork(after_in_child=DEVICE_THREAD.__init__)
