"""The calls that start or follow runs and batches, and the files of their jobs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import gradio as gr

from ..errors import SettingsError
from ..files import file_sha256
from ..formats.encoding import Encoding
from ..info import Info, timestamp
from ..jobs.batch import BatchFile, checked, with_nearest_size, with_size
from ..processes import this_process
from ..settings import Settings
from ..store import RecentRun
from ..store.job_records import JobRecord, id_of_file
from .calls import RecordedError
from .owners import Owner, owner_of
from .params import language_of
from .services import Services

_NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(frozen=True)
class JobCall:
    """A call that starts or follows a run or a batch.

    A job without a `name` belongs to this call alone and ends with it. `largest` is whether files
    that cannot have the size of the settings get the nearest one. `entries` are the files that can
    be processed.
    """

    services: Services
    request: gr.Request
    files: tuple[BatchFile, ...]
    settings: Settings
    encoding: Encoding
    name: str = ""
    is_batch: bool = False
    largest: bool = False
    checksum: str = ""
    entries: tuple[RecentRun, ...] = ()

    @property
    def owner(self) -> Owner:
        return owner_of(self.request)

    @property
    def language(self) -> str:
        return language_of(self.request)

    @property
    def key(self) -> tuple[str, str]:
        """The digest of the owner and the name of the job, which identify it."""
        return self.owner.digest, self.name

    @property
    def job(self) -> JobRecord:
        """The job, as this process records it when it starts."""
        return JobRecord(*self.key, self.checksum, "running", this_process())


def check_name(name: object) -> str:
    """Return the name of a job. Raises SettingsError if its format is not allowed."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise SettingsError("job_name")


def files_of(*paths: Path) -> tuple[BatchFile, ...]:
    """Return the files of a call."""
    return tuple(
        BatchFile(path, Path(path.name), number=number) for number, path in enumerate(paths, 1)
    )


def read_files(call: JobCall) -> JobCall:
    """Return a call with the sizes of its files and its entries.

    Files that cannot be read, or cannot be saved in the format, have failed and have no entry.
    Raises EnhanceError.
    """
    if call.name:
        check_name(call.name)
    files = tuple(_read_file(call, file) for file in call.files)
    error = files[0].error
    if error and not call.is_batch:
        call.services.metrics.record("task", call.settings.preset, 0.0, "failed", error=error)
        raise error
    file_checksums = [_file_checksum(file) for file in files]
    entries = [
        _entry(call, file, checksum)
        for file, checksum in zip(files, file_checksums, strict=True)
        if not file.error
    ]
    checksum = _job_checksum(call, file_checksums)
    return replace(call, files=files, checksum=checksum, entries=tuple(entries))


def _read_file(call: JobCall, file: BatchFile) -> BatchFile:
    """Return a file with its size and the id of its entry, or as failed."""
    id = call.name
    if call.is_batch:
        id = id_of_file(call.name, file.number)
    file = with_size(replace(file, key=id), call.services.enhancer)
    if call.largest:
        file = with_nearest_size(file, call.settings)
    return checked(file, call.settings, call.encoding)


def _entry(call: JobCall, file: BatchFile, sha256: str) -> RecentRun:
    assert file.size
    height, width = file.size
    entry = RecentRun(
        call.owner.digest,
        file.key,
        state="running",
        began=timestamp(),
        name=file.name,
        sha256=sha256,
        width=width,
        height=height,
        settings=(file.settings or call.settings).as_dict(),
        thumbnail="",
        process=this_process(),
        bytes=file.source.stat().st_size,
        number=file.number,
        encoding=asdict(call.encoding),
    )
    if not call.is_batch:
        return entry
    settings = {**call.settings.as_dict(), "largest": call.largest}
    return replace(entry, batch=call.name, call=settings)


def _file_checksum(file: BatchFile) -> str:
    """Return the checksum of a file, or "" for one that cannot be opened."""
    with suppress(OSError):
        return file_sha256(file.source)
    return ""


def _job_checksum(call: JobCall, file_checksums: list[str]) -> str:
    """Return a checksum of everything that determines the pixels of a job's results."""
    values = call.settings.as_dict()
    del values["tile"]
    if call.largest:  # Jobs of earlier versions do not have it.
        values["largest"] = True
    text = json.dumps([call.is_batch, file_checksums, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_states(call: JobCall, entries: Iterable[RecentRun]) -> JobCall:
    """Return a call whose files are in the states of their entries. A file without an entry stays
    as it is."""
    files = {file.number: file for file in call.files}
    files |= {entry.number: file_of(call, entry) for entry in entries}
    return replace(call, files=tuple(files.values()))


def file_of(call: JobCall, entry: RecentRun) -> BatchFile:
    """Return the stored file of an entry in its state. Its `info` has the values that its owner
    sees."""
    tasks = call.services.enhancer.tasks
    file = BatchFile(
        tasks.input_of(entry),
        Path(entry.name),
        size=(entry.height, entry.width),
        key=entry.id,
        number=entry.number,
    )
    own = Settings.from_stored(entry.settings)
    if own != call.settings:
        file = replace(file, settings=own)
    if entry.state == "failed":
        return replace(file, state="failed", error=RecordedError(entry.error))
    if entry.state == "cancelled":
        return replace(file, state="cancelled")
    if entry.state != "done":
        return file
    info = tasks.info(entry.task_id or "")
    if info is None:
        return file
    png = tasks.result_path(info["task_id"])
    info["output"]["path"] = str(png)  # The folder can have moved.
    visible = cast(Info, {**info, **entry.visible})
    return replace(file, state="done", info=visible, png=png)


def file_facts(services: Services, file: BatchFile, language: str) -> dict[str, Any]:
    """Return the name, the state and the error of a file, and its position in the call, from 1."""
    error = file.error and services.visible_error(None, file.error).message(language)
    return {"number": file.number, "name": file.name, "state": file.state, "error": error}
