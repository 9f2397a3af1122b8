"""Jobs with names that their clients choose. The same call with the same name follows the same job.

The jobs are stored in the database of the data folder, so a call finds its job again after a lost
connection, in another process and after a restart. Once started, a job continues to its end without
a reader, unless its owner is only a session.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import (
    Cancelled,
    EnhanceError,
    PictureError,
    SettingsError,
    StorageError,
    expected_error,
)
from ..files import file_sha256
from ..formats.encoding import Encoding
from ..formats.png_reader import PngReader
from ..formats.thumbnails import (
    LIST_SIDE,
    Thumbnail,
    data_url,
    icc_for_screen,
    small_size,
    whole_image,
)
from ..i18n import DEFAULT_LANGUAGE, LANGUAGES
from ..images import downscaled_size
from ..info import Info, Result, timestamp
from ..jobs.batch import Batch, BatchFile, checked, plan, with_nearest_size, with_size
from ..jobs.scheduler import Job
from ..pipeline import Run, RunOptions
from ..processes import this_process
from ..restore.live_view import LIMIT, LiveView
from ..settings import Settings
from ..store import RecentRun, result_name
from ..store.job_records import JobRecord, JobStore, NewJob, id_of_file
from .calls import RecordedError, status_of
from .jobs import EventReader, JobThread
from .owners import Owner, owner_of
from .params import language_of
from .processing import BatchJob, Packed, batch_info, enhance, pack_batch, without_path
from .recent import entries_of, own_entries, regions_of, shorten
from .services import Services

Outputs = tuple[Any, dict[str, Any]]
"""A file and the facts of its run or batch, or None and the progress while the job runs."""
_NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")
UNREAD_JOB_SECONDS = 120.0
"""How long a job without a reader stays in the queue, or runs if its owner is only a session."""
REPORT_SECONDS = 1.0
_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 0.5
_IMAGE_SECONDS = 1.0
_TOO_MANY = 429
_MAX_THUMBNAIL_PIXELS = 100_000_000
"""Larger results of a batch get no thumbnail, because it would take too long."""


def _recorded(services: Services, error: EnhanceError) -> dict[str, str]:
    """Return the key, the status and the messages of an error, as a client on another computer can
    see them."""
    visible = services.visible_error(None, error)
    messages = {language: visible.message(language) for language in LANGUAGES}
    return {"key": visible.key, "status": str(status_of(visible)), **messages}


@dataclass(frozen=True)
class NamedCall:
    """A call that starts or follows a job: its client, the files, the settings and the format.

    Files that cannot be read, or cannot be saved in the format, have failed and are not part of the
    job.
    """

    services: Services
    request: gr.Request
    job: NewJob
    items: tuple[BatchFile, ...]
    settings: Settings
    encoding: Encoding
    is_batch: bool

    @property
    def owner(self) -> Owner:
        return owner_of(self.request)

    @property
    def language(self) -> str:
        return language_of(self.request)

    @property
    def key(self) -> tuple[Path, str, str]:
        return self.services.enhancer.tasks.folder, self.job.whose, self.job.name


def check_name(name: object) -> str:
    """Return the name of a job. Raises SettingsError if its format is not allowed."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise SettingsError("job_name")


def run_named(
    services: Services,
    request: gr.Request,
    name: object,
    sources: Sequence[tuple[Path, str]],
    settings: Settings,
    encoding: Encoding,
    *,
    is_batch: bool,
    largest: bool = False,
) -> Generator[Outputs, None, None]:
    """Start or follow the job of this name, and yield its progress and finally its outputs.

    `sources` are files with their names. Raises EnhanceError.
    """
    name = check_name(name)
    items = list[BatchFile]()
    for number, (source, title) in enumerate(sources, 1):
        item = _read_item(services, number, source, title)
        if largest:
            item = with_nearest_size(item, settings)
        items.append(checked(item, settings, encoding))
    if not is_batch and items[0].error:
        raise items[0].error
    whose = owner_of(request).digest
    checksums = list[str]()
    entries = list[RecentRun]()
    for item in items:
        checksums.append(_checksum_of(item))
        if not item.error:
            entry = _entry(whose, name, item, checksums[-1], settings, is_batch)
            call = {**settings.as_dict(), "largest": largest} if is_batch else {}
            entries.append(replace(entry, encoding=asdict(encoding), call=call))
    checksum = _checksum(checksums, settings, is_batch, largest)
    job = NewJob(whose, name, checksum, tuple(entries))
    named = NamedCall(services, request, job, tuple(items), settings, encoding, is_batch)
    yield from _follow(named)


