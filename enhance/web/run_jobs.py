"""Starts, follows and cancels runs and batches.

A job has an owner and a name that its client chooses, so the same call with the same name follows
the same job: after a lost connection, in another process and after a restart. Once started, it
continues to its end without a reader, unless its owner is only a session. A job without a name ends
with its call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from typing import Any

import gradio as gr

from ..errors import Cancelled, EnhanceError, StorageError
from ..store import RecentRun
from ..store.job_records import JobRecord, JobStore, id_of_file
from .calls import RecordedError, status_of
from .job_calls import JobCall, check_name, file_of, read_files
from .local_jobs import LocalJob, file_facts
from .outputs import Outputs, output_of_batch, output_of_run
from .owners import Owner
from .services import Services
from .streams import EventReader

UNREAD_JOB_SECONDS = 120.0
"""How long a job without a reader stays in the queue, or runs if its owner is only a session."""
CHECK_SECONDS = 1.0
_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 0.5
_TOO_MANY = 429


def run_job(call: JobCall, progress: gr.Progress | None = None) -> Generator[Any, None, None]:
    """Start or follow the job of a call, and yield its outputs at its end.

    Until then, yield the progress of a job with a name. A job without one sends its progress to
    `progress`. Raises EnhanceError.
    """
    call = read_files(call)
    reader = EventReader(call.request)
    while True:
        found = _begin(call)
        if isinstance(found, LocalJob):
            yield from _follow_here(call, found, reader, progress)
            return
        if found.state == "done":
            yield from _finish(call, _stored_entries(call), reader)
            return
        if found.state == "cancelled":
            raise Cancelled("job_cancelled")
        if found.state == "failed":
            raise RecordedError(json.loads(found.error))
        # Another process runs the job, and only that process has its progress.
        yield _progress(call, {})
        time.sleep(_LONGEST_POLL_SECONDS)
        reader.is_reading()


def _begin(call: JobCall) -> LocalJob | JobRecord:
    """Return the job of a call, which is started if necessary.

    Return a LocalJob if this process runs the job, otherwise a JobRecord. Raises EnhanceError.
    """
    services = call.services
    if not call.name:
        with services.enter(call.owner.caller, "run") as admitted:
            return LocalJob(call, admitted)
    jobs = JobStore(services.enhancer.tasks)
    with services.threads.starting:
        running = services.threads.named.get((call.owner.digest, call.name))
        stored = jobs.find(call.job, call.entries)
        if stored is None:
            with services.enter(call.owner.caller, "run") as admitted:
                stored = jobs.begin(call.job, call.entries)
                if stored is None:
                    started = LocalJob(call, admitted)
                    with suppress(StorageError):
                        started.tasks.remove_oldest(call.owner.digest)
                    return started
    if running is not None and stored.state == "running":
        return running
    return stored


def _follow_here(
    call: JobCall, job: LocalJob, reader: EventReader, progress: gr.Progress | None
) -> Iterator[Any]:
    """Yield the progress of a job of this process, and its outputs. Raises the error of the job."""
    shown = set[int]()
    with ExitStack() as until_left:
        until_left.enter_context(job.in_use())
        if not call.name:
            until_left.callback(job.close)
        for _ in job.poll(_POLL_SECONDS, _LONGEST_POLL_SECONDS):
            if reader.is_reading():
                job.last_read = time.time()
            if call.name:
                yield _progress(call, job.facts(call.language) | job.news(call, shown))
                continue
            if progress is not None:
                job.send(progress)
            yield gr.skip()
        if job.is_cancelled_by_user:
            raise Cancelled("job_cancelled")
        job.result()
        yield from _finish(call, job.entries.values(), reader)


def _stored_entries(call: JobCall) -> list[RecentRun]:
    return call.services.enhancer.tasks.entries_of(call.owner.digest, call.name)


def _progress(call: JobCall, facts: Mapping[str, Any]) -> Outputs:
    """Return the outputs of a call whose job runs, with all files of the call in their order.

    Another process can have started the job without any progress so far.
    """
    begun = {"seconds_left": None, "ahead": 0}
    if not call.is_batch:
        return None, {"progress": {"done": 0, "total": 0, **begun, **facts}}
    known = {file["number"]: file for file in facts.get("files", ())}
    files = list[dict[str, Any]]()
    for file in call.files:
        facts_of_file = known.get(file.number)
        files.append(facts_of_file or file_facts(call.services, file, call.language))
    return None, {"progress": {"share": 0.0, **begun, **facts, "files": files}}


def _finish(call: JobCall, entries: Iterable[RecentRun], reader: EventReader) -> Iterator[Any]:
    """Yield the progress while the results of a finished job are exported, and then its outputs."""
    entries = list(entries)
    work = output_of_batch if call.is_batch else output_of_run
    if not (entries or call.is_batch):  # The entry has been deleted.
        raise EnhanceError("result_gone")
    progress: Any = gr.skip()
    if call.name:
        progress = _progress(call, _last_facts(call, entries))
    job = None
    while job is None:
        try:
            job = call.services.start(call.request, "preview", lambda _: work(call, entries))
        except EnhanceError as error:
            if status_of(error) != _TOO_MANY:
                raise
            # The job is done, so its client must wait instead of being rejected.
            reader.is_reading()
            yield progress
            time.sleep(_LONGEST_POLL_SECONDS)
    with closing(job):
        for _ in job.poll(_POLL_SECONDS, _LONGEST_POLL_SECONDS):
            reader.is_reading()
            yield progress
        yield job.result()


def _last_facts(call: JobCall, entries: Iterable[RecentRun]) -> dict[str, Any]:
    """Return the progress of a job that is done."""
    if not call.is_batch:
        (entry,) = entries
        return {"done": entry.height, "total": entry.height, "seconds_left": 0.0}
    files = [file_facts(call.services, file_of(call, entry), call.language) for entry in entries]
    return {"share": 1.0, "files": files, "seconds_left": 0.0}


def cancel_job(
    services: Services, owner: Owner, name: object, number: int | None = None
) -> dict[str, Any]:
    """Cancel the job of this name, even if it has not been started yet, or one file of a batch.

    Return whether the job or the file is known, and its state. Raises SettingsError.
    """
    name = check_name(name)
    jobs = JobStore(services.enhancer.tasks)
    facts: dict[str, Any] = {"job": name}
    if number is None:
        is_known, state = jobs.cancel(owner.digest, name)
    else:
        is_known, state = jobs.cancel_file(owner.digest, name, number)
        facts["file"] = number
    with services.threads.starting:
        running = services.threads.named.get((owner.digest, name))
    if running is not None and state == "cancelled":
        if number is None:
            running.cancel()
        else:
            running.cancel_file(id_of_file(name, number))
    return facts | {"known": is_known, "state": state}


def check_jobs(services: Services) -> None:
    """Cancel the jobs that another process has cancelled, and those without a reader."""
    with services.threads.starting:
        running = dict(services.threads.named)
    for key, job in running.items():
        is_unread = time.time() - job.last_read > UNREAD_JOB_SECONDS
        if is_unread and (job.is_waiting or not job.call.owner.is_lasting):
            job.close()
        elif JobStore(services.enhancer.tasks).is_stopped(*key):
            job.cancel()
