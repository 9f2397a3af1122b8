"""The recent results of an owner: the runs and batches of its pages and of its jobs with names.

They are stored in the database of the data folder, so a restart keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from gradio.data_classes import FileData

from ..errors import EnhanceError, SettingsError, StorageError
from ..i18n import translate
from ..restore.resample import result_size
from ..settings import Settings
from ..store import RecentRun, TaskStore
from ..store.job_records import JobStore
from .owners import Owner
from .services import Services

MAX_RESULTS = 20
MAX_FILES = 400
"""The largest numbers of results and of files in a list, in which a batch counts as one result.

The oldest results are removed.
"""
_WORST_FIRST = ("running", "interrupted", "failed", "cancelled", "gone", "done")
"""The states of an entry. The state of a batch is the first of these that one of its files has."""


def shorten(tasks: TaskStore, whose: str) -> None:
    """Remove the oldest entries of a list that is too long."""
    files = 0
    with suppress(StorageError):
        for number, run in enumerate(tasks.runs(whose)):
            files += len(run)
            # The newest run stays, even if it is a batch with more files.
            if number >= MAX_RESULTS or (number and files > MAX_FILES):
                tasks.forget(run)


def is_running(tasks: TaskStore, run: Sequence[RecentRun]) -> bool:
    """Return whether a run, or a file of a batch, is queued or being processed."""
    return any(tasks.state_of(entry) == "running" for entry in run)


def entries_of(tasks: TaskStore, whose: str, wanted: str) -> list[RecentRun]:
    """Return the owner's entry with this id, or the entries of the owner's batch with this id."""
    runs = tasks.runs(whose)
    return [entry for run in runs for entry in run if wanted in (entry.id, entry.batch)]


def own_entries(tasks: TaskStore, whose: str, wanted: object) -> list[RecentRun]:
    """Return the entries with this id, as `entries_of`. Raises EnhanceError if there are none."""
    entries = entries_of(tasks, whose, wanted) if isinstance(wanted, str) and wanted else []
    if not entries:
        raise EnhanceError("api_not_your_run")
    return entries


def forget(tasks: TaskStore, whose: str, wanted: object) -> list[str]:
    """Delete an entry, or all entries of a batch, and the files that no other entry needs.

    Return the ids of the deleted entries. Raises EnhanceError, with the same text for an unknown
    entry and for one of another owner.
    """
    entries = own_entries(tasks, whose, wanted)
    # A file of a running batch would take the job of the batch along.
    job = entries[0].batch or entries[0].id
    if is_running(tasks, entries_of(tasks, whose, job)):
        raise EnhanceError("entry_running")
    tasks.remove(entries)
    return [entry.id for entry in entries]


def describe_runs(
    services: Services, owner: Owner, language: str, wanted: object = ""
) -> list[dict[str, Any]]:
    """Return the recent results of an owner as JSON, newest first.

    With the id `wanted`, return only this result, and each of its photos as an upload for further
    calls. Raises EnhanceError, with the same text for an unknown entry and for one of another
    owner.
    """
    description = _Description(services, owner, language, is_opened=bool(wanted))
    if wanted:
        runs = [own_entries(services.enhancer.tasks, owner.digest, wanted)]
    else:
        runs = services.enhancer.tasks.runs(owner.digest)[:MAX_RESULTS]
    return [description.of_run(run) for run in runs]


class _Description:
    """Describes recent results of an owner as JSON. With `is_opened`, their photos can be used in
    further calls."""

    def __init__(self, services: Services, owner: Owner, language: str, *, is_opened: bool):
        self._services = services
        self._owner = owner
        self._language = language
        self._tasks = services.enhancer.tasks
        self._is_opened = is_opened
        self._progress = JobStore(self._tasks).progress_of(owner.digest)
        self._expiry = self._tasks.expiry_of(owner.digest)

    def of_run(self, run: Sequence[RecentRun]) -> dict[str, Any]:
        """Return the facts of a run, or of a batch with its files."""
        files = [self._of_entry(entry) for entry in run]
        first = run[0]
        if not first.batch:
            return files[0]
        with_thumbnail = next((file for file in files if file["thumbnail"]), files[0])
        return {
            "id": first.batch,
            "name": translate(self._language, "batch_count", n=len(run)),
            "state": worst_state([file["state"] for file in files]),
            "began": max(entry.began for entry in run),
            "expires": max(file["expires"] for file in files),
            "settings": first.call or first.settings,
            "encoding": first.encoding,
            "thumbnail": with_thumbnail["thumbnail"],
            "progress": self._progress.get(first.batch),
            "files": files,
        }

    def _of_entry(self, entry: RecentRun) -> dict[str, Any]:
        size = None
        with suppress(SettingsError):  # The scale of a removed model is unknown.
            height, width = result_size(Settings(**entry.settings), entry.height, entry.width)
            size = {"width": width, "height": height}
        expires = datetime.fromtimestamp(self._expiry[entry.id], timezone.utc)
        facts = {
            "id": entry.id,
            "name": entry.name,
            "state": self._tasks.state_of(entry),
            "began": entry.began,
            "expires": expires.isoformat(timespec="seconds"),
            "size": size,
            "photo": {"width": entry.width, "height": entry.height},
            "bytes": entry.bytes,
            "settings": entry.settings,
            "encoding": entry.encoding,
            "thumbnail": entry.thumbnail,
            "task_id": entry.task_id,
            "fidelity_worst_db": entry.fidelity_worst_db,
            "error": entry.error.get(self._language),
            "regions": regions_of(self._services, self._owner, entry),
            "progress": self._progress.get(entry.id),
        }
        if entry.batch:
            facts["number"] = entry.number
        if self._is_opened:
            facts["image"] = self._upload_of(entry)
        return facts

    def _upload_of(self, entry: RecentRun) -> dict[str, Any] | None:
        """Return the photo of an entry as an upload, or None if it is no longer stored."""
        photo = self._tasks.input_of(entry)
        if not photo.exists():
            return None
        link = self._services.downloads.link(photo, photo.name)
        return FileData(path=str(link), orig_name=entry.name).model_dump()


def regions_of(services: Services, owner: Owner, entry: RecentRun) -> dict[str, str | None]:
    """Return the addresses of regions of an entry's `photo` and `result`, as far as they are
    stored."""
    tasks = services.enhancer.tasks
    addresses = services.addresses
    photo = tasks.input_of(entry)
    regions = dict[str, str | None]()
    if photo.exists():
        regions["photo"] = addresses.region_address(owner, "photo", photo)
    if entry.task_id:
        result = tasks.result_path(entry.task_id)
        if result.exists():
            regions["result"] = addresses.region_address(owner, "result", result)
    return regions


def worst_state(states: Sequence[str]) -> str:
    """Return the state of a batch whose files have these states."""
    return next(state for state in _WORST_FIRST if state in states)
