"""The jobs with names, in the database of a data folder.

All processes with this folder share the jobs, so each change is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from ..errors import EnhanceError
from ..processes import this_process
from .recent_runs import RecentRun, save_entry
from .tasks import TaskStore

CANCEL_SECONDS = 3600.0
"""How long the cancellation of an unknown job is stored, because it can arrive before the start."""
_MAX_CANCELS = 10_000
_ENDED = ("done", "failed", "cancelled")
_CANCELLABLE = ("running", "interrupted")


@dataclass(frozen=True)
class JobRecord:
    """A job of an owner, as stored in the database.

    - `whose`: the digest of the owner. `name`: the name that the owner chose.
    - `checksum`: of the images and settings; "" if it was cancelled before its start.
    - `state`: running, done, failed, cancelled or interrupted. The next call of an interrupted job
      starts it again.
    - `process`: the process that runs the job.
    - `seen`: when the job last changed.
    - `error`: the error of a failed job as JSON.
    """

    whose: str
    name: str
    checksum: str
    state: str
    process: str
    seen: float = 0.0
    error: str = "null"

    @property
    def is_forgotten(self) -> bool:
        """Whether this is only the cancellation of an unknown job, and it has expired."""
        return not self.checksum and time.time() - self.seen > CANCEL_SECONDS


class JobStore:
    """The jobs in the database of a task store."""

    def __init__(self, tasks: TaskStore):
        self._tasks = tasks
        self._database = tasks.database

    def find(self, new: JobRecord, entries: Iterable[RecentRun]) -> JobRecord | None:
        """Return the job with the name of a new one with these entries, or None if the caller must
        start it.

        A job must be started again if it was interrupted, if its process has ended or if a result
        was deleted. Raises EnhanceError if the name belongs to other images or settings.
        """
        with self._database.transaction() as db:
            job = _load(db, new.whose, new.name)
            if job is None or job.is_forgotten:
                return None
            if job.checksum not in ("", new.checksum):
                raise EnhanceError("job_other", name=new.name)
            is_valid = job.state != "interrupted"
            if job.state == "running":
                is_valid = self._tasks.is_running(job.process, job.whose, job.name)
            elif job.state == "done":
                is_valid = self._ended_files(job).issuperset(entry.id for entry in entries)
            if not is_valid:
                return None
            return job

    def begin(self, new: JobRecord, entries: Iterable[RecentRun]) -> JobRecord | None:
        """Record that this process starts a job. Return the job if it must not be started.

        The entries of finished files stay as they are. An earlier call can have started files that
        have no entry in this one, because they cannot be saved in its format. They start again,
        too.
        """
        with self._database.transaction() as db:
            job = self.find(new, entries)
            if job is not None:
                return job
            _save(db, new)
            ended = self._ended_files(new)
            earlier = self._tasks.entries_of(new.whose, new.name)
            again = [replace(entry, state="running", process=new.process) for entry in earlier]
            for entry in (*again, *entries):
                if entry.id not in ended:
                    save_entry(db, entry)
        return None

    def is_stopped(self, whose: str, name: str) -> bool:
        """Return whether a job of this process was cancelled or started again by another one."""
        with self._database.transaction() as db:
            job = _load(db, whose, name)
        return job is None or job.state == "cancelled" or job.process != this_process()

    def end(
        self,
        whose: str,
        name: str,
        state: str,
        entries: Sequence[RecentRun],
        error: Mapping[str, str] | None = None,
    ) -> str:
        """Record the end of a job of this process, and return its state, which stays `cancelled` if
        it has been cancelled.

        Entries that are still running get the state and the error of the job. `error` contains the
        message of a failed job in each language.
        """
        with self._database.transaction() as db:
            job = _load(db, whose, name)
            if job is None or job.process != this_process():  # Its entry was deleted.
                return state
            if job.state != "running":
                state = job.state
            _save(db, replace(job, state=state, error=json.dumps(error)))
            for entry in entries:
                is_undone = state == "cancelled" and not entry.batch
                if entry.state == "running" or is_undone:
                    entry = replace(entry, state=state, error=dict(error or {}))
                save_entry(db, entry)
        return state

    def cancel(self, whose: str, name: str, number: int | None = None) -> tuple[bool, str]:
        """Cancel a job that has not ended, or has not been started yet. With `number`, cancel only
        that file of a batch.

        Return whether the job or the file is known, and its state.
        """
        with self._database.transaction() as db:
            if number is not None:
                states = self._cancel_entries(db, whose, id_of_file(name, number))
                if states:
                    return True, states[0]
                return False, "unknown"
            job = _load(db, whose, name)
            if job is None or not job.checksum:
                _save(db, JobRecord(whose, name, "", "cancelled", this_process()))
                _forget_old_cancels(db)
                return False, "cancelled"
            if job.state not in _CANCELLABLE:
                return True, job.state
            _save(db, replace(job, state="cancelled"))
            self._cancel_entries(db, whose, name)
        return True, "cancelled"

    def _cancel_entries(self, db: sqlite3.Connection, whose: str, wanted: str) -> list[str]:
        """Cancel the entries that `TaskStore.entries_of` returns, unless they have ended. Return
        the states of all of them."""
        states = list[str]()
        for entry in self._tasks.entries_of(whose, wanted):
            if entry.state in _CANCELLABLE:
                entry = replace(entry, state="cancelled")
                save_entry(db, entry)
            states.append(entry.state)
        return states

    def _ended_files(self, job: JobRecord) -> set[str]:
        """Return the ids of the files of a job that have failed, were cancelled, or have a result
        that is still stored."""
        entries = self._tasks.entries_of(job.whose, job.name)
        return {entry.id for entry in entries if self._tasks.state_of(entry) in _ENDED}


def id_of_file(name: str, number: int) -> str:
    """Return the id of a file of a batch. No name of a job has a full stop."""
    return f"{name}.{number}"


def _load(db: sqlite3.Connection, whose: str, name: str) -> JobRecord | None:
    query = "SELECT * FROM jobs WHERE whose = ? AND name = ?"
    row = db.execute(query, (whose, name)).fetchone()
    return row and JobRecord(*row)


def _save(db: sqlite3.Connection, job: JobRecord) -> None:
    values = astuple(replace(job, seen=time.time()))
    db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _forget_old_cancels(db: sqlite3.Connection) -> None:
    """Keep only the newest cancellations of unknown jobs, because clients can invent names."""
    query = """DELETE FROM jobs WHERE request = '' AND rowid NOT IN
        (SELECT rowid FROM jobs WHERE request = '' ORDER BY seen DESC LIMIT ?)"""
    db.execute(query, (_MAX_CANCELS,))
