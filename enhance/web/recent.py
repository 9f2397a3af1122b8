"""The recent results of an owner: the runs and batches of its pages and of its jobs with names.

They are stored in the database of the data folder, so a restart keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from gradio.data_classes import FileData

from ..errors import SettingsError
from ..i18n import translate
from ..json_object import JsonObject
from ..restore.resample import result_size
from ..settings import Settings
from ..store import RecentRun
from ..store.recent_runs import MAX_RESULTS
from .owners import Owner
from .services import Services

_WORST_FIRST = ("running", "interrupted", "failed", "cancelled", "gone", "done")
"""The states of an entry. The state of a batch is the first of these that one of its files has."""


_SHOWN = (
    "id",
    "name",
    "began",
    "bytes",
    "settings",
    "encoding",
    "thumbnail",
    "task_id",
    "fidelity_worst_db",
    "number",
)
"""The fields of an entry that its owner sees as they are."""


def describe_runs(
    services: Services, owner: Owner, language: str, wanted: object = ""
) -> list[JsonObject]:
    """Return the recent results of an owner as JSON, newest first.

    With the id `wanted`, return only this result, and each of its photos as an upload for further
    calls. Raises EnhanceError, with the same text for an unknown entry and for one of another
    owner.
    """
    tasks = services.enhancer.tasks
    if wanted:
        runs = [tasks.own_entries(owner.digest, wanted)]
    else:
        runs = tasks.runs(owner.digest)[:MAX_RESULTS]
    description = _Description(services, owner, language, is_opened=bool(wanted))
    return [description.of_run(run) for run in runs]


@dataclass(frozen=True)
class _Description:
    """Describes recent results of an owner as JSON. With `is_opened`, their photos can be used in
    further calls."""

    services: Services
    owner: Owner
    language: str
    is_opened: bool

    def of_run(self, run: Sequence[RecentRun]) -> JsonObject:
        """Return the facts of a run, or of a batch with its files."""
        files = [self._of_entry(entry) for entry in run]
        first = run[0]
        if not first.batch:
            return files[0]
        return {
            "id": first.batch,
            "name": translate(self.language, "batch_count", n=len(run)),
            "state": min((file["state"] for file in files), key=_WORST_FIRST.index),
            "began": max(entry.began for entry in run),
            "expires": max(file["expires"] for file in files),
            "settings": first.call or first.settings,
            "encoding": first.encoding,
            "thumbnail": next((entry.thumbnail for entry in run if entry.thumbnail), ""),
            "progress": self._progress_of(first.batch),
            "files": files,
        }

    def _of_entry(self, entry: RecentRun) -> JsonObject:
        tasks = self.services.enhancer.tasks
        photo = tasks.input_of(entry)
        size = None
        with suppress(SettingsError):  # The scale of a removed model is unknown.
            size = result_size(Settings(**entry.settings), entry.size)._asdict()
        expires = datetime.fromtimestamp(entry.used + tasks.retention_seconds, timezone.utc)
        facts = {
            **{name: getattr(entry, name) for name in _SHOWN},
            "state": tasks.state_of(entry),
            "expires": expires.isoformat(timespec="seconds"),
            "size": size,
            "photo": entry.size._asdict(),
            "error": entry.error.get(self.language),
            "regions": regions_of(self.services, self.owner, photo, entry.task_id),
            "progress": self._progress_of(entry.id),
        }
        if self.is_opened:
            facts["image"] = self._upload_of(photo, entry.name)
        return facts

    def _progress_of(self, name: str) -> JsonObject | None:
        """Return the progress of a job, or None if this process does not run it."""
        job = self.services.threads.named.get((self.owner.digest, name))
        return job and job.facts(self.language)

    def _upload_of(self, photo: Path, name: str) -> JsonObject | None:
        """Return a photo called `name` as an upload, or None if it is no longer stored."""
        if not photo.exists():
            return None
        link = self.services.downloads.link(photo, photo.name)
        return FileData(path=str(link), orig_name=name).model_dump()


def regions_of(
    services: Services, owner: Owner, photo: Path, task_id: str | None
) -> dict[str, str | None]:
    """Return the addresses of regions of a stored `photo` and the `result` of a task, as far as
    they exist."""
    files = {"photo": photo}
    if task_id:
        files["result"] = services.enhancer.tasks.result_path(task_id)
    address = services.addresses.region_address
    return {kind: address(owner, kind, path) for kind, path in files.items() if path.exists()}
