"""The calls that start or follow runs and batches, the files of their jobs, and their outputs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.data_classes import FileData

from ..errors import EnhanceError, SettingsError, StorageError
from ..files import file_sha256
from ..formats.encoding import Encoding
from ..info import Info, Result, timestamp
from ..jobs.archive import archive_name, pack
from ..jobs.batch import Batch, BatchFile, checked, plan, with_nearest_size, with_size
from ..json_object import JsonObject
from ..processes import this_process
from ..settings import Settings
from ..store import RecentRun, result_name
from ..store.job_records import JobRecord, id_of_file
from .calls import RecordedError
from .owners import Owner, owner_of
from .params import language_of
from .recent import regions_of
from .services import Services

Outputs = tuple[Any, JsonObject]
"""A file and the facts of its run or batch, or None and the progress while the job runs."""
ZIP_NAME = "enhanced.zip"
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
    """Return a call with the sizes and checksums of its files, and its entries.

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
    files = tuple(replace(file, sha256=_file_checksum(file)) for file in files)
    entries = tuple(_entry(call, file) for file in files if not file.error)
    checksum = _job_checksum(call, [file.sha256 for file in files])
    return replace(call, files=files, checksum=checksum, entries=entries)


def _read_file(call: JobCall, file: BatchFile) -> BatchFile:
    """Return a file with its size and the id of its entry, or as failed."""
    id = call.name
    if call.is_batch:
        id = id_of_file(call.name, file.number)
    file = with_size(replace(file, key=id), call.services.enhancer)
    if call.largest:
        file = with_nearest_size(file, call.settings)
    return checked(file, call.settings, call.encoding)


def _entry(call: JobCall, file: BatchFile) -> RecentRun:
    assert file.size
    width, height = file.size
    entry = RecentRun(
        call.owner.digest,
        file.key,
        state="running",
        began=timestamp(),
        name=file.name,
        sha256=file.sha256,
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
        size=entry.size,
        sha256=entry.sha256,
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


def file_facts(services: Services, file: BatchFile, language: str) -> JsonObject:
    """Return the name, the state and the error of a file, and its position in the call, from 1."""
    error = file.error and services.visible_error(None, file.error).message(language)
    return {"number": file.number, "name": file.name, "state": file.state, "error": error}


def output_of_run(call: JobCall) -> Outputs:
    """Return the outputs of a call whose run is done. Raises EnhanceError."""
    (file,) = call.files
    with ExitStack() as hold:
        result = export_file(call, file, hold)
        name = result_name(result.info, call.encoding.file_format.ending, file.name)
        link = call.services.downloads.link(result.path, name)
    return str(link), visible_info(call, result.info)


def output_of_batch(call: JobCall) -> Outputs:
    """Return the outputs of a call whose batch has ended, or the results of a batch so far."""
    states = ("done", "failed", "cancelled")
    archive: str | None = None
    links: dict[int, JsonObject] = {}
    with ExitStack() as hold:
        batch = plan(_exported(call, file, hold) for file in call.files)
        info: JsonObject = {state: batch.count(state) for state in states}
        info["error"] = None
        try:
            if batch.count("done"):
                archive = str(_pack(call, batch))
        except StorageError as error:
            visible = call.services.visible_error(call.request, error)
            info["error"] = visible.message(call.language)
            links = _link_files(call, batch)
        info["files"] = [
            {
                "name": file.name,
                "state": file.state,
                "error": file.error and file.error.message(call.language),
                "info": file.info and visible_info(call, file.info),
                "number": file.number,
                "file": links.get(file.number),
            }
            for file in batch.files
        ]
    return archive, info


def _exported(call: JobCall, file: BatchFile, hold: ExitStack) -> BatchFile:
    """Return a file of a batch that has ended: a finished one in the format of the call, or as
    failed."""
    try:
        if file.state == "done":
            return replace(file, info=export_file(call, file, hold).info)
    except EnhanceError as error:
        file = replace(file, state="failed", info=None, error=error)
    if file.error:
        file = replace(file, error=call.services.visible_error(call.request, file.error))
    return file


def export_file(
    call: JobCall, file: BatchFile, hold: ExitStack, stop: threading.Event | None = None
) -> Result:
    """Return the result of a file in the format of a call. Raises EnhanceError.

    The result is not deleted until `hold` is closed.
    """
    if file.info is None or file.png is None:
        raise EnhanceError("result_gone")
    enhancer = call.services.enhancer
    hold.enter_context(enhancer.tasks.using(file.png))
    result = Result(file.png, file.info, file.png)
    return enhancer.export(result, call.encoding, stop=stop, hold=hold)


def _pack(call: JobCall, batch: Batch) -> Path:
    """Write the finished files, the table and the summary into a ZIP file. Raises StorageError."""
    downloads = call.services.downloads
    archive = pack(batch, downloads.new_path(ZIP_NAME), call.settings, call.language)
    for file in batch.files:
        if file.png:
            downloads.tie(archive, file.png)
    return archive


def _link_files(call: JobCall, batch: Batch) -> dict[int, JsonObject]:
    """Return links to the finished files by number. They need no disk space, unlike a ZIP file."""
    links: dict[int, JsonObject] = {}
    for file in batch.files:
        if file.result is not None:
            with suppress(StorageError):
                link = call.services.downloads.link(file.result, archive_name(file))
                data = FileData(path=str(link), orig_name=link.name)
                links[file.number] = data.model_dump()
    return links


def visible_info(call: JobCall, info: Info) -> JsonObject:
    """Return the facts of a result with the addresses of its regions. The owner of the call can
    then get its report."""
    services = call.services
    services.owners.remember(call.owner, info, call.encoding)
    photo = services.enhancer.tasks.upload_path(info["input"]["sha256"], info["input"]["name"])
    regions = regions_of(services, call.owner, photo, info["task_id"])
    return without_path({**info, "regions": regions})


def without_path(info: Mapping[str, Any]) -> JsonObject:
    """Return an `info` without the path on this server.

    `gradio_client` would also take any object with a string called path for a file, and insert a
    local path.
    """
    return {**info, "output": {**info["output"], "path": None}}


def call_of_export(
    services: Services, request: gr.Request, wanted: object, encoding: Encoding
) -> JobCall:
    """Return the call that exports a recent result, or the results of a batch so far, in a format.

    Raises EnhanceError.
    """
    found = services.enhancer.tasks.own_entries(owner_of(request).digest, wanted)
    entries = [entry for entry in found if entry.state in ("done", "failed", "cancelled")]
    if not any(entry.state == "done" for entry in entries):
        raise EnhanceError("result_gone")
    settings = Settings.from_stored(entries[0].settings)
    is_batch = wanted == entries[0].batch
    call = JobCall(services, request, (), settings, encoding, is_batch=is_batch)
    return with_states(call, entries)
