"""The scheduler of an enhancer: admits jobs, limits their number and decides which job uses the
device next.

Each enhancer has its own, so its jobs, limits and counts are independent of other enhancers in the
same process. The jobs of all enhancers run their steps on the thread of the device, see
`device_thread`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Literal, TypeVar

from ..errors import Cancelled, EnhanceError, check_stop

JobKind = Literal["run", "comparison", "preview"]
T = TypeVar("T")

_POLL_SECONDS = 0.1
"""How often a waiting thread checks whether its job was cancelled."""
_ACTIVE_JOBS = 2
"""Jobs of one queue that can hold a decoded image: the one that has the device, and the next
one."""
_MAX_JOBS = 16
"""The default limit of the waiting jobs of one kind."""
_TYPICAL_SECONDS = 30.0
"""A rough duration of a job, for the time after which a rejected client can try again."""


@dataclass(eq=False)
class Job:
    """A job of the scheduler.

    Steps of a `preview` are urgent. Runs, such as the images of a batch, get the device one after
    the other, and so do comparisons, whose steps alternate with the steps of the run.

    - `caller`: callers are served in rotation. In a tuple such as address and session, the
      addresses are served in rotation, then the sessions of an address.
    - `stop`: cancels the job.
    - `wait_seconds`: the time that the job has waited in total.
    """

    kind: JobKind = "run"
    caller: Hashable = None
    stop: threading.Event = field(default_factory=threading.Event)
    wait_seconds: float = 0.0

    def check(self) -> None:
        """Raise Cancelled if the job is cancelled."""
        check_stop(self.stop)


class Scheduler:
    """Queue of jobs that use the device one after the other. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = Counter[Job]()
        self._queues = defaultdict[JobKind, _JobQueue](_JobQueue)

    @contextmanager
    def admit(
        self, caller: Hashable, kind: JobKind = "run", limit: int = _MAX_JOBS
    ) -> Iterator[Job]:
        """Admit a job and yield it. The job ends with the block and the last `hold`.

        At most `limit` jobs can wait. One caller can have a quarter of them, and all callers of one
        address three quarters. Raises EnhanceError if a limit is reached.
        """
        job = Job(kind, caller)
        with self._changed:
            self._check_limits(job, limit)
            # Under the same lock as the check, so that two jobs cannot get the last place.
            self._holders[job] = 0
        with self.hold(job):
            yield job

    @contextmanager
    def hold(self, job: Job) -> Iterator[None]:
        """Prevent the end of an admitted job inside the block."""
        with self._changed:
            self._holders[job] += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders[job] -= 1
                if not self._holders[job]:
                    del self._holders[job]
                    self.leave_queue(job)

    @contextmanager
    def queue_job(self, job: Job, ahead: int = 0) -> Iterator[None]:
        """Queue a job and wait until at most `ahead` jobs of its queue are ahead of it.

        With `ahead` 1 the job is next and can decode its image. A job that is queued already keeps
        its position. It leaves the queue at the end of the block, or by `leave_queue`. Raises
        Cancelled if the job is cancelled.
        """
        with self._changed:
            queue = self._queues[job.kind]
            if job not in queue.active and job not in queue.waiting:
                queue.waiting.add(job.caller, job)
                self._advance(queue)
        try:
            self._wait_in_queue(job, ahead)
            yield
        finally:
            self.leave_queue(job)

    def leave_queue(self, job: Job) -> None:
        """Remove a job from its queue, if it is there."""
        with self._changed:
            queue = self._queues[job.kind]
            queue.waiting.remove(job)
            if job in queue.active:
                queue.active.remove(job)
            self._advance(queue)

    def ahead(self, job: Job) -> int:
        """Return how many jobs are ahead of a queued job; 0 for any other job."""
        with self._changed:
            queue = self._queues[job.kind]
            if job in queue.active:
                return queue.active.index(job)
            if job not in queue.waiting:
                return 0
            return len(queue.active) + list(queue.waiting.in_order()).index(job)

    def count(self, name: JobKind = "run") -> int:
        """Return the number of jobs in a queue, or the number of admitted jobs if it is larger."""
        with self._changed:
            queue = self._queues[name]
            admitted = sum(one.kind == name for one in self._holders)
            return max(len(queue.active) + len(queue.waiting), admitted)

    def _check_limits(self, job: Job, limit: int) -> None:
        jobs = [one for one in self._holders if one.kind == job.kind]
        own = sum(one.caller == job.caller for one in jobs)
        address = _prefixes(job.caller)[0]
        of_address = sum(_prefixes(one.caller)[0] == address for one in jobs)
        share = max(2, limit // 4)
        reached = {
            # One more than can wait, because one job has the device.
            "queue_full": len(jobs) > limit,
            "queue_share": own >= share,
            "queue_address": of_address >= max(share, limit - share),
        }
        for key, is_reached in reached.items():
            if is_reached:
                minutes = max(1, round(len(jobs) * _TYPICAL_SECONDS / 60))
                raise EnhanceError(
                    key, place=len(jobs) + 1, minutes=minutes, own=own, count=of_address
                )

    def _wait_in_queue(self, job: Job, ahead: int) -> None:
        started = time.perf_counter()
        active = self._queues[job.kind].active

        def is_over() -> bool:
            return job.stop.is_set() or job in active[: ahead + 1]

        try:
            with self._changed:
                while not self._changed.wait_for(is_over, _POLL_SECONDS):
                    pass
        finally:
            job.wait_seconds += time.perf_counter() - started
        if job.stop.is_set():
            raise Cancelled("stopped_before")

    def _advance(self, queue: _JobQueue) -> None:
        while len(queue.active) < _ACTIVE_JOBS and queue.waiting:
            queue.active.append(queue.waiting.take())  # A cancelled job leaves by itself.
        self._changed.notify_all()


class FairQueue(Generic[T]):
    """A queue that serves its callers in rotation. The items of one caller keep their order.

    Each caller, and each prefix of its tuple, has a place in the rotation. A new one has the last.
    A caller who was served is behind all who come before the next item is taken.
    """

    def __init__(self) -> None:
        self._prefixes = dict[T, list[tuple[Hashable, ...]]]()  # of the caller of each item
        self._rotation = list[tuple[Hashable, ...]]()
        self._served = list[tuple[Hashable, ...]]()

    def __len__(self) -> int:
        return len(self._prefixes)

    def __contains__(self, item: object) -> bool:
        return item in self._prefixes

    def add(self, caller: Hashable, item: T) -> None:
        prefixes = _prefixes(caller)
        self._prefixes[item] = prefixes
        self._rotation += [prefix for prefix in prefixes if prefix not in self._rotation]

    def take(self) -> T:
        """Remove and return the next item, of the caller who was served the longest time ago."""
        others = [prefix for prefix in self._rotation if prefix not in self._served]
        waiting = set(chain.from_iterable(self._prefixes.values()))
        self._rotation = [prefix for prefix in others + self._served if prefix in waiting]
        item = min(self._prefixes, key=self._places)
        self._served = self._prefixes.pop(item)
        return item

    def _places(self, item: T) -> list[int]:
        return [self._rotation.index(prefix) for prefix in self._prefixes[item]]

    def remove(self, item: T) -> bool:
        """Remove an item. Return False if it was not there."""
        return self._prefixes.pop(item, None) is not None

    def in_order(self) -> Iterator[T]:
        """Yield the items in the order in which they will be taken."""
        later = copy(self)
        later._prefixes = self._prefixes.copy()
        while later:
            yield later.take()


@dataclass
class _JobQueue:
    """Jobs that get the device one after the other. The first `active` job has it, the next one can
    prepare."""

    active: list[Job] = field(default_factory=list)
    waiting: FairQueue[Job] = field(default_factory=FairQueue)


def _prefixes(caller: Hashable) -> list[tuple[Hashable, ...]]:
    parts = caller
    if not isinstance(parts, tuple):
        parts = (parts,)
    return [parts[: count + 1] for count in range(len(parts))]
