"""The scheduler: jobs one after the other, callers in rotation, bounded, and cancellable while they
wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from enhance.errors import Cancelled, EnhanceError
from enhance.jobs.scheduler import Job, Scheduler

from ..site import wait_until

PATIENCE = 60


@pytest.fixture
def scheduler():
    return Scheduler()


@pytest.fixture
def pool():
    """Threads for callers."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_one_job_has_the_device_and_the_next_one_can_prepare(scheduler, pool):
    near = []
    ran = []
    jobs = {name: Job("run", name[0]) for name in ("a1", "a2", "b1")}
    going = threading.Lock()

    def run(name):
        with scheduler.queue_job(jobs[name], ahead=1):
            near.append(name)
            with scheduler.queue_job(jobs[name]):
                ran.append(name)
                assert going.acquire(blocking=False), "two runs at once"
                going.release()

    with scheduler.queue_job(Job("run", "a")):
        calls = []
        for name, job in jobs.items():
            calls.append(pool.submit(run, name))
            wait_until(lambda job=job: scheduler.ahead(job))
        wait_until(lambda: near)
        assert near == ["a1"]
        assert [scheduler.ahead(job) for job in jobs.values()] == [1, 3, 2]
    for call in calls:
        call.result(PATIENCE)

    assert ran == ["a1", "b1", "a2"]
    assert scheduler.count() == 0


def test_a_cancelled_job_leaves_its_queue_which_no_other_queue_delays(scheduler, pool):
    job = Job("comparison", "b")

    with scheduler.queue_job(Job("run")), scheduler.queue_job(Job("comparison")):
        waiting = pool.submit(scheduler.queue_job(job).__enter__)
        wait_until(lambda: scheduler.ahead(job) == 1)
        job.stop.set()
        assert isinstance(waiting.exception(PATIENCE), Cancelled)
    assert scheduler.count("comparison") == 0


@pytest.mark.parametrize(
    ("callers", "rejected", "limit", "key"),
    [
        (["ada", "ada", "bob", "bob", "cyd"], "dot", 4, "queue_full"),
        (["ada", "ada", "bob"], "ada", 4, "queue_share"),
        (
            [("one address", session) for session in range(6)],
            ("one address", 6),
            8,
            "queue_address",
        ),
    ],
)
def test_jobs_are_limited_in_total_per_caller_and_per_address(
    scheduler, callers, rejected, limit, key
):
    with ExitStack() as stack:
        for caller in callers:
            stack.enter_context(scheduler.admit(caller, "run", limit))
        with pytest.raises(EnhanceError) as error:
            stack.enter_context(scheduler.admit(rejected, "run", limit))
        assert error.value.key == key
        stack.enter_context(scheduler.admit(("another", 1), "preview", limit))
    assert scheduler.count() == 0


def test_a_job_is_admitted_until_the_last_hold_ends(scheduler):
    with ExitStack() as thread:
        with scheduler.admit("ada") as job:
            thread.enter_context(scheduler.hold(job))
            thread.enter_context(scheduler.queue_job(job))
        assert scheduler.count() == 1
    assert scheduler.count() == 0
