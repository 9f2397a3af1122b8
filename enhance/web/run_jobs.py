"""Starts, follows and cancels runs and batches.

A job has an owner and a name that its client chooses, so the same call with the same name follows
the same job: after a lost connection, in another process and after a restart. Once started, it
continues to its end without a reader, unless its owner is only a session. A job without a name ends
with its call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr

from ..errors import Cancelled, EnhanceError, StorageError
from ..json_object import JsonObject
from ..store.job_records import JobRecord
from .calls import RecordedError, status_of
from .job_calls import (
    JobCall,
    Outputs,
    check_name,
    file_facts,
    output_of_batch,
    output_of_run,
    read_files,
    with_states,
)
from .local_jobs import LocalJob
from .owners import Owner
from .services import Services
from .streams import LONGEST_POLL_SECONDS, POLL_SECONDS, EventReader, follow

UNREAD_JOB_SECONDS = 120.0
"""How long a job without a reader stays in the queue, or runs if its owner is only a session."""
CHECK_SECONDS = 1.0


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
            entries = call.services.enhancer.tasks.entries_of(*call.key)
            yield from finish_job(with_states(call, entries))
            return
        if found.state == "cancelled":
            raise Cancelled("job_cancelled")
        if found.state == "failed":
            raise RecordedError(json.loads(found.error))
        # Another process runs the job, and only that process has its progress.
        yield _progress(call, {})
        time.sleep(LONGEST_POLL_SECONDS)
        reader.is_reading()


def _begin(call: JobCall) -> LocalJob | JobRecord:
    """Return the job of a call, which is started if necessary.

    Return a LocalJob if this process runs the job, otherwise a JobRecord. Raises EnhanceError.
    """
    services = call.services
    enhancer = services.enhancer
    admission = enhancer.scheduler.admit(call.owner.caller, "run", enhancer.config.queue)
    if not call.name:
        with admission as admitted:
            return LocalJob(call, admitted)
    with services.threads.starting:
        running = services.threads.named.get(call.key)
        stored = services.jobs.find(call.job, call.entries)
        if stored is None:
            with admission as admitted:
                stored = services.jobs.begin(call.job, call.entries)
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
    shown = set[float]()
    with job.in_use():
        if call.name:
            for _ in job.poll(POLL_SECONDS, LONGEST_POLL_SECONDS):
                if reader.is_reading():
                    job.last_read = time.time()
                yield _progress(call, job.facts(call.language) | job.news(call, shown))
            job.result()
        else:
            yield from follow(job, call.request, progress)
        yield from finish_job(with_states(call, job.entries.values()))


def _progress(call: JobCall, facts: JsonObject) -> Outputs:
    """Return the outputs of a call whose job runs, or has just ended.

    Another process can have started the job without any progress so far.
    """
    begun = {"done": 0, "total": 0}
    if call.is_batch:
        files = [file_facts(call.services, file, call.language) for file in call.files]
        begun = {"share": 0.0, "files": files}
    return None, {"progress": {**begun, "seconds_left": None, "ahead": 0, **facts}}


def finish_job(call: JobCall) -> Iterator[Any]:
    """Yield the progress while the results of a finished job are exported, and then its outputs.

    The states of its files are known.
    """
    reader = EventReader(call.request)
    work = output_of_batch if call.is_batch else output_of_run
    outputs = gr.skip
    if call.name:
        _, height = call.files[0].size or (0, 0)
        ended = {"done": height, "total": height}
        if call.is_batch:
            ended = {"share": 1.0}
        outputs = partial(_progress, call, {**ended, "seconds_left": 0.0})
    job = None
    while job is None:
        try:
            job = call.services.start(call.request, "preview", lambda _: work(call))
        except EnhanceError as error:
            if status_of(error) != 429:
                raise
            # The job is done, so its client must wait instead of being rejected.
            reader.is_reading()
            yield outputs()
            time.sleep(LONGEST_POLL_SECONDS)
    last = yield from follow(job, call.request, outputs=outputs)
    yield last


def cancel_job(
    services: Services, owner: Owner, name: object, number: int | None = None
) -> JsonObject:
    """Cancel the job of this name, even if it has not been started yet, or one file of a batch.

    Return whether the job or the file is known, and its state. Raises SettingsError.
    """
    name = check_name(name)
    is_known, state = services.jobs.cancel(owner.digest, name, number)
    with services.threads.starting:
        running = services.threads.named.get((owner.digest, name))
    if running is not None and state == "cancelled":
        running.cancel(number)
    facts = {"job": name, "known": is_known, "state": state}
    if number is not None:
        facts["file"] = number
    return facts


def check_jobs(services: Services) -> None:
    """Cancel the jobs that another process has cancelled, and those without a reader."""
    for key, job in list(services.threads.named.items()):
        is_unread = time.time() - job.last_read > UNREAD_JOB_SECONDS
        is_waiting = job.ahead > 0 and not job.batch.share
        is_left = is_unread and (is_waiting or not job.call.owner.is_lasting)
        if is_left or services.jobs.is_stopped(*key):
            job.close()