def _read_item(services: Services, number: int, source: Path, name: str) -> BatchFile:
    """Return a file with its size, as failed if it cannot be read."""
    return with_size(
        BatchFile(source, Path(name), number=number),
        services.enhancer.max_pixels,
        services.enhancer.max_bytes,
    )


def _entry(
    whose: str, name: str, item: BatchFile, sha256: str, settings: Settings, is_batch: bool
) -> RecentRun:
    assert item.size
    height, width = item.size
    return RecentRun(
        whose,
        id_of_file(name, item.number) if is_batch else name,
        state="running",
        began=timestamp(),
        name=item.name,
        sha256=sha256,
        width=width,
        height=height,
        settings=(item.settings or settings).as_dict(),
        thumbnail="",
        process=this_process(),
        bytes=item.source.stat().st_size,
        batch=name if is_batch else "",
        number=item.number,
    )


def _checksum_of(item: BatchFile) -> str:
    """Return the checksum of a file, or "" for a failed one that cannot be opened."""
    try:
        return file_sha256(item.source)
    except OSError:
        if item.error:
            return ""
        raise


def _checksum(images: Sequence[str], settings: Settings, is_batch: bool, largest: bool) -> str:
    """Return a checksum of everything that determines the pixels of a job's results."""
    values = settings.as_dict()
    del values["tile"]
    if largest:  # Jobs of earlier versions do not have it.
        values["largest"] = True
    text = json.dumps([is_batch, list(images), values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class NamedJob:
    """A job with a name that this process runs, its entries as they are now, and its readers."""

    def __init__(self, call: NamedCall):
        self.services = call.services
        self.owner = call.owner
        self.key = call.key
        self.tasks = call.services.enhancer.tasks
        _, self.whose, self.name = call.key
        stored = {entry.id: entry for entry in entries_of(self.tasks, self.whose, self.name)}
        self.entries = {entry.id: stored[entry.id] for entry in call.job.entries}
        self.sources = {entry.id: call.items[entry.number - 1].source for entry in call.job.entries}
        self.last_read = time.time()
        self.hold = ExitStack()
        """Results that are not deleted while the job runs or a client of this process reads it."""
        self.job: NamedRun | NamedBatch
        self._lock = threading.Lock()
        self._users = 0
        # First, because the job releases its name at its end.
        _RUNNING[self.key] = self
        self.tasks.running.update(self._ids)

    @property
    def _ids(self) -> list[tuple[str, str]]:
        return [(self.whose, id) for id in self.entries]

    def release(self) -> None:
        """Record that this process no longer runs the job.

        Nothing changes if the job was interrupted and has already been started again.
        """
        with _STARTING:
            if _RUNNING.get(self.key) is self:
                self.tasks.running.difference_update(self._ids)
                del _RUNNING[self.key]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the results inside the block."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                is_unused = not self._users
            if is_unused:
                self.hold.close()

    def keep_inputs(self) -> None:
        """Copy the inputs into the store, because uploads can be deleted. Raises EnhanceError."""
        for entry in self.entries.values():
            source = self.sources[entry.id]
            try:
                self.tasks.keep_upload(source, entry.name, entry.sha256, entry.bytes)
            except EnhanceError as error:
                if source.exists():
                    raise
                raise Cancelled("stopped") from error  # The request has already ended.

    def finish(self, entry: RecentRun, info: Info, thumbnail: str) -> None:
        """Set the result of a file."""
        visible = self.services.owners.remember(self.owner, info)
        shown = {name: visible[name] for name in ("cached", "finished")}
        self.entries[entry.id] = replace(
            entry,
            state="done",
            task_id=info["task_id"],
            thumbnail=thumbnail,
            visible=shown,
            fidelity_worst_db=info["fidelity_worst_db"],
        )

    def fail(self, entry: RecentRun, error: EnhanceError) -> None:
        """Set the error of a file."""
        self.entries[entry.id] = replace(
            entry, state="failed", error=_recorded(self.services, error)
        )

    @contextmanager
    def recorded(self, job: JobThread[Any]) -> Iterator[None]:
        """Record the end of the job, whose work is the block, and keep its inputs until then."""
        inputs = [self.tasks.input_of(entry) for entry in self.entries.values()]
        try:
            with self.in_use(), self.tasks.using(*inputs):
                self.keep_inputs()
                yield
                self._end("done")
        except Cancelled:
            self._end("cancelled" if job.cancelled_by == "user" else "interrupted")
            raise
        except Exception as raised:
            error = expected_error(raised, "A job failed")
            for entry in [entry for entry in self.entries.values() if entry.state == "running"]:
                self.fail(entry, error)
            self._end("failed", _recorded(self.services, error))
            raise error from raised
        finally:
            self.release()

    def _end(self, state: str, error: Mapping[str, str] | None = None) -> None:
        JobStore(self.tasks).end(self.whose, self.name, state, list(self.entries.values()), error)


_RUNNING: dict[tuple[Path, str, str], NamedJob] = {}
"""The named jobs that this process runs, by data folder, owner and name."""
_STARTING = threading.RLock()
"""Held while a job is started, found or released, so that two calls in this process do not start it
twice."""


class NamedRun(JobThread[None]):
    """The run of an image, and the result so far."""

    def __init__(self, named: NamedJob, call: NamedCall, job: Job):
        self._named = named
        self._services = call.services
        self._settings = call.settings
        self._growing: LiveView | None = None
        self._picture_lock = threading.Lock()
        self._picture: dict[str, Any] = {}
        self._picture_number = 0
        super().__init__(
            call.services.enhancer.scheduler, NamedRun._run, job, *named.sources.values()
        )

    @property
    def is_waiting(self) -> bool:
        """Whether the network has not started."""
        return not self.state.total

    def facts(self, language: str = DEFAULT_LANGUAGE) -> dict[str, Any]:
        """Return the progress: finished and all rows, the seconds left, and the jobs ahead."""
        state = self.state
        return {
            "done": state.done,
            "total": state.total,
            "seconds_left": state.seconds_left,
            "ahead": state.ahead,
        }

    def news(self, call: NamedCall, shown: set[int]) -> dict[str, Any]:
        """Return the result so far, unless its number is one of `shown`, to which it is added.

        Its share `live_share` is computed, from the left if `live_edge` is x, otherwise from the
        top.
        """
        number, picture = self._picture_so_far()
        if number in shown:
            return {}
        shown.add(number)
        return picture

    def _picture_so_far(self) -> tuple[int, dict[str, Any]]:
        growing = self._growing
        if growing is None:
            return 0, {}
        with self._picture_lock:
            pixels = growing.view(_IMAGE_SECONDS)
            if pixels is not None:
                edge = "x" if growing.columns else "y"
                self._picture = {
                    "live": data_url(pixels, growing.icc),
                    "live_share": growing.share,
                    "live_edge": edge,
                }
                self._picture_number += 1
            return self._picture_number, self._picture

    def _run(self) -> None:
        named = self._named
        with named.recorded(self):
            (entry,) = named.entries.values()
            source = named.tasks.input_of(entry)
            options = RunOptions(name=entry.name, on_compute=self._watch, hold=named.hold)
            result = enhance(self._services, source, self._settings, self, options)
            named.finish(entry, result.info, self._thumbnail(result))

    def _watch(self, run: Run) -> None:
        """Provide the result so far while a run computes it."""
        image = run.inputs.image
        settings = run.inputs.settings
        height, width = downscaled_size(image.height, image.width, settings.reduce)
        backdrop = whole_image(image, small_size(image.width, image.height, LIMIT))
        icc = icc_for_screen(image)
        run.watch = self._growing = LiveView(width, height, settings.factor, backdrop, icc)

    def _thumbnail(self, result: Result) -> str:
        growing = self._growing
        if growing is None or growing.overview is None:  # A cached result.
            return _thumbnail_of(result.path)
        return data_url(growing.overview.pixels, growing.icc)


class NamedBatch(BatchJob):
    """A batch whose files are entries. It is packed for each client, in the format of its call."""

    def __init__(self, named: NamedJob, call: NamedCall, job: Job):
        self._named = named
        self._encoding = call.encoding
        items = [_item_of(call, entry) for entry in named.entries.values()]
        self._cancelled = {item.key for item in items if item.state == "cancelled"}
        done = [item.png for item in items if item.png]
        named.hold.enter_context(named.tasks.using(*done))
        options = {"encoding": Encoding(), "hold": named.hold}
        super().__init__(
            call.services, None, items, call.settings, DEFAULT_LANGUAGE, job, **options
        )

    @property
    def is_waiting(self) -> bool:
        """Whether no file has been started."""
        return not self.batch.share

    def inputs(self) -> list[Path]:
        return [*self._named.sources.values()]

    def facts(self, language: str = DEFAULT_LANGUAGE) -> dict[str, Any]:
        """Return the progress: the files, the finished share, the seconds left and the jobs
        ahead."""
        batch = self.batch
        return {
            "files": [self._facts_of(item, language) for item in batch.items],
            "share": round(batch.share, 4),
            "seconds_left": batch.seconds_left,
            "ahead": batch.ahead,
        }

    def _facts_of(self, item: BatchFile, language: str) -> dict[str, Any]:
        facts = _file_facts(self._services, item, language)
        if item.state == "running":
            batch = self.batch
            facts["share"] = round(batch.share_of_file, 4)
            facts["seconds_left"] = batch.seconds_left_of_file
        return facts

    def news(self, call: NamedCall, shown: set[int]) -> dict[str, Any]:
        """Return the results of the files that are done and not in `shown`, to which they are
        added."""
        return _new_results(call, self._named.entries.values(), shown)

    def cancel_file(self, id: str) -> None:
        """Cancel one file. The others are not affected."""
        self._cancelled.add(id)
        self.running.cancel(id)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        with self._named.recorded(self):
            yield
            if any(
                item.state == "cancelled" and item.key not in self._cancelled
                for item in self.batch.items
            ):
                raise Cancelled("stopped")

    def pack(self, batch: Batch) -> Packed:
        return Packed(batch, None)

    def finish_file(self, item: BatchFile) -> None:
        super().finish_file(item)
        named = self._named
        entry = named.entries[item.key]
        if item.info and item.png:
            result = Result(item.png, item.info, item.png)
            with suppress(EnhanceError):  # Each client exports the files again and then uses these.
                self._services.enhancer.export(result, self._encoding, hold=named.hold)
            named.finish(entry, item.info, _thumbnail_of(item.png))
        elif item.error:
            named.fail(entry, item.error)
        elif item.key in self._cancelled:
            named.entries[item.key] = replace(entry, state="cancelled")
        else:
            return
        with suppress(StorageError):  # The end of the job records it again.
            named.tasks.save_entry(named.entries[item.key])


def _thumbnail_of(png: Path) -> str:
    """Return the thumbnail of a result as a `data:` URL, or "" if the result is too large."""
    with suppress(PictureError, OSError), PngReader(png) as rows:
        height, width = rows.size
        if height * width <= _MAX_THUMBNAIL_PIXELS:
            thumbnail = Thumbnail(height, width, LIST_SIDE, rows.channels)
            thumbnail.add_all(rows)
            icc = rows.icc if rows.channels > 2 else None
            return data_url(thumbnail.pixels, icc)
    return ""


def _item_of(call: NamedCall, entry: RecentRun) -> BatchFile:
    """Return the file of a batch in the state of its entry."""
    tasks = call.services.enhancer.tasks
    item = BatchFile(
        tasks.input_of(entry),
        Path(entry.name),
        size=(entry.height, entry.width),
        key=entry.id,
        number=entry.number,
    )
    own = Settings.from_stored(entry.settings)
    if own != call.settings:
        item = replace(item, settings=own)
    if entry.state == "failed":
        return replace(item, state="failed", error=RecordedError(entry.error))
    if entry.state == "cancelled":
        return replace(item, state="cancelled")
    info = tasks.info(entry.task_id or "") if entry.state == "done" else None
    if info is None:
        return item
    png = tasks.result_path(info["task_id"])
    info["output"]["path"] = str(png)  # The folder can have moved.
    return replace(item, state="done", info=info, png=png)


def _new_results(call: NamedCall, entries: Iterable[RecentRun], shown: set[int]) -> dict[str, Any]:
    """Return the facts of the files that are done and not in `shown`, to which they are added."""
    results = list[dict[str, Any]]()
    for entry in list(entries):
        if entry.state == "done" and entry.number not in shown:
            shown.add(entry.number)
            with suppress(EnhanceError):  # The result was deleted.
                info = call.services.enhancer.tasks.finished_info(entry.task_id or "")
                results.append({"number": entry.number, "info": _visible_info(call, entry, info)})
    return {"results": results} if results else {}


def _file_facts(services: Services, item: BatchFile, language: str) -> dict[str, Any]:
    """Return the name, the state and the error of a file, and its position in the call, from 1."""
    error = item.error and services.visible_error(None, item.error).message(language)
    return {"number": item.number, "name": item.name, "state": item.state, "error": error}


def _begin(call: NamedCall) -> NamedJob | JobRecord:
    """Return the job of a call, which is started if necessary.

    Return a NamedJob if this process runs the job, otherwise a JobRecord. Raises EnhanceError.
    """
    jobs = JobStore(call.services.enhancer.tasks)
    with _STARTING:
        running = _RUNNING.get(call.key)
        runs_here = running is not None
        stored = jobs.find(call.job, runs_here=runs_here)
        if stored is None:
            kind = "batch" if call.is_batch else "run"
            with call.services.enter(call.owner.caller, kind) as job:
                stored = jobs.begin(call.job, runs_here=runs_here)
                if stored is None:
                    running = _start(call, job)
    if running is not None and (stored is None or stored.state == "running"):
        return running
    assert stored is not None
    return stored


def _start(call: NamedCall, job: Job) -> NamedJob:
    """Start a job whose start the database has recorded."""
    named = NamedJob(call)
    try:
        job_class = NamedBatch if call.is_batch else NamedRun
        named.job = job_class(named, call, job)
    except BaseException:
        named.release()
        named.hold.close()
        raise
    shorten(named.tasks, named.whose)
    return named


def _follow(call: NamedCall) -> Iterator[Outputs]:
    """Yield the progress of a job until its end, and then its outputs. Raises EnhanceError."""
    reader = EventReader(call.request)
    while True:
        found = _begin(call)
        if isinstance(found, NamedJob):
            with found.in_use():
                yield from _follow_here(call, found, reader)
                yield from _finish(call, reader)
            return
        if found.state == "done":
            yield from _finish(call, reader)
            return
        if found.state == "cancelled":
            raise Cancelled("job_cancelled")
        if found.state == "failed":
            raise RecordedError(found.facts["error"])
        yield from _follow_elsewhere(call, found, reader)


def _follow_here(call: NamedCall, named: NamedJob, reader: EventReader) -> Iterator[Outputs]:
    """Yield the progress of a job of this process until its end. Raises the error of the job."""
    shown = set[int]()
    for _ in named.job.poll(_POLL_SECONDS, _LONGEST_POLL_SECONDS):
        if reader.is_reading():
            named.last_read = time.time()
        facts = named.job.facts(call.language) | named.job.news(call, shown)
        yield _progress(call, facts)
    if named.job.cancelled_by == "user":
        raise Cancelled("job_cancelled")
    named.job.result()


def _follow_elsewhere(call: NamedCall, stored: JobRecord, reader: EventReader) -> Iterator[Outputs]:
    """Yield the progress of a job of another process until the job or the process ends."""
    jobs = JobStore(call.services.enhancer.tasks)
    shown = set[int]()
    found: JobRecord | None = stored
    while found is not None and found.state == "running" and not found.has_lost_its_process():
        facts = found.facts
        done = sum(file["state"] == "done" for file in facts.get("files", ()))
        if done > len(shown):
            entries = entries_of(call.services.enhancer.tasks, call.job.whose, call.job.name)
            facts |= _new_results(call, entries, shown)
        yield _progress(call, facts)
        time.sleep(_LONGEST_POLL_SECONDS)
        if reader.is_reading():
            found = jobs.read(call.job.whose, call.job.name)


def _progress(call: NamedCall, facts: Mapping[str, Any]) -> Outputs:
    """Return the outputs of a call whose job runs, with all files of the call in their order.

    Another process can have started the job without any progress so far.
    """
    begun = {"seconds_left": None, "ahead": 0}
    if not call.is_batch:
        return None, {"progress": {"done": 0, "total": 0, **begun, **facts}}
    known = {file["number"]: file for file in facts.get("files", ())}
    files = list[dict[str, Any]]()
    for item in call.items:
        own = known.get(item.number)
        files.append(own or _file_facts(call.services, item, call.language))
    return None, {"progress": {"share": 0.0, **begun, **facts, "files": files}}


def _finish(call: NamedCall, reader: EventReader) -> Iterator[Outputs]:
    """Yield the progress while the results of a finished job are exported, and then its outputs."""
    work = _pack_results if call.is_batch else _export_result
    tasks = call.services.enhancer.tasks
    entries = {entry.number: entry for entry in entries_of(tasks, call.job.whose, call.job.name)}
    if not (entries or call.is_batch):  # The entry has been deleted.
        raise EnhanceError("result_gone")
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


def _last_facts(call: NamedCall, entries: Mapping[int, RecentRun]) -> dict[str, Any]:
    """Return the progress of a job that is done."""
    facts: dict[str, Any] = {"seconds_left": 0.0, "ahead": 0}
    if not call.is_batch:
        rows = entries[1].height
        return facts | {"done": rows, "total": rows}
    files = []
    for number, entry in entries.items():
        error = entry.error.get(call.language)
        files.append({"number": number, "name": entry.name, "state": entry.state, "error": error})
    return facts | {"share": 1.0, "files": files}


def _exported(call: NamedCall, entry: RecentRun, hold: ExitStack) -> Result:
    """Return the result of a finished file in the format of a call. Raises EnhanceError."""
    tasks = call.services.enhancer.tasks
    info = tasks.finished_info(entry.task_id or "")
    png = tasks.result_path(info["task_id"])
    hold.enter_context(tasks.using(png))
    info["output"]["path"] = str(png)  # The folder can have moved.
    return call.services.enhancer.export(Result(png, info, png), call.encoding, hold=hold)


def _visible_info(call: NamedCall, entry: RecentRun, info: Info) -> dict[str, Any]:
    """Return the facts of a result that its owner can see. The owner can then get its report."""
    shown = {**info, **entry.visible}
    visible = call.services.owners.remember(call.owner, shown, call.encoding)
    regions = regions_of(call.services, call.owner, entry)
    return without_path({**visible, **entry.visible, "regions": regions})


def _export_result(call: NamedCall, entries: Mapping[int, RecentRun]) -> Outputs:
    with ExitStack() as hold:
        entry = entries[1]
        result = _exported(call, entry, hold)
        name = result_name(result.info, call.encoding.file_format.ending, entry.name)
        file = call.services.downloads.link(result.path, name)
    return str(file), _visible_info(call, entry, result.info)


def _exported_item(
    call: NamedCall, item: BatchFile, entry: RecentRun, hold: ExitStack
) -> BatchFile:
    """Return a finished file of a batch in the format of a call, or as failed."""
    try:
        return replace(item, info=_exported(call, entry, hold).info)
    except EnhanceError as error:
        visible = call.services.visible_error(None, error)
        return replace(item, state="failed", info=None, error=visible)


def _pack_results(call: NamedCall, entries: Mapping[int, RecentRun]) -> Outputs:
    with ExitStack() as hold:
        items = list[BatchFile]()
        for item in call.items:
            entry = entries.get(item.number)
            if entry is not None and not item.error:
                item = _item_of(call, entry)
                if item.state == "done":
                    item = _exported_item(call, item, entry, hold)
            items.append(item)
        packed = pack_batch(call.services.downloads, plan(items), call.settings, call.language)
    infos = dict[BatchFile, dict[str, Any]]()
    for item in items:
        if item.info:
            infos[item] = _visible_info(call, entries[item.number], item.info)
        if packed.archive and item.png:
            call.services.downloads.tie(packed.archive, item.png)
    archive = packed.archive and str(packed.archive)
    return archive, batch_info(packed, infos, call.language)


def export_of(
    services: Services, request: gr.Request, wanted: object, encoding: Encoding
) -> Callable[[], Outputs]:
    """Return the work that exports a recent result, or the results of a batch so far, in a format.

    Raises EnhanceError.
    """
    owner = owner_of(request)
    found = own_entries(services.enhancer.tasks, owner.digest, wanted)
    entries = [entry for entry in found if entry.state in ("done", "failed", "cancelled")]
    if not any(entry.state == "done" for entry in entries):
        raise EnhanceError("result_gone")
    first = entries[0]
    name = first.batch or first.id
    is_batch = wanted == first.batch
    job = NewJob(owner.digest, name, "", tuple(entries))
    items = tuple(
        BatchFile(Path(entry.name), Path(entry.name), number=entry.number) for entry in entries
    )
    settings = Settings.from_stored(first.settings)
    call = NamedCall(services, request, job, items, settings, encoding, is_batch)
    if is_batch:
        return lambda: _pack_results(call, {entry.number: entry for entry in entries})
    return lambda: _export_result(call, {1: first})


def cancel_named(
    services: Services, owner: Owner, name: object, number: int | None = None
) -> dict[str, Any]:
    """Cancel the job of this name, even if it has not been started yet, or one file of a batch.

    Return whether the job or the file is known, and its state. Raises SettingsError.
    """
    tasks = services.enhancer.tasks
    name = check_name(name)
    jobs = JobStore(tasks)
    if number is None:
        is_known, state = jobs.cancel(owner.digest, name)
    else:
        is_known, state = jobs.cancel_file(owner.digest, name, number)
    with _STARTING:
        running = _RUNNING.get((tasks.folder, owner.digest, name))
    if running is not None and state == "cancelled":
        if number is None:
            running.job.cancel("user")
        elif isinstance(running.job, NamedBatch):
            running.job.cancel_file(id_of_file(name, number))
    facts = {"job": name, "known": is_known, "state": state}
    return facts if number is None else facts | {"file": number}


def report_jobs(services: Services) -> None:
    """Record the progress of the jobs for other processes, and cancel those without a reader."""
    tasks = services.enhancer.tasks
    with _STARTING:
        named_jobs = [one for one in list(_RUNNING.values()) if one.tasks is tasks]
    running = {(one.whose, one.name): one for one in named_jobs}
    if not running:
        return
    with suppress(StorageError):  # The disk is full.
        stored = JobStore(tasks).report({key: one.job.facts() for key, one in running.items()})
        for key, named in running.items():
            if isinstance(named.job, NamedBatch):
                for id in JobStore(tasks).cancelled_files(
                    *key
                ):  # Also those that another process has cancelled.
                    named.job.cancel_file(id)
            job = stored[key]
            if job is None or job.state == "cancelled" or job.process != this_process():
                named.job.cancel("user")
                continue
            is_unread = time.time() - max(named.last_read, job.read) > UNREAD_JOB_SECONDS
            if is_unread and (named.job.is_waiting or not named.owner.is_lasting):
                named.job.cancel("absence")
