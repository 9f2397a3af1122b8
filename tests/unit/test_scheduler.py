"""The scheduler: one thread, previews first, callers in rotation, bounded, and cancellable at every point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from enhance.errors import Cancelled, EnhanceError
from enhance.scheduler import Kind, Scheduler, Ticket

PATIENCE = 60
ARRIVED = ["a11", "a12", "a21", "a31", "b11", "b12"]
SERVED = ["a11", "b11", "a21", "b12", "a31", "a12"]
"""Addresses a and b, sessions 1 to 3 of a and 1 of b."""


class BusyScheduler(Scheduler):
    """A scheduler whose thread is busy until the end of the block; later steps wait in their order."""

    def __enter__(self) -> BusyScheduler:
        self.order, self._pool = list[str](), ThreadPoolExecutor(8)
        self._go_on, begun = threading.Event(), threading.Event()
        self._pool.submit(self.call, lambda: (begun.set(), self._go_on.wait(PATIENCE)), Ticket())
        assert begun.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._pool.shutdown()

    def count_steps(self) -> int:
        return len(self._urgent) + len(self._normal)

    def ask(self, name: str, ticket: Ticket, work: Callable[[], object] = int) -> Future:
        count = self.count_steps()
        call = self._pool.submit(self.call, lambda: (self.order.append(name), work()), ticket)
        wait_until(lambda: self.count_steps() == count + 1)
        return call


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 200):
        if is_true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the condition was not met in time")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    own = Scheduler()
    yield own
    own.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for callers."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_every_step_runs_on_one_thread_that_is_not_the_callers(scheduler, pool):
    seen = set()

    def step() -> None:
        seen.add(threading.get_ident())
        scheduler.call(lambda: seen.add(threading.get_ident()))  # one step within another

    others = [pool.submit(scheduler.call, step) for _ in range(3)]
    scheduler.call(step)
    for one in others:
        one.result(PATIENCE)

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_a_normal_step_runs_after_two_urgent_ones():
    with BusyScheduler() as busy:
        for number in range(2):
            busy.ask(f"run {number}", Ticket())
        for number in range(5):
            busy.ask(f"preview {number}", Ticket("preview"))

    kinds = [name.split()[0] for name in busy.order]
    assert kinds == ["preview", "preview", "run", "preview", "preview", "run", "preview"]


@pytest.mark.parametrize("kind", ["preview", "run"])
def test_addresses_are_served_in_turn_and_then_the_sessions_of_an_address(kind: Kind):
    with BusyScheduler() as busy:
        for name in ARRIVED:
            busy.ask(name, Ticket(kind, (name[0], name[1])))

    assert busy.order == SERVED


def test_a_cancelled_step_is_not_run():
    ticket = Ticket()

    with BusyScheduler() as busy:
        cancelled = busy.ask("cancelled", ticket)
        busy.ask("next", Ticket())
        ticket.stop.set()
        assert isinstance(cancelled.exception(PATIENCE), Cancelled), "the device is still busy"
        assert busy.count_steps() == 1

    assert busy.order == ["next"]


def test_an_error_reaches_the_caller_and_the_next_step_runs():
    with BusyScheduler() as busy:
        failed = busy.ask("failed", Ticket(), lambda: 1 / 0)
        busy.submit(lambda: 1 / 0)  # No caller waits for this step.
        busy.ask("next", Ticket())

    assert busy.order == ["failed", "next"]
    assert isinstance(failed.exception(), ZeroDivisionError)


def test_a_long_step_is_interrupted_by_a_cancellation_and_by_the_end_of_the_thread(scheduler, pool):
    ticket, inside = Ticket(), threading.Event()

    def endless() -> None:
        inside.set()
        while True:
            scheduler.check(ticket)

    for end in (scheduler.close, ticket.stop.set):
        inside.clear()
        call = pool.submit(scheduler.call, endless, ticket)
        assert inside.wait(PATIENCE)
        end()
        assert isinstance(call.exception(PATIENCE), Cancelled)
    assert scheduler.call(lambda: 7) == 7, "the thread starts again"


def test_one_job_has_the_device_and_the_next_one_can_prepare(scheduler, pool):
    near, ran, queued, calls = [], [], {}, []
    going = threading.Lock()

    def run(name: str) -> None:
        ticket = Ticket("run", name[0], queued=lambda ahead: queued.update({name: ahead}))
        with scheduler.queue_job(ticket, ahead=1):
            near.append(name)
            with scheduler.queue_job(ticket):
                ran.append(name)
                assert going.acquire(blocking=False), "two runs at once"
                going.release()

    first = Ticket("run", "a")
    with scheduler.queue_job(first):
        for name in ("a1", "a2", "b1"):
            calls.append(pool.submit(run, name))
            wait_until(lambda name=name: name in queued)
        assert near == ["a1"]
        wait_until(lambda: queued == {"a1": 1, "a2": 3, "b1": 2})
        scheduler.leave_queue(first)  # A job can leave the queue before the end of its block.
        wait_until(lambda: len(ran) == 3)
    for call in calls:
        call.result(PATIENCE)

    assert ran == ["a1", "b1", "a2"]
    assert scheduler.count() == 0


def test_a_cancelled_job_leaves_the_queue(scheduler, pool):
    ticket = Ticket("run", "b")

    def run() -> None:
        with scheduler.queue_job(ticket):
            raise AssertionError("a cancelled job began")

    with scheduler.queue_job(Ticket()):
        waiting = pool.submit(run)
        wait_until(lambda: scheduler.count() == 2)
        ticket.stop.set()
        assert isinstance(waiting.exception(PATIENCE), Cancelled)
        assert scheduler.count() == 1


def test_a_comparison_waits_for_comparisons_but_not_for_runs(scheduler, pool):
    with scheduler.queue_job(Ticket()), scheduler.queue_job(Ticket("comparison")):
        second = Ticket("comparison")
        waiting = pool.submit(scheduler.queue_job(second).__enter__)
        wait_until(lambda: scheduler.ahead(second) == 1)
        second.stop.set()
        assert isinstance(waiting.exception(PATIENCE), Cancelled)
    assert [scheduler.count(lane) for lane in ("run", "comparison")] == [0, 0]


def enter(scheduler: Scheduler, *callers: Hashable, kind: Kind = "run", limit: int = 4) -> ExitStack:
    stack = ExitStack()
    for caller in callers:
        stack.enter_context(scheduler.admit(caller, kind, limit))
    return stack


def rejection_key(scheduler: Scheduler, caller: Hashable, kind: Kind = "run", limit: int = 4) -> str:
    with pytest.raises(EnhanceError) as error, scheduler.admit(caller, kind, limit):
        pass
    return error.value.key


def test_jobs_are_limited_in_total_per_caller_and_per_address(scheduler):
    with enter(scheduler, "ada", "ada", "bob", "bob", "cyd"):
        assert rejection_key(scheduler, "dot") == "queue_full"
    with enter(scheduler, "ada", "ada", "bob"):
        assert rejection_key(scheduler, "ada") == "queue_share"
    with enter(scheduler, *(("one address", session) for session in range(6)), limit=8):
        assert rejection_key(scheduler, ("one address", 0), limit=4) == "queue_full"
        with pytest.raises(EnhanceError) as error, scheduler.admit(("one address", 6), limit=8):
            pass
        assert str(error.value).startswith("Your network address has 6 jobs"), "the user has none"
        with enter(scheduler, ("another", 1), limit=8):
            pass
    with enter(scheduler, *range(8), kind="batch", limit=20):
        assert rejection_key(scheduler, 8, "batch", 20) == "queue_full"
        with enter(scheduler, 8, limit=20), enter(scheduler, 8, kind="preview"):
            pass
    assert scheduler.count() == 0


def test_a_job_is_admitted_until_the_last_hold_ends(scheduler):
    with ExitStack() as thread:
        with scheduler.admit("ada") as ticket:
            thread.enter_context(scheduler.hold(ticket))
            thread.enter_context(scheduler.queue_job(ticket))
        assert scheduler.count() == 1
    assert scheduler.count() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends interrupts in another way")
def test_an_interrupt_reaches_a_waiting_main_thread():
    code = """
import threading
from enhance.scheduler import SCHEDULER
stop = threading.Event()
def step():
    print("begun", flush=True)
    stop.wait(60)
try:
    SCHEDULER.call(step)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    stop.set()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=PATIENCE)[0] == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_forked_process_has_its_own_device_thread():
    """The test forks another process, because a fork copies pytest."""
    code = """
import os, threading
from enhance.scheduler import SCHEDULER
begun, end, done = threading.Event(), threading.Event(), []
SCHEDULER.submit(lambda: (begun.set(), end.wait(60)))
SCHEDULER.submit(lambda: done.append(os.getpid()))
begun.wait(60)
child = os.fork()
if not child:
    os._exit(0 if SCHEDULER.call(lambda: not done) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
end.set()
print(status, SCHEDULER.call(lambda: done == [os.getpid()]))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert process.stdout == "0 True\n"
