"""The tasks of a data folder: inputs, results and the recent results."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Container, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from ..errors import EnhanceError, PictureError, StorageError
from ..files import file_sha256, link_or_copy, write_atomically
from ..info import Info
from ..processes import has_ended, this_process
from .folder import DataFolder
from .recent_runs import MAX_FILES, MAX_RESULTS, RecentRun, delete_entry, parse_entry, save_entry
from .results import add_result, read_info

log = logging.getLogger(__name__)


class Reservation:
    """Context manager for disk space that is reserved for uploads."""

    def __init__(self, store: TaskStore):
        self._store = store
        self.bytes = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.reserve(-self.bytes)

    def extend(self, count: int) -> bool:
        """Reserve `count` more bytes and remove old files for them. Return whether they fit."""
        fits = self._store.reserve(count)
        if fits:
            self.bytes += count
        return fits


class TaskStore(DataFolder):
    """The inputs, the results and the recent results of a data folder."""

    running: Container[tuple[str, str]] = ()
    """The jobs that this process runs, by the digest of the owner and the name."""

    def new_id(self) -> str:
        """Return a random task id."""
        return secrets.token_hex(16)

    def keep_upload(self, source: Path, name: str, sha256: str, size: int) -> Path:
        """Copy an input of `size` bytes into the store.

        Raises StorageError, and PictureError if the input has changed.
        """

        def copy(temporary: Path) -> None:
            shutil.copyfile(source, temporary)
            if file_sha256(temporary) != sha256:
                raise PictureError("input_changed", name=name)

        place = self.upload_path(sha256, name)
        with self.using(place):
            # The folder is named by the checksum. Files are not synced, so a power failure can
            # leave another size.
            if not place.exists() or place.stat().st_size != size:
                write_atomically(place, copy)
        return place

    def finish(self, task_id: str, info: Info) -> None:
        """Write the info of a result, which completes the task.

        If this fails, the result is deleted. Raises StorageError.
        """
        png = self.result_path(task_id)
        text = json.dumps(info, ensure_ascii=False, indent=1)
        # The name of the input can contain bytes that are not UTF-8.
        data = text.encode("utf-8", "backslashreplace")

        info_file = png.with_suffix(".json")
        try:
            write_atomically(info_file, lambda temporary: temporary.write_bytes(data), durable=True)
            with self.database.transaction() as db:
                add_result(db, info)
        except StorageError:
            png.unlink(missing_ok=True)
            info_file.unlink(missing_ok=True)
            raise
        if self._max_disk is not None:
            with suppress(StorageError):  # The result is complete.
                self.clean()

    def info(self, task_id: str) -> Info | None:
        """Return the info of a finished task, or None if the result does not exist or the file is
        damaged."""
        with self.database.transaction() as db:
            is_known = db.execute("SELECT 1 FROM results WHERE task_id = ?", (task_id,)).fetchone()
        if not is_known:
            return None
        return read_info(self.result_path(task_id))

    def finished_info(self, task_id: str) -> Info:
        """Return the info of a finished task. Raises EnhanceError if it was deleted."""
        info = self.info(task_id)
        if info is None:
            raise EnhanceError("result_gone")
        return info

    def find(self, signature: str, dpi: int | None = None) -> Info | None:
        """Return the info of the newest intact result of this signature and resolution, or None."""
        query = """
            SELECT task_id FROM results WHERE signature = ? AND dpi IS ? ORDER BY finished DESC"""
        with self.database.transaction() as db:
            found = db.execute(query, (signature, dpi)).fetchall()
        for (task_id,) in found:
            info = read_info(self.result_path(task_id))
            if info is not None and self._is_intact(info):
                return info
            log.warning("The stored result %s is damaged and is not used again", task_id)
            # Its files stay until their retention period ends.
            with self.database.transaction() as db:
                db.execute("DELETE FROM results WHERE task_id = ?", (task_id,))
        return None

    def _is_intact(self, info: Info) -> bool:
        """Return whether the result has its recorded checksum."""
        with suppress(OSError):
            return file_sha256(self.result_path(info["task_id"])) == info["output"].get("sha256")
        return False

    def copy_result(self, task_id: str, path: Path) -> None:
        """Link or copy a finished result to `path`. Raises StorageError."""
        result = self.result_path(task_id)
        write_atomically(path, lambda temporary: link_or_copy(result, temporary), durable=True)

    def save_entry(self, entry: RecentRun) -> None:
        """Write an entry of the recent results. Raises StorageError."""
        with self.database.transaction() as db:
            save_entry(db, entry)

    def input_of(self, entry: RecentRun) -> Path:
        """Return the path of the stored input of an entry, which can have been deleted."""
        return self.upload_path(entry.sha256, entry.name)

    def state_of(self, entry: RecentRun) -> str:
        """Return the current state, which is `gone` if the result was deleted."""
        if entry.state == "running" and self.is_running(entry.process, entry.whose, entry.job):
            return "running"
        if entry.state == "done" and self.info(entry.task_id or "") is None:
            return "gone"
        if entry.state in ("done", "failed", "cancelled"):
            return entry.state
        return "interrupted"  # Earlier versions had several names for it.

    def is_running(self, process: str, whose: str, job: str) -> bool:
        """Return whether a process still runs a job, even if a full disk prevented the record of
        its end."""
        if process == this_process():
            return (whose, job) in self.running
        return not has_ended(process)

    def runs(self, whose: str) -> list[list[RecentRun]]:
        """Return the recent results of a user, newest first, each batch as one list."""
        query = "SELECT facts, used FROM entries WHERE whose = ?"
        with self.database.transaction() as db:
            found = db.execute(query, (whose,)).fetchall()
        entries = filter(None, (parse_entry(*row) for row in found))
        runs = dict[str, list[RecentRun]]()
        for entry in sorted(entries, key=lambda one: (one.number, one.id)):
            runs.setdefault(entry.job, []).append(entry)
        return sorted(
            runs.values(), key=lambda files: max((one.began, one.id) for one in files), reverse=True
        )

    def entries_of(self, whose: str, wanted: str) -> list[RecentRun]:
        """Return the user's entry with this id, or the entries of the user's batch with this id."""
        entries = chain.from_iterable(self.runs(whose))
        return [entry for entry in entries if wanted in (entry.id, entry.batch)]

    def own_entries(self, whose: str, wanted: object) -> list[RecentRun]:
        """Return the entries with this id, as `entries_of`. Raises EnhanceError if there are none,
        with the same text for an unknown entry and for one of another user."""
        if isinstance(wanted, str) and wanted:
            entries = self.entries_of(whose, wanted)
            if entries:
                return entries
        raise EnhanceError("api_not_your_run")

    def forget(self, whose: str, wanted: object) -> list[str]:
        """Delete a user's entry, or all entries of a batch, with the files that nothing else needs.

        Return the ids of the deleted entries. Raises EnhanceError, also for a run that has not
        ended.
        """
        entries = self.own_entries(whose, wanted)
        # A file of a running batch would take the job of the batch along.
        job = self.entries_of(whose, entries[0].job)
        if any(self.state_of(entry) == "running" for entry in job):
            raise EnhanceError("entry_running")
        self.remove(entries)
        return [entry.id for entry in entries]

    def remove_oldest(self, whose: str) -> None:
        """Remove the oldest entries of a user who has too many, but no files.

        Raises StorageError.
        """
        files = 0
        for number, run in enumerate(self.runs(whose)):
            files += len(run)
            # The newest run stays, even if it is a batch with more files.
            if number >= MAX_RESULTS or (number and files > MAX_FILES):
                with self.database.transaction() as db:
                    for entry in run:
                        delete_entry(db, entry)

    def remove(self, entries: Sequence[RecentRun]) -> None:
        """Delete entries, their inputs and all files made from them, unless other entries or
        results need these files.

        Their links in the page's folder are also deleted. Raises StorageError.
        """
        sources = set[str]()
        found = list(self.page_files())
        with self.database.transaction() as db:
            self._list_found(db, found)
            for entry in entries:
                query = "SELECT output FROM results WHERE task_id = ?"
                outputs = db.execute(query, (entry.task_id,)).fetchall()
                sources |= {entry.id, entry.sha256, entry.task_id or entry.id}
                sources |= {output for (output,) in outputs}
                delete_entry(db, entry)
                job = (entry.whose, entry.job)
                db.execute("DELETE FROM jobs WHERE whose = ? AND name = ?", job)
            self._delete_sources(db, sources)
