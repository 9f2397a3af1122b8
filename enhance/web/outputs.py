"""The outputs of calls whose runs or batches have ended."""

from __future__ import annotations

from collections.abc import Mapping
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
from ..store import result_name
from .job_calls import JobCall, with_states
from .owners import owner_of
from .recent import regions_of
from .services import Services

Outputs = tuple[Any, dict[str, Any]]
"""A file and the facts of its run or batch, or None and the progress while the job runs."""
ZIP_NAME = "enhanced.zip"


def output_of_run(call: JobCall) -> Outputs:
    """Return the outputs of a call whose run is done. Raises EnhanceError."""
    (file,) = call.files
    with ExitStack() as hold:
        result = _export(call, file, hold)
        name = result_name(result.info, call.encoding.file_format.ending, file.name)
        link = call.services.downloads.link(result.path, name)
    return str(link), visible_info(call, result.info)


def output_of_batch(call: JobCall) -> Outputs:
    """Return the outputs of a call whose batch has ended, or the results of a batch so far."""
    states = ("done", "failed", "cancelled")
    archive: str | None = None
    links: dict[int, dict[str, Any]] = {}
    with ExitStack() as hold:
        batch = plan(_export_file(call, file, hold) for file in call.files)
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
                "info": file.info and visible_info(call, file.info),
                "number": file.number,
                "file": links.get(file.number),
            }
            for file in batch.files
        ]
    return archive, info


def _export_file(call: JobCall, file: BatchFile, hold: ExitStack) -> BatchFile:
    """Return a file of a batch that has ended: a finished one in the format of the call, or as
    failed."""
    try:
        if file.state == "done":
            return replace(file, info=_export(call, file, hold).info)
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


def visible_info(call: JobCall, info: Info) -> dict[str, Any]:
    """Return the facts of a result with the addresses of its regions. The owner of the call can
    then get its report."""
    services = call.services
    services.owners.remember(call.owner, info, call.encoding)
    photo = services.enhancer.tasks.upload_path(info["input"]["sha256"], info["input"]["name"])
    regions = regions_of(services, call.owner, photo, info["task_id"])
    return without_path({**info, "regions": regions})


def without_path(info: Mapping[str, Any]) -> dict[str, Any]:
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
