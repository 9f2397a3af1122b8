"""The jobs with names, in the database of a data folder.

All processes with this folder share the jobs, so each change is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

from ..errors import EnhanceError
from ..processes import this_process
from .recent_runs import RecentRun, parse_entry, save_entry
from .tasks import TaskStore

CANCEL_SECONDS = 3600.0
"""How long the cancellation of an unknown job is stored, because it can arrive before the start."""
_MAX_CANCELS = 10_000


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
    seen: float = field(default_factory=time.time)
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
                is_valid = all(self._has_ended(db, entry) for entry in entries)
            if not is_valid:
                return None
            return job

    def begin(self, new: JobRecord, entries: Iterable[RecentRun]) -> JobRecord | None:
        """Record that this process starts a job. Return the job if it must not be started.

        The entries of finished files stay as they are.
        """
        with self._database.transaction() as db:
            job = self.find(new, entries)
            if job is not None:
                return job
            _save(db, new)
            for entry in entries:
                if not self._has_ended(db, entry):
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
    ) -> None:
        """Record the end of a job of this process, unless it has been cancelled.

        Entries that are still running get the state and the error of the job. `error` contains the
        message of a failed job in each language.
        """
        with self._database.transaction() as db:
            job = _load(db, whose, name)
            if job is None or job.process != this_process():  # Its entry was deleted.
                return
            final = job.state
            if final == "running":
                final = state
            _save(db, replace(job, state=final, seen=time.time(), error=json.dumps(error)))
            for entry in entries:
                is_undone = final == "cancelled" and not entry.batch
                if entry.state == "running" or is_undone:
                    entry = replace(entry, state=final, error=dict(error or {}))
                save_entry(db, entry)

    def cancel(self, whose: str, name: str) -> tuple[bool, str]:
        """Cancel a job that has not ended, or has not been started yet.

        Return whether the job is known, and its state.
        """
        with self._database.transaction() as db:
            job = _load(db, whose, name)
            if job is None or not job.checksum:
                _save(db, JobRecord(whose, name, "", "cancelled", this_process()))
                _forget_old_cancels(db)
                return False, "cancelled"
            if job.state not in ("running", "interrupted"):
                return True, job.state
            _save(db, replace(job, state="cancelled", seen=time.time()))
            for entry in self._tasks.entries_of(whose, name):
                if entry.state in ("running", "interrupted"):
                    save_entry(db, replace(entry, state="cancelled"))
        return True, "cancelled"

    def cancel_file(self, whose: str, name: str, number: int) -> tuple[bool, str]:
        """Cancel one file of a batch that has not ended.

        Return whether the file is known, and its state.
        """
        with self._database.transaction() as db:
            entry = _entry_of(db, whose, id_of_file(name, number))
            if entry is None:
                return False, "unknown"
            if entry.state not in ("running", "interrupted"):
                return True, entry.state
            save_entry(db, replace(entry, state="cancelled"))
        return True, "cancelled"

    def _has_ended(self, db: sqlite3.Connection, entry: RecentRun) -> bool:
        """Return whether a file has failed, was cancelled, or has a result that is still stored."""
        stored = _entry_of(db, entry.whose, entry.id)
        if stored is None or stored.state not in ("done", "failed", "cancelled"):
            return False
        return stored.state != "done" or self._tasks.info(stored.task_id or "") is not None


def id_of_file(name: str, number: int) -> str:
    """Return the id of a file of a batch. No name of a job has a full stop."""
    return f"{name}.{number}"


def _entry_of(db: sqlite3.Connection, whose: str, id: str) -> RecentRun | None:
    query = "SELECT facts FROM entries WHERE whose = ? AND id = ?"
    row = db.execute(query, (whose, id)).fetchone()
    return row and parse_entry(row[0])


def _load(db: sqlite3.Connection, whose: str, name: str) -> JobRecord | None:
    query = "SELECT * FROM jobs WHERE whose = ? AND name = ?"
    row = db.execute(query, (whose, name)).fetchone()
    return row and JobRecord(*row)


def _save(db: sqlite3.Connection, job: JobRecord) -> None:
    db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(job))


def _forget_old_cancels(db: sqlite3.Connection) -> None:
    """Keep only the newest cancellations of unknown jobs, because clients can invent names."""
    query = """DELETE FROM jobs WHERE request = '' AND rowid NOT IN
        (SELECT rowid FROM jobs WHERE request = '' ORDER BY seen DESC LIMIT ?)"""
    db.execute(query, (_MAX_CANCELS,))
