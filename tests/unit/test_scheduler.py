"""The scheduler: jobs one after the other, callers in rotation, bounded, and cancellable while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from enhance.errors import Cancelled, EnhanceError
from enhance.scheduler import Kind, Scheduler, Ticket

from ..site import wait_until

PATIENCE = 60


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for callers."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_forked_process_has_no_jobs_of_its_parent():
    """The test forks another process, because a fork copies pytest."""
    code = """
import os
from enhance.scheduler import Scheduler, Ticket
scheduler = Scheduler()
with scheduler._changed, scheduler.queue_job(Ticket()):
    child = os.fork()
    if not child:
        with scheduler.queue_job(Ticket()):
            os._exit(scheduler.count() - 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), scheduler.count())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert process.stdout == "0 1\n"
