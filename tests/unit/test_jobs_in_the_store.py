"""The named jobs in the database: who runs them, and when another process takes them over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enhance.errors import EnhanceError
from enhance.processes import this_process
from enhance.store import RecentRun, TaskStore
from enhance.store.job_records import JobRecord, JobStore, NewJob

from .stored_results import add_result

OWNER, NAME = "a" * 64, "named-job"


@pytest.fixture
def tasks(tmp_path: Path) -> TaskStore:
    tasks = TaskStore(tmp_path / "data")
    tasks.prepare()
    return tasks


@pytest.fixture
def jobs(tasks: TaskStore) -> JobStore:
    return JobStore(tasks)


def request(checksum: str = "request") -> NewJob:
    settings = {"preset": "gentle"}
    entry = RecentRun(
        OWNER, NAME, "running", "2026", "a.png", "b" * 64, 20, 10, settings, "", this_process()
    )
    return NewJob(OWNER, NAME, checksum, (entry,))


def start(jobs: JobStore, tasks: TaskStore, **changes: str | float) -> None:
    """Start the job, and change it in the database."""
    assert jobs.begin(request(), runs_here=False) is None
    values = [*changes.values(), OWNER, NAME]
    names = ", ".join(f"{name} = ?" for name in changes)
    if changes:
        query = f"UPDATE jobs SET {names} WHERE whose = ? AND name = ?"
        with tasks.database.transaction() as db:
            db.execute(query, values)


def found(jobs: JobStore, runs_here: bool = False) -> JobRecord | None:
    return jobs.find(request(), runs_here=runs_here)


def state(jobs: JobStore) -> str:
    job = found(jobs)
    return job.state if job else "to be started"


def facts(jobs: JobStore) -> dict[str, Any]:
    job = found(jobs)
    assert job is not None
    return job.facts


def test_a_running_job_is_followed_and_not_started_again(jobs, tasks):
    start(jobs, tasks)
    other = JobStore(TaskStore(tasks.folder))
    for store in (jobs, other):
        running = store.begin(request(), runs_here=True)
        assert running is not None
        assert running.state == "running"


@pytest.mark.parametrize(
    ("changes", "is_started_again"),
    [
        ({"process": "otherhost-17-1"}, False),
        ({"process": "otherhost-17-1", "seen": 1.0}, True),
        ({"process": f"{this_process().split('-')[0]}-999999999-1"}, True),
        ({"state": "interrupted"}, True),
        ({"state": "failed"}, False),
        ({"state": "cancelled"}, False),
    ],
)
def test_a_job_starts_again_if_its_process_has_ended(jobs, tasks, changes, is_started_again):
    start(jobs, tasks, **changes)
    assert (found(jobs) is None) is is_started_again
    assert (jobs.begin(request(), runs_here=False) is None) is is_started_again


def test_a_job_of_this_process_that_nothing_runs_starts_again(jobs, tasks):
    start(jobs, tasks)
    assert found(jobs, runs_here=True) is not None
    assert found(jobs, runs_here=False) is None


def test_the_end_of_a_job_is_recorded_with_its_entry(jobs, tasks):
    start(jobs, tasks)
    (entry,) = request().entries
    task_id = add_result(tasks, input=entry.sha256)
    jobs.end(OWNER, NAME, "done", [replace(entry, state="done", task_id=task_id)])
    assert state(jobs) == "done"
    assert [one.state for run in tasks.runs(OWNER) for one in run] == ["done"]
    tasks.result_path(task_id).unlink()
    assert found(jobs) is None, "the result was deleted"


def test_a_job_that_was_cancelled_meanwhile_stays_cancelled(jobs, tasks):
    start(jobs, tasks)
    assert jobs.cancel(OWNER, NAME) == (True, "cancelled")
    jobs.end(OWNER, NAME, "done", [replace(request().entries[0], state="done", task_id="c" * 32)])
    assert state(jobs) == "cancelled"
    assert [one.state for run in tasks.runs(OWNER) for one in run] == ["cancelled"]


def test_a_process_that_lost_its_job_does_not_change_it(jobs, tasks):
    start(jobs, tasks, process="otherhost-17-1")
    jobs.end(OWNER, NAME, "failed", request().entries)
    assert jobs.report({(OWNER, NAME): {"done": 1}})[OWNER, NAME].process == "otherhost-17-1"
    assert facts(jobs) == {}


def test_another_request_of_the_same_name_is_rejected_but_not_one_of_another_owner(jobs, tasks):
    start(jobs, tasks)
    with pytest.raises(EnhanceError, match="other images or settings"):
        jobs.begin(request("other"), runs_here=False)
    theirs = replace(request("other"), whose="b" * 64)
    assert jobs.begin(theirs, runs_here=False) is None


def test_only_the_newest_cancels_of_unknown_jobs_are_remembered(jobs, tasks, monkeypatch):
    monkeypatch.setattr("enhance.store.job_records._MAX_CANCELS", 2)
    for number in range(3):
        jobs.cancel(OWNER, f"{NAME}-{number}")
    states = [
        jobs.begin(replace(request(), name=f"{NAME}-{number}"), runs_here=False)
        for number in range(3)
    ]
    assert [state is None for state in states] == [True, False, False]


def test_a_removed_entry_takes_its_job_along(jobs, tasks):
    start(jobs, tasks)
    jobs.end(
        OWNER,
        NAME,
        "failed",
        request().entries,
        {"key": "memory_short", "en": "Not enough memory."},
    )
    assert facts(jobs)["error"]["key"] == "memory_short"
    tasks.remove([entry for run in tasks.runs(OWNER) for entry in run])
    assert found(jobs) is None
