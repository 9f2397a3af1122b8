"""The outputs of calls whose runs or batches have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from ..errors import EnhanceError, StorageError
from ..formats.encoding import Encoding
from ..info import Info, Result
from ..jobs.archive import archive_name, pack
from ..jobs.batch import Batch, BatchFile, plan
from ..settings import Settings
from ..store import RecentRun, result_name
from .job_calls import JobCall, file_of
from .owners import owner_of
from .recent import regions_of
from .services import Services

Outputs = tuple[Any, dict[str, Any]]
"""A file and the facts of its run or batch, or None and the progress while the job runs."""
ZIP_NAME = "enhanced.zip"


def output_of_run(call: JobCall, entries: Iterable[RecentRun]) -> Outputs:
    """Return the outputs of a call whose run is done. Raises EnhanceError."""
    (entry,) = entries
    with ExitStack() as hold:
        result = _export(call, file_of(call, entry), hold)
        name = result_name(result.info, call.encoding.file_format.ending, entry.name)
        file = call.services.downloads.link(result.path, name)
    return str(file), visible_info(call, entry, result.info)


def output_of_batch(call: JobCall, entries: Iterable[RecentRun]) -> Outputs:
    """Return the outputs of a call whose batch has ended, or the results of a batch so far."""
    by_number = {entry.number: entry for entry in entries}
    states = ("done", "failed", "cancelled")
    archive: str | None = None
    links: dict[int, dict[str, Any]] = {}
    with ExitStack() as hold:
        batch = plan(
            _export_file(call, file, by_number.get(file.number), hold) for file in call.files
        )
        info: dict[str, Any] = {state: batch.count(state) for state in states}
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
                "info": file.info and visible_info(call, by_number[file.number], file.info),
                "number": file.number,
                "file": links.get(file.number),
            }
            for file in batch.files
        ]
    return archive, info


def _export_file(
    call: JobCall, file: BatchFile, entry: RecentRun | None, hold: ExitStack
) -> BatchFile:
    """Return a file of a batch in the state of its entry: a finished one in the format of the call,
    or as failed."""
    if entry is not None and not file.error:
        file = file_of(call, entry)
    try:
        if file.state == "done":
            file = replace(file, info=_export(call, file, hold).info)
    except EnhanceError as error:
        file = replace(file, state="failed", info=None, error=error)
    if file.error:
        file = replace(file, error=call.services.visible_error(call.request, file.error))
    return file


def _export(call: JobCall, file: BatchFile, hold: ExitStack) -> Result:
    """Return the result of a file in the format of a call. Raises EnhanceError."""
    if file.info is None or file.png is None:
        raise EnhanceError("result_gone")
    enhancer = call.services.enhancer
    hold.enter_context(enhancer.tasks.using(file.png))
    return enhancer.export(Result(file.png, file.info, file.png), call.encoding, hold=hold)


def _pack(call: JobCall, batch: Batch) -> Path:
    """Write the finished files, the table and the summary into a ZIP file. Raises StorageError."""
    downloads = call.services.downloads
    archive = pack(batch, downloads.new_path(ZIP_NAME), call.settings, call.language)
    for file in batch.files:
        if file.png:
            downloads.tie(archive, file.png)
    return archive


def _link_files(call: JobCall, batch: Batch) -> dict[int, dict[str, Any]]:
    """Return links to the finished files by number. They need no disk space, unlike a ZIP file."""
    links: dict[int, dict[str, Any]] = {}
    for file in batch.files:
        if file.result is not None:
            with suppress(StorageError):
                link = call.services.downloads.link(file.result, archive_name(file))
                data = FileData(path=str(link), orig_name=link.name)
                links[file.number] = data.model_dump()
    return links


def visible_info(call: JobCall, entry: RecentRun, info: Info) -> dict[str, Any]:
    """Return the facts of a result that its owner can see. The owner can then get its report."""
    stored = {**info, **entry.visible}
    remembered = call.services.owners.remember(call.owner, stored, call.encoding)
    regions = regions_of(call.services, call.owner, entry)
    # The entry decides what its owner sees, also if the same request is remembered again.
    return without_path({**remembered, **entry.visible, "regions": regions})


def without_path(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `info` without the path on this server.

    `gradio_client` would also take any object with a string called path for a file, and insert a
    local path.
    """
    return {**info, "output": {**info["output"], "path": None}}


def export_of(
    services: Services, request: gr.Request, wanted: object, encoding: Encoding
) -> Callable[[], Outputs]:
    """Return the work that exports a recent result, or the results of a batch so far, in a format.

    Raises EnhanceError.
    """
    found = services.enhancer.tasks.own_entries(owner_of(request).digest, wanted)
    entries = [entry for entry in found if entry.state in ("done", "failed", "cancelled")]
    if not any(entry.state == "done" for entry in entries):
        raise EnhanceError("result_gone")
    first = entries[0]
    files = tuple(
        BatchFile(Path(entry.name), Path(entry.name), number=entry.number) for entry in entries
    )
    settings = Settings.from_stored(first.settings)
    call = JobCall(services, request, files, settings, encoding)
    if wanted == first.batch:
        return lambda: output_of_batch(call, entries)
    return lambda: output_of_run(call, entries)
