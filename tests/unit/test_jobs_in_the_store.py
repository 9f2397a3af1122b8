"""The named jobs in the database: who runs them, and when another process takes them over."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from enhance.processes import this_process
from enhance.store import RecentRun, TaskStore
from enhance.store.job_records import JobRecord, JobStore

from .stored_results import ENDED, add_result

OWNER = "a" * 64
NAME = "named-job"


@pytest.fixture
def tasks(tmp_path):
    tasks = TaskStore(tmp_path / "data")
    tasks.prepare()
    return tasks


@pytest.fixture
def jobs(tasks):
    return JobStore(tasks)


def request(checksum="request", name=NAME, whose=OWNER):
    facts = ("running", "2026", "a.png", "b" * 64, 20, 10, {"preset": "gentle"}, "", this_process())
    job = JobRecord(whose, name, checksum, "running", this_process())
    return job, (RecentRun(whose, name, *facts),)


def start(jobs, tasks, **changes):
    """Start the job, and change it in the database."""
    assert jobs.begin(*request()) is None
    tasks.running = {(OWNER, NAME)}
    with tasks.database.transaction() as db:
        for name, value in changes.items():
            db.execute(f"UPDATE jobs SET {name} = ?", (value,))


def found(jobs):
    return jobs.find(*request())


def states(jobs, tasks):
    """Return the state of the job and of its entry."""
    ((entry,),) = tasks.runs(OWNER)
    return found(jobs).state, entry.state


@pytest.mark.parametrize(
    ("changes", "is_started_again"),
    [
        ({}, False),
        ({"process": ENDED}, True),
        ({"state": "interrupted"}, True),
        ({"state": "cancelled"}, False),
    ],
)
def test_a_job_starts_again_if_its_process_has_ended(jobs, tasks, changes, is_started_again):
    start(jobs, tasks, **changes)
    assert (found(jobs) is None) is is_started_again
    assert (jobs.begin(*request()) is None) is is_started_again


def test_a_job_of_this_process_that_nothing_runs_starts_again(jobs, tasks):
    start(jobs, tasks)
    assert found(jobs) is not None
    tasks.running = ()
    assert found(jobs) is None


def test_the_end_of_a_job_is_recorded_with_its_entry(jobs, tasks):
    start(jobs, tasks)
    _, (entry,) = request()
    task_id = add_result(tasks, input=entry.sha256)
    jobs.end(OWNER, NAME, "done", [replace(entry, state="done", task_id=task_id)])
    assert states(jobs, tasks) == ("done", "done")
    tasks.result_path(task_id).unlink()
    assert found(jobs) is None, "the result was deleted"


def test_a_job_that_was_cancelled_meanwhile_stays_cancelled(jobs, tasks):
    start(jobs, tasks)
    assert jobs.cancel(OWNER, NAME) == (True, "cancelled")
    _, (entry,) = request()
    jobs.end(OWNER, NAME, "done", [replace(entry, state="done", task_id="c" * 32)])
    assert states(jobs, tasks) == ("cancelled", "cancelled")


def test_a_process_that_lost_its_job_does_not_change_it(jobs, tasks):
    start(jobs, tasks)
    assert not jobs.is_stopped(OWNER, NAME)
    with tasks.database.transaction() as db:
        db.execute("UPDATE jobs SET process = ?", (ENDED,))
    assert jobs.is_stopped(OWNER, NAME)
    jobs.end(OWNER, NAME, "failed", request()[1])
    ((entry,),) = tasks.runs(OWNER)
    assert (found(jobs), entry.state) == (None, "running")


def test_a_removed_entry_takes_its_job_along(jobs, tasks):
    start(jobs, tasks)
    jobs.end(OWNER, NAME, "failed", request()[1], {"key": "memory_short"})
    assert json.loads(found(jobs).error)["key"] == "memory_short"
    tasks.remove(tasks.runs(OWNER)[0])
    assert found(jobs) is None
