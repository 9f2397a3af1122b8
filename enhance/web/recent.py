"""The recent results of an owner: the runs and batches of its pages and of its jobs with names.

They are stored in the database of the data folder, so a restart keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from gradio.data_classes import FileData

from ..errors import SettingsError
from ..i18n import translate
from ..restore.resample import result_size
from ..settings import Settings
from ..store import RecentRun
from ..store.recent_runs import MAX_RESULTS
from .owners import Owner
from .services import Services

_WORST_FIRST = ("running", "interrupted", "failed", "cancelled", "gone", "done")
"""The states of an entry. The state of a batch is the first of these that one of its files has."""


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
        runs = [services.enhancer.tasks.own_entries(owner.digest, wanted)]
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
            "state": min((file["state"] for file in files), key=_WORST_FIRST.index),
            "began": max(entry.began for entry in run),
            "expires": max(file["expires"] for file in files),
            "settings": first.call or first.settings,
            "encoding": first.encoding,
            "thumbnail": with_thumbnail["thumbnail"],
            "progress": self._progress_of(first.batch),
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
            "progress": self._progress_of(entry.id),
        }
        if entry.batch:
            facts["number"] = entry.number
        if self._is_opened:
            facts["image"] = self._upload_of(entry)
        return facts

    def _progress_of(self, name: str) -> dict[str, Any] | None:
        """Return the progress of a job, or None if this process does not run it."""
        job = self._services.threads.named.get((self._owner.digest, name))
        return job and job.facts(self._language)

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
